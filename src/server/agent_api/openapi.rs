//! The `OpenAPI` 3.1 document: the table of calls with the schemas of what they take and answer. Pure.

use std::collections::BTreeMap;

use schemars::{
    JsonSchema,
    generate::{SchemaGenerator, SchemaSettings},
};
use serde_json::{Map, Value, json};

use super::{
    limit::BODY,
    problem::Kind,
    types::{
        BoardRecord, Health, Heartbeat, HeartbeatAnswer, Member, NewAgent, ProblemBody, Record,
        Roster, Soul, Taken, Wake,
    },
};
use crate::plan::agent_api::{Caller, Operation, ROOT, TOKEN_HEADER};

/// The document.
pub(super) fn document() -> Value {
    let schemas = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut sent = schemas.clone().for_deserialize().into_generator();
    let mut told = schemas.for_serialize().into_generator();
    let mut paths = Map::new();
    for operation in Operation::ALL {
        let path = format!("{ROOT}{}", operation.path());
        let at = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(at) = at.as_object_mut() {
            let method = operation.method().to_ascii_lowercase();
            at.insert(method, described(operation, &mut sent, &mut told));
        }
    }
    let mut schemas = told.take_definitions(true);
    schemas.extend(sent.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mission Operator: the API that agents call",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!(
                "Every answer carries X-Request-Id; whatever is not answered is told as application/problem+json (RFC 9457). A body may have {} KiB.",
                BODY / 1024
            ),
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "apiKey", "in": "header", "name": TOKEN_HEADER, "description": "The agent's token, as it stands in its AGENTS.md." },
                "bearer": { "type": "http", "scheme": "bearer", "description": "The same." },
            },
        },
    })
}

fn described(
    operation: Operation,
    sent: &mut SchemaGenerator,
    told: &mut SchemaGenerator,
) -> Value {
    let is_about_one = operation.path().contains("{name}");
    let name = json!([{
        "name": "name",
        "in": "path",
        "required": true,
        "description": "Name of an Agent of the caller's Board.",
        "schema": { "type": "string" },
    }]);
    let mut described = json!({
        "operationId": operation.id(),
        "summary": operation.summary(),
        "description": who(operation.caller()),
        "security": match operation.caller() {
            Caller::Anybody => json!([]),
            Caller::Agent | Caller::Member | Caller::Lead => json!([{ "token": [] }, { "bearer": [] }]),
        },
        "parameters": is_about_one.then_some(name),
        "requestBody": body(operation, sent),
        "responses": responses(operation, told),
    });
    if let Some(described) = described.as_object_mut() {
        described.retain(|_, value| !value.is_null());
    }
    described
}

const fn who(caller: Caller) -> &'static str {
    match caller {
        Caller::Anybody => "For anybody, without a token.",
        Caller::Agent => "For every agent.",
        Caller::Member => "For every agent that has a Board.",
        Caller::Lead => "For the agent of role Lead that leads its Board.",
    }
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// The body that the call takes.
fn body(operation: Operation, sent: &mut SchemaGenerator) -> Option<Value> {
    let (required, schema) = match operation {
        Operation::Healthz
        | Operation::Me
        | Operation::Agents
        | Operation::Board
        | Operation::DeleteAgent => return None,
        Operation::Heartbeat => (false, schema::<Heartbeat>(sent)),
        Operation::CreateAgent => (true, schema::<NewAgent>(sent)),
        Operation::SetSoul => (true, schema::<Soul>(sent)),
        Operation::Wake => (true, schema::<Wake>(sent)),
    };
    let example = operation.example();
    let example: Option<Value> = example.and_then(|example| serde_json::from_str(example).ok());
    Some(json!({
        "required": required,
        "content": { "application/json": { "schema": schema, "example": example } },
    }))
}

fn responses(operation: Operation, told: &mut SchemaGenerator) -> Value {
    let (code, schema) = match operation {
        Operation::Healthz => (200, schema::<Health>(told)),
        Operation::Me => (200, schema::<Record>(told)),
        Operation::Heartbeat => (200, schema::<HeartbeatAnswer>(told)),
        Operation::Agents => (200, schema::<Roster>(told)),
        Operation::Board => (200, schema::<BoardRecord>(told)),
        Operation::CreateAgent => (201, schema::<Member>(told)),
        Operation::DeleteAgent | Operation::SetSoul | Operation::Wake => {
            (202, schema::<Taken>(told))
        }
    };
    let mut responses = Map::new();
    let id = json!({ "description": "Names the request.", "schema": { "type": "string" } });
    let wait =
        json!({ "description": "Seconds to wait.", "schema": { "type": "integer", "minimum": 1 } });
    responses.insert(
        code.to_string(),
        json!({
            "description": if code == 200 { "Answered." } else if code == 201 { "Added." } else { "Taken; done soon." },
            "headers": { "X-Request-Id": id },
            "content": { "application/json": { "schema": schema } },
        }),
    );
    let mut problems: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for &kind in problems_of(operation).iter().flat_map(|kinds| kinds.iter()) {
        let titles = problems.entry(kind.code()).or_default();
        if !titles.contains(&kind.title()) {
            titles.push(kind.title());
        }
    }
    let problem = self::schema::<ProblemBody>(told);
    for (code, titles) in problems {
        let headers = if matches!(code, 429 | 503) {
            json!({ "X-Request-Id": id, "Retry-After": wait })
        } else {
            json!({ "X-Request-Id": id })
        };
        responses.insert(
            code.to_string(),
            json!({
                "description": format!("{}.", titles.join("; ")),
                "headers": headers,
                "content": { "application/problem+json": { "schema": problem } },
            }),
        );
    }
    responses.into()
}

/// The kinds of problem that the call may come to.
fn problems_of(operation: Operation) -> [&'static [Kind]; 3] {
    const ALL: &[Kind] = &[Kind::TooMany, Kind::Fault];
    const KNOWN: &[Kind] = &[
        Kind::BadBody,
        Kind::Unauthenticated,
        Kind::Slow,
        Kind::TooLarge,
        Kind::TooMany,
        Kind::Fault,
        Kind::NotReady,
    ];
    const MEMBER: &[Kind] = &[Kind::NoBoard];
    const LEAD: &[Kind] = &[
        Kind::Forbidden,
        Kind::NoBoard,
        Kind::NotOnBoard,
        Kind::NotNow,
        Kind::Refused,
        Kind::InvalidField,
        Kind::Unavailable,
    ];
    match operation {
        Operation::Healthz => [ALL, &[], &[]],
        Operation::Me => [KNOWN, &[], &[]],
        Operation::Heartbeat => [KNOWN, &[Kind::InvalidField], &[]],
        Operation::Agents | Operation::Board => [KNOWN, MEMBER, &[]],
        Operation::CreateAgent => [
            KNOWN,
            LEAD,
            &[
                Kind::NameTaken,
                Kind::DisplayNameTaken,
                Kind::BoardFull,
                Kind::NotYours,
                Kind::NotYet,
            ],
        ],
        Operation::DeleteAgent => [KNOWN, LEAD, &[Kind::NotYours]],
        Operation::SetSoul => [KNOWN, LEAD, &[Kind::NotYours, Kind::NotYet]],
        Operation::Wake => [KNOWN, LEAD, &[Kind::NotYet]],
    }
}
