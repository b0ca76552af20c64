//! The calls of a lead on a real API server, with the chart's rights: what its router writes, and what the operator makes of it.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, body::Body, extract::ConnectInfo};
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{reflector::store::Writer, watcher::Event},
};
use mission_operator::{
    api::{Agent, Board, agent::Role, annotation::CHANGE_REASON, file::FileSpec},
    metrics::Metrics,
    presence::{AgentKey, Presence},
    server::agent_api::{Directory, Objects, router},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{
    bed::wait::wait_for,
    gateways::{entry, read, shared},
    team::{Team, agent_id, file},
    world::{PATIENCE, file_is, run, world},
};

/// The API beside the operator, with caches that are filled when the test says so.
struct Calls {
    router: Router,
    agents: Writer<Agent>,
    boards: Writer<Board>,
}

impl Calls {
    /// With one token, `token`, of the team's Agent of this name.
    async fn of(team: &Team, name: &str) -> Self {
        let admin = &world().await.bed.description.kubeconfig;
        let rights = Kubeconfig::read_from(admin.with_file_name("operator.kubeconfig")).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(rights, &options).await;
        let client = Client::try_from(config.unwrap()).unwrap();
        let directory = Directory::new(Presence::new().0);
        let caller: Agent = team.ready(name).await;
        let key = AgentKey {
            namespace: team.namespace.clone(),
            name: name.to_owned(),
            uid: caller.uid().unwrap(),
        };
        directory.set_tokens(&key, [&"token".to_owned().into()]);
        let mut calls = Self {
            router: router(directory.clone(), Metrics::default()),
            agents: Writer::default(),
            boards: Writer::default(),
        };
        let agents = calls.agents.as_reader();
        directory.open(Objects {
            agents: agents.clone(),
            boards: calls.boards.as_reader(),
            gateways: Writer::default().as_reader(),
            // The namespace has one Board and no Agent without it.
            agents_of_board: Arc::new(move |_, _| agents.state()),
            client,
        });
        calls.refresh(team).await;
        calls
    }

    async fn refresh(&mut self, team: &Team) {
        let all = ListParams::default();
        let agents: Api<Agent> = team.api();
        self.agents.apply_watcher_event(&Event::Init);
        for agent in agents.list(&all).await.unwrap() {
            self.agents.apply_watcher_event(&Event::InitApply(agent));
        }
        self.agents.apply_watcher_event(&Event::InitDone);
        let boards: Api<Board> = team.api();
        for board in boards.list(&all).await.unwrap() {
            self.boards.apply_watcher_event(&Event::Apply(board));
        }
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/api/v1/agent{path}"))
            .header("X-Agent-Token", "token")
            .extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))))
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

#[test]
fn what_a_lead_asks_for_comes_about_and_what_is_others_stays() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "calls").await;
        // The Board's policy for such files is not that of a text that a lead gives.
        let board = json!({"gatewayRef": {"name": "main"}, "lead": {},
            "agentDefaults": {"files": [{"name": "SOUL.md", "policy": "Seed"}]}});
        team.apply_spec::<Board>("research", board).await;
        let analyst = json!({"boardRef": {"name": "research"}});
        team.apply_spec::<Agent>("analyst", analyst).await;
        let mut calls = Calls::of(&team, "research-lead").await;
        let agents: Api<Agent> = team.api();

        // Added with a text of its own.
        let poet = json!({"name": "poet", "displayName": "Poet", "role": "Writes verse", "soul": "Verse, {{ always }}.\n"});
        let (status, told) = calls.call("POST", "/agents", poet.clone()).await;
        assert_eq!((status, &told["name"]), (201, &json!("poet")), "{told}");
        let made: Agent = team.ready("poet").await;
        assert_eq!(made.spec.role, Role::Worker);
        assert_eq!(read(&file(&made, "SOUL.md")), "Verse, {{ always }}.\n");
        let identity = read(&file(&made, "IDENTITY.md"));
        assert!(identity.contains("- Role: Writes verse\n"), "{identity}");
        // Repeated, as after an answer that was lost, it is the same one; a name is taken for what is wanted otherwise.
        let (status, told) = calls.call("POST", "/agents", poet.clone()).await;
        assert_eq!((status, &told["name"]), (201, &json!("poet")), "{told}");
        let mut other = poet;
        other["role"] = json!("Writes prose");
        let (status, told) = calls.call("POST", "/agents", other).await;
        assert_eq!((status, &told["title"]), (409, &json!("The name is taken")));

        // Another text, and the first of one that was added without.
        let (status, told) = calls
            .call("POST", "/agents", json!({"name": "plain"}))
            .await;
        assert_eq!(status, 201, "{told}");
        team.ready::<Agent>("plain").await;
        calls.refresh(&team).await;
        for name in ["poet", "plain"] {
            for content in ["First.\n", "Prose.\n"] {
                let soul = json!({"content": content, "reason": "Verse is out."});
                let (status, told) = calls
                    .call("PUT", &format!("/agents/{name}/soul"), soul)
                    .await;
                assert_eq!(status, 202, "{told}");
                let agent: Agent = agents.get(name).await.unwrap();
                file_is(&file(&agent, "SOUL.md"), |text| text == content).await;
            }
        }

        // What people declared stays theirs.
        let soul = json!({"content": "Mine.\n"});
        let (status, told) = calls
            .call("PUT", "/agents/analyst/soul", soul.clone())
            .await;
        let detail = told["detail"].as_str().unwrap();
        assert!(
            status == 409 && detail.contains("field manager kubectl"),
            "{told}"
        );
        let (status, told) = calls
            .call("DELETE", "/agents/research-lead", json!({}))
            .await;
        let detail = told["detail"].as_str().unwrap();
        assert!(
            status == 409 && detail.contains("declared by Board research"),
            "{told}"
        );
        let theirs = Patch::Merge(
            json!({"spec": {"files": [{"name": "SOUL.md", "content": "A person's.\n"}]}}),
        );
        let theirs = agents
            .patch("plain", &PatchParams::default(), &theirs)
            .await
            .unwrap();
        let (status, told) = calls.call("PUT", "/agents/plain/soul", soul).await;
        assert_eq!(
            (status, &told["title"]),
            (409, &json!("Somebody else has the say over it"))
        );
        let files: Vec<FileSpec> = agents.get("plain").await.unwrap().spec.files;
        assert_eq!(files, theirs.spec.files);

        team.ready::<Agent>("analyst").await;
        let wake = json!({"name": "analyst", "message": "The figures are in."});
        let (status, told) = calls.call("POST", "/wake", wake).await;
        assert_eq!(status, 202, "{told}");
        let woken = agents.get("analyst").await.unwrap();
        let annotations = woken.annotations();
        assert_eq!(
            annotations["mission.openclaw.dev/wake-message"],
            "The figures are in."
        );
        assert!(annotations.contains_key("mission.openclaw.dev/wake"));

        let (status, told) = calls.call("DELETE", "/agents/poet", json!({})).await;
        assert_eq!(status, 202, "{told}");
        team.gone::<Agent>("poet").await;
        assert_eq!(entry(gateway, agent_id(&made)).await, json!(null));

        // What a lead added goes with its Board; what a person applied does not.
        team.delete::<Board>("research").await;
        team.gone::<Agent>("plain").await;
        assert!(
            agents
                .get("analyst")
                .await
                .unwrap()
                .metadata
                .deletion_timestamp
                .is_none()
        );
    });
}

#[test]
fn a_text_carries_its_own_reason_and_waits_for_the_one_of_an_agent_that_had_the_name() {
    run(async {
        let team = Team::on(shared().await, "calls-soul").await;
        let board = json!({"gatewayRef": {"name": "main"}, "lead": {"displayName": "Lead"}});
        team.apply_spec::<Board>("research", board).await;
        let mut calls = Calls::of(&team, "research-lead").await;
        let souls: Api<ConfigMap> = Api::namespaced(world().await.client.clone(), &team.namespace);
        for body in [
            json!({"name": "plain"}),
            json!({"name": "poet", "soul": "Verse.\n"}),
        ] {
            let (status, told) = calls.call("POST", "/agents", body).await;
            assert_eq!(status, 201, "{told}");
        }
        calls.refresh(&team).await;
        // However the ConfigMap was made.
        for name in ["plain", "poet"] {
            let path = format!("/agents/{name}/soul");
            let reason = "Verse is out.";
            for reason in [Some(reason), Some(reason), None] {
                let soul = json!({"content": "Prose.\n", "reason": reason});
                let (status, told) = calls.call("PUT", &path, soul).await;
                assert_eq!(status, 202, "{told}");
                let stored = souls.get(&format!("{name}-soul")).await.unwrap();
                let told = stored.annotations().get(CHANGE_REASON);
                assert_eq!(told.map(String::as_str), reason);
                assert_eq!(stored.owner_references()[0].name, name);
            }
        }

        let (status, told) = calls.call("DELETE", "/agents/poet", json!({})).await;
        assert_eq!(status, 202, "{told}");
        team.gone::<Agent>("poet").await;
        calls.refresh(&team).await;
        let again = json!({"name": "poet", "soul": "Another.\n"});
        let (status, told) = calls.call("POST", "/agents", again.clone()).await;
        if status != 201 {
            let early = json!("It is too early for this");
            assert_eq!((status, &told["title"]), (503, &early));
            let is_gone = |soul: Option<&ConfigMap>| soul.is_none();
            let gone = wait_for(souls, "poet-soul", "gone", PATIENCE, is_gone).await;
            gone.unwrap();
            let (status, told) = calls.call("POST", "/agents", again).await;
            assert_eq!(status, 201, "{told}");
        }
        let made: Agent = team.ready("poet").await;
        assert_eq!(read(&file(&made, "SOUL.md")), "Another.\n");
    });
}

#[test]
fn an_agent_that_a_lead_added_goes_with_the_board_that_it_is_on_now() {
    run(async {
        let team = Team::on(shared().await, "calls-move").await;
        for (board, lead) in [
            ("research", json!({"displayName": "Lead"})),
            ("ops", Value::Null),
        ] {
            let mut spec = json!({"gatewayRef": {"name": "main"}});
            if !lead.is_null() {
                spec["lead"] = lead;
            }
            team.apply_spec::<Board>(board, spec).await;
        }
        let calls = Calls::of(&team, "research-lead").await;
        let (status, told) = calls.call("POST", "/agents", json!({"name": "poet"})).await;
        assert_eq!(status, 201, "{told}");
        team.ready::<Agent>("poet").await;
        let ops: Board = team.ready("ops").await;
        let moved = json!({"boardRef": {"name": "ops"}});
        team.patch_spec::<Agent>("poet", moved).await;
        let is_moved = |agent: &Agent| {
            let owners = agent.owner_references();
            owners.len() == 1 && Some(&owners[0].uid) == ops.meta().uid.as_ref()
        };
        team.until("poet", "owned by ops", is_moved).await;
        team.ready::<Agent>("poet").await;
        team.delete::<Board>("research").await;
        // The garbage collector was there.
        team.gone::<Agent>("research-lead").await;
        let poet: Agent = team.ready("poet").await;
        assert_eq!(poet.metadata.deletion_timestamp, None);
        team.delete::<Board>("ops").await;
        team.gone::<Agent>("poet").await;
    });
}

#[test]
fn a_message_that_waits_for_the_end_of_a_pause_is_not_replaced_by_another() {
    run(async {
        let team = Team::on(shared().await, "calls-wake").await;
        let board = json!({"gatewayRef": {"name": "main"}, "lead": {"displayName": "Lead"},
            "agentDefaults": {"model": "fake/fake-1"}});
        team.apply_spec::<Board>("research", board).await;
        let analyst = json!({"boardRef": {"name": "research"}});
        team.apply_spec::<Agent>("analyst", analyst).await;
        team.ready::<Agent>("analyst").await;
        let calls = Calls::of(&team, "research-lead").await;
        team.patch_spec::<Agent>("analyst", json!({"paused": true}))
            .await;
        team.told::<Agent>("analyst", "Paused", "True", "Agent")
            .await;
        let wake = async |message: &str| {
            let body = json!({"name": "analyst", "message": message});
            calls.call("POST", "/wake", body).await
        };
        // The second as after an answer that was lost.
        for (message, code) in [("First.", 202), ("First.", 202), ("Second.", 409)] {
            let (status, told) = wake(message).await;
            assert_eq!(status, code, "{told}");
        }
        team.patch_spec::<Agent>("analyst", json!({"paused": false}))
            .await;
        let told = async |wanted: &str| {
            let is_told = |agent: &Agent| {
                let status = agent.status.as_ref();
                let wake = status.and_then(|status| status.wake.as_ref());
                wake.is_some_and(|wake| wake.message.as_deref() == Some(wanted))
            };
            team.until("analyst", "woken with the message", is_told)
                .await;
        };
        told("First.").await;
        let (status, answer) = wake("Second.").await;
        assert_eq!(status, 202, "{answer}");
        told("Second.").await;
    });
}
