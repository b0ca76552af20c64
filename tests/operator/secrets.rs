//! Secrets stay where they are: nowhere in what the operator writes, logs or serves.

use std::collections::BTreeSet;

use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{Api, Client, ResourceExt, api::ListParams};
use mission_operator::api::{Agent, Gateway as GatewayObject};
use serde_json::json;

use crate::{
    gateways::{quiet, read, shared, tree},
    remote::{afar, text},
    team::{Team, file},
    world::{run, world},
};

/// The tokens of all agents that there are, and the next ones where they are being replaced.
async fn agent_tokens(client: &Client) -> BTreeSet<String> {
    let all: Api<Secret> = Api::all(client.clone());
    let secrets = all.list(&ListParams::default()).await.unwrap().items;
    let of_agents = secrets.into_iter().filter(|secret| {
        let owners = secret.owner_references();
        secret.name_any().ends_with("-token") && owners.iter().any(|owner| owner.kind == "Agent")
    });
    of_agents
        .flat_map(|secret| ["token", "nextToken"].map(|key| text(&secret, key)))
        .flatten()
        .collect()
}

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
        // With an address of the API, so that the agent's token goes into its file, and another one into its place.
        let mut spec = crate::team::gateway_spec(&gateway.url());
        spec["agentApiUrl"] = json!("http://operator.example:8080");
        team.apply_spec::<GatewayObject>("main", spec).await;
        team.apply_spec::<Agent>("keeper", json!({"gatewayRef": {"name": "main"}}))
            .await;
        let agent: Agent = team.ready("keeper").await;
        team.event("keeper", "Normal", "FilesSynced").await;
        let world = world().await;
        let mut tokens = agent_tokens(&world.client).await;
        let secret: Api<Secret> = Api::namespaced(world.client.clone(), &team.namespace);
        let old = text(&secret.get("keeper-token").await.unwrap(), "token").unwrap();
        assert!(tokens.contains(&old));
        team.patch_spec::<Agent>("keeper", json!({"token": {"rotate": "once"}}))
            .await;
        team.event("keeper", "Normal", "TokenRotated").await;
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

        tokens.extend(agent_tokens(&world.client).await);
        let new = text(&secret.get("keeper-token").await.unwrap(), "token").unwrap();
        assert!(new != old && tokens.contains(&new));
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
        assert!(places.len() > 10);
        for (place, text) in &places {
            for token in &tokens {
                assert!(!text.contains(token), "{place} holds an agent's token");
            }
        }
        // A file has its agent's token, and nothing else.
        let workspace = file(&agent, "AGENTS.md").parent().unwrap().to_path_buf();
        let files = tree(&workspace)
            .into_iter()
            .map(|(path, (text, _))| (path, text));
        let files: Vec<_> = files.collect();
        let found: usize = files
            .iter()
            .map(|(_, text)| text.matches(&new).count())
            .sum();
        assert_eq!(found, 1);
        assert!(files.iter().all(|(_, text)| !text.contains(&old)));
        places.extend(files);
        for (place, text) in &places {
            assert!(!text.is_empty(), "{place}");
            for secret in [gateway.secret(), password.as_str(), wrong, &issued, key] {
                assert!(!text.contains(secret), "{place} holds a credential");
            }
        }
    });
}
