//! No hello is taken twice: a bounded filter of MACs in two generations, and a window of wall time.
//!
//! A hello is fresh when its wall time is within [`WINDOW`] of ours, is not before the filter's *floor* (at
//! first our own start) and its MAC is not remembered. A
//! generation is dropped once the other one has lasted two windows or is full, and then the floor is raised to
//! the newest wall time it held, so that what is forgotten is also too old.
//!
//! A wall clock that was ahead, at our start or when hellos were taken, and then was set right leaves the floor in the
//! future, where no right time would ever be fresh. So the filter goes by a [time](ReplayFilter::time) of its own that
//! is never behind what the floor came from: strangers are told it, as they are told the time when their own clock is
//! wrong.

use std::collections::BTreeSet;

use crate::{Duration, Instant, UnixTime};

/// How far a hello's wall time may be from ours.
pub const WINDOW: Duration = Duration::from_secs(5 * 60);

/// Why a hello was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// Its wall time is too far from ours, or before the floor.
    Time,
    /// It was taken before.
    Replayed,
}

#[derive(Debug, Default)]
struct Generation {
    macs: BTreeSet<[u8; 16]>,
    newest: UnixTime,
}

/// The filter.
#[derive(Debug)]
pub struct ReplayFilter {
    current: Generation,
    previous: Generation,
    /// When `current` began.
    since: Instant,
    floor: UnixTime,
    /// The filter's own time was at least so much at that instant.
    line: (UnixTime, Instant),
    capacity: usize,
}

impl ReplayFilter {
    /// A filter that takes nothing from before `start` and remembers `capacity` hellos a generation.
    pub fn new(start: UnixTime, now: Instant, capacity: usize) -> Self {
        Self {
            current: Generation::default(),
            previous: Generation::default(),
            since: now,
            floor: start,
            line: (start, now),
            capacity: capacity.max(1),
        }
    }

    /// What time it is for the filter: the wall clock's, unless that was set back.
    pub fn time(&self, wall: UnixTime, now: Instant) -> UnixTime {
        let (time, at) = self.line;
        // It goes on, so that whoever was dated a whole window ahead blocks nobody for long; and at half the pace, so that
        // the right time catches up with it.
        wall.max(time + now.saturating_since(at) / 2)
    }

    /// Whether a hello of that time and MAC would be taken, at a [`time`](Self::time) of the filter's.
    ///
    /// # Errors
    ///
    /// [`Stale`]: why not.
    pub fn check(&self, sent: UnixTime, mac: &[u8; 16], time: UnixTime) -> Result<(), Stale> {
        if sent.abs_diff(time) > WINDOW || sent < self.floor {
            return Err(Stale::Time);
        }
        match self.knows(mac) {
            true => Err(Stale::Replayed),
            false => Ok(()),
        }
    }

    /// Whether a hello of that MAC was seen before.
    pub fn knows(&self, mac: &[u8; 16]) -> bool {
        self.current.macs.contains(mac) || self.previous.macs.contains(mac)
    }

    /// Remembers a hello that was not taken but answered, so that its repetition is not answered again. Being
    /// forgotten does it no harm, so its time does not count.
    pub fn remember_answered(&mut self, mac: [u8; 16], now: Instant) {
        self.remember(UnixTime::default(), mac, now);
    }

    /// The wall time that a stranger is to be told: the filter's, unless even that would be too old.
    pub fn acceptable(&self, time: UnixTime) -> UnixTime {
        time.max(self.floor)
    }

    /// Takes a hello that [`check`](Self::check) let pass.
    pub fn remember(&mut self, sent: UnixTime, mac: [u8; 16], now: Instant) {
        // A hello may be dated a window ahead, and stays fresh until a window after that.
        let lasted = now.saturating_since(self.since) > 2 * WINDOW;
        if lasted || self.current.macs.len() >= self.capacity {
            let dropped = core::mem::replace(&mut self.previous, core::mem::take(&mut self.current));
            // Also after a generation of full age: should our clock be set back, what is forgotten stays too old.
            if !dropped.macs.is_empty() {
                self.floor = self.floor.max(dropped.newest + Duration::from_millis(1));
            }
            self.since = now;
        }
        // It passed, so the filter's time was no earlier than that: nobody can hurry it.
        let least = UnixTime::from_millis(sent.as_millis().saturating_sub(WINDOW.as_secs() * 1000));
        self.line = (self.time(least, now), now);
        self.current.newest = self.current.newest.max(sent);
        self.current.macs.insert(mac);
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
