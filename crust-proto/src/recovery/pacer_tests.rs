use super::*;
use proptest::prelude::*;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

proptest! {
    #[test]
    fn a_greedy_sender_gets_the_rate_and_no_more(
        rate in 1_000u64..10_000_000_000,
        datagrams in 2u64..50,
        lateness in prop::collection::vec(0u64..100_000, 400),
    ) {
        let size = 1200;
        let burst = datagrams * size;
        let mut pacer = Pacer::new(at(0), rate, burst);
        // Timers may be late by as much as one burst less a datagram takes: that is made up.
        let slack = ((burst - size) * BYTE / rate).saturating_sub(1);
        let (mut now, mut sent, mut end) = (at(0), 0u64, at(0));
        for late in lateness {
            while pacer.ready_at(now, size).is_none() {
                prop_assert!(pacer.available(now) >= size);
                prop_assert!(pacer.available(now) <= burst);
                pacer.on_sent(now, size);
                sent += size;
                let allowance = u128::from(burst) + u128::from(now.as_nanos()) * u128::from(rate) / u128::from(BYTE);
                prop_assert!(u128::from(sent) <= allowance, "{sent} bytes by {now:?}, {allowance} earned");
            }
            let due = pacer.ready_at(now, size).unwrap();
            prop_assert!(due > now);
            end = due;
            now = due + Duration::from_nanos(late.min(slack));
        }
        // The rate, but for one rounding of a timer to the nanosecond.
        let earned = u128::from(burst) + u128::from(end.as_nanos()) * u128::from(rate) / u128::from(BYTE);
        prop_assert!(u128::from(sent + size) * 1000 >= earned * 999 - 1, "{sent} bytes sent of {earned} earned");
    }

    #[test]
    fn what_is_said_to_be_ready_is_ready_and_not_earlier(
        rate in 1u64..MAX_RATE,
        spent in 0u64..20_000,
        size in 1u64..20_000,
        elapsed in 0u64..1_000_000_000,
    ) {
        let mut pacer = Pacer::new(at(0), rate, 12_000);
        pacer.on_sent(at(5), spent);
        let now = at(5 + elapsed);
        match pacer.ready_at(now, size) {
            None => prop_assert!(pacer.available(now) >= size.min(12_000)),
            Some(due) => {
                prop_assert!(due > now);
                prop_assert_eq!(pacer.ready_at(due, size), None);
                prop_assert!(pacer.ready_at(due - Duration::from_nanos(1), size).is_some());
            }
        }
    }
}

#[test]
fn credit_saved_up_in_idle_time_is_one_burst() {
    let mut pacer = Pacer::new(at(0), 1_000_000, 12_000);
    pacer.on_sent(at(0), 12_000);
    assert_eq!(pacer.available(at(0)), 0);
    assert_eq!(pacer.available(at(1_000_000)), 1000);
    assert_eq!(pacer.available(at(u64::MAX)), 12_000);
}

#[test]
fn a_change_of_rate_counts_from_when_it_is_made() {
    let mut pacer = Pacer::new(at(0), 1_000_000, 12_000);
    pacer.on_sent(at(0), 12_000);
    pacer.set(at(1_000_000), 2_000_000, 24_000);
    assert_eq!(pacer.available(at(2_000_000)), 3000);
    // A smaller burst forfeits what exceeds it.
    pacer.set(at(2_000_000), 2_000_000, 1000);
    assert_eq!(pacer.available(at(2_000_000)), 1000);
}

#[test]
fn packets_that_did_not_ask_leave_no_debt() {
    let mut pacer = Pacer::new(at(0), 1_000_000, 12_000);
    pacer.on_sent(at(0), 1_000_000);
    assert_eq!(pacer.ready_at(at(0), 1000), Some(at(1_000_000)));
}
