//! A gateway as far as one agent sees it, and the controller's rounds over it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::*;
use crate::api::reference::GatewayName;
use crate::plan::entry::sha256;

/// `clock` stands for modification times.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Model {
    pub(super) entry: Option<Value>,
    pub(super) files: BTreeMap<FileName, (String, i64)>,
    /// Whether the heartbeat has a monitor, which is what holds a checklist.
    pub(super) monitor: bool,
    pub(super) checklist: Option<(String, i64)>,
    pub(super) skip_bootstrap: bool,
    pub(super) clock: i64,
}

impl Model {
    pub(super) fn see(&self, reads: &BTreeSet<FileName>) -> Seen {
        let file = |name: FileName| {
            let there = self.files.get(&name);
            let listed = match there {
                _ if name == FileName::Identity => Listed::No,
                None => Listed::Missing,
                Some((text, modified)) => Listed::Present {
                    size: size(text),
                    modified: Some(*modified),
                },
            };
            let read = reads.contains(&name).then(|| match there {
                None => Read::Missing,
                Some((text, modified)) => Read::Present {
                    hash: sha256(text),
                    size: size(text),
                    modified: Some(*modified),
                },
            });
            SeenFile { listed, read }
        };
        Seen {
            entry: self.entry.clone(),
            skip_bootstrap: self.skip_bootstrap,
            files: Some(FileName::ALL.map(|name| (name, file(name))).into()),
            checklist: match &self.checklist {
                _ if !self.monitor => SeenChecklist::NoMonitor,
                None => SeenChecklist::None,
                Some((text, revision)) => SeenChecklist::Some {
                    sha256: sha256(text),
                    revision: *revision,
                },
            },
        }
    }

    fn write_entry(&mut self, step: &EntryStep) {
        let entry = self.entry.get_or_insert_with(|| json!({}));
        for (path, value) in &step.set {
            let mut at = &mut *entry;
            for part in path.split('.') {
                if !at[part].is_object() && path.ends_with(part) {
                    at[part] = Value::Null;
                } else if !at[part].is_object() {
                    at[part] = json!({});
                }
                at = &mut at[part];
            }
            *at = value.clone();
        }
        for path in &step.unset {
            let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
            let pointer = if parent.is_empty() {
                String::new()
            } else {
                format!("/{}", parent.replace('.', "/"))
            };
            if let Some(Value::Object(map)) = entry.pointer_mut(&pointer) {
                map.remove(key);
            }
        }
    }

    /// Does what the step says, records it as the gateway confirms it, and answers whether it was done.
    fn execute(&mut self, step: Step, record: &mut AgentStatus) -> bool {
        self.clock += 1;
        match step {
            Step::WriteFile {
                name,
                text,
                sha256: sha,
                state,
                expected,
                ..
            } => {
                let there = self.files.get(&name).map(|(text, _)| sha256(text));
                record.files.retain(|file| file.name != name.as_str());
                if expected.is_some() && expected != there {
                    // The gateway refuses it; what was recorded of the file is not so.
                    return false;
                }
                record.files.push(FileStatus {
                    name: name.to_string(),
                    sha256: sha,
                    size: size(&text),
                    modified: Some(self.clock),
                    state,
                });
                self.files.insert(name, (text, self.clock));
            }
            Step::WriteChecklist {
                text,
                sha256,
                expected_revision,
                ..
            } => {
                assert_eq!(expected_revision, self.checklist.as_ref().map(|(_, r)| *r));
                let revision = expected_revision.unwrap_or_default() + 1;
                record.checklist = Some(ChecklistStatus { sha256, revision });
                self.checklist = Some((text, revision));
            }
        }
        true
    }
}

pub(super) fn size(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap()
}

/// Plans and executes as the controller does, at most `budget` writes. Answers how many were made.
pub(super) fn converge(
    wanted: Wanted<'_>,
    record: &mut AgentStatus,
    model: &mut Model,
    budget: usize,
) -> usize {
    let mut writes = 0;
    let mut reads = BTreeSet::new();
    for _ in 0..16 {
        let plan = plan(wanted, record, &model.see(&reads));
        for status in plan.files.clone() {
            record.files.retain(|file| file.name != status.name);
            record.files.push(status);
        }
        record.checklist = plan.checklist.clone().or_else(|| record.checklist.take());
        if plan.is_converged() {
            record.places[0].state = PlaceState::Registered;
            record.entry_sha256 = Some(entry::digest(wanted.keys));
            record.own_keys = wanted.keys.keys().cloned().collect();
            return writes;
        }
        if let Some(step) = &plan.entry {
            if writes == budget {
                return writes;
            }
            model.write_entry(step);
            writes += 1;
        }
        if !plan.reads.is_empty() {
            reads.extend(plan.reads);
            continue;
        }
        // What was read is old once something was written.
        reads.clear();
        for step in plan.steps {
            if writes == budget {
                return writes;
            }
            writes += usize::from(model.execute(step, record));
        }
    }
    panic!(
        "no convergence: {:?}",
        plan(wanted, record, &model.see(&reads))
    );
}

pub(super) fn record(state: PlaceState) -> AgentStatus {
    AgentStatus {
        places: vec![Place {
            gateway_uid: "uid".into(),
            agent_id: "a".into(),
            state,
            gateway: GatewayName::default(),
            ..Place::default()
        }],
        ..AgentStatus::default()
    }
}
