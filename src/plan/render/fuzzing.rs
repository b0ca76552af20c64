//! Fuzz target of users' templates.

use std::sync::LazyLock;

use super::{
    Context, FILE_LIMIT, FileName, Mark, OUTPUT_LIMIT, Policy, Renderer, Source, TOTAL_LIMIT, Tail,
    Wanted, characters,
};

/// Longest message of a condition, in bytes: what the API server takes.
const LONGEST_MESSAGE: usize = 32_768;

static RENDERER: LazyLock<Option<Renderer>> = LazyLock::new(|| Renderer::new().ok());

/// Reads lines `FIELD TEXT` up to one of three dashes as the facts about an agent, and the rest as the template of two files and the
/// checklist.
///
/// # Panics
/// Unless what comes of it is the same each time, keeps to the limits and carries the mark, or it is said what is wrong.
pub fn template(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (facts, template) = text.split_once("---\n").unwrap_or(("", &text));
    let context = context(facts);
    let source = Source::Template(template.to_owned());
    let wanted = [FileName::Agents, FileName::Soul].map(|name| Wanted {
        name,
        source: source.clone(),
        policy: Policy::Enforce,
    });
    let mark = "c1".parse().ok().map(|cluster_id| Mark {
        cluster_id,
        namespace: "team".to_owned(),
        name: "a".to_owned(),
        adopted: false,
    });
    let tail = Tail {
        api: None,
        mark: mark.clone(),
    };
    let Some(renderer) = &*RENDERER else {
        return;
    };
    let render = || renderer.render(&context, &wanted, Some(&source), &tail);
    let outcome = render();
    assert_eq!(outcome, render(), "the same each time");
    match outcome {
        Ok(workspace) => {
            let mut all = 0;
            for file in &workspace.files {
                let characters = characters(&file.text);
                assert!(characters <= FILE_LIMIT, "{characters}");
                all += characters;
            }
            assert!(all <= TOTAL_LIMIT, "{all}");
            for file in &workspace.files {
                if file.name == FileName::Agents {
                    assert_eq!(Mark::find(&file.text), mark);
                } else {
                    assert_eq!(file.text, workspace.checklist);
                }
            }
            let text = &workspace.checklist;
            assert!(text.len() <= OUTPUT_LIMIT + 1, "{}", text.len());
            let ends_well = text.is_empty() || text.ends_with('\n') && !text.ends_with("\n\n");
            assert!(ends_well, "{text:?}");
        }
        Err(error) => {
            assert!(!error.problems().is_empty());
            let message = error.to_string();
            assert!(!message.is_empty() && message.len() < LONGEST_MESSAGE);
        }
    }
}

/// A text of several lines is written with `\n` between them.
fn context(facts: &str) -> Context {
    let mut context = Context::default();
    for line in facts.lines() {
        let (field, text) = line.split_once(' ').unwrap_or((line, ""));
        let text = text.replace("\\n", "\n");
        match field {
            "agent_name" => context.agent_name = text,
            "namespace" => context.namespace = text,
            "workspace_path" => context.workspace_path = text,
            "user_name" => context.user.name = text,
            "user_notes" => context.user.notes = text,
            "identity_role" => context.identity.role = text,
            "identity_purpose" => context.identity.purpose = text,
            "board_objective" => context.board.get_or_insert_default().objective = text,
            "board_success_metrics" => {
                context.board.get_or_insert_default().success_metrics =
                    serde_json::from_str(&text).ok();
            }
            _ => {}
        }
    }
    context
}
