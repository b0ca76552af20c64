//! Which id an Agent has on its gateway, and what follows from it.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Longest agent id that OpenClaw keeps as it is (gateway: `^[a-z0-9][a-z0-9_-]{0,63}$`).
const LONGEST: usize = 64;

/// The id of an Agent that names none: `<namespace>_<name>`, dots of the name written `_`.
///
/// Names hold no `_` and namespaces no dot, so two Agents never get one id. Over 64 characters the id is cut and ends in `-` and 8 hex digits of the whole's SHA-256.
#[must_use]
pub fn derived(namespace: &str, name: &str) -> String {
    let whole = format!("{namespace}_{name}");
    let id = whole.replace('.', "_");
    if id.len() <= LONGEST {
        return id;
    }
    // Of the text with its dots: `a.b` and `a-b`, cut at the same place, must not meet.
    let mut digest = HEXLOWER.encode(&Sha256::digest(whole.as_bytes()));
    digest.truncate(8);
    let kept: String = id.chars().take(LONGEST - 9).collect();
    format!("{kept}-{digest}")
}

/// What an explicit id must begin with when the Agent lives in another namespace than its Gateway.
#[must_use]
pub fn foreign_prefix(namespace: &str) -> String {
    format!("{namespace}_")
}

/// The agent's main session.
#[must_use]
pub fn session_key(agent_id: &str) -> String {
    format!("agent:{agent_id}:main")
}

/// The agent's workspace under the Gateway's `workspaceRoot`, which is never expanded.
#[must_use]
pub fn workspace(root: &str, agent_id: &str) -> String {
    format!("{}/workspace-{agent_id}", root.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_readable_where_they_fit() {
        assert_eq!(derived("team-research", "analyst"), "team-research_analyst");
        assert_eq!(derived("team", "a.b-c.d"), "team_a_b-c_d");
        let long = derived("team", &"x".repeat(253));
        assert_eq!(long.len(), 64);
        assert!(
            long.starts_with("team_xxx") && long.as_bytes()[55] == b'-',
            "{long}"
        );
    }

    #[test]
    fn a_workspace_stands_under_the_root_as_written() {
        assert_eq!(
            workspace("~/.openclaw/", "t_a"),
            "~/.openclaw/workspace-t_a"
        );
    }

    const NAMESPACE: &str = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
    const NAME: &str = "[a-z0-9]([a-z0-9.-]{0,120}[a-z0-9])?";

    proptest! {
        #[test]
        fn openclaw_keeps_every_derived_id_as_it_is(namespace in NAMESPACE, name in NAME) {
            let id = derived(&namespace, &name);
            prop_assert!(id.len() <= 64);
            prop_assert!(id.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
            prop_assert!(id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-'));
        }

        #[test]
        fn different_agents_get_different_ids(a in (NAMESPACE, NAME), b in (NAMESPACE, NAME)) {
            prop_assume!(a != b);
            prop_assert_ne!(derived(&a.0, &a.1), derived(&b.0, &b.1));
        }
    }
}
