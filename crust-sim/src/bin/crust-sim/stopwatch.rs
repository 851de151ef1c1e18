//! How long the machine works. Nothing that a world does depends on it.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "it measures worlds from outside")]

use std::time::{Duration, Instant};

/// What work cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Effort {
    /// On the wall clock.
    pub(crate) wall: Duration,
    /// Of all threads, where the system tells.
    pub(crate) cpu: Option<Duration>,
}

/// Measures the time since it was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// How long this thread has run on a processor so far: Linux tells it in nanoseconds (its Documentation,
/// scheduler/sched-stats).
pub(crate) fn thread_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}
