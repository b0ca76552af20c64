//! What an agent's life is made of besides waking (`waking`): its session is called and begun anew, it is online while the gateway tells of
//! it, it rests under a pause, and it knows nothing of a former life.

use mission_operator::api::{
    Agent,
    annotation::{RESET_SESSION, ROTATE_TOKEN, WAKE},
};
use serde_json::{Value, json};

use crate::{
    gateways::{beating, lasting, quiet, rpc},
    team::{Team, agent_id},
    turns::{annotate, ask, revision, session, spec, token, turns, woken},
    world::{nonce, run, world},
};

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
