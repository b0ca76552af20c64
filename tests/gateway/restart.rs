//! A gateway that goes away and comes back, and one that is reached by password.

use std::sync::Arc;
use std::time::Duration;

use mission_operator::gateway::{
    CallError, Class, Credential, Endpoint, Link, LinkError, LinkState, PoolEventKind,
};
use serde_json::json;

use crate::bed::gateway::{GatewayCredential, GatewayOptions};
use crate::world::{KEY, PATIENCE, World, own, run, until, up, wish};

#[test]
fn a_restarted_gateway_is_found_again_by_itself_and_known_for_another_process() {
    run(async {
        let secret = "test-password-0123456789";
        let world = World::start(
            GatewayOptions::new("link-restart")
                .without_plugins()
                .credential(GatewayCredential::Password(secret.to_owned())),
        )
        .await;
        // The same secret under its own name: another endpoint, so another link.
        let link = world.pool.ensure(
            KEY,
            Endpoint::new(world.relay.url(), Credential::Password(secret.into())),
            Arc::clone(&world.journal) as _,
        );
        let first = up(&link).await;
        let writer = world.writer();
        writer.apply(wish("before")).await.unwrap();

        let mut events = world.pool.events();
        world.gateway.stop().await.unwrap();
        until(&link, |state| matches!(state, LinkState::Connecting { .. })).await;
        let error = link.config_get().await.unwrap_err();
        assert!(
            matches!(error, CallError::Disconnected { sent: false }),
            "{error:?}"
        );
        world.gateway.start_again().await.unwrap();
        let second = up(&link).await;
        assert_ne!(first.boot_id, second.boot_id);

        let restarted =
            async { while events.recv().await.unwrap().kind != PoolEventKind::Restarted {} };
        tokio::time::timeout(PATIENCE, restarted).await.unwrap();
        // What was handed in to the writer of the old process comes back; the new one has its own.
        assert!(writer.apply(wish("after")).await.is_err());
        assert!(world.writer().apply(wish("after")).await.unwrap().wrote);
        world.gateway.stop().await.unwrap();
    });
}

#[test]
fn a_gateway_that_drains_is_waited_for_as_long_as_it_asks() {
    run(async {
        let world = own().await;
        let mut rpc = world.rpc().await;
        let prepare = json!({"requestId": "a-test-of-draining", "drain": true});
        let prepared = loop {
            let answer = rpc.call("gateway.suspend.prepare", prepare.clone()).await;
            let answer = answer.unwrap();
            if answer["status"] != "busy" {
                break answer;
            }
            // Something of its own is under way; it says when to ask again.
            let pause = answer["retryAfterMs"].as_u64().unwrap();
            tokio::time::sleep(Duration::from_millis(pause)).await;
        };
        let error = world.link().config_get().await.unwrap_err();
        assert_eq!(error.class(), Class::Waiting, "{error}");
        assert!(error.retry_after().is_some(), "{error}");

        let link = Link::open(world.endpoint());
        let waits =
            |state: &LinkState| matches!(state, LinkState::Connecting { last: Some(_), .. });
        let LinkState::Connecting {
            last: Some(error), ..
        } = until(&link, waits).await
        else {
            unreachable!()
        };
        assert!(
            matches!(
                &*error,
                LinkError::Starting {
                    retry_after: Some(_),
                    ..
                }
            ),
            "{error}"
        );
        let resume = json!({"suspensionId": prepared["suspensionId"]});
        rpc.call("gateway.suspend.resume", resume).await.unwrap();
        up(&link).await;
        world.link().config_get().await.unwrap();
    });
}
