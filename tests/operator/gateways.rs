//! The three gateways of the tests, and what the tests read from them: by a connection of their own and from the disk, never from the
//! operator.

use std::{collections::BTreeMap, path::Path, time::SystemTime};

use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::{
    bed::{
        gateway::{Gateway, GatewayCredential, GatewayOptions},
        rpc::Rpc,
    },
    world::world,
};

/// Agents that stand on both gateways before the operator comes, and belong to nobody here.
pub(crate) const FOREIGN: [&str; 2] = ["main", "scribe"];

static SHARED: OnceCell<Gateway> = OnceCell::const_new();
static QUIET: OnceCell<Mutex<Gateway>> = OnceCell::const_new();
static LASTING: OnceCell<Gateway> = OnceCell::const_new();

/// The gateway of the tests that mind only their own agents: `skipBootstrap`, a token. Only the operator writes to it: changes of the
/// roster that are not coordinated with its deletions make this version of OpenClaw restart itself, again and again.
pub(crate) async fn shared() -> &'static Gateway {
    SHARED
        .get_or_init(|| async {
            let options = GatewayOptions::new("operator-shared")
                .without_plugins()
                .configure(|config| {
                    with_foreign(config);
                    // With a block of its own: nobody is silenced by the first of ours.
                    config["agents"]["entries"]["watchman"] = json!({
                        "name": "Night Watch",
                        "model": "fake/fake-1",
                        "heartbeat": {"every": "3h", "target": "none"},
                    });
                });
            world().await.bed.gateway(options).await.unwrap()
        })
        .await
}

/// A gateway that nobody else uses meanwhile: as out of the box without `skipBootstrap`, a password. Who takes it leaves no agent of
/// ours behind.
pub(crate) async fn quiet() -> MutexGuard<'static, Gateway> {
    QUIET
        .get_or_init(|| async {
            let password = GatewayCredential::Password("test-password-fedcba9876543210".to_owned());
            let options = GatewayOptions::new("quiet")
                .credential(password)
                .with_bootstrap()
                .configure(with_foreign);
            Mutex::new(world().await.bed.gateway(options).await.unwrap())
        })
        .await
        .lock()
        .await
}

/// A gateway on which no agent is ever deleted, for tests that wait for turns: a turn fails that begins while the gateway deletes another
/// agent ("`SQLite` worker stopped before its result was received: Agent deletion journal changed"). Teams there [stay](crate::team::Team::stay).
pub(crate) async fn lasting() -> &'static Gateway {
    LASTING
        .get_or_init(|| async {
            let options = GatewayOptions::new("lasting")
                .without_plugins()
                .configure(with_foreign);
            world().await.bed.gateway(options).await.unwrap()
        })
        .await
}

/// Puts agents and settings of somebody else into a config document.
fn with_foreign(config: &mut Value) {
    config["agents"]["entries"] = json!({
        "main": {},
        "scribe": {
            "name": "The Scribe",
            "model": {"primary": "fake/fake-1", "fallbacks": ["fake/fake-2"]},
            "identity": {"name": "Scribe", "emoji": "\u{1f58b}\u{fe0f}"},
            "tools": {"exec": {"notifyOnExit": false}},
        },
    });
    // Before a beat the gateway fills a workspace with files of its own: none of theirs falls due while tests look at their files.
    config["agents"]["defaults"]["heartbeat"] =
        json!({"every": "45m", "target": "none", "activeHours": minute_in_twelve_hours()});
    config["tools"] = json!({"exec": {"notifyOnExit": false}});
    config["commands"] = json!({"ownerAllowFrom": ["telegram:123456789"]});
}

/// Active hours that no test run will see.
fn minute_in_twelve_hours() -> Value {
    let start = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(12);
    let end = start + jiff::SignedDuration::from_mins(1);
    let [start, end] = [start, end].map(|time| time.strftime("%H:%M").to_string());
    json!({"start": start, "end": end, "timezone": "UTC"})
}

/// The config document as the gateway answers it.
pub(crate) async fn config(gateway: &Gateway) -> Value {
    let answer = rpc(gateway).await.call("config.get", json!({})).await;
    answer.unwrap()["parsed"].clone()
}

/// The entry of one agent in the roster; null where there is none.
pub(crate) async fn entry(gateway: &Gateway, agent_id: &str) -> Value {
    config(gateway).await["agents"]["entries"][agent_id].clone()
}

/// A connection of the test's own.
pub(crate) async fn rpc(gateway: &Gateway) -> Rpc {
    gateway.rpc().await.unwrap()
}

/// The agents whose heartbeats the gateway has scheduled, with their jobs' ids.
pub(crate) async fn beating(gateway: &Gateway) -> BTreeMap<String, String> {
    let list = rpc(gateway)
        .await
        .call("cron.list", json!({"includeDisabled": true}))
        .await
        .unwrap();
    let jobs = list["jobs"].as_array().unwrap().iter();
    jobs.filter(|job| job["enabled"] == true)
        .filter_map(|job| {
            let agent = job["declarationKey"].as_str()?.strip_prefix("heartbeat:")?;
            Some((agent.to_owned(), job["id"].as_str()?.to_owned()))
        })
        .collect()
}

/// The checklist that the gateway puts before an agent at each beat.
pub(crate) async fn checklist(gateway: &Gateway, agent_id: &str) -> Value {
    let job = beating(gateway).await.remove(agent_id);
    let job = job.unwrap_or_else(|| panic!("{agent_id} does not beat"));
    let scratch = rpc(gateway)
        .await
        .call("cron.scratch.get", json!({"id": job}))
        .await
        .unwrap();
    scratch["scratch"]["content"].clone()
}

/// A text on the gateway's disk.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file under `dir` with its content and the time of its last change; empty where there is no such directory.
pub(crate) fn tree(dir: &Path) -> BTreeMap<String, (String, SystemTime)> {
    let mut files = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else {
                let bytes = std::fs::read(entry.path()).unwrap();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let modified = entry.metadata().unwrap().modified().unwrap();
                files.insert(entry.path().display().to_string(), (text, modified));
            }
        }
    }
    files
}
