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
/// As a restore leaves a file, or whoever writes as many bytes.
const TOUCHED: Listed = Listed::Present {
    size: 7,
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
    // What became of it since is told, and nothing is done about it.
    let drifted = recorded(OLD, FileState::Drifted);
    let touched = FileStatus {
        size: 9,
        modified: Some(2),
        ..seeded.clone()
    };
    let (ours, theirs) = (present(OLD), present(THEIRS));
    for (known, listed, read, expected) in [
        (&seeded, SAME, None, Some(&seeded)),
        (&seeded, CHANGED, None, Some(&drifted)),
        (&seeded, Listed::Missing, None, Some(&drifted)),
        // Only where it can be the same text is it read.
        (&seeded, TOUCHED, None, None),
        (&seeded, TOUCHED, Some(&ours), Some(&touched)),
        (&seeded, TOUCHED, Some(&theirs), Some(&drifted)),
        (&seeded, TOUCHED, Some(&Read::Refused), Some(&drifted)),
        // What is put back is as it was left.
        (&drifted, CHANGED, None, Some(&drifted)),
        (&drifted, Listed::Missing, None, Some(&drifted)),
        (&drifted, SAME, None, Some(&seeded)),
        (&drifted, TOUCHED, None, None),
        (&drifted, TOUCHED, Some(&ours), Some(&touched)),
        (&drifted, TOUCHED, Some(&theirs), Some(&drifted)),
        // What is not listed has to be read.
        (&seeded, Listed::No, None, None),
        (&seeded, Listed::No, Some(&ours), Some(&touched)),
        (&seeded, Listed::No, Some(&theirs), Some(&drifted)),
        (&seeded, Listed::No, Some(&Read::Missing), Some(&drifted)),
        (&drifted, Listed::No, None, None),
        (&drifted, Listed::No, Some(&ours), Some(&touched)),
        (&drifted, Listed::No, Some(&Read::Refused), Some(&drifted)),
    ] {
        assert_eq!(
            decide(&seed, NEW, Some(known), listed, read, Origin::Ours),
            expected.cloned().map_or(Action::Read, Action::Record)
        );
    }
}

#[test]
fn an_ignored_file_is_compared_with_what_we_wrote_last_if_we_ever_did() {
    let decide = |known: Option<&FileStatus>, listed, read: Option<Read>| {
        decide_ignored(FileName::Soul, known, listed, read.as_ref())
    };
    let never = FileStatus {
        size: 0,
        modified: None,
        ..recorded("", FileState::Ignored)
    };
    for known in [None, Some(&never)] {
        for listed in [SAME, Listed::Missing, Listed::No] {
            assert_eq!(decide(known, listed, None), Action::Record(never.clone()));
        }
    }
    let ignored = recorded(OLD, FileState::Ignored);
    let drifted = recorded(OLD, FileState::Drifted);
    for state in [FileState::Synced, FileState::Seeded, FileState::Ignored] {
        let known = recorded(OLD, state);
        for (listed, read, expected) in [
            (SAME, None, Action::Record(ignored.clone())),
            (CHANGED, None, Action::Record(drifted.clone())),
            (Listed::Missing, None, Action::Record(drifted.clone())),
            (Listed::No, None, Action::Read),
            (
                Listed::No,
                Some(present(OLD)),
                Action::Record(FileStatus {
                    size: 9,
                    modified: Some(2),
                    ..ignored.clone()
                }),
            ),
            (
                Listed::No,
                Some(Read::Refused),
                Action::Record(drifted.clone()),
            ),
            (
                Listed::No,
                Some(present(NEW)),
                Action::Record(drifted.clone()),
            ),
        ] {
            assert_eq!(decide(Some(&known), listed, read), expected);
        }
    }
    assert_eq!(decide(Some(&drifted), SAME, None), Action::Record(ignored));
    assert_eq!(decide(Some(&drifted), TOUCHED, None), Action::Read);
}

#[test]
fn a_file_that_was_never_written_while_it_was_ignored_is_seeded_when_it_is_not_any_more() {
    let seed = file(Policy::Seed);
    let never = recorded("", FileState::Ignored);
    let action = decide(
        &seed,
        NEW,
        Some(&never),
        Listed::Missing,
        None,
        Origin::Found,
    );
    assert_eq!(action, write(None, Cause::Ours));
    let once = recorded(OLD, FileState::Ignored);
    let Action::Record(status) = decide(&seed, NEW, Some(&once), SAME, None, Origin::Found) else {
        panic!("it was written once")
    };
    assert_eq!(status.state, FileState::Seeded);
    let enforced = file(Policy::Enforce);
    for known in [&never, &once] {
        assert_eq!(
            decide(&enforced, NEW, Some(known), SAME, None, Origin::Found),
            Action::Read
        );
    }
}

#[test]
fn a_bootstrap_is_for_a_new_agent_only_and_never_comes_back() {
    let bootstrap = |policy| Rendered {
        name: FileName::Bootstrap,
        ..file(policy)
    };
    let seed = bootstrap(Policy::Seed);
    let missing = Listed::Missing;
    assert_eq!(
        decide(&seed, NEW, None, missing, None, Origin::Ours),
        write(None, Cause::Ours)
    );
    for read in [None, Some(&Read::Missing)] {
        let Action::Record(kept) = decide(&seed, NEW, None, missing, read, Origin::Found) else {
            panic!("not written")
        };
        assert_eq!(kept.state, FileState::Seeded);
        // That there is none is how it was found, and no drift.
        assert_eq!(
            decide(&seed, NEW, Some(&kept), missing, None, Origin::Found),
            Action::Record(kept.clone())
        );
        let Action::Record(written) = decide(&seed, NEW, Some(&kept), SAME, None, Origin::Found)
        else {
            panic!("not written")
        };
        assert_eq!(written.state, FileState::Drifted);
    }
    let enforced = bootstrap(Policy::Enforce);
    assert_eq!(
        decide(&enforced, NEW, None, missing, None, Origin::Found),
        write(None, Cause::Ours)
    );
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
            Some(recorded(OLD, FileState::Seeded)),
            Some(recorded("", FileState::Ignored)),
            Some(recorded(OLD, FileState::Ignored)),
        ] {
            for listed in [SAME, CHANGED, TOUCHED, Listed::Missing, Listed::No] {
                for read in [Read::Missing, Read::Refused, present(NEW), present(THEIRS)] {
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
