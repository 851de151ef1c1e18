//! The provider in pure Rust: dalek's X25519 and RustCrypto's AEADs. It builds everywhere.

use std::sync::Arc;

use aes_gcm::Aes256Gcm;
use chacha20poly1305::{AeadCore, AeadInOut, ChaCha20Poly1305, KeyInit, consts};
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{Aead, AeadKey, CryptoProvider, KEY_LEN, NONCE_LEN, OpenError, TAG_LEN, refuse_to_seal};

/// The pure-Rust provider. It holds nothing; [`pure()`] hands it out ready to share.
#[derive(Clone, Copy, Debug, Default)]
pub struct PureProvider;

/// The pure-Rust provider as a value.
pub fn pure() -> Arc<dyn CryptoProvider> {
    Arc::new(PureProvider)
}

impl CryptoProvider for PureProvider {
    fn name(&self) -> &'static str {
        "pure"
    }

    fn public_key(&self, secret: &[u8; KEY_LEN]) -> [u8; KEY_LEN] {
        PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
    }

    fn dh(&self, secret: &[u8; KEY_LEN], public: &[u8; KEY_LEN]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
        let shared = StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*public));
        let zero = shared.as_bytes().ct_eq(&[0; KEY_LEN]);
        (!bool::from(zero)).then(|| Zeroizing::new(shared.to_bytes()))
    }

    fn aead(&self, aead: Aead, key: &[u8; KEY_LEN]) -> Box<dyn AeadKey> {
        match aead {
            Aead::ChaCha20Poly1305 => Box::new(Key(ChaCha20Poly1305::new(key.into()))),
            Aead::Aes256Gcm => Box::new(Key(Aes256Gcm::new(key.into()))),
        }
    }
}

/// A RustCrypto AEAD with its key expanded; the cipher erases it on drop.
struct Key<C>(C);

impl<C> AeadKey for Key<C>
where
    C: AeadInOut + AeadCore<NonceSize = consts::U12, TagSize = consts::U16> + Send + Sync,
{
    fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        match self.0.encrypt_inout_detached(nonce.into(), aad, (&mut *data).into()) {
            Ok(tag) => tag.into(),
            Err(_) => refuse_to_seal(data),
        }
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        self.0.decrypt_inout_detached(nonce.into(), aad, data.into(), tag.into()).map_err(|_| OpenError)
    }
}
