//! A host's sockets, as its programs see them.
//!
//! The life of a UDP socket: [`World::udp_bind`](crate::World::udp_bind) opens it, and
//! [`HostEvent::UdpReadable`] says that its receive queue is no longer empty. Datagrams are taken with
//! [`World::udp_recv`](crate::World::udp_recv) until it says `None`; only then is the next arrival announced
//! again. ICMP errors about what it sent wait in a small queue of their own, as on Linux with `IP_RECVERR`, and
//! are announced by [`HostEvent::UdpError`].
//!
//! The life of a TCP connection: [`World::tcp_connect`](crate::World::tcp_connect) sends the SYN, or a listener
//! that [`World::tcp_listen`](crate::World::tcp_listen) opened gives it out of
//! [`World::tcp_accept`](crate::World::tcp_accept). [`HostEvent::TcpConnected`] says that it is open, or
//! [`HostEvent::TcpFailed`] that it won't be; then bytes are sent until `Ok(0)` and received until `None`, each
//! time to be woken by [`HostEvent::TcpWritable`] and [`HostEvent::TcpReadable`]. It ends by a FIN from each side
//! ([`World::tcp_finish`](crate::World::tcp_finish)), by an RST from either
//! ([`World::tcp_abort`](crate::World::tcp_abort)), or by silence.
//!
//! A crash of the host takes all of it away without a packet, and every id of that life is
//! [`NetError::BadSocket`] from then on.

pub(crate) mod clock;
mod said;
pub(crate) mod tcp;
#[cfg(test)]
mod tcp_ending_tests;
#[cfg(test)]
mod tcp_opening_tests;
#[cfg(test)]
mod tcp_transfer_tests;
#[cfg(test)]
mod testing;
pub(crate) mod timers;
pub(crate) mod udp;

pub use tcp::{CONNECT_TIMEOUT, STALL_TIMEOUT, TCP_BUFFER};

use std::io;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::packet::{Ecn, IcmpKind};

/// A host or a router of one world. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub(crate) u32);

impl HostId {
    /// The number behind the name, for tables: small, counting up from zero.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// An interface of a host or a router. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(pub(crate) u32);

/// A UDP socket of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UdpId {
    pub(crate) host: HostId,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A TCP connection of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TcpId {
    pub(crate) host: HostId,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A TCP listener of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId {
    pub(crate) host: HostId,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

macro_rules! belongs_to_a_host {
    ($($id:ident),*) => {$(
        impl $id {
            /// The host that it is on.
            pub const fn host(self) -> HostId {
                self.host
            }
        }
    )*};
}
belongs_to_a_host!(UdpId, TcpId, ListenerId);

/// What the programs of a host are told, by [`World::poll_event`](crate::World::poll_event).
///
/// Readiness is told once: again only after the call that it is about has said that there is no more. So at most
/// a few events a socket ever wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostEvent {
    /// Datagrams wait: [`World::udp_recv`](crate::World::udp_recv) until `None`.
    UdpReadable(UdpId),
    /// ICMP errors wait: [`World::udp_take_error`](crate::World::udp_take_error) until `None`.
    UdpError(UdpId),
    /// A connection that was asked for is open, and takes data.
    TcpConnected(TcpId),
    /// A connection that was asked for won't open, or one that was open is broken. Nothing more comes of it but
    /// what was received before; its id stays until it is closed.
    TcpFailed(TcpId, NetError),
    /// Bytes or the peer's FIN wait: [`World::tcp_recv`](crate::World::tcp_recv) until `None`.
    TcpReadable(TcpId),
    /// There is room again after [`World::tcp_send`](crate::World::tcp_send) said `Ok(0)` or took only a part.
    TcpWritable(TcpId),
    /// Connections wait: [`World::tcp_accept`](crate::World::tcp_accept) until `None`.
    TcpAcceptable(ListenerId),
    /// A timer's time has come: the token that it was set with.
    Timer(u64),
    /// An address or an interface of the host came, went, or changed (not told of what was set up before the world
    /// first ran): [`World::addresses`](crate::World::addresses) has the new ones.
    AddressesChanged,
    /// The host's wall clock was set.
    ClockSet,
    /// The host crashed: its sockets and timers are gone. Programs on it must be dropped without another word.
    Crashed,
    /// The host runs again, with nothing left of the life before: programs may be started.
    Restarted,
    /// The host sleeps: nothing reaches its programs until [`HostEvent::Resumed`].
    Suspended,
    /// The host woke up. Its monotonic clock stood still meanwhile, its wall clock did not.
    Resumed,
}

/// Why a call on a socket failed, in the words of the operating systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NetError {
    /// `EADDRINUSE`: another socket has that address and port, or that very connection.
    #[error("address in use")]
    AddrInUse,
    /// `EADDRNOTAVAIL`: the host has no such address, or no port is left.
    #[error("address not available")]
    AddrNotAvailable,
    /// `ENETUNREACH`: no route leads there, or every interface on the way is down.
    #[error("network unreachable")]
    NetworkUnreachable,
    /// `EHOSTUNREACH`: an ICMP error said so, also that a TTL ran out.
    #[error("host unreachable")]
    HostUnreachable,
    /// `ECONNREFUSED`: an RST to a SYN, or an ICMP port unreachable.
    #[error("connection refused")]
    ConnectionRefused,
    /// `ECONNRESET`: the peer broke the connection off.
    #[error("connection reset")]
    ConnectionReset,
    /// `ETIMEDOUT`: the peer stayed silent.
    #[error("timed out")]
    TimedOut,
    /// `EMSGSIZE`: larger than the interface takes, or than a datagram can be.
    #[error("message too long")]
    MessageTooLong,
    /// `EACCES`: a datagram to a broadcast address from a socket that did not ask for it, or forbidden by ICMP.
    #[error("permission denied")]
    PermissionDenied,
    /// `ENOTCONN`: not open yet, or no more.
    #[error("not connected")]
    NotConnected,
    /// `EPIPE`: this side has sent its FIN.
    #[error("broken pipe")]
    BrokenPipe,
    /// `EAFNOSUPPORT`, `EINVAL`: IPv4 and IPv6 mixed, port 0 as a destination, or the like.
    #[error("invalid argument")]
    InvalidInput,
    /// `EMFILE`: [`World::set_descriptors`](crate::World::set_descriptors) allows no more sockets.
    #[error("too many open files")]
    TooManyFiles,
    /// `EBADF`: closed, or of a life of the host before its crash.
    #[error("no such socket")]
    BadSocket,
    /// The host is down.
    #[error("the host is down")]
    HostDown,
}

impl NetError {
    /// The kind that std's sockets would give it.
    pub const fn kind(self) -> io::ErrorKind {
        match self {
            Self::AddrInUse => io::ErrorKind::AddrInUse,
            Self::AddrNotAvailable => io::ErrorKind::AddrNotAvailable,
            Self::NetworkUnreachable => io::ErrorKind::NetworkUnreachable,
            Self::HostUnreachable => io::ErrorKind::HostUnreachable,
            Self::ConnectionRefused => io::ErrorKind::ConnectionRefused,
            Self::ConnectionReset => io::ErrorKind::ConnectionReset,
            Self::TimedOut => io::ErrorKind::TimedOut,
            Self::PermissionDenied => io::ErrorKind::PermissionDenied,
            Self::NotConnected => io::ErrorKind::NotConnected,
            Self::BrokenPipe => io::ErrorKind::BrokenPipe,
            Self::MessageTooLong | Self::InvalidInput => io::ErrorKind::InvalidInput,
            Self::TooManyFiles | Self::BadSocket | Self::HostDown => io::ErrorKind::Other,
        }
    }
}

impl From<NetError> for io::Error {
    fn from(error: NetError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// How a UDP socket is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// `SO_REUSEADDR` as Linux has it: several sockets may have one address and port if all of them say so. What
    /// is sent to one host goes to the one bound last; broadcast and multicast to each.
    pub reuse: bool,
    /// `SO_BROADCAST`: may send to broadcast addresses.
    pub broadcast: bool,
    /// `SO_RCVBUF`: bytes that may wait, each datagram counted with 64 more than its payload, as kernels count their
    /// own; what comes beyond is dropped, and [counted](HostStats::udp_overflowed).
    pub queue: usize,
}

impl Default for UdpOptions {
    /// No reuse, no broadcast, and the receive buffer that Linux gives (`net.core.rmem_default`, 212,992 bytes).
    fn default() -> Self {
        Self { reuse: false, broadcast: false, queue: 212_992 }
    }
}

/// How one datagram is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// The source address; `None` leaves it to the socket's own, then to the routing table.
    pub from: Option<IpAddr>,
    /// TTL or hop limit; `None` is the socket's ([`World::udp_set_ttl`](crate::World::udp_set_ttl)), at first 64,
    /// and 1 for multicast.
    pub ttl: Option<u8>,
    /// The ECN codepoint.
    pub ecn: Ecn,
    /// Don't fragment: too large a datagram is refused here or by a router, never cut.
    pub dont_fragment: bool,
}

/// One datagram that was received; its bytes are in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many bytes were written. Where the buffer was too small the rest is lost, as with `recvmsg`.
    pub len: usize,
    /// How long the datagram was.
    pub full_len: usize,
    /// Where it says that it comes from.
    pub from: SocketAddr,
    /// The address and port it was sent to: one's own, a broadcast or a multicast one.
    pub to: SocketAddr,
    /// TTL or hop limit as it arrived.
    pub ttl: u8,
    /// ECN codepoint as it arrived.
    pub ecn: Ecn,
    /// Whether it said don't fragment. IPv6 always does.
    pub dont_fragment: bool,
}

/// An ICMP error about a datagram that a socket sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpError {
    /// What it says.
    pub kind: IcmpKind,
    /// Who says it: a router on the way, or the destination.
    pub reporter: IpAddr,
    /// Where the datagram was sent to.
    pub to: SocketAddr,
}

/// How a connection is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The address and port to connect from; an unspecified address or port zero leaves it to the host. The port
    /// may be one that the host listens on.
    pub from: Option<SocketAddr>,
    /// TTL of the SYN and of everything after it; [`World::tcp_set_ttl`](crate::World::tcp_set_ttl) changes it.
    pub ttl: Option<u8>,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TcpState {
    /// A SYN is out, or both are (simultaneous open), and the connection is not yet made.
    Connecting,
    /// Data may flow; either side may have sent its FIN.
    Open,
    /// Over, by FINs from both sides or by failure.
    Closed,
}

/// What a host has counted since the world began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostStats {
    /// Datagrams that a full receive queue dropped.
    pub udp_overflowed: u64,
    /// Packets whose checksum did not hold.
    pub damaged: u64,
    /// Packets that were forwarded.
    pub forwarded: u64,
    /// Packets that a routing table, a middlebox or a TTL ended.
    pub dropped: u64,
}
