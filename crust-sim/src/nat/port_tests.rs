use std::collections::BTreeSet;

use super::testing::*;
use super::*;
use crate::kinds::{Gate, Kind};

// -- ports (RFC 4787 §4.2) --

#[test]
fn a_taken_port_gives_way_as_configured() {
    let second = |collision| {
        let mut nat = nat(NatConfig { allocation: Allocation::Preserving(collision), ..cone(STRICT) });
        assert_eq!(nat.udp_out(IN, OUT, 0).port(), 5000);
        nat
    };
    assert_eq!(second(Collision::NextFree).udp_out(IN2, OUT_ADDRESS, 0).port(), 5001);
    let random = second(Collision::Random).udp_out(IN2, OUT_ADDRESS, 0).port();
    assert!(random != 5000 && random != 5001);
    // As measured of Linux: shared towards different destinations, lost on a real collision.
    let mut linux = second(Collision::Overload);
    assert_eq!(linux.udp_out(IN2, OUT_ADDRESS, 0).port(), 5000);
    assert_ne!(linux.udp_out(IN2, OUT, 0).port(), 5000);
    assert_eq!(linux.udp_out(IN2, OUT_PORT, 0).port(), 5000);
    let external = at("203.0.113.101:5000");
    assert_eq!(linux.udp_in(OUT, external, 0), to(IN));
    assert_eq!(linux.udp_in(OUT_ADDRESS, external, 0), to(IN2));
}

#[test]
fn sequential_ports_go_by_the_step_round_the_range_and_over_taken_ones() {
    let config = |start, step| NatConfig {
        allocation: Allocation::Sequential { start: Some(start), step },
        ports: (40_000, 40_009),
        ..cone(STRICT)
    };
    let ports = |start, step, count: u16| -> Vec<u16> {
        let mut nat = nat(config(start, step));
        (0..count).map(|n| nat.udp_out(&format!("192.168.1.11:{}", 5000 + n), OUT, 0).port()).collect()
    };
    assert_eq!(ports(40_000, 1, 3), [40_000, 40_001, 40_002]);
    assert_eq!(ports(40_001, -1, 3), [40_001, 40_000, 40_009]);
    assert_eq!(ports(40_005, 4, 4), [40_005, 40_009, 40_003, 40_007]);
    assert_eq!(ports(40_000, i32::MIN, 2).len(), 2);
    // A step that comes round to the same ports leaves the others to a search.
    assert_eq!(ports(40_000, 5, 10).into_iter().collect::<BTreeSet<_>>().len(), 10);
    // UDP and TCP count together, as one counter does for both.
    let mut nat = nat(config(40_000, 1));
    nat.udp_out(IN, OUT, 0);
    assert_eq!(nat.tcp_out(SYN, IN, OUT, 0).port(), 40_001);
}

#[test]
fn sequential_ports_go_on_from_the_one_that_was_found_free() {
    let allocation = Allocation::Sequential { start: Some(40_000), step: 1 };
    let mut nat = nat(NatConfig { allocation, ports: (40_000, 40_999), ..cone(STRICT) });
    let hour = Duration::from_secs(3600);
    nat.map_port(Protocol::Udp, at("192.168.1.9:9"), Some(40_000), hour, secs(0)).unwrap();
    assert_eq!(nat.udp_out(IN, OUT, 0).port(), 40_001);
    // 40,001 is free of TCP, but it has had its turn.
    assert_eq!(nat.tcp_out(SYN, IN, OUT, 0).port(), 40_002);
}

#[test]
fn every_port_is_used_before_none_is_left_and_a_freed_one_is_used_again() {
    for allocation in [
        Allocation::Preserving(Collision::NextFree),
        Allocation::Preserving(Collision::Random),
        Allocation::Sequential { start: None, step: 3 },
        Allocation::Random,
        Allocation::Chunked { size: 5, blocks: 4 },
    ] {
        let mut nat = nat(NatConfig { allocation, ports: (50_000, 50_019), ..cone(STRICT) });
        let all: BTreeSet<u16> =
            (0..20).map(|n| nat.udp_out(&format!("192.168.1.11:{}", 50_000 + n), OUT, n).port()).collect();
        assert_eq!(all, (50_000..50_020).collect(), "{allocation:?}");
        let one_more = flow(Protocol::Udp, at("192.168.1.11:7"), at(OUT));
        let kept = matches!(allocation, Allocation::Preserving(_));
        if !kept {
            assert_eq!(
                nat.outbound(one_more, None, secs(20)),
                Outbound::Drop(Reason::NoPort),
                "{allocation:?}"
            );
        }
        assert!(matches!(nat.outbound(one_more, None, secs(30)), Outbound::Forward { .. }), "{allocation:?}");
    }
}

#[test]
fn a_range_without_ports_is_refused_and_one_of_a_single_port_is_not() {
    let with = |ports| NatConfig { ports, ..random() };
    let mut kept = nat(with((4000, 4000)));
    assert_eq!(kept.udp_out(IN, OUT, 0).port(), 4000);
    for ports in [(4001, 4000), (0, 4000), (0, 0), (u16::MAX, 1)] {
        let text = format!("ports are {} to {}, expected two from 1 on, the lower first", ports.0, ports.1);
        let refused = |made: std::thread::Result<()>| *made.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(refused(std::panic::catch_unwind(|| drop(nat(with(ports))))), text);
        let change = std::panic::AssertUnwindSafe(|| kept.set_config(with(ports)));
        assert_eq!(refused(std::panic::catch_unwind(change)), text);
    }
    assert_eq!(kept.config().ports, (4000, 4000));
}

#[test]
fn an_inside_host_keeps_to_its_blocks_and_another_gets_others() {
    let allocation = Allocation::Chunked { size: 100, blocks: 2 };
    let mut nat = nat(NatConfig { allocation, ports: (10_000, 19_999), ..cone(STRICT) });
    let mut blocks = |host: u8| -> BTreeSet<u16> {
        let port = |n: u16| nat.udp_out(&format!("192.168.1.{host}:{}", 1000 + n), OUT, 0).port();
        (0..200).map(port).map(|port| (port - 10_000) / 100).collect()
    };
    let (a, b) = (blocks(11), blocks(12));
    assert_eq!((a.len(), b.len()), (2, 2));
    assert!(a.is_disjoint(&b));
    let full = flow(Protocol::Udp, at("192.168.1.11:2000"), at(OUT));
    assert_eq!(nat.outbound(full, None, secs(0)), Outbound::Drop(Reason::NoPort));
}

#[test]
fn a_host_that_is_gone_leaves_its_block_to_another() {
    let allocation = Allocation::Chunked { size: 100, blocks: 1 };
    let mut nat = nat(NatConfig { allocation, ports: (10_000, 10_099), ..cone(STRICT) });
    nat.udp_out(IN, OUT, 0);
    let other = flow(Protocol::Udp, at(IN2), at(OUT));
    assert_eq!(nat.outbound(other, None, secs(29)), Outbound::Drop(Reason::NoPort));
    assert!(matches!(nat.outbound(other, None, secs(30)), Outbound::Forward { .. }));
}

#[test]
fn parity_is_kept_where_it_is_asked_for() {
    for allocation in [
        Allocation::Random,
        Allocation::Sequential { start: Some(40_000), step: 1 },
        Allocation::Preserving(Collision::NextFree),
        Allocation::Chunked { size: 64, blocks: 1 },
    ] {
        let mut nat = nat(NatConfig { allocation, parity: true, ..cone(STRICT) });
        for n in 0..20 {
            for host in [11, 12] {
                let external = nat.udp_out(&format!("192.168.1.{host}:{}", 5000 + n), OUT, 0);
                assert_eq!(external.port() % 2, n % 2, "{allocation:?}");
            }
        }
    }
}

#[test]
fn several_addresses_are_shared_out_by_host_or_by_mapping() {
    let addresses: Vec<IpAddr> = (1..=4).map(|n| IpAddr::from([198, 51, 100, n])).collect();
    for (pooling, most) in [(Pooling::Paired, 1), (Pooling::Arbitrary, 4)] {
        let mut nat = Nat::new(NatConfig { pooling, ..random() }, addresses.clone(), Rng::new(1));
        let mut seen = BTreeSet::new();
        for host in 0..20u8 {
            let of_host: BTreeSet<IpAddr> = (0..40)
                .map(|n| nat.udp_out(&format!("192.168.1.{host}:{}", 5000 + n), OUT, 0).ip())
                .collect();
            assert_eq!(of_host.len(), most, "{pooling:?}");
            seen.extend(of_host);
        }
        assert_eq!(seen.len(), 4, "{pooling:?}");
    }
}

#[test]
fn where_any_address_will_do_another_has_what_one_has_not() {
    let addresses: Vec<IpAddr> = (1..=4).map(|n| IpAddr::from([198, 51, 100, n])).collect();
    let config = NatConfig { pooling: Pooling::Arbitrary, ports: (5000, 5004), ..random() };
    let mut nat = Nat::new(config, addresses.clone(), Rng::new(1));
    let all: BTreeSet<SocketAddr> =
        (0..20).map(|n| nat.udp_out(&format!("192.168.1.11:{}", 6000 + n), OUT, 0)).collect();
    assert_eq!(all.len(), 20, "every port of every address");
    let one_more = flow(Protocol::Udp, at("192.168.1.11:7"), at(OUT));
    assert_eq!(nat.outbound(one_more, None, secs(0)), Outbound::Drop(Reason::NoPort));
    // A host that is paired with an address gets none of the others.
    let mut nat = Nat::new(NatConfig { pooling: Pooling::Paired, ..config }, addresses, Rng::new(1));
    for n in 0..5 {
        nat.udp_out(&format!("192.168.1.11:{}", 6000 + n), OUT, 0);
    }
    assert_eq!(nat.outbound(one_more, None, secs(0)), Outbound::Drop(Reason::NoPort));
}

#[test]
fn ipv6_is_translated_to_an_address_of_its_family_or_not_at_all() {
    let to_v6 = flow(Protocol::Udp, at("[fd00::1]:5000"), at("[2001:db8::2]:3478"));
    let mut four = nat(cone(STRICT));
    assert_eq!(four.outbound(to_v6, None, secs(0)), Outbound::Drop(Reason::NoAddress));
    let both = vec![WAN.parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let mut both = Nat::new(cone(STRICT), both, Rng::new(1));
    let external = at("[2001:db8::1]:5000");
    assert_eq!(both.outbound(to_v6, None, secs(0)), Outbound::Forward { source: external });
    assert_eq!(both.udp_in("[2001:db8::2]:3478", external, 0), to("[fd00::1]:5000"));
    for host in 0..20 {
        assert!(both.udp_out(&format!("[fd00::{host}]:6000"), "[2001:db8::2]:3478", 0).is_ipv6());
        assert!(both.udp_out(&format!("192.168.1.{host}:6000"), OUT, 0).is_ipv4());
    }
}

// -- mappings on request --

#[test]
fn a_requested_mapping_admits_everybody_until_its_time_is_up() {
    let mut nat = nat(random());
    let external =
        nat.map_port(Protocol::Udp, at(IN), Some(7000), Duration::from_secs(100), secs(0)).unwrap();
    assert_eq!(external, at("203.0.113.101:7000"));
    assert_eq!(nat.udp_in(OUT, external, 50), to(IN));
    // The endpoint sends by it as well, so that what others see is what they can reach.
    assert_eq!(nat.udp_out(IN, OUT_ADDRESS, 60), external);
    let renewed = nat.map_port(Protocol::Udp, at(IN), None, Duration::from_secs(100), secs(90));
    assert_eq!(renewed, Ok(external));
    assert_eq!(nat.udp_in(OUT_PORT, external, 189), to(IN));
    assert_eq!(nat.mappings(secs(189))[0].requested_until, Some(secs(190)));
    assert_eq!(nat.udp_in("198.51.100.9:9", external, 191), Inbound::Drop(Reason::Filtered));
    assert!(!nat.unmap(Protocol::Udp, at(IN)));
    assert!(nat.mappings(secs(400)).is_empty());
}

#[test]
fn even_a_symmetric_nat_sends_by_the_mapping_that_was_asked_for() {
    let Gate::Nat(config) = Kind::Symmetric.gate() else { panic!() };
    let mut nat = nat(config);
    let external =
        nat.map_port(Protocol::Udp, at(IN), Some(7000), Duration::from_secs(100), secs(0)).unwrap();
    assert_eq!([OUT, OUT_ADDRESS].map(|to| nat.udp_out(IN, to, 1)), [external; 2]);
    assert!(nat.unmap(Protocol::Udp, at(IN)));
    // What has an entry keeps it; what is new is mapped by itself again.
    assert_eq!(nat.udp_out(IN, OUT, 2), external);
    assert_ne!(nat.udp_out(IN, OUT_PORT, 2), external);
}

#[test]
fn a_requested_port_that_serves_another_is_refused_and_one_of_ones_own_moves() {
    let hour = Duration::from_secs(3600);
    let mut nat = nat(random());
    let first = nat.map_port(Protocol::Tcp, at(IN), Some(7000), hour, secs(0)).unwrap();
    assert_eq!(nat.map_port(Protocol::Tcp, at(IN2), Some(7000), hour, secs(0)), Err(MapError::Taken));
    assert_eq!(nat.map_port(Protocol::Tcp, at(IN2), Some(0), hour, secs(0)), Err(MapError::Taken));
    let moved = nat.map_port(Protocol::Tcp, at(IN), Some(7001), hour, secs(0)).unwrap();
    assert_eq!(nat.tcp_in(SYN, OUT, moved, 1), to(IN));
    assert_eq!(nat.tcp_in(SYN, OUT, first, 1), Inbound::Drop(Reason::NoMapping));
    assert!(nat.map_port(Protocol::Tcp, at(IN2), Some(7000), hour, secs(1)).is_ok());
    assert!(nat.unmap(Protocol::Tcp, at(IN)));
    // What was connected stays connected.
    assert_eq!(nat.tcp_in(ACK, OUT, moved, 2), to(IN));
    assert_eq!(nat.tcp_in(SYN, OUT_PORT, moved, 2), Inbound::Drop(Reason::Filtered));
    let ipv6 = nat.map_port(Protocol::Tcp, at("[fd00::1]:1"), None, hour, secs(2));
    assert_eq!(ipv6, Err(MapError::NoAddress));
}

#[test]
fn requests_are_bounded_by_the_limits() {
    let limits = Limits { entries: 3, per_host: 2, full: Full::Refuse };
    let mut nat = nat(NatConfig { limits, ..random() });
    let mut ask = |from: &str| nat.map_port(Protocol::Udp, at(from), None, Duration::from_secs(60), secs(0));
    assert!(ask("192.168.1.11:1").is_ok() && ask("192.168.1.11:2").is_ok());
    assert_eq!(ask("192.168.1.11:3"), Err(MapError::Exhausted));
    assert!(ask("192.168.1.12:1").is_ok());
    assert_eq!(ask("192.168.1.13:1"), Err(MapError::Exhausted));
}

#[test]
fn a_host_at_its_limit_still_moves_and_renews_what_it_has() {
    let limits = Limits { entries: 1, per_host: 1, full: Full::Refuse };
    let minute = Duration::from_secs(60);
    let mut nat = nat(NatConfig { limits, ..random() });
    let mut ask = |from: &str, port, now| nat.map_port(Protocol::Udp, at(from), port, minute, secs(now));
    assert_eq!(ask(IN, Some(7000), 0), Ok(at("203.0.113.101:7000")));
    assert_eq!(ask(IN, Some(7001), 1), Ok(at("203.0.113.101:7001")));
    assert_eq!(ask(IN, None, 50), Ok(at("203.0.113.101:7001")));
    // One port more is one too many, also where the endpoint has a mapping by its packets.
    nat.udp_out("192.168.1.11:5001", OUT, 120);
    let mut ask = |from: &str| nat.map_port(Protocol::Udp, at(from), None, minute, secs(120));
    assert!(ask(IN).is_ok());
    assert_eq!(ask("192.168.1.11:5001"), Err(MapError::Exhausted));
}
