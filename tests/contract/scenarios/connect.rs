//! Who may come in, and what is said to whoever may not.

use serde_json::{Value, json};

use crate::wire::{Device, Subject, Talk, Transcript};

/// From here the client is not on the gateway's own loopback.
const ELSEWHERE: &str = "10.1.2.3";

/// One `connect`, and how the connection ends if it is refused.
async fn try_to(
    subject: &Subject,
    transcript: &mut Transcript,
    what: &str,
    from: Option<&str>,
    params: impl FnOnce(&Talk<'_>) -> Value,
) -> Value {
    let mut talk = Talk::open(subject, transcript, from).await;
    let params = params(&talk);
    let answer = talk.ask(what, "connect", &params).await;
    if answer["ok"] != true {
        talk.note_end(&format!("{what}: the end")).await;
    }
    answer
}

/// As the operator asks.
fn as_is(talk: &Talk<'_>) -> Value {
    talk.connect_params()
}

pub(super) async fn handshakes(subject: &Subject, transcript: &mut Transcript) {
    let with = |talk: &Talk<'_>, name: &str, value: Value| {
        let mut params = talk.connect_params();
        params[name] = value;
        params
    };
    try_to(subject, transcript, "loopback", None, as_is).await;
    try_to(
        subject,
        transcript,
        "the secret as a password",
        None,
        |talk| with(talk, "auth", json!({"password": talk.subject.token})),
    )
    .await;
    try_to(subject, transcript, "a wrong token", None, |talk| {
        with(talk, "auth", json!({"token": "wrong"}))
    })
    .await;
    try_to(subject, transcript, "an older protocol", None, |talk| {
        let mut params = with(talk, "minProtocol", json!(3));
        params["maxProtocol"] = json!(3);
        params
    })
    .await;
    try_to(subject, transcript, "a newer protocol", None, |talk| {
        let mut params = with(talk, "minProtocol", json!(5));
        params["maxProtocol"] = json!(6);
        params
    })
    .await;

    let mut talk = Talk::open(subject, transcript, None).await;
    talk.ask("before connect", "health", &json!({})).await;
    talk.note_end("before connect: the end").await;
}

pub(super) async fn without_device(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::open(subject, transcript, Some(ELSEWHERE)).await;
    let params = talk.connect_params();
    talk.ask("elsewhere without a device", "connect", &params)
        .await;
    talk.ask("without scopes", "agents.list", &json!({})).await;
    talk.ask("without scopes", "config.patch", &json!({"raw": "{}"}))
        .await;
}

pub(super) async fn forgeries(subject: &Subject, transcript: &mut Transcript) {
    let (device, at) = (Device::new(), Some(ELSEWHERE));
    let plain = |_: &mut Value| {};
    try_to(
        subject,
        transcript,
        "a signature over something else",
        at,
        |talk| {
            let mut params = talk.signed(&device, plain);
            params["scopes"] = json!(["operator.read"]);
            params
        },
    )
    .await;
    try_to(
        subject,
        transcript,
        "the key of another device",
        at,
        |talk| {
            let mut params = talk.signed(&device, plain);
            let other = talk.signed(&Device::new(), plain);
            params["device"]["publicKey"] = other["device"]["publicKey"].clone();
            params
        },
    )
    .await;
}

pub(super) async fn devices(subject: &Subject, transcript: &mut Transcript) {
    let plain = |_: &mut Value| {};
    let device = Device::new();
    let at = Some(ELSEWHERE);
    let on_loopback = |talk: &Talk<'_>| talk.signed(&device, plain);
    try_to(
        subject,
        transcript,
        "a device on loopback",
        None,
        on_loopback,
    )
    .await;
    let asked = try_to(subject, transcript, "an unknown device", at, |talk| {
        talk.signed(&device, plain)
    })
    .await;
    let again = try_to(subject, transcript, "an unknown device again", at, |talk| {
        talk.signed(&device, plain)
    })
    .await;
    let request_id = &asked["error"]["details"]["requestId"];
    transcript.push((
        "both wait under one request id".to_owned(),
        json!(*request_id == again["error"]["details"]["requestId"]),
    ));
    {
        let mut talk = Talk::connected(subject, transcript).await;
        talk.ask("devices that wait", "device.pair.list", &json!({}))
            .await;
        talk.ask(
            "nobody's request",
            "device.pair.approve",
            &json!({"requestId": "nope"}),
        )
        .await;
        talk.ask("no request", "device.pair.approve", &json!({}))
            .await;
        talk.ask(
            "approved",
            "device.pair.approve",
            &json!({"requestId": request_id}),
        )
        .await;
        talk.ask("devices after that", "device.pair.list", &json!({}))
            .await;
    }
    let known = try_to(subject, transcript, "an approved device", at, |talk| {
        talk.signed(&device, plain)
    })
    .await;
    let issued = &known["payload"]["auth"]["deviceToken"];
    try_to(subject, transcript, "its token alone", at, |talk| {
        talk.signed(&device, |params| {
            params["auth"] = json!({"deviceToken": issued});
        })
    })
    .await;
    try_to(subject, transcript, "a wrong device token", at, |talk| {
        talk.signed(&device, |params| {
            params["auth"] = json!({"deviceToken": "wrong"});
        })
    })
    .await;
    try_to(subject, transcript, "another platform", at, |talk| {
        talk.signed(&device, |params| {
            params["client"]["platform"] = json!("darwin");
        })
    })
    .await;
}

pub(super) async fn scopes(subject: &Subject, transcript: &mut Transcript) {
    let (device, at) = (Device::new(), Some(ELSEWHERE));
    let reads = |params: &mut Value| params["scopes"] = json!(["operator.read"]);
    let asked = try_to(subject, transcript, "a device that reads", at, |talk| {
        talk.signed(&device, reads)
    })
    .await;
    {
        let mut talk = Talk::connected(subject, transcript).await;
        let request = json!({"requestId": asked["error"]["details"]["requestId"]});
        talk.ask("it is approved", "device.pair.approve", &request)
            .await;
    }
    {
        let mut talk = Talk::open(subject, transcript, at).await;
        let params = talk.signed(&device, reads);
        talk.ask("it comes in", "connect", &params).await;
        talk.ask("it reads", "agents.list", &json!({})).await;
        talk.ask("it writes", "config.set", &json!({"raw": "{}"}))
            .await;
        talk.ask("it asks for devices", "device.pair.list", &json!({}))
            .await;
    }
    try_to(subject, transcript, "it wants more", at, |talk| {
        talk.signed(&device, |_| {})
    })
    .await;
}

pub(super) async fn lockout(subject: &Subject, transcript: &mut Transcript) {
    let from = Some("10.9.9.9");
    for _ in 0..10 {
        let mut talk = Talk::open(subject, transcript, from).await;
        let mut params = talk.connect_params();
        params["auth"] = json!({"token": "wrong"});
        talk.exchange("connect", &params).await;
    }
    try_to(
        subject,
        transcript,
        "the right token, too late",
        from,
        as_is,
    )
    .await;
}

pub(super) async fn frames(subject: &Subject, transcript: &mut Transcript) {
    let mut talk = Talk::connected(subject, transcript).await;
    talk.send("garbage").await;
    talk.send(r#"{"type":"req","method":"health"}"#).await;
    talk.send(r#"{"type":"req","id":"u1","method":"health","foo":1}"#)
        .await;
    let answer = talk.answer("u1").await;
    talk.note("a frame with a property too many", answer["error"].clone());
    talk.ask("a method that nobody has", "nosuch.method", &json!({}))
        .await;
    talk.send(r#"{"type":"req","id":"u2","method":"health"}"#)
        .await;
    let answer = talk.answer("u2").await;
    talk.note("a request without parameters", answer["ok"].clone());
}
