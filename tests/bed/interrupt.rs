//! Ctrl-C, SIGTERM and panics: whatever ends the owner of a run ends the run.
//!
//! A future cannot await in its destructor, so the owner's work runs inside [`owning`], which stops everything before it
//! gives the result on.

use std::panic::AssertUnwindSafe;

use anyhow::{Context, Result, anyhow};
use futures_util::FutureExt as _;
use tokio::signal::unix::{SignalKind, signal};

use super::run::Run;

/// What becomes of a run's processes when the work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// All are stopped.
    Stop,
    /// They stay when the work succeeded, and are stopped when it failed.
    KeepOnSuccess,
}

/// Waits for Ctrl-C or SIGTERM and says which.
async fn interrupted() -> Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "Ctrl-C",
        _ = terminate.recv() => "SIGTERM",
    })
}

/// Does `work` as the owner of `run`.
pub(crate) async fn owning<T>(
    run: &Run,
    at_end: AtEnd,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let result = tokio::select! {
        done = AssertUnwindSafe(work).catch_unwind() => done.unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no text");
            Err(anyhow!("the bed panicked: {text}"))
        }),
        signal = interrupted() => Err(anyhow!("ended by {}", signal?)),
    };
    if result.is_err() || at_end == AtEnd::Stop {
        let killed = run.stop_all().await?;
        if !killed.is_empty() {
            eprintln!("had to kill: {}", killed.join(", "));
        }
    }
    result
}
