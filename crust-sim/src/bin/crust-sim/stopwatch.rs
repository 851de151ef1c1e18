//! How long the machine works. Nothing that a world does depends on it.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "it measures worlds from outside")]

use std::time::{Duration, Instant};

/// Measures the time since it was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    wall: Instant,
    cpu: Option<Duration>,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), cpu: thread_cpu() }
    }

    /// On the wall clock.
    pub(crate) fn wall(self) -> Duration {
        self.wall.elapsed()
    }

    /// For how long this thread, which must have started it, has had a processor, where the system tells.
    pub(crate) fn cpu(self) -> Option<Duration> {
        Some(thread_cpu()?.saturating_sub(self.cpu?))
    }
}

/// How long this thread has run on a processor so far: Linux tells it in nanoseconds (its Documentation,
/// scheduler/sched-stats).
fn thread_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}
