//! Heartbeats of agents that are not ours, on a gateway where nobody has a heartbeat block.

use std::collections::BTreeSet;

use mission_operator::gateway::{PoolEventKind, Released};
use serde_json::json;

use crate::bed::gateway::GatewayOptions;
use crate::world::{PATIENCE, World, run, wish, wish_with};

#[test]
fn main_goes_on_beating_when_our_first_heartbeat_comes_and_is_as_before_when_ours_have_gone() {
    run(async {
        let world = World::start(GatewayOptions::new("link-heartbeats").without_plugins()).await;
        let writer = world.writer();
        let main: BTreeSet<String> = ["main".to_owned()].into();
        // An agent of ours without heartbeat brings the gateway to write what it pins for main itself.
        writer.apply(wish("quiet")).await.unwrap();
        let before = world.entries().await["main"].clone();
        assert!(world.journal.kept().is_empty());

        let beat = wish_with(
            "beats",
            &[
                ("heartbeat.every", json!("30m")),
                ("heartbeat.target", json!("none")),
            ],
        );
        let mut events = world.pool.events();
        let applied = writer.apply(beat).await.unwrap();
        assert!(applied.heartbeat_job.is_some());
        let made = PoolEventKind::MonitorMade("beats".into());
        let told = async { while events.recv().await.unwrap().kind != made {} };
        tokio::time::timeout(PATIENCE, told)
            .await
            .expect("the gateway tells of the monitor that it made");
        assert_eq!(world.journal.kept(), main);
        assert_eq!(world.entries().await["main"]["heartbeat"], json!({}));
        assert_eq!(
            world.beating().await,
            ["beats".to_owned(), "main".to_owned()].into()
        );

        let early = writer.release_kept(&main).await.unwrap();
        assert_eq!(early, Released::StillNeeded, "main would fall silent");
        assert_eq!(world.entries().await["main"]["heartbeat"], json!({}));

        writer.delete("beats", true).await.unwrap();
        assert_eq!(world.beating().await, main);
        let last = writer.release_kept(&main).await.unwrap();
        assert_eq!(last, Released::Done);
        assert!(world.journal.kept().is_empty());
        assert_eq!(world.entries().await["main"], before);
        assert_eq!(world.beating().await, main);
        writer.delete("quiet", true).await.unwrap();
        assert_eq!(world.entries().await, json!({"main": before}));
        world.gateway.stop().await.unwrap();
    });
}
