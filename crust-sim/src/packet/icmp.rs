//! ICMP and ICMPv6 errors: built about a packet, read back, and rewritten by NATs (RFC 792, RFC 4443, RFC 5508).

use std::net::{IpAddr, SocketAddr};

use super::checksum::updated;
use super::{
    Ecn, IPV4_HEADER, IPV6_HEADER, Kind, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, Packet,
    long, put_ip_header, put_word, v4, v6, word,
};
use crate::{Flow, Protocol};

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IcmpKind {
    /// No way to the network or the host.
    HostUnreachable,
    /// No socket has that port.
    PortUnreachable,
    /// A firewall forbids it.
    Prohibited,
    /// The TTL or hop limit ran out.
    TimeExceeded,
    /// Larger than the next link takes: fragmentation needed (RFC 1191), packet too big.
    TooBig {
        /// How many bytes with all headers it takes.
        mtu: u16,
    },
}

/// The packet that an ICMP error is about, as far as it is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// What the error says.
    pub kind: IcmpKind,
    /// The two ends of the packet that it is about.
    pub flow: Flow,
}

/// An IPv4 error has 576 bytes at most (RFC 1812 §4.3.2.3) …
const MOST_V4: usize = 576;
/// … and an IPv6 one the least MTU (RFC 4443 §2.4 c).
const MOST_V6: usize = 1280;

impl Packet {
    /// An error from `reporter` about a packet, sent to where that came from. `None` where none may be sent
    /// (RFC 1122 §3.2.2, RFC 4443 §2.4 e): about an ICMP error, to or from an address that is not one host's, or
    /// by a reporter of the other IP version.
    pub fn icmp_error(about: &Self, kind: IcmpKind, reporter: IpAddr) -> Option<Self> {
        let source = about.source_ip();
        let destination = about.destination_ip();
        let many = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.is_broadcast() || ip.is_multicast() || ip.is_unspecified(),
            IpAddr::V6(ip) => ip.is_multicast() || ip.is_unspecified(),
        };
        if (about.kind == Kind::Icmp && about.icmp_kind().is_some()) || many(source) || many(destination) {
            return None;
        }
        let v4 = about.is_ipv4();
        let (header, most, protocol) =
            if v4 { (IPV4_HEADER, MOST_V4, PROTOCOL_ICMP) } else { (IPV6_HEADER, MOST_V6, PROTOCOL_ICMPV6) };
        let mut about = std::borrow::Cow::Borrowed(about);
        if !about.summed {
            about.to_mut().complete();
        }
        let quote = &about.bytes[..about.len().min(most - header - 8)];
        let mut bytes = Vec::with_capacity(header + 8 + quote.len());
        put_ip_header(&mut bytes, reporter, source, protocol, 8 + quote.len(), 64, Ecn::NotEct, false)
            .ok()?;
        let (kind, code, word) = match (kind, v4) {
            (IcmpKind::HostUnreachable, true) => (3, 1, 0),
            (IcmpKind::PortUnreachable, true) => (3, 3, 0),
            (IcmpKind::Prohibited, true) => (3, 13, 0),
            (IcmpKind::TimeExceeded, true) => (11, 0, 0),
            (IcmpKind::TooBig { mtu }, true) => (3, 4, u32::from(mtu)),
            (IcmpKind::HostUnreachable, false) => (1, 3, 0),
            (IcmpKind::PortUnreachable, false) => (1, 4, 0),
            (IcmpKind::Prohibited, false) => (1, 1, 0),
            (IcmpKind::TimeExceeded, false) => (3, 0, 0),
            (IcmpKind::TooBig { mtu }, false) => (2, 0, u32::from(mtu)),
        };
        bytes.extend_from_slice(&[kind, code, 0, 0]);
        bytes.extend_from_slice(&u32::to_be_bytes(word));
        bytes.extend_from_slice(quote);
        let mut packet = Self { bytes, kind: Kind::Icmp, transport: header as u8, summed: true };
        packet.fill_checksum();
        Some(packet)
    }

    /// Whether it is an ICMP message at all.
    pub fn is_icmp(&self) -> bool {
        self.kind == Kind::Icmp
    }

    /// What an ICMP error says and about what; `None` where this is none that can be read, or where the quote has
    /// no ports.
    pub fn quoted(&self) -> Option<Quoted> {
        let kind = self.icmp_kind()?;
        let (start, ports) = self.quote()?;
        let quote = &self.bytes[start..];
        let ipv4 = quote[0] >> 4 == 4;
        let (protocol, source, destination) = if ipv4 {
            (quote[9], v4(quote, 12), v4(quote, 16))
        } else {
            (quote[6], v6(quote, 8), v6(quote, 24))
        };
        let protocol = if protocol == PROTOCOL_UDP { Protocol::Udp } else { Protocol::Tcp };
        Some(Quoted {
            kind,
            flow: Flow {
                protocol,
                source: SocketAddr::new(source, word(&self.bytes, ports)),
                destination: SocketAddr::new(destination, word(&self.bytes, ports + 2)),
            },
        })
    }

    /// Sets where the quoted packet says that it came from, as a NAT does for an error that goes in to its sender
    /// (RFC 5508 §4.2). False, and nothing changed, where nothing is quoted or the IP version differs.
    pub fn set_quoted_source(&mut self, source: SocketAddr) -> bool {
        self.set_quoted_end(12, 8, 0, source)
    }

    /// Sets where the quoted packet went, as a NAT does for an error that a host behind it sends out (RFC 5508
    /// §4.2); else as [`Packet::set_quoted_source`].
    pub fn set_quoted_destination(&mut self, destination: SocketAddr) -> bool {
        self.set_quoted_end(16, 24, 2, destination)
    }

    fn set_quoted_end(&mut self, v4_at: usize, v6_at: usize, port_at: usize, end: SocketAddr) -> bool {
        if self.icmp_kind().is_none() {
            return false;
        }
        let Some((start, ports)) = self.quote() else { return false };
        let ipv4 = self.bytes[start] >> 4 == 4;
        let udp = self.bytes[start + if ipv4 { 9 } else { 6 }] == PROTOCOL_UDP;
        let mut ip = [0; 16];
        let (ip_at, ip) = match end.ip() {
            IpAddr::V4(new) if ipv4 => {
                ip[..4].copy_from_slice(&new.octets());
                (start + v4_at, &ip[..4])
            }
            IpAddr::V6(new) if !ipv4 => {
                ip.copy_from_slice(&new.octets());
                (start + v6_at, &ip[..])
            }
            _ => return false,
        };
        let mut old = [0; 16];
        let old = &mut old[..ip.len()];
        old.copy_from_slice(&self.bytes[ip_at..ip_at + ip.len()]);
        self.bytes[ip_at..ip_at + ip.len()].copy_from_slice(ip);
        if ipv4 {
            let sum = updated(word(&self.bytes, start + 10), old, ip);
            put_word(&mut self.bytes, start + 10, sum);
        }
        let port_at = ports + port_at;
        let old_port = [self.bytes[port_at], self.bytes[port_at + 1]];
        put_word(&mut self.bytes, port_at, end.port());
        // The quoted checksum too, where the quote reaches so far, so that the sender sees what it sent.
        let at = ports + if udp { 6 } else { 16 };
        if at + 2 <= self.bytes.len() && !(udp && word(&self.bytes, at) == 0) {
            let sum = updated(word(&self.bytes, at), old, ip);
            let sum = updated(sum, &old_port, &end.port().to_be_bytes());
            put_word(&mut self.bytes, at, if udp && sum == 0 { 0xffff } else { sum });
        }
        self.fill_checksum();
        true
    }

    /// What an ICMP error says; `None` where this is no ICMP error.
    fn icmp_kind(&self) -> Option<IcmpKind> {
        if self.kind != Kind::Icmp {
            return None;
        }
        let message = self.transport();
        let mtu = u16::try_from(long(message, 4) & if self.is_ipv4() { 0xffff } else { u32::MAX });
        Some(match (message[0], message[1], self.is_ipv4()) {
            (3, 3, true) | (1, 4, false) => IcmpKind::PortUnreachable,
            (3, 4, true) | (2, _, false) => IcmpKind::TooBig { mtu: mtu.unwrap_or(u16::MAX) },
            (3, 9 | 10 | 13, true) | (1, 1, false) => IcmpKind::Prohibited,
            (3, _, true) | (1, _, false) => IcmpKind::HostUnreachable,
            (11, _, true) | (3, _, false) => IcmpKind::TimeExceeded,
            _ => return None,
        })
    }

    /// Where the quoted packet begins, and where its ports do; `None` where it is cut before them or has none.
    fn quote(&self) -> Option<(usize, usize)> {
        let start = usize::from(self.transport) + 8;
        let quote = self.bytes.get(start..)?;
        let (header, protocol) = match quote.first()? >> 4 {
            4 if self.is_ipv4() => (usize::from(quote[0] & 15) * 4, *quote.get(9)?),
            6 if !self.is_ipv4() => (IPV6_HEADER, *quote.get(6)?),
            _ => return None,
        };
        let whole = header >= IPV4_HEADER && quote.len() >= header + 8;
        (whole && matches!(protocol, PROTOCOL_UDP | PROTOCOL_TCP)).then_some((start, start + header))
    }
}
