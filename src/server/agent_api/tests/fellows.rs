//! What a lead may do to the agents of its board, and what nobody may.

use super::*;
use crate::api::{
    condition::{self, ACCEPTED, Judgement},
    reason::Reason,
};

const LEAD: &str = "research-lead";

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
