use super::*;

const MTU: Freight = Freight { len: 1250, dont_fragment: true, ect: false };

fn link(config: LinkConfig, seed: u64) -> Link {
    Link::new(config, Rng::new(seed))
}

fn millis(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// What becomes of so many packets, one each millisecond.
fn run(config: LinkConfig, seed: u64, packets: u64) -> Vec<(Instant, Passage)> {
    let mut link = link(config, seed);
    (0..packets).map(|at| (millis(at), link.send(millis(at), MTU))).collect()
}

fn lost(passages: &[(Instant, Passage)]) -> Vec<bool> {
    passages.iter().map(|(_, passage)| matches!(passage, Passage::Lost(_))).collect()
}

#[test]
fn a_packet_takes_its_latency_and_no_more() {
    let config = LinkConfig::with_latency(Duration::from_millis(25));
    for (sent, passage) in run(config, 1, 1000) {
        let arrival = Arrival { at: sent + Duration::from_millis(25), marked: false, damaged: false };
        assert_eq!(passage, Passage::Arrives(arrival, None));
    }
}

#[test]
fn jitter_stays_in_its_bounds_and_keeps_the_order() {
    let config = LinkConfig { jitter: Duration::from_millis(30), ..LinkConfig::default() };
    for seed in 0..20 {
        let mut last = Instant::ZERO;
        let mut sum = Duration::ZERO;
        for (sent, passage) in run(config, seed, 2000) {
            let Passage::Arrives(arrival, None) = passage else { panic!("lost") };
            let took = arrival.at.saturating_since(sent);
            assert!(
                arrival.at >= last && took >= Duration::from_millis(1) && took <= Duration::from_millis(31)
            );
            last = arrival.at;
            sum += took;
        }
        // Those overtaken wait, so that the average is above the middle.
        assert!(sum / 2000 > Duration::from_millis(14), "{sum:?}");
    }
}

#[test]
fn a_rate_spaces_packets_and_a_full_queue_drops_them() {
    // 1,250 bytes are 10 ms at a megabit a second; ten come at once, and four may wait beside the one under way.
    let config = LinkConfig { rate: Some(1_000_000), queue: 5 * 1250, ..LinkConfig::default() };
    let mut link = link(config, 1);
    let arrivals: Vec<Option<Instant>> = (0..10)
        .map(|_| match link.send(Instant::ZERO, MTU) {
            Passage::Arrives(arrival, None) => Some(arrival.at),
            Passage::Lost(Lost::Queue) => None,
            other => panic!("{other:?}"),
        })
        .collect();
    let expected: Vec<_> = (1..=10).map(|number| (number <= 5).then(|| millis(10 * number + 1))).collect();
    assert_eq!(arrivals, expected);
    // Half of the queue has left after 25 ms: there is room for two.
    assert!(
        matches!(link.send(millis(25), MTU), Passage::Arrives(arrival, None) if arrival.at == millis(61))
    );
    assert!(matches!(link.send(millis(25), MTU), Passage::Arrives(..)));
    assert_eq!(link.send(millis(25), MTU), Passage::Lost(Lost::Queue));
}

#[test]
fn a_queue_that_is_empty_takes_a_packet_of_any_size() {
    let config = LinkConfig { rate: Some(1_000_000), queue: 10, ..LinkConfig::default() };
    let mut link = link(config, 1);
    for round in 0..3 {
        // 10 ms each, and 1 ms of latency.
        let now = millis(10 * round);
        assert!(
            matches!(link.send(now, MTU), Passage::Arrives(arrival, None) if arrival.at == millis(10 * round + 11))
        );
        assert_eq!(link.send(now, MTU), Passage::Lost(Lost::Queue));
    }
}

#[test]
fn a_packet_that_keeps_no_order_overtakes_those_that_jitter_holds_up() {
    let jitter = Duration::from_millis(50);
    let arrivals = |reorder_by| -> Vec<Instant> {
        let config = LinkConfig { jitter, reorder: 100_000, reorder_by, ..LinkConfig::default() };
        let all = run(config, 3, 2_000).into_iter();
        all.map(|(_, passage)| match passage {
            Passage::Arrives(arrival, None) => arrival.at,
            other => panic!("{other:?}"),
        })
        .collect()
    };
    // Held back by nothing, they are only early: before several that were sent earlier.
    let early =
        arrivals(Duration::ZERO).windows(4).filter(|four| four[..3].iter().all(|one| four[3] < *one)).count();
    assert!((100..250).contains(&early), "{early}");
}

#[test]
fn a_rate_is_what_comes_out_over_a_long_time() {
    let rate = 3_000_000;
    let config = LinkConfig { rate: Some(rate), queue: 20_000, ..LinkConfig::default() };
    let arrived =
        run(config, 1, 10_000).iter().filter(|(_, passage)| matches!(passage, Passage::Arrives(..))).count();
    let bits = arrived as u64 * 1250 * 8;
    assert!((bits as i64 - 10 * rate as i64).abs() < 20_000 * 8 + 10_000, "{bits}");
}

#[test]
fn loss_is_as_frequent_as_it_says() {
    for (seed, loss) in [(1, 1000), (2, 10_000), (3, 120_000), (4, 500_000), (5, 1_000_000), (6, 0)] {
        let lost = lost(&run(LinkConfig { loss, ..LinkConfig::default() }, seed, 200_000));
        let count = lost.iter().filter(|lost| **lost).count() as f64;
        let p = f64::from(loss) / 1e6;
        let deviation = (200_000.0 * p * (1.0 - p)).sqrt();
        assert!((count - 200_000.0 * p).abs() <= 5.0 * deviation, "{loss}: {count}");
    }
}

#[test]
fn bursts_lose_as_many_as_they_say_and_in_a_row() {
    // Bad for a fifth of the time, in bursts of 20 on average, and 80 % lost in them.
    let bursts = Bursts { enter: 12_500, leave: 50_000, loss: 800_000 };
    let lost = lost(&run(LinkConfig { bursts: Some(bursts), ..LinkConfig::default() }, 7, 400_000));
    let share = lost.iter().filter(|lost| **lost).count() as f64 / 400_000.0;
    assert!((share - 0.16).abs() < 0.01, "{share}");
    // A loss is followed by one far more often than by chance.
    let pairs = lost.windows(2).filter(|pair| pair[0] && pair[1]).count() as f64;
    let after_loss = pairs / (share * 400_000.0);
    assert!((after_loss - 0.95 * 0.8).abs() < 0.02, "{after_loss}");
}

#[test]
fn reordering_lets_some_be_overtaken_and_no_others() {
    let config =
        LinkConfig { reorder: 100_000, reorder_by: Duration::from_millis(20), ..LinkConfig::default() };
    let arrivals: Vec<Instant> = run(config, 3, 20_000)
        .into_iter()
        .map(|(_, passage)| match passage {
            Passage::Arrives(arrival, None) => arrival.at,
            other => panic!("{other:?}"),
        })
        .collect();
    let late = (0..20_000u64).filter(|sent| arrivals[*sent as usize] != millis(sent + 1)).count();
    assert!((1900..2100).contains(&late), "{late}");
    assert!(arrivals.windows(2).any(|pair| pair[1] < pair[0]));
}

#[test]
fn duplicates_and_damage_are_as_frequent_as_they_say() {
    let config = LinkConfig { duplicate: 30_000, corrupt: 20_000, ..LinkConfig::default() };
    let (mut twice, mut damaged, mut all) = (0, 0, 0);
    for (_, passage) in run(config, 9, 100_000) {
        let Passage::Arrives(first, second) = passage else { panic!("lost") };
        twice += u32::from(second.is_some());
        for arrival in [Some(first), second].into_iter().flatten() {
            damaged += u32::from(arrival.damaged);
            all += 1;
        }
    }
    assert!((2700..3300).contains(&twice), "{twice}");
    assert!((1800..2300).contains(&damaged), "{damaged}");
    assert_eq!(all, 100_000 + twice);
}

#[test]
fn a_large_packet_is_refused_or_swallowed() {
    let big = Freight { len: 1401, ..MTU };
    let mut narrow = link(LinkConfig { mtu: 1400, ..LinkConfig::default() }, 1);
    assert_eq!(narrow.send(Instant::ZERO, big), Passage::TooBig(1400));
    assert!(matches!(narrow.send(Instant::ZERO, Freight { len: 1400, ..big }), Passage::Arrives(..)));
    let may_be_cut = Freight { dont_fragment: false, ..big };
    assert!(matches!(narrow.send(Instant::ZERO, may_be_cut), Passage::Arrives(..)));
    narrow.config.oversize = Oversize::BlackHole;
    assert_eq!(narrow.send(Instant::ZERO, big), Passage::Lost(Lost::BlackHole));
    assert_eq!(narrow.send(Instant::ZERO, may_be_cut), Passage::Lost(Lost::BlackHole));
}

#[test]
fn a_long_queue_marks_those_that_can_be_marked() {
    let config = LinkConfig {
        rate: Some(1_000_000),
        mark_above: Some(2 * 1250),
        queue: 100_000,
        ..LinkConfig::default()
    };
    for ect in [true, false] {
        let mut link = link(config, 1);
        let marked: Vec<bool> = (0..6)
            .map(|_| match link.send(Instant::ZERO, Freight { ect, ..MTU }) {
                Passage::Arrives(arrival, None) => arrival.marked,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(marked, [false, false, false, ect, ect, ect]);
    }
}

#[test]
fn an_outage_begins_and_ends_when_it_is_told() {
    let mut link = link(LinkConfig::default(), 1);
    link.config.up = false;
    assert_eq!(link.send(Instant::ZERO, MTU), Passage::Lost(Lost::Outage));
    link.config.up = true;
    assert!(matches!(link.send(Instant::ZERO, MTU), Passage::Arrives(..)));
}

#[test]
fn the_same_seed_has_the_same_faults_and_another_seed_others() {
    let config = LinkConfig {
        jitter: Duration::from_millis(3),
        loss: 50_000,
        reorder: 50_000,
        duplicate: 50_000,
        corrupt: 50_000,
        ..LinkConfig::default()
    };
    assert_eq!(run(config, 5, 500), run(config, 5, 500));
    assert_ne!(run(config, 5, 500), run(config, 6, 500));
}
