use std::{collections::BTreeSet, path::PathBuf};

use anyhow::Result;

use crate::bed::disclosure::{logged, secrets, written};

const TOKEN: &str = "T0ken-of-an-agent-that-nobody-may-see-000000";

/// A file with these lines.
fn file(name: &str, lines: &[String]) -> Result<(tempfile::TempDir, PathBuf)> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join(name);
    std::fs::write(&path, lines.join("\n") + "\n")?;
    Ok((dir, path))
}

fn line(user: &str, resource: &str, request: &str, response: &str) -> String {
    format!(
        r#"{{"auditID":"1","verb":"create","user":{{"username":"{user}"}},"objectRef":{{"resource":"{resource}","namespace":"a","name":"b"}},"requestObject":{request},"responseObject":{response}}}"#
    )
}

#[test]
fn what_was_written_into_a_secret_is_found_wherever_else_the_operator_wrote_or_logged_it() {
    let encoded = data_encoding::BASE64.encode(TOKEN.as_bytes());
    let secret = format!(r#"{{"type":"Opaque","data":{{"token":"{encoded}","word":"d29yZA=="}}}}"#);
    let note = |text: &str| format!(r#"{{"note":"it is {text}."}}"#);
    let (_dir, log) = file(
        "audit.log",
        &[
            line("admin", "secrets", "null", &secret),
            line("op", "secrets", &secret, &secret),
            line("op", "events", &note(TOKEN), "null"),
            line("op", "configmaps", &note(&encoded), "null"),
            line("op", "agents", &note("a word"), "null"),
            line("admin", "agents", &note(TOKEN), "null"),
        ],
    )
    .unwrap();
    let known = secrets(&log).unwrap();
    assert_eq!(known, BTreeSet::from([TOKEN.to_owned(), encoded]));
    assert_eq!(
        written(&log, "op", &known).unwrap(),
        ["create events a/b", "create configmaps a/b"]
    );
    let lines = ["nothing", TOKEN, "a word"].map(str::to_owned);
    let (_dir, log) = file("operator.log", &lines).unwrap();
    assert_eq!(logged(&log, &known).unwrap(), [2]);
}
