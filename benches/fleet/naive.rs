//! The way of Mission Control: agent by agent, a connection for every call, one call at a time.
//!
//! Its pause after each creation, and its tries of the update that follows, are as in its source: the update is refused until the running
//! gateway knows the agent. Left out, in its favour: the calls about sessions and the chat message that wakes the agent. The heartbeat's
//! instructions, which it keeps in a file, go where this gateway has them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::{
    bed::{relay::Seen, rpc::Rpc},
    fleet::{Fleet, Member, monitors},
    operator::PREFIX,
    stage::{Measured, Stage, Stages},
};

/// Before the first update of an agent that was just created ...
const AFTER_CREATION: Duration = Duration::from_millis(750);
/// ... and before each further one.
const UPDATE_PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// Tries of a patch while the creation before it is still being applied.
const TRIES: usize = 10;

/// Makes `fleet` on a gateway of its own.
pub(crate) async fn measure(stages: &Stages<'_>, fleet: &Fleet) -> Result<Measured> {
    let size = fleet.agents.len();
    let stage = stages.set(&format!("naive-{size}")).await?;
    let began = Instant::now();
    for (id, member) in &fleet.agents {
        provision(&stage, id, member)
            .await
            .with_context(|| format!("provisioning {id}"))?;
    }
    let measured = stage.measured("naive", size, began, &Seen::default());
    fleet.is_on(&stage.gateway, PREFIX).await?;
    stage.strike().await?;
    Ok(measured)
}

async fn provision(stage: &Stage, id: &str, member: &Member) -> Result<()> {
    let call = async |method: &str, params: Value| connect(stage).await?.call(method, params).await;
    let workspace = stage.gateway.workspace(id);
    call("agents.create", json!({"name": id, "workspace": workspace})).await?;
    let params = json!({"agentId": id, "name": member.entry["name"], "workspace": workspace});
    update(stage, params).await?;
    patch(stage, id, member).await?;
    call("agents.files.list", json!({"agentId": id})).await?;
    for (name, content) in &member.files {
        let params = json!({"agentId": id, "name": name, "content": content});
        call("agents.files.set", params).await?;
    }
    let monitors = monitors(&mut connect(stage).await?).await?;
    let monitor = monitors.get(id).context("no heartbeat monitor")?;
    let params = json!({"id": monitor, "content": member.checklist});
    call("cron.scratch.set", params).await?;
    Ok(())
}

async fn update(stage: &Stage, params: Value) -> Result<()> {
    tokio::time::sleep(AFTER_CREATION).await;
    for pause in UPDATE_PAUSES {
        let mut rpc = connect(stage).await?;
        match rpc.call("agents.update", params.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if error.to_string().contains("not found") => {
                tokio::time::sleep(pause).await;
            }
            Err(error) => return Err(error),
        }
    }
    connect(stage).await?.call("agents.update", params).await?;
    Ok(())
}

async fn patch(stage: &Stage, id: &str, member: &Member) -> Result<()> {
    for _ in 0..TRIES {
        let config = connect(stage).await?.call("config.get", json!({})).await?;
        let patch = json!({"agents": {"entries": {id: member.entry}}});
        let params = json!({"raw": patch.to_string(), "baseHash": config["hash"]});
        match connect(stage).await?.call("config.patch", params).await {
            Ok(_) => return Ok(()),
            Err(error) if error.to_string().contains("config changed since last load") => {}
            Err(error) => return Err(error),
        }
    }
    bail!("the config changed {TRIES} times in a row")
}

async fn connect(stage: &Stage) -> Result<Rpc> {
    Rpc::connect(&stage.relay.url(), stage.gateway.secret()).await
}
