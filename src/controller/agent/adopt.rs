//! Takes over an agent that was on the gateway before: every text that is about to be overwritten is kept in a Secret first.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret, jiff::Timestamp};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    api::{
        agent::{Place, PlaceState},
        condition::{ACCEPTED, Judgement},
        owner,
        reason::Reason,
    },
    controller::{
        agent::{
            accept::Accepted,
            observe::Marking,
            visit::{Stop, Target, Visit},
        },
        runner::{Next, ReconcileError},
    },
    gateway::Link,
    kube::secret,
    plan::{
        adoption::{self, CHECKLIST, Found},
        agent::{SeenChecklist, Step},
        entry::{HEARTBEAT, Keys},
        names, places,
        render::{Policy, Workspace},
    },
};

/// Time between two looks whether the name of the Secret is free: Secrets are not watched.
const SECRET_WAIT: Duration = Duration::from_secs(30);

/// What was found under the id.
pub(super) struct Stranger<'a> {
    pub(super) accepted: &'a Accepted,
    pub(super) link: &'a Link,
    pub(super) entry: &'a Value,
    pub(super) marking: Marking,
}

/// Old texts that are in a Secret.
struct Kept {
    /// Its name.
    secret: String,
    /// Some of them were not in it before.
    is_new: bool,
}

impl Visit<'_> {
    /// Refuses an agent that is on the gateway and not ours or, where that is declared, makes it ours. Ends the pass: from the next one
    /// on it is judged as one that was adopted.
    pub(super) async fn meet(&mut self, stranger: Stranger<'_>, workspace: &Workspace) -> Stop {
        let Stranger { accepted, .. } = stranger;
        // A claim that was never used is worth nothing now.
        places::forget(&mut self.status, &accepted.gateway_uid);
        let own_namespace =
            Some(&accepted.gateway_name.namespace) == self.agent.namespace().as_ref();
        let found = Found {
            agent_id: &accepted.agent_id,
            entry: stranger.entry,
            mark: stranger.marking.mark(),
            is_readable: !matches!(stranger.marking, Marking::Refused),
        };
        let spec = &self.agent.spec;
        if let Err(refusal) = adoption::judge(spec, found, &accepted.gateway, own_namespace) {
            return self.stop(Judgement::fails(ACCEPTED, refusal.reason, refusal.message));
        }
        match self.adopt(&stranger, workspace).await {
            Ok(()) => Stop::Judged(Next::Within(Duration::ZERO)),
            Err(stop) => stop,
        }
    }

    async fn adopt(&mut self, stranger: &Stranger<'_>, workspace: &Workspace) -> Result<(), Stop> {
        let Stranger { accepted, link, .. } = stranger;
        let id = &accepted.agent_id;
        let enforced = workspace.files.iter();
        let enforced = enforced.filter(|file| file.policy == Policy::Enforce);
        let mut texts = Vec::new();
        for file in enforced {
            let there = link.files_get(id, file.name.as_str()).await?;
            texts.extend(there.content.map(|text| (file.name.to_string(), text)));
        }
        let heartbeat = self.agent.spec.heartbeat.as_ref();
        if heartbeat.is_some_and(|heartbeat| heartbeat.checklist.is_some()) {
            let newer = Some(Instant::now());
            let observed = self.context.pool.observe(&accepted.gateway_uid, newer);
            let observed = observed.await?;
            if let Some(job) = observed.heartbeat_job(id) {
                let there = link.scratch_get(&job.id).await?;
                texts.extend(there.content.map(|text| (CHECKLIST.to_owned(), text)));
            }
        }
        self.hold().await?;
        let kept = self.keep(texts).await?;
        let place = Place {
            gateway_uid: accepted.gateway_uid.clone(),
            agent_id: id.clone(),
            state: PlaceState::Adopting,
            gateway: accepted.gateway_name.clone(),
            adopted: true,
            ..Place::default()
        };
        places::claim(&mut self.status, place, Vec::new(), Timestamp::now());
        self.write_status().await?;
        let kept = kept.map_or_else(
            || "There was no text to be kept.".to_owned(),
            |kept| {
                let secret = kept.secret;
                format!("The texts that are overwritten are kept in Secret {secret}.")
            },
        );
        self.event(
            "Adopted",
            &format!(
                "The agent {id:?}, which was on Gateway {} before, is this Agent's now. What its spec does not name of name, model and heartbeat stays as it is, and so do its Seed files. {kept}",
                accepted.gateway_name.name
            ),
        );
        Ok(())
    }

    /// Before a text of an adopted agent is overwritten that is not ours: keeps what is there by now. What changes after this look is not
    /// overwritten, because every write names what it replaces.
    pub(super) async fn keep_replaced(
        &mut self,
        target: &Target,
        steps: &[Step],
    ) -> Result<(), Stop> {
        let Some(state) = places::present(&self.status)
            .filter(|place| place.adopted)
            .map(|place| place.state)
        else {
            return Ok(());
        };
        let (link, id) = (&target.link, &target.accepted.agent_id);
        let mut texts = Vec::new();
        for step in steps {
            match step {
                Step::WriteFile { name, .. } => {
                    if adoption::is_ours(&self.status.files, *name) {
                        continue;
                    }
                    let there = link.files_get(id, name.as_str()).await?;
                    texts.extend(there.content.map(|text| (name.to_string(), text)));
                }
                Step::WriteChecklist { .. } if self.status.checklist.is_some() => {}
                Step::WriteChecklist { .. } => {
                    let Some(job) = target.monitor.as_deref() else {
                        continue;
                    };
                    let there = link.scratch_get(job).await?;
                    texts.extend(there.content.map(|text| (CHECKLIST.to_owned(), text)));
                }
            }
        }
        let names: Vec<_> = texts.iter().map(|(name, _)| name.clone()).collect();
        let kept = self.keep(texts).await?;
        // Of those that were there when the agent was adopted the event on that has told.
        if let Some(Kept { secret, .. }) =
            kept.filter(|kept| kept.is_new && state != PlaceState::Adopting)
        {
            let note = format!(
                "The agent was adopted, and what it had is kept in Secret {secret} before it is overwritten: {}.",
                names.join(", ")
            );
            self.event("TextsKept", &note);
        }
        Ok(())
    }

    /// Puts texts into the Agent's Secret, unless they are in it. Answers where they are, if there is anything to keep.
    async fn keep(&mut self, mut texts: Vec<(String, String)>) -> Result<Option<Kept>, Stop> {
        texts.retain(|(_, text)| !text.is_empty());
        if texts.is_empty() {
            return Ok(None);
        }
        let name = names::derived(&self.agent.name_any(), "adopted");
        let namespace = self.agent.namespace().unwrap_or_default();
        let api = Api::<Secret>::namespaced(self.context.clients.request.clone(), &namespace);
        let there = api.get_opt(&name).await?;
        if let Some(there) = &there
            && !owner::is_owned_by(there, &*self.agent)
        {
            let message = format!(
                "The agent's old texts are to be kept in Secret {name}, which exists and is not this Agent's, and nothing is overwritten before. Delete it if nobody needs it; this Agent goes on by itself."
            );
            self.judge(Judgement::fails(ACCEPTED, Reason::SecretExists, message));
            return Err(Stop::Judged(Next::Within(SECRET_WAIT)));
        }
        let kept = there.as_ref().and_then(|there| there.data.clone());
        let kept = kept.unwrap_or_default().into_iter();
        let kept = kept.map(|(name, text)| (name, text.0)).collect();
        let Some(missing) = adoption::to_keep(&kept, &texts) else {
            let message = format!(
                "The agent's old texts are larger than what one Secret can keep ({} bytes), and nothing is overwritten that is not kept. Shorten them on the gateway, or give files the policy Seed or Ignore.",
                adoption::MOST_KEPT
            );
            return Err(self.stop(Judgement::fails(
                ACCEPTED,
                Reason::AdoptionTooLarge,
                message,
            )));
        };
        if missing.is_empty() {
            let (secret, is_new) = (name, false);
            return Ok(Some(Kept { secret, is_new }));
        }
        let missing: BTreeMap<_, _> = missing
            .into_iter()
            .map(|(name, text)| (name, ByteString(text)))
            .collect();
        let written = if let Some(there) = there {
            // Over what was read, and nothing else.
            let patch = json!({
                "metadata": {"resourceVersion": there.resource_version()},
                "data": missing,
            });
            api.patch(&name, &PatchParams::default(), &Patch::Merge(patch))
                .await
        } else {
            let secret = secret::owned(&*self.agent, &name, missing);
            api.create(&PostParams::default(), &secret).await
        };
        written.map_err(ReconcileError::from)?;
        let (secret, is_new) = (name, true);
        Ok(Some(Kept { secret, is_new }))
    }

    /// These keys of the entry or, of an adopted agent, those among them that are ours.
    pub(super) fn own_part(&self, accepted: &Accepted, keys: Keys) -> Keys {
        if self.is_adopted(accepted) {
            adoption::named(&self.agent.spec, keys)
        } else {
            keys
        }
    }

    /// What is ours of an adopted agent's heartbeat may go, and the agent must not fall silent by that.
    pub(super) fn keep_block(&mut self, target: &mut Target) {
        // Only ever ours until what is written has been confirmed.
        self.status.own_keys.retain(|path| path != HEARTBEAT);
        let id = &target.accepted.agent_id;
        let config = &target.observed.config;
        let others_beat = adoption::others_beat(config.entries(), id);
        let keeps = |place: &Place| {
            let (keys, own_keys) = (&target.keys, &self.status.own_keys);
            config.entry(id).is_some_and(|entry| {
                adoption::keeps_empty_block(place, keys, own_keys, entry, others_beat)
            })
        };
        if places::present(&self.status).is_some_and(keeps) {
            target.keys.insert(HEARTBEAT.to_owned(), json!({}));
        }
    }

    /// The checklist as the plan is to see it: one that an adopted agent had, and that stays, is not looked at.
    pub(super) fn own_checklist(&self, target: &Target, seen: SeenChecklist) -> SeenChecklist {
        let is_there = matches!(seen, SeenChecklist::Some { .. });
        let was_written = self.status.checklist.is_some();
        let spec = &self.agent.spec;
        if self.is_adopted(&target.accepted)
            && !adoption::writes_checklist(spec, is_there, was_written)
        {
            return SeenChecklist::NoMonitor;
        }
        seen
    }

    /// Whether an agent that was there before is the one at this place.
    pub(super) fn is_adopted(&self, accepted: &Accepted) -> bool {
        places::present_at(&self.status, &accepted.destination()).is_some_and(|place| place.adopted)
    }
}
