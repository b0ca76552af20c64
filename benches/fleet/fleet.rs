//! A fleet as it stands on a gateway: entries, files and checklists, read back by the bed's own eyes.
//!
//! What the operator made is what the other ways make again, so that all of them write the same bytes.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::bed::{gateway::Gateway, rpc::Rpc};

/// The files of each agent.
const FILES: [&str; 5] = [
    "AGENTS.md",
    "SOUL.md",
    "IDENTITY.md",
    "USER.md",
    "MEMORY.md",
];

/// Agents by id.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) agents: BTreeMap<String, Member>,
}

/// One agent.
#[derive(Debug, PartialEq)]
pub(crate) struct Member {
    /// Its entry in the roster.
    pub(crate) entry: Value,
    /// Its files by name.
    pub(crate) files: BTreeMap<&'static str, String>,
    /// The checklist of its heartbeat.
    pub(crate) checklist: String,
}

impl Fleet {
    /// Reads the agents whose ids begin with `prefix`.
    pub(crate) async fn read(gateway: &Gateway, prefix: &str) -> Result<Self> {
        let mut rpc = gateway.rpc().await?;
        let config = rpc.call("config.get", json!({})).await?;
        let entries = config["parsed"]["agents"]["entries"]
            .as_object()
            .context("the gateway has no roster")?;
        let monitors = monitors(&mut rpc).await?;
        let mut agents = BTreeMap::new();
        for (id, entry) in entries.iter().filter(|(id, _)| id.starts_with(prefix)) {
            let mut files = BTreeMap::new();
            for name in FILES {
                let params = json!({"agentId": id, "name": name});
                let answer = rpc.call("agents.files.get", params).await?;
                let content = answer["file"]["content"].as_str();
                let content = content.with_context(|| format!("{id} has no {name}"))?;
                files.insert(name, content.to_owned());
            }
            let monitor = monitors
                .get(id)
                .with_context(|| format!("{id} has no heartbeat monitor"))?;
            let scratch = rpc.call("cron.scratch.get", json!({"id": monitor})).await?;
            let checklist = scratch["scratch"]["content"].as_str();
            let checklist = checklist.with_context(|| format!("{id} has no checklist"))?;
            let member = Member {
                entry: entry.clone(),
                files,
                checklist: checklist.to_owned(),
            };
            agents.insert(id.clone(), member);
        }
        Ok(Self { agents })
    }

    /// Refuses a gateway on which this fleet is not, byte for byte. An entry may hold more than it needs to.
    pub(crate) async fn is_on(&self, gateway: &Gateway, prefix: &str) -> Result<()> {
        let there = Self::read(gateway, prefix).await?;
        ensure!(
            there.agents.len() == self.agents.len(),
            "{} of {} agents are there",
            there.agents.len(),
            self.agents.len()
        );
        for (id, member) in &self.agents {
            let other = &there.agents[id];
            let entry = member.entry.as_object().context("an entry is no object")?;
            let as_wanted = entry.iter().all(|(key, value)| other.entry[key] == *value);
            ensure!(as_wanted, "the entry of {id} is {}", other.entry);
            ensure!(other.files == member.files, "files of {id} differ");
            ensure!(
                other.checklist == member.checklist,
                "the checklist of {id} differs"
            );
        }
        Ok(())
    }

    /// Bytes of all files and checklists.
    pub(crate) fn bytes(&self) -> usize {
        let of = |member: &Member| {
            member.files.values().map(String::len).sum::<usize>() + member.checklist.len()
        };
        self.agents.values().map(of).sum()
    }
}

/// Heartbeat monitors by agent.
pub(crate) async fn monitors(rpc: &mut Rpc) -> Result<BTreeMap<String, String>> {
    let mut monitors = BTreeMap::new();
    let mut params = json!({"includeDisabled": true});
    loop {
        let page = rpc.call("cron.list", params).await?;
        let jobs = page["jobs"].as_array().context("cron.list has no jobs")?;
        monitors.extend(jobs.iter().filter_map(|job| {
            let agent = job["declarationKey"].as_str()?.strip_prefix("heartbeat:")?;
            Some((agent.to_owned(), job["id"].as_str()?.to_owned()))
        }));
        let Some(offset) = page["nextOffset"].as_u64() else {
            return Ok(monitors);
        };
        params = json!({"includeDisabled": true, "offset": offset});
    }
}
