//! `bed test`: the whole test suite on one control plane, and what can only be judged when all of it has run.
//!
//! That is the operator's rights: nothing that it asked for was forbidden, and nothing that the chart grants was never used.

use std::{path::Path, process::ExitCode, time::Instant};

use anyhow::Result;

use crate::{
    assembly,
    bed::{
        audit, chart, description,
        install::{self, seconds},
        interrupt::{AtEnd, owning},
        operator,
        process::Start,
        run::Run,
        tools::Tools,
    },
};

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
    if let Some(failed) = cargo_test(run, &["--no-run".to_owned()], arguments, None).await? {
        return Ok(failed);
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
    if let Some(failed) = cargo_test(run, &[], arguments, Some(&path)).await? {
        return Ok(failed);
    }
    eprintln!("tests ran in {}", seconds(began.elapsed()));
    judge_rights(&tools.helm, &base.plane.audit_log(), arguments.is_empty()).await
}

/// Runs `cargo test`; none when it succeeded.
async fn cargo_test(
    run: &Run,
    before: &[String],
    arguments: &[String],
    description: Option<&Path>,
) -> Result<Option<ExitStatus>> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut start = Start::new("cargo-test", Path::new(&program))
        .args(["test", "--locked"])
        .args(before)
        .args(arguments)
        .inherit_env_without(is_set_by_cargo)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    if let Some(description) = description {
        start = start.env(description::ENVIRONMENT_VARIABLE, description);
    }
    let status = start.spawn_in_view(run)?.exited().await?;
    if status.success() {
        return Ok(None);
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(Some(ExitStatus::Failed(code.unwrap_or(1))))
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
