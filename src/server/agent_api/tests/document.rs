//! The document says what is served, and what is served is as the document says.

use std::{collections::BTreeSet, sync::LazyLock};

use super::*;

/// The document, with nothing allowed in an answer that it does not name.
static STRICT: LazyLock<Value> = LazyLock::new(|| {
    fn close(schema: &mut Value) {
        match schema {
            Value::Object(map) => {
                if map.get("properties").is_some_and(Value::is_object) {
                    map.entry("additionalProperties").or_insert(json!(false));
                }
                map.values_mut().for_each(close);
            }
            Value::Array(items) => items.iter_mut().for_each(close),
            _ => {}
        }
    }
    let mut document = openapi::document();
    close(&mut document["components"]["schemas"]);
    document
});

/// Holds `value` against a schema of the document.
fn validate(schema: &Value, value: &Value) -> Result<(), String> {
    let mut schema = schema.clone();
    schema["components"] = STRICT["components"].clone();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<_> = validator
        .iter_errors(value)
        .map(|error| error.to_string())
        .collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}

/// Holds an answer against the document; what is no call of the table is a problem.
pub(super) fn check(method: &str, path: &str, told: &Told) {
    assert_eq!(told.headers["x-request-id"].len(), 32);
    let is_problem = told.status >= 400;
    let kind = if is_problem {
        "application/problem+json"
    } else {
        "application/json"
    };
    assert_eq!(told.headers["content-type"], kind);
    if is_problem {
        assert_eq!(told.body["status"], told.status);
        assert_eq!(
            told.body["requestId"],
            told.headers["x-request-id"].to_str().unwrap()
        );
        let problem = json!({ "$ref": "#/components/schemas/ProblemBody" });
        validate(&problem, &told.body).unwrap();
    }
    let Some(operation) = Operation::ALL.into_iter().find(|operation| {
        let pattern = format!("{ROOT}{}", operation.path());
        let parts = (pattern.split('/'), path.split('/'));
        operation.method() == method
            && parts.0.clone().count() == parts.1.clone().count()
            && parts
                .0
                .zip(parts.1)
                .all(|(wanted, is)| wanted == is || wanted == "{name}")
    }) else {
        return;
    };
    let path = format!("{ROOT}{}", operation.path());
    let described = &STRICT["paths"][path][method.to_lowercase()];
    let response = &described["responses"][told.status.to_string()];
    assert!(
        response.is_object(),
        "{operation:?} is not described with {told:?}"
    );
    let schema = &response["content"][kind]["schema"];
    validate(schema, &told.body).unwrap_or_else(|wrong| panic!("{operation:?} {told:?}: {wrong}"));
    for header in response["headers"].as_object().unwrap().keys() {
        assert!(
            told.headers.contains_key(header),
            "{operation:?} {told:?} has no {header}"
        );
    }
}

#[tokio::test]
async fn every_call_is_in_the_document_that_is_served_and_nothing_else() {
    let world = World::starting(Limits::default());
    let request = Request::get("/openapi.json");
    let served = world.send(request, Body::empty()).await;
    assert_eq!(served.status, 200);
    assert_eq!(served.body["openapi"], "3.1.0");
    let paths = served.body["paths"].as_object().unwrap();
    let described: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(move |(method, described)| {
                let id = described["operationId"].as_str().unwrap().to_owned();
                (method.to_uppercase(), path.clone(), id)
            })
        })
        .collect();
    let table = Operation::ALL.map(|operation| {
        let path = format!("{ROOT}{}", operation.path());
        (
            operation.method().to_owned(),
            path,
            operation.id().to_owned(),
        )
    });
    assert_eq!(described, BTreeSet::from(table));
}

#[test]
fn every_example_is_what_its_call_takes() {
    for operation in Operation::ALL {
        let path = format!("{ROOT}{}", operation.path());
        let method = operation.method().to_lowercase();
        let body = &STRICT["paths"][path][method]["requestBody"];
        assert_eq!(
            body.is_object(),
            operation.example().is_some(),
            "{operation:?}"
        );
        let Some(example) = operation.example() else {
            continue;
        };
        let content = &body["content"]["application/json"];
        let example: Value = serde_json::from_str(example).unwrap();
        assert_eq!(content["example"], example);
        validate(&content["schema"], &example).unwrap();
        validate(&content["schema"], &json!({ "nmae": "x" })).unwrap_err();
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        if let Some(reference) = value["$ref"].as_str() {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let inner: Vec<_> = match value {
            Value::Object(map) => map.values().collect(),
            Value::Array(items) => items.iter().collect(),
            _ => Vec::new(),
        };
        for value in inner {
            walk(value, document);
        }
    }
    walk(&STRICT, &STRICT);
}

/// The schema of the body that a call takes, with its references resolved; none where it takes none.
fn schema_of(operation: Operation) -> Option<Value> {
    let path = format!("{ROOT}{}", operation.path());
    let method = operation.method().to_lowercase();
    let content = &STRICT["paths"][path][method]["requestBody"]["content"];
    let schema = &content["application/json"]["schema"];
    let reference = schema["$ref"].as_str()?;
    STRICT.pointer(reference.strip_prefix('#')?).cloned()
}

/// Bodies that the document does not allow, each made of the example by one change, and what has to be told of them.
fn bad_bodies(operation: Operation, schema: &Value) -> Vec<(Value, u16)> {
    let example: Value = serde_json::from_str(operation.example().unwrap()).unwrap();
    let with = |name: &str, value: Value| {
        let mut body = example.clone();
        body[name] = value;
        body
    };
    let fields = schema["properties"].as_object().unwrap();
    let mut bodies = vec![
        json!([]),
        json!([example]),
        json!(fields.keys().map(|_| "a").collect::<Vec<_>>()),
        json!("a"),
        json!(7),
        json!(true),
        with("no such field", json!(null)),
    ];
    for (name, field) in fields {
        let wrong = [json!(7), json!(true), json!([]), json!({}), json!(["a"])];
        bodies.extend(wrong.map(|wrong| with(name, wrong)));
        if field["type"] == "string" {
            bodies.push(with(name, json!(null)));
        }
        if field["minLength"].is_u64() {
            bodies.push(with(name, json!("")));
        }
        if let Some(longest) = field["maxLength"].as_u64() {
            let over = usize::try_from(longest).unwrap() + 1;
            bodies.push(with(name, json!("a".repeat(over))));
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        let mut body = example.clone();
        let fields = body.as_object_mut().unwrap();
        fields.remove(name.as_str().unwrap());
        bodies.push(body);
    }
    for body in &bodies {
        validate(schema, body).expect_err("the document allows it");
    }
    bodies.into_iter().map(|body| (body, 422)).collect()
}

#[tokio::test]
async fn every_body_that_the_document_does_not_allow_is_refused_as_it_says() {
    let rate = Rate::new(100_000, 100_000);
    let limits = Limits {
        agent: rate,
        address: rate,
        failures: rate,
        ..Limits::default()
    };
    let world = World::with(limits);
    let mut tried = 0;
    for operation in Operation::ALL {
        let Some(schema) = schema_of(operation) else {
            continue;
        };
        let call = format!(
            "{} {}",
            operation.method(),
            operation.path().replace("{name}", "helper")
        );
        for (body, status) in bad_bodies(operation, &schema) {
            // Each answer is held against the document where it is sent.
            let told = world.json("research-lead", &call, body.clone()).await;
            assert_eq!(told.status, status, "{call} {body} {told:?}");
            assert!(!told.pointers().is_empty(), "{call} {body}");
            tried += 1;
        }
        for text in ["{", "name=a", "[", "\u{0}", "{\"a\":}", "nul"] {
            let told = world.call("research-lead", &call, text).await;
            assert_eq!(told.status, 400, "{call} {text:?} {told:?}");
        }
    }
    assert!(tried > 60, "{tried} bodies are few");
    assert!(world.server.asked().is_empty());
}

#[tokio::test]
async fn whoever_calls_with_whatever_name_gets_an_answer_that_the_document_names() {
    let rate = Rate::new(100_000, 100_000);
    let limits = Limits {
        agent: rate,
        address: rate,
        failures: rate,
        ..Limits::default()
    };
    for operation in Operation::ALL {
        for who in ["research-lead", "analyst", "loner", "nobody"] {
            for name in [
                "helper",
                "nobody",
                "%FF",
                "%00",
                "%7Bname%7D",
                "Not%20a%20name",
                "..",
                &"a".repeat(300),
            ] {
                let world = World::with(limits);
                let path = operation.path().replace("{name}", name);
                let call = format!("{} {path}", operation.method());
                let body = operation.example().unwrap_or("no JSON");
                let told = world.call(who, &call, body).await;
                assert!(told.status < 500, "{who} {call} {told:?}");
            }
        }
    }
}
