//! The shell: gather, plan, execute, status. One file per kind, one runner around all of them.
//!
//! No rule about what should happen stands here; that is `plan`. No wire format either; that is `gateway` and `kube`.

mod agent;
mod board;
mod context;
mod gateway;
mod journal;
mod obstacles;
mod report;
mod runner;
mod slot;
mod watch;
mod world;

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, future, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        Controller,
        controller::{Action, Config},
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::{
    api::{Agent, Board, Gateway, reference::GatewayName},
    controller::{
        context::Context,
        report::Reporter,
        runner::{Next, ReconcileError, Runner},
        slot::{Slot, Slots},
        world::{Queues, World, Writers, queue},
    },
    gateway::{Pool, PoolEvent, PoolEventKind, PoolOptions},
    kube::{client::Clients, events::Events, latest::Latest},
    metrics::{self, Metrics},
    plan::{
        mark::{ClusterId, InvalidClusterId},
        render::{BuiltInError, Renderer},
    },
    server::Readiness,
    settings::Settings,
};

/// Longest wait for running reconciles at the end: enough for most config writes, and well below the 30 s that Kubernetes gives a pod by
/// default. What is cut off goes on after the next start.
const DRAIN: Duration = Duration::from_secs(10);

/// Reconciles of one kind that may be under way, most of them waiting for a config write. Bounds memory: each holds its Agent's texts.
const UNDER_WAY: u16 = 1024;

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
    stop: CancellationToken,
) -> Result<(), StartError> {
    let cluster_id = cluster_id(&settings, &clients).await?;
    let renderer = Renderer::new()?;
    let events = Events::start(clients.request.clone());
    let pool = Pool::new(PoolOptions {
        writes_per_minute: settings.config_writes_per_minute as usize,
    });

    let (gateways, gateway_queue) = queue::<Gateway>();
    let (boards, board_queue) = queue::<Board>();
    let (agents, agent_queue) = queue::<Agent>();
    let queues = Queues {
        gateways,
        boards,
        agents,
    };
    let writers = Writers::default();
    let world = Arc::new(World::new(&writers, queues));
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
    ));
    tokio::spawn(watches.run_until_cancelled_owned(follow_links(Arc::clone(&context))));

    // Reconciles that see half of the objects would judge wrongly: an id's older owner, a Board, a claim.
    if stop.run_until_cancelled(world.filled()).await.is_none() {
        return Ok(());
    }
    readiness.set_ready();
    tracing::info!(
        gateways = world.gateways.len(),
        boards = world.boards.len(),
        agents = world.agents.len(),
        "caches are filled; reconciling"
    );

    let part = |controller| Part {
        runner: Arc::new(Runner::new(controller, metrics.clone())),
        slots: Slots::new(settings.concurrency),
        context: Arc::clone(&context),
        reporter: reporter.clone(),
        stop: stop.clone(),
    };
    let running = future::join3(
        drive(
            world.gateways.clone(),
            gateway_queue,
            part(metrics::Controller::gateway),
            |object, context, _| async move { gateway::reconcile(object, &context).await },
        ),
        drive(
            world.boards.clone(),
            board_queue,
            part(metrics::Controller::board),
            |object, context, _| async move { board::reconcile(object, &context).await },
        ),
        drive(
            world.agents.clone(),
            agent_queue,
            part(metrics::Controller::agent),
            |object, context, slot| async move { agent::reconcile(object, &context, &slot).await },
        ),
    );
    tokio::pin!(running);
    tokio::select! {
        _ = &mut running => {}
        () = stop.cancelled() => {
            if tokio::time::timeout(DRAIN, &mut running).await.is_err() {
                tracing::warn!(seconds = DRAIN.as_secs(), "reconciles still ran at the end of the drain; they go on after the next start");
            }
        }
    }
    Ok(())
}

/// What one controller is driven with.
struct Part {
    runner: Arc<Runner>,
    slots: Slots,
    context: Arc<Context>,
    reporter: Reporter,
    stop: CancellationToken,
}

/// Runs one kind's controller: takes references from `queue`, objects from `store`, and never two reconciles of one object at once.
async fn drive<K, F>(
    store: Store<K>,
    queue: impl Stream<Item = ObjectRef<K>> + Send + 'static,
    part: Part,
    reconcile: impl Fn(Arc<K>, Arc<Context>, Slot) -> F + Clone + Send + Sync + 'static,
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
    let Part {
        runner,
        slots,
        context,
        reporter,
        stop,
    } = part;
    // What was said on an object that broke off, until the cache shows it: a reconcile that did not know of it would leave it there.
    let told = Arc::new(Latest::default());
    // The watches fill the store and the queue; the controller's own input stays silent.
    let silent = stream::pending::<watcher::Result<K>>();
    let (newest, stopped) = (store.clone(), stop.clone());
    Controller::for_stream(silent, store)
        .with_config(Config::default().concurrency(UNDER_WAY))
        .reconcile_on(queue)
        .graceful_shutdown_on(async move { stop.cancelled().await })
        .run(
            move |object, context| {
                let (runner, reconcile) = (Arc::clone(&runner), reconcile.clone());
                let (slots, newest, stopped) = (slots.clone(), newest.clone(), stopped.clone());
                let (reporter, told) = (reporter.clone(), Arc::clone(&told));
                async move {
                    let slot = stopped.run_until_cancelled(slots.take()).await;
                    // It may have changed, or gone, while it waited for its turn.
                    let object = newest.get(&ObjectRef::from_obj(&*object));
                    let (Some(slot), Some(object)) = (slot, object) else {
                        return Ok(Action::await_change());
                    };
                    let object = told.or_newer(object);
                    let uid = object.uid().unwrap_or_default();
                    let show = async |broken| {
                        if let Some(written) = reporter.broke_off(&*object, &broken).await {
                            told.remember(&Arc::new(written));
                        }
                    };
                    let reconcile = reconcile(Arc::clone(&object), context, slot);
                    Ok::<_, std::convert::Infallible>(runner.run(&uid, reconcile, show).await)
                }
            },
            |_, error, _| match *error {},
            context,
        )
        // An object that is gone by the time its turn comes needs nothing.
        .for_each(|_| future::ready(()))
        .await;
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
            context.world.touch_gateway(ObjectRef::from_obj(&*gateway));
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
