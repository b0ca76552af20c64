//! Where a Gateway's status keeps the agents of others whose heartbeat we keep alive.
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
use serde_json::json;

use crate::{
    api::Gateway,
    gateway::{Journal, JournalError},
    kube::events::Events,
};

/// The field manager of `status.keptHeartbeats`.
const MANAGER: &str = "mission-operator-kept-heartbeats";

/// The record of one Gateway.
pub(super) struct KeptHeartbeats {
    client: Client,
    events: Events,
    gateway: ObjectReference,
    kept: Mutex<BTreeSet<String>>,
}

impl std::fmt::Debug for KeptHeartbeats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptHeartbeats")
            .field("gateway", &self.gateway.name)
            .field("kept", &self.kept())
            .finish_non_exhaustive()
    }
}

impl KeptHeartbeats {
    /// The record as it stands in the Gateway's status.
    #[must_use]
    pub(super) fn new(client: Client, events: Events, gateway: &Gateway) -> Self {
        let kept = gateway
            .status
            .iter()
            .flat_map(|status| status.kept_heartbeats.iter().cloned())
            .collect();
        Self {
            client,
            events,
            gateway: gateway.object_ref(&()),
            kept: Mutex::new(kept),
        }
    }

    /// The agents that are recorded.
    pub(super) fn kept(&self) -> BTreeSet<String> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn write(&self, kept: &BTreeSet<String>) -> Result<(), JournalError> {
        let written = self.patch(kept).await;
        written.map_err(|error| JournalError {
            message: "the Gateway's status could not be written".to_owned(),
            source: Some(Box::new(error)),
        })
    }

    async fn patch(&self, kept: &BTreeSet<String>) -> Result<(), kube::Error> {
        let api = Api::<Gateway>::namespaced(
            self.client.clone(),
            self.gateway.namespace.as_deref().unwrap_or_default(),
        );
        let name = self.gateway.name.as_deref().unwrap_or_default();
        let patch = json!({
            "apiVersion": Gateway::api_version(&()),
            "kind": Gateway::kind(&()),
            "metadata": { "name": name, "uid": self.gateway.uid },
            "status": if kept.is_empty() { json!({}) } else { json!({ "keptHeartbeats": kept }) },
        });
        api.patch_status(
            name,
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(patch),
        )
        .await?;
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(kept);
        Ok(())
    }
}

impl Journal for KeptHeartbeats {
    fn record_kept<'a>(
        &'a self,
        ids: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        async move {
            let before = self.kept();
            let kept: BTreeSet<String> = before.union(ids).cloned().collect();
            if kept == before {
                return Ok(());
            }
            self.write(&kept).await?;
            let names = ids.iter().cloned().collect::<Vec<_>>().join(", ");
            self.events.normal(
                &self.gateway,
                "HeartbeatsKept",
                format!(
                    "A first heartbeat block on the gateway silences every agent without one. So that {names} goes on beating, it gets an empty block; it is taken out with the last of ours. Set foreignHeartbeats: Stop to switch this off."
                ),
            );
            Ok(())
        }
        .boxed()
    }

    fn forget_kept<'a>(
        &'a self,
        ids: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        async move {
            let before = self.kept();
            let released: Vec<String> = before.intersection(ids).cloned().collect();
            if released.is_empty() {
                return Ok(());
            }
            self.write(&before.difference(ids).cloned().collect()).await?;
            let names = released.join(", ");
            self.events.normal(
                &self.gateway,
                "HeartbeatsReleased",
                format!(
                    "No other agent on the gateway has a heartbeat block any more; the empty one was taken out of {names} again."
                ),
            );
            Ok(())
        }
        .boxed()
    }
}
