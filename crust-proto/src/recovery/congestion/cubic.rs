//! CUBIC (RFC 9438), in integer arithmetic: the same on every machine.
//!
//! A connection begins in slow start. At a congestion event the window shrinks to 0.7 of itself and the
//! size it had becomes `w_max`. The next acknowledgement that may grow the window opens an *epoch*: from
//! there the window follows a cubic curve in time that is flat around `w_max`, or the line that Reno would
//! take where that is above the curve. Time during which the application did not use the window does not
//! count.
//!
//! Sizes are bytes, times microseconds on the curve. Growth smaller than a byte is carried over, not lost.

use super::{Acked, CongestionEvent, Controller, MAX_WINDOW, MIN_WINDOW_DATAGRAMS, initial_window};
use crate::recovery::nanos;
use crate::{Duration, Instant};

/// β_cubic = 0.7 (RFC 9438 §4.6), in tenths.
const BETA_TENTHS: u64 = 7;

/// α_cubic = 3 (1 − β) / (1 + β) = 9/17 (RFC 9438 §4.3), in seventeenths.
const ALPHA_CUBIC: u64 = 9;

/// One, in the unit of [`ALPHA_CUBIC`].
const ALPHA_ONE: u64 = 17;

/// Microseconds³ in a second³, over C = 0.4 (RFC 9438 §5): curve = w_max + size · µs³ / this.
const MICROS_CUBED_OVER_C: u128 = 2_500_000_000_000_000_000;

/// Times on the curve are cut off here, more than a day: what is beyond is above any window.
const MAX_MICROS: u64 = 100_000_000_000;

/// Larger than any UDP datagram; it keeps the curve within 128 bits.
const MAX_DATAGRAM_SIZE: u64 = 1 << 16;

/// The CUBIC controller.
#[derive(Clone, Debug)]
pub struct Cubic {
    datagram_size: u64,
    initial_window_packets: u32,
    /// Nothing was acknowledged or lost yet.
    pristine: bool,
    /// When the latest acknowledgement came.
    last_ack: Instant,
    /// Since when the application has not been using the window.
    unused_since: Option<Instant>,
    state: State,
    /// The state before the last congestion event, while that may yet prove spurious.
    undo: Option<State>,
}

/// What a spurious congestion event takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    window: u64,
    slow_start_threshold: u64,
    w_max: u64,
    /// The window before the last reduction: `cwnd_prior`.
    prior: u64,
    epoch: Option<Epoch>,
}

/// One stage of congestion avoidance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Epoch {
    /// When it began, later by all the time that the window was not used.
    start: Instant,
    /// How long the curve takes up to `w_max`, in microseconds.
    k: u64,
    /// What Reno's window would be.
    w_est: u64,
    /// What of `w_est` is not yet a whole byte, in its fraction's numerator.
    w_est_carry: u64,
    /// What of the window is not yet a whole byte, in its fraction's numerator.
    carry: u64,
}

impl Cubic {
    /// A controller in slow start.
    pub fn new(datagram_size: u64, initial_window_packets: u32, now: Instant) -> Self {
        let datagram_size = datagram_size.clamp(1, MAX_DATAGRAM_SIZE);
        Self {
            datagram_size,
            initial_window_packets,
            pristine: true,
            last_ack: now,
            unused_since: None,
            state: State {
                window: initial_window(datagram_size, initial_window_packets),
                slow_start_threshold: u64::MAX,
                w_max: 0,
                prior: 0,
                epoch: None,
            },
            undo: None,
        }
    }

    fn min_window(&self) -> u64 {
        self.datagram_size * MIN_WINDOW_DATAGRAMS
    }

    /// Congestion avoidance: `growth` bytes arrived (RFC 9438 §4.2 to §4.5).
    fn avoid(&mut self, now: Instant, growth: u64, smoothed_rtt: Duration) {
        let size = self.datagram_size;
        let state = &mut self.state;
        let window = state.window;
        let epoch = state.epoch.get_or_insert_with(|| {
            // Without a peak to return to, the curve starts from where we are (§4.8).
            state.w_max = state.w_max.max(window);
            Epoch { start: now, k: k(state.w_max - window, size), w_est: window, w_est_carry: 0, carry: 0 }
        });
        let t = micros(now.saturating_since(epoch.start));

        // §4.3: W_est += α · segments acknowledged / cwnd, in bytes. Reno's own pace once it has caught up.
        let alpha = if epoch.w_est >= state.prior { ALPHA_ONE } else { ALPHA_CUBIC };
        let earned = size.saturating_mul(growth).saturating_mul(alpha).saturating_add(epoch.w_est_carry);
        epoch.w_est = epoch.w_est.saturating_add(earned / (ALPHA_ONE * window)).min(MAX_WINDOW);
        epoch.w_est_carry = earned % (ALPHA_ONE * window);

        if w_cubic(t, epoch.k, state.w_max, size) < epoch.w_est {
            state.window = window.max(epoch.w_est);
            epoch.carry = 0;
        } else {
            // §4.4, §4.5: towards where the curve is a round trip from now, at most half the window away.
            let ahead = t.saturating_add(micros(smoothed_rtt));
            let target = w_cubic(ahead, epoch.k, state.w_max, size).clamp(window, window + window / 2);
            let earned = (target - window).saturating_mul(growth).saturating_add(epoch.carry);
            state.window = window.saturating_add(earned / window).min(MAX_WINDOW);
            epoch.carry = earned % window;
        }
    }
}

impl Controller for Cubic {
    fn on_sent(&mut self, _now: Instant, _bytes: u64, in_flight: u64) {
        if in_flight == 0 {
            // Until now the path was idle: nothing grew since the last acknowledgement.
            self.unused_since.get_or_insert(self.last_ack);
        }
    }

    fn on_ack(&mut self, acked: &Acked<'_>) {
        self.pristine = false;
        self.last_ack = acked.now;
        if acked.app_limited {
            self.unused_since.get_or_insert(acked.now);
        }
        if acked.growth == 0 {
            return;
        }
        if let Some(since) = self.unused_since.take()
            && let Some(epoch) = &mut self.state.epoch
        {
            // §5.8: the curve goes on where it stood.
            epoch.start = epoch.start + acked.now.saturating_since(since.max(epoch.start));
        }
        let mut growth = acked.growth;
        let slow_start_left = self.state.slow_start_threshold.saturating_sub(self.state.window);
        if slow_start_left > 0 {
            let step = growth.min(slow_start_left);
            self.state.window = self.state.window.saturating_add(step).min(MAX_WINDOW);
            growth -= step;
        }
        if growth > 0 && self.state.window < MAX_WINDOW {
            self.avoid(acked.now, growth, acked.rtt.smoothed());
        }
    }

    fn on_congestion_event(&mut self, event: &CongestionEvent) {
        if !event.first {
            return;
        }
        self.pristine = false;
        self.undo = Some(self.state);
        let min_window = self.min_window();
        let state = &mut self.state;
        let window = state.window;
        // §4.7, fast convergence: who did not get back to its peak makes room for others.
        state.w_max = if window < state.w_max { window * (10 + BETA_TENTHS) / 20 } else { window };
        state.prior = window;
        // §4.6; the window in place of the flight size, as growth needs a used window anyway.
        state.window = (window * BETA_TENTHS / 10).max(min_window);
        state.slow_start_threshold = state.window;
        state.epoch = None;
    }

    fn on_persistent_congestion(&mut self, _now: Instant) {
        self.undo = None;
        self.state.window = self.min_window();
        // §4.8: after slow start the curve begins where it is then.
        self.state.w_max = 0;
        self.state.epoch = None;
    }

    fn on_spurious_loss(&mut self, _now: Instant) {
        if let Some(before) = self.undo.take() {
            let window = self.state.window;
            self.state = before;
            self.state.window = before.window.max(window);
        }
    }

    fn on_mtu_update(&mut self, datagram_size: u64) {
        self.datagram_size = datagram_size.clamp(1, MAX_DATAGRAM_SIZE);
        if self.pristine {
            self.state.window = initial_window(self.datagram_size, self.initial_window_packets);
        }
        self.state.window = self.state.window.max(self.min_window());
        // The curve is in segments: it starts again from here.
        self.state.epoch = None;
        self.undo = None;
    }

    fn window(&self) -> u64 {
        self.state.window
    }

    fn pacing_rate(&self) -> Option<u64> {
        None
    }
}

/// W_cubic(t) = C (t − K)³ + W_max (RFC 9438 §4.2, figure 1), in bytes.
fn w_cubic(t: u64, k: u64, w_max: u64, datagram_size: u64) -> u64 {
    let distance = u128::from(t.abs_diff(k).min(MAX_MICROS));
    let off = u128::from(datagram_size) * distance * distance * distance / MICROS_CUBED_OVER_C;
    let off = u64::try_from(off).unwrap_or(u64::MAX);
    if t >= k { w_max.saturating_add(off) } else { w_max.saturating_sub(off) }
}

/// K = cbrt((W_max − cwnd_epoch) / C) (RFC 9438 §4.2, figure 2), in microseconds; `gap` is in bytes.
fn k(gap: u64, datagram_size: u64) -> u64 {
    cube_root(u128::from(gap) * MICROS_CUBED_OVER_C / u128::from(datagram_size.max(1)))
}

/// The largest integer whose cube is no more than `n`, by Newton's method from above.
fn cube_root(n: u128) -> u64 {
    if n == 0 {
        return 0;
    }
    // 2^⌈bits/3⌉ is at least the root, and from above Newton's steps fall until they reach it.
    let bits = u128::BITS - n.leading_zeros();
    let mut root = 1u128 << bits.div_ceil(3);
    loop {
        let next = (2 * root + n / (root * root)) / 3;
        if next >= root {
            return u64::try_from(root).unwrap_or(u64::MAX);
        }
        root = next;
    }
}

fn micros(duration: Duration) -> u64 {
    nanos(duration) / 1000
}
