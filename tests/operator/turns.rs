//! Turns of an agent as its model, its session and its status tell of them, and what brings one about. No tests are here.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use mission_operator::api::{Agent, wake::WakeStatus};
use serde_json::{Value, json};

use crate::{
    bed::{
        gateway::Gateway,
        provider::{self, Turn},
        wait::until_true,
    },
    gateways::rpc,
    remote::text,
    team::Team,
    world::{PATIENCE, world},
};

/// What the model was asked by the agent whose SOUL.md says `soul`.
pub(super) async fn turns(soul: &str) -> Vec<Turn> {
    let url = &world().await.bed.description.provider.url;
    let turns = provider::turns(url).await.unwrap();
    turns
        .into_iter()
        .filter(|turn| turn.system.contains(soul))
        .collect()
}

/// Waits until the model was asked so often by the agent whose SOUL.md says `soul`.
pub(super) async fn until_asked(soul: &str, times: usize) {
    let asked = async || turns(soul).await.len() >= times;
    let what = format!("the model is asked {times} times");
    until_true(PATIENCE, &what, asked).await.unwrap();
}

/// The main session of the agent, as the gateway describes it.
pub(super) async fn session(gateway: &Gateway, id: &str) -> Value {
    let key = format!("agent:{id}:main");
    let answer = rpc(gateway)
        .await
        .call("sessions.describe", json!({"key": key}))
        .await;
    answer.unwrap()["session"].clone()
}

/// What tells a session from the same one after a reset; only a change tells it, here one of nothing.
pub(super) async fn revision(gateway: &Gateway, session: &Value) -> String {
    let params = json!({"key": session["key"], "expectedSessionId": session["sessionId"]});
    let answer = rpc(gateway).await.call("sessions.patch", params).await;
    let entry = &answer.unwrap()["entry"];
    entry["lifecycleRevision"].as_str().unwrap().to_owned()
}

/// An Agent of the first gateway whose SOUL.md says `soul`, with the `rest` of its spec.
pub(super) fn spec(soul: &str, rest: &Value) -> Value {
    let mut spec = json!({
        "gatewayRef": {"name": "main"},
        "model": "fake/fake-1",
        "files": [{"name": "SOUL.md", "content": soul}],
    });
    spec.as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    spec
}

/// Waits until the agent has answered to the wake-up of this cause.
pub(super) async fn woken(team: &Team, name: &str, cause: &str) -> Agent {
    team.until(name, &format!("woken by {cause}"), |agent: &Agent| {
        wake(agent).is_some_and(|wake| wake.cause == cause && wake.done)
    })
    .await
}

/// Wakes the agent with a message and waits until it has answered.
pub(super) async fn ask(team: &Team, name: &str, cause: &str, message: &str) {
    team.patch_spec::<Agent>(name, json!({"wake": {"now": cause, "message": message}}))
        .await;
    woken(team, name, cause).await;
}

/// What its status says of its waking.
pub(super) fn wake(agent: &Agent) -> Option<&WakeStatus> {
    agent.status.as_ref()?.wake.as_ref()
}

/// The agent's token, and the version of the Secret that it is in.
pub(super) async fn token(team: &Team, name: &str) -> (String, Option<String>) {
    let secrets = Api::<Secret>::namespaced(world().await.client.clone(), &team.namespace);
    let secret = secrets.get(&format!("{name}-token")).await.unwrap();
    (
        text(&secret, "token").unwrap(),
        secret.metadata.resource_version,
    )
}

/// Sets annotations of an Agent, as people and Argo CD do.
pub(super) async fn annotate(team: &Team, name: &str, annotations: Value) {
    let annotated = json!({"metadata": {"annotations": annotations}});
    team.api::<Agent>()
        .patch(name, &PatchParams::default(), &Patch::Merge(annotated))
        .await
        .unwrap();
}
