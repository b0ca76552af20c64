//! Agents that are created and deleted one by one.

use serde_json::json;

use crate::wire::{Subject, Talk, Transcript};

pub(super) async fn creation(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::connected(subject, transcript).await;
    talk.applied().await;
    let elsewhere = format!("{}/elsewhere", subject.state_dir);
    for (what, params) in [
        ("an agent", json!({"name": "gamma"})),
        ("the same again", json!({"name": "gamma"})),
        ("one of the roster", json!({"name": "main"})),
        ("a reserved name", json!({"name": "openclaw"})),
        ("an empty name", json!({"name": ""})),
        ("no name", json!({})),
        ("a parameter too many", json!({"name": "x", "foo": 1})),
        ("no letters", json!({"name": "日本語"})),
        (
            "a name and a place",
            json!({"name": "Delta Two!", "workspace": elsewhere, "model": "fake/fake-1"}),
        ),
        (
            "no such place",
            json!({"name": "zeta", "workspace": "/dev/null/none"}),
        ),
        (
            "no such place for one that is there",
            json!({"name": "gamma", "workspace": "/dev/null/none"}),
        ),
    ] {
        talk.ask(what, "agents.create", &params).await;
        talk.applied().await;
    }
    talk.note_agents("after creating").await;
    talk.ask("after creating", "agents.list", &json!({})).await;
}

pub(super) async fn deletion(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::connected(subject, transcript).await;
    talk.applied().await;
    for (what, params) in [
        ("nobody", json!({"agentId": "nope"})),
        ("no agent", json!({})),
        ("the one that owns credentials", json!({"agentId": "main"})),
        ("an agent", json!({"agentId": "gamma"})),
        ("the same again", json!({"agentId": "gamma"})),
        (
            "one without its files",
            json!({"agentId": "alpha", "deleteFiles": false}),
        ),
    ] {
        talk.ask(what, "agents.delete", &params).await;
        talk.applied().await;
    }
    talk.note_agents("after deleting").await;
    talk.ask(
        "of a deleted one",
        "agents.files.list",
        &json!({"agentId": "alpha"}),
    )
    .await;
    talk.ask(
        "one that comes back",
        "agents.create",
        &json!({"name": "alpha"}),
    )
    .await;
    talk.applied().await;
    talk.ask(
        "its files",
        "agents.files.list",
        &json!({"agentId": "alpha"}),
    )
    .await;
    // Not its session: for a while the gateway still closes the database of the agent that was deleted, and cannot tell.
    for agent in ["alpha", "beta", "c", "d", "delta-two"] {
        talk.ask(agent, "agents.delete", &json!({"agentId": agent}))
            .await;
        talk.applied().await;
    }
    talk.note_agents("only main is left").await;
    talk.note_heartbeats("only main is left").await;
    talk.ask("the last one", "agents.delete", &json!({"agentId": "main"}))
        .await;
    talk.ask(
        "the first to come after that",
        "agents.create",
        &json!({"name": "again"}),
    )
    .await;
    talk.note_agents("two again").await;
}
