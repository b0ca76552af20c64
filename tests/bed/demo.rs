//! `bed demo`: the way of an Agent from `kubectl apply` to `kubectl delete`, shown on both sides.
//!
//! What the gateway holds is read from the gateway and from its disk, never from the operator.

#![allow(
    clippy::indexing_slicing,
    reason = "only JSON values are indexed, which answer null for what is not there"
)]

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::{
    assembly::{self, Complete},
    bed::{
        install::seconds,
        rpc::Rpc,
        run::Run,
        tools::Tools,
        wait::{until_file, wait_for},
    },
};

/// Namespace of the samples.
const NAMESPACE: &str = "team-research";
/// Time that each thing may take to arrive.
const LIMIT: Duration = Duration::from_secs(90);
/// A person's edit.
const NEW_SOUL: &str = "You are careful. You check every number twice before you report it.\n";

/// Number of steps of the story.
const STEPS: usize = 9;

/// Steps done so far, with their times.
#[derive(Debug, Default)]
struct Steps(Vec<(&'static str, Duration)>);

impl Steps {
    fn done(&mut self, name: &'static str, took: Duration) {
        eprintln!("[{}/{STEPS}] {name}: {}", self.0.len() + 1, seconds(took));
        self.0.push((name, took));
    }

    fn summary(&self) -> String {
        let total: Duration = self.0.iter().map(|(_, took)| *took).sum();
        let each: Vec<String> = self
            .0
            .iter()
            .map(|(name, took)| format!("{name} {}", seconds(*took)))
            .collect();
        format!("Done in {}: {}.", seconds(total), each.join(", "))
    }
}

/// Shows the whole story and returns the line about its times. `installed` is the time the installation took.
pub(crate) async fn tell(run: &Run, tools: &Tools, installed: Duration) -> Result<String> {
    let mut steps = Steps::default();
    steps.done("install", installed);
    let complete = assembly::complete(run, tools, |name, took| steps.done(name, took)).await?;
    assembly::watching(&complete, show(&complete, &mut steps)).await?;
    Ok(steps.summary())
}

async fn show(complete: &Complete, steps: &mut Steps) -> Result<()> {
    let kubectl = complete.kubectl();
    let began = Instant::now();
    say(&assembly::apply_samples(complete).await?);
    assembly::all_ready(complete).await?;
    steps.done(
        "apply the samples and wait until all are Ready",
        began.elapsed(),
    );

    say("$ kubectl get openclaw -A");
    say(&kubectl.run(&["get", "openclaw", "-A"]).await?);
    let mut rpc = complete.gateway.rpc().await?;
    show_agents(&mut rpc).await?;

    let agent = Subject::choose(complete, &mut rpc).await?;
    let began = Instant::now();
    edit(complete, &agent).await?;
    steps.done("edit an Agent and see it arrive", began.elapsed());

    let began = Instant::now();
    damage(complete, &agent).await?;
    steps.done("damage a file and see it put back", began.elapsed());

    let began = Instant::now();
    delete(complete, &agent, &mut rpc).await?;
    steps.done("delete an Agent and see it gone", began.elapsed());
    show_agents(&mut rpc).await
}

/// The Agent that the story is about.
#[derive(Debug)]
struct Subject {
    name: String,
    agent_id: String,
    /// The agent's SOUL.md on the gateway's disk.
    soul: PathBuf,
    api: Api<DynamicObject>,
}

impl Subject {
    /// The first Agent of the samples.
    async fn choose(complete: &Complete, rpc: &mut Rpc) -> Result<Self> {
        let kind = GroupVersionKind::gvk("mission.openclaw.dev", "v1alpha1", "Agent");
        let api: Api<DynamicObject> = Api::namespaced_with(
            complete.base.plane.client().await?,
            NAMESPACE,
            &ApiResource::from_gvk(&kind),
        );
        let agent = api
            .list(&kube::api::ListParams::default())
            .await?
            .items
            .into_iter()
            .next()
            .context("the samples hold no Agent")?;
        let name = agent.metadata.name.context("an Agent without a name")?;
        let agent_id = agent.data["status"]["agentId"]
            .as_str()
            .with_context(|| format!("Agent {name} is Ready without an agentId in its status"))?
            .to_owned();
        let listed = rpc.call("agents.list", json!({})).await?;
        let workspace = listed["agents"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|agent| agent["id"] == agent_id.as_str())
            .and_then(|agent| agent["workspace"].as_str())
            .with_context(|| {
                format!("Agent {name} is Ready and the gateway lists no {agent_id}")
            })?;
        Ok(Self {
            soul: Path::new(workspace).join("SOUL.md"),
            name,
            agent_id,
            api,
        })
    }
}

/// Changes SOUL.md in the spec; the Agent's status must not claim it before it is on the gateway's disk.
async fn edit(complete: &Complete, agent: &Subject) -> Result<()> {
    let object = agent.api.get(&agent.name).await?;
    let mut files: Vec<Value> = object.data["spec"]["files"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    files.retain(|file| file["name"] != "SOUL.md");
    files.push(json!({"name": "SOUL.md", "content": NEW_SOUL}));
    let patch = json!({"spec": {"files": files}}).to_string();
    say(&format!(
        "$ kubectl -n {NAMESPACE} patch agents.mission.openclaw.dev {} --type=merge -p '{{\"spec\":{{\"files\":[... SOUL.md ...]}}}}'",
        agent.name
    ));
    kubectl(complete, agent, &["patch", "--type=merge", "-p", &patch]).await?;
    wait_for(
        agent.api.clone(),
        &agent.name,
        "Ready at the edited generation",
        LIMIT,
        |agent: Option<&DynamicObject>| agent.is_some_and(is_ready_now),
    )
    .await?;
    let on_disk = std::fs::read_to_string(&agent.soul)
        .with_context(|| format!("reading {}", agent.soul.display()))?;
    anyhow::ensure!(
        on_disk == NEW_SOUL,
        "Agent {} says Ready, and {} on the gateway holds {on_disk:?}",
        agent.name,
        agent.soul.display()
    );
    say(&format!(
        "{} on the gateway: {}",
        agent.soul.display(),
        on_disk.trim()
    ));
    Ok(())
}

/// Whether the Agent is Ready at the generation that it has.
fn is_ready_now(agent: &DynamicObject) -> bool {
    let status = &agent.data["status"];
    status["observedGeneration"].as_i64() == agent.metadata.generation
        && status["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|condition| {
                condition["type"] == "Ready"
                    && condition["status"] == "True"
                    && condition["observedGeneration"].as_i64() == agent.metadata.generation
            })
}

/// Overwrites SOUL.md on the gateway's disk behind everybody's back, and asks for a visit.
async fn damage(complete: &Complete, agent: &Subject) -> Result<()> {
    std::fs::write(&agent.soul, "I do as I please.\n")
        .with_context(|| format!("damaging {}", agent.soul.display()))?;
    say(&format!(
        "$ echo 'I do as I please.' > {}",
        agent.soul.display()
    ));
    let now = format!("mission.openclaw.dev/reconcile-now={}", std::process::id());
    say(&format!(
        "$ kubectl -n {NAMESPACE} annotate agents.mission.openclaw.dev {} {now}",
        agent.name
    ));
    kubectl(complete, agent, &["annotate", "--overwrite", &now]).await?;
    until_file(&agent.soul, LIMIT, |text| text == NEW_SOUL).await?;
    say(&format!(
        "{} on the gateway: {}",
        agent.soul.display(),
        NEW_SOUL.trim()
    ));
    Ok(())
}

/// Deletes the Agent; when kubectl is done, the gateway must not know it any more.
async fn delete(complete: &Complete, agent: &Subject, rpc: &mut Rpc) -> Result<()> {
    say(&format!(
        "$ kubectl -n {NAMESPACE} delete agents.mission.openclaw.dev {}",
        agent.name
    ));
    say(&kubectl(complete, agent, &["delete", "--timeout=120s"]).await?);
    rpc.config_applied().await?;
    let left = rpc.agent_ids().await?;
    if left.contains(&agent.agent_id) {
        bail!(
            "Agent {} is deleted, and the gateway still lists {}",
            agent.name,
            agent.agent_id
        );
    }
    Ok(())
}

async fn show_agents(rpc: &mut Rpc) -> Result<()> {
    say("agents as the gateway lists them:");
    let listed = rpc.call("agents.list", json!({})).await?;
    for agent in listed["agents"].as_array().into_iter().flatten() {
        say(&format!(
            "  {:<32} {:<24} {}",
            agent["id"].as_str().unwrap_or_default(),
            agent["name"].as_str().unwrap_or_default(),
            agent["workspace"].as_str().unwrap_or_default(),
        ));
    }
    say("");
    Ok(())
}

/// `kubectl <verb> agents... <name> <rest>` in the samples' namespace.
async fn kubectl(complete: &Complete, agent: &Subject, args: &[&str]) -> Result<String> {
    let (verb, rest) = args.split_first().context("kubectl needs a verb")?;
    let mut all = vec![
        *verb,
        "--namespace",
        NAMESPACE,
        "agents.mission.openclaw.dev",
        &agent.name,
    ];
    all.extend_from_slice(rest);
    complete.kubectl().run(&all).await
}

/// What a person came to see goes to standard error with the rest of the story, in its order.
fn say(text: &str) {
    eprintln!("{}", text.trim_end());
}
