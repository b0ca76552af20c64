//! Which kills there are, and in which run each of them is.

use std::collections::VecDeque;

use crate::{
    clean::Clean,
    site::{Site, sites},
    team::Phase,
};

/// Teams of the clean runs have numbers below the others.
const CLEAN_RUNS: usize = 2;

/// A run through all phases, and where the operator is killed in each.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) number: usize,
    pub(crate) kills: Vec<Option<Site>>,
}

impl Run {
    /// Whether a phase is gone through: all up to the last kill. What happens to an agent before it goes brings nothing once it is gone.
    pub(crate) fn passes(&self, phase: Phase) -> bool {
        let mut kills = Phase::ALL.into_iter().zip(&self.kills);
        let end = phase.is_over_with();
        kills.any(|(at, kill)| kill.is_some() && at >= phase && end.is_none_or(|end| at < end))
    }
}

/// The kills of all runs: each run takes one of each phase, as long as there are any.
pub(crate) fn runs(clean: &[Clean], which: impl Fn(&Site) -> bool) -> VecDeque<Run> {
    let wanted = |phase: &Clean| {
        let sites = sites(&phase.calls).into_iter();
        sites.filter(|site| which(site)).collect::<Vec<_>>()
    };
    let columns: Vec<Vec<Site>> = clean.iter().map(wanted).collect();
    let rows = columns.iter().map(Vec::len).max().unwrap_or_default();
    let row = |n: usize| Run {
        number: CLEAN_RUNS + n,
        kills: columns
            .iter()
            .map(|column| column.get(n).cloned())
            .collect(),
    };
    (0..rows).map(row).collect()
}
