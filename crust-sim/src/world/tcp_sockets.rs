//! The calls of a host's programs: TCP; and what connections do of themselves.

use std::net::SocketAddr;

use super::sockets::free_port;
use super::{Moving, World};
use crate::host::tcp::Phase;
use crate::host::{ConnectOptions, HostEvent, HostId, ListenerId, NetError, TcpId, TcpState};
use crate::packet::{IcmpKind, Packet, Quoted};

/// Segments are made for an interface's MTU, but no larger than this.
const MOST_MTU: u16 = 9000;

impl World {
    /// Listens on an address of the host's or on the unspecified one; port 0 leaves the choice to the host. So many
    /// connections may be under way or wait to be accepted; further SYNs are ignored.
    ///
    /// # Errors
    ///
    /// [`NetError::AddrInUse`] where another listener is there, [`NetError::AddrNotAvailable`],
    /// [`NetError::TooManyFiles`], [`NetError::HostDown`].
    pub fn tcp_listen(
        &mut self,
        host: HostId,
        local: SocketAddr,
        backlog: usize,
    ) -> Result<ListenerId, NetError> {
        self.running(host)?;
        self.one_more_socket(host)?;
        let node = self.node_mut(host);
        let mut local = local;
        if !local.ip().is_unspecified() && !node.has(local.ip()) {
            return Err(NetError::AddrNotAvailable);
        }
        if local.port() == 0 {
            local.set_port(free_port(node, |node, port| !node.tcp.uses_port(port))?);
        } else if !node.tcp.may_listen(local) {
            return Err(NetError::AddrInUse);
        }
        Ok(node.tcp.listen(host, local, backlog))
    }

    /// The address that a listener listens on, its port no longer zero.
    ///
    /// # Errors
    ///
    /// [`NetError::BadSocket`].
    pub fn tcp_listener_local(&mut self, listener: ListenerId) -> Result<SocketAddr, NetError> {
        Ok(self.node_mut(listener.host).tcp.listener(listener)?.local)
    }

    /// Takes a connection that waits, and who made it; `None` where none waits, and only then is the next one
    /// announced. It is open; if bytes have come for it already, [`HostEvent::TcpReadable`] follows.
    ///
    /// # Errors
    ///
    /// [`NetError::TooManyFiles`] where one waits, which goes on waiting and is not announced again;
    /// [`NetError::BadSocket`].
    pub fn tcp_accept(&mut self, listener: ListenerId) -> Result<Option<(TcpId, SocketAddr)>, NetError> {
        let room = self.one_more_socket(listener.host);
        let table = &mut self.node_mut(listener.host).tcp;
        let entry = table.listener(listener)?;
        let Some(id) = entry.ready.front().copied() else {
            entry.told = false;
            return Ok(None);
        };
        room?;
        entry.ready.pop_front();
        let connection = table.get(id)?;
        connection.listener = None;
        let peer = connection.remote;
        self.tcp_look(id);
        Ok(Some((id, peer)))
    }

    /// Stops listening. Connections that nobody has accepted are reset.
    pub fn tcp_close_listener(&mut self, listener: ListenerId) {
        let table = &mut self.node_mut(listener.host).tcp;
        if table.listener(listener).is_err() {
            return;
        }
        let waiting = table.waiting_at(listener);
        table.close_listener(listener);
        for id in waiting {
            self.tcp_abort(id);
        }
    }

    /// Begins a connection: its SYN leaves now. Both sides may do it at once (simultaneous open, RFC 9293 §3.5).
    /// [`HostEvent::TcpConnected`] or [`HostEvent::TcpFailed`] follows.
    ///
    /// # Errors
    ///
    /// What a kernel would say at once: no route, no such local address, too many files, or that very connection exists.
    pub fn tcp_connect(
        &mut self,
        host: HostId,
        remote: SocketAddr,
        options: ConnectOptions,
    ) -> Result<TcpId, NetError> {
        self.running(host)?;
        self.one_more_socket(host)?;
        let wanted = options.from.map(|from| from.ip()).filter(|ip| !ip.is_unspecified());
        let same_version = options.from.is_none_or(|from| from.is_ipv4() == remote.is_ipv4());
        if remote.port() == 0 || remote.ip().is_unspecified() || remote.ip().is_multicast() || !same_version {
            return Err(NetError::InvalidInput);
        }
        if wanted.is_some_and(|ip| !self.node(host).has(ip)) {
            return Err(NetError::AddrNotAvailable);
        }
        let way = self.way(host, remote.ip(), wanted).ok_or(NetError::NetworkUnreachable)?;
        let from =
            wanted.or_else(|| self.source_for(way, remote.ip())).ok_or(NetError::NetworkUnreachable)?;
        let mtu = self.interface(way.interface).link.config.mtu.min(MOST_MTU);
        let now = self.host_now(host);
        let node = self.node_mut(host);
        let port = match options.from.map_or(0, |from| from.port()) {
            0 => free_port(node, |node, port| !node.tcp.uses_port(port))?,
            port => port,
        };
        let local = SocketAddr::new(from, port);
        if local == remote || !node.tcp.make_way(host, local, remote) {
            return Err(NetError::AddrInUse);
        }
        let id = node.tcp.connect(host, local, remote, mtu, now)?;
        if let Some(ttl) = options.ttl {
            node.tcp.get(id)?.ttl = ttl.max(1);
        }
        self.tcp_run(id);
        Ok(id)
    }

    /// The TTL or hop limit of all of a connection's segments from now on.
    ///
    /// # Errors
    ///
    /// [`NetError::BadSocket`].
    pub fn tcp_set_ttl(&mut self, connection: TcpId, ttl: u8) -> Result<(), NetError> {
        self.node_mut(connection.host).tcp.get(connection)?.ttl = ttl.max(1);
        Ok(())
    }

    /// `TCP_NODELAY`: whether small segments leave at once.
    ///
    /// # Errors
    ///
    /// [`NetError::BadSocket`].
    pub fn tcp_set_nodelay(&mut self, connection: TcpId, nodelay: bool) -> Result<(), NetError> {
        self.node_mut(connection.host).tcp.get(connection)?.socket_mut().set_nagle_enabled(!nodelay);
        Ok(())
    }

    /// A connection's two ends: its own, then the peer's.
    ///
    /// # Errors
    ///
    /// [`NetError::BadSocket`].
    pub fn tcp_ends(&mut self, connection: TcpId) -> Result<(SocketAddr, SocketAddr), NetError> {
        let connection = self.node_mut(connection.host).tcp.get(connection)?;
        Ok((connection.local, connection.remote))
    }

    /// Where a connection stands.
    ///
    /// # Errors
    ///
    /// [`NetError::BadSocket`].
    pub fn tcp_state(&mut self, connection: TcpId) -> Result<TcpState, NetError> {
        Ok(match self.node_mut(connection.host).tcp.get(connection)?.phase {
            Phase::Connecting => TcpState::Connecting,
            Phase::Open => TcpState::Open,
            Phase::Closed => TcpState::Closed,
        })
    }

    /// Bytes that a connection has taken and the peer has not yet acknowledged.
    ///
    /// # Errors
    ///
    /// [`NetError::BadSocket`].
    pub fn tcp_unacknowledged(&mut self, connection: TcpId) -> Result<usize, NetError> {
        Ok(self.node_mut(connection.host).tcp.get(connection)?.socket().send_queue())
    }

    /// Gives a connection bytes to send, and says how many it took: all, or what there was room for; then
    /// [`HostEvent::TcpWritable`] follows when there is more.
    ///
    /// # Errors
    ///
    /// [`NetError::NotConnected`] before it is open, [`NetError::BrokenPipe`] after [`World::tcp_finish`] or a
    /// regular end, else what broke it.
    pub fn tcp_send(&mut self, id: TcpId, bytes: &[u8]) -> Result<usize, NetError> {
        let connection = self.node_mut(id.host).tcp.get(id)?;
        match connection.phase {
            Phase::Connecting => return Err(NetError::NotConnected),
            Phase::Closed => return Err(connection.error.unwrap_or(NetError::BrokenPipe)),
            Phase::Open if connection.finished => return Err(NetError::BrokenPipe),
            Phase::Open => {}
        }
        let taken = connection.socket_mut().send_slice(bytes).map_err(|_| NetError::BrokenPipe)?;
        if taken < bytes.len() {
            connection.writable_wanted = true;
        }
        if taken > 0 {
            self.tcp_run(id);
        }
        Ok(taken)
    }

    /// Takes bytes that have come, into `buffer`: how many; zero is the peer's FIN (or an empty buffer); `None` where
    /// none wait, and only then are the next ones announced.
    ///
    /// # Errors
    ///
    /// [`NetError::NotConnected`] before it is open; what broke it, after all that came before was taken.
    pub fn tcp_recv(&mut self, id: TcpId, buffer: &mut [u8]) -> Result<Option<usize>, NetError> {
        let connection = self.node_mut(id.host).tcp.get(id)?;
        if connection.socket().can_recv() {
            let taken = connection.socket_mut().recv_slice(buffer).map_err(|_| NetError::ConnectionReset)?;
            // The window has opened, and the peer may have to be told.
            self.tcp_run(id);
            return Ok(Some(taken));
        }
        if let Some(error) = connection.error {
            return Err(error);
        }
        if connection.peer_finished() || connection.phase == Phase::Closed {
            return Ok(Some(0));
        }
        connection.readable_told = false;
        if connection.phase == Phase::Connecting { Err(NetError::NotConnected) } else { Ok(None) }
    }

    /// Sends a FIN after all that was given: this side sends no more, and may still receive.
    ///
    /// # Errors
    ///
    /// [`NetError::NotConnected`] before it is open, or what broke it.
    pub fn tcp_finish(&mut self, id: TcpId) -> Result<(), NetError> {
        let connection = self.node_mut(id.host).tcp.get(id)?;
        match connection.phase {
            Phase::Connecting => return Err(NetError::NotConnected),
            Phase::Closed => return connection.error.map_or(Ok(()), Err),
            Phase::Open => {}
        }
        connection.finished = true;
        connection.socket_mut().close();
        self.tcp_run(id);
        Ok(())
    }

    /// Gives a connection back to the host, as closing a socket does: what was given is still sent, then a FIN. One
    /// with bytes that were not received is reset, as is one for which more bytes come later (RFC 1122 §4.2.2.13); one
    /// that is not open yet just ends.
    pub fn tcp_close(&mut self, id: TcpId) {
        let now = self.host_now(id.host);
        let table = &mut self.node_mut(id.host).tcp;
        let Ok(connection) = table.get(id) else { return };
        match connection.phase {
            Phase::Connecting | Phase::Closed => table.remove(id),
            Phase::Open if connection.socket().can_recv() => self.tcp_abort(id),
            Phase::Open => {
                connection.leave(now);
                connection.socket_mut().close();
                self.tcp_run(id);
            }
        }
    }

    /// Breaks a connection off: an RST leaves at once, and the id is gone. One that is not open yet just ends.
    pub fn tcp_abort(&mut self, id: TcpId) {
        let table = &mut self.node_mut(id.host).tcp;
        let Ok(connection) = table.get(id) else { return };
        let says_so = connection.is_established() || connection.listener.is_some();
        connection.listener = None;
        connection.orphan = true;
        connection.ended(None);
        if says_so {
            connection.socket_mut().abort();
            self.tcp_run(id);
        }
        self.node_mut(id.host).tcp.remove(id);
    }

    /// A segment for this host.
    pub(super) fn tcp_arrived(&mut self, host: HostId, moving: Moving) {
        let (Some(flow), Some(flags)) = (moving.packet.flow(), moving.packet.tcp_flags()) else { return };
        let (local, remote) = (flow.destination, flow.source);
        let now = self.host_now(host);
        let opens = flags.syn && !flags.ack && !flags.rst;
        let listener = if opens { self.node(host).tcp.listener_at(host, local) } else { None };
        let table = &mut self.node_mut(host).tcp;
        // A SYN may replace a connection that only waits for stragglers (RFC 9293 §3.6.1).
        let replaces = listener.is_some() && table.make_way(host, local, remote);
        let known = if replaces { None } else { table.find(host, local, remote) };
        let id = match (known, listener) {
            (Some(id), _) => id,
            (None, Some(listener)) => {
                let way = self.way(host, remote.ip(), Some(local.ip()));
                let mtu = way.map_or(1500, |way| self.interface(way.interface).link.config.mtu).min(MOST_MTU);
                match self.node_mut(host).tcp.answer(listener, local, remote, mtu, now) {
                    Some(id) => id,
                    None => return self.dropped(host, moving),
                }
            }
            (None, None) => {
                if let Some(reset) = Packet::tcp_reset(&moving.packet) {
                    self.reply(host, reset);
                }
                return self.dropped(host, moving);
            }
        };
        self.node_mut(host).tcp.feed(id, moving.packet);
        self.tcp_run(id);
    }

    /// An ICMP error about a segment that this host sent.
    pub(super) fn tcp_error_arrived(&mut self, host: HostId, quoted: Quoted) {
        let now = self.host_now(host);
        let table = &mut self.node_mut(host).tcp;
        let Some(id) = table.find(host, quoted.flow.source, quoted.flow.destination) else { return };
        let Ok(connection) = table.get(id) else { return };
        match quoted.kind {
            IcmpKind::TooBig { mtu } => {
                connection.limit_mtu(mtu, now);
                self.tcp_run(id);
            }
            // Once it is open, an error is but a hint (RFC 5927).
            kind if connection.phase == Phase::Connecting && connection.listener.is_none() => {
                let error = match kind {
                    IcmpKind::PortUnreachable => NetError::ConnectionRefused,
                    _ => NetError::HostUnreachable,
                };
                self.tcp_failed(id, error);
            }
            _ => {}
        }
    }

    /// All connections of a host whose time has come.
    pub(super) fn run_tcp(&mut self, host: HostId) {
        let now = self.host_now(host);
        while let Some(due) = self.node_mut(host).tcp.pop_due(now) {
            self.tcp_run(TcpId { host, ..due });
        }
    }

    /// Lets a connection do what it has to, sends what comes out, and tells its program what there is to tell.
    fn tcp_run(&mut self, id: TcpId) {
        let host = id.host;
        let now = self.host_now(host);
        if self.node_mut(host).tcp.get(id).is_ok_and(|connection| connection.is_given_up(now)) {
            return self.tcp_failed(id, NetError::TimedOut);
        }
        self.node_mut(host).tcp.poll(id, now);
        while let Some(packet) = self.node_mut(host).tcp.get(id).ok().and_then(|one| one.next_segment()) {
            self.reply(host, packet);
        }
        self.tcp_look(id);
        self.arm(host);
    }

    /// What has become of a connection, and who is to be told.
    fn tcp_look(&mut self, id: TcpId) {
        let now = self.host_now(id.host);
        let table = &mut self.node_mut(id.host).tcp;
        let Ok(connection) = table.get(id) else { return };
        let listener = connection.listener;
        if connection.orphan && connection.phase == Phase::Open && connection.socket().can_recv() {
            // Nobody will ever read that, and the peer is to know.
            return self.tcp_abort(id);
        }
        if connection.is_listening_again() {
            // Its peer has reset it before it was open: it never was.
            return self.tcp_failed(id, NetError::ConnectionReset);
        }
        if connection.phase == Phase::Connecting && connection.is_established() {
            connection.phase = Phase::Open;
            // Its patience is counted anew.
            table.poll(id, now);
            match listener {
                None => self.tell(id.host, HostEvent::TcpConnected(id)),
                Some(listener) => {
                    if let Ok(entry) = self.node_mut(id.host).tcp.listener(listener) {
                        entry.half_open = entry.half_open.saturating_sub(1);
                        entry.ready.push_back(id);
                        if !std::mem::replace(&mut entry.told, true) {
                            self.tell(id.host, HostEvent::TcpAcceptable(listener));
                        }
                    }
                }
            }
        }
        let table = &mut self.node_mut(id.host).tcp;
        let Ok(connection) = table.get(id) else { return };
        if connection.phase != Phase::Closed && connection.is_over() {
            if connection.orphan {
                return table.remove(id);
            }
            return match connection.phase {
                Phase::Connecting => self.tcp_failed(id, NetError::ConnectionRefused),
                _ if connection.finished && connection.peer_finished() => {
                    connection.ended(None);
                    table.forget_ends(id);
                }
                _ => self.tcp_failed(id, NetError::ConnectionReset),
            };
        }
        if connection.phase == Phase::Open && connection.listener.is_none() && !connection.orphan {
            let readable =
                connection.is_readable() && !std::mem::replace(&mut connection.readable_told, true);
            let writable = connection.writable_wanted && connection.socket().can_send();
            connection.writable_wanted &= !writable;
            if readable {
                self.tell(id.host, HostEvent::TcpReadable(id));
            }
            if writable {
                self.tell(id.host, HostEvent::TcpWritable(id));
            }
        }
    }

    /// A connection is broken, or won't be made.
    fn tcp_failed(&mut self, id: TcpId, error: NetError) {
        let table = &mut self.node_mut(id.host).tcp;
        let Ok(connection) = table.get(id) else { return };
        let listener = connection.listener;
        if listener.is_none() && !connection.orphan {
            connection.ended(Some(error));
            table.forget_ends(id);
            return self.tell(id.host, HostEvent::TcpFailed(id, error));
        }
        let was_half_open = connection.phase == Phase::Connecting;
        table.remove(id);
        if let Some(entry) = listener.and_then(|listener| table.listener(listener).ok()) {
            if was_half_open {
                entry.half_open = entry.half_open.saturating_sub(1);
            }
            entry.ready.retain(|ready| *ready != id);
        }
    }
}
