//! What a process used, from /proc.

use anyhow::{Context as _, Result};
use serde::Serialize;

/// Clock ticks in a second, as /proc counts them: 100 on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// Use of memory and time.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Used {
    /// Processor time in user and kernel mode.
    pub(crate) cpu_seconds: f64,
    /// Resident memory now.
    pub(crate) rss_mib: f64,
    /// The most that was ever resident.
    pub(crate) peak_mib: f64,
}

impl Used {
    /// Of the process `pid`.
    pub(crate) fn by(pid: u32) -> Result<Self> {
        let stat = read(pid, "stat")?;
        // The second field is the program's name in brackets, which may hold anything.
        let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
        let field = |at: usize| -> Result<f64> {
            let field = fields.split_whitespace().nth(at);
            Ok(field.context("stat is short")?.parse()?)
        };
        let status = read(pid, "status")?;
        let mib = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next());
            let kib: f64 = kib
                .with_context(|| format!("no {name} in status"))?
                .parse()?;
            Ok(kib / 1024.0)
        };
        Ok(Self {
            cpu_seconds: (field(11)? + field(12)?) / TICKS,
            rss_mib: mib("VmRSS:")?,
            peak_mib: mib("VmHWM:")?,
        })
    }
}

fn read(pid: u32, what: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{what}");
    std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
}
