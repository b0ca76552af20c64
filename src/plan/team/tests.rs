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
