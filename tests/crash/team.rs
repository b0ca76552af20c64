//! What happens while the operator is killed: a team with a gateway of its own, on which one Agent comes, changes, goes and comes back.

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
    /// It is deleted.
    Delete,
    /// It is applied again: the gateway remembers that its id was deleted.
    Return,
    /// It is deleted again.
    Leave,
}

impl Phase {
    pub(crate) const ALL: [Self; 5] = [
        Self::Create,
        Self::Change,
        Self::Delete,
        Self::Return,
        Self::Leave,
    ];
}

/// See the module.
pub(crate) struct Team {
    client: Client,
    pub(crate) namespace: String,
    pub(crate) fake: Fake,
    pub(crate) tap: Arc<Tap>,
}

impl Team {
    /// A team, once its Gateway is Ready.
    pub(crate) async fn start(world: &World, number: usize) -> Result<Self> {
        let mut document = default_document();
        // Theirs, like `main`, has no heartbeat block; `main` beats by default until the first block comes.
        document["agents"]["entries"]["theirs"] = json!({"name": "Theirs"});
        let fake = Fake::start(FakeOptions {
            document,
            lag: LAG,
            ..FakeOptions::default()
        })?;
        fake.write_file("theirs", "SOUL.md", "Theirs, and nobody else's.\n");
        let team = Self {
            client: world.client.clone(),
            // Of the same length in all, because texts on the gateway hold it.
            namespace: format!("team-{number:04}"),
            tap: Tap::on(&fake),
            fake,
        };
        let namespace = json!({"metadata": {"name": team.namespace}});
        let namespaces = Api::<Namespace>::all(team.client.clone());
        namespaces
            .create(&PostParams::default(), &object(namespace))
            .await?;
        let secret =
            json!({"metadata": {"name": "openclaw"}, "stringData": {"token": team.fake.token()}});
        team.api::<Secret>()
            .create(&PostParams::default(), &object(secret))
            .await?;
        let gateway = json!({
            "metadata": {"name": GATEWAY},
            "spec": {
                "url": team.fake.url(),
                "auth": {"tokenSecretRef": {"name": "openclaw", "key": "token"}},
            },
        });
        team.api::<Gateway>()
            .create(&PostParams::default(), &object(gateway))
            .await?;
        let is_ready = |gateway: Option<&Gateway>| {
            gateway
                .and_then(|gateway| gateway.status.as_ref())
                .is_some_and(|status| condition::is_true(&status.conditions, condition::READY))
        };
        wait_for(
            team.api(),
            GATEWAY,
            "the Gateway is Ready",
            PATIENCE,
            is_ready,
        )
        .await?;
        Ok(team)
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
        gateways.delete(GATEWAY, &DeleteParams::default()).await?;
        let gone = |gateway: Option<&Gateway>| gateway.is_none();
        wait_for(gateways, GATEWAY, "the Gateway is gone", PATIENCE, gone).await?;
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

/// An object from its JSON.
fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}
