//! A converged cluster: the operator starts anew on it, then compares all Agents with their gateways again and again, and writes nothing.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    Stage,
    bed::{
        audit,
        operator::{OperatorOptions, USER},
    },
    process::Used,
};

/// Short enough to wait for some; an hour of the default is six of them.
pub(crate) const INTERVAL: &str = "--resync-interval=30s";
/// Comparisons after the one of the start.
const ROUNDS: usize = 3;
/// Longer than they may take.
const PATIENCE: Duration = Duration::from_mins(10);
/// What every comparison of an Agent asks once.
const LOOK: &str = "agents.files.list";
/// Between two looks at the counts of a hundred fakes.
const PAUSE: Duration = Duration::from_millis(100);
/// What changes something on a gateway.
const WRITES: [&str; 6] = [
    "config.patch",
    "config.set",
    "agents.create",
    "agents.delete",
    "agents.files.set",
    "cron.scratch.set",
];

/// What a converged cluster costs.
#[derive(Debug, Serialize)]
pub(crate) struct Calm {
    /// From the operator's start until every Agent has been compared with its gateway.
    pub(crate) start_seconds: f64,
    /// Processor time until then.
    pub(crate) start_cpu_seconds: f64,
    /// Comparisons of all Agents after that.
    pub(crate) rounds: usize,
    /// Processor time of one.
    pub(crate) round_cpu_seconds: f64,
    /// Calls on the gateways in one, an Agent.
    pub(crate) round_calls_per_agent: f64,
    pub(crate) used: Used,
    /// Writes to the API server, by permission.
    pub(crate) writes: BTreeMap<String, usize>,
    /// Writes to gateways, by method.
    pub(crate) gateway_writes: BTreeMap<&'static str, usize>,
}

/// Starts the operator and follows it for some rounds.
pub(crate) async fn measure(stage: &Stage, options: &OperatorOptions) -> Result<Calm> {
    let fleet = &stage.fleet;
    let requests_before = audit::read(&stage.plane.audit_log())?.len();
    let writes = || WRITES.map(|method| (method, fleet.count(method)));
    let writes_before = writes();
    let began = Instant::now();
    let looks = fleet.count(LOOK);
    let operator = stage.start(options).await?;
    let pid = operator.process().record().pid;

    until(stage, looks + fleet.size()).await?;
    let start_seconds = began.elapsed().as_secs_f64();
    let at_start = Used::by(pid)?;
    let (looks, calls) = (fleet.count(LOOK), calls(stage));
    until(stage, looks + ROUNDS * fleet.size()).await?;
    let used = Used::by(pid)?;
    let calls = self::calls(stage) - calls;
    operator.stop().await?;

    let requests = audit::read(&stage.plane.audit_log())?;
    let mut api_writes: BTreeMap<String, usize> = BTreeMap::new();
    for request in audit::of_user(&requests[requests_before..], USER) {
        if request.is_write() {
            *api_writes
                .entry(request.permission().to_string())
                .or_default() += 1;
        }
    }
    let gateway_writes = writes()
        .into_iter()
        .zip(writes_before)
        .map(|((method, now), (_, before))| (method, now - before))
        .filter(|(_, count)| *count > 0)
        .collect();
    #[allow(clippy::cast_precision_loss, reason = "counts of thousands")]
    let calm = Calm {
        start_seconds,
        start_cpu_seconds: at_start.cpu_seconds,
        rounds: ROUNDS,
        round_cpu_seconds: (used.cpu_seconds - at_start.cpu_seconds) / ROUNDS as f64,
        round_calls_per_agent: calls as f64 / (ROUNDS * fleet.size()) as f64,
        used,
        writes: api_writes,
        gateway_writes,
    };
    eprintln!(
        "  restarted: all compared after {start_seconds:.1} s; {ROUNDS} rounds more, writes {:?} {:?}",
        calm.writes, calm.gateway_writes
    );
    Ok(calm)
}

/// Waits until the Agents were looked at so often in all.
async fn until(stage: &Stage, looks: usize) -> Result<()> {
    let enough = async {
        while stage.fleet.count(LOOK) < looks {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, enough)
        .await
        .with_context(|| format!("{} of {looks} looks were made", stage.fleet.count(LOOK)))
}

/// Requests to all gateways together.
fn calls(stage: &Stage) -> usize {
    let all = stage.fleet.fakes.iter();
    all.map(|fake| fake.seen().methods.values().sum::<usize>())
        .sum()
}
