//! What has to hold afterwards: what is declared and what is live are the same, and nobody holds a token that is not taken.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, ResourceExt as _, api::ListParams};
use mission_operator::api::{
    Agent,
    agent::PlaceState,
    annotation::{RECONCILE_NOW, ROTATE_TOKEN},
    condition,
};
use reqwest::StatusCode;
use serde_json::json;

use super::{
    Site,
    callers::{FAILURES, Server, token_in},
    deeds,
    team::{Member, NAMESPACE, Team},
};
use crate::{
    bed::wait::{until_file, wait_for_all},
    world::{PATIENCE, World, is_ready, say},
};

/// Calls of the gateway that change an agent or what is its own.
const WRITES: [&str; 6] = [
    "config.patch",
    "config.set",
    "agents.create",
    "agents.delete",
    "agents.files.set",
    "cron.scratch.set",
];

/// Time until all is settled. A gateway that has just been started runs its agents first, and takes no other roster meanwhile; on a
/// machine with other things to do that can take minutes.
const SETTLING: Duration = Duration::from_mins(12);

/// Seconds after which somebody who is not settled yet is told.
const LATE: u64 = 20;

/// Judges what is left.
pub(super) struct Verdict<'a> {
    world: &'a World,
    team: &'a Team,
    sites: &'a [Site; 2],
}

impl<'a> Verdict<'a> {
    pub(super) fn new(world: &'a World, team: &'a Team, sites: &'a [Site; 2]) -> Self {
        Self { world, team, sites }
    }

    fn site(&self, member: &Member) -> &Site {
        let place = self.team.place(member);
        self.sites.iter().find(|site| site.place == place).unwrap()
    }

    fn file(&self, member: &Member, name: &str) -> PathBuf {
        self.site(member).gateway.workspace(&member.id()).join(name)
    }

    /// Waits until every Agent is where and what it is declared to be, and compares what is live with that.
    pub(super) async fn all_as_declared(&self) {
        let members: BTreeMap<_, _> = self
            .team
            .members()
            .map(|it| (it.name.as_str(), it))
            .collect();
        // Who was not settled yet when it was looked last, and what its status said then.
        let (began, mut late) = (Instant::now(), BTreeMap::new());
        let api = Api::<Agent>::all(self.world.client.clone());
        let settled = wait_for_all(api, "all Agents are settled", SETTLING, |agents| {
            let is_late = |agent: &&&Agent| {
                let member = members[agent.name_any().as_str()];
                !is_settled(agent, self.team.place(member).name())
            };
            let unsettled: Vec<_> = agents.iter().filter(is_late).collect();
            let seen = unsettled.iter().map(|agent| {
                let seconds = began.elapsed().as_secs();
                (agent.name_any(), (seconds, what_is_said(agent)))
            });
            late.extend(seen);
            agents.len() == members.len() && unsettled.is_empty()
        });
        let settled = settled.await;
        late.retain(|_, (seconds, _)| *seconds > LATE);
        for (name, (seconds, said)) in &late {
            say(&format!(
                "{name} was settled after {seconds} s; until then: {said}"
            ));
        }
        let agents = settled.unwrap_or_else(|error| panic!("{error:#}: {late:#?}"));
        let api = Api::<Secret>::namespaced(self.world.client.clone(), NAMESPACE);
        let rotated = wait_for_all(api, "no rotation is under way", PATIENCE, |secrets| {
            secrets
                .iter()
                .all(|secret| text(secret, "nextToken").is_none())
        });
        rotated.await.unwrap();

        let ids: BTreeSet<_> = agents.iter().filter_map(id_of).collect();
        assert_eq!(ids.len(), members.len(), "an id twice: {ids:?}");
        for member in self.team.members() {
            let soul = self.team.soul(member);
            let path = self.file(member, "SOUL.md");
            until_file(&path, PATIENCE, |text| text == soul)
                .await
                .unwrap();
            let rules = std::fs::read_to_string(self.file(member, "AGENTS.md")).unwrap();
            let name = &member.display_name;
            assert!(rules.contains(&format!("# How {name} works")), "{rules}");
        }
        for site in self.sites {
            self.roster_as_declared(site).await;
        }
    }

    /// The gateway has the agents that are to be there, as declared, and none beside them and the others'.
    async fn roster_as_declared(&self, site: &Site) {
        let mut rpc = site.gateway.rpc().await.unwrap();
        rpc.config_applied().await.unwrap();
        let config = rpc.call("config.get", json!({})).await.unwrap();
        let entries = config["parsed"]["agents"]["entries"].as_object().unwrap();
        let here: Vec<_> = self
            .team
            .members()
            .filter(|it| self.team.place(it) == site.place)
            .collect();
        let mut declared: BTreeSet<String> = here.iter().map(|member| member.id()).collect();
        declared.extend(["main", "theirs"].map(str::to_owned));
        let written: BTreeSet<String> = entries.keys().cloned().collect();
        let running: BTreeSet<String> = rpc.agent_ids().await.unwrap().into_iter().collect();
        let name = site.place.name();
        assert_eq!(written, declared, "{name}");
        assert_eq!(running, declared, "{name}");
        for member in here {
            let id = member.id();
            for (pointer, value) in member.entry() {
                let there = entries[&id].pointer(pointer).cloned().unwrap_or_default();
                assert_eq!(there, value, "{pointer} of {id} on {name}");
            }
        }
    }

    fn writes(&self) -> BTreeMap<&str, usize> {
        let of = |method| {
            let counts = self.sites.iter().map(|site| site.relay.count(method));
            counts.sum()
        };
        WRITES.map(|method| (method, of(method))).into()
    }

    /// Every Agent compared anew with its gateway, twice: it takes no step and no write.
    pub(super) async fn nothing_left_to_do(&self) {
        let before = (self.steps().await, self.writes());
        let looks = |site: &Site| site.relay.count("agents.files.list");
        for round in ["one", "two"] {
            let mut goals = Vec::new();
            for site in self.sites {
                let here = self
                    .team
                    .members()
                    .filter(|it| self.team.place(it) == site.place);
                goals.push(looks(site) + here.count());
            }
            let annotated = json!({"metadata": {"annotations": {RECONCILE_NOW: round}}});
            for member in self.team.members() {
                deeds::patch::<Agent>(self.world, &member.name, &annotated).await;
            }
            for (site, goal) in self.sites.iter().zip(goals) {
                let looked = site
                    .relay
                    .until(|seen| seen.count("agents.files.list") >= goal);
                let looked = tokio::time::timeout(PATIENCE, looked).await;
                looked.expect("the Agents are not compared with the gateway");
            }
        }
        assert_eq!((self.steps().await, self.writes()), before);
    }

    /// What the operator counts of the steps that it took.
    async fn steps(&self) -> Vec<String> {
        let metrics = self.world.operator().metrics().await.unwrap();
        let lines = metrics.lines().map(str::to_owned);
        lines
            .filter(|line| line.starts_with("mission_operator_plan_steps"))
            // A message whose turn was killed with its gateway is due again by its own clock.
            .filter(|line| !line.contains("step=\"wake\""))
            .collect()
    }

    /// The token in every file is the one in the Secret and is taken; none of those that were `ever` in a file and are not any more is.
    pub(super) async fn tokens(&self, server: &Server, ever: &BTreeMap<String, String>) {
        let api = Api::<Secret>::namespaced(self.world.client.clone(), NAMESPACE);
        let mut valid = BTreeSet::new();
        let client = Server::client(2);
        for member in self.team.members() {
            let secret = api.get(&format!("{}-token", member.name)).await.unwrap();
            let token = token_in(&self.file(member, "AGENTS.md"));
            assert_eq!(token, text(&secret, "token"), "{}", member.name);
            let token = token.unwrap();
            let (status, body) = server.me(&client, &token).await.unwrap();
            assert_eq!(status, StatusCode::OK, "{}: {body}", member.name);
            assert_eq!(body["name"], member.name.as_str());
            valid.insert(token);
        }
        assert_eq!(valid.len(), self.team.members().count());
        let former: Vec<_> = ever
            .keys()
            .filter(|token| !valid.contains(*token))
            .collect();
        for (number, some) in former.chunks(FAILURES).enumerate() {
            let client = Server::client(10 + u8::try_from(number).unwrap());
            for token in some {
                let (status, body) = server.me(&client, token).await.unwrap();
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{}: {body}", ever[*token]);
            }
        }
        let listed = api.list(&ListParams::default()).await.unwrap();
        let secrets = listed
            .iter()
            .filter(|secret| text(secret, "token").is_some());
        let minted = secrets.filter(|secret| secret.name_any().ends_with("-token"));
        assert_eq!(minted.count(), valid.len());
        say(&format!("{} former tokens are refused", former.len()));
    }
}

fn id_of(agent: &Agent) -> Option<String> {
    agent.status.as_ref()?.agent_id.clone()
}

/// Its Ready and where it is.
fn what_is_said(agent: &Agent) -> String {
    let Some(status) = &agent.status else {
        return "nothing".to_owned();
    };
    let ready = condition::find(&status.conditions, condition::READY);
    let ready = ready.map(|it| format!("Ready={} {}: {}", it.status, it.reason, it.message));
    let places = status.places.iter();
    let places: Vec<_> = places
        .map(|it| format!("{} {:?}", it.gateway.name, it.state))
        .collect();
    format!("{} ({})", ready.unwrap_or_default(), places.join(", "))
}

/// Ready as declared at this one place, with everything done that was asked for once.
fn is_settled(agent: &Agent, gateway: &str) -> bool {
    let Some(status) = &agent.status else {
        return false;
    };
    let recorded = |key: &str| status.recorded.as_ref().and_then(|all| all.get(key));
    let token = agent.spec.token.as_ref();
    let rotate = token.and_then(|token| token.rotate.as_ref());
    let [place] = status.places.as_slice() else {
        return false;
    };
    is_ready(agent)
        && !condition::is_true(&status.conditions, condition::PAUSED)
        && place.state == PlaceState::Registered
        && place.gateway.name == gateway
        && place.leaving_since.is_none()
        && recorded("token.rotate") == rotate
        && recorded("rotate-token") == agent.annotations().get(ROTATE_TOKEN)
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
    Some(String::from_utf8(bytes.clone()).unwrap())
}
