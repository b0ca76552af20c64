//! `make bench`: what a fleet of Agents costs a real gateway, three ways, and what a converged fleet costs afterwards.
//!
//! `operator` is measured first; what it leaves on its gateway is read back (`fleet`), and `naive` and `floor` make the same on gateways
//! of their own; `writes` compares single calls. `stage` is a gateway with a relay that counts in front of it, `report` the table and the
//! JSON.
//!
//! Each measurement has a gateway process to itself. All numbers of calls, connections and bytes are the relay's.

// Only JSON values are indexed, which answer null for what is not there.
#![allow(clippy::indexing_slicing)]
#![allow(missing_docs)]

#[path = "../../tests/bed/mod.rs"]
mod bed;
#[path = "../../tests/alone/manifest.rs"]
#[allow(dead_code)]
mod manifest;

mod fleet;
mod floor;
mod naive;
mod operator;
mod report;
mod stage;
mod writes;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use bed::{
    install,
    interrupt::{AtEnd, owning},
    port, provider,
    run::Run,
    tools::Tools,
};
use report::Report;

/// What a fleet of Agents costs a real gateway.
#[derive(Debug, Parser)]
#[command(name = "fleet", max_term_width = 100)]
struct Arguments {
    /// Sizes of the fleet.
    #[arg(long, value_delimiter = ',', default_values_t = [25, 100])]
    agents: Vec<usize>,
    /// What the operator is compared with; it runs itself in any case.
    #[arg(long, value_delimiter = ',', default_values_t = [Way::Floor, Way::Naive])]
    against: Vec<Way>,
    /// What else is measured.
    #[arg(long, value_delimiter = ',')]
    also: Vec<Also>,
    /// The operator's program, instead of the one that was built with this.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_mission-operator"))]
    operator: PathBuf,
    /// Further flags of the operator, such as `--log=debug`.
    #[arg(long = "flag", allow_hyphen_values = true)]
    flags: Vec<String>,
    /// Leave the logs of all parts behind, and say where.
    #[arg(long)]
    keep_logs: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured beside the making of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Also {
    /// One comparison of the converged fleet, and one changed Agent in it.
    Converged,
    /// The ways to write the document of the largest fleet, and how many file writes at once are fastest.
    Writes,
}

/// A way to make a fleet other than the operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    /// Call for call as Mission Control does it.
    Naive,
    /// As little as can be asked of a gateway.
    Floor,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Naive => "naive",
            Self::Floor => "floor",
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match bench(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn bench(arguments: &Arguments) -> Result<()> {
    let tools = install::ensure().await?;
    let run = Run::create_temporary()?;
    let measured = owning(
        &run,
        AtEnd::Stop,
        Box::pin(measure(&run, &tools, arguments)),
    )
    .await;
    let report = measured.with_context(|| format!("logs are in {}", run.logs().display()))?;
    let path = report.write()?;
    eprintln!("\n{report}\nAlso in {}.", path.display());
    if arguments.keep_logs {
        eprintln!("Logs are in {}.", run.logs().display());
        return Ok(());
    }
    run.remove()
}

async fn measure(run: &Run, tools: &Tools, arguments: &Arguments) -> Result<Report> {
    let listener = tokio::net::TcpListener::bind(port::loopback(0)).await?;
    let provider = format!("http://{}", listener.local_addr()?);
    tokio::spawn(provider::serve(listener));
    let stages = stage::Stages {
        run,
        tools,
        provider: &provider,
    };
    let mut report = Report::default();
    for &size in &arguments.agents {
        let options = operator::Options {
            size,
            program: &arguments.operator,
            flags: &arguments.flags,
            converged: arguments.also.contains(&Also::Converged),
        };
        let (fleet, measured) = operator::measure(&stages, &options).await?;
        for one in measured {
            report.add(one);
        }
        for way in &arguments.against {
            let measured = match way {
                Way::Floor => floor::measure(&stages, &fleet).await?,
                Way::Naive => naive::measure(&stages, &fleet).await?,
            };
            report.add(measured);
        }
        if arguments.also.contains(&Also::Writes) && Some(&size) == arguments.agents.iter().max() {
            for one in writes::measure(&stages, &fleet).await? {
                report.add(one);
            }
        }
    }
    Ok(report)
}
