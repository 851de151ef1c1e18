//! A host's timers, by its own monotonic clock.

use std::collections::{BTreeMap, BTreeSet};

use crust_proto::Instant;

#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_token: BTreeMap<u64, Instant>,
    by_time: BTreeSet<(Instant, u64)>,
}

impl Timers {
    /// Sets the timer of that token, in place of what it was set to before.
    pub(crate) fn set(&mut self, token: u64, at: Instant) {
        if let Some(before) = self.by_token.insert(token, at) {
            if before == at {
                return;
            }
            self.by_time.remove(&(before, token));
        }
        self.by_time.insert((at, token));
    }

    pub(crate) fn cancel(&mut self, token: u64) {
        if let Some(at) = self.by_token.remove(&token) {
            self.by_time.remove(&(at, token));
        }
    }

    /// The earliest time.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// One whose time has come; it is gone then.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<u64> {
        let (at, token) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.by_time.pop_first();
        self.by_token.remove(&token);
        Some(token)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_time.len()
    }

    pub(crate) fn clear(&mut self) {
        self.by_token.clear();
        self.by_time.clear();
    }
}
