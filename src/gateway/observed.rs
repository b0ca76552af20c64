//! One look at a gateway, shared by everybody who asks within its life.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{CallError, Config, CronJob, Link};

/// How long a look is good for when nothing is heard of a change: somebody may edit the file while an event is lost.
const LIFE: Duration = Duration::from_secs(30);

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

/// The last look at one gateway. Who asks while one is being taken waits for it.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    kept: Mutex<Option<(u64, Arc<Observed>)>>,
    /// Counts the reasons to look again. A look that began before the last of them is not kept.
    changes: AtomicU64,
}

impl Snapshot {
    /// Something changed.
    pub(super) fn forget(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// The last look if it is still good, else a new one.
    pub(super) async fn observe(
        &self,
        link: &Link,
        newer_than: Option<Instant>,
    ) -> Result<Arc<Observed>, CallError> {
        let mut kept = self.kept.lock().await;
        let changes = self.changes.load(Ordering::Acquire);
        if let Some((at, observed)) = &*kept
            && *at == changes
            && observed.taken.elapsed() < LIFE
            && newer_than.is_none_or(|than| observed.taken > than)
        {
            return Ok(Arc::clone(observed));
        }
        let taken = Instant::now();
        let (config, jobs) = tokio::try_join!(link.config_get(), link.cron_list())?;
        let observed = Arc::new(Observed {
            config,
            jobs,
            taken,
        });
        *kept = Some((changes, Arc::clone(&observed)));
        Ok(observed)
    }
}
