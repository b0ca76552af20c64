//! One look at a gateway, shared by everybody who asks within its life.

use tokio::time::Instant;

use super::{Config, CronJob};

/// The config document and the scheduled jobs, read together.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The document.
    pub config: Config,
    /// All jobs, disabled ones included.
    pub jobs: Vec<CronJob>,
    /// When reading began: what happened before this instant is in it.
    pub taken: Instant,
}

impl Observed {
    /// The heartbeat job of one agent.
    #[must_use]
    pub fn heartbeat_job(&self, agent_id: &str) -> Option<&CronJob> {
        self.jobs
            .iter()
            .find(|job| job.heartbeat_of() == Some(agent_id))
    }
}
