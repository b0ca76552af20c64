//! The filters that templates may use. Each one's result has at most [`OUTPUT_LIMIT`] bytes, or hardly more than what goes
//! in: a chain of filters cannot be made to fill the memory.

use std::borrow::Cow;

use minijinja::{Environment, Error, ErrorKind, Value, filters, tests};

use super::OUTPUT_LIMIT;

/// The words that may stand after `|`.
pub(super) const FILTERS: [&str; 15] = [
    "blockquote",
    "capitalize",
    "default",
    "first",
    "indent",
    "join",
    "last",
    "length",
    "lines",
    "lower",
    "oneline",
    "replace",
    "split",
    "trim",
    "upper",
];
/// The words that may stand after `is`.
pub(super) const TESTS: [&str; 3] = ["defined", "endingwith", "startingwith"];

/// Adds the filters and tests to an empty environment.
pub(super) fn register(env: &mut Environment<'_>) {
    env.add_filter("blockquote", blockquote);
    env.add_filter("capitalize", filters::capitalize);
    env.add_filter("default", filters::default);
    env.add_filter("first", filters::first);
    env.add_filter("indent", indent);
    env.add_filter("join", join);
    env.add_filter("last", filters::last);
    env.add_filter("length", filters::length);
    env.add_filter("lines", filters::lines);
    env.add_filter("lower", filters::lower);
    env.add_filter("oneline", oneline);
    env.add_filter("replace", replace);
    env.add_filter("split", filters::split);
    env.add_filter("trim", filters::trim);
    env.add_filter("upper", filters::upper);
    env.add_test("defined", tests::is_defined);
    env.add_test("endingwith", tests::is_endingwith);
    env.add_test("startingwith", tests::is_startingwith);
}

/// All on one line: every run of white space becomes one space. For a value in a list or a heading.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a filter")]
fn oneline(text: Cow<'_, str>) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if !word.is_empty() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    line
}

/// Every line with `> ` in front, so that nothing in it counts as a heading, a fence or a comment of the file around it.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a filter")]
fn blockquote(text: Cow<'_, str>) -> Result<String, Error> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(String::new());
    }
    let text = text.replace("\r\n", "\n");
    let lines: Vec<&str> = text.split(is_line_break).map(str::trim_end).collect();
    within_limit(text.len().saturating_add(lines.len().saturating_mul(2)))?;
    let quoted: Vec<String> = lines
        .into_iter()
        .map(|line| match line {
            "" => ">".to_owned(),
            line => format!("> {line}"),
        })
        .collect();
    Ok(quoted.join("\n"))
}

/// `width` spaces in front of every line but the first, and of no empty one.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a filter")]
fn indent(text: Cow<'_, str>, width: usize) -> Result<String, Error> {
    let breaks = text.matches('\n').count();
    within_limit(text.len().saturating_add(breaks.saturating_mul(width)))?;
    let margin = " ".repeat(if breaks == 0 { 0 } else { width });
    let lines: Vec<String> = text
        .split('\n')
        .enumerate()
        .map(|(at, line)| match line {
            "" | "\r" => line.to_owned(),
            _ if at == 0 => line.to_owned(),
            _ => format!("{margin}{line}"),
        })
        .collect();
    Ok(lines.join("\n"))
}

/// `text` with `new` for every `old`.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a filter")]
fn replace(text: Cow<'_, str>, old: Cow<'_, str>, new: Cow<'_, str>) -> Result<String, Error> {
    let places = text.matches(old.as_ref()).count();
    within_limit(text.len().saturating_add(places.saturating_mul(new.len())))?;
    Ok(text.replace(old.as_ref(), new.as_ref()))
}

/// The items of a list, with `between` between them.
fn join(list: &Value, between: Option<Cow<'_, str>>) -> Result<String, Error> {
    let between = between.unwrap_or_default();
    let mut joined = String::new();
    for (at, item) in list.try_iter()?.enumerate() {
        if at > 0 {
            joined.push_str(&between);
        }
        joined.push_str(&item.to_string());
        within_limit(joined.len())?;
    }
    Ok(joined)
}

/// What ends a line for an editor, a Markdown parser or a model.
fn is_line_break(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

fn within_limit(bytes: usize) -> Result<(), Error> {
    if bytes <= OUTPUT_LIMIT {
        Ok(())
    } else {
        Err(Error::new(
            ErrorKind::InvalidOperation,
            format!(
                "a filter would make more than {OUTPUT_LIMIT} bytes of text; shorten what goes into it"
            ),
        ))
    }
}
