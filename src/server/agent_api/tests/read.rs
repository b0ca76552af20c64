//! The calls that everybody may make, and what is wrong with a request before it is looked at.

use super::*;
use crate::api::{
    agent::{FileState, FileStatus, Role},
    condition::{self, Judgement},
    reason::Reason,
};

#[tokio::test]
async fn the_api_says_that_it_is_there_before_it_knows_anybody() {
    let world = World::starting(Limits::default());
    let told = world.send(request("GET /healthz"), Body::empty()).await;
    assert_eq!((told.status, told.body), (200, json!({"status": "ok"})));
    let told = world.call("analyst", ME, "").await;
    assert_eq!((told.status, told.problem()), (503, "not-ready"));
    assert!(told.retry_after() > 0);
    world.directory.expect_tokens([]);
    assert_eq!(world.call("analyst", ME, "").await.status, 401);
    // Tokens are read before the caches are handed over.
    let token = SecretString::from(token("analyst"));
    world
        .directory
        .set_tokens(&key(&agent("analyst", "Worker", None)), [&token]);
    assert_eq!(world.call("analyst", HEARTBEAT, "").await.status, 503);
}

#[tokio::test]
async fn a_token_counts_in_either_header_and_only_while_it_is_somebodys() {
    let mut world = World::new();
    let bearer = |token: &str| request(ME).header("Authorization", format!("bearer {token}"));
    assert_eq!(world.send(bearer(&token("analyst")), "").await.status, 200);
    assert_eq!(world.call("analyst", ME, "").await.status, 200);
    let both = bearer(&token("analyst")).header("X-Agent-Token", token("nobody"));
    for refused in [
        world.send(request(ME), "").await,
        world
            .send(request(ME).header("Authorization", "Basic YTpi"), "")
            .await,
        world
            .send(request(ME).header("X-Agent-Token", ""), "")
            .await,
        world.send(bearer(&token("nobody")), "").await,
        world.send(both, "").await,
    ] {
        assert_eq!(
            (refused.status, refused.problem()),
            (401, "unauthenticated")
        );
        assert!(refused.headers.contains_key("www-authenticate"));
    }
    // Another Agent has taken the name: the token was made for the one before.
    let mut again = agent("analyst", "Worker", Some("research"));
    again.metadata.uid = Some("another".to_owned());
    world
        .agents
        .apply_watcher_event(&Event::Apply(again.clone()));
    assert_eq!(world.call("analyst", ME, "").await.status, 401);
    world.agents.apply_watcher_event(&Event::Delete(again));
    assert_eq!(world.call("analyst", ME, "").await.status, 401);
}

#[tokio::test]
async fn an_agent_learns_what_is_known_of_it() {
    let mut world = World::new();
    world.change("analyst", |agent| {
        agent.spec.display_name = Some("The analyst".to_owned());
        let status = agent.status.get_or_insert_default();
        status.agent_id = Some("team_analyst".to_owned());
        status.session_key = Some("agent:team_analyst:main".to_owned());
        status.workspace_path = Some("~/.openclaw/workspace-team_analyst".to_owned());
        let ready = Judgement::holds(condition::READY, Reason::Reconciled, "As declared.");
        condition::set(&mut status.conditions, ready, Some(1), Timestamp::now());
    });
    let told = world.call("analyst", ME, "").await;
    let expected = json!({
        "name": "analyst", "namespace": "team", "agentId": "team_analyst", "role": "Worker", "displayName": "The analyst",
        "board": "research", "sessionKey": "agent:team_analyst:main", "workspacePath": "~/.openclaw/workspace-team_analyst",
        "paused": false, "online": null, "lastSeen": null,
        "ready": {"status": "True", "reason": "Reconciled", "message": "As declared."},
    });
    assert_eq!((told.status, told.body), (200, expected));
    world.change_board("research", |board| board.spec.paused = true);
    assert_eq!(world.call("analyst", ME, "").await.body["paused"], true);
    let loner = world.call("loner", ME, "").await.body;
    assert_eq!(
        (&loner["board"], &loner["ready"]["status"]),
        (&Value::Null, &json!("Unknown"))
    );
}

#[tokio::test]
async fn a_heartbeat_is_taken_in_every_form_that_agents_send_and_for_the_tokens_owner() {
    let world = World::new();
    let analyst = key(&world.known("analyst"));
    for body in [
        "",
        " \n",
        "{}",
        "null",
        r#"{"name":"somebody else"}"#,
        r#"{"name":"analyst","board_id":null,"status":"online"}"#,
        r#"{"name":"analyst","board_id":"6b0d","status":"online"}"#,
    ] {
        let before = world
            .directory
            .presence()
            .last_seen(&analyst, Timestamp::now());
        let told = world.call("analyst", HEARTBEAT, body).await;
        assert_eq!(told.status, 200, "{body}: {told:?}");
        assert_eq!(told.body["agent"]["name"], "analyst");
        assert_eq!(told.body["agent"]["online"], true);
        assert!(
            told.body["agent"]["lastSeen"]
                .as_str()
                .unwrap()
                .ends_with('Z')
        );
        assert!(
            world
                .directory
                .presence()
                .last_seen(&analyst, Timestamp::now())
                > before
        );
    }
    assert_eq!(
        world.directory.presence().all().len(),
        1,
        "nobody else was heard of"
    );
    assert!(
        world.server.asked().is_empty(),
        "a heartbeat costs the API server nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_tells_which_files_were_written_since_the_last_one() {
    let mut world = World::new();
    let write = |world: &mut World, name: &str, modified| {
        world.change("analyst", |agent| {
            let files = &mut agent.status.get_or_insert_default().files;
            files.retain(|file| file.name != name);
            files.push(FileStatus {
                name: name.to_owned(),
                sha256: "5a".to_owned(),
                size: 1,
                modified: Some(modified),
                state: FileState::Synced,
            });
        });
    };
    write(&mut world, "AGENTS.md", 1);
    write(&mut world, "SOUL.md", 1);
    let changed =
        async |world: &World| world.call("analyst", HEARTBEAT, "").await.body["changed"].clone();
    let a_minute = || tokio::time::advance(std::time::Duration::from_mins(1));
    // The answer to the first may be lost, and the second is a try again.
    for _ in 0..2 {
        assert_eq!(changed(&world).await, json!(["AGENTS.md", "SOUL.md"]));
    }
    a_minute().await;
    assert_eq!(changed(&world).await, json!([]));
    write(&mut world, "SOUL.md", 2);
    assert_eq!(changed(&world).await, json!(["SOUL.md"]));
    a_minute().await;
    assert_eq!(changed(&world).await, json!([]));
}

#[tokio::test]
async fn heartbeats_are_taken_from_the_paused_and_from_those_that_go_and_without_an_api_server() {
    let mut world = World::new();
    world.server.refuse("", 503, &json!({}));
    world.change("analyst", |agent| {
        agent.spec.paused = true;
        agent.status.get_or_insert_default().pending = vec!["SOUL.md".to_owned()];
        agent.metadata.deletion_timestamp = Some(now());
    });
    world.change_board("research", |board| board.spec.paused = true);
    let told = world.call("analyst", HEARTBEAT, "{}").await;
    assert_eq!(told.status, 200);
    assert_eq!(told.body["agent"]["paused"], true);
    assert_eq!(told.body["pending"], json!(["SOUL.md"]));
}

#[tokio::test]
async fn the_roster_and_the_board_are_the_callers_own_and_sorted() {
    let mut world = World::new();
    world.change("analyst", |agent| {
        agent.spec.display_name = Some("The analyst".to_owned());
    });
    world.change_board("research", |board| {
        board.spec.objective = Some("Know more".to_owned());
        board.spec.max_agents = Some(3);
        board.spec.success_metrics = Some([("reports".to_owned(), json!(3))].into());
        board.spec.rules =
            Some(serde_json::from_value(json!({"onlyLeadCanChangeStatus": true})).unwrap());
    });
    world.call("helper", HEARTBEAT, "").await;
    let told = world.call("analyst", AGENTS, "").await.body;
    let listed = told["agents"].as_array().unwrap();
    let listed: Vec<_> = listed
        .iter()
        .map(|agent| {
            (
                agent["name"].as_str().unwrap(),
                &agent["role"],
                &agent["online"],
            )
        })
        .collect();
    let (worker, lead) = (json!("Worker"), json!("Lead"));
    assert_eq!(
        listed,
        [
            ("analyst", &worker, &Value::Null),
            ("helper", &worker, &json!(true)),
            ("research-lead", &lead, &Value::Null)
        ]
    );
    assert_eq!(told["agents"][0]["displayName"], "The analyst");
    let told = world.call("analyst", BOARD, "").await.body;
    let expected = json!({
        "name": "research", "displayName": "research", "objective": "Know more", "successMetrics": {"reports": 3}, "maxAgents": 3,
        "goalConfirmed": false, "rules": {"onlyLeadCanChangeStatus": true}, "members": ["analyst", "helper", "research-lead"],
    });
    assert_eq!(told, expected);
}

#[tokio::test]
async fn who_has_no_board_is_told_so() {
    let mut world = World::new();
    world.put(agent("lost", "Lead", Some("gone")));
    for (who, call) in [
        ("loner", AGENTS),
        ("loner", BOARD),
        ("lost", BOARD),
        ("lost", CREATE),
    ] {
        let told = world.call(who, call, "{}").await;
        assert_eq!(
            (told.status, told.problem()),
            (404, "no-board"),
            "{who} {call}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_wrong_is_told_with_the_place_in_it() {
    let world = World::new();
    let heartbeat = async |body: &str| world.call("analyst", HEARTBEAT, body.to_owned()).await;
    for (body, pointer) in [
        (r#"{"satus":"online"}"#, "#/satus"),
        (r#"{"name":7}"#, "#/name"),
        ("[]", "#"),
        (r#"["analyst", null, "online"]"#, "#"),
        ("7", "#"),
        (r#""analyst""#, "#"),
        (r#"{"name":"a","name":"b"}"#, "#"),
    ] {
        let told = heartbeat(body).await;
        assert_eq!(
            (told.status, told.pointers()),
            (422, vec![pointer]),
            "{body} {told:?}"
        );
    }
    for body in ["{", "{}}", "[]x", "name=analyst", "\u{feff}{}"] {
        let told = heartbeat(body).await;
        assert_eq!((told.status, told.problem()), (400, "bad-body"), "{body}");
    }
    let token = token("analyst");
    let escaped = token.chars().fold(String::new(), |escaped, c| {
        format!("{escaped}\\u{:04x}", u32::from(c))
    });
    for body in [
        format!(r#"{{"status":"{token}"}}"#),
        format!(r#"{{"status":"It is {escaped}."}}"#),
        format!(r#"{{"{escaped}":1}}"#),
        format!(r#"{{"status":["{escaped}"]}}"#),
    ] {
        let told = heartbeat(&body).await;
        assert!(
            told.status == 422 && told.detail().contains("your token"),
            "{body} {told:?}"
        );
    }
}

#[tokio::test]
async fn a_path_that_is_no_text_is_a_problem_like_any_other_and_counted() {
    let world = World::new();
    for call in ["DELETE /agents/%FF", "PUT /agents/%FF%FE/soul"] {
        let body = r#"{"content":"x"}"#;
        let told = world.send(request(call), body).await;
        assert_eq!((told.status, told.problem()), (401, "unauthenticated"));
        let told = world.call("analyst", call, body).await;
        assert_eq!((told.status, told.problem()), (403, "forbidden"));
        let told = world.call("research-lead", call, body).await;
        assert_eq!((told.status, told.problem()), (404, "not-on-board"));
    }
    let counted = world.metrics.encode().unwrap();
    let line = r#"mission_operator_agent_api_requests_total{operation="deleteAgent",code="404"} 1"#;
    assert!(counted.contains(line), "{counted}");
    assert!(world.server.asked().is_empty());
}

#[tokio::test]
async fn who_may_no_more_when_its_body_has_come_changes_nothing() {
    for change in [
        // Its token was replaced meanwhile; it is another's to lead; it is being deleted.
        (|world: &mut World| {
            let lead = key(&world.known("research-lead"));
            world.directory.set_tokens(&lead, []);
        }) as fn(&mut World),
        |world| world.change("research-lead", |agent| agent.spec.role = Role::Worker),
        |world| {
            world.change("research-lead", |agent| {
                agent.metadata.deletion_timestamp = Some(now());
            });
        },
    ] {
        let mut world = World::new();
        let (rest, comes) = tokio::sync::oneshot::channel::<()>();
        let (look, is_looked_for) = tokio::sync::oneshot::channel::<()>();
        let body = futures_util::stream::once(async move {
            look.send(()).ok();
            comes.await.ok();
            Ok::<_, std::io::Error>(json!({"name": "late"}).to_string())
        });
        let request = request(CREATE)
            .header("X-Agent-Token", token("research-lead"))
            .body(Body::from_stream(body))
            .unwrap();
        let answer = tokio::spawn(world.router.clone().oneshot(request));
        is_looked_for.await.unwrap();
        change(&mut world);
        rest.send(()).unwrap();
        let status = answer.await.unwrap().unwrap().status().as_u16();
        assert!([401, 403, 409].contains(&status), "{status}");
        assert!(world.server.asked().is_empty());
    }
}

#[tokio::test]
async fn a_body_is_limited_whether_it_says_its_length_or_not() {
    let world = World::new();
    let body = |bytes: usize| format!("{{{}}}", " ".repeat(bytes - 2));
    assert_eq!(
        world
            .call("analyst", HEARTBEAT, body(160 * 1024))
            .await
            .status,
        200
    );
    assert_eq!(
        world
            .call("analyst", HEARTBEAT, body(160 * 1024 + 1))
            .await
            .status,
        413
    );
    let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(" ".repeat(1000)));
    let told = world
        .call("analyst", HEARTBEAT, Body::from_stream(chunks))
        .await;
    assert_eq!((told.status, told.problem()), (413, "too-large"));
    let request = request(HEARTBEAT)
        .header("X-Agent-Token", token("analyst"))
        .header("Content-Length", 1_u64 << 40);
    assert_eq!(world.send(request, Body::empty()).await.status, 413);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let world = World::new();
    let never = futures_util::stream::pending::<Result<String, std::io::Error>>();
    let told = world
        .call("analyst", HEARTBEAT, Body::from_stream(never))
        .await;
    assert_eq!((told.status, told.problem()), (408, "slow"));
}

#[tokio::test]
async fn what_is_no_call_is_a_problem_too() {
    let world = World::new();
    let told = world.call("analyst", "GET /tasks", "").await;
    assert_eq!((told.status, told.problem()), (404, "no-such-call"));
    let told = world.call("analyst", "DELETE /heartbeat", "").await;
    assert_eq!((told.status, told.problem()), (405, "no-such-method"));
    assert_eq!(told.headers["allow"], "POST");
    let told = world
        .send(
            Request::get("/").header("X-Agent-Token", token("analyst")),
            "",
        )
        .await;
    assert_eq!(told.status, 404);
}

#[tokio::test]
async fn a_token_that_gets_into_a_message_is_taken_out_of_it() {
    let problem = Problem::new(Kind::BadBody, "unknown variant `s3cr3t`");
    let body = problem.render("id", &["", "s3cr3t"]).into_body();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    assert!(
        text.contains("`[token]`") && !text.contains("s3cr3t"),
        "{text}"
    );
}
