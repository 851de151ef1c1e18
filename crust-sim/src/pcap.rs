//! Recordings as capture files, for Wireshark and whatever else reads pcapng.
//!
//! A file (pcapng: draft-ietf-opsawg-pcapng) has each packet once on every link that it was put on, as it left the
//! interface, with time stamps in nanoseconds from where the world's wall clocks begin
//! ([`WORLD_BEGINS`]). Each interface of each host is an interface of the file, under its
//! host's name: `frame.interface_name == "alice"` shows what alice sent. A comment says what became of a packet that did
//! not arrive (`frame.comment contains "lost"`), and in [`Capture::Contents`] what each packet of crust's holds, which
//! [`DISSECTOR`] shows field by field.
//!
//! Wireshark guesses what datagrams hold, and takes random bytes for a known protocol now and then;
//! `-d udp.port==1-65535,data` keeps it from that.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crust_proto::Instant;

use crate::packet::UdpHeader;
use crate::record::journey::journeys;
use crate::record::{Captured, Recording, describe::describe};
use crate::world::{Sight, WORLD_BEGINS};
use crate::{HostId, InterfaceId, Packet};

/// Raw IP (LINKTYPE_RAW).
const LINK_TYPE: u16 = 101;
/// Block types and option codes.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const END: u16 = 0;
const COMMENT: u16 = 1;
const NAME: u16 = 2;
const FLAGS: u16 = 2;
const APPLICATION: u16 = 4;
const RESOLUTION: u16 = 9;

/// What goes into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// What was on the wire.
    Packets,
    /// The same packets with their contents decrypted, where they are known: the UDP payload is the head in clear and
    /// the frames, and there is no tag.
    Contents,
}

/// A script that shows the frames in a [`Capture::Contents`]: `wireshark -X lua_script:crust.lua run.contents.pcapng`.
/// Wireshark runs it from 4.0 on, where it was built with Lua.
pub const DISSECTOR: &str = include_str!("../wireshark/crust.lua");

/// Writes a capture.
///
/// # Errors
///
/// What the writer says.
pub fn write(recording: &Recording, capture: Capture, out: &mut dyn io::Write) -> io::Result<()> {
    let mut section = Vec::new();
    // Byte-order magic, version 1.0, length unknown.
    section.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
    section.extend_from_slice(&[1, 0, 0, 0]);
    section.extend_from_slice(&u64::MAX.to_le_bytes());
    option(&mut section, APPLICATION, b"crust-sim");
    option(&mut section, END, &[]);
    block(out, SECTION, &section)?;

    let numbers = interfaces(recording, out)?;
    let ends = fates(recording);
    for (at, captured) in recording.packets.iter().enumerate() {
        let Some(number) = captured.interface.and_then(|interface| numbers.get(&interface)) else { continue };
        if captured.sight == Sight::Sent {
            let fate = ends.get(&at).map(String::as_str);
            packet(captured, *number, fate, capture, out)?;
        }
    }
    Ok(())
}

/// Writes the interfaces that something was sent by; their numbers in the file.
fn interfaces(recording: &Recording, out: &mut dyn Write) -> io::Result<BTreeMap<InterfaceId, u32>> {
    let mut of: BTreeMap<HostId, Vec<InterfaceId>> = BTreeMap::new();
    for captured in recording.packets.iter().filter(|captured| captured.sight == Sight::Sent) {
        let known = of.entry(captured.host).or_default();
        if let Some(interface) = captured.interface.filter(|interface| !known.contains(interface)) {
            known.push(interface);
        }
    }
    let mut numbers = BTreeMap::new();
    for (host, mut interfaces) in of {
        interfaces.sort();
        let several = interfaces.len() > 1;
        for (nth, interface) in interfaces.into_iter().enumerate() {
            let name = match several {
                true => format!("{}/{}", recording.host_name(host), nth + 1),
                false => recording.host_name(host),
            };
            let mut body = Vec::new();
            body.extend_from_slice(&LINK_TYPE.to_le_bytes());
            // Reserved; no limit to a packet's length.
            body.extend_from_slice(&[0; 6]);
            option(&mut body, NAME, name.as_bytes());
            option(&mut body, RESOLUTION, &[9]);
            option(&mut body, END, &[]);
            block(out, INTERFACE, &body)?;
            numbers.insert(interface, numbers.len() as u32);
        }
    }
    Ok(numbers)
}

/// What became of packets that did not arrive, by the place where they were last sent.
fn fates(recording: &Recording) -> BTreeMap<usize, String> {
    let mut fates = BTreeMap::new();
    for journey in journeys(recording) {
        let sent = journey.stops.iter().rev().find(|stop| recording.packets[**stop].sight == Sight::Sent);
        let (Some(sent), Some(last)) = (sent, journey.stops.last()) else { continue };
        let end = &recording.packets[*last];
        let fate = match end.sight {
            Sight::Lost if end.host == recording.packets[*sent].host => "lost by the link".to_owned(),
            Sight::Lost => format!("lost: {} did not take it", recording.host_name(end.host)),
            Sight::Dropped => format!("dropped by {}", recording.host_name(end.host)),
            _ if journey.damaged => "damaged by a link".to_owned(),
            _ => continue,
        };
        fates.insert(*sent, fate);
    }
    fates
}

fn packet(
    captured: &Captured,
    interface: u32,
    fate: Option<&str>,
    capture: Capture,
    out: &mut dyn Write,
) -> io::Result<()> {
    let opened = match capture {
        Capture::Packets => None,
        Capture::Contents => in_clear(captured),
    };
    let bytes = opened.as_ref().map_or(captured.packet.as_slice(), Packet::bytes);
    let length = (bytes.len() as u32).to_le_bytes();
    let stamp = nanoseconds(captured.now);

    let mut body = Vec::with_capacity(bytes.len() + 64);
    body.extend_from_slice(&interface.to_le_bytes());
    body.extend_from_slice(&((stamp >> 32) as u32).to_le_bytes());
    body.extend_from_slice(&(stamp as u32).to_le_bytes());
    body.extend_from_slice(&length);
    body.extend_from_slice(&length);
    padded(&mut body, bytes);
    if opened.is_some() || (capture == Capture::Contents && captured.greeting.is_some()) {
        option(&mut body, COMMENT, describe(captured).detail.as_bytes());
    }
    if let Some(fate) = fate {
        option(&mut body, COMMENT, fate.as_bytes());
    }
    // Outbound.
    option(&mut body, FLAGS, &2_u32.to_le_bytes());
    option(&mut body, END, &[]);
    block(out, PACKET, &body)
}

/// The packet with its datagram's contents instead of what was on the wire. `None` where they are not known, and where
/// its headers are damaged.
fn in_clear(captured: &Captured) -> Option<Packet> {
    let contents = captured.contents.as_ref()?;
    let packet = Packet::parse(captured.packet.clone()).ok().filter(Packet::checksum_holds)?;
    let flow = packet.flow()?;
    let header = UdpHeader {
        source: flow.source,
        destination: flow.destination,
        ttl: packet.ttl(),
        ecn: packet.ecn(),
        dont_fragment: packet.dont_fragment(),
    };
    Packet::udp(Vec::new(), &header, contents).ok()
}

/// Nanoseconds since 1970.
fn nanoseconds(now: Instant) -> u64 {
    WORLD_BEGINS.as_millis().saturating_mul(1_000_000).saturating_add(now.as_nanos())
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(u16::MAX.into())];
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    padded(out, value);
}

/// Filled up to four bytes.
fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn block(out: &mut dyn Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = (body.len() as u32 + 12).to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)
}

#[cfg(test)]
#[path = "pcap_tests.rs"]
mod tests;
