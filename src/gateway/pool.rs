//! All links by key, the writers by gateway process, and one shared look at each gateway.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::dial::{Dial, Tcp};
use super::members::{Members, Slot, Slots, lock};
use super::models::ModelCache;
use super::observed::Snapshot;
use super::{
    CallError, Device, Endpoint, GatewayEvent, Journal, Link, LinkState, Model, Observed, Writer,
};

/// Events kept for a slow reader; who misses some is told so.
const EVENTS_KEPT: usize = 1024;

/// How a pool behaves.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Config writes allowed per 60 s and gateway process. The gateway's own limit is 30.
    pub writes_per_minute: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            writes_per_minute: 30,
        }
    }
}

/// Something happened to the link of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolEvent {
    /// The key given to [`Pool::ensure`].
    pub key: Arc<str>,
    /// What happened.
    pub kind: PoolEventKind,
}

/// What happened to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolEventKind {
    /// It came up, and reaches the same process as before if it was up before.
    Up,
    /// It came up, and the gateway is another process than before: everything has to be looked at again.
    Restarted,
    /// It went down, was refused, or fails for another reason than before.
    Down,
    /// The gateway's config document changed.
    ConfigChanged,
    /// A heartbeat or another turn of this agent ended well.
    Alive(Arc<str>),
    /// The gateway has made the monitor of this agent's heartbeat.
    MonitorMade(Arc<str>),
}

/// All links of this operator. Clones share them.
#[derive(Clone, Debug)]
pub struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: PoolOptions,
    dial: Arc<dyn Dial>,
    slots: Arc<Slots>,
    writers: Arc<Writers>,
    events: broadcast::Sender<PoolEvent>,
}

/// The writers by the process that they write to.
#[derive(Debug, Default)]
struct Writers {
    by_boot: Mutex<HashMap<String, Writer>>,
}

impl Writers {
    /// Stops the writers of processes that no link of the pool reached last.
    fn prune(&self, slots: &Slots) {
        lock(&self.by_boot).retain(|boot, writer| {
            let reached = !slots
                .filter(|slot| lock(&slot.last_boot).as_ref() == Some(boot))
                .is_empty();
            if !reached {
                writer.stop();
            }
            reached
        });
    }
}

impl Drop for Inner {
    /// Ends every task of the pool. The watchers hold the slots, and the slots the watchers: taking the slots out undoes that.
    fn drop(&mut self) {
        for (_, slot) in self.slots.lock().drain() {
            slot.link.close();
        }
        for writer in lock(&self.writers.by_boot).values() {
            writer.stop();
        }
    }
}

impl Pool {
    /// An empty pool. Links and writers run as tasks of the current tokio runtime.
    #[must_use]
    pub fn new(options: PoolOptions) -> Self {
        Self::with_dial(options, Arc::new(Tcp))
    }

    pub(super) fn with_dial(options: PoolOptions, dial: Arc<dyn Dial>) -> Self {
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        Self {
            inner: Arc::new(Inner {
                options,
                dial,
                slots: Arc::default(),
                writers: Arc::default(),
                events,
            }),
        }
    }

    /// The link of `key`: the one there is when the endpoint is the same, else a new one (the old one is closed). One whose task has
    /// panicked is made anew. The journal is replaced in either case.
    #[must_use]
    pub fn ensure(&self, key: &str, endpoint: Endpoint, journal: Arc<dyn Journal>) -> Link {
        let mut slots = self.inner.slots.lock();
        if let Some(slot) = slots.get(key)
            && slot.endpoint == endpoint
            && !slot.link.has_ended()
        {
            *lock(&slot.journal) = journal;
            return slot.link.clone();
        }
        let link = Link::open_with(endpoint.clone(), Arc::clone(&self.inner.dial));
        let key: Arc<str> = key.into();
        let slot = Arc::new(Slot {
            key: Arc::clone(&key),
            endpoint,
            link: link.clone(),
            journal: Mutex::new(journal),
            snapshot: Snapshot::default(),
            models: ModelCache::default(),
            last_boot: Mutex::new(None),
            watcher: Mutex::new(None),
        });
        let watcher = tokio::spawn(watch_slot(
            Arc::downgrade(&slot),
            link.state(),
            link.events(),
            Arc::clone(&self.inner.slots),
            Arc::clone(&self.inner.writers),
            self.inner.events.clone(),
        ));
        *lock(&slot.watcher) = Some(AbortOnDropHandle::new(watcher));
        let replaced = slots.insert(key, slot);
        drop(slots);
        self.let_go(replaced);
        link
    }

    /// The link of `key`, where there is one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Link> {
        Some(self.inner.slots.get(key)?.link.clone())
    }

    /// The device with which the link of `key` was opened, with the token that the gateway issued to it last.
    #[must_use]
    pub fn device(&self, key: &str) -> Option<Device> {
        let slot = self.inner.slots.get(key)?;
        let issued = slot
            .link
            .hello()
            .and_then(|hello| hello.device_token.clone());
        let device = slot.endpoint.device.clone()?;
        Some(match issued {
            Some(token) => device.with_token(token),
            None => device,
        })
    }

    /// Closes and forgets the link of `key`.
    pub fn remove(&self, key: &str) {
        let removed = self.inner.slots.lock().remove(key);
        self.let_go(removed);
    }

    fn let_go(&self, slot: Option<Arc<Slot>>) {
        if let Some(slot) = slot {
            slot.link.close();
            drop(lock(&slot.watcher).take());
            self.inner.writers.prune(&self.inner.slots);
        }
    }

    /// The writer of the gateway process that the link of `key` reaches; `None` while it is not up. One whose task has panicked is made
    /// anew: who waited for it was told to come again.
    #[must_use]
    pub fn writer(&self, key: &str) -> Option<Writer> {
        let slot = self.inner.slots.get(key)?;
        let boot = slot.boot()?;
        *lock(&slot.last_boot) = Some(boot.clone());
        let mut writers = lock(&self.inner.writers.by_boot);
        if let Some(writer) = writers.get(&boot)
            && !writer.has_ended()
        {
            return Some(writer.clone());
        }
        let members = Members {
            slots: Arc::clone(&self.inner.slots),
            boot: boot.as_str().into(),
        };
        let writer = Writer::start(members, self.inner.options.writes_per_minute);
        writers.insert(boot, writer.clone());
        Some(writer)
    }

    /// One look at the gateway, shared by all who ask; with `newer_than` one that began after that instant.
    pub async fn observe(
        &self,
        key: &str,
        newer_than: Option<Instant>,
    ) -> Result<Arc<Observed>, CallError> {
        let slot = self.slot(key)?;
        slot.snapshot.observe(&slot.link, newer_than).await
    }

    /// The models that an agent may use, kept as long as the gateway's process and config are the same.
    pub async fn models(&self, key: &str, agent_id: &str) -> Result<Arc<Vec<Model>>, CallError> {
        let slot = self.slot(key)?;
        let observed = slot.snapshot.observe(&slot.link, None).await?;
        let boot = slot.boot().ok_or(CallError::Disconnected { sent: false })?;
        let version = (boot, observed.config.hash.clone());
        slot.models.get(&slot.link, version, agent_id).await
    }

    fn slot(&self, key: &str) -> Result<Arc<Slot>, CallError> {
        self.inner
            .slots
            .get(key)
            .ok_or(CallError::Disconnected { sent: false })
    }

    /// What happens to the links from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<PoolEvent> {
        self.inner.events.subscribe()
    }

    /// All keys, `key` included, whose links reach the same gateway process; only `key` while it has no link that is up.
    #[must_use]
    pub fn siblings(&self, key: &str) -> Vec<String> {
        match self.inner.slots.get(key).and_then(|slot| slot.boot()) {
            None => vec![key.to_owned()],
            Some(boot) => self
                .inner
                .slots
                .filter(|slot| slot.boot().as_ref() == Some(&boot))
                .iter()
                .map(|slot| slot.key.to_string())
                .collect(),
        }
    }
}

/// Follows one link: keeps the snapshot honest and tells the pool's listeners.
async fn watch_slot(
    slot: std::sync::Weak<Slot>,
    mut state: watch::Receiver<LinkState>,
    mut gateway: broadcast::Receiver<GatewayEvent>,
    slots: Arc<Slots>,
    writers: Arc<Writers>,
    listeners: broadcast::Sender<PoolEvent>,
) {
    let mut connection: Option<String> = None;
    let mut boot: Option<String> = None;
    let mut trouble: Option<String> = None;
    loop {
        let kind = tokio::select! {
            changed = state.changed() => {
                let (true, Some(slot)) = (changed.is_ok(), slot.upgrade()) else { return };
                let now = state.borrow_and_update().clone();
                match now {
                    LinkState::Up(hello) => {
                        trouble = None;
                        // Down and up again may be seen as one change.
                        if connection.as_ref() == Some(&hello.conn_id) {
                            continue;
                        }
                        connection = Some(hello.conn_id.clone());
                        slot.snapshot.forget();
                        *lock(&slot.last_boot) = Some(hello.boot_id.clone());
                        slots.announce();
                        writers.prune(&slots);
                        let last = boot.replace(hello.boot_id.clone());
                        if last.is_some_and(|last| last != hello.boot_id) {
                            PoolEventKind::Restarted
                        } else {
                            PoolEventKind::Up
                        }
                    }
                    LinkState::Connecting { last: None, .. } => continue,
                    LinkState::Connecting { last: Some(error), .. }
                    | LinkState::Refused { error, .. } => {
                        let text = error.to_string();
                        if connection.take().is_none() && trouble.as_ref() == Some(&text) {
                            continue;
                        }
                        trouble = Some(text);
                        PoolEventKind::Down
                    }
                    LinkState::Closed => return,
                }
            }
            event = gateway.recv() => {
                let Some(slot) = slot.upgrade() else { return };
                match event {
                    Ok(GatewayEvent::ConfigChanged) | Err(broadcast::error::RecvError::Lagged(_)) => {
                        slot.snapshot.forget();
                        PoolEventKind::ConfigChanged
                    }
                    Ok(GatewayEvent::Alive(agent_id)) => PoolEventKind::Alive(agent_id),
                    Ok(GatewayEvent::MonitorMade(agent_id)) => PoolEventKind::MonitorMade(agent_id),
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        };
        let Some(slot) = slot.upgrade() else { return };
        let key = Arc::clone(&slot.key);
        // Nobody may be listening.
        listeners.send(PoolEvent { key, kind }).ok();
    }
}
