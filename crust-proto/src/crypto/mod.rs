//! Everything cryptographic, behind values rather than types.
//!
//! A [`CryptoProvider`] is chosen at run time and supplies what is costly: Diffie-Hellman and the AEADs.
//! The pure-Rust one is always there; the one on `aws-lc-rs` stands behind the feature of that name and
//! yields the same bytes. What is small is written once: Noise, key schedules, header masks, cookies.
//!
//! * [`pure`] and `aws` (a feature): the providers; [`best`] picks
//! * [`hash`]: BLAKE2s, HMAC, HKDF, and the one key-derivation function
//! * [`random`]: all randomness, grown from one seed
//! * [`noise`]: the handshakes, which end in a pair of secrets
//! * [`keys`]: what becomes of those secrets: packet keys, nonces, key updates, limits
//! * [`mask`]: masks that hide packet heads
//! * [`cookie`]: proof, without state, that a peer receives at its address

#[cfg(feature = "aws-lc-rs")]
pub mod aws;
pub mod cookie;
pub mod hash;
pub mod keys;
pub mod mask;
pub mod noise;
pub mod pure;
pub mod random;

use core::fmt;
use std::sync::Arc;

/// What keys are handed over in, for those who write a [`CryptoProvider`] of their own.
pub use zeroize::Zeroizing;

/// Length of every AEAD tag here, in bytes.
pub const TAG_LEN: usize = 16;
/// Length of every AEAD nonce here, in bytes.
pub const NONCE_LEN: usize = 12;
/// Length of every symmetric key, private key and public key here, in bytes.
pub const KEY_LEN: usize = 32;

/// The AEADs that sessions can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aead {
    /// RFC 8439; every node has it.
    ChaCha20Poly1305,
    /// NIST SP 800-38D; used where both ends have it in hardware.
    Aes256Gcm,
}

/// An AEAD's opening failed: the packet is forged, damaged, or sealed under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the packet does not authenticate")]
pub struct OpenError;

/// Costly cryptography, implemented by a library of the user's choice.
pub trait CryptoProvider: fmt::Debug + Send + Sync {
    /// A short name for statistics and benchmarks.
    fn name(&self) -> &'static str;

    /// The X25519 public key of a private one (RFC 7748 §6.1).
    fn public_key(&self, secret: &[u8; KEY_LEN]) -> [u8; KEY_LEN];

    /// X25519 (RFC 7748 §5). `None` where the result is all zeros: the peer's key is of low order.
    fn dh(&self, secret: &[u8; KEY_LEN], public: &[u8; KEY_LEN]) -> Option<Zeroizing<[u8; KEY_LEN]>>;

    /// A key for one direction of one epoch.
    fn aead(&self, aead: Aead, key: &[u8; KEY_LEN]) -> Box<dyn AeadKey>;
}

/// One AEAD key. Erased from memory when dropped. Sealing and opening allocate nothing.
pub trait AeadKey: Send + Sync {
    /// Encrypts `data` in place and returns the tag. A nonce must never be used twice with one key.
    ///
    /// No packet comes near the AEADs' length limit (64 GiB for AES-GCM); beyond it, `data` is erased and
    /// nothing is sealed.
    fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN];

    /// Decrypts `data` in place. On failure the content of `data` is unspecified.
    ///
    /// # Errors
    ///
    /// [`OpenError`] where the tag does not fit; the data is worthless then.
    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError>;
}

/// The fastest provider that was compiled in.
pub fn best() -> Arc<dyn CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    return aws::aws_lc_rs();
    #[cfg(not(feature = "aws-lc-rs"))]
    return pure::pure();
}

/// What a key does that can't seal: no plain text may leave, and the other end must refuse what does.
fn refuse_to_seal(data: &mut [u8]) -> [u8; TAG_LEN] {
    data.fill(0);
    [0; TAG_LEN]
}

/// The first `N` bytes of more.
fn first_bytes<const N: usize, const M: usize>(bytes: &[u8; M]) -> [u8; N] {
    const { assert!(N <= M) };
    let mut first = [0; N];
    for (first, byte) in first.iter_mut().zip(bytes) {
        *first = *byte;
    }
    first
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
