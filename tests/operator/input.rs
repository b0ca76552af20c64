//! Bad input that only the operator can judge: who wrote it reads what is wrong and what to do, and nobody else notices.

use mission_operator::api::Agent;
use serde_json::{Value, json};

use crate::{
    gateways::{entry, read, shared},
    team::{Kind, Team, agent_id, file, manifest},
    world::run,
};

/// The spec of an Agent with one file.
fn with_file(file: &Value) -> Value {
    json!({"gatewayRef": {"name": "main"}, "files": [file]})
}

/// Applies a good and a bad Agent at once; the good one is Ready, and what the bad one says of `type_` is returned.
async fn beside_a_good_one(team: &Team, bad: Value, type_: &str, reason: &str) -> String {
    let good = manifest::<Agent>("good", &json!({"gatewayRef": {"name": "main"}}));
    let bad = manifest::<Agent>("bad", &bad);
    team.apply(&format!("{bad}\n---\n{good}")).await;
    team.ready::<Agent>("good").await;
    let message = team.told::<Agent>("bad", type_, "False", reason).await;
    let note = team.event("bad", "Warning", reason).await;
    assert!(message.starts_with(note.trim_end_matches('…')), "{note}");
    message
}

#[test]
fn a_template_error_names_file_line_and_variable_and_nothing_is_sent() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "bad-template").await;
        let template = "Hello.\n{{ agent_name }}\nOn {{ bord_name }}.\n";
        let bad = with_file(&json!({"name": "SOUL.md", "template": template}));
        let message = beside_a_good_one(&team, bad, "FilesSynced", "TemplateError").await;
        for words in [
            "SOUL.md line 3",
            "bord_name",
            "board_name",
            "Nothing was sent",
        ] {
            assert!(message.contains(words), "{words} is missing: {message}");
        }
        team.told::<Agent>("bad", "Stalled", "True", "TemplateError")
            .await;
        assert_eq!(entry(gateway, "bad-template_bad").await, Value::Null);

        let good = json!({"files": [{"name": "SOUL.md", "template": "On {{ board_name }}."}]});
        team.patch_spec::<Agent>("bad", good).await;
        team.ready::<Agent>("bad").await;
    });
}

#[test]
fn an_agent_whose_edit_is_bad_stays_as_it_was_on_the_gateway() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "bad-edit").await;
        let spec = with_file(&json!({"name": "SOUL.md", "content": "good"}));
        team.apply_spec::<Agent>("bad", spec).await;
        let agent: Agent = team.ready("bad").await;
        let before = entry(gateway, agent_id(&agent)).await;
        let bad = json!({
            "displayName": "Never",
            "files": [{"name": "SOUL.md", "template": "{% if %}"}],
        });
        let message = beside_a_good_one(
            &team,
            json!({"gatewayRef": {"name": "main"}, "displayName": bad["displayName"], "files": bad["files"]}),
            "FilesSynced",
            "TemplateError",
        )
        .await;
        assert!(message.contains("SOUL.md line 1"), "{message}");
        assert_eq!(entry(gateway, agent_id(&agent)).await, before);
        assert_eq!(read(&file(&agent, "SOUL.md")), "good");
    });
}

#[test]
fn a_file_that_is_too_large_is_refused_before_the_first_call() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "bad-file").await;
        let bad = with_file(&json!({"name": "SOUL.md", "content": "\u{e9}".repeat(20_001)}));
        let message = beside_a_good_one(&team, bad, "FilesSynced", "FileTooLarge").await;
        assert!(
            message.contains("SOUL.md: 20001 characters, and the limit is 20000"),
            "{message}"
        );
        assert_eq!(entry(gateway, "bad-file_bad").await, Value::Null);
    });
}

#[test]
fn files_that_are_too_large_together_are_refused_before_the_first_call() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "bad-files").await;
        let text = "x".repeat(19_000);
        let names = ["SOUL.md", "USER.md", "MEMORY.md", "IDENTITY.md"];
        let files = names.map(|name| json!({"name": name, "content": text}));
        let bad = json!({"gatewayRef": {"name": "main"}, "files": files});
        let message = beside_a_good_one(&team, bad, "FilesSynced", "FileTooLarge").await;
        assert!(message.contains("all files together"), "{message}");
        assert!(message.contains("the limit is 60000"), "{message}");
        assert_eq!(entry(gateway, "bad-files_bad").await, Value::Null);
    });
}

#[test]
fn a_config_map_or_a_key_that_is_missing_is_named_and_heals_what_waits_when_it_appears() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "bad-map").await;
        let source = json!({"name": "texts", "key": "soul"});
        let bad = with_file(&json!({"name": "SOUL.md", "configMapKeyRef": source}));
        let message = beside_a_good_one(&team, bad, "FilesSynced", "ConfigMapNotFound").await;
        assert!(
            message.contains("ConfigMap texts does not exist"),
            "{message}"
        );
        team.told::<Agent>("bad", "Reconciling", "True", "ConfigMapNotFound")
            .await;

        let texts = |data: Value| {
            let metadata = json!({"name": "texts"});
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
                .to_string()
        };
        team.apply(&texts(json!({"other": "text"}))).await;
        let message = team
            .told::<Agent>("bad", "FilesSynced", "False", "ConfigMapKeyMissing")
            .await;
        assert!(
            message.contains("has no text under key \"soul\""),
            "{message}"
        );
        assert_eq!(entry(gateway, "bad-map_bad").await, Value::Null);

        // Verbatim: no template, whatever it looks like.
        team.apply(&texts(json!({"soul": "{{ verbatim }}"}))).await;
        let agent: Agent = team.ready("bad").await;
        assert_eq!(read(&file(&agent, "SOUL.md")), "{{ verbatim }}");

        team.apply(&texts(json!({"soul": "changed"}))).await;
        crate::world::file_is(&file(&agent, "SOUL.md"), |text| text == "changed").await;
    });
}

#[test]
fn what_the_gateway_refuses_stalls_that_agent_alone_in_the_gateways_words() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "bad-target").await;
        let bad = json!({
            "gatewayRef": {"name": "main"},
            "heartbeat": {"target": "carrier-pigeon"},
        });
        let message = beside_a_good_one(&team, bad, "Registered", "Rejected").await;
        assert!(
            message.contains("unknown heartbeat target: carrier-pigeon"),
            "{message}"
        );
        assert!(message.contains("Change the spec"), "{message}");
        team.told::<Agent>("bad", "Stalled", "True", "Rejected")
            .await;
        assert_eq!(entry(gateway, "bad-target_bad").await, Value::Null);

        team.patch_spec::<Agent>("bad", json!({"heartbeat": {"target": "none"}}))
            .await;
        team.ready::<Agent>("bad").await;

        // The same as an edit of an Agent that is there.
        team.patch_spec::<Agent>("bad", json!({"heartbeat": {"target": "semaphore"}}))
            .await;
        let message = team
            .told::<Agent>("bad", "HeartbeatConfigured", "False", "Rejected")
            .await;
        assert!(
            message.contains("unknown heartbeat target: semaphore"),
            "{message}"
        );
        let entry = entry(gateway, "bad-target_bad").await;
        assert_eq!(entry["heartbeat"]["target"], "none");
        team.delete::<Agent>("bad").await;
    });
}

#[test]
fn a_model_that_the_gateway_spells_in_its_own_way_is_told_with_what_to_write() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "spelling").await;
        let spec = json!({"gatewayRef": {"name": "main"}, "model": "Fake/fake-1"});
        let message = beside_a_good_one(&team, spec, "Registered", "Rejected").await;
        assert!(message.contains(r#"write "fake/fake-1""#), "{message}");
        team.patch_spec::<Agent>("bad", json!({"model": "fake/fake-1"}))
            .await;
        team.ready::<Agent>("bad").await;
        team.delete::<Agent>("bad").await;
        assert_eq!(entry(gateway, "spelling_bad").await, Value::Null);
    });
}

#[test]
fn a_model_that_the_gateway_does_not_list_is_told_and_does_not_touch_ready() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "bad-model").await;
        let spec = json!({"gatewayRef": {"name": "main"}, "model": "fake/gpt-none"});
        team.apply_spec::<Agent>("dreamer", spec).await;
        let agent: Agent = team.ready("dreamer").await;
        let message = team
            .told::<Agent>("dreamer", "ModelAvailable", "False", "ModelNotListed")
            .await;
        assert!(
            message.contains("does not list \"fake/gpt-none\""),
            "{message}"
        );
        assert!(
            message.contains("fake/fake-1"),
            "the models there are: {message}"
        );
        let note = team.event("dreamer", "Warning", "ModelNotListed").await;
        assert_eq!(note, message);
        let stalled = agent.conditions().iter().find(|it| it.type_ == "Stalled");
        assert_eq!(stalled.unwrap().status, "False");
        assert_eq!(
            entry(gateway, agent_id(&agent)).await["model"],
            "fake/gpt-none"
        );
    });
}
