//! Gateways: credential, link, conditions, the beat of resyncs, and an end that waits for claims.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret, jiff::Timestamp};
use kube::{
    Api, Resource, ResourceExt,
    api::{DynamicObject, ListParams},
    core::{ApiResource, NamespaceResourceScope},
    runtime::reflector::ObjectRef,
};
use secrecy::SecretString;
use tokio::time::Instant;

use crate::{
    api::{
        Agent, Gateway, GatewayStatus,
        annotation::FINALIZER,
        condition::{self, Judgement},
        reason::Reason,
        reference::{GatewayName, SecretKeyRef},
    },
    controller::{
        context::Context,
        runner::{Next, ReconcileError},
    },
    gateway::{Credential, Endpoint, LinkError, LinkState},
    kube::apply,
    plan::gateway::{LinkView, SecretProblem, judge, waits_for},
};

/// Time between two looks at the Secret and the link. Secrets are not watched: that would need the right to list them all.
const VISIT: Duration = Duration::from_secs(60);
/// The same while there is no usable credential: somebody is probably about to apply it.
const VISIT_WITHOUT_SECRET: Duration = Duration::from_secs(10);

/// Reconciles one Gateway.
pub(super) async fn reconcile(
    gateway: Arc<Gateway>,
    context: &Context,
) -> Result<Next, ReconcileError> {
    let gateway = context.world.latest_gateways.or_newer(gateway);
    if gateway.metadata.deletion_timestamp.is_some() {
        return end(&gateway, context).await;
    }
    let gateway = if gateway
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == FINALIZER)
    {
        gateway
    } else {
        let gateway =
            Arc::new(apply::add_finalizer(&context.clients.request, &*gateway, FINALIZER).await?);
        context.world.latest_gateways.remember(&gateway);
        gateway
    };
    let uid = gateway.uid().unwrap_or_default();
    let problem = connect(&gateway, context).await?;
    release_kept(&gateway, context).await?;
    let view = view(context, &uid);
    let judgements = judge(&gateway.spec.url, problem.as_ref(), &view);
    write_status(&gateway, context, judgements).await?;
    let namespace = gateway.namespace().unwrap_or_default();
    context.metrics.gateway_connected(
        &namespace,
        &gateway.name_any(),
        matches!(view, LinkView::Up { .. }),
    );

    let resync = context.resync_due_in(&uid);
    if resync.is_zero() {
        let agents = context.world.agents_on(&GatewayName {
            name: gateway.name_any(),
            namespace,
        });
        context.world.touch_agents(agents);
    }
    let visit = if problem.is_some() {
        VISIT_WITHOUT_SECRET
    } else {
        VISIT
    };
    Ok(Next::Within(if resync.is_zero() {
        visit
    } else {
        visit.min(resync)
    }))
}

/// Opens the link, or another one where address or credential changed. Answers what is wrong with the Secret.
async fn connect(
    gateway: &Gateway,
    context: &Context,
) -> Result<Option<SecretProblem>, ReconcileError> {
    let uid = gateway.uid().unwrap_or_default();
    match credential(gateway, context).await? {
        Ok(credential) => {
            let endpoint = Endpoint {
                url: gateway.spec.url.clone(),
                credential,
            };
            // The handle is looked up again by whoever calls.
            drop(
                context
                    .pool
                    .ensure(&uid, endpoint, context.journal(gateway)),
            );
            Ok(None)
        }
        Err(problem) => {
            // While an Agent holds a claim, its cleanup needs the connection that is there.
            if context.world.claims_on(&uid).is_empty() {
                context.pool.remove(&uid);
            }
            Ok(Some(problem))
        }
    }
}

/// Reads the credential that the spec points at.
async fn credential(
    gateway: &Gateway,
    context: &Context,
) -> Result<Result<Credential, SecretProblem>, ReconcileError> {
    let auth = &gateway.spec.auth;
    let (reference, of): (_, fn(SecretString) -> Credential) =
        match (&auth.token_secret_ref, &auth.password_secret_ref) {
            (Some(token), _) => (token, Credential::Token),
            (None, Some(password)) => (password, Credential::Password),
            (None, None) => {
                let message = "spec.auth names no Secret. Set tokenSecretRef or passwordSecretRef."
                    .to_owned();
                return Ok(Err(SecretProblem {
                    reason: Reason::SecretNotFound,
                    message,
                }));
            }
        };
    let secrets = Api::<Secret>::namespaced(
        context.clients.request.clone(),
        &gateway.namespace().unwrap_or_default(),
    );
    let SecretKeyRef { name, key } = reference;
    let Some(secret) = secrets.get_opt(name).await? else {
        let message = format!(
            "Secret {name} does not exist in this namespace. Create it with the gateway's credential under key {key:?}."
        );
        return Ok(Err(SecretProblem {
            reason: Reason::SecretNotFound,
            message,
        }));
    };
    let value = secret
        .data
        .and_then(|mut data| data.remove(key))
        .and_then(|ByteString(bytes)| String::from_utf8(bytes).ok());
    // Files that were turned into Secrets often end in a line break, which no gateway's token does.
    let value = value
        .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
        .filter(|text| !text.is_empty());
    Ok(value
        .map(|text| of(SecretString::from(text)))
        .ok_or_else(|| SecretProblem {
            reason: Reason::SecretKeyMissing,
            message: format!(
                "Secret {name} has no text under key {key:?}. Put the gateway's credential there."
            ),
        }))
}

/// How the link stands, in the plan's words.
fn view(context: &Context, uid: &str) -> LinkView {
    let Some(link) = context.pool.get(uid) else {
        return LinkView::None;
    };
    let state = link.state().borrow().clone();
    match state {
        LinkState::Up(hello) => LinkView::Up {
            missing: hello.capabilities.missing(),
            version: hello.version.clone(),
        },
        LinkState::Connecting { last: None, .. } | LinkState::Closed => LinkView::Connecting,
        LinkState::Connecting {
            last: Some(error), ..
        } => LinkView::Away {
            reason: reason(&error),
            message: sentence(&error),
        },
        LinkState::Refused { error, .. } => LinkView::Refused {
            reason: reason(&error),
            message: sentence(&error),
        },
    }
}

fn reason(error: &LinkError) -> Reason {
    match error {
        LinkError::Unauthorized { .. } => Reason::Unauthorized,
        LinkError::NoScopes => Reason::NoScopes,
        LinkError::PairingRequired { .. } => Reason::PairingRequired,
        LinkError::Protocol { .. } => Reason::Incompatible,
        LinkError::Starting { .. } => Reason::GatewayNotReady,
        LinkError::Address { .. }
        | LinkError::Unreachable { .. }
        | LinkError::NotAGateway { .. }
        | LinkError::Lost { .. } => Reason::GatewayUnreachable,
    }
}

/// An error's text as a sentence of a condition.
fn sentence(error: &LinkError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).chain(['.']).collect())
        .unwrap_or_default()
}

/// Takes the empty heartbeat blocks of others out again once no Agent has a claim on the gateway, through whichever Gateway object.
async fn release_kept(gateway: &Gateway, context: &Context) -> Result<(), ReconcileError> {
    let uid = gateway.uid().unwrap_or_default();
    let journal = context.journal(gateway);
    let kept = journal.kept();
    let mut sharing = context.pool.siblings(&uid);
    sharing.push(uid.clone());
    if kept.is_empty()
        || sharing
            .iter()
            .any(|uid| !context.world.claims_on(uid).is_empty())
    {
        return Ok(());
    }
    let Some(writer) = context.pool.writer(&uid) else {
        return Ok(());
    };
    writer.release_kept(&kept).await?;
    journal.clear().await?;
    Ok(())
}

/// Writes the status if it says something else than before.
async fn write_status(
    gateway: &Gateway,
    context: &Context,
    judgements: Vec<Judgement>,
) -> Result<(), ReconcileError> {
    let uid = gateway.uid().unwrap_or_default();
    // The journal writes `keptHeartbeats` under its own field manager.
    let known = GatewayStatus {
        kept_heartbeats: Vec::new(),
        ..gateway.status.clone().unwrap_or_default()
    };
    let mut next = known.clone();
    if let Some(LinkState::Up(hello)) = context
        .pool
        .get(&uid)
        .map(|link| link.state().borrow().clone())
    {
        next.version = Some(hello.version.clone());
        next.boot_id = Some(hello.boot_id.clone());
    }
    next.agents = i32::try_from(context.world.claims_on(&uid).len()).ok();
    next.observed_generation = gateway.metadata.generation;
    warn_of_failures(gateway, context, &known, &judgements);
    condition::GATEWAY.merge(
        &mut next.conditions,
        judgements,
        gateway.metadata.generation,
        Timestamp::now(),
    );
    if next != known {
        let written = apply::patch_status(&context.clients.request, gateway, &next).await?;
        context.world.latest_gateways.remember(&Arc::new(written));
    }
    Ok(())
}

/// One Warning per new cause.
fn warn_of_failures(
    gateway: &Gateway,
    context: &Context,
    known: &GatewayStatus,
    judgements: &[Judgement],
) {
    for judgement in judgements
        .iter()
        .filter(|judgement| judgement.status == condition::Status::False)
    {
        let before = condition::find(&known.conditions, judgement.type_);
        if before.is_none_or(|before| before.reason != judgement.reason.as_str()) {
            context.warn(
                &gateway.object_ref(&()),
                judgement.reason.as_str(),
                &judgement.message,
            );
        }
    }
}

/// Ends a Gateway: waits for claims, gives heartbeats of others back, closes the link.
async fn end(gateway: &Gateway, context: &Context) -> Result<Next, ReconcileError> {
    let uid = gateway.uid().unwrap_or_default();
    if !gateway
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == FINALIZER)
    {
        context.forget_gateway(&uid);
        return Ok(Next::Change);
    }
    // Agents that are being deleted need the link for their cleanup.
    connect(gateway, context).await?;
    let holders = holders(gateway, context).await?;
    if !holders.is_empty() {
        write_status(gateway, context, vec![waits_for(holders)]).await?;
        return Ok(Next::Within(VISIT_WITHOUT_SECRET));
    }
    if !context.journal(gateway).kept().is_empty() {
        let deadline = context.settings.teardown_deadline;
        let left = deadline.saturating_sub(age_of_deletion(gateway));
        release_kept(gateway, context).await?;
        if !context.journal(gateway).kept().is_empty() {
            if !left.is_zero() && !is_shared(context, &uid) {
                return Ok(Next::Within(left.min(Duration::from_secs(2))));
            }
            if !is_shared(context, &uid) {
                context.warn(
                    &gateway.object_ref(&()),
                    "HeartbeatsLeft",
                    "The gateway is away, so the empty heartbeat blocks that kept agents of others beating stay in its config.",
                );
            }
        }
    }
    apply::remove_finalizer(&context.clients.request, gateway, FINALIZER).await?;
    context.metrics.gateway_gone(
        &gateway.namespace().unwrap_or_default(),
        &gateway.name_any(),
    );
    context.forget_gateway(&uid);
    Ok(Next::Change)
}

/// Whether Agents are on the same gateway process through another Gateway object; then the kept heartbeats are that one's to release.
fn is_shared(context: &Context, uid: &str) -> bool {
    context
        .pool
        .siblings(uid)
        .iter()
        .any(|sibling| sibling != uid && !context.world.claims_on(sibling).is_empty())
}

/// The Agents that hold a claim, by `namespace/name`. The cache may lag behind a claim that was just made, so the last word is the API server's.
async fn holders(gateway: &Gateway, context: &Context) -> Result<Vec<String>, ReconcileError> {
    let uid = gateway.uid().unwrap_or_default();
    let known = context.world.claims_on(&uid);
    if !known.is_empty() {
        let name = |agent: &ObjectRef<Agent>| {
            format!(
                "{}/{}",
                agent.namespace.as_deref().unwrap_or_default(),
                agent.name
            )
        };
        return Ok(known.iter().map(name).collect());
    }
    // Untyped, so that an object which no longer parses still counts.
    let agents = Api::<DynamicObject>::all_with(
        context.clients.request.clone(),
        &ApiResource::erase::<Agent>(&()),
    );
    let selected =
        ListParams::default().fields(&format!("status.gateway.name={}", gateway.name_any()));
    let holds = |agent: &DynamicObject| {
        let places = agent
            .data
            .pointer("/status/places")
            .and_then(|places| places.as_array());
        places.is_some_and(|places| {
            places
                .iter()
                .any(|place| place.get("gatewayUid").and_then(|held| held.as_str()) == Some(&uid))
        })
    };
    let agents = agents.list(&selected).await?;
    Ok(agents
        .iter()
        .filter(|agent| holds(agent))
        .map(|agent| {
            format!(
                "{}/{}",
                agent.namespace().unwrap_or_default(),
                agent.name_any()
            )
        })
        .collect())
}

/// How long ago the deletion of an object was asked for.
pub(super) fn age_of_deletion<K: Resource<Scope = NamespaceResourceScope>>(object: &K) -> Duration {
    let asked = object.meta().deletion_timestamp.as_ref().map(|time| time.0);
    asked
        .and_then(|asked| Duration::try_from(Timestamp::now().duration_since(asked)).ok())
        .unwrap_or_default()
}

/// How long a link has been down.
pub(super) fn down_for(since: Instant) -> Duration {
    Instant::now().saturating_duration_since(since)
}
