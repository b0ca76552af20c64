//! The built-in texts: what they look like (see `snapshots/`), and that no value of a user breaks them.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// The built-in files of an agent that is told of the API, as they stand on a gateway.
fn on_the_gateway(context: &Context) -> Workspace {
    let wanted = Wanted::built_ins(context.role);
    renderer()
        .render(context, &wanted, None, &whole_tail(context))
        .unwrap()
}

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
    insta::assert_snapshot!(whole(&on_the_gateway(&lead())));
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
fn a_built_in_text_says_that_a_file_is_put_back_only_where_it_is() {
    let policies = |policy| {
        let all = Wanted::built_ins(Role::Worker).into_iter();
        all.map(|wanted| Wanted { policy, ..wanted })
            .collect::<Vec<_>>()
    };
    let agents_md = |wanted: &[Wanted]| {
        let workspace = renderer()
            .render(&worker(), wanted, None, &marked())
            .unwrap();
        workspace.files[0].text.clone()
    };
    let by_default = agents_md(&Wanted::built_ins(Role::Worker));
    assert!(
        by_default.contains(
            "puts them back when they are changed here: AGENTS.md, SOUL.md, IDENTITY.md.\n"
        )
    );
    let seeded = agents_md(&policies(Policy::Seed));
    assert!(!seeded.contains("puts them back"), "{seeded}");
    let soul_only = [
        policies(Policy::Seed),
        vec![wanted(FileName::Soul, Source::BuiltIn)],
    ]
    .concat();
    assert!(agents_md(&soul_only).contains("changed here: SOUL.md.\n"));
}

#[test]
fn a_worker_asks_the_lead_of_its_board_by_name_where_there_is_one() {
    let mut context = worker_with_everything();
    let agents_md = |context: &Context| on_the_gateway(context).files[0].text.clone();
    assert!(agents_md(&context).contains("ask Grace, the lead of the board,"));
    context.board.as_mut().unwrap().lead_name.clear();
    assert!(
        agents_md(&context).contains("ask the lead of the board (where it has none, the person")
    );
    assert!(agents_md(&worker()).contains("ask the person you work for exactly one question"));
    // The lead does not ask itself.
    assert!(agents_md(&lead()).contains("ask the person you work for exactly one question"));
}

#[test]
fn how_much_an_agent_does_without_asking_follows_its_level_of_autonomy() {
    for (level, says) in [
        ("ask_first", "set up to ask first"),
        ("Ask first", "set up to ask first"),
        ("autonomous", "set up to act on your own"),
        ("balanced", "Act on your own where"),
        ("", "Act on your own where"),
        ("as Ada likes it", "Act on your own where"),
    ] {
        let mut context = worker();
        level.clone_into(&mut context.identity.autonomy_level);
        let text = on_the_gateway(&context).files[0].text.clone();
        assert!(text.contains(says), "{level}: {text}");
    }
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
fn with_the_api_and_the_mark_every_file_is_far_below_what_the_gateway_shows() {
    for context in [worker_with_everything(), lead(), main_agent()] {
        let workspace = on_the_gateway(&context);
        let sizes: Vec<_> = workspace
            .files
            .iter()
            .map(|file| (file.name, characters(&file.text)))
            .collect();
        assert!(workspace.files[0].text.contains("## Operator API"));
        assert!(
            sizes.iter().all(|(_, size)| *size < FILE_LIMIT * 4 / 5),
            "{sizes:?}"
        );
        assert!(
            sizes.iter().map(|(_, size)| size).sum::<usize>() < TOTAL_LIMIT / 2,
            "{sizes:?}"
        );
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
    fn any_context()(role in prop::sample::select(vec![Role::Worker, Role::Lead, Role::Main]), texts in prop::collection::vec(any_text(), 24), switches in any::<[bool; 7]>(), max_agents in any::<Option<u32>>()) -> Context {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().unwrap_or_default();
        let [goal_confirmed, approval, review, comment, block, lead, with_board] = switches;
        Context {
            agent_name: text(),
            role,
            board: with_board.then(|| BoardContext {
                id: "research".to_owned(),
                name: text(),
                lead_name: text(),
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
