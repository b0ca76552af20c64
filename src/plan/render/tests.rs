//! The rules of rendering, on the built-in templates and on users' ones; what the built-in texts look like stands in `snapshots/`.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn worker() -> Context {
    Context {
        agent_name: "Analyst".to_owned(),
        agent_id: "team-a_analyst".to_owned(),
        role: "Worker".to_owned(),
        is_board_lead: false,
        is_main_agent: false,
        namespace: "team-a".to_owned(),
        board: None,
        gateway_name: "main".to_owned(),
        session_key: "agent:team-a_analyst:main".to_owned(),
        main_session_key: String::new(),
        workspace_root: "~/.openclaw".to_owned(),
        workspace_path: "~/.openclaw/workspace-team-a_analyst".to_owned(),
        base_url: String::new(),
        user: UserContext::default(),
        identity: IdentityContext::default().with_defaults(),
    }
}

fn worker_with_everything() -> Context {
    Context {
        board: Some(BoardContext {
            id: "research".to_owned(),
            name: "Research".to_owned(),
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

fn mark() -> Mark {
    Mark {
        cluster_id: "c1".parse().unwrap(),
        namespace: "team-a".to_owned(),
        name: "analyst".to_owned(),
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
        .render(&worker_with_everything(), &soul(template), None, None)
        .unwrap();
    workspace.files[0].text.clone()
}

/// What is said about SOUL.md when it is given as this template.
fn refused(template: &str) -> String {
    renderer()
        .render(&worker_with_everything(), &soul(template), None, None)
        .unwrap_err()
        .to_string()
}

fn whole(workspace: &Workspace) -> String {
    let mut text: String = workspace
        .files
        .iter()
        .map(|file| format!("===== {} {:?}\n{}", file.name, file.policy, file.text))
        .collect();
    text.push_str(&format!("===== checklist\n{}", workspace.checklist));
    text
}

#[test]
fn a_worker_with_board_user_and_identity_gets_all_of_it_in_its_files() {
    let workspace = renderer().render(
        &worker_with_everything(),
        &Wanted::built_ins(),
        None,
        Some(&mark()),
    );
    insta::assert_snapshot!(whole(&workspace.unwrap()));
}

#[test]
fn a_worker_without_board_gets_files_that_do_not_speak_of_one() {
    let workspace = renderer()
        .render(&worker(), &Wanted::built_ins(), None, Some(&mark()))
        .unwrap();
    let text = whole(&workspace);
    assert!(!text.to_lowercase().contains("board"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn built_in_texts_are_tidy_and_leave_room_for_the_users() {
    for context in [worker(), worker_with_everything()] {
        let workspace = renderer()
            .render(&context, &Wanted::built_ins(), None, None)
            .unwrap();
        let texts = workspace.files.iter().map(|file| file.text.as_str());
        for text in texts.chain([workspace.checklist.as_str()]) {
            assert!(text.chars().count() < FILE_LIMIT / 2, "{text}");
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text}");
            assert!(!text.contains("\n\n\n"), "{text}");
            assert!(!text.lines().any(|line| line.ends_with(' ')), "{text}");
        }
    }
}

#[test]
fn built_in_templates_obey_the_rules_that_hold_for_users() {
    let names = variable_names();
    let renderer = renderer();
    for (text, source) in BUILT_IN {
        let problems = syntax::check(text, source, renderer.env.syntax().clone(), &names);
        assert_eq!(problems, vec![], "{text}");
    }
}

#[test]
fn every_variable_renders_the_value_it_is_named_for() {
    let expected = [
        ("agent_name", "Analyst"),
        ("agent_id", "team-a_analyst"),
        ("role", "Worker"),
        ("is_board_lead", "false"),
        ("is_main_agent", "false"),
        ("namespace", "team-a"),
        ("board_id", "research"),
        ("board_name", "Research"),
        ("board_type", "goal"),
        ("board_description", "Everything about the market."),
        ("board_objective", "Know the market.\nBe first."),
        (
            "board_success_metrics",
            r#"{"accuracy":{"by":"2026-12","min":0.9},"reports":5}"#,
        ),
        ("board_target_date", "2026-12-31"),
        ("board_goal_confirmed", "false"),
        ("board_rule_require_approval_for_done", "true"),
        ("board_rule_require_review_before_done", "true"),
        ("board_rule_comment_required_for_review", "true"),
        (
            "board_rule_block_status_changes_with_pending_approval",
            "true",
        ),
        ("board_rule_only_lead_can_change_status", "true"),
        ("board_rule_max_agents", "5"),
        ("gateway_name", "main"),
        ("session_key", "agent:team-a_analyst:main"),
        ("main_session_key", "agent:main:main"),
        ("workspace_root", "~/.openclaw"),
        ("workspace_path", "~/.openclaw/workspace-team-a_analyst"),
        ("base_url", "http://mission-operator.mission-system:8080"),
        ("user_name", "Ada Lovelace"),
        ("user_preferred_name", "Ada"),
        ("user_pronouns", "she/her"),
        ("user_timezone", "Europe/London"),
        ("user_notes", "Likes tables.\n\n# Hates\nlong mails"),
        ("user_context", "Writes about engines."),
        ("identity_role", "Analyst"),
        ("identity_communication_style", "dry, exact"),
        ("identity_emoji", ":mag:"),
        ("identity_autonomy_level", "balanced"),
        ("identity_verbosity", "concise"),
        ("identity_output_format", "bullets"),
        ("identity_update_cadence", "daily"),
        ("identity_purpose", "Find out what is true."),
        ("identity_personality", "Curious.\nPatient."),
        ("identity_custom_instructions", "Cite sources."),
    ];
    for (name, value) in expected {
        let template = format!("{{{{ {name} }}}}");
        assert_eq!(rendered(&template), format!("{value}\n"), "{name}");
    }
    let mut names: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(names, variable_names());
}

#[test]
fn without_a_board_its_variables_are_empty_and_known() {
    for name in variable_names()
        .into_iter()
        .filter(|name| name.starts_with("board_"))
    {
        let files = soul(&format!("[{{{{ {name} }}}}]"));
        let workspace = renderer().render(&worker(), &files, None, None).unwrap();
        assert_eq!(workspace.files[0].text, "[]\n", "{name}");
    }
}

#[test]
fn identity_defaults_fill_only_what_is_blank() {
    let identity = IdentityContext {
        role: "Analyst".to_owned(),
        emoji: " ".to_owned(),
        ..IdentityContext::default()
    };
    let filled = identity.with_defaults();
    assert_eq!(filled.role, "Analyst");
    assert_eq!(filled.communication_style, "direct, concise, practical");
    assert_eq!(filled.emoji, ":gear:");
    assert_eq!(filled.purpose, "");
}

#[test]
fn a_template_can_compare_filter_and_loop() {
    for (template, expected) in [
        ("{{ agent_name|upper }}!", "ANALYST!\n"),
        (
            r#"{% if board_type == "goal" and not (is_board_lead == "true") %}yes{% else %}no{% endif %}"#,
            "yes\n",
        ),
        (
            r#"{{ "a" if board_type in ["goal", "general"] else "b" }}"#,
            "a\n",
        ),
        (
            r#"{{ "a" if board_type not in ["general"] else "b" }}"#,
            "a\n",
        ),
        (
            r#"{{ "a" if agent_id is startingwith("team") else "b" }}"#,
            "a\n",
        ),
        (
            "{% for line in board_objective|lines %}\n{{ loop.index }}. {{ line }}\n{% endfor %}",
            "1. Know the market.\n2. Be first.\n",
        ),
        (
            r#"{{ board_objective|lines|join("; ") }}"#,
            "Know the market.; Be first.\n",
        ),
        (
            "{{ board_objective|indent(2) }}",
            "Know the market.\n  Be first.\n",
        ),
        (
            r#"{{ agent_name|replace("A", "Psychoa") }}"#,
            "Psychoanalyst\n",
        ),
        (
            "{{ board_objective|oneline }}",
            "Know the market. Be first.\n",
        ),
        (
            "{{ user_notes|blockquote }}",
            "> Likes tables.\n>\n> # Hates\n> long mails\n",
        ),
        ("{% raw %}{{ agent_nam }}{% endraw %}", "{{ agent_nam }}\n"),
        ("<b>{{ identity_role }} & co</b>", "<b>Analyst & co</b>\n"),
        ("one\n\n\n", "one\n"),
        ("", ""),
    ] {
        assert_eq!(rendered(template), expected, "{template}");
    }
}

#[test]
fn a_value_that_looks_like_a_template_is_not_evaluated() {
    let mut context = worker();
    context.user.notes = "{{ agent_id }} {% if %}".to_owned();
    let workspace = renderer()
        .render(&context, &soul("{{ user_notes }}"), None, None)
        .unwrap();
    assert_eq!(workspace.files[0].text, "{{ agent_id }} {% if %}\n");
}

#[test]
fn each_mistake_in_a_template_is_named_with_file_line_and_what_to_write() {
    for (template, expected) in [
        (
            "one\ntwo\n{{ agent_nam }}",
            r#"SOUL.md line 3: unknown variable "agent_nam"; did you mean "agent_name"?"#,
        ),
        (
            "{{ auth_token }}",
            r#"SOUL.md line 1: unknown variable "auth_token"; the README lists the variables there are"#,
        ),
        (
            "{% if board_type == 'x' %}\n{{ agentname|upper }}\n{% endif %}",
            r#"SOUL.md line 2: unknown variable "agentname"; did you mean "agent_name"?"#,
        ),
        (
            "{% if agent_nam is defined %}x{% endif %}",
            r#"SOUL.md line 1: unknown variable "agent_nam"; did you mean "agent_name"?"#,
        ),
        (
            "{% for l in user_notes|lines %}{% endfor %}\n{{ l }}",
            r#"SOUL.md line 2: unknown variable "l"; the README lists the variables there are"#,
        ),
        (
            "{{ agent_name|uper }}",
            r#"SOUL.md line 1: unknown filter "uper"; did you mean "upper"?"#,
        ),
        (
            "{{ agent_name|tojson }}",
            r#"SOUL.md line 1: unknown filter "tojson"; there are blockquote, capitalize, default, first, indent, join, last, length, lines, lower, oneline, replace, split, trim, upper"#,
        ),
        (
            "{% if agent_name is number %}x{% endif %}",
            r#"SOUL.md line 1: unknown test "number"; there are defined, endingwith, startingwith"#,
        ),
        (
            "{% if is_board_lead %}lead{% endif %}",
            r#"SOUL.md line 1: variable "is_board_lead" holds the text "true" or "false"; write is_board_lead == "true""#,
        ),
        (
            "{{ agent_name ~ agent_id }}",
            "SOUL.md line 1: texts cannot be joined with ~ or +; write one {{ }} after the other",
        ),
        (
            "{{ agent_name * 9 }}",
            "SOUL.md line 1: templates cannot calculate; every variable is a text",
        ),
        (
            "\n{% set x = agent_name %}",
            "SOUL.md line 2: set cannot be used here; templates offer variables, filters, comparisons, if and for",
        ),
        (
            "{{ range(9) }}",
            "SOUL.md line 1: a function call cannot be used here; templates offer variables, filters, comparisons, if and for",
        ),
        (
            "{% include 'x' %}",
            "SOUL.md line 1: syntax error: unknown statement include",
        ),
        (
            "{% extends 'x' %}",
            "SOUL.md line 1: syntax error: unknown statement extends",
        ),
        (
            "{% import 'x' as x %}",
            "SOUL.md line 1: syntax error: unknown statement import",
        ),
        (
            "one\n{% if agent_name %}",
            "SOUL.md line 2: syntax error: unexpected end of input, expected end of block",
        ),
        (
            "{{ user_pronouns|lines|last|lines|last }}\n{{ main_session_key|replace }}",
            "SOUL.md line 2: missing argument",
        ),
    ] {
        assert_eq!(refused(template), expected, "{template}");
    }
}

#[test]
fn a_value_that_a_filter_cannot_give_is_an_error_and_not_an_empty_text() {
    let files = soul("one\n{{ user_notes|first }}");
    let error = renderer()
        .render(&worker(), &files, None, None)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"SOUL.md line 2: an expression has no value here; give it one with |default("...")"#
    );
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
        .render(&worker(), &files, Some(&checklist), None)
        .unwrap_err();
    insta::assert_snapshot!(error.to_string(), @r#"
    AGENTS.md line 1: unknown variable "a"; the README lists the variables there are
    AGENTS.md line 2: unknown variable "c"; the README lists the variables there are
    AGENTS.md line 3: unknown variable "a"; the README lists the variables there are
    USER.md: 20001 characters, and an agent is shown at most 20000; shorten it
    BOOTSTRAP.md: there is no built-in text for this file; give it content, template or configMapKeyRef
    MEMORY.md line 1: unknown variable "b"; the README lists the variables there are
    heartbeat.checklist line 1: unknown variable "d"; the README lists the variables there are
    "#);
}

#[test]
fn a_loop_that_never_ends_in_practice_runs_out_of_fuel() {
    let mut context = worker();
    context.user.notes = "x".repeat(1_000);
    let each = r#"{% for x in user_notes|split("") %}"#;
    let template = format!("{each}{each}{each}{{% endfor %}}{{% endfor %}}{{% endfor %}}");
    let error = renderer()
        .render(&context, &soul(&template), None, None)
        .unwrap_err();
    assert_eq!(
        error.problems(),
        [Problem::OutOfFuel {
            text: Text::File(FileName::Soul),
            limit: FUEL
        }]
    );
}

#[test]
fn a_template_that_writes_without_end_is_stopped() {
    let mut context = worker();
    context.user.notes = "x".repeat(10_000);
    let template = "{{ user_notes }}".repeat(9);
    let error = renderer()
        .render(&context, &soul(&template), None, None)
        .unwrap_err();
    assert_eq!(
        error.problems(),
        [Problem::OutputTooLarge {
            text: Text::File(FileName::Soul),
            limit: OUTPUT_LIMIT
        }]
    );
}

#[test]
fn filters_cannot_be_chained_into_a_text_that_fills_the_memory() {
    let replace = r#"|replace("a", "aaaaaaaaaaaaaaaa")"#.repeat(12);
    let join = r#"|join("aaaaaaaaaaaaaaaa")"#.repeat(12);
    for chain in [
        replace.as_str(),
        join.as_str(),
        "|indent(4000000000)",
        "|indent(300000)",
    ] {
        let error = refused(&format!(
            r#"{{% if ("a\na"{chain}) == "" %}}x{{% endif %}}"#
        ));
        assert!(
            error.contains("a filter would make more than"),
            "{chain}: {error}"
        );
    }
}

#[test]
fn limits_count_characters_and_not_bytes() {
    let at = |chars: usize| {
        let files = [wanted(
            FileName::Soul,
            Source::Verbatim("\u{1f980}".repeat(chars)),
        )];
        renderer().render(&worker(), &files, None, None)
    };
    assert!(at(20_000).is_ok());
    assert_eq!(
        at(20_001).unwrap_err().to_string(),
        "SOUL.md: 20001 characters, and an agent is shown at most 20000; shorten it"
    );
    let template = "\u{1f980}".repeat(19_999);
    assert_eq!(rendered(&template).chars().count(), 20_000);
}

#[test]
fn the_mark_counts_as_part_of_its_file() {
    let files = [wanted(
        FileName::Agents,
        Source::Verbatim("x".repeat(20_000)),
    )];
    assert!(renderer().render(&worker(), &files, None, None).is_ok());
    let error = renderer()
        .render(&worker(), &files, None, Some(&mark()))
        .unwrap_err();
    assert_eq!(
        error.problems(),
        [Problem::FileTooLarge {
            text: Text::File(FileName::Agents),
            chars: mark().append("").len() + 20_000,
            limit: FILE_LIMIT
        }]
    );
}

#[test]
fn all_files_together_have_a_limit_too() {
    let files = |last: usize| {
        [
            (FileName::Agents, 20_000),
            (FileName::Soul, 20_000),
            (FileName::User, last),
        ]
        .map(|(name, chars)| wanted(name, Source::Verbatim("x".repeat(chars))))
    };
    let memory = |chars: usize| wanted(FileName::Memory, Source::Verbatim("x".repeat(chars)));
    let mut within = files(19_000).to_vec();
    within.push(memory(1_000));
    assert!(renderer().render(&worker(), &within, None, None).is_ok());
    let mut beyond = files(19_000).to_vec();
    beyond.push(memory(1_001));
    assert_eq!(
        renderer()
            .render(&worker(), &beyond, None, None)
            .unwrap_err()
            .to_string(),
        "all files together: 60001 characters, and an agent is shown at most 60000; shorten the longest, SOUL.md"
    );
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
            .render(&worker(), &files, Some(&checklist), Some(&mark()))
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
            .render(&worker(), &files, None, Some(&mark()))
            .unwrap();
        assert_eq!(Mark::find(&workspace.files[0].text), Some(mark()));
    }
}

#[test]
fn an_ignored_file_is_neither_rendered_nor_written() {
    let mut files = Wanted::built_ins();
    files.push(Wanted {
        name: FileName::Soul,
        source: Source::Template("{{ agent_nam }}".to_owned()),
        policy: Policy::Ignore,
    });
    let workspace = renderer().render(&worker(), &files, None, None).unwrap();
    let names: Vec<&str> = workspace
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    assert_eq!(names, ["AGENTS.md", "IDENTITY.md", "USER.md", "MEMORY.md"]);
}

#[test]
fn file_names_are_those_of_the_gateway_and_no_others() {
    for name in FileName::ALL {
        assert_eq!(name.as_str().parse(), Ok(name));
    }
    for name in ["TOOLS.md", "agents.md", "memory/x.md", "../SOUL.md", ""] {
        let error = name.parse::<FileName>().unwrap_err().to_string();
        assert!(error.contains("use one of AGENTS.md"), "{error}");
    }
}

/// Text that breaks things: line breaks of all kinds, Markdown, template syntax, control characters.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "(?s).{0,40}",
        prop::collection::vec(
            prop::sample::select(vec![
                "\n", "\r\n", "\r", "\u{2028}", "# x", "- x", "```", "{{ x }}", "{% if %}", "-->",
                "<!--", "`", "\0", "  ", "word",
            ]),
            0..12
        )
        .prop_map(|parts| parts.concat()),
    ]
}

#[test]
fn a_deep_template_is_refused_and_does_not_overflow_the_stack() {
    let many = |what: &str| what.repeat(19_900 / what.len());
    for (template, expected) in [
        (
            format!("{{{{ role{} }}}}", many("|trim")),
            "more than 200 words and signs",
        ),
        (
            format!("{{{{ role{} }}}}", many(" or role")),
            "more than 200 words and signs",
        ),
        (
            format!("{{{{ role{} }}}}", many(".a")),
            "more than 200 words and signs",
        ),
        (
            format!("{{{{ {}role }}}}", many("not ")),
            "more than 200 words and signs",
        ),
        (
            format!("{{{{ {}role", "(".repeat(190)),
            "template exceeds maximum recursion limits",
        ),
        (
            many("{%if role%}"),
            "template exceeds maximum recursion limits",
        ),
        (
            many("{%for x in role%}"),
            "template exceeds maximum recursion limits",
        ),
        (
            format!("{{% if role %}}{}{{% endif %}}", many("{%elif role%}")),
            "more than 50 elif",
        ),
    ] {
        let error = refused(&template);
        assert!(error.contains(expected), "{error}");
    }
    let deepest = format!(
        "{}{{% if role == \"\" %}}{}{{{{ role{} }}}}{{% endif %}}{}",
        "{% if role %}".repeat(90),
        "{% elif role %}".repeat(50),
        "|trim".repeat(90),
        "{% endif %}".repeat(90),
    );
    assert_eq!(rendered(&deepest), "");
}

#[test]
fn a_message_stays_short_however_much_is_wrong() {
    let error = refused(&format!("{{{{ {} }}}}\n", "x".repeat(1_000)).repeat(15));
    assert!(error.chars().count() < 2_000, "{error}");
    assert!(error.ends_with("\nand 3 more"), "{error}");
}

prop_compose! {
    fn any_context()(texts in prop::collection::vec(any_text(), 24), switches in any::<[bool; 7]>(), max_agents in any::<Option<u32>>()) -> Context {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().unwrap_or_default();
        let [goal_confirmed, approval, review, comment, block, lead, with_board] = switches;
        Context {
            agent_name: text(),
            role: text(),
            board: with_board.then(|| BoardContext {
                id: "research".to_owned(),
                name: text(),
                kind: if goal_confirmed { "general" } else { "goal" }.to_owned(),
                description: text(),
                objective: text(),
                success_metrics: Some(json!({ text(): text() })),
                target_date: text(),
                goal_confirmed,
                rules: BoardRules {
                    require_approval_for_done: approval,
                    require_review_before_done: review,
                    comment_required_for_review: comment,
                    block_status_changes_with_pending_approval: block,
                    only_lead_can_change_status: lead,
                    max_agents,
                },
            }),
            user: UserContext {
                name: text(), preferred_name: text(), pronouns: text(), timezone: text(), notes: text(), context: text(),
            },
            identity: IdentityContext {
                role: text(), communication_style: text(), emoji: text(), autonomy_level: text(), verbosity: text(),
                output_format: text(), update_cadence: text(), purpose: text(), personality: text(), custom_instructions: text(),
            },
            ..worker()
        }
    }
}

/// The headings of a text, as a Markdown parser would see them at the least: whatever line a reader or a model may take for one.
fn headings(text: &str) -> Vec<&str> {
    text.split([
        '\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}',
    ])
    .map(str::trim_start)
    .filter(|line| line.starts_with('#') && !line.starts_with("# How"))
    .collect()
}

proptest! {
    #[test]
    fn whatever_users_write_into_fields_the_built_in_texts_render_and_keep_their_shape(context in any_context()) {
        let renderer = renderer();
        let workspace = renderer.render(&context, &Wanted::built_ins(), None, Some(&mark())).unwrap();
        prop_assert_eq!(Mark::find(&workspace.files[0].text), Some(mark()));
        for file in &workspace.files {
            let source = BUILT_IN.iter().find(|(text, _)| *text == Text::File(file.name)).unwrap().1;
            let ours = headings(source);
            for heading in headings(&file.text) {
                prop_assert!(ours.contains(&heading), "{}: {heading:?}", file.name);
            }
        }
        let again = renderer.render(&context, &Wanted::built_ins(), None, Some(&mark())).unwrap();
        prop_assert_eq!(workspace, again);
    }

    #[test]
    fn no_template_makes_the_renderer_panic(template in r#"(\{\{|\}\}|\{%|%\}|[a-z_|"'()\[\]~*.,=\n -]|if|for|in|endif|endfor|agent_name|lines|loop){0,30}"#) {
        let outcome = renderer().render(&worker(), &soul(&template), None, None);
        if let Err(error) = outcome {
            prop_assert!(error.to_string().starts_with("SOUL.md"), "{error}");
        }
    }
}
