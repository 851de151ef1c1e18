//! What crosses the border between the core and its driver.
//!
//! The driver reports what happened with [`Input`]s and carries out [`Transmit`]s and [`Command`]s. It
//! decides nothing and keeps nothing but the one transmit that a full socket refused.

use core::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::UnixTime;
pub use crate::recovery::Ecn;

/// The core's name for a socket that it asked the driver to open. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub(crate) u32);

impl SocketId {
    /// The number behind the name, for a driver's tables: small, counting up from zero.
    pub const fn index(self) -> u32 {
        self.0
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socket {}", self.0)
    }
}

/// One network interface's address, as the driver found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceAddr {
    /// The address.
    pub ip: IpAddr,
    /// The length of its network's prefix, in bits.
    pub prefix: u8,
}

/// Whatever happened outside.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// Datagrams that one receive call returned: all from one source, each `segment` bytes long but the
    /// last, which may be shorter (GRO). Opened in place; nothing is kept.
    Datagrams {
        /// The socket they arrived on.
        socket: SocketId,
        /// Their source.
        from: SocketAddr,
        /// The local address they were sent to, where the system tells.
        to: Option<IpAddr>,
        /// The ECN codepoint of their IP headers, where the system tells.
        ecn: Option<Ecn>,
        /// The length of each datagram but the last, in bytes. Zero counts as `data.len()`.
        segment: usize,
        /// The datagrams, back to back.
        data: &'a mut [u8],
    },
    /// A socket asked for by [`Command::BindUdp`] is open.
    SocketOpened {
        /// Which.
        socket: SocketId,
        /// The address it is bound to, its port no longer zero.
        local: SocketAddr,
    },
    /// A socket could not be opened, or died.
    SocketFailed {
        /// Which.
        socket: SocketId,
        /// What the system said, for people.
        error: String,
    },
    /// The socket is full: the driver keeps the one transmit it was given and the core skips the socket until
    /// [`Input::Writable`].
    Blocked {
        /// Which.
        socket: SocketId,
    },
    /// The kept transmit left; the socket takes more.
    Writable {
        /// Which.
        socket: SocketId,
    },
    /// A send failed for good; the datagrams are gone.
    SendFailed {
        /// On which socket.
        socket: SocketId,
        /// Where to.
        to: SocketAddr,
        /// Why.
        cause: SendFailure,
    },
    /// The addresses of all interfaces, whenever they changed.
    Interfaces(&'a [InterfaceAddr]),
    /// The time of the last [`poll_timeout`](crate::Engine::poll_timeout) has come (or may have).
    Timeout,
    /// The wall clock. To be told every minute or so, and after a suspend.
    Wall(UnixTime),
    /// Fresh randomness from the system, to be mixed in from time to time.
    Entropy(&'a [u8; 32]),
}

/// Why a send failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendFailure {
    /// A datagram was larger than the interface or a known path takes (`EMSGSIZE`).
    TooBig,
    /// The system has no segmentation offload (`EIO`, `EINVAL` for a batch): send single datagrams from now on.
    NoSegmentation,
    /// There is no way to the destination from here (`ENETUNREACH`, `EHOSTUNREACH`, `EADDRNOTAVAIL`).
    Unreachable,
    /// Forbidden by a firewall of the machine's own (`EPERM`, `EACCES`).
    Forbidden,
    /// Anything else.
    Other,
}

/// Datagrams to send in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// From which socket.
    pub socket: SocketId,
    /// Where to.
    pub to: SocketAddr,
    /// The source address to use, where the socket has several; `None` leaves it to the system.
    pub from: Option<IpAddr>,
    /// The ECN codepoint to set.
    pub ecn: Option<Ecn>,
    /// The TTL (hop limit) to set for these datagrams alone.
    pub ttl: Option<u8>,
    /// Whether routers must not fragment them.
    pub dont_fragment: bool,
    /// How many bytes of the buffer are used.
    pub len: usize,
    /// The length of each datagram but the last (GSO); `None` where there is but one.
    pub segment: Option<usize>,
}

/// What the driver is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Open a UDP socket and answer with [`Input::SocketOpened`] or [`Input::SocketFailed`].
    BindUdp {
        /// The name it gets.
        socket: SocketId,
        /// The address to bind; port zero leaves the choice to the system. IPv6 sockets are IPv6 only.
        local: SocketAddr,
    },
    /// Close a socket. Nothing more is reported of it.
    CloseSocket {
        /// Which.
        socket: SocketId,
    },
}

/// Why the engine wants to be called at a certain time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerKind {
    /// A handshake's next retransmission, or its end.
    Handshake,
    /// A session's earliest need: loss detection, a probe, pacing, a delayed acknowledgement, a keep-alive,
    /// or the end of idleness.
    Session,
}
