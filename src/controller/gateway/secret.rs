//! Secrets of a Gateway, one key at a time. They are only ever got, never listed or watched.

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, ResourceExt};

use crate::{
    api::{Gateway, reason::Reason, reference::SecretKeyRef},
    controller::{context::Context, runner::ReconcileError},
    plan::gateway::SecretProblem,
};

/// The API of the Secrets in the Gateway's own namespace.
pub(super) fn api(gateway: &Gateway, context: &Context) -> Api<Secret> {
    let namespace = gateway.namespace().unwrap_or_default();
    Api::namespaced(context.clients.request.clone(), &namespace)
}

/// The text under a key; `what` says in a message what belongs there.
pub(super) async fn text(
    gateway: &Gateway,
    context: &Context,
    reference: &SecretKeyRef,
    what: &str,
) -> Result<Result<String, SecretProblem>, ReconcileError> {
    let SecretKeyRef { name, key } = reference;
    let Some(secret) = api(gateway, context).get_opt(name).await? else {
        let message = format!(
            "Secret {name} does not exist in this namespace. Create it with {what} under key {key:?}."
        );
        return Ok(Err(SecretProblem {
            reason: Reason::SecretNotFound,
            message,
        }));
    };
    Ok(value(&secret, key).ok_or_else(|| SecretProblem {
        reason: Reason::SecretKeyMissing,
        message: format!("Secret {name} has no text under key {key:?}. Put {what} there."),
    }))
}

/// The text under a key of a Secret that was read; nothing counts as absent.
pub(super) fn value(secret: &Secret, key: &str) -> Option<String> {
    let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
    let text = std::str::from_utf8(bytes).ok()?;
    // Files that were turned into Secrets often end in a line break, which no gateway's token does.
    let text = text.trim_end_matches(['\r', '\n']);
    (!text.is_empty()).then(|| text.to_owned())
}
