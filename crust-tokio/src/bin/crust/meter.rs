//! Progress: a bar on a terminal, a line now and then elsewhere, an event for machines.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, ProgressBar, ProgressStyle};

use crate::output::{Event, Output};

/// How often machines are told at most.
const EVENTS: Duration = Duration::from_millis(250);
/// How often a log is told at most.
const LINES: Duration = Duration::from_secs(2);

/// Shows how far one transfer is. Cheap to call as often as one likes, from any thread.
#[derive(Debug)]
pub(crate) struct Meter {
    out: Arc<Output>,
    peer: Option<String>,
    label: String,
    total: u64,
    bar: ProgressBar,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    from: u64,
    started: Instant,
    said: Option<Instant>,
}

impl Meter {
    /// A meter for `total` bytes, of which `from` were there before.
    ///
    /// `peer` is for machines, who hear nothing without one; `label` is for people.
    pub(crate) fn new(out: &Arc<Output>, peer: Option<String>, label: String, from: u64, total: u64) -> Self {
        let bar = out.bars().add(ProgressBar::new(total));
        let template =
            "{prefix}  {bar:24}  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta}";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(label.clone());
        bar.set_position(from);
        bar.reset_eta();
        let state = Mutex::new(State { from, started: Instant::now(), said: None });
        Self { out: out.clone(), peer, label, total, bar, state }
    }

    /// So many bytes of the file are there now.
    pub(crate) fn set(&self, bytes: u64) {
        self.bar.set_position(bytes);
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let due = |last: Option<Instant>, every| last.is_none_or(|last| now.duration_since(last) >= every);
        if self.out.json() {
            let Some(peer) = self.peer.as_deref() else { return };
            // The first one at once, and the last one always.
            if due(state.said, EVENTS) || bytes == self.total {
                state.said = Some(now);
                let total = self.total;
                self.out.event(&Event::Progress { peer, bytes, total, bytes_per_s: state.rate(bytes, now) });
            }
        } else if self.bar.is_hidden() && due(Some(state.said.unwrap_or(state.started)), LINES) {
            state.said = Some(now);
            self.out.say(format_args!(
                "{}: {} of {}, {}/s",
                self.label,
                BinaryBytes(bytes),
                BinaryBytes(self.total),
                BinaryBytes(state.rate(bytes, now)),
            ));
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.out.bars().remove(&self.bar);
    }
}

impl State {
    fn rate(&self, bytes: u64, now: Instant) -> u64 {
        per_second(bytes.saturating_sub(self.from), now.duration_since(self.started))
    }
}

/// Milliseconds, to the microsecond: the digits that follow say nothing.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

/// Bytes a second.
pub(crate) fn per_second(bytes: u64, time: Duration) -> u64 {
    let nanos = time.as_nanos().max(1);
    u64::try_from(u128::from(bytes) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_have_no_digits_that_say_nothing() {
        assert_eq!(millis(Duration::from_nanos(619_053)).to_string(), "0.619");
        assert_eq!(millis(Duration::from_secs(2)).to_string(), "2000");
    }
}
