//! A converged world costs nothing: no call that writes to the gateway, no write to the API server.

use crate::{
    manifest::{agents, board, together},
    world::alone,
};

/// So short that several comparisons pass while one waits for them.
const RESYNC: &str = "--resync-interval=5s";
const AGENTS: usize = 8;

#[test]
fn a_converged_world_costs_no_write_to_the_gateway_or_the_api_server() {
    alone("idle", async |world| {
        world.start_operator(&[RESYNC]).await;
        world.apply_team("idle").await;
        world
            .apply(&together(&[
                &agents("idle", 1..AGENTS),
                &board("idle", "still", "a0"),
            ]))
            .await;
        world.agents_ready(AGENTS).await;
        world.agents_awake().await;
        assert_eq!(world.relay.count("chat.send"), 1, "one of them is woken");
        // Events follow what they tell of.
        for reason in ["Woken", "WentOnline"] {
            world.told(reason, 1).await;
        }
        world.told_of("idle", AGENTS).await;
        world.compared(AGENTS, 1).await;

        let (requests, calls) = (world.requests().len(), world.relay.counts());
        world.compared(AGENTS, 3).await;
        assert_eq!(world.gateway_writes_since(&calls), [].into());
        assert_eq!(world.writes_since(requests), []);

        world.stop_operator().await;
        world.start_operator(&[RESYNC]).await;
        world.compared(AGENTS, 2).await;
        assert_eq!(world.gateway_writes_since(&calls), [].into());
        assert_eq!(world.writes_since(requests), [], "after a restart");
    });
}
