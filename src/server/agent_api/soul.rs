//! The SOUL.md of agents that a lead added: the text stands in a ConfigMap that the Agent owns and names in its `spec.files`.

use ::kube::{
    Api as Kube, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::ObjectMeta,
};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::{
    Answer, body,
    caller::Caller,
    check,
    cluster::{AGAIN, EXISTS, ask, unless},
    managed::{a_leads, agents, params, refuse_going, taken},
    problem::{Kind, Problem},
    types::Soul,
};
use crate::{
    api::{Agent, annotation::AGENT_API_FIELD_MANAGER, owner},
    plan::{
        agent_api::Operation,
        team::{self, SOUL},
    },
};

pub(super) async fn set(caller: Caller, name: String, sent: Vec<u8>) -> Answer {
    caller.fellow(&name)?;
    let wanted: Soul = body::parse(&sent, &caller.token, Operation::SetSoul.example())?;
    check::soul(&wanted)?;
    let there = a_leads(&caller, &name).await?;
    refuse_going(&there)?;
    let is_taken_from_there = team::takes_soul(&there).map_err(|owner| {
        let detail = format!(
            "The SOUL.md of Agent {name} is {owner}, in its spec.files, which the operator never writes over. Ask that owner to change the text, or to remove the entry."
        );
        Problem::new(Kind::NotYours, detail)
    })?;
    store(&caller, &there, &wanted).await?;
    if !is_taken_from_there {
        let applied = json!({
            "apiVersion": Agent::api_version(&()),
            "kind": Agent::kind(&()),
            "metadata": { "name": name, "uid": there.uid() },
            "spec": { "files": [team::soul_file(&name)] },
        });
        let params = PatchParams::apply(AGENT_API_FIELD_MANAGER);
        ask(agents(&caller).patch(&name, &params, &Patch::Apply(applied))).await?;
    }
    tracing::info!(namespace = %caller.key.namespace, agent = %name, lead = %caller.name(), "a lead changed a SOUL.md");
    taken(
        name,
        "The text is stored, and goes to the agent's workspace as it stands.",
    )
}

/// Stores a text in the place of what is there.
async fn store(caller: &Caller, agent: &Agent, wanted: &Soul) -> Result<(), Problem> {
    let reason = wanted.reason.as_deref();
    let soul = team::soul(agent, caller.name(), &wanted.content, reason);
    let name = soul.name_any();
    let souls = souls(caller);
    // The second time, if it was made after the first look: by a call at the same time, or by a try of ours whose answer was lost.
    for _ in 0..2 {
        match ask(souls.get_opt(&name)).await? {
            None => {
                let made = unless(EXISTS, souls.create(&params(), &soul)).await?;
                if made.is_some() {
                    return Ok(());
                }
            }
            Some(there) if owner::is_owned_by(&there, agent) => {
                let change = team::soul_change(&soul, there.metadata.uid.as_deref());
                let params = PatchParams {
                    field_manager: Some(AGENT_API_FIELD_MANAGER.to_owned()),
                    ..PatchParams::default()
                };
                ask(souls.patch(&name, &params, &Patch::Merge(change))).await?;
                return Ok(());
            }
            Some(there) => return Err(has_the_place_of(agent, &there)),
        }
    }
    Err(Problem::changed())
}

/// Stores the text that a newcomer comes with. One that an earlier try of the same call stored is as good.
pub(super) async fn store_first(
    caller: &Caller,
    agent: &Agent,
    content: &str,
) -> Result<(), Problem> {
    let soul = team::soul(agent, caller.name(), content, None);
    let souls = souls(caller);
    let made = unless(EXISTS, souls.create(&params(), &soul)).await?;
    if made.is_some() {
        return Ok(());
    }
    let name = soul.name_any();
    let there = ask(souls.get_opt(&name)).await?;
    let there = there.ok_or_else(Problem::changed)?;
    if !owner::is_owned_by(&there, agent) {
        return Err(has_the_place_of(agent, &there));
    }
    let stored = there.data.as_ref().and_then(|data| data.get(SOUL));
    if stored.map(String::as_str) == Some(content) {
        return Ok(());
    }
    let detail = "Another text was stored since, and stays.";
    Err(Problem::new(Kind::NotNow, detail))
}

/// What has the place of the text of the agent of this name.
pub(super) async fn there(caller: &Caller, agent: &str) -> Result<Option<ObjectMeta>, Problem> {
    let name = team::soul_name(agent);
    let there = ask(souls(caller).get_metadata_opt(&name)).await?;
    Ok(there.map(|there| there.metadata))
}

fn has_the_place_of(agent: &Agent, there: &ConfigMap) -> Problem {
    let uid = agent.metadata.uid.as_deref();
    in_the_way(&agent.name_any(), uid, &there.metadata)
}

/// What is said where `there` has the place of the text of the agent of this name; `uid` is that of the Agent, if it is there.
pub(super) fn in_the_way(agent: &str, uid: Option<&str>, there: &ObjectMeta) -> Problem {
    let name = team::soul_name(agent);
    if owner::is_left_over::<Agent>(agent, uid, there) {
        let detail = format!(
            "ConfigMap {name}, where the text would be stored, is still there from an agent of this name that was deleted, and goes by itself. Try again when as many seconds are over as the header Retry-After says; if it stays, tell a person."
        );
        return Problem::passing(Kind::NotYet, detail, AGAIN);
    }
    let detail = format!(
        "ConfigMap {name}, where the text would be stored, is there and was not made for this agent, so it is left alone. Ask a person to remove or rename it."
    );
    Problem::new(Kind::NotYours, detail)
}

fn souls(caller: &Caller) -> Kube<ConfigMap> {
    Kube::namespaced(caller.objects.client.clone(), &caller.key.namespace)
}
