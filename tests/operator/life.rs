//! What an agent does: it is woken, its session is called and begun anew, and it is online while the gateway tells of it.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use mission_operator::{
    api::{
        Agent,
        annotation::{RESET_SESSION, ROTATE_TOKEN, WAKE, WAKE_MESSAGE},
        wake::WakeStatus,
    },
    plan::wake::whole_seconds,
};
use serde_json::{Value, json};

use crate::{
    bed::{
        gateway::Gateway,
        provider::{self, Turn},
        wait::until_true,
    },
    gateways::{beating, entry, lasting, quiet, rpc},
    remote::text,
    team::{Team, agent_id, condition, says},
    world::{PATIENCE, nonce, run, world},
};

/// What the model was asked by the agent whose SOUL.md says `soul`.
async fn turns(soul: &str) -> Vec<Turn> {
    let url = &world().await.bed.description.provider.url;
    let turns = provider::turns(url).await.unwrap();
    turns
        .into_iter()
        .filter(|turn| turn.system.contains(soul))
        .collect()
}

/// Waits until the model was asked so often by the agent whose SOUL.md says `soul`.
async fn until_asked(soul: &str, times: usize) {
    let asked = async || turns(soul).await.len() >= times;
    let what = format!("the model is asked {times} times");
    until_true(PATIENCE, &what, asked).await.unwrap();
}

/// The main session of the agent, as the gateway describes it.
async fn session(gateway: &Gateway, id: &str) -> Value {
    let key = format!("agent:{id}:main");
    let answer = rpc(gateway)
        .await
        .call("sessions.describe", json!({"key": key}))
        .await;
    answer.unwrap()["session"].clone()
}

/// What tells a session from the same one after a reset; only a change tells it, here one of nothing.
async fn revision(gateway: &Gateway, session: &Value) -> String {
    let params = json!({"key": session["key"], "expectedSessionId": session["sessionId"]});
    let answer = rpc(gateway).await.call("sessions.patch", params).await;
    let entry = &answer.unwrap()["entry"];
    entry["lifecycleRevision"].as_str().unwrap().to_owned()
}

fn spec(soul: &str, rest: &Value) -> Value {
    let mut spec = json!({
        "gatewayRef": {"name": "main"},
        "model": "fake/fake-1",
        "files": [{"name": "SOUL.md", "content": soul}],
    });
    spec.as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    spec
}

/// Waits until the agent has answered to the wake-up of this cause.
async fn woken(team: &Team, name: &str, cause: &str) -> Agent {
    team.until(name, &format!("woken by {cause}"), |agent: &Agent| {
        wake(agent).is_some_and(|wake| wake.cause == cause && wake.done)
    })
    .await
}

/// Wakes the agent with a message and waits until it has answered.
async fn ask(team: &Team, name: &str, cause: &str, message: &str) {
    team.patch_spec::<Agent>(name, json!({"wake": {"now": cause, "message": message}}))
        .await;
    woken(team, name, cause).await;
}

/// Has the time pass that the operator waits: what the agent was told last is so long ago. A pass that had begun before may write what it
/// knows; then it is said again.
async fn pass(team: &Team, name: &str, minutes: i64) {
    let ago = Timestamp::now() - SignedDuration::from_mins(minutes);
    let ago = whole_seconds(ago);
    let past = json!({"status": {"wake": {"lastTime": Time(ago)}}});
    let api = team.api::<Agent>();
    loop {
        let agent = api
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&past))
            .await
            .unwrap();
        let attempts = wake(&agent).unwrap().attempts;
        team.reconcile_now::<Agent>(name).await;
        let is_over = |agent: &Agent| {
            let said = ["WakeGaveUp", "Woken"].iter();
            let mut said = said
                .filter(|reason| condition(agent, "Woken").is_some_and(|it| it.reason == **reason));
            said.next().is_some() || wake(agent).is_none_or(|wake| wake.attempts > attempts)
        };
        let was_undone = |agent: &Agent| {
            wake(agent).is_some_and(|wake| wake.last_time.as_ref() != Some(&Time(ago)))
        };
        let agent = team
            .until(name, "the time has passed", |agent: &Agent| {
                is_over(agent) || was_undone(agent)
            })
            .await;
        if is_over(&agent) {
            return;
        }
    }
}

fn wake(agent: &Agent) -> Option<&WakeStatus> {
    agent.status.as_ref()?.wake.as_ref()
}

#[test]
fn a_new_agent_is_woken_once_and_again_for_each_new_value() {
    run(async {
        let team = Team::on(lasting().await, "life-wake").await;
        let soul = format!("Soul of {}.", nonce());
        team.apply_spec::<Agent>(
            "sleeper",
            spec(&soul, &json!({"wake": {"message": "Good morning."}})),
        )
        .await;
        team.apply_spec::<Agent>(
            "quiet",
            spec("Quiet.", &json!({"wake": {"policy": "Never"}})),
        )
        .await;
        team.told::<Agent>("sleeper", "Woken", "True", "Woken")
            .await;
        let asked = turns(&soul).await;
        assert_eq!(asked.len(), 1, "{asked:#?}");
        assert!(asked[0].user.contains("Good morning."), "{asked:#?}");
        assert!(
            asked[0].system.contains("# How sleeper works"),
            "its files are before the model"
        );
        team.ready::<Agent>("quiet").await;
        team.told::<Agent>("quiet", "Woken", "Unknown", "NotAsked")
            .await;

        let annotated = json!({"metadata": {"annotations": {WAKE: "x"}}});
        team.api::<Agent>()
            .patch("sleeper", &PatchParams::default(), &Patch::Merge(annotated))
            .await
            .unwrap();
        let agent = woken(&team, "sleeper", "x").await;
        assert!(says(&agent, "Woken", "True", "Woken"));
        team.reconcile_now::<Agent>("sleeper").await;
        team.ready::<Agent>("sleeper").await;
        assert_eq!(turns(&soul).await.len(), 2);
        team.stay();
    });
}

#[test]
fn an_agent_that_does_not_answer_is_told_four_times_and_then_given_up() {
    run(async {
        let team = Team::on(lasting().await, "life-deaf").await;
        let soul = format!("Soul of {}.", nonce());
        // The provider refuses the turn, so that there is no sign of life.
        let rest = json!({"wake": {"message": "FAIL:400 Good morning."}});
        team.apply_spec::<Agent>("deaf", spec(&soul, &rest)).await;
        for (attempt, minutes) in [(1, 2), (2, 5), (3, 15), (4, 15)] {
            let what = format!("told {attempt} times");
            team.until("deaf", &what, |agent: &Agent| {
                let wake = wake(agent);
                wake.is_some_and(|wake| wake.attempts == attempt && !wake.done)
            })
            .await;
            until_asked(&soul, usize::try_from(attempt).unwrap()).await;
            team.ready::<Agent>("deaf").await;
            pass(&team, "deaf", minutes).await;
        }
        let said = team
            .told::<Agent>("deaf", "Woken", "False", "WakeGaveUp")
            .await;
        assert!(said.contains("wake.now"), "{said}");
        let note = team.event("deaf", "Warning", "WakeGaveUp").await;
        assert!(note.contains("no sign of life"), "{note}");
        team.ready::<Agent>("deaf").await;
        let asked = turns(&soul).await.len();
        team.reconcile_now::<Agent>("deaf").await;
        let deaf: Agent = team.ready("deaf").await;
        assert_eq!(wake(&deaf).unwrap().attempts, 4);
        assert_eq!(turns(&soul).await.len(), asked);
        // Another value begins anew; and the session, in which what was refused still stands.
        let anew = json!({"session": {"reset": "x"}, "wake": {"now": "later", "message": "Good evening."}});
        team.patch_spec::<Agent>("deaf", anew).await;
        woken(&team, "deaf", "later").await;
        team.told::<Agent>("deaf", "Woken", "True", "Woken").await;
        team.stay();
    });
}

#[test]
fn an_agent_that_comes_back_after_its_deletion_knows_nothing_and_beats_once() {
    run(async {
        let gateway = &*quiet().await;
        let team = Team::on(gateway, "life-again").await;
        let soul = format!("Soul of {}.", nonce());
        let rest = json!({
            "wake": {"message": "Remember the word turnip."},
            // No beat of its own comes in between.
            "heartbeat": {"every": "240h", "checklist": "Count the sheep."},
        });
        team.apply_spec::<Agent>("ghost", spec(&soul, &rest)).await;
        let agent = woken(&team, "ghost", "provision").await;
        let id = agent_id(&agent).to_owned();
        let job = beating(gateway).await[&id].clone();
        team.delete::<Agent>("ghost").await;
        assert_eq!(session(gateway, &id).await, Value::Null);
        assert!(!beating(gateway).await.contains_key(&id));
        let forced = json!({"id": job, "mode": "force"});
        let refused = rpc(gateway).await.call("cron.run", forced).await;
        assert!(refused.is_err(), "{refused:?}");

        team.apply_spec::<Agent>("ghost", spec(&soul, &rest)).await;
        woken(&team, "ghost", "provision").await;
        let asked = turns(&soul).await;
        assert_eq!(asked.len(), 2, "{asked:#?}");
        assert_eq!(asked[1].earlier, [""; 0], "{asked:#?}");
        team.disband().await;
    });
}

#[test]
fn a_heartbeat_shows_the_agent_online_with_its_checklist_before_the_model() {
    run(async {
        let gateway = lasting().await;
        let team = Team::on(gateway, "life-online").await;
        let soul = format!("Soul of {}.", nonce());
        let rest = json!({"wake": {"policy": "Never"}, "heartbeat": {"every": "240h", "checklist": "Count the sheep.", "activeHours": {"start": "00:00", "end": "24:00"}}});
        team.apply_spec::<Agent>("beater", spec(&soul, &rest)).await;
        team.apply_spec::<Agent>(
            "still",
            spec(
                "Still.",
                &json!({"wake": {"policy": "Never"}, "heartbeat": {"every": "0m"}}),
            ),
        )
        .await;
        let agent: Agent = team.ready("beater").await;
        team.told::<Agent>("beater", "Online", "Unknown", "NotHeardYet")
            .await;
        let job = beating(gateway).await[agent_id(&agent)].clone();
        rpc(gateway)
            .await
            .call("cron.run", json!({"id": job, "mode": "force"}))
            .await
            .unwrap();
        team.told::<Agent>("beater", "Online", "True", "Alive")
            .await;
        team.event("beater", "Normal", "WentOnline").await;
        let asked = turns(&soul).await;
        assert!(asked[0].user.contains("Count the sheep."), "{asked:#?}");
        let seen: Agent = team.ready("beater").await;
        assert!(seen.status.unwrap().last_seen_time.is_some());
        let metrics = world().await.operator.metrics().await.unwrap();
        assert!(metrics.contains(r#"mission_operator_agent_last_seen_timestamp_seconds{namespace="life-online",agent="beater"}"#), "{metrics}");
        team.ready::<Agent>("still").await;
        team.told::<Agent>("still", "Online", "Unknown", "NoHeartbeat")
            .await;
        team.stay();
    });
}

#[test]
fn a_session_keeps_its_label_and_begins_anew_once_for_each_new_value() {
    run(async {
        let gateway = lasting().await;
        let team = Team::on(gateway, "life-session").await;
        let soul = format!("Soul of {}.", nonce());
        let rest = json!({"session": {"label": "Night shift", "reset": "a"}, "wake": {"message": "Remember the word parsnip."}});
        team.apply_spec::<Agent>("talker", spec(&soul, &rest)).await;
        team.told::<Agent>("talker", "Woken", "True", "Woken").await;
        // What was said is in the session, as long as it is the same one.
        ask(&team, "talker", "again", "Which word?").await;
        let asked = turns(&soul).await;
        let earlier = asked.last().unwrap().earlier.join("\n");
        assert!(earlier.contains("parsnip"), "{asked:#?}");
        let agent: Agent = team.ready("talker").await;
        let id = agent_id(&agent).to_owned();
        let before = session(gateway, &id).await;
        assert_eq!(before["label"], "Night shift", "{before:#}");
        let first = revision(gateway, &before).await;

        team.patch_spec::<Agent>("talker", json!({"session": {"reset": "b"}}))
            .await;
        team.event("talker", "Normal", "SessionReset").await;
        team.until("talker", "reset is over", |agent: &Agent| {
            let status = agent.status.as_ref().unwrap();
            let recorded = status
                .recorded
                .as_ref()
                .and_then(|all| all.get("session.reset"));
            recorded.is_some_and(|value| value == "b") && status.session_reset.is_none()
        })
        .await;
        let after = session(gateway, &id).await;
        let second = revision(gateway, &after).await;
        assert_ne!(second, first, "{after:#}");
        team.reconcile_now::<Agent>("talker").await;
        team.ready::<Agent>("talker").await;
        assert_eq!(revision(gateway, &after).await, second);
        ask(&team, "talker", "after", "Which word?").await;
        let asked = turns(&soul).await;
        let last = asked.last().unwrap();
        assert!(last.user.contains("Which word?"), "{asked:#?}");
        assert_eq!(last.earlier, [""; 0], "{asked:#?}");

        // A label that another session of the agent has is refused, and everything else goes on.
        let taken = json!({"key": format!("agent:{id}:side"), "label": "Day shift"});
        let mut side = rpc(gateway).await;
        side.call("sessions.patch", taken).await.unwrap();
        let wish = json!({"session": {"label": "Day shift"}, "wake": {"now": "refused", "message": "Hello."}});
        team.patch_spec::<Agent>("talker", wish).await;
        let said = team
            .told::<Agent>("talker", "Registered", "False", "Rejected")
            .await;
        assert!(said.contains("Change spec.session.label"), "{said}");
        woken(&team, "talker", "refused").await;
        assert_eq!(session(gateway, &id).await["label"], "Night shift");

        team.patch_spec::<Agent>("talker", json!({"session": null}))
            .await;
        team.until("talker", "label is let go", |agent: &Agent| {
            agent.status.as_ref().unwrap().session_label.is_none()
        })
        .await;
        let last = session(gateway, &id).await;
        assert!(last["label"].is_null(), "{last:#}");
        team.ready::<Agent>("talker").await;
        team.stay();
    });
}

/// The agent's token, and the version of the Secret that it is in.
async fn token(team: &Team, name: &str) -> (String, Option<String>) {
    let secrets = Api::<Secret>::namespaced(world().await.client.clone(), &team.namespace);
    let secret = secrets.get(&format!("{name}-token")).await.unwrap();
    (
        text(&secret, "token").unwrap(),
        secret.metadata.resource_version,
    )
}

async fn annotate(team: &Team, name: &str, annotations: Value) {
    let annotated = json!({"metadata": {"annotations": annotations}});
    team.api::<Agent>()
        .patch(name, &PatchParams::default(), &Patch::Merge(annotated))
        .await
        .unwrap();
}

#[test]
fn waking_leaves_token_session_and_config_as_they_are_whatever_is_said() {
    run(async {
        let gateway = lasting().await;
        let team = Team::on(gateway, "life-commands").await;
        let soul = format!("Soul of {}.", nonce());
        let rest = json!({"wake": {"message": "Remember the word radish."}});
        team.apply_spec::<Agent>("obedient", spec(&soul, &rest))
            .await;
        let agent = woken(&team, "obedient", "provision").await;
        team.ready::<Agent>("obedient").await;
        let id = agent_id(&agent).to_owned();
        let there = session(gateway, &id).await;
        let facts = async || {
            (
                token(&team, "obedient").await,
                revision(gateway, &there).await,
                entry(gateway, &id).await,
            )
        };
        let before = facts().await;

        ask(&team, "obedient", "spec", "/reset").await;
        let words = "Look around /verbose on and go on.";
        annotate(
            &team,
            "obedient",
            json!({WAKE: "note", WAKE_MESSAGE: words}),
        )
        .await;
        woken(&team, "obedient", "note").await;
        team.ready::<Agent>("obedient").await;
        let asked = turns(&soul).await;
        assert_eq!(asked.len(), 3, "{asked:#?}");
        for (turn, words) in asked.iter().zip(["radish", "/reset", words]) {
            assert!(turn.user.contains(words), "{asked:#?}");
        }
        let last = asked[2].earlier.join("");
        assert!(last.contains("radish"), "it is the same session: {last}");
        assert_eq!(facts().await, before);
        team.stay();
    });
}

#[test]
fn a_message_that_the_gateway_does_not_take_is_a_matter_of_woken_alone() {
    run(async {
        let gateway = lasting().await;
        let team = Team::on(gateway, "life-refused").await;
        let soul = format!("Soul of {}.", nonce());
        let rest = json!({"wake": {"policy": "Never"}});
        team.apply_spec::<Agent>("closed", spec(&soul, &rest)).await;
        let agent: Agent = team.ready("closed").await;
        let key = format!("agent:{}:main", agent_id(&agent));
        let policy = async |policy: Value| {
            let params = json!({"key": key, "sendPolicy": policy});
            let answer = rpc(gateway).await.call("sessions.patch", params).await;
            answer.unwrap();
        };
        policy(json!("deny")).await;
        team.patch_spec::<Agent>("closed", json!({"wake": {"now": "x"}}))
            .await;
        let said = team
            .told::<Agent>("closed", "Woken", "False", "Rejected")
            .await;
        assert!(said.contains("policy"), "{said}");
        assert!(said.contains("spec.wake.message"), "{said}");
        team.event("closed", "Warning", "Rejected").await;
        team.reconcile_now::<Agent>("closed").await;
        let agent: Agent = team.ready("closed").await;
        for (type_, status, reason) in [
            ("FilesSynced", "True", "Synced"),
            ("HeartbeatConfigured", "True", "Configured"),
            ("Woken", "False", "Rejected"),
        ] {
            assert!(says(&agent, type_, status, reason), "{agent:#?}");
        }
        // Again by its own schedule.
        policy(Value::Null).await;
        pass(&team, "closed", 2).await;
        let agent = woken(&team, "closed", "x").await;
        assert_eq!(wake(&agent).unwrap().attempts, 2);
        assert_eq!(turns(&soul).await.len(), 1);
        team.told::<Agent>("closed", "Woken", "True", "Woken").await;
        team.stay();
    });
}

#[test]
fn an_agent_at_work_is_not_talked_into_however_long_it_takes() {
    run(async {
        let gateway = lasting().await;
        let team = Team::on(gateway, "life-slow").await;
        let soul = format!("Soul of {}.", nonce());
        let rest = json!({"wake": {"message": "SLEEP:30000 Think."}});
        team.apply_spec::<Agent>("thinker", spec(&soul, &rest))
            .await;
        team.told::<Agent>("thinker", "Woken", "Unknown", "Waking")
            .await;
        let agent: Agent = team.ready("thinker").await;
        until_asked(&soul, 1).await;
        let history = json!({"sessionKey": format!("agent:{}:main", agent_id(&agent))});
        let told = rpc(gateway).await.call("chat.history", history).await;
        let told = told.unwrap()["sessionInfo"].clone();
        assert_eq!(told["hasActiveRun"], true, "{told:#}");
        pass(&team, "thinker", 2).await;
        let agent = woken(&team, "thinker", "provision").await;
        assert_eq!(wake(&agent).unwrap().attempts, 1);
        let asked = turns(&soul).await;
        assert_eq!(asked.len(), 1, "{asked:#?}");
        assert_eq!(asked[0].user.matches("Think.").count(), 1, "{asked:#?}");
        team.stay();
    });
}

#[test]
fn under_a_pause_nothing_wakes_resets_or_rotates_and_each_acts_once_afterwards() {
    run(async {
        let gateway = lasting().await;
        let team = Team::on(gateway, "life-paused").await;
        let soul = format!("Soul of {}.", nonce());
        let rest = json!({"wake": {"message": "Remember the word turnip."}});
        team.apply_spec::<Agent>("dozer", spec(&soul, &rest)).await;
        let agent = woken(&team, "dozer", "provision").await;
        team.ready::<Agent>("dozer").await;
        let there = session(gateway, agent_id(&agent)).await;
        let facts = async || {
            (
                token(&team, "dozer").await,
                revision(gateway, &there).await,
                turns(&soul).await.len(),
            )
        };
        let before = facts().await;

        team.patch_spec::<Agent>("dozer", json!({"paused": true}))
            .await;
        team.told::<Agent>("dozer", "Paused", "True", "Agent").await;
        let asks = json!({WAKE: "x", RESET_SESSION: "x", ROTATE_TOKEN: "x"});
        annotate(&team, "dozer", asks).await;
        let asks = json!({"session": {"reset": "x"}, "token": {"rotate": "x"}});
        team.patch_spec::<Agent>("dozer", asks).await;
        team.told::<Agent>("dozer", "Paused", "True", "Agent").await;
        assert_eq!(facts().await, before);

        team.patch_spec::<Agent>("dozer", json!({"paused": false}))
            .await;
        woken(&team, "dozer", "x").await;
        team.told::<Agent>("dozer", "TokenReady", "True", "Issued")
            .await;
        team.event("dozer", "Normal", "SessionReset").await;
        let recorded = |agent: &Agent| {
            let all = agent.status.as_ref().unwrap().recorded.clone();
            let all = all.unwrap_or_default();
            [
                "session.reset",
                "reset-session",
                "token.rotate",
                "rotate-token",
                "wake",
            ]
            .iter()
            .all(|name| all.get(*name).is_some_and(|value| value == "x"))
        };
        team.until("dozer", "all is recorded", recorded).await;
        let after = facts().await;
        assert_ne!(after.0, before.0, "another token");
        assert_ne!(after.1, before.1, "the session begins anew");
        assert_eq!(after.2, before.2 + 1, "woken once");
        team.reconcile_now::<Agent>("dozer").await;
        team.ready::<Agent>("dozer").await;
        assert_eq!(facts().await, after);

        // By annotation alone, and once.
        annotate(&team, "dozer", json!({RESET_SESSION: "y"})).await;
        team.until("dozer", "the reset is over", |agent: &Agent| {
            let status = agent.status.as_ref().unwrap();
            let all = status.recorded.as_ref();
            let is_recorded = all.is_some_and(|all| all["reset-session"] == "y");
            is_recorded && status.session_reset.is_none()
        })
        .await;
        let anew = revision(gateway, &there).await;
        assert_ne!(anew, after.1);
        team.reconcile_now::<Agent>("dozer").await;
        team.ready::<Agent>("dozer").await;
        assert_eq!(revision(gateway, &there).await, anew);
        team.stay();
    });
}
