use super::*;
use proptest::prelude::*;

const START: UnixTime = UnixTime::from_millis(1_800_000_000_000);

fn mac(n: u32) -> [u8; 16] {
    let mut mac = [0; 16];
    mac[..4].copy_from_slice(&n.to_be_bytes());
    mac
}

proptest! {
    /// The one promise of the filter, over any order of hellos, clock and capacity.
    #[test]
    fn no_hello_is_ever_taken_twice(
        capacity in 1usize..8,
        steps in prop::collection::vec((0u32..40, 0u64..400_000, -400_000i64..400_000), 1..200),
    ) {
        let mut filter = ReplayFilter::new(START, Instant::ZERO, capacity);
        let mut now = Duration::ZERO;
        // Each MAC has one wall time: it is part of what the MAC covers.
        let mut dated = std::collections::BTreeMap::new();
        let mut taken = std::collections::BTreeSet::new();
        for (n, wait, skew) in steps {
            now += Duration::from_millis(wait);
            let wall = START + now;
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
