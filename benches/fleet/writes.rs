//! Is one `config.patch` the best write there is? The same change by `config.patch` and by `config.set`, until the running gateway goes by
//! it: a whole fleet of new agents, and one heartbeat in that fleet. And how many file writes at once a gateway is fastest with.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mission_operator::gateway::{Config, Credential, Endpoint, Link, difference::rewritten};
use serde_json::{Map, Value, json};

use crate::{
    fleet::Fleet,
    stage::{Measured, Stage, Stages},
};

/// Single changes of one heartbeat; the middle one counts.
const CHANGES: u64 = 5;
/// A link keeps 32 calls in flight, two of them 64.
const AT_ONCE: [usize; 6] = [1, 4, 8, 16, 32, 64];
/// Between two looks at whether a change has been applied.
const LOOK: Duration = Duration::from_millis(25);

/// How a change is sent.
#[derive(Debug, Clone, Copy)]
enum Way {
    Patch,
    Set,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Patch => "config.patch",
            Self::Set => "config.set",
        }
    }
}

/// Measures both ways with the entries and the files of `fleet`, each on a gateway of its own.
pub(crate) async fn measure(stages: &Stages<'_>, fleet: &Fleet) -> Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for way in [Way::Patch, Way::Set] {
        let size = fleet.agents.len();
        let stage = stages.set(&format!("{}-{size}", way.name())).await?;
        let links = [open(&stage).await?, open(&stage).await?];
        let [link, _] = &links;
        let entries: Map<String, Value> = fleet
            .agents
            .iter()
            .map(|(id, member)| (id.clone(), member.entry.clone()))
            .collect();
        measured.push(change(&stage, link, way, "all new", size, entries).await?);

        let changed = fleet.agents.keys().next().context("the fleet is empty")?;
        let mut singles = Vec::new();
        for minutes in 0..CHANGES {
            let every = format!("{}m", 100 + minutes);
            let entry = json!({changed: {"heartbeat": {"every": every}}});
            let entries = entry.as_object().cloned().unwrap_or_default();
            singles.push(change(&stage, link, way, "one heartbeat", size, entries).await?);
        }
        singles.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        measured.push(singles.swap_remove(singles.len() / 2));
        if let Way::Patch = way {
            measured.extend(files(&stage, &links, fleet).await?);
        }
        for link in links {
            link.close();
        }
        stage.strike().await?;
    }
    Ok(measured)
}

async fn open(stage: &Stage) -> Result<Link> {
    let credential = Credential::Token(stage.gateway.secret().into());
    let link = Link::open(Endpoint::new(stage.relay.url(), credential));
    link.state()
        .wait_for(|state| state.hello().is_some())
        .await?;
    Ok(link)
}

/// One change, from the look before it until the running gateway goes by it.
async fn change(
    stage: &Stage,
    link: &Link,
    way: Way,
    what: &str,
    size: usize,
    entries: Map<String, Value>,
) -> Result<Measured> {
    let (before, began) = (stage.relay.seen(), Instant::now());
    let config = link.config_get().await?;
    let mut patch = Map::new();
    patch.insert("agents".to_owned(), json!({ "entries": entries }));
    match way {
        Way::Patch => {
            link.config_patch(&Value::Object(patch), &[].into(), &config.hash)
                .await?;
        }
        Way::Set => {
            let document = rewritten(config.parsed.text(), &patch)?;
            link.config_set(&document, &config.hash).await?;
        }
    }
    let answered = began.elapsed();
    while !is_applied(&link.config_get().await?, &config) {
        tokio::time::sleep(LOOK).await;
    }
    let mut measured = stage.measured(&format!("{what}, {}", way.name()), size, began, &before);
    measured.answered = Some(answered.as_secs_f64());
    Ok(measured)
}

fn is_applied(now: &Config, before: &Config) -> bool {
    now.is_applied() && now.hash != before.hash
}

/// First writes of all files of a part of the fleet, with so many calls at once; a part for each number.
async fn files(stage: &Stage, links: &[Link; 2], fleet: &Fleet) -> Result<Vec<Measured>> {
    let mut measured = Vec::new();
    let agents: Vec<_> = fleet.agents.iter().collect();
    let part = agents.len() / AT_ONCE.len();
    for (at_once, agents) in AT_ONCE.into_iter().zip(agents.chunks(part.max(1))) {
        let (before, began) = (stage.relay.seen(), Instant::now());
        let files = agents.iter().flat_map(|(id, member)| {
            let files = member.files.iter();
            files.map(move |(name, content)| (*id, *name, content))
        });
        let writes = files.enumerate().map(|(number, (id, name, content))| {
            let link = &links[number % links.len()];
            link.files_set(id, name, content, None)
        });
        stream::iter(writes)
            .buffer_unordered(at_once)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        let what = format!("first files, {at_once} at once");
        measured.push(stage.measured(&what, agents.len(), began, &before));
    }
    Ok(measured)
}
