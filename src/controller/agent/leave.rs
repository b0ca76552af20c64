//! Takes an agent off one gateway: because its Agent is being deleted, or because it has moved to another gateway. What is ours goes as
//! `deletionPolicy` says, what is not is never touched, and nothing hangs for ever.

use std::{pin::pin, sync::Arc, time::Duration};

use kube::{Resource, ResourceExt};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::{
    api::{
        Agent, Gateway,
        agent::{AgentStatus, DeletionPolicy, Place},
    },
    controller::{
        agent::{AgentTurn, own, text},
        context::Context,
        obstacles::{self, Obstacle, age_of_deletion},
        runner::ReconcileError,
    },
    gateway::{
        CallError, Deleted, EntryWish, ForeignHeartbeats, Link, Observed, WriteError, Writer,
    },
    plan::{
        adoption, agent as plan,
        leave::{Deadlines, Leaving, LeftGateway},
        mark, pause,
        render::FileName,
    },
};

/// How often it is looked during a try whether the short deadline holds by now and is over; it is the least that a try is given as well.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How long a gateway may take to show that it is at work, when the short deadline is over.
const ANSWER: Duration = Duration::from_secs(15);

/// One agent that is to go from one gateway.
pub(super) struct Leave<'a> {
    pub(super) agent: &'a Agent,
    /// The place that is left.
    pub(super) place: &'a Place,
    /// What is recorded of that place.
    pub(super) record: AgentStatus,
    /// How long ago it was asked for.
    pub(super) asked: Duration,
    /// The place where the agent has to stay, if it moves.
    pub(super) stays: Option<&'a Place>,
    pub(super) context: &'a Context,
    pub(super) turn: &'a AgentTurn,
}

/// How it stands.
pub(super) enum Left {
    /// Nothing of ours is there any more.
    Done(Done),
    /// It did not happen in time, and is not tried again. The note says what may be left there.
    GivenUp(String),
    /// It is tried again, for so long.
    Waits(Waits),
}

/// What was done; with a note for people, where there is something to say.
pub(super) enum Done {
    /// Nothing of ours was there, or it is the agent that has to stay.
    Nothing,
    /// The agent was deleted.
    Deleted(String),
    /// It stays, without our mark.
    Orphaned(String),
    /// The gateway does not let it go: our settings and our mark were taken out.
    Retired(String),
    /// It carries the mark of another by now, and was left alone.
    Anothers(String),
}

/// What it waits for.
pub(super) struct Waits {
    /// Time until it is given up.
    pub(super) left: Duration,
    /// How long this process has met what it waits for. Nothing, while that is a pause: somebody wants it to wait.
    pub(super) tried: Duration,
    /// The gateway's name and what keeps it.
    pub(super) what: String,
    /// What failed, if the gateway was asked.
    pub(super) error: Option<ReconcileError>,
    /// It waits for the end of a pause, however long that lasts.
    pub(super) for_pause: bool,
}

impl Leave<'_> {
    /// Tries to take the agent off the place.
    pub(super) async fn run(&self) -> Left {
        let (context, uid) = (self.context, &self.place.gateway_uid);
        let gateway = self.gateway();
        let is_paused = gateway.as_ref().is_some_and(|gateway| gateway.spec.paused);
        let Some(link) = context.link(uid).filter(|_| !is_paused) else {
            return self.not_yet(None);
        };
        match self.while_it_answers(self.clean(&link)).await {
            Ok(done) => {
                context.obstacles.forget(&self.key());
                Left::Done(done)
            }
            Err(error) => {
                // It was at work until now: what many deletions wait for each other is no time in which it failed.
                if is_answer(&error) && context.obstacles.is_first(&self.key(), Obstacle::Failing) {
                    context.obstacles.overcome(&self.key(), Obstacle::NotLeft);
                }
                self.not_yet(Some(error))
            }
        }
    }

    /// Waits for the end of a try: to the end where the gateway is at work, since deletions wait for each other there. But where the short
    /// deadline holds, one that takes calls and answers none is not waited for longer than one that is away.
    async fn while_it_answers(
        &self,
        clean: impl Future<Output = Result<Done, ReconcileError>>,
    ) -> Result<Done, ReconcileError> {
        let (context, uid) = (self.context, &self.place.gateway_uid);
        let mut clean = pin!(clean);
        loop {
            let begun = Instant::now();
            // The time counts from the first try on.
            let tried = context.obstacles.met(&self.key(), Obstacle::NotLeft);
            let gateway = self.gateway();
            let left = self
                .leaving(gateway.as_deref(), tried)
                .short_time(self.deadlines());
            let wait = left.unwrap_or_default().max(LOOK_AGAIN);
            if let Ok(ended) = timeout(wait, &mut clean).await {
                return ended;
            }
            if left.is_none() {
                continue;
            }
            // One look serves all who wait for this gateway.
            let answer = timeout(ANSWER, context.pool.observe(uid, Some(begun)));
            tokio::select! {
                ended = &mut clean => return ended,
                answer = answer => {
                    if !matches!(answer, Ok(Ok(_))) {
                        let (method, after) = ("any call", wait + ANSWER);
                        return Err(CallError::Deadline { method, after }.into());
                    }
                }
            }
        }
    }

    /// It did not happen yet, because the gateway is not there or, with an error, because it failed at it.
    pub(super) fn not_yet(&self, error: Option<ReconcileError>) -> Left {
        let (context, key, gateway) = (self.context, self.key(), self.gateway());
        let leaving = |tried| self.leaving(gateway.as_deref(), tried);
        let for_pause = leaving(Duration::ZERO).is_for_pause();
        let tried = if for_pause {
            // The time to try begins when the pause ends.
            context.obstacles.overcome(&key, Obstacle::NotLeft);
            Duration::ZERO
        } else {
            context.obstacles.met(&key, Obstacle::NotLeft)
        };
        let is_paused = gateway.as_ref().is_some_and(|gateway| gateway.spec.paused);
        let left = leaving(tried).time(self.deadlines());
        if left.is_zero() {
            context.obstacles.forget(&key);
            return Left::GivenUp(self.given_up(is_paused));
        }
        let why = if is_paused {
            "is paused"
        } else {
            "does not answer or could not delete the agent yet"
        };
        Left::Waits(Waits {
            left,
            tried,
            what: format!("Gateway {}, which {why}", self.place.gateway.name),
            error,
            for_pause,
        })
    }

    fn gateway(&self) -> Option<Arc<Gateway>> {
        let (world, place) = (&self.context.world, self.place);
        world.gateway_with_uid(&place.gateway, &place.gateway_uid)
    }

    /// What the obstacles on the way are known by.
    fn key(&self) -> String {
        let uid = self.agent.uid().unwrap_or_default();
        obstacles::within(&uid, &self.place.gateway_uid)
    }

    fn policy(&self) -> DeletionPolicy {
        self.agent.spec.deletion_policy.unwrap_or_default()
    }

    fn given_up(&self, is_paused: bool) -> String {
        let why = if is_paused {
            "is paused"
        } else {
            "did not do it in time"
        };
        let (name, id) = (&self.place.gateway.name, &self.place.agent_id);
        // Which gateway it was is not known any more: a Gateway object that was only renamed reaches the same one.
        let stays = self.stays.filter(|stays| stays.agent_id == *id);
        let unless = stays.map_or_else(String::new, |stays| {
            format!(
                " But if Gateway {} reaches the same gateway, it is the agent that this Agent has there: then leave it.",
                stays.gateway.name
            )
        });
        let note = match self.policy() {
            DeletionPolicy::Delete => format!(
                "Gateway {name} was to delete agent {id:?} and {why}, so it may still be there. Remove it by hand: openclaw agents delete {id}"
            ),
            DeletionPolicy::KeepFiles => format!(
                "Gateway {name} was to delete agent {id:?} and keep its files, and {why}, so it may still be there. Copy its files before you remove it by hand."
            ),
            DeletionPolicy::Orphan => format!(
                "Agent {id:?} stays on Gateway {name}, which {why}, so that the operator's mark may still stand at the end of its AGENTS.md."
            ),
        };
        note + &unless
    }

    /// Takes the agent off the gateway. What is missing counts as done.
    async fn clean(&self, link: &Link) -> Result<Done, ReconcileError> {
        let Self {
            agent,
            place,
            context,
            ..
        } = self;
        // Before the next look: it writes to the process that was there then, and to no later one.
        let writer = context
            .pool
            .writer(&place.gateway_uid)
            .ok_or(CallError::Disconnected { sent: false })?;
        if self.is_the_one_that_stays().await? {
            return Ok(Done::Nothing);
        }
        if !self.is_there_by_us(link).await? {
            return Ok(if plan::is_in_doubt(place) {
                Done::Nothing
            } else {
                Done::Anothers(format!(
                    "Agent {:?} on Gateway {} carries the mark of another Agent, or of another cluster's, by now: it was left alone, and its owner goes on with it.",
                    place.agent_id, place.gateway.name
                ))
            });
        }
        let policy = self.policy();
        let own = text::mark(agent, context);
        if policy == DeletionPolicy::Orphan {
            // While the mark says that it is ours.
            self.lift_pause(&writer).await?;
        }
        if policy != DeletionPolicy::Delete && !unmark(&place.agent_id, &own, link).await? {
            if self.look().await?.config.entry(&place.agent_id).is_some() {
                // In the document and not applied yet: its files are not within reach, and our mark may be in them.
                let agent_id = place.agent_id.clone();
                return Err(CallError::AgentNotFound { agent_id }.into());
            }
            if policy == DeletionPolicy::Orphan {
                return Ok(Done::Nothing);
            }
            // The writer, which waits for what is under way, has the last word.
        }
        let files = match policy {
            DeletionPolicy::Delete => "its files are in the gateway's trash",
            DeletionPolicy::KeepFiles => {
                "its files stay in its workspace, without the operator's mark"
            }
            DeletionPolicy::Orphan => {
                return Ok(Done::Orphaned(format!(
                    "Agent {:?} stays on Gateway {} as it is, without the operator's mark.",
                    place.agent_id, place.gateway.name
                )));
            }
        };
        context.metrics.plan_step("delete_agent");
        let with_files = policy == DeletionPolicy::Delete;
        match self
            .turn
            .lend(writer.delete(&place.agent_id, with_files))
            .await
        {
            Ok(Deleted::Deleted) => Ok(Done::Deleted(format!(
                "Agent {:?} was deleted on Gateway {}; {files}.",
                place.agent_id, place.gateway.name
            ))),
            Ok(Deleted::Missing) => Ok(Done::Nothing),
            Err(WriteError::Call(CallError::AgentCannotBeDeleted { message })) => {
                self.retire(&own, link, &writer).await?;
                Ok(Done::Retired(format!(
                    "The gateway does not delete agent {:?}: {}. Our heartbeat settings and mark were taken out, the agent stays. Remove it there once the gateway lets it go.",
                    place.agent_id,
                    message.trim_end_matches('.')
                )))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether this place is the agent that has to stay, because two Gateway objects reach one gateway. The gateway where it stays has to
    /// answer now and show it: what is known of its process is then no older than what is known of the other's.
    async fn is_the_one_that_stays(&self) -> Result<bool, ReconcileError> {
        let Some(stays) = self.stays else {
            return Ok(false);
        };
        let pool = &self.context.pool;
        let now = Some(Instant::now());
        let observed = pool.observe(&stays.gateway_uid, now).await?;
        if observed.config.agent(&stays.agent_id).is_none() {
            return Err(CallError::AgentNotFound {
                agent_id: stays.agent_id.clone(),
            }
            .into());
        }
        let sharing = pool.siblings(&self.place.gateway_uid);
        Ok(stays.agent_id == self.place.agent_id && sharing.contains(&stays.gateway_uid))
    }

    /// What is on the gateway from now on. A document that cannot be read says nothing about who is in it.
    pub(super) async fn look(&self) -> Result<Arc<Observed>, ReconcileError> {
        let now = Some(Instant::now());
        let observed = self.context.pool.observe(&self.place.gateway_uid, now);
        let observed = observed.await?;
        if observed.config.valid {
            return Ok(observed);
        }
        let message = "the config document is broken".to_owned();
        let issues = observed.config.issues.clone();
        Err(WriteError::ConfigInvalid { message, issues }.into())
    }

    /// Whether what stands there can be ours: a claim that the gateway never confirmed may never have been used, and somebody else may have
    /// made an agent of that id since, or have taken over the same one.
    pub(super) async fn is_there_by_us(&self, link: &Link) -> Result<bool, ReconcileError> {
        let (record, place) = (&self.record, self.place);
        let own = text::mark(self.agent, self.context);
        if !plan::is_in_doubt(place) {
            return Ok(own::is_ours(link, record, place, None, &own).await?);
        }
        let observed = self.look().await?;
        let Some(entry) = observed.config.agent(&place.agent_id) else {
            // Free: the writer, which waits for what is under way, has the last word.
            return Ok(true);
        };
        Ok(own::is_ours(link, record, place, Some(entry), &own).await?)
    }

    /// Takes our heartbeat and our mark out of an agent that the gateway never deletes.
    async fn retire(
        &self,
        own: &mark::Mark,
        link: &Link,
        writer: &Writer,
    ) -> Result<(), ReconcileError> {
        let (id, spec) = (&self.place.agent_id, &self.agent.spec);
        let observed = self.look().await?;
        let entry = observed.config.entry(id).unwrap_or(&Value::Null);
        let others_beat = adoption::others_beat(observed.config.entries(), id);
        let own_keys = &self.record.own_keys;
        let (set, unset) = pause::retired(spec, self.place, own_keys, entry, others_beat);
        let wish = EntryWish {
            set,
            unset,
            foreign_heartbeats: ForeignHeartbeats::Stop,
            ..EntryWish::of(id)
        };
        // Twice: an agent that is alone on a gateway can have another workspace once its entry has changed (seen on 2026.9.6).
        unmark(id, own, link).await?;
        writer.apply(wish).await?;
        unmark(id, own, link).await?;
        Ok(())
    }

    /// How it stands with the gateway that is left, and how long this process has `tried`.
    fn leaving(&self, gateway: Option<&Gateway>, tried: Duration) -> Leaving {
        let namespace = self.agent.namespace().unwrap_or_default();
        let deleted = |gateway: &Gateway| {
            let is_deleted = gateway.meta().deletion_timestamp.is_some();
            is_deleted.then(|| age_of_deletion(gateway))
        };
        Leaving {
            asked: self.asked,
            tried,
            namespace_goes: self.context.world.is_terminating(&namespace),
            gateway: gateway.map(|gateway| LeftGateway {
                is_paused: gateway.spec.paused,
                deleted: deleted(gateway),
            }),
        }
    }

    fn deadlines(&self) -> Deadlines {
        Deadlines {
            deletion: self.context.settings.deletion_deadline,
            teardown: self.context.settings.teardown_deadline,
        }
    }
}

/// Whether the gateway has said so, and not merely nothing.
fn is_answer(error: &ReconcileError) -> bool {
    !matches!(
        error,
        ReconcileError::Call(error) | ReconcileError::Write(WriteError::Call(error))
            if matches!(error, CallError::Deadline { .. } | CallError::Disconnected { .. })
    )
}

/// Takes our mark out of the agent's AGENTS.md, if it is there. Answers whether the agent is.
async fn unmark(agent_id: &str, own: &mark::Mark, link: &Link) -> Result<bool, ReconcileError> {
    let name = FileName::Agents.as_str();
    let file = match link.files_get(agent_id, name).await {
        Ok(file) => file,
        Err(CallError::AgentNotFound { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let text = file.content.as_deref();
    if let Some(text) = text.filter(|text| mark::Mark::find(text).as_ref() == Some(own)) {
        let unmarked = mark::strip(text);
        link.files_set(agent_id, name, unmarked, file.hash.as_deref())
            .await?;
    }
    Ok(true)
}
