//! Whose wish a patch was refused for, from the paths that the gateway names, and what it keeps otherwise than it was wished. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::{EntryWish, Issue};

const ROSTER: &str = "agents.entries.";

/// Who is to blame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// These agents, each with what is said about it.
    Agents(BTreeMap<String, Vec<Issue>>),
    /// Something that no wish touches: the document was refused already.
    Others,
    /// The gateway names no path.
    Unknown,
}

/// Judges a refusal. `changed` are the agents whose entries the patch would have changed.
pub(super) fn blame(changed: &BTreeSet<String>, issues: &[Issue]) -> Blame {
    let mut blamed: BTreeMap<String, Vec<Issue>> = BTreeMap::new();
    for issue in issues {
        let agent = issue
            .path
            .strip_prefix(ROSTER)
            .map(|path| path.split('.').next().unwrap_or(path))
            .filter(|agent| changed.contains(*agent));
        if let Some(agent) = agent {
            blamed
                .entry(agent.to_owned())
                .or_default()
                .push(issue.clone());
        }
    }
    if !blamed.is_empty() {
        Blame::Agents(blamed)
    } else if issues.iter().any(|issue| !issue.path.is_empty()) {
        Blame::Others
    } else {
        Blame::Unknown
    }
}

/// The gateway's words about one agent in one line.
pub(super) fn words(issues: &[Issue]) -> String {
    let lines: Vec<_> = issues
        .iter()
        .map(|issue| format!("{}: {}", issue.path, issue.message))
        .collect();
    lines.join("; ")
}

/// The gateway spells some values in its own way, such as the provider of a model, and what it keeps is not what was wished. The same
/// again would bring the same.
pub(super) fn kept_otherwise(wish: &EntryWish, entry: Option<&Value>, paths: &[String]) -> String {
    let issues: Vec<Issue> = paths
        .iter()
        .map(|path| {
            let pointer = format!("/{}", path.replace('.', "/"));
            let kept = entry.and_then(|entry| entry.pointer(&pointer));
            let message = match (kept, wish.set.get(path)) {
                (Some(kept), Some(sent)) => {
                    format!("the gateway keeps {kept} where {sent} was sent; write {kept}")
                }
                _ => "the gateway takes this and keeps nothing of it".to_owned(),
            };
            let path = format!("agents.entries.{}.{path}", wish.agent_id);
            Issue { path, message }
        })
        .collect();
    words(&issues)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(path: &str) -> Issue {
        Issue {
            path: path.to_owned(),
            message: "bad".to_owned(),
        }
    }

    fn judge(paths: &[&str]) -> Blame {
        let changed = ["m1", "m4", "a-b_c"].map(str::to_owned).into();
        let issues: Vec<_> = paths.iter().map(|path| issue(path)).collect();
        blame(&changed, &issues)
    }

    #[test]
    fn agents_are_blamed_by_path() {
        let Blame::Agents(blamed) = judge(&[
            "agents.entries.m1.heartbeat.every",
            "agents.entries.m4.model",
            "agents.entries.m4",
            "agents.entries.a-b_c.heartbeat.target",
            "gateway.port",
            "agents.entries.m10.name",
        ]) else {
            panic!("nobody blamed");
        };
        let counts: Vec<_> = blamed
            .iter()
            .map(|(id, issues)| (id.as_str(), issues.len()))
            .collect();
        assert_eq!(counts, [("a-b_c", 1), ("m1", 1), ("m4", 2)]);
    }

    #[test]
    fn what_no_wish_touches_blames_nobody() {
        assert_eq!(judge(&["agents.entries.other.name"]), Blame::Others);
        assert_eq!(judge(&["gateway.port"]), Blame::Others);
        assert_eq!(judge(&[]), Blame::Unknown);
        assert_eq!(judge(&[""]), Blame::Unknown);
    }
}
