//! What an agent does: it is woken, its session is called and begun anew, and it is online while the gateway tells of it.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use kube::api::{Patch, PatchParams};
use mission_operator::api::{Agent, annotation::WAKE, wake::WakeStatus};
use serde_json::{Value, json};

use crate::{
    bed::{
        gateway::Gateway,
        provider::{self, Turn},
        wait::until_true,
    },
    gateways::{beating, lasting, quiet, rpc},
    team::{Team, agent_id, says},
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
            // The time that the operator waits passes: what it was told last is so long ago.
            let ago = Timestamp::now() - SignedDuration::from_mins(minutes);
            let past = json!({"status": {"wake": {"lastTime": Time(ago)}}});
            let api = team.api::<Agent>();
            api.patch_status("deaf", &PatchParams::default(), &Patch::Merge(past))
                .await
                .unwrap();
            team.reconcile_now::<Agent>("deaf").await;
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
            "heartbeat": {"every": "30m", "checklist": "Count the sheep.", "activeHours": {"start": "00:00", "end": "24:00"}},
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
        let rest = json!({"wake": {"policy": "Never"}, "heartbeat": {"every": "30m", "checklist": "Count the sheep.", "activeHours": {"start": "00:00", "end": "24:00"}}});
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
