//! The API that agents call, as an agent meets it: through the lines of its own AGENTS.md, in a shell.

use std::{path::Path, process::Stdio};

use mission_operator::api::{Agent, Board, Gateway as GatewayObject};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    bed::gateway::Gateway,
    gateways::{quiet, read, shared},
    team::{Team, file, gateway_spec, says},
    world::{file_is, run, world},
};

/// A team whose agents reach the operator.
async fn team(gateway: &Gateway, namespace: &str) -> Team {
    let team = Team::on(gateway, namespace).await;
    let mut spec = gateway_spec(&gateway.url());
    spec["agentApiUrl"] = json!(world().await.operator.agent_api_url());
    team.apply_spec::<GatewayObject>("main", spec).await;
    team
}

/// The lines for a shell in an agent's AGENTS.md: those that set its names, and one for each call.
fn lines(agents_md: &Path) -> (String, Vec<String>) {
    let text = read(agents_md);
    let mut blocks = text
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("\n```").next().unwrap().to_owned());
    (blocks.next().unwrap(), blocks.collect())
}

/// Runs a line as it stands, in the shell of an agent; what it answers.
async fn shell(names: &str, line: &str) -> Value {
    let output = Command::new("sh")
        .args(["-c", &format!("{names}\n{line}")])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    serde_json::from_str(&said).unwrap_or_else(|_| json!(said))
}

/// The line of one call.
fn line<'a>(lines: &'a [String], part: &str) -> &'a str {
    lines.iter().find(|line| line.contains(part)).unwrap()
}

#[test]
fn every_line_of_a_leads_agents_md_does_in_a_shell_what_it_says() {
    run(async {
        // Nobody else deletes an agent while one of these is awake.
        let gateway = quiet().await;
        let team = team(&gateway, "api-lead").await;
        let board = json!({"gatewayRef": {"name": "main"}, "displayName": "Desk", "lead": {}, "maxAgents": 2,
            "agentDefaults": {"model": "fake/fake-1"}});
        team.apply_spec::<Board>("desk", board).await;
        team.apply_spec::<Agent>("clerk", json!({"boardRef": {"name": "desk"}}))
            .await;
        let lead: Agent = team.ready("desk-lead").await;
        team.ready::<Agent>("clerk").await;
        let (names, lines) = lines(&file(&lead, "AGENTS.md"));
        assert_eq!(lines.len(), 10, "{lines:#?}");
        let mut answers = Vec::new();
        for line in &lines {
            let answer = shell(&names, line).await;
            assert!(
                answer.get("status").is_none_or(|it| !it.is_number()),
                "{line}: {answer:#}"
            );
            if line.contains("/soul") {
                // What it made is there, and speaks as it was told.
                let added: Agent = team.ready("fact-checker").await;
                assert_eq!(added.spec.board_ref.as_ref().unwrap().name, "desk");
                file_is(&file(&added, "SOUL.md"), |text| {
                    text == "You check figures, and name the source of each."
                })
                .await;
            }
            if line.contains("/wake") {
                team.until("fact-checker", "woken by its lead", |agent: &Agent| {
                    let wake = agent
                        .status
                        .as_ref()
                        .and_then(|status| status.wake.as_ref());
                    wake.is_some_and(|wake| {
                        wake.message.as_deref() == Some("Please check the figures of today.")
                            && wake.done
                    })
                })
                .await;
            }
            answers.push(answer);
        }
        team.gone::<Agent>("fact-checker").await;
        // The lead called, so it is there.
        let lead: Agent = team
            .until("desk-lead", "online", |agent: &Agent| {
                says(agent, "Online", "True", "Alive")
            })
            .await;
        assert!(lead.status.unwrap().last_seen_time.is_some());
        let me = &answers[1];
        assert_eq!(me["name"], "desk-lead", "{me:#}");
        assert_eq!(me["role"], "Lead", "{me:#}");
        team.disband().await;
    });
}

#[test]
fn every_line_of_everybody_elses_agents_md_does_in_a_shell_what_it_says() {
    run(async {
        let team = team(shared().await, "api-others").await;
        let board = json!({"gatewayRef": {"name": "main"}});
        team.apply_spec::<Board>("desk", board).await;
        let on_gateway = json!({"name": "main"});
        for (name, spec, calls) in [
            ("clerk", json!({"boardRef": {"name": "desk"}}), 6),
            ("loner", json!({"gatewayRef": on_gateway}), 4),
            (
                "chief",
                json!({"gatewayRef": on_gateway, "role": "Main"}),
                4,
            ),
        ] {
            team.apply_spec::<Agent>(name, spec).await;
            let agent: Agent = team.ready(name).await;
            let (names, lines) = lines(&file(&agent, "AGENTS.md"));
            assert_eq!(lines.len(), calls, "{name}: {lines:#?}");
            for line in &lines {
                let answer = shell(&names, line).await;
                // A problem would have its number here.
                assert!(
                    answer.is_object() && answer.get("status").is_none_or(|it| !it.is_number()),
                    "{name}: {line}: {answer:#}"
                );
            }
            let me = shell(&names, line(&lines, "/me")).await;
            assert_eq!(me["name"], name, "{me:#}");
            team.until(name, "online", |agent: &Agent| {
                says(agent, "Online", "True", "Alive")
            })
            .await;
        }
    });
}

#[test]
fn who_may_not_is_told_why_and_learns_nothing_of_others() {
    run(async {
        let team = team(shared().await, "api-worker").await;
        for (board, lead) in [("desk", "clerk"), ("other", "stranger")] {
            let spec = json!({"gatewayRef": {"name": "main"}, "lead": {}, "maxAgents": 1});
            team.apply_spec::<Board>(board, spec).await;
            team.apply_spec::<Agent>(lead, json!({"boardRef": {"name": board}}))
                .await;
        }
        let lead: Agent = team.ready("desk-lead").await;
        let clerk: Agent = team.ready("clerk").await;
        team.ready::<Agent>("stranger").await;
        let (lead, calls) = lines(&file(&lead, "AGENTS.md"));
        let (worker, own) = lines(&file(&clerk, "AGENTS.md"));
        assert_eq!(own.len(), 6, "{own:#?}");
        let delete = line(&calls, "-X DELETE");
        for (who, line, status) in [
            (&worker, delete.to_owned(), 403),
            (&lead, delete.replace("fact-checker", "stranger"), 404),
            (&lead, delete.replace("fact-checker", "nobody"), 404),
            // Somebody else's to delete: a person applied it.
            (&lead, delete.replace("fact-checker", "clerk"), 409),
            (
                &lead,
                line(&calls, "-X POST \"$MISSION_API/agents\"").to_owned(),
                409,
            ),
        ] {
            let answer = shell(who, &line).await;
            assert_eq!(answer["status"], status, "{line}: {answer:#}");
            assert!(answer["detail"].is_string(), "{answer:#}");
        }
        let wrong = "MISSION_API='".to_owned()
            + worker
                .split("MISSION_API='")
                .nth(1)
                .unwrap()
                .split('\'')
                .next()
                .unwrap()
            + "'\nMISSION_TOKEN=wrong";
        let answer = shell(&wrong, line(&own, "/me")).await;
        assert_eq!(answer["status"], 401, "{answer:#}");
    });
}
