//! Who is reconciled when something changes, over real stores and without a cluster.

use futures_util::FutureExt as _;
use k8s_openapi::jiff::Timestamp;
use kube::{core::ObjectMeta, runtime::watcher};

use super::*;
use crate::{
    api::{
        AgentSpec, AgentStatus, BoardSpec, GatewaySpec,
        agent::{Place, PlaceState},
        condition::{self, ACCEPTED, Judgement},
        file::FileSpec,
        reason::Reason,
        reference::{ConfigMapKeyRef, GatewayRef},
    },
    kube::cache::Change,
};

struct Bench {
    world: World,
    writers: Writers,
}

impl Bench {
    fn new() -> Self {
        let queues = Queues {
            gateways: Queue::new(1),
            boards: Queue::new(1),
            agents: Queue::new(1),
            config_maps: Queue::new(1),
        };
        let writers = Writers::default();
        let world = World::new(&writers, queues);
        Self { world, writers }
    }

    fn board(&mut self, board: Board) {
        let before = self.world.boards.get(&ObjectRef::from_obj(&board));
        self.writers
            .boards
            .apply_watcher_event(&watcher::Event::Apply(board.clone()));
        self.world.board_changed(&Change::Seen {
            before,
            after: Arc::new(board),
            listed: false,
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
            listed: false,
        });
    }

    /// What was put into the queues since the last look: `g:name`, `b:name`, `a:name`, `c:name`, sorted.
    async fn touched(&mut self) -> Vec<String> {
        tokio::time::advance(COUNT_WITHIN).await;
        let queues = &self.world.queues;
        let gateways = std::iter::from_fn(|| queues.gateways.next().now_or_never());
        let boards = std::iter::from_fn(|| queues.boards.next().now_or_never());
        let agents = std::iter::from_fn(|| queues.agents.next().now_or_never());
        let config_maps = std::iter::from_fn(|| queues.config_maps.next().now_or_never());
        let mut touched: Vec<String> = gateways
            .map(|turn| format!("g:{}", turn.object().name))
            .chain(boards.map(|turn| format!("b:{}", turn.object().name)))
            .chain(agents.map(|turn| format!("a:{}", turn.object().name)))
            .chain(config_maps.map(|turn| format!("c:{}", turn.object().name)))
            .collect();
        touched.sort();
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

async fn team() -> Bench {
    let mut bench = Bench::new();
    bench.board(board("red", 1));
    bench.board(board("blue", 1));
    bench.agent(agent("r1", "red"));
    bench.agent(agent("r2", "red"));
    bench.agent(agent("b1", "blue"));
    bench.touched().await;
    bench
}

#[tokio::test(start_paused = true)]
async fn a_boards_change_reaches_its_agents_and_only_those() {
    let mut bench = team().await;
    bench.board(board("red", 2));
    assert_eq!(bench.touched().await, ["a:r1", "a:r2", "b:red"]);
}

#[tokio::test(start_paused = true)]
async fn a_gateways_change_reaches_the_boards_on_it_and_their_agents() {
    let mut bench = team().await;
    let gateway = Gateway {
        metadata: metadata("main", 1),
        spec: GatewaySpec::default(),
        status: None,
    };
    bench.world.gateway_changed(&Change::Seen {
        before: None,
        after: Arc::new(gateway),
        listed: false,
    });
    assert_eq!(
        bench.touched().await,
        ["a:b1", "a:r1", "a:r2", "b:blue", "b:red", "g:main"]
    );
}

#[tokio::test(start_paused = true)]
async fn our_own_status_coming_back_reconciles_nothing_but_whom_it_concerns() {
    let mut bench = team().await;
    let mut claimed = agent("r1", "red");
    claimed.status = Some(AgentStatus {
        places: vec![Place {
            gateway_uid: "uid-main".into(),
            agent_id: "team_r1".into(),
            state: PlaceState::Claimed,
            gateway: GatewayName {
                name: "main".into(),
                namespace: "team".into(),
            },
            ..Place::default()
        }],
        ..AgentStatus::default()
    });
    bench.agent(claimed.clone());
    assert_eq!(
        bench.touched().await,
        ["b:red", "g:main"],
        "a claim is counted"
    );
    assert_eq!(bench.world.claims_on("uid-main").len(), 1);
    claimed.status.as_mut().unwrap().workspace_path = Some("/somewhere".into());
    bench.agent(claimed);
    assert!(bench.touched().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_id_is_reconciled_when_its_holder_goes() {
    let mut bench = team().await;
    let mut rival = agent("rival", "blue");
    rival.spec.agent_id = Some("team_r1".into());
    bench.agent(rival);
    bench.touched().await;
    let holder = bench
        .world
        .agents
        .get(&ObjectRef::new("r1").within("team"))
        .unwrap();
    bench.world.agent_changed(&Change::Gone(holder));
    assert_eq!(bench.touched().await, ["a:rival", "b:red", "g:main"]);
}

#[tokio::test(start_paused = true)]
async fn a_config_map_reaches_the_agents_that_use_it_themselves_or_through_their_board() {
    let mut bench = team().await;
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
    bench.touched().await;
    let config_map = k8s_openapi::api::core::v1::ConfigMap {
        metadata: metadata("texts", 1),
        ..Default::default()
    };
    bench.world.config_map_changed(&Change::Seen {
        before: None,
        after: Arc::new(config_map),
        listed: false,
    });
    assert_eq!(bench.touched().await, ["c:texts"]);
    let users = bench
        .world
        .users_of_config_map(&("team".into(), "texts".into()));
    let mut named: Vec<_> = users
        .iter()
        .flat_map(|users| {
            let owner = users.owner.as_ref().and_then(|owner| owner.name.clone());
            let agents = users.agents.iter();
            agents.map(move |agent| (owner.clone(), agent.name.clone()))
        })
        .collect();
    named.sort();
    let of = |owner: Option<&str>, agent: &str| (owner.map(str::to_owned), agent.to_owned());
    assert_eq!(
        named,
        [of(None, "b1"), of(Some("red"), "r1"), of(Some("red"), "r2")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_config_map_that_nobody_names_is_not_looked_at() {
    let mut bench = team().await;
    bench.touched().await;
    let config_map = k8s_openapi::api::core::v1::ConfigMap {
        metadata: metadata("kube-root-ca.crt", 1),
        ..Default::default()
    };
    bench
        .world
        .config_map_changed(&Change::Gone(Arc::new(config_map)));
    assert!(bench.touched().await.is_empty());
}

/// Refused for want of a place on its Board.
fn waiting(mut agent: Agent) -> Agent {
    let refusal = Judgement::fails(ACCEPTED, Reason::BoardFull, "Full.");
    let conditions = &mut agent.status.get_or_insert_default().conditions;
    condition::set(conditions, refusal, Some(1), Timestamp::UNIX_EPOCH);
    agent
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_is_reconciled_when_one_may_be_free_and_nobody_else_is() {
    let mut bench = team().await;
    bench.agent(waiting(agent("r3", "red")));
    bench.agent(waiting(agent("b3", "blue")));
    bench.touched().await;
    let seated = bench
        .world
        .agents
        .get(&ObjectRef::new("r1").within("team"))
        .unwrap();
    bench.world.agent_changed(&Change::Gone(seated));
    assert_eq!(bench.touched().await, ["a:r3", "b:red", "g:main"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_name_is_told_to_whoever_has_the_same() {
    let mut bench = team().await;
    let mut renamed = agent("r1", "red");
    renamed.metadata.generation = Some(2);
    renamed.spec.display_name = Some("R2".into());
    bench.agent(renamed);
    assert_eq!(bench.touched().await, ["a:r1", "a:r2"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_edited_or_goes_is_told_to_who_declares_it_or_would() {
    let mut bench = team().await;
    for (name, owner) in [("red-lead", "b:red"), ("main-main", "g:main")] {
        let there = agent(name, "nowhere");
        bench.agent(there.clone());
        bench.touched().await;
        let mut edited = there.clone();
        edited.metadata.generation = Some(2);
        bench.agent(edited);
        let own = format!("a:{name}");
        assert_eq!(bench.touched().await, [&*own, owner]);
        bench.world.agent_changed(&Change::Gone(Arc::new(there)));
        assert_eq!(bench.touched().await, ["b:nowhere", owner]);
    }
}
