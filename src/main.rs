//! Start, arguments, exit code; nothing else.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use mission_operator::{
    api,
    cli::{Cli, Command, CrdArgs},
    controller, kube,
    metrics::Metrics,
    presence::Presence,
    server::{
        self, Readiness,
        agent_api::{self, Directory},
        listen::{self, Bounds},
    },
    settings::Settings,
    telemetry, unwind,
};
use tokio::{net::TcpListener, signal::unix::SignalKind};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Run(args) => Settings::try_from(args).map_err(Into::into).and_then(run),
        Command::Crd(args) => crd(&args),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mission-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(settings: Settings) -> anyhow::Result<()> {
    telemetry::start(settings.log_format, &settings.log).context("--log cannot be used")?;
    unwind::watch();
    let stop = CancellationToken::new();
    tokio::spawn(signalled(stop.clone())?);
    let (presence, turned) = Presence::new();
    let (metrics, readiness) = (Metrics::new(presence.clone()), Readiness::default());
    let directory = Directory::new(presence);
    let listener = TcpListener::bind(settings.http_address)
        .await
        .with_context(|| format!("cannot listen on --http-address {}", settings.http_address))?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %settings.http_address, "mission-operator starts");
    let serve = |listener, router| {
        tokio::spawn(listen::serve(
            listener,
            router,
            Bounds::default(),
            stop.clone(),
        ))
    };
    let served = serve(listener, server::router(metrics.clone(), readiness.clone()));
    let agents_listener = TcpListener::bind(settings.agent_api_address)
        .await
        .with_context(|| {
            format!(
                "cannot listen on --agent-api-address {}",
                settings.agent_api_address
            )
        })?;
    let agent_api = serve(
        agents_listener,
        agent_api::router(directory.clone(), metrics.clone()),
    );
    let clients = kube::client::connect().await?;
    let ended = controller::run(
        settings,
        clients,
        metrics,
        readiness,
        (directory, turned),
        stop.clone(),
    )
    .await;
    stop.cancel();
    served.await?;
    agent_api.await?;
    tracing::info!("mission-operator ends");
    Ok(ended?)
}

/// Ends the program's work on SIGTERM or Ctrl-C.
fn signalled(stop: CancellationToken) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    })
}

fn crd(args: &CrdArgs) -> anyhow::Result<()> {
    use std::io::Write;
    for file in api::crd_files()? {
        match &args.output {
            Some(folder) => std::fs::write(folder.join(file.name), file.yaml)
                .with_context(|| format!("cannot write to {}", folder.display()))?,
            None => std::io::stdout().write_all(file.yaml.as_bytes())?,
        }
    }
    Ok(())
}
