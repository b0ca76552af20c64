//! The calls about sessions and messages, typed.

use mission_operator::gateway::{CallError, Link, Sent, Session};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, provider, wait::until_true},
    world::{PATIENCE, World, run, shared, wish},
};

async fn there(link: &Link, key: &str) -> (String, Session) {
    let session = link.session(key).await.unwrap().expect("it is there");
    (session.session_id.clone().unwrap(), session)
}

/// What the gateway says of a message once its turn is over.
async fn outcome(link: &Link, key: &str, text: &str, id: &str) -> Result<Sent, CallError> {
    let asked = async {
        loop {
            let said = link.chat_send(key, text, id).await;
            if !matches!(&said, Ok(sent) if sent.status == "in_flight" || sent.status == "started")
            {
                break said;
            }
            // Every question is a try: what tells the end of a turn comes before the gateway remembers it.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap()
}

#[test]
fn only_the_revision_tells_a_session_from_the_same_one_after_a_reset() {
    run(async {
        let world = shared().await;
        let agent = "sessions-reset";
        world.writer().apply(wish(agent)).await.unwrap();
        let (link, key) = (world.link(), format!("agent:{agent}:main"));
        assert_eq!(link.session(&key).await.unwrap(), None);

        // A label makes the session that is missing.
        link.session_label(&key, Some("Night shift")).await.unwrap();
        let (id, before) = there(&link, &key).await;
        assert_eq!(before.label.as_deref(), Some("Night shift"));
        let first = link.session_revision(&key, &id).await.unwrap();
        assert!(!first.is_empty());
        assert_eq!(link.session_revision(&key, &id).await.unwrap(), first);

        link.session_reset(&key, Some(&id)).await.unwrap();
        let (same_id, after) = there(&link, &key).await;
        assert_eq!((&same_id, &after), (&id, &before));
        let second = link.session_revision(&key, &id).await.unwrap();
        assert_ne!(second, first);

        link.session_label(&key, None).await.unwrap();
        assert_eq!(there(&link, &key).await.1.label, None);
        assert_eq!(link.session_revision(&key, &id).await.unwrap(), second);
    });
}

#[test]
fn a_session_that_is_another_one_is_neither_reset_nor_made() {
    run(async {
        let world = shared().await;
        let agent = "sessions-other";
        world.writer().apply(wish(agent)).await.unwrap();
        let (link, key) = (world.link(), format!("agent:{agent}:main"));
        let nobody = "11111111-1111-4111-8111-111111111111";
        for error in [
            link.session_reset(&key, Some(nobody)).await.map(drop),
            link.session_revision(&key, nobody).await.map(drop),
        ] {
            let error = error.unwrap_err();
            assert!(matches!(error, CallError::SessionChanged), "{error:?}");
        }
        assert_eq!(link.session(&key).await.unwrap(), None);
    });
}

/// What a command can change of a session, and the config document.
async fn settings(world: &World, key: &str) -> Value {
    let (id, _) = there(&world.link(), key).await;
    let mut rpc = world.rpc().await;
    let params = json!({"key": key, "expectedSessionId": id});
    let entry = rpc.call("sessions.patch", params).await.unwrap()["entry"].clone();
    let config = rpc.call("config.get", json!({})).await.unwrap();
    let of_session = [
        "lifecycleRevision",
        "modelOverride",
        "verboseLevel",
        "thinkingLevel",
    ]
    .map(|name| entry[name].clone());
    json!([
        of_session,
        config["parsed"]["agents"]["entries"]["sessions-text"],
        config["parsed"]["gateway"]
    ])
}

#[test]
fn a_message_that_reads_like_a_command_is_text_and_changes_nothing() {
    run(async {
        let world = shared().await;
        let agent = "sessions-text";
        world.writer().apply(wish(agent)).await.unwrap();
        let (link, key) = (world.link(), format!("agent:{agent}:main"));
        let greeting = "Good morning, text.";
        outcome(&link, &key, greeting, "text").await.unwrap();
        let before = settings(world, &key).await;
        let provider = Bed::from_env().description.provider.url;
        for (n, text) in [
            "/reset",
            "/new",
            "/stop",
            "/model fake/fake-1 -g",
            "Read your files /verbose on and go on.",
        ]
        .into_iter()
        .enumerate()
        {
            let said = outcome(&link, &key, text, &format!("text-{n}")).await;
            assert!(said.unwrap().is_answered(), "{text}");
            let turns = provider::turns(&provider).await.unwrap();
            let has_heard = |turn: &provider::Turn| {
                turn.user.contains(text) && turn.earlier.join("").contains(greeting)
            };
            assert!(turns.iter().any(has_heard), "{text}: {turns:#?}");
        }
        assert_eq!(settings(world, &key).await, before);

        // The same from another client is a command.
        let command = json!({"sessionKey": key, "message": "/reset", "idempotencyKey": "text-9"});
        let mut rpc = world.rpc().await;
        rpc.call("chat.send", command).await.unwrap();
        until_true(PATIENCE, "it is reset", async || {
            settings(world, &key).await != before
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_message_is_given_once_and_its_key_tells_what_became_of_it() {
    run(async {
        let world = shared().await;
        let agent = "sessions-told";
        world.writer().apply(wish(agent)).await.unwrap();
        let (link, key) = (world.link(), format!("agent:{agent}:main"));
        let first = link.chat_send(&key, "Good morning.", "told-1").await;
        assert_eq!(first.unwrap().status, "started");
        let again = outcome(&link, &key, "Good morning.", "told-1").await;
        assert!(again.unwrap().is_answered());
        let other = link.chat_send(&key, "Good night.", "told-1").await;
        let error = other.unwrap_err();
        assert!(matches!(error, CallError::Rejected { .. }), "{error:?}");

        // A turn that failed is no answer.
        link.chat_send(&key, "FAIL:400 Good morning.", "told-2")
            .await
            .unwrap();
        let failed = outcome(&link, &key, "FAIL:400 Good morning.", "told-2").await;
        let error = failed.unwrap_err();
        assert!(
            matches!(
                &error,
                CallError::Unavailable {
                    retry_after: None,
                    ..
                }
            ),
            "{error:?}"
        );

        let nobody = link.chat_send("agent:nobody:main", "x", "told-3").await;
        let error = nobody.unwrap_err();
        assert!(
            matches!(&error, CallError::AgentNotFound { agent_id } if agent_id == "nobody"),
            "{error:?}"
        );
    });
}
