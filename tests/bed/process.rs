//! Processes that this process starts: into a group of their own, with a log, recorded in the run.
//!
//! How a record ends a process is `pid`. A handle that is dropped leaves its process running.

use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::Signal;
use tokio::sync::watch;

use super::{
    pid::{PidRecord, Stopped},
    run::Run,
};

/// Characters of a log line that are shown to people.
const MAX_LINE: usize = 500;

/// How to start a process. Its environment is empty but for what is set here.
#[derive(Debug)]
pub(crate) struct Start {
    name: String,
    command: Command,
    round: u8,
}

impl Start {
    /// A process called `name` (unique in its run while it lives) that runs `program`.
    pub(crate) fn new(name: &str, program: &Path) -> Self {
        let mut command = Command::new(program);
        command.env_clear().env("LANG", "C.UTF-8");
        Self {
            name: name.to_owned(),
            command,
            round: 0,
        }
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<std::ffi::OsStr>>(
        mut self,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(
        mut self,
        name: impl AsRef<std::ffi::OsStr>,
        value: impl AsRef<std::ffi::OsStr>,
    ) -> Self {
        self.command.env(name, value);
        self
    }

    /// Hands on the whole environment of this process.
    pub(crate) fn inherit_env(mut self) -> Self {
        self.command.envs(std::env::vars_os());
        self
    }

    /// Hands on the environment of this process but for the variables that `is_left_out` says.
    pub(crate) fn inherit_env_without(mut self, is_left_out: impl Fn(&str) -> bool) -> Self {
        let kept = std::env::vars_os().filter(|(name, _)| !is_left_out(&name.to_string_lossy()));
        self.command.envs(kept);
        self
    }

    /// Runs it in `dir`.
    pub(crate) fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Has it stopped when all processes of a lower `round` are gone, which use it.
    pub(crate) fn stop_after_others(mut self, round: u8) -> Self {
        self.round = round;
        self
    }

    /// Starts it: in a process group of its own, its output appended to the run's log of its name, recorded in the run.
    pub(crate) fn spawn(self, run: &Run) -> Result<Process> {
        let log = run.log(&self.name);
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("opening {}", log.display()))?;
        let error_file = file.try_clone()?;
        self.spawn_with(run, log, Stdio::from(file), Stdio::from(error_file))
    }

    /// The same with the standard output and error of this process instead of a log.
    pub(crate) fn spawn_in_view(self, run: &Run) -> Result<Process> {
        let log = run.log(&self.name);
        self.spawn_with(run, log, Stdio::inherit(), Stdio::inherit())
    }

    fn spawn_with(
        mut self,
        run: &Run,
        log: PathBuf,
        output: Stdio,
        errors: Stdio,
    ) -> Result<Process> {
        let record_path = run.pids().join(format!("{}.json", self.name));
        if let Ok(record) = PidRecord::read(&record_path) {
            anyhow::ensure!(
                !record.is_alive(),
                "a process called {} already runs on this bed (pid {})",
                self.name,
                record.pid
            );
        }
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| {
                format!("starting {}", self.command.get_program().to_string_lossy())
            })?;
        let starter = PidRecord::of(std::process::id(), "starter")?;
        // Until it is waited for, the kernel keeps the number for this child, even when it has ended.
        let record = PidRecord {
            starter: Some((starter.pid, starter.start_time)),
            round: self.round,
            ..PidRecord::of(child.id(), &self.name)?
        };
        record.write(&record_path)?;
        let (sender, exit) = watch::channel(None);
        // A thread and not a task: the process may outlive the runtime of the test that started it.
        std::thread::Builder::new()
            .name(format!("wait-{}", self.name))
            .spawn(move || {
                if let Ok(status) = child.wait() {
                    sender.send_replace(Some(status));
                }
            })?;
        Ok(Process {
            record,
            record_path,
            log,
            exit,
        })
    }
}

/// A process that this process started. Dropping the handle leaves it running: the run stops it.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    record: PidRecord,
    record_path: PathBuf,
    log: PathBuf,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Its record.
    pub(crate) fn record(&self) -> &PidRecord {
        &self.record
    }

    /// Its log file.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.exit.borrow().is_none() && self.record.is_alive()
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn exited(&self) -> Result<ExitStatus> {
        let mut exit = self.exit.clone();
        let status = exit
            .wait_for(Option::is_some)
            .await
            .context("nobody waits for the process any more")?;
        (*status).context("the process has no exit status")
    }

    /// SIGTERM, and SIGKILL after `grace`; then its record is removed.
    pub(crate) async fn stop(&self, grace: Duration) -> Result<Stopped> {
        let stopped = self.record.stop(grace).await?;
        self.forget()?;
        Ok(stopped)
    }

    /// SIGKILL; then its record is removed.
    pub(crate) async fn kill(&self) -> Result<()> {
        self.record.kill().await?;
        self.forget()
    }

    /// Sends `signal` to the process alone, for example SIGSTOP.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.record.signal(signal)
    }

    /// The last `lines` lines of its log.
    pub(crate) fn last_words(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }

    fn forget(&self) -> Result<()> {
        match std::fs::remove_file(&self.record_path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.record_path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// The last `lines` lines of the file at `path`, long ones cut; what is wrong with it when it cannot be read.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    match std::fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let all: Vec<&str> = text.lines().collect();
            let from = all.len().saturating_sub(lines);
            let cut: Vec<String> = all
                .get(from..)
                .unwrap_or_default()
                .iter()
                .map(|line| line.chars().take(MAX_LINE).collect())
                .collect();
            cut.join("\n")
        }
        Err(error) => format!("(no log at {}: {error})", path.display()),
    }
}
