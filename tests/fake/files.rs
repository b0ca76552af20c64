//! Workspace files, in memory: `agents.files.list`, `get` and `set`.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::refusal::{agent_not_found, invalid, invalid_with};
use super::state::{State, now_ms};

/// Names that are listed.
const LISTED: [&str; 5] = [
    "AGENTS.md",
    "SOUL.md",
    "USER.md",
    "BOOTSTRAP.md",
    "MEMORY.md",
];
/// It is there all the same.
const UNLISTED: &str = "IDENTITY.md";
/// What a workspace may well be without.
const MAY_BE_ABSENT: [&str; 4] = ["SOUL.md", "USER.md", "MEMORY.md", UNLISTED];
/// What a gateway without `skipBootstrap` puts into a new workspace.
const FILLED: [&str; 5] = ["AGENTS.md", "SOUL.md", "USER.md", UNLISTED, "BOOTSTRAP.md"];

/// Files of one workspace by name.
pub(super) type Workspace = BTreeMap<&'static str, File>;

/// One file.
#[derive(Clone, Debug)]
pub(super) struct File {
    content: Arc<str>,
    modified_ms: u64,
}

impl File {
    fn hash(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.content.as_bytes()))
    }
}

impl State {
    pub(super) fn files_list(&self, params: &Map<String, Value>) -> Result<Value, Value> {
        let (id, workspace) = self.known(params)?;
        let there = self.files.get(&workspace);
        let files: Vec<Value> = LISTED
            .iter()
            .map(|name| {
                row(
                    &workspace,
                    name,
                    there.and_then(|files| files.get(name)),
                    false,
                )
            })
            .collect();
        Ok(json!({"agentId": id, "workspace": workspace, "files": files}))
    }

    pub(super) fn files_get(&self, params: &Map<String, Value>) -> Result<Value, Value> {
        let (id, workspace) = self.known(params)?;
        let name = supported(params)?;
        let file = self.files.get(&workspace).and_then(|files| files.get(name));
        Ok(
            json!({"agentId": id, "workspace": workspace, "file": row(&workspace, name, file, true)}),
        )
    }

    pub(super) fn files_set(&mut self, params: &Map<String, Value>) -> Result<Value, Value> {
        let (id, workspace) = self.known(params)?;
        let name = supported(params)?;
        let current = self.files.get(&workspace).and_then(|files| files.get(name));
        let current = current.map(File::hash);
        if let Some(expected) = params.get("expectedHash").and_then(Value::as_str)
            && current.as_deref() != Some(expected)
        {
            let mut details = json!({"type": "agent_file_conflict", "name": name});
            if let Some(current) = current {
                details["currentHash"] = json!(current);
            }
            return Err(invalid_with(
                format!("agent file \"{name}\" changed since it was read"),
                &details,
            ));
        }
        let content = params
            .get("content")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let file = File {
            content: content.into(),
            modified_ms: now_ms(),
        };
        let shown = row(&workspace, name, Some(&file), true);
        let answer = json!({"ok": true, "agentId": id, "workspace": workspace, "file": shown});
        self.files.entry(workspace).or_default().insert(name, file);
        Ok(answer)
    }

    /// The text of a file of an agent of the running gateway.
    pub(super) fn file(&self, agent_id: &str, name: &str) -> Option<String> {
        let workspace = self.workspace(agent_id)?;
        let file = self.files.get(&workspace)?.get(name)?;
        Some(file.content.to_string())
    }

    /// The texts of all files by path.
    pub(super) fn all_files(&self) -> BTreeMap<String, String> {
        let workspaces = self.files.iter();
        workspaces
            .flat_map(|(workspace, files)| {
                files.iter().map(move |(name, file)| {
                    (format!("{workspace}/{name}"), file.content.to_string())
                })
            })
            .collect()
    }

    /// Writes a file without any check.
    pub(super) fn put_file(&mut self, agent_id: &str, name: &str, content: &str) {
        let workspace = self.workspace(agent_id);
        if let (Some(workspace), Some(name)) = (workspace, known_name(name)) {
            let file = File {
                content: content.into(),
                modified_ms: now_ms(),
            };
            self.files.entry(workspace).or_default().insert(name, file);
        }
    }

    /// Puts the gateway's own files into a new workspace; those that are there stay.
    pub(super) fn fill(&mut self, workspace: &str) {
        let files = self.files.entry(workspace.to_owned()).or_default();
        for name in FILLED {
            files.entry(name).or_insert_with(|| File {
                content: format!("# {name}\n\nThe gateway's own.\n").into(),
                modified_ms: now_ms(),
            });
        }
    }

    /// The agent that is asked about, and its workspace.
    fn known(&self, params: &Map<String, Value>) -> Result<(String, String), Value> {
        let id = params
            .get("agentId")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let workspace = self.workspace(id).ok_or_else(|| agent_not_found(id))?;
        Ok((id.to_owned(), workspace))
    }
}

fn known_name(name: &str) -> Option<&'static str> {
    LISTED
        .into_iter()
        .chain([UNLISTED])
        .find(|known| *known == name)
}

fn supported(params: &Map<String, Value>) -> Result<&'static str, Value> {
    let name = params
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    known_name(name).ok_or_else(|| invalid(format!("unsupported file \"{name}\"")))
}

fn row(workspace: &str, name: &str, file: Option<&File>, with_content: bool) -> Value {
    let path = format!("{workspace}/{name}");
    let Some(file) = file else {
        let expected_absent = MAY_BE_ABSENT.contains(&name);
        return json!({"name": name, "path": path, "missing": true, "expectedAbsent": expected_absent});
    };
    let mut row = json!({
        "name": name, "path": path, "missing": false,
        "size": file.content.len(), "updatedAtMs": file.modified_ms,
    });
    if with_content {
        row["hash"] = json!(file.hash());
        row["content"] = json!(&*file.content);
    }
    row
}
