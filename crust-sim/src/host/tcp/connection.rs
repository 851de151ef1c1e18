//! One TCP connection: a smoltcp interface with one socket in it, over a device in memory, and what smoltcp leaves to
//! its owner.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crust_proto::{Duration, Instant};
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint, IpListenEndpoint};

use super::super::said::Said;
use super::super::{ListenerId, NetError};
use crate::packet::Packet;
use crate::{Flow, Protocol};

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
    /// When the table was told last that it wants to be polled.
    pub(super) deadline: Option<Instant>,
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
    /// One that neither calls nor listens yet.
    pub(super) fn new(
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

    /// Sends the SYN with the next poll.
    pub(super) fn call(&mut self) -> Result<(), NetError> {
        let (local, remote) = (endpoint(self.local), endpoint(self.remote));
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        socket.connect(self.interface.context(), remote, local).map_err(|_| NetError::InvalidInput)
    }

    /// Waits for a SYN that came to a listener. Nothing where that can't be.
    pub(super) fn wait_at(&mut self, listener: ListenerId, now: Instant) -> Option<()> {
        let at = IpListenEndpoint::from(endpoint(self.local));
        self.socket_mut().listen(at).ok()?;
        self.listener = Some(listener);
        self.give_up_at = Some(now + ACCEPT_TIMEOUT);
        Some(())
    }

    /// A segment has come.
    pub(super) fn hear(&mut self, packet: Packet) {
        self.said.hears(&packet);
        self.wire.incoming.push_back(packet.into_bytes());
    }

    /// When it wants to be polled next, having been so just now.
    pub(super) fn next_poll(&mut self, now: Instant) -> Option<Instant> {
        let next = self.interface.poll_at(smol(now), &self.sockets).map(|at| {
            let at = Instant::from_nanos(u64::try_from(at.total_micros()).unwrap_or(0).saturating_mul(1000));
            // What is still due then waits for something else.
            if at <= now { now + AGAIN } else { at }
        });
        [next, self.give_up_at, self.ask_at].into_iter().flatten().min()
    }

    /// It only waits for stragglers.
    pub(super) fn lingers(&self) -> bool {
        self.socket().state() == State::TimeWait
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
    pub(super) fn poll(&mut self, now: Instant) {
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
