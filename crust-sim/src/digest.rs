//! Digests of bytes that nobody tries to fool: they tell apart what differs by accident.

const KEYS: [u64; 5] = [
    0xa076_1d64_78bd_642f,
    0xe703_7ed1_a0b4_28db,
    0x8ebc_6af0_9c88_c6e3,
    0x5899_65cc_7537_4cc3,
    0x1d8e_4e27_c47d_124f,
];

/// 64 bits that depend on every bit of `bytes`, on how many there are, and on `seed`.
pub(crate) fn digest(bytes: &[u8], seed: u64) -> u64 {
    let [low, high] = wide(bytes, seed);
    low ^ high
}

/// As [`digest`], 128 bits.
pub(crate) fn wide(bytes: &[u8], seed: u64) -> [u64; 2] {
    let base = seed ^ (bytes.len() as u64).wrapping_mul(KEYS[4]);
    let mut lanes = [base ^ KEYS[0], base ^ KEYS[1], base ^ KEYS[2], base ^ KEYS[3]];
    let (blocks, rest) = bytes.as_chunks::<64>();
    for block in blocks {
        eat(&mut lanes, block.as_chunks().0);
    }
    let (pairs, rest) = rest.as_chunks::<16>();
    eat(&mut lanes, pairs);
    if !rest.is_empty() {
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        lanes[3] ^= word(&last, 0).wrapping_mul(KEYS[0]);
        lanes[0] = fold(word(&last, 0) ^ KEYS[4], word(&last, 8) ^ lanes[0]);
    }
    let [a, b, c, d] = lanes;
    [
        fold(a ^ d.rotate_left(32) ^ KEYS[1], b ^ c.rotate_left(32)),
        fold(c ^ b.rotate_left(16) ^ KEYS[2], d ^ a.rotate_left(48)),
    ]
}

/// Multiply and fold, as wyhash does it; four lanes, so that no product waits for the one before.
fn eat(lanes: &mut [u64; 4], pairs: &[[u8; 16]]) {
    for ((lane, pair), key) in lanes.iter_mut().zip(pairs).zip(KEYS) {
        *lane = fold(word(pair, 0) ^ key, word(pair, 8) ^ *lane);
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    product as u64 ^ (product >> 64) as u64
}

fn word(pair: &[u8; 16], at: usize) -> u64 {
    let (words, _) = pair.as_chunks::<8>();
    u64::from_le_bytes(words[at / 8])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_bit_every_length_and_the_seed_count() {
        let mut seen = BTreeSet::new();
        let mut count = 0;
        let mut see = |bytes: &[u8], seed| {
            count += 2;
            seen.extend(wide(bytes, seed));
        };
        let zeros = [0; 200];
        for len in 0..=zeros.len() {
            see(&zeros[..len], 0);
            see(&zeros[..len], 1);
        }
        for len in [1, 8, 15, 16, 17, 63, 64, 65, 127, 200] {
            for bit in 0..len * 8 {
                let mut bytes = vec![0x5a; len];
                bytes[bit / 8] ^= 1 << (bit % 8);
                see(&bytes, 0);
            }
        }
        assert_eq!(seen.len(), count, "no two are alike, nor any two halves");
    }
}
