use tokio::io::{AsyncWriteExt, duplex};

use super::{PATTERN, PIECE, SAMPLE, is_pattern, pattern, receive, send};

const BYTES: u64 = PATTERN as u64 + 12_345;

/// What the receiver says of the pattern after `damage`.
fn received(sample: usize, damage: impl FnOnce(&mut Vec<u8>)) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let pattern = pattern();
        let mut data: Vec<u8> = pattern.iter().copied().cycle().take(BYTES as usize).collect();
        damage(&mut data);
        let (mut from, mut to) = duplex(PIECE);
        let write = async {
            // Its receiver may have had enough.
            let _ = from.write_all(&data).await;
            drop(from);
        };
        let read = async {
            let result = receive(&mut to, &pattern, BYTES, sample).await;
            drop(to);
            result
        };
        tokio::join!(read, write).0
    })
}

#[test]
fn what_was_sent_is_what_is_expected() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let pattern = pattern();
        let (mut from, mut to) = duplex(1000);
        let (sent, received) =
            tokio::join!(send(&mut from, &pattern, BYTES), receive(&mut to, &pattern, BYTES, SAMPLE));
        sent.unwrap();
        received.unwrap();
    });
}

#[test]
fn a_byte_that_is_missing_or_too_many_is_noticed_by_the_samples() {
    received(SAMPLE, |_| {}).unwrap();
    received(SAMPLE, |data| _ = data.remove(3 * PIECE + 1000)).unwrap_err();
    received(SAMPLE, |data| data.insert(3 * PIECE + 1000, 7)).unwrap_err();
    received(SAMPLE, |data| data.truncate(data.len() - 1)).unwrap_err();
}

#[test]
fn pieces_that_changed_places_are_noticed_by_the_samples() {
    let swap = |data: &mut Vec<u8>| {
        let (first, second) = data.split_at_mut(PIECE);
        first.swap_with_slice(&mut second[..PIECE]);
    };
    received(SAMPLE, swap).unwrap_err();
}

#[test]
fn a_flipped_bit_is_noticed_where_everything_is_compared() {
    for at in [0, 1000, PIECE, PATTERN, BYTES as usize - 1] {
        received(PIECE, |data| data[at] ^= 1).unwrap_err();
    }
}

#[test]
fn the_pattern_goes_round() {
    let pattern = pattern();
    assert!(is_pattern(&pattern, 0, &pattern));
    assert!(is_pattern(&pattern, PATTERN - 3, &[&pattern[PATTERN - 3..], &pattern[..5]].concat()));
    assert!(!is_pattern(&pattern, PATTERN - 3, &pattern[..8]));
}
