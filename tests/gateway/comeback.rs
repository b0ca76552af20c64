//! Agents that come back under an id that the gateway deleted before: it remembers the deletion, and would schedule nothing for them
//! and restart itself at every write.

use mission_operator::gateway::{Class, WriteError, Writer};
use serde_json::json;

use crate::world::{KEY, World, own, run, up, wish_with};

/// Tries again what passes by itself, as the controller does, on whatever process the gateway runs by then.
async fn insist<T>(world: &World, attempt: impl AsyncFn(Writer) -> Result<T, WriteError>) -> T {
    loop {
        up(&world.link()).await;
        let Some(writer) = world.pool.writer(KEY) else {
            continue;
        };
        match attempt(writer).await {
            Ok(done) => return done,
            Err(error) => assert!(
                matches!(error.class(), Class::Transient | Class::Waiting),
                "{error}"
            ),
        }
    }
}

/// Whether the gateway restarts itself meanwhile is a matter of some 200 ms, so that is not what is asked here.
#[test]
fn an_agent_can_be_deleted_and_come_back_again_and_again() {
    run(async {
        let world = own().await;
        let beats = wish_with("returner", &[("heartbeat.every", json!("50m"))]);
        for _ in 0..3 {
            let applied = insist(&world, async |writer| writer.apply(beats.clone()).await).await;
            assert_eq!(applied.entry["heartbeat"]["every"], "50m");
            insist(&world, async |writer| writer.delete("returner", true).await).await;
            assert!(world.entries().await.get("returner").is_none());
        }
    });
}

#[test]
fn readmitting_changes_nothing_but_what_the_gateway_remembers() {
    run(async {
        let world = own().await;
        let link = world.link();
        let before = world
            .rpc()
            .await
            .call("config.get", json!({}))
            .await
            .unwrap();
        assert!(!link.agents_readmit("never-there").await.unwrap());
        assert!(link.agents_readmit("main").await.unwrap());
        let after = world
            .rpc()
            .await
            .call("config.get", json!({}))
            .await
            .unwrap();
        assert_eq!(after["hash"], before["hash"]);
        assert!(!world.gateway.workspace("never-there").exists());
    });
}
