use super::*;
use proptest::prelude::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

#[test]
fn before_the_first_sample_the_initial_guess_counts() {
    let rtt = Rtt::new(MS(333));
    assert_eq!(rtt.smoothed(), MS(333));
    // RFC 9002 §6.2.2: twice the initial round trip more for the variance, and the peer's delay.
    assert_eq!(rtt.pto(MS(25)), MS(333 + 666 + 25));
    assert_eq!(rtt.first_sample(), None);
}

#[test]
fn the_first_sample_replaces_the_guess_and_ignores_the_ack_delay() {
    let mut rtt = Rtt::new(MS(333));
    rtt.on_sample(at(100), MS(80), MS(25));
    assert_eq!((rtt.latest(), rtt.min(), rtt.smoothed(), rtt.variance()), (MS(80), MS(80), MS(80), MS(40)));
    assert_eq!(rtt.first_sample(), Some(at(100)));
    assert_eq!(rtt.loss_delay(), MS(90));
}

#[test]
fn an_ack_delay_is_believed_only_down_to_the_least_round_trip() {
    let mut rtt = Rtt::new(MS(333));
    rtt.on_sample(at(0), MS(80), MS(0));
    let mut plausible = rtt;
    plausible.on_sample(at(1), MS(100), MS(20));
    assert_eq!(plausible.smoothed(), MS(80), "100 ms of which the peer took 20");
    rtt.on_sample(at(1), MS(100), MS(21));
    assert_eq!(rtt.smoothed(), Duration::from_micros(82_500), "an eighth of 20 ms more");
    assert_eq!(rtt.variance(), MS(35), "3/4 · 40 + 1/4 · 20");
}

#[test]
fn after_persistent_congestion_the_next_sample_is_the_least() {
    let mut rtt = Rtt::new(MS(333));
    rtt.on_sample(at(0), MS(10), MS(0));
    rtt.on_sample(at(1), MS(50), MS(0));
    assert_eq!(rtt.min(), MS(10));
    rtt.on_persistent_congestion();
    rtt.on_sample(at(2), MS(60), MS(0));
    assert_eq!(rtt.min(), MS(60));
    rtt.on_sample(at(3), MS(70), MS(0));
    assert_eq!(rtt.min(), MS(60));
}

#[test]
fn delays_shorter_than_the_granularity_are_rounded_up_to_it() {
    let mut rtt = Rtt::new(MS(333));
    rtt.on_sample(at(1), Duration::from_micros(10), MS(0));
    assert_eq!(rtt.loss_delay(), MS(1));
    assert_eq!(rtt.pto(MS(0)), Duration::from_micros(1010));
}

proptest! {
    #[test]
    fn estimates_stay_within_the_samples(samples in prop::collection::vec((any::<u64>(), 0u32..64, any::<u32>()), 1..50)) {
        let mut rtt = Rtt::new(MS(333));
        let samples: Vec<_> = samples.into_iter().map(|(n, shift, delay)| (n >> shift, delay)).collect();
        for &(sample, delay) in &samples {
            rtt.on_sample(at(1), Duration::from_nanos(sample), Duration::from_nanos(delay.into()));
            let _ = (rtt.loss_delay(), rtt.pto(MS(25)), rtt.persistent_congestion(MS(25)));
        }
        let least = samples.iter().map(|s| s.0).min().unwrap();
        let most = samples.iter().map(|s| s.0).max().unwrap();
        prop_assert_eq!(rtt.min(), Duration::from_nanos(least));
        // Each step of the integer mean rounds down by two nanoseconds at most, and eight such steps add up.
        prop_assert!(rtt.smoothed() <= Duration::from_nanos(most.saturating_add(2)));
        prop_assert!(rtt.smoothed() >= Duration::from_nanos(least.saturating_sub(16)));
    }
}
