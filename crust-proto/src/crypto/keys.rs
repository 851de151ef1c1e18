//! What becomes of the secrets that a handshake ends in: packet keys, nonces, key updates, limits.
//!
//! A session has one [`TrafficSecret`] a direction. It yields the [`PacketKey`] of the present epoch and,
//! by [`TrafficSecret::next`], the secret of the epoch after; neither leads back, so that a dropped secret
//! takes its epoch's packets with it. One packet key serves every path of the session: the nonce tells the
//! paths apart.

use core::fmt;

use zeroize::Zeroizing;

use super::{Aead, AeadKey, CryptoProvider, KEY_LEN, NONCE_LEN, OpenError, TAG_LEN, first_bytes, hash::kdf};

/// The most packets that one key may seal, over all paths, before it must be updated (RFC 9001 §6.6). It
/// keeps an attacker's advantage in telling ciphertext from noise below 2^-57.
///
/// * AES-GCM: 2^23, which RFC 9001 appendix B.1.1 gives for packets of up to 2^16 bytes, head and tag
///   included. (QUIC implementations that keep below 2^11 bytes may seal 2^28; a packet here can be a whole
///   TCP record.)
/// * ChaCha20-Poly1305: 2^62, more than are ever sent: the cipher sets no limit.
pub const fn confidentiality_limit(aead: Aead) -> u64 {
    match aead {
        Aead::Aes256Gcm => 1 << 23,
        Aead::ChaCha20Poly1305 => 1 << 62,
    }
}

/// The most packets that may fail to open within a session, over all paths and epochs, before it must be
/// closed (RFC 9001 §6.6). It keeps an attacker's chance to forge one below 2^-57.
///
/// * AES-GCM: 2^52, which RFC 9001 appendix B.1.2 gives for packets of up to 2^16 bytes.
/// * ChaCha20-Poly1305: 2^33. The bound is v · (L + 1) / 2^103 for v attempts at packets of L blocks of 16
///   bytes, head included (draft-irtf-cfrg-aead-limits §5.2.1). Packets of 2^16 bytes leave 2^34, halved
///   here for a margin; the 2^36 of RFC 9001 holds for packets of up to 2^14 bytes.
pub const fn integrity_limit(aead: Aead) -> u64 {
    match aead {
        Aead::Aes256Gcm => 1 << 52,
        Aead::ChaCha20Poly1305 => 1 << 33,
    }
}

/// The secret behind the packets of one direction in one epoch. Erased from memory when dropped.
pub struct TrafficSecret(Zeroizing<[u8; KEY_LEN]>);

impl TrafficSecret {
    /// The secret of the first epoch, out of the handshake.
    pub fn new(secret: [u8; KEY_LEN]) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The secret of the next epoch (a key update, as in RFC 9001 §6.1).
    #[must_use]
    pub fn next(&self) -> Self {
        Self(kdf(&self.0, "ku", &[]))
    }

    /// The key that seals or opens this epoch's packets. Each AEAD has keys of its own.
    pub fn packet_key(&self, provider: &dyn CryptoProvider, aead: Aead) -> PacketKey {
        let name: &[u8] = match aead {
            Aead::ChaCha20Poly1305 => b"chacha20-poly1305",
            Aead::Aes256Gcm => b"aes-256-gcm",
        };
        let key = kdf(&self.0, "key", &[name]);
        let iv = Zeroizing::new(first_bytes(&kdf(&self.0, "iv", &[name])));
        PacketKey { aead: provider.aead(aead, &key), iv }
    }
}

impl fmt::Debug for TrafficSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrafficSecret(..)")
    }
}

/// The key of one direction's packets in one epoch, on all paths. Erased from memory when dropped.
///
/// The nonce of a packet is the 96-bit IV, which is secret, XOR the path's number in 32 bits and the
/// packet number in 64, both big-endian (as in draft-ietf-quic-multipath §2.4, where packet numbers end
/// at 2^62). So no two packets share a nonce as long as no path repeats a packet number and no path number
/// is given twice within an epoch.
pub struct PacketKey {
    aead: Box<dyn AeadKey>,
    iv: Zeroizing<[u8; NONCE_LEN]>,
}

impl PacketKey {
    /// Seals `data` in place, with `aad` authenticated beside it, and returns the tag. Nothing is allocated.
    pub fn seal(&self, path: u32, packet_number: u64, aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        self.aead.seal(&self.nonce(path, packet_number), aad, data)
    }

    /// Opens `data` in place. Nothing is allocated.
    ///
    /// # Errors
    /// [`OpenError`] if any of the arguments is not what it was when sealing; `data` is then unspecified.
    pub fn open(
        &self,
        path: u32,
        packet_number: u64,
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        self.aead.open(&self.nonce(path, packet_number), aad, data, tag)
    }

    fn nonce(&self, path: u32, packet_number: u64) -> [u8; NONCE_LEN] {
        let mut nonce = *self.iv;
        let number = path.to_be_bytes().into_iter().chain(packet_number.to_be_bytes());
        for (byte, number) in nonce.iter_mut().zip(number) {
            *byte ^= number;
        }
        nonce
    }
}

impl fmt::Debug for PacketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PacketKey(..)")
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
