//! Manifests as people write them: a team with its Gateway, and many Agents of one pattern.

use std::ops::Range;

/// Name of the Gateway of every team.
pub(crate) const GATEWAY: &str = "main";

/// Time between two heartbeats in every team. The gateway chooses when in it an agent beats: so long that no beat comes while a test counts,
/// and less than the 24 days that its timers hold.
pub(crate) const EVERY: &str = "240h";

/// A namespace with a Gateway that reaches `url`, and its Secret.
pub(crate) fn team(namespace: &str, url: &str, token: &str) -> String {
    format!(
        "{}---
apiVersion: v1
kind: Secret
metadata: {{name: openclaw, namespace: {namespace}}}
stringData: {{token: {token}}}
---
apiVersion: mission.openclaw.dev/v1alpha1
kind: Gateway
metadata: {{name: {GATEWAY}, namespace: {namespace}}}
spec:
  url: {url}
  auth: {{tokenSecretRef: {{name: openclaw, key: token}}}}
  heartbeat: {{every: {EVERY}, target: none}}
",
        self::namespace(namespace)
    )
}

/// A namespace.
pub(crate) fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
}

/// The Agents `a<n>` of a team, for each `n` of `numbers`.
pub(crate) fn agents(namespace: &str, numbers: Range<usize>) -> String {
    numbers
        .map(|n| agent(namespace, &format!("a{n}")))
        .collect::<Vec<_>>()
        .join("---\n")
}

/// One Agent of a team. It is not woken: what its turn brings comes when it comes, and would be counted with something else.
pub(crate) fn agent(namespace: &str, name: &str) -> String {
    format!(
        "apiVersion: mission.openclaw.dev/v1alpha1
kind: Agent
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  gatewayRef: {{name: {GATEWAY}}}
  displayName: Agent {name}
  identity: {{role: Tester}}
  heartbeat: {{checklist: \"- Is {name} still here?\"}}
  wake: {{policy: Never}}
"
    )
}

/// A Board of a team, and one Agent on it, which is woken when it was made.
pub(crate) fn board(namespace: &str, name: &str, agent: &str) -> String {
    format!(
        "apiVersion: mission.openclaw.dev/v1alpha1
kind: Board
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  gatewayRef: {{name: {GATEWAY}}}
  objective: Stand still.
---
apiVersion: mission.openclaw.dev/v1alpha1
kind: Agent
metadata: {{name: {agent}, namespace: {namespace}}}
spec:
  boardRef: {{name: {name}}}
"
    )
}

/// Several manifests as one.
pub(crate) fn together(parts: &[&str]) -> String {
    parts.join("---\n")
}
