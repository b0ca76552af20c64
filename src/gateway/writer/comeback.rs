//! Agents that come back under an id that the gateway has deleted before.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

use super::super::Link;

/// Time between two tries. Some 200 ms pass between the moment when the gateway has stored a config write and the one when it takes
/// it over.
const AGAIN: Duration = Duration::from_millis(20);

/// Does `write`, which puts `agents` into the document again, and has the gateway forget their deletion before it takes the write
/// over. Answers what `write` brought, and those of the agents that are forgotten.
///
/// In time for a few agents. With many at once the gateway restarts itself, once; the others are forgotten when somebody notices
/// that their heartbeats are not scheduled.
pub(super) async fn readmitting<T>(
    link: &Link,
    agents: BTreeSet<String>,
    write: impl Future<Output = T>,
) -> (T, BTreeSet<String>) {
    let mut forgotten = BTreeSet::new();
    let mut trying: FuturesUnordered<_> = agents
        .into_iter()
        .map(|agent_id| readmitted(link, agent_id))
        .collect();
    let mut write = pin!(write);
    loop {
        tokio::select! {
            outcome = &mut write => return (outcome, forgotten),
            Some(agent_id) = trying.next() => { forgotten.insert(agent_id); }
        }
    }
}

async fn readmitted(link: &Link, agent_id: String) -> String {
    while !matches!(link.agents_readmit(&agent_id).await, Ok(true)) {
        sleep(AGAIN).await;
    }
    agent_id
}
