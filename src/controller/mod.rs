//! The shell: gather, plan, execute, status.
//!
//! - One room a kind: `gateway`, `board`, `agent`; `owned` for the Agents that the first two declare.
//! - What drives them: `watch` fills the `world`, which puts objects into a `queue`; the `runner` is around every reconcile, and
//!   `report` tells on the object itself what none of them could.
//! - What they share: the `context`, with what is `remembered`, the `obstacles` and the `journal`; `presence` has Agents looked at that came or fell silent,
//!   `config_maps` those whose texts have changed.
//!
//! No rule about what should happen stands here; that is `plan`. No wire format either; that is `gateway` and `kube`.

mod agent;
mod board;
mod config_maps;
mod context;
mod gateway;
mod journal;
mod obstacles;
mod owned;
mod presence;
mod queue;
mod remembered;
mod report;
mod runner;
mod watch;
mod world;

use std::{fmt::Debug, pin::pin, sync::Arc, time::Duration};

use futures_util::future;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::reflector::{ObjectRef, Store},
};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    api::reference::GatewayName,
    controller::{
        context::Context,
        queue::{Queue, Turn},
        report::Reporter,
        runner::{Next, ReconcileError, Runner},
        world::{Queues, World, Writers},
    },
    gateway::{Pool, PoolEvent, PoolEventKind, PoolOptions},
    kube::{client::Clients, events::Events, latest::Latest},
    metrics::{self, Metrics},
    plan::{
        mark::{ClusterId, InvalidClusterId},
        render::{BuiltInError, Renderer},
        token,
    },
    presence::AgentKey,
    server::{
        Readiness,
        agent_api::{Directory, Objects},
    },
    settings::Settings,
};

/// Longest wait for running reconciles at the end: enough for most config writes, and well below the 30 s that Kubernetes gives a pod by
/// default. What is cut off goes on after the next start.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the controllers cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The cluster's identity is not readable.
    #[error(
        "cannot read namespace kube-system, whose uid is the cluster's identity in ownership marks: {0}. Allow it (get on namespaces), or give --cluster-id"
    )]
    ClusterId(#[source] Box<kube::Error>),
    /// The API server does not answer.
    #[error(
        "cannot reach the API server: {0}. Check that it runs and that the kubeconfig, or the pod's network, leads to it"
    )]
    Unreachable(#[source] Box<kube::Error>),
    /// The cluster's identity cannot stand in a mark.
    #[error(transparent)]
    InvalidClusterId(#[from] InvalidClusterId),
    /// A template of ours does not compile.
    #[error(transparent)]
    BuiltIn(#[from] BuiltInError),
}

/// Runs all controllers until `stop`, then drains them.
pub async fn run(
    settings: Settings,
    clients: Clients,
    metrics: Metrics,
    readiness: Readiness,
    (directory, turned): (Directory, mpsc::UnboundedReceiver<AgentKey>),
    stop: CancellationToken,
) -> Result<(), StartError> {
    let cluster_id = cluster_id(&settings, &clients).await?;
    let renderer = Renderer::new()?;
    let events = Events::start(clients.request.clone());
    let pool = Pool::new(PoolOptions {
        writes_per_minute: settings.config_writes_per_minute as usize,
    });

    let queues = Queues {
        gateways: Queue::new(settings.concurrency),
        boards: Queue::new(settings.concurrency),
        agents: Queue::new(settings.concurrency),
        config_maps: Queue::new(1),
    };
    let writers = Writers::default();
    let world = Arc::new(World::new(&writers, queues.clone()));
    let reporter = Reporter::start(clients.request.clone(), events.clone(), Arc::clone(&world));
    let watches = CancellationToken::new();
    let _end_watches = watches.clone().drop_guard();
    watch::start(&clients.watch, writers, &world, &reporter, &watches);
    let context = Arc::new(Context::new(
        clients,
        Arc::clone(&world),
        pool,
        events,
        metrics.clone(),
        renderer,
        settings.reconcile,
        cluster_id,
        directory.clone(),
        settings.agent_api_url,
    ));
    tokio::spawn(
        watches
            .clone()
            .run_until_cancelled_owned(follow_links(Arc::clone(&context))),
    );

    // Reconciles that see half of the objects would judge wrongly: an id's older owner, a Board, a claim.
    if stop.run_until_cancelled(world.filled()).await.is_none() {
        return Ok(());
    }
    let agents = world.agents.state();
    let expected = agents.iter().filter(|agent| token::is_expected(agent));
    directory.expect_tokens(expected.filter_map(|agent| agent.uid()));
    let known = Arc::clone(&world);
    directory.open(Objects {
        agents: world.agents.clone(),
        boards: world.boards.clone(),
        gateways: world.gateways.clone(),
        agents_of_board: Arc::new(move |namespace, name| known.agents_of_board(namespace, name)),
        client: context.clients.request.clone(),
    });
    tokio::spawn(
        watches
            .clone()
            .run_until_cancelled_owned(config_maps::follow(
                Arc::clone(&context),
                queues.config_maps,
            )),
    );
    tokio::spawn(watches.run_until_cancelled_owned(presence::follow(Arc::clone(&context), turned)));
    readiness.set_ready();
    tracing::info!(
        gateways = world.gateways.len(),
        boards = world.boards.len(),
        agents = world.agents.len(),
        "caches are filled; reconciling"
    );

    let part = |controller| Part {
        runner: Arc::new(Runner::new(controller, metrics.clone())),
        context: Arc::clone(&context),
        reporter: reporter.clone(),
        stop: stop.clone(),
    };
    let running = future::join3(
        drive(
            world.gateways.clone(),
            queues.gateways,
            part(metrics::Controller::gateway),
            |object, context, _| async move { gateway::reconcile(object, &context).await },
        ),
        drive(
            world.boards.clone(),
            queues.boards,
            part(metrics::Controller::board),
            |object, context, _| async move { board::reconcile(object, &context).await },
        ),
        drive(
            world.agents.clone(),
            queues.agents,
            part(metrics::Controller::agent),
            |object, context, turn| async move { agent::reconcile(object, &context, &turn).await },
        ),
    );
    drain(running, &stop).await;
    Ok(())
}

/// Waits for the end of what runs: for ever, and for [`DRAIN`] once it is to stop.
async fn drain<T>(running: impl Future<Output = T>, stop: &CancellationToken) {
    let mut running = pin!(running);
    tokio::select! {
        _ = &mut running => {}
        () = stop.cancelled() => {
            if tokio::time::timeout(DRAIN, running).await.is_err() {
                tracing::warn!(seconds = DRAIN.as_secs(), "reconciles still ran at the end of the drain; they go on after the next start");
            }
        }
    }
}

/// What one controller is driven with.
struct Part {
    runner: Arc<Runner>,
    context: Arc<Context>,
    reporter: Reporter,
    stop: CancellationToken,
}

/// Runs one kind's controller: takes turns from `queue` and objects from `store`, until it is stopped and the last turn has ended.
async fn drive<K, F>(
    store: Store<K>,
    queue: Queue<ObjectRef<K>>,
    part: Part,
    reconcile: impl Fn(Arc<K>, Arc<Context>, Arc<Turn<ObjectRef<K>>>) -> F,
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
    F: Future<Output = Result<Next, ReconcileError>> + Send + 'static,
{
    // What was said on an object that broke off, until the cache shows it: a reconcile that did not know of it would leave it there.
    let told = Arc::new(Latest::default());
    let mut turns = JoinSet::new();
    loop {
        let turn = tokio::select! {
            () = part.stop.cancelled() => break,
            // Panics are caught in the runner, so nothing is to be seen of one that ended.
            Some(_) = turns.join_next() => continue,
            turn = queue.next() => turn,
        };
        // An object that is gone by the time its turn comes needs nothing.
        let Some(object) = store.get(turn.object()) else {
            continue;
        };
        let span = tracing::info_span!("reconciling object", "object.ref" = %turn.object());
        let (turn, runner) = (Arc::new(turn), Arc::clone(&part.runner));
        let (reporter, told) = (part.reporter.clone(), Arc::clone(&told));
        let object = told.or_newer(object, &store);
        let work = reconcile(
            Arc::clone(&object),
            Arc::clone(&part.context),
            Arc::clone(&turn),
        );
        let whole_turn = async move {
            let show = async |broken| {
                if let Some(written) = reporter.broke_off(&*object, &broken).await {
                    told.remember(&Arc::new(written));
                }
            };
            let uid = object.uid().unwrap_or_default();
            if let Next::Within(wait) = runner.run(&uid, work, show).await {
                turn.again_after(wait);
            }
        };
        turns.spawn(whole_turn.instrument(span));
    }
    while turns.join_next().await.is_some() {}
}

/// Turns what happens on the links into reconciles.
async fn follow_links(context: Arc<Context>) {
    let mut events = context.pool.events();
    loop {
        match events.recv().await {
            Ok(PoolEvent {
                kind: PoolEventKind::ConfigChanged,
                ..
            }) => {}
            Ok(PoolEvent {
                key,
                kind: PoolEventKind::Alive(agent_id),
            }) => presence::heard(&context, &key, &agent_id),
            Ok(PoolEvent {
                key,
                kind: PoolEventKind::MonitorMade(agent_id),
            }) => agent::monitor_made(&context, &key, &agent_id),
            Ok(PoolEvent {
                key,
                kind: PoolEventKind::Up | PoolEventKind::Restarted | PoolEventKind::Down,
            }) => touch_all(&context, Some(&key)),
            Err(RecvError::Lagged(_)) => touch_all(&context, None),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Reconciles the Gateways with this uid (or all) and every Agent that is or wants to be on them.
fn touch_all(context: &Context, uid: Option<&str>) {
    for gateway in context.world.gateways.state() {
        let own = gateway.uid().unwrap_or_default();
        if uid.is_none_or(|uid| uid == own) {
            context.world.touch_gateway(&ObjectRef::from_obj(&*gateway));
            let name = GatewayName {
                name: gateway.name_any(),
                namespace: gateway.namespace().unwrap_or_default(),
            };
            context.world.touch_agents(
                context
                    .world
                    .agents_on(&name)
                    .into_iter()
                    .chain(context.world.claims_on(&own)),
            );
        }
    }
}

/// The given identity of this cluster, or the uid of its namespace kube-system.
async fn cluster_id(settings: &Settings, clients: &Clients) -> Result<ClusterId, StartError> {
    if let Some(id) = &settings.cluster_id {
        return Ok(id.clone());
    }
    let namespaces = Api::<Namespace>::all(clients.request.clone());
    let system = namespaces
        .get_metadata("kube-system")
        .await
        .map_err(|error| match error {
            kube::Error::Api(_) => StartError::ClusterId(Box::new(error)),
            _ => StartError::Unreachable(Box::new(error)),
        })?;
    Ok(system.uid().unwrap_or_default().parse()?)
}
