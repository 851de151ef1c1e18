use super::*;
use proptest::prelude::*;

fn half(window: u64) -> (RecvHalf, RecvFlow, Pool) {
    (RecvHalf::new(window), RecvFlow::new(1 << 40), Pool::default())
}

proptest! {
    #[test]
    fn pieces_in_any_order_are_read_once_and_in_order(
        len in 1usize..70_000,
        cuts in prop::collection::vec(0.0f64..1.0, 0..40),
        order in any::<u64>(),
        overlap in 0u64..300,
        read in 1usize..30_000,
    ) {
        let data: Vec<u8> = (0..len).map(|i| (i * 7 % 253) as u8).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|c| (c * len as f64) as usize).chain([0, len]).collect();
        cuts.sort_unstable();
        let mut pieces: Vec<(usize, usize)> = cuts.windows(2).map(|w| (w[0], w[1])).collect();
        // Each comes twice, and reaches into its neighbour.
        pieces.extend(pieces.clone());
        let mut seed = order;
        for at in (1..pieces.len()).rev() {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            pieces.swap(at, (seed >> 33) as usize % (at + 1));
        }
        let (mut half, mut flow, mut pool) = half(1 << 30);
        let mut got = Vec::new();
        let mut out = vec![0; read];
        for (start, end) in pieces {
            let end = (end + overlap as usize).min(len);
            let fin = end == len;
            half.on_data(&mut pool, &mut flow, start as u64, &data[start..end], fin).unwrap();
            if let Ok(n) = half.read(&mut pool, &mut flow, &mut out) {
                got.extend_from_slice(&out[..n]);
            }
        }
        while !half.is_done() {
            let n = half.read(&mut pool, &mut flow, &mut out).unwrap();
            got.extend_from_slice(&out[..n]);
        }
        prop_assert!(got == data);
        prop_assert!(half.memory() <= 200, "{}", half.memory());
    }
}

#[test]
fn one_byte_in_every_two_costs_no_more_than_an_eighth_above_the_window() {
    const WINDOW: u64 = 1 << 18;
    let (mut half, mut flow, mut pool) = half(WINDOW);
    for at in (1..WINDOW).step_by(2) {
        assert_eq!(half.on_data(&mut pool, &mut flow, at, &[1], false), Ok(false));
    }
    let window = WINDOW as usize;
    let bound = window + window / 8 + 2 * super::super::buffer::CHUNK;
    assert!(half.memory() <= bound, "{} > {bound}", half.memory());
    for at in (0..WINDOW).step_by(2) {
        half.on_data(&mut pool, &mut flow, at, &[0], false).unwrap();
    }
    let mut all = vec![9; window];
    assert_eq!(half.read(&mut pool, &mut flow, &mut all), Ok(window));
    assert!(all.chunks(2).all(|pair| pair == [0, 1]));
}

#[test]
fn a_stream_whose_length_changes_is_a_violation() {
    type Case = (&'static str, &'static [(u64, usize, bool)]);
    let cases: [Case; 5] = [
        ("data beyond the end", &[(0, 10, true), (5, 6, false)]),
        ("an earlier end", &[(0, 10, true), (0, 9, true)]),
        ("a later end", &[(0, 10, true), (10, 1, true)]),
        ("an end below what has come", &[(20, 5, false), (0, 24, true)]),
        ("a bare end below what has come", &[(20, 5, false), (24, 0, true)]),
    ];
    for (what, frames) in cases {
        let (mut half, mut flow, mut pool) = half(1000);
        let results: Vec<_> = frames
            .iter()
            .map(|&(at, len, fin)| half.on_data(&mut pool, &mut flow, at, &vec![0; len], fin))
            .collect();
        assert!(results[0].is_ok(), "{what}");
        assert_eq!(results[1], Err(Violation::FinalSize), "{what}");
    }
    for final_size in [9, 11] {
        let (mut half, mut flow, mut pool) = half(1000);
        half.on_data(&mut pool, &mut flow, 0, &[0; 10], true).unwrap();
        assert_eq!(half.on_reset(&mut pool, &mut flow, 0, final_size), Err(Violation::FinalSize));
    }
}

#[test]
fn a_byte_beyond_the_limit_is_a_violation_until_half_the_window_was_read() {
    let (mut half, mut flow, mut pool) = half(100);
    assert_eq!(half.on_data(&mut pool, &mut flow, 60, &[0; 41], false), Err(Violation::FlowControl));
    half.on_data(&mut pool, &mut flow, 0, &[0; 100], false).unwrap();
    half.read(&mut pool, &mut flow, &mut [0; 49]).unwrap();
    assert!(!half.wants_update());
    half.read(&mut pool, &mut flow, &mut [0; 1]).unwrap();
    assert!(half.wants_update());
    assert_eq!(half.update(), 150);
    half.on_data(&mut pool, &mut flow, 100, &[0; 50], false).unwrap();
    assert_eq!(half.on_data(&mut pool, &mut flow, 150, &[0], false), Err(Violation::FlowControl));
    assert_eq!(half.on_reset(&mut pool, &mut flow, 0, 151), Err(Violation::FlowControl));
}

#[test]
fn a_reset_hides_what_was_not_read_unless_all_of_it_had_come() {
    let (mut partly, mut flow, mut pool) = half(100);
    partly.on_data(&mut pool, &mut flow, 0, &[1; 10], false).unwrap();
    // As long as what has come; but without the end, nobody knows that it is whole.
    partly.on_reset(&mut pool, &mut flow, 7, 10).unwrap();
    assert_eq!(partly.read(&mut pool, &mut flow, &mut [0; 20]), Err(ReadError::Reset { code: 7 }));
    assert!(partly.is_done());

    let (mut whole, mut flow, mut pool) = half(100);
    whole.on_data(&mut pool, &mut flow, 0, &[1; 10], true).unwrap();
    whole.on_reset(&mut pool, &mut flow, 7, 10).unwrap();
    assert_eq!(whole.read(&mut pool, &mut flow, &mut [0; 20]), Ok(10));
    assert_eq!(whole.read(&mut pool, &mut flow, &mut [0; 20]), Ok(0));
}

#[test]
fn however_a_stream_ends_the_session_gets_its_credit_back() {
    type End = fn(&mut RecvHalf, &mut Pool, &mut RecvFlow);
    let ends: [(&str, End); 6] = [
        ("read", |half, pool, flow| {
            half.on_data(pool, flow, 90, &[0; 10], true).unwrap();
            half.on_data(pool, flow, 10, &[0; 80], false).unwrap();
            half.read(pool, flow, &mut [0; 1000]).unwrap();
            half.read(pool, flow, &mut [0; 1000]).unwrap();
        }),
        ("reset", |half, pool, flow| {
            half.read(pool, flow, &mut [0; 5]).unwrap();
            half.on_reset(pool, flow, 0, 100).unwrap();
            half.read(pool, flow, &mut [0; 1000]).unwrap_err();
        }),
        ("reset, then stopped", |half, pool, flow| {
            half.on_reset(pool, flow, 0, 100).unwrap();
            half.stop(pool, flow, 0);
        }),
        ("stopped, then reset", |half, pool, flow| {
            assert!(half.stop(pool, flow, 0));
            half.on_data(pool, flow, 20, &[0; 10], false).unwrap();
            half.on_reset(pool, flow, 0, 100).unwrap();
        }),
        ("stopped, then finished", |half, pool, flow| {
            half.read(pool, flow, &mut [0; 5]).unwrap();
            assert!(half.stop(pool, flow, 0));
            half.on_data(pool, flow, 90, &[0; 10], true).unwrap();
        }),
        ("finished, then stopped with a hole", |half, pool, flow| {
            half.on_data(pool, flow, 90, &[0; 10], true).unwrap();
            assert!(!half.stop(pool, flow, 0), "the peer has nothing more to say");
        }),
    ];
    for (what, end) in ends {
        let (mut half, _, mut pool) = half(1000);
        let mut flow = RecvFlow::new(100);
        half.on_data(&mut pool, &mut flow, 0, &[0; 10], false).unwrap();
        end(&mut half, &mut pool, &mut flow);
        assert!(half.is_done(), "{what}");
        assert_eq!(flow.update(), 200, "{what}");
        assert_eq!(half.buffered(), 0, "{what}");
    }
}
