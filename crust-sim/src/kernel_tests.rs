//! The laboratory's probes, played in the world with encoded packets, and held to what the kernel did, cell by cell.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crust_proto::{Duration, Instant};

use super::{AIM, DELAY, TCP, TCP_OFFSETS, UDP, UDP_OFFSETS, cells};
use crate::kinds::{Gate, Kind};
use crate::nat::{Answer, Mapping, NatConfig};
use crate::oracle::{Method, between};
use crate::population::{Class, SiteProfile};
use crate::{
    ConnectOptions, HostEvent, HostId, Internet, LinkConfig, ListenerId, NetError, Protocol, Rng,
    SendOptions, SiteConfig, TcpId, UdpId, UdpOptions, World, seeds,
};

/// The port by which the sides learn their external endpoints.
const STUN: u16 = 3478;
/// UDP goes out so often, …
const ROUND: Duration = Duration::from_millis(100);
/// … so many times.
const ROUNDS: u32 = 8;
/// How long TCP is tried.
const PATIENCE: Duration = Duration::from_secs(5);
/// One side calls so much after the other. In the laboratory too no two calls are made at one instant, and without a
/// delay the first SYN is there before the second call is made.
const CALL: Duration = Duration::from_micros(30);
/// What is refused is tried so often again.
const RETRIES: u32 = 60;

fn no_delay() -> LinkConfig {
    LinkConfig::with_latency(Duration::ZERO)
}

/// Two sites of the laboratory, a host in each, and a public host.
struct Lab {
    world: World,
    hosts: [HostId; 2],
    /// Whose ports can be predicted, by this protocol.
    counts: [bool; 2],
    public: HostId,
    rng: Rng,
}

impl Lab {
    fn new(names: [&str; 2], protocol: Protocol, seed: u64) -> Self {
        let mut world = World::new(seed);
        let mut internet = Internet::new(&mut world);
        let public = internet.host(&mut world, no_delay());
        let hosts = names.map(|name| host(&mut world, &mut internet, name));
        let rng = world.rng("probe", 0);
        Self { world, hosts, counts: names.map(|name| part(name, protocol) == "seq"), public, rng }
    }

    fn stun(&self) -> SocketAddr {
        let mut addresses = self.world.addresses(self.public);
        SocketAddr::new(addresses.find(|address| address.ip.is_ipv4()).unwrap().ip, STUN)
    }

    /// Where each side aims, when it is told how the other was seen.
    fn targets(&self, seen: [SocketAddr; 2], aim: bool) -> [Vec<SocketAddr>; 2] {
        [1, 0].map(|other| {
            let ports = if aim && self.counts[other] { 1..=AIM } else { 0..=0 };
            ports.map(|n| SocketAddr::new(seen[other].ip(), seen[other].port().wrapping_add(n))).collect()
        })
    }
}

/// What a site is to a protocol: `pr+sy` is port-restricted to UDP and symmetric to TCP.
fn part(name: &str, protocol: Protocol) -> &str {
    match (name.split_once('+'), protocol) {
        (None, _) => name,
        (Some((udp, _)), Protocol::Udp) => udp,
        (Some((_, tcp)), Protocol::Tcp) => tcp,
    }
}

/// The boxes before a site of that name, the innermost first.
fn gates(name: &str) -> Vec<Gate> {
    let accepting = NatConfig::default().both(|rules| rules.unsolicited = Answer::Accept);
    let restricted = Kind::PortRestricted.gate();
    match name {
        "fc" => vec![Kind::FullCone.gate()],
        "rc" => vec![Kind::Restricted.gate()],
        "pr" => vec![restricted],
        "sy" => vec![Kind::Symmetric.gate()],
        "seq" => vec![Kind::SymmetricSequential.gate()],
        "sya" => vec![Kind::SymmetricAddress.gate()],
        "fw" => vec![Kind::Firewall.gate()],
        "dbl" => vec![restricted, restricted],
        "dbS" => vec![restricted, Kind::Symmetric.gate()],
        "rst" => vec![Kind::TcpRst.gate()],
        "acc" => vec![Gate::Nat(accepting)],
        mixed if mixed.contains('+') => vec![Gate::Nat(mixture(mixed))],
        other => panic!("no site {other}"),
    }
}

/// A NAT that is one thing to UDP and another to TCP. It chooses ports as the one of them that needs new ones.
fn mixture(name: &str) -> NatConfig {
    let [udp, tcp] = [Protocol::Udp, Protocol::Tcp].map(|protocol| match gates(part(name, protocol))[..] {
        [Gate::Nat(config)] => config,
        _ => panic!("{name} is not of two NATs"),
    });
    let base = if udp.udp.mapping == Mapping::EndpointIndependent { tcp } else { udp };
    NatConfig { udp: udp.udp, tcp: tcp.tcp, ..base }
}

/// A host in a site of that name.
fn host(world: &mut World, internet: &mut Internet, name: &str) -> HostId {
    if name == "pub" {
        return internet.host(world, no_delay());
    }
    let gates = gates(name);
    let config = SiteConfig { gates, lan: no_delay(), ..SiteConfig::of(Kind::Open, no_delay()) };
    let mut site = internet.site(world, &config);
    let host = site.host(world);
    // The laboratory delays what comes to the outermost router, from both sides.
    let inside = if site.routers.len() > 1 { site.routers[site.routers.len() - 2] } else { host };
    let outwards = *world.interfaces(inside).last().unwrap();
    world.link_mut(outwards).latency = DELAY;
    // Of two that have waited equally long it lets the one from inside go first.
    world.link_mut(site.downlink).latency = DELAY + CALL * 2;
    // From gate to gate, the other way.
    if let Some(between) = site.routers.len().checked_sub(1).filter(|at| *at > 0) {
        let inner = world.interfaces(site.routers[between])[1];
        world.link_mut(inner).latency = Duration::ZERO;
    }
    host
}

// -- UDP --

/// Whether two sites hear each other, where each begins so much later.
fn udp(names: [&str; 2], answers: bool, aim: bool, later: [Duration; 2], seed: u64) -> bool {
    let mut lab = Lab::new(names, Protocol::Udp, seed);
    let to = lab.stun();
    let unspecified = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let mut bind = |host, port| {
        lab.world.udp_bind(host, SocketAddr::new(unspecified, port), UdpOptions::default()).unwrap()
    };
    let (server, sockets) = (bind(lab.public, STUN), lab.hosts.map(|host| bind(host, 0)));
    let seen = sockets.map(|socket| {
        lab.world.udp_send(socket, to, SendOptions::default(), b"who am I?").unwrap();
        lab.world.run_for(ROUND);
        received(&mut lab.world, server)[0]
    });
    let mut targets = lab.targets(seen, aim);
    let mut heard = [false; 2];
    let begin = lab.world.now();
    let mut next = [begin + later[0], begin + later[1] + CALL];
    let end = next[0].max(next[1]) + ROUND * ROUNDS;
    while lab.world.now() < end && heard != [true; 2] {
        let now = lab.world.now();
        for n in 0..targets[0].len().max(targets[1].len()) {
            for me in [0, 1] {
                if let Some(target) = targets[me].get(n).filter(|_| next[me] <= now) {
                    lab.world.udp_send(sockets[me], *target, SendOptions::default(), b"hello").unwrap();
                }
            }
        }
        for next in next.iter_mut().filter(|next| **next <= now) {
            *next = now + ROUND;
        }
        lab.world.run_until_event(next[0].min(next[1]).min(end));
        while lab.world.poll_event().is_some() {}
        for me in [0, 1] {
            for source in received(&mut lab.world, sockets[me]) {
                heard[me] = true;
                if answers && !targets[me].contains(&source) {
                    targets[me].insert(0, source);
                }
            }
        }
    }
    heard == [true; 2]
}

/// Where a socket's datagrams came from.
fn received(world: &mut World, socket: UdpId) -> Vec<SocketAddr> {
    let mut buffer = [0; 100];
    std::iter::from_fn(|| world.udp_recv(socket, &mut buffer).unwrap().map(|received| received.from))
        .collect()
}

// -- TCP --

/// How TCP is tried.
#[derive(Clone, Copy, Default)]
struct Try {
    listens: bool,
    aim: bool,
    /// What is refused is not tried again.
    once: bool,
    /// How much later each side begins.
    later: [Duration; 2],
}

/// One side of a TCP probe.
struct Side {
    host: HostId,
    port: u16,
    listener: Option<ListenerId>,
    targets: Vec<SocketAddr>,
    /// When it calls which target.
    due: Vec<(Instant, usize)>,
    calls: BTreeMap<TcpId, usize>,
    refused: u32,
    heard: bool,
}

/// Whether two sites get a connection and bytes through it both ways.
fn tcp(names: [&str; 2], how: Try, seed: u64) -> bool {
    let mut lab = Lab::new(names, Protocol::Tcp, seed);
    let to = lab.stun();
    let unspecified = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let server = lab.world.tcp_listen(lab.public, SocketAddr::new(unspecified, STUN), 9).unwrap();
    let ports = [(); 2].map(|()| 20_000 + lab.rng.below(9000) as u16);
    let from =
        |port| ConnectOptions { from: Some(SocketAddr::new(unspecified, port)), ..ConnectOptions::default() };
    let seen = [0, 1].map(|me| {
        lab.world.tcp_connect(lab.hosts[me], to, from(ports[me])).unwrap();
        lab.world.run_for(Duration::from_secs(1));
        lab.world.tcp_accept(server).unwrap().unwrap().1
    });
    let targets = lab.targets(seen, how.aim);
    let begin = lab.world.now();
    let mut sides = [0, 1].map(|me| Side {
        host: lab.hosts[me],
        port: ports[me],
        listener: how.listens.then(|| {
            let at = SocketAddr::new(unspecified, ports[me]);
            lab.world.tcp_listen(lab.hosts[me], at, 64).unwrap()
        }),
        due: (0..targets[me].len())
            .map(|target| (begin + how.later[me] + CALL * u32::from(me == 1), target))
            .collect(),
        targets: targets[me].clone(),
        calls: BTreeMap::new(),
        refused: 0,
        heard: false,
    });
    let end = begin + PATIENCE;
    while lab.world.now() < end && sides.iter().any(|side| !side.heard) {
        // In turn, so that two counting NATs count alike.
        for n in 0..usize::from(AIM) {
            for side in &mut sides {
                let now = lab.world.now();
                let due = side.due.iter().position(|(at, target)| *at <= now && *target == n);
                if let Some(due) = due {
                    side.due.swap_remove(due);
                    match lab.world.tcp_connect(side.host, side.targets[n], from(side.port)) {
                        Ok(call) => drop(side.calls.insert(call, n)),
                        // The listener has that very connection, not yet through.
                        Err(error) => {
                            assert_eq!(error, NetError::AddrInUse);
                            side.due.push((now + ROUND, n));
                        }
                    }
                }
            }
        }
        let due = sides.iter().flat_map(|side| &side.due).map(|(at, _)| *at).min().unwrap_or(end).min(end);
        lab.world.run_until_event(due);
        while let Some((host, event)) = lab.world.poll_event() {
            if let Some(me) = lab.hosts.iter().position(|own| *own == host) {
                sides[me].hear(&mut lab.world, event, how.once, &mut lab.rng);
            }
        }
    }
    sides.iter().all(|side| side.heard)
}

impl Side {
    fn hear(&mut self, world: &mut World, event: HostEvent, once: bool, rng: &mut Rng) {
        let word = b"from me to you";
        match event {
            HostEvent::TcpConnected(id) if self.calls.contains_key(&id) => {
                world.tcp_send(id, word).unwrap();
            }
            HostEvent::TcpFailed(id, _) => {
                world.tcp_close(id);
                let Some(target) = self.calls.remove(&id) else { return };
                self.refused += 1;
                if !once && self.refused < RETRIES {
                    let pause = Duration::from_millis(50 + rng.below(100));
                    self.due.push((world.now() + pause, target));
                }
            }
            HostEvent::TcpAcceptable(listener) if Some(listener) == self.listener => {
                while let Some((id, _)) = world.tcp_accept(listener).unwrap() {
                    world.tcp_send(id, word).unwrap();
                }
            }
            HostEvent::TcpReadable(id) => {
                let mut buffer = [0; 100];
                if let Ok(Some(length)) = world.tcp_recv(id, &mut buffer) {
                    self.heard |= &buffer[..length] == word;
                }
            }
            _ => {}
        }
    }
}

// -- the matrices --

/// What the first of the probes that succeeds is called.
fn first(probes: &[(char, &dyn Fn() -> bool)]) -> char {
    probes.iter().find(|(_, probe)| probe()).map_or('-', |(letter, _)| *letter)
}

/// Every cell of a table of pairs, both ways round.
fn hold(table: &'static str, seed: u64, punch: impl Fn([&str; 2]) -> char) {
    let mut wrong = String::new();
    for (row, column, measured) in cells(table) {
        for names in [[row, column], [column, row]] {
            let found = punch(names);
            if found != measured {
                wrong += &format!("{} with {}: {found}, measured {measured}\n", names[0], names[1]);
            }
        }
    }
    assert!(wrong.is_empty(), "seed {seed}:\n{wrong}");
}

/// Every cell of a table of offsets.
fn hold_offsets(table: &'static str, seed: u64, punch: impl Fn([&str; 2], [Duration; 2]) -> char) {
    let mut wrong = String::new();
    for (pair, offset, measured) in cells(table) {
        let (a, b) = pair.split_once('/').unwrap();
        let offset: i64 = offset.parse().unwrap();
        let later = [-offset, offset].map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let found = punch([a, b], later);
        if found != measured {
            wrong += &format!("{pair} at {offset}: {found}, measured {measured}\n");
        }
    }
    assert!(wrong.is_empty(), "seed {seed}:\n{wrong}");
}

#[test]
fn every_pair_is_measured_once() {
    for (table, count) in
        [(UDP, 12 * 13 / 2), (TCP, 12 * 13 / 2), (TCP_OFFSETS, 11 * 9), (UDP_OFFSETS, 9 * 9)]
    {
        assert_eq!(cells(table).len(), count);
    }
}

#[test]
fn datagrams_punch_where_they_did_with_real_kernels_and_by_the_same_method() {
    let at_once = [Duration::ZERO; 2];
    seeds(10, |seed| {
        hold(UDP, seed, |names| {
            first(&[
                ('Y', &|| udp(names, false, false, at_once, seed)),
                ('y', &|| udp(names, true, false, at_once, seed)),
                ('p', &|| names.contains(&"seq") && udp(names, true, true, at_once, seed)),
            ])
        });
    });
}

#[test]
fn datagrams_that_come_too_early_spoil_what_they_did_with_real_kernels() {
    seeds(10, |seed| {
        hold_offsets(UDP_OFFSETS, seed, |names, later| {
            first(&[
                ('Y', &|| udp(names, false, false, later, seed)),
                ('y', &|| udp(names, true, false, later, seed)),
            ])
        });
    });
}

#[test]
fn connections_punch_where_they_did_with_real_kernels_and_by_the_same_method() {
    let plain = Try::default();
    seeds(5, |seed| {
        hold(TCP, seed, |names| {
            first(&[
                ('Y', &|| tcp(names, plain, seed)),
                ('y', &|| tcp(names, Try { listens: true, ..plain }, seed)),
                ('p', &|| names.contains(&"seq") && tcp(names, Try { aim: true, ..plain }, seed)),
            ])
        });
    });
}

#[test]
fn syns_meet_at_the_offsets_at_which_they_did_with_real_kernels() {
    seeds(5, |seed| {
        hold_offsets(TCP_OFFSETS, seed, |names, later| {
            first(&[('Y', &|| tcp(names, Try { once: true, later, ..Try::default() }, seed))])
        });
    });
}

// -- each protocol by itself --

/// What the oracle says of two sites.
fn possible(names: [&str; 2]) -> Vec<Method> {
    let [a, b] = names.map(|name| SiteProfile {
        class: Class::Home,
        nats: vec![mixture(name)],
        firewall: None,
        ipv6: None,
        port_mapping: false,
        noise_per_second: 0.0,
    });
    between(&(&a).into(), &(&b).into())
}

/// No kernel has been measured for these: the oracle says what they must do.
#[test]
fn boxes_that_treat_udp_and_tcp_differently_punch_over_each_as_the_oracle_says() {
    let (plain, at_once) = (Try::default(), [Duration::ZERO; 2]);
    let names = ["fc+pr", "pr+fc", "pr+sy", "sy+pr", "fc+sy", "sy+fc", "pr+seq", "seq+pr"];
    let pairs = names.iter().enumerate().flat_map(|(n, a)| names[..=n].iter().map(|b| [*a, *b]));
    let pairs: Vec<[&str; 2]> = pairs.collect();
    seeds(2, |seed| {
        for names in pairs.clone() {
            let methods = possible(names);
            let letter = |all: [(char, &[Method]); 3]| {
                all.iter()
                    .find(|(_, of)| of.iter().any(|method| methods.contains(method)))
                    .map_or('-', |of| of.0)
            };
            let by_udp = letter([
                ('Y', &[Method::PlainUdp]),
                ('y', &[Method::ObservedUdp]),
                ('p', &[Method::PredictedUdp, Method::MutuallyPredictedUdp]),
            ]);
            let by_tcp = letter([
                ('y', &[Method::TcpSimultaneousOpen]),
                ('p', &[Method::PredictedTcp, Method::MutuallyPredictedTcp]),
                ('-', &[]),
            ]);
            let counts = |protocol| names.iter().any(|name| part(name, protocol) == "seq");
            let found = first(&[
                ('Y', &|| udp(names, false, false, at_once, seed)),
                ('y', &|| udp(names, true, false, at_once, seed)),
                ('p', &|| counts(Protocol::Udp) && udp(names, true, true, at_once, seed)),
            ]);
            assert_eq!(found, by_udp, "UDP, {names:?}, seed {seed}");
            let found = first(&[
                ('y', &|| tcp(names, Try { listens: true, ..plain }, seed)),
                ('p', &|| counts(Protocol::Tcp) && tcp(names, Try { aim: true, ..plain }, seed)),
            ]);
            assert_eq!(found, by_tcp, "TCP, {names:?}, seed {seed}");
        }
    });
}
