//! What templates may speak of: the facts about an agent, its board, its gateway and its user, and the variables made of them.
//!
//! No secret is here and none may come: every field can end up in a file, and users write the templates.

use std::collections::BTreeMap;

use super::FileName;
use crate::api::agent::Role;

/// What becomes of the files once they are written. It follows from what is wanted, and not from who the agent is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Upkeep {
    /// Whether AGENTS.md tells of the operator's API: where it does not, no text may send the agent there.
    pub(super) api_told: bool,
    /// The files that are put back.
    pub(super) enforced: Vec<FileName>,
}

/// The facts about one agent. An absent text is the empty string.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// The display name.
    pub agent_name: String,
    /// The id on the gateway, `status.agentId`.
    pub agent_id: String,
    /// What the agent is.
    pub role: Role,
    /// The Kubernetes namespace of the `Agent`.
    pub namespace: String,
    /// The board, for agents that have one.
    pub board: Option<BoardContext>,
    /// The name of the `Gateway` object.
    pub gateway_name: String,
    /// The agent's main session, `agent:<agentId>:main`.
    pub session_key: String,
    /// The session of the gateway's main agent, where there is one.
    pub main_session_key: String,
    /// `spec.workspaceRoot` of the Gateway, as written there.
    pub workspace_root: String,
    /// The agent's workspace on the gateway's machine.
    pub workspace_path: String,
    /// Where agents call the operator; empty while it serves nothing for them.
    pub base_url: String,
    /// The person the agent works for.
    pub user: UserContext,
    /// How the agent presents itself.
    pub identity: IdentityContext,
}

/// The facts about a board.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BoardContext {
    /// The name of the `Board` object.
    pub id: String,
    /// The display name.
    pub name: String,
    /// The display name of the agent that leads it; empty where nobody does.
    pub lead_name: String,
    /// `goal` or `general`.
    pub kind: String,
    /// What the board is about.
    pub description: String,
    /// What a goal board is to reach.
    pub objective: String,
    /// How success is measured: a JSON object.
    pub success_metrics: Option<serde_json::Value>,
    /// An ISO 8601 date.
    pub target_date: String,
    /// Whether a person confirmed the goal.
    pub goal_confirmed: bool,
    /// What holds for everybody on the board.
    pub rules: BoardRules,
}

/// The rules of a board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "five independent switches, as users write them"
)]
pub struct BoardRules {
    /// Work is done only when a person approved it.
    pub require_approval_for_done: bool,
    /// Work is done only after a review.
    pub require_review_before_done: bool,
    /// A review needs a comment.
    pub comment_required_for_review: bool,
    /// While an approval is pending the status stays.
    pub block_status_changes_with_pending_approval: bool,
    /// Nobody but the lead changes a status.
    pub only_lead_can_change_status: bool,
    /// How many workers the board takes; absent: no limit.
    pub max_agents: Option<u32>,
}

/// The person an agent works for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserContext {
    /// The full name.
    pub name: String,
    /// What to call them.
    pub preferred_name: String,
    /// Their pronouns.
    pub pronouns: String,
    /// Their time zone, `Europe/Berlin` for instance.
    pub timezone: String,
    /// Anything worth knowing.
    pub notes: String,
    /// What they are working on.
    pub context: String,
}

/// How an agent presents itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityContext {
    /// What the agent is, `Analyst` for instance.
    pub role: String,
    /// How it writes.
    pub communication_style: String,
    /// Its emoji, or the short name of one.
    pub emoji: String,
    /// How much it may decide alone.
    pub autonomy_level: String,
    /// How much it writes.
    pub verbosity: String,
    /// In which form it answers.
    pub output_format: String,
    /// How often it reports.
    pub update_cadence: String,
    /// What it is for.
    pub purpose: String,
    /// Its character.
    pub personality: String,
    /// Anything else it is told.
    pub custom_instructions: String,
}

impl IdentityContext {
    /// Fills in the role, style and emoji that an agent has where nobody says otherwise, and a lead's purpose; as Mission Control does.
    #[must_use]
    pub fn with_defaults(mut self, role: Role) -> Self {
        let (is, purpose) = match role {
            Role::Worker => ("Generalist", ""),
            Role::Lead => (
                "Board Lead",
                "Turn the goal of the board into work, hand it out, and see it through.",
            ),
            Role::Main => ("Gateway Agent", ""),
        };
        for (field, default) in [
            (&mut self.role, is),
            (&mut self.communication_style, "direct, concise, practical"),
            (&mut self.emoji, ":gear:"),
            (&mut self.purpose, purpose),
        ] {
            if field.trim().is_empty() {
                default.clone_into(field);
            }
        }
        self
    }
}

impl Context {
    /// Every variable and its text. Booleans are `true` or `false`; what is absent is empty.
    pub(super) fn variables(&self, upkeep: &Upkeep) -> BTreeMap<&'static str, String> {
        let text = Clone::clone;
        let enforced: Vec<&str> = upkeep.enforced.iter().map(|name| name.as_str()).collect();
        let user = &self.user;
        let identity = &self.identity;
        let mut variables = BTreeMap::from([
            ("agent_name", text(&self.agent_name)),
            ("agent_id", text(&self.agent_id)),
            ("role", self.role.as_str().to_owned()),
            ("is_board_lead", (self.role == Role::Lead).to_string()),
            ("is_main_agent", (self.role == Role::Main).to_string()),
            ("namespace", text(&self.namespace)),
            ("gateway_name", text(&self.gateway_name)),
            ("session_key", text(&self.session_key)),
            ("main_session_key", text(&self.main_session_key)),
            ("workspace_root", text(&self.workspace_root)),
            ("workspace_path", text(&self.workspace_path)),
            ("base_url", text(&self.base_url)),
            ("api_told", upkeep.api_told.to_string()),
            ("enforced_files", enforced.join(", ")),
            ("user_name", text(&user.name)),
            ("user_preferred_name", text(&user.preferred_name)),
            ("user_pronouns", text(&user.pronouns)),
            ("user_timezone", text(&user.timezone)),
            ("user_notes", text(&user.notes)),
            ("user_context", text(&user.context)),
            ("identity_role", text(&identity.role)),
            (
                "identity_communication_style",
                text(&identity.communication_style),
            ),
            ("identity_emoji", text(&identity.emoji)),
            ("identity_autonomy_level", text(&identity.autonomy_level)),
            ("identity_verbosity", text(&identity.verbosity)),
            ("identity_output_format", text(&identity.output_format)),
            ("identity_update_cadence", text(&identity.update_cadence)),
            ("identity_purpose", text(&identity.purpose)),
            ("identity_personality", text(&identity.personality)),
            (
                "identity_custom_instructions",
                text(&identity.custom_instructions),
            ),
        ]);
        variables.extend(board_variables(self.board.as_ref()));
        variables
    }
}

/// Variables that hold `true` or `false`; those of the board are empty where there is none. A bare one as a condition would be
/// true for `false` too, which is why the syntax check asks for a comparison.
pub(super) const BOOLEANS: [&str; 9] = [
    "is_board_lead",
    "is_main_agent",
    "api_told",
    "board_goal_confirmed",
    "board_rule_require_approval_for_done",
    "board_rule_require_review_before_done",
    "board_rule_comment_required_for_review",
    "board_rule_block_status_changes_with_pending_approval",
    "board_rule_only_lead_can_change_status",
];

fn board_variables(board: Option<&BoardContext>) -> [(&'static str, String); 15] {
    let text = |field: fn(&BoardContext) -> &String| board.map(field).cloned().unwrap_or_default();
    let switch = |field: fn(&BoardContext) -> bool| {
        board
            .map(|board| field(board).to_string())
            .unwrap_or_default()
    };
    [
        ("board_id", text(|board| &board.id)),
        ("board_name", text(|board| &board.name)),
        ("board_lead_name", text(|board| &board.lead_name)),
        ("board_type", text(|board| &board.kind)),
        ("board_description", text(|board| &board.description)),
        ("board_objective", text(|board| &board.objective)),
        (
            "board_success_metrics",
            board
                .and_then(|board| board.success_metrics.clone())
                .map(sorted_json)
                .unwrap_or_default(),
        ),
        ("board_target_date", text(|board| &board.target_date)),
        ("board_goal_confirmed", switch(|board| board.goal_confirmed)),
        (
            "board_rule_require_approval_for_done",
            switch(|board| board.rules.require_approval_for_done),
        ),
        (
            "board_rule_require_review_before_done",
            switch(|board| board.rules.require_review_before_done),
        ),
        (
            "board_rule_comment_required_for_review",
            switch(|board| board.rules.comment_required_for_review),
        ),
        (
            "board_rule_block_status_changes_with_pending_approval",
            switch(|board| board.rules.block_status_changes_with_pending_approval),
        ),
        (
            "board_rule_only_lead_can_change_status",
            switch(|board| board.rules.only_lead_can_change_status),
        ),
        (
            "board_rule_max_agents",
            board
                .and_then(|board| board.rules.max_agents)
                .map(|limit| limit.to_string())
                .unwrap_or_default(),
        ),
    ]
}

/// JSON on one line with sorted keys, whatever order a crate feature gives `serde_json`'s maps: the text must not
/// change while the object does not.
fn sorted_json(mut value: serde_json::Value) -> String {
    value.sort_all_objects();
    value.to_string()
}
