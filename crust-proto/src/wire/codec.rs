//! Bounded cursors over bytes: every decoder and encoder of the wire goes through these two types.
//!
//! Integers are RFC 9000 §16 variable-length integers unless a fixed width is named; all are big-endian.

/// The largest value a variable-length integer can carry: 2^62 − 1 (RFC 9000 §16).
pub const MAX_VARINT: u64 = (1 << 62) - 1;

/// Bytes ended early, or a value was out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed: the bytes end early or a value is out of range")]
pub struct Malformed;

/// How many bytes `value` takes as a variable-length integer.
pub const fn varint_len(value: u64) -> usize {
    if value < 1 << 6 {
        1
    } else if value < 1 << 14 {
        2
    } else if value < 1 << 30 {
        4
    } else {
        8
    }
}

/// Reads values off the front of a byte slice; never past its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over all of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where fewer bytes are left.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where fewer bytes are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*head)
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// One byte.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where fewer bytes are left.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[b]| b)
    }

    /// Two bytes, big-endian.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where fewer bytes are left.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where fewer bytes are left.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where fewer bytes are left.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// A variable-length integer (RFC 9000 §16).
    ///
    /// # Errors
    ///
    /// [`Malformed`] where fewer bytes are left.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let first = *self.rest.first().ok_or(Malformed)?;
        let len = 1usize << (first >> 6);
        let mut value = 0u64;
        for (i, &byte) in self.bytes(len)?.iter().enumerate() {
            let byte = if i == 0 { byte & 0x3f } else { byte };
            value = value << 8 | u64::from(byte);
        }
        Ok(value)
    }

    /// A variable-length integer that must fit a `usize`.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where fewer bytes are left, or it is more than this machine can count.
    pub fn varint_usize(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.varint()?).map_err(|_| Malformed)
    }

    /// A variable-length integer's worth of bytes: length, then content.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where fewer bytes are left.
    pub fn prefixed(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.varint_usize()?;
        self.bytes(len)
    }
}

/// Appends values to a fixed slice. Writing past its end writes nothing and is remembered:
/// check [`Writer::remaining`] first, or [`Writer::finish`] afterwards.
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut [u8],
    at: usize,
    overflow: bool,
}

impl<'a> Writer<'a> {
    /// A writer at the start of `buf`.
    pub const fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, at: 0, overflow: false }
    }

    /// Bytes written so far.
    pub const fn len(&self) -> usize {
        self.at
    }

    /// Whether nothing was written yet.
    pub const fn is_empty(&self) -> bool {
        self.at == 0
    }

    /// Room left.
    pub const fn remaining(&self) -> usize {
        self.buf.len() - self.at
    }

    /// Appends `bytes`, whole or not at all.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if let Some(slot) = self.reserve(bytes.len()) {
            slot.copy_from_slice(bytes);
        }
    }

    /// Takes the next `n` bytes of room to be filled by the caller; `None` (and an overflow) past the end.
    pub fn reserve(&mut self, n: usize) -> Option<&mut [u8]> {
        let slot = self.buf.get_mut(self.at..).and_then(|room| room.get_mut(..n));
        match slot {
            Some(slot) => {
                self.at += n;
                Some(slot)
            }
            None => {
                self.overflow = true;
                None
            }
        }
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// A variable-length integer (RFC 9000 §16). Values above [`MAX_VARINT`] count as an overflow.
    pub fn varint(&mut self, value: u64) {
        let be = value.to_be_bytes();
        match varint_len(value) {
            1 => self.bytes(&[be[7]]),
            2 => self.bytes(&[be[6] | 0x40, be[7]]),
            4 => self.bytes(&[be[4] | 0x80, be[5], be[6], be[7]]),
            _ if value > MAX_VARINT => self.overflow = true,
            _ => self.bytes(&[be[0] | 0xc0, be[1], be[2], be[3], be[4], be[5], be[6], be[7]]),
        }
    }

    /// A length in bytes or a count, as a variable-length integer.
    pub fn varint_usize(&mut self, value: usize) {
        self.varint(value as u64);
    }

    /// Length, then content.
    pub fn prefixed(&mut self, bytes: &[u8]) {
        self.varint_usize(bytes.len());
        self.bytes(bytes);
    }

    /// The bytes written, unless something did not fit.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where something did not fit.
    pub fn finish(self) -> Result<usize, Malformed> {
        if self.overflow { Err(Malformed) } else { Ok(self.at) }
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
