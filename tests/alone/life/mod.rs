//! Ten minutes in the life of a team, at random: a main agent, two Boards with their leads, twenty workers, two gateways, and everything
//! that people do to them, while operator and gateways are killed. Run by `make trials`.
//!
//! `team` is what is declared, `deeds` what happens, `callers` asks all the while whether every agent could call, and `verdict` judges
//! what is left.

pub(crate) mod callers;
mod deeds;
mod team;
mod verdict;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{SeedableRng as _, rngs::SmallRng};
use serde_json::{Value, json};

use crate::{
    bed::{gateway::Gateway, relay::Relay},
    foreign::with_others,
    world::{World, alone_for, say},
};
use callers::{Calls, Server};
use deeds::Deeds;
use team::{NAMESPACE, Place, Team};

/// How long it goes on, in minutes; ten without it.
const MINUTES: &str = "TRIAL_MINUTES";
/// What decides what happens; another one each time without it.
const SEED: &str = "TRIAL_SEED";
/// Time for all that comes before and after.
const BESIDES: Duration = Duration::from_mins(30);

/// A gateway and the relay before it, under the name of its Gateway.
struct Site {
    place: Place,
    gateway: Arc<Gateway>,
    relay: Relay,
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().expect("a whole number"))
}

/// Others' agents with more to lose than a name, and two models.
fn configure(config: &mut Value) {
    with_others(config);
    let entries = &mut config["agents"]["entries"];
    entries["theirs"]["model"] = json!({"primary": "fake/fake-1", "fallbacks": ["fake/fake-2"]});
    entries["theirs"]["identity"] = json!({"name": "Th\u{e9}irs", "emoji": "\u{1f58b}\u{fe0f}"});
    entries["theirs"]["tools"] = json!({"exec": {"notifyOnExit": false}});
    config["tools"] = json!({"exec": {"timeoutSeconds": 123}});
    let models = &mut config["models"]["providers"]["fake"]["models"];
    let mut second = models[0].clone();
    second["id"] = json!("fake-2");
    models.as_array_mut().unwrap().push(second);
}

#[test]
#[ignore = "takes minutes; make trials"]
fn a_team_is_as_declared_and_every_token_holds_whatever_happens_to_it() {
    let time = Duration::from_mins(setting(MINUTES).unwrap_or(10));
    let seed = setting(SEED).unwrap_or_else(rand::random);
    say(&format!("seed {seed}, {} s", time.as_secs()));
    alone_for(time + BESIDES, "life", configure, async |world| {
        Box::pin(live(world, time, seed)).await;
    });
}

async fn live(world: &mut World, time: Duration, seed: u64) {
    let (second, relay) = world.gateway_beside("life-second", configure).await;
    let sites = [
        Site {
            place: Place::First,
            gateway: Arc::clone(&world.gateway),
            relay: Relay::start(world.gateway.port()).unwrap(),
        },
        Site {
            place: Place::Second,
            gateway: second,
            relay,
        },
    ];
    let mut team = Team::default();
    world.start_operator(&[]).await;
    let urls = [sites[0].relay.url(), sites[1].relay.url()];
    let manifest = team.manifest(&urls, world.gateway.secret(), &world.agent_api_url());
    world.apply(&manifest).await;
    world.agents_ready(team.members().count()).await;
    let mut before = Vec::new();
    for site in &sites {
        before.push(crate::foreign::Foreign::read(&site.gateway).await);
    }

    let server = Server::new(world.agent_api_url());
    server.is_up();
    let gateways = sites.each_ref().map(|site| Arc::clone(&site.gateway));
    let calls = Calls::begin(server.clone(), gateways);
    let began = Instant::now();
    let random = SmallRng::seed_from_u64(seed);
    let mut deeds = Deeds::new(random, &server, &sites);
    while began.elapsed() < time {
        deeds.next(world, &mut team).await;
    }
    deeds.calm(world, &mut team).await;
    let calm = Instant::now();
    let verdict = verdict::Verdict::new(world, &team, &sites);
    verdict.all_as_declared().await;
    let calm = calm.elapsed();
    let heard = calls.end().await;
    say(&format!(
        "seed {seed}: {}; {heard}; all as declared {:.1} s after the last",
        deeds.told(),
        calm.as_secs_f64()
    ));
    assert_eq!(heard.faults(), [""; 0], "seed {seed}");
    verdict.nothing_left_to_do().await;
    verdict.tokens(&server, heard.tokens()).await;
    for (site, before) in sites.iter().zip(before) {
        let after = crate::foreign::Foreign::read(&site.gateway).await;
        assert_eq!(after, before, "{} of {NAMESPACE}", site.place.name());
    }
    sites[1].gateway.stop().await.unwrap();
}
