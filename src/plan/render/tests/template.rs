//! What users' templates can say, and what they are told when they say something else.

use proptest::prelude::*;

use super::*;

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
        ("board_lead_name", "Grace"),
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
        ("api_told", "false"),
        ("enforced_files", "SOUL.md"),
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
    for name in context::BOOLEANS {
        assert!(names.contains(&name), "{name}");
    }
}

#[test]
fn texts_are_told_of_the_api_only_where_agents_md_tells_of_it() {
    let context = worker_with_everything();
    let template = Source::Template("{{ api_told }} {{ enforced_files }}".to_owned());
    let agents = |source: &Source, policy| Wanted {
        policy,
        ..wanted(FileName::Agents, source.clone())
    };
    let verbatim = Source::Verbatim("Be good.".to_owned());
    let tail = whole_tail(&context);
    for (source, policy, tail, expected) in [
        (
            &Source::BuiltIn,
            Policy::Enforce,
            &tail,
            "true AGENTS.md, SOUL.md\n",
        ),
        (
            &template,
            Policy::Enforce,
            &tail,
            "true AGENTS.md, SOUL.md\n",
        ),
        (
            &verbatim,
            Policy::Enforce,
            &tail,
            "false AGENTS.md, SOUL.md\n",
        ),
        (&Source::BuiltIn, Policy::Seed, &tail, "false SOUL.md\n"),
        (&Source::BuiltIn, Policy::Ignore, &tail, "false SOUL.md\n"),
        (
            &Source::BuiltIn,
            Policy::Enforce,
            &marked(),
            "false AGENTS.md, SOUL.md\n",
        ),
    ] {
        let files = [
            agents(source, policy),
            wanted(FileName::Soul, template.clone()),
        ];
        let workspace = renderer().render(&context, &files, None, tail).unwrap();
        assert_eq!(
            workspace.files.last().unwrap().text,
            expected,
            "{source:?} {policy:?}"
        );
        let tells = workspace
            .files
            .iter()
            .any(|file| file.text.contains("## Operator API"));
        assert_eq!(tells, expected.starts_with("true"), "{source:?} {policy:?}");
        let sends_there = workspace.checklist.contains("Operator API");
        assert_eq!(sends_there, tells, "{source:?} {policy:?}");
    }
}

#[test]
fn the_page_on_templates_lists_every_variable_filter_and_test() {
    let page = include_str!("../../../../docs/templates.md");
    for name in variable_names()
        .into_iter()
        .chain(filters::FILTERS)
        .chain(filters::TESTS)
    {
        let row = format!("| `{name}` |");
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn every_filter_and_test_that_the_syntax_check_knows_can_be_used() {
    let renderer = renderer();
    let mut state = renderer.env.empty_state();
    let empty = [Value::from("")];
    for name in filters::FILTERS {
        let outcome = state.apply_filter(name, &empty);
        let kind = outcome.err().map(|error| error.kind());
        assert_ne!(kind, Some(ErrorKind::UnknownFilter), "{name}");
    }
    for name in filters::TESTS {
        let outcome = state.perform_test(name, &empty);
        let kind = outcome.err().map(|error| error.kind());
        assert_ne!(kind, Some(ErrorKind::UnknownTest), "{name}");
    }
}

#[test]
fn without_a_board_its_variables_are_empty_and_known() {
    for name in variable_names()
        .into_iter()
        .filter(|name| name.starts_with("board_"))
    {
        let files = soul(&format!("[{{{{ {name} }}}}]"));
        let workspace = renderer()
            .render(&worker(), &files, None, &Tail::default())
            .unwrap();
        assert_eq!(workspace.files[0].text, "[]\n", "{name}");
    }
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
        .render(&context, &soul("{{ user_notes }}"), None, &Tail::default())
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
            r#"SOUL.md line 1: unknown variable "auth_token"; docs/templates.md lists them"#,
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
            r#"SOUL.md line 2: unknown variable "l"; docs/templates.md lists them"#,
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
            "{% if is_board_lead == true %}lead{% endif %}",
            r#"SOUL.md line 1: variable "is_board_lead" is a text; compare it with one: write "true""#,
        ),
        (
            "{% if 3 < board_rule_max_agents %}many{% endif %}",
            r#"SOUL.md line 1: variable "board_rule_max_agents" is a text; compare it with one: write "3""#,
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
        .render(&worker(), &files, None, &Tail::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"SOUL.md line 2: an expression has no value here; give it one with |default("...")"#
    );
}

proptest! {
    #[test]
    fn no_template_makes_the_renderer_panic(template in r#"(\{\{|\}\}|\{%|%\}|[a-z_|"'()\[\]~*.,=\n -]|if|for|in|endif|endfor|agent_name|lines|loop){0,30}"#) {
        let outcome = renderer().render(&worker(), &soul(&template), None, &Tail::default());
        if let Err(error) = outcome {
            prop_assert!(error.to_string().starts_with("SOUL.md"), "{error}");
        }
    }
}
