//! Hole punching at the level of flows, held against what real kernels did.

use std::collections::VecDeque;

use super::testing::*;
use super::*;
use crate::firewall::Firewall;
use crate::oracle::{Method, between};
use crate::population::{Class, Mix, Population, SiteProfile};

/// The laboratory's README, “UDP punching”, as measured with real Linux NATs (kernel 6.18): plain `Y`; by answering
/// the source seen `y`; aiming at the next 20 ports of a sequential NAT `p`.
const MEASURED: &str = "
     pub fc rc pr sy seq sya fw dbl dbS
pub   Y
fc    Y  Y
rc    Y  Y  Y
pr    Y  Y  Y  Y
sy    y  y  y  -  -
seq   y  y  y  p  -  p
sya   y  y  y  -  -  -   -
fw    Y  Y  Y  Y  -  p   -  Y
dbl   Y  Y  Y  Y  -  p   -  Y  Y
dbS   y  y  y  -  -  -   -  -  -   -
";

/// How many ports after the observed one are aimed at.
const AIM: u16 = 20;

const STUN: &str = "203.0.113.2:3478";

enum Gatekeeper {
    Nat(Box<Nat>),
    Firewall(Box<Firewall>),
}

/// A host with one socket behind boxes, the innermost first.
struct Site {
    socket: SocketAddr,
    boxes: Vec<Gatekeeper>,
    /// What STUN saw.
    observed: SocketAddr,
    /// Where it sends.
    targets: Vec<SocketAddr>,
    heard: bool,
}

impl Site {
    /// The laboratory's site of that short name, as number `n` of the world.
    fn new(name: &str, n: u8, seed: u64) -> Self {
        let rng = Rng::new(seed).fork(name, n.into());
        let one = |kind: Kind, lan| Self::behind(n, lan, &[kind.gate()], &rng);
        let inside = [192, 168, n, 11];
        match name {
            "pub" => one(Kind::Open, [203, 0, 113, 10 + n]),
            "fw" => one(Kind::Firewall, [198, 51, 100, 16 * n]),
            "dbl" => {
                Self::behind(n, inside, &[Kind::PortRestricted, Kind::PortRestricted].map(Kind::gate), &rng)
            }
            "dbS" => Self::behind(n, inside, &[Kind::PortRestricted, Kind::Symmetric].map(Kind::gate), &rng),
            name => one(kind(name), inside),
        }
    }

    /// A host at that address behind boxes, the innermost first.
    fn behind(n: u8, host: [u8; 4], gates: &[Gate], rng: &Rng) -> Self {
        let boxes = gates.iter().enumerate().map(|(hop, gate)| match gate {
            Gate::Nat(config) => {
                let outermost = hop + 1 == gates.len();
                let external = if outermost { [203, 0, 113, 100 + n] } else { [100, 64 + hop as u8, n, 11] };
                let rng = rng.fork("hop", hop as u64);
                Gatekeeper::Nat(Box::new(Nat::new(*config, vec![external.into()], rng)))
            }
            Gate::Firewall(config) => Gatekeeper::Firewall(Box::new(Firewall::new(*config))),
        });
        let socket = SocketAddr::from((host, 5000 + u16::from(n)));
        Self { socket, boxes: boxes.collect(), observed: socket, targets: Vec::new(), heard: false }
    }

    /// A datagram, or a segment of TCP, out of the socket: its source as the world sees it.
    fn send(&mut self, tcp: Option<TcpFlags>, destination: SocketAddr) -> Option<SocketAddr> {
        let mut source = self.socket;
        for gatekeeper in &mut self.boxes {
            let flow = flow(protocol(tcp), source, destination);
            let outcome = match gatekeeper {
                Gatekeeper::Nat(nat) => nat.outbound(flow, tcp, secs(0)),
                Gatekeeper::Firewall(firewall) => firewall.outbound(flow, tcp, secs(0)),
            };
            let Outbound::Forward { source: next } = outcome else { return None };
            source = next;
        }
        Some(source)
    }

    /// A datagram or a segment from the world: whether it reaches the socket.
    fn receive(&mut self, tcp: Option<TcpFlags>, source: SocketAddr, mut destination: SocketAddr) -> bool {
        for gatekeeper in self.boxes.iter_mut().rev() {
            let flow = flow(protocol(tcp), source, destination);
            let outcome = match gatekeeper {
                Gatekeeper::Nat(nat) => nat.inbound(flow, tcp, secs(0)),
                Gatekeeper::Firewall(firewall) => firewall.inbound(flow, tcp, secs(0)),
            };
            let Inbound::Forward { destination: next } = outcome else { return false };
            destination = next;
        }
        destination == self.socket
    }
}

fn protocol(tcp: Option<TcpFlags>) -> Protocol {
    if tcp.is_some() { Protocol::Tcp } else { Protocol::Udp }
}

fn kind(name: &str) -> Kind {
    match name {
        "fc" => Kind::FullCone,
        "rc" => Kind::Restricted,
        "pr" => Kind::PortRestricted,
        "sy" => Kind::Symmetric,
        "seq" => Kind::SymmetricSequential,
        "sya" => Kind::SymmetricAddress,
        other => panic!("{other}"),
    }
}

/// The first method by which both sides hear each other, each tried with fresh sockets.
fn punch(a: &str, b: &str, seed: u64) -> char {
    let sites = || [Site::new(a, 1, seed), Site::new(b, 2, seed)];
    let counts = [a == "seq", b == "seq"];
    if meet(sites(), false, [false; 2]) {
        'Y'
    } else if meet(sites(), true, [false; 2]) {
        'y'
    } else if meet(sites(), true, counts) {
        'p'
    } else {
        '-'
    }
}

/// Two sites learn their addresses from a STUN server, tell each other, and probe in turn. What is sent before
/// anything arrives crosses on the way. `answers`: they send to the sources that they see, too. `counts`: whose NAT
/// counts, so that the other aims at the ports after the observed one, and not at that one, which can't be right.
fn meet(mut sites: [Site; 2], answers: bool, counts: [bool; 2]) -> bool {
    for site in &mut sites {
        site.observed = site.send(None, at(STUN)).unwrap();
    }
    for (me, other) in [(0, 1), (1, 0)] {
        let seen = sites[other].observed;
        let ports = if counts[other] { 1..=AIM } else { 0..=0 };
        sites[me].targets = ports.map(|n| SocketAddr::new(seen.ip(), seen.port().wrapping_add(n))).collect();
    }
    for _ in 0..3 {
        let mut sent = VecDeque::new();
        let most = sites[0].targets.len().max(sites[1].targets.len());
        for n in 0..most {
            for me in [0, 1] {
                let Some(&target) = sites[me].targets.get(n) else { continue };
                if let Some(source) = sites[me].send(None, target) {
                    sent.push_back((1 - me, source, target));
                }
            }
        }
        for (to, source, destination) in sent {
            if sites[to].receive(None, source, destination) {
                sites[to].heard = true;
                if answers && !sites[to].targets.contains(&source) {
                    sites[to].targets.insert(0, source);
                }
            }
        }
    }
    sites.iter().all(|site| site.heard)
}

/// The cells of a table: row, column, letter.
fn cells(table: &str) -> Vec<(String, String, char)> {
    let mut lines = table.lines().filter(|line| !line.trim().is_empty());
    let columns: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let mut cells = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let row = words.next().unwrap();
        for (column, letter) in columns.iter().zip(words) {
            cells.push((row.to_owned(), (*column).to_owned(), letter.chars().next().unwrap()));
        }
    }
    cells
}

#[test]
fn punching_succeeds_where_it_did_with_real_kernels_and_by_the_same_method() {
    let cells = cells(MEASURED);
    assert_eq!(cells.len(), 10 * 11 / 2);
    for seed in 0..20 {
        let mut wrong = String::new();
        for (row, column, measured) in &cells {
            for (a, b) in [(row, column), (column, row)] {
                let found = punch(a, b, seed);
                if found != *measured {
                    wrong += &format!("{a} with {b}: {found}, measured {measured}\n");
                }
            }
        }
        assert!(wrong.is_empty(), "seed {seed}:\n{wrong}");
    }
}

/// Whether two sites get a TCP connection by SYNs that cross, each with a listener on the port that it dials from.
fn meet_by_tcp(mut sites: [Site; 2]) -> bool {
    for site in &mut sites {
        site.observed = site.send(Some(SYN), at(STUN)).unwrap();
    }
    for _ in 0..2 {
        let mut sent: Vec<(usize, SocketAddr, SocketAddr)> = Vec::new();
        for (me, other) in [(0, 1), (1, 0)] {
            let target = sites[other].observed;
            sent.extend(sites[me].send(Some(SYN), target).map(|source| (other, source, target)));
        }
        for (to, source, destination) in sent {
            if sites[to].receive(Some(SYN), source, destination)
                && let Some(answer) = sites[to].send(Some(SYN_ACK), source)
                && sites[1 - to].receive(Some(SYN_ACK), answer, source)
            {
                return true;
            }
        }
    }
    false
}

#[test]
fn crossing_syns_meet_where_they_did_with_real_kernels() {
    // The laboratory's README: all pairs of non-symmetric kinds work; a listener helps symmetric against restricted.
    let cones = ["pub", "fc", "rc", "pr", "fw", "dbl"];
    let symmetric = ["sy", "seq", "sya", "dbS"];
    let lenient = ["pub", "fc", "rc"];
    for a in cones.into_iter().chain(symmetric) {
        for b in cones.into_iter().chain(symmetric) {
            let expected = match (cones.contains(&a), cones.contains(&b)) {
                (true, true) => true,
                (true, false) => lenient.contains(&a),
                (false, true) => lenient.contains(&b),
                (false, false) => false,
            };
            assert_eq!(meet_by_tcp([Site::new(a, 1, 1), Site::new(b, 2, 1)]), expected, "{a} with {b}");
        }
    }
}

/// What the oracle says of two sites behind NATs, and whether they meet: plainly, by answers, by aiming.
fn held_to_the_oracle(a: &[NatConfig], b: &[NatConfig], seed: u64) {
    let profile = |nats: &[NatConfig]| SiteProfile {
        class: Class::Home,
        nats: nats.to_vec(),
        firewall: None,
        ipv6: None,
        port_mapping: false,
        noise_per_second: 0.0,
    };
    let methods = between(&(&profile(a)).into(), &(&profile(b)).into());
    let gates = |nats: &[NatConfig]| -> Vec<Gate> { nats.iter().copied().map(Gate::Nat).collect() };
    let rng = Rng::new(seed);
    let sites = || {
        [(1, a), (2, b)]
            .map(|(n, nats)| Site::behind(n, [192, 168, n, 11], &gates(nats), &rng.fork("site", n.into())))
    };
    let dependent = |nat: &NatConfig| nat.udp.mapping != Mapping::EndpointIndependent;
    let counts = [a, b].map(|nats| {
        nats.iter().any(|nat| dependent(nat) && matches!(nat.allocation, Allocation::Sequential { .. }))
    });
    // A box that maps dependently but lets everybody in answers by the entry that the stranger made, so by the very
    // endpoint that the stranger knows. The published table doesn't count on it, nor does the oracle.
    let lenient = [a, b].iter().any(|nats| {
        nats.iter().any(|nat| dependent(nat) && nat.udp.filtering == Filtering::EndpointIndependent)
    });
    let case = format!("{a:?}\n{b:?}\n{methods:?}");
    if methods.contains(&Method::PlainUdp) {
        assert!(meet(sites(), false, [false; 2]), "plain: {case}");
    } else if methods.contains(&Method::ObservedUdp) {
        assert!(meet(sites(), true, [false; 2]), "observed: {case}");
    } else {
        assert!(lenient || !meet(sites(), true, [false; 2]), "it was too gloomy: {case}");
        let predicted = [Method::PredictedUdp, Method::MutuallyPredictedUdp];
        if predicted.iter().any(|method| methods.contains(method)) {
            assert!(meet(sites(), true, counts), "predicted: {case}");
        }
    }
}

#[test]
fn pairs_of_all_classes_meet_where_the_oracle_says_so_and_nowhere_else() {
    let mut all = Vec::new();
    for mapping in [Mapping::EndpointIndependent, Mapping::AddressDependent, Mapping::AddressAndPortDependent]
    {
        for filtering in
            [Filtering::EndpointIndependent, Filtering::AddressDependent, Filtering::AddressAndPortDependent]
        {
            for allocation in [
                Allocation::Preserving(Collision::Random),
                Allocation::Sequential { start: None, step: 1 },
                Allocation::Random,
                Allocation::Chunked { size: 2048, blocks: 1 },
            ] {
                all.push(NatConfig { allocation, ..NatConfig::default() }.both(|rules| {
                    rules.mapping = mapping;
                    rules.filtering = filtering;
                }));
            }
        }
    }
    for (n, a) in all.iter().enumerate() {
        for b in &all[..=n] {
            held_to_the_oracle(&[*a], &[*b], 1);
        }
    }
}

#[test]
fn pairs_of_the_population_meet_where_the_oracle_says_so_and_nowhere_else() {
    let population = Population::standard(Mix::B);
    let mut rng = Rng::new(9);
    let mut site = || loop {
        let site = population.site(&mut rng);
        // Nested boxes that count can't be aimed at by what one probe tells.
        let aimable = site.nats.len() == 1
            || !site.nats.iter().any(|nat| matches!(nat.allocation, Allocation::Sequential { .. }));
        if !site.nats.is_empty() && site.nats.iter().all(|nat| !nat.udp_blocked) && aimable {
            break site.nats;
        }
    };
    for seed in 0..2000 {
        held_to_the_oracle(&site(), &site(), seed);
    }
}
