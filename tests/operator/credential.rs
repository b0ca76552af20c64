//! The credential of a Gateway: missing, wrong, mended; and the end of a Gateway that Agents are on.

use mission_operator::api::{Agent, Gateway as GatewayObject};
use serde_json::{Value, json};

use crate::{
    bed::relay::Relay,
    gateways::{config, entry, quiet, shared},
    team::{Team, agent_id, gateway_manifest, gateway_spec},
    world::{PATIENCE, run},
};

#[test]
fn a_secret_that_is_missing_or_lacks_the_key_is_named_and_heals_the_gateway_when_it_is_right() {
    run(async {
        let gateway = shared().await;
        let team = Team::bare("no-secret").await;
        team.apply(&gateway_manifest(&gateway.url())).await;
        let message = team
            .told::<GatewayObject>("main", "Authenticated", "False", "SecretNotFound")
            .await;
        assert!(
            message.contains("Secret openclaw does not exist"),
            "{message}"
        );
        assert!(message.contains("\"token\""), "{message}");
        team.told::<GatewayObject>("main", "Reconciling", "True", "SecretNotFound")
            .await;
        team.event("main", "Warning", "SecretNotFound").await;

        team.secret("openclaw", "tokne", gateway.secret()).await;
        team.reconcile_now::<GatewayObject>("main").await;
        let message = team
            .told::<GatewayObject>("main", "Authenticated", "False", "SecretKeyMissing")
            .await;
        assert!(message.contains("no text under key \"token\""), "{message}");

        // With the line break that a file brings along; and nobody asks: a Gateway without a credential is looked at often.
        let with_break = format!("{}\n", gateway.secret());
        team.secret("openclaw", "token", &with_break).await;
        let object: GatewayObject = team.ready("main").await;
        let status = object.status.unwrap();
        assert_eq!(status.version.as_deref(), Some("2026.9.6"));
        let hello = gateway.rpc().await.unwrap().hello().clone();
        assert_eq!(
            status.boot_id.as_deref(),
            hello["server"]["bootId"].as_str()
        );
    });
}

#[test]
fn a_wrong_token_is_shown_once_told_plainly_and_healed_by_the_right_one() {
    run(async {
        let gateway = shared().await;
        let relay = Relay::start(gateway.port()).unwrap();
        let team = Team::bare("wrong-token").await;
        team.secret("openclaw", "token", "wrong-token-aaaaaaaaaaaaaaaa")
            .await;
        team.apply(&gateway_manifest(&relay.url())).await;
        let message = team
            .told::<GatewayObject>("main", "Authenticated", "False", "Unauthorized")
            .await;
        assert!(message.contains("Secret"), "what to do: {message}");
        assert!(!message.contains("aaaaaaaa"), "{message}");
        team.event("main", "Warning", "Unauthorized").await;
        team.apply_spec::<Agent>("waiting", json!({"gatewayRef": {"name": "main"}}))
            .await;
        let message = team
            .told::<Agent>("waiting", "Registered", "Unknown", "GatewayUnreachable")
            .await;
        assert!(message.contains("its own conditions say why"), "{message}");

        // Neither time nor anybody's asking brings the same credential to the gateway again.
        for _ in 0..5 {
            team.reconcile_now::<GatewayObject>("main").await;
            team.patch_spec::<GatewayObject>("main", json!({"heartbeat": {"every": "40m"}}))
                .await;
            team.patch_spec::<GatewayObject>("main", json!({"heartbeat": null}))
                .await;
            team.told::<GatewayObject>("main", "Authenticated", "False", "Unauthorized")
                .await;
        }
        assert_eq!(relay.connections(), 1);

        team.secret("openclaw", "token", gateway.secret()).await;
        team.reconcile_now::<GatewayObject>("main").await;
        team.ready::<GatewayObject>("main").await;
        team.ready::<Agent>("waiting").await;
        assert_eq!(relay.connections(), 2);
    });
}

#[test]
fn a_password_opens_a_gateway_that_asks_for_one() {
    run(async {
        let gateway = quiet().await;
        let team = Team::bare("password").await;
        team.secret("door", "word", gateway.secret()).await;
        let spec = json!({
            "url": gateway.url(),
            "auth": {"passwordSecretRef": {"name": "door", "key": "word"}},
        });
        team.apply_spec::<GatewayObject>("main", spec).await;
        team.ready::<GatewayObject>("main").await;
        team.apply_spec::<Agent>("guest", json!({"gatewayRef": {"name": "main"}}))
            .await;
        let agent: Agent = team.ready("guest").await;
        assert_eq!(entry(&gateway, agent_id(&agent)).await["name"], "guest");
        team.disband().await;
    });
}

#[test]
fn an_address_where_nothing_listens_is_told_and_a_new_address_is_the_same_gateway() {
    run(async {
        let gateway = shared().await;
        let team = Team::bare("moved").await;
        team.secret("openclaw", "token", gateway.secret()).await;
        let relay = Relay::start(gateway.port()).unwrap();
        relay.cut();
        team.apply(&gateway_manifest(&relay.url())).await;
        let message = team
            .told::<GatewayObject>("main", "Reachable", "False", "GatewayUnreachable")
            .await;
        assert!(message.contains(&relay.url()["ws://".len()..]), "{message}");
        team.patch_spec::<GatewayObject>("main", gateway_spec(&gateway.url()))
            .await;
        team.ready::<GatewayObject>("main").await;
        team.apply_spec::<Agent>("settler", json!({"gatewayRef": {"name": "main"}}))
            .await;
        let before: Agent = team.ready("settler").await;
        relay.restore();
        team.patch_spec::<GatewayObject>("main", gateway_spec(&relay.url()))
            .await;
        team.ready::<GatewayObject>("main").await;
        team.patch_spec::<Agent>("settler", json!({"displayName": "Settled"}))
            .await;
        let after: Agent = team.ready("settler").await;
        assert_eq!(agent_id(&before), agent_id(&after));
        assert_eq!(entry(gateway, agent_id(&after)).await["name"], "Settled");
    });
}

#[test]
fn a_gateway_stays_until_its_last_agent_is_gone_and_names_those_it_waits_for() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "leaving").await;
        for name in ["first", "second"] {
            team.apply_spec::<Agent>(name, json!({"gatewayRef": {"name": "main"}}))
                .await;
        }
        // One that was never accepted does not count.
        let spec = json!({"gatewayRef": {"name": "main"}, "agentId": "main"});
        team.apply_spec::<Agent>("refused", spec).await;
        team.told::<Agent>("refused", "Accepted", "False", "AgentExists")
            .await;
        for name in ["first", "second"] {
            team.ready::<Agent>(name).await;
        }
        let outcome = team
            .kubectl(&["delete", "ocgw", "main", "--wait=false"], "")
            .await;
        assert!(outcome.success, "{}", outcome.errors);
        let message = team
            .told::<GatewayObject>("main", "Ready", "False", "AgentsRemain")
            .await;
        assert!(
            message.contains("leaving/first, leaving/second."),
            "{message}"
        );
        assert!(!message.contains("refused"), "{message}");

        let late = json!({"gatewayRef": {"name": "main"}});
        team.apply_spec::<Agent>("late", late).await;
        let message = team
            .told::<Agent>("late", "Accepted", "False", "GatewayNotReady")
            .await;
        assert!(message.contains("is being deleted"), "{message}");

        team.delete::<Agent>("first").await;
        team.until("main", "waits for one", |object: &GatewayObject| {
            let ready = crate::team::condition(object, "Ready").unwrap();
            ready.message.contains("gateway: leaving/second.")
        })
        .await;
        team.delete::<Agent>("second").await;
        let limit = format!("--timeout={}s", PATIENCE.as_secs());
        let gone = ["wait", "--for=delete", "ocgw/main", &limit];
        let outcome = team.kubectl(&gone, "").await;
        assert!(outcome.success, "{}", outcome.errors);
        let roster = config(gateway).await["agents"]["entries"].clone();
        assert_eq!(roster["leaving_first"], Value::Null);
        assert_eq!(roster["leaving_second"], Value::Null);
        team.told::<Agent>("refused", "Accepted", "False", "GatewayNotFound")
            .await;
        team.told::<Agent>("late", "Accepted", "False", "GatewayNotFound")
            .await;
    });
}
