//! Makes, keeps and removes the Agent that a Board or a Gateway declares within itself; `plan::owned` decides.

use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::NamespaceResourceScope,
    runtime::reflector::ObjectRef,
};
use serde_json::Value;

use crate::{
    api::{Agent, annotation::FIELD_MANAGER, condition::Judgement},
    controller::{context::Context, runner::ReconcileError},
    plan::owned::{Owner, Step},
};

/// Brings the declared Agent of `object` about, and says how it stands. Where none is declared, `stand_in` may name one that has the role.
/// An object that is being deleted declares none any more. One that is refused is not tried again before the owner's next turn.
pub(super) async fn reconcile<'a, K>(
    object: &'a K,
    stand_in: Option<&Agent>,
    context: &Context,
) -> Result<Judgement, ReconcileError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    Owner<'a>: From<&'a K>,
{
    let owner = Owner::from(object);
    let namespace = object.namespace().unwrap_or_default();
    match bring_about(&owner, &namespace, stand_in, context).await {
        Err(ReconcileError::Kubernetes(error)) if is_refusal(&error) => {
            Ok(owner.judge_refusal(&error.to_string()))
        }
        ended => ended,
    }
}

/// Whether the API server does not take what is declared: a quota, a policy, or what a person set on the Agent. It is told on the owner,
/// which goes on; everything else that goes wrong there passes, and is tried again.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422))
}

async fn bring_about(
    owner: &Owner<'_>,
    namespace: &str,
    stand_in: Option<&Agent>,
    context: &Context,
) -> Result<Judgement, ReconcileError> {
    let agents = Api::<Agent>::namespaced(context.clients.request.clone(), namespace);
    let known = ObjectRef::new(&owner.agent_name).within(namespace);
    let mut there = context
        .world
        .agents
        .get(&known)
        .map(|agent| (*agent).clone());
    let mut step = owner.step(there.as_ref());
    if matches!(step, Step::Create(_)) {
        if context.world.is_terminating(namespace) {
            return Ok(owner.judge(None, false));
        }
        // The cache may lag behind one that was just made, by us or by somebody else.
        there = agents.get_opt(&owner.agent_name).await?;
        step = owner.step(there.as_ref());
    }
    let name_taken = match &step {
        Step::None => false,
        Step::NameTaken => true,
        Step::Create(object) => match apply(&agents, &owner.agent_name, object, false).await {
            Ok(made) => {
                there = Some(made);
                false
            }
            // Somebody else was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => true,
            Err(error) => return Err(error.into()),
        },
        Step::Apply(object) => {
            there = Some(apply(&agents, &owner.agent_name, object, true).await?);
            false
        }
        Step::Delete => {
            delete(&agents, &owner.agent_name, there.take()).await?;
            false
        }
    };
    let own = there.as_ref().filter(|agent| owner.owns(*agent));
    Ok(owner.judge(own.or(stand_in), name_taken))
}

async fn apply(
    agents: &Api<Agent>,
    name: &str,
    object: &Value,
    force: bool,
) -> Result<Agent, kube::Error> {
    let params = PatchParams {
        force,
        ..PatchParams::apply(FIELD_MANAGER)
    };
    agents.patch(name, &params, &Patch::Apply(object)).await
}

/// Deletes `agent` and nothing that took its name since.
async fn delete(
    agents: &Api<Agent>,
    name: &str,
    agent: Option<Agent>,
) -> Result<(), ReconcileError> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: agent.and_then(|agent| agent.uid()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match agents.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
