//! What an Agent is to be: its own spec over its Board's over its Gateway's over the built-in default, field by field.
//!
//! Pure. ConfigMap texts are only named here; the caller brings them, and says who else has a role.

use serde_json::Value;

use crate::api::{
    Agent, Board, Gateway,
    agent::Role,
    board::BoardType,
    file::{FilePolicy, FileSpec},
    heartbeat::{ActiveHours, Heartbeat},
    identity::Identity,
    reference::ConfigMapKeyRef,
    user::UserProfile,
};
use crate::plan::{
    agent_id,
    owned::InRole,
    render::{
        BoardContext, BoardRules, Context, FileName, IdentityContext, Policy, Source, UserContext,
    },
};

/// How often an agent beats where nobody says otherwise (Mission Control's default).
const DEFAULT_EVERY: &str = "10m";
/// Where a beat's answer goes where nobody says otherwise: nowhere, so that no channel is spammed by default.
const DEFAULT_TARGET: &str = "none";

/// What one Agent is to be on its gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Id on the gateway.
    pub agent_id: String,
    /// `name` of the entry.
    pub display_name: String,
    /// Model, if anybody names one.
    pub model: Option<String>,
    /// Workspace, if the Gateway has a `workspaceRoot`.
    pub workspace: Option<String>,
    /// The heartbeat in effect.
    pub heartbeat: EffectiveHeartbeat,
    /// The files that are wanted, in the order of [`FileName`]; ignored ones are left out.
    pub files: Vec<DesiredFile>,
    /// Those that are ignored.
    pub ignored: Vec<FileName>,
    /// Whether the ownership mark is written: only where AGENTS.md is ours to write.
    pub marked: bool,
    /// Whether the mark tells that the agent was there before. Nothing that is declared says so.
    pub adopted: bool,
    /// The facts that templates may speak of.
    pub context: Context,
}

/// A heartbeat with nothing left to inherit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveHeartbeat {
    /// Time between two beats; `0m` switches them off.
    pub every: String,
    /// Where a beat's answer goes.
    pub target: String,
    /// Prompt of a beat, if not the gateway's own.
    pub prompt: Option<String>,
    /// Model of a beat, if not the agent's.
    pub model: Option<String>,
    /// When beats are allowed, if not always.
    pub active_hours: Option<ActiveHours>,
    /// Checklist, verbatim, if not the built-in one.
    pub checklist: Option<String>,
}

/// One wanted file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredFile {
    /// Its name.
    pub name: FileName,
    /// What happens to it after it was written.
    pub policy: Policy,
    /// Where its text comes from.
    pub source: DesiredSource,
}

/// Where a text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DesiredSource {
    /// At hand.
    Text(Source),
    /// In a ConfigMap of the Agent's namespace; verbatim.
    ConfigMap(ConfigMapKeyRef),
}

/// Merges what `agent`, its `board` and its `gateway` say. `agent_id` is the id it has or will have.
#[must_use]
pub fn desired(
    agent: &Agent,
    board: Option<&Board>,
    gateway: &Gateway,
    agent_id: String,
) -> Desired {
    let defaults = board.and_then(|board| board.spec.agent_defaults.as_ref());
    let display_name = agent
        .spec
        .display_name
        .clone()
        .unwrap_or_else(|| name(agent.metadata.name.as_ref()));
    let model = agent
        .spec
        .model
        .clone()
        .or_else(|| defaults.and_then(|defaults| defaults.model.clone()));
    let heartbeat = heartbeat(&[
        agent.spec.heartbeat.as_ref(),
        defaults.and_then(|defaults| defaults.heartbeat.as_ref()),
        gateway.spec.heartbeat.as_ref(),
    ]);
    let workspace = gateway
        .spec
        .workspace_root
        .as_deref()
        .map(|root| agent_id::workspace(root, &agent_id));
    let own_files = &agent.spec.files;
    let board_files = defaults.map_or(&[][..], |defaults| defaults.files.as_slice());
    let files = files(agent.spec.role, own_files, board_files);
    let ignored = FileName::ALL
        .into_iter()
        .filter(|name| policy_of(*name, &[own_files, board_files]) == Some(Policy::Ignore))
        .collect();
    let context = Context {
        agent_name: display_name.clone(),
        agent_id: agent_id.clone(),
        role: agent.spec.role,
        namespace: name(agent.metadata.namespace.as_ref()),
        board: board.map(board_context),
        gateway_name: name(gateway.metadata.name.as_ref()),
        session_key: agent_id::session_key(&agent_id),
        main_session_key: String::new(),
        workspace_root: gateway.spec.workspace_root.clone().unwrap_or_default(),
        workspace_path: workspace.clone().unwrap_or_default(),
        base_url: String::new(),
        user: user(&[
            board.and_then(|board| board.spec.user.as_ref()),
            gateway.spec.user.as_ref(),
        ]),
        identity: identity(&[
            agent.spec.identity.as_ref(),
            defaults.and_then(|defaults| defaults.identity.as_ref()),
        ])
        .with_defaults(agent.spec.role),
    };
    Desired {
        agent_id,
        display_name,
        model,
        workspace,
        heartbeat,
        marked: files.iter().any(|file| file.name == FileName::Agents),
        adopted: false,
        files,
        ignored,
        context,
    }
}

impl Desired {
    /// Tells the texts who leads the Board, and who is the Gateway's main agent.
    pub fn name_others(&mut self, lead: Option<InRole>, main: Option<InRole>) {
        if let (Some(board), Some(lead)) = (&mut self.context.board, lead) {
            board.lead_name = lead.display_name;
        }
        if let Some(main) = main {
            self.context.main_session_key = agent_id::session_key(&main.agent_id);
        }
    }
}

/// The first of `layers` in which `field` is set, the most specific layer first.
fn first<L, T: Clone>(layers: &[Option<&L>], field: impl Fn(&L) -> Option<&T>) -> Option<T> {
    layers
        .iter()
        .flatten()
        .find_map(|layer| field(layer).cloned())
}

fn heartbeat(layers: &[Option<&Heartbeat>]) -> EffectiveHeartbeat {
    EffectiveHeartbeat {
        every: first(layers, |h| h.every.as_ref()).unwrap_or_else(|| DEFAULT_EVERY.to_owned()),
        target: first(layers, |h| h.target.as_ref()).unwrap_or_else(|| DEFAULT_TARGET.to_owned()),
        prompt: first(layers, |h| h.prompt.as_ref()),
        model: first(layers, |h| h.model.as_ref()),
        active_hours: first(layers, |h| h.active_hours.as_ref()),
        checklist: first(layers, |h| h.checklist.as_ref()),
    }
}

fn user(layers: &[Option<&UserProfile>]) -> UserContext {
    let text =
        |field: fn(&UserProfile) -> Option<&String>| first(layers, field).unwrap_or_default();
    UserContext {
        name: text(|u| u.name.as_ref()),
        preferred_name: text(|u| u.preferred_name.as_ref()),
        pronouns: text(|u| u.pronouns.as_ref()),
        timezone: text(|u| u.timezone.as_ref()),
        notes: text(|u| u.notes.as_ref()),
        context: text(|u| u.context.as_ref()),
    }
}

fn identity(layers: &[Option<&Identity>]) -> IdentityContext {
    let text = |field: fn(&Identity) -> Option<&String>| first(layers, field).unwrap_or_default();
    IdentityContext {
        role: text(|i| i.role.as_ref()),
        communication_style: text(|i| i.communication_style.as_ref()),
        emoji: text(|i| i.emoji.as_ref()),
        autonomy_level: text(|i| i.autonomy_level.as_ref()),
        verbosity: text(|i| i.verbosity.as_ref()),
        output_format: text(|i| i.output_format.as_ref()),
        update_cadence: text(|i| i.update_cadence.as_ref()),
        purpose: text(|i| i.purpose.as_ref()),
        personality: text(|i| i.personality.as_ref()),
        custom_instructions: text(|i| i.custom_instructions.as_ref()),
    }
}

/// The policy that is given to a file, by the most specific of `layers` that gives one.
fn policy_of(name: FileName, layers: &[&[FileSpec]]) -> Option<Policy> {
    let entries = layers.iter().flat_map(|files| files.iter());
    let mut entries = entries.filter(|file| file.name == name.as_str());
    entries.find_map(|file| file.policy).map(policy)
}

/// Text and policy are inherited apart: an entry with only a policy keeps the text it would have had.
fn files(role: Role, agent: &[FileSpec], board: &[FileSpec]) -> Vec<DesiredFile> {
    let find = |files: &[FileSpec], name: FileName| {
        files
            .iter()
            .find(|file| file.name == name.as_str())
            .cloned()
    };
    FileName::ALL
        .into_iter()
        .filter_map(|name| {
            let layers = [find(agent, name), find(board, name)];
            let source = layers.iter().flatten().find_map(source).or_else(|| {
                name.has_built_in()
                    .then_some(DesiredSource::Text(Source::BuiltIn))
            })?;
            let policy =
                policy_of(name, &[agent, board]).unwrap_or_else(|| name.default_policy(role));
            (policy != Policy::Ignore).then_some(DesiredFile {
                name,
                policy,
                source,
            })
        })
        .collect()
}

fn source(file: &FileSpec) -> Option<DesiredSource> {
    let text = |text: &Option<String>, of: fn(String) -> Source| {
        text.clone().map(|text| DesiredSource::Text(of(text)))
    };
    text(&file.content, Source::Verbatim)
        .or_else(|| text(&file.template, Source::Template))
        .or_else(|| {
            file.config_map_key_ref
                .clone()
                .map(DesiredSource::ConfigMap)
        })
}

fn policy(policy: FilePolicy) -> Policy {
    match policy {
        FilePolicy::Enforce => Policy::Enforce,
        FilePolicy::Seed => Policy::Seed,
        FilePolicy::Ignore => Policy::Ignore,
    }
}

fn board_context(board: &Board) -> BoardContext {
    let spec = &board.spec;
    let id = name(board.metadata.name.as_ref());
    let rules = spec.rules.clone().unwrap_or_default();
    BoardContext {
        name: spec.display_name.clone().unwrap_or_else(|| id.clone()),
        lead_name: String::new(),
        id,
        kind: match spec.type_ {
            Some(BoardType::Goal) => "goal",
            Some(BoardType::General) | None => "general",
        }
        .to_owned(),
        description: spec.description.clone().unwrap_or_default(),
        objective: spec.objective.clone().unwrap_or_default(),
        success_metrics: spec
            .success_metrics
            .clone()
            .map(|metrics| Value::Object(metrics.into_iter().collect())),
        target_date: spec.target_date.clone().unwrap_or_default(),
        goal_confirmed: spec.goal_confirmed.unwrap_or_default(),
        rules: BoardRules {
            // The one rule that holds unless somebody lifts it, as in Mission Control.
            require_approval_for_done: rules.require_approval_for_done.unwrap_or(true),
            require_review_before_done: rules.require_review_before_done.unwrap_or_default(),
            comment_required_for_review: rules.comment_required_for_review.unwrap_or_default(),
            block_status_changes_with_pending_approval: rules
                .block_status_changes_with_pending_approval
                .unwrap_or_default(),
            only_lead_can_change_status: rules.only_lead_can_change_status.unwrap_or_default(),
            max_agents: spec.max_agents.and_then(|most| u32::try_from(most).ok()),
        },
    }
}

fn name(name: Option<&String>) -> String {
    name.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests;
