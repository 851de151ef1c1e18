use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Send(u64),
    /// Which of the pieces sent so far, how far into it, and how long.
    Acked(usize, u64, u64),
    Lost(usize, u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let piece = || (any::<usize>(), 0u64..30, 1u64..60);
    prop_oneof![
        2 => (0usize..100).prop_map(Step::Write),
        4 => (1u64..50).prop_map(Step::Send),
        3 => piece().prop_map(|(at, skip, len)| Step::Acked(at, skip, len)),
        3 => piece().prop_map(|(at, skip, len)| Step::Lost(at, skip, len)),
    ]
}

proptest! {
    #[test]
    fn what_is_not_acknowledged_is_sent_until_it_is_and_nothing_else(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut pool = Pool::default();
        let mut buffer = SendBuffer::default();
        let mut sent: Vec<Range<u64>> = Vec::new();
        let mut acked = std::collections::BTreeSet::new();
        for step in steps {
            match step {
                Step::Write(len) => {
                    let data: Vec<u8> = (0..len as u64).map(|i| (buffer.written() + i) as u8).collect();
                    buffer.write(&mut pool, &data);
                }
                Step::Send(max) => {
                    let Some(range) = buffer.next_range(u64::MAX) else { continue };
                    let range = range.start..range.end.min(range.start + max);
                    let mut out = vec![0; (range.end - range.start) as usize];
                    buffer.copy_to(range.start, &mut out);
                    for (at, byte) in range.clone().zip(out) {
                        prop_assert_eq!(byte, at as u8);
                        prop_assert!(!acked.contains(&at), "{} was acknowledged", at);
                    }
                    buffer.on_sent(range.clone());
                    sent.push(range);
                }
                Step::Acked(at, skip, len) | Step::Lost(at, skip, len) if !sent.is_empty() => {
                    let piece = &sent[at % sent.len()];
                    let range = (piece.start + skip).min(piece.end)..(piece.start + skip + len).min(piece.end);
                    if matches!(step, Step::Acked(..)) {
                        buffer.on_acked(&mut pool, range.clone());
                        acked.extend(range);
                    } else {
                        buffer.on_lost(range);
                    }
                }
                Step::Acked(..) | Step::Lost(..) => {}
            }
            let first_missing = (0..).find(|at| !acked.contains(at)).unwrap();
            prop_assert_eq!(buffer.acked_to(), first_missing);
            prop_assert_eq!(buffer.buffered(), buffer.written() - first_missing);
        }
        // Whatever is not acknowledged goes out again once it is called lost.
        for range in sent {
            buffer.on_lost(range);
        }
        let mut missing: Vec<u64> = (0..buffer.written()).filter(|at| !acked.contains(at)).collect();
        while let Some(range) = buffer.next_range(u64::MAX) {
            buffer.on_sent(range.clone());
            prop_assert!(!range.is_empty());
            missing.retain(|at| !range.contains(at));
            buffer.on_acked(&mut pool, range);
        }
        prop_assert!(missing.is_empty());
        prop_assert_eq!(buffer.buffered(), 0);
        prop_assert!(buffer.all_sent());
    }
}

#[test]
fn what_was_lost_goes_before_what_is_new() {
    let mut pool = Pool::default();
    let mut buffer = SendBuffer::default();
    buffer.write(&mut pool, &[0; 30]);
    buffer.on_sent(0..10);
    buffer.on_sent(10..20);
    buffer.on_lost(0..10);
    assert_eq!(buffer.next_range(u64::MAX), Some(0..10));
    buffer.on_sent(0..10);
    assert_eq!(buffer.next_range(u64::MAX), Some(20..30));
    assert_eq!(buffer.next_range(25), Some(20..25));
    assert_eq!(buffer.next_range(20), None);
}

#[test]
fn a_bare_end_waits_for_what_the_peer_does_not_let_through() {
    let mut pool = Pool::default();
    let mut half = SendHalf::new(5);
    half.write(&mut pool, &[0; 10], 100).unwrap();
    half.finish().unwrap();
    assert_eq!(half.ready(), Ready::Fresh);
    assert_eq!(half.next_range(u64::MAX), 0..5);
    assert!(!half.ends_at(5));
    half.on_sent(0..5, false);
    assert_eq!(half.ready(), Ready::Nothing);
    half.raise_limit(10);
    assert_eq!(half.next_range(u64::MAX), 5..10);
    assert!(half.ends_at(10));
}

#[test]
fn a_writer_hears_of_room_only_once_it_found_none_and_an_eighth_is_free() {
    let mut pool = Pool::default();
    let mut half = SendHalf::new(u64::MAX);
    assert_eq!(half.write(&mut pool, &[0; 100], 80), Ok(80));
    half.on_sent(0..80, false);
    half.on_acked(&mut pool, 0..5, false);
    assert!(!half.take_unblocked(80), "nobody was refused");
    assert_eq!(half.write(&mut pool, &[0; 100], 80), Ok(5));
    assert_eq!(half.write(&mut pool, &[0; 100], 80), Err(WriteError::Blocked));
    half.on_acked(&mut pool, 5..14, false);
    assert!(!half.take_unblocked(80), "nine of eighty");
    half.on_acked(&mut pool, 14..15, false);
    assert!(half.take_unblocked(80));
    assert!(!half.take_unblocked(80), "once");
}
