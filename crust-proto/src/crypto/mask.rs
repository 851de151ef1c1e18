//! Masks that hide the heads of packets, as QUIC's header protection does (RFC 9001 §5.4).
//!
//! A [`MaskKey`] is made once from the receiver's receive key; a packet's mask is a function of that key
//! and of a sample of its ciphertext. XOR with the mask both hides and reveals. The cipher is the
//! receiver's choice: AES where it has it in hardware, ChaCha20 elsewhere.

use core::fmt;

use aes::{
    Aes256Enc,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use chacha20::{ChaChaCore, KeyIvInit, R20, cipher::StreamCipherCore, variants::Ietf};
use zeroize::Zeroizing;

use super::{KEY_LEN, first_bytes};

/// Length of a sample and of a mask, in bytes.
pub const MASK_LEN: usize = 16;

/// The cipher that makes the masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MaskKind {
    /// AES-256 (FIPS 197): the mask is the sample, encrypted (RFC 9001 §5.4.3).
    Aes256,
    /// ChaCha20 (RFC 8439): the mask is the begin of the block that the sample names by counter and nonce
    /// (RFC 9001 §5.4.4).
    ChaCha20,
}

/// A key that masks packet heads. Erased from memory when dropped.
pub struct MaskKey(Cipher);

enum Cipher {
    /// The key schedule, expanded. Boxed, for it is large and would leave copies behind when moved.
    Aes256(Box<Aes256Enc>),
    ChaCha20(Zeroizing<[u8; KEY_LEN]>),
}

impl MaskKey {
    /// The mask key made of `key` for the cipher `kind`.
    pub fn new(kind: MaskKind, key: &[u8; KEY_LEN]) -> Self {
        Self(match kind {
            MaskKind::Aes256 => Cipher::Aes256(Box::new(Aes256Enc::new(key.into()))),
            MaskKind::ChaCha20 => Cipher::ChaCha20(Zeroizing::new(*key)),
        })
    }

    /// Which cipher it uses.
    pub const fn kind(&self) -> MaskKind {
        match self.0 {
            Cipher::Aes256(_) => MaskKind::Aes256,
            Cipher::ChaCha20(_) => MaskKind::ChaCha20,
        }
    }

    /// The mask for a packet with this `sample`. One block of the cipher; no allocation.
    pub fn mask(&self, sample: &[u8; MASK_LEN]) -> [u8; MASK_LEN] {
        match &self.0 {
            Cipher::Aes256(cipher) => {
                let mut mask = *sample;
                cipher.encrypt_block((&mut mask).into());
                mask
            }
            Cipher::ChaCha20(key) => {
                let [a, b, c, d, nonce @ ..] = sample;
                let mut cipher = ChaChaCore::<R20, Ietf>::new((&**key).into(), nonce.into());
                // The core, not its buffering wrapper, which refuses to produce the very last block.
                cipher.set_block_pos(u32::from_le_bytes([*a, *b, *c, *d]));
                let mut block = [0u8; 64];
                cipher.write_keystream_block((&mut block).into());
                first_bytes(&block)
            }
        }
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MaskKey").field(&self.kind()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
