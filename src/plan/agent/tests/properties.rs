//! Whatever is wanted, recorded and found: the plan converges, stays converged, and leaves what is not ours alone.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Value, json};

use super::super::*;
use super::model::{Model, converge, record, size};
use crate::plan::{
    entry::sha256,
    render::{Policy, Rendered},
};

fn keys() -> impl Strategy<Value = Keys> {
    let optional = vec!["model", "workspace", "heartbeat.prompt", "heartbeat.model"];
    let hours = prop::option::of(select(vec![
        json!({"start": "08:00", "end": "20:00"}),
        json!({"start": "08:00", "end": "20:00", "timezone": "UTC"}),
    ]));
    (subsequence(optional, 0..=4), "[a-c]", "[1-9]m", hours).prop_map(
        |(paths, value, every, hours)| {
            let mut keys = Keys::from([
                ("name".into(), json!(value)),
                ("heartbeat.every".into(), json!(every)),
            ]);
            keys.extend(
                paths
                    .into_iter()
                    .map(|path| (path.to_owned(), json!(value))),
            );
            keys.extend(hours.map(|hours| ("heartbeat.activeHours".into(), hours)));
            keys
        },
    )
}

fn file_name() -> impl Strategy<Value = FileName> {
    select(&FileName::ALL[..])
}

fn workspace() -> impl Strategy<Value = Workspace> {
    // An ignored file is not among those that are wanted.
    let policy = prop_oneof![Just(Policy::Enforce), Just(Policy::Seed)];
    let files = prop::collection::btree_map(file_name(), (policy, "[a-c]{1,2}"), 0..6);
    (files, "[a-c]").prop_map(|(files, checklist)| Workspace {
        files: files
            .into_iter()
            .map(|(name, (policy, text))| Rendered { name, policy, text })
            .collect(),
        checklist,
    })
}

fn model() -> impl Strategy<Value = Model> {
    let entry = select(vec![
        None,
        Some(json!({})),
        Some(
            json!({"name": "x", "tools": {"allow": ["a"]}, "heartbeat": {"every": "1h", "to": "them"}}),
        ),
        Some(
            json!({"model": {"primary": "p/m", "fallbacks": ["p/n"]}, "heartbeat": {"activeHours": {"start": "01:00", "end": "02:00", "timezone": "UTC"}}}),
        ),
    ]);
    let files = prop::collection::btree_map(file_name(), ("[a-d]{0,2}", 0_i64..5), 0..6);
    let checklist = prop::option::of(("[a-d]", 1_i64..4));
    (entry, files, checklist, any::<bool>(), any::<bool>()).prop_map(
        |(entry, files, checklist, monitor, skip_bootstrap)| Model {
            entry,
            files,
            monitor,
            checklist: checklist.filter(|_| monitor),
            skip_bootstrap,
            clock: 10,
        },
    )
}

fn file_status() -> impl Strategy<Value = (FileName, FileStatus)> {
    let state = select(vec![
        FileState::Synced,
        FileState::Seeded,
        FileState::Emptied,
    ]);
    (file_name(), "[a-d]{0,2}", 0_i64..5, state).prop_map(|(name, text, modified, state)| {
        let status = FileStatus {
            name: name.to_string(),
            sha256: sha256(&text),
            size: size(&text),
            modified: Some(modified),
            state,
        };
        (name, status)
    })
}

/// What may stand in a status: of this gateway, of one before, or half of what was done.
fn any_record() -> impl Strategy<Value = AgentStatus> {
    let state = select(vec![
        PlaceState::Claimed,
        PlaceState::Creating,
        PlaceState::Registered,
        PlaceState::Returning,
    ]);
    let files = prop::collection::vec(file_status(), 0..6);
    let checklist = prop::option::of(("[a-d]", 1_i64..4));
    let own = vec!["name", "model", "heartbeat.every", "heartbeat.activeHours"];
    (state, files, checklist, subsequence(own, 0..=4)).prop_map(|(state, files, checklist, own)| {
        let files: BTreeMap<_, _> = files.into_iter().collect();
        AgentStatus {
            files: files.into_values().collect(),
            checklist: checklist.map(|(text, revision)| ChecklistStatus {
                sha256: sha256(&text),
                revision,
            }),
            own_keys: own.into_iter().map(str::to_owned).collect(),
            ..record(state)
        }
    })
}

/// Whether the record says of a file that is wanted that it is there as wanted, and the listing cannot show that this is not so.
fn is_deceived(wanted: &Rendered, record: &AgentStatus, model: &Model) -> bool {
    let Some((text, modified)) = model.files.get(&wanted.name) else {
        return false;
    };
    let mut recorded = record.files.iter();
    wanted.name != FileName::Identity
        && *text != wanted.text
        && recorded.any(|file| {
            file.name == wanted.name.as_str()
                && file.sha256 == sha256(&wanted.text)
                && file.size == size(text)
                && file.modified == Some(*modified)
        })
}

fn texts(model: &Model) -> BTreeMap<FileName, String> {
    let texts = model.files.iter();
    texts
        .map(|(name, (text, _))| (*name, text.clone()))
        .collect()
}

/// Where the agent comes from, all of its files read.
fn origin_of(record: &AgentStatus, model: &Model, workspace: &Workspace) -> Origin {
    let seen = model.see(&FileName::ALL.into()).files.unwrap();
    let mut wanted = workspace.files.iter();
    let wanted = wanted.find(|file| file.name == FileName::Bootstrap);
    origin(record, seen.get(&FileName::Bootstrap), wanted).unwrap()
}

/// What of the entry no wish of the tests speaks of.
fn keys_of_others(model: &Model) -> (Option<Value>, Option<Value>) {
    let entry = model.entry.clone().unwrap_or_default();
    (
        entry.get("tools").cloned(),
        entry.pointer("/heartbeat/to").cloned(),
    )
}

proptest! {
    #[test]
    fn any_world_converges_and_a_converged_world_has_an_empty_plan(
        keys in keys(), workspace in workspace(), mut model in model(), mut record in any_record(),
    ) {
        prop_assume!(!workspace.files.iter().any(|file| is_deceived(file, &record, &model)));
        let wanted = Wanted { keys: &keys, workspace: &workspace, ignored: &[] };
        let others = keys_of_others(&model);
        converge(wanted, &mut record, &mut model, usize::MAX);
        let before = model.clone();
        prop_assert_eq!(converge(wanted, &mut record, &mut model, usize::MAX), 0);
        prop_assert_eq!(&before, &model);
        prop_assert_eq!(others, keys_of_others(&model));
        for file in workspace.files.iter().filter(|file| file.policy == Policy::Enforce) {
            prop_assert_eq!(&model.files[&file.name].0, &file.text);
        }
        if model.monitor {
            prop_assert_eq!(model.checklist.map(|(text, _)| text), Some(workspace.checklist));
        }
    }

    #[test]
    fn a_file_that_nobody_wants_stays_but_for_the_bootstrap_of_an_agent_that_we_register(
        keys in keys(), workspace in workspace(), mut model in model(), mut record in any_record(),
    ) {
        let before = texts(&model);
        let was = origin_of(&record, &model, &workspace);
        let wanted = Wanted { keys: &keys, workspace: &workspace, ignored: &[] };
        converge(wanted, &mut record, &mut model, usize::MAX);
        let after = texts(&model);
        for name in FileName::ALL {
            if workspace.files.iter().any(|file| file.name == name) {
                continue;
            }
            let emptied = name == FileName::Bootstrap && was == Origin::Ours && !model.skip_bootstrap;
            if emptied && before.contains_key(&name) {
                prop_assert_eq!(after.get(&name).map(String::as_str), Some(""));
            } else {
                prop_assert_eq!(before.get(&name), after.get(&name));
            }
        }
    }

    #[test]
    fn a_seed_is_written_once_and_over_nothing_that_an_agent_has_made_its_own(
        keys in keys(), workspace in workspace(), mut model in model(), mut record in any_record(),
    ) {
        let before = texts(&model);
        let known = record.clone();
        let was = origin_of(&record, &model, &workspace);
        let wanted = Wanted { keys: &keys, workspace: &workspace, ignored: &[] };
        converge(wanted, &mut record, &mut model, usize::MAX);
        let after = texts(&model);
        for seed in workspace.files.iter().filter(|file| file.policy == Policy::Seed) {
            let recorded = known.files.iter().find(|file| file.name == seed.name.as_str());
            let is_its_own = recorded.is_some_and(|file| file.state != FileState::Emptied)
                || was == Origin::Found
                    && (before.contains_key(&seed.name) || seed.name == FileName::Bootstrap);
            let expected = if is_its_own { before.get(&seed.name) } else { Some(&seed.text) };
            prop_assert_eq!(after.get(&seed.name), expected, "{}", seed.name);
        }
    }

    #[test]
    fn what_others_change_afterwards_is_put_back_where_it_is_enforced_and_nowhere_else(
        keys in keys(), workspace in workspace(), mut model in model(),
        edits in prop::collection::btree_map(file_name(), prop::option::of("[e-g]{1,3}"), 0..4),
        checklist in prop::option::of("[e-g]"),
    ) {
        let mut record = record(PlaceState::Registered);
        let wanted = Wanted { keys: &keys, workspace: &workspace, ignored: &[] };
        converge(wanted, &mut record, &mut model, usize::MAX);
        let mut expected = texts(&model);
        for (name, text) in edits {
            model.clock += 1;
            let enforced = workspace.files.iter().any(|file| file.name == name && file.policy == Policy::Enforce);
            let after = text.map(|text| (text, model.clock));
            if !enforced {
                expected.remove(&name);
                expected.extend(after.clone().map(|(text, _)| (name, text)));
            }
            model.files.remove(&name);
            model.files.extend(after.map(|after| (name, after)));
        }
        if let (true, Some(text)) = (model.monitor, checklist) {
            model.checklist = Some((text, 9));
        }
        let plan = plan(wanted, &record, &model.see(&BTreeSet::new()));
        let drifts = plan.steps.iter().all(|step| matches!(
            step,
            Step::WriteFile { cause: Cause::Drift, .. } | Step::WriteChecklist { cause: Cause::Drift, .. }
        ));
        prop_assert!(drifts, "{:?}", plan);
        converge(wanted, &mut record, &mut model, usize::MAX);
        prop_assert_eq!(texts(&model), expected);
        prop_assert_eq!(model.checklist.map(|(text, _)| text), model.monitor.then_some(workspace.checklist));
    }

    #[test]
    fn the_order_of_files_makes_no_difference(
        keys in keys(), workspace in workspace(), model in model(), record in any_record(), turn in 0_usize..6,
    ) {
        let mut turned = workspace.clone();
        turned.files.rotate_left(turn.min(workspace.files.len()));
        let end = |workspace: &Workspace| {
            let (mut record, mut model) = (record.clone(), model.clone());
            let writes = converge(Wanted { keys: &keys, workspace, ignored: &[] }, &mut record, &mut model, usize::MAX);
            (writes, texts(&model), model.entry, model.checklist)
        };
        prop_assert_eq!(end(&workspace), end(&turned));
    }

    #[test]
    fn a_crash_after_any_write_converges_to_the_same_world(
        keys in keys(), workspace in workspace(), model in model(), crash in 0_usize..8,
    ) {
        let wanted = Wanted { keys: &keys, workspace: &workspace, ignored: &[] };
        let mut undisturbed = model.clone();
        converge(wanted, &mut record(PlaceState::Claimed), &mut undisturbed, usize::MAX);
        let mut crashed = model;
        // What was confirmed after the claim is lost with the process: the record starts over.
        converge(wanted, &mut record(PlaceState::Claimed), &mut crashed, crash);
        converge(wanted, &mut record(PlaceState::Claimed), &mut crashed, usize::MAX);
        prop_assert_eq!(texts(&undisturbed), texts(&crashed));
        prop_assert_eq!(undisturbed.entry, crashed.entry);
    }

    #[test]
    fn a_key_that_is_no_longer_wanted_goes_only_if_we_set_it(
        first in keys(), second in keys(), workspace in workspace(), mut model in model(),
    ) {
        let before = keys_of_others(&model);
        let mut record = record(PlaceState::Claimed);
        converge(Wanted { keys: &first, workspace: &workspace, ignored: &[] }, &mut record, &mut model, usize::MAX);
        converge(Wanted { keys: &second, workspace: &workspace, ignored: &[] }, &mut record, &mut model, usize::MAX);
        prop_assert_eq!(before, keys_of_others(&model));
        let entry = model.entry.unwrap();
        for path in first.keys().filter(|path| !second.contains_key(*path)) {
            prop_assert!(entry.pointer(&format!("/{}", path.replace('.', "/"))).is_none(), "{} stayed in {}", path, entry);
        }
    }

    #[test]
    fn an_entry_without_claim_or_mark_of_ours_is_never_taken_for_ours(
        model in model(), record in any_record(),
    ) {
        let mark = |name: &str| Mark { cluster_id: "c".parse().unwrap(), namespace: "n".into(), name: name.into(), adopted: false };
        let (own, found) = (mark("a"), mark("b"));
        let judged = ownership(&record, None, model.entry.as_ref(), Some(&found), &own);
        prop_assert_eq!(judged, if model.entry.is_some() { Ownership::Foreign } else { Ownership::Free });
    }
}
