//! A team: a namespace with a Gateway `main` of its own, and what a test does and awaits in it.

use std::{fmt::Debug, path::PathBuf};

use futures_util::StreamExt as _;
use k8s_openapi::{
    NamespaceResourceScope, api::events::v1::Event, apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
    runtime::{WatchStreamExt as _, watcher},
};
use mission_operator::api::{Agent, Board, Gateway as GatewayObject, annotation::RECONCILE_NOW};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    bed::{gateway::Gateway, kubectl::Outcome, wait::wait_for},
    world::{PATIENCE, World, nonce, world},
};

/// The kinds of the operator, as tests need them.
pub(crate) trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Send
    + DeserializeOwned
    + Serialize
    + 'static
{
    /// Name of the kind for kubectl.
    const PLURAL: &'static str;

    /// The conditions in its status.
    fn conditions(&self) -> &[Condition];
}

impl Kind for Agent {
    const PLURAL: &'static str = "agents.mission.openclaw.dev";

    fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .map_or(&[], |status| &status.conditions)
    }
}

impl Kind for Board {
    const PLURAL: &'static str = "boards.mission.openclaw.dev";

    fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .map_or(&[], |status| &status.conditions)
    }
}

impl Kind for GatewayObject {
    const PLURAL: &'static str = "gateways.mission.openclaw.dev";

    fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .map_or(&[], |status| &status.conditions)
    }
}

/// A condition of an object at the object's own generation.
pub(crate) fn condition<'a, K: Kind>(object: &'a K, type_: &str) -> Option<&'a Condition> {
    object.conditions().iter().find(|condition| {
        condition.type_ == type_ && condition.observed_generation == object.meta().generation
    })
}

/// Whether a condition has this status and reason at the object's own generation.
pub(crate) fn says<K: Kind>(object: &K, type_: &str, status: &str, reason: &str) -> bool {
    condition(object, type_).is_some_and(|it| it.status == status && it.reason == reason)
}

/// Whether the object is Ready at its own generation.
pub(crate) fn is_ready<K: Kind>(object: &K) -> bool {
    says(object, "Ready", "True", "Reconciled")
}

/// A namespace and what is in it.
pub(crate) struct Team {
    world: &'static World,
    pub(crate) namespace: String,
}

impl Drop for Team {
    /// Has the namespace deleted while the next tests run: what a roster costs a gateway grows with it.
    fn drop(&mut self) {
        let (kubectl, namespace) = (self.world.kubectl.clone(), self.namespace.clone());
        tokio::spawn(async move {
            let delete = [
                "delete",
                "namespace",
                &namespace,
                "--wait=false",
                "--ignore-not-found",
            ];
            kubectl.run(&delete).await
        });
    }
}

impl Team {
    /// A namespace that is there.
    pub(crate) async fn existing(namespace: &str) -> Self {
        Self {
            world: world().await,
            namespace: namespace.to_owned(),
        }
    }

    /// Makes a namespace with nothing in it.
    pub(crate) async fn bare(namespace: &str) -> Self {
        let team = Self::existing(namespace).await;
        let create = ["create", "namespace", namespace];
        team.world.kubectl.run(&create).await.unwrap();
        team
    }

    /// Makes a namespace with a Gateway `main` that reaches `gateway`; waits until it is Ready.
    pub(crate) async fn on(gateway: &Gateway, namespace: &str) -> Self {
        let team = Self::bare(namespace).await;
        team.secret("openclaw", "token", gateway.secret()).await;
        team.apply(&gateway_manifest(&gateway.url())).await;
        team.ready::<GatewayObject>("main").await;
        team
    }

    /// Makes or changes a Secret of one key.
    pub(crate) async fn secret(&self, name: &str, key: &str, value: &str) {
        self.apply(
            &json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name},
                "stringData": {key: value},
            })
            .to_string(),
        )
        .await;
    }

    /// `kubectl apply` of a manifest into the namespace.
    pub(crate) async fn apply(&self, manifest: &str) {
        let outcome = self.kubectl(&["apply", "-f", "-"], manifest).await;
        assert!(outcome.success, "{}", outcome.errors);
    }

    /// `kubectl apply` of one object with this spec.
    pub(crate) async fn apply_spec<K: Kind>(&self, name: &str, spec: serde_json::Value) {
        self.apply(&manifest::<K>(name, &spec)).await;
    }

    /// kubectl in the namespace.
    pub(crate) async fn kubectl(&self, args: &[&str], input: &str) -> Outcome {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend_from_slice(args);
        self.world.kubectl.call(&all, input).await.unwrap()
    }

    /// Merges into an object's spec.
    pub(crate) async fn patch_spec<K: Kind>(&self, name: &str, spec: serde_json::Value) -> K {
        let patch = Patch::Merge(json!({"spec": spec}));
        let api = self.api::<K>();
        api.patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap()
    }

    /// Asks for a reconcile now.
    pub(crate) async fn reconcile_now<K: Kind>(&self, name: &str) {
        let patch = json!({"metadata": {"annotations": {RECONCILE_NOW: nonce()}}});
        let api = self.api::<K>();
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// `kubectl delete`, which waits until the object is gone.
    pub(crate) async fn delete<K: Kind>(&self, name: &str) {
        let limit = format!("--timeout={}s", PATIENCE.as_secs());
        let outcome = self.kubectl(&["delete", K::PLURAL, name, &limit], "").await;
        assert!(outcome.success, "{}", outcome.errors);
    }

    /// Deletes the namespace with all that is in it, and waits until it is gone.
    pub(crate) async fn disband(self) {
        let limit = format!("--timeout={}s", PATIENCE.as_secs());
        let delete = ["delete", "namespace", &self.namespace, &limit];
        let outcome = self.kubectl(&delete, "").await;
        assert!(outcome.success, "{}", outcome.errors);
    }

    /// Leaves the namespace and all that is in it where they are.
    pub(crate) fn stay(self) {
        std::mem::forget(self);
    }

    /// The objects of a kind.
    pub(crate) fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }

    /// Waits until an object is as `wanted`.
    pub(crate) async fn until<K: Kind>(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&K) -> bool,
    ) -> K {
        let is_wanted = |object: Option<&K>| object.is_some_and(&wanted);
        let found = wait_for(self.api::<K>(), name, what, PATIENCE, is_wanted).await;
        found.unwrap().expect("it is there")
    }

    /// Waits until there is no object of this name.
    pub(crate) async fn gone<K: Kind>(&self, name: &str) {
        wait_for(
            self.api::<K>(),
            name,
            "gone",
            PATIENCE,
            |object: Option<&K>| object.is_none(),
        )
        .await
        .unwrap();
    }

    /// Waits until an object is Ready at the generation it has.
    pub(crate) async fn ready<K: Kind>(&self, name: &str) -> K {
        self.until(name, "Ready", is_ready).await
    }

    /// Waits until a condition has this status and reason at the generation of the object; its message.
    pub(crate) async fn told<K: Kind>(
        &self,
        name: &str,
        type_: &str,
        status: &str,
        reason: &str,
    ) -> String {
        let what = format!("{type_}={status} {reason}");
        let object: K = self
            .until(name, &what, |object| says(object, type_, status, reason))
            .await;
        condition(&object, type_).unwrap().message.clone()
    }

    /// Waits for an event about an object; its note.
    pub(crate) async fn event(&self, name: &str, type_: &str, reason: &str) -> String {
        self.event_that(name, &format!("{type_} {reason}"), |event| {
            event.reason.as_deref() == Some(reason) && event.type_.as_deref() == Some(type_)
        })
        .await
    }

    /// Waits for an event about an object whose note holds `words`.
    pub(crate) async fn event_noting(&self, name: &str, reason: &str, words: &str) {
        self.event_that(name, &format!("{reason} with {words:?}"), |event| {
            let note = event.note.as_deref().unwrap_or_default();
            event.reason.as_deref() == Some(reason) && note.contains(words)
        })
        .await;
    }

    async fn event_that(&self, name: &str, what: &str, wanted: impl Fn(&Event) -> bool) -> String {
        let is_it = |event: &Event| {
            let about = event.regarding.as_ref().and_then(|it| it.name.as_deref());
            about == Some(name) && wanted(event)
        };
        let events: Api<Event> = Api::namespaced(self.world.client.clone(), &self.namespace);
        let mut stream = std::pin::pin!(
            watcher(events.clone(), watcher::Config::default())
                .default_backoff()
                .touched_objects()
        );
        let found = async {
            while let Some(event) = stream.next().await {
                if let Ok(event) = event
                    && is_it(&event)
                {
                    return event.note.unwrap_or_default();
                }
            }
            unreachable!("a watch does not end")
        };
        if let Ok(note) = tokio::time::timeout(PATIENCE, found).await {
            return note;
        }
        let told = events
            .list(&kube::api::ListParams::default())
            .await
            .unwrap();
        let told: Vec<_> = told
            .iter()
            .filter(|event| {
                event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(name)
            })
            .map(|event| (&event.type_, &event.reason, &event.note))
            .collect();
        panic!("no event {what} about {name}; there are {told:#?}")
    }

    /// All objects of the three kinds, whatever is in them.
    pub(crate) async fn objects(&self) -> Vec<DynamicObject> {
        let list = self.kubectl(&["get", "openclaw", "-o", "json"], "").await;
        assert!(list.success, "{}", list.errors);
        let list: serde_json::Value = serde_json::from_str(&list.output).unwrap();
        serde_json::from_value(list["items"].clone()).unwrap()
    }
}

/// A Gateway `main` at `url` whose credential is in Secret `openclaw` under key `token`.
pub(crate) fn gateway_manifest(url: &str) -> String {
    manifest::<GatewayObject>("main", &gateway_spec(url))
}

/// The spec of it.
pub(crate) fn gateway_spec(url: &str) -> serde_json::Value {
    json!({"url": url, "auth": {"tokenSecretRef": {"name": "openclaw", "key": "token"}}})
}

/// A manifest as JSON, which is YAML. An Agent that does not say when it is woken is not: a turn costs a gateway seconds, and the first one
/// of each agent ten, for which other tests would have to wait.
pub(crate) fn manifest<K: Kind>(name: &str, spec: &serde_json::Value) -> String {
    let mut spec = spec.clone();
    if K::PLURAL == Agent::PLURAL && spec["wake"].is_null() {
        spec["wake"] = json!({"policy": "Never"});
    }
    json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name},
        "spec": spec,
    })
    .to_string()
}

/// Id of an Agent on its gateway, as its status tells it.
pub(crate) fn agent_id(agent: &Agent) -> &str {
    let status = agent.status.as_ref().unwrap();
    status.agent_id.as_deref().unwrap()
}

/// A file in the workspace that an Agent's status names.
pub(crate) fn file(agent: &Agent, name: &str) -> PathBuf {
    let status = agent.status.as_ref().unwrap();
    let workspace = status.workspace_path.as_ref();
    let workspace = workspace.unwrap_or_else(|| panic!("{} has no workspace", agent.name_any()));
    PathBuf::from(workspace).join(name)
}
