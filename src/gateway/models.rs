//! Which models an agent may use, remembered for as long as nothing that decides it has changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::members::lock;
use super::{CallError, Link, Model};

/// Answers of `models.list` of one gateway by agent, all for the same process and config.
#[derive(Debug, Default)]
pub(super) struct ModelCache {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Process and config hash.
    version: (String, String),
    by_agent: HashMap<String, Arc<Vec<Model>>>,
}

impl ModelCache {
    /// The models of `agent_id`, while process and config are `version`.
    pub(super) async fn get(
        &self,
        link: &Link,
        version: (String, String),
        agent_id: &str,
    ) -> Result<Arc<Vec<Model>>, CallError> {
        {
            let mut kept = lock(&self.kept);
            if kept.version != version {
                *kept = Kept {
                    version: version.clone(),
                    by_agent: HashMap::new(),
                };
            }
            if let Some(models) = kept.by_agent.get(agent_id) {
                return Ok(Arc::clone(models));
            }
        }
        let models = Arc::new(link.models_list(agent_id).await?);
        let mut kept = lock(&self.kept);
        if kept.version == version {
            kept.by_agent
                .insert(agent_id.to_owned(), Arc::clone(&models));
        }
        Ok(models)
    }
}
