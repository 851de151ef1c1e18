use super::testing::*;
use super::*;

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

/// What a stranger left at the router's own stack holds a port as long as an entry that was never answered.
#[test]
fn what_the_routers_stack_took_lives_as_any_entry_without_a_reply() {
    let config = NatConfig::default().both(|rules| rules.unsolicited = Answer::Accept);
    let kept = at("203.0.113.101:5000");
    for (again, end) in [(None, 30), (Some(20), 50)] {
        let poisoned = || {
            let mut nat = nat(config);
            assert_eq!(nat.udp_in(OUT, kept, 0), Inbound::Local);
            if let Some(now) = again {
                assert_eq!(nat.udp_in(OUT, kept, now), Inbound::Local);
            }
            nat
        };
        assert_ne!(poisoned().udp_out(IN, OUT, end - 1), kept);
        assert_eq!(poisoned().udp_out(IN, OUT, end), kept);
    }
}
