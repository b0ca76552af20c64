//! The calls that can be made on a link, each with its parameters, its deadline class and the shape of its answer.
//! Parameters must be exact: the gateway refuses properties that it does not know.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{
    AgentRow, CallError, Config, CronJob, Deletion, FileInfo, Link, Listing, Model, Patched,
    Roster, Scratch, Sent, Session,
};

const READ: Duration = Duration::from_secs(15);
const WRITE: Duration = Duration::from_secs(30);
/// One change took 24 s on a roster of 411 agents, and the cost grows with its square.
const CONFIG_WRITE: Duration = Duration::from_mins(5);
const DELETE: Duration = Duration::from_mins(2);
/// A gateway with this many pages of jobs is not one that one operator drives.
const MOST_PAGES: usize = 100;

impl Link {
    /// Reads the config document. Right after a write the gateway may answer from a copy up to a second old.
    pub async fn config_get(&self) -> Result<Config, CallError> {
        self.call("config.get", &json!({}), READ).await
    }

    /// Merges `patch` (RFC 7396) into the document that has `base_hash`. Returns after the running gateway has applied it.
    /// `replace_paths` names every array that the patch shortens or takes away; the gateway refuses to drop elements otherwise.
    /// Costs one of 30 calls a minute, also when it changes nothing or is refused.
    pub async fn config_patch(
        &self,
        patch: &Value,
        replace_paths: &BTreeSet<String>,
        base_hash: &str,
    ) -> Result<Patched, CallError> {
        let mut params = json!({ "raw": patch.to_string(), "baseHash": base_hash });
        if let (false, Some(params)) = (replace_paths.is_empty(), params.as_object_mut()) {
            params.insert("replacePaths".to_owned(), json!(replace_paths));
        }
        self.call("config.patch", &params, CONFIG_WRITE).await
    }

    /// Replaces the document that has `base_hash` by `document`, the text of a JSON object; secrets that are redacted in it stay what
    /// they are. Returns before the running gateway has applied it. Costs none of the calls that are counted, and is refused where
    /// an agent is missing in it. The answer tells the hash of what the document is now, and not whether that is another.
    pub async fn config_set(&self, document: &str, base_hash: &str) -> Result<Patched, CallError> {
        let params = json!({ "raw": document, "baseHash": base_hash });
        self.call("config.set", &params, CONFIG_WRITE).await
    }

    /// Lists the agents of the running gateway.
    pub async fn agents_list(&self) -> Result<Roster, CallError> {
        self.call("agents.list", &json!({}), READ).await
    }

    /// Deletes an agent; its files go to the gateway's trash with `delete_files`. Answers before the running gateway has applied it.
    /// Only the config writer calls this: two deletes without a pause make the gateway restart itself.
    pub async fn agents_delete(
        &self,
        agent_id: &str,
        delete_files: bool,
    ) -> Result<Deletion, CallError> {
        let params = json!({ "agentId": agent_id, "deleteFiles": delete_files });
        self.call("agents.delete", &params, DELETE).await
    }

    /// Creates an agent in `workspace`, a path on the gateway; `None` leaves the place to the gateway, which writes it into the entry.
    ///
    /// Not how agents are made otherwise, since it costs a config write each. But it is the one way on which the gateway forgets in
    /// time that it deleted an agent of this id before: one that comes back by a patch is refused its scheduled jobs, and then the
    /// gateway restarts itself at that write and at every later one of anybody.
    pub async fn agents_create(
        &self,
        agent_id: &str,
        workspace: Option<&str>,
    ) -> Result<(), CallError> {
        let mut params = json!({ "name": agent_id });
        if let (Some(workspace), Some(params)) = (workspace, params.as_object_mut()) {
            params.insert("workspace".to_owned(), json!(workspace));
        }
        let IgnoredAny = self.call("agents.create", &params, WRITE).await?;
        Ok(())
    }

    /// Has the gateway forget that it deleted an agent of this id, where the agent stands in the config document again. Answers
    /// whether it is forgotten: false while it is not in the document. Changes nothing else.
    ///
    /// `agents.create` takes the id back before it refuses to create what is there. The workspace is one that cannot be made, so that
    /// nothing is created where the agent is not there.
    pub async fn agents_readmit(&self, agent_id: &str) -> Result<bool, CallError> {
        match self.agents_create(agent_id, Some("/dev/null/none")).await {
            Err(CallError::AgentExists { .. }) => Ok(true),
            Ok(()) | Err(CallError::Rejected { .. } | CallError::Unavailable { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lists an agent's workspace files. `IDENTITY.md` is never in it; hashes and contents neither.
    pub async fn files_list(&self, agent_id: &str) -> Result<Listing, CallError> {
        self.call("agents.files.list", &json!({ "agentId": agent_id }), READ)
            .await
    }

    /// Reads one workspace file; one that is not there answers with `missing`.
    pub async fn files_get(&self, agent_id: &str, name: &str) -> Result<FileInfo, CallError> {
        let params = json!({ "agentId": agent_id, "name": name });
        let answer: FileAnswer = self.call("agents.files.get", &params, READ).await?;
        Ok(answer.file)
    }

    /// Writes one workspace file; with `expected_hash` (SHA-256 in hex) only over exactly that content.
    pub async fn files_set(
        &self,
        agent_id: &str,
        name: &str,
        content: &str,
        expected_hash: Option<&str>,
    ) -> Result<FileInfo, CallError> {
        let mut params = json!({ "agentId": agent_id, "name": name, "content": content });
        if let (Some(hash), Some(params)) = (expected_hash, params.as_object_mut()) {
            params.insert("expectedHash".to_owned(), json!(hash));
        }
        let answer: FileAnswer = self.call("agents.files.set", &params, WRITE).await?;
        Ok(answer.file)
    }

    /// Lists all scheduled jobs, disabled ones included. For some hundred milliseconds after a start the gateway has not scheduled
    /// its heartbeats yet.
    pub async fn cron_list(&self) -> Result<Vec<CronJob>, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            jobs: Vec<CronJob>,
            #[serde(default)]
            next_offset: Option<u64>,
        }
        let mut jobs = Vec::new();
        let mut params = json!({ "includeDisabled": true });
        for _ in 0..MOST_PAGES {
            let page: Page = self.call("cron.list", &params, READ).await?;
            jobs.extend(page.jobs);
            let Some(offset) = page.next_offset else {
                break;
            };
            params = json!({ "includeDisabled": true, "offset": offset });
        }
        Ok(jobs)
    }

    /// The ids of the agents that have a heartbeat by their configuration, of those that `health` reports on. It answers from a copy
    /// up to a minute old, and reports only default agents: `cron.list` is what counts, this tells whether to wait for it.
    pub(super) async fn configured_heartbeats(&self) -> Result<BTreeSet<String>, CallError> {
        #[derive(Deserialize)]
        struct Health {
            #[serde(default)]
            agents: Vec<Agent>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Agent {
            agent_id: String,
            #[serde(default)]
            heartbeat: Option<Heartbeat>,
        }
        #[derive(Deserialize)]
        struct Heartbeat {
            #[serde(default)]
            enabled: bool,
        }
        let health: Health = self.call("health", &json!({}), READ).await?;
        Ok(health
            .agents
            .into_iter()
            .filter(|agent| agent.heartbeat.as_ref().is_some_and(|beat| beat.enabled))
            .map(|agent| agent.agent_id)
            .collect())
    }

    /// Reads a heartbeat's checklist.
    pub async fn scratch_get(&self, job_id: &str) -> Result<Scratch, CallError> {
        let answer: ScratchAnswer = self
            .call("cron.scratch.get", &json!({ "id": job_id }), READ)
            .await?;
        Ok(answer.scratch())
    }

    /// Writes a heartbeat's checklist, or takes it away; with `expected_revision` only over exactly that one (0: nothing was ever written).
    pub async fn scratch_set(
        &self,
        job_id: &str,
        content: Option<&str>,
        expected_revision: Option<u64>,
    ) -> Result<Scratch, CallError> {
        let mut params = json!({ "id": job_id, "content": content });
        if let (Some(revision), Some(params)) = (expected_revision, params.as_object_mut()) {
            params.insert("expectedRevision".to_owned(), json!(revision));
        }
        let answer: ScratchAnswer = self.call("cron.scratch.set", &params, WRITE).await?;
        // A conflict comes as a success on the wire.
        if answer.ok == Some(false) {
            return Err(CallError::ScratchConflict {
                current_revision: answer.current_revision,
            });
        }
        Ok(answer.scratch())
    }

    /// Reads a session; `None` where there is none of this key.
    pub async fn session(&self, key: &str) -> Result<Option<Session>, CallError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            session: Option<Session>,
        }
        let answer: Answer = self
            .call("sessions.describe", &json!({ "key": key }), READ)
            .await?;
        Ok(answer.session)
    }

    /// Whether a turn of any kind is under way in a session. Its description says `running` also of one that a dead process has left.
    pub async fn session_is_at_work(&self, key: &str) -> Result<bool, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(default)]
            session_info: Option<Info>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Info {
            #[serde(default)]
            has_active_run: bool,
        }
        let params = json!({ "sessionKey": key, "limit": 1 });
        let answer: Answer = self.call("chat.history", &params, READ).await?;
        Ok(answer.session_info.is_some_and(|info| info.has_active_run))
    }

    /// Sets or clears the label of a session, which is made where it is missing. The gateway does not look whether the agent of the key
    /// is there; the caller does.
    pub async fn session_label(&self, key: &str, label: Option<&str>) -> Result<(), CallError> {
        let params = json!({ "key": key, "label": label });
        let IgnoredAny = self.call("sessions.patch", &params, WRITE).await?;
        Ok(())
    }

    /// What tells a session from the same one after a reset, which keeps its id; empty for one that was made without. No call that only
    /// reads tells it: this is a change of nothing, which moves the time of the session's last change.
    pub async fn session_revision(
        &self,
        key: &str,
        expected_id: &str,
    ) -> Result<String, CallError> {
        #[derive(Deserialize)]
        struct Answer {
            entry: Entry,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Entry {
            #[serde(default)]
            lifecycle_revision: String,
        }
        // By its id, because a session that is missing would be made.
        let params = json!({ "key": key, "expectedSessionId": expected_id });
        let answer: Answer = self.call("sessions.patch", &params, WRITE).await?;
        Ok(answer.entry.lifecycle_revision)
    }

    /// Begins a session anew: what was said in it is archived. With `expected_id` only while the session is still that one.
    pub async fn session_reset(
        &self,
        key: &str,
        expected_id: Option<&str>,
    ) -> Result<(), CallError> {
        let mut params = json!({ "key": key, "reason": "reset" });
        if let (Some(id), Some(params)) = (expected_id, params.as_object_mut()) {
            params.insert("expectedSessionId".to_owned(), json!(id));
        }
        let IgnoredAny = self.call("sessions.reset", &params, WRITE).await?;
        Ok(())
    }

    /// Gives an agent a message in a session, and begins a turn. It is text and nothing else: of one who may do everything, as we may, the
    /// gateway would take `/reset`, `/model` or a directive in the middle of it as a command. The same `idempotency_key` again within five minutes of the turn's end does
    /// nothing and tells what became of it; of a turn that failed by `Unavailable` with its error. A gateway that was restarted since knows
    /// nothing of it, and begins a turn again.
    pub async fn chat_send(
        &self,
        session_key: &str,
        message: &str,
        idempotency_key: &str,
    ) -> Result<Sent, CallError> {
        let params = json!({
            "sessionKey": session_key,
            "message": message,
            "idempotencyKey": idempotency_key,
            "deliver": false,
            "suppressCommandInterpretation": true,
        });
        self.call("chat.send", &params, WRITE).await
    }

    /// Lists the models that an agent may use.
    pub async fn models_list(&self, agent_id: &str) -> Result<Vec<Model>, CallError> {
        #[derive(Deserialize)]
        struct Answer {
            models: Vec<Model>,
        }
        let answer: Answer = self
            .call("models.list", &json!({ "agentId": agent_id }), READ)
            .await?;
        Ok(answer.models)
    }
}

impl Roster {
    /// One agent of the running gateway.
    #[must_use]
    pub fn agent(&self, agent_id: &str) -> Option<&AgentRow> {
        self.agents.iter().find(|agent| agent.id == agent_id)
    }
}

#[derive(Deserialize)]
struct FileAnswer {
    file: FileInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScratchAnswer {
    #[serde(default)]
    ok: Option<bool>,
    #[serde(default)]
    scratch: Option<ScratchText>,
    #[serde(default)]
    current_revision: Option<u64>,
}

#[derive(Deserialize)]
struct ScratchText {
    content: String,
}

impl ScratchAnswer {
    fn scratch(self) -> Scratch {
        Scratch {
            content: self.scratch.map(|scratch| scratch.content),
            revision: self.current_revision.unwrap_or_default(),
        }
    }
}
