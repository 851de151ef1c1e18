//! What a router does to packets between its inside and its outside: a NAT, or a firewall.
//!
//! The router asks with what the headers tell and carries out the answer: it rewrites the packet, refuses it, or
//! drops it. So a middlebox is a pure state machine over flows and times, and knows nothing of packets.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crust_proto::Instant;

use crate::{Flow, TcpFlags};

/// What becomes of a packet from the inside to the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// It goes on, and says that it comes from here.
    Forward {
        /// Its source from now on.
        source: SocketAddr,
    },
    /// It was for an outside address of the box itself and turns back to the inside.
    Hairpin {
        /// Its source from now on.
        source: SocketAddr,
        /// Its destination from now on.
        destination: SocketAddr,
    },
    /// It is gone.
    Drop,
}

/// How a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// By a TCP RST; for UDP as by [`Refusal::Icmp`].
    Rst,
    /// By an ICMP port unreachable.
    Icmp,
}

/// What becomes of a packet from the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// It goes in, to here.
    Forward {
        /// Its destination from now on.
        destination: SocketAddr,
    },
    /// The router's own stack gets it, as though there were no box.
    Local,
    /// It is refused, and its sender told so.
    Refuse(Refusal),
    /// It is gone.
    Drop,
}

/// A NAT or a firewall between a router's inside and its outside.
pub trait Middlebox: fmt::Debug + Send {
    /// A packet that comes from the inside and goes to the outside, or to an outside address of the box.
    fn outbound(&mut self, flow: Flow, tcp: Option<TcpFlags>, now: Instant) -> Outbound;

    /// A packet that comes from the outside.
    fn inbound(&mut self, flow: Flow, tcp: Option<TcpFlags>, now: Instant) -> Inbound;

    /// An ICMP error from the outside about a packet that went out as `quoted`: where that packet came from
    /// inside, or `None` if no such packet can have been (RFC 5508 §4).
    fn inbound_error(&mut self, quoted: Flow, now: Instant) -> Option<SocketAddr>;

    /// An ICMP error from the inside about a packet that came in as `quoted`, its destination already the inner
    /// one: the outer destination that its sender knows, or `None` to drop the error.
    fn outbound_error(&mut self, quoted: Flow, now: Instant) -> Option<SocketAddr> {
        match self.outbound(quoted.reversed(), None, now) {
            Outbound::Forward { source } => Some(source),
            Outbound::Hairpin { .. } | Outbound::Drop => None,
        }
    }

    /// The box lost its power and starts again with an empty table, on these outside addresses.
    fn reboot(&mut self, outside: &[IpAddr]);
}
