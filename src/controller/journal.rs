//! Where a Gateway's status keeps what the operator has to remember of the gateway.
//!
//! Written by server-side apply under a field manager of its own, so that neither this write nor the Gateway's ordinary status write undoes the other.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use futures_util::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
};
use serde::Serialize;

use crate::{
    api::{Gateway, GatewayStatus},
    gateway::{Journal, JournalError, Topic},
    kube::events::Events,
};

/// The field manager of what is recorded here.
const MANAGER: &str = "mission-operator-journal";
/// Deleted agents that are remembered. The oldest are forgotten first: should one come back, the gateway restarts itself once.
const DELETED_KEPT: usize = 500;

/// The record of one Gateway.
pub(super) struct StatusJournal {
    client: Client,
    events: Events,
    gateway: ObjectReference,
    pages: Mutex<Pages>,
    /// Held from reading the pages to having written them.
    writing: tokio::sync::Mutex<()>,
}

/// What is recorded, as it stands in the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pages {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    kept_heartbeats: BTreeSet<String>,
    /// The newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deleted_agents: Vec<String>,
}

impl Pages {
    fn of(status: &GatewayStatus) -> Self {
        Self {
            kept_heartbeats: status.kept_heartbeats.iter().cloned().collect(),
            deleted_agents: status.deleted_agents.clone(),
        }
    }

    fn ids(&self, topic: Topic) -> BTreeSet<String> {
        match topic {
            Topic::KeptHeartbeats => self.kept_heartbeats.clone(),
            Topic::DeletedAgents => self.deleted_agents.iter().cloned().collect(),
        }
    }

    fn with(mut self, topic: Topic, ids: &BTreeSet<String>) -> Self {
        match topic {
            Topic::KeptHeartbeats => self.kept_heartbeats.extend(ids.iter().cloned()),
            Topic::DeletedAgents => {
                let known = self.ids(topic);
                self.deleted_agents.extend(ids.difference(&known).cloned());
                let most = self.deleted_agents.len().min(DELETED_KEPT);
                self.deleted_agents = self
                    .deleted_agents
                    .split_off(self.deleted_agents.len() - most);
            }
        }
        self
    }

    fn without(mut self, topic: Topic, ids: &BTreeSet<String>) -> Self {
        match topic {
            Topic::KeptHeartbeats => self.kept_heartbeats.retain(|id| !ids.contains(id)),
            Topic::DeletedAgents => self.deleted_agents.retain(|id| !ids.contains(id)),
        }
        self
    }
}

impl std::fmt::Debug for StatusJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusJournal")
            .field("gateway", &self.gateway.name)
            .field("pages", &self.pages())
            .finish_non_exhaustive()
    }
}

impl StatusJournal {
    /// The record as it stands in the Gateway's status.
    #[must_use]
    pub(super) fn new(client: Client, events: Events, gateway: &Gateway) -> Self {
        Self {
            client,
            events,
            gateway: gateway.object_ref(&()),
            pages: Mutex::new(gateway.status.as_ref().map(Pages::of).unwrap_or_default()),
            writing: tokio::sync::Mutex::default(),
        }
    }

    fn pages(&self) -> Pages {
        self.pages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Writes what `change` makes of the record, where that is something else. Answers what it was before.
    async fn rewrite(&self, change: impl FnOnce(Pages) -> Pages) -> Result<Pages, JournalError> {
        let _writing = self.writing.lock().await;
        let before = self.pages();
        let pages = change(before.clone());
        if pages != before {
            match self.write(&pages).await {
                Ok(()) => {}
                // The Gateway is gone, or is another one of the name: there is nothing to remember for.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => {
                    return Err(JournalError {
                        message: "the Gateway's status could not be written".to_owned(),
                        source: Some(Box::new(error)),
                    });
                }
            }
            *self.pages.lock().unwrap_or_else(PoisonError::into_inner) = pages;
        }
        Ok(before)
    }

    async fn write(&self, pages: &Pages) -> Result<(), kube::Error> {
        let api = Api::<Gateway>::namespaced(
            self.client.clone(),
            self.gateway.namespace.as_deref().unwrap_or_default(),
        );
        let name = self.gateway.name.as_deref().unwrap_or_default();
        let patch = serde_json::json!({
            "apiVersion": Gateway::api_version(&()),
            "kind": Gateway::kind(&()),
            "metadata": { "name": name, "uid": self.gateway.uid },
            "status": pages,
        });
        api.patch_status(
            name,
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(patch),
        )
        .await?;
        Ok(())
    }

    fn tell_kept<'a>(&self, ids: impl Iterator<Item = &'a String>) {
        let names = listed(ids);
        self.events.normal(
            &self.gateway,
            "HeartbeatsKept",
            format!(
                "A first heartbeat block on the gateway silences every agent without one. So that {names} goes on beating, it gets an empty block; it is taken out with the last of ours. Set foreignHeartbeats: Stop to switch this off."
            ),
        );
    }

    fn tell_released<'a>(&self, ids: impl Iterator<Item = &'a String>) {
        let names = listed(ids);
        self.events.normal(
            &self.gateway,
            "HeartbeatsReleased",
            format!(
                "No other agent on the gateway has a heartbeat block any more; the empty one was taken out of {names} again."
            ),
        );
    }
}

fn listed<'a>(ids: impl Iterator<Item = &'a String>) -> String {
    ids.cloned().collect::<Vec<_>>().join(", ")
}

impl Journal for StatusJournal {
    fn recorded(&self, topic: Topic) -> BTreeSet<String> {
        self.pages().ids(topic)
    }

    fn record<'a>(
        &'a self,
        topic: Topic,
        ids: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        async move {
            let before = self.rewrite(|pages| pages.with(topic, ids)).await?;
            if topic == Topic::KeptHeartbeats && !ids.is_subset(&before.kept_heartbeats) {
                self.tell_kept(ids.iter());
            }
            Ok(())
        }
        .boxed()
    }

    fn forget<'a>(
        &'a self,
        topic: Topic,
        ids: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        async move {
            let before = self.rewrite(|pages| pages.without(topic, ids)).await?;
            if topic == Topic::KeptHeartbeats && !ids.is_disjoint(&before.kept_heartbeats) {
                self.tell_released(before.kept_heartbeats.intersection(ids));
            }
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
        ids.map(str::to_owned).into()
    }

    #[test]
    fn what_is_recorded_is_kept_once_and_each_topic_by_itself() {
        let pages = Pages::default()
            .with(Topic::DeletedAgents, &ids(["b"]))
            .with(Topic::DeletedAgents, &ids(["a", "b"]))
            .with(Topic::KeptHeartbeats, &ids(["a"]));
        assert_eq!(pages.deleted_agents, ["b", "a"], "in the order of deletion");
        assert_eq!(pages.ids(Topic::KeptHeartbeats), ids(["a"]));
        let pages = pages.without(Topic::DeletedAgents, &ids(["a", "c"]));
        assert_eq!(pages.ids(Topic::DeletedAgents), ids(["b"]));
        assert_eq!(pages.ids(Topic::KeptHeartbeats), ids(["a"]));
    }

    #[test]
    fn of_too_many_deletions_the_oldest_are_forgotten() {
        let mut pages = Pages::default();
        for number in 0..=DELETED_KEPT {
            pages = pages.with(Topic::DeletedAgents, &ids([&*format!("a{number}")]));
        }
        assert_eq!(pages.deleted_agents.len(), DELETED_KEPT);
        assert_eq!(pages.deleted_agents[0], "a1");
        assert_eq!(
            pages.deleted_agents.last(),
            Some(&format!("a{DELETED_KEPT}"))
        );
    }
}
