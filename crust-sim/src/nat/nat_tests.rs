use super::testing::*;
use super::*;
use crate::kinds::{Gate, Kind};

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
fn a_lower_limit_of_a_host_leaves_each_what_would_expire_last() {
    let mut nat = nat(random());
    let [oldest, kept] = [(OUT, 0), (OUT_PORT, 1)].map(|(to, now)| (to, nat.udp_out(IN, to, now)));
    nat.udp_out(IN, OUT_ADDRESS, 2);
    let other = nat.udp_out(IN2, OUT, 3);
    nat.set_config(NatConfig {
        limits: Limits { entries: 100, per_host: 2, full: Full::Refuse },
        ..random()
    });
    assert_eq!(nat.len(), 3);
    assert_ne!(nat.udp_in(oldest.0, oldest.1, 4), to(IN));
    assert_eq!(nat.udp_in(kept.0, kept.1, 4), to(IN));
    assert_eq!(nat.udp_in(OUT, other, 4), to(IN2));
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
