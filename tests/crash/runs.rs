//! Which kills there are, and in which run each of them is.

use std::collections::VecDeque;

use anyhow::{Result, ensure};

use crate::{
    clean::Clean,
    site::{Call, Site, sites},
    team::{Phase, Team},
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
    /// Whether a phase is gone through: all up to the last kill. A change that nobody is killed in brings nothing.
    pub(crate) fn passes(&self, phase: Phase) -> bool {
        let mut left = Phase::ALL.into_iter().zip(&self.kills);
        let mut kills = left.clone().filter(|(_, kill)| kill.is_some());
        let is_killed_later = kills.any(|(at, _)| at >= phase);
        let is_killed_here = left.any(|(at, kill)| at == phase && kill.is_some());
        is_killed_here || is_killed_later && phase != Phase::Change
    }

    /// The gateway restarts itself where an agent that it remembers to have deleted comes back by a patch. An operator that has deleted
    /// an agent knows that; one that was started since does not.
    pub(crate) fn restarts_at_most(&self, phase: Phase, team: &Team) -> Result<()> {
        let passed = Phase::ALL.into_iter().zip(&self.kills);
        let does_not_know = passed
            .filter(|(at, _)| (Phase::Delete..=Phase::Return).contains(at) && *at <= phase)
            .any(|(_, kill)| kill.is_some());
        let restarts = team.fake.seen().self_restarts;
        let most = usize::from(phase >= Phase::Return && does_not_know);
        ensure!(
            restarts <= most,
            "the gateway restarted itself {restarts} times"
        );
        Ok(())
    }
}

/// The kills of all runs: each run takes one of each phase, as long as there are any. Those of the return, and of what follows it, are in
/// other runs than those of the deletion before it, because then the return takes another way.
pub(crate) fn runs(clean: &[Clean], which: impl Fn(&Call) -> bool) -> VecDeque<Run> {
    let wanted = |phase: &Clean| {
        let sites = sites(&phase.calls).into_iter();
        sites.filter(|site| which(&site.call)).collect::<Vec<_>>()
    };
    let mut columns: Vec<Vec<Option<Site>>> = Vec::new();
    let mut skipped = 0;
    for (phase, clean) in Phase::ALL.into_iter().zip(clean) {
        if phase == Phase::Return {
            skipped = columns.last().map_or(0, Vec::len);
        }
        let sites = wanted(clean).into_iter().map(Some);
        columns.push(std::iter::repeat_n(None, skipped).chain(sites).collect());
    }
    let rows = columns.iter().map(Vec::len).max().unwrap_or_default();
    let kill = |column: &Vec<Option<Site>>, n: usize| column.get(n).cloned().flatten();
    let row = |n: usize| Run {
        number: CLEAN_RUNS + n,
        kills: columns.iter().map(|column| kill(column, n)).collect(),
    };
    (0..rows).map(row).collect()
}
