//! What a lead may do to the agents of its board, and what nobody may.

use super::*;

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
    // Accepted as well, as a worker perhaps; the seat is the other's.
    let mut third = agent("third-lead", "Lead", Some("research"));
    third.metadata.creation_timestamp = Some(now());
    world.put(third);
    // Nobody leads its board.
    world.put_board(board("third"));
    let mut refused = agent("refused-lead", "Lead", Some("third"));
    refused.status.get_or_insert_default().conditions.clear();
    world.put(refused);
    for (who, says) in [
        ("analyst", "your role is Worker"),
        ("loner", "role Lead"),
        ("second-lead", "another one leads"),
        ("third-lead", "another one leads"),
        ("refused-lead", "you are not accepted"),
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
    world.change("helper", |agent| {
        agent.metadata.resource_version = Some("7".to_owned());
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
    world.server.refuse("nothing", 503, &json!({}));
    world.server.asked();

    let told = world.call(LEAD, "DELETE /agents/helper", "").await;
    assert_eq!((told.status, &told.body["name"]), (202, &json!("helper")));
    let [read, asked] = &world.server.asked()[..] else {
        panic!("two requests");
    };
    assert_eq!(
        (read.what.as_str(), asked.what.as_str()),
        ("GET team/agents/helper", "DELETE team/agents/helper")
    );
    assert_eq!(
        asked.body["preconditions"],
        json!({"uid": "uid-helper", "resourceVersion": "7"})
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
    // Not acted on yet. The call whose answer was lost is taken again; another message would take the place of this one.
    let same = json!({"name": "analyst", "message": "Look at the figures."});
    assert_eq!(world.json(LEAD, WAKE, same).await.status, 202);
    for other in [
        json!({"name": "analyst"}),
        json!({"name": "analyst", "message": "Look at the words."}),
    ] {
        let told = world.json(LEAD, WAKE, other).await;
        assert_eq!((told.status, told.problem()), (409, "not-now"), "{told:?}");
    }
    assert_eq!(annotations(), first);
    // Acted on.
    let mut acted = world.server.get("team/agents/analyst").unwrap();
    acted["status"]["recorded"] = json!({"wake": first["mission.openclaw.dev/wake"]});
    world.server.put("agents", &acted);
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
async fn what_is_deleted_is_as_it_is_now_and_not_as_the_cache_shows_it() {
    let mut world = World::new();
    // Applied from Git meanwhile, on another board, gone.
    let mut taken_over = world.known("helper");
    let mark = "argocd.argoproj.io/tracking-id".to_owned();
    taken_over.annotations_mut().insert(mark, "x".to_owned());
    let mut elsewhere = world.known("helper");
    elsewhere.spec.board_ref.as_mut().unwrap().name = "ops".to_owned();
    for (now, problem) in [(&taken_over, "not-yours"), (&elsewhere, "not-on-board")] {
        world.server.put("agents", now);
        let told = world.call(LEAD, "DELETE /agents/helper", "").await;
        assert_eq!(told.problem(), problem);
        assert_eq!(world.server.paths(), ["GET team/agents/helper"]);
    }
    // The cache shows it too.
    world.change("helper", |agent| *agent = taken_over);
    for (call, body) in [
        ("DELETE /agents/helper", json!({})),
        ("PUT /agents/helper/soul", json!({"content": "x"})),
    ] {
        let told = world.json(LEAD, call, body).await;
        assert_eq!((told.status, told.problem()), (409, "not-yours"));
        let says = "was added by a lead, and is not a lead's any more: it is applied by Argo CD";
        assert!(told.detail().contains(says), "{told:?}");
    }
}

#[tokio::test]
async fn an_agent_that_changes_while_it_is_deleted_is_judged_again() {
    let mut world = World::new();
    world.change("helper", |agent| {
        agent.metadata.resource_version = Some("1".to_owned());
    });
    let conflict = json!({"reason": "Conflict"});
    world.server.refuse("DELETE", 409, &conflict);
    let told = world.call(LEAD, "DELETE /agents/helper", "").await;
    assert_eq!((told.status, told.problem()), (409, "not-now"));
    let again = ["GET team/agents/helper", "DELETE team/agents/helper"].repeat(3);
    assert_eq!(world.server.paths(), again);
}

#[tokio::test]
async fn a_lead_that_is_being_deleted_is_heard_and_changes_nothing() {
    let mut world = World::new();
    world.change(LEAD, |agent| {
        agent.metadata.deletion_timestamp = Some(now());
    });
    for call in [ME, HEARTBEAT, AGENTS, BOARD] {
        assert_eq!(world.call(LEAD, call, "").await.status, 200, "{call}");
    }
    for (call, body) in [
        (CREATE, json!({"name": "a"})),
        (WAKE, json!({"name": "helper"})),
        ("DELETE /agents/helper", json!({})),
        ("PUT /agents/helper/soul", json!({"content": "x"})),
    ] {
        let told = world.json(LEAD, call, body).await;
        assert_eq!((told.status, told.problem()), (409, "not-now"), "{call}");
        assert!(told.detail().contains("You are being deleted"), "{told:?}");
    }
    assert!(world.server.asked().is_empty());
}

#[tokio::test]
async fn a_lead_that_is_paused_leads_on() {
    let mut world = World::new();
    world.change(LEAD, |agent| agent.spec.paused = true);
    assert_eq!(world.call(LEAD, ME, "").await.body["paused"], true);
    for (call, body, code) in [
        (CREATE, json!({"name": "a"}), 201),
        (WAKE, json!({"name": "helper"}), 202),
        ("PUT /agents/helper/soul", json!({"content": "x"}), 202),
        ("DELETE /agents/helper", json!({}), 202),
    ] {
        let told = world.json(LEAD, call, body).await;
        assert_eq!(told.status, code, "{call} {told:?}");
    }
}

#[tokio::test]
async fn a_newcomer_is_woken_when_it_was_looked_at_and_not_before() {
    let mut world = World::new();
    let looked_at = world.known("helper");
    world.change("helper", |agent| agent.status = None);
    let wake = || json!({"name": "helper"});
    let told = world.json(LEAD, WAKE, wake()).await;
    assert_eq!(
        (told.status, told.problem(), told.retry_after()),
        (503, "not-yet", 5)
    );
    assert_eq!(world.server.paths(), ["GET team/agents/helper"]);
    // The cache does not show it yet.
    world.server.put("agents", &looked_at);
    assert_eq!(world.json(LEAD, WAKE, wake()).await.status, 202);
    world.change("helper", |agent| *agent = looked_at);
    world.server.asked();
    assert_eq!(world.json(LEAD, WAKE, wake()).await.status, 202);
    assert_eq!(
        world.server.paths(),
        ["GET team/agents/helper", "PATCH team/agents/helper"]
    );
}
