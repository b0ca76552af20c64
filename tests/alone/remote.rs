//! A gateway that sees the operator as a client from elsewhere, over restarts of both.

use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    bed::relay::Relay,
    manifest::{agents, team},
    world::{PATIENCE, World, alone},
};

const NAMESPACE: &str = "afar";
/// Everything that there is to log, by the libraries too.
const LOG: [&str; 2] = ["--log=trace", "--log-format=json"];

async fn device(world: &World) -> Secret {
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), NAMESPACE);
    secrets.get("main-device").await.unwrap()
}

fn text(secret: &Secret, key: &str) -> String {
    let bytes = secret.data.as_ref().unwrap()[key].0.clone();
    String::from_utf8(bytes).unwrap()
}

/// Waits until the Gateway is Ready on another process of the gateway than `boot_id`.
async fn restarted(world: &World, boot_id: &str) {
    world
        .until_gateway(NAMESPACE, "the gateway is another process", |gateway| {
            let status = gateway.status.as_ref();
            let shown = status.and_then(|status| status.boot_id.as_deref());
            shown.is_some_and(|shown| shown != boot_id)
        })
        .await;
    world.gateway_ready(NAMESPACE).await;
}

#[test]
fn a_device_outlives_restarts_and_a_gateway_that_restarts_is_an_error_in_no_log() {
    alone("afar", async |world| {
        let relay = Relay::start_for_clients_at("203.0.113.7", world.gateway.port()).unwrap();
        world.start_operator(&LOG).await;
        let log = world.operator().log();
        let token = world.gateway.secret().to_owned();
        world.apply(&team(NAMESPACE, &relay.url(), &token)).await;
        world.gateway_ready(NAMESPACE).await;
        world.apply(&agents(NAMESPACE, 0..1)).await;
        world.agents_ready(1).await;
        let first = device(world).await;

        // The next operator is let in at once, by the token of the device.
        world.stop_operator().await;
        let connects = relay.count("connect");
        world.start_operator(&LOG).await;
        let connected = relay.until(|seen| seen.count("connect") > connects);
        timeout(PATIENCE, connected).await.expect("no connection");
        world.gateway_ready(NAMESPACE).await;
        assert_eq!(relay.count("connect"), connects + 1);
        assert_eq!(device(world).await.data, first.data);

        // By request, and by a setting that takes a restart.
        let boot_id = world.boot_id().await;
        let mut rpc = world.gateway.rpc().await.unwrap();
        rpc.call("gateway.restart.request", json!({"reason": "a test"}))
            .await
            .unwrap();
        restarted(world, &boot_id).await;
        let boot_id = world.boot_id().await;
        let patch = json!({"gateway": {"tls": {"enabled": false}}});
        let mut rpc = world.gateway.rpc().await.unwrap();
        // The restart may end this connection before the answer comes.
        rpc.patch_config(&patch).await.ok();
        restarted(world, &boot_id).await;
        world.agents_ready(1).await;
        assert_eq!(device(world).await.data, first.data);

        let mut rpc = world.gateway.rpc().await.unwrap();
        let devices = rpc.call("device.pair.list", json!({})).await.unwrap();
        assert_eq!(devices["paired"].as_array().unwrap().len(), 1, "{devices}");
        assert_eq!(devices["pending"], json!([]));

        let events: Api<Event> = Api::namespaced(world.client.clone(), NAMESPACE);
        for event in events.list(&ListParams::default()).await.unwrap() {
            let told = (&event.type_, &event.reason, &event.note);
            assert_ne!(event.type_.as_deref(), Some("Warning"), "{told:?}");
        }
        world.stop_operator().await;
        let log = std::fs::read_to_string(log).unwrap();
        let pem = text(&first, "privateKey");
        let key = pem.lines().nth(1).unwrap();
        for secret in [&token, &text(&first, "deviceToken"), key] {
            assert!(!log.contains(secret), "the log holds a credential");
        }
        let mut lines = 0;
        for line in log.lines().filter(|line| line.starts_with('{')) {
            let line: Value = serde_json::from_str(line).unwrap();
            lines += 1;
            // An API server that has just started interrupts watches; that is none of the gateway's.
            if line["target"] == "mission_operator::kube::cache" {
                continue;
            }
            let level = line["level"].as_str().unwrap();
            assert!(level != "WARN" && level != "ERROR", "{line}");
        }
        assert!(lines > 1000, "this is no log of everything: {lines} lines");
        assert_eq!(first.owner_references().len(), 1);
    });
}
