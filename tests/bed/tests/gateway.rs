use std::time::Duration;

use serde_json::json;

use crate::bed::{
    Bed, gateway::GatewayOptions, pid::Stopped, provider, relay::Relay, rpc::Rpc, wait::until_file,
};

#[tokio::test]
async fn a_gateway_keeps_its_agents_over_a_restart_and_the_relay_counts_what_it_was_asked() {
    let bed = Bed::from_env();
    let gateway = bed.gateway(GatewayOptions::new("bed-own")).await.unwrap();
    let relay = Relay::start(gateway.port()).unwrap();

    let mut rpc = Rpc::connect(&relay.url(), gateway.secret()).await.unwrap();
    rpc.patch_config(&json!({"agents": {"entries": {"kept": {"name": "Kept"}}}}))
        .await
        .unwrap();
    rpc.call(
        "agents.files.set",
        json!({"agentId": "kept", "name": "SOUL.md", "content": "calm"}),
    )
    .await
    .unwrap();
    assert_eq!(relay.connections(), 1);
    assert_eq!(relay.counts()["connect"], 1);
    assert_eq!(relay.count("config.patch"), 1);
    assert_eq!(relay.count("agents.delete"), 0);
    until_file(
        &gateway.workspace("kept").join("SOUL.md"),
        Duration::from_secs(5),
        |text| text == "calm",
    )
    .await
    .unwrap();
    assert_eq!(
        gateway.config().unwrap()["agents"]["entries"]["kept"]["name"],
        "Kept"
    );

    relay.cut();
    rpc.agent_ids().await.unwrap_err();
    Rpc::connect(&relay.url(), gateway.secret())
        .await
        .unwrap_err();
    relay.restore();
    gateway.kill().await.unwrap();
    gateway.start_again().await.unwrap();
    let mut rpc = Rpc::connect(&relay.url(), gateway.secret()).await.unwrap();
    assert!(rpc.agent_ids().await.unwrap().contains(&"kept".to_owned()));
    assert_eq!(
        relay.connections(),
        2,
        "a refused connection does not count"
    );

    let answer = rpc
        .call(
            "agent",
            json!({"agentId": "kept", "message": "hello of the agent kept", "idempotencyKey": "bed-1"}),
        )
        .await
        .unwrap();
    rpc.call(
        "agent.wait",
        json!({"runId": answer["runId"], "timeoutMs": 60_000}),
    )
    .await
    .unwrap();
    // The provider is everybody's: agents of other gateways have their turns meanwhile.
    let turns = provider::turns(&bed.description.provider.url)
        .await
        .unwrap();
    assert!(
        turns
            .iter()
            .any(|turn| turn.user.contains("hello of the agent kept")),
        "{turns:?}"
    );
    assert_eq!(gateway.stop().await.unwrap(), Stopped::Terminated);
}
