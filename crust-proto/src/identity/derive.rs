//! One-way derivation of keys and tags.

use blake2::Blake2s256;
use hmac::{KeyInit, Mac, SimpleHmac};
use zeroize::Zeroizing;

/// HMAC-BLAKE2s-256 (RFC 2104 over RFC 7693) under `key` of `label` and `parts`, each preceded by its length
/// in eight bytes, little-endian, so that no two different lists give the same input.
pub(crate) fn kdf(key: &[u8; 32], label: &str, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    // HMAC itself pads shorter keys with zeros up to the block.
    let mut block = Zeroizing::new([0; 64]);
    block.iter_mut().zip(key).for_each(|(b, k)| *b = *k);
    let mut mac = SimpleHmac::<Blake2s256>::new((&*block).into());
    for part in core::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}
