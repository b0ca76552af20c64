//! Kills the operator at each call of the clean run, and compares what becomes of it with what became of the clean one.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    bed::{
        Bed,
        api_proxy::{Moment, Point},
    },
    clean::{Clean, clean},
    runs::{Run, runs},
    site::{Side, Site},
    snapshot::{difference, snapshot, tokens_are_taken, told},
    tap::is_in_effect,
    team::{Phase, Team},
    world::{World, say},
};

/// Workers at once, each with a control plane and an operator of its own; most of the time all of them wait.
const WORKERS: usize = 4;
/// Time in which a fresh operator has to come to the end; it takes about a second.
const ARRIVAL: Duration = Duration::from_secs(30);
/// So many failures are enough to look at.
const ENOUGH: usize = 8;
/// A request is seen before it is carried out, so what it changes may come without another one.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What came of all runs.
#[derive(Debug, Default)]
struct Tally {
    killed: usize,
    /// Sites that were not reached: the calls came in another number this time.
    missed: Vec<String>,
    failures: Vec<String>,
}

/// Runs through all phases, with a kill in each where there is one.
async fn killed(world: &mut World, run: &Run, clean: &[Clean], tally: &Mutex<Tally>) -> Result<()> {
    let team = Team::start(world, run.number).await?;
    team.rest(world).await;
    for ((phase, clean), kill) in Phase::ALL.into_iter().zip(clean).zip(&run.kills) {
        if !run.passes(phase) {
            continue;
        }
        let from = (world.proxy.count(), team.tap.count());
        let ended = pass(world, &team, phase, clean, kill.as_ref(), tally).await;
        let name = match kill {
            Some(site) => format!("{phase:?}, killed {site}"),
            None => format!("{phase:?}"),
        };
        let restarts: usize = team
            .fakes()
            .iter()
            .map(|fake| fake.seen().self_restarts)
            .sum();
        let ended = ended.and_then(|()| {
            ensure!(restarts == 0, "the gateway restarted itself");
            Ok(())
        });
        if let Err(error) = ended {
            let text = format!(
                "{name}: {error:#}\n  what was asked:\n{}\n  last words of the operators:\n{}\n",
                transcript(world, &team, from),
                world.last_words()
            );
            say(&format!("Failed: {name}"));
            tally.lock().unwrap().failures.push(text);
            let_go(world, &team);
            world.kill_operator().await;
            world.start_operator().await;
            break;
        }
    }
    team.end().await
}

/// What both worlds were asked after so many requests of each, with the seconds since the first.
fn transcript(world: &World, team: &Team, (api, gateway): (usize, usize)) -> String {
    let asked = world.proxy.asked();
    let asked = asked[api..].iter().map(|asked| {
        let name = &asked.call.name;
        let code = asked.code.map_or_else(String::new, |code| code.to_string());
        (asked.at, Side::Api, format!("{} {name} {code}", asked.call))
    });
    let mut calls: Vec<_> = asked.chain(team.tap.asked(gateway)).collect();
    calls.sort_by_key(|(at, ..)| *at);
    let line = |(at, side, call): &(Instant, Side, String)| {
        let seconds = (*at - calls[0].0).as_secs_f64();
        format!("    {seconds:.3} {side:?} {call}")
    };
    calls.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One phase: kills the operator where `kill` says, starts a fresh one, and waits for what the clean run came to.
async fn pass(
    world: &mut World,
    team: &Team,
    phase: Phase,
    clean: &Clean,
    kill: Option<&Site>,
    tally: &Mutex<Tally>,
) -> Result<()> {
    if kill.is_some() {
        // What is left of the phase before would be counted with this one.
        team.rest(world).await;
    }
    let from = world.proxy.count();
    let tokens = team.tap.tokens();
    if let Some(site) = kill {
        arm(world, team, site);
    }
    team.act(phase).await?;
    if let Some(site) = kill {
        let stopped = async {
            tokio::select! {
                () = world.proxy.halted() => {}
                () = team.tap.stopped() => {}
            }
        };
        let reached = tokio::select! {
            biased;
            () = stopped => true,
            ended = team.ended(world, phase) => ended.map(|()| false)?,
        };
        if reached {
            // The other world stands still too.
            team.tap.stop();
            world.proxy.halt();
            took_effect(world, team, site, from)?;
            world.kill_operator().await;
            tokens_are_taken(team).await?;
            world.proxy.drop_connections();
            tally.lock().unwrap().killed += 1;
        } else {
            tally
                .lock()
                .unwrap()
                .missed
                .push(format!("{phase:?}, {site}"));
        }
        let_go(world, team);
        if reached {
            world.start_operator().await;
        }
    }
    arrives(world, team, clean).await?;
    if phase == Phase::Rotate {
        let minted = team.tap.tokens().len() - tokens.len();
        ensure!(minted == 1, "{minted} tokens were minted for one value");
    }
    Ok(())
}

/// Lets both worlds go on.
fn let_go(world: &World, team: &Team) {
    team.tap.resume();
    world.proxy.resume();
}

fn arm(world: &World, team: &Team, site: &Site) {
    match site.call.side {
        Side::Gateway => team.tap.stop_at(site),
        Side::Api => {
            let name = site.call.name.clone();
            world.proxy.halt_at(Point {
                which: Box::new(move |call| call.to_string() == name),
                nth: site.nth,
                moment: site.moment,
            });
        }
    }
}

/// Holds the call that everything stopped at against its world: carried out after, not carried out before.
fn took_effect(world: &World, team: &Team, site: &Site, from: usize) -> Result<()> {
    let is_after = site.moment == Moment::After;
    match site.call.side {
        Side::Api => {
            let asked = world.proxy.asked();
            let mut asked = asked[from..]
                .iter()
                .filter(|asked| asked.call.to_string() == site.call.name);
            let asked = asked.nth(site.nth - 1).context("the call is not there")?;
            let carried_out = asked.code.is_some_and(|code| code < 300);
            ensure!(
                carried_out == is_after,
                "{site} was answered {:?}",
                asked.code
            );
        }
        Side::Gateway => {
            let (which, call) = team.tap.stopped_at().context("no call was stopped")?;
            if let Some(is_in_effect) = is_in_effect(&call, team.fakes()[which]) {
                ensure!(
                    is_in_effect == is_after,
                    "{site}: in effect: {is_in_effect}; {}",
                    call.params
                );
            }
        }
    }
    Ok(())
}

/// Waits until both worlds are what the clean run made of them, and nothing else was told.
async fn arrives(world: &World, team: &Team, clean: &Clean) -> Result<()> {
    let began = Instant::now();
    loop {
        let found = snapshot(team).await?;
        if found == clean.after {
            break;
        }
        ensure!(
            began.elapsed() < ARRIVAL,
            "not as after the clean run:\n{}",
            difference(&clean.after, &found)
        );
        team.activity(world, LOOK_AGAIN).await;
    }
    let told = told(team).await?;
    let more: Vec<_> = told.difference(&clean.told).collect();
    ensure!(more.is_empty(), "told more than the clean run: {more:?}");
    Ok(())
}

async fn work(
    bed: Bed,
    name: String,
    runs: Arc<Mutex<VecDeque<Run>>>,
    clean: Arc<Vec<Clean>>,
    tally: Arc<Mutex<Tally>>,
) -> Result<()> {
    let mut world = World::start(&bed, &name).await?;
    world.start_operator().await;
    loop {
        let run = runs.lock().unwrap().pop_front();
        let Some(run) = run else { break };
        if tally.lock().unwrap().failures.len() >= ENOUGH {
            break;
        }
        killed(&mut world, &run, &clean, &tally).await?;
    }
    world.stop().await
}

/// Counts a clean run's calls, and kills the operator where `which` chooses.
async fn crash(which: fn(&Site) -> bool) -> Result<()> {
    let began = Instant::now();
    let bed = Bed::from_env();
    let mut world = World::start(&bed, "clean").await?;
    world.start_operator().await;
    let first = clean(&world, 0).await?;
    let second = clean(&world, 1).await?;
    world.stop().await?;
    for ((phase, first), second) in Phase::ALL.into_iter().zip(&first).zip(&second) {
        let counts = |side| first.calls.iter().filter(|call| call.side == side).count();
        say(&format!(
            "{phase:?}: {} calls of the API server, {} of the gateway",
            counts(Side::Api),
            counts(Side::Gateway)
        ));
        ensure!(
            first.after == second.after,
            "{phase:?} differs between two clean runs:\n{}",
            difference(&first.after, &second.after)
        );
        ensure!(
            !first.told.iter().any(|told| told.starts_with("Warning")),
            "{:?}",
            first.told
        );
    }
    let runs = runs(&first, which);
    let count: usize = runs
        .iter()
        .map(|run| run.kills.iter().flatten().count())
        .sum();
    let (runs, clean, tally) = (
        Arc::new(Mutex::new(runs)),
        Arc::new(first),
        Arc::<Mutex<Tally>>::default(),
    );
    let workers: Vec<_> = (0..WORKERS)
        .map(|n| {
            tokio::spawn(work(
                bed.clone(),
                format!("crash{n}"),
                Arc::clone(&runs),
                Arc::clone(&clean),
                Arc::clone(&tally),
            ))
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    let tally = std::mem::take(&mut *tally.lock().unwrap());
    say(&format!(
        "{count} points: the operator was killed at {}, and {} did not come this time {:?}; {} failures; {:.0} s",
        tally.killed,
        tally.missed.len(),
        tally.missed,
        tally.failures.len(),
        began.elapsed().as_secs_f64()
    ));
    ensure!(tally.failures.is_empty(), "{}", tally.failures.join("\n"));
    ensure!(
        tally.missed.len() * 20 <= count,
        "too few of the points were reached"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_writes_of_every_kind_a_fresh_operator_comes_to_the_same_end() {
    Box::pin(crash(Site::is_sample)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; make trials"]
async fn killed_at_any_call_a_fresh_operator_comes_to_the_same_end() {
    Box::pin(crash(|_| true)).await.unwrap();
}
