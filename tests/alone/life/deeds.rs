//! What happens to the team: one deed after the other, drawn at random, at random moments.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use mission_operator::api::{Agent, Board as BoardObject, annotation::ROTATE_TOKEN};
use rand::{RngExt as _, rngs::SmallRng, seq::IndexedRandom as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    Site,
    callers::Server,
    team::{Home, NAMESPACE, Place, Team},
};
use crate::{
    bed::gateway::Gateway,
    world::{World, say},
};

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    RotateBySpec,
    RotateByAnnotation,
    MoveAgent,
    MoveBoard,
    PauseAgent,
    PauseBoard,
    ChangeTemplates,
    Wake,
    Rename,
    ChangeModel,
    ChangeHeartbeat,
    KillOperator,
    KillGateway,
    Wait,
}

/// How often each happens among a hundred.
const SHARES: [(Deed, u32); 14] = [
    (Deed::RotateBySpec, 14),
    (Deed::RotateByAnnotation, 8),
    (Deed::MoveAgent, 17),
    (Deed::MoveBoard, 3),
    (Deed::PauseAgent, 9),
    (Deed::PauseBoard, 4),
    (Deed::ChangeTemplates, 6),
    (Deed::Wake, 4),
    (Deed::Rename, 7),
    (Deed::ChangeModel, 5),
    (Deed::ChangeHeartbeat, 6),
    (Deed::KillOperator, 8),
    (Deed::KillGateway, 3),
    (Deed::Wait, 6),
];

/// What has happened, and what is under way.
#[derive(Debug)]
pub(super) struct Deeds {
    random: SmallRng,
    server: Server,
    gateways: [Arc<Gateway>; 2],
    /// A gateway that is being started again.
    starting: [Option<JoinHandle<usize>>; 2],
    /// Starts of a gateway that came to nothing.
    failed_starts: usize,
    /// A value that was not there before.
    value: u32,
    done: BTreeMap<Deed, usize>,
}

impl Deeds {
    pub(super) fn new(random: SmallRng, server: &Server, sites: &[Site; 2]) -> Self {
        Self {
            random,
            server: server.clone(),
            gateways: sites.each_ref().map(|site| Arc::clone(&site.gateway)),
            starting: [None, None],
            failed_starts: 0,
            value: 0,
            done: BTreeMap::new(),
        }
    }

    /// What happened how often.
    pub(super) fn told(&self) -> String {
        let failed = self.failed_starts;
        format!("{:?}, {failed} starts of a gateway failed", self.done)
    }

    /// Lets the next thing happen, after a while.
    pub(super) async fn next(&mut self, world: &mut World, team: &mut Team) {
        let pause = self.random.random_range(0..2000);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let (deed, _) = *SHARES
            .choose_weighted(&mut self.random, |(_, share)| *share)
            .unwrap();
        self.value += 1;
        if deed != Deed::KillGateway {
            *self.done.entry(deed).or_default() += 1;
        }
        self.does(deed, world, team).await;
    }

    async fn does(&mut self, deed: Deed, world: &mut World, team: &mut Team) {
        let value = format!("v{}", self.value);
        match deed {
            Deed::RotateBySpec => {
                let name = &team.members[self.any(team)].name;
                spec::<Agent>(world, name, json!({"token": {"rotate": value}})).await;
            }
            Deed::RotateByAnnotation => {
                let name = &team.members[self.any(team)].name;
                let annotated = json!({"metadata": {"annotations": {ROTATE_TOKEN: value}}});
                patch::<Agent>(world, name, &annotated).await;
            }
            Deed::MoveAgent => self.move_agent(world, team).await,
            Deed::MoveBoard => {
                let board = &mut team.boards[1];
                board.place = board.place.other();
                let gateway = json!({"gatewayRef": {"name": board.place.name()}});
                spec::<BoardObject>(world, board.name, gateway).await;
            }
            Deed::PauseAgent => {
                // As often lifted as begun, whatever is under one.
                let lift = self.random.random_bool(0.5);
                let member = self.any(team);
                let under = team.members.iter().position(|member| member.paused);
                let member = under.filter(|_| lift).unwrap_or(member);
                let member = &mut team.members[member];
                member.paused = !member.paused;
                spec::<Agent>(world, &member.name, json!({"paused": member.paused})).await;
            }
            Deed::PauseBoard => {
                let under = team.boards.iter().position(|board| board.paused);
                let number = under.unwrap_or_else(|| self.random.random_range(0..2));
                let board = &mut team.boards[number];
                board.paused = !board.paused;
                spec::<BoardObject>(world, board.name, json!({"paused": board.paused})).await;
            }
            Deed::ChangeTemplates => {
                let number = self.random.random_range(0..2);
                team.rounds[number] += 1;
                let (name, data) = team.templates(number);
                patch::<ConfigMap>(world, name, &json!({"data": data})).await;
            }
            Deed::Wake => {
                let wakeful: Vec<_> = team.members().filter(|member| member.wakeful).collect();
                let name = &wakeful.choose(&mut self.random).unwrap().name;
                spec::<Agent>(world, name, json!({"wake": {"now": value}})).await;
            }
            Deed::Rename => {
                let member = self.worker(team);
                let member = &mut team.members[member];
                member.display_name = format!("Worker {value}");
                let name = json!({"displayName": member.display_name});
                spec::<Agent>(world, &member.name, name).await;
            }
            Deed::ChangeModel => {
                let models = [None, Some("fake/fake-1"), Some("fake/fake-2")];
                let member = self.worker(team);
                let member = &mut team.members[member];
                member.model = *models.choose(&mut self.random).unwrap();
                spec::<Agent>(world, &member.name, json!({"model": member.model})).await;
            }
            Deed::ChangeHeartbeat => {
                let member = self.worker(team);
                let every = self.random.random_range(31..90);
                let member = &mut team.members[member];
                member.every = Some(every);
                let every = json!({"heartbeat": {"every": format!("{every}m")}});
                spec::<Agent>(world, &member.name, every).await;
            }
            Deed::KillOperator => {
                self.server.is_down();
                world.kill_operator().await;
                let away = self.random.random_range(0..3000);
                tokio::time::sleep(Duration::from_millis(away)).await;
                world.start_operator(&[]).await;
                self.server.is_up();
            }
            Deed::KillGateway => self.kill_gateway().await,
            Deed::Wait => {
                let wait = self.random.random_range(4..12);
                tokio::time::sleep(Duration::from_secs(wait)).await;
            }
        }
    }

    /// Another Board, or a gateway without one.
    async fn move_agent(&mut self, world: &World, team: &mut Team) {
        let member = self.worker(team);
        let homes = [
            Home::Board(0),
            Home::Board(1),
            Home::Gateway(Place::First),
            Home::Gateway(Place::Second),
        ];
        let before = team.members[member].home;
        let homes: Vec<_> = homes.into_iter().filter(|home| *home != before).collect();
        let home = *homes.choose(&mut self.random).unwrap();
        team.members[member].home = home;
        let references = match home {
            Home::Board(number) => {
                json!({"boardRef": {"name": team.boards[number].name}, "gatewayRef": null})
            }
            Home::Gateway(place) => json!({"boardRef": null, "gatewayRef": {"name": place.name()}}),
        };
        spec::<Agent>(world, &team.members[member].name, references).await;
    }

    /// Kills one of the gateways, and starts it again while life goes on.
    async fn kill_gateway(&mut self) {
        let number = usize::from(self.random.random_bool(0.4));
        let away = self.random.random_range(0..3000);
        if let Some(starting) = self.starting[number].take() {
            // It takes longer to start than most of what happens meanwhile.
            if !starting.is_finished() {
                self.starting[number] = Some(starting);
                return;
            }
            self.failed_starts += starting.await.unwrap();
        }
        *self.done.entry(Deed::KillGateway).or_default() += 1;
        let gateway = Arc::clone(&self.gateways[number]);
        gateway.kill().await.unwrap();
        self.starting[number] = Some(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(away)).await;
            supervise(&gateway).await
        }));
    }

    /// Lifts every pause, and waits until everything that was killed is back.
    pub(super) async fn calm(&mut self, world: &World, team: &mut Team) {
        for board in team.boards.iter_mut().filter(|board| board.paused) {
            board.paused = false;
            spec::<BoardObject>(world, board.name, json!({"paused": false})).await;
        }
        for member in team.members.iter_mut().filter(|member| member.paused) {
            member.paused = false;
            spec::<Agent>(world, &member.name, json!({"paused": false})).await;
        }
        for starting in self.starting.iter_mut().filter_map(Option::take) {
            self.failed_starts += starting.await.unwrap();
        }
    }

    fn any(&mut self, team: &Team) -> usize {
        self.random.random_range(0..team.members.len())
    }

    fn worker(&mut self, team: &Team) -> usize {
        let owned = team.members().filter(|member| member.owned).count();
        self.random.random_range(owned..team.members.len())
    }
}

/// Starts a gateway that was killed, as whatever supervises it would: again where it gives up, which it does by itself when a busy
/// machine keeps it for five seconds from its own lease. Answers how often it did.
async fn supervise(gateway: &Gateway) -> usize {
    const STARTS: usize = 5;
    for failed in 0..STARTS {
        match gateway.start_again().await {
            Ok(()) => return failed,
            Err(error) => say(&format!("{error:#}")),
        }
        gateway.kill().await.unwrap();
    }
    panic!("the gateway does not start")
}

async fn spec<K>(world: &World, name: &str, spec: Value)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    patch::<K>(world, name, &json!({ "spec": spec })).await;
}

pub(super) async fn patch<K>(world: &World, name: &str, patch: &Value)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let api = Api::<K>::namespaced(world.client.clone(), NAMESPACE);
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}
