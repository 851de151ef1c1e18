//! Where something came from, or goes to, whatever carries it.

use std::net::{IpAddr, SocketAddr};

use crate::io::{SocketId, Transmit};

/// The way that something came, or goes.
///
/// Not every way has an address, nor a socket: what needs one asks for it, and what each kind of carrier does in its
/// own manner is a `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In datagrams between two addresses.
    Udp(Route),
}

/// Two addresses and the socket between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) socket: SocketId,
    pub(crate) remote: SocketAddr,
    /// The local address that the peer's packets were sent to.
    pub(crate) local: Option<IpAddr>,
}

impl Way {
    /// The socket that it goes over: while that is full nothing goes, and without it never again.
    pub(crate) const fn socket(self) -> Option<SocketId> {
        match self {
            Self::Udp(route) => Some(route.socket),
        }
    }

    /// Where the peer is, as seen from here.
    pub(crate) const fn remote(self) -> Option<SocketAddr> {
        match self {
            Self::Udp(route) => Some(route.remote),
        }
    }

    /// Whether it goes over that socket.
    pub(crate) fn is_over(self, socket: SocketId) -> bool {
        self.socket() == Some(socket)
    }

    /// Whether both lead to the same place, over whatever socket.
    pub(crate) fn leads_where(self, other: Self) -> bool {
        match (self, other) {
            (Self::Udp(this), Self::Udp(other)) => this.remote == other.remote,
        }
    }

    /// Whether both are the same, whatever local address they begin at.
    pub(crate) fn is_same(self, other: Self) -> bool {
        self.socket() == other.socket() && self.leads_where(other)
    }

    /// Whether another way than this one is likely to be another way through the network too, and not just what a NAT
    /// made of the same (RFC 9000 §9.4).
    pub(crate) fn is_elsewhere(self, other: Self) -> bool {
        match (self, other) {
            (Self::Udp(this), Self::Udp(other)) => this.remote.ip() != other.remote.ip(),
        }
    }

    /// The same, now that the machine has lost these addresses: `None` where it did not begin at one of them.
    pub(crate) fn without(self, gone: &[IpAddr]) -> Option<Self> {
        match self {
            Self::Udp(route) => {
                route.local.filter(|local| gone.contains(local))?;
                Some(Self::Udp(Route { local: None, ..route }))
            }
        }
    }

    /// `len` bytes along it, as one datagram.
    pub(crate) const fn transmit(self, len: usize) -> Transmit {
        match self {
            Self::Udp(Route { socket, remote, local }) => Transmit {
                socket,
                to: remote,
                from: local,
                ecn: None,
                ttl: None,
                dont_fragment: true,
                len,
                segment: None,
            },
        }
    }
}
