//! Explicit congestion notification: whether a path carries the marks, and what they say
//! (RFC 9000 §13.4, appendix A.4; RFC 3168).
//!
//! The first packets are sent marked as a test. Once an acknowledgement counts them rightly, all are; if
//! the peer does not count, or the counts cannot be true, none are until the path changes.

use crate::wire::frame::EcnCounts;

/// A mark in the IP header (RFC 3168 §5). A packet that carries none is `None` of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// ECT(0), 0b10: the sender understands congestion marks.
    Ect0,
    /// ECT(1), 0b01: as ECT(0); L4S senders use it.
    Ect1,
    /// CE, 0b11: a router on the way is congested.
    Ce,
}

/// How many marked packets test a path (RFC 9000 §A.4).
const TEST_PACKETS: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Packets are marked, this many more.
    Testing(u32),
    /// The test packets are out, the answer isn't here. It never comes where routers drop what is marked.
    Unknown,
    Capable,
    Failed,
}

/// The sender's side of ECN for one path.
#[derive(Clone, Copy, Debug)]
pub(super) struct EcnSender {
    state: State,
    /// Packets sent with ECT(0) in this packet-number space.
    sent: u64,
    /// What the peer has reported so far.
    counts: EcnCounts,
}

impl EcnSender {
    pub(super) fn new(enabled: bool) -> Self {
        let state = if enabled { State::Testing(TEST_PACKETS) } else { State::Failed };
        Self { state, sent: 0, counts: EcnCounts::default() }
    }

    /// The address changed: the new path is tested afresh. The counts go on, they are the space's.
    pub(super) fn restart(&mut self, enabled: bool) {
        *self = Self { sent: self.sent, counts: self.counts, ..Self::new(enabled) };
    }

    /// The mark for the next packet.
    pub(super) fn codepoint(&self) -> Option<Ecn> {
        matches!(self.state, State::Testing(_) | State::Capable).then_some(Ecn::Ect0)
    }

    /// A packet left. Returns whether it was marked.
    pub(super) fn on_sent(&mut self, ack_eliciting: bool) -> bool {
        let marked = self.codepoint().is_some();
        self.sent += u64::from(marked);
        // Only of ack-eliciting packets do we hear for sure whether they arrived.
        if let State::Testing(left) = self.state
            && ack_eliciting
        {
            self.state = if left > 1 { State::Testing(left - 1) } else { State::Unknown };
        }
        marked
    }

    /// Takes the counts of an acknowledgement that raised the largest number acknowledged, and newly
    /// acknowledged `marked` packets sent with ECT(0). Returns how many more CE marks are reported; zero
    /// where the counts don't validate (RFC 9000 §13.4.2.1).
    pub(super) fn on_ack(&mut self, marked: u64, counts: Option<EcnCounts>) -> u64 {
        if self.state == State::Failed {
            return 0;
        }
        let Some(new) = counts else {
            if marked > 0 {
                self.state = State::Failed;
            }
            return 0;
        };
        let old = self.counts;
        let rise = |new: u64, old: u64| new.checked_sub(old);
        let (Some(ect0), Some(ect1), Some(ce)) =
            (rise(new.ect0, old.ect0), rise(new.ect1, old.ect1), rise(new.ce, old.ce))
        else {
            self.state = State::Failed;
            return 0;
        };
        // We never send ECT(1); marks may not vanish, nor be more than were sent.
        if ect1 > 0 || ect0.saturating_add(ce) < marked || new.ect0.saturating_add(new.ce) > self.sent {
            self.state = State::Failed;
            return 0;
        }
        self.counts = new;
        if marked > 0 {
            self.state = State::Capable;
        }
        ce
    }
}

#[cfg(test)]
#[path = "ecn_tests.rs"]
mod tests;
