//! `--limit-rate`: no faster than this, on average.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use crate::source::CHUNK;

/// How many steps there are in a second at least, so that a slow transfer moves evenly, and notices at once when
/// the other side has ended it.
const STEPS: u64 = 8;

/// Holds a transfer to a rate.
pub(crate) struct Pace {
    /// In bytes a second.
    rate: Option<u64>,
    /// When the next bytes may go.
    next: Option<Instant>,
    /// Comes when there is no reason any more to hold anything back.
    over: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Pace {
    /// At most `rate` bytes a second, or as fast as can be.
    pub(crate) fn new(rate: Option<u64>) -> Self {
        Self { rate, next: None, over: None }
    }

    /// The same, but only until `over`: what has arrived when the other side is gone is not worth waiting for.
    pub(crate) fn until(self, over: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { over: Some(Box::pin(over)), ..self }
    }

    /// How many bytes may go at once.
    pub(crate) fn portion(&self) -> usize {
        let step = self.rate.map_or(u64::MAX, |rate| (rate / STEPS).max(1));
        usize::try_from(step).unwrap_or(CHUNK).min(CHUNK)
    }

    /// Waits for the time of the next `bytes`.
    pub(crate) async fn wait(&mut self, bytes: usize) {
        let Some(rate) = self.rate else { return };
        let now = Instant::now();
        // What was not used up is lost: after a pause nothing is made up for.
        let when = self.next.unwrap_or(now).max(now);
        self.next = Some(when + Duration::from_secs(1).mul_f64(bytes as f64 / rate.max(1) as f64));
        let over = async {
            match &mut self.over {
                Some(over) => over.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep_until(when) => {}
            () = over => (self.rate, self.over) = (None, None),
        }
    }
}
