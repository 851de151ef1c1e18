//! The world's randomness: one seed, and from it one generator for each thing that draws.
//!
//! Each link, NAT and host draws from a generator of its own, named by what it is, so that a change in one place
//! doesn't change what all the others draw.

use crust_proto::Duration;

/// SplitMix64 (Steele, Lea & Flood 2014): small, fast and the same everywhere. Not for secrets.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The generator of a seed.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator of its own for the thing of that name and number.
    pub fn fork(&self, name: &str, number: u64) -> Self {
        let mut forked = Self::new(self.state ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        for byte in name.bytes() {
            forked.state = forked.next_u64() ^ u64::from(byte);
        }
        forked
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform from 0 to `n − 1`; 0 where `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // The high half of the product: without the bias of a remainder for any `n` that occurs here.
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// True with a probability of so many millionths.
    pub fn chance(&mut self, millionths: u32) -> bool {
        millionths > 0 && self.below(1_000_000) < u64::from(millionths)
    }

    /// Uniform from zero to `most`, both included.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.below(u64::try_from(most.as_nanos()).unwrap_or(u64::MAX - 1) + 1))
    }

    /// Random bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.next_u64().to_le_bytes()[0])
    }
}
