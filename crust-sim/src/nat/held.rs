//! SYNs from outside that nobody asked for, kept back from being answered (RFC 5382 REQ-4).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crust_proto::Instant;

/// Those that wait, by external and remote endpoint, and when each is answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    by_ends: BTreeMap<(SocketAddr, SocketAddr), Instant>,
    by_time: BTreeSet<(Instant, SocketAddr, SocketAddr)>,
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        self.by_ends.len()
    }

    /// Keeps one back. False where one of the same ends waits already.
    pub(crate) fn keep(&mut self, external: SocketAddr, remote: SocketAddr, until: Instant) -> bool {
        let new = !self.by_ends.contains_key(&(external, remote));
        if new {
            self.by_ends.insert((external, remote), until);
            self.by_time.insert((until, external, remote));
        }
        new
    }

    /// Takes one out: when it has waited until then, if it was there.
    pub(crate) fn take(&mut self, external: SocketAddr, remote: SocketAddr) -> Option<Instant> {
        let until = self.by_ends.remove(&(external, remote))?;
        self.by_time.remove(&(until, external, remote));
        Some(until)
    }

    /// Forgets those that nobody came for when their time was up.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(&(until, external, remote)) = self.by_time.first()
            && until < now
        {
            self.take(external, remote);
        }
    }
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
