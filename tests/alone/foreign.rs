//! What others have on a gateway: put there before a test, and read to be compared.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::bed::gateway::Gateway;

/// Puts another agent beside `main`. With two, the roster never passes between one agent and two, where the gateway changes what is
/// not ours.
pub(crate) fn with_others(config: &mut Value) {
    config["agents"]["entries"]["theirs"] = json!({"name": "Theirs", "heartbeat": {"every": "0m"}});
}

/// Writes a file of theirs.
pub(crate) fn write_files(gateway: &Gateway) -> Result<()> {
    let theirs = gateway.workspace("theirs");
    std::fs::create_dir_all(&theirs)?;
    std::fs::write(theirs.join("SOUL.md"), "Theirs, and nobody else's.\n")?;
    Ok(())
}

/// What is not ours: the config document without our entries, and the files of other agents.
#[derive(Debug, PartialEq)]
pub(crate) struct Foreign {
    config: Value,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Foreign {
    /// Reads it once the running gateway goes by its document.
    pub(crate) async fn read(gateway: &Gateway) -> Self {
        let mut rpc = gateway.rpc().await.unwrap();
        rpc.config_applied().await.unwrap();
        let config = rpc.call("config.get", json!({})).await.unwrap();
        let mut config = config["parsed"].clone();
        // When the gateway wrote the document last, and with which version.
        config.as_object_mut().unwrap().remove("meta");
        let entries = config["agents"]["entries"].as_object_mut().unwrap();
        entries.retain(|id, _| id == "main" || id == "theirs");
        let mut files = BTreeMap::new();
        for workspace in ["workspace", "workspace-main", "workspace-theirs"] {
            read_all(&gateway.state_dir().join(workspace), &mut files);
        }
        Self { config, files }
    }

    /// The files alone.
    pub(crate) fn into_files(self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.files
    }
}

fn read_all(dir: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, into);
        } else {
            let bytes = std::fs::read(&path)
                .with_context(|| format!("reading {}", path.display()))
                .unwrap();
            into.insert(path, bytes);
        }
    }
}
