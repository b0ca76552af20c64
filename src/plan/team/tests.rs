use serde_json::json;

use super::*;

fn board(name: &str, gateway: &str) -> Board {
    let object = json!({
        "apiVersion": "mission.openclaw.dev/v1alpha1", "kind": "Board", "metadata": { "name": name, "namespace": "team" },
        "spec": { "gatewayRef": { "name": gateway } },
    });
    serde_json::from_value(object).unwrap()
}

#[test]
fn names_that_boards_and_gateways_declare_are_kept_for_them() {
    let boards = [board("research", "main"), board("ops", "other")];
    for (name, reserved) in [
        ("research-lead", true),
        ("ops-lead", true),
        ("main-main", true),
        ("other-main", true),
        ("research", false),
        ("third-lead", false),
    ] {
        assert_eq!(is_reserved(name, &boards), reserved, "{name}");
    }
}

#[test]
fn the_newest_manager_of_the_spec_that_is_not_ours_is_named() {
    let mut agent = Agent::new("analyst", AgentSpec::default());
    assert_eq!(owner(&agent), "applied by a person");
    let entry = |manager: &str,
                 time: &str,
                 subresource: Option<&str>,
                 fields: serde_json::Value| {
        serde_json::from_value(json!({"manager": manager, "time": time, "subresource": subresource, "fieldsV1": fields})).unwrap()
    };
    let spec = || json!({"f:spec": {}});
    agent.metadata.managed_fields = Some(vec![
        entry("flux", "2026-01-01T00:00:00Z", None, spec()),
        entry("kubectl", "2026-01-02T00:00:00Z", None, spec()),
        entry(
            "labeller",
            "2026-01-03T00:00:00Z",
            None,
            json!({"f:metadata": {}}),
        ),
        entry("status", "2026-01-03T00:00:00Z", Some("status"), spec()),
        entry(FIELD_MANAGER, "2026-01-04T00:00:00Z", None, spec()),
        entry(
            AGENT_API_FIELD_MANAGER,
            "2026-01-04T00:00:00Z",
            None,
            spec(),
        ),
    ]);
    assert_eq!(
        owner(&agent),
        "applied by a person or program with the field manager kubectl"
    );
}

#[test]
fn a_newcomer_comes_after_all_who_are_there_however_its_name_sorts() {
    let mut board = board("research", "main");
    board.spec.max_agents = Some(1);
    let named = |name: &str| {
        let newcomer = Newcomer {
            name: name.to_owned(),
            ..Newcomer::default()
        };
        object(&newcomer, "research-lead", &board)
    };
    let mut there = named("worker");
    there.metadata.uid = Some("there".to_owned());
    there.metadata.creation_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let refusal = admit(&named("a"), &board, [&there]).unwrap_err();
    assert_eq!(refusal.reason, Reason::BoardFull);
    assert_eq!(admit(&named("a"), &board, []), Ok(()));
}

/// A worker that `research-lead` added.
fn added(newcomer: &Newcomer) -> Agent {
    object(newcomer, "research-lead", &board("research", "main"))
}

fn poet() -> Newcomer {
    Newcomer {
        name: "poet".to_owned(),
        display_name: Some("Poet".to_owned()),
        role: Some("Writes verse".to_owned()),
        model: Some("a/b".to_owned()),
        has_soul: true,
    }
}

#[test]
fn what_a_lead_added_is_its_own_until_somebody_else_declares_it() {
    let agent = added(&poet());
    assert!(is_a_leads(&agent));
    let controller = json!([{"apiVersion": "v1", "kind": "Board", "name": "research", "uid": "1", "controller": true}]);
    for (metadata, owner_is) in [
        (
            json!({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}),
            "applied by Argo CD",
        ),
        (
            json!({"labels": {"argocd.argoproj.io/instance": "all"}}),
            "applied by Argo CD",
        ),
        (
            json!({"annotations": {"meta.helm.sh/release-name": "team"}}),
            "part of the Helm release team",
        ),
        (
            json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "all"}}),
            "applied by the Flux Kustomization all",
        ),
        (
            json!({"ownerReferences": controller}),
            "declared by Board research",
        ),
    ] {
        let mut taken = json!(agent);
        json_patch::merge(&mut taken, &json!({"metadata": metadata}));
        let taken: Agent = serde_json::from_value(taken).unwrap();
        assert!(
            was_added_by_a_lead(&taken) && !is_a_leads(&taken),
            "{metadata}"
        );
        assert_eq!(owner(&taken), owner_is);
    }
    let mut released = agent;
    released.labels_mut().remove(CREATED_BY);
    assert!(!is_a_leads(&released));
}

#[test]
fn a_wish_that_is_repeated_finds_the_agent_that_it_made_and_no_other() {
    let board = board("research", "main");
    let agent = added(&poet());
    let finds =
        |agent: &Agent, newcomer: &Newcomer, lead: &str| is_made_of(agent, newcomer, lead, &board);
    assert!(finds(&agent, &poet(), "research-lead"));
    assert!(!finds(&agent, &poet(), "ops-lead"));
    for change in [
        |newcomer: &mut Newcomer| newcomer.display_name = None,
        |newcomer: &mut Newcomer| newcomer.role = Some("Sings".to_owned()),
        |newcomer: &mut Newcomer| newcomer.model = None,
        |newcomer: &mut Newcomer| newcomer.name = "other".to_owned(),
    ] {
        let mut other = poet();
        change(&mut other);
        assert!(!finds(&agent, &other, "research-lead"), "{other:?}");
    }
    for change in [
        |agent: &mut Agent| agent.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH)),
        |agent: &mut Agent| agent.spec.role = Role::Lead,
        |agent: &mut Agent| agent.spec.board_ref = None,
        |agent: &mut Agent| agent.spec.files.clear(),
        |agent: &mut Agent| agent.labels_mut().clear(),
    ] {
        let mut other = agent.clone();
        change(&mut other);
        assert!(!finds(&other, &poet(), "research-lead"), "{other:?}");
    }
}

#[test]
fn a_soul_is_taken_whatever_the_board_says_of_such_files() {
    let mut agent = added(&poet());
    assert_eq!(agent.spec.files[0].policy, Some(FilePolicy::Enforce));
    assert_eq!(takes_soul(&agent), Ok(true));
    // The Board's policy would hold.
    agent.spec.files[0].policy = None;
    assert_eq!(takes_soul(&agent), Ok(false));
    for policy in [FilePolicy::Seed, FilePolicy::Ignore] {
        agent.spec.files[0].policy = Some(policy);
        assert_eq!(takes_soul(&agent), Err("set by a person".to_owned()));
    }
    agent.spec.files.clear();
    assert_eq!(takes_soul(&agent), Ok(false));
}
