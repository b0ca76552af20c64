//! The Agent's texts: brings ConfigMap contents and renders everything, before the gateway is asked anything.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};

use crate::{
    api::{
        Agent,
        condition::{FILES_SYNCED, Judgement},
        reason::Reason,
        reference::ConfigMapKeyRef,
    },
    controller::{context::Context, runner::ReconcileError},
    plan::{
        desired::{Desired, DesiredSource},
        mark::Mark,
        render::{Context as Facts, FileName, Problem, Source, Wanted, Workspace},
    },
};

/// The sources of all texts, with nothing left to look up.
#[derive(Debug)]
pub(super) struct Texts {
    wanted: Vec<Wanted>,
    checklist: Option<Source>,
    mark: Option<Mark>,
}

/// The mark of this Agent in its AGENTS.md.
pub(super) fn mark(agent: &Agent, context: &Context) -> Mark {
    Mark {
        cluster_id: context.cluster_id.clone(),
        namespace: agent.namespace().unwrap_or_default(),
        name: agent.name_any(),
    }
}

/// Reads the ConfigMaps that the files come from. Answers a judgement where one, or a key of it, is missing.
pub(super) async fn gather(
    agent: &Agent,
    desired: &Desired,
    context: &Context,
) -> Result<Result<Texts, Judgement>, ReconcileError> {
    let api = Api::<ConfigMap>::namespaced(
        context.clients.request.clone(),
        &agent.namespace().unwrap_or_default(),
    );
    let mut read: BTreeMap<&str, Option<ConfigMap>> = BTreeMap::new();
    let mut wanted = Vec::new();
    for file in &desired.files {
        let source = match &file.source {
            DesiredSource::Text(source) => source.clone(),
            DesiredSource::ConfigMap(reference) => {
                if !read.contains_key(reference.name.as_str()) {
                    read.insert(&reference.name, api.get_opt(&reference.name).await?);
                }
                match text_of(
                    file.name,
                    reference,
                    read.get(reference.name.as_str()).and_then(Option::as_ref),
                ) {
                    Ok(text) => Source::Verbatim(text),
                    Err(judgement) => return Ok(Err(judgement)),
                }
            }
        };
        wanted.push(Wanted {
            name: file.name,
            source,
            policy: file.policy,
        });
    }
    let checklist = desired.heartbeat.checklist.clone().map(Source::Verbatim);
    Ok(Ok(Texts {
        wanted,
        checklist,
        mark: desired.marked.then(|| mark(agent, context)),
    }))
}

fn text_of(
    file: FileName,
    reference: &ConfigMapKeyRef,
    config_map: Option<&ConfigMap>,
) -> Result<String, Judgement> {
    let ConfigMapKeyRef { name, key } = reference;
    let missing = |reason, what: String| {
        Judgement::fails(
            FILES_SYNCED,
            reason,
            format!(
                "{file}: {what} Nothing was sent; this Agent goes on by itself once it is there."
            ),
        )
    };
    let config_map = config_map.ok_or_else(|| {
        missing(
            Reason::ConfigMapNotFound,
            format!("ConfigMap {name} does not exist in this namespace."),
        )
    })?;
    let text = config_map.data.as_ref().and_then(|data| data.get(key));
    text.cloned().ok_or_else(|| {
        missing(
            Reason::ConfigMapKeyMissing,
            format!("ConfigMap {name} has no text under key {key:?}."),
        )
    })
}

impl Texts {
    /// Renders all texts and checks their limits. Answers a judgement that names files, lines and variables.
    pub(super) fn render(&self, facts: &Facts, context: &Context) -> Result<Workspace, Judgement> {
        context
            .renderer
            .render(
                facts,
                &self.wanted,
                self.checklist.as_ref(),
                self.mark.as_ref(),
            )
            .map_err(|error| {
                let too_large = error.problems().iter().all(|problem| {
                    matches!(
                        problem,
                        Problem::FileTooLarge { .. } | Problem::TotalTooLarge { .. }
                    )
                });
                let reason = if too_large {
                    Reason::FileTooLarge
                } else {
                    Reason::TemplateError
                };
                Judgement::fails(FILES_SYNCED, reason, format!("Nothing was sent. {error}"))
            })
    }
}
