//! The plan against a small model of a gateway: properties for any world, and tables for what each rule does.

mod model;
mod properties;

use serde_json::json;

use super::*;
use crate::plan::render::{Policy, Rendered};
use model::{Model, converge, record};

#[test]
fn a_seed_of_ours_survives_an_agents_edit_and_an_enforced_file_does_not() {
    let keys = Keys::from([("name".into(), json!("A"))]);
    let file = |name, policy| Rendered {
        name,
        policy,
        text: "ours".into(),
    };
    let workspace = Workspace {
        files: vec![
            file(FileName::Soul, Policy::Enforce),
            file(FileName::Memory, Policy::Seed),
        ],
        checklist: "list".into(),
    };
    let wanted = Wanted {
        keys: &keys,
        workspace: &workspace,
        ignored: &[],
    };
    let (mut record, mut model) = (record(PlaceState::Claimed), Model::default());
    converge(wanted, &mut record, &mut model, usize::MAX);
    model.files.insert(FileName::Soul, ("theirs".into(), 99));
    model.files.insert(FileName::Memory, ("theirs".into(), 99));
    assert_eq!(converge(wanted, &mut record, &mut model, usize::MAX), 1);
    assert_eq!(model.files[&FileName::Soul].0, "ours");
    assert_eq!(model.files[&FileName::Memory].0, "theirs");
}

#[test]
fn a_bootstrap_of_the_gateways_own_is_emptied_once_at_first_registration() {
    let keys = Keys::from([("name".into(), json!("A"))]);
    let workspace = Workspace {
        files: Vec::new(),
        checklist: "list".into(),
    };
    let wanted = Wanted {
        keys: &keys,
        workspace: &workspace,
        ignored: &[],
    };
    let (mut record, mut model) = (record(PlaceState::Claimed), Model::default());
    model
        .files
        .insert(FileName::Bootstrap, ("hello, who am I?".into(), 1));
    converge(wanted, &mut record, &mut model, usize::MAX);
    assert_eq!(model.files[&FileName::Bootstrap].0, "");
    model
        .files
        .insert(FileName::Bootstrap, ("the agent's own".into(), 2));
    assert_eq!(
        converge(wanted, &mut record, &mut model, usize::MAX),
        0,
        "never again"
    );
}

#[test]
fn an_ignored_file_is_looked_at_and_never_written_the_gateways_bootstrap_included() {
    let keys = Keys::from([("name".into(), json!("A"))]);
    let soul = Rendered {
        name: FileName::Identity,
        policy: Policy::Enforce,
        text: "ours".into(),
    };
    let enforcing = Workspace {
        files: vec![soul],
        checklist: "list".into(),
    };
    let leaving = Workspace {
        files: Vec::new(),
        checklist: "list".into(),
    };
    let ignored = [FileName::Identity, FileName::Bootstrap];
    let (mut record, mut model) = (record(PlaceState::Claimed), Model::default());
    model
        .files
        .insert(FileName::Bootstrap, ("hello, who am I?".into(), 1));
    let before = Wanted {
        keys: &keys,
        workspace: &enforcing,
        ignored: &ignored[1..],
    };
    converge(before, &mut record, &mut model, usize::MAX);
    assert_eq!(model.files[&FileName::Bootstrap].0, "hello, who am I?");
    let after = Wanted {
        keys: &keys,
        workspace: &leaving,
        ignored: &ignored,
    };
    let state = |record: &AgentStatus, name: FileName| {
        let mut files = record.files.iter();
        files
            .find(|file| file.name == name.as_str())
            .map(|file| file.state)
    };
    for (text, expected) in [("ours", FileState::Ignored), ("theirs", FileState::Drifted)] {
        model.files.insert(FileName::Identity, (text.into(), 9));
        assert_eq!(converge(after, &mut record, &mut model, usize::MAX), 0);
        assert_eq!(state(&record, FileName::Identity), Some(expected));
        assert_eq!(
            state(&record, FileName::Bootstrap),
            Some(FileState::Ignored)
        );
    }
}

#[test]
fn an_agent_that_was_removed_with_its_files_is_new_and_one_that_kept_them_is_not() {
    let filled = SeenFile {
        listed: Listed::Present {
            size: 9,
            modified: None,
        },
        read: None,
    };
    let confirmed = record(PlaceState::Registered);
    let returning = record(PlaceState::Returning);
    assert_eq!(origin(&returning, Some(&filled), None), Some(Origin::Ours));
    assert_eq!(origin(&returning, None, None), Some(Origin::Found));
    assert_eq!(origin(&confirmed, Some(&filled), None), Some(Origin::Found));
    for new in [PlaceState::Claimed, PlaceState::Creating] {
        assert_eq!(origin(&record(new), None, None), Some(Origin::Ours));
    }
}

#[test]
fn a_bootstrap_of_ours_does_not_make_an_agent_new_that_kept_its_files() {
    let keys = Keys::from([("name".into(), json!("A"))]);
    let file = |name, policy| Rendered {
        name,
        policy,
        text: "ours".into(),
    };
    let workspace = Workspace {
        files: vec![
            file(FileName::Bootstrap, Policy::Seed),
            file(FileName::Memory, Policy::Seed),
        ],
        checklist: "list".into(),
    };
    let wanted = Wanted {
        keys: &keys,
        workspace: &workspace,
        ignored: &[],
    };
    for (bootstrap, after, memory) in [
        // The agent had its first hour, and has deleted it.
        (None, None, "the agent's"),
        (Some("ours"), Some("ours"), "the agent's"),
        (Some("the gateway's"), Some("ours"), "ours"),
    ] {
        let (mut record, mut model) = (record(PlaceState::Returning), Model::default());
        model
            .files
            .insert(FileName::Memory, ("the agent's".into(), 1));
        if let Some(text) = bootstrap {
            model.files.insert(FileName::Bootstrap, (text.into(), 1));
        }
        converge(wanted, &mut record, &mut model, usize::MAX);
        let there = model.files.get(&FileName::Bootstrap);
        assert_eq!(there.map(|(text, _)| text.as_str()), after);
        assert_eq!(model.files[&FileName::Memory].0, memory, "{bootstrap:?}");
    }
}

#[test]
fn a_confirmed_claim_wins_over_the_mark_and_one_that_is_in_doubt_does_not() {
    use Ownership::{Claimed, Foreign, Free, Marked};
    let mark = |name: &str| Mark {
        cluster_id: "c".parse().unwrap(),
        namespace: "n".into(),
        name: name.into(),
        adopted: false,
    };
    let (own, other) = (mark("own"), mark("other"));
    let keys = Keys::from([
        ("name".into(), json!("A")),
        ("heartbeat.every".into(), json!("5m")),
    ]);
    let ours = json!({"name": "A", "heartbeat": {"every": "5m"}, "tools": {}});
    let theirs = json!({"name": "A", "workspace": "/w"});
    let mut fresh = record(PlaceState::Claimed);
    fresh.own_keys = keys.keys().cloned().collect();
    fresh.places[0].entry_sha256 = Some(entry::digest(&keys));
    let registered = record(PlaceState::Registered);
    let returning = record(PlaceState::Returning);
    let adopting = record(PlaceState::Adopting);
    let mut confirmed = record(PlaceState::Claimed);
    confirmed.entry_sha256 = Some("any".into());
    let made =
        json!({"name": "id", "workspace": "/w", "agentDir": "/a", "identity": {"name": "id"}});
    let mut creating = fresh.clone();
    creating.places[0].state = PlaceState::Creating;
    creating.places[0].agent_id = "id".into();
    let none = AgentStatus::default();
    for (record, entry, found, expected) in [
        // Confirmed once: whatever stands there now, and if it says otherwise.
        (&registered, Some(&theirs), Some(&other), Claimed),
        (&registered, None, None, Claimed),
        (&returning, Some(&theirs), None, Claimed),
        (&confirmed, Some(&theirs), None, Claimed),
        // The entry was confirmed and AGENTS.md was not: somebody else's mark says whose it is.
        (&confirmed, Some(&ours), Some(&own), Claimed),
        (&confirmed, Some(&ours), Some(&other), Foreign),
        (&adopting, Some(&theirs), None, Claimed),
        (&adopting, Some(&theirs), Some(&own), Claimed),
        (&adopting, Some(&theirs), Some(&other), Foreign),
        (&adopting, None, None, Claimed),
        // Claimed and never confirmed: only what the claim was made to write is ours, and not where another cluster wrote the same.
        (&fresh, None, None, Free),
        (&fresh, Some(&ours), None, Claimed),
        (&fresh, Some(&ours), Some(&own), Claimed),
        (&fresh, Some(&ours), Some(&other), Foreign),
        (&fresh, Some(&theirs), None, Foreign),
        (&fresh, Some(&theirs), Some(&own), Marked),
        // Being created: also what the gateway makes of it.
        (&creating, None, None, Free),
        (&creating, Some(&made), None, Claimed),
        (&creating, Some(&made), Some(&other), Foreign),
        (&creating, Some(&ours), None, Claimed),
        (&creating, Some(&theirs), None, Foreign),
        (&fresh, Some(&made), None, Foreign),
        (&none, None, None, Free),
        (&none, Some(&ours), Some(&own), Marked),
        (&none, Some(&ours), Some(&other), Foreign),
        (&none, Some(&ours), None, Foreign),
    ] {
        let place = record.places.first();
        assert_eq!(ownership(record, place, entry, found, &own), expected);
    }
}

#[test]
fn anothers_mark_in_a_file_that_is_not_as_we_wrote_it_says_whose_the_agent_is_by_now() {
    let mark = |cluster: &str| Mark {
        cluster_id: cluster.parse().unwrap(),
        namespace: "n".into(),
        name: "a".into(),
        adopted: false,
    };
    let (own, other) = (mark("here"), mark("there"));
    let mut status = record(PlaceState::Registered);
    status.files.push(FileStatus {
        name: "AGENTS.md".into(),
        sha256: "as written".into(),
        size: 1,
        modified: None,
        state: FileState::Synced,
    });
    let blank = record(PlaceState::Registered);
    for (record, found, sha256, is_anothers) in [
        (&status, None, Some("changed"), false),
        (&status, Some(&own), Some("changed"), false),
        (&status, Some(&other), Some("changed"), true),
        (&blank, Some(&other), Some("changed"), true),
        // Written by us before the cluster got another id.
        (&status, Some(&other), Some("as written"), false),
        (&status, None, None, false),
    ] {
        let judged = is_marked_over(record, found, sha256, &own);
        assert_eq!(judged, is_anothers, "{found:?} {sha256:?}");
    }
}

#[test]
fn an_entry_is_as_left_where_our_keys_are_as_they_were_confirmed() {
    let left = json!({"name": "A", "tools": {}});
    let mut status = record(PlaceState::Registered);
    status.own_keys = vec!["name".into()];
    assert!(!is_as_left(&status, &left), "never confirmed");
    let keys = Keys::from([("name".into(), json!("A"))]);
    status.entry_sha256 = Some(entry::digest(&keys));
    assert!(is_as_left(&status, &left));
    assert!(is_as_left(&status, &json!({"name": "A"})));
    assert!(!is_as_left(&status, &json!({"name": "B", "tools": {}})));
}
