//! An API server as far as a lead's calls go: objects by namespace, kind and name, and what was asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use ::kube::{Client, client::Body};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tower::service_fn;

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) what: String,
    pub(super) query: String,
    pub(super) body: Value,
}

#[derive(Clone)]
pub(super) struct Server(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Requests wait for these.
    gate: Semaphore,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    asked: Vec<Asked>,
    refusal: Option<Refusal>,
    /// Answers to requests of this kind are lost, once; what was asked for is done.
    lost: Option<String>,
}

/// What requests of a kind are answered with instead.
struct Refusal {
    /// With what the request begins, such as `POST team/configmaps`.
    of: String,
    code: u16,
    status: Value,
}

impl Server {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }))
    }

    pub(super) fn client(&self) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, std::convert::Infallible>(server.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Requests wait until this is undone.
    pub(super) fn hold(&self) -> tokio::sync::SemaphorePermit<'_> {
        let all = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        self.0.gate.try_acquire_many(all).unwrap()
    }

    pub(super) fn put(&self, plural: &str, object: &impl serde::Serialize) {
        let object = json!(object);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let namespace = object["metadata"]["namespace"].as_str().unwrap().to_owned();
        let key = format!("{namespace}/{plural}/{name}");
        self.state().objects.insert(key, object);
    }

    pub(super) fn get(&self, key: &str) -> Option<Value> {
        self.state().objects.get(key).cloned()
    }

    pub(super) fn remove(&self, key: &str) {
        self.state().objects.remove(key);
    }

    pub(super) fn refuse(&self, of: &str, code: u16, status: &Value) {
        let whole =
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code});
        let mut whole = whole;
        json_patch::merge(&mut whole, status);
        self.state().refusal = Some(Refusal {
            of: of.to_owned(),
            code,
            status: whole,
        });
    }

    /// The answer to the next request of a kind is lost: it is done, and the caller is told of a failure.
    pub(super) fn lose(&self, of: &str) {
        self.state().lost = Some(of.to_owned());
    }

    /// What was asked since this was called last.
    pub(super) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    /// The same, methods and paths alone.
    pub(super) fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.what).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let _passed = self.0.gate.acquire().await.unwrap();
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let (_, path) = parts.uri.path().split_once("/namespaces/").unwrap();
        let asked = Asked {
            what: format!("{} {path}", parts.method),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            body: body.clone(),
        };
        let mut state = self.state();
        let refused = state
            .refusal
            .as_ref()
            .filter(|refusal| asked.what.starts_with(&refusal.of))
            .map(|refusal| (refusal.code, refusal.status.clone()));
        let is_lost = state
            .lost
            .take_if(|of| asked.what.starts_with(of.as_str()))
            .is_some();
        state.asked.push(asked);
        let applies = parts.headers.get(header::CONTENT_TYPE);
        let applies = applies.is_some_and(|kind| kind == "application/apply-patch+yaml");
        let (code, answer) =
            refused.unwrap_or_else(|| state.take(&parts.method, path, body, applies));
        let (code, answer) = if is_lost {
            let status =
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 504});
            (504, status)
        } else {
            (code, answer)
        };
        Response::builder()
            .status(StatusCode::from_u16(code).unwrap())
            .body(Body::from(answer.to_string().into_bytes()))
            .unwrap()
    }
}

impl State {
    fn take(&mut self, method: &Method, path: &str, body: Value, applies: bool) -> (u16, Value) {
        let failed = |code: u16, reason: &str| {
            (
                code,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}),
            )
        };
        if method == Method::POST {
            let name = body["metadata"]["name"].as_str().unwrap();
            let key = format!("{path}/{name}");
            if self.objects.contains_key(&key) {
                return failed(409, "AlreadyExists");
            }
            let mut made = body;
            made["metadata"]["uid"] = json!(format!("uid-{}", key.replace('/', "-")));
            self.objects.insert(key, made.clone());
            return (201, made);
        }
        let Some(object) = self.objects.get_mut(path) else {
            return failed(404, "NotFound");
        };
        let is = &object["metadata"];
        let wanted = [
            (&body["metadata"]["uid"], &is["uid"]),
            (&body["metadata"]["resourceVersion"], &is["resourceVersion"]),
            (&body["preconditions"]["uid"], &is["uid"]),
            (
                &body["preconditions"]["resourceVersion"],
                &is["resourceVersion"],
            ),
        ];
        if wanted
            .iter()
            .any(|(wanted, is)| !wanted.is_null() && wanted != is)
        {
            return failed(409, "Conflict");
        }
        if method == Method::PATCH {
            let files = object["spec"]["files"].clone();
            json_patch::merge(object, &body);
            // A list with a key: the entries of others stay.
            if let (true, Value::Array(files)) = (applies, files) {
                let all = object["spec"]["files"].as_array_mut().unwrap();
                let others = files.into_iter().filter(|file| file["name"] != "SOUL.md");
                all.extend(others);
            }
            return (200, object.clone());
        }
        let there = object.clone();
        if method == Method::DELETE {
            self.objects.remove(path);
        }
        (200, there)
    }
}
