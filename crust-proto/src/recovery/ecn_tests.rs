use super::*;

fn counts(ect0: u64, ce: u64) -> Option<EcnCounts> {
    Some(EcnCounts { ect0, ect1: 0, ce })
}

fn send(ecn: &mut EcnSender, packets: usize) {
    for _ in 0..packets {
        ecn.on_sent(true);
    }
}

#[test]
fn ten_packets_test_the_path_and_right_counts_turn_marking_on() {
    let mut ecn = EcnSender::new(true);
    send(&mut ecn, 9);
    assert_eq!(ecn.codepoint(), Some(Ecn::Ect0));
    send(&mut ecn, 1);
    assert_eq!(ecn.codepoint(), None, "the test is out");
    assert_eq!(ecn.on_ack(10, counts(10, 0)), 0);
    assert_eq!(ecn.codepoint(), Some(Ecn::Ect0));
    assert!(ecn.on_sent(true));
}

#[test]
fn a_rise_of_the_ce_count_is_reported_once() {
    let mut ecn = EcnSender::new(true);
    send(&mut ecn, 5);
    assert_eq!(ecn.on_ack(5, counts(3, 2)), 2);
    send(&mut ecn, 5);
    assert_eq!(ecn.on_ack(5, counts(8, 2)), 0);
}

#[test]
fn counts_that_cannot_be_true_turn_marking_off() {
    for (what, marked, report) in [
        ("none where marked packets are acknowledged", 2, None),
        ("fewer than acknowledged", 5, counts(3, 1)),
        ("more than sent", 5, counts(10, 1)),
        ("absurdly more", 5, counts(u64::MAX, u64::MAX)),
        ("marks that are never sent", 5, Some(EcnCounts { ect0: 5, ect1: 1, ce: 0 })),
    ] {
        let mut ecn = EcnSender::new(true);
        send(&mut ecn, 10);
        assert_eq!(ecn.on_ack(marked, report), 0, "{what}");
        assert_eq!(ecn.codepoint(), None, "{what}");
        assert_eq!(ecn.on_ack(1, counts(11, 1)), 0, "{what}: never again");
        assert_eq!(ecn.codepoint(), None, "{what}");
    }
    let mut ecn = EcnSender::new(true);
    send(&mut ecn, 10);
    ecn.on_ack(5, counts(3, 2));
    assert_eq!(ecn.on_ack(0, counts(4, 1)), 0);
    assert_eq!(ecn.codepoint(), None, "counts that fall");
}

#[test]
fn a_changed_address_is_tested_afresh_with_the_counts_going_on() {
    let mut ecn = EcnSender::new(true);
    send(&mut ecn, 10);
    ecn.on_ack(10, None);
    assert_eq!(ecn.codepoint(), None);
    ecn.restart(true);
    send(&mut ecn, 10);
    ecn.on_ack(5, counts(12, 1));
    assert_eq!(ecn.codepoint(), Some(Ecn::Ect0), "12 and 1 are no more than 20");
}

#[test]
fn where_the_socket_cannot_mark_nothing_is_marked() {
    let mut ecn = EcnSender::new(false);
    assert_eq!(ecn.codepoint(), None);
    assert!(!ecn.on_sent(true));
}
