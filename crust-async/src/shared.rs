//! The lock, and the one way to wait.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::{Arc, Mutex, PoisonError};

use crust_proto::Instant;

use crate::runtime::Runtime;
use crate::state::{Place, State};
use crate::waiters::Ticket;

/// What a node's handles and its driver share.
pub(crate) struct Shared {
    state: Mutex<State>,
    runtime: Arc<dyn Runtime>,
}

impl Shared {
    pub(crate) const fn new(state: State, runtime: Arc<dyn Runtime>) -> Self {
        Self { state: Mutex::new(state), runtime }
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    /// Works on the state, then wakes whom that concerns, with the lock open again.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State, Instant) -> T) -> T {
        // A panic under the lock is a defect that the panicking task reports; others go on.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: the engine's time never goes backwards.
        let now = self.runtime.now();
        let result = work(&mut state, now);
        let leaving = state.take_leaving();
        drop(state);
        leaving.leave();
        result
    }

    /// Looks at the state. Nobody is woken and no clock is asked.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One attempt at `work`; where it is pending the task waits at `place`.
    pub(crate) fn poll_at<T>(
        &self,
        cx: &Context<'_>,
        place: Place,
        ticket: Ticket,
        work: impl FnOnce(&mut State, Instant) -> Poll<T>,
    ) -> Poll<T> {
        self.with(|state, now| {
            let result = work(state, now);
            if result.is_pending() {
                state.register(place, ticket, cx.waker());
            }
            result
        })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Tries `work` until it is ready, each time somebody is woken at `place`.
///
/// Whatever `work` does, it does wholly or not at all, so the future can be dropped at any time.
pub(crate) fn until<T, W>(shared: &Shared, place: Place, work: W) -> Until<'_, W>
where
    W: FnMut(&mut State, Instant) -> Poll<T> + Unpin,
{
    Until { shared, place, ticket: None, work }
}

/// See [`until`].
pub(crate) struct Until<'a, W> {
    shared: &'a Shared,
    place: Place,
    /// Under which we are registered.
    ticket: Option<Ticket>,
    work: W,
}

impl<T, W: FnMut(&mut State, Instant) -> Poll<T> + Unpin> Future for Until<'_, W> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        this.shared.with(|state, now| {
            let result = (this.work)(state, now);
            match (&result, this.ticket) {
                (Poll::Pending, known) => {
                    let ticket = known.unwrap_or_else(|| state.ticket());
                    this.ticket = Some(ticket);
                    state.register(this.place, ticket, cx.waker());
                }
                (Poll::Ready(_), Some(ticket)) => {
                    this.ticket = None;
                    state.unregister(this.place, ticket);
                }
                (Poll::Ready(_), None) => {}
            }
            result
        })
    }
}

impl<W> Drop for Until<'_, W> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.with(|state, _| state.unregister(self.place, ticket));
        }
    }
}
