//! A gateway without any config document: its agent `main` is nowhere written down.

use serde_json::json;

use crate::bed::gateway::GatewayOptions;
use crate::world::{KEY, World, run, wish_with};

#[test]
fn the_implicit_main_and_its_heartbeat_survive_our_first_agent() {
    run(async {
        let world = World::start(GatewayOptions::new("link-implicit").without_config()).await;
        let observed = world.pool.observe(KEY, None).await.unwrap();
        assert!(!observed.config.exists && observed.config.entries().is_none());

        let beat = wish_with(
            "ours",
            &[
                ("heartbeat.every", json!("30m")),
                ("heartbeat.target", json!("none")),
            ],
        );
        world.writer().apply(beat).await.unwrap();
        let agents = world.rpc().await.agent_ids().await.unwrap();
        assert_eq!(agents, ["main", "ours"]);
        assert_eq!(
            world.beating().await,
            ["main".to_owned(), "ours".to_owned()].into()
        );

        world.writer().delete("ours", true).await.unwrap();
        world
            .writer()
            .release_kept(&world.journal.kept())
            .await
            .unwrap();
        assert_eq!(world.rpc().await.agent_ids().await.unwrap(), ["main"]);
        assert_eq!(world.beating().await, ["main".to_owned()].into());
        let main = world.entries().await["main"].clone();
        assert!(main.get("heartbeat").is_none(), "{main}");
        world.gateway.stop().await.unwrap();
    });
}
