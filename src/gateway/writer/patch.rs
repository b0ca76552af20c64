//! One turn of wishes: one read, one patch for all of them, the barrier, the read-back, and each wish's own answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::difference::{brings_first_heartbeat, difference, unmet};
use super::super::{CallError, Config, EntryWish, Issue, Topic, WriteError};
use super::Applied;
use super::actor::Hands;
use super::blame::{Blame, blame, kept_otherwise, words};
use super::queue::WishJob;
use super::send::{MOST_TRIES, Sent, Way};

/// After a start the gateway needs some hundred milliseconds until its heartbeats stand in `cron.list`.
const SCHEDULE_WAIT: Duration = Duration::from_secs(10);
const SCHEDULE_POLL: Duration = Duration::from_millis(250);

/// Wishes that are written together, and what is known about them.
struct Batch {
    jobs: Vec<WishJob>,
    /// Agents whose entries some patch of this turn has changed, or may have.
    touched: BTreeSet<String>,
}

/// How a turn came to the document that it is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// There was nothing to write.
    AsWished,
    /// What was written has been applied, and somebody may have written since.
    Written,
    /// It is what the gateway made of what was sent, and nobody has written since.
    AsSent,
}

impl Hands {
    /// Answers every job.
    pub(super) async fn patch(&mut self, mut jobs: Vec<WishJob>) {
        jobs.retain(|job| !job.reply.is_closed());
        let touched = BTreeSet::new();
        let mut batches = VecDeque::from([Batch { jobs, touched }]);
        while let Some(batch) = batches.pop_front() {
            batches.extend(self.write(batch).await);
        }
    }

    /// Writes one batch and answers its jobs; what it returns has to be written on its own.
    async fn write(&mut self, mut batch: Batch) -> Vec<Batch> {
        let mut last_error = CallError::HashConflict;
        let mut way = Way::Merge;
        for _ in 0..MOST_TRIES {
            let config = match self.base(&batch).await {
                Ok(config) => config,
                Err(error) => return batch.fail(&error),
            };
            batch.answer_existing(&config);
            self.missing.extend(batch.missing(&config));
            self.forget_returned(&batch, &config).await;
            if self.create_returning(&mut batch, &config).await {
                continue;
            }
            if batch.jobs.is_empty() {
                return Vec::new();
            }
            let beating = match self.beating(&config, &batch.wishes()).await {
                Ok(beating) => beating,
                Err(error) => return batch.fail(&error.into()),
            };
            let difference = difference(&config.parsed, &batch.wishes(), &beating);
            if difference.is_empty() {
                return self.confirm(batch, &config, Found::AsWished).await;
            }
            if let Err(error) = self.record(Topic::KeptHeartbeats, &difference.kept).await {
                return batch.fail(&error);
            }
            match self.send(&difference, &config, way).await {
                Sent::Written { hash } => {
                    batch.mark_written(&difference.changed);
                    let base = config.hash;
                    let settled = self.read(|config| config.hash != base).await;
                    // What was observed while the change was under way is old too.
                    self.members.forget_observed();
                    return match settled {
                        Ok(config) if Some(&config.hash) == hash.as_ref() => {
                            self.confirm(batch, &config, Found::AsSent).await
                        }
                        Ok(config) => self.confirm(batch, &config, Found::Written).await,
                        Err(error) => batch.fail(&error),
                    };
                }
                Sent::Unchanged => return self.confirm(batch, &config, Found::AsSent).await,
                Sent::Again(error) => {
                    way = self.way_after(way, &error);
                    last_error = error;
                }
                Sent::Uncertain(error) => {
                    batch.mark_written(&difference.changed);
                    last_error = error;
                }
                Sent::Refused { message, issues } => match blame(&difference.changed, &issues) {
                    Blame::Agents(blamed) => batch.answer_blamed(&blamed),
                    Blame::Others => {
                        return batch.fail(&WriteError::ConfigInvalid { message, issues });
                    }
                    Blame::Unknown => return batch.split(&difference.changed, &message),
                },
                Sent::Failed(error) => return batch.fail(&error.into()),
            }
        }
        batch.fail(&last_error.into())
    }

    /// The config to base a patch on. Who beats is read beside it where it matters, so there both have to speak of the same document.
    async fn base(&mut self, batch: &Batch) -> Result<Config, WriteError> {
        let config = self.read(|_| true).await?;
        if config.is_applied() || !brings_first_heartbeat(&config.parsed, &batch.wishes()) {
            return Ok(config);
        }
        self.settled(|_| true).await
    }

    /// Takes those that were created out of the record of the deleted: by this process, or by one before it that was cut off then.
    async fn forget_returned(&self, batch: &Batch, config: &Config) {
        let mut back = self.recorded(Topic::DeletedAgents);
        back.retain(|agent_id| {
            let is_it = |wish: &&EntryWish| wish.may_be_created && wish.agent_id == *agent_id;
            config.entry(agent_id).is_some() && batch.wishes().iter().any(is_it)
        });
        if let Err(error) = self.forget(Topic::DeletedAgents, &back).await {
            // Should one of them be gone before the next try, it is created once more, which does no harm.
            tracing::debug!(%error, agents = ?back, "still recorded as deleted");
        }
    }

    /// Creates those agents of this batch that come back under an id that the gateway has deleted, in the only way on which it
    /// forgets that; their wishes then take back what they do not want of it. Answers whether the document has changed.
    async fn create_returning(&mut self, batch: &mut Batch, config: &Config) -> bool {
        let mut deleted = self.recorded(Topic::DeletedAgents);
        deleted.extend(self.missing.iter().cloned());
        let is_there = |id: &str| config.entry(id).is_some();
        let comes_back =
            |wish: &EntryWish| deleted.contains(&wish.agent_id) && !is_there(&wish.agent_id);
        batch.answer(|job| {
            let wish = &job.wish;
            (comes_back(wish) && !wish.may_be_created).then_some(WriteError::WasDeleted)
        });
        let returning: Vec<(String, Option<String>)> = batch
            .jobs
            .iter()
            .map(|job| &job.wish)
            .filter(|wish| comes_back(wish))
            .map(|wish| {
                let workspace = wish.set.get("workspace").and_then(Value::as_str);
                (wish.agent_id.clone(), workspace.map(str::to_owned))
            })
            .collect();
        let mut back = BTreeSet::new();
        for (agent_id, workspace) in &returning {
            let created = async {
                let link = self.link().await?;
                link.agents_create(agent_id, workspace.as_deref()).await
            };
            let created = created.await;
            self.unsettled = true;
            self.members.forget_observed();
            tracing::info!(agent_id, outcome = ?created, "agent created that was deleted before");
            match created {
                Ok(()) => {
                    back.insert(agent_id.clone());
                    batch.mark_written(&BTreeSet::from([agent_id.clone()]));
                }
                // Somebody else was faster: the next look at the document says what that means for each wish.
                Err(CallError::AgentExists { .. }) => {
                    back.insert(agent_id.clone());
                }
                Err(error) => batch
                    .answer(|job| (job.wish.agent_id == *agent_id).then(|| error.clone().into())),
            }
        }
        self.missing.retain(|agent_id| !back.contains(agent_id));
        !returning.is_empty()
    }

    /// The agents that beat now, where it matters.
    async fn beating(
        &self,
        config: &Config,
        wishes: &[&EntryWish],
    ) -> Result<BTreeSet<String>, CallError> {
        if !brings_first_heartbeat(&config.parsed, wishes) {
            return Ok(BTreeSet::new());
        }
        let link = self.link().await?;
        let configured = link.configured_heartbeats().await?;
        let until = Instant::now() + SCHEDULE_WAIT;
        loop {
            let beating: BTreeSet<String> = link
                .cron_list()
                .await?
                .iter()
                .filter(|job| job.enabled)
                .filter_map(|job| job.heartbeat_of().map(str::to_owned))
                .collect();
            if configured.is_subset(&beating) || Instant::now() >= until {
                return Ok(beating);
            }
            sleep(SCHEDULE_POLL).await;
        }
    }

    /// Answers every job by what the document holds.
    async fn confirm(&self, batch: Batch, config: &Config, found: Found) -> Vec<Batch> {
        let heartbeats = match self.heartbeat_jobs(&batch).await {
            Ok(heartbeats) => heartbeats,
            Err(error) => return batch.fail(&error.into()),
        };
        for job in batch.jobs {
            let agent_id = &job.wish.agent_id;
            let paths = unmet(&config.parsed, &job.wish);
            let outcome = if paths.is_empty() {
                Ok(Applied {
                    entry: config.entry(agent_id).cloned().unwrap_or_default(),
                    wrote: batch.touched.contains(agent_id),
                    heartbeat_job: heartbeats.get(agent_id).cloned(),
                })
            } else {
                let touched = batch.touched.contains(agent_id);
                let entry = config.entry(agent_id).filter(|_| touched).cloned();
                if found == Found::AsSent {
                    let there = config.entry(agent_id);
                    let message = kept_otherwise(&job.wish, there, &paths);
                    Err(WriteError::KeptOtherwise { message, entry })
                } else {
                    Err(WriteError::NotAsWritten { paths, entry })
                }
            };
            job.answer(outcome);
        }
        Vec::new()
    }

    /// Heartbeat jobs by agent, read only when one of the agents has a heartbeat by its wish.
    async fn heartbeat_jobs(&self, batch: &Batch) -> Result<BTreeMap<String, String>, CallError> {
        let wanted = batch.jobs.iter().any(|job| {
            job.wish
                .set
                .iter()
                .any(|(path, value)| path.starts_with("heartbeat") && *value != Value::Null)
        });
        if !wanted {
            return Ok(BTreeMap::new());
        }
        let jobs = self.link().await?.cron_list().await?;
        Ok(jobs
            .into_iter()
            .filter_map(|job| Some((job.heartbeat_of()?.to_owned(), job.id)))
            .collect())
    }
}

impl Batch {
    fn wishes(&self) -> Vec<&EntryWish> {
        self.jobs.iter().map(|job| &job.wish).collect()
    }

    fn fail(self, error: &WriteError) -> Vec<Self> {
        for job in self.jobs {
            job.answer(Err(error.clone()));
        }
        Vec::new()
    }

    /// Takes out those for which `outcome` has an answer, and gives it.
    fn answer(&mut self, outcome: impl Fn(&WishJob) -> Option<WriteError>) {
        let jobs = std::mem::take(&mut self.jobs);
        for job in jobs {
            match outcome(&job) {
                Some(error) => job.answer(Err(error)),
                None => self.jobs.push(job),
            }
        }
    }

    /// Those that were there once and are not any more: somebody may have deleted them.
    fn missing(&self, config: &Config) -> impl Iterator<Item = String> {
        let wishes = self.jobs.iter().map(|job| &job.wish);
        wishes
            .filter(|wish| wish.was_there && config.entry(&wish.agent_id).is_none())
            .map(|wish| wish.agent_id.clone())
    }

    /// An entry that must be new and is there. One that may be there because of us counts as ours.
    fn answer_existing(&mut self, config: &Config) {
        self.answer(|job| {
            let there = config.agent(&job.wish.agent_id).is_some();
            (job.wish.must_be_absent && !job.may_be_ours && there).then_some(WriteError::Exists)
        });
    }

    fn answer_blamed(&mut self, blamed: &BTreeMap<String, Vec<Issue>>) {
        self.answer(|job| {
            let issues = blamed.get(&job.wish.agent_id)?;
            Some(WriteError::Rejected {
                message: words(issues),
                issues: issues.clone(),
            })
        });
    }

    /// These were written, or may have been.
    fn mark_written(&mut self, changed: &BTreeSet<String>) {
        for job in &mut self.jobs {
            job.may_be_ours |= changed.contains(&job.wish.agent_id);
        }
        self.touched.extend(changed.iter().cloned());
    }

    /// Somebody in here is refused and the gateway does not say who: the halves are written on their own, which finds one culprit
    /// among n at the cost of about 2 log2 n writes.
    fn split(mut self, changed: &BTreeSet<String>, message: &str) -> Vec<Self> {
        let (mut suspects, innocent): (Vec<_>, Vec<_>) = std::mem::take(&mut self.jobs)
            .into_iter()
            .partition(|job| changed.contains(&job.wish.agent_id));
        if let [_] = suspects.as_slice() {
            for job in suspects.drain(..) {
                job.answer(Err(WriteError::Rejected {
                    message: message.to_owned(),
                    issues: Vec::new(),
                }));
            }
        }
        let second = suspects.split_off(suspects.len() / 2);
        [innocent, suspects, second]
            .into_iter()
            .filter(|jobs| !jobs.is_empty())
            .map(|jobs| Self {
                jobs,
                touched: self.touched.clone(),
            })
            .collect()
    }
}
