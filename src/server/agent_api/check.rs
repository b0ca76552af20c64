//! Whether the fields of a body may be as they are. Pure; the API server judges the same again by the rules of the schema.

use super::{
    problem::Problem,
    types::{FieldProblem, NewAgent, Soul, Wake},
};
use crate::plan::{
    names,
    render::{FILE_LIMIT, characters},
};

/// A worker to add.
pub(super) fn newcomer(wanted: &NewAgent) -> Result<(), Problem> {
    let name = (!names::is_object_name(&wanted.name)).then_some(
        "must be the name of an object: at most 253 lower case letters, digits, '-' and '.', beginning and ending with a letter or digit",
    );
    let line = |text: &Option<String>, longest| text.as_ref().and_then(|text| line(text, longest));
    conclude([
        ("name", name.map(str::to_owned)),
        ("displayName", line(&wanted.display_name, 120)),
        ("role", line(&wanted.role, 120)),
        ("model", line(&wanted.model, 200)),
        ("soul", wanted.soul.as_deref().and_then(whole_file)),
    ])
}

/// A text for a SOUL.md.
pub(super) fn soul(wanted: &Soul) -> Result<(), Problem> {
    let reason = wanted.reason.as_deref();
    conclude([
        ("content", whole_file(&wanted.content)),
        ("reason", reason.and_then(|reason| text(reason, 500))),
    ])
}

/// Whom to wake. A name that no object can have is on nobody's board, and needs no words of its own.
pub(super) fn wake(wanted: &Wake) -> Result<(), Problem> {
    let message = wanted.message.as_deref();
    conclude([("message", message.and_then(|message| text(message, 4000)))])
}

fn conclude<const N: usize>(found: [(&str, Option<String>); N]) -> Result<(), Problem> {
    let wrong: Vec<_> = found
        .into_iter()
        .filter_map(|(field, wrong)| {
            Some(FieldProblem {
                pointer: format!("#/{field}"),
                detail: wrong?,
            })
        })
        .collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Problem::fields(wrong))
    }
}

/// As the rule `line` of the schema.
fn line(text: &str, longest: usize) -> Option<String> {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let is_line = !text.trim().is_empty() && !text.contains(breaks);
    (!is_line || text.chars().count() > longest).then(|| {
        format!(
            "must be one line of text that is not blank, of at most {longest} characters, without tabs or other control characters"
        )
    })
}

fn text(text: &str, longest: usize) -> Option<String> {
    (text.trim().is_empty() || text.chars().count() > longest)
        .then(|| format!("must be a text that is not blank, of at most {longest} characters"))
}

/// The gateway puts no more of a file before the model.
fn whole_file(text: &str) -> Option<String> {
    let length = characters(text);
    if text.trim().is_empty() {
        Some("must hold text".to_owned())
    } else if length > FILE_LIMIT {
        Some(format!(
            "has {length} characters (UTF-16 units), and a file may have {FILE_LIMIT}; make it shorter"
        ))
    } else {
        None
    }
}
