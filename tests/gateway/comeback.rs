//! Agents that come back under an id that the gateway deleted before: it remembers the deletion, and would schedule nothing for them
//! and restart itself at every write.

use mission_operator::plan::entry::CREATED_WITH;
use serde_json::json;

use crate::world::{own, run, wish_with};

#[test]
fn an_agent_that_was_deleted_comes_back_again_and_again_on_the_same_gateway_process() {
    run(async {
        let world = own().await;
        let boot_id = world.link().hello().unwrap().boot_id.clone();
        let writer = world.writer();
        let mut beats = wish_with("returner", &[("heartbeat.every", json!("50m"))]);
        beats.may_be_created = true;
        beats.unset = CREATED_WITH.map(str::to_owned).into();
        let mut neighbour = wish_with("neighbour", &[]);
        neighbour.may_be_created = true;
        for _ in 0..3 {
            let applied = writer.apply(beats.clone()).await.unwrap();
            let entry = json!({"name": "returner", "heartbeat": {"every": "50m"}});
            assert_eq!(applied.entry, entry);
            assert!(applied.heartbeat_job.is_some(), "{applied:?}");
            // What the gateway could not schedule would make it restart itself at this.
            writer.apply(neighbour.clone()).await.unwrap();
            writer.delete("returner", true).await.unwrap();
            writer.delete("neighbour", true).await.unwrap();
            assert!(world.entries().await.get("returner").is_none());
        }
        let process = world.link().hello().unwrap();
        assert_eq!(process.boot_id, boot_id);
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
