//! Scheduled jobs: `cron.list` and the scratch of heartbeats. No job ever runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::document::entries;
use super::refusal::{invalid, invalid_with};
use super::schema::milliseconds;
use super::state::{State, now_ms, random_id};

/// Jobs on one page, where nobody asks for fewer.
const LARGEST_PAGE: usize = 200;
/// The largest scratch in characters.
const LARGEST_SCRATCH: usize = 262_144;
/// How long the text of the job is that the gateway schedules for every agent beside its heartbeat; it comes with every list.
const REVIEW_TEXT: usize = 3900;
const DEFAULT_EVERY_MS: u64 = 1_800_000;

/// The heartbeat of one agent.
#[derive(Debug)]
pub(super) struct Job {
    id: String,
    enabled: bool,
    every_ms: u64,
    created_ms: u64,
    scratch: Option<Scratch>,
    revision: u64,
}

#[derive(Debug)]
struct Scratch {
    content: String,
    updated_ms: u64,
}

impl State {
    /// Schedules what the running gateway's document says. Answers false where an agent that was deleted is refused its jobs.
    pub(super) fn schedule(&mut self) -> bool {
        let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
        for (id, entry) in entries(&self.running).into_iter().flatten() {
            if let Some(block) = entry.get("heartbeat") {
                let every = block.get("every").and_then(Value::as_str);
                let every = every.and_then(milliseconds).unwrap_or(DEFAULT_EVERY_MS);
                wanted.insert(id.clone(), every);
            }
        }
        if wanted.is_empty()
            && entries(&self.running).is_some_and(|roster| roster.contains_key("main"))
        {
            wanted.insert("main".to_owned(), DEFAULT_EVERY_MS);
        }
        self.jobs.retain(|id, _| wanted.contains_key(id));
        for (id, every_ms) in wanted {
            let job = self.jobs.entry(id).or_insert_with(|| Job {
                id: random_id(),
                enabled: true,
                every_ms: DEFAULT_EVERY_MS,
                created_ms: now_ms(),
                scratch: None,
                revision: 0,
            });
            job.enabled = every_ms > 0;
            // A block that is switched off leaves its job the schedule that it had.
            if job.enabled {
                job.every_ms = every_ms;
            }
        }
        self.job_pages.clear();
        let roster = entries(&self.running);
        !self
            .deleted
            .iter()
            .any(|id| roster.is_some_and(|roster| roster.contains_key(id)))
    }

    pub(super) fn cron_list(&mut self, params: &Map<String, Value>) -> Arc<str> {
        let number = |name: &str| {
            let number = params.get(name).and_then(Value::as_u64)?;
            usize::try_from(number).ok()
        };
        let disabled_too = params.get("includeDisabled") == Some(&Value::Bool(true));
        let page = (number("offset"), number("limit"), disabled_too);
        if let Some(shown) = self.job_pages.get(&page) {
            return Arc::clone(shown);
        }
        let jobs = self.all_jobs(disabled_too);
        let total = jobs.len();
        let offset = page.0.unwrap_or(0).min(total);
        let limit = page
            .1
            .unwrap_or(if total == 0 { 50 } else { total })
            .clamp(1, LARGEST_PAGE);
        let end = (offset + limit).min(total);
        let shown: Arc<str> = json!({
            "jobs": jobs.get(offset..end), "snapshotRevision": format!("{total}"), "total": total, "offset": offset, "limit": limit,
            "hasMore": end < total, "nextOffset": (end < total).then_some(end),
        })
        .to_string()
        .into();
        self.job_pages.insert(page, Arc::clone(&shown));
        shown
    }

    fn all_jobs(&self, disabled_too: bool) -> Vec<Value> {
        let heartbeats = self
            .jobs
            .iter()
            .filter(|(_, job)| job.enabled || disabled_too)
            .map(|(id, job)| job.row(id));
        let text = "x".repeat(REVIEW_TEXT);
        let ids = entries(&self.running).into_iter().flat_map(Map::keys);
        let reviews = ids.map(|id| {
            json!({
                "id": format!("review-{id}"), "declarationKey": format!("skill-collection-review:{id}"), "agentId": id,
                "name": format!("skill-collection-review-{id}"), "enabled": true,
                "schedule": {"kind": "every", "everyMs": 604_800_000_u64, "anchorMs": 416_791_516},
                "sessionTarget": "isolated", "wakeMode": "next-heartbeat",
                "payload": {"kind": "agentTurn", "message": text}, "effectiveAgentId": id,
            })
        });
        heartbeats.chain(reviews).collect()
    }

    /// The scratch of every heartbeat, by agent.
    pub(super) fn scratches(&self) -> BTreeMap<String, Option<String>> {
        let scratch = |job: &Job| job.scratch.as_ref().map(|scratch| scratch.content.clone());
        let jobs = self.jobs.iter();
        jobs.map(|(id, job)| (id.clone(), scratch(job))).collect()
    }

    pub(super) fn scratch_get(&self, params: &Map<String, Value>) -> Result<Value, Value> {
        let id = id(params);
        let job = self.jobs.values().find(|job| job.id == id);
        let job = job.ok_or_else(|| no_such_job(id))?;
        Ok(job.shown())
    }

    pub(super) fn scratch_set(&mut self, params: &Map<String, Value>) -> Result<Value, Value> {
        let content = params.get("content").and_then(Value::as_str);
        if content.is_some_and(|content| content.chars().count() > LARGEST_SCRATCH) {
            return Err(invalid(format!(
                "invalid cron.scratch.set params: at /content: must not have more than {LARGEST_SCRATCH} characters; at /content: must \
                 be null; at /content: must match a schema in anyOf; must have required property 'jobId'; at root: unexpected \
                 property 'id'"
            )));
        }
        let id = id(params);
        let job = self.jobs.values_mut().find(|job| job.id == id);
        let job = job.ok_or_else(|| no_such_job(id))?;
        let expected = params.get("expectedRevision").and_then(Value::as_u64);
        if expected.is_some_and(|expected| expected != job.revision) {
            return Ok(
                json!({"ok": false, "reason": "revision-conflict", "currentRevision": job.revision}),
            );
        }
        job.revision += 1;
        job.scratch = content.map(|content| Scratch {
            content: content.to_owned(),
            updated_ms: now_ms(),
        });
        let mut answer = job.shown();
        answer["ok"] = json!(true);
        Ok(answer)
    }
}

impl Job {
    fn row(&self, agent_id: &str) -> Value {
        json!({
            "id": self.id, "declarationKey": format!("heartbeat:{agent_id}"), "displayName": format!("Heartbeat ({agent_id})"),
            "agentId": agent_id, "name": format!("heartbeat-{agent_id}"), "enabled": self.enabled,
            "createdAtMs": self.created_ms, "updatedAtMs": self.created_ms,
            "schedule": {"kind": "every", "everyMs": self.every_ms, "anchorMs": 0},
            "sessionTarget": "main", "wakeMode": "next-heartbeat", "payload": {"kind": "heartbeat"}, "state": {},
            "effectiveAgentId": agent_id,
        })
    }

    fn shown(&self) -> Value {
        let scratch = self.scratch.as_ref().map(|scratch| {
            json!({"content": scratch.content, "revision": self.revision, "updatedAtMs": scratch.updated_ms})
        });
        json!({"scratch": scratch, "currentRevision": self.revision, "maxBytes": LARGEST_SCRATCH})
    }
}

fn id(params: &Map<String, Value>) -> &str {
    params.get("id").and_then(Value::as_str).unwrap_or_default()
}

fn no_such_job(id: &str) -> Value {
    invalid_with(
        format!(
            "Automation not found: {id}. List automations and retry with a current job id. For cross-session management, use a fresh \
             authenticated configured channel owner or Control UI administrator turn or the Automations page."
        ),
        &json!({"code": "CRON_JOB_NOT_FOUND", "jobId": id}),
    )
}
