//! Every NAT proven: the class that probes find in the world is the class configured.
//!
//! What must be found is worked out here from the configuration alone, gate by gate.

use super::*;
use crate::firewall::{FirewallConfig, FirewallRules};
use crate::kinds::{Gate, Kind};
use crate::nat::{self, Allocation, Answer, Collision, Hairpin, Lifetimes, NatConfig, Refresh, Rules};
use crate::{Internet, LinkConfig, SiteConfig, seeds};

/// Longer than any lifetime here.
const MOST: Duration = Duration::from_secs(600);

/// What must be found of a host behind gates, the innermost first.
#[derive(Debug, PartialEq)]
struct Class {
    mapping: Mapping,
    filtering: Filtering,
    ports: Ports,
    hairpins: bool,
    lifetime: Option<Duration>,
}

impl Class {
    fn expected(gates: &[Gate]) -> Self {
        let outermost = gates.iter().rposition(|gate| matches!(gate, Gate::Nat(_)));
        Self {
            mapping: outermost.map_or(Mapping::None, |_| dependence(gates)),
            filtering: gates.iter().map(filtering).max().unwrap_or(Filtering::EndpointIndependent),
            ports: gates.iter().rev().find_map(ports).unwrap_or(Ports::Preserved),
            hairpins: outermost.is_none_or(|outermost| hairpin(gates, outermost)),
            lifetime: gates.iter().filter_map(life).min().map(|life| life - Duration::from_secs(1)),
        }
    }

    /// Each probe in a world of its own: a port that chance gives again could have a mapping of the probe before.
    fn found(gates: &[Gate], seed: u64) -> Result<Self, NetError> {
        let in_a_world = || {
            let mut world = World::new(seed);
            let mut rng = world.rng("wires", 0);
            let mut internet = Internet::new(&mut world);
            let stun = StunServer::join(&mut world, &mut internet, wire(&mut rng)).unwrap();
            let config = SiteConfig { gates: gates.to_vec(), ..SiteConfig::of(Kind::Open, wire(&mut rng)) };
            let host = internet.site(&mut world, &config).host(&mut world);
            (world, host, stun)
        };
        let (mut world, host, mut stun) = in_a_world();
        let Behaviour { mapping, filtering, .. } = classify(&mut world, host, &mut stun)?;
        let (mut world, host, mut stun) = in_a_world();
        let ports = allocation(&mut world, host, &mut stun)?;
        let (mut world, host, mut stun) = in_a_world();
        let hairpins = hairpins(&mut world, host, &mut stun)?;
        let (mut world, host, mut stun) = in_a_world();
        let lifetime = lifetime(&mut world, host, &mut stun, MOST)?;
        Ok(Self { mapping, filtering, ports, hairpins, lifetime })
    }
}

/// What the mappings of some gates in a row depend on: the one that depends on most decides.
fn dependence(gates: &[Gate]) -> Mapping {
    let of = |gate: &Gate| match gate {
        Gate::Firewall(_) => Mapping::EndpointIndependent,
        // Overloaded ports are lost on a collision only, and here is none.
        Gate::Nat(nat) if nat.allocation == Allocation::Preserving(Collision::Overload) => {
            Mapping::EndpointIndependent
        }
        Gate::Nat(nat) => match nat.udp.mapping {
            nat::Mapping::EndpointIndependent => Mapping::EndpointIndependent,
            nat::Mapping::AddressDependent => Mapping::AddressDependent,
            nat::Mapping::AddressAndPortDependent => Mapping::AddressAndPortDependent,
        },
    };
    gates.iter().map(of).max().unwrap_or(Mapping::EndpointIndependent)
}

fn filtering(gate: &Gate) -> Filtering {
    match gate {
        Gate::Firewall(firewall) if firewall.udp.unsolicited == Answer::Accept => {
            Filtering::EndpointIndependent
        }
        Gate::Firewall(firewall) => firewall.udp.filtering,
        Gate::Nat(nat) => nat.udp.filtering,
    }
}

/// How a gate's ports look where it doesn't keep them: the outermost such gate is what shows.
fn ports(gate: &Gate) -> Option<Ports> {
    let Gate::Nat(nat) = gate else { return None };
    match nat.allocation {
        Allocation::Preserving(_) => None,
        Allocation::Sequential { step, .. } => {
            Some(Ports::Sequential { step: if step == 0 { 1 } else { step } })
        }
        Allocation::Random | Allocation::Chunked { .. } => Some(Ports::Random),
    }
}

/// Whether a packet gets from one socket to the other by the outermost NAT and the gates inside it. One socket has sent
/// to how the server sees the other.
fn hairpin(gates: &[Gate], outermost: usize) -> bool {
    let Gate::Nat(nat) = &gates[outermost] else { return false };
    let independent = |upto: usize| dependence(&gates[..=upto]) == Mapping::EndpointIndependent;
    // The same external endpoint towards the server and towards oneself: what one sent to is what sends.
    let same = independent(outermost);
    let outer = filtering(&gates[outermost]) == Filtering::EndpointIndependent || same;
    let inner = |at: usize| match filtering(&gates[at]) {
        Filtering::EndpointIndependent => true,
        // Nobody sent to an internal address.
        _ if nat.udp.hairpin == Hairpin::InternalSource => false,
        // All of it comes from the external address, but from another port where the NAT outside depends on it.
        Filtering::AddressDependent => independent(at),
        Filtering::AddressAndPortDependent => same,
    };
    nat.udp.hairpin != Hairpin::No && outer && (0..outermost).all(inner)
}

/// How long an answered entry lives; `None` where there are none.
fn life(gate: &Gate) -> Option<Duration> {
    let (refresh, lifetimes) = match gate {
        Gate::Firewall(firewall) if firewall.udp.unsolicited == Answer::Accept => return None,
        Gate::Firewall(firewall) => (firewall.udp.refresh, firewall.lifetimes),
        Gate::Nat(nat) => (nat.udp.refresh, nat.lifetimes),
    };
    Some(match refresh {
        // The answer doesn't lengthen what the question began; it may shorten it.
        Refresh::Outbound => lifetimes.udp_unreplied.min(lifetimes.udp_replied),
        Refresh::Inbound | Refresh::Both => lifetimes.udp_replied,
    })
}

/// Some milliseconds, not always the same.
fn wire(rng: &mut Rng) -> LinkConfig {
    let jitter = Duration::from_millis(rng.below(8));
    LinkConfig { jitter, ..LinkConfig::with_latency(Duration::from_millis(1 + rng.below(40))) }
}

fn prove(gates: &[Gate], seed: u64, what: &str) {
    assert_eq!(Class::found(gates, seed), Ok(Class::expected(gates)), "{what}: {gates:#?}");
}

/// The kinds that pass UDP.
fn kinds() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(|kind| *kind != Kind::UdpBlocked)
}

#[test]
fn the_class_found_of_every_kind_is_the_class_configured() {
    seeds(20, |seed| {
        for kind in kinds() {
            prove(&[kind.gate()], seed, kind.name());
        }
    });
}

#[test]
fn what_people_call_the_kinds_is_what_probes_find() {
    use Filtering::{AddressAndPortDependent as Apdf, AddressDependent as Adf, EndpointIndependent as Eif};
    use Mapping::{AddressAndPortDependent as Apdm, AddressDependent as Adm, EndpointIndependent as Eim};
    // Written out, so that a kind that is made of something else shows.
    for (kind, mapping, filtering, ports, hairpins, lifetime) in [
        (Kind::Open, Mapping::None, Eif, Ports::Preserved, true, None),
        (Kind::Firewall, Mapping::None, Apdf, Ports::Preserved, true, Some(120)),
        (Kind::FullCone, Eim, Eif, Ports::Preserved, false, Some(120)),
        (Kind::Restricted, Eim, Adf, Ports::Preserved, false, Some(120)),
        (Kind::PortRestricted, Eim, Apdf, Ports::Preserved, false, Some(120)),
        (Kind::Symmetric, Apdm, Apdf, Ports::Random, false, Some(120)),
        (Kind::SymmetricSequential, Apdm, Apdf, Ports::Sequential { step: 1 }, false, Some(120)),
        (Kind::SymmetricAddress, Adm, Apdf, Ports::Random, false, Some(120)),
        (Kind::CarrierGrade, Eim, Apdf, Ports::Random, true, Some(35)),
        (Kind::TcpRst, Eim, Apdf, Ports::Preserved, false, Some(120)),
        (Kind::Poisoned, Eim, Apdf, Ports::Preserved, false, Some(120)),
    ] {
        let lifetime = lifetime.map(|seconds| Duration::from_secs(seconds - 1));
        let expected = Class { mapping, filtering, ports, hairpins, lifetime };
        assert_eq!(Class::found(&[kind.gate()], 1), Ok(expected), "{kind}");
    }
}

#[test]
fn the_class_found_of_every_pair_of_nested_kinds_is_the_class_configured() {
    seeds(3, |seed| {
        for inner in kinds() {
            for outer in kinds() {
                prove(&[inner.gate(), outer.gate()], seed, &format!("{inner} behind {outer}"));
            }
        }
    });
}

#[test]
fn behind_a_box_that_blocks_udp_nothing_is_found() {
    for kind in Kind::ALL {
        for gates in [[kind, Kind::UdpBlocked], [Kind::UdpBlocked, kind]] {
            assert_eq!(Class::found(&gates.map(Kind::gate), 1), Err(NetError::TimedOut), "{gates:?}");
        }
    }
}

#[test]
fn the_class_found_of_any_configuration_nested_to_any_depth_is_the_class_configured() {
    seeds(400, |seed| {
        let mut rng = Rng::new(seed).fork("gates", 0);
        let depth = 1 + rng.below(4);
        let gates: Vec<Gate> = (0..depth).map(|_| any_gate(&mut rng)).collect();
        prove(&gates, seed, "drawn");
    });
}

fn any_gate(rng: &mut Rng) -> Gate {
    let lifetimes = Lifetimes {
        udp_unreplied: Duration::from_secs(20 + rng.below(200)),
        udp_replied: Duration::from_secs(20 + rng.below(400)),
        ..Lifetimes::LINUX
    };
    let udp = any_rules(rng);
    if rng.below(5) == 0 {
        let udp =
            FirewallRules { filtering: udp.filtering, refresh: udp.refresh, unsolicited: udp.unsolicited };
        return Gate::Firewall(FirewallConfig { udp, lifetimes, ..FirewallConfig::default() });
    }
    let ports = one(rng, [(1024, u16::MAX), (20_000, 39_999), (50_000, 52_047)]);
    Gate::Nat(NatConfig { udp, allocation: any_allocation(rng), ports, lifetimes, ..NatConfig::default() })
}

fn any_rules(rng: &mut Rng) -> Rules {
    use Filtering as F;
    use nat::Mapping as M;
    Rules {
        mapping: one(rng, [M::EndpointIndependent, M::AddressDependent, M::AddressAndPortDependent]),
        filtering: one(rng, [F::EndpointIndependent, F::AddressDependent, F::AddressAndPortDependent]),
        hairpin: one(rng, [Hairpin::No, Hairpin::InternalSource, Hairpin::ExternalSource]),
        refresh: one(rng, [Refresh::Outbound, Refresh::Inbound, Refresh::Both]),
        unsolicited: one(rng, [Answer::Silence, Answer::Rst, Answer::Icmp, Answer::Accept]),
    }
}

fn any_allocation(rng: &mut Rng) -> Allocation {
    let step = 1 + rng.below(100) as i32;
    one(
        rng,
        [
            Allocation::Preserving(Collision::NextFree),
            Allocation::Preserving(Collision::Random),
            Allocation::Preserving(Collision::Overload),
            Allocation::Sequential { start: None, step },
            Allocation::Sequential { start: None, step: -step },
            Allocation::Random,
            Allocation::Chunked { size: 256, blocks: 2 },
        ],
    )
}

fn one<T: Copy, const N: usize>(rng: &mut Rng, of: [T; N]) -> T {
    of[rng.below(N as u64) as usize]
}
