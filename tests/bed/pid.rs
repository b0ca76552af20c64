//! Records of processes: how one is found again, recognised and ended by whoever owns a run.
//!
//! A record holds the pid and the start time that the kernel gives for it, so that a number which the kernel has given to
//! another process is never signalled. Signals go to the whole group, because OpenClaw has helper processes.

use std::{os::fd::OwnedFd, path::Path, time::Duration};

use anyhow::{Context, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};

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
    fn pidfd(&self) -> Result<Option<OwnedFd>> {
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
fn ended_within(pidfd: &OwnedFd, time: Duration) -> Result<bool> {
    let timeout = Timespec::try_from(time)?;
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&timeout))? > 0)
}
