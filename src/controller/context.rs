//! What every reconcile may use. One value a process; nothing here changes after the start but what the parts guard themselves.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{api::core::v1::ObjectReference, jiff::Timestamp};
use kube::ResourceExt;
use tokio::time::Instant;

use crate::{
    api::Gateway,
    controller::{
        journal::StatusJournal, obstacles::Obstacles, remembered::Remembered, world::World,
    },
    gateway::{Link, LinkState, Pool},
    kube::{client::Clients, events::Events},
    metrics::Metrics,
    plan::{mark::ClusterId, orphans::Orphan, render::Renderer, retry, sources::Sources},
    server::agent_api::Directory,
    settings::ReconcileSettings,
};

/// The parts that reconciles share.
#[derive(Debug)]
pub(super) struct Context {
    /// Clients of the API server.
    pub clients: Clients,
    /// What is known of the cluster.
    pub world: Arc<World>,
    /// The links to the gateways.
    pub pool: Pool,
    /// Events to people.
    pub events: Events,
    /// Metrics.
    pub metrics: Metrics,
    /// Templates.
    pub renderer: Renderer,
    /// Waiting times.
    pub settings: ReconcileSettings,
    /// Identity of this cluster in ownership marks.
    pub cluster_id: ClusterId,
    /// When the process began to reconcile.
    pub started: Instant,
    /// Whom the API that agents call knows.
    pub directory: Directory,
    /// Where agents reach that API, where their Gateway does not say otherwise.
    pub agent_api_url: Option<String>,
    /// What keeps objects from going on.
    pub obstacles: Obstacles,
    /// What the texts of Agents were taken from when they were last gathered. Nothing while they are being gathered, or where one was
    /// missing: any change is news then.
    pub texts: Remembered<Sources>,
    /// The last message to each agent that this process knows to be at its gateway.
    pub sent: Remembered<Sent>,
    /// The agents without an Agent that were found last on each Gateway; none before this process has looked.
    pub orphans: Remembered<Vec<Orphan>>,
    asks: Remembered<String>,
    readmitted: Remembered<String>,
    journals: Remembered<Arc<StatusJournal>>,
    resyncs: Remembered<Resync>,
    heard_since: Remembered<Timestamp>,
}

/// A message that a gateway has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Of all messages to the agent, this one.
    pub attempt: String,
    /// When it was sent, or not before.
    pub at: Timestamp,
    /// The process of the gateway that has it.
    pub boot_id: String,
    /// Since when the gateway was listened to when it was sent, or asked for.
    pub heard_since: Option<Timestamp>,
}

/// When the Agents of one Gateway are compared with it next.
#[derive(Debug)]
struct Resync {
    due: Instant,
    round: u32,
}

impl Context {
    /// Puts the parts together.
    #[must_use]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one part, named where it is made"
    )]
    pub(super) fn new(
        clients: Clients,
        world: Arc<World>,
        pool: Pool,
        events: Events,
        metrics: Metrics,
        renderer: Renderer,
        settings: ReconcileSettings,
        cluster_id: ClusterId,
        directory: Directory,
        agent_api_url: Option<String>,
    ) -> Self {
        Self {
            clients,
            world,
            pool,
            events,
            metrics,
            renderer,
            settings,
            cluster_id,
            started: Instant::now(),
            directory,
            agent_api_url,
            obstacles: Obstacles::default(),
            texts: Remembered::default(),
            sent: Remembered::default(),
            orphans: Remembered::default(),
            asks: Remembered::default(),
            readmitted: Remembered::default(),
            journals: Remembered::default(),
            resyncs: Remembered::default(),
            heard_since: Remembered::default(),
        }
    }

    /// Since when the link of a Gateway is down; `None` while it is up. Without a link: since the start, because then nobody knows better.
    pub(super) fn down_since(&self, gateway_uid: &str) -> Option<Instant> {
        let Some(link) = self.pool.get(gateway_uid) else {
            return Some(self.started);
        };
        let state = link.state().borrow().clone();
        match state {
            LinkState::Up(_) => None,
            LinkState::Connecting { down_since, .. } | LinkState::Refused { down_since, .. } => {
                Some(down_since)
            }
            LinkState::Closed => Some(self.started),
        }
    }

    /// For how long the link of a Gateway has been down; `None` while it is up.
    pub(super) fn down_for(&self, gateway_uid: &str) -> Option<Duration> {
        let since = self.down_since(gateway_uid)?;
        Some(Instant::now().saturating_duration_since(since))
    }

    /// The link of a Gateway, if it is up.
    pub(super) fn link(&self, gateway_uid: &str) -> Option<Link> {
        let link = self.pool.get(gateway_uid);
        link.filter(|_| self.down_since(gateway_uid).is_none())
    }

    /// Since when this gateway could tell of its agents without a break, as far as it was asked; `None` while it cannot.
    pub(super) fn heard_since(&self, gateway_uid: &str) -> Option<Timestamp> {
        if self.down_since(gateway_uid).is_some() {
            self.heard_since.forget(gateway_uid);
            return None;
        }
        let now = Timestamp::now();
        // The clock may have been put back.
        let earlier = |since: &mut Timestamp| {
            *since = now.min(*since);
            *since
        };
        let since = self.heard_since.update(gateway_uid, || now, earlier);
        Some(since)
    }

    /// The journal of a Gateway; made from its status on first use.
    pub(super) fn journal(&self, gateway: &Gateway) -> Arc<StatusJournal> {
        let uid = gateway.uid().unwrap_or_default();
        let (client, events) = (self.clients.request.clone(), self.events.clone());
        let made = || Arc::new(StatusJournal::new(client, events, gateway));
        self.journals
            .update(&uid, made, |journal| Arc::clone(journal))
    }

    /// The journal of a Gateway that was reconciled before.
    pub(super) fn known_journal(&self, gateway_uid: &str) -> Option<Arc<StatusJournal>> {
        self.journals.get(gateway_uid)
    }

    /// Whether the Agents of a Gateway are due for a comparison now, which is so once a round, and the time until they are due next.
    pub(super) fn resync(&self, gateway_uid: &str) -> (bool, Duration) {
        let now = Instant::now();
        let interval = |round| retry::jittered(self.settings.resync_interval, gateway_uid, round);
        let first = || Resync {
            due: now + interval(0),
            round: 0,
        };
        self.resyncs.update(gateway_uid, first, |resync| {
            let is_due = resync.due <= now;
            if is_due {
                resync.round = resync.round.wrapping_add(1);
                resync.due = now + interval(resync.round);
            }
            (is_due, resync.due - now)
        })
    }

    /// Whether the annotation value `asked` was not seen on this object before. After a start every value is new once, which costs one look.
    pub(super) fn is_first_sight(&self, uid: &str, asked: &str) -> bool {
        self.asks.is_news(uid, asked.to_owned())
    }

    /// Whether the gateway process `boot_id` was not asked before to forget that it once deleted an agent of this Agent's id.
    pub(super) fn is_first_readmission(&self, uid: &str, boot_id: &str) -> bool {
        self.readmitted.is_news(uid, boot_id.to_owned())
    }

    /// Forgets an Agent that is gone.
    pub(super) fn forget_agent(&self, uid: &str) {
        self.obstacles.forget(uid);
        self.directory.forget(uid);
        self.directory.presence().forget(uid);
        self.texts.forget(uid);
        self.sent.forget(uid);
        self.asks.forget(uid);
        self.readmitted.forget(uid);
    }

    /// Tells people that something went as it should. Nothing is created in a namespace that is being deleted.
    pub(super) fn tell(&self, object: &ObjectReference, reason: &str, note: &str) {
        if !self
            .world
            .is_terminating(object.namespace.as_deref().unwrap_or_default())
        {
            self.events.normal(object, reason, note);
        }
    }

    /// Tells people that something needs their attention, under the same rule.
    pub(super) fn warn(&self, object: &ObjectReference, reason: &str, note: &str) {
        if !self
            .world
            .is_terminating(object.namespace.as_deref().unwrap_or_default())
        {
            self.events.warning(object, reason, note);
        }
    }

    /// Forgets a Gateway that is gone.
    pub(super) fn forget_gateway(&self, gateway_uid: &str) {
        self.obstacles.forget(gateway_uid);
        self.journals.forget(gateway_uid);
        self.resyncs.forget(gateway_uid);
        self.heard_since.forget(gateway_uid);
        self.orphans.forget(gateway_uid);
        self.pool.remove(gateway_uid);
    }
}
