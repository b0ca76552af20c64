//! A run: one directory that holds everything a bed writes, and the records of everything it started.
//!
//! The record of a process is `pids/<name>.json`. Whoever owns the run ends it with [`Run::stop_all`], which needs nothing
//! but the records: the process that started a part may be dead by then, as a test that panicked is.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use futures_util::future::join_all;

use super::pid::{PidRecord, Stopped};

/// Time that a process gets between SIGTERM and SIGKILL when a run ends.
const GRACE: Duration = Duration::from_secs(8);
/// Time that the logs of a failed run are kept.
const LOGS_KEPT: Duration = Duration::from_hours(24);
/// Prefix of run directories in the system's temp directory.
const PREFIX: &str = "mission-bed-";

/// A run directory.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    dir: PathBuf,
}

impl Run {
    /// Makes `dir` a run owned by this process.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let run = Self {
            dir: dir.to_path_buf(),
        };
        for part in [run.pids(), run.logs(), run.temp()] {
            std::fs::create_dir_all(&part)
                .with_context(|| format!("creating {}", part.display()))?;
        }
        PidRecord::of(std::process::id(), "bed")?.write(&run.owner())?;
        Ok(run)
    }

    /// Makes a new run directory in the system's temp directory.
    pub(crate) fn create_temporary() -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir()
            .context("creating a run directory")?;
        Self::create(&dir.keep())
    }

    /// The run that another process made in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        anyhow::ensure!(
            dir.join("pids").is_dir(),
            "{} is not the directory of a test bed",
            dir.display()
        );
        Ok(Self {
            dir: dir.to_path_buf(),
        })
    }

    /// The run directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the records of processes are.
    pub(crate) fn pids(&self) -> PathBuf {
        self.dir.join("pids")
    }

    /// Where processes' output goes.
    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// Temp directory of the processes of this run.
    pub(crate) fn temp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// Log file of the process called `name`.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// Creates and returns a directory for the state of the part called `name`. A second part of that name is an error: what the first
    /// one left there would be found by it.
    pub(crate) fn state(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        std::fs::create_dir(&dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(dir)
    }

    /// Whether the process that made the run is still there.
    pub(crate) fn has_owner(&self) -> bool {
        PidRecord::read(&self.owner()).is_ok_and(|record| record.is_alive())
    }

    /// Whether any recorded process still runs.
    pub(crate) fn is_running(&self) -> bool {
        self.records()
            .is_ok_and(|records| records.iter().any(|(_, record)| record.is_alive()))
    }

    /// Stops every recorded process, round by round; SIGKILL for what is still there after some seconds.
    ///
    /// Returns the names of those that had to be killed. A process is left alone when its start time is not the recorded
    /// one: the number was given to another by then.
    pub(crate) async fn stop_all(&self) -> Result<Vec<String>> {
        let mut rounds: BTreeMap<u8, Vec<(PathBuf, PidRecord)>> = BTreeMap::new();
        for (path, record) in self.records()? {
            rounds.entry(record.round).or_default().push((path, record));
        }
        let mut killed = Vec::new();
        let mut failed = Vec::new();
        for records in rounds.into_values() {
            let stopping = records.into_iter().map(|(path, record)| async move {
                let stopped = record.stop(GRACE).await;
                (path, record, stopped)
            });
            for (path, record, stopped) in join_all(stopping).await {
                match stopped {
                    Ok(Stopped::Killed) => killed.push(record.name),
                    Ok(Stopped::Gone | Stopped::Terminated) => {}
                    Err(error) => {
                        failed.push(format!("{} ({}): {error:#}", record.name, record.pid));
                        continue;
                    }
                }
                std::fs::remove_file(&path)
                    .with_context(|| format!("removing {}", path.display()))?;
            }
        }
        anyhow::ensure!(failed.is_empty(), "still running: {}", failed.join("; "));
        Ok(killed)
    }

    /// Stops what test binaries of this run have left that have ended.
    ///
    /// A test binary has no last moment at which it could stop what its tests share, and a gateway holds 0.7 GB. Does
    /// nothing on a run whose owner is gone on purpose, as after `bed up`.
    pub(crate) fn stop_orphans(&self) -> Result<()> {
        if !self.has_owner() {
            return Ok(());
        }
        let stopping: Vec<_> = self
            .records()?
            .into_iter()
            .filter(|(_, record)| record.is_orphan())
            .map(|(path, record)| {
                std::thread::spawn(move || -> Result<()> {
                    record.stop_blocking(GRACE)?;
                    std::fs::remove_file(&path)?;
                    Ok(())
                })
            })
            .collect();
        for thread in stopping {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a thread that stops a process panicked"))??;
        }
        Ok(())
    }

    /// Stops what is left of temporary runs whose owner was killed, and returns how many there were.
    ///
    /// Directories of ended runs hold the logs of failures; they are removed when they are a day old.
    pub(crate) async fn sweep_abandoned() -> Result<usize> {
        let mut swept = 0;
        for entry in std::fs::read_dir(std::env::temp_dir())?.flatten() {
            if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
                continue;
            }
            let Ok(run) = Self::open(&entry.path()) else {
                continue;
            };
            if PidRecord::read(&run.owner()).is_err() || run.has_owner() {
                continue;
            }
            if run.is_running() {
                run.stop_all().await?;
                swept += 1;
            }
            let modified = std::fs::metadata(run.owner())?.modified()?;
            if modified.elapsed().is_ok_and(|age| age > LOGS_KEPT) {
                run.remove()?;
            }
        }
        Ok(swept)
    }

    /// Removes the directory.
    pub(crate) fn remove(&self) -> Result<()> {
        std::fs::remove_dir_all(&self.dir)
            .with_context(|| format!("removing {}", self.dir.display()))
    }

    fn owner(&self) -> PathBuf {
        self.dir.join("owner.json")
    }

    fn records(&self) -> Result<Vec<(PathBuf, PidRecord)>> {
        let pids = self.pids();
        let mut records = Vec::new();
        for entry in
            std::fs::read_dir(&pids).with_context(|| format!("reading {}", pids.display()))?
        {
            let path = entry?.path();
            records.push((path.clone(), PidRecord::read(&path)?));
        }
        Ok(records)
    }
}
