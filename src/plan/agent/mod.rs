//! The plan of one Agent: (what is wanted, what is recorded, what was seen) -> steps. Empty for a converged world.
//!
//! Asked again after each round: the entry comes first, files and checklist once the entry is there. What a step needs is in the step;
//! nothing is left to decide when it is carried out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::api::agent::{AgentStatus, ChecklistStatus, FileState, FileStatus, Place, PlaceState};
use crate::plan::{
    entry::{self, Keys},
    files::{self, Action, Cause, ChecklistAction, Listed, Origin, Read},
    mark::Mark,
    places,
    render::{FileName, Rendered, Workspace},
};

/// Whose the agent on the gateway is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Ours by the claim in status. The claim wins over what the mark says.
    Claimed,
    /// Ours by the mark in its AGENTS.md; the claim is to be recorded anew.
    Marked,
    /// Nobody's: the id is free.
    Free,
    /// Somebody else's: it is there, without claim or mark of ours.
    Foreign,
}

/// Judges ownership from the record, the claim, the agent's entry if it is there, and the mark in AGENTS.md as just read.
///
/// A claim says that the id was free, not that anything was written since. So until the gateway has confirmed the agent, an entry
/// counts as ours only if it holds what the claim was made to write. Another cluster can have made the same of the same manifest, or
/// have taken over the same agent: while a claim [is in doubt](is_in_doubt), the mark of another goes before it.
#[must_use]
pub fn ownership(
    record: &AgentStatus,
    place: Option<&Place>,
    entry: Option<&Value>,
    found: Option<&Mark>,
    own: &Mark,
) -> Ownership {
    let is_marked_by_another = found.is_some_and(|found| found != own);
    match (place, entry) {
        (Some(place), Some(_)) if is_in_doubt(place) && is_marked_by_another => Ownership::Foreign,
        (Some(place), _) if is_confirmed(record, place) => Ownership::Claimed,
        (_, None) => Ownership::Free,
        (Some(place), Some(entry)) if came_by(record, place, entry) => Ownership::Claimed,
        (_, Some(_)) if found == Some(own) => Ownership::Marked,
        (_, Some(_)) => Ownership::Foreign,
    }
}

/// Whether the mark has to be looked at before what stands at this place counts as ours: until our own has been confirmed there.
#[must_use]
pub fn is_in_doubt(place: &Place) -> bool {
    !matches!(place.state, PlaceState::Registered | PlaceState::Returning)
}

/// What is recorded of the file that carries the mark.
#[must_use]
pub fn agents_md(record: &AgentStatus) -> Option<&FileStatus> {
    let mut files = record.files.iter();
    files.find(|file| file.name == FileName::Agents.as_str())
}

/// Whether another has put its mark over ours: the text that carries `found`, of this SHA-256, is not the one that we wrote last. That one
/// is ours, whatever it says: a cluster can get another id.
#[must_use]
pub fn is_marked_over(
    record: &AgentStatus,
    found: Option<&Mark>,
    sha256: Option<&str>,
    own: &Mark,
) -> bool {
    let is_as_written = agents_md(record).is_some_and(|file| Some(&*file.sha256) == sha256);
    found.is_some_and(|found| found != own) && !is_as_written
}

/// Whether our keys of an entry are as they were confirmed last.
#[must_use]
pub fn is_as_left(record: &AgentStatus, entry: &Value) -> bool {
    let there = entry::taken(entry, &record.own_keys);
    record.entry_sha256.as_deref() == Some(&entry::digest(&there))
}

/// Whether the gateway has ever confirmed the agent of this claim.
#[must_use]
pub fn is_confirmed(record: &AgentStatus, place: &Place) -> bool {
    place.state.is_confirmed() || record.entry_sha256.is_some()
}

/// Whether the entry holds what the claim was made to write, or what the gateway makes of an agent that is about to be written.
fn came_by(record: &AgentStatus, place: &Place, entry: &Value) -> bool {
    let written = entry::taken(entry, &record.own_keys);
    let is_ours = place.entry_sha256.as_deref() == Some(&entry::digest(&written));
    is_ours || place.state == PlaceState::Creating && entry::is_as_created(entry, &place.agent_id)
}

/// What is wanted, ready to be compared.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Our keys of the entry.
    pub keys: &'a Keys,
    /// The rendered files and the checklist.
    pub workspace: &'a Workspace,
    /// The files that are left alone: only looked at.
    pub ignored: &'a [FileName],
}

/// What was seen on the gateway.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The agent's entry in the roster.
    pub entry: Option<Value>,
    /// Whether the gateway leaves new workspaces empty.
    pub skip_bootstrap: bool,
    /// The files; `None` while they were not looked at.
    pub files: Option<BTreeMap<FileName, SeenFile>>,
    /// The checklist.
    pub checklist: SeenChecklist,
}

/// What was seen of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenFile {
    /// In the listing.
    pub listed: Listed,
    /// By reading it, where that was asked for.
    pub read: Option<Read>,
}

/// What was seen of the heartbeat checklist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SeenChecklist {
    /// There is no monitor that could hold one (the heartbeat is off, or the gateway has not made it yet).
    #[default]
    NoMonitor,
    /// The monitor is there and holds none.
    None,
    /// It is there.
    Some {
        /// SHA-256 of the text in hex.
        sha256: String,
        /// The gateway's revision.
        revision: i64,
    },
}

/// The entry as the config writer is to make it.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryStep {
    /// Keys to set.
    pub set: Keys,
    /// Keys to remove.
    pub unset: BTreeSet<String>,
    /// Why.
    pub cause: Cause,
}

/// One write to the workspace or the heartbeat monitor. They do not depend on each other.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Write a file.
    WriteFile {
        /// Which.
        name: FileName,
        /// Its text.
        text: String,
        /// SHA-256 of the text in hex.
        sha256: String,
        /// State to record once it is confirmed.
        state: FileState,
        /// Hash the file must still have.
        expected: Option<String>,
        /// Why.
        cause: Cause,
    },
    /// Write the checklist.
    WriteChecklist {
        /// Its text.
        text: String,
        /// SHA-256 of the text in hex.
        sha256: String,
        /// Revision to write over.
        expected_revision: Option<i64>,
        /// Why.
        cause: Cause,
    },
}

impl Step {
    /// Name of the step, for metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WriteFile { .. } => "write_file",
            Self::WriteChecklist { .. } => "write_checklist",
        }
    }

    /// The file that it writes, if it writes one.
    #[must_use]
    pub const fn file(&self) -> Option<FileName> {
        match self {
            Self::WriteFile { name, .. } => Some(*name),
            Self::WriteChecklist { .. } => None,
        }
    }
}

/// What to do next, and what is found to stand as it should.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The entry, if it is not as wanted. Then nothing else is planned yet: files need an agent to belong to.
    pub entry: Option<EntryStep>,
    /// Files to read before the rest can be decided.
    pub reads: BTreeSet<FileName>,
    /// Those of them that are the agent's own: that the gateway does not read one is an answer.
    pub left_alone: BTreeSet<FileName>,
    /// Writes to workspace and monitor.
    pub steps: Vec<Step>,
    /// Files that need no write, as they are to be recorded.
    pub files: Vec<FileStatus>,
    /// The checklist, if it needs no write.
    pub checklist: Option<ChecklistStatus>,
}

impl Plan {
    /// Whether the world is as wanted.
    #[must_use]
    pub fn is_converged(&self) -> bool {
        self.entry.is_none() && self.reads.is_empty() && self.steps.is_empty()
    }
}

/// Plans one round for an Agent that is ours. `record` is what status says, with everything confirmed in earlier rounds in it.
#[must_use]
pub fn plan(wanted: Wanted<'_>, record: &AgentStatus, seen: &Seen) -> Plan {
    let surplus = entry::surplus(&record.own_keys, wanted.keys);
    let as_wanted = seen
        .entry
        .as_ref()
        .is_some_and(|entry| entry::is_as_wanted(entry, wanted.keys, &surplus));
    if !as_wanted {
        let same_as_written = record.entry_sha256.as_deref() == Some(&entry::digest(wanted.keys));
        let cause = if same_as_written {
            Cause::Drift
        } else {
            Cause::Ours
        };
        let entry = EntryStep {
            set: wanted.keys.clone(),
            unset: surplus,
            cause,
        };
        return Plan {
            entry: Some(entry),
            ..Plan::default()
        };
    }
    let mut plan = Plan::default();
    if let Some(seen_files) = &seen.files {
        plan_files(&mut plan, wanted, record, seen_files, seen.skip_bootstrap);
    }
    plan_checklist(
        &mut plan,
        &wanted.workspace.checklist,
        record.checklist.as_ref(),
        &seen.checklist,
    );
    plan
}

/// Whether the Agent was confirmed before, or is being registered by us for the first time; `None` while that cannot be told before
/// BOOTSTRAP.md was read. One that somebody removed with its files is new as well: the gateway has filled a new workspace, which shows
/// in the BOOTSTRAP.md that it puts into no other. One that holds what we would write there is ours, and its workspace the old one.
fn origin(
    record: &AgentStatus,
    bootstrap: Option<&SeenFile>,
    wanted: Option<&Rendered>,
) -> Option<Origin> {
    let state = places::present(record).map(|place| place.state);
    if places::is_first_registration(record) {
        return Some(Origin::Ours);
    }
    let there = bootstrap
        .filter(|file| matches!(file.listed, Listed::Present { size, .. } if size > 0))
        .filter(|_| state == Some(PlaceState::Returning));
    match (there, wanted) {
        (None, _) => Some(Origin::Found),
        (Some(_), None) => Some(Origin::Ours),
        (Some(there), Some(wanted)) => match there.read.as_ref()? {
            Read::Present { hash, .. } if *hash != entry::sha256(&wanted.text) => {
                Some(Origin::Ours)
            }
            Read::Present { .. } | Read::Missing | Read::Refused => Some(Origin::Found),
        },
    }
}

fn plan_files(
    plan: &mut Plan,
    wanted: Wanted<'_>,
    record: &AgentStatus,
    seen: &BTreeMap<FileName, SeenFile>,
    skip_bootstrap: bool,
) {
    let files = &wanted.workspace.files;
    let bootstrap = files.iter().find(|file| file.name == FileName::Bootstrap);
    let Some(origin) = origin(record, seen.get(&FileName::Bootstrap), bootstrap) else {
        plan.reads.insert(FileName::Bootstrap);
        return;
    };
    let recorded = |name: FileName| record.files.iter().find(|file| file.name == name.as_str());
    let look = |name: FileName| {
        let seen = seen.get(&name);
        seen.map_or((Listed::No, None), |seen| (seen.listed, seen.read.as_ref()))
    };
    for &name in wanted.ignored {
        let (listed, read) = look(name);
        match files::decide_ignored(name, recorded(name), listed, read) {
            Action::Record(status) => plan.files.push(status),
            Action::Read | Action::Write { .. } => {
                plan.reads.insert(name);
                plan.left_alone.insert(name);
            }
        }
    }
    for file in files {
        let sha256 = entry::sha256(&file.text);
        let (listed, read) = look(file.name);
        match files::decide(file, &sha256, recorded(file.name), listed, read, origin) {
            Action::Read => {
                plan.reads.insert(file.name);
                if files::is_left_alone(file.policy, recorded(file.name)) {
                    plan.left_alone.insert(file.name);
                }
            }
            Action::Record(status) => plan.files.push(status),
            Action::Write { expected, cause } => {
                let state = if file.policy == crate::plan::render::Policy::Enforce {
                    FileState::Synced
                } else {
                    FileState::Seeded
                };
                plan.steps.push(Step::WriteFile {
                    name: file.name,
                    text: file.text.clone(),
                    sha256,
                    state,
                    expected,
                    cause,
                });
            }
        }
    }
    // The gateway's own "birth sequence" would tell the agent to reinvent the identity that was declared.
    let wants_bootstrap = bootstrap.is_some() || wanted.ignored.contains(&FileName::Bootstrap);
    if !wants_bootstrap && let Some(status) = recorded(FileName::Bootstrap) {
        plan.files.push(status.clone());
    }
    if !wants_bootstrap && !skip_bootstrap && origin == Origin::Ours {
        match seen.get(&FileName::Bootstrap) {
            Some(SeenFile {
                listed: Listed::Present { size, .. },
                read: None,
            }) if *size > 0 => {
                plan.reads.insert(FileName::Bootstrap);
            }
            Some(SeenFile {
                read: Some(Read::Present { hash, size, .. }),
                ..
            }) if *size > 0 => {
                plan.steps.push(Step::WriteFile {
                    name: FileName::Bootstrap,
                    text: String::new(),
                    sha256: entry::sha256(""),
                    state: FileState::Emptied,
                    expected: Some(hash.clone()),
                    cause: Cause::Ours,
                });
            }
            _ => {}
        }
    }
}

fn plan_checklist(
    plan: &mut Plan,
    text: &str,
    recorded: Option<&ChecklistStatus>,
    seen: &SeenChecklist,
) {
    let seen = match seen {
        SeenChecklist::NoMonitor => {
            plan.checklist = recorded.cloned();
            return;
        }
        SeenChecklist::None => None,
        SeenChecklist::Some { sha256, revision } => Some((sha256.as_str(), *revision)),
    };
    let sha256 = entry::sha256(text);
    match files::decide_checklist(&sha256, recorded, seen) {
        ChecklistAction::Record(status) => plan.checklist = Some(status),
        ChecklistAction::Write {
            expected_revision,
            cause,
        } => {
            plan.steps.push(Step::WriteChecklist {
                text: text.to_owned(),
                sha256,
                expected_revision,
                cause,
            });
        }
    }
}

#[cfg(test)]
mod tests;
