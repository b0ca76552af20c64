//! The operator as a process, with the rights of the chart's ServiceAccount and no others.
//!
//! What it is told on its command line beyond an address and a log format is the caller's.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{
    http,
    kubeconfig::{self, Credential},
    kubectl::Kubectl,
    pid::Stopped,
    port,
    process::{Process, Start},
    run::Run,
    wait::{Started, answers, until_ready},
};

/// Namespace that the chart is installed into.
pub(crate) const NAMESPACE: &str = "mission-system";
/// The chart's ServiceAccount.
pub(crate) const SERVICE_ACCOUNT: &str = "mission-operator";
/// The name under which the API server knows it.
pub(crate) const USER: &str = "system:serviceaccount:mission-system:mission-operator";

/// What the names of operators' processes begin with.
const PROCESS: &str = "operator-";
/// Time that the operator gets to be ready.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// Time that it gets to drain after SIGTERM.
const STOP_GRACE: Duration = Duration::from_secs(40);

/// Makes a kubeconfig with a new token of the chart's ServiceAccount, beside the administrator's.
pub(crate) async fn service_account_kubeconfig(
    kubectl: &Kubectl,
    admin_kubeconfig: &Path,
) -> Result<PathBuf> {
    let token = kubectl
        .run(&[
            "create",
            "token",
            SERVICE_ACCOUNT,
            "--namespace",
            NAMESPACE,
            "--duration=720h",
        ])
        .await
        .context("asking for a token of the chart's ServiceAccount; is the chart installed?")?;
    let admin = kube::config::Kubeconfig::read_from(admin_kubeconfig)?;
    let cluster = admin
        .clusters
        .first()
        .and_then(|cluster| cluster.cluster.as_ref())
        .context("the kubeconfig has no cluster")?;
    // One to a plane: a run may have several.
    let path = admin_kubeconfig.with_file_name("operator.kubeconfig");
    kubeconfig::write(
        &path,
        cluster.server.as_deref().unwrap_or_default(),
        Path::new(cluster.certificate_authority.as_deref().unwrap_or_default()),
        &Credential::Token(token.trim()),
    )?;
    Ok(path)
}

/// A copy of the program `built` that a build beside the run does not replace; all tests of a binary share one.
pub(crate) fn copy_of(built: &Path, run: &Run) -> Result<PathBuf> {
    static COPY: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut known = COPY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(copy) = &*known {
        return Ok(copy.clone());
    }
    // One to a test binary.
    let copy = run
        .dir()
        .join(format!("mission-operator-{}", std::process::id()));
    // By a process of its own: a child that another test starts meanwhile would inherit the file open for writing for a moment, and a
    // program that is open for writing cannot be started.
    let copied = std::process::Command::new("cp")
        .args([built, &copy])
        .status()?;
    anyhow::ensure!(copied.success(), "copying {} failed", built.display());
    Ok(known.insert(copy).clone())
}

/// The logs of all operators of a run.
pub(crate) fn logs(run: &Run) -> Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for log in std::fs::read_dir(run.logs())? {
        let log = log?;
        if log.file_name().to_string_lossy().starts_with(PROCESS) {
            logs.push(log.path());
        }
    }
    Ok(logs)
}

/// How to start an operator.
#[derive(Debug, Clone)]
pub(crate) struct OperatorOptions {
    /// Its process is called by this, after [`PROCESS`].
    pub(crate) name: String,
    /// The program.
    pub(crate) program: PathBuf,
    /// Whose rights it has.
    pub(crate) kubeconfig: PathBuf,
    /// Arguments after `run`.
    pub(crate) args: Vec<String>,
    /// Environment variables.
    pub(crate) env: Vec<(String, String)>,
}

/// A running operator.
#[derive(Debug)]
pub(crate) struct Operator {
    process: Process,
    port: u16,
    agent_api_port: u16,
}

impl Operator {
    /// Starts an operator and waits until it says that it is ready.
    pub(crate) async fn start(run: &Run, options: &OperatorOptions) -> Result<Self> {
        Self::start_for_agents_at(run, options, None).await
    }

    /// The same; agents reach it on this port, where one is given, as they did before it was started anew.
    pub(crate) async fn start_for_agents_at(
        run: &Run,
        options: &OperatorOptions,
        agent_api_port: Option<u16>,
    ) -> Result<Self> {
        let http = http::client()?;
        for _ in 0..port::ATTEMPTS {
            let port = port::free()?;
            let agent_api_port = agent_api_port.map_or_else(port::free, Ok)?;
            let mut start = Start::new(&format!("{PROCESS}{}", options.name), &options.program)
                .args(["run", "--http-address", &port::loopback(port).to_string()])
                .args([
                    "--agent-api-address",
                    &port::loopback(agent_api_port).to_string(),
                ])
                .args(&options.args)
                .env("KUBECONFIG", &options.kubeconfig)
                .env("RUST_BACKTRACE", "1");
            for (name, value) in &options.env {
                start = start.env(name, value);
            }
            let process = start.spawn(run)?;
            let url = format!("http://127.0.0.1:{port}/readyz");
            if until_ready(&process, READY_LIMIT, || answers(&http, &url)).await? == Started::Ready
            {
                return Ok(Self {
                    process,
                    port,
                    agent_api_port,
                });
            }
        }
        bail!("no free port for the operator")
    }

    /// Its log.
    pub(crate) fn log(&self) -> PathBuf {
        self.process.log().to_path_buf()
    }

    /// Its process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Where agents reach it.
    pub(crate) fn agent_api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.agent_api_port)
    }

    /// Its metrics now, in the text format.
    pub(crate) async fn metrics(&self) -> Result<String> {
        self.get("metrics").await
    }

    /// What it answers under `path` of its operations port; an error where that is no success.
    pub(crate) async fn get(&self, path: &str) -> Result<String> {
        let url = format!("http://127.0.0.1:{}/{path}", self.port);
        let response = http::client()?.get(url).send().await?;
        Ok(response.error_for_status()?.text().await?)
    }

    /// SIGTERM; returns its exit code, which is 0 after a clean drain.
    pub(crate) async fn stop(self) -> Result<Option<i32>> {
        let how = self.process.stop(STOP_GRACE).await?;
        anyhow::ensure!(
            how != Stopped::Killed,
            "the operator did not end within {} s of SIGTERM; its last words:\n{}",
            STOP_GRACE.as_secs(),
            self.process.last_words(30)
        );
        Ok(self.process.exited().await?.code())
    }

    /// SIGKILL.
    pub(crate) async fn kill(self) -> Result<()> {
        self.process.kill().await
    }
}
