use std::net::SocketAddr;

use super::*;

const NOW: Instant = Instant::ZERO;

fn route(n: u8) -> Route {
    Route { socket: SocketId(0), remote: SocketAddr::from(([10, 0, 0, n], 7)), local: None }
}

fn path() -> Path {
    Path::new(0, route(1), 1200, &RecoveryConfig::default(), Duration::from_millis(25), NOW)
}

#[test]
fn a_new_address_gets_a_challenge_and_nothing_else_until_it_answers() {
    let mut path = path();
    path.on_packet(route(2), 100, true, || [5; 8], NOW);
    assert_eq!(path.route, route(1));
    let (to, Elsewhere::Challenge(token)) = path.due_elsewhere(|_| false, NOW).unwrap() else { panic!() };
    assert_eq!((to, token), (route(2), [5; 8]));
    assert!(path.due_elsewhere(|_| false, NOW).is_none(), "one at a time");
    assert_eq!(path.on_response(token, route(3), NOW), Validated::No, "answered from elsewhere");
    assert_eq!(path.on_response([6; 8], route(2), NOW), Validated::No, "a wrong answer");
    assert_eq!(path.on_response(token, route(2), NOW), Validated::Moved { from: route(1).remote });
    assert_eq!(path.route, route(2));
}

#[test]
fn an_address_that_was_proven_by_other_means_needs_no_challenge_and_no_other_address_does_it_good() {
    let mut path = path();
    path.validate([5; 8], 0, NOW);
    path.on_proven(route(2).remote);
    assert!(!path.may_send());
    path.on_proven(route(1).remote);
    assert!(path.may_send());
    assert_eq!(path.due_challenge(NOW), None);
}

#[test]
fn an_answer_to_a_challenge_that_was_never_sent_is_none() {
    let mut path = path();
    path.on_packet(route(2), 100, true, || [5; 8], NOW);
    assert_eq!(path.on_response([5; 8], route(2), NOW), Validated::No);
}

#[test]
fn an_old_packet_from_elsewhere_challenges_nobody_and_a_newer_one_from_home_ends_the_detour() {
    let mut path = path();
    path.on_packet(route(2), 100, false, || [5; 8], NOW);
    assert!(path.due_elsewhere(|_| false, NOW).is_none());
    path.on_packet(route(2), 100, true, || [5; 8], NOW);
    path.on_packet(route(1), 100, true, || [5; 8], NOW);
    assert!(path.due_elsewhere(|_| false, NOW).is_none());
}

#[test]
fn a_candidate_gets_at_most_three_times_what_came_from_it_and_is_given_up_in_the_end() {
    let mut path = path();
    path.on_packet(route(2), 33, true, || [5; 8], NOW);
    let mut now = NOW;
    let mut sent = 0;
    for _ in 0..100 {
        while path.due_elsewhere(|_| false, now).is_some() {
            sent += 41;
        }
        now = now + Duration::from_secs(60);
    }
    assert!(sent > 0 && sent <= 99, "{sent} bytes");
    path.on_packet(route(2), 10_000, true, || [5; 8], now);
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
    assert_eq!(path.on_response([9; 8], route(1), NOW), Validated::Present);
    assert_eq!(path.allowance(), u64::MAX);
}

#[test]
fn an_unproven_address_chosen_by_the_first_packet_inherits_no_allowance() {
    let mut path = path();
    path.validate([9; 8], 1000, NOW);
    path.choose(route(2));
    path.on_packet(route(2), 50, true, || [0; 8], NOW);
    assert_eq!((path.route, path.allowance()), (route(2), 150));
}

#[test]
fn a_challenge_is_answered_along_the_way_that_it_came() {
    let mut path = path();
    path.on_challenge([1; 8], route(1));
    path.on_challenge([2; 8], route(2));
    let (to, Elsewhere::Response(token)) = path.due_elsewhere(|_| false, NOW).unwrap() else { panic!() };
    assert_eq!((to, token), (route(2), [2; 8]));
    assert_eq!(path.due_response(), Some([1; 8]));
    assert_eq!(path.due_response(), None);
    for n in 0..100 {
        path.on_challenge([n; 8], route(n));
    }
    assert!(path.responses.len() <= 2, "a flood of challenges is not kept");
}

#[test]
fn what_went_out_from_an_address_that_is_gone_goes_out_from_any_and_the_peer_hears_of_it() {
    let local = |n: u8| Some(IpAddr::from([192, 168, 0, n]));
    let gone = [IpAddr::from([192, 168, 0, 1]), IpAddr::from([192, 168, 0, 2])];
    let mut path = path();
    path.on_packet(Route { local: local(1), ..route(1) }, 100, true, || [5; 8], NOW);
    path.on_challenge([1; 8], Route { local: local(2), ..route(3) });
    path.on_packet(Route { local: local(2), ..route(2) }, 100, true, || [5; 8], NOW);
    path.ping = false;
    assert!(!path.on_addresses_lost(&[IpAddr::from([192, 168, 0, 9])]));
    assert!(!path.ping && path.route.local == local(1));
    assert!(path.on_addresses_lost(&gone));
    assert!(path.ping && path.route == route(1));
    while let Some((to, _)) = path.due_elsewhere(|_| false, NOW) {
        assert_eq!(to.local, None, "{to:?}");
    }
    path.ping = false;
    assert!(!path.on_addresses_lost(&gone) && !path.ping, "said once");
}
