//! The SOUL.md of agents that a lead added.

use super::*;

const LEAD: &str = "research-lead";
const SOUL: &str = "PUT /agents/helper/soul";

fn text(content: &str) -> Value {
    json!({ "content": content })
}

#[tokio::test]
async fn a_new_agent_comes_with_its_soul_in_a_config_map_that_it_owns() {
    let world = World::new();
    let told = world
        .json(
            LEAD,
            CREATE,
            json!({"name": "poet", "soul": "{{ not a template }}"}),
        )
        .await;
    assert_eq!(told.status, 201);
    assert_eq!(
        world.server.paths(),
        [
            "GET team/configmaps/poet-soul",
            "POST team/agents",
            "POST team/configmaps"
        ]
    );
    let agent = world.server.get("team/agents/poet").unwrap();
    let file = json!([{"name": "SOUL.md", "configMapKeyRef": {"name": "poet-soul", "key": "SOUL.md"}, "policy": "Enforce"}]);
    assert_eq!(agent["spec"]["files"], file);
    let soul = world.server.get("team/configmaps/poet-soul").unwrap();
    assert_eq!(soul["data"], json!({"SOUL.md": "{{ not a template }}"}));
    let owner = &soul["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"], &owner["controller"]),
        (&json!("Agent"), &agent["metadata"]["uid"], &json!(true))
    );
}

#[tokio::test]
async fn a_new_agent_whose_soul_cannot_be_stored_is_told_of_with_what_to_do() {
    let world = World::new();
    world.server.refuse("POST team/configmaps", 503, &json!({}));
    let told = world
        .json(LEAD, CREATE, json!({"name": "poet", "soul": "x"}))
        .await;
    assert_eq!((told.status, told.retry_after()), (503, 5));
    assert!(told.detail().contains("PUT /agents/poet/soul"), "{told:?}");
}

#[tokio::test]
async fn the_first_text_is_stored_and_named_by_the_agent_and_the_next_only_stored() {
    let mut world = World::new();
    world.change("helper", |agent| {
        agent.spec.files =
            serde_json::from_value(json!([{"name": "USER.md", "content": "A person's"}])).unwrap();
    });
    let told = world
        .json(
            LEAD,
            SOUL,
            json!({"content": "First.", "reason": "It was bland."}),
        )
        .await;
    assert_eq!((told.status, &told.body["name"]), (202, &json!("helper")));
    let asked = world.server.asked();
    let what: Vec<_> = asked.iter().map(|asked| asked.what.as_str()).collect();
    assert_eq!(
        what,
        [
            "GET team/agents/helper",
            "GET team/configmaps/helper-soul",
            "POST team/configmaps",
            "PATCH team/agents/helper"
        ]
    );
    // Without force: what a person set under the same name is a conflict.
    assert_eq!(asked[3].query, "&fieldManager=mission-operator-agent-api");
    let expected = json!({"files": [{"name": "SOUL.md", "configMapKeyRef": {"name": "helper-soul", "key": "SOUL.md"}, "policy": "Enforce"}]});
    assert_eq!(asked[3].body["spec"], expected);
    let soul = world.server.get("team/configmaps/helper-soul").unwrap();
    assert_eq!(
        soul["metadata"]["annotations"]["mission.openclaw.dev/change-reason"],
        "It was bland."
    );

    // The reason of the first is none of the second.
    assert_eq!(world.json(LEAD, SOUL, text("Second.")).await.status, 202);
    assert_eq!(
        world.server.paths(),
        [
            "GET team/agents/helper",
            "GET team/configmaps/helper-soul",
            "PATCH team/configmaps/helper-soul"
        ]
    );
    let soul = world.server.get("team/configmaps/helper-soul").unwrap();
    assert_eq!(soul["data"], json!({"SOUL.md": "Second."}));
    let annotations = soul["metadata"]["annotations"].as_object().unwrap();
    assert!(
        !annotations.contains_key("mission.openclaw.dev/change-reason"),
        "{annotations:?}"
    );
    assert_eq!(soul["metadata"]["ownerReferences"][0]["name"], "helper");
}

#[tokio::test]
async fn a_users_agent_keeps_its_soul_and_its_owner_is_named() {
    let mut world = World::new();
    for (labels, annotations, owner) in [
        (json!({}), json!({}), "applied by a person,"),
        (
            json!({}),
            json!({"argocd.argoproj.io/tracking-id": "x"}),
            "applied by Argo CD",
        ),
        (
            json!({}),
            json!({"meta.helm.sh/release-name": "team"}),
            "Helm release team",
        ),
        (
            json!({"kustomize.toolkit.fluxcd.io/name": "all"}),
            json!({}),
            "Flux Kustomization all",
        ),
    ] {
        world.change("analyst", |agent| {
            agent.metadata.labels = serde_json::from_value(labels).ok();
            agent.metadata.annotations = serde_json::from_value(annotations).ok();
        });
        let told = world
            .json(LEAD, "PUT /agents/analyst/soul", text("x"))
            .await;
        assert_eq!((told.status, told.problem()), (409, "not-yours"));
        assert!(told.detail().contains(owner), "{told:?}");
    }
    let asked = world.server.paths();
    assert!(
        asked.iter().all(|asked| asked == "GET team/agents/analyst"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_soul_that_a_person_set_on_a_leads_agent_stays() {
    let mut world = World::new();
    let reference = json!({"name": "helper-soul", "key": "SOUL.md"});
    for file in [
        json!({"name": "SOUL.md", "content": "A person's."}),
        json!({"name": "SOUL.md", "policy": "Ignore"}),
        json!({"name": "SOUL.md", "configMapKeyRef": reference, "policy": "Seed"}),
    ] {
        world.change("helper", |agent| {
            agent.spec.files = serde_json::from_value(json!([file])).unwrap();
            agent.metadata.managed_fields = serde_json::from_value(json!([
                {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:files": {"k:{\"name\":\"SOUL.md\"}": {}}}}},
            ])).unwrap();
        });
        let told = world.json(LEAD, SOUL, text("x")).await;
        assert_eq!((told.status, told.problem()), (409, "not-yours"), "{file}");
        assert!(told.detail().contains("kubectl-edit"), "{told:?}");
        assert_eq!(world.server.paths(), ["GET team/agents/helper"]);
    }
}

#[tokio::test]
async fn a_config_map_that_was_not_made_for_the_agent_stays() {
    let world = World::new();
    for name in ["helper-soul", "poet-soul"] {
        let theirs = json!({"metadata": {"name": name, "namespace": "team", "uid": "theirs"}, "data": {"SOUL.md": "Theirs."}});
        world.server.put("configmaps", &theirs);
    }
    let put = world.json(LEAD, SOUL, text("x")).await;
    let created = world
        .json(LEAD, CREATE, json!({"name": "poet", "soul": "x"}))
        .await;
    for told in [put, created] {
        assert_eq!(
            (told.status, told.problem()),
            (409, "not-yours"),
            "{told:?}"
        );
    }
    let asked = world.server.paths();
    assert!(
        asked.iter().all(|asked| asked.starts_with("GET")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_config_map_of_an_agent_of_the_name_that_is_gone_is_waited_for() {
    let world = World::new();
    for name in ["helper", "poet"] {
        let owner = json!({"apiVersion": "mission.openclaw.dev/v1alpha1", "kind": "Agent", "name": name, "uid": "gone", "controller": true});
        let left_over = json!({"metadata": {"name": format!("{name}-soul"), "namespace": "team", "uid": "old", "ownerReferences": [owner]}, "data": {"SOUL.md": "Old."}});
        world.server.put("configmaps", &left_over);
    }
    let put = world.json(LEAD, SOUL, text("x")).await;
    let poet = || json!({"name": "poet", "soul": "x"});
    let created = world.json(LEAD, CREATE, poet()).await;
    for told in [put, created] {
        assert_eq!(
            (told.status, told.problem(), told.retry_after()),
            (503, "not-yet", 5),
            "{told:?}"
        );
    }
    assert_eq!(world.server.get("team/agents/poet"), None);
    world.server.remove("team/configmaps/poet-soul");
    assert_eq!(world.json(LEAD, CREATE, poet()).await.status, 201);
}

#[tokio::test]
async fn a_soul_may_have_as_many_characters_as_the_gateway_shows() {
    let world = World::new();
    // Two UTF-16 units each; white space at the end does not count.
    let most = format!("{}\n\n", "\u{1f980}".repeat(10_000));
    assert_eq!(world.json(LEAD, SOUL, text(&most)).await.status, 202);
    let told = world
        .json(LEAD, SOUL, text(&"\u{1f980}".repeat(10_001)))
        .await;
    assert_eq!((told.status, told.pointers()), (422, vec!["#/content"]));
    assert!(told.detail().contains("20002"), "{told:?}");
    for (body, pointer) in [
        (text(" "), "#/content"),
        (json!({"content": "x", "reason": ""}), "#/reason"),
        (json!({"soul": "x"}), "#/soul"),
    ] {
        assert_eq!(world.json(LEAD, SOUL, body).await.pointers(), [pointer]);
    }
}

#[tokio::test]
async fn an_agent_that_changed_hands_meanwhile_is_judged_as_it_is_now() {
    let mut world = World::new();
    // The cache shows neither yet.
    let mut elsewhere = world.known("helper");
    elsewhere.spec.board_ref.as_mut().unwrap().name = "ops".to_owned();
    world.server.put("agents", &elsewhere);
    assert_eq!(
        world.json(LEAD, SOUL, text("x")).await.problem(),
        "not-on-board"
    );
    world.change("helper", |agent| {
        agent.metadata.deletion_timestamp = Some(now());
    });
    assert_eq!(world.json(LEAD, SOUL, text("x")).await.problem(), "not-now");
}

#[tokio::test]
async fn a_config_map_that_is_made_at_the_same_time_is_looked_at_again() {
    let world = World::new();
    // The answer to its making is lost, and the client asks again by itself.
    world.server.refuse(
        "POST team/configmaps",
        409,
        &json!({"reason": "AlreadyExists"}),
    );
    let told = world.json(LEAD, SOUL, text("x")).await;
    assert_eq!((told.status, told.problem()), (409, "not-now"));
    let asked = world.server.paths();
    let looks = asked
        .iter()
        .filter(|it| *it == "GET team/configmaps/helper-soul");
    assert_eq!(looks.count(), 2, "{asked:?}");
}

#[tokio::test]
async fn a_soul_of_the_longest_length_is_taken_with_every_character_escaped() {
    let world = World::new();
    let body = format!(r#"{{"content":"{}"}}"#, "\\u00e9".repeat(20_000));
    assert!(body.len() > 64 * 1024);
    assert_eq!(world.call(LEAD, SOUL, body).await.status, 202);
}
