#![allow(clippy::cast_possible_truncation, reason = "the numbers of these tests are small, or meant to wrap")]

use super::*;
use proptest::prelude::*;

fn byte(offset: u64) -> u8 {
    (offset * 31 % 251) as u8
}

fn bytes(range: Range<u64>) -> Vec<u8> {
    range.map(byte).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Put { ahead: u64, len: usize },
    Free(u64),
    Read { ahead: u64, len: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let len = || prop_oneof![0usize..40, 0usize..3000, 0usize..50_000];
    let ahead = || prop_oneof![0u64..40, 0u64..50_000];
    prop_oneof![
        3 => len().prop_map(Step::Append),
        3 => (ahead(), len()).prop_map(|(ahead, len)| Step::Put { ahead, len }),
        3 => ahead().prop_map(Step::Free),
        3 => (ahead(), len()).prop_map(|(ahead, len)| Step::Read { ahead, len }),
    ]
}

proptest! {
    #[test]
    fn what_was_put_in_comes_out_from_any_place(
        first in 0u64..100_000,
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut pool = Pool::default();
        let mut buffer = Buffer::default();
        buffer.free_all(&mut pool, first);
        let mut held = crate::wire::ranges::RangeSet::default();
        for step in steps {
            match step {
                Step::Append(len) => {
                    let range = buffer.end()..buffer.end() + len as u64;
                    buffer.append(&mut pool, &bytes(range.clone()));
                    held.insert(range);
                }
                Step::Put { ahead, len } => {
                    let range = buffer.start() + ahead..buffer.start() + ahead + len as u64;
                    buffer.put(&mut pool, range.start, &bytes(range.clone()));
                    held.insert(range);
                }
                Step::Free(ahead) => {
                    let to = (buffer.start() + ahead).min(buffer.end());
                    buffer.free_to(&mut pool, to);
                    held.remove(0..to);
                    prop_assert_eq!(buffer.start(), to);
                }
                Step::Read { ahead, len } => {
                    let from = buffer.start() + ahead;
                    if let Some(range) = held.iter().find(|r| r.start <= from && from < r.end) {
                        let range = from..range.end.min(from + len as u64);
                        let len = (range.end - from) as usize;
                        let mut out = vec![0xee; len];
                        buffer.copy_to(from, &mut out);
                        prop_assert!(out == bytes(range.clone()), "{:?}", range);
                        let mut out = vec![9];
                        buffer.append_to(from, len, &mut out);
                        prop_assert!(out[1..] == bytes(range.clone()), "{:?}", range);
                    }
                }
            }
            let span = (buffer.end() - buffer.start()) as usize;
            let places = buffer.chunks.capacity() * size_of::<Chunk>();
            prop_assert!(buffer.memory() - places <= span + 2 * CHUNK);
            prop_assert!(pool.memory() <= MAX_SPARES * CHUNK);
            if span == 0 {
                prop_assert!(buffer.memory() <= KEPT_PLACES * size_of::<Chunk>());
            }
        }
    }

    #[test]
    fn a_run_of_marks_ends_at_the_first_gap(
        first in 0u64..40_000,
        pieces in prop::collection::vec((0u64..60_000, 1u64..9000), 0..20),
        from in 0u64..60_000,
    ) {
        let mut pool = Pool::default();
        let mut buffer = Buffer::default();
        buffer.free_all(&mut pool, first);
        let mut held = crate::wire::ranges::RangeSet::default();
        for (ahead, len) in pieces {
            let range = first + ahead..first + ahead + len;
            buffer.put(&mut pool, range.start, &bytes(range.clone()));
            buffer.mark(range.clone());
            held.insert(range);
        }
        for from in held.iter().map(|r| r.start).chain(held.iter().map(|r| r.end)).chain([first + from]) {
            let end = held.iter().find(|r| r.start <= from && from < r.end).map_or(from, |r| r.end);
            prop_assert_eq!(buffer.marked_run(from), end);
        }
    }
}

#[test]
fn a_small_stream_costs_a_small_chunk() {
    let mut pool = Pool::default();
    let mut buffer = Buffer::default();
    buffer.append(&mut pool, &bytes(0..100));
    assert!(buffer.memory() <= SMALLEST_CHUNK + 4 * size_of::<Chunk>(), "{}", buffer.memory());
}

#[test]
fn bulk_transfer_uses_the_same_chunks_again() {
    let mut pool = Pool::default();
    let mut buffer = Buffer::default();
    let chunks = |buffer: &Buffer, pool: &Pool| {
        pool.memory() / CHUNK + buffer.chunks.iter().filter(|chunk| chunk.bytes.len() == CHUNK).count()
    };
    for at in 0..200u64 {
        let range = at * 8000..(at + 1) * 8000;
        buffer.append(&mut pool, &bytes(range.clone()));
        // What goes out of use is kept, and what comes into use was kept.
        buffer.free_to(&mut pool, range.start);
        let count = chunks(&buffer, &pool);
        assert!(at < 4 || count == 2, "{count} chunks at {at}");
    }
}

#[test]
fn the_debug_form_shows_no_content() {
    let mut pool = Pool::default();
    let mut buffer = Buffer::default();
    buffer.append(&mut pool, &[77; 50]);
    assert!(!format!("{buffer:?}").contains("77"));
}
