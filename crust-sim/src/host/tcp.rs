//! A host's TCP, by smoltcp: each connection is a smoltcp interface of its own with one socket in it, over a device
//! in memory.
//!
//! One interface for each connection, where smoltcp means one for a host, because of what else it can't do:
//!
//! - An interface gives a segment to the first socket that takes it, in the order of a set. A listener that stands
//!   before a connecting socket of the same port would take the peer's SYN, and no simultaneous open could happen
//!   beside a listener. Here the connection with these very two ends comes first, as in every kernel.
//! - A listening smoltcp socket *becomes* the connection, and there is no backlog: two SYNs at one time and the
//!   second is reset. Here a listener makes a socket for each SYN.
//! - An interface has two addresses at most, one route's answer to which of them to use, and a TTL for each
//!   socket that not all of its segments get (acknowledgements that answer at once always have 64). Here the world
//!   routes, and the TTL is set on what comes out.
//! - smoltcp hears no ICMP. Here errors that a kernel heeds end a connection that is being made (RFC 1122
//!   §4.2.3.9), and "too big" makes segments smaller, by a new interface around the same socket.
//! - Closing before the peer has answered sends an RST, and so does giving up; kernels send nothing. Here such a
//!   connection just ends.
//!
//! - It waits for ever where a kernel asks or sends again: see [`said`](super::said).
//! - It panics where a window that it told in units of several bytes is filled to the last one and it has not yet said
//!   so. Here a full buffer is acknowledged at once.
//!
//! What remains different from a kernel: the first retransmission comes after 0.7 s rather than 1 s, the pause
//! doubles only with every third and ends at some 10 s rather than 120; no timestamps, no selective acknowledgements by the sender; TIME-WAIT is 10 s; a
//! segment to an unacknowledged simultaneous open is answered once a second at most.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use crust_proto::{Duration, Instant};
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint, IpListenEndpoint};

use super::said::Said;
use super::{HostId, ListenerId, NetError, TcpId};
use crate::packet::Packet;
use crate::{Flow, Protocol, Rng};

/// Bytes of each connection's send and of its receive buffer, unless
/// [`World::set_tcp_buffers`](crate::World::set_tcp_buffers) says otherwise.
pub const TCP_BUFFER: usize = 128 * 1024;
/// A SYN that nobody answers is given up: Linux with `tcp_syn_retries` = 6.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);
/// A SYN-ACK that nobody answers: Linux with `tcp_synack_retries` = 5.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(63);
/// Data that nobody acknowledges: Linux with `tcp_retries2` = 15.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(924);
/// A closed connection whose peer acknowledges nothing and does not close: Linux's `tcp_fin_timeout`.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a peer is asked for whom nothing else is waited. Kernels begin with an RTO and double it.
const PROBE: Duration = Duration::from_secs(1);
/// How long acknowledgements may wait for another: smoltcp's own.
const ACK_DELAY: smoltcp::time::Duration = smoltcp::time::Duration::from_millis(10);
/// A connection that says "now" and does nothing is asked again after so long.
const AGAIN: Duration = Duration::from_millis(1);
/// No path is narrower, whatever an ICMP says (RFC 791, RFC 8200).
const LEAST_MTU: [u16; 2] = [576, 1280];

/// What a connection sends and receives.
#[derive(Debug)]
struct Wire {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
    mtu: u16,
}

struct Incoming(Vec<u8>);

struct Outgoing<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut bytes = vec![0; len];
        let result = f(&mut bytes);
        self.0.push_back(bytes);
        result
    }
}

impl phy::Device for Wire {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _now: smoltcp::time::Instant) -> Option<(Incoming, Outgoing<'_>)> {
        Some((Incoming(self.incoming.pop_front()?), Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _now: smoltcp::time::Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = usize::from(self.mtu);
        // The host has checked them already.
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities
    }
}

/// Where a connection stands, as its program sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not yet made; passive ones belong to their listener.
    Connecting,
    Open,
    Closed,
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) phase: Phase,
    pub(crate) error: Option<NetError>,
    /// The listener that it waits at, if it does.
    pub(crate) listener: Option<ListenerId>,
    pub(crate) ttl: u8,
    /// The program has closed it; it goes when its FIN is through.
    pub(crate) orphan: bool,
    pub(crate) finished: bool,
    pub(crate) readable_told: bool,
    pub(crate) writable_wanted: bool,
    /// When it is given up for silence, by the host's clock.
    give_up_at: Option<Instant>,
    /// Bytes that were unacknowledged when that was set.
    unacknowledged: usize,
    peer_finished: bool,
    said: Said,
    /// When the peer is asked, since nothing else will happen.
    ask_at: Option<Instant>,
    deadline: Option<Instant>,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    wire: Wire,
    seed: u64,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("local", &self.local)
            .field("remote", &self.remote)
            .field("phase", &self.phase)
            .field("state", &self.socket().state())
            .finish_non_exhaustive()
    }
}

fn smol(at: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(i64::try_from(at.as_nanos() / 1000).unwrap_or(i64::MAX))
}

fn endpoint(at: SocketAddr) -> IpEndpoint {
    IpEndpoint::new(IpAddress::from(at.ip()), at.port())
}

fn interface_for(wire: &mut Wire, local: SocketAddr, seed: u64, now: Instant) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let mut interface = Interface::new(config, wire, smol(now));
    interface.update_ip_addrs(|addresses| {
        let prefix = if local.is_ipv4() { 32 } else { 128 };
        let _ = addresses.push(IpCidr::new(IpAddress::from(local.ip()), prefix));
    });
    // The world routes; smoltcp only needs to believe that there is a way.
    match IpAddress::from(local.ip()) {
        IpAddress::Ipv4(ip) => drop(interface.routes_mut().add_default_ipv4_route(ip)),
        IpAddress::Ipv6(ip) => drop(interface.routes_mut().add_default_ipv6_route(ip)),
    }
    interface
}

impl Connection {
    fn new(
        (local, remote): (SocketAddr, SocketAddr),
        [send, receive]: [usize; 2],
        mtu: u16,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mtu = mtu.max(LEAST_MTU[usize::from(local.is_ipv6())]);
        let mut wire = Wire { incoming: VecDeque::new(), outgoing: VecDeque::new(), mtu };
        let buffer = |len| SocketBuffer::new(vec![0; len]);
        let mut socket = Socket::new(buffer(receive), buffer(send));
        socket.set_congestion_control(CongestionControl::Reno);
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Self {
            local,
            remote,
            phase: Phase::Connecting,
            error: None,
            listener: None,
            ttl: crate::packet::DEFAULT_TTL,
            orphan: false,
            finished: false,
            readable_told: false,
            writable_wanted: false,
            give_up_at: Some(now + CONNECT_TIMEOUT),
            unacknowledged: 0,
            peer_finished: false,
            said: Said::default(),
            ask_at: None,
            deadline: None,
            interface: interface_for(&mut wire, local, seed, now),
            sockets,
            handle,
            wire,
            seed,
        }
    }

    pub(crate) fn socket(&self) -> &Socket<'static> {
        self.sockets.get(self.handle)
    }

    pub(crate) fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Bytes or the peer's FIN wait.
    pub(crate) fn is_readable(&self) -> bool {
        self.socket().can_recv() || self.peer_finished || self.error.is_some()
    }

    pub(crate) fn peer_finished(&self) -> bool {
        self.peer_finished
    }

    /// A router on the way takes no more than that.
    pub(crate) fn limit_mtu(&mut self, mtu: u16, now: Instant) {
        let mtu = mtu.max(LEAST_MTU[usize::from(self.local.is_ipv6())]);
        if mtu < self.wire.mtu {
            self.wire.mtu = mtu;
            self.seed = self.seed.wrapping_add(1);
            self.interface = interface_for(&mut self.wire, self.local, self.seed, now);
        }
    }

    /// Lets smoltcp do what it has to; the segments that come out are taken by `next_segment`.
    fn poll(&mut self, now: Instant) {
        if self.ask_at.is_some_and(|at| at <= now) {
            self.ask_at = None;
            self.ask();
        }
        self.acknowledge_at_once_when_full();
        while self.interface.poll(smol(now), &mut self.wire, &mut self.sockets) != PollResult::None {}
        let state = self.socket().state();
        self.peer_finished |=
            matches!(state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
        if self.phase == Phase::Open {
            // Progress is what the peer acknowledges; an orphan has less time for it, and needs the peer's FIN too.
            let unacknowledged = self.socket().send_queue();
            let moved = unacknowledged != self.unacknowledged;
            if self.orphan {
                if moved {
                    self.give_up_at = Some(now + ORPHAN_TIMEOUT);
                }
            } else if unacknowledged == 0 {
                self.give_up_at = None;
            } else if self.give_up_at.is_none() || moved {
                self.give_up_at = Some(now + STALL_TIMEOUT);
            }
            self.unacknowledged = unacknowledged;
        }
        let waits = self.waits_for_the_peer_alone(now);
        self.ask_at = waits.then(|| self.ask_at.unwrap_or(now + PROBE));
    }

    /// Something is unacknowledged, and smoltcp waits for no timer.
    fn waits_for_the_peer_alone(&mut self, now: Instant) -> bool {
        let fin_is_out = matches!(self.socket().state(), State::FinWait1 | State::Closing | State::LastAck);
        self.phase == Phase::Open
            && (fin_is_out || self.socket().send_queue() > 0)
            && self.interface.poll_at(smol(now), &self.sockets).is_none()
    }

    fn ask(&mut self) {
        let flow = Flow { protocol: Protocol::Tcp, source: self.local, destination: self.remote };
        self.wire.outgoing.extend(self.said.question(flow).map(Packet::into_bytes));
        self.wire.incoming.extend(self.said.reminders(flow).into_iter().map(Packet::into_bytes));
    }

    /// One segment more may fill the receive buffer.
    fn acknowledge_at_once_when_full(&mut self) {
        let (mtu, socket) = (usize::from(self.wire.mtu), self.socket_mut());
        let is_nearly_full = socket.recv_capacity() - socket.recv_queue() < 2 * mtu;
        let delay = if is_nearly_full { smoltcp::time::Duration::ZERO } else { ACK_DELAY };
        socket.set_ack_delay(Some(delay));
    }

    /// Whether silence has lasted too long.
    pub(crate) fn is_given_up(&self, now: Instant) -> bool {
        self.phase != Phase::Closed && self.give_up_at.is_some_and(|at| at <= now)
    }

    pub(crate) fn next_segment(&mut self) -> Option<Packet> {
        loop {
            let bytes = self.wire.outgoing.pop_front()?;
            if let Ok(mut packet) = Packet::parse(bytes) {
                packet.set_ttl(self.ttl);
                self.said.sends(&packet);
                return Some(packet);
            }
        }
    }

    /// The peer has the program's FIN, or never will: it is over.
    pub(crate) fn is_over(&self) -> bool {
        self.socket().state() == State::Closed
    }

    /// The handshake is through.
    pub(crate) fn is_established(&self) -> bool {
        !matches!(self.socket().state(), State::Closed | State::Listen | State::SynSent | State::SynReceived)
    }

    pub(crate) fn is_listening_again(&self) -> bool {
        self.socket().state() == State::Listen
    }

    pub(crate) fn leave(&mut self, now: Instant) {
        self.orphan = true;
        self.finished = true;
        self.give_up_at = Some(now + ORPHAN_TIMEOUT);
    }

    pub(crate) fn ended(&mut self, error: Option<NetError>) {
        self.phase = Phase::Closed;
        self.error = error;
        self.give_up_at = None;
    }
}

/// A listener.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) local: SocketAddr,
    backlog: usize,
    /// Connections of it that are not yet made.
    pub(crate) half_open: usize,
    /// Those that are, and wait to be accepted.
    pub(crate) ready: VecDeque<TcpId>,
    pub(crate) told: bool,
}

type Slots<T> = Vec<(u32, Option<T>)>;

/// All connections and listeners of one host.
#[derive(Debug)]
pub(crate) struct TcpTable {
    connections: Slots<Box<Connection>>,
    free: Vec<u32>,
    by_ends: BTreeMap<(SocketAddr, SocketAddr), u32>,
    listeners: Slots<Listener>,
    deadlines: BTreeSet<(Instant, u32)>,
    /// Bytes of each new connection's send and receive buffer.
    pub(crate) buffers: [usize; 2],
    rng: Rng,
}

impl TcpTable {
    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            connections: Vec::new(),
            free: Vec::new(),
            by_ends: BTreeMap::new(),
            listeners: Vec::new(),
            deadlines: BTreeSet::new(),
            buffers: [TCP_BUFFER; 2],
            rng,
        }
    }

    /// Whether a segment has somebody here.
    pub(crate) fn knows(&self, flow: Flow) -> bool {
        self.by_ends.contains_key(&(flow.destination, flow.source))
            || self.find_listener(flow.destination).is_some()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// A connection whose time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<TcpId> {
        let (at, slot) = *self.deadlines.first()?;
        if at > now {
            return None;
        }
        self.deadlines.pop_first();
        let (generation, entry) = self.connections.get_mut(slot as usize)?;
        entry.as_mut()?.deadline = None;
        Some(TcpId { host: HostId(u32::MAX), slot, generation: *generation })
    }

    pub(crate) fn get(&mut self, id: TcpId) -> Result<&mut Connection, NetError> {
        match self.connections.get_mut(id.slot as usize) {
            Some((generation, Some(connection))) if *generation == id.generation => Ok(connection),
            _ => Err(NetError::BadSocket),
        }
    }

    /// The connection of these two ends.
    pub(crate) fn find(&self, host: HostId, local: SocketAddr, remote: SocketAddr) -> Option<TcpId> {
        let slot = *self.by_ends.get(&(local, remote))?;
        Some(TcpId { host, slot, generation: self.connections.get(slot as usize)?.0 })
    }

    /// Whether a connection may be made between these two ends: none is, or one that only waits for stragglers.
    pub(crate) fn make_way(&mut self, host: HostId, local: SocketAddr, remote: SocketAddr) -> bool {
        let Some(id) = self.find(host, local, remote) else { return true };
        let Ok(connection) = self.get(id) else { return true };
        if connection.socket().state() != State::TimeWait {
            return false;
        }
        if connection.orphan {
            self.remove(id);
        } else {
            connection.ended(None);
            self.forget_ends(id);
        }
        true
    }

    /// How many connections and listeners programs have.
    pub(crate) fn open(&self) -> usize {
        let connections = self.connections.iter().filter_map(|(_, entry)| entry.as_ref());
        let listeners = self.listeners.iter().filter(|(_, entry)| entry.is_some());
        connections.filter(|one| one.listener.is_none() && !one.orphan).count() + listeners.count()
    }

    /// How many connections and listeners there are, also those that no program has.
    pub(crate) fn len(&self) -> usize {
        self.connections.len() - self.free.len()
            + self.listeners.iter().filter(|(_, entry)| entry.is_some()).count()
    }

    pub(crate) fn uses_port(&self, port: u16) -> bool {
        self.by_ends.keys().any(|(local, _)| local.port() == port)
            || self.listeners.iter().filter_map(|(_, entry)| entry.as_ref()).any(|on| on.local.port() == port)
    }

    fn insert(&mut self, host: HostId, connection: Connection) -> TcpId {
        let ends = (connection.local, connection.remote);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push((0, None));
            self.connections.len() as u32 - 1
        });
        let (generation, entry) = &mut self.connections[slot as usize];
        *entry = Some(Box::new(connection));
        self.by_ends.insert(ends, slot);
        TcpId { host, slot, generation: *generation }
    }

    /// A connection that sends its SYN with the next poll.
    pub(crate) fn connect(
        &mut self,
        host: HostId,
        local: SocketAddr,
        remote: SocketAddr,
        mtu: u16,
        now: Instant,
    ) -> Result<TcpId, NetError> {
        let mut connection = Connection::new((local, remote), self.buffers, mtu, self.rng.next_u64(), now);
        let handle = connection.handle;
        let context = connection.interface.context();
        connection
            .sockets
            .get_mut::<Socket<'_>>(handle)
            .connect(context, endpoint(remote), endpoint(local))
            .map_err(|_| NetError::InvalidInput)?;
        Ok(self.insert(host, connection))
    }

    /// A connection that a SYN to a listener makes; `None` where the listener has enough of them.
    pub(crate) fn answer(
        &mut self,
        listener: ListenerId,
        local: SocketAddr,
        remote: SocketAddr,
        mtu: u16,
        now: Instant,
    ) -> Option<TcpId> {
        let entry = self.listener(listener).ok()?;
        if entry.half_open + entry.ready.len() >= entry.backlog {
            return None;
        }
        entry.half_open += 1;
        let mut connection = Connection::new((local, remote), self.buffers, mtu, self.rng.next_u64(), now);
        let at = IpListenEndpoint::from(endpoint(local));
        connection.socket_mut().listen(at).ok()?;
        connection.listener = Some(listener);
        connection.give_up_at = Some(now + ACCEPT_TIMEOUT);
        Some(self.insert(listener.host, connection))
    }

    /// Gives a connection a segment that came for it.
    pub(crate) fn feed(&mut self, id: TcpId, packet: Packet) {
        if let Ok(connection) = self.get(id) {
            connection.said.hears(&packet);
            connection.wire.incoming.push_back(packet.into_bytes());
        }
    }

    /// Lets a connection do what it has to, and notes when it wants to be called again.
    pub(crate) fn poll(&mut self, id: TcpId, now: Instant) {
        let Ok(connection) = self.get(id) else { return };
        connection.poll(now);
        self.set_deadline(id, now);
    }

    fn set_deadline(&mut self, id: TcpId, now: Instant) {
        let Ok(connection) = self.get(id) else { return };
        let next = connection.interface.poll_at(smol(now), &connection.sockets).map(|at| {
            let at = Instant::from_nanos(u64::try_from(at.total_micros()).unwrap_or(0).saturating_mul(1000));
            // It was polled just now: what is still due then waits for something else.
            if at <= now { now + AGAIN } else { at }
        });
        let deadline = [next, connection.give_up_at, connection.ask_at].into_iter().flatten().min();
        let before = std::mem::replace(&mut connection.deadline, deadline);
        if before != deadline {
            if let Some(before) = before {
                self.deadlines.remove(&(before, id.slot));
            }
            if let Some(deadline) = deadline {
                self.deadlines.insert((deadline, id.slot));
            }
        }
    }

    /// The two ends are free for another connection; the id stays.
    pub(crate) fn forget_ends(&mut self, id: TcpId) {
        let Ok(connection) = self.get(id) else { return };
        let ends = (connection.local, connection.remote);
        let deadline = connection.deadline.take();
        if self.by_ends.get(&ends) == Some(&id.slot) {
            self.by_ends.remove(&ends);
        }
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, id.slot));
        }
    }

    pub(crate) fn remove(&mut self, id: TcpId) {
        if self.get(id).is_err() {
            return;
        }
        self.forget_ends(id);
        let (generation, entry) = &mut self.connections[id.slot as usize];
        *generation = generation.wrapping_add(1);
        *entry = None;
        self.free.push(id.slot);
    }

    pub(crate) fn listen(&mut self, host: HostId, local: SocketAddr, backlog: usize) -> ListenerId {
        let listener =
            Listener { local, backlog: backlog.max(1), half_open: 0, ready: VecDeque::new(), told: false };
        let free = self.listeners.iter().position(|(_, entry)| entry.is_none());
        let slot = free.unwrap_or_else(|| {
            self.listeners.push((0, None));
            self.listeners.len() - 1
        });
        let (generation, entry) = &mut self.listeners[slot];
        *entry = Some(listener);
        ListenerId { host, slot: slot as u32, generation: *generation }
    }

    pub(crate) fn listener(&mut self, id: ListenerId) -> Result<&mut Listener, NetError> {
        match self.listeners.get_mut(id.slot as usize) {
            Some((generation, Some(listener))) if *generation == id.generation => Ok(listener),
            _ => Err(NetError::BadSocket),
        }
    }

    /// The listener's connections that nobody has accepted.
    pub(crate) fn waiting_at(&self, listener: ListenerId) -> Vec<TcpId> {
        self.connections
            .iter()
            .zip(0..)
            .filter(|((_, entry), _)| entry.as_ref().is_some_and(|one| one.listener == Some(listener)))
            .map(|((generation, _), slot)| TcpId { host: listener.host, slot, generation: *generation })
            .collect()
    }

    pub(crate) fn close_listener(&mut self, id: ListenerId) {
        if self.listener(id).is_ok() {
            let (generation, entry) = &mut self.listeners[id.slot as usize];
            *generation = generation.wrapping_add(1);
            *entry = None;
        }
    }

    /// The listener's slot for an address: one bound to that very address before one bound to any.
    fn find_listener(&self, to: SocketAddr) -> Option<u32> {
        let bound = |slot: &u32| self.listeners[*slot as usize].1.as_ref().map(|listener| listener.local);
        let fits = |local: SocketAddr| local.port() == to.port() && super::udp::overlaps(local.ip(), to.ip());
        (0..self.listeners.len() as u32)
            .filter(|slot| bound(slot).is_some_and(fits))
            .max_by_key(|slot| bound(slot).is_some_and(|local| local.ip() == to.ip()))
    }

    pub(crate) fn listener_at(&self, host: HostId, to: SocketAddr) -> Option<ListenerId> {
        let slot = self.find_listener(to)?;
        Some(ListenerId { host, slot, generation: self.listeners.get(slot as usize)?.0 })
    }

    /// Whether a listener may be opened there.
    pub(crate) fn may_listen(&self, local: SocketAddr) -> bool {
        self.listeners.iter().filter_map(|(_, entry)| entry.as_ref()).all(|other| {
            other.local.port() != local.port() || !super::udp::overlaps(other.local.ip(), local.ip())
        })
    }

    /// All is gone, and nobody told.
    pub(crate) fn clear(&mut self) {
        for (slot, (generation, entry)) in self.connections.iter_mut().enumerate() {
            if entry.take().is_some() {
                *generation = generation.wrapping_add(1);
                self.free.push(slot as u32);
            }
        }
        for (generation, entry) in &mut self.listeners {
            if entry.take().is_some() {
                *generation = generation.wrapping_add(1);
            }
        }
        self.by_ends.clear();
        self.deadlines.clear();
    }
}
