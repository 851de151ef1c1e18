//! A TCP connection as a box on the way sees it: by the flags of its packets.
//!
//! A connection opens by a SYN from either side, or by two that cross (simultaneous open, RFC 5382 REQ-2); it is
//! established once both sides have acknowledged something, closing from the first FIN or an RST on (RFC 5382 §5).
//! A new SYN on a closing one opens it afresh. An RST to a SYN that nobody has answered ends it at once.

use crate::TcpFlags;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From inside.
    Outbound,
    /// From outside.
    Inbound,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Opening,
    Established,
    Closing,
}

/// What was seen of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Connection {
    outbound: Half,
    inbound: Half,
    reset: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Half {
    any: bool,
    ack: bool,
    fin: bool,
}

impl Connection {
    /// Takes note of a packet. False if the connection is over and its entry should go at once.
    pub(crate) fn advance(&mut self, direction: Direction, flags: TcpFlags) -> bool {
        if flags.rst {
            self.reset = true;
            return self.outbound.any && self.inbound.any;
        }
        if flags.syn && !flags.ack && self.phase() == Phase::Closing {
            *self = Self::default();
        }
        let half = match direction {
            Direction::Outbound => &mut self.outbound,
            Direction::Inbound => &mut self.inbound,
        };
        half.any = true;
        half.ack |= flags.ack;
        half.fin |= flags.fin;
        true
    }

    /// How far it has come.
    pub(crate) const fn phase(&self) -> Phase {
        if self.reset || self.outbound.fin || self.inbound.fin {
            Phase::Closing
        } else if self.outbound.ack && self.inbound.ack {
            Phase::Established
        } else {
            Phase::Opening
        }
    }
}

/// Whether a packet may make an entry: a SYN always, a packet from the middle of a connection where the box is loose
/// about it; never an RST, a FIN or the answer to a SYN that it hasn't seen.
pub(crate) const fn opens(flags: TcpFlags, loose: bool) -> bool {
    if flags.rst || flags.fin {
        return false;
    }
    if flags.syn { !flags.ack } else { loose && flags.ack }
}
