//! The CEL rules of the schemas, with the messages people get. Each returns the value of `x-kubernetes-validations` at its place.
//!
//! Formats are rules with `matches` and not a `pattern`, because a pattern that fails shows the regular expression and
//! nothing else. Rules see a value only after its lengths and types were found right, and cost is estimated from these
//! bounds: a field without one makes the server refuse the whole CRD. Patterns are RE2, and match anywhere unless anchored.

use serde_json::{Value, json};

/// Rules from pairs of expression and message.
fn rules<const N: usize>(rules: [(&str, &str); N]) -> Value {
    rules
        .iter()
        .map(|(rule, message)| json!({"rule": rule, "message": message}))
        .collect()
}

/// One line of text for people: something visible, no control characters, no line breaks. Unicode is welcome.
pub(super) fn line(field: &str) -> Value {
    rules([(
        r"self.matches('^[^\\p{Cc}\\p{Zl}\\p{Zp}]*$') && self.matches('[^\\p{Cc}\\p{Z}]')",
        &format!(
            "{field} must be one line of text that is not blank, without tabs or other control characters"
        ),
    )])
}

/// Name of a namespaced object (RFC 1123 subdomain).
pub(super) fn object_name() -> Value {
    rules([(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "name must be the name of an object: lower case letters, digits, '-' and '.', beginning and ending with a letter or digit",
    )])
}

/// Name of a namespace (RFC 1123 label).
pub(super) fn namespace_name() -> Value {
    rules([(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "namespace must be the name of a namespace: lower case letters, digits and '-', beginning and ending with a letter or digit",
    )])
}

/// Key in the data of a Secret or ConfigMap.
pub(super) fn data_key() -> Value {
    rules([(
        "self.matches('^[-._a-zA-Z0-9]+$')",
        "key must be a key of the object's data: letters, digits, '-', '_' and '.'",
    )])
}

/// A date that the calendar has.
pub(super) fn date(field: &str) -> Value {
    // Spelled out month by month: `timestamp()` would fail with its own words on a day that does not exist.
    let rule = concat!(
        "self.matches('^[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))$')",
        " || self.matches('^([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29$')",
    );
    rules([(
        rule,
        &format!("{field} must be a date that exists, as YYYY-MM-DD, for example 2026-12-31"),
    )])
}

/// Time between two heartbeats.
///
/// The minimum is a minute: a beat is a whole turn of the model, which takes tens of seconds, so that with less the next beat
/// is due before the last one is answered; and `30s` is more often a slip for `30m` than meant.
pub(super) fn every() -> Value {
    rules([
        (
            "self == '0m' || self.matches('^[1-9][0-9]{0,4}[smh]$')",
            "every must be a whole number and one unit of s, m or h, for example 30m; write 90m for an hour and a half, and 0m to turn the heartbeat off",
        ),
        (
            "!self.matches('^[1-9][0-9]{0,4}[smh]$') || duration(self) >= duration('1m')",
            "every must be at least 1m, because each beat is a whole turn of the model; write 1m or more, or 0m to turn the heartbeat off",
        ),
    ])
}

/// Age at which a token is replaced. The minimum keeps a slip from writing a file every minute.
pub(super) fn rotate_every() -> Value {
    rules([
        (
            "self.matches('^[1-9][0-9]{0,4}[mh]$')",
            "rotateEvery must be a whole number and one unit of m or h, for example 720h for thirty days",
        ),
        (
            "!self.matches('^[1-9][0-9]{0,4}[mh]$') || duration(self) >= duration('10m')",
            "rotateEvery must be at least 10m, because each rotation writes a file on the gateway; write 10m or more",
        ),
    ])
}

/// Begin of a window of the day.
pub(super) fn start_time() -> Value {
    rules([(
        "self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')",
        "start must be a time of day as HH:MM from 00:00 to 23:59, for example 08:00",
    )])
}

/// End of a window of the day; the gateway takes 24:00 here.
pub(super) fn end_time() -> Value {
    rules([(
        "self.matches('^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$')",
        "end must be a time of day as HH:MM up to 24:00, for example 18:30",
    )])
}

/// A window of the day that is not empty.
pub(super) fn active_hours() -> Value {
    rules([(
        "self.start != self.end",
        "activeHours with the same start and end hold no minute; write 00:00 and 24:00 for the whole day",
    )])
}

/// An IANA time zone by its look, or one of the gateway's two words.
pub(super) fn timezone() -> Value {
    rules([(
        "self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$')",
        "timezone must be an IANA name such as Europe/Berlin or UTC, or user or local",
    )])
}

/// A name that the gateway's file API takes.
pub(super) fn file_name() -> Value {
    rules([(
        "self in ['AGENTS.md', 'SOUL.md', 'IDENTITY.md', 'USER.md', 'BOOTSTRAP.md', 'MEMORY.md']",
        "name must be AGENTS.md, SOUL.md, IDENTITY.md, USER.md, BOOTSTRAP.md or MEMORY.md: an OpenClaw gateway takes no other file",
    )])
}

/// One source at most, and an entry that says something.
pub(super) fn file() -> Value {
    rules([
        (
            "(has(self.content) ? 1 : 0) + (has(self.template) ? 1 : 0) + (has(self.configMapKeyRef) ? 1 : 0) <= 1",
            "a file has one source: set only one of content, template and configMapKeyRef",
        ),
        (
            "has(self.content) || has(self.template) || has(self.configMapKeyRef) || has(self.policy)",
            "a file entry must say something: set content, template or configMapKeyRef for its text, or policy to keep the built-in text under another policy",
        ),
    ])
}

/// An id that OpenClaw stores as it is: its own normalisation leaves only these unchanged, and `openclaw` is reserved there.
pub(super) fn agent_id() -> Value {
    rules([
        (
            "self.matches('^[a-z0-9][a-z0-9_-]{0,63}$')",
            "agentId must be 1 to 64 lower case letters, digits, '-' and '_', beginning with a letter or digit: OpenClaw would rewrite anything else",
        ),
        (
            "self != 'openclaw'",
            "agentId openclaw is reserved by OpenClaw itself; choose another",
        ),
        // The gateway takes a patch with such a key, says that nothing changed, and writes nothing.
        (
            "!(self in ['constructor', 'prototype'])",
            "agentId cannot be constructor or prototype: OpenClaw passes over these words in its config; choose another",
        ),
    ])
}

/// Address of a gateway.
pub(super) fn url() -> Value {
    let format = concat!(
        "self.matches('^wss?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\])",
        "(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[^\\\\s?#]*)?$')",
    );
    rules([(
        format,
        "url must be ws://HOST[:PORT][/PATH] or wss://HOST[:PORT][/PATH], for example wss://openclaw.openclaw.svc:18789, without user, query or fragment",
    )])
}

/// Where agents reach the operator. It stands in a line for a shell, so nothing that a shell would read.
pub(super) fn agent_api_url() -> Value {
    let format = "self.matches('^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\])(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~/-]*)?$')";
    rules([(
        format,
        "agentApiUrl must be http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], for example http://mission-operator.mission-system:8080, without user, query or fragment",
    )])
}

/// One way to trust.
pub(super) fn tls() -> Value {
    rules([(
        "!(has(self.caSecretRef) && has(self.pinnedSha256))",
        "set only one of caSecretRef and pinnedSha256: a pinned certificate is trusted as it is, whoever signed it",
    )])
}

/// A SHA-256 as people copy it.
pub(super) fn sha256() -> Value {
    rules([(
        "self.matches('^([0-9A-Fa-f]{64}|([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2})$')",
        "pinnedSha256 must be a SHA-256 in hex: 64 digits, or 32 pairs with colons between them, as openssl x509 -noout -fingerprint -sha256 shows it",
    )])
}

/// A name that a certificate can carry.
pub(super) fn server_name() -> Value {
    rules([(
        "self.matches('^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$') || isIP(self)",
        "serverName must be a host name or an IP address, for example openclaw.internal",
    )])
}

/// One credential.
pub(super) fn auth() -> Value {
    rules([(
        "has(self.tokenSecretRef) != has(self.passwordSecretRef)",
        "set exactly one of tokenSecretRef and passwordSecretRef, the one that the gateway's gateway.auth.mode asks for",
    )])
}

/// A selector where, and only where, it is used.
pub(super) fn allowed_namespaces() -> Value {
    rules([(
        "(self.from == 'Selector') == has(self.selector)",
        "selector goes with from: Selector, and only with it; an empty selector {} matches every namespace",
    )])
}

/// Values where the operator of a label selector's requirement asks for them; elsewhere the selector could not be read.
pub(super) fn selector_requirement() -> Value {
    rules([(
        "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
        "In and NotIn need values, at least one; Exists and DoesNotExist take none",
    )])
}

/// A folder that the gateway, not we, resolves.
pub(super) fn workspace_root() -> Value {
    rules([(
        "self.matches('^(/|~$|~/)[^\\\\p{Cc}]*$')",
        "workspaceRoot must be an absolute path on the gateway's machine or begin with ~/, for example ~/.openclaw",
    )])
}

/// What a Gateway may not change.
pub(super) fn gateway() -> Value {
    rules([
        (
            "!has(self.tls) || self.url.startsWith('wss://')",
            "tls goes with a url that begins with wss://: write wss://, or remove tls",
        ),
        (
            "has(self.workspaceRoot) == has(oldSelf.workspaceRoot) && (!has(self.workspaceRoot) || self.workspaceRoot == oldSelf.workspaceRoot)",
            "workspaceRoot is immutable, because agents have their workspaces under it: keep the value (or its absence), or create another Gateway",
        ),
    ])
}

/// What a confirmed goal needs.
pub(super) fn board() -> Value {
    rules([(
        "!has(self.goalConfirmed) || !self.goalConfirmed || (has(self.type) && self.type == 'General') || (has(self.objective) && has(self.successMetrics))",
        "a confirmed goal needs objective and successMetrics: set both, or goalConfirmed: false, or type: General",
    )])
}

/// One home, and what an Agent may not change.
pub(super) fn agent() -> Value {
    rules([
        (
            "has(self.boardRef) != has(self.gatewayRef)",
            "set exactly one of boardRef and gatewayRef: boardRef for an agent on a Board, gatewayRef for one without",
        ),
        (
            "self.role != 'Lead' || has(self.boardRef)",
            "an agent of role Lead needs boardRef: name the Board that it leads, or choose role Worker",
        ),
        (
            "self.role != 'Main' || has(self.gatewayRef)",
            "an agent of role Main needs gatewayRef: name the Gateway that it serves, or choose role Worker or Lead",
        ),
        (
            "has(self.agentId) == has(oldSelf.agentId) && (!has(self.agentId) || self.agentId == oldSelf.agentId)",
            "agentId is immutable, set or not: keep it as it was, or delete this Agent and create it anew",
        ),
    ])
}
