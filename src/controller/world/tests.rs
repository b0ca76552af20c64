//! Who is reconciled when something changes, over real stores and without a cluster.

use kube::{core::ObjectMeta, runtime::watcher};
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::{
    api::{
        AgentSpec, AgentStatus, BoardSpec, GatewaySpec,
        agent::{Place, PlaceState},
        file::FileSpec,
        reference::{ConfigMapKeyRef, GatewayRef},
    },
    kube::cache::Change,
};

struct Bench {
    world: World,
    writers: Writers,
    gateways: UnboundedReceiver<ObjectRef<Gateway>>,
    boards: UnboundedReceiver<ObjectRef<Board>>,
    agents: UnboundedReceiver<ObjectRef<Agent>>,
}

impl Bench {
    fn new() -> Self {
        let (gateway_sender, gateways) = mpsc::unbounded_channel();
        let (board_sender, boards) = mpsc::unbounded_channel();
        let (agent_sender, agents) = mpsc::unbounded_channel();
        let queues = Queues {
            gateways: gateway_sender,
            boards: board_sender,
            agents: agent_sender,
        };
        let writers = Writers::default();
        let world = World::new(&writers, queues);
        Self {
            world,
            writers,
            gateways,
            boards,
            agents,
        }
    }

    fn board(&mut self, board: Board) {
        let before = self.world.boards.get(&ObjectRef::from_obj(&board));
        self.writers
            .boards
            .apply_watcher_event(&watcher::Event::Apply(board.clone()));
        self.world.board_changed(&Change::Seen {
            before,
            after: Arc::new(board),
        });
    }

    fn agent(&mut self, agent: Agent) {
        let before = self.world.agents.get(&ObjectRef::from_obj(&agent));
        self.writers
            .agents
            .apply_watcher_event(&watcher::Event::Apply(agent.clone()));
        self.world.agent_changed(&Change::Seen {
            before,
            after: Arc::new(agent),
        });
    }

    /// What was put into the queues since the last look: `g:name`, `b:name`, `a:name`, sorted, each once.
    fn touched(&mut self) -> Vec<String> {
        let mut touched = Vec::new();
        while let Ok(gateway) = self.gateways.try_recv() {
            touched.push(format!("g:{}", gateway.name));
        }
        while let Ok(board) = self.boards.try_recv() {
            touched.push(format!("b:{}", board.name));
        }
        while let Ok(agent) = self.agents.try_recv() {
            touched.push(format!("a:{}", agent.name));
        }
        touched.sort();
        touched.dedup();
        touched
    }
}

fn metadata(name: &str, generation: i64) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some("team".into()),
        uid: Some(format!("uid-{name}")),
        generation: Some(generation),
        ..ObjectMeta::default()
    }
}

fn board(name: &str, generation: i64) -> Board {
    let gateway_ref = GatewayRef {
        name: "main".into(),
        namespace: None,
    };
    Board {
        metadata: metadata(name, generation),
        spec: BoardSpec {
            gateway_ref,
            ..BoardSpec::default()
        },
        status: None,
    }
}

fn agent(name: &str, board: &str) -> Agent {
    Agent {
        metadata: metadata(name, 1),
        spec: AgentSpec {
            board_ref: Some(BoardRef { name: board.into() }),
            ..AgentSpec::default()
        },
        status: None,
    }
}

fn team() -> Bench {
    let mut bench = Bench::new();
    bench.board(board("red", 1));
    bench.board(board("blue", 1));
    bench.agent(agent("r1", "red"));
    bench.agent(agent("r2", "red"));
    bench.agent(agent("b1", "blue"));
    bench.touched();
    bench
}

#[test]
fn a_boards_change_reaches_its_agents_and_only_those() {
    let mut bench = team();
    bench.board(board("red", 2));
    assert_eq!(bench.touched(), ["a:r1", "a:r2", "b:red"]);
}

#[test]
fn a_gateways_change_reaches_the_boards_on_it_and_their_agents() {
    let mut bench = team();
    let gateway = Gateway {
        metadata: metadata("main", 1),
        spec: GatewaySpec::default(),
        status: None,
    };
    bench.world.gateway_changed(&Change::Seen {
        before: None,
        after: Arc::new(gateway),
    });
    assert_eq!(
        bench.touched(),
        ["a:b1", "a:r1", "a:r2", "b:blue", "b:red", "g:main"]
    );
}

#[test]
fn our_own_status_coming_back_reconciles_nothing_but_whom_it_concerns() {
    let mut bench = team();
    let mut claimed = agent("r1", "red");
    claimed.status = Some(AgentStatus {
        places: vec![Place {
            gateway_uid: "uid-main".into(),
            agent_id: "team_r1".into(),
            state: PlaceState::Claimed,
            entry_sha256: None,
            gateway: GatewayName {
                name: "main".into(),
                namespace: "team".into(),
            },
        }],
        ..AgentStatus::default()
    });
    bench.agent(claimed.clone());
    assert_eq!(bench.touched(), ["b:red", "g:main"], "a claim is counted");
    assert_eq!(bench.world.claims_on("uid-main").len(), 1);
    claimed.status.as_mut().unwrap().workspace_path = Some("/somewhere".into());
    bench.agent(claimed);
    assert!(bench.touched().is_empty());
}

#[test]
fn who_waits_for_an_id_is_reconciled_when_its_holder_goes() {
    let mut bench = team();
    let mut rival = agent("rival", "blue");
    rival.spec.agent_id = Some("team_r1".into());
    bench.agent(rival);
    bench.touched();
    let holder = bench
        .world
        .agents
        .get(&ObjectRef::new("r1").within("team"))
        .unwrap();
    bench.world.agent_changed(&Change::Gone(holder));
    assert_eq!(bench.touched(), ["a:rival", "b:red"]);
}

#[test]
fn a_config_map_reaches_the_agents_that_use_it_themselves_or_through_their_board() {
    let mut bench = team();
    let file = FileSpec {
        config_map_key_ref: Some(ConfigMapKeyRef {
            name: "texts".into(),
            key: "soul".into(),
        }),
        ..FileSpec::default()
    };
    let mut own = agent("b1", "blue");
    own.metadata.generation = Some(2);
    own.spec.files = vec![file.clone()];
    bench.agent(own);
    let mut red = board("red", 2);
    red.spec.agent_defaults = Some(crate::api::board::AgentDefaults {
        files: vec![file],
        ..Default::default()
    });
    bench.board(red);
    bench.touched();
    let config_map = k8s_openapi::api::core::v1::ConfigMap {
        metadata: metadata("texts", 1),
        ..Default::default()
    };
    bench.world.config_map_changed(&Change::Seen {
        before: None,
        after: Arc::new(config_map),
    });
    assert_eq!(bench.touched(), ["a:b1", "a:r1", "a:r2"]);
}
