//! How many simulated datagrams a second one core moves through two real NATs.
//!
//! Two hosts, each on a LAN behind a port-restricted NAT on an internet: every datagram passes four links, two NATs and
//! the core's router. Three figures:
//!
//! * `wire`: datagrams of 1,200 bytes from socket to socket, no engine;
//! * `null`: all UDP datagrams, data and acknowledgements, of a session between two bare engines that write streams to
//!   one another as fast as they can, with the null cipher;
//! * `aws-lc-rs` (or `pure`, without that feature): the same, encrypted.
//!
//! `sweep --speed` tells them, and the example `speed`, which has this file too, tells more of each.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crust_proto::crypto::{self, CryptoProvider};
use crust_proto::{Dir, Duration, Engine, Event, Instant, SessionId, StreamId, Target};
use crust_sim::bare::{Bare, NodeId};
use crust_sim::{HostId, Internet, Kind, LinkConfig, SendOptions, SiteConfig, UdpOptions, World, cipher};

use crate::stopwatch::Stopwatch;

const PORT: u16 = 5000;
/// What the two sites get: the first two addresses of their internet.
const PUBLIC: [[u8; 4]; 2] = [[203, 0, 113, 1], [203, 0, 113, 2]];
const SIZE: usize = 1200;

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    datagrams: u64,
    bytes: u64,
    events: u64,
    /// On the processor where the system tells, else on the wall clock.
    time: Duration,
}

impl Figures {
    /// Datagrams a second.
    pub(crate) fn rate(&self) -> u64 {
        let nanos = self.time.as_nanos().max(1);
        u64::try_from(u128::from(self.datagrams) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { datagrams, bytes, events, time } = self;
        let (average, seconds) = (bytes / datagrams.max(&1), time.as_secs_f64());
        write!(f, "{datagrams} of {average} bytes on average, {events} events, {seconds:.2} s")
    }
}

/// What can be measured: the wire alone, sessions with the null cipher, sessions with the best that there is.
pub(crate) fn names() -> [&'static str; 3] {
    ["wire", "null", crypto::best().name()]
}

/// One of [`names`] in so many runs, one at least, of so many datagrams each; the slowest first.
pub(crate) fn measure(name: &str, runs: u64, count: u64) -> Vec<Figures> {
    let run = |seed| match name {
        "wire" => wire(seed, count),
        "null" => session(seed, count, &cipher::null()),
        _ => session(seed, count, &crypto::best()),
    };
    let mut all: Vec<Figures> = (0..runs.max(1)).map(run).collect();
    all.sort_by_key(Figures::rate);
    all
}

fn spent(watch: Stopwatch) -> Duration {
    watch.cpu().unwrap_or_else(|| watch.wall())
}

/// Two hosts behind NATs.
fn sites(seed: u64) -> (World, [HostId; 2]) {
    let mut world = World::new(seed);
    let mut internet = Internet::new(&mut world);
    let wire = LinkConfig::with_latency(Duration::from_millis(10));
    let hosts = PUBLIC
        .map(|_| internet.site(&mut world, &SiteConfig::of(Kind::PortRestricted, wire)).host(&mut world));
    (world, hosts)
}

/// Datagrams alone.
fn wire(seed: u64, count: u64) -> Figures {
    let (mut world, hosts) = sites(seed);
    let any = SocketAddr::from(([0, 0, 0, 0], PORT));
    let options = UdpOptions { queue: 4 << 20, ..UdpOptions::default() };
    let sockets = hosts.map(|host| world.udp_bind(host, any, options).expect("a socket"));
    let far = [PUBLIC[1], PUBLIC[0]].map(|ip| SocketAddr::from((ip, PORT)));
    let payload = [7; SIZE];
    let mut buffer = [0; 2 * SIZE];
    let options = SendOptions { dont_fragment: true, ..SendOptions::default() };
    let (mut received, mut begin) = (0, None);
    while received < count {
        for _ in 0..32 {
            for (socket, to) in sockets.iter().zip(far) {
                world.udp_send(*socket, to, options, &payload).expect("it leaves");
            }
        }
        // So that several bursts are under way at any time.
        world.run_for(Duration::from_millis(3));
        while world.poll_event().is_some() {}
        for socket in sockets {
            while world.udp_recv(socket, &mut buffer).expect("a socket").is_some() {
                received += 1;
            }
        }
        // The NATs are open.
        begin.get_or_insert_with(|| (Stopwatch::start(), world.datagrams_so_far(), world.events_so_far()));
    }
    let (began, datagrams, events) = begin.expect("it began");
    let time = spent(began);
    let datagrams = world.datagrams_so_far() - datagrams;
    let events = world.events_so_far() - events;
    Figures { datagrams, bytes: datagrams * SIZE as u64, events, time }
}

/// Whole sessions.
fn session(seed: u64, count: u64, provider: &Arc<dyn CryptoProvider>) -> Figures {
    let (world, hosts) = sites(seed);
    let mut bare = Bare::new(world);
    let nodes = hosts.map(|host| {
        let mut config = bare.config();
        config.provider = provider.clone();
        config.listen = vec![SocketAddr::from(([0, 0, 0, 0], PORT))];
        config.hardware.aes = has_aes();
        bare.add(host, config)
    });
    bare.run_for(Duration::from_millis(1));
    // Each calls the other, which opens both NATs.
    for (node, to) in nodes.into_iter().zip([1, 0]) {
        let peer = bare.engine(nodes[to]).expect("it lives").peer_id();
        let target = Target::from((peer, SocketAddr::from((PUBLIC[to], PORT))));
        bare.act(node, |engine, now| engine.connect(target, now)).expect("an attempt");
    }
    let mut writers: Vec<Option<(SessionId, StreamId)>> = vec![None; 2];
    let mut buffer = vec![0; 1 << 16];
    let mut begin = None;
    let until = Instant::ZERO + Duration::from_secs(1 << 30);
    while let Some((node, event)) = bare.next_event(until) {
        match event {
            Event::Attempt { result, .. } => {
                let session = result.expect("two port-restricted NATs are punched by calling at once");
                let stream = bare.act(node, |engine, now| open(engine, session, now));
                if let Some(stream) = stream.filter(|_| writers[node.index()].is_none()) {
                    writers[node.index()] = Some((session, stream));
                    write(&mut bare, node, session, stream);
                }
            }
            Event::Writable { session, stream } => write(&mut bare, node, session, stream),
            Event::StreamOpened { session, dir } => {
                bare.act(node, |engine, now| engine.session_mut(session, now)?.accept(dir));
            }
            Event::Readable { session, stream } => {
                bare.act(node, |engine, now| {
                    let Some(mut session) = engine.session_mut(session, now) else { return };
                    while let Ok(1..) = session.read(stream, &mut buffer) {}
                });
            }
            _ => {}
        }
        let datagrams = bare.world().datagrams_so_far();
        match &begin {
            // When windows have opened.
            None if datagrams > 20_000 => {
                begin =
                    Some((Stopwatch::start(), datagrams, sent(&bare, nodes), bare.world().events_so_far()));
            }
            Some((began, before, bytes, events)) if datagrams - before >= count => {
                return Figures {
                    datagrams: datagrams - before,
                    bytes: sent(&bare, nodes) - bytes,
                    events: bare.world().events_so_far() - events,
                    time: spent(*began),
                };
            }
            _ => {}
        }
    }
    panic!("the session stands still");
}

fn open(engine: &mut Engine, session: SessionId, now: Instant) -> Option<StreamId> {
    engine.session_mut(session, now)?.open(Dir::Uni).ok()?
}

fn write(bare: &mut Bare, node: NodeId, session: SessionId, stream: StreamId) {
    static DATA: [u8; 1 << 16] = [7; 1 << 16];
    bare.act(node, |engine, now| {
        let Some(mut session) = engine.session_mut(session, now) else { return };
        while let Ok(1..) = session.write(stream, &DATA) {}
    });
}

/// Bytes of UDP payload that both nodes have sent.
fn sent(bare: &Bare, nodes: [NodeId; 2]) -> u64 {
    nodes.iter().filter_map(|node| bare.engine(*node)).map(|engine| engine.stats().bytes_sent).sum()
}

/// Whether this machine has AES as an instruction, as an adapter would find it.
fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}
