//! `mission-operator run` as a program: its help, what it says to wrong arguments and a missing cluster, its probes, its log, its end.

use std::{
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::time::timeout;

use crate::{
    manifest::{agent, agents},
    world::{PATIENCE, alone, say},
};

/// Runs the program to its end in an empty environment.
fn run(args: &[&str], env: &[(&str, &Path)]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mission-operator"))
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    (output, errors)
}

#[test]
fn help_names_every_flag_with_its_environment_variable() {
    let (output, _) = run(&["run", "--help"], &[]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    let mut flags = 0;
    for entry in help.split("\n\n").filter(|entry| entry.contains("--")) {
        let Some(flag) = entry
            .split_whitespace()
            .find_map(|word| word.strip_prefix("--"))
            .filter(|flag| !["help", ""].contains(flag))
        else {
            continue;
        };
        let variable = format!("MISSION_{}", flag.replace('-', "_").to_uppercase());
        assert!(
            help.contains(&format!("[env: {variable}=")),
            "{flag} in:\n{help}"
        );
        flags += 1;
    }
    assert!(flags >= 10, "{flags} flags in:\n{help}");
}

#[test]
fn a_wrong_argument_is_named_with_what_to_write_instead() {
    for (args, words) in [
        (
            ["--resync-interval", "soon"],
            "Write a duration such as 30s",
        ),
        (["--unreachable-after", "-1s"], "at least 0s"),
        (["--concurrency", "0"], "a number from 1 to 256"),
        (["--http-address", "8080"], "such as 0.0.0.0:8080"),
        (["--log-format", "xml"], "text, json"),
        (["--log", "=="], "--log"),
    ] {
        let argument = args.join("=");
        let (output, errors) = run(&["run", &argument], &[]);
        assert!(!output.status.success(), "{argument}");
        assert!(errors.contains(args[0]), "{argument}: {errors}");
        assert!(errors.contains(words), "{argument}: {errors}");
    }
}

#[test]
fn without_a_cluster_it_says_so_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let address = [
        "run",
        "--http-address=127.0.0.1:0",
        "--agent-api-address=127.0.0.1:0",
    ];
    let (output, errors) = run(&address, &[("HOME", dir.path())]);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("no cluster to talk to"), "{errors}");
    assert!(errors.contains("KUBECONFIG"), "{errors}");

    // One that nobody answers at.
    let kubeconfig = dir.path().join("kubeconfig");
    let port = crate::bed::port::free().unwrap();
    let text = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("https://127.0.0.1:{port}")}}],
        "users": [{"name": "c", "user": {"token": "not-a-secret"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    });
    std::fs::write(&kubeconfig, text.to_string()).unwrap();
    let (output, errors) = run(&address, &[("KUBECONFIG", &kubeconfig)]);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("cannot reach"), "{errors}");
    assert!(!errors.contains("not-a-secret"), "{errors}");
}

#[test]
fn sigterm_ends_it_with_0_within_seconds_also_in_the_middle_of_a_registration() {
    alone("drained", async |world| {
        world.start_operator(&["--log-format=json"]).await;
        world.apply_team("drained").await;
        let operator = world.operator();
        for (path, words) in [
            ("livez", "ok"),
            ("readyz", "ok"),
            ("metrics", "mission_operator_gateway_connected"),
        ] {
            let text = operator.get(path).await.unwrap();
            assert!(text.contains(words), "{path}: {text}");
        }

        world.relay.stall_at("config.patch");
        world.apply(&agent("drained", "a0")).await;
        timeout(PATIENCE, world.relay.stalled()).await.unwrap();
        let log = world.operator().log();
        let began = Instant::now();
        world.stop_operator().await;
        let took = began.elapsed();
        say(&format!(
            "SIGTERM while the gateway does not answer: ended after {took:.1?}"
        ));
        assert!(took < Duration::from_secs(15), "{took:?}");

        let log = std::fs::read_to_string(log).unwrap();
        assert!(!log.is_empty());
        for line in log.lines() {
            let entry: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
            assert!(entry["level"].is_string(), "{line}");
            assert!(entry["message"].is_string(), "{line}");
        }
        world.relay.cut();
        world.relay.restore();
        world.start_operator(&[]).await;
        world.agents_ready(1).await;
        let began = Instant::now();
        world.stop_operator().await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "idle: {took:?}");

        world.start_operator(&[]).await;
        world.gateway_ready("drained").await;
        let patches = world.relay.count("config.patch");
        world.apply(&agents("drained", 1..11)).await;
        let written = world
            .relay
            .until(|seen| seen.count("config.patch") > patches);
        timeout(PATIENCE, written).await.unwrap();
        let began = Instant::now();
        world.stop_operator().await;
        let took = began.elapsed();
        say(&format!(
            "SIGTERM in the middle of 10 registrations: ended after {took:.1?}"
        ));
        assert!(took < Duration::from_secs(15), "{took:?}");
        world.start_operator(&[]).await;
        world.agents_ready(11).await;
    });
}
