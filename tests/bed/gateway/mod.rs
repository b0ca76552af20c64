//! A real OpenClaw gateway as a process: started on a state of its own, restarted on it, stopped, killed.
//!
//! Facts about how it has to be started (loopback bind, environment, readiness) are from runs of OpenClaw 2026.9.6. What is
//! asked of a running gateway is `rpc`; how one can be started is in `options`.

mod options;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    description::{GatewayAddress, OpenClaw},
    pid::Stopped,
    port,
    process::{Process, Start},
    rpc::Rpc,
    run::Run,
    wait::{Started, answers, until_ready},
};

use self::options::default_config;
pub(crate) use self::options::{GatewayCredential, GatewayOptions};

/// An empty gateway takes 7 to 20 s to be ready, one with hundreds of agents a minute, on two cores; minutes where builds and other
/// gateways take their turns on them.
const READY_LIMIT: Duration = Duration::from_mins(6);
/// An idle gateway ends within 3 s of SIGTERM.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// A gateway: its state on disk, and its process while it runs.
#[derive(Debug)]
pub(crate) struct Gateway {
    run: Run,
    openclaw: OpenClaw,
    name: String,
    dir: PathBuf,
    port: u16,
    credential: GatewayCredential,
    skip_cron: bool,
    with_config: bool,
    scheme: &'static str,
    env: Vec<(String, String)>,
    process: Mutex<Option<Process>>,
}

impl Gateway {
    /// Starts a gateway on a new state and waits until it is ready.
    pub(crate) async fn start(
        run: &Run,
        openclaw: &OpenClaw,
        provider: &str,
        options: GatewayOptions,
    ) -> Result<Self> {
        let dir = run.state(&format!("gateway-{}", options.name))?;
        for part in ["home", "state"] {
            std::fs::create_dir_all(dir.join(part))?;
        }
        let mut gateway = Self {
            run: run.clone(),
            openclaw: openclaw.clone(),
            name: options.name,
            dir,
            port: options.port.unwrap_or_default(),
            credential: options.credential,
            skip_cron: options.skip_cron,
            with_config: options.with_config,
            scheme: options.scheme,
            env: options.env,
            process: Mutex::new(None),
        };
        for (name, content) in options.files {
            std::fs::write(gateway.state_dir().join(name), content)?;
        }
        if gateway.with_config {
            let mut config = default_config(provider, &gateway.credential, options.skip_bootstrap);
            for change in options.configure {
                change(&mut config);
            }
            std::fs::write(
                gateway.config_path(),
                serde_json::to_string_pretty(&config)?,
            )?;
        }
        for _ in 0..port::ATTEMPTS {
            if options.port.is_none() {
                gateway.port = port::free()?;
            }
            if gateway.launch().await? == Started::Ready {
                return Ok(gateway);
            }
            if options.port.is_some() {
                bail!("port {} is taken", gateway.port);
            }
        }
        bail!("no free port for the gateway")
    }

    /// Starts it again on its state and port after [`stop`](Self::stop) or [`kill`](Self::kill).
    pub(crate) async fn start_again(&self) -> Result<()> {
        match self.launch().await? {
            Started::Ready => Ok(()),
            Started::PortTaken => bail!("port {} was taken meanwhile", self.port),
        }
    }

    /// Stops it and starts it again.
    pub(crate) async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.start_again().await
    }

    /// SIGTERM; SIGKILL when it is still there after some seconds.
    pub(crate) async fn stop(&self) -> Result<Stopped> {
        match self.take() {
            Some(process) => process.stop(STOP_GRACE).await,
            None => Ok(Stopped::Gone),
        }
    }

    /// SIGKILL.
    pub(crate) async fn kill(&self) -> Result<()> {
        match self.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// The process, while it runs; for SIGSTOP and the like.
    pub(crate) fn process(&self) -> Option<Process> {
        self.process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// `ws://` URL, `wss://` with TLS.
    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The shared token or password.
    pub(crate) fn secret(&self) -> &str {
        self.credential.secret()
    }

    /// Its state directory.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Its home directory, which holds the trash.
    pub(crate) fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// Its config document. The gateway rewrites it as plain JSON on any write.
    pub(crate) fn config_path(&self) -> PathBuf {
        self.state_dir().join("openclaw.json")
    }

    /// The config document as it is on disk.
    pub(crate) fn config(&self) -> Result<Value> {
        let path = self.config_path();
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
    }

    /// Where the gateway puts the workspace of an agent that names none.
    pub(crate) fn workspace(&self, agent_id: &str) -> PathBuf {
        self.state_dir().join(format!("workspace-{agent_id}"))
    }

    /// What it wrote to standard output and error, over all its starts.
    pub(crate) fn log(&self) -> PathBuf {
        self.run.log(&self.process_name())
    }

    /// A connection of the bed's own to it.
    pub(crate) async fn rpc(&self) -> Result<Rpc> {
        Rpc::connect(&self.url(), self.secret()).await
    }

    /// What `bed.json` tells of it.
    pub(crate) fn address(&self) -> GatewayAddress {
        GatewayAddress {
            url: self.url(),
            token: self.secret().to_owned(),
            config_path: self.config_path(),
            state_dir: self.state_dir(),
            log: self.log(),
        }
    }

    fn process_name(&self) -> String {
        format!("gateway-{}", self.name)
    }

    fn take(&self) -> Option<Process> {
        self.process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    async fn launch(&self) -> Result<Started> {
        let node_dir = self
            .openclaw
            .node
            .parent()
            .unwrap_or_else(|| Path::new("/"));
        let mut start = Start::new(&self.process_name(), &self.openclaw.node)
            .args([self.openclaw.bin.as_os_str()])
            .args(["gateway", "run", "--port", &self.port.to_string()])
            .env(
                "PATH",
                format!("{}:/usr/local/bin:/usr/bin:/bin", node_dir.display()),
            )
            .env("HOME", self.home())
            .env("TMPDIR", self.run.temp())
            .env("OPENCLAW_STATE_DIR", self.state_dir())
            .env("OPENCLAW_CONFIG_PATH", self.config_path())
            .env("OPENCLAW_DISABLE_BONJOUR", "1")
            .env("OPENCLAW_SKIP_CHANNELS", "1")
            // Without it the process replaces itself, and its pid with it.
            .env("OPENCLAW_NO_RESPAWN", "1")
            .env("OPENCLAW_EXEC_SHELL_SNAPSHOT", "0")
            .current_dir(&self.dir);
        if self.skip_cron {
            start = start.env("OPENCLAW_SKIP_CRON", "1");
        }
        if !self.with_config {
            start = start
                .args([
                    "--bind",
                    "loopback",
                    "--allow-unconfigured",
                    "--auth",
                    "token",
                ])
                .env("OPENCLAW_GATEWAY_TOKEN", self.secret());
        }
        for (name, value) in &self.env {
            start = start.env(name, value);
        }
        let process = start.spawn(&self.run)?;
        self.process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(process.clone());
        let http = super::http::client()?;
        let url = format!("{}/readyz", self.url().replacen("ws", "http", 1));
        until_ready(&process, READY_LIMIT, || answers(&http, &url)).await
    }
}
