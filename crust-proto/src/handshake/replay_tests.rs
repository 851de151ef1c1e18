use super::*;
use proptest::prelude::*;

const START: UnixTime = UnixTime::from_millis(1_800_000_000_000);

fn mac(n: u32) -> [u8; 16] {
    let mut mac = [0; 16];
    mac[..4].copy_from_slice(&n.to_be_bytes());
    mac
}

proptest! {
    /// The one promise of the filter, over any order of hellos, clock (also one that is set) and capacity.
    #[test]
    fn no_hello_is_ever_taken_twice(
        capacity in 1usize..8,
        steps in prop::collection::vec(
            (0u32..40, 0u64..400_000, -400_000i64..400_000, prop_oneof![9 => Just(None), 1 => (0u64..5_000_000).prop_map(Some)]),
            1..200,
        ),
    ) {
        let mut filter = ReplayFilter::new(START, Instant::ZERO, capacity);
        let mut now = Duration::ZERO;
        let mut ahead = Duration::ZERO;
        // Each MAC has one wall time: it is part of what the MAC covers.
        let mut dated = std::collections::BTreeMap::new();
        let mut taken = std::collections::BTreeSet::new();
        for (n, wait, skew, set) in steps {
            now += Duration::from_millis(wait);
            ahead = set.map_or(ahead, Duration::from_millis);
            let wall = filter.time(START + ahead + now, Instant::ZERO + now);
            let sent = *dated.entry(n).or_insert_with(|| {
                UnixTime::from_millis(wall.as_millis().saturating_add_signed(skew))
            });
            if filter.check(sent, &mac(n), wall).is_ok() {
                prop_assert!(taken.insert(n), "hello {} was taken twice", n);
                filter.remember(sent, mac(n), Instant::ZERO + now);
            }
        }
    }
}

#[test]
fn what_is_too_old_too_new_or_from_before_the_start_is_not_taken() {
    let filter = ReplayFilter::new(START, Instant::ZERO, 10);
    let wall = START + 2 * WINDOW;
    let tick = Duration::from_millis(1);
    assert_eq!(filter.check(START + WINDOW, &mac(1), wall), Ok(()));
    assert_eq!(filter.check(START + (WINDOW - tick), &mac(1), wall), Err(Stale::Time));
    assert_eq!(filter.check(wall + WINDOW, &mac(1), wall), Ok(()));
    assert_eq!(filter.check(wall + (WINDOW + tick), &mac(1), wall), Err(Stale::Time));
    assert_eq!(filter.check(UnixTime::from_millis(START.as_millis() - 1), &mac(1), START), Err(Stale::Time));
}

#[test]
fn a_clock_may_be_four_minutes_and_fifty_seconds_off_and_not_five_minutes_and_ten() {
    let filter = ReplayFilter::new(START, Instant::ZERO, 10);
    let wall = START + Duration::from_secs(3600);
    for (off, fate) in [(290, Ok(())), (310, Err(Stale::Time))] {
        let off = Duration::from_secs(off);
        let behind = UnixTime::from_millis(wall.as_millis() - u64::try_from(off.as_millis()).unwrap());
        assert_eq!(filter.check(behind, &mac(1), wall), fate, "{off:?} behind");
        assert_eq!(filter.check(wall + off, &mac(1), wall), fate, "{off:?} ahead");
    }
}

#[test]
fn a_flood_costs_old_hellos_not_memory() {
    let mut filter = ReplayFilter::new(START, Instant::ZERO, 100);
    for n in 0..100_000 {
        let sent = START + Duration::from_millis(n.into());
        assert_eq!(filter.check(sent, &mac(n), sent), Ok(()));
        filter.remember(sent, mac(n), Instant::ZERO);
        assert!(filter.current.macs.len() + filter.previous.macs.len() <= 200);
    }
    assert_eq!(filter.check(START, &mac(0), START + Duration::from_secs(100)), Err(Stale::Time));
}

/// A machine that boots with a clock that is ahead, or gets it wrong for a while, is not deaf until that time has come.
#[test]
fn a_clock_that_was_ahead_and_is_set_right_leaves_a_time_at_which_hellos_are_taken() {
    let ahead = Duration::from_secs(3600);
    for wrong_from_the_start in [true, false] {
        let first = if wrong_from_the_start { START + ahead } else { START };
        let mut filter = ReplayFilter::new(first, Instant::ZERO, 2);
        // While the clock is wrong hellos are taken, so many that the first are forgotten.
        for n in 0..5 {
            assert_eq!(filter.check(START + ahead, &mac(n), START + ahead), Ok(()));
            filter.remember(START + ahead, mac(n), Instant::ZERO);
        }
        for seconds in [1, 100, 1_000, 10_000] {
            let now = Duration::from_secs(seconds);
            let time = filter.time(START + now, Instant::ZERO + now);
            let told = filter.acceptable(time);
            assert_eq!(filter.check(told, &mac(100), time), Ok(()), "after {seconds} s");
            assert!(seconds < 10_000 || told == START + now, "and in the end the time is the right one");
        }
    }
}

#[test]
fn nobody_can_hurry_the_time_of_the_filter() {
    let mut filter = ReplayFilter::new(START, Instant::ZERO, 1);
    for n in 0..1_000 {
        let (now, wall) = (Instant::ZERO, START);
        // As far ahead as is taken.
        let sent = filter.time(wall, now) + WINDOW;
        assert_eq!(filter.time(wall, now), START);
        if filter.check(sent, &mac(n), filter.time(wall, now)).is_ok() {
            filter.remember(sent, mac(n), now);
        }
    }
}
