//! Every reason a condition can have, and its class: the one table that decides what a tool that waits is told.

/// What a reason means for someone who waits for the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing is missing.
    Fine,
    /// It may still come right without an edit of this object: kstatus `Reconciling`.
    Progressing,
    /// No other object's arrival and no outage's end can heal it: kstatus `Stalled`, where Helm 4 and Argo CD give up.
    Stalled,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $class:ident,)*) => {
        /// Why a condition has its status; the word stands in the condition's `reason`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word as it stands in a condition or an event.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// The reason with this word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
            }

            /// What it means for someone who waits.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class),* }
            }
        }
    };
}

reasons! {
    /// Everything is as declared, and the gateway confirmed it.
    Reconciled => Fine,
    /// Gateway: the link is up.
    Connected => Fine,
    /// Gateway: the credential was accepted with the rights that are needed.
    Authenticated => Fine,
    /// Gateway: it can do what the operator needs.
    Compatible => Fine,
    /// Board: `gatewayRef` names a Gateway that allows this namespace.
    GatewayResolved => Fine,
    /// Agent: its references hold and its id is its own.
    Accepted => Fine,
    /// Agent: its token stands in its Secret.
    Issued => Fine,
    /// Agent: the next token is on its way into the files; both are taken.
    Rotating => Fine,
    /// Agent: the gateway confirmed the entry.
    Registered => Fine,
    /// Agent: the gateway lists the model.
    ModelListed => Fine,
    /// Agent: no model is set, so the gateway's own default serves.
    GatewayDefault => Fine,
    /// Agent: the heartbeat is on the gateway as declared.
    Configured => Fine,
    /// Agent: the heartbeat is off, as declared.
    Disabled => Fine,
    /// Agent: all files are on the gateway as declared.
    Synced => Fine,

    /// Board, Gateway: the agent that it declares, or that was applied for it, is Ready.
    AgentReady => Fine,
    /// Board, Gateway: no such agent is declared.
    NotDeclared => Fine,
    /// Agent: it was heard of in time.
    Alive => Fine,
    /// Agent: nothing was heard of it since the operator or the link came up.
    NotHeardYet => Fine,
    /// Agent: it has no heartbeat, or a pause keeps it from beating.
    NoHeartbeat => Fine,
    /// Agent: it fell silent. Never part of Ready: an agent that sleeps is not broken.
    Silent => Progressing,
    /// Agent: it was woken and showed life.
    Woken => Fine,
    /// Agent: it is being woken.
    Waking => Fine,
    /// Agent: nobody asked for it to be woken.
    NotAsked => Fine,
    /// Agent: it was woken several times and showed no life. Never part of Ready.
    WakeGaveUp => Progressing,
    /// Paused by itself.
    Agent => Fine,
    /// Paused by its Board, or a Board by itself.
    Board => Fine,
    /// Paused by its Gateway, or a Gateway by itself.
    Gateway => Fine,
    /// Nothing is paused.
    NotPaused => Fine,

    /// Gateway: every agent that carries this cluster's mark has its Agent.
    NoneOrphaned => Fine,

    /// Not judged yet.
    Pending => Progressing,
    /// The object is being deleted.
    Deleting => Progressing,
    /// The Board does not exist: it may be applied next.
    BoardNotFound => Progressing,
    /// The Gateway does not exist: it may be applied next.
    GatewayNotFound => Progressing,
    /// The Gateway of another namespace does not exist or does not allow this one; which of the two is not told.
    NotAllowed => Progressing,
    /// Another Agent has the id. Progressing although no arrival heals it: the other is an object beside this one, and in a sync that
    /// renames an Agent the old one is pruned only after the new one was applied. Stalled would make Argo CD stop before the prune.
    AgentIdConflict => Progressing,
    /// The gateway does not answer.
    GatewayUnreachable => Progressing,
    /// The gateway answers but is not Ready.
    GatewayNotReady => Progressing,
    /// The Secret does not exist.
    SecretNotFound => Progressing,
    /// The Secret has no such key, or nothing in it.
    SecretKeyMissing => Progressing,
    /// The gateway refused the credential. Heals when the Secret changes.
    Unauthorized => Progressing,
    /// The credential lacks scopes. Heals when the Secret or the gateway's settings change.
    NoScopes => Progressing,
    /// The gateway wants the operator's device approved. Heals when somebody does that there.
    PairingPending => Progressing,
    /// The gateway shows another certificate than the pinned one. Heals when the gateway or the pin changes, as do the next five.
    CertificateNotPinned => Progressing,
    /// The gateway's certificate is out of its time.
    CertificateExpired => Progressing,
    /// The gateway's certificate carries another name.
    CertificateWrongName => Progressing,
    /// Nobody who is trusted vouches for the gateway's certificate.
    CertificateUntrusted => Progressing,
    /// `ws://` was written for a port that speaks TLS.
    TlsExpected => Progressing,
    /// `wss://` was written for a port that does not speak TLS.
    NotTls => Progressing,
    /// The CA in the Secret cannot be used. Heals when the Secret changes.
    TlsSettings => Progressing,
    /// Gateway: the operator's device Secret belongs to somebody else; Agent: the one for what it adopts. Heals when that one goes.
    SecretExists => Progressing,
    /// The device Secret holds no usable key. Heals when it is deleted, or its key put right.
    DeviceKeyUnreadable => Progressing,
    /// The gateway is too old or too new. Heals when it is replaced, which may be under way.
    Incompatible => Progressing,
    /// The ConfigMap does not exist.
    ConfigMapNotFound => Progressing,
    /// The ConfigMap has no such key.
    ConfigMapKeyMissing => Progressing,
    /// A text that stands in another object than the Agent (a ConfigMap, its Board, its Gateway) cannot be rendered or is too long. Heals when
    /// that object is changed.
    TextSourceError => Progressing,
    /// The gateway does not list the model; it may learn it later. Never part of Ready.
    ModelNotListed => Progressing,
    /// The gateway failed or was too busy; tried again.
    GatewayError => Progressing,
    /// The operator failed; tried again.
    InternalError => Progressing,
    /// Gateway that is being deleted: Agents still hold claims on it.
    AgentsRemain => Progressing,
    /// Gateway: agents carry this cluster's mark and have no Agent. Never part of Ready.
    AgentsOrphaned => Progressing,
    /// Board, Gateway: the agent that it declares is not Ready yet.
    AgentNotReady => Progressing,
    /// Board, Gateway: the API server does not take the Agent that is declared: a quota, a policy, or what a person set on it.
    AgentNotApplied => Progressing,
    /// Board, Gateway: an Agent of the name that the declared one would have belongs to somebody else. Heals when that one goes.
    NameTaken => Progressing,
    /// The Board has as many workers as it takes. Heals when one goes or the limit is raised.
    BoardFull => Progressing,
    /// The Board has a lead, or the Gateway a main agent. Heals when that one goes.
    RoleTaken => Progressing,
    /// Another Agent of the Board has the display name. Heals when that one goes or is renamed.
    DisplayNameTaken => Progressing,

    /// An agent without our claim or mark is on the gateway under this id. It is nobody's object here: only a person can remove it there or give this Agent another id.
    AgentExists => Stalled,
    /// The old texts of an agent that is to be adopted do not fit into a Secret. Somebody must shorten them on the gateway, or leave the files alone here.
    AdoptionTooLarge => Stalled,
    /// From another namespace an explicit `agentId` must begin with `<namespace>_`, and it is immutable.
    AgentIdNotAllowed => Stalled,
    /// A template in the Agent's own spec cannot be rendered.
    TemplateError => Stalled,
    /// A text of the Agent's own spec, or all of its texts together, are longer than what the gateway puts before the model.
    FileTooLarge => Stalled,
    /// The gateway refused what was declared.
    Rejected => Stalled,
    /// The stored object does not fit its schema.
    InvalidObject => Stalled,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_back_from_its_word() {
        for &reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::parse("NobodyWritesThis"), None);
    }

    #[test]
    fn every_reason_is_a_word_that_a_condition_may_carry() {
        // metav1.Condition: ^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$
        for reason in Reason::ALL {
            let word = reason.as_str();
            assert!(word.starts_with(|c: char| c.is_ascii_uppercase()), "{word}");
            assert!(word.chars().all(|c| c.is_ascii_alphanumeric()), "{word}");
        }
    }

    #[test]
    fn what_an_arrival_or_the_end_of_an_outage_heals_is_never_stalled() {
        use Reason::{
            BoardNotFound, ConfigMapKeyMissing, ConfigMapNotFound, GatewayNotFound,
            GatewayNotReady, GatewayUnreachable, NotAllowed, SecretKeyMissing, SecretNotFound,
            TextSourceError, Unauthorized,
        };
        for reason in [
            BoardNotFound,
            ConfigMapKeyMissing,
            ConfigMapNotFound,
            GatewayNotFound,
            GatewayNotReady,
            GatewayUnreachable,
            NotAllowed,
            SecretKeyMissing,
            SecretNotFound,
            TextSourceError,
            Unauthorized,
        ] {
            assert_eq!(reason.class(), Class::Progressing, "{reason:?}");
        }
    }
}
