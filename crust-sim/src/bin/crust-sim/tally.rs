//! What many seeds come to: counts, and one hash over all.

use std::collections::BTreeMap;

/// Results by seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    hashes: BTreeMap<u64, [u8; 32]>,
    failed: u64,
    datagrams: u64,
}

impl Tally {
    /// One more seed; false: there was one of that number, and nothing has changed.
    pub(crate) fn add(&mut self, seed: u64, hash: &[u8; 32], datagrams: u64, failed: bool) -> bool {
        let fresh = !self.hashes.contains_key(&seed);
        if fresh {
            self.hashes.insert(seed, *hash);
            self.datagrams = self.datagrams.saturating_add(datagrams);
            self.failed += u64::from(failed);
        }
        fresh
    }

    /// How many seeds.
    pub(crate) fn seeds(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// How many of them failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// The datagrams of all.
    pub(crate) fn datagrams(&self) -> u64 {
        self.datagrams
    }

    /// The hash over every seed and its hash, the lowest seed first, in whatever order they came.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for (seed, hash) in &self.hashes {
            hasher.update(&seed.to_le_bytes()).update(hash);
        }
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_in_which_seeds_come_changes_nothing_and_every_hash_counts() {
        let of = |seeds: &[u64]| {
            let mut tally = Tally::default();
            for seed in seeds {
                assert!(tally.add(*seed, &[*seed as u8; 32], 10, seed % 2 == 0));
            }
            tally
        };
        let tally = of(&[1, 2, 3, 4]);
        assert_eq!(of(&[4, 2, 1, 3]).hash(), tally.hash());
        assert_eq!((tally.seeds(), tally.failed(), tally.datagrams()), (4, 2, 40));
        assert_ne!(of(&[1, 2, 3]).hash(), tally.hash());
        let mut other = of(&[1, 2, 3]);
        other.add(4, &[5; 32], 10, true);
        assert_ne!(other.hash(), tally.hash());
        assert!(!other.add(4, &[4; 32], 10, true));
        assert_eq!((other.seeds(), other.datagrams()), (4, 40));
    }
}
