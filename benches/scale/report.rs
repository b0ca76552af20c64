//! The table for people and the JSON for programs.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::{calm::Calm, storm::Storm};

/// All measurements of one run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    measured: Vec<Measured>,
}

/// One size of the cluster.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) gateways: usize,
    /// On all gateways together.
    pub(crate) agents: usize,
    pub(crate) storm: Storm,
    pub(crate) calm: Option<Calm>,
}

impl Measured {
    #[allow(clippy::cast_precision_loss, reason = "counts of thousands")]
    fn per_agent(&self, counts: &BTreeMap<String, usize>) -> f64 {
        counts.values().sum::<usize>() as f64 / self.agents as f64
    }
}

impl Report {
    pub(crate) fn add(&mut self, measured: Measured) {
        self.measured.push(measured);
    }

    /// Writes it as JSON under the target directory.
    pub(crate) fn write(&self) -> Result<PathBuf> {
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let dir = PathBuf::from(target).join("bench");
        std::fs::create_dir_all(&dir)?;
        let path = dir.join("scale.json");
        std::fs::write(&path, serde_json::to_string_pretty(self)?)?;
        Ok(path)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| Agents | All Ready, s | CPU, s | Peak, MiB | Then, MiB | API requests an Agent | Gateway calls an Agent | Slowest edit, s |"
        )?;
        writeln!(f, "|---:|---:|---:|---:|---:|---:|---:|---:|")?;
        for one in &self.measured {
            let storm = &one.storm;
            let edits = storm.edits.iter().map(|edit| edit.seconds);
            writeln!(
                f,
                "| {} | {:.1} | {:.1} | {:.0} | {:.0} | {:.2} | {:.2} | {:.1} |",
                one.agents,
                storm.seconds,
                storm.used.cpu_seconds,
                storm.used.peak_mib,
                storm.used.rss_mib,
                one.per_agent(&storm.requests),
                one.per_agent(&storm.calls),
                edits.fold(0.0, f64::max),
            )?;
        }
        for pair in self.measured.windows(2) {
            let (less, more) = (&pair[0], &pair[1]);
            writeln!(
                f,
                "\n{} to {} Agents: time x {:.2}, CPU x {:.2}, peak x {:.2}",
                less.agents,
                more.agents,
                more.storm.seconds / less.storm.seconds,
                more.storm.used.cpu_seconds / less.storm.used.cpu_seconds,
                more.storm.used.peak_mib / less.storm.used.peak_mib,
            )?;
        }
        for one in &self.measured {
            details(f, one)?;
        }
        Ok(())
    }
}

fn details(f: &mut fmt::Formatter<'_>, one: &Measured) -> fmt::Result {
    let storm = &one.storm;
    writeln!(f, "\n{} Agents on {} gateways", one.agents, one.gateways)?;
    let at = storm.percent_ready_at.iter();
    let at: Vec<String> = at
        .map(|(percent, at)| format!("{percent}% {at:.1}"))
        .collect();
    writeln!(f, "  Ready after seconds: {}", at.join(", "))?;
    for edit in &storm.edits {
        writeln!(
            f,
            "  edit of one that was {}Ready, with {} Ready: {:.1} s, in which {} others became Ready",
            if edit.was_ready { "" } else { "not " },
            edit.ready_then,
            edit.seconds,
            edit.ready_meanwhile,
        )?;
    }
    writeln!(f, "  API requests: {:?}", storm.requests)?;
    writeln!(f, "  gateway calls: {:?}", storm.calls)?;
    if let Some(calm) = &one.calm {
        writeln!(
            f,
            "  restarted: all compared in {:.1} s with {:.1} s of CPU; {} rounds more, each {:.1} s of CPU and {:.2} calls an Agent; \
             {:.0} MiB at most; writes to the API server {:?}, to gateways {:?}",
            calm.start_seconds,
            calm.start_cpu_seconds,
            calm.rounds,
            calm.round_cpu_seconds,
            calm.round_calls_per_agent,
            calm.used.peak_mib,
            calm.writes,
            calm.gateway_writes,
        )?;
    }
    Ok(())
}
