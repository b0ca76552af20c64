//! Who may work: a bounded number of reconciles of one kind at the same time. One that only waits for a config write gives its place
//! away meanwhile.
//!
//! A config write takes seconds and serves all Agents that wait for it. If waiting took a place, as many Agents as there are places would
//! be written together and no more, and the Agents of one slow gateway would keep those of all others from working.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of one kind. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Semaphore>);

impl Slots {
    /// So many places.
    #[must_use]
    pub(super) fn new(places: u16) -> Self {
        Self(Arc::new(Semaphore::new(places.into())))
    }

    /// Waits for a place. Who came first gets one first.
    pub(super) async fn take(&self) -> Slot {
        Slot {
            held: Mutex::new(self.permit().await),
            slots: self.clone(),
        }
    }

    /// Nothing only if the semaphore were closed, which nobody does.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

/// One reconcile's place. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    held: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Slot {
    /// Lets others work until `wait` is over and a place is free again.
    pub(super) async fn lend<T>(&self, wait: impl Future<Output = T>) -> T {
        self.hold(None);
        let waited = wait.await;
        let permit = self.slots.permit().await;
        self.hold(permit);
        waited
    }

    fn hold(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use tokio::{sync::oneshot, time::timeout};

    use super::*;

    #[tokio::test]
    async fn who_works_keeps_others_out_and_who_waits_does_not() {
        let slots = Slots::new(1);
        let first = slots.take().await;
        assert!(slots.take().now_or_never().is_none());

        let (written, write) = oneshot::channel();
        let waiting = tokio::spawn(async move {
            first.lend(write).await.unwrap();
            first
        });
        let second = slots.take().await;
        written.send(()).unwrap();
        drop(second);
        let first = waiting.await.unwrap();
        assert!(slots.take().now_or_never().is_none(), "it works again");
        drop(first);
        assert!(slots.take().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_cut_off_while_it_waits_gives_back_no_second_place() {
        let slots = Slots::new(1);
        let slot = slots.take().await;
        let cut = timeout(
            Duration::from_secs(1),
            slot.lend(std::future::pending::<()>()),
        );
        assert!(cut.await.is_err());
        drop(slot);
        let one = slots.take().now_or_never();
        assert!(one.is_some());
        assert!(slots.take().now_or_never().is_none(), "two places of one");
    }
}
