//! What a changed value asks for once: rotating a token, resetting a session, waking. In a spec, or in an annotation for people and for
//! Argo CD's actions, which a sync does not take back.
//!
//! A value acts where it differs from the one that is recorded. One that is not there never acts, and the first look at an object
//! without a record only records: an object that was restored, or taken over from another cluster, does nothing by itself.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::api::{Agent, annotation};

/// Recorded values by what they stand for.
pub type Values = BTreeMap<String, String>;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Once {
    /// Replace the token.
    RotateToken,
    /// Reset the main session.
    ResetSession,
    /// Wake the agent.
    Wake,
}

impl Once {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RotateToken, Self::ResetSession, Self::Wake];

    /// Its name in the record where the spec asks, and where an annotation does.
    const fn keys(self) -> [&'static str; 2] {
        match self {
            Self::RotateToken => ["token.rotate", "rotate-token"],
            Self::ResetSession => ["session.reset", "reset-session"],
            Self::Wake => ["wake.now", "wake"],
        }
    }

    /// The values that ask for it now, by their names in the record.
    #[must_use]
    pub fn asked(self, agent: &Agent) -> Values {
        let spec = &agent.spec;
        let (from_spec, annotation) = match self {
            Self::RotateToken => (
                spec.token.as_ref().and_then(|token| token.rotate.clone()),
                annotation::ROTATE_TOKEN,
            ),
            Self::ResetSession => (
                spec.session
                    .as_ref()
                    .and_then(|session| session.reset.clone()),
                annotation::RESET_SESSION,
            ),
            Self::Wake => (
                spec.wake.as_ref().and_then(|wake| wake.now.clone()),
                annotation::WAKE,
            ),
        };
        let annotated = agent.annotations().get(annotation).cloned();
        let [spec_key, annotation_key] = self.keys();
        [(spec_key, from_spec), (annotation_key, annotated)]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect()
    }

    /// The value that asks for it and was not acted on yet.
    #[must_use]
    pub fn due(self, agent: &Agent, recorded: Option<&Values>) -> Option<String> {
        let recorded = recorded?;
        let mut asked = self.asked(agent).into_iter();
        asked
            .find(|(key, value)| recorded.get(key) != Some(value))
            .map(|(_, value)| value)
    }

    /// Whether its annotation asks for it and was not acted on yet: another value would take its place.
    #[must_use]
    pub fn is_annotated(self, agent: &Agent, recorded: Option<&Values>) -> bool {
        let [_, key] = self.keys();
        let asked = self.asked(agent);
        let value = asked.get(key);
        value.is_some() && recorded.and_then(|recorded| recorded.get(key)) != value
    }

    /// Records that what is asked for now was acted on.
    pub fn done(self, agent: &Agent, recorded: &mut Option<Values>) {
        recorded.get_or_insert_default().extend(self.asked(agent));
    }

    /// Records of what is asked for now only these values: those that were acted on, as something else than the record tells.
    pub fn done_for(self, agent: &Agent, recorded: &mut Option<Values>, values: &Values) {
        let asked = self.asked(agent).into_iter();
        let done = asked.filter(|(key, value)| values.get(key) == Some(value));
        recorded.get_or_insert_default().extend(done);
    }
}

/// Records what stands in an object that has no record yet, without acting on it.
pub fn begin(agent: &Agent, recorded: &mut Option<Values>) {
    if recorded.is_none() {
        let all = Once::ALL.into_iter().flat_map(|once| once.asked(agent));
        *recorded = Some(all.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{AgentSpec, token::TokenSpec};

    fn asking(rotate: Option<&str>, annotated: Option<&str>) -> Agent {
        let spec = AgentSpec {
            token: rotate.map(|value| TokenSpec {
                rotate: Some(value.to_owned()),
                rotate_every: None,
            }),
            ..AgentSpec::default()
        };
        let mut agent = Agent::new("agent", spec);
        if let Some(value) = annotated {
            agent
                .annotations_mut()
                .insert(annotation::ROTATE_TOKEN.to_owned(), value.to_owned());
        }
        agent
    }

    #[test]
    fn a_value_acts_once_and_only_where_it_differs_from_the_record() {
        let due = |agent: &Agent, recorded: &Option<Values>| {
            Once::RotateToken.due(agent, recorded.as_ref())
        };
        let mut recorded = None;
        // The first look only records.
        let first = asking(Some("a"), Some("x"));
        assert_eq!(due(&first, &recorded), None);
        begin(&first, &mut recorded);
        assert_eq!(due(&first, &recorded), None);
        // Another value acts, in the spec or as an annotation, until it is done.
        for changed in [asking(Some("b"), Some("x")), asking(Some("b"), Some("y"))] {
            assert!(due(&changed, &recorded).is_some());
            Once::RotateToken.done(&changed, &mut recorded);
            assert_eq!(due(&changed, &recorded), None);
        }
        // Taken away it never acts, and put back as it was neither.
        assert_eq!(due(&asking(None, None), &recorded), None);
        assert_eq!(due(&asking(Some("b"), None), &recorded), None);
        // What was absent at the first look acts when it comes.
        let mut empty = None;
        begin(&asking(None, None), &mut empty);
        assert_eq!(due(&asking(Some("a"), None), &empty), Some("a".to_owned()));
        assert_eq!(
            Once::Wake.due(&asking(Some("a"), None), empty.as_ref()),
            None
        );
    }
    #[test]
    fn an_annotation_waits_until_it_was_acted_on_whatever_the_spec_asks() {
        let waits = |agent: &Agent, recorded: &Option<Values>| {
            Once::RotateToken.is_annotated(agent, recorded.as_ref())
        };
        let agent = asking(Some("a"), Some("x"));
        assert!(waits(&agent, &None));
        let mut recorded = Some(Values::default());
        assert!(waits(&agent, &recorded));
        assert!(!waits(&asking(Some("a"), None), &recorded));
        Once::RotateToken.done(&agent, &mut recorded);
        assert!(!waits(&asking(Some("b"), Some("x")), &recorded));
        assert!(waits(&asking(Some("a"), Some("y")), &recorded));
    }

    #[test]
    fn what_comes_while_another_value_is_acted_on_stays_due() {
        // Recorded, minted for, asked for by the spec and by annotation; what is due then.
        for (minted_for, rotate, annotated, due) in [
            // Begun, and a crash kept it from the record.
            (&[("token.rotate", "b")][..], Some("b"), Some("x"), None),
            // Another value has come since.
            (&[("token.rotate", "b")], Some("c"), Some("x"), Some("c")),
            (&[("token.rotate", "b")], Some("b"), Some("y"), Some("y")),
            (&[("token.rotate", "b")], None, Some("x"), None),
            // By its age, or before this was written down.
            (&[], Some("b"), Some("x"), Some("b")),
            (&[], Some("a"), Some("x"), None),
            // The same word asked for in another way is another wish.
            (&[("rotate-token", "b")], Some("b"), Some("x"), Some("b")),
        ] {
            let values = |all: &[(&str, &str)]| {
                let all = all.iter();
                all.map(|&(key, value)| (key.to_owned(), value.to_owned()))
                    .collect::<Values>()
            };
            let before = values(&[("token.rotate", "a"), ("rotate-token", "x")]);
            let mut recorded = Some(before);
            let agent = asking(rotate, annotated);
            Once::RotateToken.done_for(&agent, &mut recorded, &values(minted_for));
            let left = Once::RotateToken.due(&agent, recorded.as_ref());
            assert_eq!(
                left.as_deref(),
                due,
                "{minted_for:?} {rotate:?} {annotated:?}"
            );
        }
    }
}
