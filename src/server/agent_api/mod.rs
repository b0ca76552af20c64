//! The API that agents call. Answers come from memory; only what a lead changes goes to the API server.
//!
//! [`router`] serves the calls of [`Operation`] and nothing else, with a document of them at `/openapi.json`. [`caller`] finds out who calls,
//! [`limit`] how often it may, [`body`] and [`check`] look at what it sends; [`read`], [`lead`] and [`soul`] answer. What goes wrong is a [`problem`].

mod added;
mod body;
mod caller;
mod check;
mod cluster;
mod directory;
mod lead;
mod limit;
mod managed;
mod openapi;
mod problem;
mod read;
mod record;
mod soul;
#[cfg(test)]
mod tests;
pub mod types;

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    body::Bytes,
    extract::{RawPathParams, Request, State, rejection::RawPathParamsRejection},
    http::{HeaderName, HeaderValue, Response as HttpResponse, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodFilter, get, on},
};
use data_encoding::HEXLOWER;
use serde::Serialize;
use tracing::Instrument as _;

pub use directory::{AgentsOfBoard, Directory, Found, Objects};
pub use limit::{Limits, Rate};

use crate::{
    metrics::Metrics,
    plan::agent_api::{Operation, ROOT, TOKEN_HEADER},
    unwind::{self, Caught},
};
use added::Added;
use limit::Gate;
use problem::{Kind, Problem};

/// Header of every answer that names the request in logs and problems.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a call comes to.
type Answer = Result<Response, Problem>;

/// Names one request.
#[derive(Clone, Debug)]
struct RequestId(String);

/// What the calls are answered with.
struct Api {
    directory: Directory,
    limits: Limits,
    gate: Gate,
    added: Added,
    metrics: Metrics,
    document: Bytes,
}

/// The router of the port that agents call, with the ordinary [`Limits`]. It has to be served with the addresses of its peers
/// ([`ConnectInfo`](axum::extract::ConnectInfo)), or all callers share the limit of one.
pub fn router(directory: Directory, metrics: Metrics) -> Router {
    router_with(directory, metrics, Limits::default())
}

/// The same with other limits.
pub fn router_with(directory: Directory, metrics: Metrics, limits: Limits) -> Router {
    let api = Arc::new(Api {
        directory,
        limits,
        gate: Gate::new(&limits, metrics.clone()),
        added: Added::default(),
        metrics,
        document: openapi::document().to_string().into(),
    });
    let mut router = Router::new().route("/openapi.json", get(document));
    for operation in Operation::ALL {
        let handler = async move |State(api),
                                  path: Result<RawPathParams, RawPathParamsRejection>,
                                  request: Request| {
            let mut response = serve(api, operation, name(path), request)
                .await
                .into_response();
            response.extensions_mut().insert(operation);
            response
        };
        let path = format!("{ROOT}{}", operation.path());
        router = router.route(&path, on(method(operation), handler));
    }
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), around))
        .with_state(api)
}

fn method(operation: Operation) -> MethodFilter {
    match operation.method() {
        "POST" => MethodFilter::POST,
        "PUT" => MethodFilter::PUT,
        "DELETE" => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    }
}

/// The name in the path. One that is no text is nobody's, as the empty one is: it is told so by the call itself, after all that comes before.
fn name<E>(path: Result<RawPathParams, E>) -> String {
    let path = path.ok();
    let name = path.as_ref().and_then(|path| path.iter().next());
    name.map(|(_, name)| name.to_owned()).unwrap_or_default()
}

async fn no_such_path(State(api): State<Arc<Api>>, request: Request) -> Answer {
    counted(&api, &request)?;
    let detail = "There is no such call. GET /openapi.json lists all that there are.";
    Err(Problem::new(Kind::NoSuchPath, detail))
}

async fn no_such_method(State(api): State<Arc<Api>>, request: Request) -> Answer {
    counted(&api, &request)?;
    let detail = "The call has another method; the header Allow names it.";
    Err(Problem::new(Kind::NoSuchMethod, detail))
}

/// Counts a request for which it does not matter who calls.
fn counted(api: &Api, request: &Request) -> Result<(), Problem> {
    caller::count(api, request.headers(), request.extensions()).map(drop)
}

/// Answers one call.
async fn serve(api: Arc<Api>, operation: Operation, name: String, request: Request) -> Answer {
    let (parts, sent) = request.into_parts();
    let found = caller::count(&api, &parts.headers, &parts.extensions)?;
    if operation == Operation::Healthz {
        return read::healthz();
    }
    caller::admit(&api, operation.caller(), &parts, found)?;
    let sent = body::read(&parts.headers, sent, &api.limits).await?;
    // It may have taken seconds to come, and who may is who may now.
    let found = caller::find(&api, &parts.headers);
    let caller = caller::admit(&api, operation.caller(), &parts, found)?;
    let id = parts.extensions.get::<RequestId>().cloned();
    let id = id.map_or_else(new_id, |RequestId(id)| id);
    match operation {
        Operation::Healthz => read::healthz(),
        Operation::Me => read::me(&api, &caller),
        Operation::Heartbeat => read::heartbeat(&api, &caller, &sent),
        Operation::Agents => read::agents(&api, &caller),
        Operation::Board => read::board(&caller),
        Operation::CreateAgent => settled(&id, lead::create(api, caller, sent.into())).await,
        Operation::DeleteAgent => settled(&id, lead::delete(api, caller, name)).await,
        Operation::SetSoul => settled(&id, soul::set(caller, name, sent.into())).await,
        Operation::Wake => settled(&id, lead::wake(caller, sent.into(), id.clone())).await,
    }
}

/// Brings what was begun in the cluster to its end, whether the caller waits for it or not. What is logged meanwhile names the request.
async fn settled(id: &str, call: impl Future<Output = Answer> + Send + 'static) -> Answer {
    let span = tracing::info_span!("a lead's call", request_id = id);
    let ended = tokio::spawn(call.instrument(span)).await;
    ended.unwrap_or_else(|_| Err(fault()))
}

/// What holds for every request: its id, its count, and that whatever goes wrong is told as a problem.
async fn around(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = new_id();
    request.extensions_mut().insert(RequestId(id.clone()));
    let given = [header::AUTHORIZATION.as_str(), TOKEN_HEADER]
        .map(|name| request.headers().get(name).cloned());
    let mut response = match unwind::catch(next.run(request)).await {
        Ok(response) => response,
        Err(Caught(place)) => {
            let place = place.map(tracing::field::display);
            tracing::error!(place, request_id = %id, "a call of an agent could not be answered");
            fault().into_response()
        }
    };
    let operation = response.extensions().get::<Operation>().copied();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let given = given
            .iter()
            .flatten()
            .filter_map(|value| value.to_str().ok());
        let tokens: Vec<_> = given
            .filter_map(|value| value.split(' ').next_back())
            .collect();
        let told = problem.render(&id, &tokens);
        let allow = response.headers_mut().remove(header::ALLOW);
        response = told;
        response
            .headers_mut()
            .extend(allow.map(|allow| (header::ALLOW, allow)));
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let operation = operation.map_or("none", Operation::id);
    let code = response.status().as_u16();
    tracing::debug!(operation, code, request_id = %id, "a call of an agent was answered");
    api.metrics
        .agent_api_call(operation, code, began.elapsed().as_secs_f64());
    response
}

fn fault() -> Problem {
    let detail = "The operator failed at this call; it is its own fault. Tell a person, with the id of the request.";
    Problem::new(Kind::Fault, detail)
}

fn new_id() -> String {
    HEXLOWER.encode(&rand::random::<[u8; 16]>())
}

fn answer(status: StatusCode, body: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(body).map_err(|_| fault())?;
    Ok(json(status, text.into()))
}

fn json(status: StatusCode, text: Bytes) -> Response {
    let mut response = HttpResponse::new(text.into());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

async fn document(State(api): State<Arc<Api>>, request: Request) -> Answer {
    counted(&api, &request)?;
    Ok(json(StatusCode::OK, api.document.clone()))
}
