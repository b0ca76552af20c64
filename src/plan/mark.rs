//! The ownership mark: the last line of the AGENTS.md that we write, which names the cluster, namespace and name of the `Agent`.
//!
//! It lets a recreated or restored object find its agent on the gateway again, and tells ours from somebody else's.
//! Only text is judged here; who may act on a mark is decided elsewhere.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

const OPEN: &str = "<!-- mission-operator: ";
const CLOSE: &str = " -->";
/// Last word of a mark whose agent was there before its `Agent`.
const ADOPTED: &str = "adopted=true";

/// Longest cluster id, in characters: as long as a Kubernetes label value.
const CLUSTER_ID_MAX: usize = 63;

/// Says which cluster an object lives in: 1 to 63 ASCII letters, digits, `.`, `_` and `-`.
///
/// The characters are limited so that the id can stand in a comment line, a label and a log without quoting.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterId(String);

impl ClusterId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ClusterId {
    type Err = InvalidClusterId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_word(text) && text.len() <= CLUSTER_ID_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidClusterId(text.to_owned()))
        }
    }
}

/// A cluster id that cannot stand in a mark.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "the cluster id {0:?} cannot be used; write 1 to {CLUSTER_ID_MAX} letters, digits, dots, underscores or hyphens"
)]
pub struct InvalidClusterId(String);

/// Whose an agent on a gateway is. Two marks are equal where they name the same `Agent`, however it came by its agent.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The cluster that the `Agent` object lives in.
    pub cluster_id: ClusterId,
    /// The `Agent`'s namespace, a Kubernetes name.
    pub namespace: String,
    /// The `Agent`'s name, a Kubernetes name.
    pub name: String,
    /// The agent was there before: who finds it again without a record must know that most of its entry is not the operator's.
    pub adopted: bool,
}

impl PartialEq for Mark {
    fn eq(&self, other: &Self) -> bool {
        self.cluster_id == other.cluster_id
            && self.namespace == other.namespace
            && self.name == other.name
    }
}

impl Eq for Mark {}

impl Mark {
    /// The mark as one line, without a line break.
    #[must_use]
    pub fn line(&self) -> String {
        let adopted = if self.adopted {
            format!(" {ADOPTED}")
        } else {
            String::new()
        };
        format!(
            "{OPEN}cluster={} namespace={} name={}{adopted}{CLOSE}",
            self.cluster_id, self.namespace, self.name
        )
    }

    /// Adds the mark as the last line of `text`.
    ///
    /// A line break is put in front whatever `text` ends in, so that [`strip`] can give back exactly what was there.
    #[must_use]
    pub fn append(&self, text: &str) -> String {
        format!("{text}\n{}\n", self.line())
    }

    /// The mark that `text` carries, if any.
    ///
    /// Only the last line that is not blank counts: a mark anywhere else is somebody's text, not ours.
    /// A file whose line ends were changed to CRLF, or that got spaces or blank lines at its end, keeps its mark.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        Self::parse(last_line(text).1)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(OPEN)?.strip_suffix(CLOSE)?.split(' ');
        let cluster_id = words.next()?.strip_prefix("cluster=")?;
        let namespace = words.next()?.strip_prefix("namespace=")?;
        let name = words.next()?.strip_prefix("name=")?;
        let last = words.next();
        if last.is_some_and(|last| last != ADOPTED)
            || words.next().is_some()
            || !is_word(namespace)
            || !is_word(name)
        {
            return None;
        }
        Some(Self {
            cluster_id: cluster_id.parse().ok()?,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            adopted: last.is_some(),
        })
    }
}

/// `text` without its mark, as it was before [`Mark::append`]; text without a mark comes back as it is.
#[must_use]
pub fn strip(text: &str) -> &str {
    let (before, line) = last_line(text);
    if Mark::parse(line).is_none() {
        return text;
    }
    let crlf = text
        .get(before.len() + line.len()..)
        .is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with("\r\n"));
    let Some(kept) = before.strip_suffix('\n') else {
        return before;
    };
    // A carriage return goes only where the mark's own line ends in one: otherwise it is part of what was there.
    if crlf {
        kept.strip_suffix('\r').unwrap_or(kept)
    } else {
        kept
    }
}

/// Everything before the last line that is not blank, with its line break; and that line, without what is blank after it.
fn last_line(text: &str) -> (&str, &str) {
    let text = text.trim_end();
    text.rfind('\n')
        .map_or(("", text), |at| text.split_at(at + 1))
}

/// Whether `text` is one or more of the characters that Kubernetes names and cluster ids are made of.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark() -> Mark {
        Mark {
            cluster_id: "prod-1".parse().unwrap(),
            namespace: "team-a".to_owned(),
            name: "analyst.v2".to_owned(),
            adopted: false,
        }
    }

    const LINE: &str = "<!-- mission-operator: cluster=prod-1 namespace=team-a name=analyst.v2 -->";

    #[test]
    fn a_mark_is_one_comment_line_at_the_end() {
        assert_eq!(mark().line(), LINE);
        assert_eq!(mark().append("# Rules\n"), format!("# Rules\n\n{LINE}\n"));
    }

    #[test]
    fn a_mark_tells_an_agent_that_was_adopted_and_is_the_same_mark() {
        let adopted = Mark {
            adopted: true,
            ..mark()
        };
        let line = LINE.replace(" -->", " adopted=true -->");
        assert_eq!(adopted.line(), line);
        let found = Mark::find(&adopted.append("# Rules\n")).unwrap();
        assert!(found.adopted);
        assert_eq!(found, mark());
        assert!(!Mark::find(LINE).unwrap().adopted);
        assert_eq!(strip(&adopted.append("# Rules\n")), "# Rules\n");
    }

    #[test]
    fn a_mark_is_found_in_spite_of_crlf_trailing_spaces_and_blank_lines() {
        for text in [
            LINE.to_owned(),
            format!("# Rules\n{LINE}"),
            format!("# Rules\r\n{LINE}\r\n"),
            format!("# Rules\n{LINE}  \t\n\n \n"),
        ] {
            assert_eq!(Mark::find(&text), Some(mark()), "{text:?}");
        }
    }

    #[test]
    fn a_mark_that_is_not_the_last_line_or_is_damaged_does_not_count() {
        for text in [
            String::new(),
            format!("{LINE}\nmore text\n"),
            format!("see {LINE}"),
            format!("  {LINE}"),
            format!("{LINE} and more"),
            "<!-- mission-operator: cluster=prod-1 namespace=team-a -->".to_owned(),
            "<!-- mission-operator: cluster= namespace=team-a name=x -->".to_owned(),
            "<!-- mission-operator: cluster=c namespace=a b name=x -->".to_owned(),
            "<!-- mission-operator: cluster=c namespace=a name=x y=z -->".to_owned(),
            "<!-- mission-operator: cluster=c namespace=a name=x adopted=true y=z -->".to_owned(),
        ] {
            assert_eq!(Mark::find(&text), None, "{text:?}");
            assert_eq!(strip(&text), text);
        }
    }

    #[test]
    fn our_mark_wins_over_one_that_stands_in_the_text() {
        let text = "<!-- mission-operator: cluster=other namespace=x name=y -->\n";
        let marked = mark().append(text);
        assert_eq!(Mark::find(&marked), Some(mark()));
        assert_eq!(strip(&marked), text);
    }

    #[test]
    fn stripping_a_file_that_was_turned_to_crlf_leaves_no_stray_carriage_return() {
        let marked = mark().append("one\ntwo").replace('\n', "\r\n");
        assert_eq!(strip(&marked), "one\r\ntwo");
    }

    #[test]
    fn a_cluster_id_that_would_break_the_line_is_refused() {
        for text in ["", "a b", "a-->", "a\nb", "é", &"x".repeat(64)] {
            assert!(text.parse::<ClusterId>().is_err(), "{text:?}");
        }
        assert!("x".repeat(63).parse::<ClusterId>().is_ok());
    }

    proptest! {
        #[test]
        fn what_is_appended_is_found_and_stripped(
            text in "(?s).{0,80}",
            cluster in "[A-Za-z0-9._-]{1,63}",
            namespace in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?",
            name in "[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?",
            adopted: bool,
        ) {
            let mark = Mark { cluster_id: cluster.parse().unwrap(), namespace, name, adopted };
            let marked = mark.append(&text);
            let found = Mark::find(&marked);
            prop_assert_eq!(found.as_ref().map(|it| it.adopted), Some(adopted));
            prop_assert_eq!(found, Some(mark));
            prop_assert_eq!(strip(&marked), text);
        }

        #[test]
        fn text_is_never_cut_within_what_was_there(text in "[ab\r\n \t]{0,12}") {
            let marked = mark().append(&text);
            prop_assert_eq!(strip(&marked), text);
        }
    }
}
