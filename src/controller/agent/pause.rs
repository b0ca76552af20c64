//! A pass over an Agent that is paused: it is kept from beating, unless its whole gateway is left alone, and what waits is said.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::{
    api::condition::{ACCEPTED, HEARTBEAT_CONFIGURED},
    controller::{
        agent::{
            accept::Accepted,
            visit::{Stop, Visit},
        },
        runner::Next,
    },
    gateway::{CallError, EntryWish, ForeignHeartbeats, WriteError},
    plan::{
        entry::{self, Keys},
        pause::{self, EVERY, NEVER, Pause},
        render::Workspace,
    },
};

impl Visit<'_> {
    /// Leads through the pass. `keys` and `workspace` are what is declared.
    pub(super) async fn paused(
        &mut self,
        pause: &Pause,
        accepted: &Accepted,
        keys: &Keys,
        workspace: &Workspace,
    ) -> Result<Next, Stop> {
        let is_registered = !self.status.places.is_empty() && !self.is_first_registration();
        let writes = is_registered && !matches!(pause, Pause::Gateway(_));
        self.status.pending = pause::pending(keys, workspace, &self.status);
        self.judge(pause.judge(is_registered, &self.status.pending));
        self.carry_over(false);
        if writes {
            self.phase = HEARTBEAT_CONFIGURED;
            self.silence(accepted).await?;
            self.carry_over(true);
        }
        Ok(Next::Change)
    }

    /// Says what was said before, but of what this pass has judged by itself.
    fn carry_over(&mut self, is_silenced: bool) {
        for judgement in pause::carried_over(&self.status, is_silenced) {
            if judgement.type_ != ACCEPTED {
                self.judge(judgement);
            }
        }
    }

    /// Switches the heartbeat off, and touches nothing else of the entry.
    async fn silence(&mut self, accepted: &Accepted) -> Result<(), Stop> {
        self.link(accepted)?;
        let pool = &self.context.pool;
        let uid = &accepted.gateway_uid;
        let observed = pool.observe(uid, None).await?;
        let every = observed.config.entry(&accepted.agent_id).map(|entry| {
            entry
                .pointer("/heartbeat/every")
                .is_some_and(|it| it == NEVER)
        });
        if !observed.config.valid {
            return Err(self.broken_config(accepted));
        }
        // One that somebody removed comes back when the pause ends.
        if every != Some(false) {
            return Ok(());
        }
        let writer = pool
            .writer(uid)
            .ok_or(CallError::Disconnected { sent: false })?;
        self.context.metrics.plan_step("write_entry");
        let wish = EntryWish {
            agent_id: accepted.agent_id.clone(),
            set: BTreeMap::from([(EVERY.to_owned(), json!(NEVER))]),
            unset: BTreeSet::new(),
            must_be_absent: false,
            was_there: true,
            may_be_created: false,
            foreign_heartbeats: ForeignHeartbeats::Keep,
        };
        match self.turn.lend(writer.apply(wish)).await {
            Ok(applied) => {
                let there = entry::taken(&applied.entry, &self.status.own_keys);
                self.status.entry_sha256 = Some(entry::digest(&there));
                Ok(())
            }
            // Somebody removed it meanwhile.
            Err(WriteError::WasDeleted) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
