//! Processes: started into a group of their own with a log and a record, stopped by that record.
//!
//! A record holds the pid and the start time that the kernel gives for it, so that a number which the kernel has given to
//! another process is never signalled. Signals go to the whole group, because OpenClaw has helper processes.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::run::Run;

/// Characters of a log line that are shown to people.
const MAX_LINE: usize = 500;
/// Time that the kernel gets to end a process after SIGKILL.
const KILL_GRACE: Duration = Duration::from_secs(10);

/// What is needed to find a process again and be sure that it is the same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PidRecord {
    /// What the process is, in the words of the bed.
    pub(crate) name: String,
    /// Process id, and id of its group.
    pub(crate) pid: u32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks between boot and start.
    pub(crate) start_time: u64,
    /// Pid and start time of the process that started it.
    #[serde(default)]
    pub(crate) starter: Option<(u32, u64)>,
    /// Processes of a lower round are stopped before those of a higher one.
    #[serde(default)]
    pub(crate) round: u8,
}

/// How a process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// It was gone before anything was sent.
    Gone,
    /// It ended after SIGTERM.
    Terminated,
    /// It had to be killed.
    Killed,
}

/// State and start time of a process, from its `/proc/<pid>/stat`.
///
/// The second field is the program's name in parentheses and may hold anything, parentheses and spaces included; the fields
/// are counted from behind its end.
pub(crate) fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // State is field 3, the start time field 22.
    let start_time = fields.nth(18)?.parse().ok()?;
    Some((state, start_time))
}

impl PidRecord {
    /// The record of the process that has `pid` now.
    pub(crate) fn of(pid: u32, name: &str) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let stat = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let (_, start_time) =
            parse_stat(&stat).with_context(|| format!("{path} holds {stat:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            pid,
            start_time,
            starter: None,
            round: 0,
        })
    }

    /// Reads a record.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a record", path.display()))
    }

    /// Writes the record so that nobody reads half of it.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let dir = path.parent().context("a record needs a directory")?;
        // Beside the directory of records, where a reader of all records does not find it.
        let beside = dir.parent().unwrap_or(dir);
        let mut file = tempfile::NamedTempFile::new_in(beside)?;
        serde_json::to_writer(&mut file, self)?;
        file.persist(path)
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(())
    }

    /// Whether this very process still runs. One that has ended and was not waited for yet does not.
    pub(crate) fn is_alive(&self) -> bool {
        runs(self.pid, self.start_time)
    }

    /// Whether the process that started it has ended.
    pub(crate) fn is_orphan(&self) -> bool {
        self.starter
            .is_some_and(|(pid, start_time)| !runs(pid, start_time))
    }

    /// Sends SIGTERM to the group, waits for the process to end, sends SIGKILL after `grace`.
    pub(crate) async fn stop(&self, grace: Duration) -> Result<Stopped> {
        let record = self.clone();
        tokio::task::spawn_blocking(move || record.stop_blocking(grace))
            .await
            .context("the task that stops a process failed")?
    }

    /// Sends SIGKILL to the group and waits until the process is gone.
    pub(crate) async fn kill(&self) -> Result<Stopped> {
        let record = self.clone();
        tokio::task::spawn_blocking(move || record.kill_blocking())
            .await
            .context("the task that kills a process failed")?
    }

    /// Sends `signal` to the process alone, for example SIGSTOP.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pidfd = self.pidfd()?.context("the process is gone")?;
        pidfd_send_signal(&pidfd, signal)?;
        Ok(())
    }

    /// As [`stop`](Self::stop), outside of a runtime.
    pub(crate) fn stop_blocking(&self, grace: Duration) -> Result<Stopped> {
        let Some(pidfd) = self.pidfd()? else {
            return Ok(Stopped::Gone);
        };
        self.signal_group(Signal::TERM)?;
        if ended_within(&pidfd, grace)? {
            // Helpers that outlive their leader hold ports and files.
            self.signal_group(Signal::KILL)?;
            return Ok(Stopped::Terminated);
        }
        self.kill_blocking()
    }

    fn kill_blocking(&self) -> Result<Stopped> {
        let Some(pidfd) = self.pidfd()? else {
            return Ok(Stopped::Gone);
        };
        self.signal_group(Signal::KILL)?;
        anyhow::ensure!(
            ended_within(&pidfd, KILL_GRACE)?,
            "pid {} outlived SIGKILL",
            self.pid
        );
        Ok(Stopped::Killed)
    }

    /// A handle that stays with this process whatever becomes of its number; none when the process is gone.
    fn pidfd(&self) -> Result<Option<std::os::fd::OwnedFd>> {
        match pidfd_open(self.rustix_pid()?, PidfdFlags::empty()) {
            Ok(pidfd) if self.is_alive() => Ok(Some(pidfd)),
            Ok(_) | Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error).context("opening a handle on the process"),
        }
    }

    fn signal_group(&self, signal: Signal) -> Result<()> {
        match kill_process_group(self.rustix_pid()?, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error).context("signalling the process group"),
        }
    }

    fn rustix_pid(&self) -> Result<Pid> {
        i32::try_from(self.pid)
            .ok()
            .and_then(Pid::from_raw)
            .with_context(|| format!("{} is not a process id", self.pid))
    }
}

/// Whether the process that had `pid` and began at `start_time` still runs.
fn runs(pid: u32, start_time: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| parse_stat(&stat))
        .is_some_and(|(state, began)| state != 'Z' && began == start_time)
}

/// Waits until the process behind `pidfd` has ended; false when it has not within `time`.
fn ended_within(pidfd: &std::os::fd::OwnedFd, time: Duration) -> Result<bool> {
    let timeout = Timespec::try_from(time)?;
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&timeout))? > 0)
}

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
        use std::os::unix::process::CommandExt as _;

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
