//! As little as can be asked of a gateway: one patch with all entries, then all files and checklists at once, on one connection.

use std::{sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use mission_operator::gateway::{Credential, Endpoint, Link};
use serde_json::{Map, Value, json};

use crate::{
    bed::relay::Seen,
    fleet::{Fleet, Member},
    operator::PREFIX,
    stage::{Measured, Stages},
};

/// Makes `fleet` on a gateway of its own. The link keeps 32 calls in flight.
pub(crate) async fn measure(stages: &Stages<'_>, fleet: &Fleet) -> Result<Measured> {
    let size = fleet.agents.len();
    let stage = stages.set(&format!("floor-{size}")).await?;
    let credential = Credential::Token(stage.gateway.secret().into());
    let link = Link::open(Endpoint::new(stage.relay.url(), credential));
    link.state()
        .wait_for(|state| state.hello().is_some())
        .await?;

    let began = Instant::now();
    let entries: Map<String, Value> = fleet
        .agents
        .iter()
        .map(|(id, member)| (id.clone(), member.entry.clone()))
        .collect();
    let patch = json!({"agents": {"entries": entries}});
    let config = link.config_get().await?;
    link.config_patch(&patch, &[].into(), &config.hash).await?;
    let jobs = Arc::new(link.cron_list().await?);
    let writes = fleet.agents.iter().map(|(id, member)| {
        let monitor = jobs.iter().find(|job| job.heartbeat_of() == Some(id));
        fill(&link, id, member, monitor.map(|job| job.id.as_str()))
    });
    try_join_all(writes).await?;
    let measured = stage.measured("floor", size, began, &Seen::default());
    fleet.is_on(&stage.gateway, PREFIX).await?;
    link.close();
    stage.strike().await?;
    Ok(measured)
}

async fn fill(link: &Link, id: &str, member: &Member, monitor: Option<&str>) -> Result<()> {
    let monitor = monitor.with_context(|| format!("{id} has no heartbeat monitor"))?;
    let files = member
        .files
        .iter()
        .map(|(name, content)| link.files_set(id, name, content, None));
    let checklist = link.scratch_set(monitor, Some(&member.checklist), None);
    tokio::try_join!(try_join_all(files), checklist)?;
    Ok(())
}
