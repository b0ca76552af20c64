//! What a Gateway is connected with (credential, device, TLS), and the link that is opened with it.

use data_encoding::HEXLOWER_PERMISSIVE;
use kube::ResourceExt;
use secrecy::SecretString;

use crate::{
    api::{Gateway, gateway, reason::Reason},
    controller::{context::Context, runner::ReconcileError},
    gateway::{
        CertificateProblem, Credential, Endpoint, LinkError, LinkState, Pairing, TlsOptions, Trust,
    },
    plan::gateway::{LinkView, SecretProblem},
};

use super::{device, kept_heartbeats, secret};

/// Opens the link, or another one where address, credential, device or trust changed. Answers what is wrong with a Secret.
pub(super) async fn connect(
    gateway: &Gateway,
    context: &Context,
) -> Result<Option<SecretProblem>, ReconcileError> {
    let uid = gateway.uid().unwrap_or_default();
    match endpoint(gateway, context).await? {
        Ok(endpoint) => {
            let device = endpoint.device.clone();
            // The handle is looked up again by whoever calls.
            drop(
                context
                    .pool
                    .ensure(&uid, endpoint, context.journal(gateway)),
            );
            if let Some(device) = device {
                device::keep_token(gateway, context, &device).await?;
            }
            Ok(None)
        }
        Err(problem) => {
            // While an Agent holds a claim, or an agent of others is kept beating, cleaning up needs the connection that is there.
            let unused = context.world.claims_on(&uid).is_empty()
                && kept_heartbeats(gateway, context).is_empty();
            if unused {
                context.pool.remove(&uid);
            }
            Ok(Some(problem))
        }
    }
}

/// Where the gateway is and what we show it, by the spec and the Secrets that it names.
async fn endpoint(
    gateway: &Gateway,
    context: &Context,
) -> Result<Result<Endpoint, SecretProblem>, ReconcileError> {
    let credential = match credential(gateway, context).await? {
        Ok(credential) => credential,
        Err(problem) => return Ok(Err(problem)),
    };
    let trust = match trust(gateway, context).await? {
        Ok(trust) => trust,
        Err(problem) => return Ok(Err(problem)),
    };
    let device = match device::device(gateway, context).await? {
        Ok(device) => device,
        Err(problem) => return Ok(Err(problem)),
    };
    let tls = gateway.spec.tls.as_ref();
    Ok(Ok(Endpoint {
        tls: TlsOptions {
            trust,
            server_name: tls.and_then(|tls| tls.server_name.clone()),
        },
        device,
        pairing: match gateway.spec.auth.pairing.unwrap_or_default() {
            gateway::Pairing::Auto => Pairing::Auto,
            gateway::Pairing::Manual => Pairing::Manual,
        },
        ..Endpoint::new(&gateway.spec.url, credential)
    }))
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
    let text = secret::text(gateway, context, reference, "the gateway's credential").await?;
    Ok(text.map(|text| of(text.into())))
}

/// Whom to trust; the CA is read from its Secret.
async fn trust(
    gateway: &Gateway,
    context: &Context,
) -> Result<Result<Trust, SecretProblem>, ReconcileError> {
    let Some(tls) = &gateway.spec.tls else {
        return Ok(Ok(Trust::System));
    };
    if let Some(pin) = tls.pinned_sha256.as_deref().and_then(pin) {
        return Ok(Ok(Trust::Pinned(pin)));
    }
    let Some(ca) = &tls.ca_secret_ref else {
        return Ok(Ok(Trust::System));
    };
    let pem = secret::text(gateway, context, ca, "the CA's certificate in PEM").await?;
    Ok(pem.map(Trust::Roots))
}

/// The bytes of a SHA-256 in hex, with or without colons; the schema takes no other.
fn pin(text: &str) -> Option<[u8; 32]> {
    let digits = text.replace(':', "");
    let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?;
    bytes.try_into().ok()
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
        LinkError::PairingRequired { .. } => Reason::PairingPending,
        LinkError::Certificate { problem, .. } => match problem {
            CertificateProblem::NotPinned => Reason::CertificateNotPinned,
            CertificateProblem::Expired => Reason::CertificateExpired,
            CertificateProblem::WrongName => Reason::CertificateWrongName,
            CertificateProblem::Untrusted => Reason::CertificateUntrusted,
        },
        LinkError::TlsExpected { .. } => Reason::TlsExpected,
        LinkError::NotTls { .. } => Reason::NotTls,
        LinkError::TlsSettings { .. } => Reason::TlsSettings,
        LinkError::Protocol { .. } => Reason::Incompatible,
        LinkError::Starting { .. }
        | LinkError::Lost {
            restart_after: Some(_),
            ..
        } => Reason::GatewayNotReady,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_openssl_shows_it() {
        let plain = "0a".repeat(32);
        let colons = vec!["0A"; 32].join(":");
        assert_eq!(pin(&plain), Some([10; 32]));
        assert_eq!(pin(&colons), Some([10; 32]));
        assert_eq!(pin("0a"), None);
    }
}
