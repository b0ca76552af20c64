//! The agents that call, and the server that they call.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, mpsc},
};

use anyhow::{Context as _, Result};
use kube::{
    Client,
    client::Body,
    runtime::{reflector::store::Writer, watcher::Event},
};
use mission_operator::{
    api::{Agent, Board},
    metrics::Metrics,
    presence::{AgentKey, Presence},
    server::agent_api::{Directory, Limits, Objects, Rate, router_with},
};
use secrecy::SecretString;
use serde_json::json;
use tokio::net::TcpListener;
use tower::service_fn;

/// Agents of each Board.
const BOARD: usize = 25;

/// The agents, known and not served yet.
pub(crate) struct Stage {
    directory: Directory,
    agents: usize,
}

/// The server while it runs, which is until the process ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// What /proc tells of its thread.
    pub(crate) schedstat: PathBuf,
}

pub(crate) fn token(number: usize) -> String {
    format!("{number:0>43}")
}

fn key(number: usize) -> AgentKey {
    AgentKey {
        namespace: format!("team-{}", number / BOARD),
        name: format!("worker-{number}"),
        uid: format!("9f0c1d8e-0000-4000-8000-{number:0>12}"),
    }
}

impl Stage {
    /// So many agents with their tokens.
    pub(crate) fn with_tokens(agents: usize) -> Self {
        let (presence, mut turned) = Presence::new();
        // As the controllers do: whoever turns up is taken off the queue.
        std::thread::spawn(move || while turned.blocking_recv().is_some() {});
        let directory = Directory::new(presence);
        for number in 0..agents {
            directory.set_tokens(&key(number), [&SecretString::from(token(number))]);
        }
        directory.expect_tokens([]);
        Self { directory, agents }
    }

    /// Their objects, and the Boards that they are on.
    pub(crate) fn fill_caches(&mut self) -> Result<()> {
        let mut agents = Writer::<Agent>::default();
        let mut boards = Writer::<Board>::default();
        for number in 0..self.agents {
            let key = key(number);
            if number % BOARD == 0 {
                boards.apply_watcher_event(&Event::Apply(board(&key.namespace)?));
            }
            agents.apply_watcher_event(&Event::Apply(agent(&key)?));
        }
        let mut on_board = HashMap::<_, Vec<_>>::new();
        for agent in agents.as_reader().state() {
            let namespace = agent.metadata.namespace.clone().unwrap_or_default();
            on_board.entry(namespace).or_default().push(agent);
        }
        // A client is a task of its own from the first; this one is never asked, and ends with its runtime.
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let _entered = runtime.enter();
        let nobody = service_fn(async |_: http::Request<Body>| {
            Err::<http::Response<Body>, _>(std::io::Error::other("nobody is asked"))
        });
        self.directory.open(Objects {
            agents: agents.as_reader(),
            boards: boards.as_reader(),
            gateways: Writer::default().as_reader(),
            // From an index, as the controllers keep it; each namespace has one Board.
            agents_of_board: Arc::new(move |namespace, _| {
                on_board.get(namespace).cloned().unwrap_or_default()
            }),
            client: Client::new(nobody, "default"),
        });
        Ok(())
    }

    /// Serves them on a thread of its own.
    pub(crate) fn serve(self) -> Result<Server> {
        // All callers share an address here, as those of one big gateway do. Those without a good token count for it.
        let limits = Limits {
            address: Rate::new(u32::MAX, u32::MAX),
            ..Limits::default()
        };
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
                let thread = std::fs::read_link("/proc/thread-self")?;
                tell.send((listener.local_addr()?, thread)).ok();
                let router = router_with(self.directory, Metrics::default(), limits);
                let service = router.into_make_service_with_connect_info::<SocketAddr>();
                axum::serve(listener, service).await
            })
        });
        let (address, thread) = told.recv().context("the server did not start")?;
        let schedstat = PathBuf::from("/proc").join(thread).join("schedstat");
        Ok(Server { address, schedstat })
    }
}

fn board(namespace: &str) -> Result<Board> {
    let object = json!({
        "apiVersion": "mission.openclaw.dev/v1alpha1", "kind": "Board",
        "metadata": { "name": "research", "namespace": namespace, "uid": namespace },
        "spec": { "gatewayRef": { "name": "main" } },
    });
    Ok(serde_json::from_value(object)?)
}

/// An Agent as the operator leaves it.
fn agent(key: &AgentKey) -> Result<Agent> {
    let id = format!("{}_{}", key.namespace, key.name);
    let condition = |type_: &str, status: &str, reason: &str| {
        json!({
            "type": type_, "status": status, "reason": reason, "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
            "message": "The gateway confirmed the agent as declared.",
        })
    };
    let file = |name: &str| json!({ "name": name, "sha256": "5a".repeat(32), "size": 1400, "modified": 1_767_225_600_000_i64, "state": "Synced" });
    let object = json!({
        "apiVersion": "mission.openclaw.dev/v1alpha1", "kind": "Agent",
        "metadata": {
            "name": key.name, "namespace": key.namespace, "uid": key.uid, "generation": 1, "resourceVersion": "1000",
            "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["mission.openclaw.dev/cleanup"],
        },
        "spec": {
            "boardRef": { "name": "research" }, "displayName": "Worker", "model": "fake/model",
            "identity": { "role": "Analyst", "purpose": "Reads what others have written and says whether it is so." },
            "heartbeat": { "every": "10m" },
        },
        "status": {
            "observedGeneration": 1, "agentId": id, "sessionKey": format!("agent:{id}:main"),
            "gateway": { "name": "main", "namespace": key.namespace },
            "conditions": [
                condition("Accepted", "True", "Accepted"), condition("Registered", "True", "Registered"),
                condition("HeartbeatConfigured", "True", "Configured"), condition("FilesSynced", "True", "Synced"),
                condition("ModelAvailable", "True", "ModelListed"), condition("Paused", "False", "NotPaused"),
                condition("Ready", "True", "Reconciled"), condition("Reconciling", "False", "Reconciled"), condition("Stalled", "False", "Reconciled"),
            ],
            "files": (["AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md", "MEMORY.md"].map(file)),
        },
    });
    Ok(serde_json::from_value(object)?)
}
