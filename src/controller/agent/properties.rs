//! The way of several Agents' entries through all layers: what specs say, what is planned, what is written, and what the gateway makes of
//! it. The plan and the difference do not know each other; here they must agree.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Value, json};

use crate::{
    api::{
        Agent, AgentSpec, AgentStatus, Board, BoardSpec, Gateway, GatewaySpec,
        board::AgentDefaults,
        file::{FilePolicy, FileSpec},
        heartbeat::{ActiveHours, Heartbeat},
    },
    gateway::{
        EntryWish,
        difference::{difference, model::patched, unmet},
    },
    plan::{
        agent::{Plan, Seen, Wanted, plan},
        desired::{Desired, desired},
        entry,
        render::{FileName, Policy, Workspace},
    },
};

fn word() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[a-c]")
}

fn heartbeat() -> impl Strategy<Value = Option<Heartbeat>> {
    let hours =
        prop::option::of(
            (word(), "[0-9]{2}:00").prop_map(|(timezone, start)| ActiveHours {
                start,
                end: "24:00".to_owned(),
                timezone,
            }),
        );
    let every = prop::option::of(select(vec!["0m", "5m", "1h"]));
    let heartbeat = (every, word(), word(), word(), hours);
    prop::option::of(
        heartbeat.prop_map(|(every, target, prompt, model, active_hours)| Heartbeat {
            every: every.map(str::to_owned),
            target,
            prompt,
            model,
            active_hours,
            checklist: None,
        }),
    )
}

fn files() -> impl Strategy<Value = Vec<FileSpec>> {
    let policy = select(vec![
        None,
        Some(FilePolicy::Enforce),
        Some(FilePolicy::Seed),
        Some(FilePolicy::Ignore),
    ]);
    let files = prop::collection::btree_map(select(&FileName::ALL[..]), (word(), policy), 0..6);
    files.prop_map(|files| {
        let files = files.into_iter();
        files
            .map(|(name, (content, policy))| FileSpec {
                name: name.to_string(),
                content,
                policy,
                ..FileSpec::default()
            })
            .collect()
    })
}

fn agents() -> impl Strategy<Value = Vec<Agent>> {
    let spec = (word(), word(), heartbeat(), files()).prop_map(
        |(display_name, model, heartbeat, files)| AgentSpec {
            display_name,
            model,
            heartbeat,
            files,
            ..AgentSpec::default()
        },
    );
    let own = vec![
        "name",
        "model",
        "workspace",
        "heartbeat.prompt",
        "heartbeat.activeHours",
    ];
    let agent = (spec, subsequence(own, 0..=5));
    prop::collection::btree_map(select(vec!["a", "b", "c", "main"]), agent, 1..4).prop_map(
        |agents| {
            let agents = agents.into_iter();
            agents
                .map(|(name, (spec, own))| {
                    let mut agent = Agent::new(name, spec);
                    agent.status = Some(AgentStatus {
                        own_keys: own.into_iter().map(str::to_owned).collect(),
                        ..AgentStatus::default()
                    });
                    agent
                })
                .collect()
        },
    )
}

fn board() -> impl Strategy<Value = Option<Board>> {
    let defaults = (word(), heartbeat(), files());
    prop::option::of(defaults.prop_map(|(model, heartbeat, files)| {
        let defaults = AgentDefaults {
            model,
            heartbeat,
            files,
            ..AgentDefaults::default()
        };
        let spec = BoardSpec {
            agent_defaults: Some(defaults),
            ..BoardSpec::default()
        };
        Board::new("board", spec)
    }))
}

fn gateway() -> impl Strategy<Value = Gateway> {
    (heartbeat(), word()).prop_map(|(heartbeat, workspace_root)| {
        let spec = GatewaySpec {
            workspace_root,
            heartbeat,
            ..GatewaySpec::default()
        };
        Gateway::new("main", spec)
    })
}

/// Entries as people, earlier versions of a spec and the gateway itself leave them.
fn document() -> impl Strategy<Value = Value> {
    let entry = select(vec![
        json!({}),
        json!({"name": "a", "model": {"primary": "p/m", "fallbacks": ["p/n"]}, "tools": {"allow": ["t"]}}),
        json!({"name": "b", "workspace": "/w", "heartbeat": {}, "agentDir": "/d"}),
        json!({"heartbeat": {"every": "5m", "to": "them", "activeHours": {"start": "01:00", "end": "02:00", "timezone": "UTC"}}}),
    ]);
    let ids = select(vec!["a", "b", "main", "other"]);
    let entries = prop::option::of(prop::collection::btree_map(ids, entry, 0..4));
    entries.prop_map(|entries| match entries {
        Some(entries) => json!({"agents": {"defaults": {"x": [1]}, "entries": entries}, "bindings": [{"id": "x"}]}),
        None => json!({"gateway": {"mode": "local"}}),
    })
}

fn entry_of(document: &Value, id: &str) -> Option<Value> {
    document.pointer(&format!("/agents/entries/{id}")).cloned()
}

/// What is planned for the entry of one Agent.
fn planned(agent: &Agent, desired: &Desired, document: &Value) -> Plan {
    let seen = Seen {
        entry: entry_of(document, &desired.agent_id),
        ..Seen::default()
    };
    let workspace = Workspace {
        files: Vec::new(),
        checklist: String::new(),
    };
    let wanted = Wanted {
        keys: &entry::keys(desired),
        workspace: &workspace,
        ignored: &[],
    };
    plan(wanted, &agent.status.clone().unwrap_or_default(), &seen)
}

fn wishes(agents: &[(Agent, Desired)], document: &Value) -> Vec<EntryWish> {
    let steps = agents.iter().filter_map(|(agent, desired)| {
        let step = planned(agent, desired, document).entry?;
        Some(EntryWish {
            set: step.set,
            unset: step.unset,
            ..EntryWish::of(&desired.agent_id)
        })
    });
    steps.collect()
}

proptest! {
    #[test]
    fn what_is_planned_and_written_needs_no_other_plan_and_no_other_write(
        agents in agents(), board in board(), gateway in gateway(), document in document()
    ) {
        let agents: Vec<(Agent, Desired)> = agents
            .into_iter()
            .map(|agent| {
                let id = agent.metadata.name.clone().unwrap();
                let desired = desired(&agent, board.as_ref(), &gateway, id);
                (agent, desired)
            })
            .collect();
        let wishes = wishes(&agents, &document);
        let references: Vec<_> = wishes.iter().collect();
        let beating = BTreeSet::from(["main".to_owned(), "other".to_owned()]);
        let written = difference(&document, &references, &beating);
        let changed: BTreeSet<_> = wishes.iter().map(|wish| wish.agent_id.clone()).collect();
        prop_assert_eq!(&written.changed, &changed, "what is planned is what is written");

        let mut turned = references.clone();
        turned.reverse();
        prop_assert_eq!(&written, &difference(&document, &turned, &beating));

        let patch = written.clone().into_patch();
        let after = patched(&document, &patch, &written.replace_paths).unwrap();
        for (agent, desired) in &agents {
            prop_assert_eq!(planned(agent, desired, &after).entry, None, "{} in {}", desired.agent_id, after);
        }
        for wish in &wishes {
            prop_assert_eq!(unmet(&after, wish), Vec::<String>::new());
        }
        prop_assert!(difference(&after, &references, &beating).is_empty());

        // Others, and what is not ours in entries of ours.
        prop_assert_eq!(after.get("bindings"), document.get("bindings"));
        prop_assert_eq!(after.pointer("/agents/defaults"), document.pointer("/agents/defaults"));
        for id in ["a", "b", "c", "main", "other"] {
            let Some(before) = entry_of(&document, id) else { continue; };
            let after = entry_of(&after, id).unwrap();
            for foreign in ["/tools", "/agentDir", "/heartbeat/to"] {
                prop_assert_eq!(before.pointer(foreign), after.pointer(foreign));
            }
            if !changed.contains(id) {
                let mut expected = before;
                if written.kept.contains(id) {
                    expected["heartbeat"] = json!({});
                }
                prop_assert_eq!(after, expected);
            }
        }
    }

    #[test]
    fn an_ignored_file_is_not_wanted_and_every_other_has_the_most_specific_text_and_policy(
        agent in files(), board in files()
    ) {
        let spec = AgentSpec { files: agent.clone(), ..AgentSpec::default() };
        let defaults = AgentDefaults { files: board.clone(), ..AgentDefaults::default() };
        let board_spec = BoardSpec { agent_defaults: Some(defaults), ..BoardSpec::default() };
        let board_object = Board::new("board", board_spec);
        let gateway = Gateway::new("main", GatewaySpec::default());
        let desired = desired(&Agent::new("a", spec), Some(&board_object), &gateway, "a".into());
        let wanted: BTreeMap<_, _> = desired.files.iter().map(|file| (file.name, file)).collect();
        prop_assert_eq!(wanted.len(), desired.files.len(), "each once");
        for name in FileName::ALL {
            let layers: Vec<_> = [&agent, &board]
                .into_iter()
                .flatten()
                .filter(|file| file.name == name.as_str())
                .collect();
            let policy = layers.iter().find_map(|file| file.policy);
            let has_text = name.has_built_in() || layers.iter().any(|file| file.content.is_some());
            let ignored = policy == Some(FilePolicy::Ignore);
            prop_assert_eq!(wanted.contains_key(&name), has_text && !ignored, "{}", name);
            if let (Some(file), Some(policy)) = (wanted.get(&name), policy) {
                let expected = if policy == FilePolicy::Seed { Policy::Seed } else { Policy::Enforce };
                prop_assert_eq!(file.policy, expected);
            }
        }
        let ignored = |name: &FileName| {
            let policy = |files: &[FileSpec]| {
                let of_file = |file: &&FileSpec| file.name == name.as_str();
                files.iter().find(of_file).and_then(|file| file.policy)
            };
            policy(&agent).or_else(|| policy(&board)) == Some(FilePolicy::Ignore)
        };
        let names: Vec<_> = FileName::ALL.into_iter().filter(ignored).collect();
        prop_assert_eq!(&desired.ignored, &names);
        prop_assert_eq!(desired.marked, wanted.contains_key(&FileName::Agents));
    }
}
