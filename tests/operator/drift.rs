//! What somebody else changed on the gateway: put back where it is enforced, left where it was only seeded.

use std::{
    path::Path,
    time::{Instant, SystemTime},
};

use mission_operator::api::{
    Agent,
    agent::{FileState, FileStatus},
};
use serde_json::json;

use crate::{
    gateways::{beating, checklist, entry, quiet, read, rpc, shared},
    team::{Team, agent_id, file},
    world::{RESYNC, file_is, run},
};

/// An Agent with one enforced and one seeded file of its own.
async fn agent(team: &Team) -> Agent {
    let spec = json!({
        "gatewayRef": {"name": "main"},
        "heartbeat": {"every": "50m", "checklist": "- Look.\n"},
        "files": [
            {"name": "SOUL.md", "content": "enforced"},
            {"name": "USER.md", "content": "seeded", "policy": "Seed"},
        ],
    });
    team.apply_spec::<Agent>("victim", spec).await;
    team.ready("victim").await
}

/// How a file stands, as the status says.
fn state(agent: &Agent, name: &str) -> Option<FileState> {
    let files = &agent.status.as_ref()?.files;
    files
        .iter()
        .find(|file| file.name == name)
        .map(|file| file.state)
}

/// Gives a file the time of now, as a restore does; in milliseconds since 1970.
fn touch(path: &Path) -> i64 {
    let now = SystemTime::now();
    let opened = std::fs::File::options().append(true).open(path).unwrap();
    opened.set_modified(now).unwrap();
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since_1970.as_millis()).unwrap()
}

#[test]
fn a_damaged_file_is_put_back_at_once_when_somebody_asks() {
    run(async {
        let gateway = shared().await;
        let began = Instant::now();
        let team = Team::on(gateway, "drift-now").await;
        let agent = agent(&team).await;
        std::fs::write(file(&agent, "SOUL.md"), "damaged").unwrap();
        std::fs::write(file(&agent, "USER.md"), "the agent's own").unwrap();
        std::fs::remove_file(file(&agent, "IDENTITY.md")).unwrap();
        team.reconcile_now::<Agent>("victim").await;
        file_is(&file(&agent, "SOUL.md"), |text| text == "enforced").await;
        file_is(&file(&agent, "IDENTITY.md"), |text| {
            text.contains("- Name: victim\n")
        })
        .await;
        let note = team.event("victim", "Normal", "DriftCorrected").await;
        assert!(note.contains("SOUL.md"), "{note}");
        assert!(!note.contains("USER.md"), "{note}");
        assert_eq!(read(&file(&agent, "USER.md")), "the agent's own");
        team.event_noting("victim", "DriftDetected", "USER.md")
            .await;
        let drifted = |agent: &Agent| state(agent, "USER.md") == Some(FileState::Drifted);
        let agent = team.until("victim", "the drift is told", drifted).await;
        assert_eq!(state(&agent, "SOUL.md"), Some(FileState::Synced));
        // The Gateway is younger than the shortest time between two resyncs, so no resync did this.
        assert!(
            began.elapsed() < RESYNC.mul_f64(0.9),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn a_seed_that_is_put_back_is_as_it_was_left_and_one_that_cannot_be_read_is_drift() {
    run(async {
        let team = Team::on(shared().await, "drift-back").await;
        let agent = agent(&team).await;
        let user = file(&agent, "USER.md");
        let until = async |what: &str, wanted: FileState, modified: Option<i64>| {
            team.reconcile_now::<Agent>("victim").await;
            let stands = |agent: &Agent| {
                let files = &agent.status.as_ref().unwrap().files;
                let is_it = |file: &&FileStatus| file.name == "USER.md" && file.state == wanted;
                let found = files.iter().find(is_it);
                found.is_some_and(|file| modified.is_none_or(|time| file.modified == Some(time)))
            };
            team.until("victim", what, stands).await;
            team.ready::<Agent>("victim").await;
        };
        // Restored with all others: the same text at another time is no drift.
        let restored = Some(touch(&user));
        until("restored", FileState::Seeded, restored).await;
        std::fs::write(&user, "the agent's own").unwrap();
        until("changed", FileState::Drifted, None).await;
        std::fs::write(&user, "seeded").unwrap();
        until("put back", FileState::Seeded, None).await;
        // A file with a second name is listed, and not read.
        std::fs::hard_link(&user, user.with_extension("bak")).unwrap();
        touch(&user);
        until("linked", FileState::Drifted, None).await;
        std::fs::remove_file(&user).unwrap();
        std::fs::rename(user.with_extension("bak"), &user).unwrap();
        until("put back again", FileState::Seeded, None).await;
    });
}

#[test]
fn what_was_put_back_is_told_though_another_file_could_not_be_written() {
    run(async {
        let team = Team::on(shared().await, "drift-half").await;
        let spec = json!({
            "gatewayRef": {"name": "main"},
            "files": [
                {"name": "SOUL.md", "content": "enforced"},
                {"name": "MEMORY.md", "content": "enforced", "policy": "Enforce"},
            ],
        });
        team.apply_spec::<Agent>("victim", spec).await;
        let agent: Agent = team.ready("victim").await;
        let memory = file(&agent, "MEMORY.md");
        std::fs::write(file(&agent, "SOUL.md"), "damaged").unwrap();
        // For the gateway no file, and no place for one.
        std::fs::remove_file(&memory).unwrap();
        std::fs::create_dir(&memory).unwrap();
        team.reconcile_now::<Agent>("victim").await;
        team.event_noting("victim", "DriftCorrected", "SOUL.md")
            .await;
        assert_eq!(read(&file(&agent, "SOUL.md")), "enforced");
        team.told::<Agent>("victim", "FilesSynced", "False", "Rejected")
            .await;
        std::fs::remove_dir(&memory).unwrap();
        team.reconcile_now::<Agent>("victim").await;
        team.ready::<Agent>("victim").await;
        assert_eq!(read(&memory), "enforced");
    });
}

#[test]
fn everything_enforced_is_put_back_at_the_next_resync_without_being_asked() {
    run(async {
        let gateway = &*quiet().await;
        let team = Team::on(gateway, "drift-later").await;
        let agent = agent(&team).await;
        let id = agent_id(&agent);
        let wanted = entry(gateway, id).await;
        // A file, the entry and the checklist, each as another client of the gateway would.
        std::fs::write(file(&agent, "AGENTS.md"), "No rules.\n").unwrap();
        std::fs::write(file(&agent, "USER.md"), "the agent's own").unwrap();
        let job = beating(gateway).await.remove(id).unwrap();
        let mut rpc = rpc(gateway).await;
        let scratch = json!({"id": job, "content": "- Sleep.\n"});
        rpc.call("cron.scratch.set", scratch).await.unwrap();
        let theirs = json!({"name": "Renamed", "heartbeat": {"every": "1h"}});
        let patch = json!({"agents": {"entries": {id: theirs}}});
        rpc.patch_config(&patch).await.unwrap();

        let restored = |text: &str| text.trim_end().ends_with("name=victim -->");
        file_is(&file(&agent, "AGENTS.md"), restored).await;
        for what in ["config entry", "AGENTS.md", "heartbeat checklist"] {
            team.event_noting("victim", "DriftCorrected", what).await;
        }
        assert_eq!(entry(gateway, id).await, wanted);
        assert_eq!(checklist(gateway, id).await, "- Look.\n");
        assert_eq!(read(&file(&agent, "USER.md")), "the agent's own");
        team.ready::<Agent>("victim").await;
        team.disband().await;
    });
}

#[test]
fn an_agent_that_somebody_removed_is_registered_again() {
    run(async {
        let gateway = &*quiet().await;
        let team = Team::on(gateway, "drift-gone").await;
        let agent = agent(&team).await;
        let id = agent_id(&agent);
        let wanted = entry(gateway, id).await;
        let mut rpc = rpc(gateway).await;
        let boot = rpc.hello()["server"]["bootId"].clone();
        let deletion = json!({"agentId": id, "deleteFiles": true});
        rpc.call("agents.delete", deletion).await.unwrap();
        rpc.config_applied().await.unwrap();
        team.reconcile_now::<Agent>("victim").await;
        file_is(&file(&agent, "SOUL.md"), |text| text == "enforced").await;
        team.event_noting("victim", "DriftCorrected", "config entry")
            .await;
        team.ready::<Agent>("victim").await;
        assert_eq!(entry(gateway, id).await, wanted);
        assert_eq!(checklist(gateway, id).await, "- Look.\n");
        // A gateway that does not forget a deletion restarts itself at the next write.
        let now = gateway.rpc().await.unwrap().hello()["server"]["bootId"].clone();
        assert_eq!(now, boot);
        // It went with the workspace.
        assert_eq!(read(&file(&agent, "USER.md")), "seeded");
        team.disband().await;
    });
}

#[test]
fn an_agent_that_kept_its_files_keeps_what_it_made_of_its_seeds() {
    run(async {
        let gateway = &*quiet().await;
        let team = Team::on(gateway, "drift-kept").await;
        let spec = json!({
            "gatewayRef": {"name": "main"},
            "files": [
                {"name": "BOOTSTRAP.md", "content": "Say hello."},
                {"name": "MEMORY.md", "content": "Nothing yet."},
            ],
        });
        team.apply_spec::<Agent>("victim", spec).await;
        let agent: Agent = team.ready("victim").await;
        assert_eq!(read(&file(&agent, "BOOTSTRAP.md")), "Say hello.");
        std::fs::write(file(&agent, "MEMORY.md"), "the agent's own").unwrap();
        // As the agent does when it has said hello.
        std::fs::remove_file(file(&agent, "BOOTSTRAP.md")).unwrap();
        std::fs::remove_file(file(&agent, "SOUL.md")).unwrap();
        let mut rpc = rpc(gateway).await;
        let deletion = json!({"agentId": agent_id(&agent), "deleteFiles": false});
        rpc.call("agents.delete", deletion).await.unwrap();
        rpc.config_applied().await.unwrap();
        team.reconcile_now::<Agent>("victim").await;
        file_is(&file(&agent, "SOUL.md"), |text| !text.is_empty()).await;
        team.event_noting("victim", "DriftCorrected", "config entry")
            .await;
        team.ready::<Agent>("victim").await;
        assert_eq!(read(&file(&agent, "MEMORY.md")), "the agent's own");
        assert!(!file(&agent, "BOOTSTRAP.md").exists());
        team.disband().await;
    });
}

#[test]
fn another_file_of_the_same_size_and_time_is_in_nobodys_way() {
    run(async {
        let team = Team::on(shared().await, "drift-restored").await;
        let agent = agent(&team).await;
        let soul = file(&agent, "SOUL.md");
        // As a restore from a backup can leave it: neither size nor time tells.
        let modified = std::fs::metadata(&soul).unwrap().modified().unwrap();
        std::fs::write(&soul, "ENFORCED").unwrap();
        let restored = std::fs::File::options().append(true).open(&soul).unwrap();
        restored.set_modified(modified).unwrap();
        let spec = json!({"files": [{"name": "SOUL.md", "content": "improved"}]});
        team.patch_spec::<Agent>("victim", spec).await;
        file_is(&soul, |text| text == "improved").await;
        team.ready::<Agent>("victim").await;
    });
}

#[test]
fn a_file_that_is_ignored_is_neither_written_nor_put_back_and_drift_from_what_was_ours_is_told() {
    run(async {
        let team = Team::on(shared().await, "drift-ignored").await;
        let spec = json!({
            "gatewayRef": {"name": "main"},
            "files": [
                {"name": "SOUL.md", "policy": "Ignore"},
                {"name": "AGENTS.md", "policy": "Ignore"},
                {"name": "IDENTITY.md", "content": "ours, once", "policy": "Seed"},
                {"name": "MEMORY.md", "content": "kept", "policy": "Enforce"},
            ],
        });
        team.apply_spec::<Agent>("loose", spec).await;
        let agent: Agent = team.ready("loose").await;
        assert!(!file(&agent, "SOUL.md").exists());
        assert!(!file(&agent, "AGENTS.md").exists());
        for name in ["SOUL.md", "AGENTS.md"] {
            assert_eq!(state(&agent, name), Some(FileState::Ignored), "{name}");
        }
        std::fs::write(file(&agent, "SOUL.md"), "the agent's own").unwrap();
        std::fs::write(file(&agent, "MEMORY.md"), "damaged").unwrap();
        team.reconcile_now::<Agent>("loose").await;
        file_is(&file(&agent, "MEMORY.md"), |text| text == "kept").await;
        assert_eq!(read(&file(&agent, "SOUL.md")), "the agent's own");

        // What we wrote once and leave alone is compared with that, also where the gateway does not list it.
        let left = json!({"files": [
            {"name": "SOUL.md", "policy": "Ignore"},
            {"name": "AGENTS.md", "policy": "Ignore"},
            {"name": "IDENTITY.md", "content": "ours, once", "policy": "Seed"},
            {"name": "MEMORY.md", "policy": "Ignore"},
        ]});
        team.patch_spec::<Agent>("loose", left).await;
        let agent: Agent = team.ready("loose").await;
        assert_eq!(state(&agent, "MEMORY.md"), Some(FileState::Ignored));
        assert_eq!(state(&agent, "IDENTITY.md"), Some(FileState::Seeded));
        for name in ["IDENTITY.md", "MEMORY.md"] {
            std::fs::write(file(&agent, name), "the agent's own").unwrap();
        }
        team.reconcile_now::<Agent>("loose").await;
        let drifted = |agent: &Agent| {
            let states = ["IDENTITY.md", "MEMORY.md"].map(|name| state(agent, name));
            states == [Some(FileState::Drifted); 2]
        };
        let agent = team.until("loose", "both drifts are told", drifted).await;
        assert_eq!(state(&agent, "SOUL.md"), Some(FileState::Ignored));
        for name in ["IDENTITY.md", "MEMORY.md"] {
            team.event_noting("loose", "DriftDetected", name).await;
            assert_eq!(read(&file(&agent, name)), "the agent's own");
        }
        team.delete::<Agent>("loose").await;
        assert!(!file(&agent, "MEMORY.md").exists());
    });
}
