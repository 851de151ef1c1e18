//! The Internet checksum (RFC 1071), and how a change of a few bytes changes it (RFC 1624).

use super::{long, word};

/// A ones' complement sum that is not yet folded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum(u64);

impl Sum {
    /// The sum over the bytes, an odd last one filled up with zero.
    pub(super) fn of(bytes: &[u8]) -> Self {
        // 32 bits at a time, since 2^16 = 1 modulo 2^16 − 1, and in the machine's own order of bytes, which the sum
        // does not care about until the end (RFC 1071 §2): both let the compiler use vectors, and so does not
        // looking for an overflow that 64 KiB can't cause.
        let (chunks, rest) = bytes.as_chunks::<4>();
        let mut sum =
            chunks.iter().fold(0_u64, |sum, chunk| sum.wrapping_add(u32::from_ne_bytes(*chunk).into()));
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        sum += u64::from(u32::from_ne_bytes(last));
        Self(u64::from(u16::from_be(fold(sum))))
    }

    /// Both together; `self` must have had an even number of bytes, and has here.
    pub(super) fn add(&mut self, other: Self) {
        self.0 += other.0;
    }

    /// The checksum: the complement of the folded sum. Zero where a sum that contains its checksum holds.
    pub(super) fn finish(self) -> u16 {
        !fold(self.0)
    }
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The pseudo-header of UDP, TCP and ICMPv6 (RFC 768, RFC 9293 §3.1, RFC 8200 §8.1).
pub(super) fn pseudo(ip: &[u8], protocol: u8, length: usize) -> Sum {
    let mut sum = Sum::of(if ip[0] >> 4 == 4 { &ip[12..20] } else { &ip[8..40] });
    sum.0 += u64::from(protocol) + length as u64;
    sum
}

/// The checksum after `old` became `new`, both of the same even length and at an even place (RFC 1624 equation 3).
pub(super) fn updated(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    let mut sum = u64::from(!checksum);
    if old.len() == 4 && new.len() == 4 {
        // The commonest case, an IPv4 address, without loops.
        let (old, new) = (!long(old, 0), long(new, 0));
        sum +=
            u64::from(old >> 16) + u64::from(old & 0xffff) + u64::from(new >> 16) + u64::from(new & 0xffff);
    } else {
        for at in (0..old.len().min(new.len()) & !1).step_by(2) {
            sum += u64::from(!word(old, at)) + u64::from(word(new, at));
        }
    }
    Sum(sum).finish()
}
