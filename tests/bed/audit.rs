//! The API server's audit log: who asked for what, and what RBAC said.
//!
//! A request that RBAC forbids is told by its annotation, not by its status: writes into a terminating namespace are
//! answered 403 too, and are allowed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    path::Path,
};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// Why a server forbids what a role allows that is stored, and that the server has not read yet.
const ROLE_NOT_READ: &str = r#"clusterrole.rbac.authorization.k8s.io "mission-operator" not found"#;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Who asked.
    pub(crate) user: String,
    /// The client program's name for itself.
    pub(crate) user_agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub(crate) verb: String,
    /// API group; empty for the core group.
    pub(crate) group: String,
    /// Resource, with its subresource behind a slash; empty for requests of other URLs.
    pub(crate) resource: String,
    /// Namespace of the object.
    pub(crate) namespace: String,
    /// Name of the object.
    pub(crate) name: String,
    /// HTTP status; 0 while the request is not over.
    pub(crate) code: u16,
    /// Whether RBAC forbade it for want of a rule. A server that starts forbids what comes before it has read its roles; that is
    /// not counted.
    pub(crate) forbidden: bool,
    /// When it came, in the log's own words (RFC 3339, microseconds).
    pub(crate) received: String,
    /// What it was to change, so that a failed test tells it. Nothing where the log's policy leaves bodies out.
    pub(crate) body: Option<Value>,
}

impl Request {
    /// Whether it was meant to change something.
    pub(crate) fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// What RBAC calls it.
    pub(crate) fn permission(&self) -> Rule {
        Rule {
            group: self.group.clone(),
            resource: self.resource.clone(),
            verb: self.verb.clone(),
        }
    }
}

/// One permission: a verb on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Rule {
    /// API group; empty for the core group.
    pub(crate) group: String,
    /// Resource, with its subresource behind a slash.
    pub(crate) resource: String,
    /// Verb.
    pub(crate) verb: String,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        Ok(())
    }
}

/// A line of the log, as far as it is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "auditID")]
    audit_id: String,
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
    #[serde(default)]
    annotations: HashMap<String, String>,
    #[serde(default)]
    request_received_timestamp: String,
    request_object: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl From<Line> for Request {
    fn from(line: Line) -> Self {
        let object = line.object_ref.unwrap_or_default();
        let resource = if object.subresource.is_empty() {
            object.resource
        } else {
            format!("{}/{}", object.resource, object.subresource)
        };
        let annotation = |name: &str| {
            let key = format!("authorization.k8s.io/{name}");
            line.annotations.get(&key).map_or("", String::as_str)
        };
        Self {
            forbidden: annotation("decision") == "forbid"
                && !annotation("reason").contains(ROLE_NOT_READ),
            user: line.user.username,
            user_agent: line.user_agent,
            verb: line.verb,
            group: object.api_group,
            resource,
            namespace: object.namespace,
            name: object.name,
            code: line.response_status.map_or(0, |status| status.code),
            received: line.request_received_timestamp,
            body: line.request_object,
        }
    }
}

/// All requests in the log at `path`, in the order of their first lines.
pub(crate) fn read(path: &Path) -> Result<Vec<Request>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("reading the audit log {}", path.display()))?;
    parse(&text)
}

/// A watch has a line when it begins and one when it ends: it is one request. A last line without its end is still being
/// written and does not count yet.
pub(crate) fn parse(text: &str) -> Result<Vec<Request>> {
    let mut requests: Vec<Request> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        let line: Line = serde_json::from_str(line)
            .with_context(|| format!("the audit log holds {}", line.trim_end()))?;
        let id = line.audit_id.clone();
        let request = Request::from(line);
        if let Some(known) = places.get(&id).and_then(|place| requests.get_mut(*place)) {
            *known = request;
        } else {
            places.insert(id, requests.len());
            requests.push(request);
        }
    }
    Ok(requests)
}

/// Number of requests of `user` by permission.
pub(crate) fn counts(requests: &[Request], user: &str) -> BTreeMap<Rule, usize> {
    let mut counts = BTreeMap::new();
    for request in of_user(requests, user) {
        *counts.entry(request.permission()).or_default() += 1;
    }
    counts
}

/// Requests of `user` that RBAC forbade.
pub(crate) fn forbidden<'a>(
    requests: &'a [Request],
    user: &'a str,
) -> impl Iterator<Item = &'a Request> {
    of_user(requests, user).filter(|request| request.forbidden)
}

/// Those of `rules` that no request of `user` made use of.
pub(crate) fn unused(rules: &[Rule], requests: &[Request], user: &str) -> BTreeSet<Rule> {
    let exercised: BTreeSet<Rule> = of_user(requests, user)
        .filter(|request| !request.forbidden)
        .flat_map(|request| {
            // A server-side apply of what was not there has to be allowed to create as well.
            let created = (request.verb == "patch" && request.code == 201).then(|| Rule {
                verb: "create".to_owned(),
                ..request.permission()
            });
            [request.permission()].into_iter().chain(created)
        })
        .collect();
    rules
        .iter()
        .filter(|rule| !exercised.contains(rule))
        .cloned()
        .collect()
}

/// Requests of `user` by the second in which they came.
pub(crate) fn per_second<'a>(requests: &'a [Request], user: &'a str) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for request in of_user(requests, user) {
        let second = request.received.split('.').next().unwrap_or_default();
        *counts.entry(second).or_default() += 1;
    }
    counts
}

/// Requests of `user`.
pub(crate) fn of_user<'a>(
    requests: &'a [Request],
    user: &'a str,
) -> impl Iterator<Item = &'a Request> {
    requests.iter().filter(move |request| request.user == user)
}
