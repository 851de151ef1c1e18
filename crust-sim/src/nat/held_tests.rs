use super::super::testing::*;
use super::super::*;

const HOLD: Duration = Duration::from_secs(6);

fn holding(answer: Answer) -> NatConfig {
    NatConfig { hold_syn: HOLD, ..NatConfig::default() }.both(|rules| rules.unsolicited = answer)
}

/// A SYN from a stranger's port to the box's port 5000.
fn syn(port: u16) -> Flow {
    flow(Protocol::Tcp, SocketAddr::new("198.51.100.9".parse().unwrap(), port), at("203.0.113.101:5000"))
}

#[test]
fn only_a_syn_that_would_be_refused_is_held() {
    let until = Inbound::Hold { until: secs(6) };
    let dropped = Inbound::Drop(Reason::NoMapping);
    for (answer, to_syn, to_ack) in [
        (Answer::Silence, dropped, dropped),
        (Answer::Rst, until, Inbound::Refuse(Refusal::Rst)),
        (Answer::Icmp, until, Inbound::Refuse(Refusal::Icmp)),
        (Answer::Accept, Inbound::Refuse(Refusal::Rst), Inbound::Refuse(Refusal::Rst)),
    ] {
        for (flags, expected) in [(SYN, to_syn), (SYN_ACK, to_ack), (ACK, to_ack)] {
            let mut nat = nat(holding(answer));
            assert_eq!(nat.inbound(syn(1), Some(flags), secs(0)), expected, "{answer:?} {flags:?}");
        }
    }
    // UDP knows no SYN.
    let datagram = Flow { protocol: Protocol::Udp, ..syn(1) };
    assert_eq!(nat(holding(Answer::Icmp)).inbound(datagram, None, secs(0)), Inbound::Refuse(Refusal::Icmp));
}

#[test]
fn a_held_syn_is_answered_once_as_the_box_answers_by_then() {
    let mut nat = nat(holding(Answer::Rst));
    assert_eq!(nat.inbound(syn(1), Some(SYN), secs(0)), Inbound::Hold { until: secs(6) });
    // Repetitions are not answered, and don't wait anew.
    assert_eq!(nat.inbound(syn(1), Some(SYN), secs(3)), Inbound::Drop(Reason::NoMapping));
    nat.set_config(holding(Answer::Icmp));
    assert_eq!(nat.release(syn(1), secs(6)), Some(Refusal::Icmp));
    assert_eq!(nat.release(syn(1), secs(6)), None);
}

#[test]
fn the_same_connection_from_inside_ends_the_wait_and_another_does_not() {
    let mut nat = nat(holding(Answer::Rst));
    for port in [1, 2] {
        nat.inbound(syn(port), Some(SYN), secs(0));
    }
    assert_eq!(nat.tcp_out(SYN, IN, "198.51.100.9:1", 5), at("203.0.113.101:5000"));
    assert_eq!(nat.release(syn(1), secs(6)), None);
    assert_eq!(nat.release(syn(2), secs(6)), Some(Refusal::Rst));
    // From another external port it would be another connection.
    nat.inbound(syn(3), Some(SYN), secs(6));
    nat.tcp_out(SYN, "192.168.1.11:5001", "198.51.100.9:3", 7);
    assert_eq!(nat.release(syn(3), secs(12)), Some(Refusal::Rst));
}

#[test]
fn no_more_are_held_than_the_table_may_have_entries_and_none_after_its_time() {
    let limits = Limits { entries: 3, per_host: 3, full: Full::Refuse };
    let mut nat = nat(NatConfig { limits, ..holding(Answer::Rst) });
    for round in 0..100u16 {
        let now = u64::from(round) * 10;
        for port in 1..=5 {
            let held = nat.inbound(syn(100 * round + port), Some(SYN), secs(now));
            // Nobody asks for those of the rounds before.
            assert_eq!(matches!(held, Inbound::Hold { .. }), port <= 3, "{round} {port}");
        }
    }
}
