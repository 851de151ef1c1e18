//! A crypto provider for worlds that hides nothing and costs little.
//!
//! It exists only here, and no adapter can be built with it: whoever listens reads all of it, and whoever knows this
//! file forges any of it. In a world that is no harm, and runs become several times faster. Both ends of a session
//! must use it.

use std::sync::Arc;

use crust_proto::crypto::{
    Aead, AeadKey, CryptoProvider, KEY_LEN, NONCE_LEN, OpenError, TAG_LEN, Zeroizing, pure::pure,
};

use crate::digest::{checksum, digest, digest_headers};

/// A provider whose AEADs do not encrypt. **For worlds only.**
///
/// The sizes on the wire are the real ones: each tag has its 16 bytes, a keyed checksum over nonce, associated data
/// and data, so that packets that are damaged, repeated under another number or meant for another key are refused as
/// they would be, in all runs alike; nothing in it withstands an attacker. Diffie-Hellman is real X25519, for ids are
/// its public keys.
///
/// ```
/// use crust_proto::{Config, Network, SecretKey};
///
/// let key = SecretKey::from_bytes([7; 32]);
/// let config = Config::new(key, Network::new("a world", None).unwrap(), crust_sim::cipher::null());
/// assert_eq!(config.provider.name(), "null");
/// ```
pub fn null() -> Arc<dyn CryptoProvider> {
    Arc::new(Null(pure()))
}

/// The curve is another provider's.
#[derive(Debug)]
struct Null(Arc<dyn CryptoProvider>);

impl CryptoProvider for Null {
    fn name(&self) -> &'static str {
        "null"
    }

    fn public_key(&self, secret: &[u8; KEY_LEN]) -> [u8; KEY_LEN] {
        self.0.public_key(secret)
    }

    fn dh(&self, secret: &[u8; KEY_LEN], public: &[u8; KEY_LEN]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
        self.0.dh(secret, public)
    }

    fn aead(&self, aead: Aead, key: &[u8; KEY_LEN]) -> Box<dyn AeadKey> {
        Box::new(NullKey(digest(key, aead as u64)))
    }
}

/// All of the key that tags depend on.
struct NullKey(u64);

impl AeadKey for NullKey {
    fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        self.tag(nonce, aad, data)
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        if self.tag(nonce, aad, data) == *tag { Ok(()) } else { Err(OpenError) }
    }
}

impl NullKey {
    fn tag(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &[u8]) -> [u8; TAG_LEN] {
        let mut number = [0; 16];
        number[..NONCE_LEN].copy_from_slice(nonce);
        let seed = digest_headers(&number, self.0);
        // The heads of packets, mostly.
        let seed = if aad.len() < 16 { digest(aad, seed) } else { digest_headers(aad, seed) };
        let words = checksum(data, seed);
        let mut tag = [0; TAG_LEN];
        for (bytes, word) in tag.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        tag
    }
}

#[cfg(test)]
#[path = "cipher_tests.rs"]
mod tests;
