//! The provider on `aws-lc-rs`: the same bytes as [`pure`](super::pure), several times faster; needs a C compiler
//! to build.
//!
//! The library's calls can fail in theory, where its allocator does. None of these failures may lose or
//! reveal anything, so each falls back to the pure provider, whose results are the same.

use std::sync::Arc;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    agreement::{PrivateKey, UnparsedPublicKey, X25519, agree},
};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    Aead, AeadKey, CryptoProvider, KEY_LEN, NONCE_LEN, OpenError, TAG_LEN, pure::PureProvider, refuse_to_seal,
};

/// The provider on `aws-lc-rs`. It holds nothing; [`aws_lc_rs()`] hands it out ready to share.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLcProvider;

/// The provider on `aws-lc-rs` as a value.
pub fn aws_lc_rs() -> Arc<dyn CryptoProvider> {
    Arc::new(AwsLcProvider)
}

impl CryptoProvider for AwsLcProvider {
    fn name(&self) -> &'static str {
        "aws-lc-rs"
    }

    fn public_key(&self, secret: &[u8; KEY_LEN]) -> [u8; KEY_LEN] {
        PrivateKey::from_private_key(&X25519, secret)
            .ok()
            .and_then(|private| private.compute_public_key().ok())
            .and_then(|public| public.as_ref().try_into().ok())
            .unwrap_or_else(|| PureProvider.public_key(secret))
    }

    fn dh(&self, secret: &[u8; KEY_LEN], public: &[u8; KEY_LEN]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
        let Ok(private) = PrivateKey::from_private_key(&X25519, secret) else {
            return PureProvider.dh(secret, public);
        };
        // The library refuses all zeros by itself (in constant time); looking again costs nothing and
        // doesn't hang on that.
        let shared = agree(&private, UnparsedPublicKey::new(&X25519, public), (), |shared| {
            <[u8; KEY_LEN]>::try_from(shared).map(Zeroizing::new).map_err(|_| ())
        })
        .ok()?;
        (!bool::from(shared.ct_eq(&[0; KEY_LEN]))).then_some(shared)
    }

    fn aead(&self, aead: Aead, key: &[u8; KEY_LEN]) -> Box<dyn AeadKey> {
        let algorithm = match aead {
            Aead::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            Aead::Aes256Gcm => &AES_256_GCM,
        };
        match UnboundKey::new(algorithm, key) {
            Ok(key) => Box::new(Key(LessSafeKey::new(key))),
            Err(_) => PureProvider.aead(aead, key),
        }
    }
}

/// An AEAD key in the library's own context, which it erases when freed.
struct Key(LessSafeKey);

impl AeadKey for Key {
    fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), data)
            .ok()
            .and_then(|tag| tag.as_ref().try_into().ok())
            .unwrap_or_else(|| refuse_to_seal(data))
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0.open_in_place_separate_tag(nonce, Aad::from(aad), tag, data).map(|_| ()).map_err(|_| OpenError)
    }
}
