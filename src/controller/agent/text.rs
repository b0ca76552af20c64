//! The Agent's texts: brings ConfigMap contents and renders everything, before the gateway is asked anything.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};
use secrecy::SecretString;

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
        render::{Context as Facts, FileName, Problem, Source, Tail, Text, Wanted, Workspace},
        replacement::{self, TemplatesMap},
    },
};

/// The sources of all texts, with nothing left to look up.
#[derive(Debug)]
pub(super) struct Texts {
    wanted: Vec<Wanted>,
    checklist: Source,
    tail: Tail,
    /// Those that come from a ConfigMap with templates, and whose it is.
    replaced: BTreeMap<Text, String>,
}

/// The mark of this Agent in its AGENTS.md, as far as it tells whose the agent is.
pub(super) fn mark(agent: &Agent, context: &Context) -> Mark {
    Mark {
        cluster_id: context.cluster_id.clone(),
        namespace: agent.namespace().unwrap_or_default(),
        name: agent.name_any(),
        adopted: false,
    }
}

/// Reads the ConfigMaps that the files come from. Answers a judgement where one, or a key of it, is missing.
pub(super) async fn gather(
    agent: &Agent,
    desired: &Desired,
    maps: &[TemplatesMap],
    api_part: Option<SecretString>,
    context: &Context,
) -> Result<Result<Texts, Judgement>, ReconcileError> {
    let replacements = match replacements(agent, maps, context).await? {
        Ok(replacements) => replacements,
        Err(judgement) => return Ok(Err(judgement)),
    };
    let replaced = |text| {
        let (map, source) = replacements.get(&text)?;
        Some((Source::Template(source.clone()), map))
    };
    let mut origins = BTreeMap::new();
    let mut built_in = |text| match replaced(text) {
        Some((source, named_by)) => {
            origins.insert(text, named_by.clone());
            source
        }
        None => Source::BuiltIn,
    };
    let api = Api::<ConfigMap>::namespaced(
        context.clients.request.clone(),
        &agent.namespace().unwrap_or_default(),
    );
    let mut read: BTreeMap<&str, Option<ConfigMap>> = BTreeMap::new();
    let mut wanted = Vec::new();
    for file in &desired.files {
        let source = match &file.source {
            DesiredSource::Text(Source::BuiltIn) => built_in(Text::File(file.name)),
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
    let checklist = desired.heartbeat.checklist.clone();
    let checklist = checklist.map_or_else(|| built_in(Text::Checklist), Source::Verbatim);
    Ok(Ok(Texts {
        wanted,
        checklist,
        replaced: origins,
        tail: Tail {
            api: api_part,
            mark: desired.marked.then(|| Mark {
                adopted: desired.adopted,
                ..mark(agent, context)
            }),
        },
    }))
}

/// The templates that take the place of built-in ones, and who names their ConfigMaps.
async fn replacements(
    agent: &Agent,
    maps: &[TemplatesMap],
    context: &Context,
) -> Result<Result<BTreeMap<Text, (String, String)>, Judgement>, ReconcileError> {
    let mut read = Vec::new();
    for map in maps {
        let api = Api::<ConfigMap>::namespaced(context.clients.request.clone(), &map.namespace);
        match api.get_opt(&map.name).await? {
            Some(config_map) => read.push(config_map.data.unwrap_or_default()),
            None => return Ok(Err(no_templates(agent, map))),
        }
    }
    let find = |text| {
        let (place, source) = replacement::find(text, agent.spec.role, read.iter().map(Some))?;
        let named_by = &maps.get(place)?.named_by;
        Some((text, (named_by.clone(), source.to_owned())))
    };
    Ok(Ok(replacement::replaceable()
        .into_iter()
        .filter_map(find)
        .collect()))
}

/// Says that a ConfigMap with templates is missing. One of another namespace is not named.
fn no_templates(agent: &Agent, map: &TemplatesMap) -> Judgement {
    let which = if Some(&map.namespace) == agent.namespace().as_ref() {
        format!("ConfigMap {}, which {} names", map.name, map.named_by)
    } else {
        format!("The ConfigMap that {} names", map.named_by)
    };
    Judgement::fails(
        FILES_SYNCED,
        Reason::ConfigMapNotFound,
        format!(
            "{which} in templates.configMapRef, does not exist. Nothing was sent; this Agent goes on by itself once it is there."
        ),
    )
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
            .render(facts, &self.wanted, Some(&self.checklist), &self.tail)
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
                let from = self.origins_of(error.problems());
                Judgement::fails(
                    FILES_SYNCED,
                    reason,
                    format!("Nothing was sent. {error}{from}"),
                )
            })
    }

    /// Whose templates the texts are that have a problem, where they are not the Agent's or its Board's own.
    fn origins_of(&self, problems: &[Problem]) -> String {
        let texts: BTreeSet<Text> = problems.iter().filter_map(Problem::text).collect();
        let from = texts.iter().filter_map(|text| {
            let named_by = self.replaced.get(text)?;
            Some(format!("\n{text} comes from the templates of {named_by}."))
        });
        from.collect()
    }
}
