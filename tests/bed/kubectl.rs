//! kubectl, as a person would call it.
//!
//! For what a test asks of objects there are typed clients and `wait`; this is for manifests as users write them.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, process::Command};

/// kubectl with one user's kubeconfig.
#[derive(Debug, Clone)]
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

/// What a call came to.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Whether the exit code was 0.
    pub(crate) success: bool,
    /// Standard output.
    pub(crate) output: String,
    /// Standard error.
    pub(crate) errors: String,
}

impl Kubectl {
    /// kubectl at `program` with the kubeconfig at `kubeconfig`.
    pub(crate) fn new(program: &Path, kubeconfig: &Path) -> Self {
        Self {
            program: program.to_path_buf(),
            kubeconfig: kubeconfig.to_path_buf(),
        }
    }

    /// The kubeconfig it uses.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs it to its end, whatever comes of it.
    pub(crate) async fn call(&self, args: &[&str], input: &str) -> Result<Outcome> {
        let mut child = Command::new(&self.program)
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        let mut stdin = child
            .stdin
            .take()
            .context("kubectl has no standard input")?;
        let text = input.as_bytes().to_vec();
        let feed = tokio::spawn(async move {
            // kubectl may end without reading it, which its exit code tells.
            stdin.write_all(&text).await.ok();
        });
        let output = child.wait_with_output().await.context("running kubectl")?;
        feed.await?;
        Ok(Outcome {
            success: output.status.success(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs it and returns its standard output; its standard error is the error when it fails.
    pub(crate) async fn run(&self, args: &[&str]) -> Result<String> {
        self.run_with(args, "").await
    }

    /// Applies a manifest, client-side, as `kubectl apply -f` does.
    pub(crate) async fn apply(&self, manifest: &str) -> Result<String> {
        self.run_with(&["apply", "-f", "-"], manifest).await
    }

    /// Applies a file, or all files of a directory.
    pub(crate) async fn apply_path(&self, path: &Path) -> Result<String> {
        let path = path.display().to_string();
        self.run(&["apply", "-f", &path]).await
    }

    /// `kubectl get <args> -o json`.
    pub(crate) async fn get(&self, args: &[&str]) -> Result<Value> {
        let mut all = vec!["get", "-o", "json"];
        all.extend_from_slice(args);
        Ok(serde_json::from_str(&self.run(&all).await?)?)
    }

    /// The same with a manifest as its standard input.
    pub(crate) async fn run_with(&self, args: &[&str], input: &str) -> Result<String> {
        let outcome = self.call(args, input).await?;
        anyhow::ensure!(
            outcome.success,
            "`kubectl {}` failed: {}",
            args.join(" "),
            outcome.errors.trim()
        );
        Ok(outcome.output)
    }
}
