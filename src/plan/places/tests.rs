//! What becomes of places and of the record while an Agent moves, as tables.

use super::*;
use k8s_openapi::jiff::SignedDuration;

use crate::api::agent::{ChecklistStatus, FileState, FileStatus};
use crate::api::condition::Judgement;
use crate::api::reason::Reason;
use crate::api::wake::WakeStatus;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn name(name: &str) -> GatewayName {
    GatewayName {
        name: name.to_owned(),
        namespace: "team".to_owned(),
    }
}

fn place(gateway: &str, state: PlaceState) -> Place {
    Place {
        gateway_uid: format!("uid-{gateway}"),
        agent_id: "team_a".to_owned(),
        state,
        gateway: name(gateway),
        ..Place::default()
    }
}

fn left(gateway: &str, state: PlaceState, own_keys: &[&str]) -> Place {
    Place {
        leaving_since: Some(Time(NOW)),
        own_keys: own_keys.iter().map(|&key| key.to_owned()).collect(),
        ..place(gateway, state)
    }
}

/// A record of all that speaks of one place.
fn record(places: Vec<Place>, own_keys: &[&str]) -> AgentStatus {
    AgentStatus {
        observed_generation: Some(7),
        places,
        own_keys: own_keys.iter().map(|&key| key.to_owned()).collect(),
        entry_sha256: Some("digest".to_owned()),
        files: vec![FileStatus {
            name: "SOUL.md".to_owned(),
            sha256: "sha".to_owned(),
            size: 1,
            modified: None,
            state: FileState::Synced,
        }],
        checklist: Some(ChecklistStatus {
            sha256: "sha".to_owned(),
            revision: 1,
        }),
        workspace_path: Some("/w".to_owned()),
        ..AgentStatus::default()
    }
}

fn is_clear(status: &AgentStatus) -> bool {
    status.entry_sha256.is_none()
        && status.files.is_empty()
        && status.checklist.is_none()
        && status.workspace_path.is_none()
}

fn take(status: &mut AgentStatus, gateway: &str, sharing: &[&str]) -> bool {
    let gateway_name = name(gateway);
    let to = Destination {
        gateway_uid: &format!("uid-{gateway}"),
        gateway: &gateway_name,
        agent_id: "team_a",
    };
    let sharing: Vec<_> = sharing.iter().map(|it| format!("uid-{it}")).collect();
    take_up(status, &to, &sharing, NOW)
}

#[test]
fn a_claim_elsewhere_leaves_the_old_place_with_what_its_end_needs_and_nothing_of_it_speaks_of_the_new_one()
 {
    use PlaceState::{Claimed, Creating, Registered, Returning};
    for (state, is_confirmed, kept) in [
        (Registered, true, Registered),
        (Registered, false, Registered),
        (Returning, true, Returning),
        (Claimed, false, Claimed),
        (Creating, false, Creating),
        // Its entry was confirmed, so that it is ours whatever stands there; its workspace may be a new one.
        (Claimed, true, Returning),
        (Creating, true, Returning),
    ] {
        let mut status = record(vec![place("old", state)], &["name"]);
        if !is_confirmed {
            status.entry_sha256 = None;
        }
        claim(
            &mut status,
            place("new", Claimed),
            vec!["model".to_owned()],
            NOW,
        );
        let expected = [place("new", Claimed), left("old", kept, &["name"])];
        assert_eq!(status.places, expected);
        assert!(is_clear(&status), "{status:?}");
        assert_eq!(status.own_keys, ["model"]);
        assert_eq!(status.gateway, Some(name("new")));
        assert_eq!(status.session_key.as_deref(), Some("agent:team_a:main"));
        assert_eq!(status.observed_generation, Some(7));
        assert!(is_first_registration(&status));
        assert_eq!(present(&status).unwrap().gateway, name("new"));
        let old = leaving(&status).next().unwrap();
        assert_eq!(record_of(&status, old).own_keys, ["name"]);
        assert_eq!(record_of(&status, old).entry_sha256, None);
    }
}

#[test]
fn a_claim_at_the_same_place_begins_its_record_anew_and_leaves_nothing() {
    let mut status = record(vec![place("main", PlaceState::Claimed)], &["name"]);
    claim(
        &mut status,
        place("main", PlaceState::Creating),
        Vec::new(),
        NOW,
    );
    assert_eq!(status.places, [place("main", PlaceState::Creating)]);
    assert!(is_clear(&status));
}

#[test]
fn a_place_that_is_held_is_taken_up_again() {
    use PlaceState::{Claimed, Registered, Returning};
    // Before; who it is to be; who shares a gateway with it; whether that is news; after; own keys after; whether the record is kept.
    for (places, to, sharing, news, after, own_keys, keeps) in [
        // Nothing moves.
        (
            vec![place("a", Registered)],
            "a",
            &[][..],
            false,
            vec![place("a", Registered)],
            &["name"][..],
            true,
        ),
        // Nothing is held there: that is for a claim.
        (
            vec![place("a", Registered)],
            "b",
            &[],
            false,
            vec![place("a", Registered)],
            &["name"],
            true,
        ),
        // Back while the move is under way: what was begun elsewhere is left.
        (
            vec![place("b", Claimed), left("a", Registered, &["model"])],
            "a",
            &[],
            true,
            vec![place("a", Registered), left("b", Returning, &["name"])],
            &["model"],
            false,
        ),
        // On to a third one, and back to the first: the second is still left.
        (
            vec![
                place("c", Registered),
                left("b", Claimed, &["x"]),
                left("a", Registered, &["model"]),
            ],
            "a",
            &[],
            true,
            vec![
                place("a", Registered),
                left("c", Registered, &["name"]),
                left("b", Claimed, &["x"]),
            ],
            &["model"],
            false,
        ),
        // Another Gateway object of the same gateway: the same agent, and its record with it.
        (
            vec![place("a", Registered)],
            "b",
            &["a", "b"],
            true,
            vec![place("b", Registered)],
            &["name"],
            true,
        ),
        // The same, known only after the second object was claimed.
        (
            vec![place("b", Registered), left("a", Registered, &["model"])],
            "b",
            &["a", "b"],
            true,
            vec![place("b", Registered)],
            &["name"],
            true,
        ),
    ] {
        let mut status = record(places.clone(), &["name"]);
        assert_eq!(take(&mut status, to, sharing), news, "{places:?}");
        let sorted = |mut places: Vec<Place>| {
            places.sort_by_key(|place| place.gateway_uid.clone());
            places
        };
        assert_eq!(sorted(status.places.clone()), sorted(after), "to {to}");
        assert_eq!(status.own_keys, own_keys, "{places:?}");
        assert_eq!(!is_clear(&status), keeps, "{places:?}");
        assert!(!take(&mut status, to, sharing), "once is enough");
    }
}

#[test]
fn another_id_on_the_same_gateway_is_another_agent() {
    let mut other = place("a", PlaceState::Registered);
    other.agent_id = "team_b".to_owned();
    let mut status = record(vec![other], &[]);
    assert!(!take(&mut status, "a", &["a"]));
    assert!(!take(&mut status, "b", &["a", "b"]));
}

#[test]
fn a_place_that_is_forgotten_takes_its_record_along_and_no_other() {
    let places = || {
        vec![
            place("new", PlaceState::Registered),
            left("old", PlaceState::Registered, &["name"]),
        ]
    };
    let mut status = record(places(), &["model"]);
    forget(&mut status, "uid-old");
    assert_eq!(status.places, [place("new", PlaceState::Registered)]);
    assert!(!is_clear(&status));
    let mut status = record(places(), &["model"]);
    forget(&mut status, "uid-new");
    assert!(is_clear(&status) && status.own_keys.is_empty());
    assert_eq!(present(&status), None);
    assert!(!is_first_registration(&status));
}

#[test]
fn an_agent_moves_until_every_place_but_the_present_one_is_forgotten() {
    let registered = PlaceState::Registered;
    let mut status = record(vec![place("new", registered)], &["name"]);
    assert!(!is_moving(&status));
    status.places.push(left("old", registered, &["name"]));
    status.places.push(left("older", registered, &["name"]));
    forget(&mut status, "uid-old");
    assert!(is_moving(&status));
    forget(&mut status, "uid-older");
    assert!(!is_moving(&status));
    assert!(!is_moving(&AgentStatus::default()));
}

#[test]
fn a_wake_up_that_was_planned_for_a_new_agent_is_not_for_one_that_was_there_all_along() {
    use PlaceState::{Claimed, Registered, Returning};
    let planned = |cause: &str, attempts| WakeStatus {
        cause: cause.to_owned(),
        message: None,
        attempts,
        last_time: None,
        done: false,
    };
    // The place that is taken up again, the wake-up that the claim elsewhere had planned; whether it stays.
    for (back, wake, stays) in [
        (Registered, planned("provision", 0), false),
        // It was not made yet, or it is made anew.
        (Claimed, planned("provision", 0), true),
        (Returning, planned("provision", 0), true),
        (Registered, planned("provision", 1), true),
        (Registered, planned("monday", 0), true),
    ] {
        let mut status = record(vec![place("b", Claimed), left("a", back, &[])], &[]);
        status.wake = Some(wake.clone());
        assert!(take(&mut status, "a", &[]));
        assert_eq!(status.wake.is_some(), stays, "{back:?} {wake:?}");
    }
    // The claim was worth nothing; what is left is not the present place.
    let mut status = record(vec![place("b", Claimed), left("a", Registered, &[])], &[]);
    status.wake = Some(planned("provision", 0));
    forget(&mut status, "uid-a");
    assert!(status.wake.is_some());
    forget(&mut status, "uid-b");
    assert_eq!(status.wake, None);
}

#[test]
fn the_time_to_leave_a_place_counts_from_when_the_agent_is_confirmed_at_the_other_one() {
    let at = |minutes| NOW + SignedDuration::from_mins(minutes);
    let (holds, waits) = (true, false);
    // Asked for at minute 10. Registered and FilesSynced since when, and whether they hold.
    for (conditions, expected) in [
        (vec![], 10),
        (vec![(REGISTERED, 5, holds), (FILES_SYNCED, 6, holds)], 10),
        (vec![(REGISTERED, 50, holds), (FILES_SYNCED, 51, holds)], 51),
        (vec![(REGISTERED, 50, waits), (FILES_SYNCED, 20, holds)], 20),
    ] {
        let mut place = left("old", PlaceState::Registered, &[]);
        place.leaving_since = Some(Time(at(10)));
        let mut status = record(vec![place.clone()], &[]);
        for &(type_, since, is_true) in &conditions {
            let reason = Reason::Registered;
            let judgement = if is_true {
                Judgement::holds(type_, reason, "")
            } else {
                Judgement::fails(type_, reason, "")
            };
            condition::set(&mut status.conditions, judgement, None, at(since));
        }
        let since = free_to_leave_since(&status, &place);
        assert_eq!(since, Some(at(expected)), "{conditions:?}");
    }
}
