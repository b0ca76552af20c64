use super::*;
use crate::api::{AgentSpec, BoardSpec, GatewaySpec, board::AgentDefaults};

fn every(every: &str) -> Heartbeat {
    Heartbeat {
        every: Some(every.into()),
        ..Heartbeat::default()
    }
}

fn file(name: FileName, content: Option<&str>, policy: Option<FilePolicy>) -> FileSpec {
    FileSpec {
        name: name.to_string(),
        content: content.map(Into::into),
        policy,
        ..FileSpec::default()
    }
}

fn merged(agent: AgentSpec, defaults: Option<AgentDefaults>, gateway: GatewaySpec) -> Desired {
    let board = BoardSpec {
        agent_defaults: defaults,
        ..BoardSpec::default()
    };
    let board = Board::new("research", board);
    let gateway = Gateway::new("main", gateway);
    desired(
        &Agent::new("analyst", agent),
        Some(&board),
        &gateway,
        "id".into(),
    )
}

#[test]
fn the_most_specific_layer_wins_field_by_field() {
    let gateway = GatewaySpec {
        heartbeat: Some(Heartbeat {
            target: Some("last".into()),
            ..every("1h")
        }),
        ..GatewaySpec::default()
    };
    let defaults = AgentDefaults {
        heartbeat: Some(every("30m")),
        model: Some("board/model".into()),
        ..AgentDefaults::default()
    };
    let agent = AgentSpec {
        heartbeat: Some(every("5m")),
        ..AgentSpec::default()
    };
    let all = merged(agent, Some(defaults.clone()), gateway.clone());
    assert_eq!(all.heartbeat.every, "5m");
    assert_eq!(all.heartbeat.target, "last");
    assert_eq!(all.model.as_deref(), Some("board/model"));
    let board = merged(AgentSpec::default(), Some(defaults), gateway.clone());
    assert_eq!(board.heartbeat.every, "30m");
    let gateway = merged(AgentSpec::default(), None, gateway);
    assert_eq!(gateway.heartbeat.every, "1h");
    let nobody = merged(AgentSpec::default(), None, GatewaySpec::default());
    assert_eq!(nobody.heartbeat.every, DEFAULT_EVERY);
    assert_eq!(nobody.heartbeat.target, DEFAULT_TARGET);
    assert_eq!(nobody.context.identity.role, "Generalist");
}

#[test]
fn a_files_text_and_its_policy_are_inherited_apart() {
    let defaults = AgentDefaults {
        files: vec![file(FileName::Soul, Some("the board's"), None)],
        ..AgentDefaults::default()
    };
    let agent = AgentSpec {
        files: vec![
            file(FileName::Soul, None, Some(FilePolicy::Seed)),
            file(FileName::User, None, Some(FilePolicy::Ignore)),
        ],
        ..AgentSpec::default()
    };
    let desired = merged(agent, Some(defaults), GatewaySpec::default());
    let soul = desired
        .files
        .iter()
        .find(|file| file.name == FileName::Soul)
        .unwrap();
    assert_eq!(soul.policy, Policy::Seed);
    assert_eq!(
        soul.source,
        DesiredSource::Text(Source::Verbatim("the board's".into()))
    );
    let names: Vec<_> = desired.files.iter().map(|file| file.name).collect();
    assert_eq!(
        names,
        [
            FileName::Agents,
            FileName::Soul,
            FileName::Identity,
            FileName::Memory
        ],
        "ignored files and a BOOTSTRAP that nobody gave are not wanted"
    );
}

#[test]
fn without_agents_md_there_is_no_mark() {
    let agent = AgentSpec {
        files: vec![file(FileName::Agents, None, Some(FilePolicy::Ignore))],
        ..AgentSpec::default()
    };
    assert!(!merged(agent, None, GatewaySpec::default()).marked);
}
