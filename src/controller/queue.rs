//! What is reconciled next: a work queue in which what a user has just changed comes before what only is to be looked at.
//!
//! As in client-go's workqueue an object waits once, is never reconciled twice at the same time, and comes again after its turn when it
//! was pushed meanwhile. A bounded number of turns work at once; one that waits for a config write lends its place to others, since a
//! config write takes seconds and serves all Agents that wait for it.
//!
//! Not kube's `Controller`: its scheduler hands out what is due in no order, so that an edit during a start would wait for thousands of
//! others, and it looks at every reconcile under way whenever one ends.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};

/// Turns of one kind that may be under way, most of them waiting for a config write. Bounds memory: each holds its Agent's texts.
const UNDER_WAY: usize = 1024;
/// So many more for what was edited, which must not wait for a place among those that wait.
const UNDER_WAY_EDITED: usize = 256;

/// How soon an object has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Somebody has just changed what it declares.
    Edited,
    /// Something else says that it should be looked at.
    Ordinary,
}

/// The queue of one kind. Clones share it.
#[derive(Debug)]
pub(super) struct Queue<T>(Arc<Shared<T>>);

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    /// There may be a turn to give.
    news: Notify,
}

/// Order of arrival within a rank.
type Number = u64;

#[derive(Debug)]
struct State<T> {
    last: Number,
    waiting: BTreeMap<(Rank, Number), T>,
    /// Where each of them waits.
    seats: HashMap<T, (Rank, Number)>,
    /// Those whose turn it is, and the rank with which they were pushed meanwhile.
    running: HashMap<T, Option<Rank>>,
    /// Those that come again by themselves.
    timers: BTreeMap<(Instant, Number), T>,
    alarms: HashMap<T, (Instant, Number)>,
    /// Places that nobody has.
    free: usize,
    /// Turns that have lent their places and want one back.
    returning: BTreeMap<(Rank, Number), oneshot::Sender<Place<T>>>,
}

impl<T: Hash + Eq + Clone> State<T> {
    fn number(&mut self) -> Number {
        self.last += 1;
        self.last
    }

    fn push(&mut self, object: &T, rank: Rank) {
        if let Some(meanwhile) = self.running.get_mut(object) {
            *meanwhile = Some(meanwhile.map_or(rank, |before| before.min(rank)));
            return;
        }
        if let Some(seat) = self.seats.get(object) {
            if seat.0 <= rank {
                return;
            }
            self.waiting.remove(seat);
        }
        let seat = (rank, self.number());
        self.waiting.insert(seat, object.clone());
        self.seats.insert(object.clone(), seat);
    }

    /// Whose turn it is, where there is a place for it. Those that come back to their places go first: what they began is nearly done.
    fn take(&mut self, now: Instant) -> Option<(T, Rank)> {
        while let Some(timer) = self.timers.first_entry()
            && timer.key().0 <= now
        {
            let object = timer.remove();
            self.alarms.remove(&object);
            self.push(&object, Rank::Ordinary);
        }
        let (&(rank, _), _) = self.waiting.first_key_value()?;
        let most = match rank {
            Rank::Edited => UNDER_WAY + UNDER_WAY_EDITED,
            Rank::Ordinary => UNDER_WAY,
        };
        if self.free == 0 || !self.returning.is_empty() || self.running.len() >= most {
            return None;
        }
        let (_, object) = self.waiting.pop_first()?;
        self.seats.remove(&object);
        // What it is looked at for now is what the timer was for.
        if let Some(alarm) = self.alarms.remove(&object) {
            self.timers.remove(&alarm);
        }
        self.running.insert(object.clone(), None);
        self.free -= 1;
        Some((object, rank))
    }

    fn end(&mut self, object: &T, again: Option<Instant>) {
        if let Some(Some(rank)) = self.running.remove(object) {
            self.push(object, rank);
        } else if let Some(at) = again {
            self.remind(object, at);
        }
    }

    /// The object has a turn at this time, unless it has one before.
    fn remind(&mut self, object: &T, at: Instant) {
        if self.seats.contains_key(object) {
            return;
        }
        match self.alarms.get(object) {
            Some(alarm) if alarm.0 <= at => return,
            Some(alarm) => {
                self.timers.remove(alarm);
            }
            None => {}
        }
        let alarm = (at, self.number());
        self.timers.insert(alarm, object.clone());
        self.alarms.insert(object.clone(), alarm);
    }
}

impl<T: Hash + Eq + Clone> Queue<T> {
    /// An empty queue with so many places.
    #[must_use]
    pub(super) fn new(places: u16) -> Self {
        let state = State {
            last: 0,
            waiting: BTreeMap::new(),
            seats: HashMap::new(),
            running: HashMap::new(),
            timers: BTreeMap::new(),
            alarms: HashMap::new(),
            free: places.into(),
            returning: BTreeMap::new(),
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            news: Notify::new(),
        }))
    }

    /// Has `object` reconciled soon.
    pub(super) fn push(&self, object: &T, rank: Rank) {
        self.lock().push(object, rank);
        self.0.news.notify_one();
    }

    /// Has `object` reconciled within this time: much that happens meanwhile costs one turn.
    pub(super) fn push_within(&self, object: &T, wait: Duration) {
        self.lock().remind(object, Instant::now() + wait);
        self.0.news.notify_one();
    }

    /// Waits for the next turn. For one caller at a time.
    pub(super) async fn next(&self) -> Turn<T> {
        loop {
            let due = {
                let mut state = self.lock();
                if let Some((object, rank)) = state.take(Instant::now()) {
                    drop(state);
                    return Turn {
                        queue: self.clone(),
                        object,
                        rank,
                        place: Mutex::new(Some(Place(self.clone()))),
                        again: Mutex::default(),
                    };
                }
                state.timers.first_key_value().map(|(&(at, _), _)| at)
            };
            let news = self.0.news.notified();
            match due {
                Some(at) => tokio::select! {
                    () = news => {}
                    () = sleep_until(at) => {}
                },
                None => news.await,
            }
        }
    }
}

impl<T> Queue<T> {
    /// Gives free places to those that want theirs back, and says that there is news.
    fn settle(&self) {
        loop {
            let (sender, place) = {
                let mut state = self.lock();
                if state.free == 0 {
                    break;
                }
                let Some((_, sender)) = state.returning.pop_first() else {
                    break;
                };
                state.free -= 1;
                (sender, Place(self.clone()))
            };
            // Who was cut off while waiting does not take it; then it is free again.
            drop(sender.send(place));
        }
        self.0.news.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.0.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to work. Given back when it is dropped.
#[derive(Debug)]
struct Place<T>(Queue<T>);

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        self.0.lock().free += 1;
        self.0.settle();
    }
}

/// One reconcile of one object, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<T: Hash + Eq + Clone> {
    queue: Queue<T>,
    object: T,
    rank: Rank,
    place: Mutex<Option<Place<T>>>,
    again: Mutex<Option<Instant>>,
}

impl<T: Hash + Eq + Clone> Turn<T> {
    /// Whose turn it is.
    pub(super) fn object(&self) -> &T {
        &self.object
    }

    /// Lets others work until `wait` is over and a place is free again.
    pub(super) async fn lend<O>(&self, wait: impl Future<Output = O>) -> O {
        self.hold(None);
        let waited = wait.await;
        let (sender, place) = oneshot::channel();
        {
            let mut state = self.queue.lock();
            let seat = (self.rank, state.number());
            state.returning.insert(seat, sender);
        }
        self.queue.settle();
        self.hold(place.await.ok());
        waited
    }

    /// The object comes again so long from now, or sooner when it is pushed after this turn.
    pub(super) fn again_after(&self, wait: Duration) {
        *lock(&self.again) = Some(Instant::now() + wait);
    }

    fn hold(&self, place: Option<Place<T>>) {
        // What was held is dropped after the lock: giving it back may wake others.
        let before = std::mem::replace(&mut *lock(&self.place), place);
        drop(before);
    }
}

impl<T: Hash + Eq + Clone> Drop for Turn<T> {
    fn drop(&mut self) {
        let again = *lock(&self.again);
        self.queue.lock().end(&self.object, again);
        self.hold(None);
        self.queue.0.news.notify_one();
    }
}

#[cfg(test)]
mod tests;
