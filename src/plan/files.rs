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
    /// The gateway does not read it, because it is a link for instance. An answer only of a file that [is left alone](is_left_alone).
    Refused,
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
    if let Some(seeded) = recorded.filter(|_| is_left_alone(file.policy, recorded)) {
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
        // Whoever asks for such a file to be written is told by the gateway why it is not.
        (Some(Read::Missing | Read::Refused), _) | (None, Listed::Missing) => Action::Write {
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

/// Whether a file is the agent's own, so that it is compared and never written: one that is ignored, or was seeded once, even where the agent
/// deleted it since.
#[must_use]
pub fn is_left_alone(policy: Policy, recorded: Option<&FileStatus>) -> bool {
    match policy {
        Policy::Enforce => false,
        Policy::Ignore => true,
        Policy::Seed => recorded.is_some_and(|r| r.state != FileState::Emptied && is_written(r)),
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
///
/// The record keeps hash, size and time of what we left, whatever became of it: an agent that writes its own file with every beat costs no read
/// and no write of the status, and one that is put back is known again.
fn left_alone(
    written: &FileStatus,
    as_left: FileState,
    listed: Listed,
    read: Option<&Read>,
) -> Action {
    // Recorded so: there was none.
    let was_missing = written.size == 0 && written.modified.is_none();
    let now = |state, size, modified| {
        Action::Record(FileStatus {
            size,
            modified,
            state,
            ..written.clone()
        })
    };
    let as_recorded = |state| now(state, written.size, written.modified);
    match (read, listed) {
        (Some(Read::Missing), _) | (None, Listed::Missing) if was_missing => as_recorded(as_left),
        // The same text, restored or touched.
        (
            Some(Read::Present {
                hash,
                size,
                modified,
            }),
            _,
        ) if *hash == written.sha256 => now(as_left, *size, *modified),
        (Some(_), _) | (None, Listed::Missing) => as_recorded(FileState::Drifted),
        // Of another size, it is another text: not worth a read.
        (None, Listed::Present { size, .. }) if size != written.size => {
            as_recorded(FileState::Drifted)
        }
        (None, Listed::Present { modified, .. }) if modified == written.modified => {
            as_recorded(as_left)
        }
        (None, Listed::Present { .. } | Listed::No) => Action::Read,
    }
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
