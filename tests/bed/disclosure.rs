//! Secrets where none may show: in what an operator logs, and in what it writes to the API server outside of Secrets.
//!
//! What the secrets are is read from the audit logs: the value of every Secret that was ever written while the logs were kept.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result};
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// What is shorter guards nothing: a word that a test put into a Secret.
const SHORTEST: usize = 20;
/// Secrets with this suffix hold old files of adopted agents: words that stand elsewhere too.
const OLD_FILES: &str = "-adopted";

/// A line of an audit log, as far as it is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    user: User,
    #[serde(default)]
    verb: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(borrow)]
    request_object: Option<&'a RawValue>,
    response_object: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Debug, Default, Deserialize)]
struct ObjectRef {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

/// The secrets in everything that was written into Secrets, as they are and as the API server encodes them.
pub(crate) fn secrets(audit_log: &Path) -> Result<BTreeSet<String>> {
    let mut secrets = BTreeSet::new();
    each_line(audit_log, |text| {
        let line: Line<'_> = serde_json::from_str(text)?;
        if line.object_ref.resource != "secrets" || line.object_ref.name.ends_with(OLD_FILES) {
            return Ok(());
        }
        let written = line.response_object.unwrap_or_default();
        if written["type"] != "Opaque" {
            return Ok(());
        }
        for encoded in written["data"]
            .as_object()
            .into_iter()
            .flat_map(|data| data.values())
        {
            let encoded = encoded.as_str().unwrap_or_default();
            let Ok(bytes) = BASE64.decode(encoded.as_bytes()) else {
                continue;
            };
            let value = String::from_utf8_lossy(&bytes).into_owned();
            // Of a key in PEM, each line.
            let parts = value.lines().filter(|line| !line.starts_with("-----"));
            let parts = parts.chain([encoded]);
            secrets.extend(
                parts
                    .filter(|part| part.len() >= SHORTEST)
                    .map(str::to_owned),
            );
        }
        Ok(())
    })?;
    Ok(secrets)
}

/// Where one of `secrets` stands in what `user` wrote, Secrets left out: what was written, never the secret.
pub(crate) fn written(
    audit_log: &Path,
    user: &str,
    secrets: &BTreeSet<String>,
) -> Result<Vec<String>> {
    let search = AhoCorasick::new(secrets)?;
    let mut found = Vec::new();
    each_line(audit_log, |text| {
        // Cheap, and seldom so.
        if !search.is_match(text) {
            return Ok(());
        }
        let line: Line<'_> = serde_json::from_str(text)?;
        let is_shown = line
            .request_object
            .is_some_and(|object| search.is_match(object.get()));
        if is_shown && line.user.username == user && line.object_ref.resource != "secrets" {
            let ObjectRef {
                resource,
                namespace,
                name,
            } = &line.object_ref;
            found.push(format!("{} {resource} {namespace}/{name}", line.verb));
        }
        Ok(())
    })?;
    Ok(found)
}

/// Numbers of the lines of a log in which one of `secrets` stands.
pub(crate) fn logged(log: &Path, secrets: &BTreeSet<String>) -> Result<Vec<usize>> {
    let search = AhoCorasick::new(secrets)?;
    let (mut found, mut number) = (Vec::new(), 0);
    each_line(log, |text| {
        number += 1;
        if search.is_match(text) {
            found.push(number);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Shows every line that has an end to `look`: the last one may still be being written.
fn each_line(path: &Path, mut look: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let reading = || format!("reading {}", path.display());
    let mut file = BufReader::new(File::open(path).with_context(reading)?);
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line).with_context(reading)? > 0 && line.ends_with(b"\n") {
        look(&String::from_utf8_lossy(&line)).with_context(reading)?;
        line.clear();
    }
    Ok(())
}
