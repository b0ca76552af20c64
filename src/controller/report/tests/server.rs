//! An API server as far as one status at a time is told: objects by kind and name, a version each, and the events.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::service_fn;

#[derive(Clone, Default)]
pub(super) struct Server(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// By plural and name.
    objects: BTreeMap<(String, String), Value>,
    /// Every version that a write of a status has made.
    written: Vec<Value>,
    events: Vec<Value>,
    change_after_list: bool,
}

impl Server {
    pub(super) fn with<const N: usize>(objects: [Value; N]) -> Self {
        let server = Self::default();
        for object in objects {
            let key = |kind: &Value| format!("{}s", kind.as_str().unwrap().to_lowercase());
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let key = (key(&object["kind"]), name);
            server.state().objects.insert(key, object);
        }
        server
    }

    pub(super) fn client(&self) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, std::convert::Infallible>(server.answer(request).await) }
        });
        Client::new(service, "default")
    }

    pub(super) fn object(&self, kind: &str, name: &str) -> Value {
        let key = (format!("{}s", kind.to_lowercase()), name.to_owned());
        self.state().objects[&key].clone()
    }

    /// Somebody else writes to every object right after the next list.
    pub(super) fn change_after_the_next_list(&self) {
        self.state().change_after_list = true;
    }

    /// Object and reason of every event, in order of their names.
    pub(super) fn told(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut told: Vec<_> = self
            .state()
            .events
            .iter()
            .map(|event| (text(&event["regarding"]["name"]), text(&event["reason"])))
            .collect();
        told.sort();
        told
    }

    /// Waits for exactly these events.
    pub(super) async fn until_told(&self, expected: &[(&str, &str)]) {
        let mut expected: Vec<_> = expected
            .iter()
            .map(|(name, reason)| ((*name).to_owned(), (*reason).to_owned()))
            .collect();
        expected.sort();
        loop {
            let changed = self.0.changed.notified();
            let told = self.told();
            if told == expected {
                return;
            }
            assert!(told.len() <= expected.len(), "{told:?}");
            changed.await;
        }
    }

    pub(super) fn status_writes(&self, name: &str) -> usize {
        let state = self.state();
        let written = state.written.iter();
        written
            .filter(|object| object["metadata"]["name"] == name)
            .count()
    }

    /// All statuses and events that there ever were, as one text.
    pub(super) fn everything_said(&self) -> String {
        let state = self.state();
        json!([state.written, state.events]).to_string()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let path: Vec<&str> = parts.uri.path().split('/').skip(6).collect();
        let (status, answer) = match (parts.method, path.as_slice()) {
            (Method::GET, [plural]) => self.list(plural, parts.uri.query().unwrap_or_default()),
            (Method::PATCH, [plural, name, "status"]) => self.write_status(plural, name, &body),
            (Method::POST, ["events"]) => self.tell(body),
            (method, path) => panic!("not expected: {method} {path:?}"),
        };
        self.0.changed.notify_waiters();
        Response::builder()
            .status(status)
            .body(Body::from(answer.to_string().into_bytes()))
            .unwrap()
    }

    fn list(&self, plural: &str, query: &str) -> (StatusCode, Value) {
        let mut state = self.state();
        let listed: Vec<_> = state
            .objects
            .iter()
            .filter(|((of, name), _)| of == plural && query.ends_with(&format!("%3D{name}")))
            .map(|(_, object)| object.clone())
            .collect();
        if std::mem::take(&mut state.change_after_list) {
            state.objects.values_mut().for_each(raise_version);
        }
        let list = json!({"apiVersion": "mission.openclaw.dev/v1alpha1", "kind": "List", "metadata": {}, "items": listed});
        (StatusCode::OK, list)
    }

    /// A merge patch of the status, or an apply that brings all of it. Either fails where it names another version than the newest.
    fn write_status(&self, plural: &str, name: &str, patch: &Value) -> (StatusCode, Value) {
        let mut state = self.state();
        let key = (plural.to_owned(), name.to_owned());
        let object = state.objects.get_mut(&key).unwrap();
        let base = &patch["metadata"]["resourceVersion"];
        if !base.is_null() && *base != object["metadata"]["resourceVersion"] {
            let conflict = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Conflict", "code": 409});
            return (StatusCode::CONFLICT, conflict);
        }
        json_patch::merge(&mut object["status"], &patch["status"]);
        raise_version(object);
        let written = object.clone();
        state.written.push(written.clone());
        (StatusCode::OK, written)
    }

    fn tell(&self, event: Value) -> (StatusCode, Value) {
        self.state().events.push(event.clone());
        (StatusCode::CREATED, event)
    }
}

fn raise_version(object: &mut Value) {
    let version = &mut object["metadata"]["resourceVersion"];
    let next = version.as_str().unwrap().parse::<u64>().unwrap() + 1;
    *version = json!(next.to_string());
}
