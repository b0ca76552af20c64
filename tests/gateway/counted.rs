//! What the gateway is asked for, counted on the wire.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use mission_operator::gateway::{Deleted, LinkState};
use serde_json::json;

use crate::world::{KEY, own, run, until, up, wish, wish_with};

fn ids(prefix: &str, count: usize) -> BTreeSet<String> {
    (0..count).map(|n| format!("{prefix}-{n}")).collect()
}

#[test]
fn twenty_five_wishes_cost_at_most_two_patches_over_one_connection() {
    run(async {
        let world = own().await;
        let patches = world.relay.count("config.patch");
        let ids = ids("many", 25);
        let writer = world.writer();
        let outcomes = join_all(ids.iter().map(|id| {
            let wish = wish_with(
                id,
                &[
                    ("heartbeat.every", json!("30m")),
                    ("heartbeat.target", json!("none")),
                ],
            );
            writer.apply(wish)
        }))
        .await;
        for outcome in outcomes {
            let applied = outcome.unwrap();
            assert!(applied.wrote);
            assert!(applied.heartbeat_job.is_some());
        }
        let patches = world.relay.count("config.patch") - patches;
        assert!(patches <= 2, "{patches} patches");
        assert_eq!(world.relay.open_connections(), 1);
        let listed: BTreeSet<_> = world
            .rpc()
            .await
            .agent_ids()
            .await
            .unwrap()
            .into_iter()
            .collect();
        assert!(ids.is_subset(&listed));
    });
}

#[test]
fn agents_deleted_in_a_row_do_not_make_the_gateway_restart() {
    run(async {
        let world = own().await;
        let writer = world.writer();
        let ids = ids("gone", 5);
        join_all(ids.iter().map(|id| writer.apply(wish(id)))).await;
        let before = up(&world.link()).await;
        // A wish among them, as when some are deleted while others are applied.
        let (deleted, kept) = tokio::join!(
            join_all(ids.iter().map(|id| writer.delete(id, true))),
            writer.apply(wish("stays")),
        );
        for outcome in deleted {
            assert_eq!(outcome.unwrap(), Deleted::Deleted);
        }
        assert!(kept.unwrap().wrote);
        let listed = world.rpc().await.agent_ids().await.unwrap();
        assert!(listed.iter().all(|id| !ids.contains(id)), "{listed:?}");
        assert!(listed.contains(&"stays".to_owned()));
        let after = world.rpc().await.hello().clone();
        assert_eq!(after["server"]["bootId"], before.boot_id.as_str());
        assert_eq!(up(&world.link()).await.conn_id, before.conn_id);
    });
}

#[test]
fn two_keys_on_one_gateway_share_one_writer() {
    run(async {
        let world = own().await;
        up(&world.connect("second")).await;
        assert_eq!(world.pool.siblings("second"), [KEY, "second"]);
        let patches = world.relay.count("config.patch");
        let first = world.pool.writer(KEY).unwrap();
        let second = world.pool.writer("second").unwrap();
        let (one, two) = tokio::join!(first.apply(wish("team-a")), second.apply(wish("team-b")));
        assert!(one.unwrap().wrote && two.unwrap().wrote);
        assert_eq!(world.relay.count("config.patch") - patches, 1);
        // Neither sees the gateway as it was before.
        for key in [KEY, "second"] {
            let observed = world.pool.observe(key, None).await.unwrap();
            assert!(observed.config.entry("team-b").is_some());
        }
        // The writer goes on when the key through which it wrote has gone.
        world.pool.remove(KEY);
        assert_eq!(world.pool.siblings("second"), ["second"]);
        assert!(second.apply(wish("team-c")).await.unwrap().wrote);
        up(&world.connect(KEY)).await;
        world.pool.remove("second");
    });
}

#[test]
fn one_look_serves_all_who_ask_until_something_changes() {
    run(async {
        let world = own().await;
        let looks = || world.relay.count("config.get");
        world.pool.observe(KEY, None).await.unwrap();
        let before = looks();
        let all = join_all((0..50).map(|_| world.pool.observe(KEY, None))).await;
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(looks(), before);

        let now = tokio::time::Instant::now();
        let newer = world.pool.observe(KEY, Some(now)).await.unwrap();
        assert!(newer.taken > now);
        assert_eq!(looks(), before + 1);

        // Somebody else's change is heard of.
        let mut events = world.pool.events();
        let theirs = json!({"agents": {"entries": {"main": {"name": "Theirs"}}}});
        world.rpc().await.patch_config(&theirs).await.unwrap();
        let heard = async {
            loop {
                let event = events.recv().await.unwrap();
                if event.kind == mission_operator::gateway::PoolEventKind::ConfigChanged {
                    return event;
                }
            }
        };
        let event = tokio::time::timeout(crate::world::PATIENCE, heard)
            .await
            .unwrap();
        assert_eq!(&*event.key, KEY);
        let observed = world.pool.observe(KEY, None).await.unwrap();
        assert_eq!(observed.config.entry("main").unwrap()["name"], "Theirs");
        let back = json!({"agents": {"entries": {"main": {"name": null}}}});
        world.rpc().await.patch_config(&back).await.unwrap();
    });
}

#[test]
fn a_write_that_lost_its_connection_is_judged_by_what_the_gateway_holds() {
    run(async {
        let world = own().await;
        let writer = world.writer();
        let patches = world.relay.count("config.patch");
        let mut new = wish("cut-off");
        new.must_be_absent = true;
        let (outcome, ()) = tokio::join!(writer.apply(new), async {
            // The relay counts and tells nobody.
            while world.relay.count("config.patch") == patches {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            world.relay.cut();
            until(&world.link(), |state| {
                matches!(state, LinkState::Connecting { .. })
            })
            .await;
            world.relay.restore();
        });
        assert!(outcome.unwrap().wrote);
        assert_eq!(world.entries().await["cut-off"]["name"], "cut-off");
    });
}
