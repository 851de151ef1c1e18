//! What happens to a datagram between two nodes, and the randomness that decides it.

use crust_proto::{Duration, Instant};

/// SplitMix64: small, fast and the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `n − 1`; 0 where `n` is 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.next() % n }
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True `thousandths` times in a thousand.
    pub(crate) fn chance(&mut self, thousandths: u32) -> bool {
        thousandths > 0 && self.below(1000) < u64::from(thousandths)
    }

    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.below(most.as_nanos() as u64 + 1))
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|b| *b = self.next() as u8);
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes);
        bytes
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.index(i + 1));
        }
    }
}

/// One direction between two nodes. Probabilities are in thousandths.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) latency: Duration,
    /// Up to so much is added to the latency of each datagram: beyond the gap between two, they overtake.
    pub(crate) jitter: Duration,
    pub(crate) loss: u32,
    pub(crate) duplicate: u32,
    /// So many are held back for another three latencies.
    pub(crate) reorder: u32,
    /// So many have a byte or a few changed, or their end cut off.
    pub(crate) corrupt: u32,
    /// So many are marked as having met congestion (RFC 3168), where they were capable.
    pub(crate) congested: u32,
    /// Larger UDP payloads vanish without a word.
    pub(crate) mtu: usize,
    /// In bytes a second, with a queue of 100 ms before it.
    pub(crate) rate: Option<u64>,
    /// Nothing passes.
    pub(crate) blocked: bool,
    /// A stateful firewall: the first datagram in the other direction lifts `blocked`.
    pub(crate) opens_from_behind: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            jitter: Duration::ZERO,
            loss: 0,
            duplicate: 0,
            reorder: 0,
            corrupt: 0,
            congested: 0,
            mtu: 1472,
            rate: None,
            blocked: false,
            opens_from_behind: false,
        }
    }
}

impl Link {
    /// A network's weather: every fault is off in half of the cases, so that each meets each in calm and storm.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let mut maybe = |most: u64| if rng.chance(500) { rng.below(most + 1) } else { 0 };
        Self {
            latency: Duration::from_micros(10 + maybe(150_000)),
            jitter: Duration::from_micros(maybe(40_000)),
            loss: maybe(150) as u32,
            duplicate: maybe(200) as u32,
            reorder: maybe(200) as u32,
            corrupt: maybe(100) as u32,
            congested: maybe(50) as u32,
            mtu: 1472 - maybe(272) as usize,
            rate: match maybe(3) {
                0 => None,
                n => Some(50_000 << (2 * n)),
            },
            ..Self::default()
        }
    }

    /// When the copies of one datagram arrive, given since when the line is free. None for each that is lost.
    pub(crate) fn arrivals(
        &self,
        now: Instant,
        len: usize,
        free: &mut Instant,
        rng: &mut Rng,
    ) -> impl Iterator<Item = Instant> + use<> {
        let lost = self.blocked || len > self.mtu || rng.chance(self.loss);
        let mut leaves = now;
        let mut overflow = false;
        if let Some(rate) = self.rate {
            overflow = free.saturating_since(now) > Duration::from_millis(100);
            if !overflow {
                leaves = now.max(*free) + Duration::from_nanos(len as u64 * 1_000_000_000 / rate);
                *free = leaves;
            }
        }
        let copies = if lost || overflow { 0 } else { 1 + usize::from(rng.chance(self.duplicate)) };
        let mut at = [None; 2];
        for slot in at.iter_mut().take(copies) {
            let held = if rng.chance(self.reorder) { self.latency * 3 } else { Duration::ZERO };
            *slot = Some(leaves + self.latency + held + rng.up_to(self.jitter));
        }
        at.into_iter().flatten()
    }

    /// Damages a datagram, perhaps.
    pub(crate) fn damage(&self, data: &mut Vec<u8>, rng: &mut Rng) {
        if !rng.chance(self.corrupt) || data.is_empty() {
            return;
        }
        if rng.chance(200) {
            data.truncate(rng.index(data.len()));
        } else {
            for _ in 0..1 + rng.below(4) {
                let at = rng.index(data.len());
                data[at] ^= 1 << rng.below(8);
            }
        }
    }
}
