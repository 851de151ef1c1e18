//! Hole punching at the level of flows, held against what real kernels did.

use std::collections::VecDeque;

use super::testing::*;
use super::*;
use crate::firewall::Firewall;

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
    fn new(name: &str, n: u8, seed: u64) -> Self {
        let wan = IpAddr::from([203, 0, 113, 100 + n]);
        let carrier = IpAddr::from([100, 64, n, 11]);
        let site = |lan: [u8; 4], kinds: &[(Kind, IpAddr)]| {
            let boxes = kinds.iter().enumerate().map(|(hop, &(kind, ip))| match kind.gate() {
                Gate::Nat(config) => Gatekeeper::Nat(Box::new(Nat::new(
                    config,
                    vec![ip],
                    Rng::new(seed).fork(name, u64::from(n) * 8 + hop as u64),
                ))),
                Gate::Firewall(config) => Gatekeeper::Firewall(Box::new(Firewall::new(config))),
            });
            let socket = SocketAddr::from((lan, 5000 + u16::from(n)));
            Self { socket, boxes: boxes.collect(), observed: socket, targets: Vec::new(), heard: false }
        };
        let lan = [192, 168, n, 11];
        match name {
            "pub" => site([203, 0, 113, 10 + n], &[(Kind::Open, wan)]),
            "fw" => site([198, 51, 100, 16 * n], &[(Kind::Firewall, wan)]),
            "dbl" => site(lan, &[(Kind::PortRestricted, carrier), (Kind::PortRestricted, wan)]),
            "dbS" => site(lan, &[(Kind::PortRestricted, carrier), (Kind::Symmetric, wan)]),
            name => site(lan, &[(kind(name), wan)]),
        }
    }

    /// A datagram out of the socket: its source as the world sees it.
    fn send(&mut self, destination: SocketAddr) -> Option<SocketAddr> {
        let mut source = self.socket;
        for gatekeeper in &mut self.boxes {
            let flow = flow(Protocol::Udp, source, destination);
            let outcome = match gatekeeper {
                Gatekeeper::Nat(nat) => nat.outbound(flow, None, secs(0)),
                Gatekeeper::Firewall(firewall) => firewall.outbound(flow, None, secs(0)),
            };
            let Outbound::Forward { source: next } = outcome else { return None };
            source = next;
        }
        Some(source)
    }

    /// A datagram from the world: whether it reaches the socket.
    fn receive(&mut self, source: SocketAddr, mut destination: SocketAddr) -> bool {
        for gatekeeper in self.boxes.iter_mut().rev() {
            let flow = flow(Protocol::Udp, source, destination);
            let outcome = match gatekeeper {
                Gatekeeper::Nat(nat) => nat.inbound(flow, None, secs(0)),
                Gatekeeper::Firewall(firewall) => firewall.inbound(flow, None, secs(0)),
            };
            let Inbound::Forward { destination: next } = outcome else { return false };
            destination = next;
        }
        destination == self.socket
    }
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
    [('Y', false, false), ('y', true, false), ('p', true, true)]
        .into_iter()
        .find(|&(_, answers, aims)| meet(a, b, seed, answers, aims))
        .map_or('-', |(method, ..)| method)
}

/// Two sites learn their addresses from a STUN server, tell each other, and probe in turn. What is sent before
/// anything arrives crosses on the way. `answers`: they send to the sources that they see, too. `aims`: at the ports
/// after the observed one where the other's NAT counts, and not at the observed one, which can't be the right one.
fn meet(a: &str, b: &str, seed: u64, answers: bool, aims: bool) -> bool {
    let mut sites = [Site::new(a, 1, seed), Site::new(b, 2, seed)];
    for site in &mut sites {
        site.observed = site.send(at(STUN)).unwrap();
    }
    for (me, other, kind) in [(0, 1, b), (1, 0, a)] {
        let seen = sites[other].observed;
        let ports = if aims && kind == "seq" { 1..=AIM } else { 0..=0 };
        sites[me].targets = ports.map(|n| SocketAddr::new(seen.ip(), seen.port() + n)).collect();
    }
    for _ in 0..3 {
        let mut sent = VecDeque::new();
        let most = sites[0].targets.len().max(sites[1].targets.len());
        for n in 0..most {
            for me in [0, 1] {
                let Some(&target) = sites[me].targets.get(n) else { continue };
                if let Some(source) = sites[me].send(target) {
                    sent.push_back((1 - me, source, target));
                }
            }
        }
        for (to, source, destination) in sent {
            if sites[to].receive(source, destination) {
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
