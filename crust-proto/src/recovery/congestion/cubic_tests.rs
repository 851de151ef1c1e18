//! Held against RFC 9438's formulas, computed a second time with floats.

#![allow(clippy::cast_possible_truncation, reason = "floats are what is compared with")]

use super::*;
use crate::recovery::Rtt;
use proptest::prelude::*;

const SIZE: u64 = 1200;

fn at(secs: f64) -> Instant {
    Instant::from_nanos((secs * 1e9) as u64)
}

fn rtt(secs: f64) -> Rtt {
    let mut rtt = Rtt::new(Duration::ZERO);
    rtt.on_sample(Instant::ZERO, Duration::from_nanos((secs * 1e9) as u64), Duration::ZERO);
    rtt
}

fn acked<'a>(now: Instant, growth: u64, rtt: &'a Rtt) -> Acked<'a> {
    Acked {
        now,
        bytes: growth,
        growth,
        sent: now - rtt.smoothed(),
        app_limited: false,
        in_flight: growth,
        delivered: 0,
        delivered_when_sent: 0,
        rtt,
    }
}

fn loss(now: Instant) -> CongestionEvent {
    CongestionEvent { now, sent: now, lost: SIZE, in_flight: 0, first: true, ecn: false }
}

/// A controller in congestion avoidance, `window` bytes before its last reduction.
fn reduced(window: u64) -> Cubic {
    let mut cubic = Cubic::new(SIZE, 10, Instant::ZERO);
    cubic.state.window = window;
    cubic.on_congestion_event(&loss(Instant::ZERO));
    cubic
}

/// RFC 9438 §4 as it stands, in segments and seconds.
struct Reference {
    cwnd: f64,
    prior: f64,
    w_max: f64,
    w_est: f64,
    k: f64,
    start: f64,
}

impl Reference {
    fn new(prior: f64, start: f64) -> Self {
        let cwnd = prior * 0.7;
        Self { cwnd, prior, w_max: prior, w_est: cwnd, k: ((prior - cwnd) / 0.4).cbrt(), start }
    }

    fn w_cubic(&self, t: f64) -> f64 {
        0.4 * (t - self.k).powi(3) + self.w_max
    }

    fn on_ack(&mut self, now: f64, segments: f64, rtt: f64) {
        let t = now - self.start;
        let alpha = if self.w_est >= self.prior { 1.0 } else { 3.0 * 0.3 / 1.7 };
        self.w_est += alpha * segments / self.cwnd;
        if self.w_cubic(t) < self.w_est {
            self.cwnd = self.cwnd.max(self.w_est);
        } else {
            let target = self.w_cubic(t + rtt).clamp(self.cwnd, 1.5 * self.cwnd);
            self.cwnd += (target - self.cwnd) / self.cwnd * segments;
        }
    }
}

proptest! {
    #[test]
    fn the_cube_root_is_the_largest_integer_whose_cube_fits(n in any::<u128>(), shift in 0u32..128) {
        let n = n >> shift;
        let root = u128::from(cube_root(n));
        prop_assert!(root * root * root <= n);
        prop_assert!((root + 1).checked_pow(3).is_none_or(|above| above > n));
    }

    #[test]
    fn the_curve_is_the_formula(
        w_max in 1u64..MAX_WINDOW,
        size in 100u64..9000,
        fraction in 0.0f64..1.0,
        micros in 0u64..3_600_000_000,
    ) {
        let start = (w_max as f64 * fraction) as u64;
        let k = k(w_max - start, size);
        let segment = size as f64;
        let exact_k = ((w_max - start) as f64 / segment / 0.4).cbrt();
        prop_assert!((k as f64 / 1e6 - exact_k).abs() <= 2e-6 + exact_k * 1e-12);
        let t = micros as f64 / 1e6;
        // The slope times a microsecond is what rounding K may shift the curve by.
        let tolerance = 2.0 + segment * 1.2 * (t - exact_k).powi(2) * 2e-6 + w_max as f64 * 1e-9;
        let exact = (0.4 * (t - exact_k).powi(3) * segment + w_max as f64).max(0.0);
        let got = w_cubic(micros, k, w_max, size) as f64;
        prop_assert!((got - exact).abs() <= tolerance + exact * 1e-12, "{got} for {exact}");
    }

    #[test]
    fn the_window_follows_the_rfc_ack_by_ack(
        prior in 10u64..20_000,
        rtt_ms in 1u64..300,
        seconds in 1u64..40,
        burst in 1u64..4,
    ) {
        let rtt_secs = rtt_ms as f64 / 1e3;
        let estimate = rtt(rtt_secs);
        let mut cubic = reduced(prior * SIZE);
        let mut reference = Reference::new((prior * SIZE) as f64 / SIZE as f64, 1.0);
        reference.cwnd = cubic.window() as f64 / SIZE as f64;
        let mut now = 1.0;
        for _ in 0..20_000 {
            if now > 1.0 + seconds as f64 {
                break;
            }
            // One event stands for the whole of a few acknowledgements, as ACK frames do.
            let growth = burst * SIZE;
            cubic.on_ack(&acked(at(now), growth, &estimate));
            reference.on_ack(now, burst as f64, rtt_secs);
            let (got, want) = (cubic.window() as f64 / SIZE as f64, reference.cwnd);
            prop_assert!((got - want).abs() <= 0.2 + want * 1e-5, "{got} for {want} segments after {now} s");
            now += rtt_secs * burst as f64 / want;
        }
    }

    #[test]
    fn whatever_happens_the_window_stays_within_its_bounds(
        steps in prop::collection::vec((0u8..8, any::<u64>(), 0u32..64), 0..200),
        rtt_nanos in any::<u64>(),
        size in 1usize..70_000,
    ) {
        let mut cubic = Cubic::new(size as u64, 10, Instant::ZERO);
        let mut estimate = Rtt::new(Duration::ZERO);
        estimate.on_sample(Instant::ZERO, Duration::from_nanos(rtt_nanos), Duration::ZERO);
        let mut now = Instant::ZERO;
        for (kind, value, shift) in steps {
            let value = value >> shift;
            match kind {
                0..=2 => cubic.on_ack(&acked(now, value, &estimate)),
                3 => cubic.on_congestion_event(&loss(now)),
                4 => cubic.on_persistent_congestion(now),
                5 => cubic.on_spurious_loss(now),
                6 => cubic.on_mtu_update(value),
                _ => now = now + Duration::from_nanos(value),
            }
            cubic.on_sent(now, 1, value);
            prop_assert!(cubic.window() >= 2 * cubic.datagram_size);
            prop_assert!(cubic.window() <= MAX_WINDOW);
        }
    }
}

#[test]
fn slow_start_adds_what_was_acknowledged() {
    let mut cubic = Cubic::new(SIZE, 10, Instant::ZERO);
    let estimate = rtt(0.1);
    assert_eq!(cubic.window(), 12_000);
    cubic.on_ack(&acked(at(0.1), 12_000, &estimate));
    assert_eq!(cubic.window(), 24_000);
    cubic.on_ack(&acked(at(0.1), 0, &estimate));
    assert_eq!(cubic.window(), 24_000);
}

#[test]
fn the_initial_window_grants_jumbo_datagrams_no_more_bytes() {
    assert_eq!(Cubic::new(1200, 10, Instant::ZERO).window(), 12_000);
    assert_eq!(Cubic::new(1500, 10, Instant::ZERO).window(), 14_720);
    assert_eq!(Cubic::new(9000, 10, Instant::ZERO).window(), 18_000);
    assert_eq!(Cubic::new(1200, 32, Instant::ZERO).window(), 38_400);
    assert_eq!(Cubic::new(1200, 0, Instant::ZERO).window(), 2400);
}

#[test]
fn a_loss_takes_three_tenths_and_only_the_first_of_a_period() {
    let mut cubic = reduced(100_000);
    assert_eq!(cubic.window(), 70_000);
    cubic.on_congestion_event(&CongestionEvent { first: false, ..loss(at(0.1)) });
    assert_eq!(cubic.window(), 70_000);
}

#[test]
fn fast_convergence_lowers_the_peak_when_it_was_not_reached_again() {
    let mut cubic = reduced(100_000);
    cubic.on_congestion_event(&loss(at(1.0)));
    assert_eq!(cubic.window(), 49_000);
    assert_eq!(cubic.state.w_max, 59_500, "(1 + β) / 2 of the 70,000 before");
}

#[test]
fn one_round_trip_adds_half_the_window_at_the_most() {
    let mut cubic = reduced(100 * SIZE);
    let estimate = rtt(0.1);
    cubic.on_ack(&acked(at(1.0), SIZE, &estimate));
    // Acknowledgements of a window in use came to a halt for so long that the curve has left.
    let window = cubic.window();
    cubic.on_ack(&acked(at(100.0), window, &estimate));
    assert_eq!(cubic.window(), window + window / 2);
}

#[test]
fn the_curve_is_back_at_the_peak_after_k() {
    let mut cubic = reduced(1000 * SIZE);
    // A round trip so long that Reno stays below.
    let estimate = rtt(0.1);
    let k = (300.0f64 / 0.4).cbrt();
    let mut now = 1.0;
    while now < 1.0 + k {
        cubic.on_ack(&acked(at(now), cubic.window() / 100, &estimate));
        now += 0.001;
    }
    let segments = cubic.window() as f64 / SIZE as f64;
    assert!((segments - 1000.0).abs() < 1.0, "{segments} segments after K");
}

#[test]
fn time_without_data_to_send_does_not_count() {
    let estimate = rtt(0.05);
    let run = |pause: f64, app_limited: bool| {
        let mut cubic = reduced(1000 * SIZE);
        let mut now = 1.0;
        for i in 0..400 {
            if i == 100 {
                if app_limited {
                    // A trickle that leaves the window unused.
                    for _ in 0..10 {
                        let trickle = acked(at(now), SIZE, &estimate);
                        cubic.on_ack(&Acked { growth: 0, app_limited: true, ..trickle });
                        now += pause / 10.0;
                    }
                } else {
                    now += pause;
                    cubic.on_sent(at(now), SIZE, 0);
                }
            }
            cubic.on_ack(&acked(at(now), 20 * SIZE, &estimate));
            now += 0.002;
        }
        cubic.window()
    };
    let without = run(0.0, false);
    for paused in [run(60.0, false), run(60.0, true)] {
        assert!(paused.abs_diff(without) < 2 * SIZE, "{paused} after a pause, {without} without");
    }
}

#[test]
fn persistent_congestion_leaves_two_datagrams_and_slow_start() {
    let mut cubic = reduced(100_000);
    cubic.on_persistent_congestion(at(1.0));
    assert_eq!(cubic.window(), 2400);
    let estimate = rtt(0.1);
    cubic.on_ack(&acked(at(1.1), 2400, &estimate));
    assert_eq!(cubic.window(), 4800);
    // Slow start ends at the threshold; from there the curve rises from where it is.
    cubic.on_ack(&acked(at(1.2), 1_000_000, &estimate));
    assert!(cubic.window() >= 70_000);
    assert_eq!(cubic.state.w_max, 70_000);
    assert_eq!(cubic.state.epoch.unwrap().k, 0);
}

#[test]
fn a_spurious_loss_gives_everything_back() {
    let estimate = rtt(0.05);
    let mut cubic = reduced(1000 * SIZE);
    for i in 0..100 {
        cubic.on_ack(&acked(at(1.0 + f64::from(i) / 100.0), 10 * SIZE, &estimate));
    }
    let before = cubic.state;
    cubic.on_congestion_event(&loss(at(2.0)));
    assert!(cubic.window() < before.window);
    cubic.on_spurious_loss(at(2.05));
    assert_eq!(cubic.state, before);
    // Once.
    cubic.on_persistent_congestion(at(3.0));
    let collapsed = cubic.state;
    cubic.on_spurious_loss(at(3.0));
    assert_eq!(cubic.state, collapsed);
}

#[test]
fn another_datagram_size_moves_the_minimum_and_an_untouched_initial_window() {
    let mut cubic = Cubic::new(1200, 10, Instant::ZERO);
    cubic.on_mtu_update(1400);
    assert_eq!(cubic.window(), 14_000);
    cubic.on_ack(&acked(at(0.1), 1000, &rtt(0.1)));
    cubic.on_mtu_update(1450);
    assert_eq!(cubic.window(), 15_000);
    cubic.on_persistent_congestion(at(1.0));
    assert_eq!(cubic.window(), 2900);
    cubic.on_mtu_update(9000);
    assert_eq!(cubic.window(), 18_000);
}
