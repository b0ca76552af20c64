//! The arrows between the layers, read off the code: `api <- plan <- controller -> kube, gateway`; server -> api, plan, kube.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// A layer and what its files may not name.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    (
        "src/api",
        &[
            "crate::plan",
            "crate::gateway",
            "crate::kube",
            "crate::controller",
            "tokio",
            "async fn",
            "kube::Client",
            "Timestamp::now",
        ],
    ),
    (
        "src/plan",
        &[
            "crate::gateway",
            "crate::kube",
            "crate::controller",
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
    (
        "src/gateway",
        &[
            "crate::api",
            "crate::plan",
            "crate::kube",
            "crate::controller",
            "k8s_openapi",
            " kube::",
        ],
    ),
    (
        "src/kube",
        &["crate::plan", "crate::gateway", "crate::controller"],
    ),
    ("src/server", &["crate::controller"]),
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

#[test]
fn no_layer_names_what_it_may_not_know() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for (layer, words) in FORBIDDEN {
        let files = rust_files(&root.join(layer));
        assert!(!files.is_empty(), "{layer} has no files");
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            for (number, line) in code.enumerate() {
                found.extend(
                    words
                        .iter()
                        .filter(|word| line.contains(**word))
                        .map(|word| {
                            format!(
                                "{}:{}: {word} in: {}",
                                file.display(),
                                number + 1,
                                line.trim()
                            )
                        }),
                );
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
