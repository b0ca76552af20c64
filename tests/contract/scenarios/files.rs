//! Workspace files, and the scratch of a heartbeat.

use serde_json::{Value, json};

use crate::wire::{Subject, Talk, Transcript};

const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

pub(super) async fn files(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::connected(subject, transcript).await;
    talk.applied().await;
    let list = |agent: &str| json!({ "agentId": agent });
    let get = |agent: &str, name: &str| json!({"agentId": agent, "name": name});
    talk.ask("a new workspace", "agents.files.list", &list("alpha"))
        .await;
    talk.ask("nobody's workspace", "agents.files.list", &list("nope"))
        .await;
    talk.ask("no agent", "agents.files.list", &json!({})).await;
    for (what, agent, name) in [
        ("a file that is not there", "alpha", "SOUL.md"),
        ("another one", "alpha", "AGENTS.md"),
        ("one that is not listed", "alpha", "IDENTITY.md"),
        ("an unknown name", "alpha", "TOOLS.md"),
        ("no name", "alpha", ""),
        ("nobody's file", "nope", "SOUL.md"),
    ] {
        talk.ask(what, "agents.files.get", &get(agent, name)).await;
    }
    let set =
        |name: &str, content: &str| json!({"agentId": "alpha", "name": name, "content": content});
    let over = |name: &str, content: &str, hash: &Value| {
        let mut params = set(name, content);
        params["expectedHash"] = hash.clone();
        params
    };
    let first = talk
        .ask("a first text", "agents.files.set", &set("SOUL.md", "one"))
        .await;
    let hash = &first["payload"]["file"]["hash"];
    for (what, params) in [
        ("over what was read", over("SOUL.md", "two", hash)),
        (
            "over what is not there any more",
            over("SOUL.md", "three", hash),
        ),
        (
            "over a file that is not there",
            over("USER.md", "x", &json!(NO_HASH)),
        ),
        ("over no hash", over("SOUL.md", "x", &json!("00"))),
        ("an empty text", set("MEMORY.md", "")),
        ("one that is not listed", set("IDENTITY.md", "id")),
        ("letters beyond ASCII", set("BOOTSTRAP.md", "Grüße, 世界")),
        ("an unknown name", set("HEARTBEAT.md", "")),
        ("no text", json!({"agentId": "alpha", "name": "SOUL.md"})),
        (
            "nobody's",
            json!({"agentId": "nope", "name": "SOUL.md", "content": "x"}),
        ),
    ] {
        talk.ask(what, "agents.files.set", &params).await;
    }
    talk.ask("a file", "agents.files.get", &get("alpha", "SOUL.md"))
        .await;
    talk.ask("the workspace", "agents.files.list", &list("alpha"))
        .await;
}

pub(super) async fn scratch(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::connected(subject, transcript).await;
    talk.patch(
        "a heartbeat with a scratch",
        &json!({"agents": {"entries": {"alpha": {"heartbeat": {"every": "30m", "target": "none"}}}}}),
    )
    .await;
    let id = talk.heartbeat_job("alpha").await;
    let get = json!({ "id": id });
    let set = |content: Value| json!({"id": id, "content": content});
    let over = |content: Value, revision: u64| json!({"id": id, "content": content, "expectedRevision": revision});
    talk.ask("nothing yet", "cron.scratch.get", &get).await;
    talk.ask("a first text", "cron.scratch.set", &over(json!("- a"), 0))
        .await;
    talk.ask(
        "over an old one",
        "cron.scratch.set",
        &over(json!("- b"), 0),
    )
    .await;
    talk.ask("a text", "cron.scratch.get", &get).await;
    talk.ask("none", "cron.scratch.set", &over(Value::Null, 1))
        .await;
    talk.ask("none any more", "cron.scratch.get", &get).await;
    talk.ask("whatever is there", "cron.scratch.set", &set(json!("x")))
        .await;
    talk.patch(
        "every 0m",
        &json!({"agents": {"entries": {"alpha": {"heartbeat": {"every": "0m"}}}}}),
    )
    .await;
    talk.applied().await;
    talk.ask("of a heartbeat that is off", "cron.scratch.get", &get)
        .await;
    let nobody = "11111111-1111-4111-8111-111111111111";
    talk.ask("nobody's", "cron.scratch.get", &json!({ "id": nobody }))
        .await;
    talk.ask(
        "nobody's",
        "cron.scratch.set",
        &json!({"id": nobody, "content": "x"}),
    )
    .await;
    talk.ask(
        "too long",
        "cron.scratch.set",
        &set(json!("x".repeat(262_145))),
    )
    .await;
    talk.patch(
        "no heartbeat",
        &json!({"agents": {"entries": {"alpha": {"heartbeat": null}}}}),
    )
    .await;
    talk.applied().await;
    let gone = talk.exchange("cron.scratch.get", &get).await;
    talk.note(
        "of a heartbeat that is gone",
        json!([gone["ok"], gone["error"]["details"]["code"]]),
    );
}
