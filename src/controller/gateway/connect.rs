//! The credential of a Gateway and the link that is opened with it.

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, ResourceExt};
use secrecy::SecretString;

use crate::{
    api::{Gateway, reason::Reason, reference::SecretKeyRef},
    controller::{context::Context, runner::ReconcileError},
    gateway::{Credential, Endpoint, LinkError, LinkState},
    plan::gateway::{LinkView, SecretProblem},
};

/// Opens the link, or another one where address or credential changed. Answers what is wrong with the Secret.
pub(super) async fn connect(
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
            // While an Agent holds a claim, or an agent of others is kept beating, cleaning up needs the connection that is there.
            let unused = context.world.claims_on(&uid).is_empty()
                && context.journal(gateway).kept().is_empty();
            if unused {
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
pub(super) fn view(context: &Context, uid: &str) -> LinkView {
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
