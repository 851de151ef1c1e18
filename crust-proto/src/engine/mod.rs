//! The engine: a node's whole protocol as one state machine.
//!
//! The driver tells it what happened ([`Engine::handle_input`]) and asks what to do
//! ([`poll_command`](Engine::poll_command), [`poll_transmit`](Engine::poll_transmit),
//! [`poll_event`](Engine::poll_event), [`poll_timeout`](Engine::poll_timeout)); applications call the rest.
//! Any order of calls is legal. After every call that may have changed something, poll commands, transmits and
//! events until each returns `None`, then wait for input or for the timeout:
//!
//! 1. getters (`&self`) change nothing;
//! 2. `handle_input` and the application's calls (`connect`, [`SessionMut`]) change the state;
//! 3. `poll_*` hand out what came of it. Each is O(1) when there is nothing.
//!
//! A datagram finds its way by its first 16 bytes: unmasked with the receive key they name a session's slot; or
//! they are the tag of a reply to one of our hellos; or, unmasked with a hello key, the head of a stranger's
//! hello. What is none of these is dropped in silence and counted.

mod attempt;
mod connect;
mod greet;
mod handle;
mod hello;
mod lifecycle;
mod load;
mod reply;
mod slots;
mod stats;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use smallvec::SmallVec;
use zeroize::Zeroizing;

use self::attempt::Attempt;
pub use self::connect::Target;
pub use self::handle::{
    AbandonStreamError, ReadStreamError, SendDatagramError, SendMessageFailure, SessionClosed, SessionMut,
    WriteStreamError,
};
pub use self::load::EngineLoad;
use self::slots::{Entry, Slots};
pub use self::stats::{Dropped, EngineStats};
use crate::config::{Config, TransportConfig};
use crate::crypto::cookie::CookieJar;
use crate::crypto::hash::hash;
use crate::crypto::mask::{MaskKey, MaskKind};
use crate::crypto::random::{Random, Seed};
use crate::event::{AttemptId, Event, SessionId};
use crate::handshake::envelope::{HelloKey, ReplyTag};
use crate::handshake::rate::Rate;
use crate::handshake::replay::ReplayFilter;
use crate::identity::{Contact, MAX_ADDRESSES, Network, PeerId, is_dialable};
use crate::io::{Command, Input, InterfaceAddr, SendFailure, SocketId, TimerKind, Transmit};
use crate::path::{Route, Way};
use crate::recovery::Ecn;
use crate::session::{PacketFate, Session};
use crate::wire::packet::{self, HEAD_LEN, Head, MIN_PACKET};
use crate::{Duration, Instant, UnixTime};

/// Hellos and replies that wait to be sent; beyond this the oldest is dropped (they are repeated anyway).
const MAX_OUTBOX: usize = 256;

/// Room for what is told in a handshake, so that it never moves in memory and leaves nothing behind.
const PAYLOAD_ROOM: usize = 512;

/// No batch of datagrams is longer: what one UDP datagram may hold bounds what one GSO send may.
const MAX_BATCH: usize = 65_507;

/// A node: every session it has, and all it takes to have them.
pub struct Engine {
    config: Config,
    transport: Arc<TransportConfig>,
    random: Random,
    /// The wall clock, as told last and when.
    wall: (UnixTime, Instant),
    receive_key: Zeroizing<[u8; 32]>,
    receive_mask: MaskKey,
    receive_kind: MaskKind,
    /// Hellos to us whose sender knows our id.
    hello_known: Arc<HelloKey>,
    /// Hellos to whoever lives at an address.
    hello_unknown: Arc<HelloKey>,
    replay: ReplayFilter,
    cookies: CookieJar,
    /// How often a hello with a wrong time is told the right one.
    clock_answers: Rate,
    /// How many strangers' hellos are taken without a cookie.
    unproven: Rate,
    sockets: BTreeMap<SocketId, Socket>,
    next_socket: u32,
    interfaces: Vec<InterfaceAddr>,
    slots: Slots,
    attempts: BTreeMap<AttemptId, Attempt>,
    next_attempt: u64,
    /// Replies that we wait for.
    tags: BTreeMap<ReplyTag, AttemptId>,
    /// First Noise messages that we answered, so that every copy gets the same answer.
    initiations: BTreeMap<[u8; 32], u32>,
    /// Sessions that peers opened and have not confirmed yet.
    unconfirmed: BTreeSet<(PeerId, SessionId)>,
    /// How many slots hold a stranger's half-done XX handshake.
    half_xx: usize,
    /// The open session with each peer.
    peers: BTreeMap<PeerId, SessionId>,
    /// The latest session with each peer that is being closed.
    closing: BTreeMap<PeerId, SessionId>,
    /// Sessions that are over, until the application releases them.
    ended: BTreeMap<SessionId, Box<Entry>>,
    /// Their names in the order in which they ended; some may be released already.
    endings: VecDeque<SessionId>,
    ready: VecDeque<u32>,
    timers: BTreeSet<(Instant, Timer)>,
    /// Slots whose sessions have changed since their timers were set, and when the last of them did.
    stale: (Vec<u32>, Instant),
    events: VecDeque<Event>,
    eventful: VecDeque<SessionId>,
    commands: VecDeque<Command>,
    outbox: VecDeque<Outgoing>,
    shut_down: bool,
    stats: EngineStats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Attempt(AttemptId),
    Slot(u32),
}

#[derive(Debug)]
struct Socket {
    requested: SocketAddr,
    local: Option<SocketAddr>,
    /// How many sockets in a row, this one's predecessors, died without having received anything.
    deaths: u32,
    blocked: bool,
    /// Whether the system has segmentation offload, as far as is known.
    segmentation: bool,
    /// Slots whose sessions have, or had, something that goes over the socket as soon as it is writable.
    waiting: Vec<u32>,
}

#[derive(Debug)]
struct Outgoing {
    way: Way,
    datagram: Vec<u8>,
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Engine")
            .field("peer", &self.peer_id())
            .field("sockets", &self.sockets)
            .field("sessions", &self.slots.sessions().count())
            .field("attempts", &self.attempts.len())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// A node with that configuration. `seed` must be fresh from the system's randomness in real life and is
    /// used up; the same seed, configuration and inputs give the same outputs, byte for byte.
    pub fn new(config: Config, seed: Seed, now: Instant, wall: UnixTime) -> Self {
        let config = Config { handshake: config.handshake.in_bounds(), ..config };
        let secret = config.secret_key.expose();
        let mut random = Random::new(seed, &[secret, &wall.as_millis().to_be_bytes()]);
        // What is seen on the wire must not repeat either, should a seed be used twice: salts lead to keys.
        random.mix(&hash(&[secret, &wall.as_millis().to_be_bytes()]));
        let receive_key = random.secret_key("receive key", &[]);
        let receive_kind = if config.hardware.aes { MaskKind::Aes256 } else { MaskKind::ChaCha20 };
        let me = config.secret_key.peer_id();
        let mut engine = Self {
            transport: Arc::new(config.transport.in_bounds()),
            receive_mask: MaskKey::new(receive_kind, &receive_key),
            receive_key,
            receive_kind,
            hello_known: Arc::new(HelloKey::new(config.network.hello_key(Some(&me)))),
            hello_unknown: Arc::new(HelloKey::new(config.network.hello_key(None))),
            replay: ReplayFilter::new(wall, now, config.handshake.replay_capacity),
            cookies: CookieJar::new(random.secret_key("cookies", &[]), now),
            clock_answers: Rate::new(Duration::from_millis(10), 20),
            unproven: Rate::new(config.handshake.unproven_every, config.handshake.unproven_burst),
            wall: (wall, now),
            random,
            sockets: BTreeMap::new(),
            next_socket: 0,
            interfaces: Vec::new(),
            slots: Slots::new(config.transport.max_sessions),
            attempts: BTreeMap::new(),
            next_attempt: 0,
            tags: BTreeMap::new(),
            initiations: BTreeMap::new(),
            unconfirmed: BTreeSet::new(),
            half_xx: 0,
            peers: BTreeMap::new(),
            closing: BTreeMap::new(),
            ended: BTreeMap::new(),
            endings: VecDeque::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            stale: (Vec::new(), now),
            events: VecDeque::new(),
            eventful: VecDeque::new(),
            commands: VecDeque::new(),
            outbox: VecDeque::new(),
            shut_down: false,
            stats: EngineStats::default(),
            config,
        };
        for local in engine.config.listen.clone() {
            engine.bind(local);
        }
        engine
    }

    /// Our id.
    pub fn peer_id(&self) -> PeerId {
        self.config.secret_key.peer_id()
    }

    /// The network that we belong to.
    pub const fn network(&self) -> &Network {
        &self.config.network
    }

    /// The configuration.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Figures of the whole node.
    pub fn stats(&self) -> EngineStats {
        self.stats.clone()
    }

    /// The addresses that our sockets are bound to.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.sockets.values().filter_map(|s| s.local).collect()
    }

    /// What to give to somebody who shall reach us: our id and every address that we know of. A socket that
    /// listens on all interfaces counts with the address of each.
    pub fn contact(&self) -> Contact {
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for local in self.local_addresses() {
            if local.ip().is_unspecified() {
                let same = self.interfaces.iter().filter(|i| i.ip.is_ipv4() == local.is_ipv4());
                // Without a scope a link-local IPv6 address is no address at all.
                let useful = same.filter(|i| !is_link_local(&i.ip));
                addresses.extend(useful.map(|i| SocketAddr::new(i.ip, local.port())));
            } else {
                addresses.push(local);
            }
        }
        // Strangers are likelier to reach a public address than one of this machine's own.
        addresses.sort_by_key(|a| (a.ip().is_loopback(), *a));
        addresses.dedup();
        addresses.retain(|a| is_dialable(*a));
        addresses.truncate(MAX_ADDRESSES);
        let contact = Contact::new(self.peer_id(), self.config.network.tag());
        contact.clone().with_addresses(addresses).unwrap_or(contact)
    }

    /// Opens one more UDP socket; [`Event::Listening`] or [`Event::ListenFailed`] follows.
    pub fn bind(&mut self, local: SocketAddr) -> SocketId {
        self.bind_after(local, 0)
    }

    /// Closes a UDP socket. Sessions that use it move to another, as they do when one dies.
    pub fn unbind(&mut self, socket: SocketId, now: Instant) {
        if self.sockets.remove(&socket).is_some() {
            self.outbox.retain(|outgoing| !outgoing.way.is_over(socket));
            self.commands.push_back(Command::CloseSocket { socket });
            self.leave_dead_sockets(Some(socket), now);
        }
    }

    fn bind_after(&mut self, local: SocketAddr, deaths: u32) -> SocketId {
        let socket = SocketId(self.next_socket);
        self.next_socket += 1;
        let entry = Socket {
            requested: local,
            local: None,
            deaths,
            blocked: false,
            segmentation: true,
            waiting: Vec::new(),
        };
        self.sockets.insert(socket, entry);
        self.commands.push_back(Command::BindUdp { socket, local });
        socket
    }

    /// The session of that name, open or ended but not released.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.slots.session(id).or_else(|| self.ended.get(&id).map(|e| &e.session))
    }

    /// All sessions that are neither over nor still being made.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.slots.sessions().filter(|s| s.is_open()).map(Session::id)
    }

    /// The open session with a peer.
    pub fn session_with(&self, peer: &PeerId) -> Option<SessionId> {
        self.peers.get(peer).copied()
    }

    /// Whether nothing is going on: no session, no attempt, nothing to send.
    pub fn is_idle(&self) -> bool {
        self.slots.is_empty()
            && self.attempts.is_empty()
            && self.outbox.is_empty()
            && self.commands.is_empty()
    }

    /// Tells the engine what happened outside.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Datagrams { socket, from, to, ecn, segment, data } => {
                // Nothing can be answered from a socket that is gone.
                let Some(entry) = self.sockets.get_mut(&socket) else { return };
                entry.deaths = 0;
                let way = Way::Udp(Route { socket, remote: unmapped(from), local: to });
                let segment = if segment == 0 { data.len() } else { segment };
                if data.is_empty() {
                    self.handle_datagram(way, ecn, &mut [], now);
                }
                for datagram in data.chunks_mut(segment.max(1)) {
                    self.handle_datagram(way, ecn, datagram, now);
                }
            }
            Input::SocketOpened { socket, local } => {
                if let Some(entry) = self.sockets.get_mut(&socket) {
                    entry.local = Some(local);
                    self.events.push_back(Event::Listening { socket, local });
                    self.leave_dead_sockets(None, now);
                    self.hurry_attempts(now);
                }
            }
            Input::SocketFailed { socket, error } => self.on_socket_failed(socket, error, now),
            Input::Blocked { socket } => {
                if let Some(entry) = self.sockets.get_mut(&socket) {
                    entry.blocked = true;
                }
            }
            Input::Writable { socket } => {
                if let Some(entry) = self.sockets.get_mut(&socket) {
                    entry.blocked = false;
                    let waiting = core::mem::take(&mut entry.waiting);
                    self.resume(socket, waiting);
                }
            }
            Input::SendFailed { socket, to, cause } => self.on_send_failed(socket, unmapped(to), cause),
            Input::Interfaces(interfaces) => self.on_interfaces(interfaces, now),
            Input::Timeout => self.on_timeout(now),
            Input::Wall(wall) => self.wall = (wall, now),
            Input::Entropy(entropy) => self.random.mix(entropy),
        }
    }

    /// The next datagrams to send, written into `buf` (64 KiB serve best, 1,200
    /// bytes or the configured datagram size must be there): up to `max_segments` of equal size for
    /// one destination. `None`: nothing now.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8], max_segments: usize) -> Option<Transmit> {
        if let Some(transmit) = self.poll_outbox(buf) {
            return Some(transmit);
        }
        let batch = buf.len().min(MAX_BATCH);
        let buf = buf.get_mut(..batch)?;
        while let Some(slot) = self.ready.pop_front() {
            let Some(entry) = self.slots.entry_mut(slot) else { continue };
            entry.queued = false;
            let mut full: SmallVec<[SocketId; 2]> = SmallVec::new();
            let takes = |way: Way| {
                let id = way.socket()?;
                match self.sockets.get(&id) {
                    Some(socket) if !socket.blocked && socket.segmentation => Some(max_segments),
                    Some(socket) if !socket.blocked => Some(1),
                    // A socket that is gone takes nothing either, until another is in its place.
                    _ => {
                        full.push(id);
                        None
                    }
                }
            };
            let transmit = entry.session.poll_transmit(buf, takes, now);
            for id in full {
                if let Some(socket) = self.sockets.get_mut(&id).filter(|_| !entry.waits_for.contains(&id)) {
                    socket.waiting.push(slot);
                    entry.waits_for.push(id);
                }
            }
            let Some(transmit) = transmit else {
                self.after(slot, now);
                continue;
            };
            // Behind the others: sessions take turns, a batch each.
            self.enqueue(slot);
            self.outdate(slot, now);
            self.stats.datagrams_sent += transmit.segment.map_or(1, |s| transmit.len.div_ceil(s)) as u64;
            self.stats.bytes_sent += transmit.len as u64;
            return Some(transmit);
        }
        None
    }

    /// What the driver is to do next.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// What the application is to hear next.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        while let Some(&id) = self.eventful.front() {
            let open = self.slots.entry_mut(slots::slot_of(id)).filter(|e| e.session.id() == id);
            let mut entry = open.or_else(|| self.ended.get_mut(&id).map(|e| &mut **e));
            if let Some(event) = entry.as_mut().and_then(|e| e.session.poll_event()) {
                return Some(event);
            }
            if let Some(entry) = entry {
                entry.eventful = false;
            }
            self.eventful.pop_front();
        }
        None
    }

    /// When [`Input::Timeout`] is due, and for what. It may come late, or early.
    pub fn poll_timeout(&mut self) -> Option<(Instant, TimerKind)> {
        self.rearm_stale();
        let (at, timer) = self.timers.first()?;
        let kind = match timer {
            Timer::Attempt(_) => TimerKind::Handshake,
            Timer::Slot(_) => TimerKind::Session,
        };
        Some((*at, kind))
    }

    /// The present wall time, going on from what was told last.
    fn wall_now(&self, now: Instant) -> UnixTime {
        let (wall, at) = self.wall;
        wall + now.saturating_since(at)
    }

    fn poll_outbox(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        let sockets = &self.sockets;
        let sendable =
            |o: &Outgoing| o.way.socket().and_then(|socket| sockets.get(&socket)).is_some_and(|s| !s.blocked);
        let at = self.outbox.iter().position(sendable)?;
        let Outgoing { way, datagram } = self.outbox.remove(at)?;
        buf.get_mut(..datagram.len())?.copy_from_slice(&datagram);
        self.stats.datagrams_sent += 1;
        self.stats.bytes_sent += datagram.len() as u64;
        Some(way.transmit(datagram.len()))
    }

    /// Sessions that had something for a socket that was full go on, in the order in which they met it.
    fn resume(&mut self, socket: SocketId, waiting: Vec<u32>) {
        for slot in waiting {
            // The slot may have changed hands meanwhile; then this is one idle poll.
            if let Some(entry) = self.slots.entry_mut(slot) {
                entry.waits_for.retain(|waited| *waited != socket);
            }
            self.enqueue(slot);
        }
    }

    fn post(&mut self, way: Way, datagram: Vec<u8>) {
        if self.outbox.len() >= MAX_OUTBOX {
            self.outbox.pop_front();
        }
        self.outbox.push_back(Outgoing { way, datagram });
    }

    fn handle_datagram(&mut self, way: Way, ecn: Option<Ecn>, datagram: &mut [u8], now: Instant) {
        self.stats.datagrams_received += 1;
        self.stats.bytes_received += datagram.len() as u64;
        if datagram.len() < MIN_PACKET {
            return self.drop_as(Dropped::TooShort);
        }
        if let Ok(clear) = packet::unmask(datagram, &self.receive_mask) {
            let head = Head::decode(&clear);
            if self.slots.check_of(head.slot) == Some(head.check) {
                return self.handle_packet(head, &clear, way, ecn, datagram, now);
            }
        }
        if let Some(tag) = datagram.first_chunk::<16>().filter(|_| !self.tags.is_empty())
            && let Some(&attempt) = self.tags.get(tag)
        {
            return self.handle_reply(attempt, *tag, way, datagram, now);
        }
        self.handle_stranger(way, datagram, now);
    }

    fn handle_packet(
        &mut self,
        head: Head,
        clear: &[u8; HEAD_LEN],
        way: Way,
        ecn: Option<Ecn>,
        datagram: &mut [u8],
        now: Instant,
    ) {
        let Some(entry) = self.slots.entry_mut(head.slot) else {
            // Its handshake is not finished here: the peer will repeat what it carried.
            return self.drop_as(Dropped::Early);
        };
        let random = &mut self.random;
        let body = datagram.get_mut(HEAD_LEN..).unwrap_or_default();
        let token = || random.wire_array();
        let fate = entry.session.handle_packet(head, clear, body, way, ecn, token, now);
        match fate {
            PacketFate::Taken => {}
            PacketFate::Confirmed => self.on_open(head.slot, now),
            PacketFate::Duplicate => return self.drop_as(Dropped::Duplicate),
            PacketFate::Forged => self.drop_as(Dropped::Forged),
            PacketFate::UnknownPath => return self.drop_as(Dropped::UnknownPath),
            PacketFate::Late => return self.drop_as(Dropped::Late),
        }
        self.after(head.slot, now);
        self.enqueue(head.slot);
    }

    fn on_timeout(&mut self, now: Instant) {
        self.rearm_stale();
        while let Some((_, timer)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            match timer {
                Timer::Attempt(attempt) => {
                    self.timers.pop_first();
                    self.drive_attempt(attempt, now);
                }
                Timer::Slot(slot) => {
                    self.timers.pop_first();
                    let Some(entry) = self.slots.entry_mut(slot) else {
                        self.on_half_open_timeout(slot, now);
                        continue;
                    };
                    entry.armed = None;
                    entry.session.on_timeout(now);
                    if entry.session.wants_revival(now) {
                        self.ask_whether_alive(slot, now);
                    }
                    self.enqueue(slot);
                    self.after(slot, now);
                }
            }
        }
    }

    fn on_send_failed(&mut self, socket: SocketId, to: SocketAddr, cause: SendFailure) {
        self.stats.send_failures += 1;
        if let (SendFailure::NoSegmentation, Some(entry)) = (cause, self.sockets.get_mut(&socket)) {
            entry.segmentation = false;
        }
        for attempt in self.attempts.values_mut() {
            attempt.on_send_failed(to, cause);
        }
    }
}

/// An IPv4 peer seen through an IPv6 socket, by its IPv4 address.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
