//! The config document: reading it, writing it, what is refused, and the heartbeats that follow from it.

use serde_json::{Value, json};

use crate::wire::{Subject, Talk, Transcript};

fn entries(entries: &Value) -> Value {
    json!({"agents": {"entries": entries}})
}

pub(super) async fn reading(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::connected(subject, transcript).await;
    talk.ask("at first", "config.get", &json!({})).await;
    talk.ask("a parameter too many", "config.get", &json!({"foo": 1}))
        .await;
    for path in ["agents.entries", "agents.list"] {
        talk.ask(path, "config.schema.lookup", &json!({"path": path}))
            .await;
    }
    talk.ask("no path", "config.schema.lookup", &json!({}))
        .await;
    talk.ask("at first", "health", &json!({})).await;
    talk.ask("at first", "agents.list", &json!({})).await;
    talk.note_heartbeats("at first").await;
    for agent in ["main", "nobody"] {
        talk.ask(agent, "models.list", &json!({"agentId": agent}))
            .await;
    }
}

pub(super) async fn refusals(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::connected(subject, transcript).await;
    let x = entries(&json!({"x": {"name": "x"}})).to_string();
    for (what, params) in [
        ("nothing, on no base", json!({"raw": "{}"})),
        (
            "nothing, on a wrong base",
            json!({"raw": "{}", "baseHash": "x"}),
        ),
        ("a change on no base", json!({"raw": x})),
        (
            "a change on a wrong base",
            json!({"raw": x, "baseHash": "x"}),
        ),
        ("no patch", json!({})),
        ("a parameter too many", json!({"raw": "{}", "foo": 1})),
    ] {
        talk.ask(what, "config.patch", &params).await;
    }
    talk.patch("nothing", &json!({})).await;
    talk.patch("no object", &json!([])).await;
    talk.patch("what is there already", &entries(&json!({"main": {}})))
        .await;
    talk.patch(
        "several faults of shape",
        &entries(&json!({
            "b1": {"heartbeat": {"every": "soon"}}, "b2": {"nosuch": 1}, "b3": {"heartbeat": {"includeReasoning": true}},
            "b4": {"heartbeat": {"target": "nosuch"}}, "b5": {"name": 5}, "b6": {"model": 7},
        })),
    )
    .await;
    for (what, entry) in [
        ("a duration", json!({"heartbeat": {"every": "soon"}})),
        (
            "a duration that is a number",
            json!({"heartbeat": {"every": 5}}),
        ),
        ("two unknown keys", json!({"nosuch": 1, "other": 2})),
        (
            "hours",
            json!({"heartbeat": {"activeHours": {"start": "25:00", "end": "1"}}}),
        ),
        ("identity", json!({"identity": {"name": "x", "foo": 1}})),
        ("a text", json!("text")),
    ] {
        talk.patch(what, &entries(&json!({ "b": entry }))).await;
    }
    talk.patch(
        "targets",
        &entries(&json!({"b": {"heartbeat": {"target": "nosuch"}}, "c": {"heartbeat": {"target": "nosuch2"}}})),
    )
    .await;
    talk.patch("the old roster", &json!({"agents": {"list": []}}))
        .await;
    talk.patch("an unknown section", &json!({"nosuch": 1}))
        .await;
    talk.note_agents("after all these").await;
}

pub(super) async fn patches(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::connected(subject, transcript).await;
    talk.forget_events();
    talk.patch(
        "a second agent",
        &entries(&json!({"alpha": {"name": "Alpha", "model": "fake/fake-1"}})),
    )
    .await;
    let told = talk.event("config.changed").await;
    let config = talk.applied().await;
    talk.note(
        "config.changed names the document",
        json!(told["payload"]["hash"] == config["hash"]),
    );
    talk.note_agents("a second agent").await;
    talk.ask("a second agent", "agents.list", &json!({})).await;
    talk.patch(
        "the same again",
        &entries(&json!({"alpha": {"name": "Alpha"}})),
    )
    .await;
    talk.patch(
        "another name",
        &entries(&json!({"alpha": {"name": "Alef"}})),
    )
    .await;
    talk.patch(
        "a third agent",
        &entries(&json!({"beta": {"name": "Beta", "model": {"primary": "fake/fake-1", "fallbacks": ["fake/x"]}}})),
    )
    .await;
    talk.note_agents("a third agent").await;
    let shorter = entries(&json!({"beta": {"model": {"fallbacks": []}}}));
    talk.patch("a shorter array", &shorter).await;
    let config = talk.applied().await;
    let params = json!({
        "raw": entries(&json!({"beta": {"model": {"fallbacks": null}}})).to_string(), "baseHash": config["hash"],
        "replacePaths": ["agents.entries.beta.model.fallbacks"],
    });
    talk.ask("an array less, by name", "config.patch", &params)
        .await;
    talk.patch("an agent less", &entries(&json!({"beta": null})))
        .await;
    talk.patch(
        "two agents at once",
        &entries(&json!({"c": {"name": "c"}, "d": {"model": ""}})),
    )
    .await;
    talk.note_agents("two agents at once").await;
}

pub(super) async fn heartbeats(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::connected(subject, transcript).await;
    let beta = |block: Value| entries(&json!({"beta": {"heartbeat": block}}));
    talk.note_heartbeats("no block").await;
    talk.patch(
        "the first block",
        &beta(json!({"every": "45m", "target": "none"})),
    )
    .await;
    talk.note_heartbeats("the first block").await;
    talk.patch(
        "an empty block for main",
        &entries(&json!({"main": {"heartbeat": {}}})),
    )
    .await;
    talk.note_heartbeats("an empty block for main").await;
    talk.patch("every 0m", &beta(json!({"every": "0m"}))).await;
    talk.note_heartbeats("every 0m").await;
    talk.patch("every 20s", &beta(json!({"every": "20s"})))
        .await;
    talk.note_heartbeats("every 20s").await;
    talk.patch(
        "no hours but an end",
        &beta(
            json!({"activeHours": {"start": "08:00", "end": "24:00", "timezone": "Europe/London"}}),
        ),
    )
    .await;
    talk.patch(
        "a block that is off from the start",
        &entries(&json!({"c": {"heartbeat": {"every": "0m"}}})),
    )
    .await;
    talk.note_heartbeats("a block that is off from the start")
        .await;
    talk.patch(
        "no block any more",
        &entries(&json!({"beta": {"heartbeat": null}, "main": {"heartbeat": null}, "c": {"heartbeat": null}})),
    )
    .await;
    talk.note_heartbeats("no block any more").await;
    talk.note_agents("no block any more").await;
}

pub(super) async fn sets(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::connected(subject, transcript).await;
    let config = talk.applied().await;
    let set =
        |document: &Value, base: &Value| json!({"raw": document.to_string(), "baseHash": base});
    let document = &config["parsed"];
    let mut changed = document.clone();
    changed["agents"]["entries"]["alpha"]["name"] = json!("Set");
    let mut fewer = document.clone();
    fewer["agents"]["entries"]
        .as_object_mut()
        .unwrap()
        .remove("alpha");
    let mut wrong = document.clone();
    wrong["agents"]["entries"]["alpha"]["nosuch"] = json!(1);
    talk.ask("an agent less", "config.set", &set(&fewer, &config["hash"]))
        .await;
    talk.ask("a fault", "config.set", &set(&wrong, &config["hash"]))
        .await;
    talk.ask(
        "no base",
        "config.set",
        &json!({"raw": changed.to_string()}),
    )
    .await;
    talk.ask("nothing", "config.set", &json!({})).await;
    talk.ask(
        "another name",
        "config.set",
        &set(&changed, &config["hash"]),
    )
    .await;
    talk.ask(
        "on an old base",
        "config.set",
        &set(document, &config["hash"]),
    )
    .await;
    talk.note_agents("after config.set").await;
    talk.ask("after config.set", "config.get", &json!({})).await;
}

pub(super) async fn rate_limit(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::connected(subject, transcript).await;
    let params = json!({"raw": "{}", "baseHash": "x"});
    for _ in 0..30 {
        let answer = talk.exchange("config.patch", &params).await;
        assert_eq!(answer["error"]["code"], "INVALID_REQUEST", "{answer}");
    }
    talk.ask("the 31st in a minute", "config.patch", &params)
        .await;
    let mut other = Talk::connected(subject, transcript).await;
    other
        .ask("on another connection", "config.patch", &params)
        .await;
}

pub(super) async fn conflict(subject: &Subject, transcript: &mut Transcript) {
    let mut one = Talk::connected(subject, transcript).await;
    let read = one.applied().await["hash"].clone();
    one.patch(
        "one of two writers",
        &entries(&json!({"c": {"name": "one"}})),
    )
    .await;
    let raw = entries(&json!({"c": {"name": "two"}})).to_string();
    one.ask(
        "the other, with what it read before",
        "config.patch",
        &json!({"raw": raw, "baseHash": read}),
    )
    .await;
    one.note_agents("the first has won").await;
}

/// At the end, when only `main` and one other are left: the roster grows once more, and the one that comes beats.
pub(super) async fn first_beat(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::connected(subject, transcript).await;
    talk.applied().await;
    talk.ask("again", "agents.delete", &json!({"agentId": "again"}))
        .await;
    let config = talk.applied().await;
    let mut document = config["parsed"].clone();
    let agents = &mut document["agents"];
    agents["defaults"] = json!({"model": agents["defaults"]["model"], "skipBootstrap": true});
    agents["ownership"] = json!("explicit");
    let set =
        |document: &Value, base: &Value| json!({"raw": document.to_string(), "baseHash": base});
    talk.ask(
        "no system agent",
        "config.set",
        &set(&document, &config["hash"]),
    )
    .await;
    talk.note_agents("no system agent").await;
    talk.patch(
        "the second agent beats",
        &entries(&json!({"omega": {"heartbeat": {"every": "30m"}}})),
    )
    .await;
    talk.note_agents("the second agent beats").await;
    talk.note_heartbeats("the second agent beats").await;
}
