//! A rate limit that takes the time from outside: the generic cell rate algorithm (ITU-T I.371).

use crate::{Duration, Instant};

/// Lets one event pass every `every`, and `burst` of them at once after a pause.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    every: Duration,
    burst: u32,
    /// The theoretical arrival time: when the allowance is whole again.
    whole: Instant,
}

impl Rate {
    /// A limit of one event every `every`, and `burst` at once.
    pub const fn new(every: Duration, burst: u32) -> Self {
        Self { every, burst, whole: Instant::ZERO }
    }

    /// Whether an event may pass now; if so it counts.
    pub fn allow(&mut self, now: Instant) -> bool {
        let after = self.whole.max(now) + self.every;
        let allowed = after <= now + self.every * self.burst;
        if allowed {
            self.whole = after;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_more_passes_than_the_rate_and_one_burst(
            every in 1u64..1000,
            burst in 1u32..20,
            waits in prop::collection::vec(0u64..3000, 1..300),
        ) {
            let mut rate = Rate::new(Duration::from_millis(every), burst);
            let mut at = 0;
            let mut passed = 0;
            for wait in waits {
                at += wait;
                if rate.allow(Instant::ZERO + Duration::from_millis(at)) {
                    passed += 1;
                }
                prop_assert!(passed <= at / every + u64::from(burst));
            }
            prop_assert!(passed > 0);
        }
    }
}
