//! Everything stops at a chosen request: what a client is killed at that never learned what became of it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::call::Call;

/// When a request is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Moment {
    /// Before the server hears of it.
    Before,
    /// After the server has answered, before the client hears of that.
    After,
}

/// A request to stop at.
pub(crate) struct Point {
    /// Which requests count.
    pub(crate) which: Box<dyn Fn(&Call) -> bool + Send>,
    /// The so many-th of them, from 1.
    pub(crate) nth: usize,
    /// When.
    pub(crate) moment: Moment,
}

#[derive(Default)]
struct Plan {
    point: Option<Point>,
    met: usize,
}

/// What every request passes twice.
#[derive(Default)]
pub(super) struct Gate {
    plan: Mutex<Plan>,
    halted: watch::Sender<bool>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Gate").field(&*self.halted.borrow()).finish()
    }
}

impl Gate {
    pub(super) fn halt_at(&self, point: Point) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        *plan = Plan {
            point: Some(point),
            met: 0,
        };
    }

    pub(super) async fn halted(&self) {
        // The sender is in this very gate.
        self.halted
            .subscribe()
            .wait_for(|halted| *halted)
            .await
            .ok();
    }

    pub(super) fn resume(&self) {
        self.plan
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .point = None;
        self.halted.send_replace(false);
    }

    /// Stops at a request that [`meet`](Self::meet) chose, now that it was answered; nothing where the plan was given up meanwhile.
    pub(super) fn halt_after(&self) {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        if plan.point.is_some() {
            self.halt();
        }
    }

    /// Counts a request that came, and answers whether it is the one to stop at once it was carried out.
    pub(super) fn meet(&self, call: &Call) -> bool {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let Plan {
            point: Some(point),
            met,
        } = &mut *plan
        else {
            return false;
        };
        if !(point.which)(call) {
            return false;
        }
        *met += 1;
        if *met != point.nth {
            return false;
        }
        if point.moment == Moment::Before {
            self.halt();
        }
        point.moment == Moment::After
    }

    pub(super) fn halt(&self) {
        self.halted.send_replace(true);
    }

    /// Waits while halted.
    pub(super) async fn pass(&self) {
        self.halted
            .subscribe()
            .wait_for(|halted| !halted)
            .await
            .ok();
    }
}
