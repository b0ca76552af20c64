//! Names that the operator puts on objects or reads from them: annotations, the finalizer, the field manager.
//! Only names; what they do is decided in `plan`.

/// A value that differs from the one seen before asks for a full resync of the object at once. The value itself is opaque; a timestamp is usual.
pub const RECONCILE_NOW: &str = "mission.openclaw.dev/reconcile-now";

/// `"true"` on an Agent that is being deleted lets it go without waiting for a gateway that is away. What is on the gateway stays there.
pub const FORCE_DELETE: &str = "mission.openclaw.dev/force-delete";

/// Another value than before replaces the token of an Agent once, as `spec.token.rotate` does.
pub const ROTATE_TOKEN: &str = "mission.openclaw.dev/rotate-token";

/// Another value than before resets the main session of an Agent once, as `spec.session.reset` does.
pub const RESET_SESSION: &str = "mission.openclaw.dev/reset-session";

/// Another value than before wakes an Agent once, as `spec.wake.now` does.
pub const WAKE: &str = "mission.openclaw.dev/wake";

/// What an Agent is told when the annotation `wake` wakes it, in place of `spec.wake.message`.
pub const WAKE_MESSAGE: &str = "mission.openclaw.dev/wake-message";

/// On an agent's token Secret: when its newest token was minted.
pub const MINTED_AT: &str = "mission.openclaw.dev/minted-at";

/// On an agent's token Secret: the values of `token.rotate` and `rotate-token` that its newest token was minted for, as JSON. Absent where it was minted for another cause.
pub const MINTED_FOR: &str = "mission.openclaw.dev/minted-for";

/// On an Agent that a Board or a Gateway declares: SHA-256, in hex, of what was applied. Tells a field that is not declared any more from one that a person set.
pub const DECLARED: &str = "mission.openclaw.dev/declared-sha256";

/// Label of an Agent that a lead added through the API that agents call, and of the ConfigMap with its SOUL.md: the lead's name, an over-long
/// one cut. The annotation of the same name holds the whole name.
pub const CREATED_BY: &str = "mission.openclaw.dev/created-by";

/// On a ConfigMap with a SOUL.md: why a lead changed the text last, in its own words.
pub const CHANGE_REASON: &str = "mission.openclaw.dev/change-reason";

/// Finalizer of Gateways and Agents: the object stays until its part on the gateway is cleaned up. Nothing of a Board is on a gateway.
pub const FINALIZER: &str = "mission.openclaw.dev/cleanup";

/// Field manager of every server-side apply of the operator, and `reportingController` of its events.
pub const FIELD_MANAGER: &str = "mission-operator";

/// Label, with [`FIELD_MANAGER`] as its value, of everything that the operator makes.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Field manager of what leads write through the API that agents call, so that it is told from what the operator itself writes.
pub const AGENT_API_FIELD_MANAGER: &str = "mission-operator-agent-api";
