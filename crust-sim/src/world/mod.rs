//! The world: devices, what is plugged into what, a clock, and a heap of what comes next.
//!
//! # A world's life
//!
//! [`World::new`] makes an empty one from a seed. Hosts and routers are added ([`World::add_host`],
//! [`World::add_router`]), given interfaces ([`World::add_interface`], [`World::connect`]) on segments
//! ([`World::add_segment`]), addresses and routes. Programs open sockets on hosts and send; then the world is run
//! ([`World::run_until`], [`World::run_for`], [`World::step`]), which takes the earliest event from the heap, jumps
//! to its time and lets it happen. What hosts' programs must know comes out of [`World::poll_event`]. All of it may
//! be changed between any two events, also by an event of one's own ([`World::at`]).
//!
//! ```
//! use crust_proto::Duration;
//! use crust_sim::{HostEvent, SendOptions, UdpOptions, World, link::LinkConfig, world::Prefix};
//!
//! let mut world = World::new(7);
//! let (alice, bob) = (world.add_host(), world.add_host());
//! let (a, b) = world.connect(alice, bob, LinkConfig::with_latency(Duration::from_millis(20)));
//! world.add_address(a, "10.0.0.1".parse().unwrap(), 24);
//! world.add_address(b, "10.0.0.2".parse().unwrap(), 24);
//!
//! let from = world.udp_bind(alice, "0.0.0.0:0".parse().unwrap(), UdpOptions::default()).unwrap();
//! let to = world.udp_bind(bob, "0.0.0.0:7".parse().unwrap(), UdpOptions::default()).unwrap();
//! world.udp_send(from, "10.0.0.2:7".parse().unwrap(), SendOptions::default(), b"hello").unwrap();
//! world.run_for(Duration::from_secs(1));
//!
//! assert_eq!(world.poll_event(), Some((bob, HostEvent::UdpReadable(to))));
//! let mut buffer = [0; 100];
//! let received = world.udp_recv(to, &mut buffer).unwrap().unwrap();
//! assert_eq!(&buffer[..received.len], b"hello");
//! assert_eq!(received.ttl, 64);
//! ```
//!
//! # Driving programs
//!
//! A driver repeats: take all of [`World::poll_event`] and let the programs act; then, when none has more to do,
//! [`World::step`]. `step` stops after each event that gave a program something to do as well as between any two
//! others, so that no program ever acts late. When `step` says `None` nothing will ever happen again unless a
//! program acts.
//!
//! # Time
//!
//! [`World::now`] is the world's own time. Each host has clocks of its own, which may be wrong:
//! [`World::host_now`] and [`World::host_wall`]. Timers ([`World::set_timer`]) go by the host's clock.
//!
//! # Order and the hash
//!
//! Events happen in the order of their time, and at one time in the order in which they were caused. Each is
//! hashed, when, where and what: [`World::hash`] is equal for two runs if, and as good as only if, the same bytes
//! were at the same places at the same times.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;
use std::net::IpAddr;

use crust_proto::{Duration, Instant, UnixTime};

use crate::Rng;
use crate::digest::digest;
use crate::host::clock::Clock;
use crate::host::tcp::TcpTable;
use crate::host::timers::Timers;
use crate::host::udp::UdpTable;
use crate::host::{HostEvent, HostId, HostStats};
use crate::link::Link;
use crate::packet::Packet;

mod build;
mod change;
#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod delivery_tests;
mod descriptors;
mod forward;
mod load;
mod local;
mod middlebox;
#[cfg(test)]
mod middlebox_tests;
mod route;
mod size;
mod sockets;
mod tcp_sockets;
#[cfg(test)]
mod testing;
mod trace;
#[cfg(test)]
mod trace_tests;
mod way;

pub use crate::host::InterfaceId;
pub use load::HostLoad;
pub use middlebox::{HairpinError, Inbound, Middlebox, Outbound, Refusal};
pub use route::Prefix;
pub use size::WorldSize;
pub use trace::{Sight, Tap, Tapped};

use route::Routes;
use trace::Trace;
use way::Remembered;

/// The wall clocks of a new world show 2026-01-01T00:00:00Z.
pub const WORLD_BEGINS: UnixTime = UnixTime::from_millis(1_767_225_600_000);

/// A segment: what interfaces are plugged into. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub(crate) u32);

/// Whether a host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It runs.
    Up,
    /// It sleeps: its sockets are kept, its programs stand still, what arrives is lost.
    Suspended,
    /// It crashed or was shut down.
    Down,
}

/// A host or a router: a router is a host that forwards.
#[derive(Debug)]
struct Node {
    /// The first is the loopback.
    interfaces: Vec<InterfaceId>,
    /// All addresses of all interfaces.
    own: BTreeMap<IpAddr, InterfaceId>,
    routes: Routes,
    remembered: Remembered,
    forwards: bool,
    /// The interface that middleboxes stand before, and the boxes for IPv4 and IPv6.
    outside: Option<InterfaceId>,
    boxes: [Option<Box<dyn Middlebox>>; 2],
    power: Power,
    clock: Clock,
    timers: Timers,
    udp: UdpTable,
    tcp: TcpTable,
    /// How many sockets its programs may have.
    descriptors: Option<usize>,
    /// Times at which the heap holds a wake-up for this host, the earliest last.
    wakes: Vec<Instant>,
    rng: Rng,
    stats: HostStats,
}

#[derive(Debug)]
struct Interface {
    host: HostId,
    /// `None` for the loopback and for a cable that is pulled out.
    segment: Option<SegmentId>,
    loopback: bool,
    up: bool,
    addresses: Vec<Prefix>,
    /// What it sends goes through this.
    link: Link,
    /// What is on its way from here and arrives in the order in which it was sent; the heap knows of the first.
    wire: VecDeque<OnWire>,
    /// On its segment, members of different cells do not hear each other.
    cell: u32,
}

#[derive(Debug, Default)]
struct Segment {
    members: Vec<InterfaceId>,
    /// Two ends of one wire: what one sends the other gets, whatever the address.
    wire: bool,
    by_address: BTreeMap<IpAddr, InterfaceId>,
}

/// What comes next at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The first packet on the wire from an interface arrives.
    Next { from: InterfaceId },
    /// A packet that keeps no order arrives at an interface.
    Arrive { interface: InterfaceId, packet: u32 },
    /// A host sends a packet that it has kept back.
    Emit { host: HostId, packet: u32 },
    /// A router's middlebox has kept a SYN back for long enough.
    Release { host: HostId, packet: u32 },
    /// A timer or a TCP deadline of a host.
    Wake { host: HostId },
    /// Something that the test asked for.
    Act { action: u32 },
}

/// A packet on its way, and the digest of its payload.
#[derive(Clone, Debug)]
struct Moving {
    packet: Packet,
    payload: u64,
    /// A link has damaged it to what is no packet any more; its headers don't fit its payload's digest.
    ruined: bool,
}

/// A packet on a wire: when it arrives, which event that is, and where.
#[derive(Debug)]
struct OnWire {
    at: Instant,
    serial: u64,
    to: InterfaceId,
    moving: Moving,
}

type Action = Box<dyn FnOnce(&mut World) + Send>;

/// A world in a box.
pub struct World {
    seed: u64,
    rng: Rng,
    now: Instant,
    /// It has run.
    begun: bool,
    /// UDP datagrams that hosts have sent.
    datagrams: u64,
    /// Packets on all wires.
    on_wires: usize,
    serial: u64,
    heap: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    nodes: Vec<Node>,
    interfaces: Vec<Interface>,
    segments: Vec<Segment>,
    /// Counts changes of what ways depend on.
    topology: u64,
    moving: Vec<Option<Moving>>,
    free_moving: Vec<u32>,
    actions: Vec<Option<Action>>,
    free_actions: Vec<u32>,
    events: VecDeque<(HostId, HostEvent)>,
    /// Buffers of packets that have ended, for the next ones.
    buffers: Vec<Vec<u8>>,
    trace: Trace,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("hosts", &self.nodes.len())
            .field("pending", &self.heap.len())
            .finish_non_exhaustive()
    }
}

/// Buffers kept for reuse; what a world holds on its way at once is seldom more.
const MOST_BUFFERS: usize = 8192;
/// The room of a fresh buffer: an Ethernet's packet.
const BUFFER: usize = 1500;

impl World {
    /// An empty world. Everything random in it grows from the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            rng: Rng::new(seed),
            now: Instant::ZERO,
            begun: false,
            datagrams: 0,
            on_wires: 0,
            serial: 0,
            heap: BinaryHeap::new(),
            nodes: Vec::new(),
            interfaces: Vec::new(),
            segments: Vec::new(),
            topology: 0,
            moving: Vec::new(),
            free_moving: Vec::new(),
            actions: Vec::new(),
            free_actions: Vec::new(),
            events: VecDeque::new(),
            buffers: Vec::new(),
            trace: Trace::new(),
        }
    }

    /// The seed it was made from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The generator of that name and number, for programs and tests that need randomness of the world's seed.
    pub fn rng(&self, name: &str, number: u64) -> Rng {
        self.rng.fork(name, number)
    }

    /// The world's time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The time of the next event; `None` if nothing will happen any more by itself.
    pub fn next_event_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// How many events have happened.
    pub fn events_so_far(&self) -> u64 {
        self.trace.events
    }

    /// How many UDP datagrams hosts have sent.
    pub fn datagrams_so_far(&self) -> u64 {
        self.datagrams
    }

    /// The hash over everything that has happened: when, where, which bytes.
    pub fn hash(&self) -> [u8; 32] {
        self.trace.hash()
    }

    /// Lets a function see every packet at every place from now on, or no function any more.
    pub fn set_tap(&mut self, tap: Option<Tap>) {
        self.trace.tap = tap;
    }

    /// Adds something that happened in a program of the host to the hash, so that programs that differ differ.
    pub fn note(&mut self, host: HostId, what: &[u8]) {
        self.trace.record(self.now, 255, host.0, digest(what, 0));
    }

    /// What a host's program must know next: in order, and each once.
    pub fn poll_event(&mut self) -> Option<(HostId, HostEvent)> {
        self.events.pop_front()
    }

    /// Whether [`World::poll_event`] has something.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Jumps to the next event and lets it happen. Its time; `None` if there is none.
    pub fn step(&mut self) -> Option<Instant> {
        self.begun = true;
        let mut first = self.heap.peek_mut()?;
        let Reverse((at, _, event)) = *first;
        self.now = self.now.max(at);
        if let Event::Next { from } = event {
            let wire = &mut self.interfaces[from.0 as usize].wire;
            let arrived = wire.pop_front();
            self.on_wires -= usize::from(arrived.is_some());
            // The one behind takes its place, which is seldom far from the top.
            match wire.front() {
                Some(next) => {
                    *first = Reverse((next.at, next.serial, event));
                    drop(first);
                }
                None => drop(PeekMut::pop(first)),
            }
            if let Some(OnWire { to, moving, .. }) = arrived {
                self.arrive(to, moving);
            }
        } else {
            PeekMut::pop(first);
            self.happen(event);
        }
        Some(self.now)
    }

    /// Lets everything happen up to a time, that time included, and stands at that time then.
    pub fn run_until(&mut self, until: Instant) {
        self.begun = true;
        while self.next_event_at().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = self.now.max(until);
    }

    /// As [`World::run_until`], so much later than now.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Runs until [`World::poll_event`] has something or a time has come. True where it has.
    pub fn run_until_event(&mut self, until: Instant) -> bool {
        self.begun = true;
        while self.events.is_empty() && self.next_event_at().is_some_and(|at| at <= until) {
            self.step();
        }
        if self.events.is_empty() {
            self.now = self.now.max(until);
        }
        !self.events.is_empty()
    }

    /// Lets a function change the world at a time (now, where that has passed).
    pub fn at(&mut self, time: Instant, action: impl FnOnce(&mut Self) + Send + 'static) {
        let action = Some(Box::new(action) as Action);
        let index = match self.free_actions.pop() {
            Some(index) => {
                self.actions[index as usize] = action;
                index
            }
            None => {
                self.actions.push(action);
                self.actions.len() as u32 - 1
            }
        };
        self.schedule(time, Event::Act { action: index });
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Next { .. } => {}
            Event::Arrive { interface, packet } => {
                if let Some(moving) = self.take_moving(packet) {
                    self.arrive(interface, moving);
                }
            }
            Event::Emit { host, packet } => {
                if let Some(moving) = self.take_moving(packet) {
                    self.emit(host, moving);
                }
            }
            Event::Release { host, packet } => {
                if let Some(moving) = self.take_moving(packet) {
                    self.release(host, moving);
                }
            }
            Event::Wake { host } => self.wake(host),
            Event::Act { action } => {
                self.trace.record(self.now, 254, action, 0);
                if let Some(action) = self.actions.get_mut(action as usize).and_then(Option::take) {
                    self.free_actions.push(action_index(event));
                    action(self);
                }
            }
        }
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.serial += 1;
        self.heap.push(Reverse((at.max(self.now), self.serial, event)));
    }

    /// Lets a packet that was sent from an interface arrive at another.
    fn schedule_arrival(&mut self, from: InterfaceId, to: InterfaceId, at: Instant, moving: Moving) {
        let wire = &mut self.interfaces[from.0 as usize].wire;
        if wire.back().is_some_and(|last| at < last.at) {
            // It overtakes.
            let packet = self.put_moving(moving);
            return self.schedule(at, Event::Arrive { interface: to, packet });
        }
        self.serial += 1;
        if wire.is_empty() {
            self.heap.push(Reverse((at, self.serial, Event::Next { from })));
        }
        self.on_wires += 1;
        wire.push_back(OnWire { at, serial: self.serial, to, moving });
    }

    fn put_moving(&mut self, moving: Moving) -> u32 {
        match self.free_moving.pop() {
            Some(index) => {
                self.moving[index as usize] = Some(moving);
                index
            }
            None => {
                self.moving.push(Some(moving));
                self.moving.len() as u32 - 1
            }
        }
    }

    fn take_moving(&mut self, index: u32) -> Option<Moving> {
        let moving = self.moving.get_mut(index as usize)?.take();
        self.free_moving.push(index);
        moving
    }

    /// An empty buffer for a packet.
    fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    /// A packet has ended; its buffer is kept if it was one of these, so that there are never more than were once in
    /// use together.
    pub(crate) fn recycle(&mut self, packet: Packet) {
        let buffer = packet.into_bytes();
        if (BUFFER..=2 * BUFFER).contains(&buffer.capacity()) && self.buffers.len() < MOST_BUFFERS {
            self.buffers.push(buffer);
        }
    }

    fn node(&self, host: HostId) -> &Node {
        &self.nodes[host.index()]
    }

    fn node_mut(&mut self, host: HostId) -> &mut Node {
        &mut self.nodes[host.index()]
    }

    fn interface(&self, interface: InterfaceId) -> &Interface {
        &self.interfaces[interface.0 as usize]
    }

    fn interface_mut(&mut self, interface: InterfaceId) -> &mut Interface {
        &mut self.interfaces[interface.0 as usize]
    }

    fn tell(&mut self, host: HostId, event: HostEvent) {
        self.events.push_back((host, event));
    }

    /// Makes sure that the heap wakes the host at the earliest of its timers and TCP deadlines.
    fn arm(&mut self, host: HostId) {
        let node = &mut self.nodes[host.index()];
        let next = match (node.timers.next(), node.tcp.next_deadline()) {
            (Some(a), Some(b)) => a.min(b),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return,
        };
        let Some(at) = node.clock.when(next) else { return };
        let at = at.max(self.now);
        // A wake-up that is too early finds nothing to do and arms again; only an earlier one than all is needed.
        if node.wakes.last().is_none_or(|earliest| at < *earliest) {
            node.wakes.push(at);
            self.schedule(at, Event::Wake { host });
        }
    }

    fn wake(&mut self, host: HostId) {
        let now = self.now;
        let node = self.node_mut(host);
        if node.wakes.last().is_some_and(|earliest| *earliest <= now) {
            node.wakes.pop();
        }
        if node.power != Power::Up {
            return;
        }
        let local = node.clock.local(now);
        while let Some(token) = self.node_mut(host).timers.pop(local) {
            self.trace.record(now, 253, host.0, token);
            self.tell(host, HostEvent::Timer(token));
        }
        self.run_tcp(host);
        self.arm(host);
    }
}

fn action_index(event: Event) -> u32 {
    match event {
        Event::Act { action } => action,
        _ => 0,
    }
}
