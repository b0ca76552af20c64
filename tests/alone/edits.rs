//! What one changed field costs: exactly the calls that it needs.

use std::collections::BTreeMap;

use crate::{
    bed::api_proxy::{Moment, Point},
    manifest::agent,
    world::alone,
};

#[test]
fn one_changed_field_costs_exactly_the_calls_that_it_needs() {
    alone("edits", async |world| {
        world.start_operator(&[]).await;
        world.apply_team("edits").await;
        let mut spec = agent("edits", "one");
        world.apply(&spec).await;
        world.agents_ready(1).await;
        for (field, from, to, patches, files, checklists, labels) in [
            (
                "a name for people",
                "displayName: Agent one",
                "displayName: Another",
                1,
                2,
                0,
                0,
            ),
            ("identity", "role: Tester", "role: Analyst", 0, 1, 0, 0),
            (
                "a model",
                "  identity:",
                "  model: fake/fake-1\n  identity:",
                1,
                0,
                0,
                0,
            ),
            (
                "the checklist",
                "Is one still here?",
                "Is one there?",
                0,
                0,
                1,
                0,
            ),
            (
                "time between beats",
                "{checklist:",
                "{every: 2h, checklist:",
                1,
                0,
                0,
                0,
            ),
            (
                "a label",
                "  identity:",
                "  session: {label: Day shift}\n  identity:",
                0,
                0,
                0,
                1,
            ),
            (
                "pace of rotation",
                "  identity:",
                "  token: {rotateEvery: 720h}\n  identity:",
                0,
                0,
                0,
                0,
            ),
            (
                "what becomes of it",
                "  identity:",
                "  deletionPolicy: KeepFiles\n  identity:",
                0,
                0,
                0,
                0,
            ),
        ] {
            let before = world.relay.counts();
            let changed = spec.replace(from, to);
            assert_ne!(changed, spec, "{field}");
            spec = changed;
            world.apply(&spec).await;
            world.agents_ready(1).await;
            let expected: BTreeMap<String, usize> = [
                ("config.patch", patches),
                ("agents.files.set", files),
                ("cron.scratch.set", checklists),
                ("sessions.patch", labels),
            ]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(method, count)| (method.to_owned(), count))
            .collect();
            assert_eq!(world.gateway_writes_since(&before), expected, "{field}");
        }
    });
}

#[test]
fn what_is_edited_during_a_pass_is_not_told_as_done_before_it_is() {
    alone("meanwhile", async |world| {
        let proxy = world.proxy_api_server();
        world.start_operator(&[]).await;
        world.apply_team("meanwhile").await;
        let spec = agent("meanwhile", "one");
        // The claim is the first that a pass writes of the status.
        proxy.halt_at(Point {
            which: Box::new(|call| call.verb == "patch" && call.resource == "agents/status"),
            nth: 1,
            moment: Moment::Before,
        });
        world.apply(&spec).await;
        proxy.halted().await;
        let changed = spec.replace("displayName: Agent one", "displayName: Another");
        world.apply(&changed).await;
        proxy.resume();
        world.agents_ready(1).await;
        assert_eq!(
            world.our_entries().await["meanwhile_one"]["name"],
            "Another"
        );
    });
}
