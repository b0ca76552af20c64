//! One pass over an Agent that is not being deleted: acceptance, texts, ownership, entry, files, status.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::SignedDuration;
use kube::{Resource, ResourceExt};
use secrecy::SecretString;
use tokio::time::Instant;

use crate::{
    api::{
        Agent, AgentStatus, Board, Gateway,
        annotation::RECONCILE_NOW,
        condition::{
            self, ACCEPTED, FILES_SYNCED, HEARTBEAT_CONFIGURED, Judgement, REGISTERED, TOKEN_READY,
            WOKEN,
        },
        heartbeat::parse_every,
        reason::Reason,
    },
    controller::{
        agent::{
            AgentTurn,
            accept::{Accepted, accept},
            text::{self, Texts},
            token::Token,
        },
        context::Context,
        runner::{Next, ReconcileError},
    },
    gateway::{Link, LinkState, Observed},
    plan::{
        adoption,
        agent_api::{self, Access},
        desired::{Desired, desired},
        entry::{self, Keys},
        once, pause, places,
        render::Workspace,
        replacement,
    },
};

/// When to look again at a config document that was broken.
const BROKEN_CONFIG_WAIT: Duration = Duration::from_secs(30);

/// A pass and the status it will end in.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of one pass, each asked by its name"
)]
pub(super) struct Visit<'a> {
    pub(super) context: &'a Context,
    pub(super) turn: &'a AgentTurn,
    pub(super) agent: Arc<Agent>,
    pub(super) status: AgentStatus,
    pub(super) judgements: Vec<Judgement>,
    /// The condition that an error would speak of.
    pub(super) phase: &'static str,
    /// Time between two heartbeats, once it is known.
    pub(super) every: Option<SignedDuration>,
    /// A pause keeps the agent from beating.
    pub(super) silenced: bool,
    /// A pause holds everything: nothing is minted.
    pub(super) frozen: bool,
    /// What is on the gateway was seen not to be as declared.
    pub(super) differs: bool,
    /// A person has asked for a look now.
    pub(super) asked: bool,
    /// The agent's entry was made in this pass, where there was none.
    pub(super) made: bool,
}

/// Why a pass ends before everything is as wanted.
pub(super) enum Stop {
    /// A judgement says why; there is nothing to retry.
    Judged(Next),
    /// Something failed; the pass is tried again.
    Failed(ReconcileError),
}

impl<E: Into<ReconcileError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What is to be on the gateway.
pub(super) struct Declared {
    pub(super) accepted: Accepted,
    pub(super) desired: Desired,
    /// Its keys of the entry.
    pub(super) keys: Keys,
    pub(super) texts: Texts,
    pub(super) workspace: Workspace,
    /// The agent's token; none while a pause keeps one from being minted.
    pub(super) token: Option<Token>,
}

/// What the pass reconciles, once it is known.
pub(super) struct Target {
    pub(super) accepted: Accepted,
    pub(super) desired: Desired,
    /// Its keys of the entry.
    pub(super) keys: Keys,
    pub(super) texts: Texts,
    pub(super) workspace: Workspace,
    pub(super) link: Link,
    pub(super) observed: Arc<Observed>,
    /// The id of the monitor that holds the checklist.
    pub(super) monitor: Option<String>,
}

impl<'a> Visit<'a> {
    pub(super) fn new(agent: Arc<Agent>, context: &'a Context, turn: &'a AgentTurn) -> Self {
        let status = agent.status.clone().unwrap_or_default();
        Self {
            context,
            turn,
            agent,
            status,
            judgements: Vec::new(),
            phase: ACCEPTED,
            every: None,
            silenced: false,
            frozen: false,
            differs: false,
            asked: false,
            made: false,
        }
    }

    /// Leads through the pass. The status is in the visit, whatever is answered.
    pub(super) async fn run(&mut self) -> Result<Next, ReconcileError> {
        let ended = self.converge().await;
        let ended = self.after_pause(ended).await;
        let online = self.judge_online().await;
        match ended {
            Ok(next) | Err(Stop::Judged(next)) => Ok(next.or_sooner(online)),
            Err(Stop::Failed(error)) if error.is_refusal() => {
                let message = format!(
                    "Refused: {error}. Change the spec, or what is in the way on the gateway; it is looked at again at the next comparison."
                );
                self.judge(Judgement::fails(self.phase, Reason::Rejected, message));
                Ok(Next::Change)
            }
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    async fn converge(&mut self) -> Result<Next, Stop> {
        once::begin(&self.agent, &mut self.status.recorded);
        self.follow_board().await?;
        if let Some(pause) = self.pause() {
            return self.paused(&pause).await;
        }
        self.status.pending.clear();
        self.judge(pause::not_paused());

        // Everything is rendered and checked before the gateway is asked anything.
        let Declared {
            accepted,
            desired,
            mut keys,
            texts,
            workspace,
            mut token,
        } = self.declared().await?;
        self.judge_move(&accepted);
        self.phase = REGISTERED;
        let link = self.link(&accepted)?;
        self.asked = self.is_look_asked_for();
        let observed = self
            .context
            .pool
            .observe(&accepted.gateway_uid, self.forced_look())
            .await?;
        // A document that cannot be read says nothing about who is in it: not that an id is free, and not that an entry is missing.
        if !observed.config.valid {
            return Err(self.broken_config(&accepted));
        }
        let must_be_absent = self
            .own(&accepted, &link, &observed, &keys, &workspace)
            .await?;
        if let Some(place) = places::present(&self.status).cloned() {
            adoption::give_back(&place, &mut keys, &mut self.status.own_keys);
            self.every_of_others(&keys, &observed, &place.agent_id);
        }
        self.recall_heartbeat(&observed, &accepted.agent_id);
        let monitor = observed
            .heartbeat_job(&accepted.agent_id)
            .map(|job| job.id.clone());
        let mut target = Target {
            accepted,
            desired,
            keys,
            texts,
            workspace,
            link,
            observed,
            monitor,
        };
        self.rounds(&mut target, must_be_absent).await?;
        self.complete(&target);
        let mut next = Next::Change;
        if let Some(token) = &mut token {
            self.settle_token(token, &target).await?;
            next = token.next_look();
        }
        self.judge_model(&target).await;
        let id = target.accepted.agent_id.clone();
        self.session(&target.link, &id).await?;
        // An agent that cannot be woken is as declared all the same, so everything else goes on, and this is told of last.
        let woken = self.wake(&target).await;
        let monitor = self.judge_heartbeat(&target);
        next = next.or_sooner(monitor);
        if matches!(monitor, Next::Within(_)) {
            self.readmit(&target).await;
        } else {
            next = self.settle_places(&target, token.as_mut(), next).await?;
        }
        self.phase = WOKEN;
        Ok(next.or_sooner(woken?))
    }

    /// Leaves the places that are not the agent's any more, and what waited for that.
    async fn settle_places(
        &mut self,
        target: &Target,
        token: Option<&mut Token>,
        next: Next,
    ) -> Result<Next, Stop> {
        let was_moving = places::is_moving(&self.status);
        let next = next.or_sooner(self.leave_others(&target.accepted).await?);
        if let Some(token) = token {
            // Gone from everywhere else, where its files may have kept it waiting.
            if was_moving {
                self.settle_token(token, target).await?;
            }
            // Asked for while another one was under way.
            if !token.is_rotating() && self.is_rotation_due() {
                return Ok(Next::Within(Duration::ZERO));
            }
        }
        Ok(next)
    }

    /// What is declared, where it is accepted and all of it can be rendered.
    pub(super) async fn declared(&mut self) -> Result<Declared, Stop> {
        let accepted = match accept(&self.agent, self.context) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                let judgement = if self.goes_with_its_owner(refusal.reason) {
                    Judgement::unknown(
                        ACCEPTED,
                        Reason::Pending,
                        "What made this Agent was deleted, and this Agent is about to go with it.",
                    )
                } else {
                    Judgement::fails(ACCEPTED, refusal.reason, refusal.message)
                };
                self.judge(judgement);
                // What was registered before stays on the gateway, and its token is taken as before.
                if self.status.token_secret_name.is_some() {
                    self.frozen = true;
                    self.tokens().await?;
                }
                return Err(Stop::Judged(Next::Change));
            }
        };
        self.judge_accepted(&accepted);

        self.phase = TOKEN_READY;
        let token = self.tokens().await?;
        self.phase = FILES_SYNCED;
        let mut desired = desired(
            &self.agent,
            accepted.board.as_deref(),
            &accepted.gateway,
            accepted.agent_id.clone(),
        );
        let (lead, main) = accepted.others(&self.context.world);
        desired.name_others(lead, main);
        if self.is_adopted(&accepted) {
            // It stays where it is; the path is told with its files.
            desired.adopted = true;
            desired.workspace = None;
            desired.context.workspace_path.clear();
        }
        let is_here = places::present_at(&self.status, &accepted.destination()).is_some();
        if let (true, Some(path)) = (
            is_here && desired.context.workspace_path.is_empty(),
            &self.status.workspace_path,
        ) {
            desired.context.workspace_path.clone_from(path);
        }
        let gateway = &accepted.gateway.spec;
        let base_url = gateway.agent_api_url.as_ref();
        if let Some(url) = base_url.or(self.context.agent_api_url.as_ref()) {
            desired.context.base_url.clone_from(url);
        }
        let api = token.as_ref().and_then(|token| api_part(&desired, token));
        self.every = parse_every(&desired.heartbeat.every)
            .and_then(|every| SignedDuration::try_from(every).ok());
        let maps = replacement::maps(accepted.board.as_deref(), &accepted.gateway);
        let texts = match text::gather(&self.agent, &desired, &maps, api, self.context).await? {
            Ok(texts) => texts,
            Err(judgement) => return Err(self.stop(judgement)),
        };
        let workspace = texts
            .render(&desired.context, self.context)
            .map_err(|judgement| self.stop(judgement))?;
        if text::is_refused(&self.status) {
            // Whatever keeps the files from being written now, it is not the texts any more.
            let message = "The texts can be used now; the files are not confirmed yet.";
            self.judge(Judgement::unknown(FILES_SYNCED, Reason::Pending, message));
        }
        Ok(Declared {
            keys: self.own_part(&accepted, entry::keys(&desired)),
            accepted,
            desired,
            texts,
            workspace,
            token,
        })
    }

    /// Whether what is missing is what owns this Agent: the garbage collector is about to delete it, and nobody has to do anything.
    fn goes_with_its_owner(&self, reason: Reason) -> bool {
        let kind = match reason {
            Reason::BoardNotFound => Board::kind(&()),
            Reason::GatewayNotFound => Gateway::kind(&()),
            _ => return false,
        };
        let owners = self.agent.owner_references();
        owners
            .iter()
            .any(|owner| owner.kind == kind && owner.controller == Some(true))
    }

    /// The link to the gateway, if it is up and can do what is needed.
    fn link(&mut self, accepted: &Accepted) -> Result<Link, Stop> {
        let name = &accepted.gateway_name.name;
        let Some(link) = self.context.link(&accepted.gateway_uid) else {
            return Err(self.away(accepted));
        };
        if let LinkState::Up(hello) = &*link.state().borrow()
            && !hello.capabilities.missing().is_empty()
        {
            let message = format!(
                "Gateway {name} lacks what the operator needs; its condition Compatible says what."
            );
            return Err(self.stop(Judgement::unknown(
                REGISTERED,
                Reason::GatewayNotReady,
                message,
            )));
        }
        Ok(link)
    }

    /// A short outage changes nothing on an Agent that was judged at this generation; a longer one is said once.
    fn away(&mut self, accepted: &Accepted) -> Stop {
        let settings = &self.context.settings;
        let down_for = self.context.down_for(&accepted.gateway_uid);
        let left = settings
            .unreachable_after
            .saturating_sub(down_for.unwrap_or_default());
        let judged = self.status.observed_generation == self.agent.metadata.generation
            && !self.is_elsewhere(accepted);
        if judged && !left.is_zero() {
            return Stop::Judged(Next::Within(left));
        }
        // No cause and no time in the text: it must not change while the outage lasts.
        let message = format!(
            "Gateway {} is not connected; its own conditions say why. What is on the gateway stays as it is, and this Agent goes on by itself.",
            accepted.gateway_name.name
        );
        self.stop(Judgement::unknown(
            REGISTERED,
            Reason::GatewayUnreachable,
            message,
        ))
    }

    /// Nothing can be compared while the gateway's config document is broken. An Agent that was Ready stays so: the running gateway goes on
    /// with the last valid document.
    fn broken_config(&mut self, accepted: &Accepted) -> Stop {
        if !self.was_ready() || self.is_elsewhere(accepted) {
            let message = format!(
                "The config document of Gateway {} is broken, so nothing is read from it or written to it. Repair it on the gateway (openclaw doctor); this Agent goes on by itself.",
                accepted.gateway_name.name
            );
            self.judge(Judgement::unknown(
                REGISTERED,
                Reason::GatewayNotReady,
                message,
            ));
        }
        Stop::Judged(Next::Within(BROKEN_CONFIG_WAIT))
    }

    /// Where somebody asked for a reconcile now, or a monitor is waited for, only a look from now on will do.
    fn forced_look(&self) -> Option<Instant> {
        let waits = condition::find(&self.status.conditions, HEARTBEAT_CONFIGURED)
            .is_some_and(|it| it.reason == Reason::Pending.as_str());
        let waits = waits && !self.is_first_registration();
        (waits || self.asked).then(Instant::now)
    }

    fn is_look_asked_for(&self) -> bool {
        let uid = self.agent.uid().unwrap_or_default();
        let asked = self.agent.annotations().get(RECONCILE_NOW);
        asked.is_some_and(|asked| self.context.is_first_sight(&uid, asked))
    }

    /// A heartbeat that the gateway does not schedule: it may remember that somebody deleted an agent of this id once. Asked once a process.
    async fn readmit(&self, target: &Target) {
        let id = &target.accepted.agent_id;
        let uid = self.agent.uid().unwrap_or_default();
        let boot = target.link.hello().map(|hello| hello.boot_id.clone());
        if !boot.is_some_and(|boot| self.context.is_first_readmission(&uid, &boot)) {
            return;
        }
        match target.link.agents_readmit(id).await {
            Ok(true) => tracing::info!(agent_id = id, "had the gateway forget an old deletion"),
            Ok(false) => {}
            Err(error) => tracing::debug!(agent_id = id, %error, "not readmitted"),
        }
    }
}

/// The part of `AGENTS.md` that tells the agent of the API, where it can be reached.
fn api_part(desired: &Desired, token: &Token) -> Option<SecretString> {
    let facts = &desired.context;
    let access = Access {
        base_url: facts.base_url.clone(),
        token: token.for_files().clone(),
    };
    let is_served = !facts.base_url.is_empty();
    is_served.then(|| agent_api::tools(facts.role, facts.board.is_some(), &access).into())
}
