//! Trials that take minutes: a fleet that trickles in, one that goes at once, and others who write all the time. Run by `make trials`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use crate::{
    bed::{gateway::Gateway, rpc::Rpc},
    manifest::{agent, agents},
    world::{World, alone, ids, is_ready, say},
};

/// The gateway takes so many config writes a minute from one client.
const LIMIT: usize = 30;
const MINUTE: Duration = Duration::from_mins(1);

/// The most of these times that fall within one minute.
fn most_within_a_minute(times: &[Instant]) -> usize {
    times
        .iter()
        .map(|from| {
            let within = |at: &&Instant| **at >= *from && at.duration_since(*from) < MINUTE;
            times.iter().filter(within).count()
        })
        .max()
        .unwrap_or_default()
}

fn log_of(gateway: &Gateway) -> String {
    std::fs::read_to_string(gateway.log()).unwrap()
}

#[test]
#[ignore = "takes minutes; make trials"]
fn a_hundred_agents_that_come_one_a_second_stay_within_the_gateways_limit() {
    alone("trickle", async |world| {
        world.start_operator(&[]).await;
        world.apply_team("trickle").await;
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for n in 0..100 {
            second.tick().await;
            world.apply(&agent("trickle", &format!("a{n}"))).await;
        }
        let last = Instant::now();
        world.agents_ready(100).await;
        let patches: Vec<_> = world
            .relay
            .timeline()
            .into_iter()
            .filter(|asked| asked.method == "config.patch")
            .map(|asked| asked.at)
            .collect();
        let most = most_within_a_minute(&patches);
        say(&format!(
            "100 Agents, one a second: {} patches, {most} within a minute at most, all Ready {:.1} s after the last came",
            patches.len(),
            last.elapsed().as_secs_f64()
        ));
        assert!(most <= LIMIT, "{most} patches within a minute");
        assert!(!log_of(&world.gateway).contains("rate limit"));
        assert_eq!(world.our_roster().await, ids("trickle", 0..100));
    });
}

#[test]
#[ignore = "takes minutes; make trials"]
fn fifty_agents_that_go_at_once_restart_nothing_and_keep_no_new_one_waiting() {
    alone("exodus", async |world| {
        world.start_operator(&[]).await;
        world.apply_team("exodus").await;
        let (foreign, boot_id) = (world.foreign().await, world.boot_id().await);
        world.apply(&agents("exodus", 0..50)).await;
        world.agents_ready(50).await;

        let began = Instant::now();
        let mut delete = vec!["delete", "--wait=false", "-n", "exodus"];
        let names: Vec<_> = (0..50).map(|n| format!("oca/a{n}")).collect();
        delete.extend(names.iter().map(String::as_str));
        world.kubectl().run(&delete).await.unwrap();
        let came = Instant::now();
        world.apply(&agents("exodus", 50..53)).await;
        let mut left = 0;
        world
            .until_agents("the new Agents are Ready", |agents| {
                left = agents
                    .iter()
                    .filter(|agent| agent.metadata.deletion_timestamp.is_some())
                    .count();
                agents.iter().filter(|agent| is_ready(agent)).count() >= 3
                    && agents
                        .iter()
                        .filter(|agent| agent.metadata.deletion_timestamp.is_none())
                        .all(|agent| is_ready(agent))
            })
            .await;
        let waited = came.elapsed();
        world.agents_ready(3).await;
        say(&format!(
            "50 Agents deleted at once: {:.1} s; 3 that came meanwhile were Ready after {:.1} s, with {left} still to go",
            began.elapsed().as_secs_f64(),
            waited.as_secs_f64()
        ));
        assert!(
            left >= 25,
            "the new ones waited for the deletions: {left} were left"
        );
        assert_eq!(world.our_roster().await, ids("exodus", 50..53));
        assert_eq!(world.foreign().await, foreign);
        assert_eq!(world.boot_id().await, boot_id, "the gateway restarted");
        let log = log_of(&world.gateway);
        assert!(!log.contains("requires gateway restart"), "{log}");
    });
}

/// Somebody else who writes the whole document, as fast as the gateway takes it, a new value each time.
#[derive(Debug, Default)]
struct Rival {
    rpc: Option<Rpc>,
    /// What the gateway accepted last.
    accepted: u64,
    /// What was sent last without an answer.
    unanswered: Option<u64>,
    writes: usize,
    conflicts: usize,
}

impl Rival {
    /// Writes while `goes_on` says so. A gateway that goes away is waited for.
    async fn write_while(&mut self, gateway: &Gateway, goes_on: impl Fn() -> bool) {
        while goes_on() {
            let Some(mut rpc) = self.rpc.take() else {
                // Nobody tells when a gateway that was killed listens again.
                self.rpc = gateway.rpc().await.ok();
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            if self.write(&mut rpc).await {
                self.rpc = Some(rpc);
            }
        }
    }

    /// One write based on what was just read; false when the connection is of no use any more. Panics when what was accepted before is
    /// not there.
    async fn write(&mut self, rpc: &mut Rpc) -> bool {
        let Ok(config) = rpc.call("config.get", json!({})).await else {
            return false;
        };
        let mut document = config["parsed"].clone();
        let name = &mut document["agents"]["entries"]["theirs"]["name"];
        if let Some(number) = self.unanswered.take()
            && *name == Self::name(number)
        {
            self.accepted = number;
        }
        if self.accepted > 0 {
            let accepted = Self::name(self.accepted);
            assert_eq!(*name, accepted, "an accepted write is lost");
        }
        let next = self.accepted + 1;
        *name = Self::name(next);
        document["tools"]["exec"]["timeoutSeconds"] = json!(100 + next);
        let params = json!({"raw": document.to_string(), "baseHash": config["hash"]});
        match rpc.call("config.set", params).await {
            Ok(_) => {
                self.accepted = next;
                self.writes += 1;
                true
            }
            Err(error) if error.to_string().contains("config changed since last load") => {
                self.conflicts += 1;
                true
            }
            Err(_) => {
                self.unanswered = Some(next);
                false
            }
        }
    }

    /// Whether the document holds what was accepted last.
    fn is_in(&self, document: &Value) -> bool {
        let is = |number: u64| {
            document["agents"]["entries"]["theirs"]["name"] == Self::name(number)
                && document["tools"]["exec"]["timeoutSeconds"] == json!(100 + number)
        };
        is(self.accepted) || self.unanswered.is_some_and(is)
    }

    fn name(number: u64) -> Value {
        json!(format!("Theirs {number}"))
    }
}

/// The document, once the running gateway goes by it.
async fn document(gateway: &Gateway) -> Value {
    let mut rpc = gateway.rpc().await.unwrap();
    rpc.config_applied().await.unwrap();
    let config = rpc.call("config.get", json!({})).await.unwrap();
    config["parsed"].clone()
}

/// Renames one of ten Agents.
async fn rename(world: &World, namespace: &str, round: usize) {
    let patch = json!({"spec": {"displayName": format!("Round {round}")}}).to_string();
    let name = format!("a{}", round % 10);
    let args = [
        "-n",
        namespace,
        "patch",
        "oca",
        &name,
        "--type=merge",
        "-p",
        &patch,
    ];
    world.kubectl().run(&args).await.unwrap();
}

/// Each of ten Agents has the name of its last round on the gateway.
fn assert_renamed(document: &Value, namespace: &str, rounds: usize) {
    for round in rounds.saturating_sub(10)..rounds {
        let id = format!("{namespace}_a{}", round % 10);
        let name = &document["agents"]["entries"][&id]["name"];
        assert_eq!(*name, json!(format!("Round {round}")), "{id}");
    }
}

#[test]
#[ignore = "takes minutes; make trials"]
fn others_who_write_all_the_time_lose_nothing_and_do_not_starve_us() {
    alone("rivals", async |world| {
        world.start_operator(&[]).await;
        world.apply_team("rivals").await;
        world.apply(&agents("rivals", 0..10)).await;
        world.agents_ready(10).await;
        let mut rival = Rival::default();
        let end = Instant::now() + MINUTE;
        let ours = async {
            let mut waits = Vec::new();
            while Instant::now() < end {
                let changed = Instant::now();
                rename(world, "rivals", waits.len()).await;
                world.agents_ready(10).await;
                waits.push(changed.elapsed());
            }
            waits
        };
        let ((), waits) = tokio::join!(
            rival.write_while(&world.gateway, || Instant::now() < end),
            ours
        );
        say(&format!(
            "a minute of rivalry: they wrote {} times ({} conflicts), we changed {} Agents, at worst in {:.1} s, by {} config.patch and {} config.set",
            rival.writes,
            rival.conflicts,
            waits.len(),
            waits.iter().max().unwrap().as_secs_f64(),
            world.relay.count("config.patch"),
            world.relay.count("config.set"),
        ));
        assert!(rival.writes > 0 && waits.len() > 1);
        let document = document(&world.gateway).await;
        assert!(rival.is_in(&document), "{document}");
        assert_renamed(&document, "rivals", waits.len());
    });
}

#[test]
#[ignore = "takes minutes; make trials"]
fn whatever_is_killed_when_ours_and_theirs_end_as_declared() {
    alone("kills", async |world| {
        const ROUNDS: usize = 20;
        let seed: u64 = rand::random();
        let mut random = SmallRng::seed_from_u64(seed);
        world.start_operator(&[]).await;
        world.apply_team("kills").await;
        world.apply(&agents("kills", 0..10)).await;
        world.agents_ready(10).await;
        let files = world.foreign().await.into_files();
        let (gateway, ended) = (Arc::clone(&world.gateway), Arc::new(AtomicBool::new(false)));
        let goes_on = {
            let ended = Arc::clone(&ended);
            move || !ended.load(Ordering::Relaxed)
        };
        let rival = tokio::spawn(async move {
            let mut rival = Rival::default();
            rival.write_while(&gateway, goes_on).await;
            rival
        });
        let mut killed = [0, 0];
        for round in 0..ROUNDS {
            assert!(!rival.is_finished(), "the others have failed");
            rename(world, "kills", round).await;
            let pause = random.random_range(0..4000);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if random.random_bool(0.7) {
                killed[0] += 1;
                world.kill_operator().await;
                world.start_operator(&[]).await;
            } else {
                killed[1] += 1;
                world.gateway.kill().await.unwrap();
                world.gateway.start_again().await.unwrap();
            }
        }
        let calm = Instant::now();
        world.agents_ready(10).await;
        let calm = calm.elapsed();
        ended.store(true, Ordering::Relaxed);
        let rival = rival.await.unwrap();
        say(&format!(
            "seed {seed}: {ROUNDS} rounds, the operator was killed {} times and the gateway {} times; they wrote {} times ({} conflicts); all Ready {:.1} s after the last, others still writing",
            killed[0],
            killed[1],
            rival.writes,
            rival.conflicts,
            calm.as_secs_f64()
        ));
        let document = document(&world.gateway).await;
        assert!(rival.is_in(&document), "{rival:?} {document}");
        assert_renamed(&document, "kills", ROUNDS);
        assert_eq!(world.our_roster().await, ids("kills", 0..10));
        assert_eq!(world.foreign().await.into_files(), files);
    });
}
