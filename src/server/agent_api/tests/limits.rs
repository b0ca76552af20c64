//! Who calls too often, and what is counted.

use super::*;

fn few(limits: impl FnOnce(&mut Limits)) -> World {
    let mut few = Limits::default();
    limits(&mut few);
    World::with(few)
}

#[tokio::test]
async fn an_agent_that_calls_too_often_waits_and_others_go_on() {
    let world = few(|limits| limits.agent = Rate::new(6, 2));
    let rotated = SecretString::from("rotated".to_owned());
    world
        .directory
        .add_tokens(&key(&world.known("analyst")), [&rotated]);
    assert_eq!(world.call("analyst", ME, "").await.status, 200);
    let with_other = || request(ME).header("X-Agent-Token", "rotated");
    assert_eq!(
        world.send(with_other(), "").await.status,
        200,
        "both of its tokens count"
    );
    for told in [
        world.call("analyst", HEARTBEAT, "").await,
        world.send(with_other(), "").await,
    ] {
        assert_eq!((told.status, told.problem()), (429, "too-many-requests"));
        assert!((1..=10).contains(&told.retry_after()), "{told:?}");
    }
    assert_eq!(world.call("helper", ME, "").await.status, 200);
    let counted = world.metrics.encode().unwrap();
    for line in [
        r#"mission_operator_agent_api_requests_total{operation="getMe",code="200"} 3"#,
        r#"mission_operator_agent_api_requests_total{operation="sendHeartbeat",code="429"} 1"#,
        r#"mission_operator_agent_api_limited_total{limit="agent"} 2"#,
    ] {
        assert!(counted.contains(line), "{line} is not in {counted}");
    }
}

#[tokio::test]
async fn an_address_has_a_limit_of_its_own_loopback_included_that_good_calls_do_not_count_for() {
    let world = few(|limits| limits.address = Rate::new(6, 2));
    for call in [HEARTBEAT, ME, AGENTS] {
        assert_eq!(world.call("analyst", call, "").await.status, 200);
    }
    for call in ["GET /tasks", "DELETE /heartbeat"] {
        world.send(request(call), "").await;
    }
    let document =
        Request::get("/openapi.json").extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
    for told in [
        world.send(request("GET /healthz"), "").await,
        world.send(request("GET /tasks"), "").await,
        world.call("guess", ME, "").await,
        world.send(document, "").await,
    ] {
        assert_eq!((told.status, told.problem()), (429, "too-many-requests"));
        assert!(told.retry_after() > 0);
    }
    assert_eq!(world.call("helper", ME, "").await.status, 200);
    let elsewhere = request_from([10, 0, 0, 7], "GET /healthz");
    assert_eq!(world.send(elsewhere, "").await.status, 200);
    // Whose address is not told shares one with all like it.
    let untold = || Request::get(format!("{ROOT}/healthz"));
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(world.send(untold(), "").await.status);
    }
    assert_eq!(codes, [200, 200, 429]);
    let counted = world.metrics.encode().unwrap();
    assert!(
        counted.contains(r#"operation="none",code="404"} 1"#)
            && counted.contains(r#"operation="none",code="405"} 1"#),
        "{counted}"
    );
}

#[tokio::test]
async fn who_guesses_tokens_is_stopped_and_keeps_nobody_out_who_has_one() {
    let world = few(|limits| limits.failures = Rate::new(6, 2));
    let mut codes = Vec::new();
    for guess in ["a", "b", "c"] {
        codes.push(world.call(guess, ME, "").await.status);
    }
    codes.push(world.send(request(ME), "").await.status);
    assert_eq!(codes, [401, 401, 429, 429]);
    assert_eq!(world.call("analyst", ME, "").await.status, 200);
}

#[tokio::test]
async fn an_agent_that_loops_keeps_nobody_else_at_its_address_out() {
    let world = few(|limits| {
        limits.agent = Rate::new(6, 2);
        limits.address = Rate::new(6, 2);
    });
    // Whatever it calls counts for it.
    for call in [ME, "GET /healthz"] {
        assert_eq!(world.call("analyst", call, "").await.status, 200);
    }
    for call in [ME, "GET /healthz", "GET /tasks", ME] {
        let told = world.call("analyst", call, "").await;
        assert_eq!(told.status, 429);
        assert!(told.detail().contains("You call too often"), "{told:?}");
    }
    assert_eq!(world.call("helper", HEARTBEAT, "").await.status, 200);
    // Its calls over the limit were the address's.
    assert_eq!(world.send(request("GET /healthz"), "").await.status, 429);
}
