//! The calls that can be made on a link, each with its parameters, its deadline class and the shape of its answer.

use serde_json::Value;

use super::{
    CallError, Config, CronJob, Deletion, FileInfo, Link, Model, Patched, Roster, Scratch,
};

impl Link {
    /// Reads the config document.
    pub async fn config_get(&self) -> Result<Config, CallError> {
        todo!()
    }

    /// Merges `patch` (RFC 7396) into the document that has `base_hash`.
    pub async fn config_patch(&self, patch: &Value, base_hash: &str) -> Result<Patched, CallError> {
        let _ = (patch, base_hash);
        todo!()
    }

    /// Lists the agents of the running gateway.
    pub async fn agents_list(&self) -> Result<Roster, CallError> {
        todo!()
    }

    /// Deletes an agent. Only the config writer calls this: two deletes without a pause make the gateway restart itself.
    pub async fn agents_delete(
        &self,
        agent_id: &str,
        delete_files: bool,
    ) -> Result<Deletion, CallError> {
        let _ = (agent_id, delete_files);
        todo!()
    }

    /// Lists an agent's workspace files. `IDENTITY.md` is never in it; hashes and contents neither.
    pub async fn files_list(&self, agent_id: &str) -> Result<Vec<FileInfo>, CallError> {
        let _ = agent_id;
        todo!()
    }

    /// Reads one workspace file; one that is not there answers with `missing`.
    pub async fn files_get(&self, agent_id: &str, name: &str) -> Result<FileInfo, CallError> {
        let _ = (agent_id, name);
        todo!()
    }

    /// Writes one workspace file; with `expected_hash` only over exactly that content.
    pub async fn files_set(
        &self,
        agent_id: &str,
        name: &str,
        content: &str,
        expected_hash: Option<&str>,
    ) -> Result<FileInfo, CallError> {
        let _ = (agent_id, name, content, expected_hash);
        todo!()
    }

    /// Lists all scheduled jobs, disabled ones included.
    pub async fn cron_list(&self) -> Result<Vec<CronJob>, CallError> {
        todo!()
    }

    /// Reads a heartbeat's checklist.
    pub async fn scratch_get(&self, job_id: &str) -> Result<Scratch, CallError> {
        let _ = job_id;
        todo!()
    }

    /// Writes a heartbeat's checklist, or takes it away; with `expected_revision` only over exactly that one.
    pub async fn scratch_set(
        &self,
        job_id: &str,
        content: Option<&str>,
        expected_revision: Option<u64>,
    ) -> Result<Scratch, CallError> {
        let _ = (job_id, content, expected_revision);
        todo!()
    }

    /// Lists the models that an agent may use.
    pub async fn models_list(&self, agent_id: &str) -> Result<Vec<Model>, CallError> {
        let _ = agent_id;
        todo!()
    }
}
