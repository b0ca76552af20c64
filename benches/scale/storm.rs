//! The start on a full cluster: from the operator's start to the last `Ready=True`, with edits by a user on the way.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use kube::{
    Api, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use mission_operator::api::{Agent, condition};
use serde::Serialize;

use crate::{
    Stage,
    bed::{
        audit,
        operator::{Operator, OperatorOptions, USER},
    },
    fleet::Name,
    process::Used,
};

/// Longer than a start may take.
const PATIENCE: Duration = Duration::from_mins(15);
/// An edit each time that so many percent of the Agents are Ready. Not the first few: the storm has to be on.
const EDITS_AT: [usize; 6] = [5, 20, 35, 50, 65, 80];

/// What one start took.
#[derive(Debug, Serialize)]
pub(crate) struct Storm {
    /// From the operator's start to the last `Ready=True`.
    pub(crate) seconds: f64,
    /// From the operator's start to so many percent Ready.
    pub(crate) percent_ready_at: BTreeMap<usize, f64>,
    pub(crate) used: Used,
    /// Requests to the API server, by permission.
    pub(crate) requests: BTreeMap<String, usize>,
    /// Requests to all gateways together, by method.
    pub(crate) calls: BTreeMap<String, usize>,
    pub(crate) edits: Vec<Edit>,
}

/// An Agent that was edited while the storm was on.
#[derive(Debug, Serialize)]
pub(crate) struct Edit {
    /// Agents that were Ready then.
    pub(crate) ready_then: usize,
    /// Whether this one was among them.
    pub(crate) was_ready: bool,
    /// From the edit to Ready with the new generation.
    pub(crate) seconds: f64,
    /// Agents that became Ready in that time.
    pub(crate) ready_meanwhile: usize,
}

/// An edit whose Agent is not Ready with it yet.
struct Pending {
    generation: i64,
    at: Instant,
    ready_then: usize,
    was_ready: bool,
}

/// Starts the operator and follows it until all is Ready.
pub(crate) async fn measure(stage: &Stage, options: &OperatorOptions) -> Result<(Operator, Storm)> {
    let began = Instant::now();
    let size = stage.fleet.size();
    let mut storm = Storm {
        seconds: 0.0,
        percent_ready_at: BTreeMap::new(),
        used: Used {
            cpu_seconds: 0.0,
            rss_mib: 0.0,
            peak_mib: 0.0,
        },
        requests: BTreeMap::new(),
        calls: BTreeMap::new(),
        edits: Vec::new(),
    };
    // It is ready when its caches are filled, so the storm has begun by then.
    let operator = stage.start(options).await?;
    eprintln!(
        "  caches filled after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let followed = tokio::time::timeout(PATIENCE, follow(stage, size, began, &mut storm)).await;
    followed.with_context(|| format!("not all are Ready: {storm:?}"))??;
    storm.seconds = began.elapsed().as_secs_f64();
    storm.used = Used::by(operator.process().record().pid)?;
    let requests = audit::read(&stage.plane.audit_log())?;
    for (rule, count) in audit::counts(&requests, USER) {
        storm.requests.insert(rule.to_string(), count);
    }
    for fake in &stage.fleet.fakes {
        for (method, count) in fake.seen().methods {
            *storm.calls.entry(method).or_default() += count;
        }
    }
    eprintln!(
        "  all Ready after {:.1} s, {:.1} s of CPU, {:.0} MiB at most",
        storm.seconds, storm.used.cpu_seconds, storm.used.peak_mib
    );
    Ok((operator, storm))
}

/// Watches the Agents until all are Ready and all edits have arrived; edits one at each of [`EDITS_AT`].
async fn follow(stage: &Stage, size: usize, began: Instant, storm: &mut Storm) -> Result<()> {
    let api = Api::<Agent>::all(stage.fleet.client.clone());
    let mut events = pin!(
        watcher(api, watcher::Config::default())
            .default_backoff()
            .applied_objects()
    );
    let mut ready: HashMap<Name, bool> = HashMap::new();
    let mut count = 0;
    let mut steps = EDITS_AT.into_iter().peekable();
    let mut pending: HashMap<Name, Pending> = HashMap::new();
    // The same change a second time would change nothing, and nothing would be heard of it.
    let mut edited: HashSet<Name> = HashSet::new();
    while count < size || !pending.is_empty() || steps.peek().is_some() {
        let Some(event) = events.next().await else {
            bail!("the watch ended");
        };
        // The server may be slow; the watch resumes by itself.
        let Ok(agent) = event else { continue };
        let name = Name {
            namespace: agent.namespace().unwrap_or_default(),
            name: agent.name_any(),
        };
        let now = is_ready(&agent);
        let before = ready.insert(name.clone(), now).unwrap_or_default();
        match (before, now) {
            (false, true) => count += 1,
            (true, false) => count -= 1,
            _ => {}
        }
        let percent = count * 100 / size / 10 * 10;
        if percent > 0 {
            let at = began.elapsed().as_secs_f64();
            storm.percent_ready_at.entry(percent).or_insert(at);
        }
        let arrived = pending
            .get(&name)
            .is_some_and(|edit| now && agent.metadata.generation >= Some(edit.generation));
        if arrived && let Some(edit) = pending.remove(&name) {
            storm.edits.push(Edit {
                ready_then: edit.ready_then,
                was_ready: edit.was_ready,
                seconds: edit.at.elapsed().as_secs_f64(),
                ready_meanwhile: count.saturating_sub(edit.ready_then),
            });
        }
        if steps.next_if(|step| count * 100 >= size * step).is_some() {
            // By turns one that waits for its turn and one that is done.
            let was_ready = edited.len() % 2 == 1;
            let chosen = ready
                .iter()
                .find(|(name, ready)| **ready == was_ready && !edited.contains(name));
            if let Some((name, _)) = chosen {
                let name = name.clone();
                edited.insert(name.clone());
                let at = Instant::now();
                let generation = stage.fleet.edit(&name).await?;
                pending.insert(
                    name,
                    Pending {
                        generation,
                        at,
                        ready_then: count,
                        was_ready,
                    },
                );
            }
        }
    }
    Ok(())
}

fn is_ready(agent: &Agent) -> bool {
    agent.status.as_ref().is_some_and(|status| {
        status.observed_generation == agent.metadata.generation
            && condition::is_true(&status.conditions, condition::READY)
    })
}
