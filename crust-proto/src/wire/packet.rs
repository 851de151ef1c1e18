//! The head of a data packet.
//!
//! Every datagram of a session is a 16-byte head, sealed frames, and the AEAD's 16-byte tag:
//!
//! ```text
//!  0       3           7      8        11             16
//! | slot  | slot check | epoch | path   | packet number | frames ...          | tag (16) |
//!  <------- masked with the receiver's receive key ----> <------- sealed -------------->
//! ```
//!
//! *Slot* is the session's index at the receiver and *slot check* a random value that the receiver chose with
//! it: together they route the packet by an array access and tell garbage apart before any AEAD is tried.
//! *Epoch* is the low byte of the key epoch. The head in clear is the AEAD's associated data; on the wire it
//! is xored with one cipher block keyed with the receive key over the datagram's last 16 bytes.

use super::codec::{Malformed, Reader, Writer};
use crate::crypto::TAG_LEN;
use crate::crypto::mask::MaskKey;

/// The length of a head, in bytes.
pub const HEAD_LEN: usize = 16;
/// The shortest data packet: a head and a tag.
pub const MIN_PACKET: usize = HEAD_LEN + TAG_LEN;
/// Slots are below this.
pub const MAX_SLOT: u32 = 1 << 24;
/// Path numbers are below this.
pub const MAX_PATH: u32 = 1 << 24;
/// Packet numbers are below this: 2^40 packets of 1,200 bytes are 1.3 petabytes on one path.
pub const MAX_PACKET_NUMBER: u64 = 1 << 40;

/// A data packet's head in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The session's index at the receiver, below [`MAX_SLOT`].
    pub slot: u32,
    /// The receiver's random value for that slot.
    pub check: u32,
    /// The low byte of the key epoch.
    pub epoch: u8,
    /// The path's number, below [`MAX_PATH`].
    pub path: u32,
    /// The packet's number on its path, below [`MAX_PACKET_NUMBER`].
    pub packet_number: u64,
}

impl Head {
    /// The head in clear, as the AEAD authenticates it.
    pub fn encode(&self) -> [u8; HEAD_LEN] {
        let mut out = [0; HEAD_LEN];
        let mut w = Writer::new(&mut out);
        let [_, slot @ ..] = self.slot.to_be_bytes();
        w.bytes(&slot);
        w.u32(self.check);
        w.u8(self.epoch);
        let [_, path @ ..] = self.path.to_be_bytes();
        w.bytes(&path);
        let [_, _, _, number @ ..] = self.packet_number.to_be_bytes();
        w.bytes(&number);
        out
    }

    /// Reads a head in clear. Any 16 bytes are one.
    pub fn decode(bytes: &[u8; HEAD_LEN]) -> Self {
        let [s0, s1, s2, c0, c1, c2, c3, epoch, p0, p1, p2, n0, n1, n2, n3, n4] = *bytes;
        Self {
            slot: u32::from_be_bytes([0, s0, s1, s2]),
            check: u32::from_be_bytes([c0, c1, c2, c3]),
            epoch,
            path: u32::from_be_bytes([0, p0, p1, p2]),
            packet_number: u64::from_be_bytes([0, 0, 0, n0, n1, n2, n3, n4]),
        }
    }
}

/// The first 16 bytes of `datagram`, unmasked with `key`; the datagram itself is left as it is, so that
/// another key can be tried.
///
/// # Errors
///
/// [`Malformed`] where it is too short to be a packet.
pub fn unmask(datagram: &[u8], key: &MaskKey) -> Result<[u8; HEAD_LEN], Malformed> {
    let sample = datagram.last_chunk::<16>().ok_or(Malformed)?;
    let mut head = Reader::new(datagram).array::<HEAD_LEN>()?;
    if datagram.len() < MIN_PACKET {
        return Err(Malformed);
    }
    xor(&mut head, &key.mask(sample));
    Ok(head)
}

/// Masks the first 16 bytes of `datagram` with `key`, once its last 16 bytes are final.
pub fn mask(datagram: &mut [u8], key: &MaskKey) {
    let Some(sample) = datagram.last_chunk::<16>().copied() else { return };
    if let Some(head) = datagram.first_chunk_mut::<HEAD_LEN>() {
        xor(head, &key.mask(&sample));
    }
}

pub(super) fn xor(head: &mut [u8; HEAD_LEN], mask: &[u8; 16]) {
    for (byte, m) in head.iter_mut().zip(mask) {
        *byte ^= m;
    }
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
