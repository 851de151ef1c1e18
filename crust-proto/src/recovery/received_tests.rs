use super::*;
use crate::wire::codec::Reader;
use crate::wire::frame::Frame;
use proptest::prelude::*;
use std::collections::BTreeSet;

const DELAY: Duration = Duration::from_millis(25);

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn received(numbers: impl IntoIterator<Item = u64>) -> Received {
    let mut r = Received::new(DELAY);
    for number in numbers {
        r.on_packet(at(0), number, true, None);
    }
    r
}

/// The numbers that the next ACK names, its delay in microseconds, and its counts.
fn ack(r: &mut Received, now: Instant) -> Option<(BTreeSet<u64>, u64, Option<EcnCounts>)> {
    let mut buf = [0; 1500];
    let mut w = Writer::new(&mut buf);
    let largest = r.write_ack(now, 7, usize::MAX, &mut w)?;
    let len = w.finish().unwrap();
    let Ok(Frame::Ack(ack)) = Frame::decode(&mut Reader::new(&buf[..len])) else { panic!("not an ACK") };
    assert_eq!((ack.path, ack.largest), (7, largest));
    Some((ack.ranges().flatten().collect(), ack.delay_micros, ack.ecn))
}

#[derive(Clone, Debug)]
enum Step {
    /// So many numbers above (or below) the last.
    Packet(i64),
    Far(u64),
    AckAcked(u64),
    WriteAck,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (1i64..4).prop_map(Step::Packet),
        4 => (-600i64..600).prop_map(Step::Packet),
        1 => any::<u64>().prop_map(Step::Far),
        2 => (0u64..2000).prop_map(Step::AckAcked),
        1 => Just(Step::WriteAck),
    ]
}

proptest! {
    #[test]
    fn no_packet_is_ever_new_twice(steps in prop::collection::vec(step(), 0..1500)) {
        let mut r = Received::new(DELAY);
        let mut accepted = BTreeSet::new();
        let mut last = 0u64;
        for step in steps {
            match step {
                Step::Packet(by) => last = last.saturating_add_signed(by),
                Step::Far(number) => {
                    // Far, but not so far that all that follows is refused.
                    last = if number % 8 == 0 { number } else { number % 4000 };
                }
                Step::AckAcked(largest) => {
                    r.on_ack_acked(largest);
                    continue;
                }
                Step::WriteAck => {
                    let named = ack(&mut r, at(1)).map(|a| a.0.len());
                    prop_assert_eq!(named.is_some(), !accepted.is_empty());
                    continue;
                }
            }
            if last >= u64::MAX / 8 {
                last = 5000;
            }
            let new = r.is_new(last);
            prop_assert!(!new || !accepted.contains(&last), "{} is new twice", last);
            r.on_packet(at(0), last, true, None);
            prop_assert!(!r.is_new(last), "{} is still new", last);
            if new {
                accepted.insert(last);
            }
            prop_assert!(r.seen.len() <= MAX_SEEN_RANGES);
            prop_assert!(r.owed.len() <= MAX_ACK_RANGES);
            prop_assert_eq!(r.largest(), accepted.last().copied());
        }
        for number in accepted {
            prop_assert!(!r.is_new(number));
        }
    }

    #[test]
    fn an_ack_names_only_what_arrived_and_the_newest_of_it(
        // No more ranges than an ACK repeats.
        numbers in prop::collection::vec(0..2 * MAX_ACK_RANGES as u64, 1..100),
        settled in 0u64..100,
    ) {
        let mut r = received(numbers.iter().copied());
        r.on_ack_acked(settled);
        let arrived: BTreeSet<u64> = numbers.into_iter().collect();
        let max = *arrived.last().unwrap();
        let (named, _, _) = ack(&mut r, at(0)).unwrap();
        prop_assert!(named.is_subset(&arrived));
        prop_assert!(named.contains(&max));
        prop_assert!(named.iter().all(|&n| n > settled || n == max), "{:?} beyond {}", named, settled);
        // What is left out lies below what is named, or was settled.
        let lowest = *named.first().unwrap();
        prop_assert!(arrived.iter().all(|n| named.contains(n) || *n <= settled || *n < lowest));
    }
}

#[test]
fn beyond_the_remembered_ranges_old_packets_are_refused() {
    let mut r = received((0..=MAX_SEEN_RANGES as u64).map(|n| n * 2));
    assert_eq!(r.seen.len(), MAX_SEEN_RANGES);
    assert!(!r.is_new(0), "arrived, though forgotten");
    assert!(r.is_new(1), "just above what was forgotten");
    r.on_packet(at(0), 5000, true, None);
    assert!(!r.is_new(1), "never arrived, but it is too long ago to know");
    assert!(r.is_new(5) && !r.is_new(4));
}

#[test]
fn every_second_ack_eliciting_packet_is_acknowledged_at_once() {
    let mut r = received([0]);
    assert!(!r.ack_due(at(0)));
    assert_eq!(r.ack_deadline(), Some(at(25)), "the first waits for the longest");
    assert!(r.has_unacked());
    r.on_packet(at(3), 1, true, None);
    assert!(r.ack_due(at(3)));
    assert_eq!(r.ack_deadline(), Some(at(3)));
    let (named, delay, ecn) = ack(&mut r, at(4)).unwrap();
    assert_eq!((named, delay, ecn), ([0, 1].into(), 1000, None));
    assert!(!r.has_unacked() && !r.ack_due(at(1000)) && r.ack_deadline().is_none());
}

#[test]
fn a_single_packet_is_acknowledged_within_the_maximum_delay() {
    let r = received([0]);
    assert!(!r.ack_due(at(24)));
    assert!(r.ack_due(at(25)));
}

#[test]
fn the_threshold_can_be_raised() {
    let mut r = Received::new(DELAY);
    r.set_ack_threshold(4);
    for number in 0..3 {
        r.on_packet(at(0), number, true, None);
        assert!(!r.ack_due(at(0)));
    }
    r.on_packet(at(0), 3, true, None);
    assert!(r.ack_due(at(0)));
}

#[test]
fn packets_that_ask_for_nothing_cause_no_acknowledgement_but_are_in_the_next() {
    let mut r = Received::new(DELAY);
    for number in 0..10 {
        r.on_packet(at(0), number, false, None);
    }
    assert!(!r.has_unacked() && r.ack_deadline().is_none());
    assert_eq!(ack(&mut r, at(0)).unwrap().0, (0..10).collect());
}

#[test]
fn reordering_and_gaps_are_acknowledged_at_once() {
    let mut r = received([0, 1]);
    ack(&mut r, at(0));
    r.on_packet(at(0), 3, true, None);
    assert!(r.ack_due(at(0)), "2 is missing");
    ack(&mut r, at(0));
    r.on_packet(at(0), 4, true, None);
    assert!(!r.ack_due(at(0)), "that gap is known");
    ack(&mut r, at(0));
    r.on_packet(at(0), 2, true, None);
    assert!(r.ack_due(at(0)), "2 is late");
    ack(&mut r, at(0));
    r.on_packet(at(0), 5, false, None);
    r.on_packet(at(0), 6, true, None);
    assert!(!r.ack_due(at(0)), "5 asked for nothing, but is not missing");
    ack(&mut r, at(0));
    r.on_packet(at(0), 8, false, None);
    assert!(!r.ack_due(at(0)), "a gap before what asks for nothing");
    r.on_packet(at(0), 9, true, None);
    assert!(r.ack_due(at(0)), "7 is missing");
}

#[test]
fn a_first_packet_that_is_not_number_zero_is_acknowledged_at_once() {
    assert!(received([1]).ack_due(at(0)));
    assert!(!received([0]).ack_due(at(0)));
}

#[test]
fn a_congestion_mark_is_acknowledged_at_once_and_counted_once() {
    let mut r = Received::new(DELAY);
    r.on_packet(at(0), 0, true, Some(Ecn::Ect0));
    assert!(!r.ack_due(at(0)));
    ack(&mut r, at(0));
    r.on_packet(at(0), 1, true, Some(Ecn::Ce));
    assert!(r.ack_due(at(0)));
    r.on_packet(at(0), 1, true, Some(Ecn::Ce));
    r.on_packet(at(0), 2, false, Some(Ecn::Ect1));
    let (_, _, ecn) = ack(&mut r, at(0)).unwrap();
    assert_eq!(ecn, Some(EcnCounts { ect0: 1, ect1: 1, ce: 1 }));
}

#[test]
fn what_the_peer_knows_is_not_repeated_and_still_refused() {
    let mut r = received([0, 1, 2, 5, 6]);
    assert_eq!(ack(&mut r, at(0)).unwrap().0, [0, 1, 2, 5, 6].into());
    r.on_ack_acked(6);
    assert!([0, 1, 2, 5, 6].iter().all(|&n| !r.is_new(n)));
    r.on_packet(at(1), 7, true, None);
    assert_eq!(ack(&mut r, at(1)).unwrap().0, [6, 7].into());
    // A late packet below is accepted, once, and acknowledged together with the largest.
    assert!(r.is_new(3));
    r.on_ack_acked(7);
    r.on_packet(at(5), 3, true, None);
    assert!(!r.is_new(3));
    let (named, delay, _) = ack(&mut r, at(6)).unwrap();
    assert_eq!((named, delay), ([3, 7].into(), 5000), "the delay is that of the largest");
}

#[test]
fn nothing_is_written_or_settled_without_room() {
    let mut r = received([0, 1]);
    let mut buf = [0; 100];
    let mut w = Writer::new(&mut buf);
    assert_eq!(r.write_ack(at(0), 0, 3, &mut w), None);
    assert_eq!(w.finish(), Ok(0));
    assert!(r.ack_due(at(0)) && r.has_unacked());
    assert_eq!(Received::new(DELAY).write_ack(at(0), 0, 100, &mut Writer::new(&mut buf)), None);
}

#[test]
fn the_last_packet_number_there_is_overflows_nothing() {
    let mut r = received([u64::MAX - 1, u64::MAX]);
    assert_eq!(r.largest(), Some(u64::MAX - 1));
    r.on_ack_acked(u64::MAX);
}
