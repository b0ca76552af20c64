//! The parts that one test has to itself, and the questions it asks them.
//!
//! Nothing here says what the operator should do; that is in the tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, resume_unwind},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use futures_util::FutureExt as _;
use k8s_openapi::api::events::v1::Event;
use kube::{Api, Client};
use mission_operator::api::{Agent, Board, Gateway as GatewayObject, condition};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::bed::{
    Bed,
    api_proxy::ApiProxy,
    audit::{self, Request},
    gateway::{Gateway, GatewayOptions},
    kubeconfig,
    kubectl::Kubectl,
    operator::{self, Operator, OperatorOptions},
    plane::Plane,
    port,
    process::tail,
    relay::Relay,
    tools::Tools,
    wait::{wait_for, wait_for_all},
};
use crate::foreign::{Foreign, with_others};

/// Longer than anything here may take on a machine of two cores that does other things too; a wait that hangs says so.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);
/// The same for a whole test.
const LONGEST_TEST: Duration = Duration::from_mins(20);
/// Methods of the gateway that change nothing.
const READS: [&str; 12] = [
    "connect",
    "config.get",
    "config.schema.lookup",
    "cron.list",
    "cron.scratch.get",
    "agents.list",
    "agents.files.list",
    "agents.files.get",
    "models.list",
    "sessions.describe",
    "chat.history",
    "health",
];

/// Tests at once: each has a gateway, and one takes most of a core while it starts.
static PLACES: Semaphore = Semaphore::const_new(2);

/// What one test has to itself.
pub(crate) struct World {
    name: String,
    bed: Bed,
    pub(crate) plane: Plane,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) relay: Relay,
    pub(crate) client: Client,
    kubeconfig: PathBuf,
    operator: Option<Operator>,
    /// Where agents reach every operator of this test.
    agent_api_port: u16,
}

/// Runs `test` with parts of its own, called after `name`, and stops them, also when it fails.
pub(crate) fn alone(name: &str, test: impl AsyncFnOnce(&mut World)) {
    alone_for(LONGEST_TEST, name, with_others, test);
}

/// The same with a test that takes up to `limit`, on a gateway with this in its config document.
pub(crate) fn alone_for(
    limit: Duration,
    name: &str,
    configure: fn(&mut Value),
    test: impl AsyncFnOnce(&mut World),
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let _place = PLACES.acquire().await.unwrap();
        let options = GatewayOptions::new(name)
            .without_plugins()
            .configure(configure);
        let mut world = World::start(name, options).await.unwrap();
        let tested = tokio::time::timeout(limit, test(&mut world));
        let ended = AssertUnwindSafe(tested).catch_unwind().await;
        let mut requests = world.requests();
        requests
            .retain(|request| !(request.forbidden && world.plane.was_starting(&request.received)));
        if ended.is_err() {
            say(&format!("{name} failed.\n{}", world.state().await));
        }
        world.stop().await.unwrap();
        match ended {
            Ok(in_time) => in_time.expect("the test takes too long"),
            Err(panic) => resume_unwind(panic),
        }
        let forbidden: Vec<_> = audit::forbidden(&requests, operator::USER).collect();
        assert!(forbidden.is_empty(), "forbidden by RBAC: {forbidden:#?}");
    });
}

/// The operator that was built with the tests.
fn built_operator() -> PathBuf {
    // Cargo says it when it runs the tests, too.
    std::env::var_os("CARGO_BIN_EXE_mission-operator")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_mission-operator").into())
        .into()
}

/// Writes a line for whoever runs the tests, whether they pass or not.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    // Not by `eprintln`, which the test harness keeps to itself.
    let line = format!("{text}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

impl World {
    async fn start(name: &str, options: GatewayOptions) -> Result<Self> {
        let bed = Bed::from_env();
        let tools = Tools::installed()?;
        let gateway = bed.gateway(options).await?;
        crate::foreign::write_files(&gateway)?;
        let plane = Plane::start_with_chart(&bed.run, &tools, &format!("plane-{name}")).await?;
        let kubectl = plane.kubectl();
        let kubeconfig =
            operator::service_account_kubeconfig(&kubectl, &plane.kubeconfig()).await?;
        Ok(Self {
            name: name.to_owned(),
            relay: Relay::start(gateway.port())?,
            client: plane.client().await?,
            bed,
            plane,
            gateway: Arc::new(gateway),
            kubeconfig,
            operator: None,
            agent_api_port: port::free()?,
        })
    }

    async fn stop(mut self) -> Result<()> {
        if let Some(operator) = self.operator.take() {
            operator.kill().await?;
        }
        self.gateway.stop().await?;
        self.plane.stop().await
    }

    /// Starts the operator with these flags, and waits until it is ready.
    pub(crate) async fn start_operator(&mut self, flags: &[&str]) {
        assert!(self.operator.is_none(), "an operator runs already");
        let options = self.operator_options(flags);
        let port = Some(self.agent_api_port);
        let operator = Operator::start_for_agents_at(&self.bed.run, &options, port).await;
        self.operator = Some(operator.unwrap());
    }

    /// Where agents reach the operator, whichever runs.
    pub(crate) fn agent_api_url(&self) -> String {
        format!("http://{}", port::loopback(self.agent_api_port))
    }

    /// Where the model provider of all gateways is.
    pub(crate) fn provider_url(&self) -> String {
        self.bed.description.provider.url.clone()
    }

    /// Starts another gateway with this in its config document, and a relay before it.
    pub(crate) async fn gateway_beside(
        &self,
        name: &str,
        configure: fn(&mut Value),
    ) -> (Arc<Gateway>, Relay) {
        let options = GatewayOptions::new(name)
            .without_plugins()
            .configure(configure);
        let gateway = self.bed.gateway(options).await.unwrap();
        crate::foreign::write_files(&gateway).unwrap();
        let relay = Relay::start(gateway.port()).unwrap();
        (Arc::new(gateway), relay)
    }

    fn operator_options(&self, flags: &[&str]) -> OperatorOptions {
        OperatorOptions {
            name: self.name.clone(),
            program: operator::copy_of(&built_operator(), &self.bed.run).unwrap(),
            kubeconfig: self.kubeconfig.clone(),
            args: flags.iter().map(|&flag| flag.to_owned()).collect(),
            env: Vec::new(),
        }
    }

    /// Puts a proxy between the API server and the operators that are started from now on.
    pub(crate) fn proxy_api_server(&mut self) -> ApiProxy {
        let proxy = ApiProxy::start(&self.plane).unwrap();
        let path = self.kubeconfig.with_file_name("proxied.kubeconfig");
        kubeconfig::with_server(&self.kubeconfig, &proxy.url(), &path).unwrap();
        self.kubeconfig = path;
        proxy
    }

    /// The operator that runs.
    pub(crate) fn operator(&self) -> &Operator {
        self.operator.as_ref().expect("no operator runs")
    }

    /// SIGTERM; the operator has to end with 0.
    pub(crate) async fn stop_operator(&mut self) {
        let operator = self.operator.take().expect("no operator runs");
        assert_eq!(operator.stop().await.unwrap(), Some(0));
    }

    /// SIGKILL.
    pub(crate) async fn kill_operator(&mut self) {
        let operator = self.operator.take().expect("no operator runs");
        operator.kill().await.unwrap();
    }

    /// kubectl with the rights of an administrator.
    pub(crate) fn kubectl(&self) -> Kubectl {
        self.plane.kubectl()
    }

    /// `kubectl apply -f -`.
    pub(crate) async fn apply(&self, manifest: &str) {
        self.kubectl().apply(manifest).await.unwrap();
    }

    /// Applies a team whose Gateway reaches the gateway through the relay, and waits until it is Ready.
    pub(crate) async fn apply_team(&self, namespace: &str) {
        self.apply(&crate::manifest::team(
            namespace,
            &self.relay.url(),
            self.gateway.secret(),
        ))
        .await;
        self.gateway_ready(namespace).await;
    }

    /// Waits until the Gateway of a team is Ready.
    pub(crate) async fn gateway_ready(&self, namespace: &str) {
        self.until_gateway(namespace, "the Gateway is Ready", |gateway| {
            let conditions = gateway.status.iter().flat_map(|status| &status.conditions);
            ready(conditions) == Some("True")
        })
        .await;
    }

    /// Waits until the Gateway of a team is as `fits` says.
    pub(crate) async fn until_gateway(
        &self,
        namespace: &str,
        what: &str,
        fits: impl Fn(&GatewayObject) -> bool,
    ) -> GatewayObject {
        let api = Api::<GatewayObject>::namespaced(self.client.clone(), namespace);
        let found = wait_for(
            api,
            crate::manifest::GATEWAY,
            what,
            PATIENCE,
            |gateway: Option<&GatewayObject>| gateway.is_some_and(&fits),
        );
        found.await.unwrap().unwrap()
    }

    /// Waits until all Agents of the cluster together are as `fits` says.
    pub(crate) async fn until_agents(
        &self,
        what: &str,
        fits: impl FnMut(&[&Agent]) -> bool,
    ) -> Vec<Agent> {
        let api = Api::<Agent>::all(self.client.clone());
        wait_for_all(api, what, PATIENCE, fits).await.unwrap()
    }

    /// Waits until there are `count` Agents, all of them Ready.
    pub(crate) async fn agents_ready(&self, count: usize) -> Vec<Agent> {
        self.until_agents(&format!("{count} Agents are Ready"), |agents| {
            agents.len() == count && agents.iter().all(|agent| is_ready(agent))
        })
        .await
    }

    /// Waits until the Gateway of a team and the Boards tell of all Agents as they are now, `count` of them, and the Gateway of orphans: that
    /// follows what it tells of, and is written too.
    pub(crate) async fn told_of(&self, namespace: &str, count: usize) {
        let agents = self.agents_ready(count).await;
        let on_boards = || agents.iter().filter(|agent| agent.spec.board_ref.is_some());
        let online = on_boards().filter(|agent| {
            let conditions = agent.status.iter().flat_map(|status| &status.conditions);
            conditions
                .into_iter()
                .any(|it| it.type_ == condition::ONLINE && it.status == "True")
        });
        let wanted = [on_boards().count(), on_boards().count(), online.count()]
            .map(|count| i32::try_from(count).unwrap());
        let count = i32::try_from(count).unwrap();
        self.until_gateway(namespace, "the Gateway tells of all Agents", |gateway| {
            gateway.status.as_ref().is_some_and(|status| {
                let orphans = condition::find(&status.conditions, condition::ORPHANED_AGENTS);
                status.agents == Some(count) && orphans.is_some_and(|it| it.status != "Unknown")
            })
        })
        .await;
        let boards = Api::<Board>::all(self.client.clone());
        let told = wait_for_all(
            boards,
            "the Boards tell of all Agents",
            PATIENCE,
            |boards| {
                let status = boards.iter().filter_map(|board| board.status.as_ref());
                let counts = status.filter_map(|status| status.agents);
                let sum = counts.fold([0; 3], |[total, ready, online], counts| {
                    [
                        total + counts.total,
                        ready + counts.ready,
                        online + counts.online,
                    ]
                });
                sum == wanted
            },
        );
        told.await.unwrap();
    }

    /// Waits until every Agent that is woken has shown life.
    pub(crate) async fn agents_awake(&self) {
        self.until_agents("all Agents are awake", |agents| {
            agents.iter().all(|agent| {
                let wake = agent
                    .status
                    .as_ref()
                    .and_then(|status| status.wake.as_ref());
                wake.is_none_or(|wake| wake.done)
            })
        })
        .await;
    }

    /// Waits until as many events with this reason were published. They follow what they tell of, and are writes too.
    pub(crate) async fn told(&self, reason: &str, count: usize) {
        let what = format!("{count} events {reason}");
        let api = Api::<Event>::all(self.client.clone());
        let told = wait_for_all(api, &what, PATIENCE, |events| {
            let of_reason = |event: &&&Event| event.reason.as_deref() == Some(reason);
            events.iter().filter(of_reason).count() == count
        });
        told.await.unwrap();
    }

    /// Waits until no Agent is left.
    pub(crate) async fn agents_gone(&self) {
        self.until_agents("all Agents are gone", |agents| agents.is_empty())
            .await;
    }

    /// All requests in the audit log so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        audit::read(&self.plane.audit_log()).unwrap()
    }

    /// The operator's requests after the first `from` of the audit log that were meant to change something.
    pub(crate) fn writes_since(&self, from: usize) -> Vec<Request> {
        let requests = self.requests();
        audit::of_user(&requests[from..], operator::USER)
            .filter(|request| request.is_write())
            .cloned()
            .collect()
    }

    /// What the gateway was asked since `before` that changes something, by method.
    pub(crate) fn gateway_writes_since(
        &self,
        before: &BTreeMap<String, usize>,
    ) -> BTreeMap<String, usize> {
        let mut counts = self.relay.counts();
        counts.retain(|method, count| {
            *count -= before.get(method).copied().unwrap_or_default();
            *count > 0 && !READS.contains(&method.as_str())
        });
        counts
    }

    /// Waits until the Agents, `count` of them, were compared with the gateway `times` more.
    pub(crate) async fn compared(&self, count: usize, times: usize) {
        let looks = self.relay.count("agents.files.list");
        let enough = looks + count * times;
        let looked = self
            .relay
            .until(|seen| seen.count("agents.files.list") >= enough);
        tokio::time::timeout(PATIENCE, looked)
            .await
            .expect("the Agents are not compared with the gateway");
    }

    /// Ids of the agents in the gateway's roster, which the running gateway and its document agree on.
    pub(crate) async fn roster(&self) -> BTreeSet<String> {
        let mut rpc = self.gateway.rpc().await.unwrap();
        rpc.config_applied().await.unwrap();
        let config = rpc.call("config.get", json!({})).await.unwrap();
        let entries = config["parsed"]["agents"]["entries"].as_object().unwrap();
        let written: BTreeSet<String> = entries.keys().cloned().collect();
        let running: BTreeSet<String> = rpc.agent_ids().await.unwrap().into_iter().collect();
        assert_eq!(written, running);
        running
    }

    /// Ids of the agents in the gateway's roster that are not the others'.
    pub(crate) async fn our_roster(&self) -> BTreeSet<String> {
        let mut roster = self.roster().await;
        assert!(roster.remove("main"), "main is gone: {roster:?}");
        assert!(roster.remove("theirs"), "theirs is gone: {roster:?}");
        roster
    }

    /// The entries of the agents in the gateway's roster that are not the others'.
    pub(crate) async fn our_entries(&self) -> BTreeMap<String, Value> {
        let mut rpc = self.gateway.rpc().await.unwrap();
        let config = rpc.call("config.get", json!({})).await.unwrap();
        let entries = config["parsed"]["agents"]["entries"].as_object().unwrap();
        let ours = entries.clone().into_iter();
        ours.filter(|(id, _)| id != "main" && id != "theirs")
            .collect()
    }

    /// The gateway's process, as it names itself.
    pub(crate) async fn boot_id(&self) -> String {
        let rpc = self.gateway.rpc().await.unwrap();
        rpc.hello()["server"]["bootId"].as_str().unwrap().to_owned()
    }

    /// What is on the gateway that is not ours.
    pub(crate) async fn foreign(&self) -> Foreign {
        Foreign::read(&self.gateway).await
    }

    /// What the operator and the cluster last said; for a test that failed.
    async fn state(&self) -> String {
        let table = self
            .kubectl()
            .run(&["get", "openclaw,events", "-A", "-o", "wide"])
            .await;
        let log = self.bed.run.log(&format!("operator-{}", self.name));
        format!(
            "{}\ncalls: {:?}\nlast words of the operator:\n{}",
            table.unwrap_or_else(|error| format!("{error:#}")),
            self.relay.seen(),
            tail(&log, 60)
        )
    }
}

/// Status of `Ready` among conditions.
pub(crate) fn ready<'a>(
    conditions: impl IntoIterator<Item = &'a k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
) -> Option<&'a str> {
    conditions
        .into_iter()
        .find(|condition| condition.type_ == condition::READY)
        .map(|condition| condition.status.as_str())
}

/// Whether an Agent is Ready at its newest generation.
pub(crate) fn is_ready(agent: &Agent) -> bool {
    agent.status.as_ref().is_some_and(|status| {
        status.observed_generation == agent.metadata.generation
            && condition::is_true(&status.conditions, condition::READY)
    })
}

/// The reason of an Agent's `Ready`.
pub(crate) fn reason(agent: &Agent) -> Option<&str> {
    let conditions = agent.status.iter().flat_map(|status| &status.conditions);
    conditions
        .into_iter()
        .find(|condition| condition.type_ == condition::READY)
        .map(|condition| condition.reason.as_str())
}

/// The ids that the Agents `a<n>` of a team have on the gateway.
pub(crate) fn ids(namespace: &str, numbers: std::ops::Range<usize>) -> BTreeSet<String> {
    numbers.map(|n| format!("{namespace}_a{n}")).collect()
}
