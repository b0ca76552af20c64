//! `bed.json`: what runs on a bed and where, for tests in other processes and for people.
//!
//! Only data. It holds the sample gateway's token, which is no secret: it is written in the repository.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Names the file for test binaries.
pub(crate) const ENVIRONMENT_VARIABLE: &str = "MISSION_BED";
/// Name of the file in the run directory.
pub(crate) const FILE: &str = "bed.json";

/// What runs on a bed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    /// The run directory: logs, pid records, state of every part.
    pub(crate) dir: PathBuf,
    /// Kubeconfig of an administrator.
    pub(crate) kubeconfig: PathBuf,
    /// Audit log of the API server, one JSON event a line.
    pub(crate) audit_log: PathBuf,
    /// Programs that tests call.
    pub(crate) tools: Programs,
    /// The OpenClaw installation.
    pub(crate) openclaw: OpenClaw,
    /// The model provider.
    pub(crate) provider: ProviderAddress,
    /// The gateway that the bed itself runs (`up` and `demo`; tests start their own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gateway: Option<GatewayAddress>,
    /// Log of the operator that the bed itself runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operator_log: Option<PathBuf>,
}

/// Programs that tests call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Programs {
    /// kubectl of the control plane's version.
    pub(crate) kubectl: PathBuf,
    /// Helm 3.
    pub(crate) helm: PathBuf,
}

/// The OpenClaw installation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OpenClaw {
    /// The Node.js that runs it.
    pub(crate) node: PathBuf,
    /// Its entry script.
    pub(crate) bin: PathBuf,
}

/// The model provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ProviderAddress {
    /// Base URL without `/v1`.
    pub(crate) url: String,
}

/// A running gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GatewayAddress {
    /// `ws://` URL.
    pub(crate) url: String,
    /// Its shared token.
    pub(crate) token: String,
    /// Its config document.
    pub(crate) config_path: PathBuf,
    /// Its state directory, which holds the default workspaces.
    pub(crate) state_dir: PathBuf,
    /// What it wrote to standard output and error.
    pub(crate) log: PathBuf,
}

impl Description {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("no test bed is described at {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not a description of a test bed", path.display()))
    }

    /// Writes the file into the run directory and returns its path.
    pub(crate) fn write(&self) -> Result<PathBuf> {
        let path = self.dir.join(FILE);
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(&path, text + "\n")
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}
