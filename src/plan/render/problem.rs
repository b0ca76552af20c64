//! What can be wrong with the texts of an agent, in words for the person who wrote them.
//!
//! All problems of an agent are told at once, so that a manifest is mended in one go.

use std::fmt;

use thiserror::Error;

use super::FileName;

/// Most problems that one message tells.
const SHOWN: usize = 12;
/// Most characters of one detail: it may repeat a word of the template, which may be the whole template.
const DETAIL: usize = 300;

/// A text that is rendered: a workspace file, or the heartbeat checklist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Text {
    /// A workspace file.
    File(FileName),
    /// The heartbeat checklist, which lives with the heartbeat and not in the workspace.
    Checklist,
}

impl Text {
    /// The name under which messages speak of this text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File(name) => name.as_str(),
            Self::Checklist => "heartbeat.checklist",
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong, in the order in which it is told.
#[derive(Clone, Debug, Error, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// A template that does not parse, uses what templates do not offer, or fails while it runs.
    #[error("{text}{}: {detail}", at(*.line))]
    Template {
        /// Where it is.
        text: Text,
        /// The line in the template, from 1, where known.
        line: Option<usize>,
        /// What is wrong, and what to write instead.
        detail: String,
    },
    /// A template that does too much work.
    #[error("{text}: the template was stopped after {limit} steps; use fewer or shorter loops")]
    OutOfFuel {
        /// Where it is.
        text: Text,
        /// Steps of the template engine.
        limit: u64,
    },
    /// A template that writes too much to be worth finishing.
    #[error("{text}: the template was stopped after {limit} bytes of text; shorten what it writes")]
    OutputTooLarge {
        /// Where it is.
        text: Text,
        /// In bytes.
        limit: usize,
    },
    /// A file that is wanted without a text where there is no built-in one.
    #[error(
        "{text}: there is no built-in text for this file; give it content, template or configMapKeyRef"
    )]
    NoBuiltIn {
        /// Which file.
        text: Text,
    },
    /// A text of which an agent would see only a part.
    #[error("{text}: {chars} characters, and the limit is {limit}; shorten it")]
    FileTooLarge {
        /// Which text.
        text: Text,
        /// As the gateway counts, with the mark where there is one.
        chars: usize,
        /// As the gateway counts.
        limit: usize,
    },
    /// Files of which an agent would see only a part when they come together.
    #[error(
        "all files together: {chars} characters, and the limit is {limit}; shorten the longest, {longest}"
    )]
    TotalTooLarge {
        /// As the gateway counts.
        chars: usize,
        /// As the gateway counts.
        limit: usize,
        /// The file where shortening helps most.
        longest: FileName,
    },
}

impl Problem {
    /// A problem in a template; line 0 stands for a place that is not known.
    pub(super) fn template(text: Text, line: usize, detail: &str) -> Self {
        Self::Template {
            text,
            line: (line > 0).then_some(line),
            detail: detail.chars().take(DETAIL).collect(),
        }
    }

    /// The text that it is in; none where it concerns all files.
    #[must_use]
    pub fn text(&self) -> Option<Text> {
        self.place().1
    }

    /// The text, then the line; what concerns all files comes last.
    fn place(&self) -> (bool, Option<Text>, Option<usize>) {
        match self {
            Self::Template { text, line, .. } => (false, Some(*text), *line),
            Self::OutOfFuel { text, .. }
            | Self::OutputTooLarge { text, .. }
            | Self::NoBuiltIn { text }
            | Self::FileTooLarge { text, .. } => (false, Some(*text), None),
            Self::TotalTooLarge { .. } => (true, None, None),
        }
    }
}

fn at(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" line {line}"))
}

/// Everything that is wrong with the texts of one agent; at least one problem, sorted by text and line.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}", joined(.problems))]
pub struct RenderError {
    problems: Vec<Problem>,
}

impl RenderError {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.place().cmp(&b.place()).then_with(|| a.cmp(b)));
        problems.dedup();
        Self { problems }
    }

    /// The problems, sorted.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// One problem a line. A condition's message has 32 768 bytes at most, and nobody reads more than a screen.
fn joined(problems: &[Problem]) -> String {
    let mut lines: Vec<String> = problems
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    if problems.len() > SHOWN {
        lines.push(format!("and {} more", problems.len() - SHOWN));
    }
    lines.join("\n")
}
