//! What a lead may do to its team, and what nobody may.

use super::*;
use crate::{
    api::{
        condition::{self, ACCEPTED, Judgement},
        reason::Reason,
    },
    plan::team,
};

const LEAD: &str = "research-lead";

fn newcomer(name: &str) -> Value {
    json!({ "name": name })
}

#[tokio::test]
async fn a_lead_adds_a_worker_that_the_board_owns_and_no_other_tool_takes_for_its_own() {
    let world = World::new();
    let body = json!({"name": "fact-checker", "displayName": "Fact checker", "role": "Checks", "model": "a/b"});
    let told = world.json(LEAD, CREATE, body).await;
    assert_eq!(
        (told.status, &told.body["name"], &told.body["displayName"]),
        (201, &json!("fact-checker"), &json!("Fact checker"))
    );
    let [asked] = &world.server.asked()[..] else {
        panic!("one request");
    };
    assert_eq!(asked.what, "POST team/agents");
    assert_eq!(asked.query, "&fieldManager=mission-operator-agent-api");
    let expected = json!({
        "apiVersion": "mission.openclaw.dev/v1alpha1", "kind": "Agent",
        "metadata": {
            "name": "fact-checker", "namespace": "team",
            "labels": {"mission.openclaw.dev/created-by": LEAD, "app.kubernetes.io/managed-by": "mission-operator"},
            "annotations": {"mission.openclaw.dev/created-by": LEAD},
            "ownerReferences": [{"apiVersion": "mission.openclaw.dev/v1alpha1", "kind": "Board", "name": "research", "uid": "board-research"}],
        },
        "spec": {"role": "Worker", "boardRef": {"name": "research"}, "displayName": "Fact checker", "identity": {"role": "Checks"}, "model": "a/b"},
    });
    assert_eq!(asked.body, expected);
}

#[tokio::test]
async fn only_the_lead_makes_a_leads_calls() {
    let mut world = World::new();
    let second = |agent: &mut Agent| {
        let status = agent.status.get_or_insert_default();
        let refused = Judgement::fails(ACCEPTED, Reason::RoleTaken, "Another one leads.");
        condition::set(&mut status.conditions, refused, Some(1), Timestamp::now());
    };
    let mut other = agent("second-lead", "Lead", Some("research"));
    second(&mut other);
    world.put(other);
    for (who, says) in [
        ("analyst", "your role is Worker"),
        ("loner", "role Lead"),
        ("second-lead", "another one leads"),
    ] {
        for call in [
            CREATE,
            WAKE,
            "DELETE /agents/helper",
            "PUT /agents/helper/soul",
            "DELETE /agents/nobody",
        ] {
            // Before anything is said of the body or of the name.
            let told = world.call(who, call, "no JSON").await;
            assert_eq!(
                (told.status, told.problem()),
                (403, "forbidden"),
                "{who} {call}"
            );
            assert!(
                told.detail().contains("role Lead") && told.detail().contains(says),
                "{told:?}"
            );
        }
    }
    assert!(world.server.asked().is_empty());
}

#[tokio::test]
async fn another_boards_agent_and_one_that_is_not_there_read_the_same() {
    let mut world = World::new();
    let mut elsewhere = agent("elsewhere", "Worker", Some("research"));
    elsewhere.metadata.namespace = Some("other".to_owned());
    world.put(elsewhere);
    for call in ["DELETE /agents/{}", "PUT /agents/{}/soul", WAKE] {
        let mut told = Vec::new();
        for name in [
            "guard",
            "ops-lead",
            "loner",
            "elsewhere",
            "nobody",
            "Not%20a%20name",
            "%2e%2e",
        ] {
            let call = call.replace("{}", name);
            let body = if call == WAKE {
                json!({"name": name})
            } else {
                json!({"content": "x"})
            };
            let answer = world.json(LEAD, &call, body).await;
            let mut body = answer.body;
            body["requestId"] = json!("");
            told.push((answer.status, body.to_string()));
        }
        told.dedup();
        assert!(told.len() == 1 && told[0].0 == 404, "{call}: {told:?}");
    }
    assert!(world.server.asked().is_empty());
}

#[tokio::test]
async fn a_name_that_is_taken_reads_the_same_wherever_and_whatever_has_it() {
    let world = World::new();
    // The cache does not show it yet.
    world
        .server
        .put("agents", &agent("unseen", "Worker", Some("ops")));
    let mut told = Vec::new();
    for name in [
        "analyst",
        "guard",
        "loner",
        "unseen",
        "research-lead",
        "ops-lead",
        "main-main",
    ] {
        let answer = world.json(LEAD, CREATE, newcomer(name)).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (409, "name-taken"),
            "{name}"
        );
        told.push(answer.detail().to_owned());
    }
    told.dedup();
    assert_eq!(told.len(), 1);
    assert_eq!(
        world.server.paths(),
        ["POST team/agents"],
        "what is known is not asked"
    );
}

#[tokio::test]
async fn a_full_board_takes_nobody_and_a_display_name_is_told_apart() {
    let mut world = World::new();
    world.change_board("research", |board| board.spec.max_agents = Some(3));
    let body = json!({"name": "third", "displayName": "ANALYST"});
    let told = world.json(LEAD, CREATE, body).await;
    assert_eq!((told.status, told.problem()), (409, "display-name-taken"));
    assert_eq!(
        world.json(LEAD, CREATE, newcomer("third")).await.status,
        201
    );
    // The cache does not show the third.
    let told = world.json(LEAD, CREATE, newcomer("fourth")).await;
    assert_eq!((told.status, told.problem()), (409, "board-full"));
    assert!(told.detail().contains("takes 3 workers"), "{told:?}");
    assert_eq!(
        world.json(LEAD, CREATE, newcomer("third")).await.problem(),
        "name-taken"
    );
    // Another board has places of its own.
    assert_eq!(
        world
            .json("ops-lead", CREATE, newcomer("fourth"))
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn two_calls_at_once_do_not_share_one_place() {
    let mut world = World::new();
    world.change_board("research", |board| board.spec.max_agents = Some(3));
    let held = world.server.hold();
    let (a, b, ()) = tokio::join!(
        world.json(LEAD, CREATE, newcomer("a")),
        world.json(LEAD, CREATE, newcomer("b")),
        async {
            tokio::task::yield_now().await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            drop(held);
        },
    );
    assert_eq!([a.status, b.status], [201, 409]);
}

#[tokio::test]
async fn a_place_is_free_again_where_the_api_server_refused_the_newcomer() {
    let mut world = World::new();
    world.change_board("research", |board| board.spec.max_agents = Some(3));
    world.server.refuse("POST", 500, &json!({}));
    assert_eq!(
        world.json(LEAD, CREATE, newcomer("third")).await.status,
        503
    );
    world.server.refuse("nothing", 500, &json!({}));
    assert_eq!(
        world.json(LEAD, CREATE, newcomer("other")).await.status,
        201
    );
}

#[tokio::test]
async fn a_body_that_no_agent_can_be_made_of_is_refused_with_all_that_is_wrong() {
    let world = World::new();
    let told = world.json(LEAD, CREATE, json!({"name": "Not a name", "displayName": " ", "role": "a\nb", "model": "x".repeat(201)})).await;
    assert_eq!(
        (told.status, told.pointers()),
        (422, vec!["#/name", "#/displayName", "#/role", "#/model"])
    );
    for (body, pointer) in [
        (json!({"name": "a", "spec": {}}), "#/spec"),
        (json!({"name": "a", "displayName": 7}), "#/displayName"),
        (json!({"displayName": "A"}), "#"),
        (json!({"name": ""}), "#/name"),
        (json!({"name": "a".repeat(254)}), "#/name"),
        (json!({"name": "a", "soul": " \n"}), "#/soul"),
    ] {
        let told = world.json(LEAD, CREATE, body.clone()).await;
        assert_eq!(
            (told.status, told.pointers()),
            (422, vec![pointer]),
            "{body}"
        );
    }
    let told = world.call(LEAD, CREATE, "").await;
    assert!(
        told.status == 400 && told.detail().contains("fact-checker"),
        "{told:?}"
    );
    assert!(world.server.asked().is_empty());
}

#[tokio::test]
async fn nobody_is_added_where_somebody_goes_or_a_pause_holds() {
    let mut world = World::new();
    world.change_board("research", |board| board.spec.paused = true);
    let told = world.json(LEAD, CREATE, newcomer("a")).await;
    assert!(
        told.status == 409 && told.detail().contains("paused"),
        "{told:?}"
    );
    world.change_board("research", |board| {
        board.spec.paused = false;
        board.metadata.deletion_timestamp = Some(now());
    });
    assert_eq!(
        world.json(LEAD, CREATE, newcomer("a")).await.problem(),
        "not-now"
    );
    world.change_board("research", |board| board.metadata.deletion_timestamp = None);
    world.change(LEAD, |agent| {
        agent.metadata.deletion_timestamp = Some(now());
    });
    assert_eq!(
        world.json(LEAD, CREATE, newcomer("a")).await.problem(),
        "not-now"
    );
    assert!(world.server.asked().is_empty());
}

#[tokio::test]
async fn what_the_api_server_does_not_answer_is_tried_again_and_what_it_refuses_is_told() {
    let world = World::new();
    let calls = [
        (CREATE, newcomer("a")),
        ("DELETE /agents/helper", json!({})),
        ("PUT /agents/helper/soul", json!({"content": "x"})),
        (WAKE, json!({"name": "helper"})),
    ];
    for (code, details, after) in [
        (500, json!({}), 5),
        (503, json!({}), 5),
        (429, json!({"retryAfterSeconds": 7}), 7),
    ] {
        world.server.refuse("", code, &json!({"details": details}));
        for (call, body) in &calls {
            let told = world.json(LEAD, call, body.clone()).await;
            assert_eq!(
                (told.status, told.retry_after()),
                (503, after),
                "{code} {call}"
            );
        }
    }
    world.server.refuse(
        "",
        403,
        &json!({"reason": "Forbidden", "message": "exceeded quota: agents"}),
    );
    let told = world.json(LEAD, CREATE, newcomer("a")).await;
    assert_eq!((told.status, told.problem()), (409, "refused"));
    assert!(
        told.detail().contains("exceeded quota: agents."),
        "{told:?}"
    );
    let causes = json!([{"field": "spec.displayName", "message": "must be one line", "reason": "FieldValueInvalid"}]);
    world.server.refuse(
        "",
        422,
        &json!({"reason": "Invalid", "message": "is invalid", "details": {"causes": causes}}),
    );
    let told = world.json(LEAD, CREATE, newcomer("a")).await;
    assert_eq!((told.status, told.pointers()), (422, vec!["#/displayName"]));
    world
        .server
        .refuse("", 422, &json!({"message": "is invalid"}));
    assert_eq!(
        world.json(LEAD, CREATE, newcomer("a")).await.detail(),
        "is invalid"
    );
}

#[tokio::test]
async fn a_lead_deletes_what_a_lead_added_and_nothing_else() {
    let mut world = World::new();
    world.change("analyst", |agent| {
        agent.metadata.managed_fields = serde_json::from_value(json!([
            {"manager": "mission-operator", "operation": "Apply", "time": "2026-03-01T00:00:00Z", "fieldsV1": {"f:spec": {}}},
            {"manager": "kubectl-client-side-apply", "operation": "Update", "time": "2026-02-01T00:00:00Z", "fieldsV1": {"f:spec": {}}},
        ])).unwrap();
    });
    world.change(LEAD, |agent| {
        agent.metadata.owner_references = serde_json::from_value(json!([
            {"apiVersion": "mission.openclaw.dev/v1alpha1", "kind": "Board", "name": "research", "uid": "board-research", "controller": true},
        ])).ok();
    });
    for (name, owner) in [
        ("analyst", "field manager kubectl-client-side-apply"),
        (LEAD, "declared by Board research"),
    ] {
        let told = world
            .call(LEAD, &format!("DELETE /agents/{name}"), "")
            .await;
        assert_eq!((told.status, told.problem()), (409, "not-yours"));
        assert!(told.detail().contains(owner), "{told:?}");
    }
    let asked = world.server.paths();
    assert!(
        asked.iter().all(|asked| asked.starts_with("GET")),
        "{asked:?}"
    );
    // What the cache knows serves where the API server is away.
    world.server.refuse("GET", 503, &json!({}));
    let told = world.call(LEAD, "DELETE /agents/analyst", "").await;
    assert!(told.detail().contains("applied by a person,"), "{told:?}");
    world.server.asked();

    let told = world.call(LEAD, "DELETE /agents/helper", "").await;
    assert_eq!((told.status, &told.body["name"]), (202, &json!("helper")));
    let [asked] = &world.server.asked()[..] else {
        panic!("one request");
    };
    assert_eq!(
        (asked.what.as_str(), &asked.body["preconditions"]["uid"]),
        ("DELETE team/agents/helper", &json!("uid-helper"))
    );
    assert_eq!(world.server.get("team/agents/helper"), None);
    // Gone, and the cache does not show it yet.
    assert_eq!(
        world
            .call(LEAD, "DELETE /agents/helper", "")
            .await
            .problem(),
        "not-on-board"
    );
}

#[tokio::test]
async fn a_lead_wakes_a_fellow_once_each_time_and_says_why() {
    let mut world = World::new();
    let told = world
        .json(
            LEAD,
            WAKE,
            json!({"name": "analyst", "message": "Look at the figures."}),
        )
        .await;
    assert_eq!((told.status, &told.body["name"]), (202, &json!("analyst")));
    let annotations =
        || world.server.get("team/agents/analyst").unwrap()["metadata"]["annotations"].clone();
    let first = annotations();
    assert_eq!(
        first["mission.openclaw.dev/wake-message"],
        "Look at the figures."
    );
    assert_eq!(
        world
            .json(LEAD, WAKE, json!({"name": "analyst"}))
            .await
            .status,
        202
    );
    let second = annotations();
    assert_eq!(second["mission.openclaw.dev/wake-message"], Value::Null);
    assert!(second["mission.openclaw.dev/wake"].is_string());
    assert_ne!(
        first["mission.openclaw.dev/wake"],
        second["mission.openclaw.dev/wake"]
    );
    for message in ["", "x".repeat(4001).as_str()] {
        let told = world
            .json(LEAD, WAKE, json!({"name": "analyst", "message": message}))
            .await;
        assert_eq!((told.status, told.pointers()), (422, vec!["#/message"]));
    }
    world.change("analyst", |agent| {
        agent.metadata.deletion_timestamp = Some(now());
    });
    assert_eq!(
        world
            .json(LEAD, WAKE, json!({"name": "analyst"}))
            .await
            .problem(),
        "not-now"
    );
}

#[tokio::test]
async fn a_leads_long_name_fits_into_a_label() {
    let mut world = World::new();
    let name = format!("{}-lead", "x".repeat(200));
    world.put_board(board("third"));
    world.put(agent(&name, "Lead", Some("third")));
    assert_eq!(world.json(&name, CREATE, newcomer("a")).await.status, 201);
    let made = world.server.get("team/agents/a").unwrap();
    let label = made["metadata"]["labels"]["mission.openclaw.dev/created-by"]
        .as_str()
        .unwrap();
    assert!(label.len() == 63, "{label}");
    assert_eq!(
        made["metadata"]["annotations"]["mission.openclaw.dev/created-by"],
        name
    );
    assert!(team::is_made_by_a_lead(
        &serde_json::from_value(made.clone()).unwrap()
    ));
}
