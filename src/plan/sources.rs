//! Where an Agent's texts stand: which keys of which ConfigMaps they were taken from, whether another content of one of them matters to it, and
//! whose edit mends a text that cannot be used. Pure.
//!
//! A key that was looked for and not there counts as well: once it is there, it may take the place of what was found elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::api::reason::Reason;
use crate::plan::render::{Problem, Text};

/// Namespace and name of a ConfigMap.
pub type MapName = (String, String);

/// Texts of a ConfigMap by key.
pub type Data = BTreeMap<String, String>;

/// SHA-256 of what stood under a key, or that nothing did.
type Found = Option<[u8; 32]>;

/// What was looked up for one Agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<MapName, BTreeMap<String, Found>>);

impl Sources {
    /// The `key` was looked for in a ConfigMap that holds `data`. Answers its text.
    pub fn look_up<'a>(&mut self, map: &MapName, key: &str, data: &'a Data) -> Option<&'a str> {
        let text = data.get(key);
        let keys = self.0.entry(map.clone()).or_default();
        keys.insert(key.to_owned(), text.map(|text| digest(text)));
        text.map(String::as_str)
    }

    /// Whether the Agent would find something else in this ConfigMap, now that it holds `data`.
    #[must_use]
    pub fn differ(&self, map: &MapName, data: &Data) -> bool {
        let keys = self.0.get(map).into_iter().flatten();
        let mut found = keys.map(|(key, before)| data.get(key).map(|text| digest(text)) != *before);
        found.any(|differs| differs)
    }
}

/// Why texts cannot be used, where those of `elsewhere` stand in other objects than the Agent: what can be mended there all by itself keeps
/// nobody from waiting for it.
#[must_use]
pub fn reason(problems: &[Problem], elsewhere: &BTreeSet<Text>) -> Reason {
    let is_elsewhere = |problem: &Problem| match problem.text() {
        Some(text) => elsewhere.contains(&text),
        // All texts together: each can be shortened.
        None => !elsewhere.is_empty(),
    };
    let is_too_large = |problem: &Problem| {
        matches!(
            problem,
            Problem::FileTooLarge { .. } | Problem::TotalTooLarge { .. }
        )
    };
    if problems.iter().all(is_elsewhere) {
        Reason::TextSourceError
    } else if problems.iter().all(is_too_large) {
        Reason::FileTooLarge
    } else {
        Reason::TemplateError
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::render::FileName;

    #[test]
    fn what_another_objects_edit_can_mend_is_told_apart_from_what_only_the_agents_own_can() {
        let [soul, user] = [FileName::Soul, FileName::User].map(Text::File);
        let broken = |text| Problem::NoBuiltIn { text };
        let long = |text| Problem::FileTooLarge {
            text,
            chars: 2,
            limit: 1,
        };
        let total = Problem::TotalTooLarge {
            chars: 2,
            limit: 1,
            longest: FileName::Soul,
        };
        for (problems, elsewhere, expected) in [
            (vec![broken(soul)], vec![], Reason::TemplateError),
            (vec![broken(soul)], vec![user], Reason::TemplateError),
            (vec![broken(soul)], vec![soul], Reason::TextSourceError),
            (vec![long(soul)], vec![soul], Reason::TextSourceError),
            (
                vec![long(soul), broken(user)],
                vec![soul],
                Reason::TemplateError,
            ),
            (vec![long(soul)], vec![], Reason::FileTooLarge),
            (vec![total.clone()], vec![], Reason::FileTooLarge),
            (vec![total], vec![user], Reason::TextSourceError),
        ] {
            let elsewhere = elsewhere.into_iter().collect();
            assert_eq!(reason(&problems, &elsewhere), expected, "{problems:?}");
        }
    }

    fn data(texts: &[(&str, &str)]) -> Data {
        let texts = texts.iter();
        texts
            .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn only_another_text_under_a_key_that_was_looked_for_matters() {
        let house = ("infra".to_owned(), "house".to_owned());
        let other = ("infra".to_owned(), "other".to_owned());
        let before = data(&[("SOUL.md", "old"), ("unused", "old")]);
        let mut sources = Sources::default();
        assert_eq!(sources.look_up(&house, "lead.SOUL.md", &before), None);
        assert_eq!(sources.look_up(&house, "SOUL.md", &before), Some("old"));
        for (map, now, differ) in [
            (&house, &before, false),
            (&house, &data(&[("SOUL.md", "old")]), false),
            (
                &house,
                &data(&[("SOUL.md", "old"), ("unused", "new")]),
                false,
            ),
            (&house, &data(&[("SOUL.md", "new")]), true),
            // Found where nothing was, or gone.
            (
                &house,
                &data(&[("SOUL.md", "old"), ("lead.SOUL.md", "")]),
                true,
            ),
            (&house, &data(&[]), true),
            (&other, &data(&[]), false),
        ] {
            assert_eq!(sources.differ(map, now), differ, "{now:?}");
        }
    }
}
