//! What boxes on the way change, and the checksums with it.

use std::net::{IpAddr, SocketAddr};

use super::{Ecn, Kind, Packet, checksum::updated, put_word, word};

impl Packet {
    /// Sets the TTL or hop limit.
    pub fn set_ttl(&mut self, ttl: u8) {
        if self.is_ipv4() {
            let old = [self.bytes[8], self.bytes[9]];
            self.bytes[8] = ttl;
            self.update_header_checksum(&old, 8);
        } else {
            self.bytes[7] = ttl;
        }
    }

    /// One hop less. False, and nothing changed, where none was left or this was the last one.
    pub fn decrement_ttl(&mut self) -> bool {
        let ttl = self.ttl();
        if ttl <= 1 {
            return false;
        }
        self.set_ttl(ttl - 1);
        true
    }

    /// Sets the ECN codepoint.
    pub fn set_ecn(&mut self, ecn: Ecn) {
        if self.is_ipv4() {
            let old = [self.bytes[0], self.bytes[1]];
            self.bytes[1] = old[1] & !3 | ecn.bits();
            self.update_header_checksum(&old, 0);
        } else {
            self.bytes[1] = self.bytes[1] & !0x30 | ecn.bits() << 4;
        }
    }

    /// Sets where it comes from: the address, and the port where there are ports. False, and nothing changed,
    /// where the address is of the other IP version.
    pub fn set_source(&mut self, source: SocketAddr) -> bool {
        let at = if self.is_ipv4() { 12 } else { 8 };
        self.set_end(at, 0, source)
    }

    /// Sets where it goes; else as [`Packet::set_source`].
    pub fn set_destination(&mut self, destination: SocketAddr) -> bool {
        let at = if self.is_ipv4() { 16 } else { 24 };
        self.set_end(at, 2, destination)
    }

    /// Makes the checksum behind the IP header right again, whatever it was: for tests that forge packets.
    pub fn renew_checksum(&mut self) {
        self.summed = true;
        self.fill_checksum();
    }

    /// What the datagram, segment or message carries, for its receiver to read in place. The packet is none any more
    /// when that changes.
    pub(crate) fn payload_mut(&mut self) -> &mut [u8] {
        let at = self.header_len();
        &mut self.bytes[at..]
    }

    fn set_end(&mut self, ip_at: usize, port_at: usize, end: SocketAddr) -> bool {
        match end.ip() {
            IpAddr::V4(ip) if self.is_ipv4() => self.set_ip(ip_at, ip.octets()),
            IpAddr::V6(ip) if !self.is_ipv4() => self.set_ip(ip_at, ip.octets()),
            _ => return false,
        }
        if matches!(self.kind, Kind::Udp | Kind::Tcp) {
            let at = usize::from(self.transport) + port_at;
            let old = [self.bytes[at], self.bytes[at + 1]];
            let new = end.port().to_be_bytes();
            self.bytes[at..at + 2].copy_from_slice(&new);
            self.update_checksum(&old, &new);
        }
        true
    }

    fn set_ip<const N: usize>(&mut self, at: usize, new: [u8; N]) {
        let mut old = [0; N];
        old.copy_from_slice(&self.bytes[at..at + N]);
        self.bytes[at..at + N].copy_from_slice(&new);
        if self.is_ipv4() {
            let sum = updated(word(&self.bytes, 10), &old, &new);
            put_word(&mut self.bytes, 10, sum);
        }
        // ICMP over IPv4 alone has no pseudo-header.
        if self.kind != Kind::Icmp || !self.is_ipv4() {
            self.update_checksum(&old, &new);
        }
    }

    /// The IPv4 header's checksum after the two bytes at `at` changed from `old`.
    fn update_header_checksum(&mut self, old: &[u8; 2], at: usize) {
        let sum = updated(word(&self.bytes, 10), old, &self.bytes[at..at + 2]);
        put_word(&mut self.bytes, 10, sum);
    }

    /// The checksum behind the IP header after something that it covers changed.
    fn update_checksum(&mut self, old: &[u8], new: &[u8]) {
        if !self.summed {
            return;
        }
        let Some(at) = self.checksum_at() else { return };
        let sum = word(&self.bytes, at);
        if self.kind == Kind::Udp && sum == 0 {
            return; // it has none, and needs none (RFC 768)
        }
        let sum = updated(sum, old, new);
        put_word(&mut self.bytes, at, if self.kind == Kind::Udp && sum == 0 { 0xffff } else { sum });
    }
}
