//! What to do with one workspace file, and with the heartbeat checklist: read it, write it, or leave it.
//!
//! The gateway's listing tells size and time but no hash, and omits IDENTITY.md; our last hash stands in status. So a file is read
//! only where the listing cannot show that it is what we wrote.

use crate::api::agent::{ChecklistStatus, FileState, FileStatus};
use crate::plan::{
    entry,
    render::{FileName, Policy, Rendered},
};

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
    let was_seeded = |r: &&FileStatus| r.state != FileState::Emptied && is_written(r);
    if let Some(seeded) = recorded.filter(|_| !enforced).filter(was_seeded) {
        return left_alone(seeded, FileState::Seeded, listed, read);
    }
    let written = recorded.filter(|r| r.state == FileState::Synced);
    match (read, listed) {
        // It is for the first hour of an agent, which this one has behind it.
        (Some(Read::Missing), _) | (None, Listed::Missing)
            if !enforced && file.name == FileName::Bootstrap && origin == Origin::Found =>
        {
            record(&entry::sha256(""), 0, None)
        }
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

/// Decides about a file that is to be left alone from the start: it is compared with what we wrote last, if we ever did. Never a write.
#[must_use]
pub fn decide_ignored(
    name: FileName,
    recorded: Option<&FileStatus>,
    listed: Listed,
    read: Option<&Read>,
) -> Action {
    match recorded.filter(|r| is_written(r)) {
        Some(written) => left_alone(written, FileState::Ignored, listed, read),
        None => Action::Record(FileStatus {
            name: name.to_string(),
            sha256: String::new(),
            size: 0,
            modified: None,
            state: FileState::Ignored,
        }),
    }
}

/// A file as it stands that is the agent's own: as we left it, or changed or deleted since.
fn left_alone(
    written: &FileStatus,
    as_left: FileState,
    listed: Listed,
    read: Option<&Read>,
) -> Action {
    // Recorded so: there was none.
    let was_missing = written.size == 0 && written.modified.is_none();
    let drifted = match (read, listed) {
        // Told once: what is its own may change with every beat.
        _ if written.state == FileState::Drifted => true,
        (Some(Read::Missing), _) | (None, Listed::Missing) => !was_missing,
        (Some(Read::Present { hash, .. }), _) => *hash != written.sha256,
        (None, Listed::Present { size, modified }) => {
            (size, modified) != (written.size, written.modified)
        }
        (None, Listed::No) => return Action::Read,
    };
    let state = if drifted { FileState::Drifted } else { as_left };
    Action::Record(FileStatus {
        state,
        ..written.clone()
    })
}

/// Whether a record is of a text that we wrote or found, and not only that there is none of ours.
fn is_written(recorded: &FileStatus) -> bool {
    !recorded.sha256.is_empty()
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
