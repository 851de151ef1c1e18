use super::*;

fn seconds(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

#[test]
fn a_clock_without_faults_is_the_worlds() {
    let clock = Clock::new(Instant::ZERO, UnixTime::from_millis(5000));
    assert_eq!(clock.local(seconds(9)), seconds(9));
    assert_eq!(clock.wall(seconds(9)), UnixTime::from_millis(14_000));
    assert_eq!(clock.when(seconds(9)), Some(seconds(9)));
}

#[test]
fn skew_begins_when_it_is_set_and_timers_know_of_it() {
    let mut clock = Clock::new(Instant::ZERO, UnixTime::from_millis(0));
    clock.set_skew(seconds(100), 10_000);
    assert_eq!(clock.local(seconds(100)), seconds(100));
    assert_eq!(clock.local(seconds(200)), seconds(201));
    assert_eq!(clock.wall(seconds(200)), UnixTime::from_millis(201_000));
    assert_eq!(clock.when(seconds(201)), Some(seconds(200)));
    clock.set_skew(seconds(200), -500_000);
    assert_eq!(clock.local(seconds(210)), seconds(206));
    for skew in [-500_000, -33_333, 12_345, 499_999] {
        clock.set_skew(seconds(210), skew);
        for nanos in 0..2000 {
            let local = seconds(206) + Duration::from_nanos(nanos * 977);
            let rings = clock.when(local).unwrap();
            assert!(clock.local(rings) >= local, "never before its time");
        }
    }
}

#[test]
fn sleep_stops_the_monotonic_clock_and_not_the_wall_clock() {
    let mut clock = Clock::new(Instant::ZERO, UnixTime::from_millis(0));
    clock.set_running(seconds(10), false);
    assert_eq!(clock.local(seconds(50)), seconds(10));
    assert_eq!(clock.wall(seconds(50)), UnixTime::from_millis(50_000));
    assert_eq!(clock.when(seconds(60)), None);
    clock.set_running(seconds(70), true);
    assert_eq!(clock.local(seconds(75)), seconds(15));
    assert_eq!(clock.when(seconds(16)), Some(seconds(76)));
}

#[test]
fn the_wall_clock_can_be_set_and_the_monotonic_one_stays() {
    let mut clock = Clock::new(Instant::ZERO, UnixTime::from_millis(0));
    clock.set_wall(seconds(10), UnixTime::from_millis(1_000_000));
    assert_eq!(clock.wall(seconds(11)), UnixTime::from_millis(1_001_000));
    assert_eq!(clock.local(seconds(11)), seconds(11));
}
