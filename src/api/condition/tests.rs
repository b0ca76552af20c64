//! The merge of judgements, and what follows from it, by table and by property.

use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn merged(set: ConditionSet, judgements: Vec<Judgement>) -> Vec<Condition> {
    let mut conditions = Vec::new();
    set.merge(&mut conditions, judgements, Some(1), at(0));
    conditions
}

fn short(conditions: &[Condition], type_: &str) -> (String, String) {
    let condition = find(conditions, type_).unwrap();
    (condition.status.clone(), condition.reason.clone())
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

fn all_hold(set: ConditionSet) -> Vec<Judgement> {
    set.required
        .iter()
        .map(|t| Judgement::holds(t, Reason::Synced, ""))
        .collect()
}

#[test]
fn all_conditions_are_there_from_the_first_visit_and_in_order() {
    let conditions = merged(AGENT, vec![]);
    let types: Vec<&str> = conditions.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(
        types,
        [
            ACCEPTED,
            TOKEN_READY,
            REGISTERED,
            HEARTBEAT_CONFIGURED,
            FILES_SYNCED,
            MODEL_AVAILABLE,
            WOKEN,
            ONLINE,
            PAUSED,
            READY,
            RECONCILING,
            STALLED
        ]
    );
    assert_eq!(short(&conditions, ACCEPTED), pair("Unknown", "Pending"));
    assert_eq!(short(&conditions, READY), pair("Unknown", "Pending"));
    assert_eq!(short(&conditions, RECONCILING), pair("True", "Pending"));
    assert_eq!(short(&conditions, STALLED), pair("False", "Pending"));
}

#[test]
fn ready_holds_when_everything_it_stands_on_holds() {
    for set in [GATEWAY, BOARD, AGENT] {
        let conditions = merged(set, all_hold(set));
        assert_eq!(short(&conditions, READY), pair("True", "Reconciled"));
        assert_eq!(short(&conditions, RECONCILING), pair("False", "Reconciled"));
        assert_eq!(short(&conditions, STALLED), pair("False", "Reconciled"));
    }
}

#[test]
fn a_model_that_is_not_listed_does_not_touch_ready() {
    let mut judgements = all_hold(AGENT);
    judgements.push(Judgement::fails(
        MODEL_AVAILABLE,
        Reason::ModelNotListed,
        "no such model",
    ));
    let conditions = merged(AGENT, judgements);
    assert_eq!(
        short(&conditions, MODEL_AVAILABLE),
        pair("False", "ModelNotListed")
    );
    assert!(is_true(&conditions, READY));
}

#[test]
fn ready_tells_the_cause_that_needs_an_edit_before_the_others() {
    let conditions = merged(
        AGENT,
        vec![
            Judgement::holds(ACCEPTED, Reason::Accepted, ""),
            Judgement::fails(REGISTERED, Reason::GatewayError, "busy"),
            Judgement::fails(
                FILES_SYNCED,
                Reason::TemplateError,
                "SOUL.md:1: unknown variable `agnt`",
            ),
        ],
    );
    assert_eq!(short(&conditions, READY), pair("False", "TemplateError"));
    assert_eq!(
        find(&conditions, READY).unwrap().message,
        "SOUL.md:1: unknown variable `agnt`"
    );
    assert_eq!(short(&conditions, STALLED), pair("True", "TemplateError"));
    assert_eq!(
        short(&conditions, RECONCILING),
        pair("False", "TemplateError")
    );
}

#[test]
fn ready_tells_what_is_false_before_what_is_unknown() {
    let conditions = merged(
        AGENT,
        vec![Judgement::fails(
            FILES_SYNCED,
            Reason::ConfigMapNotFound,
            "apply it",
        )],
    );
    assert_eq!(
        short(&conditions, READY),
        pair("False", "ConfigMapNotFound")
    );
    assert_eq!(
        short(&conditions, RECONCILING),
        pair("True", "ConfigMapNotFound")
    );
}

#[test]
fn ready_is_unknown_where_nothing_is_known_to_be_wrong() {
    let unknown = |t| Judgement::unknown(t, Reason::GatewayUnreachable, "away");
    let conditions = merged(AGENT, AGENT.required.iter().map(|t| unknown(t)).collect());
    assert_eq!(
        short(&conditions, READY),
        pair("Unknown", "GatewayUnreachable")
    );
    assert_eq!(
        short(&conditions, RECONCILING),
        pair("True", "GatewayUnreachable")
    );
}

#[test]
fn what_held_for_an_older_generation_does_not_make_the_new_one_ready() {
    let mut conditions = merged(BOARD, all_hold(BOARD));
    BOARD.merge(&mut conditions, vec![], Some(2), at(9));
    assert_eq!(
        find(&conditions, GATEWAY_RESOLVED)
            .unwrap()
            .observed_generation,
        Some(1)
    );
    assert_eq!(short(&conditions, READY), pair("Unknown", "Pending"));
}

#[test]
fn what_failed_at_an_older_generation_does_not_stall_the_new_one() {
    let mut judgements = all_hold(AGENT);
    judgements.retain(|judgement| judgement.type_ != FILES_SYNCED);
    judgements.push(Judgement::fails(
        FILES_SYNCED,
        Reason::TemplateError,
        "SOUL.md line 1",
    ));
    let mut conditions = merged(AGENT, judgements);
    assert_eq!(short(&conditions, STALLED), pair("True", "TemplateError"));
    let accepted = Judgement::holds(ACCEPTED, Reason::Accepted, "");
    AGENT.merge(&mut conditions, vec![accepted], Some(2), at(9));
    assert_eq!(short(&conditions, READY), pair("Unknown", "Pending"));
    assert_eq!(short(&conditions, STALLED), pair("False", "Pending"));
}

#[test]
fn a_given_ready_takes_the_place_of_the_derived_one() {
    let mut judgements = all_hold(AGENT);
    judgements.push(Judgement::fails(
        READY,
        Reason::Deleting,
        "removing the agent from gateway main",
    ));
    let conditions = merged(AGENT, judgements);
    assert_eq!(short(&conditions, READY), pair("False", "Deleting"));
    assert_eq!(short(&conditions, RECONCILING), pair("True", "Deleting"));
}

#[test]
fn a_condition_that_this_version_does_not_know_is_dropped() {
    let mut conditions = Vec::new();
    set(
        &mut conditions,
        Judgement::holds("WokenByCarrier", Reason::Synced, ""),
        None,
        at(0),
    );
    GATEWAY.merge(&mut conditions, vec![], Some(1), at(1));
    assert!(find(&conditions, "WokenByCarrier").is_none());
}

#[test]
fn the_transition_time_moves_with_the_status_and_with_nothing_else() {
    let mut conditions = Vec::new();
    set(
        &mut conditions,
        Judgement::fails(READY, Reason::SecretNotFound, "a"),
        Some(1),
        at(1),
    );
    set(
        &mut conditions,
        Judgement::fails(READY, Reason::Unauthorized, "b"),
        Some(2),
        at(2),
    );
    let condition = find(&conditions, READY).unwrap();
    assert_eq!(condition.last_transition_time, Time(at(1)));
    assert_eq!(
        (condition.reason.as_str(), condition.observed_generation),
        ("Unauthorized", Some(2))
    );

    set(
        &mut conditions,
        Judgement::holds(READY, Reason::Reconciled, "c"),
        Some(2),
        at(3),
    );
    assert_eq!(
        find(&conditions, READY).unwrap().last_transition_time,
        Time(at(3))
    );
    assert_eq!(conditions.len(), 1);
}

#[test]
fn a_long_message_is_cut_between_characters_and_says_so() {
    let mut conditions = Vec::new();
    let exact = "\u{1f980}".repeat(MAX_MESSAGE);
    set(
        &mut conditions,
        Judgement::holds(READY, Reason::Reconciled, exact.clone()),
        None,
        at(0),
    );
    assert_eq!(find(&conditions, READY).unwrap().message, exact);

    set(
        &mut conditions,
        Judgement::holds(READY, Reason::Reconciled, format!("{exact}x")),
        None,
        at(0),
    );
    let message = &find(&conditions, READY).unwrap().message;
    assert_eq!(message.chars().count(), MAX_MESSAGE);
    assert!(message.ends_with('\u{2026}'));
}

fn any_judgement() -> impl Strategy<Value = Judgement> {
    let types: Vec<&'static str> = AGENT
        .required
        .iter()
        .chain(AGENT.informative)
        .copied()
        .collect();
    let status = prop_oneof![
        Just(Status::True),
        Just(Status::False),
        Just(Status::Unknown)
    ];
    (
        prop::sample::select(types),
        status,
        prop::sample::select(Reason::ALL),
        ".{0,8}",
    )
        .prop_map(|(type_, status, reason, message)| Judgement {
            type_,
            status,
            reason,
            message,
        })
}

proptest! {
    #[test]
    fn the_three_that_kstatus_reads_never_contradict_each_other(judgements in prop::collection::vec(any_judgement(), 0..8)) {
        let conditions = merged(AGENT, judgements);
        let (ready, reconciling, stalled) =
            (is_true(&conditions, READY), is_true(&conditions, RECONCILING), is_true(&conditions, STALLED));
        prop_assert_eq!(u8::from(ready) + u8::from(reconciling) + u8::from(stalled), 1);
        prop_assert_eq!(ready, AGENT.required.iter().all(|t| is_true(&conditions, t)));
    }

    #[test]
    fn judging_the_same_again_changes_nothing(judgements in prop::collection::vec(any_judgement(), 0..8)) {
        let once_each: Vec<Judgement> = AGENT.required.iter().chain(AGENT.informative)
            .filter_map(|type_| judgements.iter().find(|j| j.type_ == *type_).cloned())
            .collect();
        let before = merged(AGENT, once_each.clone());
        let mut after = before.clone();
        AGENT.merge(&mut after, once_each, Some(1), at(77));
        prop_assert_eq!(after, before);
    }
}
