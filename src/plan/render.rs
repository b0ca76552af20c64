//! The texts of an agent's workspace: built-in templates, users' templates and verbatim texts, rendered and checked as a
//! whole before anything is sent.
//!
//! Pure: no files, clock, randomness or environment. Users' templates are checked in `syntax` before they are compiled,
//! see only the variables of [`Context`], and are stopped by fuel and by the size of what they write.

mod context;
mod file;
mod filters;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod problem;
mod syntax;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;

use minijinja::syntax::SyntaxConfig;
use secrecy::{ExposeSecret, SecretString};

use minijinja::{Environment, Error, ErrorKind, Template, UndefinedBehavior, Value};

use context::Upkeep;
pub use context::{BoardContext, BoardRules, Context, IdentityContext, UserContext};
pub use file::{FileName, Policy, Source, Wanted};
pub use problem::{Problem, RenderError, Text};

use super::mark::Mark;

/// What AGENTS.md ends with, whatever its text is made of.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// The part that tells of the operator's API, with the agent's token. It goes only where the file is put back when it changes, so that
    /// a rotation reaches it, and not behind a verbatim text.
    pub api: Option<SecretString>,
    /// The ownership mark.
    pub mark: Option<Mark>,
}

/// Most characters of one file that the gateway shows to an agent: its `agents.defaults.bootstrapMaxChars`.
///
/// The gateway counts UTF-16 code units, white space at the end left out.
pub const FILE_LIMIT: usize = 20_000;
/// Most characters of all files together, counted likewise: the gateway's `agents.defaults.bootstrapTotalMaxChars`.
pub const TOTAL_LIMIT: usize = 60_000;

/// Steps that one template may take. The longest built-in one takes a few hundred; the most expensive steps there are
/// (splitting the longest text into characters) made 50,000 last 14 s in a debug build, which is too long.
const FUEL: u64 = 20_000;
/// Bytes after which a template is stopped: more than any text of [`FILE_LIMIT`] characters can have.
const OUTPUT_LIMIT: usize = 4 * (FILE_LIMIT + 1);

const BUILT_IN: [(Text, &str); 6] = [
    (
        Text::File(FileName::Agents),
        include_str!("templates/AGENTS.md.j2"),
    ),
    (
        Text::File(FileName::Soul),
        include_str!("templates/SOUL.md.j2"),
    ),
    (
        Text::File(FileName::Identity),
        include_str!("templates/IDENTITY.md.j2"),
    ),
    (
        Text::File(FileName::User),
        include_str!("templates/USER.md.j2"),
    ),
    (
        Text::File(FileName::Memory),
        include_str!("templates/MEMORY.md.j2"),
    ),
    (Text::Checklist, include_str!("templates/HEARTBEAT.md.j2")),
];

/// A file as it is to stand on the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Which file.
    pub name: FileName,
    /// What becomes of it once written.
    pub policy: Policy,
    /// The whole text; AGENTS.md with the mark.
    pub text: String,
}

/// All texts of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// In the order of [`FileName`], each name once. Ignored files are not among them: there is nothing to write.
    pub files: Vec<Rendered>,
    /// The heartbeat checklist.
    pub checklist: String,
}

/// The built-in templates, compiled once; cheap to share between agents.
#[derive(Debug)]
pub struct Renderer {
    env: Environment<'static>,
}

/// A built-in template that does not compile: a fault of this program, which its tests rule out.
#[derive(Debug, thiserror::Error)]
#[error(
    "a built-in template cannot be used; this is a fault of Mission Operator, please report it"
)]
pub struct BuiltInError(#[from] Error);

impl Renderer {
    /// Compiles the built-in templates.
    pub fn new() -> Result<Self, BuiltInError> {
        // Not `new`: that one offers every filter and function of the engine, some of which fill the memory.
        let mut env = Environment::empty();
        env.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()?,
        );
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        env.set_fuel(Some(FUEL));
        filters::register(&mut env);
        for (text, source) in BUILT_IN {
            env.add_template(text.as_str(), source)?;
        }
        Ok(Self { env })
    }

    /// Renders and checks all texts of an agent.
    ///
    /// `wanted` may name a file more than once; the last entry counts, so that users' files can follow the built-in ones.
    /// Texts from templates end in exactly one line break, unless they are empty; verbatim texts are left alone, but for
    /// AGENTS.md, which ends with `tail`. Without a `checklist` the built-in one is taken.
    pub fn render(
        &self,
        context: &Context,
        wanted: &[Wanted],
        checklist: Option<&Source>,
        tail: &Tail,
    ) -> Result<Workspace, RenderError> {
        let wanted: BTreeMap<FileName, &Wanted> =
            wanted.iter().map(|wanted| (wanted.name, wanted)).collect();
        let variables = context.variables(&tail.upkeep(&wanted));
        let mut problems = Vec::new();
        let mut files = Vec::new();
        for wanted in wanted.into_values() {
            if wanted.policy == Policy::Ignore {
                continue;
            }
            match self.text(Text::File(wanted.name), &wanted.source, &variables) {
                Ok(text) => files.push(Rendered {
                    name: wanted.name,
                    policy: wanted.policy,
                    text: tail.close(wanted, text),
                }),
                Err(found) => problems.extend(found),
            }
        }
        let checklist = self.text(
            Text::Checklist,
            checklist.unwrap_or(&Source::BuiltIn),
            &variables,
        );
        problems.extend(too_large(&files, checklist.as_deref().unwrap_or_default()));
        match checklist {
            Ok(checklist) if problems.is_empty() => Ok(Workspace { files, checklist }),
            outcome => {
                problems.extend(outcome.err().into_iter().flatten());
                Err(RenderError::new(problems))
            }
        }
    }

    fn text(
        &self,
        text: Text,
        source: &Source,
        variables: &BTreeMap<&'static str, String>,
    ) -> Result<String, Vec<Problem>> {
        match source {
            Source::Verbatim(verbatim) => Ok(verbatim.clone()),
            Source::BuiltIn => match self.env.get_template(text.as_str()) {
                Ok(template) => run(&template, text, variables).map_err(|problem| vec![problem]),
                Err(_) => Err(vec![Problem::NoBuiltIn { text }]),
            },
            Source::Template(source) => {
                let names: Vec<&str> = variables.keys().copied().collect();
                let problems = syntax::check(text, source, self.env.syntax().clone(), &names);
                if !problems.is_empty() {
                    return Err(problems);
                }
                self.env
                    .template_from_named_str(text.as_str(), source)
                    .map_err(|error| failure(text, &error))
                    .and_then(|template| run(&template, text, variables))
                    .map_err(|problem| vec![problem])
            }
        }
    }
}

/// The names of the variables that templates may use, sorted.
#[must_use]
pub fn variable_names() -> Vec<&'static str> {
    let variables = Context::default().variables(&Upkeep::default());
    variables.into_keys().collect()
}

fn run(
    template: &Template<'_, '_>,
    text: Text,
    variables: &BTreeMap<&'static str, String>,
) -> Result<String, Problem> {
    let values: BTreeMap<&str, Value> = variables
        .iter()
        .map(|(name, value)| (*name, Value::from(value)))
        .collect();
    let mut output = Output::default();
    let outcome = template
        .render_captured_to(Value::from(values), &mut output)
        .map(|_state| ())
        .map_err(|error| failure(text, &error));
    if output.full {
        return Err(Problem::OutputTooLarge {
            text,
            limit: OUTPUT_LIMIT,
        });
    }
    outcome?;
    Ok(one_final_line_break(&String::from_utf8_lossy(
        &output.bytes,
    )))
}

/// Takes what a template writes, up to [`OUTPUT_LIMIT`].
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    full: bool,
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > OUTPUT_LIMIT {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failure(text: Text, error: &Error) -> Problem {
    if error.kind() == ErrorKind::OutOfFuel {
        return Problem::OutOfFuel { text, limit: FUEL };
    }
    Problem::template(text, error.line().unwrap_or_default(), &describe(error))
}

/// The engine's words without the place, which a [`Problem`] has by itself.
fn describe(error: &Error) -> String {
    match error.detail() {
        None if error.kind() == ErrorKind::UndefinedError => {
            r#"an expression has no value here; give it one with |default("...")"#.to_owned()
        }
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

fn one_final_line_break(text: &str) -> String {
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        String::new()
    } else {
        format!("{text}\n")
    }
}

impl Tail {
    /// What becomes of the wanted files, for texts that speak of it.
    fn upkeep(&self, wanted: &BTreeMap<FileName, &Wanted>) -> Upkeep {
        let agents = wanted.get(&FileName::Agents);
        Upkeep {
            api_told: agents.is_some_and(|agents| self.told(agents).is_some()),
            enforced: wanted
                .values()
                .filter(|file| file.policy == Policy::Enforce)
                .map(|file| file.name)
                .collect(),
        }
    }

    /// The part that tells of the API, where it goes behind this AGENTS.md.
    fn told(&self, agents: &Wanted) -> Option<&SecretString> {
        let tells =
            agents.policy == Policy::Enforce && !matches!(agents.source, Source::Verbatim(_));
        self.api.as_ref().filter(|_| tells)
    }

    /// The whole text of a file.
    fn close(&self, file: &Wanted, text: String) -> String {
        if file.name != FileName::Agents {
            return text;
        }
        let text = match self.told(file) {
            Some(api) => format!("{text}\n{}", api.expose_secret()),
            None => text,
        };
        match &self.mark {
            Some(mark) => mark.append(&text),
            None => text,
        }
    }
}

/// What is too long. The checklist does not count among the files: it comes with a heartbeat, not with every session.
fn too_large(files: &[Rendered], checklist: &str) -> Vec<Problem> {
    let sizes: Vec<(FileName, usize)> = files
        .iter()
        .map(|file| (file.name, characters(&file.text)))
        .collect();
    let mut problems: Vec<Problem> = sizes
        .iter()
        .map(|(name, chars)| (Text::File(*name), *chars))
        .chain([(Text::Checklist, characters(checklist))])
        .filter(|(_, chars)| *chars > FILE_LIMIT)
        .map(|(text, chars)| Problem::FileTooLarge {
            text,
            chars,
            limit: FILE_LIMIT,
        })
        .collect();
    let chars = sizes.iter().map(|(_, chars)| chars).sum();
    if let Some((longest, _)) = sizes.iter().max_by_key(|(_, chars)| *chars)
        && chars > TOTAL_LIMIT
    {
        problems.push(Problem::TotalTooLarge {
            chars,
            limit: TOTAL_LIMIT,
            longest: *longest,
        });
    }
    problems
}

/// The length of a text as the gateway counts it.
#[must_use]
pub fn characters(text: &str) -> usize {
    text.trim_end().encode_utf16().count()
}
