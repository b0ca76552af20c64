//! `make scale`: what thousands of Agents on a hundred gateways cost the operator, and whether twice as many cost twice as much.
//!
//! The gateways are fakes in this process (`tests/fake`), the API server is the bed's. `fleet` makes the objects before the operator
//! starts, `storm` measures its start, with edits by a user while it is on, `calm` a restart and comparisons that find nothing to do;
//! `process` reads what the operator's process used, `report` is the table and the JSON.
//!
//! Everything shares one machine: seconds are those of the API server as much as the operator's. CPU seconds and memory are its own.

// Only JSON values are indexed, which answer null for what is not there.
#![allow(clippy::indexing_slicing)]
#![allow(missing_docs)]

#[path = "../../tests/bed/mod.rs"]
mod bed;
#[path = "../../tests/fake/mod.rs"]
mod fake;

mod calm;
mod fleet;
mod process;
mod report;
mod storm;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;

use bed::{
    install,
    interrupt::{AtEnd, owning},
    operator::{self, Operator, OperatorOptions},
    plane::Plane,
    run::Run,
    tools::Tools,
};
use report::{Measured, Report};

/// What thousands of Agents cost the operator.
#[derive(Debug, Parser)]
#[command(name = "scale", max_term_width = 100)]
struct Arguments {
    /// Gateways, each with its own namespace.
    #[arg(long, default_value_t = 100)]
    gateways: usize,
    /// Agents of each gateway; one measurement for each number.
    #[arg(long, value_delimiter = ',', default_values_t = [25, 50, 100])]
    agents: Vec<usize>,
    /// Milliseconds from a config write until a gateway has applied it and answers.
    #[arg(long, default_value_t = 1000)]
    lag: u64,
    /// Leave out the restart and the comparisons.
    #[arg(long)]
    storm_only: bool,
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

#[tokio::main]
async fn main() -> ExitCode {
    match bench(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn bench(arguments: &Arguments) -> Result<()> {
    let tools = install::ensure().await?;
    let run = Run::create_temporary()?;
    let work = Box::pin(measure(&run, &tools, arguments));
    let measured = owning(&run, AtEnd::Stop, work).await;
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
    let mut report = Report::default();
    for &agents in &arguments.agents {
        report.add(one_size(run, tools, arguments, agents).await?);
    }
    Ok(report)
}

/// Measures one size on a control plane of its own.
async fn one_size(
    run: &Run,
    tools: &Tools,
    arguments: &Arguments,
    agents: usize,
) -> Result<Measured> {
    let name = format!("{}x{agents}", arguments.gateways);
    eprintln!("{name}");
    let plane = Plane::start_with_chart(run, tools, &format!("plane-{name}")).await?;
    let kubectl = plane.kubectl();
    let client = plane.client().await?;
    let lag = std::time::Duration::from_millis(arguments.lag);
    let fleet = fleet::Fleet::create(client, arguments.gateways, agents, lag).await?;
    let kubeconfig = operator::service_account_kubeconfig(&kubectl, &plane.kubeconfig()).await?;
    let options = |flag: &str| OperatorOptions {
        name: name.clone(),
        program: arguments.operator.clone(),
        kubeconfig: kubeconfig.clone(),
        args: arguments
            .flags
            .iter()
            .map(String::as_str)
            .chain([flag])
            .map(str::to_owned)
            .collect(),
        env: Vec::new(),
    };
    let stage = Stage {
        plane,
        fleet,
        run: run.clone(),
    };
    let (operator, storm) = storm::measure(&stage, &options("--resync-interval=1h")).await?;
    operator.stop().await?;
    let calm = if arguments.storm_only {
        None
    } else {
        Some(calm::measure(&stage, &options(calm::INTERVAL)).await?)
    };
    stage.plane.stop().await?;
    Ok(Measured {
        gateways: arguments.gateways,
        agents: stage.fleet.size(),
        storm,
        calm,
    })
}

/// What a measurement runs on.
struct Stage {
    plane: Plane,
    fleet: fleet::Fleet,
    run: Run,
}

impl Stage {
    async fn start(&self, options: &OperatorOptions) -> Result<Operator> {
        Operator::start(&self.run, options).await
    }
}
