//! Bare engines on hosts of a world, without any async: what a program with an event loop of its own would write,
//! in virtual time.
//!
//! A [`Bare`] is a world and nodes on its hosts. [`Bare::add`] makes a node of a configuration; [`Bare::act`] does with
//! its engine what an application does; [`Bare::run_for`] and the like let time pass, and with it every node send,
//! receive and wait as its engine says; [`Bare::poll_event`] and [`Bare::next_event`] say what the nodes'
//! applications are to hear. Nothing depends on anything but the seed.
//!
//! ```
//! use crust_proto::{Dir, Duration, Event};
//! use crust_sim::bare::Bare;
//! use crust_sim::{Internet, Kind, LinkConfig, SiteConfig, World};
//!
//! let mut world = World::new(7);
//! let mut internet = Internet::new(&mut world);
//! let wire = LinkConfig { loss: 20_000, ..LinkConfig::with_latency(Duration::from_millis(15)) };
//! let home = internet.site(&mut world, &SiteConfig::of(Kind::PortRestricted, wire)).host(&mut world);
//! let server = internet.host(&mut world, wire);
//!
//! let mut bare = Bare::new(world);
//! let config = bare.config();
//! let a = bare.add(home, config);
//! let config = bare.config();
//! let b = bare.add(server, config);
//! bare.run_for(Duration::from_millis(1)); // their sockets are open
//!
//! let contact = bare.engine(b).unwrap().contact();
//! bare.act(a, |engine, now| engine.connect_contact(&contact, now)).unwrap();
//! let until = bare.world().now() + Duration::from_secs(60);
//! let mut received = Vec::new();
//! while let Some((node, event)) = bare.next_event(until) {
//!     match event {
//!         Event::Attempt { result, .. } => bare.act(node, |engine, now| {
//!             let mut session = engine.session_mut(result.unwrap(), now).unwrap();
//!             let stream = session.open(Dir::Uni).unwrap().unwrap();
//!             session.write(stream, b"hello").unwrap();
//!             session.finish(stream).unwrap();
//!         }),
//!         Event::StreamOpened { session, dir } => {
//!             bare.act(node, |engine, now| engine.session_mut(session, now)?.accept(dir));
//!         }
//!         Event::Readable { session, stream } => {
//!             bare.act(node, |engine, now| {
//!                 let mut buffer = [0; 100];
//!                 let mut session = engine.session_mut(session, now).unwrap();
//!                 while let Ok(n @ 1..) = session.read(stream, &mut buffer) {
//!                     received.extend_from_slice(&buffer[..n]);
//!                 }
//!             });
//!         }
//!         Event::StreamFinished { .. } => break, // all of it arrived
//!         _ => {}
//!     }
//! }
//! assert_eq!(received, b"hello");
//! ```
//!
//! Timers ring at whole milliseconds of a host's clock, as those of systems do, and what arrives at one instant is read
//! together, as by one system call.
//!
//! A host that crashes loses its nodes: [`Bare::engine`] has them no more. One that sleeps keeps them, and they go on
//! when it wakes. A world has one driver: nodes of a [`Sim`](crate::Sim) live in another.

mod node;

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use crust_proto::{Config, Duration, Engine, Event, Instant, Network, SecretKey};

use self::node::Node;
use crate::{HostEvent, HostId, World, cipher};

/// Room for one transmit: the largest UDP payload over IPv4.
const SEND_LEN: usize = 65_535 - 20 - 8;
/// Host events that wait for somebody to take them; of more the first are forgotten.
const MOST_ASIDE: usize = 4096;
/// Timers of nodes have tokens from here on.
const FIRST_TOKEN: u64 = 0xba4e << 48;

/// A node of a [`Bare`]. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// Counts up from zero.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// A world, and bare engines as nodes on its hosts.
#[derive(Debug)]
pub struct Bare {
    world: World,
    /// By their ids; `None` where one has ended.
    nodes: Vec<Option<Box<Node>>>,
    /// Nodes by host.
    hosts: Vec<Vec<NodeId>>,
    /// Nodes that have something to do.
    busy: VecDeque<NodeId>,
    /// Nodes whose applications may have something to hear.
    eventful: VecDeque<NodeId>,
    /// What happened on hosts and is no node's business.
    aside: VecDeque<(HostId, HostEvent)>,
    /// Of one transmit.
    buffer: Box<[u8]>,
    keys: u64,
}

impl Bare {
    /// No nodes yet. What was to happen in the world goes on as nodes are driven.
    pub fn new(world: World) -> Self {
        Self {
            world,
            nodes: Vec::new(),
            hosts: Vec::new(),
            busy: VecDeque::new(),
            eventful: VecDeque::new(),
            aside: VecDeque::new(),
            buffer: vec![0; SEND_LEN].into_boxed_slice(),
            keys: 0,
        }
    }

    /// The world.
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// The world, to be changed. Whoever takes events from it takes them from the nodes.
    pub const fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// A configuration for one node: a fresh key of the world's randomness, the [null cipher](cipher::null), and one
    /// socket on all IPv4 addresses.
    pub fn config(&mut self) -> Config {
        self.keys += 1;
        let key = SecretKey::from_entropy(self.world.rng("bare key", self.keys).array());
        let network = Network::new("crust-sim", None).expect("a name of ordinary letters");
        let mut config = Config::new(key, network, cipher::null());
        config.listen.push(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        config
    }

    /// Makes a node on a host. Its sockets are open, or have failed, when the world next runs.
    ///
    /// # Panics
    ///
    /// On a host that is not up.
    pub fn add(&mut self, host: HostId, config: Config) -> NodeId {
        assert_eq!(self.world.power(host), crate::Power::Up, "a node can't start on a host that is not up");
        // What happened to the host before is not this node's.
        self.hear();
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Some(Box::new(Node::new(id, host, config, &self.world))));
        if self.hosts.len() <= host.index() {
            self.hosts.resize_with(host.index() + 1, Vec::new);
        }
        self.hosts[host.index()].push(id);
        self.rouse(id);
        id
    }

    /// The host that a node lives on. `None` after that crashed.
    pub fn host(&self, node: NodeId) -> Option<HostId> {
        self.nodes.get(node.index())?.as_ref().map(|node| node.host)
    }

    /// A node's engine, to be asked. `None` after its host crashed.
    pub fn engine(&self, node: NodeId) -> Option<&Engine> {
        self.nodes.get(node.index())?.as_ref().map(|node| &node.engine)
    }

    /// Does something with a node's engine, at the present time of its host's clock. What comes of it happens when the
    /// world next runs, before anything else does.
    ///
    /// # Panics
    ///
    /// Where the node is gone: killed, or its host crashed.
    pub fn act<T>(&mut self, node: NodeId, act: impl FnOnce(&mut Engine, Instant) -> T) -> T {
        self.hear();
        let Some(entry) = self.nodes.get_mut(node.index()).and_then(Option::as_mut) else {
            panic!("{node} is gone: it was killed, or its host crashed");
        };
        let result = act(&mut entry.engine, self.world.host_now(entry.host));
        self.rouse(node);
        result
    }

    /// Ends a node as a killed process ends: its sockets close, and nobody is told.
    pub fn kill(&mut self, node: NodeId) {
        let Some(ended) = self.nodes.get_mut(node.index()).and_then(Option::take) else { return };
        for socket in &ended.sockets {
            self.world.udp_close(socket.udp);
        }
        self.world.cancel_timer(ended.host, token(node));
        self.hosts[ended.host.index()].retain(|other| *other != node);
    }

    /// Whether a node's sockets take nothing more to send. What they refuse is kept as the contract has it, one
    /// transmit a socket, and leaves when they take more again. Nothing where the node is gone.
    pub fn set_full(&mut self, node: NodeId, full: bool) {
        if let Some(entry) = self.nodes.get_mut(node.index()).and_then(Option::as_mut) {
            entry.full = full;
            self.rouse(node);
        }
    }

    /// What a node's application is to hear next: of each node in its order.
    pub fn poll_event(&mut self) -> Option<(NodeId, Event)> {
        self.hear();
        while let Some(&id) = self.eventful.front() {
            if let Some(node) = &mut self.nodes[id.index()] {
                if let Some(event) = node.engine.poll_event() {
                    return Some((id, event));
                }
                node.eventful = false;
            }
            self.eventful.pop_front();
        }
        None
    }

    /// What happened on hosts and is no node's business: other programs' sockets and timers, crashes, sleep,
    /// new addresses. Of those that nobody takes the last 4,096 are kept.
    pub fn poll_host_event(&mut self) -> Option<(HostId, HostEvent)> {
        self.hear();
        self.aside.pop_front()
    }

    /// Lets the nodes act, then the next instant of the world come, with everything that happens in it, and the nodes
    /// act again. Its time; `None` where nothing will ever happen unless somebody [acts](Self::act).
    pub fn step(&mut self) -> Option<Instant> {
        self.settle();
        self.world.step()?;
        self.whole_instant();
        self.settle();
        Some(self.world.now())
    }

    /// Lets everything happen up to a time, that time included, and stands at that time then.
    pub fn run_until(&mut self, until: Instant) {
        self.settle();
        while self.world.run_until_event(until) {
            self.whole_instant();
            self.settle();
        }
    }

    /// As [`Bare::run_until`], so much later than now.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.world.now() + time);
    }

    /// Runs until a node's application has something to hear, and says what; `None` where a time has come before.
    pub fn next_event(&mut self, until: Instant) -> Option<(NodeId, Event)> {
        loop {
            // Applications first, all of them: what they have to say goes out together.
            if let Some(event) = self.poll_event() {
                return Some(event);
            }
            if !self.busy.is_empty() {
                self.settle();
            } else if self.world.run_until_event(until) {
                self.whole_instant();
            } else {
                return None;
            }
        }
    }

    /// What happens at one instant is one batch to whoever reads: programs act after it, which is not late.
    fn whole_instant(&mut self) {
        let now = self.world.now();
        while self.world.next_event_at() == Some(now) {
            self.world.step();
        }
    }

    /// Lets all nodes act until none has anything to do at this instant.
    fn settle(&mut self) {
        self.hear();
        while let Some(id) = self.busy.pop_front() {
            let Some(node) = &mut self.nodes[id.index()] else { continue };
            node.busy = false;
            node.drive(&mut self.world, &mut self.buffer);
            if !std::mem::replace(&mut node.eventful, true) {
                self.eventful.push_back(id);
            }
        }
    }

    /// A node has something to do, and its application perhaps something to hear.
    fn rouse(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(id.index()).and_then(Option::as_mut) else { return };
        if !std::mem::replace(&mut node.busy, true) {
            self.busy.push_back(id);
        }
        if !std::mem::replace(&mut node.eventful, true) {
            self.eventful.push_back(id);
        }
    }

    /// Tells nodes what happened on their hosts.
    fn hear(&mut self) {
        while let Some((host, event)) = self.world.poll_event() {
            match event {
                HostEvent::UdpReadable(udp) => {
                    let owner = self.on(host).find_map(|node| node.hears(udp).then_some(node.id));
                    match owner {
                        Some(id) => self.rouse(id),
                        None => self.put_aside(host, event),
                    }
                }
                // Systems tell a socket that is not connected nothing of what routers say.
                HostEvent::UdpError(udp) if self.on(host).any(|node| node.owns(udp)) => {
                    while matches!(self.world.udp_take_error(udp), Ok(Some(_))) {}
                }
                HostEvent::Timer(token) if token >= FIRST_TOKEN => {
                    let id = NodeId((token - FIRST_TOKEN) as u32);
                    self.on(host).filter(|node| node.id == id).for_each(|node| node.alarm = None);
                    self.rouse(id);
                }
                HostEvent::Crashed => {
                    let ended = self.hosts.get_mut(host.index()).map(std::mem::take);
                    ended.into_iter().flatten().for_each(|id| self.nodes[id.index()] = None);
                    self.put_aside(host, event);
                }
                HostEvent::AddressesChanged
                | HostEvent::ClockSet
                | HostEvent::Suspended
                | HostEvent::Resumed => {
                    for id in self.hosts.get(host.index()).cloned().unwrap_or_default() {
                        if let Some(node) = &mut self.nodes[id.index()] {
                            node.hear(event, &self.world);
                        }
                        self.rouse(id);
                    }
                    self.put_aside(host, event);
                }
                _ => self.put_aside(host, event),
            }
        }
    }

    fn put_aside(&mut self, host: HostId, event: HostEvent) {
        if self.aside.len() == MOST_ASIDE {
            self.aside.pop_front();
        }
        self.aside.push_back((host, event));
    }

    /// The nodes on a host.
    fn on(&mut self, host: HostId) -> impl Iterator<Item = &mut Node> {
        let Self { nodes, hosts, .. } = self;
        // Few nodes share a host.
        let ids = hosts.get(host.index()).map_or(&[][..], Vec::as_slice);
        let (first, last) =
            (ids.first().map_or(0, |id| id.index()), ids.last().map_or(0, |id| id.index() + 1));
        nodes[first..last].iter_mut().flatten().map(|node| &mut **node).filter(move |node| node.host == host)
    }
}

const fn token(node: NodeId) -> u64 {
    FIRST_TOKEN + node.0 as u64
}

#[cfg(test)]
#[path = "bare_tests.rs"]
mod tests;
