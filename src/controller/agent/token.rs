//! The agent's token: kept in a Secret that the Agent owns, minted and replaced as `plan::token` says.
//!
//! The order is what keeps an agent from ever holding a token that nobody takes: the Secret first, then the files, and only when the
//! gateway has confirmed them the next token takes the other's place.

use std::{collections::BTreeMap, time::Duration};

use data_encoding::BASE64URL_NOPAD;
use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::OwnerReference,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::{
    api::{
        Agent,
        annotation::{FIELD_MANAGER, MINTED_AT},
        condition::{Judgement, TOKEN_READY},
        heartbeat::parse_every,
        reason::Reason,
    },
    controller::{
        agent::visit::{Stop, Visit},
        presence,
        runner::{Next, ReconcileError},
    },
    plan::{
        names,
        once::Once,
        places,
        token::{self, Step, Stored},
    },
    presence::AgentKey,
};

/// Key of the token that the files carry.
const TOKEN: &str = "token";
/// Key of the next one, while a rotation is under way.
const NEXT: &str = "nextToken";
/// When to look again for a Secret of somebody else's: nobody tells us when it goes.
const TAKEN_WAIT: Duration = Duration::from_mins(1);
/// The same for one that the garbage collector is about to take away.
const LEAVING_WAIT: Duration = Duration::from_secs(1);

/// The tokens of an Agent, as its Secret holds them now.
#[derive(Debug)]
pub(super) struct Token {
    current: SecretString,
    next: Option<SecretString>,
    version: Option<String>,
    /// Time until it is to be replaced because of its age.
    ages_in: Option<Duration>,
}

impl Token {
    /// The one that belongs into the files.
    pub(super) fn for_files(&self) -> &SecretString {
        self.next.as_ref().unwrap_or(&self.current)
    }

    /// Whether the next one has not taken the other's place yet.
    pub(super) fn is_rotating(&self) -> bool {
        self.next.is_some()
    }

    /// When the pass after this one has to come, for the token's sake.
    pub(super) fn next_look(&self) -> Next {
        self.ages_in.map_or(Next::Change, Next::Within)
    }
}

impl Visit<'_> {
    /// The Agent as the tables of presence and tokens name it.
    pub(super) fn key(&self) -> AgentKey {
        presence::key(&self.agent)
    }

    /// Reads the Agent's tokens, and mints what is missing or due. `None` while nothing may be minted and there is none.
    pub(super) async fn tokens(&mut self) -> Result<Option<Token>, Stop> {
        let name = names::derived(&self.agent.name_any(), "token");
        let known_name = self.status.token_secret_name.clone();
        let stored = self
            .secrets()
            .get_opt(known_name.as_deref().unwrap_or(&name))
            .await?;
        let secret = match stored {
            Some(secret) if self.owns(&secret) => Some(secret),
            Some(secret) if self.owned_before(&secret) => {
                let message = format!(
                    "Secret {name} is of an Agent of this name that was deleted, and is about to go with it."
                );
                self.judge(Judgement::unknown(TOKEN_READY, Reason::Pending, message));
                return Err(Stop::Judged(Next::Within(LEAVING_WAIT)));
            }
            Some(_) => {
                let message = format!(
                    "Secret {name} exists and is not this Agent's, so it is left alone, and the agent's token has no place. Delete it if nobody needs it; this Agent goes on by itself within a minute."
                );
                self.judge(Judgement::fails(TOKEN_READY, Reason::SecretExists, message));
                self.context.directory.set_tokens(&self.key(), []);
                return Err(Stop::Judged(Next::Within(TAKEN_WAIT)));
            }
            None => None,
        };
        let mut token = secret.as_ref().and_then(read);
        let minted = secret.as_ref().and_then(minted_at);
        if let Some(token) = &token {
            let valid = std::iter::once(&token.current).chain(&token.next);
            self.context.directory.add_tokens(&self.key(), valid);
        } else if known_name.is_some() {
            self.context.directory.add_tokens(&self.key(), []);
        }
        if self.frozen {
            return Ok(token);
        }
        let stored = Stored {
            has_current: token.is_some(),
            has_next: token.as_ref().is_some_and(|token| token.next.is_some()),
            minted,
        };
        let spec = self.agent.spec.token.clone().unwrap_or_default();
        let every = spec.rotate_every.as_deref().and_then(parse_every);
        let every = every.and_then(|every| SignedDuration::try_from(every).ok());
        let asked = Once::RotateToken.due(&self.agent, self.status.recorded.as_ref());
        match token::decide(stored, asked.is_some(), every, Timestamp::now()) {
            Step::Keep(left) => {
                if let Some(token) = &mut token {
                    token.ages_in = left.and_then(|left| Duration::try_from(left).ok());
                }
            }
            Step::Mint => token = Some(self.mint(&name, secret.as_ref()).await?),
            Step::MintNext => {
                if let (Some(token), Some(secret)) = (&mut token, &secret) {
                    let next = mint();
                    let patch = json!({
                        "metadata": {
                            "resourceVersion": secret.resource_version(),
                            "annotations": {MINTED_AT: now()},
                        },
                        "data": {NEXT: bytes(&next)},
                    });
                    let written = self.patch_secret(&secret.name_any(), &patch).await?;
                    self.context.directory.add_tokens(&self.key(), [&next]);
                    token.version = written.resource_version();
                    token.next = Some(next);
                }
            }
        }
        // The Secret tells that the rotation was begun, so it is begun once, whatever comes between the two.
        if asked.is_some() {
            Once::RotateToken.done(&self.agent, &mut self.status.recorded);
        }
        self.status.token_secret_name = Some(known_name.unwrap_or(name));
        self.judge_token(token.as_ref());
        Ok(token)
    }

    fn judge_token(&mut self, token: Option<&Token>) {
        let name = self.status.token_secret_name.clone().unwrap_or_default();
        if token.is_some_and(|token| token.next.is_some()) {
            let until = if places::is_moving(&self.status) {
                "the agent has left the gateway that it moves from"
            } else {
                "the gateway has confirmed them"
            };
            let said = format!(
                "The next token stands in Secret {name} and goes into the agent's files; until {until} both are taken."
            );
            self.judge(Judgement::holds(TOKEN_READY, Reason::Rotating, said));
        } else {
            let said = format!("The agent's token stands in Secret {name}.");
            self.judge(Judgement::holds(TOKEN_READY, Reason::Issued, said));
        }
    }

    /// The files are confirmed: from now on only the token in them is taken. Not yet while the agent leaves another gateway: its files
    /// there carry the one before, and it may still run there.
    pub(super) async fn settle_token(&mut self, token: &mut Token) -> Result<(), ReconcileError> {
        if token.next.is_some() && places::is_moving(&self.status) {
            self.judge_token(Some(token));
            return Ok(());
        }
        let name = self.status.token_secret_name.clone().unwrap_or_default();
        if let Some(next) = token.next.take() {
            // As long as the Secret tells that the rotation was begun, so that nobody begins another one for the same value.
            if self.status.recorded
                != self
                    .agent
                    .status
                    .as_ref()
                    .and_then(|status| status.recorded.clone())
            {
                self.write_status().await?;
            }
            let patch = json!({
                "metadata": {"resourceVersion": token.version},
                "data": {TOKEN: bytes(&next), NEXT: null},
            });
            self.patch_secret(&name, &patch).await?;
            token.current = next;
            self.event(
                "TokenRotated",
                "The agent has a new token: the gateway confirmed the file that carries it, and the old one is not taken any more.",
            );
        }
        self.context
            .directory
            .set_tokens(&self.key(), [&token.current]);
        self.judge_token(None);
        Ok(())
    }

    /// Mints the first token, or another where the Secret lost it.
    async fn mint(&mut self, name: &str, stored: Option<&Secret>) -> Result<Token, Stop> {
        let namespace = self.agent.namespace().unwrap_or_default();
        // Nothing can be created there any more, and the Agent goes too.
        if self.context.world.is_terminating(&namespace) {
            return Err(Stop::Judged(Next::Change));
        }
        let token = mint();
        // Before it is stored: a crash between the two leaves an index that ends with the process.
        self.context.directory.add_tokens(&self.key(), [&token]);
        let annotations = BTreeMap::from([(MINTED_AT.to_owned(), now())]);
        let written = if let Some(stored) = stored {
            let patch = json!({
                "metadata": {"resourceVersion": stored.resource_version(), "annotations": annotations},
                "data": {TOKEN: bytes(&token), NEXT: null},
            });
            self.patch_secret(&stored.name_any(), &patch).await?
        } else {
            let managed = (
                "app.kubernetes.io/managed-by".to_owned(),
                FIELD_MANAGER.to_owned(),
            );
            let secret = Secret {
                metadata: ObjectMeta {
                    name: Some(name.to_owned()),
                    namespace: Some(namespace),
                    labels: Some(BTreeMap::from([managed])),
                    annotations: Some(annotations),
                    owner_references: self.owner().map(|owner| vec![owner]),
                    ..ObjectMeta::default()
                },
                type_: Some("Opaque".to_owned()),
                data: Some(BTreeMap::from([(TOKEN.to_owned(), bytes(&token))])),
                ..Secret::default()
            };
            self.secrets()
                .create(&PostParams::default(), &secret)
                .await?
        };
        if self.status.token_secret_name.is_some() {
            self.event(
                "TokenMinted",
                &format!("Secret {name} had lost the agent's token: a new one was minted and goes into the agent's files."),
            );
        }
        Ok(Token {
            current: token,
            next: None,
            version: written.resource_version(),
            ages_in: None,
        })
    }

    /// Whether the Secret is this Agent's.
    fn owns(&self, secret: &Secret) -> bool {
        let uid = self.agent.uid();
        secret
            .owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == uid.as_ref())
    }

    /// Whether it was of another Agent of this name. That one is gone, and the Secret goes with it: its token must not come back to life.
    fn owned_before(&self, secret: &Secret) -> bool {
        let name = self.agent.name_any();
        secret.owner_references().iter().any(|owner| {
            owner.kind == Agent::kind(&())
                && owner.api_version == Agent::api_version(&())
                && owner.name == name
        })
    }

    fn owner(&self) -> Option<OwnerReference> {
        // Without `blockOwnerDeletion`, which takes rights on the Agent's finalizers in some clusters.
        self.agent.owner_ref(&()).map(|owner| OwnerReference {
            controller: Some(true),
            ..owner
        })
    }

    fn secrets(&self) -> Api<Secret> {
        let namespace = self.agent.namespace().unwrap_or_default();
        Api::namespaced(self.context.clients.request.clone(), &namespace)
    }

    async fn patch_secret(
        &self,
        name: &str,
        patch: &serde_json::Value,
    ) -> Result<Secret, kube::Error> {
        self.secrets()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
    }
}

/// The tokens in a Secret; nothing where the current one is missing or cannot be one of ours.
fn read(secret: &Secret) -> Option<Token> {
    let text = |key: &str| {
        let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
        let text = std::str::from_utf8(bytes).ok()?;
        is_token(text).then(|| SecretString::from(text.to_owned()))
    };
    Some(Token {
        current: text(TOKEN)?,
        next: text(NEXT),
        version: secret.resource_version(),
        ages_in: None,
    })
}

/// What can stand in a header, a file and a line for a shell as it is, and cannot be guessed.
fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (32..=256).contains(&text.len()) && text.bytes().all(is_plain)
}

fn minted_at(secret: &Secret) -> Option<Timestamp> {
    secret.annotations().get(MINTED_AT)?.parse().ok()
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// 32 random bytes, URL-safe: 43 characters.
fn mint() -> SecretString {
    let bytes: [u8; 32] = rand::random();
    BASE64URL_NOPAD.encode(&bytes).into()
}

fn bytes(text: &SecretString) -> ByteString {
    ByteString(text.expose_secret().as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_token_has_32_bytes_and_is_read_back_from_its_secret() {
        let (first, second) = (mint(), mint());
        assert_eq!(first.expose_secret().len(), 43);
        assert_ne!(first.expose_secret(), second.expose_secret());
        let mut secret = Secret {
            data: Some(BTreeMap::from([(TOKEN.to_owned(), bytes(&first))])),
            ..Secret::default()
        };
        let stored = read(&secret).unwrap();
        assert_eq!(stored.for_files().expose_secret(), first.expose_secret());
        let data = secret.data.get_or_insert_default();
        data.insert(NEXT.to_owned(), bytes(&second));
        let stored = read(&secret).unwrap();
        assert_eq!(stored.for_files().expose_secret(), second.expose_secret());
    }

    #[test]
    fn what_a_shell_could_not_quote_or_somebody_could_guess_is_no_token() {
        let long = "x".repeat(32);
        assert!(is_token(&long));
        for text in [
            "",
            "short",
            &format!("{long}'"),
            &format!("{long}\n"),
            &"x".repeat(257),
        ] {
            assert!(!is_token(text), "{text:?}");
        }
    }
}
