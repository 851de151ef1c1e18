//! The external ports of a NAT: which are taken, and which a new mapping gets.
//!
//! A bit for each port of each external address and protocol; the blocks of chunked allocation and the address of
//! each inside host (paired pooling) stand beside, and go when the host has no mapping left.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::config::{Allocation, Collision, NatConfig, Pooling};
use crate::{Protocol, Rng};

/// Random picks before a search in order.
const RANDOM_PICKS: u32 = 16;

/// What is taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ports {
    taken: BTreeMap<(Protocol, IpAddr), Bits>,
    /// The next port of sequential allocation.
    cursor: Option<u16>,
    /// The external address that an inside host is paired with.
    paired: BTreeMap<IpAddr, IpAddr>,
    /// The blocks that an inside host has: external address, and first port.
    blocks: BTreeMap<IpAddr, Vec<(IpAddr, u16)>>,
    taken_blocks: BTreeSet<(IpAddr, u16)>,
}

/// Who asks for a port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) protocol: Protocol,
    pub(crate) internal: SocketAddr,
}

impl Ports {
    /// Chooses an external endpoint and takes it. `clashes` says of an endpoint that it can't be had though its port
    /// may be free, because somebody else talks to the same remote endpoint by it.
    pub(crate) fn allocate(
        &mut self,
        config: &NatConfig,
        external: &[IpAddr],
        request: Request,
        rng: &mut Rng,
        clashes: impl Fn(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        let family: Vec<IpAddr> =
            external.iter().copied().filter(|ip| ip.is_ipv4() == request.internal.is_ipv4()).collect();
        let host = request.internal.ip();
        let any = rng.below(family.len() as u64) as usize;
        let first = match config.pooling {
            Pooling::Paired => {
                let known = self.paired.get(&host).copied().filter(|ip| family.contains(ip));
                known.or_else(|| family.get(any).copied())?
            }
            Pooling::Arbitrary => family.get(any).copied()?,
        };
        let found = self.allocate_at(config, first, request, rng, &clashes);
        if config.pooling == Pooling::Paired {
            // A host that got nothing has nothing to be forgotten with later.
            if found.is_some() {
                self.paired.insert(host, first);
            }
            return found;
        }
        if found.is_some() {
            return found;
        }
        // Arbitrary pooling: another address may have a port left.
        family.iter().find_map(|&ip| self.allocate_at(config, ip, request, rng, &clashes))
    }

    /// Takes that very endpoint. False if it is taken.
    pub(crate) fn claim(&mut self, protocol: Protocol, external: SocketAddr) -> bool {
        let bits = self.taken.entry((protocol, external.ip())).or_default();
        let free = !bits.has(external.port());
        bits.set(external.port(), true);
        free
    }

    /// The address that an inside host has, or would get from `external`.
    pub(crate) fn address_of(&self, host: IpAddr, external: &[IpAddr]) -> Option<IpAddr> {
        let known = self.paired.get(&host).copied().filter(|ip| external.contains(ip));
        known.or_else(|| external.iter().copied().find(|ip| ip.is_ipv4() == host.is_ipv4()))
    }

    /// Nobody has that endpoint any more.
    pub(crate) fn release(&mut self, protocol: Protocol, external: SocketAddr) {
        if let Some(bits) = self.taken.get_mut(&(protocol, external.ip())) {
            bits.set(external.port(), false);
        }
    }

    /// An inside host has no mapping any more: its blocks and its address are free.
    pub(crate) fn forget_host(&mut self, host: IpAddr) {
        self.paired.remove(&host);
        for block in self.blocks.remove(&host).unwrap_or_default() {
            self.taken_blocks.remove(&block);
        }
    }

    fn allocate_at(
        &mut self,
        config: &NatConfig,
        address: IpAddr,
        request: Request,
        rng: &mut Rng,
        clashes: &impl Fn(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        let Request { protocol, internal } = request;
        let kept = internal.port();
        let (low, high) = config.ports;
        let bits = self.taken.entry((protocol, address)).or_default();
        let parity = config.parity.then_some(kept % 2);
        let fits = |port: u16| {
            parity.is_none_or(|parity| port % 2 == parity) && !clashes(SocketAddr::new(address, port))
        };
        let free = |bits: &Bits, port: u16| !bits.has(port) && fits(port);
        let port = match config.allocation {
            Allocation::Preserving(collision) => {
                let usable = if collision == Collision::Overload { fits(kept) } else { free(bits, kept) };
                if kept != 0 && usable {
                    Some(kept)
                } else if collision == Collision::NextFree {
                    search(low, high, kept.saturating_add(1), |port| free(bits, port))
                } else {
                    let found = random(low, high, rng, |port| free(bits, port));
                    if found.is_none() && collision == Collision::Overload {
                        random(low, high, rng, fits)
                    } else {
                        found
                    }
                }
            }
            Allocation::Random => random(low, high, rng, |port| free(bits, port)),
            Allocation::Sequential { start, step } => {
                let first = self
                    .cursor
                    .or(start)
                    .filter(|port| (low..=high).contains(port))
                    .unwrap_or_else(|| pick(low, high, rng));
                let found = sequence(low, high, first, step, |port| free(bits, port))
                    .or_else(|| search(low, high, first, |port| free(bits, port)));
                self.cursor = Some(found.map_or(first, |port| after(low, high, port, step)));
                found
            }
            Allocation::Chunked { size, blocks } => {
                let size = size.max(1);
                let of_host = self.blocks.get(&internal.ip()).map_or(&[][..], Vec::as_slice);
                let from = |first: u16, rng: &mut Rng| {
                    random(first, first.saturating_add(size - 1), rng, |port| free(bits, port))
                };
                let mut found =
                    of_host.iter().filter(|&&(at, _)| at == address).find_map(|&(_, first)| from(first, rng));
                if found.is_none() && of_host.len() < usize::from(blocks) {
                    // Whole blocks only; they are numbered from the lowest port.
                    let count = (u32::from(high.saturating_sub(low)) + 1) / u32::from(size);
                    let begin = rng.below(u64::from(count)) as u32;
                    let block = (0..count).find_map(|n| {
                        let first = u32::from(low) + (begin + n) % count * u32::from(size);
                        let block = (address, u16::try_from(first).ok()?);
                        (!self.taken_blocks.contains(&block)).then_some(block)
                    });
                    found = block.and_then(|(_, first)| from(first, rng));
                    if let Some(block) = block.filter(|_| found.is_some()) {
                        self.taken_blocks.insert(block);
                        self.blocks.entry(internal.ip()).or_default().push(block);
                    }
                }
                found
            }
        }?;
        bits.set(port, true);
        Some(SocketAddr::new(address, port))
    }
}

/// One of the ports from `low` to `high` that is free, at random.
fn random(low: u16, high: u16, rng: &mut Rng, free: impl Fn(u16) -> bool) -> Option<u16> {
    for _ in 0..RANDOM_PICKS {
        let port = pick(low, high, rng);
        if free(port) {
            return Some(port);
        }
    }
    search(low, high, pick(low, high, rng), free)
}

fn pick(low: u16, high: u16, rng: &mut Rng) -> u16 {
    let count = u64::from(high.saturating_sub(low)) + 1;
    low.saturating_add(rng.below(count) as u16)
}

/// The first free port from `first` on upwards, round the end.
fn search(low: u16, high: u16, first: u16, free: impl Fn(u16) -> bool) -> Option<u16> {
    let first = if (low..=high).contains(&first) { first } else { low };
    (first..=high).chain(low..first).find(|&port| free(port))
}

/// The first free port from `first` on in steps, round the end; none if a whole round of steps finds none.
fn sequence(low: u16, high: u16, first: u16, step: i32, free: impl Fn(u16) -> bool) -> Option<u16> {
    let mut port = first;
    for _ in low..=high {
        if free(port) {
            return Some(port);
        }
        port = after(low, high, port, step);
    }
    None
}

/// The port one step after another, round the end.
fn after(low: u16, high: u16, port: u16, step: i32) -> u16 {
    let step = if step == 0 { 1 } else { i64::from(step) };
    let count = i64::from(high.saturating_sub(low)) + 1;
    let offset = (i64::from(port) - i64::from(low) + step).rem_euclid(count);
    u16::try_from(i64::from(low) + offset).unwrap_or(low)
}

/// A bit for each port.
#[derive(Clone, Debug)]
struct Bits(Vec<u64>);

impl Default for Bits {
    fn default() -> Self {
        Self(vec![0; 1024])
    }
}

impl Bits {
    fn has(&self, port: u16) -> bool {
        self.0.get(usize::from(port >> 6)).is_some_and(|word| word >> (port & 63) & 1 == 1)
    }

    fn set(&mut self, port: u16, taken: bool) {
        if let Some(word) = self.0.get_mut(usize::from(port >> 6)) {
            let bit = 1 << (port & 63);
            *word = if taken { *word | bit } else { *word & !bit };
        }
    }
}
