//! Signs of life in what a gateway tells unasked: the end of a heartbeat's run, and of any other turn of an agent.
//!
//! A heartbeat's turn shows as an event of its scheduled job only, any other as one of the agent's life cycle. A run that failed is no
//! sign of life: nobody answered.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

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

/// The agent that the event shows alive, if it shows one. What cannot be read shows none.
pub(super) fn sign_of_life(event: &str, payload: Option<&RawValue>) -> Option<Arc<str>> {
    let payload = payload?.get();
    if event == "cron" {
        let cron: Cron = serde_json::from_str(payload).ok()?;
        let ended_well = cron.action == "finished" && cron.status.as_deref() == Some("ok");
        return cron.job.filter(|_| ended_well)?.agent_id.map(Into::into);
    }
    let turn: Turn = serde_json::from_str(payload).ok()?;
    let ended_well = turn.stream == "lifecycle" && turn.data.phase == "end";
    turn.agent_id.filter(|_| ended_well).map(Into::into)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json, value::to_raw_value};

    use super::*;

    #[test]
    fn only_a_run_that_ended_well_is_a_sign_of_life_of_its_agent() {
        let job = json!({"declarationKey": "heartbeat:a", "agentId": "a"});
        for (event, payload, expected) in [
            (
                "cron",
                json!({"jobId": "1", "action": "finished", "job": job, "status": "ok"}),
                Some("a"),
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
                Some("a"),
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
            let found = sign_of_life(event, Some(&raw));
            assert_eq!(found.as_deref(), expected, "{event} {payload}");
        }
        assert_eq!(sign_of_life("cron", None), None);
    }
}
