//! Sessions, and messages to agents.

use serde_json::{Value, json};

use crate::wire::{Subject, Talk, Transcript};

const KEY: &str = "agent:alpha:main";
const NO_ID: &str = "11111111-1111-4111-8111-111111111111";

fn message(key: &str, text: &str) -> Value {
    json!({"sessionKey": KEY, "message": text, "idempotencyKey": key, "deliver": false})
}

/// Waits until the gateway says something else of a message than that its turn is under way.
async fn over(talk: &mut Talk<'_>, message: &Value) {
    loop {
        let answer = talk.exchange("chat.send", message).await;
        if answer["payload"]["status"] != "in_flight" {
            break;
        }
        // The event of a turn's end comes a moment before the gateway remembers it as ended.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

pub(super) async fn messages(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::connected(subject, transcript).await;
    talk.applied().await;
    for (what, params) in [
        ("no session yet", json!({"key": KEY})),
        ("nobody's", json!({"key": "agent:nope:main"})),
        ("no key", json!({})),
        ("an empty key", json!({"key": "", "foo": 1})),
    ] {
        talk.ask(what, "sessions.describe", &params).await;
    }
    for method in ["sessions.patch", "sessions.reset"] {
        let params = json!({"key": KEY, "expectedSessionId": NO_ID});
        talk.ask("of a session that is missing", method, &params)
            .await;
    }
    talk.ask("still none", "sessions.describe", &json!({"key": KEY}))
        .await;

    // Told to every connection, not only to the one that sent the message.
    let mut seen = Transcript::new();
    let mut other = Talk::connected(subject, &mut seen).await;
    let first = message("contract-1", "Good morning.");
    talk.ask("a message", "chat.send", &first).await;
    talk.ask("the same at once", "chat.send", &first).await;
    let end = loop {
        let told = other.event("agent").await["payload"].clone();
        if told["data"]["phase"] == "end" {
            break told;
        }
    };
    talk.note(
        "the end of the turn",
        json!([
            end["agentId"],
            end["sessionKey"],
            end["runId"],
            end["stream"]
        ]),
    );
    over(&mut talk, &first).await;
    talk.ask("the same afterwards", "chat.send", &first).await;
    for (what, params) in [
        (
            "another text of this key",
            message("contract-1", "Good night."),
        ),
        ("no text", message("contract-2", "")),
        ("no key", json!({"sessionKey": KEY, "message": "x"})),
        ("nothing", json!({})),
        (
            "nobody's",
            json!({"sessionKey": "agent:nope:main", "message": "x", "idempotencyKey": "contract-3"}),
        ),
        (
            "a parameter too many",
            json!({"sessionKey": KEY, "message": "x", "idempotencyKey": "contract-4", "foo": 1}),
        ),
    ] {
        talk.ask(what, "chat.send", &params).await;
    }
    talk.ask("a session", "sessions.describe", &json!({"key": KEY}))
        .await;
    commands(&mut talk).await;
}

/// What would be commands of one who may do everything, said as text.
async fn commands(talk: &mut Talk<'_>) {
    let nothing = json!({"key": KEY, "expectedSessionId": session_id(talk).await});
    let before = talk.exchange("sessions.patch", &nothing).await["payload"]["entry"].clone();
    for (key, text) in [
        ("contract-6", "/reset"),
        ("contract-7", "Wake up /verbose on, please."),
    ] {
        let mut told = message(key, text);
        told["suppressCommandInterpretation"] = json!(true);
        talk.ask("a command as text", "chat.send", &told).await;
        over(talk, &told).await;
        talk.ask("the command afterwards", "chat.send", &told).await;
    }
    let after = talk.exchange("sessions.patch", &nothing).await["payload"]["entry"].clone();
    let same = ["lifecycleRevision", "verboseLevel"].map(|name| before[name] == after[name]);
    talk.note("the session is as it was", json!(same));
}

async fn session_id(talk: &mut Talk<'_>) -> Value {
    let described = talk
        .exchange("sessions.describe", &json!({"key": KEY}))
        .await;
    described["payload"]["session"]["sessionId"].clone()
}

pub(super) async fn changes(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::connected(subject, transcript).await;
    let id = session_id(&mut talk).await;
    let with = |name: &str, value: &Value| json!({"key": KEY, name: value});
    let revision = |answer: &Value| answer["payload"]["entry"]["lifecycleRevision"].clone();

    let nothing = with("expectedSessionId", &id);
    let unchanged = talk
        .ask("a change of nothing", "sessions.patch", &nothing)
        .await;
    let before = revision(&unchanged);
    let labelled = talk
        .ask("a label", "sessions.patch", &with("label", &json!("One")))
        .await;
    talk.note(
        "a change keeps the revision",
        json!(before.is_string() && revision(&labelled) == before),
    );
    for (what, params) in [
        (
            "the same label in another session",
            json!({"key": "agent:alpha:other", "label": "One"}),
        ),
        (
            "the same label of another agent",
            json!({"key": "agent:main:main", "label": "One"}),
        ),
        (
            "of another session",
            with("expectedSessionId", &json!(NO_ID)),
        ),
        (
            "of another revision",
            with("expectedLifecycleRevision", &json!(NO_ID)),
        ),
        ("no key", json!({"label": "x"})),
        ("a parameter too many", with("foo", &json!(1))),
    ] {
        talk.ask(what, "sessions.patch", &params).await;
    }
    talk.ask("a label", "sessions.describe", &json!({"key": KEY}))
        .await;
    for (what, params) in [
        ("for no reason", with("reason", &json!("bogus"))),
        ("of another one", with("expectedSessionId", &json!(NO_ID))),
        ("no key", json!({})),
        ("a parameter too many", with("foo", &json!(1))),
    ] {
        talk.ask(what, "sessions.reset", &params).await;
    }
    let reset = json!({"key": KEY, "reason": "reset", "expectedSessionId": id});
    let anew = talk.ask("begun anew", "sessions.reset", &reset).await;
    let after = revision(&anew);
    talk.note(
        "it keeps its id, and has another revision",
        json!([
            anew["payload"]["entry"]["sessionId"] == id,
            after.is_string() && after != before
        ]),
    );
    let still = talk
        .ask("a change of nothing", "sessions.patch", &nothing)
        .await;
    talk.note("the revision is kept", json!(revision(&still) == after));
    let told = talk
        .ask("begun anew", "sessions.describe", &json!({"key": KEY}))
        .await;
    talk.note(
        "a description tells no revision",
        json!(told["payload"]["session"]["lifecycleRevision"]),
    );
    talk.ask("no label", "sessions.patch", &with("label", &Value::Null))
        .await;
    talk.ask(
        "nobody's is made",
        "sessions.reset",
        &json!({"key": "agent:nobody:main"}),
    )
    .await;
    talk.ask(
        "nobody's",
        "sessions.describe",
        &json!({"key": "agent:nobody:main"}),
    )
    .await;
    long_turn(&mut talk).await;
}

/// A turn that is cut off, and what is told of it meanwhile.
async fn long_turn(talk: &mut Talk<'_>) {
    let long = message("contract-5", "SLEEP:20000 Think.");
    talk.ask("a long turn", "chat.send", &long).await;
    let history = json!({"sessionKey": KEY, "limit": 1});
    talk.ask("it goes on", "chat.history", &history).await;
    talk.ask("cut off", "sessions.reset", &json!({"key": KEY}))
        .await;
    over(talk, &long).await;
    talk.ask("a turn that was cut off", "chat.send", &long)
        .await;
    talk.ask("it is at rest", "chat.history", &history).await;
    for (what, params) in [
        ("no key", json!({})),
        ("a parameter too many", json!({"sessionKey": KEY, "foo": 1})),
    ] {
        talk.ask(what, "chat.history", &params).await;
    }
}
