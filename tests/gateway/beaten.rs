//! Others who write the document between our look at it and our write.

use mission_operator::gateway::{Class, WriteError};
use serde_json::{Value, json};

use crate::bed::gateway::GatewayOptions;
use crate::world::{PATIENCE, World, run, wish_with};

/// Secrets in clear and by reference, and an order of keys that is not the alphabet's.
fn delicate(config: &mut Value) {
    let mut spare = config["models"]["providers"]["fake"].clone();
    spare["apiKey"] = json!("${SPARE_KEY}");
    config["models"]["providers"]["spare"] = spare;
    config["agents"]["entries"] = json!({
        "main": {},
        "theirs": {"name": "Theirs", "tools": {"exec": {"notifyOnExit": false}}},
    });
    config["agents"]["defaults"]["heartbeat"] = json!({"every": "45m", "target": "none"});
}

/// A part that stands in a file of its own.
fn with_include(config: &mut Value) {
    config["tools"] = json!({"$include": "./tools.json"});
}

const TOOLS: &str = r#"{"exec": {"notifyOnExit": true}}"#;

/// Holds the next patch back until somebody else has written.
async fn while_they_write(world: &World, theirs: Value) {
    tokio::time::timeout(PATIENCE, world.relay.stalled())
        .await
        .expect("no patch comes");
    let mut rpc = world.rpc().await;
    rpc.patch_config(&theirs).await.unwrap();
    world.relay.restore();
}

#[test]
fn the_whole_document_is_written_then_and_all_of_others_stays_byte_for_byte() {
    run(async {
        let options = GatewayOptions::new("beaten")
            .without_plugins()
            .configure(delicate)
            .env("SPARE_KEY", "the-spare-key");
        let world = World::start(options).await;
        let writer = world.writer();
        // The gateway's own doing at the first write of anybody.
        writer.apply(wish_with("first", &[])).await.unwrap();
        let before = world.gateway.config().unwrap();
        assert_eq!(
            before["models"]["providers"]["spare"]["apiKey"],
            "${SPARE_KEY}"
        );

        let beat_before = world.beating().await;
        assert!(beat_before.contains("theirs"), "{beat_before:?}");
        world.relay.stall_at("config.patch");
        let beat = [
            ("heartbeat.every", json!("40m")),
            ("heartbeat.target", json!("none")),
        ];
        let theirs = json!({"agents": {"entries": {"theirs": {"name": "Renamed"}}}});
        let (ours, ()) = tokio::join!(
            writer.apply(wish_with("second", &beat)),
            while_they_write(&world, theirs)
        );
        let ours = ours.unwrap();
        assert!(ours.wrote && ours.heartbeat_job.is_some());
        assert_eq!(world.relay.count("config.set"), 1);

        let mut expected = before.clone();
        let entries = &mut expected["agents"]["entries"];
        entries["theirs"]["name"] = json!("Renamed");
        entries["second"] =
            json!({"name": "second", "heartbeat": {"every": "40m", "target": "none"}});
        for agent_id in &beat_before {
            entries[agent_id]["heartbeat"] = json!({});
        }
        let mut after = world.gateway.config().unwrap();
        for document in [&mut expected, &mut after] {
            document.as_object_mut().unwrap().remove("meta");
        }
        assert_eq!(after, expected);
        assert!(world.beating().await.is_superset(&beat_before));
        let text = std::fs::read_to_string(world.gateway.config_path()).unwrap();
        assert!(!text.contains("the-spare-key") && text.contains(world.gateway.secret()));
        let place = |entry: &str| text.find(&format!("\"{entry}\": {{")).unwrap();
        assert!(place("theirs") < place("first") && place("first") < place("second"));
        world.gateway.stop().await.unwrap();
    });
}

#[test]
fn a_document_that_is_put_together_from_several_files_is_only_ever_patched() {
    run(async {
        let options = GatewayOptions::new("beaten-include")
            .without_plugins()
            .configure(with_include)
            .file("tools.json", TOOLS);
        let world = World::start(options).await;
        world.relay.stall_at("config.patch");
        let theirs = json!({"agents": {"defaults": {"heartbeat": {"every": "2h"}}}});
        let writer = world.writer();
        let (ours, ()) = tokio::join!(
            writer.apply(wish_with("included", &[])),
            while_they_write(&world, theirs)
        );
        assert!(ours.unwrap().wrote);
        assert_eq!(world.relay.count("config.set"), 1);
        let after = world.gateway.config().unwrap();
        assert_eq!(after["tools"], json!({"$include": "./tools.json"}));
        assert_eq!(after["agents"]["defaults"]["heartbeat"]["every"], "2h");
        assert_eq!(after["agents"]["entries"]["included"]["name"], "included");
        let tools = world.gateway.config_path().with_file_name("tools.json");
        assert_eq!(std::fs::read_to_string(tools).unwrap(), TOOLS);
        world.gateway.stop().await.unwrap();
    });
}

#[test]
fn what_the_gateway_refuses_is_refused_in_the_same_words_then() {
    run(async {
        let world = crate::world::own().await;
        for (agent_id, key, value, words) in [
            ("beaten-every", "every", "often", "invalid duration"),
            (
                "beaten-target",
                "target",
                "nosuch",
                "unknown heartbeat target: nosuch",
            ),
        ] {
            world.relay.stall_at("config.patch");
            let beat = [
                ("heartbeat.every", json!("45m")),
                (&*format!("heartbeat.{key}"), json!(value)),
            ];
            let sets = world.relay.count("config.set");
            let theirs = json!({"agents": {"defaults": {"heartbeat": {"prompt": agent_id}}}});
            let writer = world.writer();
            let (refused, ()) = tokio::join!(
                writer.apply(wish_with(agent_id, &beat)),
                while_they_write(&world, theirs)
            );
            let error = refused.unwrap_err();
            assert_eq!(world.relay.count("config.set"), sets + 1, "{error:?}");
            assert_eq!(error.class(), Class::Rejected);
            assert!(error.to_string().contains(words), "{error}");
            let WriteError::Rejected { issues, .. } = error else {
                panic!("{error:?}")
            };
            assert_eq!(issues.len(), 1);
            assert_eq!(world.entries().await.get(agent_id), None);
        }
        let mut rpc = world.rpc().await;
        rpc.patch_config(&json!({"agents": {"defaults": {"heartbeat": null}}}))
            .await
            .unwrap();
    });
}
