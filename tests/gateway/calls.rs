//! Each typed call, with what it answers when something is missing or in conflict.

use mission_operator::gateway::{CallError, Class};
use serde_json::json;

use crate::world::{KEY, run, shared, wish, wish_with};

#[test]
fn config_and_roster_show_the_same_agent() {
    run(async {
        let world = shared().await;
        let applied = world.writer().apply(wish("calls-roster")).await.unwrap();
        assert_eq!(applied.entry["name"], "calls-roster");
        let config = world.link().config_get().await.unwrap();
        assert!(config.exists && config.valid, "{:?}", config.issues);
        assert!(config.skip_bootstrap());
        assert_eq!(config.entry("calls-roster"), Some(&applied.entry));
        let roster = world.link().agents_list().await.unwrap();
        let agent = roster.agent("calls-roster").unwrap();
        assert_eq!(agent.name.as_deref(), Some("calls-roster"));
        assert_eq!(
            agent.workspace.as_deref(),
            world.gateway.workspace("calls-roster").to_str()
        );
    });
}

#[test]
fn a_stale_base_is_a_hash_conflict() {
    run(async {
        let world = shared().await;
        let error = world
            .link()
            .config_patch(&json!({}), &[].into(), "hmac-sha256:v1:stale")
            .await
            .unwrap_err();
        assert!(matches!(error, CallError::HashConflict), "{error:?}");
    });
}

#[test]
fn files_are_written_only_over_what_was_read() {
    run(async {
        let world = shared().await;
        let agent = "calls-files";
        world.writer().apply(wish(agent)).await.unwrap();
        let link = world.link();
        let none = link.files_get(agent, "SOUL.md").await.unwrap();
        assert!(none.missing && none.hash.is_none(), "{none:?}");

        let first = link.files_set(agent, "SOUL.md", "one", None).await.unwrap();
        let hash = first.hash.clone().unwrap();
        let second = link
            .files_set(agent, "SOUL.md", "two", Some(&hash))
            .await
            .unwrap();
        let error = link
            .files_set(agent, "SOUL.md", "three", Some(&hash))
            .await
            .unwrap_err();
        let CallError::FileConflict { name, current_hash } = &error else {
            panic!("{error:?}");
        };
        assert_eq!((name.as_str(), current_hash), ("SOUL.md", &second.hash));
        let read = link.files_get(agent, "SOUL.md").await.unwrap();
        assert_eq!(read.content.as_deref(), Some("two"));
        assert_eq!(read.size, Some(3));

        let listed = link.files_list(agent).await.unwrap();
        let soul = listed
            .files
            .iter()
            .find(|file| file.name == "SOUL.md")
            .unwrap();
        assert_eq!(
            (soul.size, soul.updated_at_ms),
            (read.size, read.updated_at_ms)
        );
        assert!(soul.hash.is_none());
        assert!(listed.files.iter().all(|file| file.name != "IDENTITY.md"));
    });
}

#[test]
fn unknown_agents_and_file_names_are_told_apart() {
    run(async {
        let link = shared().await.link();
        for error in [
            link.files_list("calls-nobody").await.map(drop),
            link.files_get("calls-nobody", "SOUL.md").await.map(drop),
            link.models_list("calls-nobody").await.map(drop),
            link.agents_delete("calls-nobody", true).await.map(drop),
        ] {
            let error = error.unwrap_err();
            assert!(
                matches!(&error, CallError::AgentNotFound { agent_id } if agent_id == "calls-nobody"),
                "{error:?}"
            );
        }
        let error = link.files_get("main", "HEARTBEAT.md").await.unwrap_err();
        assert_eq!(error.class(), Class::Unsupported, "{error:?}");
    });
}

#[test]
fn a_checklist_is_written_only_over_what_was_read() {
    run(async {
        let world = shared().await;
        let wish = wish_with(
            "calls-scratch",
            &[
                ("heartbeat.every", json!("30m")),
                ("heartbeat.target", json!("none")),
            ],
        );
        let job = world.writer().apply(wish).await.unwrap().heartbeat_job;
        let job = job.expect("the agent has a heartbeat job");
        let observed = world.pool.observe(KEY, None).await.unwrap();
        assert_eq!(observed.heartbeat_job("calls-scratch").unwrap().id, job);

        let link = world.link();
        let none = link.scratch_get(&job).await.unwrap();
        assert_eq!((none.content, none.revision), (None, 0));
        let first = link
            .scratch_set(&job, Some("- look"), Some(0))
            .await
            .unwrap();
        assert_eq!(first.content.as_deref(), Some("- look"));
        let error = link
            .scratch_set(&job, Some("- other"), Some(0))
            .await
            .unwrap_err();
        let CallError::ScratchConflict { current_revision } = error else {
            panic!("{error:?}");
        };
        assert_eq!(current_revision, Some(first.revision));
        let gone = link
            .scratch_set(&job, None, Some(first.revision))
            .await
            .unwrap();
        assert_eq!(gone.content, None);

        let nowhere = "11111111-1111-4111-8111-111111111111";
        let error = link.scratch_get(nowhere).await.unwrap_err();
        assert!(matches!(error, CallError::JobNotFound { .. }), "{error:?}");
    });
}

#[test]
fn models_are_listed_and_remembered() {
    run(async {
        let world = shared().await;
        let models = world.pool.models(KEY, "main").await.unwrap();
        let [model] = models.as_slice() else {
            panic!("{models:?}")
        };
        assert_eq!(format!("{}/{}", model.provider, model.id), "fake/fake-1");
        assert_eq!(model.available, Some(true));
    });
}
