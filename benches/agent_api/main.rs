//! `make heartbeats`: what a heartbeat costs the API that agents call, and how that compares with looking a token up as Mission Control does.
//!
//! The router is the real one, on a port of loopback, on one thread with one runtime; the callers are on another thread. `stage` makes the
//! agents and the server, `load` the calls. Requests a second are counted by the clock, and by the processor time of the server's thread
//! alone, which does not depend on what else the machine does.
//!
//! Mission Control keeps tokens as PBKDF2-SHA256 with 200 000 rounds and tries one agent's after the other's; measured here is one try.

#![allow(missing_docs)]

mod load;
mod stage;

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use serde::Serialize;

use load::{Connections, Load, Measured};
use stage::Stage;

/// Rounds of PBKDF2 in Mission Control.
const ROUNDS: NonZeroU32 = NonZeroU32::new(200_000).unwrap();

/// What a heartbeat costs.
#[derive(Debug, Parser)]
#[command(name = "agent_api", max_term_width = 100)]
struct Arguments {
    /// Agents that call, each with a token.
    #[arg(long, default_value_t = 10_000)]
    agents: usize,
    /// Length of each load.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    agents: usize,
    rss_mib_before: f64,
    rss_mib_with_tokens: f64,
    rss_mib_with_agents: f64,
    rss_mib_after_load: f64,
    loads: Vec<Measured>,
    pbkdf2_tries_per_second: f64,
    ratio_to_one_try: f64,
}

fn main() -> ExitCode {
    match bench(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent_api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &Arguments) -> Result<()> {
    let rss_mib_before = rss_mib()?;
    let mut stage = Stage::with_tokens(arguments.agents);
    let rss_mib_with_tokens = rss_mib()?;
    stage.fill_caches()?;
    let rss_mib_with_agents = rss_mib()?;
    let server = stage.serve()?;
    let length = Duration::from_secs(arguments.seconds);
    let heartbeat = |name, connections, pause| Load {
        name,
        line: "POST /api/v1/agent/heartbeat",
        connections,
        pause,
        length,
    };
    let loads = [
        heartbeat("heartbeats, connections kept", Connections::Kept, None),
        heartbeat("heartbeats, a connection each", Connections::Fresh, None),
        // 32 callers, one call each 32 ms: fifty times the 20 a second of Mission Control.
        heartbeat(
            "1000 heartbeats a second, a connection each",
            Connections::Fresh,
            Some(Duration::from_millis(32)),
        ),
        Load {
            line: "GET /api/v1/agent/agents",
            ..heartbeat("rosters of 25, connections kept", Connections::Kept, None)
        },
    ];
    let loads = loads
        .iter()
        .map(|load| load::run(load, &server, arguments.agents))
        .collect::<Result<Vec<_>>>()?;
    let pbkdf2_tries_per_second = tries_per_second()?;
    let fresh = loads.get(1).context("there are loads")?;
    let report = Report {
        agents: arguments.agents,
        rss_mib_before,
        rss_mib_with_tokens,
        rss_mib_with_agents,
        rss_mib_after_load: rss_mib()?,
        ratio_to_one_try: fresh.per_second_of_core / pbkdf2_tries_per_second,
        pbkdf2_tries_per_second,
        loads,
    };
    eprintln!("{}", table(&report));
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let folder = PathBuf::from(target).join("bench");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("agent_api.json");
    std::fs::write(&path, serde_json::to_string_pretty(&report)?)?;
    eprintln!("Also in {}.", path.display());
    Ok(())
}

fn table(report: &Report) -> String {
    let mut text = String::from(
        "| | Calls | A second | A second of one core | p50, ms | p99, ms |\n|---|---:|---:|---:|---:|---:|\n",
    );
    text.extend(report.loads.iter().map(|load| {
        format!(
            "| {} | {} | {:.0} | {:.0} | {:.2} | {:.2} |\n",
            load.name,
            load.calls,
            load.per_second,
            load.per_second_of_core,
            load.p50_ms,
            load.p99_ms
        )
    }));
    let Report {
        agents,
        rss_mib_before: before,
        rss_mib_with_tokens: tokens,
        rss_mib_with_agents: all,
        rss_mib_after_load: after,
        pbkdf2_tries_per_second: tries,
        ratio_to_one_try: ratio,
        ..
    } = report;
    format!(
        "{text}\nMemory: {before:.1} MiB, {tokens:.1} with the tokens of {agents} agents, {all:.1} with their objects, {after:.1} after the load.\n\
         One try of PBKDF2 with 200 000 rounds: {tries:.1} a second of one core. A heartbeat with a connection of its own is {ratio:.0} times as fast as \
         the first try of a scan."
    )
}

/// How many tokens a second of one core are compared in the way of Mission Control: the middle of nine tries, by processor time.
fn tries_per_second() -> Result<f64> {
    let algorithm = ring::pbkdf2::PBKDF2_HMAC_SHA256;
    let mut hash = [0; 32];
    ring::pbkdf2::derive(algorithm, ROUNDS, b"salt of 16 bytes", b"token", &mut hash);
    let mut times: Vec<_> = (0..9)
        .map(|_| {
            let began = load::busy(Path::new("/proc/thread-self/schedstat"))?;
            let verified =
                ring::pbkdf2::verify(algorithm, ROUNDS, b"salt of 16 bytes", b"token", &hash);
            assert!(verified.is_ok(), "the token is the right one");
            Ok(load::busy(Path::new("/proc/thread-self/schedstat"))?.saturating_sub(began))
        })
        .collect::<Result<_>>()?;
    times.sort();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok(middle.as_secs_f64().recip())
}

/// Resident memory of this process.
fn rss_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no VmRSS in status")?.parse::<f64>()? / 1024.0)
}
