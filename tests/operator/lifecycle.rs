//! The main path: apply an Agent, see it on the gateway as declared, change it. Its end is in `ending`.

use mission_operator::api::{Agent, Board};
use serde_json::json;

use crate::{
    gateways::{beating, checklist, entry, quiet, read, shared},
    team::{Team, agent_id, file},
    world::{run, world},
};

/// A Board with all that files speak of, and an Agent that says otherwise in one point.
const BOARD_AND_AGENT: &str = r#"
apiVersion: mission.openclaw.dev/v1alpha1
kind: Board
metadata: {name: research}
spec:
  gatewayRef: {name: main}
  displayName: Research
  type: Goal
  objective: Publish one report every week.
  successMetrics: {reportsPerWeek: 1}
  goalConfirmed: true
  rules: {requireApprovalForDone: true}
  user: {name: Ada Lovelace, timezone: Europe/London}
  agentDefaults:
    model: fake/fake-1
    identity: {communicationStyle: direct, verbosity: concise}
---
apiVersion: mission.openclaw.dev/v1alpha1
kind: Agent
metadata: {name: analyst}
spec:
  boardRef: {name: research}
  wake: {policy: Never}
  displayName: "Ana Ly\u017fst \U0001F50E \u5206\u6790"
  identity: {role: Analyst, verbosity: detailed}
  heartbeat: {every: 50m, target: none}
  files:
  - {name: SOUL.md, template: "{{ agent_name }} serves {{ board_name }} for {{ user_name }}.\n"}
"#;

#[test]
fn an_agent_with_a_board_is_on_the_gateway_as_declared_and_says_so() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "life-board").await;
        team.apply(BOARD_AND_AGENT).await;
        let agent: Agent = team.ready("analyst").await;
        let id = agent_id(&agent);
        assert_eq!(id, "life-board_analyst");

        let name = "Ana Ly\u{17f}st \u{1f50e} \u{5206}\u{6790}";
        assert_eq!(
            entry(gateway, id).await,
            json!({
                "name": name,
                "model": "fake/fake-1",
                "heartbeat": {"every": "50m", "target": "none"},
            })
        );
        let text = read(&file(&agent, "SOUL.md"));
        assert_eq!(text, format!("{name} serves Research for Ada Lovelace.\n"));
        let text = read(&file(&agent, "AGENTS.md"));
        assert!(
            text.contains("You belong to the board \"Research\""),
            "{text}"
        );
        assert!(text.contains("only after a person approved it"), "{text}");
        let mark = text.lines().last().unwrap();
        assert!(
            mark.starts_with("<!-- mission-operator: cluster="),
            "{mark}"
        );
        assert!(
            mark.ends_with(" namespace=life-board name=analyst -->"),
            "{mark}"
        );
        let text = read(&file(&agent, "IDENTITY.md"));
        assert!(text.contains(&format!("- Name: {name}\n")), "{text}");
        // The Agent's own over the Board's, field by field.
        assert!(
            text.contains("- Role: Analyst\n- Style: direct\n"),
            "{text}"
        );
        assert!(text.contains("- Verbosity: detailed\n"), "{text}");
        assert!(read(&file(&agent, "USER.md")).contains("Ada Lovelace"));
        assert!(read(&file(&agent, "MEMORY.md")).contains("Publish one report every week."));
        let text = checklist(gateway, id).await;
        let text = text.as_str().unwrap();
        assert!(text.contains("Publish one report every week."), "{text}");

        let status = agent.status.as_ref().unwrap();
        assert_eq!(
            status.session_key.as_deref(),
            Some("agent:life-board_analyst:main")
        );
        assert_eq!(
            status.workspace_path.as_deref(),
            gateway.workspace(id).to_str()
        );
        assert_eq!(status.gateway.as_ref().unwrap().name, "main");
        assert_eq!(
            status.own_keys,
            ["heartbeat.every", "heartbeat.target", "model", "name"]
        );
        let files: Vec<_> = status.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(
            files,
            [
                "AGENTS.md",
                "IDENTITY.md",
                "MEMORY.md",
                "SOUL.md",
                "USER.md"
            ]
        );

        let note = team.event("analyst", "Normal", "Registered").await;
        assert!(note.contains("life-board_analyst"), "{note}");
        team.event("analyst", "Normal", "FilesSynced").await;
        let note = team.told::<Agent>("analyst", "ModelAvailable", "True", "ModelListed");
        assert_eq!(note.await, "The gateway lists fake/fake-1.");
    });
}

#[test]
fn an_agent_without_a_board_gets_the_operators_defaults_and_no_word_of_a_board() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "life-plain").await;
        team.apply_spec::<Agent>("helper", json!({"gatewayRef": {"name": "main"}}))
            .await;
        let agent: Agent = team.ready("helper").await;
        let id = agent_id(&agent);
        assert_eq!(
            entry(gateway, id).await,
            json!({"name": "helper", "heartbeat": {"every": "10m", "target": "none"}})
        );
        for name in [
            "AGENTS.md",
            "IDENTITY.md",
            "SOUL.md",
            "USER.md",
            "MEMORY.md",
        ] {
            let text = read(&file(&agent, name));
            assert!(!text.to_lowercase().contains("board"), "{name}: {text}");
        }
        assert!(!file(&agent, "BOOTSTRAP.md").exists());
        team.told::<Agent>("helper", "ModelAvailable", "True", "GatewayDefault")
            .await;
    });
}

#[test]
fn long_and_dotted_names_give_ids_that_the_gateway_takes_and_never_meet() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "life-names").await;
        // 253 characters, and two that differ after the place where an id is cut.
        let long = format!("{}.{}", "a".repeat(60), "b".repeat(192));
        let names = [
            "with.dots.in-it",
            &long,
            &format!("{}-x", "c".repeat(70)),
            &format!("{}-y", "c".repeat(70)),
        ];
        let manifests: Vec<_> = names
            .iter()
            .map(|name| {
                crate::team::manifest::<Agent>(name, &json!({"gatewayRef": {"name": "main"}}))
            })
            .collect();
        team.apply(&manifests.join("\n---\n")).await;
        let mut ids = std::collections::BTreeSet::new();
        for name in names {
            let agent: Agent = team.ready(name).await;
            let id = agent_id(&agent);
            assert!(id.len() <= 64, "{id}");
            assert_eq!(entry(gateway, id).await["name"], *name);
            assert!(read(&file(&agent, "AGENTS.md")).contains(&format!(" name={name} -->")));
            team.event(name, "Normal", "Registered").await;
            ids.insert(id.to_owned());
        }
        assert_eq!(ids.len(), names.len());
        assert!(ids.contains("life-names_with_dots_in-it"), "{ids:?}");
    });
}

#[test]
fn an_explicit_id_is_taken_as_it_is() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "life-explicit").await;
        let spec = json!({"gatewayRef": {"name": "main"}, "agentId": "chosen-by-hand"});
        team.apply_spec::<Agent>("somebody", spec).await;
        let agent: Agent = team.ready("somebody").await;
        assert_eq!(agent_id(&agent), "chosen-by-hand");
        assert_eq!(entry(gateway, "chosen-by-hand").await["name"], "somebody");
    });
}

#[test]
fn changes_of_a_spec_arrive_and_keys_that_leave_it_leave_the_entry() {
    run(async {
        let gateway = &*quiet().await;
        let team = Team::on(gateway, "life-change").await;
        let spec = json!({
            "gatewayRef": {"name": "main"},
            "files": [{"name": "SOUL.md", "content": "first"}],
        });
        team.apply_spec::<Agent>("changer", spec).await;
        let agent: Agent = team.ready("changer").await;
        let id = agent_id(&agent).to_owned();

        let heartbeat = json!({
            "every": "55m",
            "target": "last",
            "prompt": "What is open?",
            "model": "fake/fake-1",
            "activeHours": {"start": "08:00", "end": "24:00", "timezone": "Europe/Berlin"},
        });
        let mut with_checklist = heartbeat.clone();
        with_checklist["checklist"] = json!("- Look at the mail.\n");
        let spec = json!({
            "displayName": "Changed",
            "model": "fake/fake-1",
            "identity": {"role": "Changer", "purpose": "Change."},
            "heartbeat": with_checklist,
            "files": [
                {"name": "SOUL.md", "content": "second"},
                {"name": "USER.md", "content": "a user", "policy": "Enforce"},
            ],
        });
        team.patch_spec::<Agent>("changer", spec).await;
        let agent: Agent = team.ready("changer").await;
        assert_eq!(
            entry(gateway, &id).await,
            json!({"name": "Changed", "model": "fake/fake-1", "heartbeat": heartbeat})
        );
        assert_eq!(read(&file(&agent, "SOUL.md")), "second");
        assert_eq!(read(&file(&agent, "USER.md")), "a user");
        let identity = read(&file(&agent, "IDENTITY.md"));
        assert!(identity.contains("- Role: Changer\n"), "{identity}");
        assert_eq!(checklist(gateway, &id).await, "- Look at the mail.\n");

        // Somebody else's key in our entry is not ours to remove.
        let theirs = json!({"agents": {"entries": {&id: {"heartbeat": {"lightContext": true}}}}});
        let mut rpc = gateway.rpc().await.unwrap();
        rpc.patch_config(&theirs).await.unwrap();
        let spec = json!({"displayName": null, "model": null, "heartbeat": {"prompt": null, "model": null, "activeHours": null, "every": null, "target": null}});
        team.patch_spec::<Agent>("changer", spec).await;
        let agent: Agent = team.ready("changer").await;
        assert_eq!(
            entry(gateway, &id).await,
            json!({
                "name": "changer",
                "heartbeat": {"every": "10m", "target": "none", "lightContext": true},
            })
        );
        let own = &agent.status.unwrap().own_keys;
        assert_eq!(*own, ["heartbeat.every", "heartbeat.target", "name"]);
        team.disband().await;
    });
}

#[test]
fn a_heartbeat_that_is_switched_off_is_off_and_says_so() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "life-silent").await;
        let spec = json!({"gatewayRef": {"name": "main"}, "heartbeat": {"every": "0m"}});
        team.apply_spec::<Agent>("silent", spec).await;
        let agent: Agent = team.ready("silent").await;
        assert!(!beating(gateway).await.contains_key(agent_id(&agent)));
        team.told::<Agent>("silent", "HeartbeatConfigured", "True", "Disabled")
            .await;

        team.patch_spec::<Agent>("silent", json!({"heartbeat": {"every": "25m"}}))
            .await;
        let agent: Agent = team.ready("silent").await;
        let text = checklist(gateway, agent_id(&agent)).await;
        assert!(
            text.as_str().unwrap().contains("Heartbeat checklist"),
            "{text}"
        );
    });
}

#[test]
fn kubectl_shows_what_a_person_wants_to_know_first() {
    run(async {
        let team = Team::on(shared().await, "life-columns").await;
        team.apply_spec::<Board>(
            "desk",
            json!({"gatewayRef": {"name": "main"}, "displayName": "Desk"}),
        )
        .await;
        let spec = json!({"boardRef": {"name": "desk"}, "model": "fake/fake-1"});
        team.apply_spec::<Agent>("clerk", spec).await;
        team.ready::<Agent>("clerk").await;
        team.until("desk", "one Agent of one is ready", |board: &Board| {
            let counts = board.status.as_ref().and_then(|status| status.agents);
            counts.is_some_and(|counts| (counts.ready, counts.total) == (1, 1))
        })
        .await;
        for (args, rows) in [
            (
                vec!["get", "oca", "-o", "wide"],
                [
                    "NAME READY STATUS ONLINE ROLE BOARD GATEWAY AGENT-ID MODEL LAST-SEEN MESSAGE AGE",
                    "clerk True Reconciled Unknown Worker desk main life-columns_clerk fake/fake-1",
                ],
            ),
            (
                vec!["get", "ocb"],
                [
                    "NAME READY STATUS GATEWAY AGENTS AGENTS READY ONLINE AGE",
                    "desk True Reconciled main 1 1 0",
                ],
            ),
            (
                vec!["get", "ocgw"],
                [
                    "NAME READY STATUS VERSION AGENTS AGE",
                    "main True Reconciled 2026.9.6 1",
                ],
            ),
        ] {
            let shown = team.kubectl(&args, "").await;
            let lines: Vec<String> = shown
                .output
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            assert_eq!(lines.len(), 2, "{shown:?}");
            assert_eq!(lines[0], rows[0]);
            assert!(lines[1].starts_with(rows[1]), "{}", lines[1]);
        }
        let all = world()
            .await
            .kubectl
            .run(&["get", "openclaw", "-A"])
            .await
            .unwrap();
        for name in [
            "agent.mission.openclaw.dev/clerk",
            "board.mission.openclaw.dev/desk",
            "gateway.mission.openclaw.dev/main",
        ] {
            assert!(all.contains(name), "{all}");
        }
    });
}
