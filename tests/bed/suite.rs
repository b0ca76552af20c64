//! `bed test`: the whole test suite on one control plane, and what can only be judged when all of it has run.
//!
//! That is the operator's rights: nothing that it asked for was forbidden, and nothing that the chart grants was never used. And that no
//! secret of any test showed in a log of an operator, or in what one wrote outside of Secrets.
//!
//! The whole suite goes in two lanes at once, because most of its time is waiting for gateways.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{self, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::{
    assembly,
    bed::{
        audit, chart, description, disclosure,
        failures::failures,
        install::{self, seconds},
        interrupt::{AtEnd, owning},
        operator, plane,
        process::{Process, Start},
        run::Run,
        tools::Tools,
    },
};

/// The whole suite has more secrets than this; fewer were not found.
const FEWEST_SECRETS: usize = 100;
/// Test binaries that run beside all others, and take about as long as those do.
const APART: [&str; 3] = ["alone", "crash", "gateway"];

/// Time between two looks at what a log has more.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Runs `cargo test` with `arguments`; without any, the chart's rules are held against the audit log too.
pub(crate) async fn run(arguments: &[String]) -> Result<ExitCode> {
    let began = Instant::now();
    let tools = install::ensure().await?;
    let swept = Run::sweep_abandoned().await?;
    if swept > 0 {
        eprintln!("Stopped what {swept} killed test run(s) had left.");
    }
    let run = Run::create_temporary()?;
    let passed = owning(&run, AtEnd::Stop, Box::pin(test(&run, &tools, arguments))).await;
    let ended = seconds(began.elapsed());
    match passed {
        Ok(ExitStatus::Passed) => {
            run.remove()?;
            eprintln!("Passed in {ended}.");
            Ok(ExitCode::SUCCESS)
        }
        Ok(ExitStatus::Failed(code)) => {
            eprintln!("Failed in {ended}; logs are in {}.", run.logs().display());
            Ok(ExitCode::from(code))
        }
        Err(error) => Err(error.context(format!(
            "failed in {ended}; logs are in {}",
            run.logs().display()
        ))),
    }
}

/// What the suite came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExitStatus {
    Passed,
    /// With the exit code of `cargo test`.
    Failed(u8),
}

async fn test(run: &Run, tools: &Tools, arguments: &[String]) -> Result<ExitStatus> {
    let began = Instant::now();
    let build = cargo("cargo-build")
        .args(["test", "--locked", "--no-run"])
        .args(arguments);
    if let ExitStatus::Failed(code) = in_view(run, build).await? {
        return Ok(ExitStatus::Failed(code));
    }
    eprintln!("tests built in {}", seconds(began.elapsed()));

    let began = Instant::now();
    let base = assembly::base(run, tools).await?;
    chart::install(&tools.helm, &base.plane.kubectl()).await?;
    eprintln!(
        "control plane with the chart started in {}",
        seconds(began.elapsed())
    );

    let path = base.description.write()?;
    let began = Instant::now();
    let test = |name: &str| {
        cargo(name)
            .args(["test", "--locked"])
            .env(description::ENVIRONMENT_VARIABLE, &path)
    };
    let ended = if arguments.is_empty() {
        let (apart, others) = lanes().await?;
        // One binary that fails keeps no other from telling what it found.
        let lane = |name: &str| test(name).args(["--no-fail-fast"]);
        let apart = lane("cargo-test-apart").args(apart).spawn(run)?;
        let others = lane("cargo-test").args(others).spawn(run)?;
        let (others_ended, apart_ended) =
            tokio::try_join!(shown(&others), async { apart.exited().await })?;
        let apart_log = std::fs::read_to_string(apart.log())?;
        eprintln!("{apart_log}");
        let others_log = std::fs::read_to_string(others.log())?;
        for failure in [others_log, apart_log].iter().flat_map(|log| failures(log)) {
            eprintln!("FAILED {failure}\n");
        }
        ExitStatus::of(others_ended).and(ExitStatus::of(apart_ended))
    } else {
        in_view(run, test("cargo-test").args(arguments)).await?
    };
    if let ExitStatus::Failed(code) = ended {
        return Ok(ExitStatus::Failed(code));
    }
    eprintln!("tests ran in {}", seconds(began.elapsed()));
    let disclosed = judge_secrets(run, arguments.is_empty())?;
    let rights = judge_rights(&tools.helm, &base.plane.audit_log(), arguments.is_empty()).await?;
    Ok(rights.and(disclosed))
}

impl ExitStatus {
    fn of(status: process::ExitStatus) -> Self {
        if status.success() {
            return Self::Passed;
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Self::Failed(code.unwrap_or(1))
    }

    /// The first failure, if any.
    fn and(self, other: Self) -> Self {
        match self {
            Self::Passed => other,
            Self::Failed(_) => self,
        }
    }
}

fn program() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// A cargo called `name` that works on this repository.
fn cargo(name: &str) -> Start {
    Start::new(name, &program())
        .inherit_env_without(is_set_by_cargo)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
}

/// The arguments of `cargo test` that run the binaries which are [`APART`], and those that run all others.
async fn lanes() -> Result<(Vec<String>, Vec<String>)> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        targets: Vec<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
    }
    let output = tokio::process::Command::new(program())
        .args(["metadata", "--locked", "--no-deps", "--format-version=1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .await?;
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("reading what cargo metadata says")?;
    let targets = metadata.packages.into_iter().flat_map(|it| it.targets);
    let tests = targets.filter(|target| target.kind.iter().any(|kind| kind == "test"));
    let (apart, others): (Vec<_>, Vec<_>) = tests
        .map(|target| target.name)
        .partition(|name| APART.contains(&name.as_str()));
    let chosen = |names: Vec<String>| {
        let names = names.into_iter();
        names.flat_map(|name| ["--test".to_owned(), name])
    };
    let all_else = ["--lib".to_owned(), "--bins".to_owned()];
    Ok((
        chosen(apart).collect(),
        all_else.into_iter().chain(chosen(others)).collect(),
    ))
}

/// Runs cargo with this process's standard output and error.
async fn in_view(run: &Run, cargo: Start) -> Result<ExitStatus> {
    let process = cargo.spawn_in_view(run)?;
    Ok(ExitStatus::of(process.exited().await?))
}

/// Shows what a process writes into its log, until it has ended.
async fn shown(process: &Process) -> Result<process::ExitStatus> {
    let mut log = tokio::fs::File::open(process.log()).await?;
    let mut stderr = tokio::io::stderr();
    loop {
        let ended = tokio::time::timeout(LOOK_AGAIN, process.exited()).await;
        tokio::io::copy(&mut log, &mut stderr).await?;
        if let Ok(status) = ended {
            return status;
        }
    }
}

/// Whether `cargo run` sets a variable for the program that it runs.
///
/// A build script that looks at one of them, as ring's does, would run anew in a cargo that inherits it, and all that
/// depends on it would be built anew: once in here, and once more outside.
fn is_set_by_cargo(variable: &str) -> bool {
    [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
    ]
    .iter()
    .any(|prefix| variable.starts_with(prefix))
}

/// Holds what the operator asked for against what the chart grants.
async fn judge_rights(helm: &Path, audit_log: &Path, whole_suite: bool) -> Result<ExitStatus> {
    let requests = audit::read(audit_log)?;
    let mut faults: Vec<String> = audit::forbidden(&requests, operator::USER)
        .map(|request| {
            format!(
                "forbidden by the chart's RBAC: {} {}/{}",
                request.permission(),
                request.namespace,
                request.name
            )
        })
        .collect();
    if whole_suite {
        let rules = chart::rules(&chart::render(helm).await?);
        faults.extend(
            audit::unused(&rules, &requests, operator::USER)
                .iter()
                .map(|rule| format!("granted by the chart and used by no test: {rule}")),
        );
    }
    if faults.is_empty() {
        return Ok(ExitStatus::Passed);
    }
    faults.dedup();
    for fault in faults {
        eprintln!("{fault}");
    }
    Ok(ExitStatus::Failed(1))
}

/// Looks for the secrets of all planes in what operators logged and wrote.
fn judge_secrets(run: &Run, whole_suite: bool) -> Result<ExitStatus> {
    let audit_logs = plane::audit_logs(run)?;
    let mut secrets = BTreeSet::new();
    for log in &audit_logs {
        secrets.extend(disclosure::secrets(log)?);
    }
    let mut faults = Vec::new();
    if whole_suite && secrets.len() < FEWEST_SECRETS {
        faults.push(format!("only {} secrets to look for", secrets.len()));
    }
    for log in &audit_logs {
        let written = disclosure::written(log, operator::USER, &secrets)?;
        faults.extend(
            written
                .into_iter()
                .map(|what| format!("a secret stands in: {what}")),
        );
    }
    for log in operator::logs(run)? {
        let lines = disclosure::logged(&log, &secrets)?;
        if !lines.is_empty() {
            let log = log.display();
            faults.push(format!("a secret stands in {log}, lines {lines:?}"));
        }
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    eprintln!("{} secrets were looked for.", secrets.len());
    Ok(if faults.is_empty() {
        ExitStatus::Passed
    } else {
        ExitStatus::Failed(1)
    })
}
