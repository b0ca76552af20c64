//! How large, long and deep texts and templates may be.

use super::*;

#[test]
fn a_loop_that_never_ends_in_practice_runs_out_of_fuel() {
    let mut context = worker();
    context.user.notes = "x".repeat(1_000);
    let each = r#"{% for x in user_notes|split("") %}"#;
    let template = format!("{each}{each}{each}{{% endfor %}}{{% endfor %}}{{% endfor %}}");
    let error = renderer()
        .render(&context, &soul(&template), None, &Tail::default())
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
        .render(&context, &soul(&template), None, &Tail::default())
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
fn limits_count_what_the_gateway_counts_and_not_bytes() {
    let at = |text: String| {
        let files = [wanted(FileName::Soul, Source::Verbatim(text))];
        renderer().render(&worker(), &files, None, &Tail::default())
    };
    let crab = "\u{1f980}";
    for text in [
        "x".repeat(20_000),
        "é".repeat(20_000),
        format!("{}\n\n", "日".repeat(20_000)),
        crab.repeat(10_000),
    ] {
        assert!(at(text).is_ok());
    }
    for text in ["x".repeat(20_001), format!("{}x", crab.repeat(10_000))] {
        assert_eq!(
            at(text).unwrap_err().to_string(),
            "SOUL.md: 20001 characters, and the limit is 20000; shorten it"
        );
    }
}

#[test]
fn the_checklist_has_the_limit_of_a_file() {
    let at = |chars: usize| {
        let checklist = Source::Verbatim("x".repeat(chars));
        renderer().render(&worker(), &[], Some(&checklist), &Tail::default())
    };
    assert!(at(20_000).is_ok());
    assert_eq!(
        at(20_001).unwrap_err().to_string(),
        "heartbeat.checklist: 20001 characters, and the limit is 20000; shorten it"
    );
}

#[test]
fn the_mark_counts_as_part_of_its_file() {
    let files = [wanted(
        FileName::Agents,
        Source::Verbatim("x".repeat(20_000)),
    )];
    assert!(
        renderer()
            .render(&worker(), &files, None, &Tail::default())
            .is_ok()
    );
    let error = renderer()
        .render(&worker(), &files, None, &marked())
        .unwrap_err();
    assert_eq!(
        error.problems(),
        [Problem::FileTooLarge {
            text: Text::File(FileName::Agents),
            chars: 20_000 + mark().append("").trim_end().len(),
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
    assert!(
        renderer()
            .render(&worker(), &within, None, &Tail::default())
            .is_ok()
    );
    let mut beyond = files(19_000).to_vec();
    beyond.push(memory(1_001));
    assert_eq!(
        renderer()
            .render(&worker(), &beyond, None, &Tail::default())
            .unwrap_err()
            .to_string(),
        "all files together: 60001 characters, and the limit is 60000; shorten the longest, SOUL.md"
    );
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
    let word = "x".repeat(15_000);
    for template in [
        format!("{{{{ {word} }}}}"),
        format!("{{% {word} %}}"),
        format!("{{{{ role|{word} }}}}"),
        format!("{{{{ role {word} }}}}"),
        format!("{{{{ role == {} }}}}", "9".repeat(15_000)),
    ] {
        let error = refused(&template);
        assert!(error.chars().count() < 400, "{error}");
    }
    let error = refused(&"{{ nobody }}\n".repeat(15));
    assert_eq!(error.lines().count(), 13, "{error}");
    assert!(error.ends_with("\nand 3 more"), "{error}");
}
