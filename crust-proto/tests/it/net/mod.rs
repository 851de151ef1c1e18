//! A network in memory: any number of nodes, virtual time, every fault from one seed.
//!
//! A test makes a [`Net`], adds nodes, says what links and drivers do to them and lets time pass:
//!
//! ```ignore
//! let mut net = Net::new(seed);
//! let (a, b) = (net.add(), net.add());
//! net.weather.loss = 100;
//! let (at_a, at_b) = net.connect(a, b);
//! net.session(a, at_a).send_datagram(b"hello").unwrap();
//! net.run_until("it arrives", |net| net.session(b, at_b).recv_datagram().is_some());
//! ```
//!
//! Time moves only while one of the `run_…` functions runs, from event to event. On the way every node is held
//! to the driver's contract (see [`node`]), and every transmit goes into a hash. A failing test prints its seed.

pub(crate) mod link;
pub(crate) mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use blake2::{Blake2s256, Digest};
use crust_proto::{
    AttemptId, Config, ConnectError, Contact, Duration, Engine, Event, Input, Instant, InterfaceAddr,
    Network, PeerId, SecretKey, SendFailure, SessionId, SessionMut, SocketId, Target, Transmit,
};

use crust_proto::recovery::Ecn;

pub(crate) use link::{Link, Rng};
pub(crate) use node::{Driving, Node, Setup};

/// How long [`Net::run_until`] waits, in virtual time.
const PATIENCE: Duration = Duration::from_secs(900);
/// How often nodes are told the wall time.
const WALL_EVERY: Duration = Duration::from_secs(60);

/// A datagram as it left its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) at: Instant,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) data: Vec<u8>,
}

enum Happening {
    Arrival { from: SocketAddr, to: SocketAddr, ecn: Option<Ecn>, data: Vec<u8> },
    Alarm { node: usize, alarm: u64 },
    Writable { node: usize, life: u32, socket: SocketId },
    Wall { node: usize },
    WakeUp { node: usize },
    Nothing,
}

/// What a third party does with each datagram that it sees: it returns others, which arrive at once, from
/// whatever source they claim.
pub(crate) type Tap = Box<dyn FnMut(&Wire) -> Vec<Wire>>;

pub(crate) struct Net {
    pub(crate) seed: u64,
    pub(crate) rng: Rng,
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    /// Every link that was not given a character of its own.
    pub(crate) weather: Link,
    pub(crate) driving: Driving,
    /// Whether nodes differ in what their machines are good at.
    stormy: bool,
    /// Every datagram that was sent, where a test asked for it.
    pub(crate) wire: Option<Vec<Wire>>,
    pub(crate) tap: Option<Tap>,
    /// Addresses for which the machine knows no route.
    pub(crate) unreachable: BTreeSet<SocketAddr>,
    /// The ordinal numbers of datagrams that get lost, counted from 1.
    pub(crate) lose: BTreeSet<u64>,
    /// Datagrams to addresses where no node is.
    pub(crate) stray: Vec<Wire>,
    /// How many datagrams were sent.
    pub(crate) sent: u64,
    last_sent: Instant,
    links: BTreeMap<(usize, usize), Link>,
    free: BTreeMap<(usize, usize), Instant>,
    routes: BTreeMap<SocketAddr, (usize, SocketId)>,
    queue: BTreeMap<(Instant, u64), Happening>,
    serial: u64,
    waiting: BTreeSet<usize>,
    hash: Blake2s256,
    network: Network,
    addresses: u32,
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Self::of(seed, Network::new("test", None).expect("a good name"))
    }

    /// All of whose nodes belong to `network`, unless set up otherwise.
    pub(crate) fn of(seed: u64, network: Network) -> Self {
        Self {
            seed,
            rng: Rng::new(seed),
            now: Instant::ZERO,
            nodes: Vec::new(),
            weather: Link::default(),
            driving: Driving::default(),
            stormy: false,
            wire: None,
            tap: None,
            unreachable: BTreeSet::new(),
            lose: BTreeSet::new(),
            stray: Vec::new(),
            sent: 0,
            last_sent: Instant::ZERO,
            links: BTreeMap::new(),
            free: BTreeMap::new(),
            routes: BTreeMap::new(),
            queue: BTreeMap::new(),
            serial: 0,
            waiting: BTreeSet::new(),
            hash: Blake2s256::new(),
            network,
            addresses: 0,
        }
    }

    /// A network whose links and drivers have as many faults as the seed wants, between machines of any kind.
    pub(crate) fn stormy(seed: u64) -> Self {
        let mut net = Self::new(seed);
        net.stormy = true;
        net.weather = Link::random(&mut net.rng);
        let mut maybe = |most: u64| if net.rng.chance(500) { net.rng.below(most + 1) } else { 0 };
        net.driving = Driving {
            full: maybe(200) as u32,
            late: Duration::from_micros(maybe(20_000)),
            spurious: maybe(300) as u32,
            no_segmentation: maybe(20) as u32,
            no_gro: maybe(1) == 1,
        };
        net
    }

    pub(crate) fn add(&mut self) -> usize {
        self.add_with(|_| {})
    }

    pub(crate) fn add_with(&mut self, change: impl FnOnce(&mut Setup)) -> usize {
        let node = self.nodes.len();
        let key = SecretKey::from_bytes(self.rng.array());
        let mut config = Config::new(key, self.network.clone(), crust_proto::crypto::best());
        let address = self.new_address();
        config.listen = vec![address];
        config.hardware.aes = self.stormy && self.rng.chance(500);
        let mut setup = Setup { config, seed: self.rng.array(), skew: 0 };
        change(&mut setup);
        self.nodes.push(Node::new(setup, self.now));
        self.nodes[node]
            .input(Input::Interfaces(&[InterfaceAddr { ip: address.ip(), prefix: 24 }]), self.now);
        self.later(WALL_EVERY, Happening::Wall { node });
        self.poll(node);
        node
    }

    /// Two nodes, the one with the lower id first.
    pub(crate) fn add_two(&mut self) -> (usize, usize) {
        let (a, b) = (self.add(), self.add());
        if self.id(a) < self.id(b) { (a, b) } else { (b, a) }
    }

    fn new_address(&mut self) -> SocketAddr {
        self.addresses += 1;
        let [_, _, high, low] = self.addresses.to_be_bytes();
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, high, low)), 4000 + self.rng.below(60_000) as u16)
    }

    pub(crate) fn id(&self, node: usize) -> PeerId {
        self.nodes[node].engine.peer_id()
    }

    /// Where a node is reached.
    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        self.nodes[node].socket()
    }

    pub(crate) fn contact(&self, node: usize) -> Contact {
        self.nodes[node].engine.contact()
    }

    /// One direction between two nodes, to be changed.
    pub(crate) fn link(&mut self, from: usize, to: usize) -> &mut Link {
        self.links.entry((from, to)).or_insert_with(|| self.weather.clone())
    }

    /// From now on every link is like this.
    pub(crate) fn set_weather(&mut self, weather: Link) {
        self.links.clear();
        self.weather = weather;
    }

    /// A node's engine, to be called as an application does; it is polled before time moves on.
    pub(crate) fn engine(&mut self, node: usize) -> &mut Engine {
        self.waiting.insert(node);
        &mut self.nodes[node].engine
    }

    pub(crate) fn session(&mut self, node: usize, id: SessionId) -> SessionMut<'_> {
        let clock = self.nodes[node].clock(self.now);
        self.engine(node).session_mut(id, clock).expect("a session that was not released")
    }

    pub(crate) fn release(&mut self, node: usize, id: SessionId) {
        let clock = self.nodes[node].clock(self.now);
        self.engine(node).release(id, clock);
    }

    pub(crate) fn dial(&mut self, node: usize, target: impl Into<Target>) -> AttemptId {
        let clock = self.nodes[node].clock(self.now);
        self.engine(node).connect(target.into(), clock).expect("may be tried")
    }

    /// Dials a node whose id is known, at its address.
    pub(crate) fn dial_id(&mut self, from: usize, to: usize) -> AttemptId {
        self.dial(from, (self.id(to), self.address(to)))
    }

    /// Dials whoever is at a node's address.
    pub(crate) fn dial_address(&mut self, from: usize, to: usize) -> AttemptId {
        self.dial(from, self.address(to))
    }

    /// Lets time pass until an attempt has ended.
    pub(crate) fn finish(&mut self, node: usize, attempt: AttemptId) -> Result<SessionId, ConnectError> {
        self.run_until("the attempt ends", |net| net.nodes[node].outcome(attempt).is_some());
        self.nodes[node].outcome(attempt).expect("it ended")
    }

    /// Connects two nodes and waits until both have announced it.
    pub(crate) fn connect(&mut self, a: usize, b: usize) -> (SessionId, SessionId) {
        let attempt = self.dial_id(a, b);
        let at_a = self.finish(a, attempt).expect("a session");
        (at_a, self.answered(b, a))
    }

    /// Waits until `node` has an open session with `peer`.
    pub(crate) fn answered(&mut self, node: usize, peer: usize) -> SessionId {
        let id = self.id(peer);
        self.run_until("the peer has a session", |net| net.open_with(node, &id).is_some());
        self.open_with(node, &id).expect("just seen")
    }

    fn open_with(&self, node: usize, peer: &PeerId) -> Option<SessionId> {
        self.announced(node, peer).into_iter().rev().find(|&id| self.nodes[node].is_open(id))
    }

    /// Every session with `peer` that `node` has announced.
    pub(crate) fn announced(&self, node: usize, with: &PeerId) -> Vec<SessionId> {
        let announced = self.nodes[node].events.iter().filter_map(|event| match event {
            Event::Connected { session, peer, .. } if peer == with => Some(*session),
            _ => None,
        });
        announced.collect()
    }

    pub(crate) fn events(&self, node: usize) -> &[Event] {
        &self.nodes[node].events
    }

    /// How a session ended, once it has.
    pub(crate) fn closed(&self, node: usize, id: SessionId) -> Option<crust_proto::CloseReason> {
        self.events(node).iter().find_map(|event| match event {
            Event::Closed { session, reason } if *session == id => Some(reason.clone()),
            _ => None,
        })
    }

    /// The node's NAT gives it another public address; datagrams to the old one go nowhere.
    pub(crate) fn rebind(&mut self, node: usize) {
        let new = self.new_address();
        let (&id, socket) = self.nodes[node].sockets.iter_mut().next().expect("has a socket");
        self.routes.remove(&socket.public);
        socket.public = new;
        self.routes.insert(new, (node, id));
    }

    /// A node's socket dies; where its machine is asked for another at that address, it gives one.
    pub(crate) fn kill_socket(&mut self, node: usize, socket: SocketId) {
        let dead = self.nodes[node].sockets.remove(&socket).expect("has that socket");
        self.routes.remove(&dead.public);
        self.nodes[node].input(Input::SocketFailed { socket, error: "it died".into() }, self.now);
        self.waiting.insert(node);
    }

    /// A socket takes nothing more from now on. The first transmit that it refuses is kept, as drivers do.
    pub(crate) fn stick(&mut self, node: usize, socket: SocketId) {
        self.nodes[node].set_stuck(socket, true);
    }

    /// A socket that was stuck takes everything again.
    pub(crate) fn unstick(&mut self, node: usize, socket: SocketId) {
        self.nodes[node].set_stuck(socket, false);
        let life = self.nodes[node].life;
        self.later(Duration::ZERO, Happening::Writable { node, life, socket });
    }

    /// The node's process dies and starts again with its key and addresses, and all else forgotten.
    pub(crate) fn restart(&mut self, node: usize) {
        self.routes.retain(|_, (at, _)| *at != node);
        let seed = self.rng.array();
        self.nodes[node].restart(seed, self.now);
        self.poll(node);
    }

    /// The node's machine sleeps; its monotonic clock stands still.
    pub(crate) fn suspend(&mut self, node: usize, length: Duration) {
        self.nodes[node].asleep = true;
        self.nodes[node].slept += length;
        self.later(length, Happening::WakeUp { node });
    }

    /// Sets a node's wall clock wrong by so many milliseconds.
    pub(crate) fn skew(&mut self, node: usize, skew: i64) {
        self.nodes[node].skew = skew;
        let wall = self.nodes[node].wall(self.now);
        self.nodes[node].input(Input::Wall(wall), self.now);
        self.waiting.insert(node);
    }

    /// Hands one datagram to a node, now, and polls it. Returns how many datagrams and events that made.
    pub(crate) fn inject(&mut self, node: usize, from: SocketAddr, data: &[u8]) -> (u64, usize) {
        let before = (self.sent, self.nodes[node].events.len());
        let socket = self.nodes[node].socket_id();
        self.arrive(node, socket, from, None, data.len(), &mut data.to_vec());
        self.poll(node);
        (self.sent - before.0, self.nodes[node].events.len() - before.1)
    }

    /// The hash of every transmit so far: when, from where, to where, what.
    pub(crate) fn hash(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// Lets time pass until `done`; fails after fifteen minutes of it.
    pub(crate) fn run_until(&mut self, what: &str, done: impl FnMut(&mut Self) -> bool) {
        if !self.within(PATIENCE, done) {
            let timers: Vec<_> = self.nodes.iter_mut().map(Node::why).collect();
            panic!("never happened: {what}; at {:?}, timers {timers:?}", self.now);
        }
    }

    pub(crate) fn run_for(&mut self, length: Duration) {
        self.within(length, |_| false);
    }

    /// Lets time pass until nothing was sent for two seconds.
    pub(crate) fn settle(&mut self) {
        let calm = Duration::from_secs(2);
        self.last_sent = self.now;
        while self.now.saturating_since(self.last_sent) < calm {
            self.run_for(calm - self.now.saturating_since(self.last_sent));
        }
    }

    /// Lets time pass until `done`, at most so long. Returns whether it was done.
    pub(crate) fn within(&mut self, length: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + length;
        self.poll_waiting();
        loop {
            if done(self) {
                return true;
            }
            // What the application did is polled, and it hears what came of it, before time moves.
            if self.poll_waiting() {
                continue;
            }
            match self.queue.first_key_value() {
                Some((&(at, _), _)) if at <= end => self.step(),
                _ => {
                    self.now = end;
                    return false;
                }
            }
        }
    }

    /// Polls every node that was touched. Returns whether one has news for its application.
    fn poll_waiting(&mut self) -> bool {
        let mut news = false;
        while let Some(node) = self.waiting.pop_first() {
            let before = self.nodes[node].events.len();
            self.poll(node);
            news |= self.nodes[node].events.len() > before;
        }
        news
    }

    fn step(&mut self) {
        let Some(((at, _), happening)) = self.queue.pop_first() else { return };
        self.now = at;
        match happening {
            Happening::Arrival { from, to, ecn, mut data } => {
                let Some(&(node, socket)) = self.routes.get(&to) else { return };
                let len = data.len();
                while !self.driving.no_gro && data.len() % len.max(1) == 0 && data.len() < 60_000 {
                    // What arrives at one instant from one source comes as one batch, as GRO makes it.
                    let Some(next) = self.queue.first_entry() else { break };
                    match next.get() {
                        Happening::Arrival { from: f, to: t, ecn: e, data: d }
                            if next.key().0 == at
                                && (f, t, e) == (&from, &to, &ecn)
                                && (1..=len).contains(&d.len()) =>
                        {
                            let Happening::Arrival { data: more, .. } = next.remove() else { break };
                            data.extend(more);
                        }
                        _ => break,
                    }
                }
                if !self.nodes[node].asleep {
                    self.arrive(node, socket, from, ecn, len, &mut data);
                    self.poll(node);
                }
            }
            Happening::Alarm { node, alarm } => {
                if self.nodes[node].alarm == alarm {
                    self.nodes[node].alarm_at = None;
                }
                if self.nodes[node].alarm == alarm && !self.nodes[node].asleep {
                    self.nodes[node].ring(self.now);
                    self.poll(node);
                }
            }
            Happening::Writable { node, life, socket } => {
                if self.nodes[node].life == life {
                    if let Some((from, transmit, data)) = self.nodes[node].writable(socket, self.now) {
                        self.send(node, from, &transmit, &data);
                    }
                    self.poll(node);
                }
            }
            Happening::Wall { node } => {
                self.later(WALL_EVERY, Happening::Wall { node });
                if !self.nodes[node].asleep {
                    let wall = self.nodes[node].wall(self.now);
                    self.nodes[node].input(Input::Wall(wall), self.now);
                    self.poll(node);
                }
            }
            Happening::Nothing => {}
            Happening::WakeUp { node } => {
                self.nodes[node].asleep = false;
                let wall = self.nodes[node].wall(self.now);
                self.nodes[node].input(Input::Wall(wall), self.now);
                self.poll(node);
            }
        }
    }

    fn arrive(
        &mut self,
        node: usize,
        socket: SocketId,
        from: SocketAddr,
        ecn: Option<Ecn>,
        segment: usize,
        data: &mut [u8],
    ) {
        self.nodes[node].input(Input::Datagrams { socket, from, to: None, ecn, segment, data }, self.now);
    }

    /// Polls a node, carries out what it wants and sets its alarm.
    fn poll(&mut self, node: usize) {
        self.waiting.remove(&node);
        if self.nodes[node].asleep {
            return;
        }
        let polled = self.nodes[node].poll(self.now, &self.driving, &mut self.rng);
        for (socket, local) in polled.bound {
            self.routes.insert(local, (node, socket));
        }
        for address in polled.closed {
            self.routes.remove(&address);
        }
        for (from, transmit, data) in &polled.sent {
            self.send(node, *from, transmit, data);
        }
        let life = self.nodes[node].life;
        for socket in polled.full {
            let busy = self.rng.up_to(Duration::from_millis(5));
            self.later(busy, Happening::Writable { node, life, socket });
        }
        // An alarm that is set already stays: were it set anew by every poll, it would never ring while the
        // application is busy.
        let next = self.nodes[node].next_alarm(self.now);
        if next == self.nodes[node].alarm_at {
            return;
        }
        self.nodes[node].alarm_at = next;
        self.nodes[node].alarm += 1;
        if let Some(at) = next {
            let late = self.rng.up_to(self.driving.late);
            let alarm = self.nodes[node].alarm;
            self.later((at + late).saturating_since(self.now), Happening::Alarm { node, alarm });
        }
    }

    fn send(&mut self, node: usize, from: SocketAddr, transmit: &Transmit, data: &[u8]) {
        if self.unreachable.contains(&transmit.to) {
            let failed = Input::SendFailed {
                socket: transmit.socket,
                to: transmit.to,
                cause: SendFailure::Unreachable,
            };
            self.nodes[node].input(failed, self.now);
            self.waiting.insert(node);
            return;
        }
        self.last_sent = self.now;
        for datagram in data.chunks(transmit.segment.unwrap_or(transmit.len)) {
            self.sent += 1;
            self.hash.update(self.now.as_nanos().to_be_bytes());
            self.hash.update(format!("{from} {} {} ", transmit.to, datagram.len()));
            self.hash.update(datagram);
            let wire = Wire { at: self.now, from, to: transmit.to, data: datagram.to_vec() };
            if let Some(mut tap) = self.tap.take() {
                for Wire { from, to, data, .. } in tap(&wire) {
                    self.later(Duration::ZERO, Happening::Arrival { from, to, ecn: None, data });
                }
                self.tap = Some(tap);
            }
            self.transit(node, wire.clone(), transmit.ecn);
            self.wire.iter_mut().for_each(|log| log.push(wire.clone()));
        }
    }

    fn transit(&mut self, node: usize, wire: Wire, ecn: Option<Ecn>) {
        let Some(&(to, _)) = self.routes.get(&wire.to) else { return self.stray.push(wire) };
        if let Some(back) = self.links.get_mut(&(to, node)) {
            back.blocked &= !back.opens_from_behind;
        }
        if self.lose.contains(&self.sent) {
            return;
        }
        let link = self.links.get(&(node, to)).unwrap_or(&self.weather).clone();
        let free = self.free.entry((node, to)).or_default();
        for at in link.arrivals(self.now, wire.data.len(), free, &mut self.rng) {
            let mut data = wire.data.clone();
            link.damage(&mut data, &mut self.rng);
            let ecn = if ecn.is_some() && self.rng.chance(link.congested) { Some(Ecn::Ce) } else { ecn };
            let arrival = Happening::Arrival { from: wire.from, to: wire.to, ecn, data };
            self.later(at.saturating_since(self.now), arrival);
        }
    }

    /// Makes a running `run_…` look at its condition again after so long.
    pub(crate) fn look_again(&mut self, delay: Duration) {
        self.later(delay, Happening::Nothing);
    }

    fn later(&mut self, delay: Duration, happening: Happening) {
        self.serial += 1;
        self.queue.insert((self.now + delay, self.serial), happening);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the network's seed is {}, its time {:?}", self.seed, self.now);
        }
    }
}

/// Runs a test with `n` seeds, or `n` × `CRUST_TEST_SEEDS`, or the one in `CRUST_TEST_SEED`.
pub(crate) fn seeds(n: u64, test: impl Fn(u64)) {
    struct Tell(u64);
    impl Drop for Tell {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed with seed {0}: replay it alone with CRUST_TEST_SEED={0}", self.0);
            }
        }
    }
    let (first, count) = match variable("CRUST_TEST_SEED") {
        Some(seed) => (seed, 1),
        None => (0, n * variable("CRUST_TEST_SEEDS").unwrap_or(1)),
    };
    for seed in first..first + count {
        let tell = Tell(seed);
        test(seed);
        drop(tell);
    }
}

#[allow(clippy::disallowed_methods, reason = "how many seeds to try is the caller's to say, not the core's")]
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}
