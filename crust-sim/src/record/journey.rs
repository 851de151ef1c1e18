//! Packets followed from hop to hop: which of a recording's sightings are of one packet.
//!
//! A packet has no name in the world, as it has none on a wire. It is known again by what no box on its way changes:
//! what it carries (and, for TCP, its sequence numbers), where and when it was seen last, and a TTL that counts down.

use std::collections::BTreeMap;

use super::describe::transport;
use super::{Captured, Recording};
use crate::packet::UDP_HEADER;
use crate::world::Sight;
use crate::{Packet, Protocol};

/// Packets with the same contents that are looked through for the one that was seen; those before are over.
const MOST_ALIKE: usize = 64;

/// The way of one packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Journey {
    /// Places in [`Recording::packets`], in the order of time.
    pub(crate) stops: Vec<usize>,
    /// A link delivered it a second time: its first stop is the other's too.
    pub(crate) again: bool,
    /// A link changed bytes of it.
    pub(crate) damaged: bool,
}

/// Packets of one length that are looked through for one that was damaged.
const MOST_IN_FLIGHT: usize = 512;

/// What stays of a packet on all its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark([u8; 16]);

/// A sighting, read.
struct Seen<'a> {
    captured: &'a Captured,
    packet: Packet,
}

/// All packets' ways, in the order in which they began.
pub(crate) fn journeys(recording: &Recording) -> Vec<Journey> {
    let mut finder =
        Finder { recording, all: Vec::new(), alike: BTreeMap::new(), in_flight: BTreeMap::new() };
    for (at, captured) in recording.packets.iter().enumerate() {
        if let Ok(packet) = Packet::parse(captured.packet.clone()) {
            finder.take(at, &Seen { captured, packet });
        }
    }
    finder.all
}

struct Finder<'a> {
    recording: &'a Recording,
    all: Vec<Journey>,
    /// By what they carry, the newest last.
    alike: BTreeMap<Mark, Vec<usize>>,
    /// On a link, by their length, the newest last.
    in_flight: BTreeMap<usize, Vec<usize>>,
}

impl Finder<'_> {
    fn take(&mut self, at: usize, seen: &Seen<'_>) {
        let mark = mark(&seen.packet);
        let journey = self.find(mark, seen).unwrap_or_else(|| {
            let damaged = seen.captured.sight == Sight::Arrived && !seen.packet.checksum_holds();
            self.begin(Journey { damaged, ..Journey::default() })
        });
        self.all[journey].stops.push(at);
        let alike = self.alike.entry(mark).or_default();
        if !alike.contains(&journey) {
            remember(alike, journey, MOST_ALIKE);
        }
        let in_flight = self.in_flight.entry(seen.packet.len()).or_default();
        in_flight.retain(|other| *other != journey);
        if seen.captured.sight == Sight::Sent {
            remember(in_flight, journey, MOST_IN_FLIGHT);
        }
    }

    /// The way that this is a stop of: of a packet that is on it, that came once already, or that was damaged.
    fn find(&mut self, mark: Mark, seen: &Seen<'_>) -> Option<usize> {
        let alike = self.alike.get(&mark).map(Vec::as_slice).unwrap_or_default();
        let last = |journey: usize| {
            let at = *self.all[journey].stops.last()?;
            Some((at, &self.recording.packets[at]))
        };
        let goes_on = |journey: &usize| last(*journey).is_some_and(|(_, last)| seen.continues(last));
        if let Some(journey) = alike.iter().copied().find(goes_on) {
            return Some(journey);
        }
        if seen.captured.sight != Sight::Arrived {
            return None;
        }
        let stops = alike.iter().rev().flat_map(|journey| self.all[*journey].stops.iter().rev());
        let sent = stops.copied().find(|stop| seen.continues(&self.recording.packets[*stop]));
        if let Some(sent) = sent {
            return Some(self.begin(Journey { stops: vec![sent], again: true, damaged: false }));
        }
        let in_flight = self.in_flight.get(&seen.packet.len())?;
        let was = |journey: &usize| last(*journey).is_some_and(|(_, last)| seen.is_damaged(last));
        let journey = in_flight.iter().copied().find(was)?;
        self.all[journey].damaged = true;
        Some(journey)
    }

    fn begin(&mut self, journey: Journey) -> usize {
        self.all.push(journey);
        self.all.len() - 1
    }
}

impl Seen<'_> {
    /// Whether a packet that carries the same is seen here next after it was seen there.
    fn continues(&self, last: &Captured) -> bool {
        let here = self.captured.host == last.host;
        let at_once = here && self.captured.now == last.now;
        let same_ends = || Packet::parse(last.packet.clone()).is_ok_and(|last| self.same_ends(&last));
        match (last.sight, self.captured.sight) {
            // Through a router: at once, and one hop less.
            (Sight::Arrived, Sight::Sent) => {
                let ttl = || {
                    Packet::parse(last.packet.clone()).is_ok_and(|last| last.ttl() == self.packet.ttl() + 1)
                };
                at_once && self.captured.packet.len() == last.packet.len() && ttl()
            }
            // Over a link: nothing but the congestion mark changes.
            (Sight::Sent, Sight::Arrived) => same_ends(),
            // By the link as it was sent, or before a host that is down.
            (Sight::Sent, Sight::Lost) => (at_once || !here) && same_ends(),
            // A packet is dropped as its sender knows it, so its ends may be others.
            (Sight::Arrived | Sight::Sent, Sight::Dropped) => at_once,
            _ => false,
        }
    }

    fn same_ends(&self, other: &Packet) -> bool {
        let ends =
            |packet: &Packet| (packet.source_ip(), packet.destination_ip(), packet.flow(), packet.ttl());
        ends(&self.packet) == ends(other)
    }

    /// Whether it is what was sent there but for one byte, as noise leaves it, and the mark of a queue.
    fn is_damaged(&self, sent: &Captured) -> bool {
        let bytes = self.captured.packet.iter().zip(&sent.packet);
        let marked = self.captured.packet[1] != sent.packet[1];
        // With the mark, the header's checksum changes too.
        bytes.filter(|(a, b)| a != b).count() <= if marked { 4 } else { 1 }
    }
}

fn remember(list: &mut Vec<usize>, journey: usize, most: usize) {
    if list.len() >= most {
        list.remove(0);
    }
    list.push(journey);
}

fn mark(packet: &Packet) -> Mark {
    let mut hasher = blake3::Hasher::new();
    let rest = &packet.bytes()[transport(packet)..];
    match packet.flow().map(|flow| flow.protocol) {
        Some(Protocol::Udp) => hasher.update(b"u").update(&rest[UDP_HEADER..]),
        // All but ports and checksum.
        Some(Protocol::Tcp) => hasher.update(b"t").update(&rest[4..16]).update(&rest[18..]),
        // What an error quotes is rewritten on the way.
        None if packet.quoted().is_some() => {
            hasher.update(b"e").update(&rest[..2]).update(&[rest.len() as u8])
        }
        None => hasher.update(b"o").update(rest),
    };
    let hash = hasher.finalize();
    Mark(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
}

#[cfg(test)]
#[path = "journey_tests.rs"]
mod tests;
