//! What a request to an API server asks for, read from its method and path as the server itself reads them.

use std::fmt;

use hyper::{Method, Uri};

/// A verb on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Call {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub(crate) verb: &'static str,
    /// Plural of the resource, with its subresource behind a slash; the whole path for what is no resource.
    pub(crate) resource: String,
    /// Name of the object; empty where the request is about none in particular.
    pub(crate) name: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)
    }
}

impl Call {
    pub(super) fn of(method: &Method, uri: &Uri) -> Self {
        let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
        let in_group = match parts.next() {
            Some("api") => parts.next().is_some(),
            Some("apis") => parts.next().is_some() && parts.next().is_some(),
            _ => false,
        };
        let mut parts: Vec<&str> = parts.collect();
        // Of a namespace itself: two parts; of what is in one: at least a third.
        if parts.first() == Some(&"namespaces") && parts.len() > 2 {
            parts.drain(..2);
        }
        let (resource, name) = match (in_group, parts.as_slice()) {
            (true, [resource]) => ((*resource).to_owned(), String::new()),
            (true, [resource, name]) => ((*resource).to_owned(), (*name).to_owned()),
            (true, [resource, name, subresource, ..]) => {
                (format!("{resource}/{subresource}"), (*name).to_owned())
            }
            _ => (uri.path().to_owned(), String::new()),
        };
        let has_name = !name.is_empty() || !in_group;
        let is_watch = uri
            .query()
            .is_some_and(|query| query.split('&').any(|pair| pair.starts_with("watch=t")));
        let verb = match (method.as_str(), has_name) {
            ("GET", _) if is_watch => "watch",
            ("GET", true) => "get",
            ("GET", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ => "other",
        };
        Self {
            verb,
            resource,
            name,
        }
    }

    /// Whether it is meant to change something.
    pub(crate) fn is_write(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch")
    }

    /// Whether it is this verb on this resource.
    pub(crate) fn is(&self, verb: &str, resource: &str) -> bool {
        self.verb == verb && self.resource == resource
    }
}
