//! An agent is woken: by whom, how often, and what that leaves alone.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use kube::api::{Patch, PatchParams};
use mission_operator::{
    api::{
        Agent,
        annotation::{WAKE, WAKE_MESSAGE},
    },
    plan::wake::whole_seconds,
};
use serde_json::{Value, json};

use crate::{
    gateways::{entry, lasting, rpc},
    team::{Team, agent_id, condition, says},
    turns::{annotate, ask, revision, session, spec, token, turns, until_asked, wake, woken},
    world::{nonce, run},
};

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
