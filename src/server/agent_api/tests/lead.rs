//! Whom a lead may add, and what is said of whom it may not.

use super::*;
use crate::plan::team;

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
async fn a_name_that_is_taken_reads_the_same_wherever_and_whatever_has_it() {
    let mut world = World::new();
    // No Board names it. One of another namespace keeps nothing here.
    world.put_gateway("spare", "team");
    world.put_gateway("elsewhere", "other");
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
        "spare-main",
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
        ["POST team/agents", "GET team/agents/unseen"],
        "what is known is not asked"
    );
    let told = world.json(LEAD, CREATE, newcomer("elsewhere-main")).await;
    assert_eq!(told.status, 201);
}

#[tokio::test]
async fn a_name_whose_agent_is_going_is_free_soon_and_only_its_board_learns_that() {
    let mut world = World::new();
    for name in ["helper", "guard"] {
        world.change(name, |agent| {
            agent.metadata.deletion_timestamp = Some(now());
        });
    }
    // The cache does not show that this one goes.
    let mut going = world.known("analyst");
    going.metadata.name = Some("unseen".to_owned());
    going.metadata.deletion_timestamp = Some(now());
    world.server.put("agents", &going);
    for name in ["helper", "unseen"] {
        let told = world.json(LEAD, CREATE, newcomer(name)).await;
        assert_eq!(
            (told.status, told.problem(), told.retry_after()),
            (503, "not-yet", 5)
        );
    }
    let told = world.json(LEAD, CREATE, newcomer("guard")).await;
    assert_eq!(told.problem(), "name-taken");
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
    let other = json!({"name": "third", "role": "Another"});
    assert_eq!(
        world.json(LEAD, CREATE, other).await.problem(),
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
async fn a_call_whose_answer_was_lost_is_repeated_and_ends_as_the_first_would_have() {
    let mut world = World::new();
    // The place that the first try took is the last one.
    world.change_board("research", |board| board.spec.max_agents = Some(3));
    let poet = || json!({"name": "poet", "displayName": "Poet", "soul": "Verse."});
    for lost in ["POST team/agents", "POST team/configmaps"] {
        world.server.lose(lost);
        let told = world.json(LEAD, CREATE, poet()).await;
        assert_eq!(told.status, 503, "{lost} {told:?}");
    }
    let made = world.server.get("team/agents/poet").unwrap();
    world.server.asked();
    for shown in [false, true] {
        if shown {
            let made = serde_json::from_value(made.clone()).unwrap();
            world.agents.apply_watcher_event(&Event::Apply(made));
        }
        let told = world.json(LEAD, CREATE, poet()).await;
        assert_eq!((told.status, &told.body["name"]), (201, &json!("poet")));
        let asked = world.server.paths();
        let twice = asked.iter().filter(|asked| *asked == "POST team/agents");
        assert_eq!(twice.count(), 0, "{asked:?}");
    }
    assert_eq!(world.server.get("team/agents/poet").unwrap(), made);
    let soul = world.server.get("team/configmaps/poet-soul").unwrap();
    assert_eq!(
        soul["metadata"]["ownerReferences"][0]["uid"],
        made["metadata"]["uid"]
    );
    // It is not what somebody else wanted, and no text is written over.
    let told = world.json("ops-lead", CREATE, poet()).await;
    assert_eq!(told.problem(), "name-taken");
    let other = json!({"name": "poet", "displayName": "Poet", "soul": "Prose."});
    let told = world.json(LEAD, CREATE, other).await;
    assert_eq!((told.status, told.problem()), (409, "not-now"));
    assert!(told.detail().contains("PUT /agents/poet/soul"), "{told:?}");
}

#[tokio::test]
async fn a_call_that_is_repeated_before_the_first_has_ended_is_told_to_wait() {
    let world = World::new();
    let held = world.server.hold();
    let (first, again, ()) = tokio::join!(
        world.json(LEAD, CREATE, newcomer("a")),
        async {
            tokio::task::yield_now().await;
            world.json(LEAD, CREATE, newcomer("a")).await
        },
        async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            drop(held);
        },
    );
    assert_eq!(first.status, 201);
    // Whichever of the two the API server hears first.
    assert!(
        again.status == 201 || again.problem() == "not-yet",
        "{again:?}"
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
    let unfit = r#"agents is forbidden: User "system:serviceaccount:mission-system:mission-operator" cannot create resource "agents""#;
    let refusal = json!({"reason": "Forbidden", "message": unfit});
    world.server.refuse("", 403, &refusal);
    let told = world.json(LEAD, CREATE, newcomer("a")).await;
    assert_eq!((told.status, told.problem()), (409, "refused"));
    assert!(!told.detail().contains("mission-system"), "{told:?}");
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
    assert!(team::is_a_leads(
        &serde_json::from_value(made.clone()).unwrap()
    ));
}
