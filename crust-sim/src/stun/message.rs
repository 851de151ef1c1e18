//! STUN's messages: written, and read back (RFC 8489 §5, §14).

use std::net::{IpAddr, SocketAddr};

/// RFC 8489 §5.
pub(super) const COOKIE: u32 = 0x2112_a442;
const HEADER: usize = 20;
pub(super) const REQUEST: u16 = 0x0001;
pub(super) const SUCCESS: u16 = 0x0101;
pub(super) const FAILURE: u16 = 0x0111;
pub(super) const CHANGE_REQUEST: u16 = 0x0003;
/// RFC 5780 §7.5.
pub(super) const RESPONSE_PORT: u16 = 0x0027;
pub(super) const ERROR_CODE: u16 = 0x0009;
pub(super) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
pub(super) const RESPONSE_ORIGIN: u16 = 0x802b;
pub(super) const OTHER_ADDRESS: u16 = 0x802c;
/// CHANGE-REQUEST's bits (RFC 5780 §7.2): answer from the other address …
pub(super) const CHANGE_IP: u32 = 4;
/// … from the other port.
pub(super) const CHANGE_PORT: u32 = 2;

pub(super) type Transaction = [u8; 12];

/// A STUN message: its type, its transaction, and its attributes.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: u16,
    pub(super) transaction: Transaction,
    pub(super) attributes: Vec<(u16, Vec<u8>)>,
}

impl Message {
    pub(super) fn new(kind: u16, transaction: Transaction) -> Self {
        Self { kind, transaction, attributes: Vec::new() }
    }

    pub(super) fn with(mut self, kind: u16, value: Vec<u8>) -> Self {
        self.attributes.push((kind, value));
        self
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in &self.attributes {
            body.extend_from_slice(&kind.to_be_bytes());
            body.extend_from_slice(&(value.len() as u16).to_be_bytes());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend_from_slice(&self.kind.to_be_bytes());
        bytes.extend_from_slice(&(body.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&COOKIE.to_be_bytes());
        bytes.extend_from_slice(&self.transaction);
        bytes.extend_from_slice(&body);
        bytes
    }

    /// `None` for whatever is no STUN message.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, mut body) = bytes.split_first_chunk::<HEADER>()?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if kind & 0xc000 != 0 || header[4..8] != COOKIE.to_be_bytes() || length != body.len() {
            return None;
        }
        let mut message = Self::new(kind, header[8..20].try_into().ok()?);
        while !body.is_empty() {
            let (head, rest) = body.split_first_chunk::<4>()?;
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = rest.get(..length)?;
            message.attributes.push((u16::from_be_bytes([head[0], head[1]]), value.to_vec()));
            body = rest.get(length.next_multiple_of(4)..)?;
        }
        Some(message)
    }

    pub(super) fn get(&self, kind: u16) -> Option<&[u8]> {
        self.attributes.iter().find(|(found, _)| *found == kind).map(|(_, value)| &value[..])
    }
}

/// MAPPED-ADDRESS and its like (RFC 8489 §14.1); with a transaction, XOR-MAPPED-ADDRESS (§14.2).
pub(super) fn put_address(address: SocketAddr, xor: Option<&Transaction>) -> Vec<u8> {
    let mut value = vec![0, if address.is_ipv4() { 1 } else { 2 }];
    value.extend_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => value.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => value.extend_from_slice(&ip.octets()),
    }
    if let Some(transaction) = xor {
        mask(&mut value, transaction);
    }
    value
}

pub(super) fn get_address(value: &[u8], xor: Option<&Transaction>) -> Option<SocketAddr> {
    let mut value = value.to_vec();
    let length = match value.get(1)? {
        1 => 8,
        2 => 20,
        _ => return None,
    };
    if value.len() != length {
        return None;
    }
    if let Some(transaction) = xor {
        mask(&mut value, transaction);
    }
    let ip = match <[u8; 4]>::try_from(&value[4..]) {
        Ok(octets) => IpAddr::from(octets),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(&value[4..]).ok()?),
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes([value[2], value[3]])))
}

fn mask(value: &mut [u8], transaction: &Transaction) {
    let cookie = COOKIE.to_be_bytes();
    let (port, ip) = value[2..].split_at_mut(2);
    for (byte, mask) in port.iter_mut().zip(cookie) {
        *byte ^= mask;
    }
    for (byte, mask) in ip.iter_mut().zip(cookie.iter().chain(transaction)) {
        *byte ^= mask;
    }
}
