//! Secrets stay where they are: nowhere in what the operator writes, logs or serves.

use k8s_openapi::api::events::v1::Event;
use kube::{Api, ResourceExt, api::ListParams};
use mission_operator::api::{Agent, Gateway as GatewayObject};
use serde_json::json;

use crate::{
    gateways::{quiet, read, shared, tree},
    remote::{afar, text},
    team::{Team, file},
    world::{run, world},
};

#[test]
fn no_credential_is_in_the_log_an_event_a_status_a_file_or_a_metric() {
    run(async {
        let gateway = shared().await;
        let password = quiet().await.secret().to_owned();
        let wrong = "wrong-secret-bbbbbbbbbbbbbbbb";
        // The ways on which a credential goes through the operator: accepted, refused, changed, in a URL of nowhere.
        let team = Team::bare("secrets").await;
        team.secret("openclaw", "token", wrong).await;
        team.apply(&crate::team::gateway_manifest(&gateway.url()))
            .await;
        team.told::<GatewayObject>("main", "Authenticated", "False", "Unauthorized")
            .await;
        team.secret("openclaw", "token", gateway.secret()).await;
        team.reconcile_now::<GatewayObject>("main").await;
        team.apply_spec::<Agent>("keeper", json!({"gatewayRef": {"name": "main"}}))
            .await;
        let agent: Agent = team.ready("keeper").await;
        team.event("keeper", "Normal", "FilesSynced").await;
        // A device: made, approved by ourselves, and what the gateway issued to it.
        let elsewhere = Team::bare("secrets-afar").await;
        let relay = afar(gateway);
        elsewhere
            .secret("openclaw", "token", gateway.secret())
            .await;
        elsewhere
            .apply(&crate::team::gateway_manifest(&relay.url()))
            .await;
        elsewhere.ready::<GatewayObject>("main").await;
        let device = elsewhere
            .device("key and token", |secret| {
                text(secret, "deviceToken").is_some()
            })
            .await;
        let issued = text(&device, "deviceToken").unwrap();
        let pem = text(&device, "privateKey").unwrap();
        let key = pem.lines().nth(1).unwrap();

        let world = world().await;
        let mut places = vec![
            ("the log".to_owned(), read(&world.operator.log())),
            (
                "the metrics".to_owned(),
                world.operator.metrics().await.unwrap(),
            ),
        ];
        let events: Api<Event> = Api::all(world.client.clone());
        for event in events.list(&ListParams::default()).await.unwrap() {
            let text = serde_json::to_string(&event).unwrap();
            places.push((format!("event {}", event.name_any()), text));
        }
        let objects = world.kubectl.get(&["openclaw", "-A"]).await.unwrap();
        for object in objects["items"].as_array().unwrap() {
            places.push((format!("object {}", object["metadata"]), object.to_string()));
        }
        let workspace = file(&agent, "AGENTS.md").parent().unwrap().to_path_buf();
        for (path, (text, _)) in tree(&workspace) {
            places.push((path, text));
        }
        assert!(places.len() > 10);
        for (place, text) in &places {
            assert!(!text.is_empty(), "{place}");
            for secret in [gateway.secret(), password.as_str(), wrong, &issued, key] {
                assert!(!text.contains(secret), "{place} holds a credential");
            }
        }
    });
}
