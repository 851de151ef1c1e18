use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::*;
use crate::population::Mix;
use crate::seeds;

/// Whether crust as it is must connect two sites: by a method of the oracle's that [`TODAY`] lists, under the conditions
/// that are told there.
fn must(sites: &[SiteProfile; 2], possible: &[Method]) -> bool {
    let [a, b] = sites.each_ref().map(oracle::Site::from);
    let untranslated = sites.iter().all(|site| site.nats.is_empty());
    let usable = |method: &Method| match method {
        Method::PlainUdp => untranslated,
        other => TODAY.contains(other),
    };
    !a.udp_blocked && !b.udp_blocked && possible.iter().any(usable)
}

/// Holds a run to the oracle.
#[track_caller]
fn check(meeting: &Meeting, sites: &[SiteProfile; 2]) {
    let [a, b] = sites.each_ref().map(oracle::Site::from);
    assert_eq!(meeting.possible, oracle::between(&a, &b));
    let (must, got) = (must(sites, &meeting.possible), meeting.way.is_some());
    assert_eq!(got, must, "seed {}: {sites:#?}, possible: {:?}", meeting.seed, meeting.possible);
    assert_eq!(meeting.time.is_some(), got);
    assert!(meeting.time.is_none_or(|time| time <= PATIENCE));
    assert!(meeting.datagrams > 0, "they have tried");
}

#[test]
fn every_pair_of_kinds_meets_exactly_where_the_oracle_knows_a_method_of_today() {
    seeds(2, |seed| {
        let mut met = 0;
        for a in Kind::ALL {
            for b in Kind::ALL {
                let meeting = of_kinds(seed, [a, b], None);
                check(&meeting, &[a, b].map(of_kind));
                met += usize::from(meeting.way.is_some());
            }
        }
        // An open side and one of the eleven that UDP passes at, either way round; two firewalls.
        assert_eq!(met, 11 + 10 + 1);
    });
}

#[test]
fn every_pair_of_a_population_meets_exactly_where_the_oracle_knows_a_method_of_today() {
    for mix in [Mix::A, Mix::B] {
        let population = Population::standard(mix);
        let met = Cell::new([0; 2]);
        seeds(300, |seed| {
            let meeting = of_population(seed, &population, None);
            check(&meeting, &drawn(seed, &population));
            let [yes, no] = met.get();
            met.set(if meeting.way.is_some() { [yes + 1, no] } else { [yes, no + 1] });
        });
        let [yes, no] = met.get();
        assert!(yes + no < 100 || (yes > 0 && no > 0), "{yes} met, {no} did not");
    }
}

#[test]
fn the_same_seed_is_the_same_meeting_and_another_seed_another() {
    let population = Population::standard(Mix::A);
    let hashes = RefCell::new(BTreeSet::new());
    for seed in 0..20 {
        let once = of_population(seed, &population, None);
        assert_eq!(of_population(seed, &population, None), once);
        hashes.borrow_mut().insert(once.hash);
    }
    assert_eq!(hashes.borrow().len(), 20);
}

/// Both have the connection, and the wires die before any of them has heard the other's bytes.
#[test]
fn whose_link_dies_after_the_handshake_have_not_met() {
    seeds(20, |seed| {
        let sites = [Kind::Open, Kind::CarrierGrade].map(of_kind);
        let meet_in = |sim: &Sim| meet_in(sim, &sites, &["a", "b"].map(str::to_owned), None);
        let alive = meet_in(&Sim::new(seed));
        let took = alive.time.expect("they meet");
        let sim = Sim::new(seed);
        let cut = Instant::ZERO + took + Duration::from_nanos(1);
        sim.world().at(cut, |world| {
            let all: Vec<_> = world.hosts().flat_map(|host| world.interfaces(host).to_vec()).collect();
            all.into_iter().for_each(|interface| world.link_mut(interface).up = false);
        });
        let dead = meet_in(&sim);
        assert_eq!((dead.way, dead.time), (None, None));
        assert_eq!(dead.datagrams, alive.datagrams, "as many until both had it");
    });
}

#[test]
fn recording_changes_nothing() {
    let limits = crate::record::RecordLimits { packets: 1000, every: Duration::from_millis(10) };
    let kinds = [Kind::Symmetric, Kind::Open];
    let recorder = Recorder::new(limits);
    assert_eq!(of_kinds(7, kinds, Some(&recorder)), of_kinds(7, kinds, None));
}

#[test]
fn who_meets_takes_a_round_trip_at_least_and_who_does_not_tries_to_the_end() {
    seeds(20, |seed| {
        let meeting = of_kinds(seed, [Kind::Open, Kind::CarrierGrade], None);
        // Two wires of 4 ms or more, to and fro.
        assert!(meeting.time.is_some_and(|time| time >= Duration::from_millis(16)), "{meeting:?}");
        let apart = of_kinds(seed, [Kind::UdpBlocked, Kind::UdpBlocked], None);
        assert_eq!((apart.way, apart.time), (None, None));
        // Each dials three times in 30 s, and repeats its hello each time.
        assert!(apart.datagrams > 12, "{}", apart.datagrams);
    });
}

#[test]
fn waiting_times_are_those_of_a_poisson_process() {
    const MEAN: u64 = 50_000_000;
    const DRAWS: usize = 100_000;
    let mut rng = Rng::new(3);
    let times: Vec<u64> =
        (0..DRAWS).map(|_| exponential(&mut rng, MEAN).as_nanos().try_into().unwrap()).collect();
    let mean = times.iter().sum::<u64>() / DRAWS as u64;
    // Five standard deviations, which are a mean over the root of the draws.
    assert!(mean.abs_diff(MEAN) < 5 * MEAN / 316, "{mean}");
    for (means, tail) in [(0.5, 0.606_53), (1.0, 0.367_88), (2.0, 0.135_34), (4.0, 0.018_32)] {
        let longer = times.iter().filter(|time| **time as f64 > means * MEAN as f64).count();
        let share = longer as f64 / DRAWS as f64;
        assert!((share - tail).abs() < 0.008, "{share} of the times last longer than {means} means");
    }
}

#[test]
fn neighbours_open_mappings_on_the_outermost_gate_while_the_run_lasts() {
    for nats in 1..=2 {
        let nat = crate::nat::NatConfig::default();
        let noisy = SiteProfile { nats: vec![nat; nats], noise_per_second: 20.0, ..of_kind(Kind::Symmetric) };
        let sim = Sim::new(5);
        let sites = [noisy, of_kind(Kind::Open)];
        build(&sim, &sites, &["a", "b"].map(str::to_owned), None);
        let opened = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = opened.clone();
        sim.world().set_tap(Some(Box::new(move |tapped| {
            let source = tapped.packet.source_ip().to_string();
            assert!(!source.starts_with("100.64."), "the inner gate is nobody's but the site's");
            let outside = source.starts_with("203.0.113.");
            if let (true, Some(flow)) = (outside, tapped.packet.flow()) {
                seen.lock().unwrap().insert(flow.source);
            }
        })));
        sim.run_for(Duration::from_secs(100));
        let count = opened.lock().unwrap().len();
        // 2,000 on average; five standard deviations.
        assert!((1776..=2224).contains(&count), "{count}");
    }
}

/// What was recorded of a meeting, and the meeting.
fn watched(seed: u64, kinds: [Kind; 2]) -> (Meeting, crate::record::Recording) {
    let recorder = Recorder::new(crate::record::RecordLimits::default());
    let meeting = of_kinds(seed, kinds, Some(&recorder));
    (meeting, recorder.recording())
}

/// When a host first sends something.
fn dials(recording: &crate::record::Recording, name: &str) -> Instant {
    let sent = |seen: &&crate::record::Captured| {
        seen.sight == crate::world::Sight::Sent && recording.host_name(seen.host) == name
    };
    recording.packets.iter().find(sent).expect("it dials").now
}

#[test]
fn the_second_dials_somewhat_later_than_the_first() {
    let apart = |seed| {
        let (_, recording) = watched(seed, [Kind::UdpBlocked; 2]);
        dials(&recording, "b").saturating_since(dials(&recording, "a"))
    };
    let apart: BTreeSet<Duration> = (0..10).map(apart).collect();
    assert!(apart.len() > 5 && apart.iter().all(|apart| *apart <= APART), "{apart:?}");
}

#[test]
fn the_time_is_from_the_first_dial_until_both_have_the_connection() {
    seeds(5, |seed| {
        let (meeting, recording) = watched(seed, [Kind::Open, Kind::CarrierGrade]);
        let have = recording.notes.iter().filter(|note| note.text == "has the connection");
        let have: Vec<Instant> = have.map(|note| note.now).collect();
        let both = have.iter().max().expect("they meet").saturating_since(dials(&recording, "a"));
        assert_eq!((have.len(), meeting.time), (2, Some(both)));
    });
}
