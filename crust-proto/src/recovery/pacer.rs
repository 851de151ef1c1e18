//! A token bucket that spreads a window over its round trip (RFC 9002 §7.7).
//!
//! Credit is counted in billionths of a byte, so that nanoseconds times bytes per second add up without
//! rounding: over any time, no more and no less leaves than the rate says. Credit that a late timer did not
//! spend is kept, up to one burst.

use crate::{Duration, Instant};

/// Credit for one byte.
const BYTE: u64 = 1_000_000_000;

/// The largest burst, so that its credit fits 64 bits.
const MAX_BURST: u64 = 1 << 33;

/// The largest rate in bytes per second; 1 TB/s is beyond what paces anything.
const MAX_RATE: u64 = 1 << 40;

/// Says when how many bytes may leave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacer {
    /// Bytes per second.
    rate: u64,
    /// Billionths of bytes.
    credit: u64,
    /// Billionths of bytes.
    burst: u64,
    /// When `credit` was right.
    at: Instant,
}

impl Pacer {
    /// A bucket with a full burst in it. `rate` is in bytes per second, `burst` in bytes.
    pub(super) fn new(now: Instant, rate: u64, burst: u64) -> Self {
        let burst = burst.clamp(1, MAX_BURST) * BYTE;
        Self { rate: rate.clamp(1, MAX_RATE), credit: burst, burst, at: now }
    }

    /// Goes on at another rate. Credit above the new burst is forfeit.
    pub(super) fn set(&mut self, now: Instant, rate: u64, burst: u64) {
        self.settle(now);
        self.rate = rate.clamp(1, MAX_RATE);
        self.burst = burst.clamp(1, MAX_BURST) * BYTE;
        self.credit = self.credit.min(self.burst);
    }

    /// How many bytes may leave at once.
    pub(super) fn available(&self, now: Instant) -> u64 {
        self.credit_at(now) / BYTE
    }

    /// When `bytes` may leave, or `None` where they may at once. What exceeds a burst waits for a full one.
    pub(super) fn ready_at(&self, now: Instant, bytes: u64) -> Option<Instant> {
        let wanted = bytes.saturating_mul(BYTE).min(self.burst);
        if self.credit_at(now) >= wanted {
            return None;
        }
        let wait = (wanted - self.credit).div_ceil(self.rate);
        Some(self.at + Duration::from_nanos(wait))
    }

    /// Takes what left. What was sent without asking (a probe) empties the bucket but leaves no debt.
    pub(super) fn on_sent(&mut self, now: Instant, bytes: u64) {
        self.settle(now);
        self.credit = self.credit.saturating_sub(bytes.saturating_mul(BYTE));
    }

    fn settle(&mut self, now: Instant) {
        if now > self.at {
            self.credit = self.credit_at(now);
            self.at = now;
        }
    }

    fn credit_at(&self, now: Instant) -> u64 {
        let elapsed = now.as_nanos().saturating_sub(self.at.as_nanos());
        if elapsed == 0 {
            return self.credit;
        }
        let earned = u128::from(elapsed) * u128::from(self.rate);
        u64::try_from(earned).unwrap_or(u64::MAX).saturating_add(self.credit).min(self.burst)
    }
}
