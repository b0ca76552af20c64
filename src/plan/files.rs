//! What to do with one workspace file, and with the heartbeat checklist: read it, write it, or leave it.
//!
//! The gateway's listing tells size and time but no hash, and omits IDENTITY.md; our last hash stands in status. So a file is read
//! only where the listing cannot show that it is what we wrote.

use crate::api::agent::{ChecklistStatus, FileState, FileStatus};
use crate::plan::render::{Policy, Rendered};

/// What the listing shows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// The listing does not speak of this file; it has to be read.
    No,
    /// It is not there.
    Missing,
    /// It is there.
    Present {
        /// Bytes.
        size: i64,
        /// Milliseconds since 1970.
        modified: Option<i64>,
    },
}

/// What reading a file brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// It is not there.
    Missing,
    /// It is there.
    Present {
        /// SHA-256 in hex.
        hash: String,
        /// Bytes.
        size: i64,
        /// Milliseconds since 1970.
        modified: Option<i64>,
    },
}

/// Why a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// We want another text than before, or wrote none yet.
    Ours,
    /// Somebody else changed what we wrote.
    Drift,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read the file, then ask again.
    Read,
    /// Write the text; where `expected` is there, only if the file still has this hash.
    Write {
        /// Hash that the file must have.
        expected: Option<String>,
        /// Why.
        cause: Cause,
    },
    /// Nothing to write; this is how it stands.
    Record(FileStatus),
}

/// How the file's agent came to be ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// We are registering it: what lies in the workspace is the gateway's or a predecessor's, so Seed files are written too.
    Ours,
    /// It was there and carries our mark, or was confirmed before: Seed files that are there stay.
    Found,
}

/// Decides about one file. `sha` is the SHA-256 of its text; once `read` is there the answer is never [`Action::Read`].
#[must_use]
pub fn decide(
    file: &Rendered,
    sha: &str,
    recorded: Option<&FileStatus>,
    listed: Listed,
    read: Option<&Read>,
    origin: Origin,
) -> Action {
    let enforced = file.policy == Policy::Enforce;
    let record = |hash: &str, size, modified| {
        Action::Record(FileStatus {
            name: file.name.to_string(),
            sha256: hash.to_owned(),
            size,
            modified,
            state: if enforced {
                FileState::Synced
            } else {
                FileState::Seeded
            },
        })
    };
    // Seeded once: the agent's own since, even where it deleted the file.
    if let Some(seeded) = recorded.filter(|r| !enforced && r.state != FileState::Emptied) {
        let drifted = match listed {
            // Only a look at the text could tell, and nothing would be done about it.
            Listed::No => false,
            Listed::Missing => true,
            Listed::Present { size, modified } => {
                (size, modified) != (seeded.size, seeded.modified)
            }
        };
        // Told once: what is its own may change with every beat.
        let state = if drifted || seeded.state == FileState::Drifted {
            FileState::Drifted
        } else {
            FileState::Seeded
        };
        return Action::Record(FileStatus {
            state,
            ..seeded.clone()
        });
    }
    let written = recorded.filter(|r| r.state == FileState::Synced);
    match (read, listed) {
        (Some(Read::Missing), _) | (None, Listed::Missing) => Action::Write {
            expected: None,
            cause: if written.is_some() {
                Cause::Drift
            } else {
                Cause::Ours
            },
        },
        (
            Some(Read::Present {
                hash,
                size,
                modified,
            }),
            _,
        ) if hash == sha => record(hash, *size, *modified),
        (
            Some(Read::Present {
                hash,
                size,
                modified,
            }),
            _,
        ) if !enforced && origin == Origin::Found => record(hash, *size, *modified),
        (Some(Read::Present { hash, .. }), _) => Action::Write {
            expected: Some(hash.clone()),
            cause: if written.is_some_and(|r| r.sha256 != *hash) {
                Cause::Drift
            } else {
                Cause::Ours
            },
        },
        (None, Listed::No) => Action::Read,
        (None, Listed::Present { size, modified }) => match written {
            Some(r) if r.size == size && r.modified == modified => {
                if r.sha256 == sha {
                    Action::Record(r.clone())
                } else {
                    Action::Write {
                        expected: Some(r.sha256.clone()),
                        cause: Cause::Ours,
                    }
                }
            }
            _ => Action::Read,
        },
    }
}

/// What to do with the heartbeat checklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChecklistAction {
    /// Write it over the revision that was read.
    Write {
        /// Revision to write over; `None` where there is none yet.
        expected_revision: Option<i64>,
        /// Why.
        cause: Cause,
    },
    /// Nothing to write.
    Record(ChecklistStatus),
}

/// Decides about the checklist: `sha` of the wanted text, what was recorded, and what stands on the gateway (text's SHA-256 and revision).
#[must_use]
pub fn decide_checklist(
    sha: &str,
    recorded: Option<&ChecklistStatus>,
    seen: Option<(&str, i64)>,
) -> ChecklistAction {
    match seen {
        Some((hash, revision)) if hash == sha => ChecklistAction::Record(ChecklistStatus {
            sha256: hash.to_owned(),
            revision,
        }),
        Some((hash, revision)) => ChecklistAction::Write {
            expected_revision: Some(revision),
            cause: if recorded.is_some_and(|r| r.sha256 != hash) {
                Cause::Drift
            } else {
                Cause::Ours
            },
        },
        None => ChecklistAction::Write {
            expected_revision: None,
            cause: if recorded.is_some() {
                Cause::Drift
            } else {
                Cause::Ours
            },
        },
    }
}

#[cfg(test)]
mod tests;
