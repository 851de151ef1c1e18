//! What became of packets: acknowledged, acknowledged late, marked on their way, lost.

use super::Recovery;
use crate::recovery::congestion::CongestionEvent;
use crate::recovery::{Outcome, nanos};
use crate::wire::frame::Ack;
use crate::{Duration, Instant};

/// How many numbers later an acknowledged packet makes an earlier one lost (RFC 9002 §6.1.1).
const PACKET_THRESHOLD: u64 = 3;

/// For how many probe timeouts a lost packet's acknowledgement is awaited.
const LATE_PTOS: u64 = 3;

impl<T> Recovery<T> {
    /// Takes the packets of the ACK's ranges out of flight.
    pub(super) fn mark_acked(&mut self, ack: &Ack<'_>, outcome: &mut Outcome<T>) -> News {
        let mut news = News::default();
        // Below this nothing is open; ranges come highest first.
        let front = self.window.front().map(|packet| packet.number);
        let lowest = match (front, self.lost.lowest()) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b).unwrap_or(self.next_number),
        };
        let (path_start, recovery_below) = (self.path_start, self.recovery_below);
        let (app_limited, full_below) = (self.app_limited, self.full_below);
        let mut lost_above = self.lost.len();
        for range in ack.ranges() {
            let (from, to) = (*range.start(), *range.end());
            self.window.acknowledge(from, to, |packet, content| {
                outcome.acked.push(content);
                news.packets += 1;
                if packet.number < path_start {
                    return;
                }
                let bytes = u64::from(packet.size);
                let unused = app_limited && packet.number >= full_below;
                news.bytes += bytes;
                news.marked += u64::from(packet.ecn);
                if packet.number >= recovery_below && !unused {
                    news.growth += bytes;
                }
                if news.newest.is_none_or(|newest| packet.number > newest.number) {
                    news.newest = Some(Newest {
                        number: packet.number,
                        sent: packet.sent,
                        delivered: packet.delivered,
                        app_limited: unused,
                    });
                }
            });
            news.late += self.acknowledge_late(from, to, &mut lost_above);
            if from <= lowest {
                break;
            }
        }
        self.bytes_in_flight = self.bytes_in_flight.saturating_sub(news.bytes);
        self.delivered += news.bytes;
        self.stats.acked += news.packets as u64;
        outcome.newly_acked += news.packets;
        outcome.late += news.late;
        if let Some(newest) = news.newest {
            outcome.largest_newly_acked = outcome.largest_newly_acked.max(Some(newest.number));
        }
        news
    }

    /// Lost packets that arrived after all (RFC 9438 §4.9). Returns how many.
    fn acknowledge_late(&mut self, from: u64, to: u64, lost_above: &mut usize) -> usize {
        let (event, mut late, mut of_event) = (self.event, 0, 0);
        self.lost.acknowledge(from, to, lost_above, |of| {
            late += 1;
            of_event += u64::from(of == event);
        });
        if late == 0 {
            return 0;
        }
        self.stats.spuriously_lost += late as u64;
        self.lost_since = None;
        self.event_losses = self.event_losses.saturating_sub(of_event);
        if of_event > 0 && self.event_losses == 0 && self.undoable {
            // There was no congestion: the window is as before, and may grow at once.
            self.controller.on_spurious_loss(self.now);
            self.recovery_below = self.path_start;
            self.undoable = false;
            self.stats.undone_congestion_events += 1;
        }
        late
    }

    /// Congestion that routers marked (RFC 9002 §7.1). Returns whether it begins a congestion event.
    pub(super) fn process_ecn(
        &mut self,
        ack: &Ack<'_>,
        news: &News,
        largest_sent: Option<Instant>,
        in_flight: u64,
        outcome: &mut Outcome<T>,
    ) -> bool {
        let marks = self.ecn.on_ack(news.marked, ack.ecn);
        self.stats.ecn_ce += marks;
        if marks == 0 || ack.largest < self.path_start {
            return false;
        }
        let first = ack.largest >= self.recovery_below;
        if first {
            self.begin_event(outcome);
        }
        // A mark is no mistake.
        self.undoable = false;
        let now = self.now;
        let sent = largest_sent.or(news.newest.map(|newest| newest.sent)).unwrap_or(now);
        let event = CongestionEvent { now, sent, lost: 0, in_flight, first, ecn: true };
        self.controller.on_congestion_event(&event);
        first
    }

    /// Declares lost what the front of the window shows to be (RFC 9002 §6.1). Both thresholds are met in
    /// the order of sending, so the front is all that needs a look. Returns whether a congestion event begins.
    pub(super) fn detect_lost(&mut self, in_flight: u64, outcome: &mut Outcome<T>) -> bool {
        let now = self.now;
        let loss_delay = self.rtt.loss_delay();
        let persistent_after = self.rtt.persistent_congestion(self.config.max_ack_delay);
        let (mut bytes, mut newest, mut first, mut persistent) = (0, None, false, false);
        while let Some(front) = self.window.front() {
            if front.content.is_some() {
                let Some(largest) = self.largest_acked.filter(|&largest| front.number < largest) else {
                    break;
                };
                let by_count = largest - front.number >= PACKET_THRESHOLD;
                if !by_count && front.sent + loss_delay > now {
                    break;
                }
            }
            let Some(packet) = self.window.pop_front() else { break };
            if packet.acked_before || packet.content.is_none() {
                self.lost_since = None;
            }
            let Some(content) = packet.content else { continue };
            outcome.lost.push(content);
            self.stats.lost += 1;
            if packet.number < self.path_start {
                continue;
            }
            if packet.number >= self.recovery_below {
                self.begin_event(outcome);
                first = true;
            }
            self.lost.push(packet.number, now, self.event);
            self.event_losses += 1;
            bytes += u64::from(packet.size);
            newest = Some(packet.sent);
            // §7.6.2: two packets sent after the first sample, both lost, and nothing between them arrived.
            if self.rtt.first_sample().is_some_and(|sample| packet.sent > sample) {
                let since = *self.lost_since.get_or_insert(packet.sent);
                persistent |= packet.sent.saturating_since(since) > persistent_after;
            }
        }
        self.set_loss_time();
        let Some(sent) = newest else { return false };
        self.bytes_in_flight = self.bytes_in_flight.saturating_sub(bytes);
        let event = CongestionEvent { now, sent, lost: bytes, in_flight, first, ecn: false };
        self.controller.on_congestion_event(&event);
        if persistent {
            self.controller.on_persistent_congestion(now);
            self.rtt.on_persistent_congestion();
            self.undoable = false;
            self.lost_since = None;
            self.stats.persistent_congestions += 1;
            outcome.persistent_congestion = true;
        }
        first
    }

    /// A congestion event begins, and with it a recovery period: until a packet sent from now on is
    /// acknowledged, losses and marks belong to it.
    fn begin_event(&mut self, outcome: &mut Outcome<T>) {
        self.recovery_below = self.next_number;
        self.event += 1;
        self.event_losses = 0;
        self.undoable = true;
        self.stats.congestion_events += 1;
        outcome.congestion = true;
    }

    pub(super) fn set_loss_time(&mut self) {
        let overtaken = self.window.front().filter(|front| Some(front.number) < self.largest_acked);
        self.loss_time = overtaken.map(|front| front.sent + self.rtt.loss_delay());
    }

    pub(super) fn forget_lost(&mut self) {
        let horizon = nanos(self.pto()).saturating_mul(LATE_PTOS);
        self.lost.forget(self.now - Duration::from_nanos(horizon));
    }
}

/// What one ACK frame newly acknowledged.
#[derive(Debug, Default)]
pub(super) struct News {
    /// All packets.
    pub(super) packets: usize,
    /// Packets that arrived after they had been declared lost.
    pub(super) late: usize,
    /// The rest is of packets sent to the present address.
    pub(super) bytes: u64,
    /// Bytes that may let the window grow, unless this very ACK tells of congestion.
    pub(super) growth: u64,
    /// Packets sent with ECT(0).
    pub(super) marked: u64,
    pub(super) newest: Option<Newest>,
}

/// The newly acknowledged packet with the largest number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    pub(super) number: u64,
    pub(super) sent: Instant,
    pub(super) delivered: u64,
    pub(super) app_limited: bool,
}
