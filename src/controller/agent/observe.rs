//! Reads of the gateway that one Agent's plan asks for.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future;

use crate::{
    api::AgentStatus,
    gateway::{CallError, Class, FileInfo, Link},
    plan::{
        agent::{self as plan, SeenChecklist, SeenFile},
        entry,
        files::{Listed, Read},
        mark::Mark,
        render::FileName,
    },
};

/// The workspace's path and what the listing shows of each file.
pub(super) async fn files(
    link: &Link,
    agent_id: &str,
) -> Result<(String, BTreeMap<FileName, SeenFile>), CallError> {
    let listing = link.files_list(agent_id).await?;
    let row = |name: FileName| listing.files.iter().find(|file| file.name == name.as_str());
    let seen = FileName::ALL.into_iter().map(|name| {
        let listed = match row(name) {
            // Never listed, whether it is there or not.
            _ if name == FileName::Identity => Listed::No,
            None => Listed::Missing,
            Some(file) if file.missing => Listed::Missing,
            Some(file) => Listed::Present {
                size: size(file),
                modified: modified(file),
            },
        };
        (name, SeenFile { listed, read: None })
    });
    let seen = seen.collect();
    Ok((listing.workspace, seen))
}

/// Reads the files whose listing leaves a doubt. That the gateway does not read one is an answer of those that are `left_alone`, and ends the
/// pass for all others.
pub(super) async fn read(
    link: &Link,
    agent_id: &str,
    names: &BTreeSet<FileName>,
    left_alone: &BTreeSet<FileName>,
) -> Result<Vec<(FileName, Read)>, CallError> {
    let reads = names.iter().map(|name| async move {
        let file = match link.files_get(agent_id, name.as_str()).await {
            Ok(file) => file,
            Err(error) if left_alone.contains(name) && error.class() == Class::Rejected => {
                return Ok((*name, Read::Refused));
            }
            Err(error) => return Err(error),
        };
        let read = if file.missing {
            Read::Missing
        } else {
            let hash = file
                .hash
                .clone()
                .unwrap_or_else(|| entry::sha256(file.content.as_deref().unwrap_or_default()));
            Read::Present {
                hash,
                size: size(&file),
                modified: modified(&file),
            }
        };
        Ok((*name, read))
    });
    future::try_join_all(reads).await
}

/// What an agent's AGENTS.md says of whose it is.
#[derive(Debug)]
pub(super) enum Marking {
    /// It carries this mark, or none.
    Read(Option<Mark>),
    /// The gateway does not read this file: a link to somewhere else, for instance.
    Refused,
}

impl Marking {
    /// The mark that could be read.
    pub(super) fn mark(&self) -> Option<&Mark> {
        match self {
            Self::Read(mark) => mark.as_ref(),
            Self::Refused => None,
        }
    }
}

/// The ownership mark in the agent's AGENTS.md; none where that cannot be read.
pub(in crate::controller) async fn mark(
    link: &Link,
    agent_id: &str,
) -> Result<Option<Mark>, CallError> {
    let marking = marking(link, agent_id).await?;
    Ok(marking.mark().cloned())
}

/// The ownership mark in the agent's AGENTS.md, and whether that can be read.
pub(super) async fn marking(link: &Link, agent_id: &str) -> Result<Marking, CallError> {
    match link.files_get(agent_id, FileName::Agents.as_str()).await {
        Ok(file) => Ok(Marking::Read(file.content.as_deref().and_then(Mark::find))),
        Err(CallError::AgentNotFound { .. }) => Ok(Marking::Read(None)),
        Err(error) if error.class() == Class::Rejected => Ok(Marking::Refused),
        Err(error) => Err(error),
    }
}

/// The mark of another in the agent's AGENTS.md, unless the file is as we wrote it last.
pub(super) async fn mark_of_another(
    link: &Link,
    agent_id: &str,
    record: &AgentStatus,
    own: &Mark,
) -> Result<Option<Mark>, CallError> {
    let text = match link.files_get(agent_id, FileName::Agents.as_str()).await {
        Ok(file) => file.content,
        Err(CallError::AgentNotFound { .. }) => None,
        // What nobody may read says nothing.
        Err(error) if error.class() == Class::Rejected => None,
        Err(error) => return Err(error),
    };
    let found = text.as_deref().and_then(Mark::find);
    let sha256 = text.as_deref().map(entry::sha256);
    let is_over = plan::is_marked_over(record, found.as_ref(), sha256.as_deref(), own);
    Ok(found.filter(|_| is_over))
}

/// The heartbeat checklist in the monitor `job`.
pub(super) async fn checklist(link: &Link, job: Option<&str>) -> Result<SeenChecklist, CallError> {
    let Some(job) = job else {
        return Ok(SeenChecklist::NoMonitor);
    };
    let scratch = link.scratch_get(job).await?;
    Ok(scratch
        .content
        .map_or(SeenChecklist::None, |content| SeenChecklist::Some {
            sha256: entry::sha256(&content),
            revision: i64::try_from(scratch.revision).unwrap_or(i64::MAX),
        }))
}

/// Size of a file in bytes.
pub(super) fn size(file: &FileInfo) -> i64 {
    file.size
        .map_or(0, |size| i64::try_from(size).unwrap_or(i64::MAX))
}

/// Time of a file's last change in milliseconds since 1970.
pub(super) fn modified(file: &FileInfo) -> Option<i64> {
    file.updated_at_ms.and_then(|time| i64::try_from(time).ok())
}
