//! Carries out the steps of a plan on the gateway. What was confirmed goes into the record at once; the record itself is
//! written when the pass ends, and what a crash keeps from it shows in the files.

use futures_util::future;

use crate::{
    api::agent::{AgentStatus, ChecklistStatus, FileState, FileStatus},
    controller::agent::observe,
    gateway::{CallError, Link},
    metrics::Metrics,
    plan::{agent::Step, files::Cause, render::FileName},
};

/// What carrying out file and checklist steps brought.
#[derive(Debug, Default)]
pub(super) struct Executed {
    /// Files that somebody else changed between our read and our write; the plan has to be made anew.
    pub(super) conflict: bool,
    /// Names of what was put back after somebody else had changed it.
    pub(super) corrected: Vec<String>,
    /// The first error that is not a conflict; the other steps were tried all the same.
    pub(super) failed: Option<CallError>,
}

impl Executed {
    /// Adds what other steps brought.
    pub(super) fn add(&mut self, other: Self) {
        self.conflict |= other.conflict;
        self.corrected.extend(other.corrected);
        self.failed = self.failed.take().or(other.failed);
    }
}

/// Writes files and checklist, all at once; the link bounds how many are in flight.
pub(super) async fn execute(
    link: &Link,
    agent_id: &str,
    job: Option<&str>,
    steps: Vec<Step>,
    record: &mut AgentStatus,
    metrics: &Metrics,
) -> Executed {
    let outcomes = future::join_all(steps.into_iter().map(|step| async move {
        metrics.plan_step(step.name());
        let file = step.file();
        (file, one(link, agent_id, job, step).await)
    }));
    let mut executed = Executed::default();
    for (file, outcome) in outcomes.await {
        match outcome {
            Ok(Confirmed { what, cause, name }) => {
                if cause == Cause::Drift {
                    executed.corrected.push(name);
                }
                match what {
                    Written::File(status) => remember_file(record, status),
                    Written::Checklist(status) => record.checklist = Some(status),
                }
            }
            Err(CallError::FileConflict { .. } | CallError::ScratchConflict { .. }) => {
                executed.conflict = true;
                // A file of the same size and time can be another one, put back from a backup for instance: the next look has to read it.
                record
                    .files
                    .retain(|known| file.is_none_or(|file| known.name != file.as_str()));
            }
            Err(error) => executed.failed = executed.failed.take().or(Some(error)),
        }
    }
    executed
}

/// Puts the status of one file in place of what was known of it.
pub(super) fn remember_file(record: &mut AgentStatus, status: FileStatus) {
    record.files.retain(|file| file.name != status.name);
    record.files.push(status);
    record.files.sort_by(|a, b| a.name.cmp(&b.name));
}

struct Confirmed {
    what: Written,
    cause: Cause,
    name: String,
}

enum Written {
    File(FileStatus),
    Checklist(ChecklistStatus),
}

async fn one(
    link: &Link,
    agent_id: &str,
    job: Option<&str>,
    step: Step,
) -> Result<Confirmed, CallError> {
    match step {
        Step::WriteFile {
            name,
            text,
            sha256,
            state,
            expected,
            cause,
        } => {
            let status = write_file(
                link,
                agent_id,
                name,
                &text,
                sha256,
                state,
                expected.as_deref(),
            )
            .await?;
            Ok(Confirmed {
                what: Written::File(status),
                cause,
                name: name.to_string(),
            })
        }
        Step::WriteChecklist {
            text,
            sha256,
            expected_revision,
            cause,
        } => {
            let job = job.ok_or_else(|| CallError::JobNotFound {
                message: format!("no heartbeat monitor of {agent_id}"),
            })?;
            let expected = expected_revision.and_then(|revision| u64::try_from(revision).ok());
            let scratch = link.scratch_set(job, Some(&text), expected).await?;
            let revision = i64::try_from(scratch.revision).unwrap_or(i64::MAX);
            Ok(Confirmed {
                what: Written::Checklist(ChecklistStatus { sha256, revision }),
                cause,
                name: "heartbeat checklist".to_owned(),
            })
        }
    }
}

async fn write_file(
    link: &Link,
    agent_id: &str,
    name: FileName,
    text: &str,
    sha256: String,
    state: FileState,
    expected: Option<&str>,
) -> Result<FileStatus, CallError> {
    let file = link
        .files_set(agent_id, name.as_str(), text, expected)
        .await?;
    Ok(FileStatus {
        name: name.to_string(),
        sha256,
        size: observe::size(&file),
        modified: observe::modified(&file),
        state,
    })
}
