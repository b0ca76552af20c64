//! The calls as agents make them, on caches filled by hand and a fake API server. Every answer is held against the document that is served.

mod document;
mod fellows;
mod lead;
mod limits;
mod read;
mod server;
mod socket;
mod soul;

use std::net::SocketAddr;

use ::kube::{
    ResourceExt,
    runtime::{
        reflector::{Store, store::Writer},
        watcher::Event,
    },
};
use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Request},
};
use http_body_util::BodyExt as _;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use secrecy::SecretString;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::{
    api::{
        Agent, Board, Gateway,
        condition::{self, ACCEPTED, Judgement},
        reason::Reason,
    },
    plan::once,
    presence::{AgentKey, Presence},
};
use server::Server;

const ME: &str = "GET /me";
const HEARTBEAT: &str = "POST /heartbeat";
const AGENTS: &str = "GET /agents";
const BOARD: &str = "GET /board";
const CREATE: &str = "POST /agents";
const WAKE: &str = "POST /wake";

/// An operator with two boards of namespace `team`: `research` (`research-lead`, `analyst`, `helper`, which a lead added) and `ops` (`ops-lead`,
/// `guard`); an agent without a board, `loner`. Each has its name and `-secret-token` as its token.
struct World {
    router: Router,
    server: Server,
    directory: Directory,
    metrics: Metrics,
    agents: Writer<Agent>,
    boards: Writer<Board>,
    gateways: Writer<Gateway>,
}

/// What was answered.
#[derive(Debug)]
struct Told {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Told {
    fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap()
    }

    /// The end of the problem's type.
    fn problem(&self) -> &str {
        let type_ = self.body["type"].as_str().unwrap();
        type_.rsplit(':').next().unwrap()
    }

    fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap())
            .collect()
    }

    fn retry_after(&self) -> u64 {
        self.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap()
    }
}

impl World {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let mut world = Self::starting(limits);
        for name in ["research", "ops"] {
            world.put_board(board(name));
        }
        for (name, role, on) in [
            ("research-lead", "Lead", "research"),
            ("analyst", "Worker", "research"),
            ("helper", "Worker", "research"),
            ("ops-lead", "Lead", "ops"),
            ("guard", "Worker", "ops"),
        ] {
            world.put(agent(name, role, Some(on)));
        }
        world.change("helper", |agent| {
            let made_by = (
                "mission.openclaw.dev/created-by".to_owned(),
                "research-lead".to_owned(),
            );
            agent.labels_mut().extend([made_by]);
        });
        world.put(agent("loner", "Worker", None));
        world.open();
        world
    }

    /// One that has read no token and filled no cache.
    fn starting(limits: Limits) -> Self {
        let directory = Directory::new(Presence::new().0);
        let metrics = Metrics::default();
        Self {
            router: router_with(directory.clone(), metrics.clone(), limits),
            server: Server::new(),
            directory,
            metrics,
            agents: Writer::default(),
            boards: Writer::default(),
            gateways: Writer::default(),
        }
    }

    fn open(&self) {
        self.directory.expect_tokens([]);
        self.directory.open(Objects {
            agents: self.agents.as_reader(),
            boards: self.boards.as_reader(),
            gateways: self.gateways.as_reader(),
            agents_of_board: of_board(self.agents.as_reader()),
            client: self.server.client(),
        });
    }

    /// An Agent as the cache, the API server and the directory know it.
    fn put(&mut self, mut agent: Agent) {
        let token = SecretString::from(token(&agent.name_any()));
        self.directory.set_tokens(&key(&agent), [&token]);
        self.server.put("agents", &agent);
        agent.managed_fields_mut().clear();
        self.agents.apply_watcher_event(&Event::Apply(agent));
    }

    fn put_board(&mut self, board: Board) {
        self.boards.apply_watcher_event(&Event::Apply(board));
    }

    fn put_gateway(&mut self, name: &str, namespace: &str) {
        let object = json!({
            "apiVersion": "mission.openclaw.dev/v1alpha1",
            "kind": "Gateway",
            "metadata": { "name": name, "namespace": namespace, "uid": format!("gateway-{namespace}-{name}") },
            "spec": { "url": "ws://gateway:1", "auth": { "tokenSecretRef": { "name": "x", "key": "token" } } },
        });
        let gateway = serde_json::from_value(object).unwrap();
        self.gateways.apply_watcher_event(&Event::Apply(gateway));
    }

    fn known(&self, name: &str) -> Agent {
        let found = self
            .agents
            .as_reader()
            .find(|agent| agent.name_any() == name);
        (*found.unwrap()).clone()
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Agent)) {
        let mut agent = self.known(name);
        change(&mut agent);
        self.put(agent);
    }

    fn change_board(&mut self, name: &str, change: impl FnOnce(&mut Board)) {
        let found = self
            .boards
            .as_reader()
            .find(|board| board.name_any() == name);
        let mut board = (*found.unwrap()).clone();
        change(&mut board);
        self.put_board(board);
    }

    /// The call of an agent, such as `POST /agents` of `analyst`.
    async fn call(&self, who: &str, call: &str, body: impl Into<Body>) -> Told {
        self.send(request(call).header("X-Agent-Token", token(who)), body)
            .await
    }

    async fn json(&self, who: &str, call: &str, body: Value) -> Told {
        self.call(who, call, body.to_string()).await
    }

    async fn send(&self, request: http::request::Builder, body: impl Into<Body>) -> Told {
        let request = request.body(body.into()).unwrap();
        let (method, path) = (
            request.method().to_string(),
            request.uri().path().to_owned(),
        );
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(!text.contains("secret-token"), "a token is told: {text}");
        let told = Told {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")),
        };
        document::check(&method, &path, &told);
        told
    }
}

/// Who is on a Board, found without an index.
fn of_board(agents: Store<Agent>) -> AgentsOfBoard {
    Arc::new(move |namespace, name| {
        agents.state_filter(|agent| {
            let board = agent.spec.board_ref.as_ref();
            agent.metadata.namespace.as_deref() == Some(namespace)
                && board.is_some_and(|board| board.name == name)
        })
    })
}

/// A request such as `GET /me`, from loopback.
fn request(call: &str) -> http::request::Builder {
    request_from([127, 0, 0, 1], call)
}

fn request_from(address: [u8; 4], call: &str) -> http::request::Builder {
    let (method, path) = call.split_once(' ').unwrap();
    Request::builder()
        .method(method)
        .uri(format!("{ROOT}{path}"))
        .extension(ConnectInfo(SocketAddr::from((address, 4000))))
}

fn token(name: &str) -> String {
    format!("{name}-secret-token")
}

fn key(agent: &Agent) -> AgentKey {
    AgentKey::of(agent)
}

fn board(name: &str) -> Board {
    let object = json!({
        "apiVersion": "mission.openclaw.dev/v1alpha1",
        "kind": "Board",
        "metadata": { "name": name, "namespace": "team", "uid": format!("board-{name}"), "labels": { "argocd.argoproj.io/instance": "all" } },
        "spec": { "gatewayRef": { "name": "main" } },
    });
    serde_json::from_value(object).unwrap()
}

fn agent(name: &str, role: &str, on: Option<&str>) -> Agent {
    let mut spec = json!({ "role": role });
    match on {
        Some(board) => spec["boardRef"] = json!({ "name": board }),
        None => spec["gatewayRef"] = json!({ "name": "main" }),
    }
    let object = json!({
        "apiVersion": "mission.openclaw.dev/v1alpha1",
        "kind": "Agent",
        "metadata": {
            "name": name, "namespace": "team", "uid": format!("uid-{name}"), "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {},
        },
        "spec": spec,
    });
    let mut agent: Agent = serde_json::from_value(object).unwrap();
    let status = agent.status.get_or_insert_default();
    status.recorded = Some(once::Values::default());
    let accepted = Judgement::holds(ACCEPTED, Reason::Accepted, "There is a place for it.");
    condition::set(&mut status.conditions, accepted, Some(1), Timestamp::now());
    agent
}

fn now() -> Time {
    Time(Timestamp::now())
}
