//! A host's clocks: a monotonic one that may run fast or slow and stands still while the host sleeps, and a wall
//! clock that runs with it, goes on during sleep, and can be set.

use crust_proto::{Duration, Instant, UnixTime};

/// Skew beyond this many millionths is cut: a clock that stands still or runs backwards is no clock.
const MOST_SKEW: i32 = 500_000;

const MILLION: i128 = 1_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// The three readings below were true at this time of the world.
    world: Instant,
    local: Instant,
    /// Nanoseconds since 1970.
    wall: i128,
    skew: i32,
    running: bool,
}

impl Clock {
    pub(crate) fn new(now: Instant, wall: UnixTime) -> Self {
        Self { world: now, local: now, wall: nanos(wall), skew: 0, running: true }
    }

    /// What the host's clock advances while the world's advances by so much.
    fn skewed(&self, world: Duration) -> i128 {
        let world = world.as_nanos() as i128;
        if self.skew == 0 { world } else { world * (MILLION + i128::from(self.skew)) / MILLION }
    }

    /// The monotonic clock.
    pub(crate) fn local(&self, now: Instant) -> Instant {
        if !self.running {
            return self.local;
        }
        let passed = now.saturating_since(self.world);
        if self.skew == 0 {
            return self.local + passed;
        }
        self.local + Duration::from_nanos(u64::try_from(self.skewed(passed)).unwrap_or(u64::MAX))
    }

    /// The wall clock.
    pub(crate) fn wall(&self, now: Instant) -> UnixTime {
        let wall = self.wall + self.skewed(now.saturating_since(self.world));
        UnixTime::from_millis(u64::try_from(wall / MILLION).unwrap_or(0))
    }

    /// When in the world the monotonic clock will show at least `local`; `None` while it stands still.
    pub(crate) fn when(&self, local: Instant) -> Option<Instant> {
        if !self.running {
            return None;
        }
        let wait = local.saturating_since(self.local).as_nanos() as i128;
        let world = if self.skew == 0 {
            wait
        } else {
            let rate = MILLION + i128::from(self.skew);
            (wait * MILLION + rate - 1) / rate
        };
        Some(self.world + Duration::from_nanos(u64::try_from(world).unwrap_or(u64::MAX)))
    }

    fn rebase(&mut self, now: Instant) {
        self.wall += self.skewed(now.saturating_since(self.world));
        self.local = self.local(now);
        self.world = now;
    }

    /// Millionths that it runs fast (or slow, where negative) from now on.
    pub(crate) fn set_skew(&mut self, now: Instant, skew: i32) {
        self.rebase(now);
        self.skew = skew.clamp(-MOST_SKEW, MOST_SKEW);
    }

    pub(crate) fn set_wall(&mut self, now: Instant, wall: UnixTime) {
        self.rebase(now);
        self.wall = nanos(wall);
    }

    /// Whether the monotonic clock runs.
    pub(crate) fn set_running(&mut self, now: Instant, running: bool) {
        self.rebase(now);
        self.running = running;
    }
}

fn nanos(wall: UnixTime) -> i128 {
    i128::from(wall.as_millis()) * MILLION
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
