//! The rules of rendering: the agents that all tests speak of, and what holds for a workspace as a whole.

mod built_in;
mod limits;
mod template;

use serde_json::json;

use super::*;
use crate::api::agent::Role;
use crate::plan::agent_api;

fn worker() -> Context {
    Context {
        agent_name: "Analyst".to_owned(),
        agent_id: "team-a_analyst".to_owned(),
        role: Role::Worker,
        namespace: "team-a".to_owned(),
        board: None,
        gateway_name: "main".to_owned(),
        session_key: "agent:team-a_analyst:main".to_owned(),
        main_session_key: String::new(),
        workspace_root: "~/.openclaw".to_owned(),
        workspace_path: "~/.openclaw/workspace-team-a_analyst".to_owned(),
        base_url: String::new(),
        user: UserContext::default(),
        identity: IdentityContext::default().with_defaults(Role::Worker),
    }
}

fn worker_with_everything() -> Context {
    Context {
        board: Some(BoardContext {
            id: "research".to_owned(),
            name: "Research".to_owned(),
            lead_name: "Grace".to_owned(),
            kind: "goal".to_owned(),
            description: "Everything about the market.".to_owned(),
            objective: "Know the market.\nBe first.".to_owned(),
            success_metrics: Some(json!({"reports": 5, "accuracy": {"min": 0.9, "by": "2026-12"}})),
            target_date: "2026-12-31".to_owned(),
            goal_confirmed: false,
            rules: BoardRules {
                require_approval_for_done: true,
                require_review_before_done: true,
                comment_required_for_review: true,
                block_status_changes_with_pending_approval: true,
                only_lead_can_change_status: true,
                max_agents: Some(5),
            },
        }),
        main_session_key: "agent:main:main".to_owned(),
        base_url: "http://mission-operator.mission-system:8080".to_owned(),
        user: UserContext {
            name: "Ada Lovelace".to_owned(),
            preferred_name: "Ada".to_owned(),
            pronouns: "she/her".to_owned(),
            timezone: "Europe/London".to_owned(),
            notes: "Likes tables.\n\n# Hates\nlong mails".to_owned(),
            context: "Writes about engines.".to_owned(),
        },
        identity: IdentityContext {
            role: "Analyst".to_owned(),
            communication_style: "dry, exact".to_owned(),
            emoji: ":mag:".to_owned(),
            autonomy_level: "balanced".to_owned(),
            verbosity: "concise".to_owned(),
            output_format: "bullets".to_owned(),
            update_cadence: "daily".to_owned(),
            purpose: "Find out what is true.".to_owned(),
            personality: "Curious.\nPatient.".to_owned(),
            custom_instructions: "Cite sources.".to_owned(),
        },
        ..worker()
    }
}

/// The same board, as its lead sees it.
fn lead() -> Context {
    Context {
        role: Role::Lead,
        agent_name: "Lead".to_owned(),
        identity: IdentityContext::default().with_defaults(Role::Lead),
        ..worker_with_everything()
    }
}

fn main_agent() -> Context {
    Context {
        role: Role::Main,
        agent_name: "Concierge".to_owned(),
        board: None,
        identity: IdentityContext::default().with_defaults(Role::Main),
        ..worker_with_everything()
    }
}

fn mark() -> Mark {
    Mark {
        cluster_id: "c1".parse().unwrap(),
        namespace: "team-a".to_owned(),
        name: "analyst".to_owned(),
        adopted: false,
    }
}

fn marked() -> Tail {
    Tail {
        api: None,
        mark: Some(mark()),
    }
}

/// What an agent's AGENTS.md really ends with.
fn whole_tail(context: &Context) -> Tail {
    let access = agent_api::Access {
        base_url: "http://mission-operator.mission-system.svc.cluster.local:8080".to_owned(),
        token: "k".repeat(43).into(),
    };
    let api = agent_api::tools(context.role, context.board.is_some(), &access);
    Tail {
        api: Some(api.into()),
        mark: Some(mark()),
    }
}

fn renderer() -> Renderer {
    Renderer::new().unwrap()
}

fn wanted(name: FileName, source: Source) -> Wanted {
    Wanted {
        name,
        source,
        policy: Policy::Enforce,
    }
}

fn soul(template: &str) -> Vec<Wanted> {
    vec![wanted(
        FileName::Soul,
        Source::Template(template.to_owned()),
    )]
}

/// What SOUL.md becomes when it is given as this template.
fn rendered(template: &str) -> String {
    let workspace = renderer()
        .render(
            &worker_with_everything(),
            &soul(template),
            None,
            &Tail::default(),
        )
        .unwrap();
    workspace.files[0].text.clone()
}

/// What is said about SOUL.md when it is given as this template.
fn refused(template: &str) -> String {
    renderer()
        .render(
            &worker_with_everything(),
            &soul(template),
            None,
            &Tail::default(),
        )
        .unwrap_err()
        .to_string()
}

fn whole(workspace: &Workspace) -> String {
    let files = workspace
        .files
        .iter()
        .map(|file| format!("===== {} {:?}\n{}", file.name, file.policy, file.text));
    let checklist = format!("===== checklist\n{}", workspace.checklist);
    files.chain([checklist]).collect::<Vec<_>>().concat()
}

#[test]
fn identity_defaults_fill_only_what_is_blank() {
    let identity = IdentityContext {
        role: "Analyst".to_owned(),
        emoji: " ".to_owned(),
        ..IdentityContext::default()
    };
    let filled = identity.with_defaults(Role::Worker);
    assert_eq!(filled.role, "Analyst");
    assert_eq!(filled.communication_style, "direct, concise, practical");
    assert_eq!(filled.emoji, ":gear:");
    assert_eq!(filled.purpose, "");
}

#[test]
fn all_mistakes_of_all_texts_are_told_at_once_and_in_order() {
    let files = [
        wanted(FileName::Memory, Source::Template("{{ b }}".to_owned())),
        wanted(
            FileName::Agents,
            Source::Template("{{ a }}\n{{ c }}\n{{ a }}".to_owned()),
        ),
        wanted(FileName::Bootstrap, Source::BuiltIn),
        wanted(FileName::User, Source::Verbatim("x".repeat(20_001))),
    ];
    let checklist = Source::Template("{{ d }}".to_owned());
    let error = renderer()
        .render(&worker(), &files, Some(&checklist), &Tail::default())
        .unwrap_err();
    insta::assert_snapshot!(error.to_string(), @r#"
    AGENTS.md line 1: unknown variable "a"; docs/templates.md lists them
    AGENTS.md line 2: unknown variable "c"; docs/templates.md lists them
    AGENTS.md line 3: unknown variable "a"; docs/templates.md lists them
    USER.md: 20001 characters, and the limit is 20000; shorten it
    BOOTSTRAP.md: there is no built-in text for this file; give it content, template or configMapKeyRef
    MEMORY.md line 1: unknown variable "b"; docs/templates.md lists them
    heartbeat.checklist line 1: unknown variable "d"; docs/templates.md lists them
    "#);
}

#[test]
fn verbatim_text_stays_as_it_is_byte_for_byte() {
    for text in [
        "",
        "no line break",
        "\r\n\r\n",
        "{{ agent_nam }} {% if %}\n\n\n",
    ] {
        let files = [wanted(FileName::Soul, Source::Verbatim(text.to_owned()))];
        let checklist = Source::Verbatim(text.to_owned());
        let workspace = renderer()
            .render(&worker(), &files, Some(&checklist), &marked())
            .unwrap();
        assert_eq!(workspace.files[0].text, text);
        assert_eq!(workspace.checklist, text);
    }
}

#[test]
fn agents_md_ends_in_the_mark_whatever_it_is_made_of() {
    let mark_of_another = "<!-- mission-operator: cluster=x namespace=y name=z -->".to_owned();
    for source in [
        Source::BuiltIn,
        Source::Verbatim(mark_of_another),
        Source::Verbatim(String::new()),
        Source::Template("{{ agent_name }}".to_owned()),
    ] {
        let files = [wanted(FileName::Agents, source)];
        let workspace = renderer()
            .render(&worker(), &files, None, &marked())
            .unwrap();
        assert_eq!(Mark::find(&workspace.files[0].text), Some(mark()));
    }
}

#[test]
fn an_ignored_file_is_neither_rendered_nor_written() {
    let mut files = Wanted::built_ins(Role::Worker);
    files.push(Wanted {
        name: FileName::Soul,
        source: Source::Template("{{ agent_nam }}".to_owned()),
        policy: Policy::Ignore,
    });
    let workspace = renderer()
        .render(&worker(), &files, None, &Tail::default())
        .unwrap();
    let names: Vec<&str> = workspace
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    assert_eq!(names, ["AGENTS.md", "IDENTITY.md", "USER.md", "MEMORY.md"]);
}
