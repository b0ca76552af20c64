//! An API server in trouble: slow, refusing, conflicting, forgetful, cut off. While it is, objects come, change and go.
//!
//! Each kind of trouble is a round, and every round does the same to the fleet; a calm one first says what that costs.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::time::timeout;

use crate::{
    bed::api_proxy::{ApiProxy, Asked, Call, Fault, Share},
    manifest::agent,
    world::{PATIENCE, World, alone, is_ready, say},
};

const TEAM: &str = "trouble";
const AGENTS: usize = 25;
/// Agents that come in each round.
const NEW: usize = 3;
const SECOND: Duration = Duration::from_secs(1);

/// Kinds that the operator watches.
const WATCHED: usize = 5;
/// Requests within one second: three of each Agent (its token's Secret, a write of its status, and an event that goes with it or the same
/// write tried again), a list and a watch of each kind. The fleet grows with each round. Seen: up to 94, of 39 Agents.
const fn busiest(agents: usize) -> usize {
    3 * agents + 2 * WATCHED
}

/// The Agents that there should be.
struct Fleet {
    agents: BTreeSet<usize>,
    rounds: usize,
}

/// What one round cost.
#[derive(Debug)]
struct Cost {
    agents: usize,
    asked: Vec<Asked>,
    seconds: f64,
}

impl Cost {
    /// Requests that the proxy refused in the server's place.
    fn refused(&self) -> usize {
        self.asked.iter().filter(|asked| asked.refused).count()
    }

    /// The most requests within any second.
    fn busiest(&self) -> usize {
        let within = |from: Instant| {
            let since = |asked: &&Asked| asked.at.checked_duration_since(from);
            self.asked
                .iter()
                .filter(|asked| since(asked).is_some_and(|since| since < SECOND))
                .count()
        };
        self.asked
            .iter()
            .map(|asked| within(asked.at))
            .max()
            .unwrap_or_default()
    }

    /// Requests but for those that read a token: each look at an Agent makes one, and looks come by the clock.
    fn requests(&self) -> usize {
        self.count(|call| !call.is("get", "secrets"))
    }

    fn count(&self, which: impl Fn(&Call) -> bool) -> usize {
        self.asked.iter().filter(|asked| which(&asked.call)).count()
    }

    /// Says it, and that it is no storm: over what the calm round cost, at most `more` requests, and in no second more than [`busiest`].
    fn assert_no_storm(&self, name: &str, calm: &Self, more: usize) {
        say(&format!(
            "API server {name}: {:.1} s, {} requests ({} refused), {} within the busiest second; calm: {:.1} s, {}, {}",
            self.seconds,
            self.requests(),
            self.refused(),
            self.busiest(),
            calm.seconds,
            calm.requests(),
            calm.busiest(),
        ));
        let (requests, bound) = (self.requests(), calm.requests() + more);
        assert!(requests <= bound, "{name}: {requests} > {bound}");
        let (seen, bound) = (self.busiest(), busiest(self.agents));
        assert!(seen <= bound, "{name}: {seen} > {bound} within a second");
    }

    /// Requests that were refused with a `Retry-After` of a second, and came again before it was over. Not of those that create something:
    /// their paths name no object, so that the next object's looks like the same one again.
    fn hasty(&self) -> Vec<&str> {
        let came_again_soon = |n: usize, refused: &Asked| {
            let mut later = self.asked[n + 1..].iter();
            let again = later.find(|asked| asked.line == refused.line);
            again.is_some_and(|again| again.at - refused.at < SECOND)
        };
        let all = self.asked.iter().enumerate();
        let refused = all.filter(|(_, it)| it.code == Some(429) && it.call.verb != "create");
        refused
            .filter(|(n, asked)| came_again_soon(*n, asked))
            .map(|(_, asked)| asked.line.as_str())
            .collect()
    }
}

impl Fleet {
    /// With `trouble`, changes every Agent, adds some and deletes one; waits until all has arrived on the gateway and in the status, and
    /// then, with everything healed, for one comparison of all.
    async fn round(
        &mut self,
        world: &World,
        proxy: &ApiProxy,
        trouble: impl AsyncFnOnce(&ApiProxy),
    ) -> Cost {
        self.rounds += 1;
        let name = |n: usize| format!("Agent {n}, round {}", self.rounds);
        let gone = self.agents.pop_first().unwrap();
        let next = self.agents.last().unwrap() + 1;
        self.agents.extend(next..next + NEW);
        let manifest = |n: &usize| {
            let text = agent(TEAM, &format!("a{n}"));
            text.replace(
                &format!("displayName: Agent a{n}"),
                &format!("displayName: {:?}", name(*n)),
            )
        };
        let manifests: Vec<_> = self.agents.iter().map(manifest).collect();

        let (from, began) = (proxy.count(), Instant::now());
        trouble(proxy).await;
        let gone = format!("oca/a{gone}");
        let kubectl = world.kubectl();
        kubectl
            .run(&["delete", "--wait=false", "-n", TEAM, &gone])
            .await
            .unwrap();
        world.apply(&manifests.join("---\n")).await;
        let (count, what) = (self.agents.len(), "all changes have arrived");
        world
            .until_agents(what, |agents| {
                agents.len() == count && agents.iter().all(|agent| is_ready(agent))
            })
            .await;
        let seconds = began.elapsed().as_secs_f64();
        proxy.heal();
        world.compared(count, 1).await;

        let mut rpc = world.gateway.rpc().await.unwrap();
        let config = rpc.call("config.get", json!({})).await.unwrap();
        let entries = &config["parsed"]["agents"]["entries"];
        for n in &self.agents {
            assert_eq!(entries[format!("{TEAM}_a{n}")]["name"], json!(name(*n)));
        }
        let wanted = self.agents.iter().map(|n| format!("{TEAM}_a{n}")).collect();
        assert_eq!(world.our_roster().await, wanted);
        Cost {
            agents: count,
            asked: proxy.asked()[from..].to_vec(),
            seconds,
        }
    }
}

/// A write to the status of an Agent.
fn writes_status(call: &Call) -> bool {
    call.is("patch", "agents/status")
}

fn is_watch(call: &Call) -> bool {
    call.verb == "watch"
}

/// Waits until so many watches were asked for from now on.
async fn watches_again(proxy: &ApiProxy, count: usize) {
    let from = proxy.count();
    let again = proxy.until(|asked| {
        let watches = asked[from..].iter().filter(|asked| is_watch(&asked.call));
        watches.count() >= count
    });
    timeout(PATIENCE, again)
        .await
        .expect("the watches do not come back");
}

#[test]
fn nothing_is_lost_and_no_storm_comes_of_an_api_server_in_trouble() {
    alone(TEAM, async |world| {
        let proxy = world.proxy_api_server();
        world.start_operator(&["--resync-interval=5s"]).await;
        world.apply_team(TEAM).await;
        let mut fleet = Fleet {
            agents: (0..AGENTS).collect(),
            rounds: 0,
        };
        world.apply(&crate::manifest::agents(TEAM, 0..AGENTS)).await;
        world.agents_ready(AGENTS).await;
        world.compared(AGENTS, 1).await;
        let calm = fleet.round(world, &proxy, async |_| {}).await;
        assert_eq!(calm.refused(), 0);

        let slow = fleet
            .round(world, &proxy, async |proxy| proxy.delay(SECOND / 2))
            .await;
        slow.assert_no_storm("slow by 0.5 s", &calm, AGENTS);

        let busy = fleet
            .round(world, &proxy, async |proxy| {
                proxy.inject(|_| true, Share::Every(3), Fault::TooManyRequests(1));
                // The watches too.
                proxy.drop_connections();
            })
            .await;
        busy.assert_no_storm(
            "refusing every third request with 429",
            &calm,
            busy.refused() + AGENTS,
        );
        assert_eq!(busy.hasty(), [""; 0]);
        assert!(busy.refused() > AGENTS, "{}", busy.refused());

        // More than are tried again within one reconcile.
        let refused = 6 * AGENTS;
        let overloaded = fleet
            .round(world, &proxy, async |proxy| {
                proxy.inject(
                    writes_status,
                    Share::Next(refused),
                    Fault::TooManyRequests(1),
                );
            })
            .await;
        overloaded.assert_no_storm(
            "refusing 150 status writes with 429",
            &calm,
            refused + AGENTS,
        );
        assert_eq!(overloaded.hasty(), [""; 0]);
        assert_eq!(overloaded.refused(), refused);

        let conflicts = 2 * AGENTS;
        let conflicting = fleet
            .round(world, &proxy, async |proxy| {
                proxy.inject(writes_status, Share::Next(conflicts), Fault::Conflict);
            })
            .await;
        conflicting.assert_no_storm(
            "answering 50 status writes with 409",
            &calm,
            // Each is made again, and with it at most one that its pass had made before.
            2 * conflicts + AGENTS,
        );
        assert_eq!(conflicting.refused(), conflicts);

        for (name, fault) in [("an event", Fault::Expired), ("an answer", Fault::Gone)] {
            let forgetful = fleet
                .round(world, &proxy, async |proxy| {
                    proxy.inject(is_watch, Share::Next(WATCHED), fault);
                    proxy.expire_watches();
                })
                .await;
            let name = format!("cutting all watches with 410, and the next ones by {name}");
            // Each watch comes back twice, each time after a list.
            forgetful.assert_no_storm(&name, &calm, 4 * WATCHED + AGENTS);
            assert_eq!(forgetful.refused(), WATCHED);
            let lists = forgetful.count(|call| call.verb == "list");
            assert_eq!(lists, 2 * WATCHED, "every watch lists anew after each 410");
        }

        let dropped = fleet
            .round(world, &proxy, async |proxy| {
                proxy.inject(|call| !is_watch(call), Share::Every(5), Fault::Drop);
                proxy.drop_connections();
                watches_again(proxy, WATCHED).await;
            })
            .await;
        // Each that was dropped comes again, and with it at most one that its pass had made before.
        dropped.assert_no_storm(
            "dropping all connections, and then every fifth request",
            &calm,
            dropped.refused() * 2 + 2 * WATCHED + AGENTS,
        );
    });
}
