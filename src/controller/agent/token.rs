//! The agent's token: kept in a Secret that the Agent owns, minted and replaced as `plan::token` says.
//!
//! The order is what keeps an agent from ever holding a token that nobody takes: the Secret first, then the files, and only when the
//! gateway has confirmed them the next token takes the other's place.

mod stored;

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::core::v1::Secret,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::{
    api::{
        Agent,
        annotation::{MINTED_AT, MINTED_FOR},
        condition::{Judgement, TOKEN_READY},
        heartbeat::parse_every,
        owner,
        reason::Reason,
    },
    controller::{
        agent::visit::{Stop, Target, Visit},
        context::Context,
        runner::Next,
    },
    gateway::{CallError, Class},
    kube::secret,
    plan::{
        names,
        once::Once,
        places,
        render::{FileName, Policy},
        token::{self, Held, Step, Stored},
    },
    presence::AgentKey,
};

pub(super) use stored::Token;
use stored::{NEXT, TOKEN, bytes, mint, minted_at, minted_for, now, read};

/// When to look again for a Secret of somebody else's: nobody tells us when it goes.
const TAKEN_WAIT: Duration = Duration::from_mins(1);
/// The same for one that the garbage collector is about to take away.
const LEAVING_WAIT: Duration = Duration::from_secs(1);

impl Visit<'_> {
    /// The Agent as the tables of presence and tokens name it.
    pub(super) fn key(&self) -> AgentKey {
        AgentKey::of(&self.agent)
    }

    /// Reads the Agent's tokens, and mints what is missing or due. `None` while nothing may be minted and there is none.
    pub(super) async fn tokens(&mut self) -> Result<Option<Token>, Stop> {
        let known_name = self.status.token_secret_name.clone();
        let name = known_name.clone();
        let name = name.unwrap_or_else(|| secret_name(&self.agent));
        let stored = secrets(&self.agent, self.context).get_opt(&name).await?;
        let secret = match stored {
            Some(secret) if owner::is_owned_by(&secret, &*self.agent) => Some(secret),
            // Its token must not come back to life.
            Some(secret) if is_left_over(&self.agent, &secret) => {
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
                // What was known before is taken as before: it may stand in the agent's file.
                self.context.directory.add_tokens(&self.key(), []);
                return Err(Stop::Judged(Next::Within(TAKEN_WAIT)));
            }
            None => None,
        };
        let mut token = secret.as_ref().and_then(read);
        let minted = secret.as_ref().and_then(minted_at);
        if let Some(token) = &token {
            self.context.directory.add_tokens(&self.key(), token.all());
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
        // The Secret tells which values the newest token was minted for, so each is acted on once, whatever came between the two.
        if let Some(values) = secret.as_ref().and_then(minted_for) {
            Once::RotateToken.done_for(&self.agent, &mut self.status.recorded, &values);
        }
        let step = token::decide(stored, self.is_rotation_due(), every, Timestamp::now());
        match step {
            Step::Keep(left) => {
                if let Some(token) = &mut token {
                    token.ages_in = left.and_then(|left| Duration::try_from(left).ok());
                }
            }
            Step::Mint => {
                token = Some(self.mint(&name, secret.as_ref()).await?);
                self.rotation_begun();
            }
            Step::MintNext => {
                if let (Some(token), Some(secret)) = (&mut token, &secret) {
                    let next = mint();
                    let patch = json!({
                        "metadata": {
                            "resourceVersion": secret.resource_version(),
                            "annotations": {MINTED_AT: now(), MINTED_FOR: self.asked_for()},
                        },
                        "data": {NEXT: bytes(&next)},
                    });
                    let written = self.patch_secret(&secret.name_any(), &patch).await?;
                    self.context.directory.add_tokens(&self.key(), [&next]);
                    token.version = written.resource_version();
                    token.next = Some(next);
                    self.rotation_begun();
                }
            }
        }
        self.status.token_secret_name = Some(name);
        let is_rotating = token.as_ref().is_some_and(Token::is_rotating);
        let held = token::held(places::is_moving(&self.status), false);
        self.judge_token(is_rotating, held);
        Ok(token)
    }

    /// Whether a rotation is asked for that was not begun yet.
    pub(super) fn is_rotation_due(&self) -> bool {
        let recorded = self.status.recorded.as_ref();
        Once::RotateToken.due(&self.agent, recorded).is_some()
    }

    fn rotation_begun(&mut self) {
        if self.is_rotation_due() {
            Once::RotateToken.done(&self.agent, &mut self.status.recorded);
        }
    }

    /// The values that a token is minted for now, as the Secret keeps them; null where it is for another cause.
    fn asked_for(&self) -> Value {
        let asked = Once::RotateToken.asked(&self.agent);
        let is_due = self.is_rotation_due();
        let text = is_due.then(|| serde_json::to_string(&asked).ok()).flatten();
        text.map_or(Value::Null, Value::String)
    }

    fn judge_token(&mut self, is_rotating: bool, held: Option<Held>) {
        let name = self.status.token_secret_name.clone().unwrap_or_default();
        let said = match held {
            _ if !is_rotating => {
                let said = format!("The agent's token stands in Secret {name}.");
                self.judge(Judgement::holds(TOKEN_READY, Reason::Issued, said));
                return;
            }
            None => format!(
                "The next token stands in Secret {name} and goes into the agent's files; until the gateway has confirmed them both are taken."
            ),
            Some(Held::Moving) => format!(
                "The next token stands in Secret {name} and goes into the agent's files; until the agent has left the gateway that it moves from both are taken."
            ),
            Some(Held::InFile) => format!(
                "The next token stands in Secret {name}, key {NEXT}. AGENTS.md carries the one before and is not the operator's to write, so both are taken. Give AGENTS.md the policy Enforce, or put the next token there by hand."
            ),
        };
        self.judge(Judgement::holds(TOKEN_READY, Reason::Rotating, said));
    }

    /// The files are as wanted: from now on only the token in them is taken. Not yet while the agent leaves another gateway: its files
    /// there carry the one before, and it may still run there. And not while AGENTS.md carries it and is left alone.
    pub(super) async fn settle_token(
        &mut self,
        token: &mut Token,
        target: &Target,
    ) -> Result<(), Stop> {
        let is_moving = places::is_moving(&self.status);
        if token.is_rotating() {
            let is_in_file = !is_moving && is_in_file(target, &token.current).await?;
            if let Some(held) = token::held(is_moving, is_in_file) {
                self.judge_token(true, Some(held));
                return Ok(());
            }
        }
        if let Some(next) = token.next.take() {
            let name = self.status.token_secret_name.clone().unwrap_or_default();
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
        let (directory, key) = (&self.context.directory, self.key());
        if is_moving {
            // One that was lost with its Secret may still stand in the file on the other gateway.
            directory.add_tokens(&key, [&token.current]);
        } else {
            directory.set_tokens(&key, [&token.current]);
        }
        self.judge_token(false, None);
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
        let asked_for = self.asked_for();
        let written = if let Some(stored) = stored {
            let annotations = json!({MINTED_AT: now(), MINTED_FOR: asked_for});
            let patch = json!({
                "metadata": {"resourceVersion": stored.resource_version(), "annotations": annotations},
                "data": {TOKEN: bytes(&token), NEXT: null},
            });
            self.patch_secret(&stored.name_any(), &patch).await?
        } else {
            let data = BTreeMap::from([(TOKEN.to_owned(), bytes(&token))]);
            let mut secret = secret::owned(&*self.agent, name, data);
            let annotations = secret.annotations_mut();
            annotations.insert(MINTED_AT.to_owned(), now());
            if let Value::String(asked_for) = asked_for {
                annotations.insert(MINTED_FOR.to_owned(), asked_for);
            }
            secrets(&self.agent, self.context)
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

    async fn patch_secret(
        &self,
        name: &str,
        patch: &serde_json::Value,
    ) -> Result<Secret, kube::Error> {
        secrets(&self.agent, self.context)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
    }
}

/// Has the tokens of an Agent that is being deleted taken as before, as far as this process has not read them: it may run until it is gone.
pub(super) async fn recall(agent: &Agent, context: &Context) -> Result<(), kube::Error> {
    let name = agent.status.as_ref();
    let name = name.and_then(|status| status.token_secret_name.clone());
    let name = name.unwrap_or_else(|| secret_name(agent));
    let secret = secrets(agent, context).get_opt(&name).await?;
    let token = secret.filter(|secret| owner::is_owned_by(secret, agent));
    let token = token.as_ref().and_then(read);
    let valid = token.iter().flat_map(Token::all);
    context.directory.add_tokens(&AgentKey::of(agent), valid);
    Ok(())
}

/// Whether the token stands in an AGENTS.md that is not put back, so that no other takes its place there.
async fn is_in_file(target: &Target, token: &SecretString) -> Result<bool, CallError> {
    let mut files = target.workspace.files.iter();
    if files.any(|file| file.name == FileName::Agents && file.policy == Policy::Enforce) {
        return Ok(false);
    }
    let (id, name) = (&target.accepted.agent_id, FileName::Agents.as_str());
    match target.link.files_get(id, name).await {
        Ok(file) => Ok(file
            .content
            .is_some_and(|text| text.contains(token.expose_secret()))),
        // Nobody can tell what the agent reads there.
        Err(error) if error.class() == Class::Rejected => Ok(true),
        Err(error) => Err(error),
    }
}

fn is_left_over(agent: &Agent, secret: &Secret) -> bool {
    let uid = agent.uid();
    owner::is_left_over::<Agent>(&agent.name_any(), uid.as_deref(), &secret.metadata)
}

fn secret_name(agent: &Agent) -> String {
    names::derived(&agent.name_any(), "token")
}

fn secrets(agent: &Agent, context: &Context) -> Api<Secret> {
    let namespace = agent.namespace().unwrap_or_default();
    Api::namespaced(context.clients.request.clone(), &namespace)
}
