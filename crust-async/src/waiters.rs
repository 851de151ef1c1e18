//! Who waits for what.

use std::collections::BTreeMap;
use std::task::Waker;

/// Tasks that wait, by the place they wait at. Ordered, so that the order of waking is the same in every run.
#[derive(Debug)]
pub(crate) struct Waiters<P>(BTreeMap<(P, Ticket), Waker>);

/// Tells several tasks apart that wait at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

/// Wakers that left their place and await the opening of the lock.
///
/// Neither waking nor dropping one is done under it: both may run a task's destructor, which may want the lock.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    wake: Vec<Waker>,
    discard: Vec<Waker>,
}

impl Ticket {
    /// For places where only one can wait, since waiting takes `&mut`.
    pub(crate) const SOLE: Self = Self(0);
    const LAST: Self = Self(u64::MAX);
}

impl Leaving {
    pub(crate) fn wake(&mut self, waker: Option<Waker>) {
        self.wake.extend(waker);
    }

    pub(crate) fn discard(&mut self, waker: Option<Waker>) {
        self.discard.extend(waker);
    }

    /// With the lock open: wakes whom there is to wake, and drops the rest.
    pub(crate) fn leave(self) {
        self.wake.into_iter().for_each(Waker::wake);
    }
}

impl<P: Ord + Copy> Waiters<P> {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn register(&mut self, place: P, ticket: Ticket, waker: &Waker, leaving: &mut Leaving) {
        match self.0.get_mut(&(place, ticket)) {
            Some(known) if known.will_wake(waker) => {}
            Some(known) => leaving.discard(Some(std::mem::replace(known, waker.clone()))),
            None => {
                self.0.insert((place, ticket), waker.clone());
            }
        }
    }

    pub(crate) fn remove(&mut self, place: P, ticket: Ticket, leaving: &mut Leaving) {
        leaving.discard(self.0.remove(&(place, ticket)));
    }

    /// Everybody at `place`. All of them, since one that was chosen might have lost interest.
    pub(crate) fn wake(&mut self, place: P, leaving: &mut Leaving) {
        while let Some((&key, _)) = self.0.range((place, Ticket(0))..=(place, Ticket::LAST)).next() {
            leaving.wake(self.0.remove(&key));
        }
    }

    pub(crate) fn wake_all(&mut self, leaving: &mut Leaving) {
        leaving.wake.extend(std::mem::take(&mut self.0).into_values());
    }
}
