//! The objects: a namespace, a Secret and a Gateway for each fake, and its Agents. Made before the operator starts.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
};
use mission_operator::api::{Agent, Gateway as GatewayObject};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::fake::{Fake, FakeOptions};

/// Creations at once: what the API server takes without making others wait longer.
const AT_ONCE: usize = 32;
/// Name of the Gateway in every namespace.
const GATEWAY: &str = "main";

/// Gateways with their Agents.
pub(crate) struct Fleet {
    pub(crate) client: Client,
    pub(crate) fakes: Vec<Fake>,
    agents_each: usize,
}

/// Where an Agent is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Fleet {
    pub(crate) async fn create(
        client: Client,
        gateways: usize,
        agents_each: usize,
        lag: Duration,
    ) -> Result<Self> {
        let began = Instant::now();
        let fakes = (0..gateways)
            .map(|_| {
                Fake::start(FakeOptions {
                    lag,
                    ..FakeOptions::default()
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let fleet = Self {
            client,
            fakes,
            agents_each,
        };
        stream::iter(0..gateways)
            .map(|number| fleet.create_team(number))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        stream::iter(fleet.names())
            .map(|name| fleet.create_agent(name))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        eprintln!(
            "  {} Agents created in {:.1} s",
            fleet.size(),
            began.elapsed().as_secs_f64()
        );
        Ok(fleet)
    }

    /// Agents in all.
    pub(crate) fn size(&self) -> usize {
        self.fakes.len() * self.agents_each
    }

    /// Requests of one method that all fakes have seen.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.fakes
            .iter()
            .map(|fake| fake.seen().count(method))
            .sum()
    }

    /// All Agents; neighbours are on different gateways.
    pub(crate) fn names(&self) -> impl Iterator<Item = Name> + use<> {
        let gateways = self.fakes.len();
        (0..self.size()).map(move |number| Name {
            namespace: namespace(number % gateways),
            name: format!("a{}", number / gateways),
        })
    }

    /// Changes the heartbeat and the name of an Agent, as a user does; the generation that this makes.
    pub(crate) async fn edit(&self, name: &Name) -> Result<i64> {
        let api = Api::<Agent>::namespaced(self.client.clone(), &name.namespace);
        let patch = json!({"spec": {"displayName": "Edited", "heartbeat": {"every": "2h"}}});
        let edited = api
            .patch(&name.name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        edited
            .meta()
            .generation
            .context("an Agent without generation")
    }

    async fn create_team(&self, number: usize) -> Result<()> {
        let fake = &self.fakes[number];
        let namespace = namespace(number);
        create(
            Api::<Namespace>::all(self.client.clone()),
            json!({"metadata": {"name": namespace}}),
        )
        .await?;
        create(
            Api::<Secret>::namespaced(self.client.clone(), &namespace),
            json!({"metadata": {"name": "openclaw"}, "stringData": {"token": fake.token()}}),
        )
        .await?;
        create(
            Api::<GatewayObject>::namespaced(self.client.clone(), &namespace),
            json!({
                "apiVersion": "mission.openclaw.dev/v1alpha1", "kind": "Gateway", "metadata": {"name": GATEWAY},
                "spec": {
                    "url": fake.url(), "auth": {"tokenSecretRef": {"name": "openclaw", "key": "token"}},
                    "heartbeat": {"every": "30m", "target": "none"},
                },
            }),
        )
        .await
    }

    async fn create_agent(&self, name: Name) -> Result<()> {
        let Name { namespace, name } = name;
        create(
            Api::<Agent>::namespaced(self.client.clone(), &namespace),
            json!({
                "apiVersion": "mission.openclaw.dev/v1alpha1", "kind": "Agent", "metadata": {"name": name},
                "spec": {
                    "gatewayRef": {"name": GATEWAY}, "displayName": format!("Agent {name}"), "identity": {"role": "Tester"},
                    "heartbeat": {"checklist": format!("- Is {name} still here?")},
                    // Compared with ways that wake nobody, and with figures from before there was waking.
                    "wake": {"policy": "Never"},
                },
            }),
        )
        .await
    }
}

fn namespace(number: usize) -> String {
    format!("team-{number}")
}

async fn create<K>(api: Api<K>, object: serde_json::Value) -> Result<()>
where
    K: Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let object: K = serde_json::from_value(object)?;
    api.create(&PostParams::default(), &object).await?;
    Ok(())
}
