use std::collections::BTreeSet;

use super::testing::*;
use super::*;
use crate::kinds::{Gate, Kind};

fn cone(filtering: Filtering) -> NatConfig {
    NatConfig { allocation: Allocation::Preserving(Collision::Random), ..NatConfig::default() }
        .both(|rules| rules.filtering = filtering)
}

fn hairpinning(hairpin: Hairpin) -> NatConfig {
    cone(Filtering::EndpointIndependent).both(|rules| rules.hairpin = hairpin)
}

fn random() -> NatConfig {
    NatConfig { allocation: Allocation::Random, ..NatConfig::default() }
}

const OPEN: Filtering = Filtering::EndpointIndependent;
const STRICT: Filtering = Filtering::AddressAndPortDependent;

// -- lifetimes (RFC 4787 §4.3, RFC 5382 §5) --

#[test]
fn a_mapping_is_gone_at_the_very_end_of_its_lifetime_and_not_before() {
    let mut nat = nat(cone(STRICT));
    let external = nat.udp_out(IN, OUT, 0);
    let end = Duration::from_secs(30).as_nanos() as u64;
    let flow = flow(Protocol::Udp, at(OUT), external);
    assert_eq!(nat.mappings(Instant::from_nanos(end - 1)).len(), 1);
    assert_eq!(nat.inbound(flow, None, Instant::from_nanos(end)), Inbound::Drop(Reason::NoMapping));
    assert!(nat.is_empty());
}

#[test]
fn a_reply_makes_udp_live_longer() {
    let mut nat = nat(cone(STRICT));
    let external = nat.udp_out(IN, OUT, 0);
    assert_eq!(nat.udp_in(OUT, external, 29), to(IN));
    assert_eq!(nat.udp_in(OUT, external, 29 + 119), to(IN));
    assert_eq!(nat.udp_in(OUT, external, 29 + 119 + 120), Inbound::Drop(Reason::NoMapping));
}

#[test]
fn only_the_directions_that_refresh_lengthen_a_life() {
    // Sent at 0 and answered at 1, then one packet of the direction at 100 and a look at 200 and at 130.
    for (refresh, by_outbound, by_inbound) in
        [(Refresh::Outbound, true, false), (Refresh::Inbound, false, true), (Refresh::Both, true, true)]
    {
        let mut config = cone(STRICT).both(|rules| rules.refresh = refresh);
        config.lifetimes.udp_unreplied = Duration::from_secs(120);
        for (outbound, lives) in [(true, by_outbound), (false, by_inbound)] {
            let mut nat = nat(config);
            let external = nat.udp_out(IN, OUT, 0);
            nat.udp_in(OUT, external, 1);
            if outbound {
                nat.udp_out(IN, OUT, 100);
            } else {
                nat.udp_in(OUT, external, 100);
            }
            assert_eq!(nat.mappings(secs(119)).len(), 1, "{refresh:?} {outbound}");
            assert_eq!(nat.mappings(secs(200)).len(), usize::from(lives), "{refresh:?} {outbound}");
        }
    }
}

#[test]
fn strangers_do_not_keep_a_mapping_alive_where_only_packets_from_inside_do() {
    let mut nat = nat(cone(OPEN).both(|rules| rules.refresh = Refresh::Outbound));
    let external = nat.udp_out(IN, OUT, 0);
    for second in 1..30 {
        let stranger = format!("198.51.100.1:{}", 1000 + second);
        assert_eq!(nat.udp_in(&stranger, external, second), to(IN));
    }
    assert_eq!(nat.udp_in("198.51.100.2:1", external, 30), Inbound::Drop(Reason::NoMapping));
    assert!(nat.is_empty());
}

#[test]
fn a_mapping_lives_as_long_as_its_longest_entry() {
    let mut nat = nat(random());
    let external = nat.udp_out(IN, OUT, 0);
    nat.udp_out(IN, OUT_ADDRESS, 20);
    // The first entry is gone by then, its filter with it; the mapping is not.
    assert_eq!(nat.udp_in(OUT, external, 40), Inbound::Drop(Reason::Filtered));
    assert_eq!(nat.udp_out(IN, OUT_PORT, 45), external);
    assert_eq!(nat.mappings(secs(74)).len(), 1);
    assert_ne!(nat.udp_out(IN, OUT, 75), external);
}

#[test]
fn tcp_lives_by_the_phase_of_its_connection() {
    let config = NatConfig { lifetimes: Lifetimes::RFC, ..cone(STRICT) };
    let lives = |nat: &mut Nat, from: u64, life: u64| {
        assert_eq!(nat.mappings(secs(from + life - 1)).len(), 1, "gone too early");
        assert_eq!(nat.mappings(secs(from + life)).len(), 0, "still there");
    };
    let mut opening = nat(config);
    let external = opening.tcp_out(SYN, IN, OUT, 0);
    opening.tcp_in(SYN_ACK, OUT, external, 1);
    lives(&mut opening, 1, 240);
    let mut established = nat(config);
    established.tcp_out(SYN, IN, OUT, 0);
    established.tcp_in(SYN_ACK, OUT, external, 1);
    established.tcp_out(ACK, IN, OUT, 2);
    lives(&mut established, 2, 2 * 3600 + 240);
    for last in [FIN, RST] {
        for outbound in [true, false] {
            let mut closing = nat(config);
            closing.tcp_out(SYN, IN, OUT, 0);
            closing.tcp_in(SYN_ACK, OUT, external, 1);
            closing.tcp_out(ACK, IN, OUT, 2);
            if outbound {
                closing.tcp_out(last, IN, OUT, 3);
            } else {
                closing.tcp_in(last, OUT, external, 3);
            }
            lives(&mut closing, 3, 240);
        }
    }
}

#[test]
fn the_end_of_a_connection_shortens_its_life_though_its_direction_refreshes_nothing() {
    let mut nat = nat(cone(STRICT).both(|rules| rules.refresh = Refresh::Outbound));
    let external = nat.tcp_out(SYN, IN, OUT, 0);
    nat.tcp_in(SYN_ACK, OUT, external, 0);
    nat.tcp_out(ACK, IN, OUT, 0);
    nat.tcp_in(FIN, OUT, external, 10);
    assert_eq!(nat.mappings(secs(129)).len(), 1);
    assert_eq!(nat.mappings(secs(130)).len(), 0);
}

#[test]
fn a_new_syn_reopens_a_closing_connection() {
    let mut nat = nat(cone(STRICT));
    let external = nat.tcp_out(SYN, IN, OUT, 0);
    nat.tcp_in(SYN_ACK, OUT, external, 0);
    nat.tcp_out(RST, IN, OUT, 0);
    nat.tcp_out(SYN, IN, OUT, 1);
    nat.tcp_in(SYN_ACK, OUT, external, 1);
    nat.tcp_out(ACK, IN, OUT, 1);
    assert_eq!(nat.tcp_in(ACK, OUT, external, 3600), to(IN));
}

// -- TCP (RFC 5382) --

#[test]
fn crossing_syns_open_a_connection_through_two_nats() {
    let mut a = nat(cone(STRICT));
    let mut b = Nat::new(cone(STRICT), vec!["203.0.113.102".parse().unwrap()], Rng::new(8));
    let (a_in, b_in) = ("192.168.1.11:5000", "192.168.2.11:6000");
    let (a_out, b_out) = ("203.0.113.101:5000", "203.0.113.102:6000");
    // Both SYNs are out before either arrives; then both SYN-ACKs likewise (RFC 9293 figure 8).
    for flags in [SYN, SYN_ACK, ACK] {
        assert_eq!(a.tcp_out(flags, a_in, b_out, 0), at(a_out));
        assert_eq!(b.tcp_out(flags, b_in, a_out, 0), at(b_out));
        assert_eq!(b.tcp_in(flags, a_out, at(b_out), 0), to(b_in));
        assert_eq!(a.tcp_in(flags, b_out, at(a_out), 0), to(a_in));
    }
    // It is established: it outlives the patience with half-open ones.
    assert_eq!(a.tcp_in(ACK, b_out, at(a_out), 3600), to(a_in));
    assert_eq!(b.tcp_in(ACK, a_out, at(b_out), 3600), to(b_in));
}

#[test]
fn crossing_syns_alone_establish_nothing() {
    let mut nat = nat(cone(STRICT));
    let external = nat.tcp_out(SYN, IN, OUT, 0);
    assert_eq!(nat.tcp_in(SYN, OUT, external, 0), to(IN));
    assert_eq!(nat.mappings(secs(120)).len(), 0);
}

#[test]
fn an_rst_to_an_unreplied_syn_is_delivered_and_removes_the_entry_at_once() {
    let mut nat = nat(cone(STRICT));
    let external = nat.tcp_out(SYN, IN, OUT, 0);
    assert_eq!(nat.tcp_in(RST, OUT, external, 0), to(IN));
    assert!(nat.is_empty());
    assert_eq!(nat.tcp_in(SYN, OUT, external, 0), Inbound::Drop(Reason::NoMapping));
}

#[test]
fn an_unsolicited_syn_is_answered_as_configured_and_an_rst_never() {
    for (answer, tcp, udp) in [
        (Answer::Silence, Inbound::Drop(Reason::Filtered), Inbound::Drop(Reason::Filtered)),
        (Answer::Rst, Inbound::Refuse(Refusal::Rst), Inbound::Drop(Reason::Filtered)),
        (Answer::Icmp, Inbound::Refuse(Refusal::Icmp), Inbound::Refuse(Refusal::Icmp)),
        (Answer::Accept, Inbound::Refuse(Refusal::Rst), Inbound::Local),
    ] {
        let mut nat = nat(cone(STRICT).both(|rules| rules.unsolicited = answer));
        let external = nat.tcp_out(SYN, IN, OUT, 0);
        assert_eq!(nat.tcp_in(SYN, OUT_PORT, external, 0), tcp, "{answer:?}");
        assert_eq!(nat.tcp_in(RST, OUT_PORT, external, 0), Inbound::Drop(Reason::Filtered), "{answer:?}");
        let external = nat.udp_out(IN, OUT, 0);
        assert_eq!(nat.udp_in(OUT_PORT, external, 0), udp, "{answer:?}");
    }
}

#[test]
fn a_connection_outlives_a_restart_only_where_the_box_is_loose() {
    for loose in [true, false] {
        let mut nat = nat(NatConfig { tcp_loose: loose, ..cone(STRICT) });
        nat.tcp_out(SYN, IN, OUT, 0);
        nat.reboot(vec![WAN.parse().unwrap()]);
        let outcome = nat.outbound(flow(Protocol::Tcp, at(IN), at(OUT)), Some(ACK), secs(1));
        assert_eq!(matches!(outcome, Outbound::Forward { .. }), loose, "{outcome:?}");
        for flags in [FIN, RST, SYN_ACK, TcpFlags::default()] {
            let outcome = nat.outbound(flow(Protocol::Tcp, at(IN2), at(OUT)), Some(flags), secs(1));
            assert_eq!(outcome, Outbound::Drop(Reason::OutOfState), "{flags:?}");
        }
    }
}

// -- hairpin (RFC 4787 §6) --

#[test]
fn hairpinned_packets_show_the_source_that_is_configured() {
    for (hairpin, source) in [
        (Hairpin::No, None),
        (Hairpin::InternalSource, Some(IN)),
        (Hairpin::ExternalSource, Some("203.0.113.101:5000")),
    ] {
        let mut nat = nat(hairpinning(hairpin));
        let target = nat.udp_out("192.168.1.12:6000", OUT, 0);
        let outcome = nat.outbound(flow(Protocol::Udp, at(IN), target), None, secs(0));
        let expected = source.map_or(Outbound::Drop(Reason::NoHairpin), |source| Outbound::Hairpin {
            source: at(source),
            destination: at("192.168.1.12:6000"),
        });
        assert_eq!(outcome, expected);
    }
}

#[test]
fn the_filter_holds_for_hairpinned_packets_too() {
    let mut nat = nat(NatConfig { ..cone(STRICT).both(|rules| rules.hairpin = Hairpin::ExternalSource) });
    let a = nat.udp_out(IN, OUT, 0);
    let b = nat.udp_out("192.168.1.12:6000", OUT, 0);
    let a_to_b = flow(Protocol::Udp, at(IN), b);
    assert_eq!(nat.outbound(a_to_b, None, secs(0)), Outbound::Drop(Reason::Filtered));
    // The other side's packet finds the opening that the first one made, and makes one.
    let b_to_a = flow(Protocol::Udp, at("192.168.1.12:6000"), a);
    assert_eq!(nat.outbound(b_to_a, None, secs(0)), Outbound::Hairpin { source: b, destination: at(IN) });
    assert_eq!(
        nat.outbound(a_to_b, None, secs(0)),
        Outbound::Hairpin { source: a, destination: at("192.168.1.12:6000") }
    );
}

#[test]
fn hairpin_is_switched_for_each_protocol() {
    let mut config = cone(OPEN);
    config.udp.hairpin = Hairpin::ExternalSource;
    let mut nat = nat(config);
    let udp = nat.udp_out(IN2, OUT, 0);
    let tcp = nat.tcp_out(SYN, IN2, OUT, 0);
    assert!(matches!(
        nat.outbound(flow(Protocol::Udp, at(IN), udp), None, secs(0)),
        Outbound::Hairpin { .. }
    ));
    assert_eq!(
        nat.outbound(flow(Protocol::Tcp, at(IN), tcp), Some(SYN), secs(0)),
        Outbound::Drop(Reason::NoHairpin)
    );
}

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

// -- limits, restarts, poison --

#[test]
fn a_full_table_refuses_the_newcomer_or_drops_what_would_expire_first() {
    for full in [Full::Refuse, Full::Evict] {
        let limits = Limits { entries: 3, per_host: 100, full };
        let mut nat = nat(NatConfig { limits, ..random() });
        let first = nat.udp_out(IN, OUT, 0);
        let second = nat.udp_out("192.168.1.12:1", OUT, 1);
        nat.udp_out("192.168.1.13:1", OUT, 2);
        // The first is refreshed, so the second would expire first.
        nat.udp_out(IN, OUT, 3);
        let newcomer = nat.outbound(flow(Protocol::Udp, at("192.168.1.14:1"), at(OUT)), None, secs(4));
        let evicts = full == Full::Evict;
        assert_eq!(newcomer == Outbound::Drop(Reason::TableFull), !evicts, "{newcomer:?}");
        assert_eq!(nat.udp_in(OUT, first, 5), to(IN));
        assert_eq!(nat.udp_in(OUT, second, 5) == to("192.168.1.12:1"), !evicts);
        assert_eq!(nat.len(), 3);
    }
}

#[test]
fn a_lower_limit_leaves_those_that_would_expire_last() {
    let mut nat = nat(random());
    let first = nat.udp_out(IN, OUT, 0);
    let second = nat.udp_out("192.168.1.12:1", OUT, 1);
    nat.udp_out(IN, OUT, 2);
    nat.set_config(NatConfig { limits: Limits { entries: 1, per_host: 1, full: Full::Refuse }, ..random() });
    assert_eq!(nat.len(), 1);
    assert_eq!(nat.udp_in(OUT, first, 3), to(IN));
    assert_ne!(nat.udp_in(OUT, second, 3), to("192.168.1.12:1"));
}

#[test]
fn a_host_that_has_all_it_may_have_leaves_the_others_alone() {
    for full in [Full::Refuse, Full::Evict] {
        let limits = Limits { entries: 100, per_host: 2, full };
        let mut nat = nat(NatConfig { limits, ..random() });
        let other = nat.udp_out(IN2, OUT, 0);
        let first = nat.udp_out(IN, OUT, 1);
        nat.udp_out(IN, OUT_PORT, 2);
        let third = nat.outbound(flow(Protocol::Udp, at(IN), at(OUT_ADDRESS)), None, secs(3));
        assert_eq!(third == Outbound::Drop(Reason::HostFull), full == Full::Refuse, "{third:?}");
        assert_eq!(nat.udp_in(OUT, first, 3) == to(IN), full == Full::Refuse);
        assert_eq!(nat.udp_in(OUT, other, 3), to(IN2));
        assert_eq!(nat.len(), 3);
    }
}

#[test]
fn limits_of_zero_pass_nothing() {
    for full in [Full::Refuse, Full::Evict] {
        for (entries, per_host, reason) in [(0, 9, Reason::TableFull), (9, 0, Reason::HostFull)] {
            let mut nat = nat(NatConfig { limits: Limits { entries, per_host, full }, ..random() });
            let outcome = nat.outbound(flow(Protocol::Udp, at(IN), at(OUT)), None, secs(0));
            assert_eq!(outcome, Outbound::Drop(reason));
        }
    }
}

#[test]
fn a_reboot_forgets_everything_and_may_change_the_address() {
    let mut nat = nat(cone(OPEN));
    let before = nat.udp_out(IN, OUT, 0);
    nat.map_port(Protocol::Udp, at(IN2), Some(80), Duration::from_secs(3600), secs(0)).unwrap();
    nat.reboot(vec!["198.51.100.7".parse().unwrap()]);
    assert!(nat.is_empty() && nat.mappings(secs(0)).is_empty());
    assert_eq!(nat.udp_in(OUT, before, 1), Inbound::Drop(Reason::NoAddress));
    assert_eq!(nat.udp_in(OUT, at("198.51.100.7:5000"), 1), Inbound::Drop(Reason::NoMapping));
    assert_eq!(nat.udp_out(IN, OUT, 1), at("198.51.100.7:5000"));
}

#[test]
fn a_packet_that_comes_too_early_poisons_the_mapping_as_measured() {
    // The laboratory's README: the early packet's entry occupies port 5000, and the mapping moves to a random one.
    let Gate::Nat(config) = Kind::Poisoned.gate() else { panic!() };
    let mut b = nat(config);
    let peer = "203.0.113.102:5000";
    let own = at("203.0.113.101:5000");
    assert_eq!(b.udp_in(peer, own, 0), Inbound::Local);
    let moved = b.udp_out(IN, peer, 1);
    assert_ne!(moved.port(), 5000);
    assert_eq!(b.udp_in(peer, own, 1), Inbound::Local);
    // Towards others the port is kept, and the poison wears off with its entry.
    assert_eq!(b.udp_out(IN, OUT, 1).port(), 5000);
    assert_eq!(b.udp_out(IN, peer, 100).port(), 5000);
    // What came after the mapping poisons nothing; nor do boxes that refuse.
    assert_eq!(b.udp_in(peer, own, 100), to(IN));
    for answer in [Answer::Silence, Answer::Rst, Answer::Icmp] {
        let mut b = nat(config.both(|rules| rules.unsolicited = answer));
        b.udp_in(peer, own, 0);
        assert_eq!(b.udp_out(IN, peer, 1).port(), 5000, "{answer:?}");
    }
}

#[test]
fn poison_moves_the_whole_mapping_of_a_true_cone_or_only_what_clashes() {
    let config = cone(STRICT).both(|rules| rules.unsolicited = Answer::Accept);
    let (peer, own) = ("203.0.113.102:5000", at("203.0.113.101:5000"));
    let mut fresh = nat(config);
    fresh.udp_in(peer, own, 0);
    let moved = fresh.udp_out(IN, peer, 1);
    assert_ne!(moved, own);
    assert_eq!(fresh.udp_out(IN, OUT, 1), moved);
    let mut mapped = nat(config);
    assert_eq!(mapped.udp_out(IN, OUT, 0), own);
    mapped.udp_in(peer, own, 0);
    assert_ne!(mapped.udp_out(IN, peer, 1), own);
    assert_eq!(mapped.udp_out(IN, OUT_PORT, 1), own);
}

#[test]
fn blocked_udp_passes_neither_way_and_tcp_does() {
    let mut nat = nat(NatConfig { udp_blocked: true, ..cone(OPEN) });
    assert_eq!(
        nat.outbound(flow(Protocol::Udp, at(IN), at(OUT)), None, secs(0)),
        Outbound::Drop(Reason::UdpBlocked)
    );
    assert_eq!(nat.udp_in(OUT, at("203.0.113.101:5000"), 0), Inbound::Drop(Reason::UdpBlocked));
    let external = nat.tcp_out(SYN, IN, OUT, 0);
    assert_eq!(nat.tcp_in(SYN_ACK, OUT, external, 0), to(IN));
}

// -- ICMP (RFC 5508) --

#[test]
fn an_icmp_error_finds_its_entry_and_neither_refreshes_nor_ends_it() {
    let mut nat = nat(random());
    let external = nat.udp_out(IN, OUT, 0);
    let quoted = flow(Protocol::Udp, external, at(OUT));
    assert_eq!(nat.inbound_error(quoted, secs(20)), Some(at(IN)));
    assert_eq!(nat.inbound_error(flow(Protocol::Udp, external, at(OUT_PORT)), secs(20)), None);
    assert_eq!(nat.inbound_error(flow(Protocol::Tcp, external, at(OUT)), secs(20)), None);
    let quoted_inside = flow(Protocol::Udp, at(OUT), at(IN));
    assert_eq!(nat.outbound_error(quoted_inside, secs(29)), Some(external));
    assert_eq!(nat.inbound_error(quoted, secs(30)), None);
    assert_eq!(nat.outbound_error(quoted_inside, secs(30)), None);
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
fn memory_follows_the_table_and_not_its_age() {
    let mut nat = nat(cone(STRICT));
    for n in 0..20_000u64 {
        let from = format!("192.168.1.11:{}", 1 + n % 60_000);
        let external = nat.tcp_out(SYN, &from, OUT, 0);
        nat.tcp_in(RST, OUT, external, 0);
        nat.udp_out(&from, OUT, n);
    }
    let debug = format!("{nat:?}");
    assert!(nat.len() <= 31, "{}", nat.len());
    // Nothing that was is remembered anywhere.
    assert_eq!(debug.matches("192.168.1.11:5").count(), 0, "an old endpoint is remembered");
}

#[test]
fn hosts_that_got_nothing_are_not_remembered() {
    for allocation in [Allocation::Random, Allocation::Chunked { size: 5, blocks: 1 }] {
        let mut nat = nat(NatConfig { allocation, ports: (50_000, 50_004), ..cone(STRICT) });
        for n in 0..5 {
            nat.udp_out(&format!("192.168.1.11:{n}"), OUT, 0);
        }
        let before = format!("{nat:?}").len();
        for n in 0..100 {
            let spoofed = format!("10.7.7.{n}:1").parse().unwrap();
            let outcome = nat.outbound(flow(Protocol::Udp, spoofed, at(OUT)), None, secs(0));
            assert_eq!(outcome, Outbound::Drop(Reason::NoPort));
            let asked = nat.map_port(Protocol::Udp, spoofed, None, Duration::from_secs(9), secs(0));
            assert_eq!(asked, Err(MapError::Exhausted));
        }
        let after = format!("{nat:?}");
        assert!(!after.contains("10.7.7."), "{allocation:?}");
        // But for the digits of the generator's state.
        assert!(after.len() < before + 20, "{allocation:?}");
    }
}

#[test]
fn the_same_seed_and_packets_give_the_same_verdicts() {
    let run = |seed| -> Vec<SocketAddr> {
        let mut nat = Nat::new(random(), vec![WAN.parse().unwrap()], Rng::new(seed));
        (0..100).map(|n| nat.udp_out(&format!("192.168.1.11:{}", 1000 + n), OUT, n)).collect()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
