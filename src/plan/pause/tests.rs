use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::api::{
    AgentSpec, BoardSpec, GatewaySpec,
    agent::{ChecklistStatus, FileState},
    condition::{ACCEPTED, FILES_SYNCED, HEARTBEAT_CONFIGURED, READY, REGISTERED, TOKEN_READY},
};
use crate::plan::render::{FileName, Rendered};

fn objects(agent: bool, board: bool, gateway: bool) -> (Agent, Board, Gateway) {
    let mut objects = (
        Agent::new("a", AgentSpec::default()),
        Board::new("desk", BoardSpec::default()),
        Gateway::new("main", GatewaySpec::default()),
    );
    objects.0.spec.paused = agent;
    objects.1.spec.paused = board;
    objects.2.spec.paused = gateway;
    objects
}

#[test]
fn the_pause_that_reaches_further_goes_first() {
    let desk = || Some(Pause::Board("desk".to_owned()));
    let main = || Some(Pause::Gateway("main".to_owned()));
    for (agent, board, gateway, expected) in [
        (false, false, false, None),
        (true, false, false, Some(Pause::Agent)),
        (true, true, false, desk()),
        (false, true, true, main()),
        (true, false, true, main()),
    ] {
        let (agent, board, gateway) = objects(agent, board, gateway);
        assert_eq!(of(&agent, Some(&board), Some(&gateway)), expected);
    }
    let (agent, _, gateway) = objects(false, true, false);
    assert_eq!(of(&agent, None, Some(&gateway)), None, "it is on no Board");
    let (agent, board, _) = objects(true, true, false);
    let on_board = of(&agent, Some(&board), None);
    assert_eq!(on_board, desk(), "its Gateway is not there");
    assert_eq!(of(&agent, None, None), Some(Pause::Agent));
}

fn keys(every: &str) -> Keys {
    Keys::from([
        ("name".to_owned(), json!("A")),
        (EVERY.to_owned(), json!(every)),
    ])
}

fn workspace() -> Workspace {
    let file = |name, policy, text: &str| Rendered {
        name,
        policy,
        text: text.to_owned(),
    };
    Workspace {
        files: vec![
            file(FileName::Agents, Policy::Enforce, "rules"),
            file(FileName::Memory, Policy::Seed, "memory"),
        ],
        checklist: "look".to_owned(),
    }
}

fn confirmed(keys: &Keys, workspace: &Workspace) -> AgentStatus {
    let files = workspace.files.iter().map(|file| FileStatus {
        name: file.name.to_string(),
        sha256: entry::sha256(&file.text),
        size: 1,
        modified: None,
        state: if file.policy == Policy::Seed {
            FileState::Seeded
        } else {
            FileState::Synced
        },
    });
    AgentStatus {
        entry_sha256: Some(entry::digest(keys)),
        files: files.collect(),
        checklist: Some(ChecklistStatus {
            sha256: entry::sha256(&workspace.checklist),
            revision: 1,
        }),
        ..AgentStatus::default()
    }
}

#[test]
fn nothing_waits_where_all_was_confirmed_before_or_since_the_pause_began() {
    let (keys, workspace) = (keys("10m"), workspace());
    let status = confirmed(&keys, &workspace);
    assert_eq!(pending(&keys, &workspace, &status), [""; 0]);
    let status = confirmed(&silenced(keys.clone()), &workspace);
    assert_eq!(pending(&keys, &workspace, &status), [""; 0]);
}

#[test]
fn what_changed_since_waits_by_name_but_not_what_is_the_agents_own() {
    let (before, mut changed) = (keys("10m"), workspace());
    let status = confirmed(&before, &changed);
    changed.files[0].text.push('!');
    changed.files[1].text.push('!');
    changed.checklist.push('!');
    assert_eq!(
        pending(&keys("20m"), &changed, &status),
        ["config entry", "AGENTS.md", "heartbeat checklist"]
    );
    assert_eq!(
        pending(&keys(NEVER), &changed, &status),
        ["config entry", "AGENTS.md"],
        "without a heartbeat the checklist has no place"
    );
    let all = pending(&before, &changed, &AgentStatus::default());
    assert_eq!(all.len(), 4, "{all:?}");
}

#[test]
fn ready_says_what_it_said_last_and_an_outage_is_not_told_on() {
    let mut status = AgentStatus::default();
    let before = [
        Judgement::holds(ACCEPTED, Reason::Accepted, "It is."),
        Judgement::holds(TOKEN_READY, Reason::Issued, "It is."),
        Judgement::holds(REGISTERED, Reason::Registered, "It is."),
        Judgement::holds(HEARTBEAT_CONFIGURED, Reason::Configured, "It beats."),
        Judgement::holds(FILES_SYNCED, Reason::Synced, "They are."),
    ];
    let now = Timestamp::UNIX_EPOCH;
    AGENT.merge(&mut status.conditions, before.to_vec(), Some(1), now);
    let carried = |status: &AgentStatus| {
        let mut judgements = carried_over(status);
        judgements.push(Pause::Agent.judge(true, &[], None));
        let mut conditions = status.conditions.clone();
        AGENT.merge(&mut conditions, judgements, Some(2), now);
        conditions
    };
    let conditions = carried(&status);
    let ready = condition::find(&conditions, READY).unwrap();
    assert_eq!(
        (&*ready.status, ready.observed_generation),
        ("True", Some(2))
    );
    assert!(condition::is_true(&conditions, PAUSED));

    let away = Judgement::unknown(REGISTERED, Reason::GatewayUnreachable, "Away.");
    condition::set(&mut status.conditions, away, Some(1), now);
    let conditions = carried(&status);
    let registered = condition::find(&conditions, REGISTERED).unwrap();
    assert_eq!(registered.reason, "Pending");
}

#[test]
fn the_message_says_whose_pause_it_is_and_what_waits() {
    let board = Pause::Board("desk".to_owned());
    let said = board.judge(true, &["AGENTS.md".to_owned()], None);
    assert_eq!(said.reason, Reason::Board);
    assert_eq!(
        said.message,
        "Board desk is paused. The agent does not beat and is left as it is. Until the pause ends these wait: AGENTS.md."
    );
    let said = Pause::Gateway("main".to_owned()).judge(false, &[], None);
    assert!(
        said.message.ends_with("when the pause ends."),
        "{}",
        said.message
    );
    let said = Pause::Agent.judge(true, &[], Some("Gateway main is not connected"));
    assert_eq!(
        said.message,
        "This Agent is paused. Its heartbeat could not be switched off yet: Gateway main is not connected. Nothing else waits for the end of the pause."
    );
}

#[test]
fn an_agent_that_is_left_to_itself_beats_as_declared_or_as_it_did_before_the_pause() {
    let (unset, named) = (
        AgentSpec::default(),
        serde_json::from_value::<AgentSpec>(json!({"heartbeat": {"every": "1h"}})).unwrap(),
    );
    let place = |adopted, replaced: Option<&str>| Place {
        adopted,
        replaced_every: replaced.map(str::to_owned),
        ..Place::default()
    };
    let silent = json!({"heartbeat": {"every": "0m"}});
    for (spec, place, every, entry, others_beat, lifts) in [
        (
            &unset,
            place(false, None),
            "10m",
            &silent,
            true,
            Some((json!({"heartbeat.every": "10m"}), vec![])),
        ),
        (&unset, place(false, None), "0m", &silent, true, None),
        // What was declared may not be known any more: then it is what the pause replaced.
        (
            &unset,
            place(false, Some("25m")),
            "10m",
            &silent,
            true,
            Some((json!({"heartbeat.every": "25m"}), vec![])),
        ),
        (
            &named,
            place(false, Some("25m")),
            "1h",
            &silent,
            true,
            Some((json!({"heartbeat.every": "1h"}), vec![])),
        ),
        (
            &unset,
            place(false, None),
            "10m",
            &json!({"heartbeat": {"every": "5m"}}),
            true,
            None,
        ),
        (&unset, place(false, None), "10m", &json!({}), true, None),
        // Adopted: what the spec names, what the pause replaced, or what it was before.
        (
            &named,
            place(true, Some("3h")),
            "1h",
            &silent,
            true,
            Some((json!({"heartbeat.every": "1h"}), vec![])),
        ),
        (
            &unset,
            place(true, Some("3h")),
            "10m",
            &silent,
            true,
            Some((json!({"heartbeat.every": "3h"}), vec![])),
        ),
        (
            &unset,
            place(true, Some("{}")),
            "10m",
            &silent,
            false,
            Some((json!({"heartbeat": {}}), vec!["heartbeat.every"])),
        ),
        (
            &unset,
            place(true, Some("")),
            "10m",
            &silent,
            false,
            Some((json!({}), vec!["heartbeat.every"])),
        ),
        (&unset, place(true, None), "10m", &silent, true, None),
    ] {
        let judged = lifted(spec, &place, every, entry, others_beat);
        let judged = judged.map(|(keys, gone)| (json!(keys), gone.into_iter().collect::<Vec<_>>()));
        let lifts = lifts.map(|(keys, gone)| (keys, gone.into_iter().map(str::to_owned).collect()));
        assert_eq!(judged, lifts, "{place:?} {entry}");
    }
}

#[test]
fn a_pause_that_is_over_stays_until_the_agent_can_beat_again() {
    let said = judge_lingering(Reason::Board, "Gateway main is paused");
    assert_eq!((said.status, said.reason), (Status::True, Reason::Board));
    assert_eq!(
        said.message,
        "The pause is over, but the agent's heartbeat could not be switched on again yet: Gateway main is paused. It is tried again by itself."
    );
}

#[test]
fn what_was_given_back_is_noted_as_the_entry_that_was_confirmed_and_is_its_owners_where_it_was_adopted()
 {
    let entry = json!({"name": "A", "heartbeat": {"every": "25m"}});
    let unset = AgentSpec::default();
    for (adopted, is_leaving, is_confirmed, own_after) in [
        (false, false, true, &["name", EVERY][..]),
        (true, false, true, &["name"]),
        (true, false, false, &["name"]),
        (true, true, true, &["name"]),
    ] {
        let own_keys = vec!["name".to_owned(), EVERY.to_owned()];
        let mut status = AgentStatus {
            entry_sha256: is_confirmed.then(|| "while it was paused".to_owned()),
            own_keys: own_keys.clone(),
            ..AgentStatus::default()
        };
        let mut place = Place {
            gateway_uid: "uid".to_owned(),
            adopted,
            replaced_every: Some("25m".to_owned()),
            ..Place::default()
        };
        if is_leaving {
            place.leaving_since = Some(Time(Timestamp::UNIX_EPOCH));
            place.own_keys = own_keys;
        }
        status.places.push(place);
        let before = status.clone();
        gave_back(&mut status, "other", &unset, Some(&entry));
        assert_eq!(status, before, "it is of another place");
        gave_back(&mut status, "uid", &unset, Some(&entry));
        let place = &status.places[0];
        assert_eq!(place.replaced_every, None);
        let own = if is_leaving {
            assert_eq!(status.entry_sha256, before.entry_sha256);
            &place.own_keys
        } else {
            let now = entry::digest(&entry::taken(&entry, &status.own_keys));
            assert_eq!(status.entry_sha256, is_confirmed.then_some(now));
            &status.own_keys
        };
        assert_eq!(own, own_after);
    }
}

#[test]
fn an_agent_that_the_gateway_never_deletes_beats_as_its_owner_had_it_and_else_without_us() {
    let silent = json!({"heartbeat": {"every": "0m", "target": "none"}});
    let own = [EVERY, "heartbeat.target", "name"].map(str::to_owned);
    let target = ["heartbeat.target".to_owned()];
    let both = || vec![EVERY, "heartbeat.target"];
    for (adopted, replaced, own_keys, others_beat, set, unset) in [
        (false, None, &own[..], true, json!({}), both()),
        (false, Some("10m"), &own, true, json!({}), both()),
        // The target was ours, how often it beats was not.
        (
            true,
            Some("3h"),
            &target,
            true,
            json!({"heartbeat.every": "3h"}),
            vec!["heartbeat.target"],
        ),
        (true, Some(""), &target, false, json!({}), both()),
        (
            true,
            Some("{}"),
            &target,
            false,
            json!({"heartbeat": {}}),
            both(),
        ),
        // It must not fall silent for want of a block.
        (true, None, &own, true, json!({"heartbeat": {}}), both()),
    ] {
        let place = Place {
            adopted,
            replaced_every: replaced.map(str::to_owned),
            ..Place::default()
        };
        let unnamed = AgentSpec::default();
        let (keys, gone) = retired(&unnamed, &place, own_keys, &silent, others_beat);
        assert_eq!(json!(keys), set, "{replaced:?}");
        assert_eq!(gone.into_iter().collect::<Vec<_>>(), unset, "{replaced:?}");
    }
}
