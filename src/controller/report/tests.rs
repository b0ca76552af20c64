//! A reconcile that breaks off is shown on its object, on no other, and is gone with the next one that does not. The API server is a
//! stand-in that keeps objects and refuses stale writes; the real one takes the same patches in `tests/operator/invalid.rs`.

mod server;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use kube::runtime::{reflector::ObjectRef, watcher};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    api::{Agent, Board, Gateway},
    controller::{
        Part, board,
        context::Context,
        drive,
        queue::{Queue, Rank},
        runner::Runner,
        world::{Queues, Writers},
    },
    gateway::{Pool, PoolOptions},
    kube::client::Clients,
    metrics::{self, Metrics},
    plan::render::Renderer,
    presence::Presence,
    server::agent_api::Directory,
    settings::ReconcileSettings,
    unwind,
};
use server::Server;

fn stored(kind: &str, name: &str) -> Value {
    let spec = match kind {
        "Gateway" => {
            json!({"url": "ws://gw:1", "auth": {"tokenSecretRef": {"name": "s", "key": "k"}}})
        }
        "Board" | "Agent" => json!({"gatewayRef": {"name": "main"}}),
        _ => panic!("no such kind: {kind}"),
    };
    json!({
        "apiVersion": "mission.openclaw.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "team", "uid": name, "generation": 3, "resourceVersion": "1"},
        "spec": spec,
        "status": {"observedGeneration": 2, "conditions": [{
            "type": "Ready", "status": "True", "reason": "Reconciled", "message": "", "observedGeneration": 2,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]},
    })
}

/// A reporter over `server`.
fn reporter(server: &Server, writers: &Writers) -> (Reporter, Events, Arc<World>) {
    let queues = Queues {
        gateways: Queue::new(1),
        boards: Queue::new(1),
        agents: Queue::new(1),
        config_maps: Queue::new(1),
    };
    let world = Arc::new(World::new(writers, queues));
    let events = Events::start(server.client());
    let reporter = Reporter::start(server.client(), events.clone(), Arc::clone(&world));
    (reporter, events, world)
}

fn panicked() -> Broken {
    Broken::Panicked(unwind::Caught(None))
}

fn condition<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|it| it["type"] == type_).unwrap()
}

async fn is_told_on<K>(kind: &str)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Debug,
{
    let server = Server::with([stored(kind, "bad"), stored(kind, "good")]);
    let (reporter, ..) = reporter(&server, &Writers::default());
    let object: K = serde_json::from_value(server.object(kind, "bad")).unwrap();

    let written = reporter.broke_off(&object, &panicked()).await;
    let written = written.expect("it is written");
    assert_eq!(written.resource_version().as_deref(), Some("2"));
    let told = server.object(kind, "bad");
    assert_eq!(told["status"]["observedGeneration"], 3);
    for (type_, status) in [
        ("Ready", "Unknown"),
        ("Reconciling", "True"),
        ("Stalled", "False"),
    ] {
        let condition = condition(&told, type_);
        assert_eq!(condition["status"], status, "{condition}");
        assert_eq!(condition["reason"], "InternalError", "{condition}");
        assert_eq!(condition["observedGeneration"], 3, "{condition}");
    }
    let message = condition(&told, "Ready")["message"].as_str().unwrap();
    assert!(message.contains("tried again"), "{message}");
    assert_eq!(server.object(kind, "good"), stored(kind, "good"));

    let again = reporter.broke_off(&object, &panicked()).await;
    assert!(again.is_none(), "it says so already");
    assert_eq!(server.object(kind, "bad"), told);
    server.until_told(&[("bad", "InternalError")]).await;
}

#[tokio::test]
async fn a_panic_is_told_once_on_an_object_of_any_kind() {
    is_told_on::<Gateway>("Gateway").await;
    is_told_on::<Board>("Board").await;
    is_told_on::<Agent>("Agent").await;
}

#[tokio::test]
async fn what_somebody_writes_meanwhile_is_not_written_over() {
    let server = Server::with([stored("Board", "bad")]);
    server.change_after_the_next_list();
    let (reporter, ..) = reporter(&server, &Writers::default());
    let object: Board = serde_json::from_value(server.object("Board", "bad")).unwrap();
    assert!(reporter.broke_off(&object, &panicked()).await.is_none());
    let ready = condition(&server.object("Board", "bad"), "Ready").clone();
    assert_eq!(ready["status"], "True", "{ready}");
    assert_eq!(server.told(), []);
}

#[tokio::test]
async fn an_object_that_is_being_deleted_says_how_to_let_go_of_it() {
    let mut deleted = stored("Agent", "bad");
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let server = Server::with([deleted]);
    let (reporter, ..) = reporter(&server, &Writers::default());
    let object: Agent = serde_json::from_value(server.object("Agent", "bad")).unwrap();
    reporter.broke_off(&object, &Broken::TimedOut).await;
    let ready = condition(&server.object("Agent", "bad"), "Ready").clone();
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains("after 15 minutes"), "{message}");
    assert!(message.contains("kubectl patch agents bad"), "{message}");
}

/// Reconciles the Boards `bad` and `good`; the first three times `bad` panics, afterwards it is reconciled as every Board is. The cache
/// never shows what is written, as one whose watch is far behind.
#[tokio::test(start_paused = true)]
async fn a_reconcile_that_panics_is_shown_on_its_object_and_heals_by_itself() {
    const PANICS: u32 = 3;
    unwind::note_places();
    let server = Server::with([stored("Board", "bad"), stored("Board", "good")]);
    let mut writers = Writers::default();
    let mut seen = |event| writers.boards.apply_watcher_event(&event);
    seen(watcher::Event::Init);
    for name in ["bad", "good"] {
        let board = serde_json::from_value(server.object("Board", name)).unwrap();
        seen(watcher::Event::InitApply(board));
    }
    seen(watcher::Event::InitDone);
    let (reporter, events, world) = reporter(&server, &writers);
    let metrics = Metrics::default();
    let clients = Clients {
        watch: server.client(),
        request: server.client(),
    };
    let settings = ReconcileSettings {
        resync_interval: Duration::from_mins(10),
        unreachable_after: Duration::from_mins(2),
        deletion_deadline: Duration::from_hours(1),
        teardown_deadline: Duration::from_secs(30),
    };
    let context = Arc::new(Context::new(
        clients,
        Arc::clone(&world),
        Pool::new(PoolOptions {
            writes_per_minute: 28,
        }),
        events,
        metrics.clone(),
        Renderer::new().unwrap(),
        settings,
        "c1".parse().unwrap(),
        Directory::new(Presence::new().0),
        None,
    ));
    let stop = CancellationToken::new();
    let part = Part {
        runner: Arc::new(Runner::new(metrics::Controller::board, metrics.clone())),
        context,
        reporter,
        stop: stop.clone(),
    };
    let queue = Queue::new(4);
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let driven = tokio::spawn(drive(
        world.boards.clone(),
        queue.clone(),
        part,
        move |board, context, _| {
            let counted = Arc::clone(&counted);
            async move {
                if board.name_any() == "bad" && counted.fetch_add(1, Ordering::SeqCst) < PANICS {
                    let token = std::hint::black_box("s3cr3t");
                    panic!("cannot read {token}");
                }
                board::reconcile(board, &context).await
            }
        },
    ));
    for name in ["bad", "good"] {
        queue.push(&ObjectRef::new(name).within("team"), Rank::Ordinary);
    }

    let told = [
        ("bad", "InternalError"),
        ("bad", "GatewayNotFound"),
        ("good", "GatewayNotFound"),
    ];
    server.until_told(&told).await;
    let bad = server.object("Board", "bad");
    assert_eq!(condition(&bad, "Ready")["reason"], "GatewayNotFound");
    assert_eq!(runs.load(Ordering::SeqCst), PANICS + 1);
    let panics = format!(r#"controller="board",result="panic"}} {PANICS}"#);
    let counted = metrics.encode().unwrap();
    assert!(counted.contains(&panics), "{counted}");
    // One for the first panic, none for the next two, one by the reconcile that went well.
    assert_eq!(server.status_writes("bad"), 2);
    let said = server.everything_said();
    assert!(said.contains("report/tests.rs:"), "{said}");
    assert!(!said.contains("s3cr3t"), "{said}");
    stop.cancel();
    driven.await.unwrap();
}
