//! Taking over an agent that was on the gateway before its Agent: whether it may be, what of it stays, and which texts are kept. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::api::agent::{AdoptionPolicy, AgentSpec, FileState, FileStatus, Place};
use crate::api::heartbeat::Heartbeat;
use crate::api::{Gateway, reason::Reason};
use crate::plan::{
    admission::Refusal,
    entry::{self, EVERY, HEARTBEAT, Keys},
    mark::Mark,
    render::FileName,
};

/// What a pause notes of an agent that had a heartbeat block without `every`.
const BLOCK_ALONE: &str = "{}";

/// The agent that every gateway runs by itself. A Main is an agent beside it.
const GATEWAYS_OWN: &str = "main";

/// What all texts in one Secret may weigh, in bytes. The API server takes 1 MiB of data; the rest is for names.
pub const MOST_KEPT: usize = 1_000_000;

/// Key under which a checklist is kept. No file of a workspace that is ever overwritten has this name.
pub const CHECKLIST: &str = "HEARTBEAT.md";

/// An agent that is on a gateway without being known as ours.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Its id.
    pub agent_id: &'a str,
    /// Its entry in the roster; null where it has none: the agent that a gateway without a roster runs.
    pub entry: &'a Value,
    /// The mark in its AGENTS.md.
    pub mark: Option<&'a Mark>,
    /// Whether its AGENTS.md could be read, if there is one.
    pub is_readable: bool,
}

/// Judges whether an Agent with this spec, of the Gateway's own namespace or not, may take over what was found.
pub fn judge(
    spec: &AgentSpec,
    found: Found<'_>,
    gateway: &Gateway,
    own_namespace: bool,
) -> Result<(), Refusal> {
    const LEAVE: &str =
        "Remove it there, or delete this Agent and apply it with another spec.agentId";
    let allowed = gateway.spec.allowed_namespaces.as_ref();
    let may_adopt = own_namespace || allowed.is_some_and(|allowed| allowed.adoption);
    let why = if found.mark.is_some() {
        format!(
            "It carries the mark of another Agent, or of another cluster's, and is never taken over. {LEAVE}."
        )
    } else if found.entry.is_null() || found.agent_id == GATEWAYS_OWN {
        "It is the gateway's own and is never taken over. Delete this Agent and apply it with another spec.agentId.".to_owned()
    } else if !found.is_readable {
        format!(
            "The gateway does not read its AGENTS.md, so whose it is cannot be told, and what it holds could not be kept: it is never taken over. {LEAVE}."
        )
    } else if spec.adoption_policy.unwrap_or_default() == AdoptionPolicy::Never {
        format!(
            "It does not carry this Agent's mark. {LEAVE}, or take it over with spec.adoptionPolicy: IfUnmarked."
        )
    } else if !may_adopt {
        format!(
            "From another namespace it is taken over only where the Gateway has spec.allowedNamespaces.adoption: true. Ask its owners for that. {LEAVE}."
        )
    } else {
        return Ok(());
    };
    Err(Refusal {
        reason: Reason::AgentExists,
        message: format!(
            "An agent {:?} is on the gateway already{}. It was not touched. {why}",
            found.agent_id,
            described(found.entry)
        ),
    })
}

/// Why an agent that was made under this id was taken off again at once.
#[must_use]
pub fn marked_workspace(agent_id: &str) -> Refusal {
    Refusal {
        reason: Reason::AgentExists,
        message: format!(
            "The workspace that the gateway has for an agent {agent_id:?} carries the mark of another Agent, or of another cluster's, so that the agent that was made for this Agent was taken off again, and no file was touched. Move that workspace away there, and have it tried again: kubectl annotate oca <name> mission.openclaw.dev/reconcile-now=<anything> --overwrite; or delete this Agent and apply it with another spec.agentId."
        ),
    }
}

/// What an entry says of its agent: never a text of a file.
fn described(entry: &Value) -> String {
    if entry.is_null() {
        return String::new();
    }
    let word = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let name = word(entry.get("name")).map_or_else(
        || "without a name".to_owned(),
        |name| format!("named {name:?}"),
    );
    let model = entry.get("model");
    let model = word(model).or_else(|| word(model?.get("primary")));
    let model = model.map_or_else(
        || "the gateway's default model".to_owned(),
        |model| format!("model {model}"),
    );
    let heartbeat = match entry.get("heartbeat") {
        None | Some(Value::Null) => "no heartbeat of its own".to_owned(),
        Some(heartbeat) => word(heartbeat.get("every")).map_or_else(
            || "a heartbeat of its own".to_owned(),
            |every| format!("a heartbeat every {every}"),
        ),
    };
    format!(": {name}, with {model} and {heartbeat}")
}

/// The keys of an adopted agent that are ours to set: those that the Agent's own spec names. Its workspace stays where it is.
#[must_use]
pub fn named(spec: &AgentSpec, mut keys: Keys) -> Keys {
    keys.retain(|path, _| is_named(spec, path));
    keys
}

/// Whether how often an adopted agent beats is ours to say.
#[must_use]
pub fn names_every(spec: &AgentSpec) -> bool {
    is_named(spec, EVERY)
}

/// What a pause replaces in an agent's entry, and has to give back; none where that is noted already. Also where it is ours: what is
/// declared may not be known any more when the pause ends.
#[must_use]
pub fn replaced_by_pause(place: &Place, entry: &Value) -> Option<String> {
    if place.replaced_every.is_some() {
        return None;
    }
    let block = entry.get(HEARTBEAT).filter(|block| !block.is_null());
    let without = if block.is_some() { BLOCK_ALONE } else { "" };
    let every = block.and_then(|block| block.get("every")?.as_str());
    Some(every.unwrap_or(without).to_owned())
}

/// Whether the roster alone says that an agent does not beat: it has no heartbeat block, and [`others_beat`]. The list of jobs does not say
/// it: right after its start a gateway has not made them yet.
#[must_use]
pub fn cannot_beat(entry: &Value, others_beat: bool) -> bool {
    others_beat && entry.get(HEARTBEAT).is_none_or(Value::is_null)
}

/// Our keys of the first pass after a pause, and which we own besides: what the pause replaced comes back.
pub fn give_back(place: &Place, keys: &mut Keys, own_keys: &mut Vec<String>) {
    let Some(every) = &place.replaced_every else {
        return;
    };
    if !["", BLOCK_ALONE].contains(&every.as_str()) {
        keys.entry(EVERY.to_owned()).or_insert_with(|| json!(every));
    } else if !own_keys.iter().any(|own| own == EVERY) {
        own_keys.push(EVERY.to_owned());
    }
}

/// Whether an adopted agent is to keep a heartbeat block with nothing in it when what is ours of it goes: where a pause found it so, and
/// where the agent would fall silent without one, because [`others_beat`].
#[must_use]
pub fn keeps_empty_block(
    place: &Place,
    keys: &Keys,
    own_keys: &[String],
    entry: &Value,
    others_beat: bool,
) -> bool {
    let in_block = |path: &str| path.starts_with("heartbeat.");
    let is_ours = |key: &String| own_keys.contains(&format!("heartbeat.{key}"));
    let block = entry.get(HEARTBEAT).and_then(Value::as_object);
    let is_emptied = own_keys.iter().any(|path| in_block(path))
        && block.is_some_and(|block| block.keys().all(is_ours))
        && !keys.keys().any(|path| in_block(path));
    let was_empty = place.replaced_every.as_deref() == Some(BLOCK_ALONE);
    place.adopted && is_emptied && (was_empty || others_beat)
}

/// Whether another agent of the roster has a heartbeat block: then those without one are silent.
#[must_use]
pub fn others_beat(roster: Option<&Map<String, Value>>, agent_id: &str) -> bool {
    let mut others = roster.into_iter().flatten();
    others.any(|(id, entry)| {
        id != agent_id && entry.get(HEARTBEAT).is_some_and(|block| !block.is_null())
    })
}

fn is_named(spec: &AgentSpec, path: &str) -> bool {
    let in_heartbeat = |is_set: fn(&Heartbeat) -> bool| spec.heartbeat.as_ref().is_some_and(is_set);
    match path {
        "name" => spec.display_name.is_some(),
        "model" => spec.model.is_some(),
        EVERY => in_heartbeat(|it| it.every.is_some()),
        "heartbeat.target" => in_heartbeat(|it| it.target.is_some()),
        "heartbeat.prompt" => in_heartbeat(|it| it.prompt.is_some()),
        "heartbeat.model" => in_heartbeat(|it| it.model.is_some()),
        "heartbeat.activeHours" => in_heartbeat(|it| it.active_hours.is_some()),
        _ => false,
    }
}

/// Whether the checklist of an adopted agent is ours to write: where the Agent's own spec names one. One that the agent had stays
/// otherwise; where it had none and the spec has it beat, or we wrote one before, it is as of any other agent.
#[must_use]
pub fn writes_checklist(spec: &AgentSpec, is_there: bool, was_written: bool) -> bool {
    let heartbeat = spec.heartbeat.as_ref();
    let names_one = heartbeat.is_some_and(|heartbeat| heartbeat.checklist.is_some());
    let beats = heartbeat.is_some_and(|heartbeat| heartbeat.every.is_some());
    names_one || was_written || beats && !is_there
}

/// Whether what stands in a file of an adopted agent came by us, or was kept before we put ours in its place: what came there since is
/// drift.
#[must_use]
pub fn is_ours(files: &[FileStatus], name: FileName) -> bool {
    let mut files = files.iter();
    files.any(|file| file.name == name.as_str() && file.state == FileState::Synced)
}

/// Old texts by the names under which they are kept.
pub type Kept = BTreeMap<String, Vec<u8>>;

/// What has to be added to what is kept so that each of `texts`, by its file, is in it. Nothing that is kept is ever replaced: another
/// text of the same file gets a name of its own. `None` where all together would be too large.
#[must_use]
pub fn to_keep(kept: &Kept, texts: &[(String, String)]) -> Option<Kept> {
    let mut missing = Kept::new();
    let mut names: BTreeSet<&str> = kept.keys().map(String::as_str).collect();
    let numbered: Vec<_> = texts
        .iter()
        .map(|(file, text)| {
            let mut digest = entry::sha256(text);
            digest.truncate(16);
            (file, format!("{file}.{digest}"), text)
        })
        .collect();
    for (file, other, text) in &numbered {
        let is_kept = |name: &str| kept.get(name).is_some_and(|kept| *kept == text.as_bytes());
        if is_kept(file) || is_kept(other) {
            continue;
        }
        let name = if names.insert(file) { *file } else { other };
        missing.insert(name.clone(), text.as_bytes().to_vec());
    }
    let weigh = |kept: &Kept| -> usize {
        let weights = kept.iter().map(|(name, text)| name.len() + text.len());
        weights.sum()
    };
    (weigh(kept) + weigh(&missing) <= MOST_KEPT).then_some(missing)
}

#[cfg(test)]
mod tests;
