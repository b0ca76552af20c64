//! The arrows between the layers, read off the code: `api <- plan <- controller -> gateway, kube, server`; kube -> api; server -> api, plan.
//! What is not a layer (`presence`, `metrics`, `unwind`) may be known as the table says.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// A layer, what of the crate its files may name beside the layer itself, and what else they may not name.
const LAYERS: [(&str, &[&str], &[&str]); 5] = [
    (
        "api",
        &[],
        &["tokio", "async fn", "kube::Client", "Timestamp::now"],
    ),
    (
        "plan",
        &["api"],
        &[
            "tokio",
            "async fn",
            "kube::Client",
            "Timestamp::now",
            "Instant::now",
            "rand::",
            "std::env",
            "tracing",
        ],
    ),
    ("gateway", &[], &["k8s_openapi", " kube::"]),
    ("kube", &["api"], &[]),
    (
        "server",
        &["api", "plan", "presence", "metrics", "unwind"],
        &[],
    ),
];

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                rust_files(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The lines of a file that are not comments.
fn code(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines();
    lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(str::to_owned)
        .collect()
}

/// What code names of the crate: `a` in `crate::a::b`, `a` and `c` in `crate::{a::b, c}`.
fn named(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        // As in `my_crate::`.
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = &code[at + path.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            named.extend(first_word(rest));
            continue;
        };
        let (mut depth, mut begins) = (0_usize, true);
        for (at, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                _ if depth == 0 && begins && !character.is_whitespace() => {
                    named.extend(first_word(&group[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    named
}

fn first_word(text: &str) -> Option<String> {
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_');
    let word = &text[..end.unwrap_or(text.len())];
    (!word.is_empty()).then(|| word.to_owned())
}

#[test]
fn no_layer_names_what_it_may_not_know() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for (layer, known, words) in LAYERS {
        let files = rust_files(&root.join(layer));
        assert!(!files.is_empty(), "{layer} has no files");
        for file in files {
            let (lines, name) = (code(&file), file.display());
            let strangers = named(&lines.join("\n")).into_iter().filter(|it| {
                // Seeds and cuts of them, for the tests alone.
                let is_known = it == layer || it == "fuzzing" || known.contains(&it.as_str());
                !is_known
            });
            found.extend(strangers.map(|it| format!("{name}: crate::{it}")));
            for line in &lines {
                let forbidden = words.iter().filter(|word| line.contains(**word));
                found.extend(forbidden.map(|word| format!("{name}: {word} in: {}", line.trim())));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn what_code_names_of_the_crate_is_read_from_paths_and_groups() {
    for (code, names) in [
        ("use crate::plan::wake;", &["plan"][..]),
        ("x(crate::metrics::Limit::agent)", &["metrics"]),
        (
            "use crate::{\n    api::{Agent, agent::Role},\n    plan,\n    unwind::{self, Caught},\n};",
            &["api", "plan", "unwind"],
        ),
        ("use my_crate::plan; use super::plan;", &[]),
    ] {
        assert!(named(code).iter().eq(names), "{code}: {:?}", named(code));
    }
}
