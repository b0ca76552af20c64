//! What happens while the operator is killed: a team with two gateways of its own. On one of them an Agent comes, changes, moves to the
//! other and back, goes and comes back.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use mission_operator::api::{Agent, Gateway, annotation::FORCE_DELETE, condition};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    bed::wait::wait_for,
    fake::{Fake, FakeOptions, default_document},
    tap::Tap,
    world::{PATIENCE, World},
};

/// Name of the Gateway.
pub(crate) const GATEWAY: &str = "main";
/// Name of the other one.
pub(crate) const SECOND: &str = "second";
/// Name of the Agent.
const AGENT: &str = "scout";
/// Both worlds are at rest when nothing is asked for so long; what a config write waits for most is 0.25 s of collecting.
const REST: Duration = Duration::from_millis(800);
/// The running gateway lags behind its document.
const LAG: Duration = Duration::from_millis(50);

/// What happens to the Agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It is applied, with a heartbeat, its checklist and a file.
    Create,
    /// Its name, heartbeat, checklist and file are changed.
    Change,
    /// It moves to the other gateway.
    Move,
    /// And back, where its id was deleted meanwhile.
    Back,
    /// It is deleted.
    Delete,
    /// It is applied again: the gateway remembers that its id was deleted.
    Return,
    /// It is deleted again.
    Leave,
}

impl Phase {
    pub(crate) const ALL: [Self; 7] = [
        Self::Create,
        Self::Change,
        Self::Move,
        Self::Back,
        Self::Delete,
        Self::Return,
        Self::Leave,
    ];
}

/// See the module.
pub(crate) struct Team {
    client: Client,
    pub(crate) namespace: String,
    fake: Fake,
    second: Fake,
    pub(crate) tap: Arc<Tap>,
}

impl Team {
    /// A team, once its Gateway is Ready.
    pub(crate) async fn start(world: &World, number: usize) -> Result<Self> {
        let (fake, second) = (gateway()?, gateway()?);
        let team = Self {
            client: world.client.clone(),
            // Of the same length in all, because texts on the gateway hold it.
            namespace: format!("team-{number:04}"),
            tap: Tap::on([&fake, &second]),
            fake,
            second,
        };
        let namespace = json!({"metadata": {"name": team.namespace}});
        let namespaces = Api::<Namespace>::all(team.client.clone());
        namespaces
            .create(&PostParams::default(), &object(namespace))
            .await?;
        for (name, fake) in [GATEWAY, SECOND].into_iter().zip(team.fakes()) {
            let secret = format!("{name}-token");
            let (url, token) = (fake.url(), fake.token());
            let gateway = json!({
                "metadata": {"name": name},
                "spec": {
                    "url": url,
                    "auth": {"tokenSecretRef": {"name": secret, "key": "token"}},
                },
            });
            let secret = json!({"metadata": {"name": secret}, "stringData": {"token": token}});
            team.api::<Secret>()
                .create(&PostParams::default(), &object(secret))
                .await?;
            team.api::<Gateway>()
                .create(&PostParams::default(), &object(gateway))
                .await?;
        }
        let is_ready = |gateway: Option<&Gateway>| {
            gateway
                .and_then(|gateway| gateway.status.as_ref())
                .is_some_and(|status| condition::is_true(&status.conditions, condition::READY))
        };
        for name in [GATEWAY, SECOND] {
            let what = "the Gateway is Ready";
            wait_for(team.api(), name, what, PATIENCE, is_ready).await?;
        }
        Ok(team)
    }

    /// The gateways that the team has, `main` first.
    pub(crate) fn fakes(&self) -> [&Fake; 2] {
        [&self.fake, &self.second]
    }

    /// Does what a phase is about.
    pub(crate) async fn act(&self, phase: Phase) -> Result<()> {
        let agents = self.api::<Agent>();
        match phase {
            Phase::Create | Phase::Return => {
                let agent = json!({
                    "metadata": {"name": AGENT},
                    "spec": {
                        "gatewayRef": {"name": GATEWAY},
                        "displayName": "Scout",
                        "identity": {"role": "Tester"},
                        "heartbeat": {"every": "30m", "checklist": "- Is the first text here?"},
                        "files": [{"name": "SOUL.md", "content": "The first soul.\n"}],
                    },
                });
                agents
                    .create(&PostParams::default(), &object(agent))
                    .await?;
            }
            Phase::Change => {
                let change = json!({"spec": {
                    "displayName": "Scout the second",
                    "heartbeat": {"every": "1h", "checklist": "- Is the second text here?"},
                    "files": [{"name": "SOUL.md", "content": "The second soul.\n"}],
                }});
                agents
                    .patch(AGENT, &PatchParams::default(), &Patch::Merge(change))
                    .await?;
            }
            Phase::Move | Phase::Back => {
                let name = if phase == Phase::Move {
                    SECOND
                } else {
                    GATEWAY
                };
                let change = json!({"spec": {"gatewayRef": {"name": name}}});
                agents
                    .patch(AGENT, &PatchParams::default(), &Patch::Merge(change))
                    .await?;
            }
            Phase::Delete | Phase::Leave => {
                agents.delete(AGENT, &DeleteParams::default()).await?;
            }
        }
        Ok(())
    }

    /// Waits until a phase has ended as its user sees it, and for both worlds to rest then.
    pub(crate) async fn ended(&self, world: &World, phase: Phase) -> Result<()> {
        let has_ended = |agent: Option<&Agent>| match (phase, agent) {
            (Phase::Delete | Phase::Leave, agent) => agent.is_none(),
            (_, None) => false,
            (_, Some(agent)) => agent.status.as_ref().is_some_and(|status| {
                status.observed_generation == agent.metadata.generation
                    && status.places.len() == 1
                    && condition::is_true(&status.conditions, condition::READY)
            }),
        };
        let what = format!("{phase:?} has ended");
        wait_for(self.api(), AGENT, &what, PATIENCE, has_ended).await?;
        self.rest(world).await;
        Ok(())
    }

    /// Waits until neither world has been asked anything for a while.
    pub(crate) async fn rest(&self, world: &World) {
        while self.activity(world, REST).await {}
    }

    /// Waits for a request to either world; false if none comes within `limit`.
    pub(crate) async fn activity(&self, world: &World, limit: Duration) -> bool {
        let (api, gateway) = (world.proxy.count(), self.tap.count());
        let more = async {
            tokio::select! {
                () = world.proxy.until(|asked| asked.len() > api) => {}
                () = self.tap.more_than(gateway) => {}
            }
        };
        timeout(limit, more).await.is_ok()
    }

    /// Takes the team away, whatever is left of it.
    pub(crate) async fn end(self) -> Result<()> {
        let force = json!({"metadata": {"annotations": {FORCE_DELETE: "true"}}});
        let agents = self.api::<Agent>();
        for agent in agents.list(&ListParams::default()).await?.items {
            let name = agent.metadata.name.unwrap_or_default();
            let force = Patch::Merge(&force);
            agents.patch(&name, &PatchParams::default(), &force).await?;
            agents.delete(&name, &DeleteParams::default()).await?;
        }
        let gateways = self.api::<Gateway>();
        let gone = |gateway: Option<&Gateway>| gateway.is_none();
        for name in [GATEWAY, SECOND] {
            gateways.delete(name, &DeleteParams::default()).await?;
            let what = "the Gateway is gone";
            wait_for(gateways.clone(), name, what, PATIENCE, gone).await?;
        }
        Ok(())
    }

    /// The team's objects of a kind.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// A gateway on which somebody else's agents are.
fn gateway() -> Result<Fake> {
    let mut document = default_document();
    // Theirs, like `main`, has no heartbeat block; `main` beats by default until the first block comes.
    document["agents"]["entries"]["theirs"] = json!({"name": "Theirs"});
    let fake = Fake::start(FakeOptions {
        document,
        lag: LAG,
        ..FakeOptions::default()
    })?;
    fake.write_file("theirs", "SOUL.md", "Theirs, and nobody else's.\n");
    Ok(fake)
}

/// An object from its JSON.
fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}
