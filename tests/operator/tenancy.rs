//! Several namespaces on one Gateway: who may, who may not, and what those who may not are told.

use mission_operator::api::{Agent, Board, Gateway as GatewayObject};
use serde_json::{Value, json};

use crate::{
    gateways::{entry, shared},
    team::{Kind, Team, agent_id, is_ready},
    world::{run, world},
};

/// The spec of an Agent on Gateway `main` of another namespace.
fn on(namespace: &str) -> Value {
    json!({"gatewayRef": {"name": "main", "namespace": namespace}})
}

/// Opens Gateway `main` of a team.
async fn open(team: &Team, allowed: Value) {
    team.patch_spec::<GatewayObject>("main", json!({"allowedNamespaces": allowed}))
        .await;
}

#[test]
fn agents_of_every_namespace_are_on_a_gateway_that_is_open_to_all() {
    run(async {
        let gateway = shared().await;
        let owner = Team::on(gateway, "open-owner").await;
        open(&owner, json!({"from": "All"})).await;
        let guest = Team::bare("open-guest").await;
        guest.apply_spec::<Board>("desk", on("open-owner")).await;
        guest.apply_spec::<Agent>("direct", on("open-owner")).await;
        guest
            .apply_spec::<Agent>("seated", json!({"boardRef": {"name": "desk"}}))
            .await;
        owner
            .apply_spec::<Agent>("direct", json!({"gatewayRef": {"name": "main"}}))
            .await;
        for (team, name, id) in [
            (&guest, "direct", "open-guest_direct"),
            (&guest, "seated", "open-guest_seated"),
            (&owner, "direct", "open-owner_direct"),
        ] {
            let agent: Agent = team.ready(name).await;
            assert_eq!(agent_id(&agent), id);
            assert_eq!(entry(gateway, id).await["name"], name);
            let place = agent.status.unwrap().gateway.unwrap();
            assert_eq!(place.namespace, "open-owner");
        }
        guest.ready::<Board>("desk").await;
        let counted = |gateway: &GatewayObject| {
            gateway.status.as_ref().and_then(|status| status.agents) == Some(3)
        };
        owner.until("main", "three Agents", counted).await;
    });
}

#[test]
fn a_selector_lets_namespaces_in_by_their_labels_as_they_are_now() {
    run(async {
        let gateway = shared().await;
        let owner = Team::on(gateway, "labels-owner").await;
        let selector = json!({"from": "Selector", "selector": {"matchLabels": {"team": "red"}}});
        open(&owner, selector).await;
        let guest = Team::bare("labels-guest").await;
        guest
            .apply_spec::<Agent>("knocker", on("labels-owner"))
            .await;
        guest
            .told::<Agent>("knocker", "Accepted", "False", "NotAllowed")
            .await;
        let kubectl = &world().await.kubectl;
        let label = ["label", "namespace", "labels-guest", "team=red"];
        kubectl.run(&label).await.unwrap();
        guest.ready::<Agent>("knocker").await;

        // Who is not let in any more stays as it is on the gateway, and is cleaned up all the same.
        let label = ["label", "namespace", "labels-guest", "team-"];
        kubectl.run(&label).await.unwrap();
        let message = guest
            .told::<Agent>("knocker", "Accepted", "False", "NotAllowed")
            .await;
        assert!(
            message.contains("allow namespace labels-guest"),
            "{message}"
        );
        assert_eq!(
            entry(gateway, "labels-guest_knocker").await["name"],
            "knocker"
        );
        guest.delete::<Agent>("knocker").await;
        assert_eq!(entry(gateway, "labels-guest_knocker").await, Value::Null);
    });
}

#[test]
fn a_gateway_that_is_closed_and_one_that_is_not_there_read_the_same_from_outside() {
    run(async {
        let owner = Team::on(shared().await, "closed-owner").await;
        open(&owner, json!({"from": "Same"})).await;
        let guest = Team::bare("closed-guest").await;
        for (name, namespace) in [("closed", "closed-owner"), ("nowhere", "closed-nobody")] {
            guest.apply_spec::<Agent>(name, on(namespace)).await;
            guest.apply_spec::<Board>(name, on(namespace)).await;
        }
        let heard = async |kind: &str| {
            let (closed, nowhere) = match kind {
                "Agent" => (
                    guest
                        .told::<Agent>("closed", "Accepted", "False", "NotAllowed")
                        .await,
                    guest
                        .told::<Agent>("nowhere", "Accepted", "False", "NotAllowed")
                        .await,
                ),
                _ => (
                    guest
                        .told::<Board>("closed", "GatewayResolved", "False", "NotAllowed")
                        .await,
                    guest
                        .told::<Board>("nowhere", "GatewayResolved", "False", "NotAllowed")
                        .await,
                ),
            };
            assert!(closed.contains("spec.allowedNamespaces"), "{closed}");
            let mentions = |text: &str, namespace: &str| text.replace(namespace, "<namespace>");
            assert_eq!(
                mentions(&closed, "closed-owner"),
                mentions(&nowhere, "closed-nobody")
            );
        };
        heard("Agent").await;
        heard("Board").await;
        for name in ["closed", "nowhere"] {
            let agent: Agent = guest
                .until(name, "a status", |agent: &Agent| agent.status.is_some())
                .await;
            assert!(!is_ready(&agent));
            let stalled = agent.conditions().iter().find(|it| it.type_ == "Stalled");
            // An owner may open the Gateway any time.
            assert_eq!(stalled.unwrap().status, "False");
            assert!(agent.status.unwrap().places.is_empty());
        }
    });
}

#[test]
fn an_explicit_id_for_another_namespaces_gateway_needs_the_own_namespace_in_front() {
    run(async {
        let gateway = shared().await;
        let owner = Team::on(gateway, "prefix-owner").await;
        open(&owner, json!({"from": "All"})).await;
        let guest = Team::bare("prefix-guest").await;
        let mut spec = on("prefix-owner");
        spec["agentId"] = json!("prefix-owner_treasurer");
        guest.apply_spec::<Agent>("thief", spec.clone()).await;
        spec["agentId"] = json!("prefix-guest_treasurer");
        guest.apply_spec::<Agent>("honest", spec).await;
        guest.ready::<Agent>("honest").await;
        let message = guest
            .told::<Agent>("thief", "Accepted", "False", "AgentIdNotAllowed")
            .await;
        assert!(
            message.contains("must begin with \"prefix-guest_\""),
            "{message}"
        );
        guest
            .told::<Agent>("thief", "Stalled", "True", "AgentIdNotAllowed")
            .await;
        assert_eq!(entry(gateway, "prefix-owner_treasurer").await, Value::Null);
    });
}
