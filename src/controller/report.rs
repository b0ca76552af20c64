//! What an object is told by others than its own reconcile: that it does not parse, or that its reconcile broke off.
//!
//! Both are written over what the object's status says now, which is read first: nothing is written or told twice.

use std::{fmt::Debug, sync::Arc};

use k8s_openapi::{api::core::v1::ObjectReference, jiff::Timestamp};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams},
    core::{ApiResource, NamespaceResourceScope, error_boundary::InvalidObject},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    api::{
        condition::{self, Judgement, READY},
        reason::Reason,
    },
    controller::{runner::Broken, world::World},
    kube::{cache::Change, events::Events},
};

/// Says on objects what they cannot say themselves; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Reporter {
    voice: Voice,
    invalid: mpsc::UnboundedSender<(ApiResource, InvalidObject)>,
}

impl Reporter {
    /// Starts the task that reports objects which do not parse, so that no watch waits for the API server.
    #[must_use]
    pub(super) fn start(client: Client, events: Events, world: Arc<World>) -> Self {
        let voice = Voice {
            client,
            events,
            world,
        };
        let (invalid, mut receiver) = mpsc::unbounded_channel();
        let speaker = voice.clone();
        tokio::spawn(async move {
            while let Some((kind, object)) = receiver.recv().await {
                if let Err(error) = speaker.say_invalid(&kind, &object).await {
                    let name = object.metadata.name.as_deref().unwrap_or_default();
                    tracing::warn!(kind = kind.kind, name, %error, "could not report an object that does not parse");
                }
            }
        });
        Self { voice, invalid }
    }

    /// Reports an object that does not parse, if that is what a watch brought.
    pub(super) fn report<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(
        &self,
        change: &Change<K>,
    ) {
        if let Change::Invalid(invalid) = change {
            // A closed channel means that the program ends.
            drop(
                self.invalid
                    .send((ApiResource::erase::<K>(&()), (**invalid).clone())),
            );
        }
    }

    /// Reports on `object` that its reconcile broke off, and answers the object as it was written. The caller waits, so that the next
    /// reconcile of the object cannot be overtaken by this report.
    pub(super) async fn broke_off<K>(&self, object: &K, broken: &Broken) -> Option<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Debug,
    {
        let kind = ApiResource::erase::<K>(&());
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        match self
            .voice
            .say_broken(&kind, &namespace, &name, broken)
            .await
        {
            Ok(written) => written?.try_parse().ok(),
            Err(error) => {
                tracing::warn!(kind = kind.kind, namespace, name, %error, "could not say on an object that its reconcile broke off");
                None
            }
        }
    }
}

#[derive(Clone)]
struct Voice {
    client: Client,
    events: Events,
    world: Arc<World>,
}

impl std::fmt::Debug for Voice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Voice")
    }
}

impl Voice {
    async fn say_invalid(
        &self,
        kind: &ApiResource,
        invalid: &InvalidObject,
    ) -> Result<(), kube::Error> {
        let name = invalid.metadata.name.as_deref().unwrap_or_default();
        let namespace = invalid.metadata.namespace.as_deref().unwrap_or_default();
        let message = format!(
            "The stored object does not fit its schema ({}), probably because an older or newer version wrote it. Nothing is done with it. Edit it so that `kubectl apply` accepts it.",
            invalid.error
        );
        let judgement = Judgement::fails(READY, Reason::InvalidObject, message);
        self.say(kind, namespace, name, judgement).await?;
        Ok(())
    }

    /// Unknown and not False: what is on the gateway may well be as declared. Reconciling and not Stalled: what set the fault off may be
    /// another object or something on the gateway, so its change can heal this one, and so can a new version of the operator.
    async fn say_broken(
        &self,
        kind: &ApiResource,
        namespace: &str,
        name: &str,
        broken: &Broken,
    ) -> Result<Option<DynamicObject>, kube::Error> {
        let message = format!(
            "{broken}. This is a fault of Mission Operator, not of this object: please report it, with the operator's log. Other objects go on, and this one is tried again by itself."
        );
        let judgement = Judgement::unknown(READY, Reason::InternalError, message);
        self.say(kind, namespace, name, judgement).await
    }

    /// Writes `ready`, with the conditions that follow from it, and warns, unless the object says it already. Answers what was written.
    async fn say(
        &self,
        kind: &ApiResource,
        namespace: &str,
        name: &str,
        mut ready: Judgement,
    ) -> Result<Option<DynamicObject>, kube::Error> {
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, kind);
        // Listed by name: the rights to list and watch are there anyway, one to get would serve nothing else.
        let selected = ListParams::default().fields(&format!("metadata.name={name}"));
        let Some(object) = api.list(&selected).await?.items.into_iter().next() else {
            return Ok(None);
        };
        if object.metadata.deletion_timestamp.is_some() {
            let (said, resource) = (&ready.message, &kind.plural);
            ready.message = format!(
                "{said} Its deletion waits for that. To let go of it and leave what is on the gateway: kubectl patch {resource} {name} --type=merge -p '{{\"metadata\":{{\"finalizers\":null}}}}'"
            );
        }
        let (reason, message) = (ready.reason.as_str(), ready.message.clone());
        let written = object
            .data
            .pointer("/status/conditions")
            .cloned()
            .unwrap_or_default();
        let mut conditions: Vec<_> = serde_json::from_value(written).unwrap_or_default();
        let before = conditions.clone();
        let generation = object.metadata.generation;
        for judgement in condition::summary(ready) {
            condition::set(&mut conditions, judgement, generation, Timestamp::now());
        }
        if conditions == before {
            return Ok(None);
        }
        let patch = json!({
            // Only over what was read: conditions are written as a whole.
            "metadata": { "uid": object.metadata.uid, "resourceVersion": object.metadata.resource_version },
            "status": { "observedGeneration": generation, "conditions": conditions },
        });
        match api
            .patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Ok(written) => {
                self.warn(&object.object_ref(kind), reason, message);
                Ok(Some(written))
            }
            // Somebody changed it meanwhile, or it is gone: the watch or the next try brings it here again.
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Nothing is created in a namespace that is being deleted.
    fn warn(&self, object: &ObjectReference, reason: &str, message: String) {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        if !self.world.is_terminating(namespace) {
            self.events.warning(object, reason, message);
        }
    }
}

#[cfg(test)]
mod tests;
