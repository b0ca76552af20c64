//! Tokens: where they stand, how they are replaced, and what becomes of those that are lost.

use k8s_openapi::{
    api::{core::v1::Secret, events::v1::Event},
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use mission_operator::{
    api::{Agent, Gateway as GatewayObject, annotation::ROTATE_TOKEN},
    plan::wake::whole_seconds,
};
use serde_json::json;

use crate::{
    bed::{http, relay::Relay, wait::wait_for},
    gateways::{quiet, read, shared, tree},
    moves::{gateway_beside, ready_at},
    remote::text,
    team::{Team, condition, file, gateway_spec},
    world::{PATIENCE, file_is, run, world},
};

/// Where agents are told to call; nobody listens there.
const API: &str = "http://operator.example:8080";

/// A team whose agents are told of the API.
async fn team(namespace: &str) -> Team {
    let gateway = shared().await;
    let team = Team::on(gateway, namespace).await;
    let mut spec = gateway_spec(&gateway.url());
    spec["agentApiUrl"] = json!(API);
    team.apply_spec::<GatewayObject>("main", spec).await;
    team
}

async fn secrets(team: &Team) -> Api<Secret> {
    Api::namespaced(world().await.client.clone(), &team.namespace)
}

/// The agent's Secret once it is as wanted.
async fn secret(team: &Team, name: &str, what: &str, wanted: impl Fn(&Secret) -> bool) -> Secret {
    let is_wanted = |secret: Option<&Secret>| secret.is_some_and(&wanted);
    let found = wait_for(secrets(team).await, name, what, PATIENCE, is_wanted).await;
    found.unwrap().expect("it is there")
}

fn token(secret: &Secret) -> String {
    text(secret, "token").unwrap()
}

#[test]
fn a_token_stands_in_one_secret_and_in_one_place_of_one_file() {
    run(async {
        let team = team("token-place").await;
        team.apply_spec::<Agent>("bearer", json!({"gatewayRef": {"name": "main"}}))
            .await;
        let agent: Agent = team.ready("bearer").await;
        let status = agent.status.as_ref().unwrap();
        assert_eq!(status.token_secret_name.as_deref(), Some("bearer-token"));
        let secret = secret(&team, "bearer-token", "there", |_| true).await;
        assert_eq!(secret.owner_references()[0].uid, agent.uid().unwrap());
        let token = token(&secret);
        let workspace = file(&agent, "AGENTS.md").parent().unwrap().to_path_buf();
        let holding: Vec<_> = tree(&workspace)
            .into_iter()
            .filter(|(_, (text, _))| text.contains(&token))
            .collect();
        assert_eq!(holding.len(), 1, "{holding:?}");
        let agents = read(&file(&agent, "AGENTS.md"));
        assert_eq!(agents.matches(&token).count(), 1);
        assert!(agents.contains(&format!("MISSION_API='{API}/api/v1/agent'")));

        // A verbatim text stays verbatim, and one that is the agent's own is not reached by a rotation.
        let files = json!([{"name": "AGENTS.md", "content": "All by hand."}]);
        team.patch_spec::<Agent>("bearer", json!({"files": files}))
            .await;
        file_is(&file(&agent, "AGENTS.md"), |text| {
            text.starts_with("All by hand.\n<!-- mission-operator:")
        })
        .await;
    });
}

#[test]
fn a_token_is_replaced_once_for_each_new_value_and_both_hold_until_the_file_is_confirmed() {
    run(async {
        let team = team("token-rotate").await;
        let spec = json!({"gatewayRef": {"name": "main"}, "token": {"rotate": "first"}});
        team.apply_spec::<Agent>("bearer", spec).await;
        let agent: Agent = team.ready("bearer").await;
        let path = file(&agent, "AGENTS.md");
        let first = token(&secret(&team, "bearer-token", "there", |_| true).await);

        // By the spec, and by annotation.
        let rotate = json!({"token": {"rotate": "second"}});
        team.patch_spec::<Agent>("bearer", rotate).await;
        let is_other = |than: String| {
            move |secret: &Secret| text(secret, "nextToken").is_none() && token(secret) != than
        };
        let second = secret(&team, "bearer-token", "rotated", is_other(first.clone())).await;
        let second = token(&second);
        file_is(&path, |text| {
            text.contains(&second) && !text.contains(&first)
        })
        .await;
        team.event("bearer", "Normal", "TokenRotated").await;
        let annotated = json!({"metadata": {"annotations": {ROTATE_TOKEN: "x"}}});
        let api = team.api::<Agent>();
        api.patch("bearer", &PatchParams::default(), &Patch::Merge(annotated))
            .await
            .unwrap();
        let third = secret(&team, "bearer-token", "rotated", is_other(second.clone())).await;
        let third = token(&third);
        file_is(&path, |text| text.contains(&third)).await;

        // The same values again do nothing.
        team.reconcile_now::<Agent>("bearer").await;
        let agent: Agent = team.ready("bearer").await;
        let recorded = agent.status.unwrap().recorded.unwrap();
        assert_eq!(recorded["token.rotate"], "second");
        assert_eq!(recorded["rotate-token"], "x");
        let now = secret(&team, "bearer-token", "there", |_| true).await;
        assert_eq!(token(&now), third);

        // An AGENTS.md that is left alone keeps the token that it has, and that one is taken; what is asked for meanwhile waits.
        let left_alone = json!([{"name": "AGENTS.md", "policy": "Seed"}]);
        let spec = json!({"files": left_alone, "token": {"rotate": "third"}});
        team.patch_spec::<Agent>("bearer", spec).await;
        let is_held = |agent: &Agent| {
            let said = condition(agent, "TokenReady");
            said.is_some_and(|it| it.reason == "Rotating" && it.message.contains("policy Enforce"))
        };
        team.until("bearer", "both are taken", is_held).await;
        let rotate = json!({"token": {"rotate": "fourth"}});
        team.patch_spec::<Agent>("bearer", rotate).await;
        team.until("bearer", "both are taken", is_held).await;
        let both = secret(&team, "bearer-token", "there", |_| true).await;
        let next = text(&both, "nextToken").unwrap();
        assert_eq!(token(&both), third);
        assert!(read(&path).contains(&third));
        assert_eq!([answers(&third).await, answers(&next).await], [200, 200]);
        team.patch_spec::<Agent>("bearer", json!({"files": null}))
            .await;
        let is_last = |secret: &Secret| {
            text(secret, "nextToken").is_none() && ![&third, &next].contains(&&token(secret))
        };
        let last = secret(&team, "bearer-token", "rotated twice", is_last).await;
        let last = token(&last);
        file_is(&path, |text| text.contains(&last)).await;
        team.told::<Agent>("bearer", "TokenReady", "True", "Issued")
            .await;
        for (token, answer) in [(&third, 401), (&next, 401), (&last, 200)] {
            assert_eq!(answers(token).await, answer);
        }
    });
}

#[test]
fn a_token_that_is_old_enough_is_replaced_by_itself() {
    run(async {
        let team = team("token-age").await;
        let spec = json!({"gatewayRef": {"name": "main"}, "token": {"rotateEvery": "1h"}, "wake": {"policy": "Never"}});
        team.apply_spec::<Agent>("bearer", spec).await;
        let agent: Agent = team.ready("bearer").await;
        let young = secret(&team, "bearer-token", "there", |_| true).await;
        let first = token(&young);
        team.reconcile_now::<Agent>("bearer").await;
        team.ready::<Agent>("bearer").await;
        let same = secret(&team, "bearer-token", "there", |_| true).await;
        assert_eq!(token(&same), first);
        // An hour passes, but for a few seconds, which the operator waits for by itself.
        let name = "mission.openclaw.dev/minted-at";
        assert!(young.annotations().contains_key(name));
        let hour = SignedDuration::from_hours(1);
        // As it is kept: in whole seconds.
        let nearly_hour_ago = whole_seconds(Timestamp::now() - hour + SignedDuration::from_secs(8));
        let older = json!({"metadata": {"annotations": {name: nearly_hour_ago.to_string()}}});
        let api = secrets(&team).await;
        api.patch(
            "bearer-token",
            &PatchParams::default(),
            &Patch::Merge(older),
        )
        .await
        .unwrap();
        team.reconcile_now::<Agent>("bearer").await;
        let rotated = secret(&team, "bearer-token", "rotated", |secret| {
            text(secret, "nextToken").is_none() && token(secret) != first
        })
        .await;
        let second = token(&rotated);
        file_is(&file(&agent, "AGENTS.md"), |text| {
            text.contains(&second) && !text.contains(&first)
        })
        .await;
        let minted: Timestamp = rotated.annotations()[name].parse().unwrap();
        assert!(minted >= nearly_hour_ago + hour, "{minted}");
        team.event("bearer", "Normal", "TokenRotated").await;
    });
}

#[test]
fn an_agent_that_is_applied_again_at_once_gets_a_token_of_its_own() {
    run(async {
        let team = team("token-again").await;
        let spec = json!({"gatewayRef": {"name": "main"}, "wake": {"policy": "Never"}});
        team.apply_spec::<Agent>("bearer", spec.clone()).await;
        team.ready::<Agent>("bearer").await;
        let first = token(&secret(&team, "bearer-token", "there", |_| true).await);
        // What the first one owned is still there when the second one comes.
        team.delete::<Agent>("bearer").await;
        team.apply_spec::<Agent>("bearer", spec).await;
        let agent: Agent = team.ready("bearer").await;
        let second = secret(&team, "bearer-token", "there", |_| true).await;
        assert_eq!(second.owner_references()[0].uid, agent.uid().unwrap());
        assert_ne!(token(&second), first);
        file_is(&file(&agent, "AGENTS.md"), |text| {
            text.contains(&token(&second))
        })
        .await;
        let events: Api<Event> = Api::namespaced(world().await.client.clone(), &team.namespace);
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let told: Vec<_> = events
            .iter()
            .filter(|event| event.type_.as_deref() == Some("Warning"))
            .collect();
        assert!(told.is_empty(), "{told:#?}");
    });
}

#[test]
fn a_lost_secret_is_minted_anew_and_one_of_somebody_else_is_left_alone() {
    run(async {
        let team = team("token-lost").await;
        team.secret("taker-token", "mine", "not-a-token").await;
        for name in ["bearer", "taker"] {
            team.apply_spec::<Agent>(name, json!({"gatewayRef": {"name": "main"}}))
                .await;
        }
        let said = team
            .told::<Agent>("taker", "TokenReady", "False", "SecretExists")
            .await;
        assert!(said.contains("Secret taker-token exists"), "{said}");
        let taken = secret(&team, "taker-token", "there", |_| true).await;
        assert_eq!(text(&taken, "mine").unwrap(), "not-a-token");
        assert!(text(&taken, "token").is_none());

        let agent: Agent = team.ready("bearer").await;
        let first = token(&secret(&team, "bearer-token", "there", |_| true).await);
        let api = secrets(&team).await;
        for name in ["bearer-token", "taker-token"] {
            api.delete(name, &DeleteParams::default()).await.unwrap();
        }
        team.reconcile_now::<Agent>("bearer").await;
        let second = secret(&team, "bearer-token", "minted anew", |secret| {
            token(secret) != first
        })
        .await;
        let second = token(&second);
        file_is(&file(&agent, "AGENTS.md"), |text| text.contains(&second)).await;
        team.event("bearer", "Normal", "TokenMinted").await;
        team.reconcile_now::<Agent>("taker").await;
        team.ready::<Agent>("taker").await;
    });
}

/// What the API answers to a token.
pub(crate) async fn answers(token: &str) -> u16 {
    let url = world().await.operator.agent_api_url();
    let asked = http::client()
        .unwrap()
        .get(format!("{url}/api/v1/agent/me"))
        .header("X-Agent-Token", token);
    asked.send().await.unwrap().status().as_u16()
}

#[test]
fn a_token_that_is_replaced_during_a_move_is_taken_until_the_agent_has_left_the_old_gateway() {
    run(async {
        let (new, old) = (shared().await, quiet().await);
        let team = Team::on(new, "token-moved").await;
        let relay = Relay::start(old.port()).unwrap();
        gateway_beside(&team, "second", &old, &relay.url()).await;
        let spec = |gateway: &str, rotate: &str| json!({"gatewayRef": {"name": gateway}, "token": {"rotate": rotate}});
        team.apply_spec::<Agent>("mover", spec("second", "first"))
            .await;
        team.ready::<Agent>("mover").await;
        let before = token(&secret(&team, "mover-token", "there", |_| true).await);

        relay.cut();
        team.apply_spec::<Agent>("mover", spec("main", "second"))
            .await;
        ready_at(&team, "mover", &[("main", false), ("second", true)]).await;
        let said = team
            .told::<Agent>("mover", "TokenReady", "True", "Rotating")
            .await;
        assert!(said.contains("until the agent has left"), "{said}");
        let both = secret(&team, "mover-token", "there", |_| true).await;
        let next = text(&both, "nextToken").unwrap();
        assert_eq!(token(&both), before, "the old gateway's file carries it");
        assert_eq!([answers(&before).await, answers(&next).await], [200, 200]);

        relay.restore();
        ready_at(&team, "mover", &[("main", false)]).await;
        let settled = |secret: &Secret| text(secret, "nextToken").is_none();
        let settled = secret(&team, "mover-token", "settled", settled).await;
        assert_eq!(token(&settled), next);
        team.told::<Agent>("mover", "TokenReady", "True", "Issued")
            .await;
        assert_eq!([answers(&before).await, answers(&next).await], [401, 200]);
        team.delete::<Agent>("mover").await;
        team.disband().await;
    });
}
