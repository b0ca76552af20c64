//! Agents that come back under an id that the gateway deleted before: it remembers the deletion, and would schedule nothing for them
//! and restart itself at every write.

use mission_operator::gateway::Deleted;
use serde_json::json;

use crate::world::{own, run, wish, wish_with};

#[test]
fn an_agent_that_comes_back_beats_again_and_the_gateway_keeps_running() {
    run(async {
        let world = own().await;
        let writer = world.writer();
        let beats = wish_with("returner", &[("heartbeat.every", json!("50m"))]);
        let before = world.rpc().await.hello()["server"]["bootId"].clone();
        for _ in 0..2 {
            let applied = writer.apply(beats.clone()).await.unwrap();
            assert!(applied.heartbeat_job.is_some(), "no heartbeat: {applied:?}");
            let deleted = writer.delete("returner", true).await.unwrap();
            assert_eq!(deleted, Deleted::Deleted);
        }
        let applied = writer.apply(beats).await.unwrap();
        assert!(applied.heartbeat_job.is_some(), "no heartbeat: {applied:?}");
        writer.apply(wish("bystander")).await.unwrap();
        let after = world.rpc().await.hello()["server"]["bootId"].clone();
        assert_eq!(after, before, "the gateway restarted itself");
        writer.delete("returner", true).await.unwrap();
        writer.delete("bystander", true).await.unwrap();
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
