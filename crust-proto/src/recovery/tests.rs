//! [`Recovery`] against hand-made acknowledgements. Whole networks stand in [`network`].

mod model;
mod network;

use super::sent::QuietPackets;
use super::*;
use crate::wire::codec::{Reader, Writer};
use crate::wire::frame::{Ack, EcnCounts, Frame};
use crate::wire::ranges::RangeSet;

const SIZE: usize = 1200;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Calls `f` with an ACK of `numbers`, gone through the wire.
fn with_ack<R>(
    numbers: impl IntoIterator<Item = u64>,
    delay: Duration,
    ecn: Option<EcnCounts>,
    f: impl FnOnce(&Ack<'_>) -> R,
) -> R {
    let mut ranges = RangeSet::default();
    for number in numbers {
        ranges.insert(number..number + 1);
    }
    let mut buf = vec![0; 64 + 16 * ranges.len()];
    let mut w = Writer::new(&mut buf);
    let micros = delay.as_micros().try_into().unwrap();
    Ack::encode(0, &ranges, micros, ecn, usize::MAX, &mut w).expect("something to acknowledge");
    let len = w.finish().unwrap();
    match Frame::decode(&mut Reader::new(&buf[..len])) {
        Ok(Frame::Ack(ack)) => f(&ack),
        other => panic!("{other:?}"),
    }
}

/// A path whose packets carry their own number.
struct Path {
    recovery: Recovery<u64>,
    outcome: Outcome<u64>,
}

impl Path {
    fn new() -> Self {
        Self::with(&RecoveryConfig { ecn: false, ..RecoveryConfig::default() })
    }

    fn with(config: &RecoveryConfig) -> Self {
        Self { recovery: Recovery::new(config, SIZE, at(0)), outcome: Outcome::default() }
    }

    /// A path that has one sample of 100 ms, and the next number is 1.
    fn sampled() -> Self {
        let mut path = Self::new();
        path.send(at(0), 1);
        path.ack(at(100), [0]);
        path
    }

    fn send(&mut self, now: Instant, packets: usize) {
        for _ in 0..packets {
            let number = self.recovery.next_packet_number();
            self.recovery.on_sent(now, SIZE, true, number);
        }
    }

    fn send_quiet(&mut self, now: Instant) {
        self.recovery.on_sent(now, 40, false, u64::MAX);
    }

    fn ack(&mut self, now: Instant, numbers: impl IntoIterator<Item = u64>) -> &Outcome<u64> {
        self.ack_ecn(now, numbers, None)
    }

    fn ack_ecn(
        &mut self,
        now: Instant,
        numbers: impl IntoIterator<Item = u64>,
        ecn: Option<EcnCounts>,
    ) -> &Outcome<u64> {
        self.outcome.clear();
        with_ack(numbers, Duration::ZERO, ecn, |ack| self.recovery.on_ack(now, ack, &mut self.outcome))
            .unwrap();
        &self.outcome
    }

    fn fire(&mut self, now: Instant) -> TimeoutKind {
        self.outcome.clear();
        self.recovery.on_timeout(now, &mut self.outcome)
    }

    fn window(&self) -> u64 {
        self.recovery.congestion_window()
    }
}

#[test]
fn what_is_three_numbers_behind_is_lost_at_once() {
    let mut path = Path::sampled();
    path.send(at(100), 5);
    let outcome = path.ack(at(110), [4]);
    assert_eq!((&outcome.acked[..], &outcome.lost[..]), (&[4][..], &[1][..]));
    assert_eq!((outcome.newly_acked, outcome.largest_newly_acked), (1, Some(4)));
    assert_eq!(path.recovery.bytes_in_flight(), 3 * SIZE as u64);
    assert_eq!(path.recovery.oldest_unacked(), Some(&2));
    assert_eq!(path.recovery.outstanding().collect::<Vec<_>>(), [&2, &3, &5]);
}

#[test]
fn what_is_less_behind_is_lost_after_nine_eighths_of_a_round_trip() {
    let mut path = Path::sampled();
    path.send(at(100), 2);
    path.send(at(101), 1);
    assert!(path.ack(at(200), [3]).lost.is_empty());
    let due = at(100) + path.recovery.rtt().loss_delay();
    assert_eq!(path.recovery.timeout(), Some(due));
    assert_eq!(path.fire(due - ms(1)), TimeoutKind::None);
    assert_eq!(path.fire(due), TimeoutKind::Lost);
    assert_eq!(path.outcome.lost, [1, 2]);
    assert!(!path.recovery.has_in_flight() && path.recovery.is_idle());
    assert_eq!(path.recovery.timeout(), None);
}

#[test]
fn the_probe_timeout_doubles_to_a_minute_and_asks_for_two_probes() {
    let mut path = Path::new();
    path.send(at(0), 1);
    let pto = ms(1024);
    assert_eq!(path.recovery.pto(), pto);
    let mut now = at(0);
    for count in 0..40 {
        let due = now + (pto * (1u32 << count.min(6))).min(ms(60_000));
        assert_eq!(path.recovery.timeout(), Some(due), "after {count} probe timeouts");
        assert_eq!(path.fire(due), TimeoutKind::Probe);
        assert_eq!(path.recovery.pto_count(), count + 1);
        assert_eq!(path.recovery.pending_probes(), 2);
        assert!(path.recovery.take_probe() && path.recovery.take_probe() && !path.recovery.take_probe());
        assert_eq!(path.recovery.oldest_unacked(), Some(&0), "nothing is lost, all may be repeated");
        path.send(due, 2);
        now = due;
    }
    assert!(path.outcome.lost.is_empty());
    assert_eq!(path.recovery.stats().probe_timeouts, 40);
    // Whatever is acknowledged ends it.
    path.ack(now, [0]);
    assert_eq!((path.recovery.pto_count(), path.recovery.pending_probes()), (0, 0));
}

#[test]
fn a_timer_that_is_late_fires_once() {
    let mut path = Path::new();
    path.send(at(0), 1);
    assert_eq!(path.fire(at(1_000_000)), TimeoutKind::Probe);
    assert_eq!(path.fire(at(1_000_000)), TimeoutKind::None);
    assert_eq!(path.recovery.timeout(), Some(at(1_000_000 + 2048)), "although the probes could not leave");
    assert_eq!(path.recovery.pto_count(), 1);
    assert_eq!(path.fire(at(1_002_048)), TimeoutKind::Probe);
    assert_eq!(path.recovery.pending_probes(), 2, "probes do not pile up");
}

#[test]
fn an_acknowledgement_before_the_probes_left_makes_them_needless() {
    let mut path = Path::new();
    path.send(at(0), 2);
    path.fire(at(1024));
    path.ack(at(1025), [1]);
    assert!(!path.recovery.take_probe());
}

#[test]
fn acknowledging_what_was_never_sent_is_an_error_that_changes_nothing() {
    let mut path = Path::sampled();
    path.send(at(100), 2);
    path.recovery.skip_packet_number();
    path.send(at(100), 1);
    for numbers in [vec![1, 5], vec![1, 2, 3, 4]] {
        path.outcome.clear();
        let result =
            with_ack(numbers, ms(0), None, |ack| path.recovery.on_ack(at(150), ack, &mut path.outcome));
        assert_eq!(result, Err(AckError::NeverSent));
        assert_eq!(path.outcome, Outcome::default());
        assert_eq!(path.recovery.bytes_in_flight(), 3 * SIZE as u64);
    }
    assert_eq!(path.ack(at(150), [1, 2, 4]).acked, [4, 1, 2]);
}

#[test]
fn only_the_largest_number_when_new_samples_the_round_trip() {
    let mut path = Path::new();
    path.send(at(0), 1);
    path.send(at(50), 2);
    path.ack(at(100), [1]);
    assert_eq!(path.recovery.rtt().latest(), ms(50));
    path.ack(at(400), [0, 1]);
    assert_eq!(path.recovery.rtt().latest(), ms(50), "0 is new, but 1 is the largest");
}

#[test]
fn a_packet_of_acknowledgements_alone_is_not_in_flight_but_dates_the_sample() {
    let mut path = Path::new();
    path.send(at(0), 1);
    path.send_quiet(at(80));
    assert_eq!(path.recovery.bytes_in_flight(), SIZE as u64);
    path.ack(at(100), [0, 1]);
    assert_eq!(path.recovery.rtt().latest(), ms(20));
    assert_eq!(path.outcome.acked, [0]);
    // Alone it says nothing: it may have waited for long.
    path.send_quiet(at(200));
    assert_eq!(path.recovery.timeout(), None);
    path.ack(at(900), [2]);
    assert_eq!(path.recovery.rtt().latest(), ms(20));
}

#[test]
fn the_peers_delay_is_capped_at_what_it_promised() {
    let mut path = Path::sampled();
    path.send(at(100), 1);
    path.outcome.clear();
    with_ack([1], ms(1000), None, |ack| path.recovery.on_ack(at(300), ack, &mut path.outcome)).unwrap();
    // 200 ms less 25: an eighth of the 75 above the mean.
    assert_eq!(path.recovery.rtt().smoothed(), Duration::from_nanos(109_375_000));
}

#[test]
fn losses_of_one_round_trip_are_one_congestion_event() {
    let mut path = Path::sampled();
    path.send(at(100), 10);
    let before = path.window();
    assert!(path.ack(at(200), [5]).congestion);
    let reduced = path.window();
    assert!(reduced < before);
    assert!(!path.ack(at(201), [10]).congestion, "sent before the first loss was known");
    assert_eq!(path.window(), reduced);
    path.send(at(202), 10);
    assert!(path.ack(at(300), [20]).congestion);
    assert!(path.window() < reduced);
    assert_eq!(path.recovery.stats().congestion_events, 2);
}

#[test]
fn the_window_does_not_grow_in_the_recovery_period() {
    let mut path = Path::sampled();
    path.send(at(100), 11);
    path.ack(at(200), [4]);
    let reduced = path.window();
    path.ack(at(201), 5..=11);
    assert_eq!(path.window(), reduced);
}

/// Sends a window, has its packets between the first and the last lost, and the first round trip at 100 ms.
fn long_silence(quiet_heard: bool, first_sample: bool) -> Path {
    let mut path = Path::new();
    path.send(at(0), 1);
    if first_sample {
        path.ack(at(100), [0]);
    }
    path.send(at(200), 1);
    path.send_quiet(at(500));
    // Persistent congestion: 3 · (100 + 4 · 50 + 25) = 975 ms.
    path.send(at(1300), 1);
    path.send(at(1400), 3);
    let heard = quiet_heard.then_some(2);
    path.ack(at(1500), [4, 5, 6].into_iter().chain(heard));
    path
}

#[test]
fn losses_over_three_probe_timeouts_collapse_the_window() {
    let mut path = long_silence(false, true);
    assert_eq!(path.outcome.lost, [1, 3]);
    assert!(path.outcome.persistent_congestion);
    assert_eq!(path.window(), 2 * SIZE as u64);
    assert_eq!(path.recovery.stats().persistent_congestions, 1);
    // The least round trip known may be of another route.
    assert_eq!(path.recovery.rtt().min(), ms(100));
    path.send(at(1500), 1);
    path.ack(at(1650), [7]);
    assert_eq!(path.recovery.rtt().min(), ms(150));
}

#[test]
fn something_heard_of_in_between_is_no_persistent_congestion() {
    let path = long_silence(true, true);
    assert_eq!(path.outcome.lost, [1, 3]);
    assert!(path.outcome.congestion && !path.outcome.persistent_congestion);
    assert!(path.window() > 2 * SIZE as u64);
}

#[test]
fn what_was_heard_of_before_the_later_loss_was_sent_is_in_between_too() {
    let mut path = Path::sampled();
    path.send(at(200), 1);
    path.send_quiet(at(500));
    assert_eq!(path.ack(at(550), [2]).lost, [1]);
    path.send(at(1300), 1);
    path.send(at(1400), 3);
    assert_eq!(path.ack(at(1500), [4, 5, 6]).lost, [3]);
    assert!(!path.outcome.persistent_congestion);
}

#[test]
fn before_the_first_sample_there_is_no_persistent_congestion() {
    let path = long_silence(false, false);
    assert_eq!(path.outcome.lost, [0, 1, 3]);
    assert!(path.outcome.congestion && !path.outcome.persistent_congestion);
}

#[test]
fn an_acknowledged_packet_between_losses_is_no_persistent_congestion() {
    let mut path = Path::sampled();
    path.send(at(200), 1);
    path.send(at(700), 1);
    path.send(at(1300), 1);
    path.send(at(1400), 3);
    path.ack(at(1500), [2, 4, 5, 6]);
    assert_eq!(path.outcome.lost, [1, 3]);
    assert!(!path.outcome.persistent_congestion);
}

#[test]
fn persistent_congestion_is_seen_over_several_acknowledgements() {
    let mut path = Path::sampled();
    path.send(at(200), 1);
    path.send(at(1390), 1);
    path.send(at(1400), 4);
    // What was acknowledged long ago is repeated, and says nothing of what lies between.
    assert_eq!(path.ack(at(1450), [0, 4]).lost, [1], "by count");
    assert!(!path.outcome.persistent_congestion);
    assert_eq!(path.ack(at(1460), [0, 5]).lost, [2]);
    assert!(path.outcome.persistent_congestion);
    assert_eq!(path.ack(at(1470), [0, 6]).lost, [3]);
    assert!(!path.outcome.persistent_congestion, "another run begins");
}

#[test]
fn losses_after_one_that_was_only_late_are_no_persistent_congestion() {
    let mut path = Path::sampled();
    path.send(at(200), 1);
    path.send(at(1390), 1);
    path.send(at(1400), 3);
    assert_eq!(path.ack(at(1450), [4]).lost, [1]);
    assert_eq!(path.ack(at(1455), [1, 4]).late, 1);
    assert_eq!(path.ack(at(1460), [5]).lost, [2]);
    assert!(!path.outcome.persistent_congestion);
}

#[test]
fn a_loss_that_proves_spurious_gives_the_window_back_and_is_counted() {
    let mut path = Path::sampled();
    path.send(at(100), 10);
    let before = path.window();
    assert_eq!(path.ack(at(200), [5]).lost, [1, 2]);
    assert!(path.window() < before);
    let outcome = path.ack(at(201), [1, 5]);
    assert_eq!((outcome.late, &outcome.acked[..]), (1, &[][..]), "handed back already, as lost");
    assert!(path.window() < before, "2 is still lost");
    path.ack(at(202), [1, 2, 5]);
    assert_eq!(path.window(), before);
    assert_eq!(path.ack(at(203), [1, 2, 5]).late, 0, "once");
    let stats = path.recovery.stats();
    assert_eq!((stats.lost, stats.spuriously_lost, stats.undone_congestion_events), (2, 2, 1));
    assert_eq!(path.recovery.bytes_in_flight(), 7 * SIZE as u64);
}

#[test]
fn a_lost_packet_is_remembered_for_three_probe_timeouts() {
    for (later, late) in [(824, 1), (826, 0)] {
        let mut path = Path::sampled();
        path.send(at(100), 4);
        path.ack(at(200), [4]);
        assert_eq!(path.recovery.pto(), ms(100 + 150 + 25));
        assert_eq!(path.ack(at(200 + later), [1, 4]).late, late, "{later} ms later");
    }
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let grow = |path: &mut Path| {
        let before = path.window();
        let next = path.recovery.next_packet_number();
        path.ack(at(100), 0..next);
        path.window() - before
    };
    let mut path = Path::new();
    path.send(at(0), 5);
    assert_eq!(grow(&mut path), 0, "half of the window");
    let mut path = Path::new();
    path.send(at(0), 10);
    assert_eq!(grow(&mut path), 10 * SIZE as u64, "all of it");
    let mut path = Path::new();
    path.send(at(0), 5);
    path.recovery.set_app_limited(false);
    assert_eq!(grow(&mut path), 5 * SIZE as u64, "there was more, but for the pacer");
}

#[test]
fn a_full_window_blocks_and_an_empty_path_never_does() {
    let mut path = Path::with(&RecoveryConfig { pacing: false, ecn: false, ..RecoveryConfig::default() });
    assert_eq!(path.recovery.permit(at(0), SIZE), Permit::Now { bytes: 12_000 });
    assert_eq!(path.recovery.permit(at(0), 50_000), Permit::Now { bytes: 50_000 });
    path.send(at(0), 9);
    assert_eq!(path.recovery.permit(at(0), SIZE), Permit::Now { bytes: SIZE });
    assert_eq!(path.recovery.permit(at(0), SIZE + 1), Permit::Blocked);
    path.send(at(0), 1);
    assert_eq!(path.recovery.permit(at(0), 1), Permit::Blocked);
}

#[test]
fn the_pacer_lets_go_a_burst_and_then_a_window_and_a_quarter_a_round_trip() {
    let mut path = Path::sampled();
    path.send(at(100), 10);
    path.ack(at(200), 1..11);
    assert_eq!(path.recovery.rtt().smoothed(), ms(100));
    // Nothing was lost and the window was full.
    let window = path.window();
    assert_eq!(window, 20 * SIZE as u64);
    let (mut sent, mut now) = (0, at(400));
    loop {
        match path.recovery.permit(now, SIZE) {
            Permit::Now { bytes } => {
                assert!((SIZE..=12_000).contains(&bytes));
                path.send(now, bytes / SIZE);
                sent += (bytes / SIZE * SIZE) as u64;
            }
            Permit::At(due) => now = due,
            Permit::Blocked => break,
        }
    }
    assert!(sent + SIZE as u64 > window);
    // A burst of ten at once, the rest of the window at 1.25 windows in 100 ms.
    let expected = (sent - 12_000) * 80_000_000 / window;
    assert!((now - ms(400)).as_nanos().abs_diff(expected) < 1000, "{now:?}, not {expected} ns after");
}

#[test]
fn marked_packets_reduce_the_window_once_a_round_trip() {
    let mut path = Path::with(&RecoveryConfig::default());
    let ecn = |ect0, ce| Some(EcnCounts { ect0, ect1: 0, ce });
    path.send(at(0), 10);
    let before = path.window();
    path.ack_ecn(at(100), [0, 1], ecn(1, 1));
    assert!(path.outcome.congestion);
    assert_eq!(path.window(), before * 7 / 10);
    path.ack_ecn(at(101), [0, 1, 2, 3], ecn(1, 3));
    assert!(!path.outcome.congestion);
    path.send(at(110), 3);
    path.ack_ecn(at(200), 0..12, ecn(8, 4));
    assert!(path.outcome.congestion);
    assert_eq!(path.window(), before * 7 / 10 * 7 / 10);
    assert_eq!(path.recovery.stats().ecn_ce, 4);
    assert_eq!(path.recovery.stats().congestion_events, 2);
}

#[test]
fn a_window_that_a_mark_reduced_is_not_given_back() {
    let mut path = Path::with(&RecoveryConfig::default());
    let ecn = |ect0, ce| Some(EcnCounts { ect0, ect1: 0, ce });
    path.send(at(0), 8);
    path.ack_ecn(at(100), [3], ecn(1, 0));
    assert_eq!(path.outcome.lost, [0]);
    let reduced = path.window();
    path.ack_ecn(at(101), [3, 4], ecn(1, 1));
    path.ack_ecn(at(102), [0, 1, 2, 3, 4], ecn(4, 1));
    assert_eq!(path.recovery.stats().spuriously_lost, 2);
    assert_eq!(path.window(), reduced);
}

#[test]
fn false_counts_cost_the_marking_not_the_window() {
    let mut path = Path::with(&RecoveryConfig::default());
    assert_eq!(path.recovery.ecn_codepoint(), Some(Ecn::Ect0));
    path.send(at(0), 5);
    path.ack_ecn(at(100), [0, 1], Some(EcnCounts { ect0: 0, ect1: 0, ce: 100 }));
    assert!(!path.outcome.congestion);
    assert_eq!(path.recovery.ecn_codepoint(), None);
    // An older acknowledgement that comes late proves nothing.
    let mut path = Path::with(&RecoveryConfig::default());
    path.send(at(0), 5);
    path.ack_ecn(at(100), [0, 1, 2], Some(EcnCounts { ect0: 3, ect1: 0, ce: 0 }));
    path.ack_ecn(at(100), [0, 1], Some(EcnCounts { ect0: 2, ect1: 0, ce: 0 }));
    assert_eq!(path.recovery.ecn_codepoint(), Some(Ecn::Ect0));
}

#[test]
fn a_changed_address_begins_anew_and_still_hears_of_what_was_under_way() {
    let mut path = Path::sampled();
    path.send(at(100), 10);
    path.ack(at(150), [6]);
    path.recovery.on_path_changed(at(200));
    assert_eq!((path.window(), path.recovery.bytes_in_flight()), (12_000, 0));
    assert_eq!(path.recovery.rtt(), &Rtt::new(ms(333)));
    assert!(path.recovery.has_in_flight() && path.recovery.timeout().is_some());
    path.send(at(200), 4);
    assert_eq!(path.recovery.bytes_in_flight(), 4 * SIZE as u64);

    let outcome = path.ack(at(250), [7, 8]);
    assert_eq!((&outcome.acked[..], &outcome.lost[..]), (&[7, 8][..], &[4, 5][..]));
    assert!(!outcome.congestion, "the old address's losses");
    assert_eq!(path.recovery.rtt().first_sample(), None, "and round trips");
    assert_eq!((path.window(), path.recovery.bytes_in_flight()), (12_000, 4 * SIZE as u64));

    let outcome = path.ack(at(260), [14]);
    assert_eq!((&outcome.acked[..], &outcome.lost[..]), (&[14][..], &[9, 10, 11][..]));
    assert!(outcome.congestion);
    assert_eq!(path.recovery.rtt().latest(), ms(60));
    assert_eq!(path.recovery.bytes_in_flight(), 2 * SIZE as u64);
}

#[test]
fn a_changed_address_may_carry_the_marks_that_the_old_one_did_not() {
    let mut path = Path::with(&RecoveryConfig::default());
    path.send(at(0), 10);
    path.ack(at(100), 0..10);
    assert_eq!(path.recovery.ecn_codepoint(), None);
    path.recovery.on_path_changed(at(200));
    assert_eq!(path.recovery.ecn_codepoint(), Some(Ecn::Ect0));
}

#[test]
fn a_path_given_up_hands_everything_back_once() {
    let mut path = Path::sampled();
    path.send(at(100), 6);
    path.ack(at(150), [2]);
    assert_eq!(path.recovery.drain().collect::<Vec<_>>(), [1, 3, 4, 5, 6]);
    assert!(path.recovery.is_idle());
    assert_eq!((path.recovery.bytes_in_flight(), path.recovery.timeout()), (0, None));
    let outcome = path.ack(at(200), 1..=6);
    assert!(outcome.acked.is_empty() && outcome.lost.is_empty());
    // Even when nobody looks at it.
    path.send(at(200), 2);
    drop(path.recovery.drain());
    assert!(path.recovery.is_idle());
}

#[test]
fn time_that_runs_backwards_stands_still() {
    let mut path = Path::sampled();
    path.send(at(50), 1);
    path.ack(at(10), [1]);
    assert_eq!(path.recovery.rtt().latest(), ms(0));
    path.send(at(0), 1);
    path.ack(at(130), [2]);
    assert_eq!(path.recovery.rtt().latest(), ms(30), "sent at 100");
}

#[test]
fn a_peer_that_acknowledges_nothing_makes_nothing_grow() {
    let mut path = Path::sampled();
    path.send(at(100), 1);
    for i in 0..100_000 {
        path.send_quiet(at(100 + i));
    }
    assert_eq!(path.recovery.outstanding().count(), 1);
    let memory = format!("{:?}", path.recovery);
    assert!(memory.len() < 50_000, "{} characters describe it", memory.len());
    // Thinned out, not cut off: the old and the new are dated still.
    let mut quiet = QuietPackets::default();
    (0..100_000).for_each(|number| quiet.push(number, at(number)));
    let dated = (98_000..99_000).find_map(|number| Some((number, quiet.clone().take(number)?)));
    assert!(dated.is_some_and(|(number, sent)| sent == at(number)), "{dated:?}");
    path.ack(at(100_150), [1, 100_001]);
    assert_eq!(path.recovery.rtt().latest(), ms(51));
}
