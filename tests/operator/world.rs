//! What all tests stand on: the operator, the API server as an administrator sees it, and one runtime, because clients are tasks that
//! must outlive the test that made them.

use std::{
    path::Path,
    sync::{LazyLock, atomic::AtomicU32, atomic::Ordering},
    time::Duration,
};

use kube::Client;
use tokio::{runtime::Runtime, sync::OnceCell};

use crate::bed::{
    Bed,
    kubectl::Kubectl,
    operator::{self, Operator, OperatorOptions},
    wait::until_file,
};

/// Longer than anything that is waited for may take; a wait that ends here says what it waited for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// Time between two comparisons of an Agent with its gateway, give or take a tenth. Long enough that a test can do something
/// between two of them, short enough to wait for one.
pub(crate) const RESYNC: Duration = Duration::from_mins(1);

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
        tokio::time::timeout(5 * PATIENCE, test)
            .await
            .expect("the test hangs");
    });
}

/// The operator and the plane it runs on.
pub(crate) struct World {
    pub(crate) bed: Bed,
    pub(crate) client: Client,
    pub(crate) kubectl: Kubectl,
    pub(crate) operator: Operator,
}

static WORLD: OnceCell<World> = OnceCell::const_new();

/// The world, started by the first who asks.
pub(crate) async fn world() -> &'static World {
    WORLD.get_or_init(start).await
}

async fn start() -> World {
    let bed = Bed::from_env();
    let kubectl = bed.kubectl();
    let kubeconfig = operator::service_account_kubeconfig(&kubectl, &bed.description.kubeconfig)
        .await
        .unwrap();
    let options = OperatorOptions {
        name: "shared".to_owned(),
        program: Path::new(env!("CARGO_BIN_EXE_mission-operator")).to_path_buf(),
        kubeconfig,
        args: vec![
            format!("--resync-interval={}s", RESYNC.as_secs()),
            // Everything that the operator could ever log, but for its libraries: the tests look for secrets in it.
            "--log=info,mission_operator=trace".to_owned(),
        ],
        env: Vec::new(),
    };
    World {
        client: bed.client().await.unwrap(),
        operator: Operator::start(&bed.run, &options).await.unwrap(),
        kubectl,
        bed,
    }
}

/// A word that no other call gives: for annotations whose new value means something.
pub(crate) fn nonce() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("n{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until a file on a gateway's disk holds what it should.
pub(crate) async fn file_is(path: &Path, as_wanted: impl Fn(&str) -> bool) {
    until_file(path, PATIENCE, as_wanted).await.unwrap();
}
