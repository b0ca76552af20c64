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
        return Action::Record(FileStatus {
            state: FileState::Seeded,
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
mod tests {
    use super::*;
    use crate::plan::render::FileName;

    const OLD: &str = "old";
    const NEW: &str = "new";
    const THEIRS: &str = "theirs";

    fn file(policy: Policy) -> Rendered {
        Rendered {
            name: FileName::Soul,
            policy,
            text: String::new(),
        }
    }

    fn recorded(sha256: &str, state: FileState) -> FileStatus {
        FileStatus {
            name: "SOUL.md".into(),
            sha256: sha256.into(),
            size: 7,
            modified: Some(1),
            state,
        }
    }

    fn present(hash: &str) -> Read {
        Read::Present {
            hash: hash.into(),
            size: 9,
            modified: Some(2),
        }
    }

    const SAME: Listed = Listed::Present {
        size: 7,
        modified: Some(1),
    };
    const CHANGED: Listed = Listed::Present {
        size: 9,
        modified: Some(2),
    };

    fn write(expected: Option<&str>, cause: Cause) -> Action {
        Action::Write {
            expected: expected.map(Into::into),
            cause,
        }
    }

    #[test]
    fn an_enforced_file_is_read_only_when_the_listing_leaves_a_doubt() {
        let synced = recorded(NEW, FileState::Synced);
        let decide = |recorded, listed, read| {
            decide(
                &file(Policy::Enforce),
                NEW,
                recorded,
                listed,
                read,
                Origin::Found,
            )
        };
        assert_eq!(
            decide(Some(&synced), SAME, None),
            Action::Record(synced.clone())
        );
        assert_eq!(decide(Some(&synced), CHANGED, None), Action::Read);
        assert_eq!(decide(Some(&synced), Listed::No, None), Action::Read);
        assert_eq!(decide(None, SAME, None), Action::Read);
        assert_eq!(
            decide(None, Listed::Missing, None),
            write(None, Cause::Ours)
        );
    }

    #[test]
    fn our_own_change_is_written_over_our_last_text_without_a_read() {
        let synced = recorded(OLD, FileState::Synced);
        let action = decide(
            &file(Policy::Enforce),
            NEW,
            Some(&synced),
            SAME,
            None,
            Origin::Found,
        );
        assert_eq!(action, write(Some(OLD), Cause::Ours));
    }

    #[test]
    fn what_somebody_else_changed_or_removed_is_put_back_as_drift() {
        let synced = recorded(NEW, FileState::Synced);
        let (theirs, touched) = (present(THEIRS), present(NEW));
        let decide = |listed, read| {
            decide(
                &file(Policy::Enforce),
                NEW,
                Some(&synced),
                listed,
                read,
                Origin::Found,
            )
        };
        assert_eq!(
            decide(CHANGED, Some(&theirs)),
            write(Some(THEIRS), Cause::Drift)
        );
        assert_eq!(decide(Listed::Missing, None), write(None, Cause::Drift));
        let Action::Record(status) = decide(CHANGED, Some(&touched)) else {
            panic!("touched, not changed")
        };
        assert_eq!((status.size, status.modified), (9, Some(2)));
    }

    #[test]
    fn a_seed_is_written_over_whatever_lies_there_when_we_register_and_never_again() {
        let seed = file(Policy::Seed);
        assert_eq!(
            decide(&seed, NEW, None, CHANGED, None, Origin::Ours),
            Action::Read
        );
        let first = decide(
            &seed,
            NEW,
            None,
            CHANGED,
            Some(&present(THEIRS)),
            Origin::Ours,
        );
        assert_eq!(first, write(Some(THEIRS), Cause::Ours));
        let seeded = recorded(OLD, FileState::Seeded);
        for listed in [SAME, CHANGED, Listed::Missing, Listed::No] {
            assert_eq!(
                decide(&seed, NEW, Some(&seeded), listed, None, Origin::Ours),
                Action::Record(seeded.clone())
            );
        }
    }

    #[test]
    fn a_seed_of_an_agent_that_was_found_stays_but_is_written_where_missing() {
        let seed = file(Policy::Seed);
        let Action::Record(kept) = decide(
            &seed,
            NEW,
            None,
            CHANGED,
            Some(&present(THEIRS)),
            Origin::Found,
        ) else {
            panic!("kept")
        };
        assert_eq!(
            (kept.sha256.as_str(), kept.state),
            (THEIRS, FileState::Seeded)
        );
        assert_eq!(
            decide(&seed, NEW, None, Listed::Missing, None, Origin::Found),
            write(None, Cause::Ours)
        );
    }

    #[test]
    fn the_answer_after_a_read_is_never_another_read() {
        for policy in [Policy::Enforce, Policy::Seed] {
            for recorded in [
                None,
                Some(recorded(OLD, FileState::Synced)),
                Some(recorded(OLD, FileState::Emptied)),
            ] {
                for listed in [SAME, CHANGED, Listed::Missing, Listed::No] {
                    for read in [Read::Missing, present(NEW), present(THEIRS)] {
                        for origin in [Origin::Ours, Origin::Found] {
                            let action = decide(
                                &file(policy),
                                NEW,
                                recorded.as_ref(),
                                listed,
                                Some(&read),
                                origin,
                            );
                            assert_ne!(action, Action::Read);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_checklist_is_compared_by_text_and_written_over_the_revision_seen() {
        let ours = ChecklistStatus {
            sha256: NEW.into(),
            revision: 3,
        };
        assert_eq!(
            decide_checklist(NEW, Some(&ours), Some((NEW, 3))),
            ChecklistAction::Record(ours.clone())
        );
        let written = |expected_revision, cause| ChecklistAction::Write {
            expected_revision,
            cause,
        };
        assert_eq!(
            decide_checklist(NEW, Some(&ours), Some((THEIRS, 4))),
            written(Some(4), Cause::Drift)
        );
        assert_eq!(
            decide_checklist(NEW, Some(&ours), None),
            written(None, Cause::Drift)
        );
        assert_eq!(
            decide_checklist(NEW, None, None),
            written(None, Cause::Ours)
        );
    }
}
