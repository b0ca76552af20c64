//! All metric families and their labels. Label values are bounded: kinds, results and Gateway names, never free text.
//!
//! Names of reconcile metrics are those of controller-runtime, so that existing dashboards and alerts work.

use std::sync::Arc;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric},
    metrics::{
        MetricType,
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::presence::Presence;

/// A kind whose objects are reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(
    non_camel_case_types,
    reason = "label values are written in lower case"
)]
pub enum Controller {
    /// Gateways.
    gateway,
    /// Boards.
    board,
    /// Agents.
    agent,
}

/// How a reconcile ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(
    non_camel_case_types,
    reason = "label values are written in lower case"
)]
pub enum Outcome {
    /// Nothing left to do.
    success,
    /// Waits for something, or comes again after a while.
    requeue,
    /// Failed; comes again with backoff.
    error,
    /// The code panicked; caught.
    panic,
    /// Took longer than its deadline; stopped.
    timeout,
}

/// What a caller of the API that agents call had used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(
    non_camel_case_types,
    reason = "label values are written in lower case"
)]
pub enum Limit {
    /// The calls of one agent.
    agent,
    /// The calls from one address.
    address,
    /// The calls from one address for which no agent was found.
    failures,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    controller: Controller,
    result: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: Controller,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GatewayLabels {
    namespace: String,
    gateway: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    operation: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: Limit,
}

/// The operator's metrics; cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_seconds: Family<ControllerLabels, Histogram>,
    active_workers: Family<ControllerLabels, Gauge>,
    gateway_connected: Family<GatewayLabels, Gauge>,
    plan_steps: Family<StepLabels, Counter>,
    agent_api_requests: Family<CallLabels, Counter>,
    agent_api_seconds: Family<OperationLabels, Histogram>,
    agent_api_limited: Family<LimitLabels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(Presence::new().0)
    }
}

impl Metrics {
    /// Nothing counted yet; when each agent was last heard of is read from `presence` as it is asked for.
    #[must_use]
    pub fn new(presence: Presence) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(LastSeen(presence)));
        let reconciles = Family::<ReconcileLabels, Counter>::default();
        // 5 ms to 5 min: from a converged look-up to a config write on a big roster.
        let reconcile_seconds = Family::<ControllerLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.005, 2.5, 13))
        });
        let active_workers = Family::<ControllerLabels, Gauge>::default();
        let gateway_connected = Family::<GatewayLabels, Gauge>::default();
        let plan_steps = Family::<StepLabels, Counter>::default();
        let agent_api_requests = Family::<CallLabels, Counter>::default();
        // 50 µs to 13 s: from an answer out of memory to an API server that does not answer.
        let agent_api_seconds = Family::<OperationLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_05, 4.0, 10))
        });
        let agent_api_limited = Family::<LimitLabels, Counter>::default();
        registry.register(
            "controller_runtime_reconcile",
            "Reconciles by kind and result",
            reconciles.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Length of a reconcile",
            reconcile_seconds.clone(),
        );
        registry.register(
            "controller_runtime_active_workers",
            "Reconciles that run now",
            active_workers.clone(),
        );
        registry.register(
            "mission_operator_gateway_connected",
            "1 while the link to the gateway is up",
            gateway_connected.clone(),
        );
        registry.register(
            "mission_operator_plan_steps",
            "Writing steps executed on gateways; stands still when all is converged",
            plan_steps.clone(),
        );
        registry.register(
            "mission_operator_agent_api_requests",
            "Calls of agents by operation and status code; operation is none where there is no such call",
            agent_api_requests.clone(),
        );
        registry.register(
            "mission_operator_agent_api_request_seconds",
            "Time until a call of an agent is answered",
            agent_api_seconds.clone(),
        );
        registry.register(
            "mission_operator_agent_api_limited",
            "Calls that were refused because the agent or its address calls too often",
            agent_api_limited.clone(),
        );
        Self {
            registry: Arc::new(registry),
            reconciles,
            reconcile_seconds,
            active_workers,
            gateway_connected,
            plan_steps,
            agent_api_requests,
            agent_api_seconds,
            agent_api_limited,
        }
    }
}

/// When each agent was last heard of.
#[derive(Debug)]
struct LastSeen(Presence);

impl Collector for LastSeen {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "mission_operator_agent_last_seen_timestamp_seconds",
            "When the agent was last heard of, in seconds since 1970",
            None,
            MetricType::Gauge,
        )?;
        for (agent, at) in self.0.all() {
            let labels = [("namespace", agent.namespace), ("agent", agent.name)];
            let metric = family.encode_family(&labels)?;
            ConstGauge::new(at.as_second()).encode(metric)?;
        }
        Ok(())
    }
}

impl Metrics {
    /// Counts a reconcile as running until the returned guard is dropped.
    #[must_use]
    pub fn reconcile_started(&self, controller: Controller) -> Running {
        let gauge = self
            .active_workers
            .get_or_create(&ControllerLabels { controller })
            .clone();
        gauge.inc();
        Running(gauge)
    }

    /// Records how a reconcile ended and how long it took.
    pub fn reconcile_ended(&self, controller: Controller, result: Outcome, seconds: f64) {
        self.reconciles
            .get_or_create(&ReconcileLabels { controller, result })
            .inc();
        self.reconcile_seconds
            .get_or_create(&ControllerLabels { controller })
            .observe(seconds);
    }

    /// Records whether the link of a Gateway is up.
    pub fn gateway_connected(&self, namespace: &str, gateway: &str, up: bool) {
        let labels = GatewayLabels {
            namespace: namespace.to_owned(),
            gateway: gateway.to_owned(),
        };
        self.gateway_connected.get_or_create(&labels).set(up.into());
    }

    /// Forgets a Gateway that is gone.
    pub fn gateway_gone(&self, namespace: &str, gateway: &str) {
        self.gateway_connected.remove(&GatewayLabels {
            namespace: namespace.to_owned(),
            gateway: gateway.to_owned(),
        });
    }

    /// Counts one executed step of a plan, by the step's name.
    pub fn plan_step(&self, step: &'static str) {
        self.plan_steps.get_or_create(&StepLabels { step }).inc();
    }

    /// Counts one call of an agent, by the operation's id, and how long it took.
    pub fn agent_api_call(&self, operation: &'static str, code: u16, seconds: f64) {
        self.agent_api_requests
            .get_or_create(&CallLabels { operation, code })
            .inc();
        self.agent_api_seconds
            .get_or_create(&OperationLabels { operation })
            .observe(seconds);
    }

    /// Counts one call that was refused because this was used up.
    pub fn agent_api_limited(&self, limit: Limit) {
        self.agent_api_limited
            .get_or_create(&LimitLabels { limit })
            .inc();
    }

    /// The metrics as text in the format of `OpenMetrics`.
    ///
    /// Errors only where formatting into a string fails.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// A running reconcile; counted until dropped.
#[derive(Debug)]
pub struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_reconcile_shows_with_its_kind_and_result() {
        let metrics = Metrics::default();
        let running = metrics.reconcile_started(Controller::agent);
        metrics.reconcile_ended(Controller::agent, Outcome::success, 0.1);
        drop(running);
        let text = metrics.encode().unwrap();
        assert!(
            text.contains(
                r#"controller_runtime_reconcile_total{controller="agent",result="success"} 1"#
            ),
            "{text}"
        );
        assert!(
            text.contains(r#"controller_runtime_active_workers{controller="agent"} 0"#),
            "{text}"
        );
    }
}
