//! What happens while the operator is killed: a team with two gateways of its own. On one of them an Agent comes, moves to the other and
//! back, changes, gets another token, has its session begun anew, is woken, goes and comes back; then a Board comes with its lead, is paused,
//! and goes; then an agent that was there all along is adopted, and goes.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use mission_operator::api::{Agent, Board, Gateway, annotation::FORCE_DELETE, condition};
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
/// Name of the Board.
const BOARD: &str = "desk";
/// Name of the Agent that leads it.
const LEAD: &str = "desk-lead";
/// Name and id of the agent that is on the first gateway before its Agent.
pub(crate) const HEIR: &str = "heir";
/// Where agents are told to call; nobody listens there.
const API: &str = "http://operator.example:8080";
/// Both worlds are at rest when nothing is asked for so long: what a config write waits for most is 0.25 s of collecting, and the count of a
/// Gateway's Agents follows within a second.
const REST: Duration = Duration::from_millis(1500);
/// The running gateway lags behind its document.
const LAG: Duration = Duration::from_millis(50);

/// What happens, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// An Agent is applied, with a heartbeat, its checklist, a file, and a label for its session. It is woken once it is there.
    Create,
    /// It moves to the other gateway.
    Move,
    /// And back, where its id was deleted meanwhile.
    Back,
    /// Its name, heartbeat, checklist and file are changed.
    Change,
    /// It gets another token.
    Rotate,
    /// Its session is begun anew.
    Reset,
    /// It is woken.
    Wake,
    /// It is deleted.
    Delete,
    /// It is applied again: the gateway remembers that its id was deleted.
    Return,
    /// It is deleted again.
    Leave,
    /// A Board is applied that declares a lead.
    Lead,
    /// The Board is paused, and its lead with it.
    Halt,
    /// It goes on.
    Resume,
    /// The Board is deleted, and its lead with it.
    Disband,
    /// An Agent is applied that takes over what is on the gateway, with another name, heartbeat and soul.
    Adopt,
    /// It is deleted.
    Part,
}

impl Phase {
    pub(crate) const ALL: [Self; 16] = [
        Self::Create,
        Self::Move,
        Self::Back,
        Self::Change,
        Self::Rotate,
        Self::Reset,
        Self::Wake,
        Self::Delete,
        Self::Return,
        Self::Leave,
        Self::Lead,
        Self::Halt,
        Self::Resume,
        Self::Disband,
        Self::Adopt,
        Self::Part,
    ];

    /// The phase after which nothing is left of what this one does to an agent, where there is one.
    pub(crate) fn is_over_with(self) -> Option<Self> {
        match self {
            Self::Change | Self::Rotate | Self::Reset | Self::Wake => Some(Self::Delete),
            Self::Halt | Self::Resume => Some(Self::Disband),
            _ => None,
        }
    }

    /// The Agent that it is about.
    fn agent(self) -> &'static str {
        match self {
            Self::Lead | Self::Halt | Self::Resume | Self::Disband => LEAD,
            Self::Adopt | Self::Part => HEIR,
            _ => AGENT,
        }
    }

    /// Whether there is no Agent after it.
    pub(crate) fn ends_it(self) -> bool {
        matches!(
            self,
            Self::Delete | Self::Leave | Self::Disband | Self::Part
        )
    }
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
                    "agentApiUrl": API,
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
        let boards = self.api::<Board>();
        let change = async |spec: Value| {
            let change = Patch::Merge(json!({ "spec": spec }));
            agents
                .patch(AGENT, &PatchParams::default(), &change)
                .await
                .map(drop)
        };
        let pause = async |paused: bool| {
            let change = Patch::Merge(json!({"spec": {"paused": paused}}));
            boards
                .patch(BOARD, &PatchParams::default(), &change)
                .await
                .map(drop)
        };
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
                        "session": {"label": "Night shift"},
                        "wake": {"message": "Good morning."},
                    },
                });
                agents
                    .create(&PostParams::default(), &object(agent))
                    .await?;
            }
            Phase::Move => change(json!({"gatewayRef": {"name": SECOND}})).await?,
            Phase::Back => change(json!({"gatewayRef": {"name": GATEWAY}})).await?,
            Phase::Change => {
                change(json!({
                    "displayName": "Scout the second",
                    "heartbeat": {"every": "1h", "checklist": "- Is the second text here?"},
                    "files": [{"name": "SOUL.md", "content": "The second soul.\n"}],
                }))
                .await?;
            }
            Phase::Rotate => change(json!({"token": {"rotate": "once"}})).await?,
            Phase::Reset => change(json!({"session": {"reset": "once"}})).await?,
            Phase::Wake => {
                change(json!({"wake": {"now": "once", "message": "Are you awake?"}})).await?;
            }
            Phase::Delete | Phase::Leave | Phase::Part => {
                agents
                    .delete(phase.agent(), &DeleteParams::default())
                    .await?;
            }
            Phase::Lead => {
                let board = json!({
                    "metadata": {"name": BOARD},
                    "spec": {
                        "gatewayRef": {"name": GATEWAY},
                        "lead": {"heartbeat": {"every": "2h", "target": "none"}},
                    },
                });
                boards
                    .create(&PostParams::default(), &object(board))
                    .await?;
            }
            Phase::Halt => pause(true).await?,
            Phase::Resume => pause(false).await?,
            Phase::Adopt => {
                let agent = json!({
                    "metadata": {"name": HEIR},
                    "spec": {
                        "gatewayRef": {"name": GATEWAY},
                        "agentId": HEIR,
                        "adoptionPolicy": "IfUnmarked",
                        "displayName": "Heir",
                        "heartbeat": {"every": "2h", "checklist": "- Is the heir here?"},
                        "files": [{"name": "SOUL.md", "content": "The soul of the heir.\n"}],
                        "wake": {"policy": "Never"},
                    },
                });
                agents
                    .create(&PostParams::default(), &object(agent))
                    .await?;
            }
            Phase::Disband => {
                boards.delete(BOARD, &DeleteParams::default()).await?;
            }
        }
        Ok(())
    }

    /// Waits until a phase has ended as its user sees it, and for both worlds to rest then.
    pub(crate) async fn ended(&self, world: &World, phase: Phase) -> Result<()> {
        let paused = if phase == Phase::Halt {
            "True"
        } else {
            "False"
        };
        let has_ended = |agent: Option<&Agent>| match agent {
            None => phase.ends_it(),
            Some(_) if phase.ends_it() => false,
            Some(agent) => agent.status.as_ref().is_some_and(|status| {
                let of_pause = condition::find(&status.conditions, condition::PAUSED);
                status.observed_generation == agent.metadata.generation
                    && status.places.len() == 1
                    && status.wake.as_ref().is_none_or(|wake| wake.done)
                    && of_pause.is_some_and(|it| it.status == paused)
                    && condition::is_true(&status.conditions, condition::READY)
            }),
        };
        let what = format!("{phase:?} has ended");
        wait_for(self.api(), phase.agent(), &what, PATIENCE, has_ended).await?;
        if phase.ends_it() {
            let secret = format!("{}-token", phase.agent());
            let gone = |secret: Option<&Secret>| secret.is_none();
            wait_for(self.api(), &secret, "the token is gone", PATIENCE, gone).await?;
        }
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
        let boards = self.api::<Board>();
        for board in boards.list(&ListParams::default()).await?.items {
            let name = board.metadata.name.unwrap_or_default();
            boards.delete(&name, &DeleteParams::default()).await?;
        }
        let force = json!({"metadata": {"annotations": {FORCE_DELETE: "true"}}});
        let agents = self.api::<Agent>();
        for agent in agents.list(&ListParams::default()).await?.items {
            let name = agent.metadata.name.unwrap_or_default();
            let force = Patch::Merge(&force);
            let forced = agents.patch(&name, &PatchParams::default(), &force).await;
            // A Board's lead goes with it.
            if forced.map(Some).or_else(none_if_gone)?.is_some() {
                let deleted = agents.delete(&name, &DeleteParams::default()).await;
                deleted
                    .map(drop)
                    .or_else(|error| none_if_gone::<()>(error).map(drop))?;
            }
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
    // None has a heartbeat block; `main` beats by default until the first block comes.
    document["agents"]["entries"]["theirs"] = json!({"name": "Theirs"});
    document["agents"]["entries"][HEIR] = json!({"name": "Old", "model": "fake/fake-2"});
    let fake = Fake::start(FakeOptions {
        document,
        lag: LAG,
        ..FakeOptions::default()
    })?;
    fake.write_file("theirs", "SOUL.md", "Theirs, and nobody else's.\n");
    for name in ["AGENTS.md", "SOUL.md", "MEMORY.md"] {
        fake.write_file(HEIR, name, &format!("An old {name}.\n"));
    }
    Ok(fake)
}

fn none_if_gone<T>(error: kube::Error) -> Result<Option<T>, kube::Error> {
    match error {
        kube::Error::Api(status) if status.is_not_found() => Ok(None),
        error => Err(error),
    }
}

/// An object from its JSON.
fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}
