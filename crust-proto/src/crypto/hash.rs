//! BLAKE2s (RFC 7693) and what is built on it: HMAC, Noise's HKDF, and the one key-derivation function.
//!
//! Everything here is a function of its inputs; nothing is kept. HMAC stands here rather than coming from
//! a library because the one for lazily buffered hashes leaves the padded key in memory when dropped.

use blake2::{Blake2s256, Digest};
use zeroize::Zeroizing;

use super::KEY_LEN;

/// Length of every hash and MAC here, in bytes.
pub const HASH_LEN: usize = 32;
/// BLAKE2s works on blocks of this many bytes.
const BLOCK_LEN: usize = 64;
/// HMAC's paddings (RFC 2104 §2).
const INNER_PAD: u8 = 0x36;
const OUTER_PAD: u8 = 0x5c;

/// BLAKE2s-256 (RFC 7693) over the concatenation of `parts`.
///
/// Where the borders between parts matter, use [`kdf`], which encodes them.
pub fn hash(parts: &[&[u8]]) -> [u8; HASH_LEN] {
    let mut state = Blake2s256::new();
    for part in parts {
        state.update(part);
    }
    state.finalize().into()
}

/// HMAC-BLAKE2s-256 (RFC 2104) over the concatenation of `parts`.
pub fn hmac(key: &[u8; KEY_LEN], parts: &[&[u8]]) -> Zeroizing<[u8; HASH_LEN]> {
    let mut mac = Hmac::new(key);
    for part in parts {
        mac.update(part);
    }
    mac.finish()
}

/// Noise's HKDF with two outputs (Noise §4.3).
pub fn hkdf2(
    chaining_key: &[u8; HASH_LEN],
    input: &[u8],
) -> (Zeroizing<[u8; HASH_LEN]>, Zeroizing<[u8; HASH_LEN]>) {
    let temp = hmac(chaining_key, &[input]);
    let first = hmac(&temp, &[&[1]]);
    let second = hmac(&temp, &[&first[..], &[2]]);
    (first, second)
}

/// Three outputs of [`hkdf3`].
pub type ThreeKeys = (Zeroizing<[u8; HASH_LEN]>, Zeroizing<[u8; HASH_LEN]>, Zeroizing<[u8; HASH_LEN]>);

/// Noise's HKDF with three outputs (Noise §4.3).
pub fn hkdf3(chaining_key: &[u8; HASH_LEN], input: &[u8]) -> ThreeKeys {
    let temp = hmac(chaining_key, &[input]);
    let first = hmac(&temp, &[&[1]]);
    let second = hmac(&temp, &[&first[..], &[2]]);
    let third = hmac(&temp, &[&second[..], &[3]]);
    (first, second, third)
}

/// The key-derivation function of everything outside Noise: HMAC-BLAKE2s keyed with `key`, over `label`
/// and each of `parts`, every one of them behind its length (8 bytes, little-endian).
///
/// No two different lists of label and parts encode alike, so a border can't be moved: `["ab", "c"]`
/// and `["a", "bc"]` give unrelated keys.
pub fn kdf(key: &[u8; KEY_LEN], label: &str, parts: &[&[u8]]) -> Zeroizing<[u8; KEY_LEN]> {
    kdf_chain(key, label, parts.iter().copied())
}

/// [`kdf`] over parts that do not lie in one slice.
pub(super) fn kdf_chain<'a>(
    key: &[u8; KEY_LEN],
    label: &str,
    parts: impl Iterator<Item = &'a [u8]>,
) -> Zeroizing<[u8; KEY_LEN]> {
    let mut mac = Hmac::new(key);
    mac.update_prefixed(label.as_bytes());
    for part in parts {
        mac.update_prefixed(part);
    }
    mac.finish()
}

/// A running HMAC-BLAKE2s-256. Both hash states are erased on drop by `blake2`.
struct Hmac {
    inner: Blake2s256,
    outer: Blake2s256,
}

impl Hmac {
    fn new(key: &[u8; KEY_LEN]) -> Self {
        let mut pad = Zeroizing::new([INNER_PAD; BLOCK_LEN]);
        for (pad, key) in pad.iter_mut().zip(key) {
            *pad ^= key;
        }
        let inner = Blake2s256::new_with_prefix(&pad[..]);
        for pad in pad.iter_mut() {
            *pad ^= INNER_PAD ^ OUTER_PAD;
        }
        Self { inner, outer: Blake2s256::new_with_prefix(&pad[..]) }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.inner.update(bytes);
    }

    fn update_prefixed(&mut self, bytes: &[u8]) {
        self.update(&(bytes.len() as u64).to_le_bytes());
        self.update(bytes);
    }

    fn finish(mut self) -> Zeroizing<[u8; HASH_LEN]> {
        let mut digest = Zeroizing::new([0; HASH_LEN]);
        self.inner.finalize_into((&mut *digest).into());
        self.outer.update(&digest[..]);
        self.outer.finalize_into((&mut *digest).into());
        digest
    }
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
