//! `bed`: installs and runs the test bed, shows what the operator does on it, and runs the tests on it.
//!
//! Only the command line is here. `assembly` puts parts together, `demo` tells the story, `suite` runs the tests.

#[path = "mod.rs"]
mod bed;

mod assembly;
mod demo;
mod suite;

use std::{io::Write as _, process::ExitCode, time::Instant};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use bed::{
    install,
    interrupt::{AtEnd, owning},
    port, provider,
    run::Run,
};

/// The test bed of Mission Operator: a real Kubernetes control plane and a real OpenClaw gateway on this machine.
#[derive(Debug, Parser)]
#[command(name = "bed", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what the bed needs into the user's cache directory.
    Install,
    /// Start everything, apply the samples, and leave it running.
    Up,
    /// Stop what `up` left running.
    Down,
    /// Show the whole way of an Agent, from `kubectl apply` to `kubectl delete`, and stop everything.
    Demo,
    /// Run `cargo test` on a control plane and a model provider of its own.
    Test {
        /// Arguments of `cargo test`; with any, unused rules of the chart are not judged.
        #[arg(last = true)]
        cargo: Vec<String>,
    },
    /// Serve the model provider (started by the other commands).
    #[command(hide = true)]
    Provider {
        /// Port on loopback.
        port: u16,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Install => install::ensure().await.map(|_| ExitCode::SUCCESS),
        Command::Up => Box::pin(up()).await,
        Command::Down => down().await,
        Command::Demo => Box::pin(demo()).await,
        Command::Test { cargo } => suite::run(&cargo).await,
        Command::Provider { port } => serve_provider(port).await,
    };
    done.unwrap_or_else(|error| {
        eprintln!("bed: {error:#}");
        ExitCode::FAILURE
    })
}

async fn up() -> Result<ExitCode> {
    let tools = install::ensure().await?;
    let run = assembly::standing_run()?;
    let began = Instant::now();
    let work = async {
        let complete = assembly::complete(&run, &tools, |name, took| {
            eprintln!("{name}: {}", install::seconds(took));
        })
        .await?;
        assembly::watching(&complete, async {
            assembly::apply_samples(&complete).await?;
            assembly::all_ready(&complete).await
        })
        .await?;
        complete.description().write()?;
        Ok(complete.description())
    };
    let description = owning(&run, AtEnd::KeepOnSuccess, Box::pin(work)).await?;
    let gateway = description
        .gateway
        .as_ref()
        .context("the bed has no gateway")?;
    writeln!(
        std::io::stdout(),
        "\nUp after {}. Try:\n\n  \
         export KUBECONFIG={}\n  \
         alias kubectl={}\n  \
         kubectl get openclaw -A\n  \
         kubectl -n team-research edit agents.mission.openclaw.dev\n\n\
         gateway   {} with token {}\n\
         state     {}\n\
         operator  {}\n\n\
         `make down` stops it.",
        install::seconds(began.elapsed()),
        description.kubeconfig.display(),
        description.tools.kubectl.display(),
        gateway.url,
        gateway.token,
        gateway.state_dir.display(),
        description
            .operator_log
            .as_deref()
            .unwrap_or(&description.dir)
            .display(),
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn down() -> Result<ExitCode> {
    let dir = assembly::standing_dir();
    let Ok(run) = Run::open(&dir) else {
        eprintln!("Nothing to stop: there is no {}.", dir.display());
        return Ok(ExitCode::SUCCESS);
    };
    let began = Instant::now();
    for name in run.stop_all().await? {
        eprintln!("had to kill {name}");
    }
    run.remove()?;
    eprintln!("Stopped in {}.", install::seconds(began.elapsed()));
    Ok(ExitCode::SUCCESS)
}

async fn demo() -> Result<ExitCode> {
    let began = Instant::now();
    let tools = install::ensure().await?;
    let installed = began.elapsed();
    let run = assembly::standing_run()?;
    let told = owning(
        &run,
        AtEnd::Stop,
        Box::pin(demo::tell(&run, &tools, installed)),
    )
    .await;
    match told {
        Ok(times) => {
            run.remove()?;
            writeln!(std::io::stdout(), "\n{times}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error.context(format!(
            "the demo failed after {}; logs are in {}",
            install::seconds(began.elapsed()),
            run.logs().display()
        ))),
    }
}

async fn serve_provider(port: u16) -> Result<ExitCode> {
    let listener = tokio::net::TcpListener::bind(port::loopback(port))
        .await
        .with_context(|| format!("binding port {port}"))?;
    provider::serve(listener).await?;
    Ok(ExitCode::SUCCESS)
}
