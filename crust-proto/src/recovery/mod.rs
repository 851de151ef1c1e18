//! Loss recovery and congestion control of one path with a packet-number space of its own: RFC 9002.
//!
//! Two halves that share nothing. [`Recovery`] follows the packets that we send: it gives them numbers,
//! takes the peer's acknowledgements, measures the round trip, declares losses, runs the one timer, and says
//! when how much may leave. [`Received`] follows the packets that the peer sends: it refuses duplicates and
//! decides when which acknowledgement goes back. Neither knows what packets are made of; a path keeps one of
//! each.
//!
//! # The life of a packet
//!
//! 1. [`Recovery::permit`] says how many bytes may leave now, or when, or that the window is full.
//! 2. The packet is built with [`Recovery::next_packet_number`] and marked with
//!    [`Recovery::ecn_codepoint`]; [`Recovery::on_sent`] records it with a description `T` of its content.
//!    A packet without ack-eliciting frames asks no permission and its `T` is dropped at once.
//! 3. Every description comes back exactly once: in [`Outcome::acked`] when the peer acknowledges the
//!    packet, in [`Outcome::lost`] when it is declared lost, or from [`Recovery::drain`] when the path is
//!    given up. What is in `lost` is for the caller to send again, on whatever path. A lost packet that is
//!    acknowledged late only counts as [`spuriously lost`](Stats::spuriously_lost), and may undo what its
//!    loss did to the window.
//! 4. [`Recovery::timeout`] is the one timer. It runs whenever something ack-eliciting is outstanding. When
//!    it fires (late is fine), [`Recovery::on_timeout`] declares losses, or asks for probes:
//!    [`Recovery::take_probe`] then exempts packets from the window and the pacer. They carry new data, or
//!    copies of what is [`outstanding`](Recovery::outstanding); a probe timeout declares nothing lost.
//!
//! # Bounds
//!
//! What is remembered of sent packets is what is in flight, hence bounded by the congestion window, plus two
//! short, bounded memories (packets that were only acknowledgements, packets lately lost). Receiving keeps
//! two bounded sets of ranges. Nothing is allocated per packet once the queues have grown.

pub mod congestion;
mod ecn;
mod pacer;
mod received;
mod rtt;
mod sender;
mod sent;

pub use congestion::CongestionKind;
pub use ecn::Ecn;
pub use received::Received;
pub use rtt::Rtt;
pub use sender::Recovery;

use crate::{Duration, Instant};

/// How a path recovers from loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryConfig {
    /// The round trip assumed before the first sample; 333 ms (RFC 9002 §6.2.2).
    pub initial_rtt: Duration,
    /// How long an acknowledgement may be held back, by us and by the peer; 25 ms (RFC 9000 §18.2).
    pub max_ack_delay: Duration,
    /// The initial congestion window in datagrams; 10 (RFC 9002 §7.2).
    pub initial_window_packets: u32,
    /// The congestion controller.
    pub congestion: CongestionKind,
    /// Whether sending is spread over the round trip (RFC 9002 §7.7). Off, whole windows leave at once.
    pub pacing: bool,
    /// Whether packets are marked ECT(0) as far as the path carries it. Off where the socket can't mark.
    pub ecn: bool,
}

impl Default for RecoveryConfig {
    fn default() -> Self {
        Self {
            initial_rtt: Duration::from_millis(333),
            max_ack_delay: Duration::from_millis(25),
            initial_window_packets: 10,
            congestion: CongestionKind::default(),
            pacing: true,
            ecn: true,
        }
    }
}

/// What an acknowledgement or a timeout led to. The caller keeps one and [clears](Outcome::clear) it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<T> {
    /// What arrived, in the order of the ACK's ranges.
    pub acked: Vec<T>,
    /// What was lost, oldest first.
    pub lost: Vec<T>,
    /// How many outstanding packets were acknowledged.
    pub newly_acked: usize,
    /// The largest of their numbers.
    pub largest_newly_acked: Option<u64>,
    /// Packets acknowledged that had been declared lost before.
    pub late: usize,
    /// The congestion window was reduced.
    pub congestion: bool,
    /// The losses make persistent congestion (RFC 9002 §7.6).
    pub persistent_congestion: bool,
}

impl<T> Outcome<T> {
    /// Forgets everything, keeping the allocations.
    pub fn clear(&mut self) {
        self.acked.clear();
        self.lost.clear();
        self.newly_acked = 0;
        self.largest_newly_acked = None;
        self.late = 0;
        self.congestion = false;
        self.persistent_congestion = false;
    }
}

impl<T> Default for Outcome<T> {
    fn default() -> Self {
        Self {
            acked: Vec::new(),
            lost: Vec::new(),
            newly_acked: 0,
            largest_newly_acked: None,
            late: 0,
            congestion: false,
            persistent_congestion: false,
        }
    }
}

/// The peer acknowledged what cannot have reached it. Its fault: PROTOCOL_VIOLATION (RFC 9000 §13.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// A packet number that was not sent, or was skipped on purpose.
    #[error("the peer acknowledged a packet that was never sent")]
    NeverSent,
}

/// What a timeout was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutKind {
    /// Nothing is due yet.
    None,
    /// Packets were declared lost.
    Lost,
    /// Nothing was heard for a probe timeout: [`Recovery::pending_probes`] ack-eliciting packets must be
    /// sent, whatever the window.
    Probe,
}

/// Whether an ack-eliciting packet may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It may, and so may others up to `bytes` in all, this one included.
    Now {
        /// The lesser of the window's room and the pacer's credit.
        bytes: usize,
    },
    /// The pacer says not before this time.
    At(Instant),
    /// The congestion window is full: not before an acknowledgement or a timeout.
    Blocked,
}

/// What a path's sending side has counted since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Ack-eliciting packets sent.
    pub sent: u64,
    /// Of these, those acknowledged in time.
    pub acked: u64,
    /// Of these, those declared lost.
    pub lost: u64,
    /// Of the lost, those acknowledged after all.
    pub spuriously_lost: u64,
    /// Reductions of the congestion window.
    pub congestion_events: u64,
    /// Reductions taken back since all losses were spurious.
    pub undone_congestion_events: u64,
    /// Times the congestion window collapsed to its minimum.
    pub persistent_congestions: u64,
    /// Packets that routers marked as having met congestion.
    pub ecn_ce: u64,
    /// Probe timeouts.
    pub probe_timeouts: u64,
}

/// A duration in nanoseconds; 584 years where it is longer.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
