//! Congestion controllers: how much may be in flight on one path.
//!
//! [`Recovery`](super::Recovery) tells a [`Controller`] what left, what arrived and what was lost; the
//! controller answers with a window, and, if it has an opinion, with a pacing rate. Which losses belong to
//! one congestion event, which acknowledgements fall into the recovery period after one (RFC 9002 §7.3.2)
//! and which packets were sent while the application left room in the window (§7.8) is decided by the
//! caller, once for all controllers.

mod cubic;

pub use cubic::Cubic;

use super::Rtt;
use crate::Instant;

/// No controller goes below this many datagrams (RFC 9002 §7.2).
pub const MIN_WINDOW_DATAGRAMS: u64 = 2;

/// No controller goes above this many bytes: 100 Gbit/s over 600 ms, and room for exact arithmetic.
pub const MAX_WINDOW: u64 = 1 << 33;

/// Which controller a path uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CongestionKind {
    /// CUBIC (RFC 9438).
    #[default]
    Cubic,
}

impl CongestionKind {
    /// A controller in slow start.
    pub fn build(self, datagram_size: u64, initial_window_packets: u32, now: Instant) -> Box<dyn Controller> {
        match self {
            Self::Cubic => Box::new(Cubic::new(datagram_size, initial_window_packets, now)),
        }
    }
}

/// What one ACK frame newly acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Acked<'a> {
    /// When the acknowledgement came.
    pub now: Instant,
    /// All bytes newly acknowledged.
    pub bytes: u64,
    /// Of these, the bytes that may let a window grow: sent after the last congestion event, and held back
    /// by the window or the pacer, not for want of data.
    pub growth: u64,
    /// When the newest of the newly acknowledged packets was sent.
    pub sent: Instant,
    /// Whether the application leaves the window unused, and did when that packet was in flight.
    pub app_limited: bool,
    /// Bytes in flight before this acknowledgement.
    pub in_flight: u64,
    /// All bytes ever acknowledged on this path, these included.
    pub delivered: u64,
    /// The same when the newest packet was sent; the difference over the time is a delivery rate.
    pub delivered_when_sent: u64,
    /// The round trip, with this acknowledgement's sample in it.
    pub rtt: &'a Rtt,
}

/// Packets were lost, or a router marked them.
#[derive(Clone, Copy, Debug)]
pub struct CongestionEvent {
    /// When it was learned.
    pub now: Instant,
    /// When the newest packet concerned was sent.
    pub sent: Instant,
    /// Bytes declared lost; zero for a mark.
    pub lost: u64,
    /// Bytes in flight before the loss was declared.
    pub in_flight: u64,
    /// Whether a new recovery period begins. Controllers that reduce once a round trip look only at these.
    pub first: bool,
    /// Whether a router's mark, not a loss, tells of the congestion.
    pub ecn: bool,
}

/// Decides how many bytes may be in flight, and how fast they leave.
pub trait Controller: core::fmt::Debug + Send + Sync {
    /// `bytes` in one ack-eliciting packet leave, with `in_flight` bytes already under way.
    fn on_sent(&mut self, now: Instant, bytes: u64, in_flight: u64);

    /// An ACK frame acknowledged packets for the first time.
    fn on_ack(&mut self, acked: &Acked<'_>);

    /// Packets were lost or marked. Called before the [`on_ack`](Self::on_ack) of the same ACK frame.
    fn on_congestion_event(&mut self, event: &CongestionEvent);

    /// Nothing arrived for so long that the estimate of the path is void (RFC 9002 §7.6). Follows the
    /// [`on_congestion_event`](Self::on_congestion_event) of the same losses.
    fn on_persistent_congestion(&mut self, now: Instant);

    /// All losses of the last congestion event turned out to be late arrivals (RFC 9438 §4.9). Never called
    /// where a mark or persistent congestion was part of it.
    fn on_spurious_loss(&mut self, now: Instant);

    /// Datagrams may now have another size, in bytes.
    fn on_mtu_update(&mut self, datagram_size: u64);

    /// How many bytes may be in flight.
    fn window(&self) -> u64;

    /// Bytes per second at which to send; `None` leaves it to window and round trip (RFC 9002 §7.7).
    fn pacing_rate(&self) -> Option<u64>;
}

/// The initial window in bytes: RFC 9002 §7.2's min(10 · size, max(2 · size, 14,720)), which grants jumbo
/// datagrams no more bytes, scaled to `packets` in place of ten.
pub(super) fn initial_window(datagram_size: u64, packets: u32) -> u64 {
    let packets = u64::from(packets).max(MIN_WINDOW_DATAGRAMS);
    let plain = datagram_size.saturating_mul(packets);
    let ceiling = packets.saturating_mul(1472).max(datagram_size.saturating_mul(MIN_WINDOW_DATAGRAMS));
    plain.min(ceiling).min(MAX_WINDOW)
}
