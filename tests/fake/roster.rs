//! `agents.list`, `agents.create` and `agents.delete`.

use serde_json::{Map, Value, json};

use super::document::{entries, pin_first};
use super::refusal::{agent_not_found, invalid, unavailable};
use super::state::State;

/// An agent's own id is at most this long.
const LONGEST_ID: usize = 64;

impl State {
    /// The agents of the running gateway, `main` first.
    pub(super) fn agents_list(&self) -> Value {
        let running = entries(&self.running);
        let mut agents: Vec<Value> = running
            .into_iter()
            .flatten()
            .map(|(id, entry)| self.row(id, entry))
            .collect();
        agents.sort_by_key(|row| row["id"] != "main");
        let ownership = if agents.len() > 1 { "explicit" } else { "sole" };
        json!({
            "defaultId": agents.first().map(|row| row["id"].clone()),
            "ownership": ownership, "selectionRequired": false, "mainKey": "main", "scope": "per-sender",
            "agents": agents,
        })
    }

    fn row(&self, id: &str, entry: &Value) -> Value {
        let mut row = json!({
            "id": id,
            "workspace": self.workspace_of(id, entry),
            "workspaceGit": false,
            "agentRuntime": {"id": "auto", "cloudPlacementSupported": false, "devicePlacementSupported": false, "source": "implicit"},
            "thinkingLevels": [{"id": "off", "label": "off"}], "thinkingOptions": ["off"], "thinkingDefault": "off",
            "model": {"primary": "fake/fake-1"}, "defaultPermissionMode": "full",
        });
        if let Some(name) = entry.get("name") {
            row["name"] = name.clone();
        }
        row
    }

    /// The workspace of an agent with this entry.
    pub(super) fn workspace_of(&self, id: &str, entry: &Value) -> String {
        let default = if id == "main" {
            format!("{}/workspace", self.home)
        } else {
            format!("{}/workspace-{id}", self.home)
        };
        entry["workspace"].as_str().map_or(default, str::to_owned)
    }

    /// The workspace of an agent of the running gateway.
    pub(super) fn workspace(&self, id: &str) -> Option<String> {
        let entry = entries(&self.running)?.get(id)?;
        Some(self.workspace_of(id, entry))
    }

    pub(super) fn agents_create(&mut self, params: &Map<String, Value>) -> Result<Value, Value> {
        let text = |name: &str| params.get(name).and_then(Value::as_str);
        let name = text("name").unwrap_or_default();
        let id = normalised(name);
        if id.is_empty() {
            return Err(invalid(format!(
                "Agent name \"{name}\" has no valid id characters. Use at least one letter a-z or digit."
            )));
        }
        if id == "openclaw" {
            return Err(invalid("\"openclaw\" is reserved"));
        }
        // It takes the id back before it looks whether there is something to create.
        self.deleted.remove(&id);
        if self
            .document
            .entries()
            .is_some_and(|roster| roster.contains_key(&id))
        {
            return Err(invalid(format!("agent \"{id}\" already exists")));
        }
        let workspace =
            text("workspace").map_or_else(|| self.workspace_of(&id, &Value::Null), str::to_owned);
        if workspace.starts_with("/dev/null/") {
            return Err(unavailable(format!(
                "StartupMaintenanceRequiredError: Legacy workspace setup state requires migration for {workspace}; run openclaw \
                 doctor --fix.: code=gateway.maintenance_required"
            )));
        }
        let mut entry = json!({
            "name": name, "workspace": workspace, "agentDir": format!("{}/agents/{id}/agent", self.home),
            "identity": {"name": name},
        });
        let mut answer = json!({"ok": true, "agentId": id, "name": name, "workspace": workspace});
        if let Some(model) = text("model") {
            entry["model"] = json!(model);
            answer["model"] = json!(model);
        }
        let home = self.home.clone();
        self.document.edit(|parsed| {
            let agents = &mut parsed["agents"];
            agents["entries"][&id] = entry;
            if entries(parsed).is_some_and(|roster| roster.len() == 2) {
                parsed["agents"]["ownership"] = json!("explicit");
                pin_first(parsed, &home);
            }
        });
        if self.document.parsed()["agents"]["defaults"]["skipBootstrap"] != true {
            self.fill(&workspace);
        }
        Ok(answer)
    }

    pub(super) fn agents_delete(&mut self, params: &Map<String, Value>) -> Result<Value, Value> {
        let id = params
            .get("agentId")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if id == "main" {
            return Err(invalid(format!(
                "Agent \"{id}\" owns the legacy shared auth store and cannot be deleted. Run openclaw doctor --fix to migrate shared \
                 auth, then retry."
            )));
        }
        let Some(roster) = self.document.entries() else {
            return Err(agent_not_found(id));
        };
        let Some(entry) = roster.get(id) else {
            return Err(agent_not_found(id));
        };
        if roster.len() == 1 {
            return Err(invalid(format!(
                "Agent \"{id}\" is the only configured agent and cannot be deleted."
            )));
        }
        let workspace = self.workspace_of(id, entry);
        let with_files = params.get("deleteFiles") != Some(&Value::Bool(false));
        let mut removed = Vec::new();
        if with_files {
            self.files.remove(&workspace);
            removed.push(json!({"path": workspace, "method": "trash"}));
        }
        let id = id.to_owned();
        self.jobs.remove(&id);
        self.forget_sessions(&id);
        self.deleted.insert(id.clone());
        self.document.edit(|parsed| {
            if let Some(roster) = parsed["agents"]["entries"].as_object_mut() {
                roster.remove(&id);
                if roster.len() == 1
                    && let Some(agents) = parsed["agents"].as_object_mut()
                {
                    agents.remove("ownership");
                }
            }
        });
        Ok(
            json!({"ok": true, "agentId": id, "removedBindings": 0, "removed": removed, "failed": []}),
        )
    }
}

/// The id that the gateway makes of a name.
fn normalised(name: &str) -> String {
    let mut id = String::new();
    for letter in name.trim().chars().flat_map(char::to_lowercase) {
        if letter.is_ascii_alphanumeric() || letter == '_' || letter == '-' {
            id.push(letter);
        } else if !id.ends_with('-') {
            id.push('-');
        }
    }
    let id: String = id.trim_matches('-').chars().take(LONGEST_ID).collect();
    id
}
