//! What a world leaves behind: one hash over all its events, and taps that see each packet.

use std::fmt;

use crust_proto::Instant;

use super::InterfaceId;
use crate::digest::digest_headers;
use crate::host::HostId;
use crate::packet::Packet;

/// What happened to a packet where a tap saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sight {
    /// It leaves a host that made it, or a router that forwards it, by an interface.
    Sent,
    /// It arrived at an interface.
    Arrived,
    /// The link lost it: noise, a full queue, an outage, a partition, a black hole.
    Lost,
    /// The host or router dropped it: no route, no socket's checksum, a middlebox, the TTL, a full queue.
    Dropped,
}

/// One packet at one place.
#[derive(Debug)]
pub struct Tapped<'a> {
    /// When.
    pub now: Instant,
    /// At which host or router.
    pub host: HostId,
    /// At which of its interfaces; `None` where a packet was dropped inside.
    pub interface: Option<InterfaceId>,
    /// What happened.
    pub sight: Sight,
    /// The packet.
    pub packet: &'a Packet,
}

/// A function that sees each packet at each place. It keeps what it likes, and nothing is kept for it.
pub type Tap = Box<dyn FnMut(&Tapped<'_>) + Send>;

/// Events are gathered to exactly so many bytes before they are hashed: BLAKE3 is several times faster over whole
/// chunks of 1,024 bytes, many at a time.
const GATHERED: usize = 16 * 1024;

/// The hash over everything that happens, and the tap.
pub(super) struct Trace {
    hasher: blake3::Hasher,
    gathered: Vec<u8>,
    pub(super) events: u64,
    pub(super) tap: Option<Tap>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("events", &self.events).field("tap", &self.tap.is_some()).finish()
    }
}

impl Trace {
    /// The seed is not hashed: two seeds have two hashes only because what happens differs.
    pub(super) fn new() -> Self {
        let gathered = Vec::with_capacity(2 * GATHERED);
        Self { hasher: blake3::Hasher::new(), gathered, events: 0, tap: None }
    }

    /// Something that happened: when, where, and what in 64 bits.
    pub(super) fn record(&mut self, now: Instant, kind: u8, place: u32, what: u64) {
        self.events += 1;
        let mut record = [0; 24];
        record[0..8].copy_from_slice(&now.as_nanos().to_le_bytes());
        record[8..16].copy_from_slice(&what.to_le_bytes());
        record[16..20].copy_from_slice(&place.to_le_bytes());
        record[20..24].copy_from_slice(&u32::from(kind).to_le_bytes());
        self.gathered.extend_from_slice(&record);
        if self.gathered.len() >= GATHERED {
            self.hasher.update(&self.gathered[..GATHERED]);
            self.gathered.drain(..GATHERED);
        }
    }

    /// A packet at a place. Its headers are hashed each time, since they change on the way; its payload once, when
    /// it was made.
    pub(super) fn packet(
        &mut self,
        now: Instant,
        host: HostId,
        interface: Option<InterfaceId>,
        sight: Sight,
        packet: &mut Packet,
        payload: u64,
    ) {
        let headers = digest_headers(packet.hashed_headers(), payload);
        self.record(now, sight as u8, interface.map_or(u32::MAX, |interface| interface.0), headers);
        self.show(now, host, interface, sight, packet);
    }

    /// A packet at a place that says nothing new: only for the tap.
    pub(super) fn show(
        &mut self,
        now: Instant,
        host: HostId,
        interface: Option<InterfaceId>,
        sight: Sight,
        packet: &mut Packet,
    ) {
        if let Some(tap) = &mut self.tap {
            packet.complete();
            tap(&Tapped { now, host, interface, sight, packet });
        }
    }

    /// The hash over all events so far.
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.gathered);
        *hasher.finalize().as_bytes()
    }
}
