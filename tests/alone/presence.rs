//! Signs of life: what a fleet that beats costs the API server, what is heard while others are away, and an agent that falls silent.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::SignedDuration;
use mission_operator::api::{Agent, condition};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    bed::{
        api_proxy::{Fault, Share},
        provider,
        rpc::Rpc,
        wait::until_true,
    },
    life::callers::token_in,
    manifest::{EVERY, GATEWAY, together},
    world::{PATIENCE, World, alone, is_ready, say},
};

/// An Agent that may beat at any hour.
fn agent(namespace: &str, name: &str, owner: &str, rest: &str) -> String {
    format!(
        "apiVersion: mission.openclaw.dev/v1alpha1
kind: Agent
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  {owner}
  wake: {{policy: Never}}
{rest}"
    )
}

fn heartbeat(every: &str, checklist: &str) -> String {
    format!(
        "  heartbeat: {{every: {every}, checklist: {checklist:?}, activeHours: {{start: \"00:00\", end: \"24:00\"}}}}\n"
    )
}

const ON_GATEWAY: &str = "gatewayRef: {name: main}";

/// Applies a team whose agents are told of the API.
async fn team(world: &World, namespace: &str) {
    world.apply_team(namespace).await;
    let url = json!({"spec": {"agentApiUrl": world.agent_api_url()}}).to_string();
    let kubectl = world.kubectl();
    let patch = ["patch", "ocgw", GATEWAY, "-n", namespace, "--type=merge"];
    let patch = [&patch[..], &["-p", &url]].concat();
    kubectl.run(&patch).await.unwrap();
}

fn online(agent: &Agent) -> Option<&str> {
    let conditions = agent.status.iter().flat_map(|status| &status.conditions);
    let mut online = conditions.filter(|it| it.type_ == condition::ONLINE);
    online.next().map(|it| it.status.as_str())
}

/// How long an agent that is offline had been silent when it was said.
fn silence_before_offline(agent: &Agent) -> Option<SignedDuration> {
    let status = agent.status.as_ref()?;
    let said = condition::find(&status.conditions, condition::ONLINE)?;
    let seen = status.last_seen_time.as_ref()?;
    let silent = said.last_transition_time.0.duration_since(seen.0);
    (said.status == "False").then_some(silent)
}

/// What an agent does with the token in its own file.
struct Caller {
    client: reqwest::Client,
    api: String,
    token: String,
}

impl Caller {
    fn of(world: &World, namespace: &str, name: &str) -> Self {
        let file = world.gateway.workspace(&format!("{namespace}_{name}"));
        Self {
            client: crate::bed::http::client().unwrap(),
            api: format!("{}/api/v1/agent", world.agent_api_url()),
            token: token_in(&file.join("AGENTS.md")).unwrap(),
        }
    }

    async fn post(&self, path: &str, body: Value) -> reqwest::Response {
        let request = self.client.post(format!("{}{path}", self.api));
        let request = request.header("X-Agent-Token", &self.token);
        let request = request.header("Content-Type", "application/json");
        request.body(body.to_string()).send().await.unwrap()
    }

    async fn beats(&self) {
        let response = self.post("/heartbeat", json!({})).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
}

/// Has an agent's heartbeat fire on the gateway, and waits until its turn has ended well. One after the other: of several at once the
/// gateway skips some.
async fn fire(world: &World, id: &str) {
    let mut rpc = world.gateway.rpc().await.unwrap();
    let began = now_ms();
    let forced = json!({"id": job(&mut rpc, id).await["id"], "mode": "force"});
    rpc.call("cron.run", forced).await.unwrap();
    let rpc = Mutex::new(rpc);
    let ended = until_true(PATIENCE, "the heartbeat has ended", async || {
        let state = job(&mut *rpc.lock().await, id).await["state"].clone();
        state["lastRunAtMs"].as_i64() >= Some(began) && state["lastRunStatus"] == "ok"
    });
    if let Err(error) = ended.await {
        panic!("{error:#}: {}", job(&mut *rpc.lock().await, id).await);
    }
}

/// The job of an agent's heartbeat.
async fn job(rpc: &mut Rpc, id: &str) -> Value {
    let listed = rpc.call("cron.list", json!({"includeDisabled": true}));
    let listed = listed.await.unwrap();
    let mut jobs = listed["jobs"].as_array().unwrap().iter();
    let key = format!("heartbeat:{id}");
    let job = jobs.find(|job| job["declarationKey"] == key.as_str());
    job.unwrap_or_else(|| panic!("{id} has no heartbeat: {listed:#}"))
        .clone()
}

fn now_ms() -> i64 {
    k8s_openapi::jiff::Timestamp::now().as_millisecond()
}

#[test]
fn a_fleet_that_beats_costs_the_api_server_nothing_but_its_first_beats() {
    const AGENTS: usize = 100;
    const ROUNDS: usize = 2;
    /// Those whose heartbeats fire on the gateway besides, where each is a turn.
    const FIRED: usize = 3;
    alone("beats", async |world| {
        world.start_operator(&["--resync-interval=5s"]).await;
        team(world, "beats").await;
        let names: Vec<_> = (0..AGENTS).map(|n| format!("a{n}")).collect();
        // No beat comes by itself.
        let beating = heartbeat(EVERY, "Count the sheep.");
        let manifests: Vec<_> = names
            .iter()
            .map(|name| agent("beats", name, ON_GATEWAY, &beating))
            .collect();
        world.apply(&manifests.join("---\n")).await;
        world.agents_ready(AGENTS).await;
        world.compared(AGENTS, 1).await;
        let callers: Vec<_> = names
            .iter()
            .map(|name| Caller::of(world, "beats", name))
            .collect();
        let fired = names.iter().take(FIRED);
        let ids: Vec<_> = fired.map(|name| format!("beats_{name}")).collect();

        let quiet = world.requests().len();
        for caller in &callers {
            caller.beats().await;
        }
        world
            .until_agents("all are online", |agents| {
                agents.iter().all(|agent| online(agent) == Some("True"))
            })
            .await;
        world.told("WentOnline", AGENTS).await;
        world.told_of("beats", AGENTS).await;
        world.compared(AGENTS, 1).await;
        let first: Vec<_> = world
            .writes_since(quiet)
            .into_iter()
            .filter(|write| write.resource == "agents/status")
            .collect();
        assert_eq!(first.len(), AGENTS, "one of each: {first:#?}");

        let (requests, calls) = (world.requests().len(), world.relay.counts());
        for _ in 0..ROUNDS {
            for caller in &callers {
                caller.beats().await;
            }
            for id in &ids {
                fire(world, id).await;
            }
        }
        world.compared(AGENTS, 2).await;
        assert_eq!(world.writes_since(requests), []);
        assert_eq!(world.gateway_writes_since(&calls), [].into());
    });
}

#[test]
fn heartbeats_are_taken_while_the_api_server_and_the_gateway_are_away_and_told_later() {
    alone("unheard", async |world| {
        let proxy = world.proxy_api_server();
        world.start_operator(&[]).await;
        team(world, "unheard").await;
        let beating = heartbeat("10m", "Count the sheep.");
        let board = format!(
            "apiVersion: mission.openclaw.dev/v1alpha1
kind: Board
metadata: {{name: desk, namespace: unheard}}
spec: {{gatewayRef: {{name: {GATEWAY}}}}}
"
        );
        let on_board = "boardRef: {name: desk}";
        let lead = format!("{beating}  role: Lead\n");
        world
            .apply(&together(&[
                &board,
                &agent("unheard", "lead", on_board, &lead),
                &agent("unheard", "late", on_board, &beating),
            ]))
            .await;
        world.agents_ready(2).await;
        let (lead, late) = (
            Caller::of(world, "unheard", "lead"),
            Caller::of(world, "unheard", "late"),
        );

        world.relay.cut();
        lead.beats().await;
        let is_online = |name: &'static str| {
            move |agents: &[&Agent]| {
                let mut of_name = agents
                    .iter()
                    .filter(|agent| agent.metadata.name.as_deref() == Some(name));
                of_name.any(|agent| online(agent) == Some("True"))
            }
        };
        world
            .until_agents("the lead is online", is_online("lead"))
            .await;
        world.relay.restore();
        world.gateway_ready("unheard").await;

        proxy.inject(|_| true, Share::Every(1), Fault::Drop);
        proxy.drop_connections();
        late.beats().await;
        lead.beats().await;
        let response = lead.post("/agents", json!({"name": "new"})).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let wait = response.headers()["retry-after"].to_str().unwrap();
        assert!(wait.parse::<u32>().unwrap() > 0, "{wait}");
        proxy.heal();
        world
            .until_agents("the late one is online", is_online("late"))
            .await;
        let made = lead.post("/agents", json!({"name": "new"})).await;
        assert_eq!(made.status(), StatusCode::CREATED);
        world.agents_ready(3).await;
    });
}

#[test]
#[ignore = "takes minutes; make trials"]
fn an_agent_whose_turns_fail_is_offline_after_five_minutes_and_online_again_with_one_that_does_not()
{
    alone("silence", async |world| {
        world.start_operator(&[]).await;
        team(world, "silence").await;
        let words = |name: &str| format!("Checklist of {name}.");
        let beating = |name: &str, more: &str| {
            let beat = heartbeat("1m", &format!("{more}{}", words(name)));
            agent("silence", name, ON_GATEWAY, &beat)
        };
        let [steady, flaky, goner] = ["steady", "flaky", "goner"];
        let all = [steady, flaky, goner].map(|name| beating(name, ""));
        world.apply(&all.join("---\n")).await;
        world
            .until_agents("all are online", |agents| {
                agents.len() == 3
                    && agents
                        .iter()
                        .all(|agent| is_ready(agent) && online(agent) == Some("True"))
            })
            .await;
        let kubectl = world.kubectl();
        kubectl
            .run(&["delete", "oca", goner, "-n", "silence"])
            .await
            .unwrap();
        let url = world.provider_url();
        let asked = async |name: &str| {
            let turns = provider::turns(&url).await.unwrap();
            let of_name = turns.iter().filter(|turn| turn.user.contains(&words(name)));
            of_name.count()
        };
        let (gone, beats) = (asked(goner).await, asked(steady).await);
        assert!(gone > 0, "it has beaten before");
        let began = Instant::now();
        world.apply(&beating(flaky, "FAIL:400 ")).await;
        let of_flaky = |agents: &[&Agent], wanted: &str| {
            let name = |agent: &&&Agent| agent.metadata.name.as_deref() == Some(flaky);
            agents
                .iter()
                .filter(name)
                .any(|agent| online(agent) == Some(wanted))
        };
        let api = kube::Api::<Agent>::all(world.client.clone());
        let minutes = Duration::from_mins(8);
        let offline = crate::bed::wait::wait_for_all(api, "it is offline", minutes, |agents| {
            of_flaky(agents, "False")
        });
        let all = offline.await.unwrap();
        say(&format!(
            "offline {:.0} s after its turns began to fail",
            began.elapsed().as_secs_f64()
        ));
        // Counted from the last sign of life, and not from when its turns began to fail: the gateway may have skipped beats before.
        let silent = all.iter().find_map(silence_before_offline);
        assert!(silent >= Some(SignedDuration::from_mins(5)), "{silent:?}");
        assert!(asked(steady).await >= beats + 3, "the other beats on");
        assert_eq!(asked(goner).await, gone, "a deleted agent beats no more");
        world
            .until_agents("the steady one is online", |agents| {
                agents.iter().any(|agent| online(agent) == Some("True"))
            })
            .await;
        world.apply(&beating(flaky, "")).await;
        world
            .until_agents("it is online again", |agents| of_flaky(agents, "True"))
            .await;
    });
}
