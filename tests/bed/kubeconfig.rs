//! Kubeconfig files for the users of a control plane, and clients made from them.

use std::path::Path;

use anyhow::{Context, Result};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;

use super::keys::Pair;

/// How a user proves who it is.
#[derive(Debug)]
pub(crate) enum Credential<'a> {
    /// Client certificate.
    Certificate(&'a Pair),
    /// Bearer token of a ServiceAccount.
    Token(&'a str),
}

/// Writes a kubeconfig for the API server at `server` to `path`.
pub(crate) fn write(
    path: &Path,
    server: &str,
    authority: &Path,
    credential: &Credential<'_>,
) -> Result<()> {
    let user = match credential {
        Credential::Certificate(pair) => json!({
            "client-certificate": pair.certificate,
            "client-key": pair.key,
        }),
        Credential::Token(token) => json!({ "token": token }),
    };
    // JSON is YAML.
    let text = serde_json::to_string_pretty(&json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bed", "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": "bed", "user": user}],
        "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "bed"}}],
        "current-context": "bed",
    }))?;
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Writes a kubeconfig to `to` that differs from the one at `from` in its server alone.
pub(crate) fn with_server(from: &Path, server: &str, to: &Path) -> Result<()> {
    let mut config = Kubeconfig::read_from(from)
        .with_context(|| format!("reading the kubeconfig {}", from.display()))?;
    for cluster in config
        .clusters
        .iter_mut()
        .filter_map(|named| named.cluster.as_mut())
    {
        cluster.server = Some(server.to_owned());
    }
    let text = serde_json::to_string_pretty(&config)?;
    std::fs::write(to, text).with_context(|| format!("writing {}", to.display()))
}

/// A client with the rights of the kubeconfig at `path`.
pub(crate) async fn client(path: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(path)
        .with_context(|| format!("reading the kubeconfig {}", path.display()))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
