//! Round-trip time estimation (RFC 9002 §5).

use super::nanos;
use crate::{Duration, Instant};

/// The coarsest timer the loss detector counts on: `kGranularity` (RFC 9002 §6.1.2), in nanoseconds.
const GRANULARITY: u64 = 1_000_000;

/// `kPersistentCongestionThreshold` (RFC 9002 §7.6.1).
const PERSISTENT_CONGESTION_THRESHOLD: u64 = 3;

/// What is known about the round-trip time of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtt {
    latest: u64,
    min: u64,
    smoothed: u64,
    variance: u64,
    first_sample: Option<Instant>,
    /// The next sample replaces the minimum, because the one known may be another route's.
    renew_min: bool,
}

impl Rtt {
    /// An estimator that believes `initial` until the first sample (RFC 9002 §5.3).
    pub fn new(initial: Duration) -> Self {
        let initial = nanos(initial);
        Self {
            latest: initial,
            min: initial,
            smoothed: initial,
            variance: initial / 2,
            first_sample: None,
            renew_min: false,
        }
    }

    /// The latest sample; the initial guess before the first.
    pub const fn latest(&self) -> Duration {
        Duration::from_nanos(self.latest)
    }

    /// The least sample seen (since the last persistent congestion); the initial guess before the first.
    pub const fn min(&self) -> Duration {
        Duration::from_nanos(self.min)
    }

    /// The exponentially weighted mean, without acknowledgement delays: `smoothed_rtt`.
    pub const fn smoothed(&self) -> Duration {
        Duration::from_nanos(self.smoothed)
    }

    /// The mean deviation: `rttvar`.
    pub const fn variance(&self) -> Duration {
        Duration::from_nanos(self.variance)
    }

    /// When the first sample was taken.
    pub const fn first_sample(&self) -> Option<Instant> {
        self.first_sample
    }

    /// How long after it was sent a packet is lost for certain once a later one was acknowledged
    /// (RFC 9002 §6.1.2: 9/8 of the round trip).
    pub fn loss_delay(&self) -> Duration {
        let rtt = self.smoothed.max(self.latest);
        Duration::from_nanos(rtt.saturating_add(rtt / 8).max(GRANULARITY))
    }

    /// The probe timeout before backoff (RFC 9002 §6.2.1).
    pub fn pto(&self, max_ack_delay: Duration) -> Duration {
        let spread = self.variance.saturating_mul(4).max(GRANULARITY);
        Duration::from_nanos(self.smoothed.saturating_add(spread).saturating_add(nanos(max_ack_delay)))
    }

    /// How long a run of losses makes persistent congestion (RFC 9002 §7.6.1).
    pub fn persistent_congestion(&self, max_ack_delay: Duration) -> Duration {
        Duration::from_nanos(nanos(self.pto(max_ack_delay)).saturating_mul(PERSISTENT_CONGESTION_THRESHOLD))
    }

    /// Takes a sample: `latest` between sending and the acknowledgement's arrival at `now`, of which the
    /// peer says it spent `ack_delay` (already capped at its maximum).
    pub(super) fn on_sample(&mut self, now: Instant, latest: Duration, ack_delay: Duration) {
        let latest = nanos(latest);
        self.latest = latest;
        if self.first_sample.is_none() {
            self.first_sample = Some(now);
            self.min = latest;
            self.smoothed = latest;
            self.variance = latest / 2;
            return;
        }
        self.min = if self.renew_min { latest } else { self.min.min(latest) };
        self.renew_min = false;
        // The delay is believed only as far as it leaves a plausible round trip.
        let adjusted = match latest.checked_sub(nanos(ack_delay)) {
            Some(rest) if rest >= self.min => rest,
            _ => latest,
        };
        let deviation = self.smoothed.abs_diff(adjusted);
        self.variance = self.variance - self.variance / 4 + deviation / 4;
        self.smoothed = self.smoothed - self.smoothed / 8 + adjusted / 8;
    }

    /// The path may have changed under us: the next sample becomes the minimum (RFC 9002 §5.2).
    pub(super) fn on_persistent_congestion(&mut self) {
        self.renew_min = true;
    }
}
