//! Hole punching at the level of flows, for thousands of pairs: held to the oracle. What real kernels did the world is
//! held to, in [`crate::kernel`].

use std::collections::VecDeque;

use super::testing::*;
use super::*;
use crate::kernel::AIM;
use crate::oracle::{Method, between};
use crate::population::{Class, Mix, Population, SiteProfile};

const STUN: &str = "203.0.113.2:3478";

/// A host with one socket behind boxes, the innermost first.
struct Site {
    socket: SocketAddr,
    boxes: Vec<Nat>,
    /// What STUN saw.
    observed: SocketAddr,
    /// Where it sends.
    targets: Vec<SocketAddr>,
    heard: bool,
}

impl Site {
    fn behind(n: u8, nats: &[NatConfig], rng: &Rng) -> Self {
        let boxes = nats.iter().enumerate().map(|(hop, config)| {
            let outermost = hop + 1 == nats.len();
            let external = if outermost { [203, 0, 113, 100 + n] } else { [100, 64 + hop as u8, n, 11] };
            Nat::new(*config, vec![external.into()], rng.fork("hop", hop as u64))
        });
        let socket = SocketAddr::from(([192, 168, n, 11], 5000 + u16::from(n)));
        Self { socket, boxes: boxes.collect(), observed: socket, targets: Vec::new(), heard: false }
    }

    /// A datagram out of the socket: its source as the world sees it.
    fn send(&mut self, destination: SocketAddr) -> Option<SocketAddr> {
        let mut source = self.socket;
        for nat in &mut self.boxes {
            let outcome = nat.outbound(flow(Protocol::Udp, source, destination), None, secs(0));
            let Outbound::Forward { source: next } = outcome else { return None };
            source = next;
        }
        Some(source)
    }

    /// A datagram from the world: whether it reaches the socket.
    fn receive(&mut self, source: SocketAddr, mut destination: SocketAddr) -> bool {
        for nat in self.boxes.iter_mut().rev() {
            let outcome = nat.inbound(flow(Protocol::Udp, source, destination), None, secs(0));
            let Inbound::Forward { destination: next } = outcome else { return false };
            destination = next;
        }
        destination == self.socket
    }
}

/// Two sites learn their addresses from a STUN server, tell each other, and probe in turn. What is sent before
/// anything arrives crosses on the way. `answers`: they send to the sources that they see, too. `counts`: whose NAT
/// counts, so that the other aims at the ports after the observed one, and not at that one, which can't be right.
fn meet(mut sites: [Site; 2], answers: bool, counts: [bool; 2]) -> bool {
    for site in &mut sites {
        site.observed = site.send(at(STUN)).unwrap();
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
    let rng = Rng::new(seed);
    let sites = || [(1, a), (2, b)].map(|(n, nats)| Site::behind(n, nats, &rng.fork("site", n.into())));
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
