//! One direction of a link: what becomes of a packet between two ends.
//!
//! A pure function of the configuration, the state so far, one random generator, the time and the packet's
//! length. In order: an outage; the MTU; the queue before the bottleneck, which drops what does not fit and marks
//! what waits behind too much; loss, uniform and in bursts; latency and jitter, which keep the order unless
//! reordering is asked for; a duplicate; damage. The configuration can change between any two packets: those on
//! their way arrive as they were.

use crust_proto::{Duration, Instant};

use crate::Rng;

/// Loss in bursts, as Gilbert (1960) and Elliott (1963) have it: two states with a loss of their own each; the
/// state may change with every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bursts {
    /// Millionths: from good to bad, for each packet.
    pub enter: u32,
    /// Millionths: from bad to good, for each packet. A burst lasts 1,000,000 / `leave` packets on average.
    pub leave: u32,
    /// Millionths of the packets that are lost in the bad state.
    pub loss: u32,
}

/// What happens to a packet that is larger than the MTU and must not be fragmented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Oversize {
    /// The router before the link says so by ICMP.
    #[default]
    TooBig,
    /// It is gone, and so is anything larger than the MTU that may be fragmented: a black hole.
    BlackHole,
}

/// What one direction of a link does. Probabilities are in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// How long the way takes.
    pub latency: Duration,
    /// Up to so much longer, uniformly, for each packet.
    pub jitter: Duration,
    /// Bits a second; `None` is without limit.
    pub rate: Option<u64>,
    /// Bytes that may wait for the rate; more are dropped.
    pub queue: usize,
    /// Packets that can be marked (ECT) are, where so many bytes wait before them, instead of `None`.
    pub mark_above: Option<usize>,
    /// Loss of each packet by itself.
    pub loss: u32,
    /// Loss in bursts.
    pub bursts: Option<Bursts>,
    /// Packets that keep no order: each takes its latency and jitter, and up to `reorder_by` more. Later packets may
    /// overtake it, and it those before it that jitter holds up.
    pub reorder: u32,
    /// How long these are held back at most.
    pub reorder_by: Duration,
    /// Packets that arrive twice.
    pub duplicate: u32,
    /// Packets of which some bytes arrive changed.
    pub corrupt: u32,
    /// Bytes of the largest packet, with all its headers.
    pub mtu: u16,
    /// What becomes of a larger one.
    pub oversize: Oversize,
    /// False is an outage: nothing arrives; on a LAN, where an interface has one link, nor does anything reach it.
    pub up: bool,
}

impl Default for LinkConfig {
    /// A good wire: 1 ms, no limit, no fault, an Ethernet's MTU.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            jitter: Duration::ZERO,
            rate: None,
            queue: 256 * 1024,
            mark_above: None,
            loss: 0,
            bursts: None,
            reorder: 0,
            reorder_by: Duration::from_millis(10),
            duplicate: 0,
            corrupt: 0,
            mtu: 1500,
            oversize: Oversize::TooBig,
            up: true,
        }
    }
}

impl LinkConfig {
    /// A good wire of that latency.
    pub fn with_latency(latency: Duration) -> Self {
        Self { latency, ..Self::default() }
    }
}

/// Why a packet does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The link is out.
    Outage,
    /// The queue is full.
    Queue,
    /// Noise, by itself or in a burst.
    Noise,
    /// Larger than the MTU, into a black hole.
    BlackHole,
}

/// One arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// Marked with congestion experienced on the way.
    pub marked: bool,
    /// Some bytes changed on the way.
    pub damaged: bool,
}

/// What becomes of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It arrives, perhaps twice.
    Arrives(Arrival, Option<Arrival>),
    /// It does not.
    Lost(Lost),
    /// It is too large, and its sender is to be told the MTU.
    TooBig(u16),
}

/// What of a packet matters to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freight {
    /// Bytes with all headers.
    pub len: usize,
    /// Must not be fragmented.
    pub dont_fragment: bool,
    /// Capable of ECN.
    pub ect: bool,
}

/// One direction of a link: its configuration and its state.
#[derive(Clone, Debug)]
pub struct Link {
    /// What it does; may be changed at any time.
    pub config: LinkConfig,
    rng: Rng,
    /// When the last packet in the queue will have left it.
    free_at: Instant,
    /// When the last packet that keeps the order arrives.
    last_arrival: Instant,
    /// In a burst of losses.
    bad: bool,
}

impl Link {
    /// A link that draws from the generator given.
    pub fn new(config: LinkConfig, rng: Rng) -> Self {
        Self { config, rng, free_at: Instant::ZERO, last_arrival: Instant::ZERO, bad: false }
    }

    /// What becomes of a packet that is sent now. `now` must not go back.
    pub fn send(&mut self, now: Instant, freight: Freight) -> Passage {
        let config = &self.config;
        if !config.up {
            return Passage::Lost(Lost::Outage);
        }
        if freight.len > usize::from(config.mtu) {
            match config.oversize {
                Oversize::BlackHole => return Passage::Lost(Lost::BlackHole),
                Oversize::TooBig if freight.dont_fragment => return Passage::TooBig(config.mtu),
                Oversize::TooBig => {}
            }
        }
        let mut left = now;
        let mut marked = false;
        if let Some(rate) = config.rate {
            let rate = rate.max(1);
            let waiting = bytes_in(self.free_at.saturating_since(now), rate);
            // A queue that is empty takes a packet of any size: it is sent at once.
            if waiting > 0 && waiting.saturating_add(freight.len) > config.queue {
                return Passage::Lost(Lost::Queue);
            }
            marked = freight.ect && config.mark_above.is_some_and(|above| waiting > above);
            self.free_at = self.free_at.max(now) + time_for(freight.len, rate);
            left = self.free_at;
        } else if let Some(above) = config.mark_above {
            // Without a rate nothing waits; zero marks all, which is handy in tests.
            marked = freight.ect && above == 0;
        }
        if let Some(bursts) = config.bursts {
            let change = if self.bad { bursts.leave } else { bursts.enter };
            self.bad ^= self.rng.chance(change);
            if self.bad && self.rng.chance(bursts.loss) {
                return Passage::Lost(Lost::Noise);
            }
        }
        if self.rng.chance(config.loss) {
            return Passage::Lost(Lost::Noise);
        }
        let first = self.arrival(left, marked);
        let second = self.rng.chance(self.config.duplicate).then(|| self.arrival(left, marked));
        Passage::Arrives(first, second)
    }

    fn arrival(&mut self, left: Instant, marked: bool) -> Arrival {
        let config = &self.config;
        let mut at = left + config.latency;
        if !config.jitter.is_zero() {
            at = at + self.rng.up_to(config.jitter);
        }
        if self.rng.chance(config.reorder) {
            at = at + self.rng.up_to(config.reorder_by);
        } else {
            self.last_arrival = self.last_arrival.max(at);
            at = self.last_arrival;
        }
        Arrival { at, marked, damaged: self.rng.chance(config.corrupt) }
    }
}

/// How many bytes a rate (bits a second) moves in that time.
fn bytes_in(time: Duration, rate: u64) -> usize {
    let bits = time.as_nanos().saturating_mul(u128::from(rate)) / 1_000_000_000;
    usize::try_from(bits / 8).unwrap_or(usize::MAX)
}

/// How long so many bytes take at a rate (bits a second), rounded up.
fn time_for(bytes: usize, rate: u64) -> Duration {
    let nanos = (bytes as u128 * 8 * 1_000_000_000).div_ceil(u128::from(rate));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
