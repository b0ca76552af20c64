//! What is declared: a main agent, two Boards with a lead each, twenty workers, and the templates of their texts.

use serde_json::{Value, json};

pub(super) const NAMESPACE: &str = "life";
const WORKERS: usize = 20;
/// Workers that are woken when they are made; the others are spared, because a model has to answer each.
const WAKEFUL: usize = 3;

/// One of the two gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    First,
    Second,
}

impl Place {
    /// Name of its Gateway.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// A Board.
#[derive(Debug, Clone)]
pub(super) struct Board {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) paused: bool,
}

/// Where an Agent works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// A Board, by its number.
    Board(usize),
    /// A gateway, without a Board.
    Gateway(Place),
}

/// An Agent, whoever declares it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    /// Declared by a Gateway or a Board.
    pub(super) owned: bool,
    pub(super) home: Home,
    pub(super) display_name: String,
    pub(super) model: Option<&'static str>,
    /// Minutes between two heartbeats, where it says so itself.
    pub(super) every: Option<u32>,
    pub(super) paused: bool,
    pub(super) wakeful: bool,
}

impl Member {
    /// Its id on every gateway.
    pub(super) fn id(&self) -> String {
        format!("{NAMESPACE}_{}", self.name)
    }

    /// What its entry on the gateway is to hold.
    pub(super) fn entry(&self) -> [(&'static str, Value); 4] {
        let every = self.every.unwrap_or(30);
        [
            ("/name", json!(self.display_name)),
            ("/model", json!(self.model)),
            ("/heartbeat/every", json!(format!("{every}m"))),
            ("/heartbeat/target", json!("none")),
        ]
    }
}

/// All that is declared.
#[derive(Debug)]
pub(super) struct Team {
    pub(super) boards: [Board; 2],
    pub(super) members: Vec<Member>,
    /// How often the templates of the Gateways, and those of the first Board, were changed.
    pub(super) rounds: [u32; 2],
}

impl Default for Team {
    fn default() -> Self {
        let board = |name| Board {
            name,
            place: Place::First,
            paused: false,
        };
        let member = |name: String, owned, home| Member {
            display_name: name.clone(),
            name,
            owned,
            home,
            model: None,
            every: None,
            paused: false,
            wakeful: owned,
        };
        let mut members = vec![
            member("first-main".to_owned(), true, Home::Gateway(Place::First)),
            member("north-lead".to_owned(), true, Home::Board(0)),
            member("south-lead".to_owned(), true, Home::Board(1)),
        ];
        members.extend((0..WORKERS).map(|n| {
            let mut worker = member(format!("w{n}"), false, Home::Board(n % 2));
            worker.display_name = format!("Worker {n}");
            worker.wakeful = n < WAKEFUL;
            worker
        }));
        Self {
            boards: [board("north"), board("south")],
            members,
            rounds: [0; 2],
        }
    }
}

impl Team {
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// The gateway that an Agent is to be on.
    pub(super) fn place(&self, member: &Member) -> Place {
        match member.home {
            Home::Board(number) => self.boards[number].place,
            Home::Gateway(place) => place,
        }
    }

    /// What is to stand in an Agent's SOUL.md.
    pub(super) fn soul(&self, member: &Member) -> String {
        let name = &member.display_name;
        match member.home {
            Home::Board(0) => format!("{name} of the desk, round {}.\n", self.rounds[1]),
            _ => format!("{name} of the house, round {}.\n", self.rounds[0]),
        }
    }

    /// The templates of the Gateways (0) or of the first Board (1), by the name of their ConfigMap.
    pub(super) fn templates(&self, number: usize) -> (&'static str, Value) {
        let round = self.rounds[number];
        if number == 0 {
            let soul = format!("{{{{ agent_name }}}} of the house, round {round}.");
            let beat = format!("Round {round}: look around.");
            ("house", json!({"SOUL.md": soul, "HEARTBEAT.md": beat}))
        } else {
            let soul = format!("{{{{ agent_name }}}} of the desk, round {round}.");
            ("desk", json!({"SOUL.md": soul}))
        }
    }

    /// All of it as a person writes it, one JSON object a line.
    pub(super) fn manifest(&self, urls: &[String; 2], token: &str, api: &str) -> String {
        let object = |kind: &str, name: &str, spec: Value| {
            json!({"apiVersion": "mission.openclaw.dev/v1alpha1", "kind": kind,
                "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
        };
        let own = |kind: &str, name: &str, key: &str, value: Value| {
            json!({"apiVersion": "v1", "kind": kind,
                "metadata": {"name": name, "namespace": NAMESPACE}, key: value})
        };
        let mut objects = vec![
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
            own("Secret", "openclaw", "stringData", json!({"token": token})),
        ];
        for number in 0..2 {
            let (name, data) = self.templates(number);
            objects.push(own("ConfigMap", name, "data", data));
        }
        for (place, url) in [Place::First, Place::Second].into_iter().zip(urls) {
            let mut spec = json!({
                "url": url, "agentApiUrl": api,
                "auth": {"tokenSecretRef": {"name": "openclaw", "key": "token"}},
                "heartbeat": {"every": "30m", "target": "none"},
                "templates": {"configMapRef": {"name": "house"}},
            });
            if place == Place::First {
                spec["mainAgent"] = json!({});
            }
            objects.push(object("Gateway", place.name(), spec));
        }
        for (number, board) in self.boards.iter().enumerate() {
            let mut spec = json!({"gatewayRef": {"name": board.place.name()}, "lead": {}});
            if number == 0 {
                spec["templates"] = json!({"configMapRef": {"name": "desk"}});
            }
            objects.push(object("Board", board.name, spec));
        }
        for member in self.members.iter().filter(|member| !member.owned) {
            let mut spec = json!({"displayName": member.display_name});
            if !member.wakeful {
                spec["wake"] = json!({"policy": "Never"});
            }
            if let Home::Board(number) = member.home {
                spec["boardRef"] = json!({"name": self.boards[number].name});
            }
            objects.push(object("Agent", &member.name, spec));
        }
        let lines: Vec<_> = objects.iter().map(Value::to_string).collect();
        lines.join("\n---\n")
    }
}
