//! What a box says: of packets, of requests, of its mappings.

use std::net::SocketAddr;

use crust_proto::Instant;

use crate::Protocol;

/// What becomes of a packet from inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// It goes out.
    Forward {
        /// Its new source.
        source: SocketAddr,
    },
    /// It goes back inside (RFC 4787 §6).
    Hairpin {
        /// Its new source.
        source: SocketAddr,
        /// Its new destination.
        destination: SocketAddr,
    },
    /// It is gone.
    Drop(Reason),
}

/// What becomes of a packet from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// It goes inside.
    Forward {
        /// Its new destination.
        destination: SocketAddr,
    },
    /// It is answered, and gone.
    Refuse(Refusal),
    /// A SYN that is kept back ([`NatConfig::hold_syn`](super::NatConfig::hold_syn)): at that time
    /// [`Nat::release`](super::Nat::release) says whether it is answered then, and how.
    Hold {
        /// When to ask.
        until: Instant,
    },
    /// It is for the router itself, whose stack has an entry for it now ([`Answer::Accept`](super::Answer::Accept)). A router with no socket
    /// there answers with an ICMP “port unreachable”; the entry stays.
    Local,
    /// It is gone.
    Drop(Reason),
}

/// How a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// By a TCP reset.
    Rst,
    /// By an ICMP “port unreachable”.
    Icmp,
}

/// An ICMP error about a hairpinned packet, in the terms of the inside host whose packet that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HairpinError {
    /// Where that packet came from: the error is for there.
    pub source: SocketAddr,
    /// Where it was sent to: an external endpoint, for which the error speaks.
    pub destination: SocketAddr,
}

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The box passes no UDP.
    UdpBlocked,
    /// It has no external address of the packet's family, or the destination is none of its addresses.
    NoAddress,
    /// No port is left.
    NoPort,
    /// The table is full.
    TableFull,
    /// The inside host has as many entries as it may have.
    HostFull,
    /// To an external address of its own, and it doesn't hairpin.
    NoHairpin,
    /// Nobody has a mapping there.
    NoMapping,
    /// There is a mapping, which doesn't admit this sender.
    Filtered,
    /// No part of a connection that the box knows, and it begins none.
    OutOfState,
}

/// Why a port could not be mapped on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The external port that was asked for serves somebody else.
    #[error("the external port is taken")]
    Taken,
    /// No port is left, or the host or the box has as many mappings as it may have.
    #[error("no mapping is left")]
    Exhausted,
    /// The box has no external address of that family.
    #[error("no external address of that family")]
    NoAddress,
}

/// A mapping, for inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MappingInfo {
    /// The protocol.
    pub protocol: Protocol,
    /// The endpoint outside.
    pub external: SocketAddr,
    /// The endpoint inside.
    pub internal: SocketAddr,
    /// How many remote endpoints have an entry.
    pub entries: u32,
    /// Until when it was asked for, if it was.
    pub requested_until: Option<Instant>,
}
