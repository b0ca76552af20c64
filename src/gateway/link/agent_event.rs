//! What a gateway tells of its agents unasked: signs of life (the end of a heartbeat's run, and of any other turn of an agent), and that an
//! agent's heartbeat has its monitor.
//!
//! A heartbeat's turn shows as an event of its scheduled job only, any other as one of the agent's life cycle. A run that failed is no
//! sign of life: nobody answered.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::GatewayEvent;

/// What the key of a job begins with that is a heartbeat's monitor; the agent's id follows (2026.9.6).
const HEARTBEAT: &str = "heartbeat:";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cron {
    action: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    job: Option<Job>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    #[serde(default)]
    agent_id: Option<String>,
    #[serde(default)]
    declaration_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Turn {
    #[serde(default)]
    agent_id: Option<String>,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    data: Phase,
}

#[derive(Default, Deserialize)]
struct Phase {
    #[serde(default)]
    phase: String,
}

/// What the event tells of an agent, if it is of use. What cannot be read tells nothing.
pub(super) fn of_agent(event: &str, payload: Option<&RawValue>) -> Option<GatewayEvent> {
    let payload = payload?.get();
    if event == "cron" {
        return of_job(serde_json::from_str(payload).ok()?);
    }
    let turn: Turn = serde_json::from_str(payload).ok()?;
    let ended_well = turn.stream == "lifecycle" && turn.data.phase == "end";
    let agent_id = turn.agent_id.filter(|_| ended_well)?;
    Some(GatewayEvent::Alive(agent_id.into()))
}

fn of_job(cron: Cron) -> Option<GatewayEvent> {
    let job = cron.job?;
    let agent_id: Arc<str> = job.agent_id?.into();
    match (&*cron.action, cron.status.as_deref()) {
        ("finished", Some("ok")) => Some(GatewayEvent::Alive(agent_id)),
        ("added", _) if job.declaration_key?.starts_with(HEARTBEAT) => {
            Some(GatewayEvent::MonitorMade(agent_id))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json, value::to_raw_value};

    use super::*;

    #[test]
    fn only_a_run_that_ended_well_is_a_sign_of_life_of_its_agent() {
        let job = json!({"declarationKey": "heartbeat:a", "agentId": "a"});
        let alive = || Some(GatewayEvent::Alive("a".into()));
        for (event, payload, expected) in [
            (
                "cron",
                json!({"jobId": "1", "action": "finished", "job": job, "status": "ok"}),
                alive(),
            ),
            (
                "cron",
                json!({"jobId": "1", "action": "finished", "job": job, "status": "error"}),
                None,
            ),
            (
                "cron",
                json!({"jobId": "1", "action": "started", "job": job}),
                None,
            ),
            ("cron", json!({"jobId": "1", "action": "removed"}), None),
            (
                "agent",
                json!({"agentId": "a", "stream": "lifecycle", "data": {"phase": "end"}}),
                alive(),
            ),
            (
                "agent",
                json!({"agentId": "a", "stream": "lifecycle", "data": {"phase": "error"}}),
                None,
            ),
            (
                "agent",
                json!({"agentId": "a", "stream": "assistant", "data": {"text": "x"}}),
                None,
            ),
            ("agent", Value::Null, None),
            ("cron", json!([1]), None),
        ] {
            let raw = to_raw_value(&payload).unwrap();
            let found = of_agent(event, Some(&raw));
            assert_eq!(found, expected, "{event} {payload}");
        }
        assert_eq!(of_agent("cron", None), None);
    }

    #[test]
    fn of_new_jobs_only_a_heartbeats_monitor_is_told() {
        let made = || Some(GatewayEvent::MonitorMade("a".into()));
        for (action, job, expected) in [
            (
                "added",
                json!({"declarationKey": "heartbeat:a", "agentId": "a"}),
                made(),
            ),
            (
                "updated",
                json!({"declarationKey": "heartbeat:a", "agentId": "a"}),
                None,
            ),
            (
                "added",
                json!({"declarationKey": "skill-collection-review:a", "agentId": "a"}),
                None,
            ),
            ("added", json!({"agentId": "a"}), None),
            ("added", json!({"declarationKey": "heartbeat:a"}), None),
        ] {
            let payload = json!({"jobId": "1", "action": action, "job": job});
            let raw = to_raw_value(&payload).unwrap();
            assert_eq!(of_agent("cron", Some(&raw)), expected, "{payload}");
        }
    }
}
