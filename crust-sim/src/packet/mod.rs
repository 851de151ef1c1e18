//! One encoded IP packet: checked once, then read and rewritten in place.
//!
//! A packet is born encoded, by [`Packet::udp`], by [`Packet::icmp_error`], or from what a TCP stack emitted
//! ([`Packet::parse`]); boxes on the way rewrite it, each change carrying the checksums along (RFC 1624), and the
//! last host reads it. Whatever was not checked by [`Packet::parse`] is never read: IP options, extension headers
//! and unknown protocols pass as payload. Fragments don't exist in the world: a packet that may be fragmented
//! passes a narrow link whole, as though it had been put together again.
//!
//! The fields are read by hand here, since packets are the simulator's inner loop; the tests hold every one of
//! them against smoltcp's own parser and checksums.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use crate::{Flow, Protocol, Rng, TcpFlags};

mod checksum;
mod icmp;
mod rewrite;

pub use icmp::{IcmpKind, Quoted};

use checksum::{Sum, pseudo};

/// Bytes of an IPv4 header without options.
pub const IPV4_HEADER: usize = 20;
/// Bytes of an IPv6 header.
pub const IPV6_HEADER: usize = 40;
/// Bytes of a UDP header.
pub const UDP_HEADER: usize = 8;
/// The TTL or hop limit of those who don't choose one.
pub const DEFAULT_TTL: u8 = 64;
/// The most bytes that a packet can have in all.
pub const MAX_PACKET: usize = 65_535;

const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ICMPV6: u8 = 58;

/// The ECN codepoints (RFC 3168 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecn {
    /// Not capable of ECN.
    #[default]
    NotEct,
    /// ECT(1).
    Ect1,
    /// ECT(0).
    Ect0,
    /// Congestion experienced.
    Ce,
}

impl Ecn {
    /// From the two lowest bits of a byte.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// The two bits of the header.
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PacketError {
    /// Neither version 4 nor 6, or a header length that cannot be.
    #[error("not an IP packet")]
    NotIp,
    /// A length field disagrees with how many bytes there are.
    #[error("wrong length")]
    Length,
    /// The IPv4 header's checksum does not hold.
    #[error("header checksum")]
    HeaderChecksum,
    /// A fragment.
    #[error("fragment")]
    Fragment,
    /// Source and destination of different IP versions, or more bytes than a packet can have.
    #[error("cannot be encoded")]
    Unencodable,
}

/// What is behind the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Udp,
    Tcp,
    Icmp,
    Other,
}

/// The headers of a UDP datagram to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpHeader {
    /// Where it says that it comes from.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// ECN codepoint.
    pub ecn: Ecn,
    /// Don't fragment (IPv4; IPv6 has no such bit).
    pub dont_fragment: bool,
}

/// One encoded IPv4 or IPv6 packet, its lengths and its IP header checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    bytes: Vec<u8>,
    kind: Kind,
    /// Where the IP header ends: 20 to 60.
    transport: u8,
    /// False: the UDP checksum is zero so far, and is to be what it must when somebody looks.
    summed: bool,
}

impl Packet {
    /// Checks an encoded packet: version, lengths, the IPv4 header's checksum, and that UDP, TCP and ICMP headers
    /// are whole. Checksums behind the IP header are the receiving host's business
    /// ([`Packet::checksum_holds`]).
    ///
    /// # Errors
    ///
    /// What does not fit.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, PacketError> {
        let first = *bytes.first().ok_or(PacketError::Length)?;
        let (transport, protocol) = match first >> 4 {
            4 => {
                let header = usize::from(first & 15) * 4;
                if header < IPV4_HEADER {
                    return Err(PacketError::NotIp);
                }
                if bytes.len() < header || usize::from(word(&bytes, 2)) != bytes.len() {
                    return Err(PacketError::Length);
                }
                if Sum::of(&bytes[..header]).finish() != 0 {
                    return Err(PacketError::HeaderChecksum);
                }
                if word(&bytes, 6) & 0x3fff != 0 {
                    return Err(PacketError::Fragment);
                }
                (header, bytes[9])
            }
            6 => {
                if bytes.len() < IPV6_HEADER || usize::from(word(&bytes, 4)) + IPV6_HEADER != bytes.len() {
                    return Err(PacketError::Length);
                }
                (IPV6_HEADER, bytes[6])
            }
            _ => return Err(PacketError::NotIp),
        };
        let rest = &bytes[transport..];
        let kind = match (protocol, first >> 4) {
            (PROTOCOL_UDP, _) => {
                if rest.len() < UDP_HEADER || usize::from(word(rest, 4)) != rest.len() {
                    return Err(PacketError::Length);
                }
                Kind::Udp
            }
            (PROTOCOL_TCP, _) => {
                let header = rest.get(12).map_or(0, |offset| usize::from(offset >> 4) * 4);
                if header < 20 || rest.len() < header {
                    return Err(PacketError::Length);
                }
                Kind::Tcp
            }
            (PROTOCOL_ICMP, 4) | (PROTOCOL_ICMPV6, 6) => {
                if rest.len() < 8 {
                    return Err(PacketError::Length);
                }
                Kind::Icmp
            }
            _ => Kind::Other,
        };
        Ok(Self { bytes, kind, transport: transport as u8, summed: true })
    }

    /// Builds a UDP datagram in `buffer`, whose old contents are lost.
    ///
    /// # Errors
    ///
    /// [`PacketError::Unencodable`].
    pub fn udp(buffer: Vec<u8>, header: &UdpHeader, payload: &[u8]) -> Result<Self, PacketError> {
        let mut packet = Self::udp_unsummed(buffer, header, payload)?;
        packet.complete();
        Ok(packet)
    }

    /// As [`Packet::udp`], without the UDP checksum until [`Packet::complete`]: what a kernel leaves to the network
    /// card, and what costs most of a packet that nobody looks at.
    pub(crate) fn udp_unsummed(
        mut buffer: Vec<u8>,
        header: &UdpHeader,
        payload: &[u8],
    ) -> Result<Self, PacketError> {
        buffer.clear();
        let length = UDP_HEADER + payload.len();
        put_ip_header(
            &mut buffer,
            header.source.ip(),
            header.destination.ip(),
            PROTOCOL_UDP,
            length,
            header.ttl,
            header.ecn,
            header.dont_fragment,
        )?;
        let transport = buffer.len();
        buffer.extend_from_slice(&header.source.port().to_be_bytes());
        buffer.extend_from_slice(&header.destination.port().to_be_bytes());
        buffer.extend_from_slice(&(length as u16).to_be_bytes());
        buffer.extend_from_slice(&[0, 0]);
        buffer.extend_from_slice(payload);
        Ok(Self { bytes: buffer, kind: Kind::Udp, transport: transport as u8, summed: false })
    }

    /// Fills in the checksum that was left out, if it was.
    pub(crate) fn complete(&mut self) {
        if !std::mem::replace(&mut self.summed, true) {
            self.fill_checksum();
        }
    }

    /// The headers, for a digest: without a UDP checksum, which follows from the rest or is the digest's own business.
    pub(crate) fn hashed_headers(&self) -> &[u8] {
        let unhashed = if self.kind == Kind::Udp { 2 } else { 0 };
        &self.bytes[..self.header_len() - unhashed]
    }

    /// The checksum behind the IP header as it stands there; zero where there is none.
    pub(crate) fn checksum(&self) -> u16 {
        self.checksum_at().map_or(0, |at| word(&self.bytes, at))
    }

    /// The RST that refuses a segment (RFC 9293 §3.10.7.1); `None` for what is no TCP and for an RST.
    pub fn tcp_reset(about: &Self) -> Option<Self> {
        let flow = about.flow()?;
        let flags = about.tcp_flags()?;
        if flags.rst {
            return None;
        }
        let segment = about.transport();
        let header = usize::from(segment[12] >> 4) * 4;
        let occupied = (segment.len() - header) as u32 + u32::from(flags.syn) + u32::from(flags.fin);
        let (sequence, acknowledgement, bits) = if flags.ack {
            (long(segment, 8), 0, 0x04)
        } else {
            (0, long(segment, 4).wrapping_add(occupied), 0x14)
        };
        Self::bare_tcp(flow.reversed(), sequence, acknowledgement, bits, 0)
    }

    /// A segment without data that acknowledges; `None` where the ends are not of one IP version.
    pub(crate) fn tcp_ack(flow: Flow, sequence: u32, acknowledgement: u32, window: u16) -> Option<Self> {
        Self::bare_tcp(flow, sequence, acknowledgement, 0x10, window)
    }

    fn bare_tcp(flow: Flow, sequence: u32, acknowledgement: u32, flags: u8, window: u16) -> Option<Self> {
        let mut bytes = Vec::with_capacity(IPV6_HEADER + 20);
        let (from, to) = (flow.source, flow.destination);
        put_ip_header(&mut bytes, from.ip(), to.ip(), PROTOCOL_TCP, 20, 64, Ecn::NotEct, true).ok()?;
        let transport = bytes.len() as u8;
        bytes.extend_from_slice(&from.port().to_be_bytes());
        bytes.extend_from_slice(&to.port().to_be_bytes());
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&acknowledgement.to_be_bytes());
        bytes.extend_from_slice(&[0x50, flags]);
        bytes.extend_from_slice(&window.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let mut packet = Self { bytes, kind: Kind::Tcp, transport, summed: true };
        packet.fill_checksum();
        Some(packet)
    }

    /// Sequence number, acknowledgement and window as they stand in a TCP header; `None` for what is no TCP.
    pub(crate) fn tcp_numbers(&self) -> Option<(u32, u32, u16)> {
        let header = (self.kind == Kind::Tcp).then(|| self.transport())?;
        Some((long(header, 4), long(header, 8), word(header, 14)))
    }

    /// The whole packet as on the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The packet's bytes, and an end of it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many bytes it has with all its headers.
    #[allow(clippy::len_without_is_empty)] // no packet is empty
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it is IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.bytes[0] >> 4 == 4
    }

    /// The address that it says it comes from.
    pub fn source_ip(&self) -> IpAddr {
        if self.is_ipv4() { v4(&self.bytes, 12) } else { v6(&self.bytes, 8) }
    }

    /// The address that it goes to.
    pub fn destination_ip(&self) -> IpAddr {
        if self.is_ipv4() { v4(&self.bytes, 16) } else { v6(&self.bytes, 24) }
    }

    /// The two ends by address and port; `None` for all but UDP and TCP.
    pub fn flow(&self) -> Option<Flow> {
        let protocol = match self.kind {
            Kind::Udp => Protocol::Udp,
            Kind::Tcp => Protocol::Tcp,
            Kind::Icmp | Kind::Other => return None,
        };
        let ports = self.transport();
        Some(Flow {
            protocol,
            source: SocketAddr::new(self.source_ip(), word(ports, 0)),
            destination: SocketAddr::new(self.destination_ip(), word(ports, 2)),
        })
    }

    /// The TCP flags; `None` for what is no TCP.
    pub fn tcp_flags(&self) -> Option<TcpFlags> {
        (self.kind == Kind::Tcp).then(|| {
            let bits = self.transport()[13];
            TcpFlags { fin: bits & 1 != 0, syn: bits & 2 != 0, rst: bits & 4 != 0, ack: bits & 16 != 0 }
        })
    }

    /// What the datagram, segment or ICMP message carries; everything behind the IP header where the protocol is
    /// unknown.
    pub fn payload(&self) -> &[u8] {
        let rest = self.transport();
        match self.kind {
            Kind::Udp => &rest[UDP_HEADER..],
            Kind::Tcp => &rest[usize::from(rest[12] >> 4) * 4..],
            Kind::Icmp => &rest[8..],
            Kind::Other => rest,
        }
    }

    /// Bytes of all headers before [`Packet::payload`].
    pub fn header_len(&self) -> usize {
        self.len() - self.payload().len()
    }

    /// TTL or hop limit.
    pub fn ttl(&self) -> u8 {
        self.bytes[if self.is_ipv4() { 8 } else { 7 }]
    }

    /// The ECN codepoint.
    pub fn ecn(&self) -> Ecn {
        Ecn::from_bits(if self.is_ipv4() { self.bytes[1] } else { self.bytes[1] >> 4 })
    }

    /// Whether routers must not fragment it: IPv4's bit; always for IPv6.
    pub fn dont_fragment(&self) -> bool {
        !self.is_ipv4() || self.bytes[6] & 0x40 != 0
    }

    /// Whether the checksum of UDP, TCP or ICMP holds, as a host checks before it believes a packet. True for
    /// UDP over IPv4 that has none (RFC 768) and for other protocols.
    pub fn checksum_holds(&self) -> bool {
        if self.kind == Kind::Other || !self.summed {
            return true;
        }
        if self.kind == Kind::Udp && word(self.transport(), 6) == 0 {
            // RFC 8200 §8.1: over IPv6 a datagram without a checksum is no datagram.
            return self.is_ipv4();
        }
        self.transport_sum().finish() == 0
    }

    /// The same packet after noise on the wire: one byte differs, which a 16-bit sum always shows. `None` where what
    /// is left is no packet that a router or a host would take.
    pub fn damage(mut self, rng: &mut Rng) -> Option<Self> {
        self.complete();
        let at = rng.below(self.bytes.len() as u64) as usize;
        self.bytes[at] ^= 1 + rng.below(255) as u8;
        Self::parse(self.bytes).ok()
    }

    fn transport(&self) -> &[u8] {
        &self.bytes[usize::from(self.transport)..]
    }

    /// The sum over everything that the checksum behind the IP header covers, itself included.
    fn transport_sum(&self) -> Sum {
        let rest = self.transport();
        let mut sum = Sum::of(rest);
        match (self.kind, self.is_ipv4()) {
            (Kind::Icmp, true) => {}
            (kind, _) => {
                let protocol = match kind {
                    Kind::Udp => PROTOCOL_UDP,
                    Kind::Tcp => PROTOCOL_TCP,
                    _ => PROTOCOL_ICMPV6,
                };
                sum.add(pseudo(&self.bytes, protocol, rest.len()));
            }
        }
        sum
    }

    /// Where the checksum behind the IP header stands; `None` where there is none.
    fn checksum_at(&self) -> Option<usize> {
        let start = usize::from(self.transport);
        match self.kind {
            Kind::Udp => Some(start + 6),
            Kind::Tcp => Some(start + 16),
            Kind::Icmp => Some(start + 2),
            Kind::Other => None,
        }
    }

    /// Computes the checksum behind the IP header from nothing.
    fn fill_checksum(&mut self) {
        let Some(at) = self.checksum_at() else { return };
        put_word(&mut self.bytes, at, 0);
        let sum = self.transport_sum().finish();
        // RFC 768: zero means none, so that a sum of zero is sent as all ones.
        put_word(&mut self.bytes, at, if self.kind == Kind::Udp && sum == 0 { 0xffff } else { sum });
    }
}

/// Appends an IP header for `length` bytes behind it.
#[allow(clippy::too_many_arguments)] // the fields of a header
fn put_ip_header(
    out: &mut Vec<u8>,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    length: usize,
    ttl: u8,
    ecn: Ecn,
    dont_fragment: bool,
) -> Result<(), PacketError> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = u16::try_from(length + IPV4_HEADER).map_err(|_| PacketError::Unencodable)?;
            let mut header = [0; IPV4_HEADER];
            header[0] = 0x45;
            header[1] = ecn.bits();
            put_word(&mut header, 2, total);
            header[6] = if dont_fragment { 0x40 } else { 0 };
            header[8] = ttl;
            header[9] = protocol;
            header[12..16].copy_from_slice(&source.octets());
            header[16..20].copy_from_slice(&destination.octets());
            let sum = Sum::of(&header).finish();
            put_word(&mut header, 10, sum);
            out.extend_from_slice(&header);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            if length + IPV6_HEADER > MAX_PACKET {
                return Err(PacketError::Unencodable);
            }
            let mut header = [0; IPV6_HEADER];
            header[0] = 0x60;
            header[1] = ecn.bits() << 4;
            put_word(&mut header, 4, length as u16);
            header[6] = protocol;
            header[7] = ttl;
            header[8..24].copy_from_slice(&source.octets());
            header[24..40].copy_from_slice(&destination.octets());
            out.extend_from_slice(&header);
        }
        _ => return Err(PacketError::Unencodable),
    }
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put_word(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn v4(bytes: &[u8], at: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]))
}

fn v6(bytes: &[u8], at: usize) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[at..at + 16]);
    IpAddr::V6(Ipv6Addr::from(octets))
}

#[cfg(test)]
#[path = "../packet_tests.rs"]
mod tests;
