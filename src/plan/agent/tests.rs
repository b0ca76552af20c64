//! The plan against a small model of a gateway: whatever it finds, it converges, stays converged, and leaves what is not ours alone.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::reference::GatewayName;
use crate::plan::{
    entry::sha256,
    render::{Policy, Rendered},
};

/// A gateway as far as one agent sees it. `clock` stands for modification times.
#[derive(Debug, Clone, Default)]
struct Model {
    entry: Option<Value>,
    files: BTreeMap<FileName, (String, i64)>,
    checklist: Option<(String, i64)>,
    skip_bootstrap: bool,
    clock: i64,
}

impl Model {
    fn see(&self, reads: &BTreeSet<FileName>) -> Seen {
        let file = |name: FileName| {
            let there = self.files.get(&name);
            let listed = match there {
                _ if name == FileName::Identity => Listed::No,
                None => Listed::Missing,
                Some((text, modified)) => Listed::Present {
                    size: size(text),
                    modified: Some(*modified),
                },
            };
            let read = reads.contains(&name).then(|| match there {
                None => Read::Missing,
                Some((text, modified)) => Read::Present {
                    hash: sha256(text),
                    size: size(text),
                    modified: Some(*modified),
                },
            });
            SeenFile { listed, read }
        };
        Seen {
            entry: self.entry.clone(),
            skip_bootstrap: self.skip_bootstrap,
            files: Some(FileName::ALL.map(|name| (name, file(name))).into()),
            checklist: match &self.checklist {
                None => SeenChecklist::None,
                Some((text, revision)) => SeenChecklist::Some {
                    sha256: sha256(text),
                    revision: *revision,
                },
            },
        }
    }

    fn write_entry(&mut self, step: &EntryStep) {
        let entry = self.entry.get_or_insert_with(|| json!({}));
        for (path, value) in &step.set {
            let mut at = &mut *entry;
            for part in path.split('.') {
                if !at[part].is_object() && path.ends_with(part) {
                    at[part] = Value::Null;
                } else if !at[part].is_object() {
                    at[part] = json!({});
                }
                at = &mut at[part];
            }
            *at = value.clone();
        }
        for path in &step.unset {
            let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
            let pointer = if parent.is_empty() {
                String::new()
            } else {
                format!("/{}", parent.replace('.', "/"))
            };
            if let Some(Value::Object(map)) = entry.pointer_mut(&pointer) {
                map.remove(key);
            }
        }
    }

    /// Writes what the step says and answers what the real gateway would confirm.
    fn execute(&mut self, step: Step, record: &mut AgentStatus) {
        self.clock += 1;
        match step {
            Step::WriteFile {
                name,
                text,
                sha256: sha,
                state,
                expected,
                ..
            } => {
                let there = self.files.get(&name).map(|(text, _)| sha256(text));
                if expected.is_some() {
                    assert_eq!(expected, there, "written over what was read");
                }
                record.files.retain(|file| file.name != name.as_str());
                record.files.push(FileStatus {
                    name: name.to_string(),
                    sha256: sha,
                    size: size(&text),
                    modified: Some(self.clock),
                    state,
                });
                self.files.insert(name, (text, self.clock));
            }
            Step::WriteChecklist {
                text,
                sha256,
                expected_revision,
                ..
            } => {
                assert_eq!(expected_revision, self.checklist.as_ref().map(|(_, r)| *r));
                let revision = expected_revision.unwrap_or_default() + 1;
                record.checklist = Some(ChecklistStatus { sha256, revision });
                self.checklist = Some((text, revision));
            }
        }
    }
}

fn size(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap()
}

/// Plans and executes as the controller does, at most `budget` writes. Answers how many were made.
fn converge(
    wanted: Wanted<'_>,
    record: &mut AgentStatus,
    model: &mut Model,
    budget: usize,
) -> usize {
    let mut writes = 0;
    let mut reads = BTreeSet::new();
    for _ in 0..16 {
        let plan = plan(wanted, record, &model.see(&reads));
        for status in plan.files.clone() {
            record.files.retain(|file| file.name != status.name);
            record.files.push(status);
        }
        record.checklist = plan.checklist.clone().or_else(|| record.checklist.take());
        if plan.is_converged() {
            record.places[0].state = PlaceState::Registered;
            record.entry_sha256 = Some(entry::digest(wanted.keys));
            record.own_keys = wanted.keys.keys().cloned().collect();
            return writes;
        }
        if let Some(step) = &plan.entry {
            if writes == budget {
                return writes;
            }
            model.write_entry(step);
            writes += 1;
        }
        reads = plan.reads;
        for step in plan.steps {
            if writes == budget {
                return writes;
            }
            model.execute(step, record);
            writes += 1;
        }
    }
    panic!(
        "no convergence: {:?}",
        plan(wanted, record, &model.see(&reads))
    );
}

fn record(state: PlaceState) -> AgentStatus {
    AgentStatus {
        places: vec![Place {
            gateway_uid: "uid".into(),
            agent_id: "a".into(),
            state,
            entry_sha256: None,
            gateway: GatewayName::default(),
        }],
        ..AgentStatus::default()
    }
}

fn keys() -> impl Strategy<Value = Keys> {
    let paths = prop::sample::subsequence(
        vec!["model", "workspace", "heartbeat.prompt", "heartbeat.model"],
        0..=4,
    );
    (paths, "[a-c]", "[1-9]m").prop_map(|(paths, value, every)| {
        let mut keys = Keys::from([
            ("name".into(), json!(value)),
            ("heartbeat.every".into(), json!(every)),
        ]);
        keys.extend(
            paths
                .into_iter()
                .map(|path| (path.to_owned(), json!(value))),
        );
        keys
    })
}

fn workspace() -> impl Strategy<Value = Workspace> {
    let policy = prop_oneof![Just(Policy::Enforce), Just(Policy::Seed)];
    let files = prop::collection::btree_map(
        prop::sample::select(&FileName::ALL[..]),
        (policy, "[a-c]{1,2}"),
        1..6,
    );
    (files, "[a-c]").prop_map(|(files, checklist)| Workspace {
        files: files
            .into_iter()
            .map(|(name, (policy, text))| Rendered { name, policy, text })
            .collect(),
        checklist,
    })
}

fn model() -> impl Strategy<Value = Model> {
    let entry = prop_oneof![
        Just(None),
        Just(Some(json!({}))),
        Just(Some(
            json!({"name": "x", "tools": {"allow": ["a"]}, "heartbeat": {"every": "1h", "to": "them"}})
        )),
    ];
    let files = prop::collection::btree_map(
        prop::sample::select(&FileName::ALL[..]),
        ("[a-d]{1,2}", 0_i64..5),
        0..6,
    );
    (
        entry,
        files,
        prop::option::of(("[a-d]", 1_i64..4)),
        any::<bool>(),
    )
        .prop_map(|(entry, files, checklist, skip_bootstrap)| Model {
            entry,
            files,
            checklist,
            skip_bootstrap,
            clock: 10,
        })
}

proptest! {
    #[test]
    fn any_world_converges_and_a_converged_world_has_an_empty_plan(
        keys in keys(), workspace in workspace(), mut model in model(), claimed in any::<bool>(),
    ) {
        let mut record = record(if claimed { PlaceState::Claimed } else { PlaceState::Registered });
        let wanted = Wanted { keys: &keys, workspace: &workspace };
        converge(wanted, &mut record, &mut model, usize::MAX);
        let before = model.clone();
        prop_assert_eq!(converge(wanted, &mut record, &mut model, usize::MAX), 0);
        prop_assert_eq!(&before.files, &model.files);
        for file in workspace.files.iter().filter(|file| file.policy == Policy::Enforce) {
            prop_assert_eq!(&model.files[&file.name].0, &file.text);
        }
    }

    #[test]
    fn a_crash_after_any_write_converges_to_the_same_world(
        keys in keys(), workspace in workspace(), model in model(), crash in 0_usize..8,
    ) {
        let wanted = Wanted { keys: &keys, workspace: &workspace };
        let mut undisturbed = model.clone();
        converge(wanted, &mut record(PlaceState::Claimed), &mut undisturbed, usize::MAX);
        let mut crashed = model;
        // What was confirmed after the claim is lost with the process: the record starts over.
        converge(wanted, &mut record(PlaceState::Claimed), &mut crashed, crash);
        converge(wanted, &mut record(PlaceState::Claimed), &mut crashed, usize::MAX);
        let texts = |model: &Model| model.files.iter().map(|(name, (text, _))| (*name, text.clone())).collect::<Vec<_>>();
        prop_assert_eq!(texts(&undisturbed), texts(&crashed));
        prop_assert_eq!(undisturbed.entry, crashed.entry);
    }

    #[test]
    fn keys_of_others_stay_and_a_key_that_is_no_longer_wanted_goes_only_if_we_set_it(
        first in keys(), second in keys(), workspace in workspace(), mut model in model(),
    ) {
        let others = |model: &Model| {
            let entry = model.entry.clone().unwrap_or_default();
            (entry.get("tools").cloned(), entry.pointer("/heartbeat/to").cloned())
        };
        let before = others(&model);
        let mut record = record(PlaceState::Claimed);
        converge(Wanted { keys: &first, workspace: &workspace }, &mut record, &mut model, usize::MAX);
        converge(Wanted { keys: &second, workspace: &workspace }, &mut record, &mut model, usize::MAX);
        prop_assert_eq!(before, others(&model));
        let entry = model.entry.unwrap();
        for path in first.keys().filter(|path| !second.contains_key(*path)) {
            prop_assert!(entry.pointer(&format!("/{}", path.replace('.', "/"))).is_none(), "{} stayed in {}", path, entry);
        }
    }
}

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
    assert_eq!(origin(&returning, Some(&filled)), Origin::Ours);
    assert_eq!(origin(&returning, None), Origin::Found);
    assert_eq!(origin(&confirmed, Some(&filled)), Origin::Found);
    for new in [PlaceState::Claimed, PlaceState::Creating] {
        assert_eq!(origin(&record(new), None), Origin::Ours);
    }
}

#[test]
fn a_confirmed_claim_wins_over_the_mark_and_one_that_was_never_used_proves_nothing() {
    use Ownership::{Claimed, Foreign, Free, Marked};
    let mark = |name: &str| Mark {
        cluster_id: "c".parse().unwrap(),
        namespace: "n".into(),
        name: name.into(),
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
        // Claimed and never confirmed: only what the claim was made to write is ours.
        (&fresh, None, None, Free),
        (&fresh, Some(&ours), None, Claimed),
        (&fresh, Some(&theirs), None, Foreign),
        (&fresh, Some(&theirs), Some(&own), Marked),
        // Being created: also what the gateway makes of it.
        (&creating, None, None, Free),
        (&creating, Some(&made), None, Claimed),
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
