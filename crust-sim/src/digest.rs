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
    let mut lanes = begin(bytes, seed);
    let (blocks, rest) = bytes.as_chunks::<64>();
    for block in blocks {
        eat(&mut lanes, block.as_chunks().0);
    }
    let (pairs, rest) = rest.as_chunks::<16>();
    eat(&mut lanes, pairs);
    if !rest.is_empty() {
        // The last sixteen bytes, some of them once more; or all there are.
        let last = bytes.last_chunk().copied().unwrap_or_else(|| {
            let mut last = [0; 16];
            last[..rest.len()].copy_from_slice(rest);
            last
        });
        lanes[3] ^= word(&last, 0).wrapping_mul(KEYS[0]);
        lanes[0] = fold(word(&last, 0) ^ KEYS[4], word(&last, 8) ^ lanes[0]);
    }
    end(lanes)
}

/// As [`digest`], for a few dozen bytes, sixteen at least.
#[inline]
pub(crate) fn digest_headers(bytes: &[u8], seed: u64) -> u64 {
    let (pairs, rest) = bytes.as_chunks::<16>();
    let last = if rest.is_empty() { None } else { bytes.last_chunk() };
    let lane = pairs.iter().chain(last).fold(seed ^ bytes.len() as u64, |lane, pair| {
        fold(word(pair, 0) ^ KEYS[0], word(pair, 8) ^ lane ^ KEYS[1])
    });
    fold(lane ^ KEYS[2], seed ^ KEYS[3])
}

/// 128 bits that check as many bytes as one likes at the speed at which they can be read, out of sums of words, and the
/// same weighed by place. A change within one word of eight bytes shows for certain, others nearly so.
pub(crate) fn checksum(bytes: &[u8], seed: u64) -> [u64; 2] {
    let (mut plain, mut weighed) = ([0_u64; 4], [0_u64; 4]);
    let mut add = |block: &[u8; 32]| {
        let (words, _) = block.as_chunks::<8>();
        for ((plain, weighed), word) in plain.iter_mut().zip(&mut weighed).zip(words) {
            *plain = plain.wrapping_add(u64::from_le_bytes(*word));
            *weighed = weighed.wrapping_add(*plain);
        }
    };
    let (blocks, rest) = bytes.as_chunks::<32>();
    blocks.iter().for_each(&mut add);
    if !rest.is_empty() {
        let mut last = [0; 32];
        last[..rest.len()].copy_from_slice(rest);
        add(&last);
    }
    let mut lanes = begin(bytes, seed);
    for ((lane, plain), weighed) in lanes.iter_mut().zip(plain).zip(weighed) {
        *lane = fold(plain ^ KEYS[4], weighed ^ *lane);
    }
    end(lanes)
}

fn begin(bytes: &[u8], seed: u64) -> [u64; 4] {
    let base = seed ^ (bytes.len() as u64).wrapping_mul(KEYS[4]);
    [base ^ KEYS[0], base ^ KEYS[1], base ^ KEYS[2], base ^ KEYS[3]]
}

fn end([a, b, c, d]: [u64; 4]) -> [u64; 2] {
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

    fn every_bit_every_length_and_the_seed_count(least: usize, digest: impl Fn(&[u8], u64) -> Vec<u64>) {
        let mut seen = BTreeSet::new();
        let mut count = 0;
        let mut see = |bytes: &[u8], seed| {
            let words = digest(bytes, seed);
            count += words.len();
            seen.extend(words);
        };
        let zeros = [0; 200];
        for len in least..=zeros.len() {
            see(&zeros[..len], 0);
            see(&zeros[..len], 1);
        }
        for len in [1, 8, 15, 16, 17, 28, 63, 64, 65, 127, 200].into_iter().filter(|len| *len >= least) {
            for bit in 0..len * 8 {
                let mut bytes = vec![0x5a; len];
                bytes[bit / 8] ^= 1 << (bit % 8);
                see(&bytes, 0);
            }
        }
        assert_eq!(seen.len(), count, "no two are alike, nor any two halves");
    }

    #[test]
    fn every_bit_counts_in_digests() {
        every_bit_every_length_and_the_seed_count(0, |bytes, seed| wide(bytes, seed).to_vec());
    }

    #[test]
    fn every_bit_counts_in_digests_of_headers() {
        every_bit_every_length_and_the_seed_count(16, |bytes, seed| vec![digest_headers(bytes, seed)]);
    }

    #[test]
    fn every_bit_every_length_and_the_seed_count_in_checksums() {
        let zeros = [0; 200];
        let all = (0..=200).flat_map(|len| [0, 1].map(|seed| checksum(&zeros[..len], seed)));
        assert_eq!(all.flatten().collect::<BTreeSet<_>>().len(), 201 * 2 * 2);
        for len in [1, 8, 31, 32, 33, 127, 200] {
            let right = checksum(&zeros[..len], 0);
            for bit in 0..len * 8 {
                let mut bytes = vec![0; len];
                bytes[bit / 8] ^= 1 << (bit % 8);
                let wrong = checksum(&bytes, 0);
                assert!(wrong[0] != right[0] && wrong[1] != right[1], "bit {bit} of {len} bytes");
            }
        }
    }

    #[test]
    fn order_counts_in_checksums() {
        let words = |words: [u64; 16]| words.map(u64::to_le_bytes).concat();
        let in_order = words(core::array::from_fn(|i| i as u64));
        for (a, b) in (0..16).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let mut swapped = core::array::from_fn(|i| i as u64);
            swapped.swap(a, b);
            assert_ne!(checksum(&in_order, 0), checksum(&words(swapped), 0), "{a} and {b}");
        }
    }
}
