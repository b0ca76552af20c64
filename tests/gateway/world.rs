//! What the tests stand on: gateways, one pool for each, and one runtime for all of them, because links and writers are tasks that
//! must outlive the test that started them.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mission_operator::gateway::{
    Credential, Endpoint, EntryWish, Hello, Journal, JournalError, Link, LinkState, Pool,
    PoolOptions, Topic, Writer,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, OnceCell};

use crate::bed::Bed;
use crate::bed::gateway::{Gateway, GatewayOptions};
use crate::bed::relay::Relay;
use crate::bed::rpc::Rpc;

/// Longer than anything here may take; a test that hangs says so.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

/// Runs a test on the runtime of all tests.
pub(crate) fn run(test: impl Future<Output = ()>) {
    RUNTIME.block_on(async {
        tokio::time::timeout(3 * PATIENCE, test)
            .await
            .expect("the test hangs");
    });
}

/// A gateway and a pool that reaches it through a relay which counts.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) relay: Relay,
    pub(crate) pool: Pool,
    pub(crate) journal: Arc<Notebook>,
}

/// The key of the link that every world has.
pub(crate) const KEY: &str = "first";

impl World {
    /// Starts a gateway and connects to it.
    pub(crate) async fn start(options: GatewayOptions) -> Self {
        let gateway = Bed::from_env().gateway(options).await.unwrap();
        let relay = Relay::start(gateway.port()).unwrap();
        let world = Self {
            gateway,
            relay,
            pool: Pool::new(PoolOptions::default()),
            journal: Arc::default(),
        };
        let link = world.connect(KEY);
        up(&link).await;
        world
    }

    /// Puts a link under `key` into the pool.
    pub(crate) fn connect(&self, key: &str) -> Link {
        self.pool.ensure(
            key,
            self.endpoint(),
            Arc::clone(&self.journal) as Arc<dyn Journal>,
        )
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(
            self.relay.url(),
            Credential::Token(self.gateway.secret().into()),
        )
    }

    pub(crate) fn link(&self) -> Link {
        self.pool.get(KEY).unwrap()
    }

    pub(crate) fn writer(&self) -> Writer {
        self.pool.writer(KEY).unwrap()
    }

    /// The bed's own eyes.
    pub(crate) async fn rpc(&self) -> Rpc {
        self.gateway.rpc().await.unwrap()
    }

    pub(crate) async fn entries(&self) -> Value {
        let config = self
            .rpc()
            .await
            .call("config.get", json!({}))
            .await
            .unwrap();
        config["parsed"]["agents"]["entries"].clone()
    }

    /// The agents whose heartbeats the gateway has scheduled.
    pub(crate) async fn beating(&self) -> BTreeSet<String> {
        let jobs = self
            .rpc()
            .await
            .call("cron.list", json!({"includeDisabled": true}))
            .await
            .unwrap();
        jobs["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|job| job["enabled"] == true)
            .filter_map(|job| job["declarationKey"].as_str()?.strip_prefix("heartbeat:"))
            .map(str::to_owned)
            .collect()
    }
}

static SHARED: OnceCell<World> = OnceCell::const_new();
static OWN: OnceCell<AsyncMutex<World>> = OnceCell::const_new();

/// The gateway of the tests that mind only their own agents.
pub(crate) async fn shared() -> &'static World {
    SHARED
        .get_or_init(|| World::start(GatewayOptions::new("link-shared").without_plugins()))
        .await
}

/// A gateway that nobody else uses meanwhile.
pub(crate) async fn own() -> MutexGuard<'static, World> {
    OWN.get_or_init(|| async {
        AsyncMutex::new(World::start(GatewayOptions::new("link-own").without_plugins()).await)
    })
    .await
    .lock()
    .await
}

/// Waits until a link is up.
pub(crate) async fn up(link: &Link) -> Arc<Hello> {
    let state = until(link, |state| matches!(state, LinkState::Up(_))).await;
    Arc::clone(state.hello().unwrap())
}

/// Waits until a link is in a state that fits.
pub(crate) async fn until(link: &Link, fits: impl Fn(&LinkState) -> bool) -> LinkState {
    let mut state = link.state();
    tokio::time::timeout(PATIENCE, state.wait_for(fits))
        .await
        .unwrap_or_else(|_| panic!("the link stays {:?}", link.state().borrow()))
        .unwrap()
        .clone()
}

/// A wish of an agent that only has a name.
pub(crate) fn wish(agent_id: &str) -> EntryWish {
    EntryWish {
        set: [("name".to_owned(), json!(agent_id))].into(),
        ..EntryWish::of(agent_id)
    }
}

/// The same with more keys.
pub(crate) fn wish_with(agent_id: &str, set: &[(&str, Value)]) -> EntryWish {
    let mut wish = wish(agent_id);
    wish.set.extend(
        set.iter()
            .map(|(path, value)| ((*path).to_owned(), value.clone())),
    );
    wish
}

/// A journal in memory.
#[derive(Debug, Default)]
pub(crate) struct Notebook {
    kept: Mutex<BTreeSet<String>>,
    deleted: Mutex<BTreeSet<String>>,
}

impl Notebook {
    pub(crate) fn kept(&self) -> BTreeSet<String> {
        self.kept.lock().unwrap().clone()
    }

    fn page(&self, topic: Topic) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        match topic {
            Topic::KeptHeartbeats => self.kept.lock().unwrap(),
            Topic::DeletedAgents => self.deleted.lock().unwrap(),
        }
    }
}

impl Journal for Notebook {
    fn recorded(&self, topic: Topic) -> BTreeSet<String> {
        self.page(topic).clone()
    }

    fn record<'a>(
        &'a self,
        topic: Topic,
        ids: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            self.page(topic).extend(ids.iter().cloned());
            Ok(())
        })
    }

    fn forget<'a>(
        &'a self,
        topic: Topic,
        ids: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            self.page(topic).retain(|id| !ids.contains(id));
            Ok(())
        })
    }
}
