//! The operator: from `kubectl apply` of the Agents, on a Gateway that is Ready, to the last `Ready=True`. Then, where it is asked for,
//! a comparison of the converged fleet and one changed Agent.

use std::{
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use kube::Api;
use mission_operator::api::{Agent, Gateway as GatewayObject, condition};

use crate::{
    bed::{
        audit,
        operator::{self, Operator, OperatorOptions, USER},
        plane::Plane,
        relay::Seen,
        wait::{wait_for, wait_for_all},
    },
    fleet::Fleet,
    manifest,
    stage::{Measured, Span, Stage, Stages, spans},
};

/// Namespace of the fleet.
const NAMESPACE: &str = "bench";
/// What the ids of its agents begin with.
pub(crate) const PREFIX: &str = "bench_";
/// Short enough to wait for one, long enough to see what comes between two.
const BETWEEN_COMPARISONS: &str = "--resync-interval=45s";
/// So long without a call means that nothing is under way.
const QUIET: Duration = Duration::from_secs(3);
/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// What to run.
pub(crate) struct Options<'a> {
    /// Agents of the fleet.
    pub(crate) size: usize,
    /// The operator.
    pub(crate) program: &'a Path,
    /// Flags for it.
    pub(crate) flags: &'a [String],
    /// Whether to measure the converged fleet too.
    pub(crate) converged: bool,
}

/// Makes a fleet on a gateway of its own, and returns it with what was measured.
pub(crate) async fn measure(
    stages: &Stages<'_>,
    options: &Options<'_>,
) -> Result<(Fleet, Vec<Measured>)> {
    let name = format!("operator-{}", options.size);
    let stage = stages.set(&name).await?;
    let plane_name = format!("plane-{name}");
    let plane = Plane::start_with_chart(stages.run, stages.tools, &plane_name).await?;
    let kubectl = plane.kubectl();
    let kubeconfig = operator::service_account_kubeconfig(&kubectl, &plane.kubeconfig()).await?;
    let operator = Operator::start(
        stages.run,
        &OperatorOptions {
            name,
            program: options.program.to_path_buf(),
            kubeconfig,
            args: [BETWEEN_COMPARISONS.to_owned()]
                .into_iter()
                .filter(|_| options.converged)
                .chain(options.flags.iter().cloned())
                .collect(),
            env: Vec::new(),
        },
    )
    .await?;
    let cluster = Cluster { plane, stage };
    let measured = cluster.measure(options).await?;
    let Cluster { plane, stage } = cluster;
    operator.stop().await?;
    plane.stop().await?;
    let fleet = Fleet::read(&stage.gateway, PREFIX).await?;
    eprintln!("  {} bytes of texts", fleet.bytes());
    stage.strike().await?;
    Ok((fleet, measured))
}

struct Cluster {
    plane: Plane,
    stage: Stage,
}

impl Cluster {
    async fn measure(&self, options: &Options<'_>) -> Result<Vec<Measured>> {
        let size = options.size;
        let kubectl = self.plane.kubectl();
        let client = self.plane.client().await?;
        let team = manifest::team(
            NAMESPACE,
            &self.stage.relay.url(),
            self.stage.gateway.secret(),
        );
        kubectl.apply(&team).await?;
        let gateways = Api::<GatewayObject>::namespaced(client.clone(), NAMESPACE);
        wait_for(
            gateways,
            manifest::GATEWAY,
            "the Gateway is Ready",
            PATIENCE,
            |gateway: Option<&GatewayObject>| {
                gateway
                    .and_then(|gateway| gateway.status.as_ref())
                    .is_some_and(|status| condition::is_true(&status.conditions, condition::READY))
            },
        )
        .await?;

        let agents = manifest::agents(NAMESPACE, 0..size);
        let (clock, began) = (SystemTime::now(), Instant::now());
        let applied = async {
            kubectl.apply(&agents).await?;
            Ok(began.elapsed())
        };
        let ready = all_ready(client.clone(), size);
        let (applied, ()) = tokio::try_join!(applied, ready)?;
        let mut measured = vec![
            self.stage
                .measured("operator", size, began, &Seen::default()),
        ];
        if let Some(first) = measured.first_mut() {
            first.trace.extend(self.requests_since(clock)?);
            first.trace.push(Span {
                what: "kubectl apply ended".to_owned(),
                count: 1,
                first: applied.as_secs_f64(),
                last: applied.as_secs_f64(),
            });
            first.trace.sort_by(|a, b| a.first.total_cmp(&b.first));
        }
        if options.converged {
            measured.push(self.compared(size).await?);
            measured.push(self.changed(&client, size).await?);
        }
        Ok(measured)
    }

    /// One comparison of the whole fleet, in which nothing differs.
    async fn compared(&self, size: usize) -> Result<Measured> {
        let relay = &self.stage.relay;
        self.quiet().await;
        let before = relay.seen();
        relay
            .until(|now| now.methods.values().sum::<usize>() > before.methods.values().sum())
            .await;
        let began = Instant::now();
        let listed = before.count("agents.files.list") + size;
        relay
            .until(|now| now.count("agents.files.list") >= listed)
            .await;
        self.quiet().await;
        let mut measured = self
            .stage
            .measured("comparison, nothing differs", size, began, &before);
        // Without the quiet afterwards, which only shows that it was all.
        let last = measured.trace.iter().map(|span| span.last);
        measured.seconds = last.fold(0.0, f64::max);
        Ok(measured)
    }

    /// One Agent of the fleet gets another heartbeat and another name.
    async fn changed(&self, client: &kube::Client, size: usize) -> Result<Measured> {
        let before = self.stage.relay.seen();
        let began = Instant::now();
        let patch = r#"{"spec":{"displayName":"Another name","heartbeat":{"every":"2h"}}}"#;
        let args = [
            "-n",
            NAMESPACE,
            "patch",
            "oca",
            "a0",
            "--type=merge",
            "-p",
            patch,
        ];
        self.plane.kubectl().run(&args).await?;
        all_ready(client.clone(), size).await?;
        Ok(self
            .stage
            .measured("one Agent changed", size, began, &before))
    }

    /// Waits until the gateway is not asked anything for a while. Liveness pings are no requests.
    async fn quiet(&self) {
        let mut asked = self.stage.relay.timeline().len();
        loop {
            tokio::time::sleep(QUIET).await;
            let now = self.stage.relay.timeline().len();
            if now == asked {
                return;
            }
            asked = now;
        }
    }

    /// The API server's requests since `clock` by who asked for what.
    fn requests_since(&self, clock: SystemTime) -> Result<Vec<Span>> {
        let requests = audit::read(&self.plane.audit_log())?;
        let clock = Timestamp::try_from(clock)?;
        let mut events = Vec::new();
        for request in requests {
            let at: Timestamp = request
                .received
                .parse()
                .context("the audit log has no times")?;
            let who = if request.user == USER {
                "operator"
            } else if request.user_agent.starts_with("kubectl") {
                "kubectl"
            } else {
                continue;
            };
            if let Ok(at) = Duration::try_from(at.duration_since(clock)) {
                events.push((
                    format!(
                        "{who}: {} {} {}",
                        request.verb, request.resource, request.code
                    ),
                    at,
                ));
            }
        }
        Ok(spans(events.into_iter()))
    }
}

async fn all_ready(client: kube::Client, size: usize) -> Result<()> {
    let api = Api::<Agent>::namespaced(client, NAMESPACE);
    let ready = |agent: &&Agent| {
        agent.status.as_ref().is_some_and(|status| {
            status.observed_generation == agent.metadata.generation
                && condition::is_true(&status.conditions, condition::READY)
        })
    };
    wait_for_all(api, "all Agents are Ready", PATIENCE, |agents| {
        agents.len() == size && agents.iter().all(ready)
    })
    .await?;
    Ok(())
}
