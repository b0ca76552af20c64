//! The clean run: what a phase costs and comes to when nobody is killed.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{
    fake::Fake,
    site::{Call, Side},
    snapshot::{difference, snapshot, told},
    team::{HEIR, Phase, Team},
    world::World,
};

/// What a phase is like when nobody is killed.
#[derive(Debug, Clone)]
pub(crate) struct Clean {
    pub(crate) calls: Vec<Call>,
    pub(crate) after: Value,
    /// Reasons of the events so far.
    pub(crate) told: BTreeSet<String>,
}

/// Runs through all phases without a kill.
pub(crate) async fn clean(world: &World, number: usize) -> Result<Vec<Clean>> {
    let team = Team::start(world, number).await?;
    team.rest(world).await;
    let before = team.fakes().map(of_others);
    let mut phases = Vec::new();
    for phase in Phase::ALL {
        let (api, gateway) = (world.proxy.count(), team.tap.count());
        team.act(phase).await?;
        team.ended(world, phase).await?;
        let asked = world.proxy.asked();
        let asked = asked[api..]
            .iter()
            // Watches come and go by the clock.
            .filter(|asked| asked.call.verb != "watch")
            .map(|asked| (asked.at, Side::Api, asked.call.to_string()));
        let mut calls: Vec<_> = asked.chain(team.tap.asked(gateway)).collect();
        calls.sort_by_key(|(at, ..)| *at);
        phases.push(Clean {
            calls: calls
                .into_iter()
                .map(|(_, side, name)| Call { side, name })
                .collect(),
            after: snapshot(&team).await?,
            told: told(&team).await?,
        });
        if phase.ends_it() {
            for (fake, before) in team.fakes().into_iter().zip(&before) {
                let after = of_others(fake);
                ensure!(
                    after == *before,
                    "the clean run leaves something: {}",
                    difference(before, &after)
                );
            }
        }
    }
    team.end().await?;
    Ok(phases)
}

/// A gateway's document without the agent that is adopted, and without when the gateway wrote it last and with which version.
fn of_others(fake: &Fake) -> Value {
    let mut document = fake.document();
    document.as_object_mut().unwrap().remove("meta");
    let entries = document["agents"]["entries"].as_object_mut().unwrap();
    entries.remove(HEIR);
    document
}
