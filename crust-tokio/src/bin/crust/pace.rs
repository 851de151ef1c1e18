//! `--limit-rate`: no faster than this, on average.

use std::time::Duration;

use tokio::time::Instant;

/// Holds a transfer to a rate.
#[derive(Debug)]
pub(crate) struct Pace {
    /// In bytes a second.
    rate: Option<u64>,
    /// When the next bytes may go.
    next: Option<Instant>,
}

impl Pace {
    /// At most `rate` bytes a second, or as fast as can be.
    pub(crate) fn new(rate: Option<u64>) -> Self {
        Self { rate, next: None }
    }

    /// Waits for the time of the next `bytes`.
    pub(crate) async fn wait(&mut self, bytes: usize) {
        let Some(rate) = self.rate else { return };
        let now = Instant::now();
        // What was not used up is lost: after a pause nothing is made up for.
        let when = self.next.unwrap_or(now).max(now);
        self.next = Some(when + Duration::from_secs(1).mul_f64(bytes as f64 / rate.max(1) as f64));
        tokio::time::sleep_until(when).await;
    }
}
