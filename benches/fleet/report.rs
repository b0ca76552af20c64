//! The table for people and the JSON for programs.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::stage::Measured;

/// All measurements of one run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    measured: Vec<Measured>,
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
        let path = dir.join("fleet.json");
        std::fs::write(&path, serde_json::to_string_pretty(self)?)?;
        Ok(path)
    }

    fn seconds(&self, what: &str, agents: usize) -> Option<f64> {
        let one = self
            .measured
            .iter()
            .find(|one| one.what == what && one.agents == agents)?;
        Some(one.seconds)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| Agents | Who | Seconds | Connections | Calls | Patches | KiB up | KiB down |"
        )?;
        writeln!(f, "|---:|---|---:|---:|---:|---:|---:|---:|")?;
        for one in &self.measured {
            writeln!(
                f,
                "| {} | {} | {:.1} | {} | {} | {} | {} | {} |",
                one.agents,
                one.what,
                one.seconds,
                one.connections,
                one.calls.values().sum::<usize>(),
                one.calls.get("config.patch").copied().unwrap_or_default(),
                one.bytes_up / 1024,
                one.bytes_down / 1024,
            )?;
        }
        for one in &self.measured {
            if let Some(answered) = one.answered {
                let what = &one.what;
                writeln!(
                    f,
                    "\n{what}: answered after {answered:.2} s, applied after {:.2} s",
                    one.seconds
                )?;
            }
        }
        let sizes: std::collections::BTreeSet<_> =
            self.measured.iter().map(|one| one.agents).collect();
        for agents in sizes {
            let Some(operator) = self.seconds("operator", agents) else {
                continue;
            };
            if let Some(floor) = self.seconds("floor", agents) {
                writeln!(
                    f,
                    "\n{agents} Agents: operator / floor = {:.2}",
                    operator / floor
                )?;
            }
            if let Some(naive) = self.seconds("naive", agents) {
                writeln!(
                    f,
                    "\n{agents} Agents: naive / operator = {:.1}",
                    naive / operator
                )?;
            }
        }
        for one in &self.measured {
            let calls: BTreeMap<_, _> = one.calls.iter().collect();
            writeln!(f, "\n{} of {}: {calls:?}", one.what, one.agents)?;
            for span in &one.trace {
                writeln!(
                    f,
                    "  {:7.2} .. {:7.2} s  {:5} x {}",
                    span.first, span.last, span.count, span.what
                )?;
            }
        }
        Ok(())
    }
}
