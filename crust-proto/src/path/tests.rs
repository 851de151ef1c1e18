use std::net::SocketAddr;

use super::*;

const NOW: Instant = Instant::ZERO;

fn way(n: u8) -> Way {
    from(n, None)
}

fn from(n: u8, local: Option<IpAddr>) -> Way {
    Way::Udp(Route { socket: SocketId(0), remote: SocketAddr::from(([10, 0, 0, n], 7)), local })
}

fn path() -> Path {
    Path::new(0, way(1), 1200, &RecoveryConfig::default(), Duration::from_millis(25), NOW)
}

#[test]
fn a_new_address_gets_a_challenge_and_nothing_else_until_it_answers() {
    let mut path = path();
    path.on_packet(way(2), 100, true, || [5; 8], NOW);
    assert_eq!(path.way, way(1));
    let (to, Elsewhere::Challenge(token)) = path.due_elsewhere(|_| false, NOW).unwrap() else { panic!() };
    assert_eq!((to, token), (way(2), [5; 8]));
    assert!(path.due_elsewhere(|_| false, NOW).is_none(), "one at a time");
    assert_eq!(path.on_response(token, way(3), NOW), Validated::No, "answered from elsewhere");
    assert_eq!(path.on_response([6; 8], way(2), NOW), Validated::No, "a wrong answer");
    assert_eq!(path.on_response(token, way(2), NOW), Validated::Moved { from: way(1) });
    assert_eq!(path.way, way(2));
}

#[test]
fn an_address_that_was_proven_by_other_means_needs_no_challenge_and_no_other_address_does_it_good() {
    let mut path = path();
    path.validate([5; 8], 0, NOW);
    path.on_proven(way(2));
    assert!(!path.may_send());
    path.on_proven(way(1));
    assert!(path.may_send());
    assert_eq!(path.due_challenge(NOW), None);
}

#[test]
fn an_answer_to_a_challenge_that_was_never_sent_is_none() {
    let mut path = path();
    path.on_packet(way(2), 100, true, || [5; 8], NOW);
    assert_eq!(path.on_response([5; 8], way(2), NOW), Validated::No);
}

#[test]
fn an_old_packet_from_elsewhere_challenges_nobody_and_a_newer_one_from_home_ends_the_detour() {
    let mut path = path();
    path.on_packet(way(2), 100, false, || [5; 8], NOW);
    assert!(path.due_elsewhere(|_| false, NOW).is_none());
    path.on_packet(way(2), 100, true, || [5; 8], NOW);
    path.on_packet(way(1), 100, true, || [5; 8], NOW);
    assert!(path.due_elsewhere(|_| false, NOW).is_none());
}

#[test]
fn a_candidate_gets_at_most_three_times_what_came_from_it_and_is_given_up_in_the_end() {
    let mut path = path();
    path.on_packet(way(2), 33, true, || [5; 8], NOW);
    let mut now = NOW;
    let mut sent = 0;
    for _ in 0..100 {
        while path.due_elsewhere(|_| false, now).is_some() {
            sent += 41;
        }
        now = now + Duration::from_secs(60);
    }
    assert!(sent > 0 && sent <= 99, "{sent} bytes");
    path.on_packet(way(2), 10_000, true, || [5; 8], now);
    let mut challenges = 0;
    for _ in 0..100 {
        while path.due_elsewhere(|_| false, now).is_some() {
            challenges += 1;
        }
        now = now + Duration::from_secs(60);
    }
    assert!(challenges <= MAX_CHALLENGES, "{challenges} challenges");
    assert_eq!(path.timeout(), None);
}

#[test]
fn an_address_that_is_not_validated_limits_what_is_sent_to_it() {
    let mut path = path();
    assert_eq!(path.allowance(), u64::MAX);
    path.validate([9; 8], 1000, NOW);
    assert_eq!(path.allowance(), 3000);
    path.on_transmit(2500);
    assert_eq!(path.allowance(), 500);
    assert_eq!(path.due_challenge(NOW), Some([9; 8]));
    assert_eq!(path.due_challenge(NOW), None, "not yet again");
    assert_eq!(path.due_challenge(NOW + Duration::from_secs(3)), Some([9; 8]));
    assert_eq!(path.on_response([9; 8], way(1), NOW), Validated::Present);
    assert_eq!(path.allowance(), u64::MAX);
}

#[test]
fn an_unproven_address_chosen_by_the_first_packet_inherits_no_allowance() {
    let mut path = path();
    path.validate([9; 8], 1000, NOW);
    path.choose(way(2));
    path.on_packet(way(2), 50, true, || [0; 8], NOW);
    assert_eq!((path.way, path.allowance()), (way(2), 150));
}

#[test]
fn a_challenge_is_answered_along_the_way_that_it_came() {
    let mut path = path();
    path.on_challenge([1; 8], way(1));
    path.on_challenge([2; 8], way(2));
    let (to, Elsewhere::Response(token)) = path.due_elsewhere(|_| false, NOW).unwrap() else { panic!() };
    assert_eq!((to, token), (way(2), [2; 8]));
    assert_eq!(path.due_response(), Some([1; 8]));
    assert_eq!(path.due_response(), None);
    for n in 0..100 {
        path.on_challenge([n; 8], way(n));
    }
    assert!(path.responses.len() <= 2, "a flood of challenges is not kept");
}

#[test]
fn what_went_out_from_an_address_that_is_gone_goes_out_from_any_and_the_peer_hears_of_it() {
    let local = |n: u8| Some(IpAddr::from([192, 168, 0, n]));
    let gone = [IpAddr::from([192, 168, 0, 1]), IpAddr::from([192, 168, 0, 2])];
    let mut path = path();
    path.on_packet(from(1, local(1)), 100, true, || [5; 8], NOW);
    path.on_challenge([1; 8], from(3, local(2)));
    path.on_packet(from(2, local(2)), 100, true, || [5; 8], NOW);
    path.ping = false;
    assert!(!path.on_addresses_lost(&[IpAddr::from([192, 168, 0, 9])]));
    assert!(!path.ping && path.way == from(1, local(1)));
    assert!(path.on_addresses_lost(&gone));
    assert!(path.ping && path.way == way(1));
    while let Some((to, _)) = path.due_elsewhere(|_| false, NOW) {
        assert_eq!(to.without(&gone), None, "{to:?}");
    }
    path.ping = false;
    assert!(!path.on_addresses_lost(&gone) && !path.ping, "said once");
}
