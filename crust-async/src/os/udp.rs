//! UDP sockets and their options.

use core::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};

use crust_proto::Transmit;
use crust_proto::recovery::Ecn;
use quinn_udp::{EcnCodepoint, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::runtime::RecvMeta;

/// What the kernel is asked to buffer per socket and direction, in bytes; it may grant less. At 1 Gbit/s it
/// lasts 32 ms, about the time for which a busy machine may keep the driver waiting.
const SOCKET_BUFFER: usize = 4 << 20;

/// Opens a UDP socket that doesn't block, with large buffers; IPv6 only where it is IPv6.
///
/// # Errors
///
/// What the system says: the address is in use or not of this machine, its family is missing, the port takes
/// privileges.
pub fn bind_udp(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    if local.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    // Systems cap these, some by an error: what there was then stays.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    Ok(socket.into())
}

/// Sends and receives on a socket with GSO, GRO, ECN, source addresses and without fragmentation, as far as the
/// system can.
pub struct UdpIo {
    state: UdpSocketState,
    ipv4: bool,
}

impl UdpIo {
    /// Prepares `socket`.
    ///
    /// # Errors
    ///
    /// What the system says of a socket that it cannot configure, such as one that is not UDP's.
    pub fn new<'a, S>(socket: &'a S) -> io::Result<Self>
    where
        UdpSockRef<'a>: From<&'a S>,
        SockRef<'a>: From<&'a S>,
    {
        let ipv4 = SockRef::from(socket).local_addr()?.is_ipv4();
        Ok(Self { state: UdpSocketState::new(socket.into())?, ipv4 })
    }

    /// Receives as [`UdpSocket::poll_recv`](crate::UdpSocket::poll_recv) does, with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) for nothing.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) where nothing has come; else what the system says, which on some
    /// systems is about a datagram that was sent before.
    pub fn recv<'a, S>(
        &self,
        socket: &'a S,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize>
    where
        UdpSockRef<'a>: From<&'a S>,
    {
        let mut raw = [quinn_udp::RecvMeta::default(); quinn_udp::BATCH_SIZE];
        let count = bufs.len().min(metas.len()).min(raw.len());
        let (bufs, raw) =
            (bufs.get_mut(..count).unwrap_or_default(), raw.get_mut(..count).unwrap_or_default());
        let received = self.state.recv(socket.into(), bufs, raw)?;
        for (meta, raw) in metas.iter_mut().zip(raw).take(received) {
            *meta = RecvMeta {
                from: raw.addr,
                to: raw.dst_ip,
                ecn: raw.ecn.map(ecn_from),
                len: raw.len,
                segment: raw.stride,
            };
        }
        Ok(received)
    }

    /// Sends as [`UdpSocket::poll_send`](crate::UdpSocket::poll_send) does, with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) for a full socket.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) where the socket is full; else what the system says of these
    /// datagrams, none of which has been sent then.
    pub fn send<'a, S>(&self, socket: &'a S, transmit: &Transmit, data: &[u8]) -> io::Result<()>
    where
        UdpSockRef<'a>: From<&'a S>,
        SockRef<'a>: From<&'a S>,
    {
        let send = || {
            let raw = quinn_udp::Transmit {
                destination: transmit.to,
                ecn: transmit.ecn.map(ecn_into),
                contents: data,
                segment_size: transmit.segment,
                src_ip: transmit.from,
            };
            self.state.try_send(socket.into(), &raw)
        };
        match transmit.ttl {
            None => send(),
            Some(ttl) => self.with_ttl(SockRef::from(socket), ttl, send),
        }
    }

    /// How many datagrams one call of [`send`](Self::send) takes at present.
    pub fn max_gso_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// The socket's TTL is everybody's: it is set for one call and put back.
    fn with_ttl(
        &self,
        socket: SockRef<'_>,
        ttl: u8,
        send: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let set = |ttl| match self.ipv4 {
            true => socket.set_ttl_v4(ttl),
            false => socket.set_unicast_hops_v6(ttl),
        };
        let before = if self.ipv4 { socket.ttl_v4()? } else { socket.unicast_hops_v6()? };
        set(u32::from(ttl))?;
        let sent = send();
        set(before)?;
        sent
    }
}

impl fmt::Debug for UdpIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpIo").field("max_gso_segments", &self.max_gso_segments()).finish_non_exhaustive()
    }
}

const fn ecn_from(raw: EcnCodepoint) -> Ecn {
    match raw {
        EcnCodepoint::Ect0 => Ecn::Ect0,
        EcnCodepoint::Ect1 => Ecn::Ect1,
        EcnCodepoint::Ce => Ecn::Ce,
    }
}

const fn ecn_into(ecn: Ecn) -> EcnCodepoint {
    match ecn {
        Ecn::Ect0 => EcnCodepoint::Ect0,
        Ecn::Ect1 => EcnCodepoint::Ect1,
        Ecn::Ce => EcnCodepoint::Ce,
    }
}

#[cfg(test)]
#[path = "udp_tests.rs"]
mod tests;
