//! The receiving side: which packets are new, and when they are acknowledged (RFC 9000 §13.2).

use super::Ecn;
use crate::wire::codec::Writer;
use crate::wire::frame::{Ack, EcnCounts};
use crate::wire::ranges::RangeSet;
use crate::{Duration, Instant};

/// How many ranges the replay window keeps. Each lost packet leaves a gap in it for good; beyond so many,
/// what lies below the oldest is refused.
const MAX_SEEN_RANGES: usize = 256;

/// How many ranges an acknowledgement repeats (RFC 9000 §13.2.3).
const MAX_ACK_RANGES: usize = 64;

/// How many ack-eliciting packets are acknowledged at once (RFC 9000 §13.2.2).
const ACK_THRESHOLD: u32 = 2;

/// The packets that arrived on one path.
///
/// [`is_new`](Self::is_new) is asked before a packet is opened, [`on_packet`](Self::on_packet) told after it
/// proved authentic. An acknowledgement is owed at once for every second ack-eliciting packet, for one out of
/// order and for one that a router marked, for others within the maximum delay;
/// [`write_ack`](Self::write_ack) writes it. When the packet that carried it is acknowledged in turn,
/// [`on_ack_acked`](Self::on_ack_acked) stops the repetition.
#[derive(Clone, Debug)]
pub struct Received {
    max_ack_delay: Duration,
    ack_threshold: u32,
    /// The replay window: what arrived, from `floor` up.
    seen: RangeSet,
    /// Numbers below are refused unseen.
    floor: u64,
    /// What the next acknowledgement says; always with the largest number, once there is one.
    owed: RangeSet,
    /// When the largest number arrived.
    largest_at: Instant,
    /// The largest number of an ack-eliciting packet.
    largest_eliciting: Option<u64>,
    /// Ack-eliciting packets not yet in any acknowledgement.
    unacked: u32,
    /// When they must be.
    deadline: Option<Instant>,
    ecn: EcnCounts,
}

impl Received {
    /// A path on which nothing has arrived. `max_ack_delay` is ours, as the peer was told.
    pub fn new(max_ack_delay: Duration) -> Self {
        Self {
            max_ack_delay,
            ack_threshold: ACK_THRESHOLD,
            seen: RangeSet::default(),
            floor: 0,
            owed: RangeSet::default(),
            largest_at: Instant::ZERO,
            largest_eliciting: None,
            unacked: 0,
            deadline: None,
            ecn: EcnCounts::default(),
        }
    }

    /// After how many ack-eliciting packets in order an acknowledgement is due at once; 2 unless told, and 1
    /// at the least.
    pub fn set_ack_threshold(&mut self, packets: u32) {
        self.ack_threshold = packets.max(1);
    }

    /// Whether the packet has not arrived before. `false` too for numbers so old that it isn't known: no
    /// packet is ever new twice.
    pub fn is_new(&self, number: u64) -> bool {
        match self.seen.max() {
            Some(max) if number <= max => number >= self.floor && !self.seen.contains(number),
            _ => true,
        }
    }

    /// The largest number that arrived.
    pub fn largest(&self) -> Option<u64> {
        self.owed.max()
    }

    /// Takes note of an authentic packet, of the mark in its IP header, and whether it asks for an
    /// acknowledgement. One that is [not new](Self::is_new) is ignored.
    pub fn on_packet(&mut self, now: Instant, number: u64, ack_eliciting: bool, ecn: Option<Ecn>) {
        if !self.is_new(number) {
            return;
        }
        let Some(end) = number.checked_add(1) else { return };
        if self.owed.max().is_none_or(|largest| number > largest) {
            self.largest_at = now;
        }
        self.owed.insert(number..end);
        if self.owed.len() > MAX_ACK_RANGES {
            self.owed.pop_first();
        }
        self.seen.insert(number..end);
        if self.seen.len() > MAX_SEEN_RANGES
            && let Some(oldest) = self.seen.pop_first()
        {
            self.floor = oldest.end;
        }
        match ecn {
            Some(Ecn::Ect0) => self.ecn.ect0 += 1,
            Some(Ecn::Ect1) => self.ecn.ect1 += 1,
            Some(Ecn::Ce) => self.ecn.ce += 1,
            None => {}
        }
        if !ack_eliciting {
            return;
        }
        self.unacked = self.unacked.saturating_add(1);
        let at_once = self.unacked >= self.ack_threshold || ecn == Some(Ecn::Ce) || self.out_of_order(number);
        let due = if at_once { now } else { now + self.max_ack_delay };
        self.deadline = Some(self.deadline.map_or(due, |deadline| deadline.min(due)));
        self.largest_eliciting = self.largest_eliciting.max(Some(number));
    }

    /// Whether an acknowledgement must be sent now.
    pub fn ack_due(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// When an acknowledgement must be sent: now or in the past where it is due at once.
    pub fn ack_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether something ack-eliciting is in no acknowledgement yet, so that a packet that goes anyway had
    /// better carry one.
    pub fn has_unacked(&self) -> bool {
        self.unacked > 0
    }

    /// Writes an ACK frame for packets of `path` into `w`, in `room` bytes at most, and settles what was due.
    /// Returns the largest number in it; `None`, and nothing written or settled, where nothing arrived yet or
    /// not even one range fits.
    pub fn write_ack(&mut self, now: Instant, path: u32, room: usize, w: &mut Writer<'_>) -> Option<u64> {
        let delay = now.saturating_since(self.largest_at).as_micros();
        let delay = u64::try_from(delay).unwrap_or(u64::MAX);
        let ecn = (self.ecn != EcnCounts::default()).then_some(self.ecn);
        let largest = Ack::encode(path, &self.owed, delay, ecn, room, w)?;
        self.unacked = 0;
        self.deadline = None;
        Some(largest)
    }

    /// The peer has an acknowledgement of ours that went up to `largest`: what it held need not be repeated
    /// (RFC 9000 §13.2.4). Late packets below are still accepted, once, and acknowledged.
    pub fn on_ack_acked(&mut self, largest: u64) {
        // The largest stays: every ACK names it (RFC 9000 §13.2.3).
        let Some(max) = self.owed.max() else { return };
        self.owed.remove(0..max.min(largest.saturating_add(1)));
    }

    /// RFC 9000 §13.2.1: below the largest ack-eliciting packet, or above it with packets missing between.
    fn out_of_order(&self, number: u64) -> bool {
        let Some(largest) = self.largest_eliciting else { return self.missing_below(number, 0) };
        number < largest || self.missing_below(number, largest)
    }

    /// Whether something between `from` and `number`, just taken note of, is missing. The range of a number
    /// near the top is the last or one of the few before it.
    fn missing_below(&self, number: u64, from: u64) -> bool {
        let range = self.seen.iter().rev().find(|range| range.start <= number);
        range.is_some_and(|range| range.start > from)
    }
}
