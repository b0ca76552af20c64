//! A gateway with a relay in front of it, and the taking of a measurement on it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::bed::{
    gateway::{Gateway, GatewayOptions},
    relay::{Relay, Seen},
    run::Run,
    tools::Tools,
};

/// Where stages are set up.
pub(crate) struct Stages<'a> {
    pub(crate) run: &'a Run,
    pub(crate) tools: &'a Tools,
    pub(crate) provider: &'a str,
}

/// A gateway of its own for one measurement.
pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    pub(crate) relay: Relay,
}

/// What one way to do one thing took.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    /// Who did what.
    pub(crate) what: String,
    /// Agents of the fleet.
    pub(crate) agents: usize,
    /// From the beginning to the end.
    pub(crate) seconds: f64,
    /// Until the call that is measured was answered, where that is not the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answered: Option<f64>,
    /// Connections to the gateway.
    pub(crate) connections: usize,
    /// Requests by method.
    pub(crate) calls: BTreeMap<String, usize>,
    /// Bytes to the gateway.
    pub(crate) bytes_up: usize,
    /// Bytes from the gateway.
    pub(crate) bytes_down: usize,
    /// When what was asked first and last, in seconds from the beginning.
    pub(crate) trace: Vec<Span>,
}

/// Requests of one kind on a time line.
#[derive(Debug, Serialize)]
pub(crate) struct Span {
    pub(crate) what: String,
    pub(crate) count: usize,
    pub(crate) first: f64,
    pub(crate) last: f64,
}

impl Stages<'_> {
    /// Starts a gateway.
    pub(crate) async fn set(&self, name: &str) -> Result<Stage> {
        eprintln!("{name}");
        // Another agent with a heartbeat of its own: nothing of ours is then the first of its kind, which would change what is not ours.
        let options = GatewayOptions::new(name).configure(|config| {
            config["agents"]["entries"]["theirs"] = json!({"heartbeat": {"every": "0m"}});
        });
        let gateway =
            Gateway::start(self.run, &self.tools.openclaw, self.provider, options).await?;
        Ok(Stage {
            relay: Relay::start(gateway.port())?,
            gateway,
        })
    }
}

impl Stage {
    /// Measures since `began`, with the counts since `before`.
    pub(crate) fn measured(
        &self,
        what: &str,
        agents: usize,
        began: Instant,
        before: &Seen,
    ) -> Measured {
        let seconds = began.elapsed().as_secs_f64();
        let now = self.relay.seen();
        let mut calls = now.methods;
        calls.retain(|method, count| {
            *count -= before.count(method);
            *count > 0 && method != "connect"
        });
        let asked = self.relay.timeline();
        let asked = asked.iter().filter(|asked| asked.at >= began);
        let trace = spans(asked.map(|asked| (asked.method.clone(), asked.at - began)));
        eprintln!("  {seconds:.1} s");
        Measured {
            what: what.to_owned(),
            agents,
            seconds,
            answered: None,
            connections: now.connections - before.connections,
            calls,
            bytes_up: now.bytes_up - before.bytes_up,
            bytes_down: now.bytes_down - before.bytes_down,
            trace,
        }
    }

    pub(crate) async fn strike(self) -> Result<()> {
        self.gateway.stop().await.map(drop)
    }
}

/// Puts events on a time line, in the order of their beginnings.
pub(crate) fn spans(events: impl Iterator<Item = (String, Duration)>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (what, at) in events {
        let at = at.as_secs_f64();
        if let Some(span) = spans.iter_mut().find(|span| span.what == what) {
            span.count += 1;
            span.last = at;
        } else {
            spans.push(Span {
                what,
                count: 1,
                first: at,
                last: at,
            });
        }
    }
    spans
}
