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
    let spare = json!({
        "apiVersion": "mission.openclaw.dev/v1alpha1", "kind": "Gateway", "metadata": { "name": "spare", "namespace": "team" },
        "spec": { "url": "ws://gateway:1", "auth": { "tokenSecretRef": { "name": "x", "key": "token" } } },
    });
    let spare: Gateway = serde_json::from_value(spare).unwrap();
    for (name, reserved) in [
        ("research-lead", true),
        ("ops-lead", true),
        ("main-main", true),
        ("other-main", true),
        // No Board names that Gateway.
        ("spare-main", true),
        ("spare-lead", false),
        ("research", false),
        ("third-lead", false),
    ] {
        assert_eq!(is_reserved(name, &boards, [&spare]), reserved, "{name}");
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
            json!({"labels": {"app.kubernetes.io/instance": "all"}}),
            "part of all, as its label app.kubernetes.io/instance says, by which Argo CD tracks",
        ),
        // A chart's objects carry both.
        (
            json!({"annotations": {"meta.helm.sh/release-name": "team"}, "labels": {"app.kubernetes.io/instance": "team"}}),
            "part of the Helm release team",
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

#[test]
fn an_agent_that_a_lead_added_goes_with_the_board_that_it_is_on() {
    let with_uid = |name: &str, uid: &str| {
        let mut board = board(name, "main");
        board.metadata.uid = Some(uid.to_owned());
        board
    };
    let (research, ops) = (with_uid("research", "1"), with_uid("ops", "2"));
    let again = with_uid("research", "3");
    let mut going = ops.clone();
    going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let poet = object(&poet(), "research-lead", &research);
    let with_owners = |owners: serde_json::Value| {
        let mut agent = poet.clone();
        agent.metadata.owner_references = serde_json::from_value(owners).unwrap();
        agent
    };
    let owner = |kind: &str, name: &str, uid: &str| json!({"apiVersion": "mission.openclaw.dev/v1alpha1", "kind": kind, "name": name, "uid": uid});
    let of_research = owner("Board", "research", "1");
    let of_ops = owner("Board", "ops", "2");
    let other = owner("Gateway", "main", "9");
    let mut declared = of_research.clone();
    declared["controller"] = json!(true);
    // Its owners, the Board that it is on, and the owners that it is to have.
    for (has, board, wanted) in [
        (json!([of_research]), Some(&research), None),
        (json!([of_research]), Some(&ops), Some(json!([of_ops]))),
        (
            json!([other, of_research]),
            Some(&ops),
            Some(json!([other, of_ops])),
        ),
        (
            json!([of_research, of_ops]),
            Some(&ops),
            Some(json!([of_ops])),
        ),
        // On none, and nothing takes it away.
        (json!([of_research]), None, Some(json!([]))),
        // It goes with the one that is gone.
        (json!([of_research]), Some(&again), None),
        (json!([of_research]), Some(&going), None),
        // A person took its owner off, or it is declared.
        (json!([]), Some(&ops), None),
        (json!([declared]), Some(&ops), None),
    ] {
        let wanted = wanted.map(|wanted| serde_json::from_value(wanted).unwrap());
        assert_eq!(
            owners(&with_owners(has.clone()), board),
            wanted,
            "{has} {:?}",
            board.map(ResourceExt::name_any)
        );
    }
    let mut of_a_person = poet.clone();
    of_a_person.labels_mut().clear();
    assert_eq!(owners(&of_a_person, Some(&ops)), None);
}

#[test]
fn a_text_without_a_reason_takes_the_reason_of_the_one_before_away() {
    let agent = added(&poet());
    let change = |reason| {
        let soul = soul(&agent, "research-lead", "Verse.", reason);
        let mut change = soul_change(&soul, Some("1"));
        assert_eq!(change["metadata"]["uid"], "1");
        assert_eq!(change["data"][SOUL], "Verse.");
        let annotations = change["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.remove(CHANGE_REASON)
    };
    assert_eq!(change(Some("Bland.")), Some(json!("Bland.")));
    assert_eq!(change(None), Some(json!(null)));
}
