//! The Agent's texts: brings ConfigMap contents and renders everything, before the gateway is asked anything.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};
use secrecy::SecretString;

use crate::{
    api::{
        Agent, AgentStatus,
        condition::{self, FILES_SYNCED, Judgement},
        reason::Reason,
        reference::ConfigMapKeyRef,
    },
    controller::{context::Context, runner::ReconcileError},
    plan::{
        desired::{Desired, DesiredSource},
        mark::Mark,
        render::{Context as Facts, FileName, Problem, Source, Tail, Text, Wanted, Workspace},
        replacement::{self, TemplatesMap},
        sources::{self, Data, MapName, Sources},
    },
};

/// All texts, with nothing left to look up.
#[derive(Debug)]
pub(super) struct Texts {
    wanted: Vec<Wanted>,
    checklist: Source,
    tail: Tail,
    /// Those that come from a ConfigMap with templates, and whose it is.
    replaced: BTreeMap<Text, String>,
    /// Those that stand in other objects than the Agent.
    elsewhere: BTreeSet<Text>,
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
    let uid = agent.uid().unwrap_or_default();
    // A change that comes while they are read is one that this Agent has not seen.
    context.texts.forget(&uid);
    let templates = match templates(agent, maps, context).await? {
        Ok(templates) => templates,
        Err(judgement) => return Ok(Err(judgement)),
    };
    let (mut sources, mut replaced, mut elsewhere) =
        (Sources::default(), BTreeMap::new(), BTreeSet::new());
    let mut built_in = |text, sources: &mut Sources| {
        let found = replacement::find(text, agent.spec.role, &templates, sources);
        let Some((place, source)) = found else {
            return Source::BuiltIn;
        };
        replaced.extend(maps.get(place).map(|map| (text, map.named_by.clone())));
        Source::Template(source.to_owned())
    };
    let namespace = agent.namespace().unwrap_or_default();
    let api = Api::<ConfigMap>::namespaced(context.clients.request.clone(), &namespace);
    let mut read: BTreeMap<&str, Option<Data>> = BTreeMap::new();
    let mut wanted = Vec::new();
    for file in &desired.files {
        let text = Text::File(file.name);
        let source = match &file.source {
            DesiredSource::Text(Source::BuiltIn) => built_in(text, &mut sources),
            DesiredSource::Text(source) => {
                if !is_own(agent, file.name) {
                    elsewhere.insert(text);
                }
                source.clone()
            }
            DesiredSource::ConfigMap(reference) => {
                if !read.contains_key(reference.name.as_str()) {
                    let map = api.get_opt(&reference.name).await?;
                    read.insert(&reference.name, map.map(|map| map.data.unwrap_or_default()));
                }
                elsewhere.insert(text);
                let map = (namespace.clone(), reference.name.clone());
                let data = read.get(reference.name.as_str()).and_then(Option::as_ref);
                let found = match data {
                    Some(data) => sources.look_up(&map, &reference.key, data),
                    None => return Ok(Err(no_config_map(file.name, reference))),
                };
                match found {
                    Some(text) => Source::Verbatim(text.to_owned()),
                    None => return Ok(Err(no_key(file.name, reference))),
                }
            }
        };
        wanted.push(Wanted {
            name: file.name,
            source,
            policy: file.policy,
        });
    }
    let checklist = match desired.heartbeat.checklist.clone() {
        Some(checklist) => {
            let own = agent.spec.heartbeat.as_ref();
            if own.is_none_or(|own| own.checklist.is_none()) {
                elsewhere.insert(Text::Checklist);
            }
            Source::Verbatim(checklist)
        }
        None => built_in(Text::Checklist, &mut sources),
    };
    elsewhere.extend(replaced.keys());
    context.texts.set(&uid, sources);
    Ok(Ok(Texts {
        wanted,
        checklist,
        replaced,
        elsewhere,
        tail: Tail {
            api: api_part,
            mark: desired.marked.then(|| Mark {
                adopted: desired.adopted,
                ..mark(agent, context)
            }),
        },
    }))
}

/// Whether the status says that texts are missing or cannot be used.
pub(super) fn is_refused(status: &AgentStatus) -> bool {
    let said = condition::find(&status.conditions, FILES_SYNCED);
    let reason = said.and_then(|said| Reason::parse(&said.reason));
    matches!(
        reason,
        Some(
            Reason::ConfigMapNotFound
                | Reason::ConfigMapKeyMissing
                | Reason::TextSourceError
                | Reason::TemplateError
                | Reason::FileTooLarge
        )
    )
}

/// Whether the text of the file stands in the Agent's own spec.
fn is_own(agent: &Agent, name: FileName) -> bool {
    let mut own = agent.spec.files.iter();
    own.any(|file| {
        file.name == name.as_str() && (file.content.is_some() || file.template.is_some())
    })
}

/// What the ConfigMaps with templates hold.
async fn templates(
    agent: &Agent,
    maps: &[TemplatesMap],
    context: &Context,
) -> Result<Result<Vec<(MapName, Data)>, Judgement>, ReconcileError> {
    let mut read = Vec::new();
    for map in maps {
        let api = Api::<ConfigMap>::namespaced(context.clients.request.clone(), &map.namespace);
        let Some(there) = api.get_opt(&map.name).await? else {
            return Ok(Err(no_templates(agent, map)));
        };
        let name = (map.namespace.clone(), map.name.clone());
        read.push((name, there.data.unwrap_or_default()));
    }
    Ok(Ok(read))
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

fn no_config_map(file: FileName, reference: &ConfigMapKeyRef) -> Judgement {
    let what = format!(
        "ConfigMap {} does not exist in this namespace",
        reference.name
    );
    no_text(Reason::ConfigMapNotFound, file, &what)
}

fn no_key(file: FileName, reference: &ConfigMapKeyRef) -> Judgement {
    let ConfigMapKeyRef { name, key } = reference;
    let what = format!("ConfigMap {name} has no text under key {key:?}");
    no_text(Reason::ConfigMapKeyMissing, file, &what)
}

fn no_text(reason: Reason, file: FileName, what: &str) -> Judgement {
    let message =
        format!("{file}: {what}. Nothing was sent; this Agent goes on by itself once it is there.");
    Judgement::fails(FILES_SYNCED, reason, message)
}

impl Texts {
    /// Renders all texts and checks their limits. Answers a judgement that names files, lines and variables.
    pub(super) fn render(&self, facts: &Facts, context: &Context) -> Result<Workspace, Judgement> {
        context
            .renderer
            .render(facts, &self.wanted, Some(&self.checklist), &self.tail)
            .map_err(|error| {
                let reason = sources::reason(error.problems(), &self.elsewhere);
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
