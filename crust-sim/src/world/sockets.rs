//! The calls of a host's programs: timers and UDP.

use std::net::{IpAddr, SocketAddr};

use crust_proto::Instant;

use super::{InterfaceId, Moving, Node, Power, World};
use crate::digest::digest;
use crate::host::{HostId, NetError, Received, SendOptions, UdpError, UdpId, UdpOptions};
use crate::packet::{DEFAULT_TTL, IPV4_HEADER, IPV6_HEADER, MAX_PACKET, Packet, UDP_HEADER, UdpHeader};

/// The ports that a host gives by itself: Linux's `ip_local_port_range`.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

impl World {
    /// Rings [`HostEvent::Timer`](crate::HostEvent::Timer) once when the host's monotonic clock shows `at`, at once
    /// where it does already; in place of what that token was set to before. Nothing where the host is down.
    pub fn set_timer(&mut self, host: HostId, at: Instant, token: u64) {
        let node = self.node_mut(host);
        if node.power != Power::Down {
            node.timers.set(token, at);
            self.arm(host);
        }
    }

    /// Unsets a timer.
    pub fn cancel_timer(&mut self, host: HostId, token: u64) {
        self.node_mut(host).timers.cancel(token);
    }

    /// Opens a UDP socket on an address of the host's or on the unspecified one, which means all of that IP
    /// version; port 0 leaves the choice to the host, at random.
    ///
    /// # Errors
    ///
    /// [`NetError::AddrInUse`], [`NetError::AddrNotAvailable`], [`NetError::TooManyFiles`], [`NetError::HostDown`].
    pub fn udp_bind(
        &mut self,
        host: HostId,
        local: SocketAddr,
        options: UdpOptions,
    ) -> Result<UdpId, NetError> {
        self.running(host)?;
        self.one_more_socket(host)?;
        let node = self.node_mut(host);
        let mut local = local;
        if !local.ip().is_unspecified() && !local.ip().is_multicast() && !node.has(local.ip()) {
            return Err(NetError::AddrNotAvailable);
        }
        if local.port() == 0 {
            local.set_port(free_port(node, |node, port| !node.udp.has_port(port))?);
        } else if !node.udp.is_free(local, options.reuse) {
            return Err(NetError::AddrInUse);
        }
        Ok(node.udp.insert(host, local, options))
    }

    /// The address a socket is bound to, its port no longer zero.
    ///
    /// # Errors
    ///
    /// [`NetError::BadSocket`].
    pub fn udp_local(&mut self, socket: UdpId) -> Result<SocketAddr, NetError> {
        Ok(self.node_mut(socket.host).udp.get(socket)?.local)
    }

    /// Closes a socket; what waits in it is gone.
    pub fn udp_close(&mut self, socket: UdpId) {
        if let Some(closed) = self.node_mut(socket.host).udp.remove(socket) {
            for packet in closed.queue {
                self.recycle(packet);
            }
        }
    }

    /// The TTL or hop limit of what a socket sends from now on, where the call does not say another.
    ///
    /// # Errors
    ///
    /// [`NetError::BadSocket`].
    pub fn udp_set_ttl(&mut self, socket: UdpId, ttl: u8) -> Result<(), NetError> {
        self.node_mut(socket.host).udp.get(socket)?.ttl = Some(ttl.max(1));
        Ok(())
    }

    /// Joins a multicast group on one interface.
    ///
    /// # Errors
    ///
    /// [`NetError::BadSocket`]; [`NetError::InvalidInput`] for another host's interface or what is no group.
    pub fn udp_join(&mut self, socket: UdpId, group: IpAddr, interface: InterfaceId) -> Result<(), NetError> {
        if !group.is_multicast() || self.interface(interface).host != socket.host {
            return Err(NetError::InvalidInput);
        }
        self.node_mut(socket.host).udp.get(socket)?.groups.insert((group, interface));
        Ok(())
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    ///
    /// [`NetError::BadSocket`].
    pub fn udp_leave(
        &mut self,
        socket: UdpId,
        group: IpAddr,
        interface: InterfaceId,
    ) -> Result<(), NetError> {
        self.node_mut(socket.host).udp.get(socket)?.groups.remove(&(group, interface));
        Ok(())
    }

    /// Sends one datagram. Broadcast and multicast go out of the interface that has the source address, else of the
    /// first with one of that IP version.
    ///
    /// # Errors
    ///
    /// What a kernel would say at once: no route, no such source address, larger than the interface's MTU (with
    /// `dont_fragment`, or over IPv6), broadcast without having asked for it. What happens on the way comes back by
    /// ICMP or not at all.
    pub fn udp_send(
        &mut self,
        socket: UdpId,
        to: SocketAddr,
        options: SendOptions,
        payload: &[u8],
    ) -> Result<(), NetError> {
        self.udp_send_all(socket, to, options, payload, payload.len())
    }

    /// Sends `data` as datagrams of `segment` bytes each, the last one as long as is left: what one system call does
    /// (GSO). All or none.
    ///
    /// # Errors
    ///
    /// As [`World::udp_send`].
    pub(crate) fn udp_send_all(
        &mut self,
        socket: UdpId,
        to: SocketAddr,
        options: SendOptions,
        data: &[u8],
        segment: usize,
    ) -> Result<(), NetError> {
        let host = socket.host;
        self.running(host)?;
        let bound = self.node_mut(host).udp.get(socket)?;
        let (local, socket_ttl, broadcast) = (bound.local, bound.ttl, bound.options.broadcast);
        if to.is_ipv4() != local.is_ipv4() || to.port() == 0 || to.ip().is_unspecified() {
            return Err(NetError::InvalidInput);
        }
        let wanted =
            options.from.or(Some(local.ip())).filter(|ip| !ip.is_unspecified() && !ip.is_multicast());
        if let Some(ip) = wanted
            && !self.node(host).has(ip)
        {
            return Err(NetError::AddrNotAvailable);
        }
        let destination = self.destination(host, to.ip(), wanted);
        if destination.broadcast && !broadcast {
            return Err(NetError::PermissionDenied);
        }
        let way = destination.way.ok_or(NetError::NetworkUnreachable)?;
        let from = wanted.or_else(|| self.source_for(way, to.ip())).ok_or(NetError::NetworkUnreachable)?;
        let multicast_ttl = if to.ip().is_multicast() { 1 } else { DEFAULT_TTL };
        let header = UdpHeader {
            source: SocketAddr::new(from, local.port()),
            destination: to,
            ttl: options.ttl.or(socket_ttl).unwrap_or(multicast_ttl),
            ecn: options.ecn,
            dont_fragment: options.dont_fragment,
        };
        let longest =
            if to.is_ipv4() { IPV4_HEADER } else { IPV6_HEADER } + UDP_HEADER + data.len().min(segment);
        let link = &self.interface(way.interface).link.config;
        if (options.dont_fragment || to.is_ipv6())
            && longest > usize::from(link.mtu)
            && link.oversize == crate::link::Oversize::TooBig
            || longest > MAX_PACKET
        {
            return Err(NetError::MessageTooLong);
        }
        let mut rest = data;
        loop {
            let (payload, after) = rest.split_at(rest.len().min(segment));
            let packet = Packet::udp_unsummed(self.buffer(), &header, payload)
                .map_err(|_| NetError::MessageTooLong)?;
            self.datagrams += 1;
            let payload = digest(payload, 0);
            self.send_by(host, way, Moving { packet, payload, ruined: false });
            rest = after;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Takes the datagram that has waited longest, into `buffer`; `None` where none waits, and only then is the next
    /// one announced.
    ///
    /// # Errors
    ///
    /// [`NetError::BadSocket`].
    pub fn udp_recv(&mut self, socket: UdpId, buffer: &mut [u8]) -> Result<Option<Received>, NetError> {
        let Some(packet) = self.udp_take(socket)? else { return Ok(None) };
        let payload = packet.payload();
        let len = payload.len().min(buffer.len());
        buffer[..len].copy_from_slice(&payload[..len]);
        let received = packet.flow().map(|flow| Received {
            len,
            full_len: payload.len(),
            from: flow.source,
            to: flow.destination,
            ttl: packet.ttl(),
            ecn: packet.ecn(),
            dont_fragment: packet.dont_fragment(),
        });
        self.recycle(packet);
        Ok(received)
    }

    /// As [`World::udp_recv`], the packet itself, to be [recycled](Self::recycle).
    ///
    /// # Errors
    ///
    /// [`NetError::BadSocket`].
    pub(crate) fn udp_take(&mut self, socket: UdpId) -> Result<Option<Packet>, NetError> {
        let entry = self.node_mut(socket.host).udp.get(socket)?;
        let packet = entry.pop();
        entry.readable_told &= packet.is_some();
        Ok(packet)
    }

    /// Takes the ICMP error that has waited longest; `None` where none waits, and only then is the next one
    /// announced. Sixteen wait at most, the oldest is forgotten first.
    ///
    /// # Errors
    ///
    /// [`NetError::BadSocket`].
    pub fn udp_take_error(&mut self, socket: UdpId) -> Result<Option<UdpError>, NetError> {
        let entry = self.node_mut(socket.host).udp.get(socket)?;
        let error = entry.errors.pop_front();
        if error.is_none() {
            entry.error_told = false;
        }
        Ok(error)
    }

    pub(super) fn running(&self, host: HostId) -> Result<(), NetError> {
        if self.node(host).power == Power::Down { Err(NetError::HostDown) } else { Ok(()) }
    }
}

impl Node {
    /// Whether an address is the host's own; all of 127.0.0.0/8 is (RFC 1122 §3.2.1.3).
    pub(super) fn has(&self, ip: IpAddr) -> bool {
        self.own.contains_key(&ip) || (ip.is_ipv4() && ip.is_loopback())
    }
}

/// A port that is free in the sense given, from the ephemeral range at random.
pub(super) fn free_port(node: &mut Node, free: impl Fn(&Node, u16) -> bool) -> Result<u16, NetError> {
    let (first, count) = (*EPHEMERAL.start(), EPHEMERAL.len() as u64);
    let start = node.rng.below(count);
    (0..count)
        .map(|offset| first + ((start + offset) % count) as u16)
        .find(|port| free(node, *port))
        .ok_or(NetError::AddrNotAvailable)
}
