//! A gateway that goes away and comes back, and one that is reached by password.

use std::sync::Arc;

use mission_operator::gateway::{CallError, Credential, Endpoint, LinkState, PoolEventKind};

use crate::bed::gateway::{GatewayCredential, GatewayOptions};
use crate::world::{KEY, PATIENCE, World, run, until, up, wish};

#[test]
fn a_restarted_gateway_is_found_again_by_itself_and_known_for_another_process() {
    run(async {
        let secret = "test-password-0123456789";
        let world = World::start(
            GatewayOptions::new("link-restart")
                .credential(GatewayCredential::Password(secret.to_owned())),
        )
        .await;
        // The same secret under its own name: another endpoint, so another link.
        let link = world.pool.ensure(
            KEY,
            Endpoint {
                url: world.relay.url(),
                credential: Credential::Password(secret.into()),
            },
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
