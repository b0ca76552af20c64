//! Every way in which a link, a call or a write can fail, typed once. Texts are for people and end with what to do next.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{CertificateProblem, Issue, JournalError};

/// What a caller does about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Try again with backoff; nothing needs to change.
    Transient,
    /// Something outside must end first (a restart, a rate limit, a config that people must repair); it heals by itself then.
    Waiting,
    /// The gateway refuses exactly this; only another request helps.
    Rejected,
    /// The credential is not allowed to.
    Unauthorised,
    /// The gateway cannot do this.
    Unsupported,
}

/// Why a link is not up.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address cannot be used at all.
    #[error("the address {url} cannot be used: {reason}; write ws://host:port or wss://host:port")]
    Address {
        /// As configured.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers there.
    #[error(
        "cannot reach the gateway at {address}: {source}; check the address, the Service and network policies"
    )]
    Unreachable {
        /// Host and port.
        address: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Something answers, but it does not speak the gateway's protocol.
    #[error(
        "{address} does not answer like an OpenClaw gateway: {detail}; check host, port and path"
    )]
    NotAGateway {
        /// Host and port.
        address: String,
        /// The HTTP status, where there was one.
        status: Option<u16>,
        /// What was seen.
        detail: String,
    },
    /// Its certificate was not accepted.
    #[error("the certificate of {address} was not accepted: {detail}; {}", advice(*problem))]
    Certificate {
        /// Host and port.
        address: String,
        /// What is wrong with it.
        problem: CertificateProblem,
        /// The TLS library's words.
        detail: String,
    },
    /// Plain text was sent to a port that speaks TLS.
    #[error("{address} speaks TLS; write wss:// instead of ws://")]
    TlsExpected {
        /// Host and port.
        address: String,
    },
    /// TLS was spoken to a port that does not.
    #[error(
        "{address} does not speak TLS; write ws:// instead of wss://, or switch gateway.tls on there"
    )]
    NotTls {
        /// Host and port.
        address: String,
    },
    /// Our side of TLS cannot be set up.
    #[error("TLS cannot be set up: {detail}; correct spec.tls")]
    TlsSettings {
        /// What is wrong.
        detail: String,
    },
    /// The gateway is starting or restarting.
    #[error("the gateway is not ready yet: {message}; it is asked again shortly")]
    Starting {
        /// The gateway's own words.
        message: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The credential was refused.
    #[error(
        "the gateway refused the credential: {message} ({code}); put the gateway's token or password into the Secret"
    )]
    Unauthorized {
        /// The gateway's detail code, such as `AUTH_TOKEN_MISMATCH`.
        code: String,
        /// The gateway's own words.
        message: String,
        /// How long this address is locked out, where it is.
        retry_after: Option<Duration>,
    },
    /// The connection was accepted but may do nothing.
    #[error(
        "the gateway accepted the credential but granted no scopes: a connection that is not from its own loopback needs a device that is approved with operator.admin; look at openclaw devices list on the gateway"
    )]
    NoScopes,
    /// The gateway wants this device approved first.
    #[error("the gateway waits for the approval of this operator's device ({message}{}); run openclaw devices approve {} on the gateway", not_automatic.as_ref().map(|why| format!("; it could not be approved from here: {why}")).unwrap_or_default(), request_id.as_deref().unwrap_or("<request id>"))]
    PairingRequired {
        /// The gateway's own words.
        message: String,
        /// What to approve.
        request_id: Option<String>,
        /// Why we could not approve it ourselves, where we tried.
        not_automatic: Option<String>,
    },
    /// It speaks the protocol, but not as we know it.
    #[error(
        "the gateway's answer does not fit protocol 4: {message}; this operator needs OpenClaw 2026.9.6 or later"
    )]
    Protocol {
        /// What did not fit.
        message: String,
    },
    /// A connection that was up ended.
    #[error("the connection was lost: {detail}; it is opened again")]
    Lost {
        /// Close code and reason, or what was missed.
        detail: String,
        /// The gateway said that it would be back after this time.
        restart_after: Option<Duration>,
    },
}

/// What a person does about a certificate that was not accepted.
fn advice(problem: CertificateProblem) -> &'static str {
    match problem {
        CertificateProblem::NotPinned => {
            "if the gateway's certificate was replaced on purpose, write its SHA-256 into spec.tls.pinnedSha256"
        }
        CertificateProblem::Expired => "renew it, and check the clocks",
        CertificateProblem::WrongName => {
            "write the name that it carries into spec.tls.serverName, or use an address with that name"
        }
        CertificateProblem::Untrusted => {
            "name its CA in spec.tls.caSecretRef, or for the gateway's own certificate write its SHA-256 into spec.tls.pinnedSha256"
        }
    }
}

impl LinkError {
    /// Whether only people can change this: such a link is tried again after minutes, not seconds.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized { .. } | Self::NoScopes | Self::PairingRequired { .. }
        )
    }
}

/// Why one call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// There is no connection. With `sent`, the gateway may have done it all the same: read before writing again.
    #[error("no connection to the gateway{}", if *sent { "; it was lost before the answer came" } else { "" })]
    Disconnected {
        /// Whether the request had left us.
        sent: bool,
    },
    /// No answer in time. The gateway may have done it all the same: read before writing again.
    #[error("the gateway did not answer {method} within {} s", after.as_secs())]
    Deadline {
        /// The call.
        method: &'static str,
        /// How long we waited.
        after: Duration,
    },
    /// The gateway is starting, restarting or busy.
    #[error("the gateway cannot answer now: {message}")]
    Unavailable {
        /// The gateway's own words.
        message: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// Too many calls of this kind.
    #[error("the gateway's rate limit is reached: {message}")]
    RateLimited {
        /// The gateway's own words.
        message: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The config document is another one than the write was based on.
    #[error("the gateway's config changed since it was read")]
    HashConflict,
    /// The config was stored, but the running gateway has not taken it over yet.
    #[error("the gateway stored the config but has not applied it yet: {message}")]
    NotAppliedYet {
        /// The gateway's own words.
        message: String,
    },
    /// The file is another one than the write was based on.
    #[error("the file {name} changed since it was read")]
    FileConflict {
        /// The file.
        name: String,
        /// SHA-256 in hex of what is there; `None` when nothing is.
        current_hash: Option<String>,
    },
    /// The checklist is another one than the write was based on.
    #[error("the heartbeat checklist changed since it was read")]
    ScratchConflict {
        /// The revision that is there.
        current_revision: Option<u64>,
    },
    /// The session is another one than the request names.
    #[error("the session changed since it was read")]
    SessionChanged,
    /// The gateway has an agent of this id already.
    #[error("the gateway has an agent {agent_id} already")]
    AgentExists {
        /// As the gateway names it.
        agent_id: String,
    },
    /// The running gateway has no such agent (yet).
    #[error("the gateway has no agent {agent_id}")]
    AgentNotFound {
        /// As the gateway names it.
        agent_id: String,
    },
    /// The running gateway has no such job (any more).
    #[error("the gateway has no such scheduled job: {message}")]
    JobNotFound {
        /// The gateway's own words.
        message: String,
    },
    /// The gateway never deletes this agent: its only one, or the owner of the legacy auth store.
    #[error("the gateway does not delete this agent: {message}")]
    AgentCannotBeDeleted {
        /// The gateway's own words.
        message: String,
    },
    /// The gateway refuses the request as it stands.
    #[error("the gateway refused: {message}")]
    Rejected {
        /// The gateway's own words.
        message: String,
        /// What it names, for a config write.
        issues: Vec<Issue>,
    },
    /// The connection may not do this.
    #[error("the gateway does not allow this connection to do that: {message}")]
    Forbidden {
        /// The gateway's own words.
        message: String,
    },
    /// The gateway does not know the method, or the file name.
    #[error("this gateway cannot do that: {message}")]
    Unsupported {
        /// The gateway's own words.
        message: String,
    },
    /// The answer does not have the shape we know.
    #[error("the gateway's answer to {method} has an unknown shape: {source}")]
    Unreadable {
        /// The call.
        method: &'static str,
        /// Where it did not fit.
        #[source]
        source: Arc<serde_json::Error>,
    },
}

impl CallError {
    /// What the caller does about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Disconnected { .. }
            | Self::Deadline { .. }
            | Self::HashConflict
            | Self::FileConflict { .. }
            | Self::ScratchConflict { .. }
            | Self::SessionChanged
            | Self::JobNotFound { .. }
            | Self::AgentNotFound { .. } => Class::Transient,
            Self::Unavailable { .. } | Self::RateLimited { .. } | Self::NotAppliedYet { .. } => {
                Class::Waiting
            }
            Self::AgentExists { .. }
            | Self::AgentCannotBeDeleted { .. }
            | Self::Rejected { .. } => Class::Rejected,
            Self::Forbidden { .. } => Class::Unauthorised,
            Self::Unsupported { .. } | Self::Unreadable { .. } => Class::Unsupported,
        }
    }

    /// When the gateway wants to be asked again, where it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::RateLimited { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// Whether the gateway may have done what was asked, although no answer says so.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        matches!(
            self,
            Self::Disconnected { sent: true } | Self::Deadline { .. } | Self::Unreadable { .. }
        )
    }
}

/// Why a wish was not fulfilled.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// The entry had to be new, and it was there before our first write.
    #[error("an agent with this id is already on the gateway")]
    Exists,
    /// The gateway has deleted an agent of this id before, so that this one has to be made by `agents.create`, and the wish does not allow
    /// that yet. Nothing was written for it.
    #[error("the gateway has deleted an agent of this id before")]
    WasDeleted,
    /// The gateway refuses this agent's entry; the others were written.
    #[error("the gateway refused this agent's entry: {message}")]
    Rejected {
        /// The gateway's own words.
        message: String,
        /// Only those about this agent.
        issues: Vec<Issue>,
    },
    /// The gateway takes this agent's entry and keeps parts of it as something else: the same again would bring the same. The rest was
    /// written.
    #[error("the gateway keeps this agent's entry otherwise: {message}")]
    KeptOtherwise {
        /// What it keeps where what was sent.
        message: String,
        /// The agent's entry as it stands, where this write has touched it.
        entry: Option<Value>,
    },
    /// The gateway refuses every write, because of something in its config that is not ours.
    #[error("the gateway refuses any config write until its config is repaired: {message}")]
    ConfigInvalid {
        /// The gateway's own words.
        message: String,
        /// What it names.
        issues: Vec<Issue>,
    },
    /// A call on the way failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The gateway took the write but shows something else: somebody else wrote at the same time.
    #[error("the gateway shows other values than were written: {}", paths.join(", "))]
    NotAsWritten {
        /// The paths that differ.
        paths: Vec<String>,
        /// The agent's entry as it stands, where this write has touched it.
        entry: Option<Value>,
    },
    /// What the write would change could not be written down first; nothing was written.
    #[error(transparent)]
    Journal(#[from] Arc<JournalError>),
}

impl WriteError {
    /// What the caller does about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Exists | Self::Rejected { .. } | Self::KeptOtherwise { .. } => Class::Rejected,
            Self::ConfigInvalid { .. } => Class::Waiting,
            Self::Call(call) => call.class(),
            Self::WasDeleted | Self::NotAsWritten { .. } | Self::Journal(_) => Class::Transient,
        }
    }
}
