//! The built-in texts: what they look like (see `snapshots/`), and that no value of a user breaks them.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn a_worker_with_board_user_and_identity_gets_all_of_it_in_its_files() {
    let workspace = renderer().render(
        &worker_with_everything(),
        &Wanted::built_ins(Role::Worker),
        None,
        &marked(),
    );
    insta::assert_snapshot!(whole(&workspace.unwrap()));
}

#[test]
fn a_worker_without_board_gets_files_that_do_not_speak_of_one() {
    let workspace = renderer()
        .render(&worker(), &Wanted::built_ins(Role::Worker), None, &marked())
        .unwrap();
    let text = whole(&workspace);
    assert!(!text.to_lowercase().contains("board"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_lead_gets_files_that_make_it_answer_for_the_board() {
    let wanted = Wanted::built_ins(Role::Lead);
    let workspace = renderer().render(&lead(), &wanted, None, &marked());
    insta::assert_snapshot!(whole(&workspace.unwrap()));
}

#[test]
fn a_main_agent_gets_files_that_speak_of_no_board_and_a_user_file_that_is_enforced() {
    let wanted = Wanted::built_ins(Role::Main);
    let workspace = renderer()
        .render(&main_agent(), &wanted, None, &marked())
        .unwrap();
    let user = |file: &&Rendered| file.name == FileName::User;
    assert_eq!(
        workspace.files.iter().find(user).map(|file| file.policy),
        Some(Policy::Enforce)
    );
    let text = whole(&workspace);
    assert!(!text.to_lowercase().contains("board"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn no_built_in_text_names_an_address_to_call() {
    for context in [worker_with_everything(), lead(), main_agent()] {
        let wanted = Wanted::built_ins(context.role);
        let workspace = renderer()
            .render(&context, &wanted, None, &Tail::default())
            .unwrap();
        let text = whole(&workspace);
        for word in ["http", "curl", "/api/"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
    }
}

#[test]
fn built_in_texts_are_tidy_and_leave_room_for_the_users() {
    for context in [worker(), worker_with_everything(), lead(), main_agent()] {
        let wanted = Wanted::built_ins(context.role);
        let workspace = renderer()
            .render(&context, &wanted, None, &Tail::default())
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

prop_compose! {
    fn any_context()(role in prop::sample::select(vec![Role::Worker, Role::Lead, Role::Main]), texts in prop::collection::vec(any_text(), 23), switches in any::<[bool; 7]>(), max_agents in any::<Option<u32>>()) -> Context {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().unwrap_or_default();
        let [goal_confirmed, approval, review, comment, block, lead, with_board] = switches;
        Context {
            agent_name: text(),
            role,
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
        let workspace = renderer.render(&context, &Wanted::built_ins(context.role), None, &marked()).unwrap();
        prop_assert_eq!(Mark::find(&workspace.files[0].text), Some(mark()));
        for file in &workspace.files {
            let source = BUILT_IN.iter().find(|(text, _)| *text == Text::File(file.name)).unwrap().1;
            let ours = headings(source);
            for heading in headings(&file.text) {
                prop_assert!(ours.contains(&heading), "{}: {heading:?}", file.name);
            }
        }
        let again = renderer.render(&context, &Wanted::built_ins(context.role), None, &marked()).unwrap();
        prop_assert_eq!(workspace, again);
    }
}
