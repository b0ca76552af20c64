//! Refusals in the gateway's own words.

use serde_json::{Value, json};

/// `INVALID_REQUEST`: nearly everything.
pub(super) fn invalid(message: impl Into<String>) -> Value {
    json!({"code": "INVALID_REQUEST", "message": message.into()})
}

/// The same with details.
pub(super) fn invalid_with(message: impl Into<String>, details: &Value) -> Value {
    json!({"code": "INVALID_REQUEST", "message": message.into(), "details": details})
}

/// `UNAVAILABLE` without a time: what the gateway threw.
pub(super) fn unavailable(message: impl Into<String>) -> Value {
    json!({"code": "UNAVAILABLE", "message": message.into()})
}

/// An agent that the running gateway does not know.
pub(super) fn agent_not_found(agent_id: &str) -> Value {
    invalid(format!("agent \"{agent_id}\" not found"))
}

/// Somebody else has written the document.
pub(crate) fn hash_conflict() -> Value {
    invalid("config changed since last load; re-run config.get and retry")
}

/// The answer to `connect` while the gateway starts.
pub(crate) fn starting() -> Value {
    json!({
        "code": "UNAVAILABLE", "message": "gateway starting; retry shortly", "retryable": true, "retryAfterMs": 500,
        "details": {"reason": "startup-sidecars"},
    })
}

/// Too many calls of a method in a minute.
pub(crate) fn rate_limited(method: &str, retry_after_ms: u64) -> Value {
    json!({
        "code": "UNAVAILABLE",
        "message": format!("rate limit exceeded for {method}; retry after {}s", retry_after_ms.div_ceil(1000)),
        "retryable": true,
        "retryAfterMs": retry_after_ms,
        "details": {"method": method, "limit": "30 per 60s"},
    })
}
