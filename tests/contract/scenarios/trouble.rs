//! What goes wrong between a client and a gateway: an answer that is lost, a restart.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

use crate::wire::{Subject, Talk, Transcript};

/// Between two tries to come in while the gateway is away.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn lost_answer(subject: &Subject, transcript: &mut Transcript) {
    let mut seen = Transcript::new();
    let mut other = Talk::connected(subject, &mut seen).await;
    let base = other.applied().await["hash"].clone();
    let patch = json!({"agents": {"entries": {"c": {"name": "Lost"}}}});
    let params = json!({"raw": patch.to_string(), "baseHash": base});
    {
        let mut talk = Talk::connected(subject, transcript).await;
        other.forget_events();
        talk.request("config.patch", &params).await;
        other.event("config.changed").await;
        // The connection ends without the answer having been read.
    }
    let mut talk = Talk::connected(subject, transcript).await;
    talk.note_agents("a patch whose answer was lost").await;
    talk.ask("the same patch on the same base", "config.patch", &params)
        .await;
}

pub(super) async fn restart(
    subject: &Subject,
    transcript: &mut Transcript,
    restart: impl AsyncFnOnce(),
) {
    let before = boot_id(subject, transcript).await.unwrap();
    {
        let mut talk = Talk::connected(subject, transcript).await;
        restart().await;
        let farewell = talk.event("shutdown").await["payload"].clone();
        let expected = farewell["restartExpectedMs"].is_u64();
        talk.note("the farewell", json!([farewell["reason"], expected]));
        talk.note_end("restart: the end").await;
    }
    let mut meanwhile = BTreeSet::new();
    let after = loop {
        match boot_id(subject, transcript).await {
            Ok(id) => break id,
            Err(said) => meanwhile.insert(said.to_string()),
        };
        tokio::time::sleep(PAUSE).await;
    };
    transcript.push(("what is said meanwhile".to_owned(), json!(meanwhile)));
    transcript.push(("another bootId".to_owned(), json!(before != after)));
}

/// Which process answers; the error is what was said instead.
async fn boot_id(subject: &Subject, transcript: &mut Transcript) -> Result<String, Value> {
    let mut talk = match Talk::try_open(subject, transcript, None).await {
        Ok(talk) => talk,
        Err(tungstenite::Error::Http(response)) => {
            return Err(json!({"http": response.status().as_u16()}));
        }
        Err(_) => return Err(json!("no connection")),
    };
    let hello = talk.exchange("connect", &talk.connect_params()).await;
    if hello["ok"] == true {
        return Ok(hello["payload"]["server"]["bootId"].to_string());
    }
    Err(json!({"error": hello["error"], "closed": hello["closed"]}))
}
