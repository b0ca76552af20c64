//! The cases of `shapes.yaml` and `changes.yaml`: specs that the API server takes, and specs that it refuses with a certain message.
//! Only reading and laying out; what the server says to them is asked in `main.rs`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Cases of values at places.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shapes {
    at: Vec<String>,
    accept: Vec<Value>,
    refuse: Vec<BadValue>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BadValue {
    value: Value,
    #[serde(default, rename = "where")]
    below: String,
    says: String,
}

/// Cases of changes of one object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    kind: String,
    from: Value,
    accept: Vec<Value>,
    refuse: Vec<BadChange>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BadChange {
    to: Value,
    says: String,
}

/// One spec that is sent, and what is to come back.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) kind: String,
    /// The spec of the object that is changed, where the case is a change.
    pub(crate) before: Option<Value>,
    pub(crate) spec: Value,
    pub(crate) expected: Expected,
}

#[derive(Debug, Clone)]
pub(crate) enum Expected {
    Accepted,
    /// With one cause, at this field and with this text in its message.
    Refused {
        field: String,
        says: String,
    },
}

/// All cases of `shapes.yaml`.
pub(crate) fn shapes() -> Vec<Case> {
    let groups: Vec<Shapes> = serde_saphyr::from_str(include_str!("shapes.yaml")).unwrap();
    groups.iter().flat_map(Shapes::cases).collect()
}

/// All cases of `changes.yaml`.
pub(crate) fn changes() -> Vec<Case> {
    let groups: Vec<Changes> = serde_saphyr::from_str(include_str!("changes.yaml")).unwrap();
    groups.iter().flat_map(Changes::cases).collect()
}

impl Shapes {
    fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for place in &self.at {
            let (kind, path) = place.split_once('.').unwrap_or((place, ""));
            let case = |value: &Value, expected| Case {
                kind: kind.to_owned(),
                before: None,
                spec: spec(kind, path, value),
                expected,
            };
            cases.extend(
                self.accept
                    .iter()
                    .map(|value| case(value, Expected::Accepted)),
            );
            cases.extend(self.refuse.iter().map(|bad| {
                let field = field(&["spec", path, &bad.below]);
                case(
                    &bad.value,
                    Expected::Refused {
                        field,
                        says: bad.says.clone(),
                    },
                )
            }));
        }
        cases
    }
}

impl Changes {
    fn cases(&self) -> Vec<Case> {
        let case = |to: &Value, expected| Case {
            kind: self.kind.clone(),
            before: Some(spec(&self.kind, "", &self.from)),
            spec: spec(&self.kind, "", to),
            expected,
        };
        let refused = |says: &String| Expected::Refused {
            field: "spec".to_owned(),
            says: says.clone(),
        };
        let accepted = self.accept.iter().map(|to| case(to, Expected::Accepted));
        accepted
            .chain(
                self.refuse
                    .iter()
                    .map(|bad| case(&bad.to, refused(&bad.says))),
            )
            .collect()
    }
}

/// A spec that is right, with `value` at `path`, or its keys laid over the spec where the path is empty.
fn spec(kind: &str, path: &str, value: &Value) -> Value {
    let mut spec = match kind {
        "Gateway" => {
            json!({"url": "ws://openclaw:18789", "auth": {"tokenSecretRef": {"name": "openclaw", "key": "token"}}})
        }
        "Board" => json!({"gatewayRef": {"name": "main"}}),
        "Agent" => json!({"boardRef": {"name": "research"}}),
        _ => panic!("no kind {kind}"),
    };
    if path.is_empty() {
        let spec = spec.as_object_mut().unwrap();
        for (key, value) in value.as_object().unwrap() {
            if value.is_null() {
                spec.remove(key);
            } else {
                spec.insert(key.clone(), value.clone());
            }
        }
    } else {
        let slot = path.split('.').fold(&mut spec, |at, key| {
            let map = at.as_object_mut().unwrap();
            map.entry(key).or_insert_with(|| Value::Object(Map::new()))
        });
        *slot = value.clone();
    }
    spec
}

/// The path of a field as the server writes it; an index stands without a dot.
fn field(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts
        .iter()
        .copied()
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(".").replace(".[", "[")
}
