//! A model provider that speaks the chat-completions protocol of `OpenAI` and answers every turn with a counted phrase.
//!
//! Words in the user's newest message control it: `SLEEP:<ms>` delays the answer, `FAIL:<status>` gives that HTTP status. What was
//! asked is kept and served at `/requests`, oldest first, for tests that count turns.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// One turn that a gateway asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// Counted from 1; the answer is `FAKE-REPLY#<number>`.
    pub(crate) number: usize,
    /// Name of the model.
    pub(crate) model: String,
    /// The system prompt: holds the files of the agent's workspace.
    pub(crate) system: String,
    /// Every user message since the last answer but the gateway's own context.
    pub(crate) user: String,
    /// The user messages before: what was said in the same session.
    pub(crate) earlier: Vec<String>,
}

type Turns = Arc<Mutex<Vec<Turn>>>;

/// Serves on `listener` until the process ends.
pub(crate) async fn serve(listener: TcpListener) -> Result<()> {
    let router = Router::new()
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(complete))
        .route("/requests", get(requests))
        .with_state(Turns::default());
    axum::serve(listener, router)
        .await
        .context("serving the model provider")
}

/// What the provider at `url` was asked so far.
pub(crate) async fn turns(url: &str) -> Result<Vec<Turn>> {
    let body = super::http::client()?
        .get(format!("{url}/requests"))
        .send()
        .await?
        .text()
        .await?;
    Ok(serde_json::from_str(&body)?)
}

async fn models() -> Response {
    answer(&json!({"object": "list", "data": [{"id": "fake-1", "object": "model"}]}))
}

async fn requests(State(turns): State<Turns>) -> Response {
    answer(&json!(
        *turns.lock().unwrap_or_else(PoisonError::into_inner)
    ))
}

async fn complete(State(turns): State<Turns>, body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let user = user_text(&request);
    let number = {
        let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
        let number = turns.len() + 1;
        turns.push(Turn {
            number,
            model: request["model"].as_str().unwrap_or_default().to_owned(),
            system: system_text(&request),
            user: user.clone(),
            earlier: earlier_texts(&request),
        });
        number
    };
    // What was refused before stays in the session, and must not be refused for ever.
    let newest = said_since_last_answer(&request).pop().unwrap_or_default();
    if let Some(delay) = control(&newest, "SLEEP:") {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if let Some(status) = control(&newest, "FAIL:") {
        let status = u16::try_from(status)
            .ok()
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({"error": {"message": "failure asked for", "type": "fake"}});
        return (status, answer(&body)).into_response();
    }
    let reply = format!("FAKE-REPLY#{number}");
    if request["stream"] == true {
        return stream(&request["model"], number, &reply);
    }
    answer(&json!({
        "id": format!("c{number}"),
        "object": "chat.completion",
        "created": 1,
        "model": request["model"],
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": reply},
            "finish_reason": "stop",
        }],
        "usage": usage(),
    }))
}

/// All chunks at once: the gateway reads them one by one either way.
fn stream(model: &Value, number: usize, reply: &str) -> Response {
    let choices = [
        json!([{"index": 0, "delta": {"role": "assistant", "content": reply}, "finish_reason": null}]),
        json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
        json!([]),
    ];
    let last = choices.len() - 1;
    let chunks = choices.into_iter().enumerate().map(|(index, choices)| {
        let mut chunk = json!({
            "id": format!("c{number}"),
            "object": "chat.completion.chunk",
            "created": 1,
            "model": model,
            "choices": choices,
        });
        if index == last {
            chunk["usage"] = usage();
        }
        chunk.to_string()
    });
    let text: Vec<String> = chunks
        .chain(["[DONE]".to_owned()])
        .map(|data| format!("data: {data}\n\n"))
        .collect();
    let text = text.concat();
    ([(header::CONTENT_TYPE, "text/event-stream")], text).into_response()
}

fn answer(body: &Value) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

fn usage() -> Value {
    json!({"prompt_tokens": 111, "completion_tokens": 7, "total_tokens": 118})
}

/// The number behind `word` in `text`.
pub(crate) fn control(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.split_once(word)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn system_text(request: &Value) -> String {
    texts(messages(request), "system").join("\n")
}

/// OpenClaw puts a user message with internal context behind the prompt, so all since the last answer are joined.
pub(crate) fn user_text(request: &Value) -> String {
    said_since_last_answer(request).join("\n")
}

fn said_since_last_answer(request: &Value) -> Vec<String> {
    let (_, since) = around_last_answer(request);
    let mut said = texts(since, "user");
    said.retain(|text| !text.starts_with("<<<BEGIN_OPENCLAW_INTERNAL"));
    said
}

fn earlier_texts(request: &Value) -> Vec<String> {
    let (before, _) = around_last_answer(request);
    texts(before, "user")
}

/// The messages up to the last answer, and those after it.
fn around_last_answer(request: &Value) -> (&[Value], &[Value]) {
    let messages = messages(request);
    let last = messages
        .iter()
        .rposition(|message| message["role"] == "assistant");
    messages.split_at(last.map_or(0, |index| index + 1))
}

fn messages(request: &Value) -> &[Value] {
    request["messages"].as_array().map_or(&[], Vec::as_slice)
}

fn texts(messages: &[Value], role: &str) -> Vec<String> {
    messages
        .iter()
        .filter(|message| message["role"] == role)
        .map(|message| text(&message["content"]))
        .collect()
}

/// The text of a message's content, which is a string or a list of parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}
