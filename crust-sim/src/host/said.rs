//! What the segments of one connection have said, as far as smoltcp does not tell; and what is sent to wake it up.
//!
//! - smoltcp never asks a peer that has shut its window whether it is open again, and waits for ever when the word of it
//!   is lost. Its keep-alive is no help: it carries a byte, which a peer takes for data where something else was lost.
//! - Once the peer has sent its FIN, any acknowledgement makes smoltcp forget that it waits for others.
//!
//! So where a connection waits for its peer and smoltcp for nothing, an old segment without data goes to the peer, who
//! answers with its window (RFC 9293 §3.10.7.4); and smoltcp hears the last acknowledgement as often as makes it send again.

use crate::Flow;
use crate::packet::Packet;

#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Behind the last byte that was ever sent.
    sent: u32,
    /// What the peer was told last: acknowledgement and window.
    told: (u32, u16),
    /// What the peer has acknowledged, and its window.
    heard: (u32, u16),
    begun: bool,
}

impl Said {
    /// A segment that leaves.
    pub(crate) fn sends(&mut self, packet: &Packet) {
        let (Some((sequence, ack, window)), Some(flags)) = (packet.tcp_numbers(), packet.tcp_flags()) else {
            return;
        };
        let len = packet.payload().len() as u32 + u32::from(flags.syn) + u32::from(flags.fin);
        if !std::mem::replace(&mut self.begun, true) {
            (self.sent, self.heard.0) = (sequence, sequence);
        }
        let end = sequence.wrapping_add(len);
        if is_after(end, self.sent) {
            self.sent = end;
        }
        if flags.ack && !flags.rst {
            self.told = (ack, window);
        }
    }

    /// A segment that came. Anybody may have sent it.
    pub(crate) fn hears(&mut self, packet: &Packet) {
        let (Some((_, ack, window)), Some(flags)) = (packet.tcp_numbers(), packet.tcp_flags()) else {
            return;
        };
        if flags.ack && !flags.rst && !is_after(self.heard.0, ack) && !is_after(ack, self.sent) {
            self.heard = (ack, window);
        }
    }

    /// What asks the peer for its window.
    pub(crate) fn question(&self, flow: Flow) -> Option<Packet> {
        Packet::tcp_ack(flow, self.heard.0.wrapping_sub(1), self.told.0, self.told.1)
    }

    /// What makes smoltcp send again, as if the peer had sent it: another window, so that it counts anew, and the last
    /// acknowledgement four times, of which the second to the fourth repeat it (RFC 5681 §3.2). None where nothing is out.
    pub(crate) fn reminders(&self, flow: Flow) -> Vec<Packet> {
        let (ack, window) = self.heard;
        if !is_after(self.sent, ack) {
            return Vec::new();
        }
        let windows = [window ^ 1, window, window, window, window];
        windows
            .into_iter()
            .filter_map(|window| Packet::tcp_ack(flow.reversed(), self.told.0, ack, window))
            .collect()
    }
}

/// In sequence space (RFC 9293 §3.4).
const fn is_after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}
