//! Lists of `type, length, value`, and the socket addresses that stand in them.
//!
//! What two versions tell each other before they know each other's version goes into such a list: the
//! handshake's payloads, a contact. Types and lengths are variable-length integers (RFC 9000 §16); entries
//! come in any order. A reader walks the list with [`tlvs`], **skips the types it doesn't know**, so that a
//! later version can add some, and refuses a second entry of a type that it knows to stand alone
//! ([`set_once`]).
//!
//! An address is a byte `4` or `6`, then the IP address, then the port in two bytes, big-endian. It has one
//! form only: an IPv4 address mapped into IPv6 (RFC 4291 §2.5.5.2), as dual-stack sockets report it, is
//! written and read as IPv4, and what means something on one computer alone (an IPv6 scope, a flow label)
//! is dropped.

use core::iter::FusedIterator;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::codec::{MAX_VARINT, Malformed, Reader, Writer, varint_len};

const IPV4: u8 = 4;
const IPV6: u8 = 6;

/// The longest encoding of one address, in bytes.
pub const MAX_ADDR_LEN: usize = 1 + 16 + 2;

/// Appends entries to a vector.
///
/// Types and numbers above [`MAX_VARINT`] have no encoding: such an entry is left out whole and remembered,
/// see [`TlvWriter::finish`].
#[derive(Debug)]
pub struct TlvWriter<'a> {
    out: &'a mut Vec<u8>,
    overflow: bool,
}

impl<'a> TlvWriter<'a> {
    /// A writer that appends to `out`.
    pub const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, overflow: false }
    }

    /// Appends an entry.
    pub fn put(&mut self, kind: u64, value: &[u8]) {
        if kind > MAX_VARINT {
            self.overflow = true;
            return;
        }
        push_varint(self.out, kind);
        push_varint(self.out, value.len() as u64);
        self.out.extend_from_slice(value);
    }

    /// Appends an entry whose value is one variable-length integer.
    pub fn put_varint(&mut self, kind: u64, value: u64) {
        if kind > MAX_VARINT || value > MAX_VARINT {
            self.overflow = true;
            return;
        }
        push_varint(self.out, kind);
        push_varint(self.out, varint_len(value) as u64);
        push_varint(self.out, value);
    }

    /// Whether every entry could be written.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where something had no encoding.
    pub const fn finish(self) -> Result<(), Malformed> {
        if self.overflow { Err(Malformed) } else { Ok(()) }
    }
}

/// Appends a variable-length integer that is known to be at most [`MAX_VARINT`].
fn push_varint(out: &mut Vec<u8>, value: u64) {
    let mut buf = [0; 8];
    let mut w = Writer::new(&mut buf);
    w.varint(value);
    let len = w.len();
    out.extend(buf.iter().take(len));
}

/// The entries of a list, in the order in which they were written.
///
/// A list that ends within an entry yields an error in its place, and nothing after it.
pub const fn tlvs(bytes: &[u8]) -> Tlvs<'_> {
    Tlvs { reader: Reader::new(bytes) }
}

/// Iterator over the entries of a list; made by [`tlvs`].
#[derive(Clone, Debug)]
pub struct Tlvs<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Result<(u64, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let entry = self.reader.varint().and_then(|kind| Ok((kind, self.reader.prefixed()?)));
        if entry.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(entry)
    }
}

impl FusedIterator for Tlvs<'_> {}

/// Stores the value of an entry that may stand only once: a second one is malformed.
///
/// # Errors
///
/// [`Malformed`] where there was one already.
pub fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), Malformed> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Malformed),
    }
}

/// Reads a value that is one variable-length integer and nothing else.
///
/// # Errors
///
/// [`Malformed`] where it is not one varint and nothing else.
pub fn varint_value(value: &[u8]) -> Result<u64, Malformed> {
    let mut reader = Reader::new(value);
    let number = reader.varint()?;
    if reader.is_empty() { Ok(number) } else { Err(Malformed) }
}

/// `addr` in the form that it has on the wire: IPv4 where it is an IPv4 address mapped into IPv6, without
/// scope and flow label.
pub const fn canonical_addr(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// How many bytes [`put_addr`] and [`write_addr`] take for `addr`.
pub const fn addr_len(addr: SocketAddr) -> usize {
    match canonical_addr(addr).ip() {
        IpAddr::V4(_) => 1 + 4 + 2,
        IpAddr::V6(_) => MAX_ADDR_LEN,
    }
}

/// Appends an address to a vector.
pub fn put_addr(out: &mut Vec<u8>, addr: SocketAddr) {
    match canonical_addr(addr).ip() {
        IpAddr::V4(ip) => {
            out.push(IPV4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(IPV6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&addr.port().to_be_bytes());
}

/// Writes an address into a packet.
pub fn write_addr(w: &mut Writer<'_>, addr: SocketAddr) {
    match canonical_addr(addr).ip() {
        IpAddr::V4(ip) => {
            w.u8(IPV4);
            w.bytes(&ip.octets());
        }
        IpAddr::V6(ip) => {
            w.u8(IPV6);
            w.bytes(&ip.octets());
        }
    }
    w.u16(addr.port());
}

/// Reads an address, and nothing after it.
///
/// # Errors
///
/// [`Malformed`] where it is no address.
pub fn read_addr(reader: &mut Reader<'_>) -> Result<SocketAddr, Malformed> {
    let ip = match reader.u8()? {
        IPV4 => IpAddr::from(Ipv4Addr::from(reader.array::<4>()?)),
        IPV6 => IpAddr::from(Ipv6Addr::from(reader.array::<16>()?)),
        _ => return Err(Malformed),
    };
    Ok(canonical_addr(SocketAddr::new(ip, reader.u16()?)))
}

/// Reads a value that is a list of addresses; more than `limit` of them are malformed.
///
/// # Errors
///
/// [`Malformed`] where one is none, or there are more than `limit`.
pub fn read_addrs(bytes: &[u8], limit: usize) -> Result<Vec<SocketAddr>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut addrs = Vec::new();
    while !reader.is_empty() {
        if addrs.len() == limit {
            return Err(Malformed);
        }
        addrs.push(read_addr(&mut reader)?);
    }
    Ok(addrs)
}

#[cfg(test)]
#[path = "tlv_tests.rs"]
mod tests;
