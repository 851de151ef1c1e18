use core::fmt;

use zeroize::{Zeroize, Zeroizing};

use super::PeerId;
use crate::crypto::hash::kdf;
use crate::wire::codec::Writer;

/// The version of the protocol that this crate speaks. Part of every handshake's prologue.
pub const PROTOCOL_VERSION: u8 = 1;

/// The name of the network of those who don't choose one.
pub const DEFAULT_NETWORK: &str = "crust";

/// The longest name of a network, in bytes of UTF-8.
pub const MAX_NETWORK_NAME_LEN: usize = 64;

/// The shortest passphrase taken for a network's secret, in bytes of UTF-8.
pub const MIN_PASSPHRASE_LEN: usize = 16;

/// A network: its name, and the secret that its members share, if they do.
///
/// Peers talk only to peers of the same network: name and secret go into every handshake. With a secret,
/// nobody else can join, or tell this network's packets from random bytes. Without one, the name alone hides
/// it from those who don't know the name.
#[derive(Clone, Debug)]
pub struct Network {
    name: String,
    secret: Option<NetworkSecret>,
}

impl Network {
    /// The network of this name and secret.
    ///
    /// The name is 1 to [`MAX_NETWORK_NAME_LEN`] bytes without control characters or space at its ends, and is
    /// compared byte by byte: case and Unicode normalisation matter.
    ///
    /// # Errors
    ///
    /// [`NetworkNameError`] where the name is empty, too long, or has control characters or space at an end.
    pub fn new(name: impl Into<String>, secret: Option<NetworkSecret>) -> Result<Self, NetworkNameError> {
        let name = name.into();
        if name.is_empty() {
            return Err(NetworkNameError::Empty);
        }
        if name.len() > MAX_NETWORK_NAME_LEN {
            return Err(NetworkNameError::TooLong { found: name.len() });
        }
        if name.chars().any(char::is_control) {
            return Err(NetworkNameError::ControlCharacter);
        }
        if name.trim() != name {
            return Err(NetworkNameError::SpaceAtEnd);
        }
        Ok(Self { name, secret })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The secret, where there is one.
    pub const fn secret(&self) -> Option<&NetworkSecret> {
        self.secret.as_ref()
    }

    /// The pre-shared key of the Noise handshakes (revision 34, §9): of the network's secret, or zeros.
    pub fn psk(&self) -> Zeroizing<[u8; 32]> {
        match &self.secret {
            Some(_) => self.derive("crust network psk", &[]),
            None => Zeroizing::new([0; 32]),
        }
    }

    /// A mark by which contacts of different networks are told apart.
    ///
    /// It reveals neither name nor secret, but who guesses both can check the guess, and one pair in 2^32
    /// has the same mark by chance.
    pub fn tag(&self) -> NetworkTag {
        let [a, b, c, d, ..] = *self.derive("crust network tag", &[]);
        NetworkTag([a, b, c, d])
    }

    /// The prologue of the Noise handshakes (revision 34, §6): a label, the protocol's version, the name.
    ///
    /// No address is in it: NATs change addresses, and both sides must have the same prologue.
    pub fn prologue(&self) -> Vec<u8> {
        let mut buf = [0; 16 + MAX_NETWORK_NAME_LEN];
        let mut w = Writer::new(&mut buf);
        w.prefixed(b"crust");
        w.prefixed(&[PROTOCOL_VERSION]);
        w.prefixed(self.name.as_bytes());
        let len = w.len();
        buf.iter().take(len).copied().collect()
    }

    /// The key of the envelope around a handshake's first packets, for this responder, or for whoever
    /// answers at an address.
    pub fn hello_key(&self, responder: Option<&PeerId>) -> Zeroizing<[u8; 32]> {
        match responder {
            Some(peer) => self.derive("crust hello key, known peer", &[peer.as_bytes()]),
            None => self.derive("crust hello key, any peer", &[&[0; 32]]),
        }
    }

    /// Derives under the secret (or zeros, and marked as such) from the name and `parts`.
    fn derive(&self, label: &str, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let (key, mark) = match &self.secret {
            Some(secret) => (&*secret.0, b"secret".as_slice()),
            None => (&[0; 32], b"open".as_slice()),
        };
        let mut all = vec![mark, self.name.as_bytes()];
        all.extend_from_slice(parts);
        kdf(key, label, &all)
    }
}

impl Default for Network {
    /// [`DEFAULT_NETWORK`], without a secret.
    fn default() -> Self {
        Self { name: DEFAULT_NETWORK.to_owned(), secret: None }
    }
}

/// What the members of a closed network share. Erased from memory when dropped, never printed.
#[derive(Clone)]
pub struct NetworkSecret(Zeroizing<[u8; 32]>);

impl NetworkSecret {
    /// The secret with these bytes, which must be uniformly random.
    pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
        let secret = Self(Zeroizing::new(bytes));
        bytes.zeroize();
        secret
    }

    /// The secret of a passphrase; space at its ends is ignored.
    ///
    /// **The passphrase must be hard to guess**: it is hashed (HMAC-BLAKE2s), not stretched. Who records one
    /// handshake, or sees one contact, can try billions of passphrases a second against it. Take six or more
    /// words drawn at random, or 20 random characters; a saying or a name with digits will not do. Anything
    /// shorter than [`MIN_PASSPHRASE_LEN`] bytes is refused.
    ///
    /// # Errors
    ///
    /// [`PassphraseError`] where it is too short to be a secret.
    pub fn from_passphrase(passphrase: &str) -> Result<Self, PassphraseError> {
        let passphrase = passphrase.trim();
        if passphrase.len() < MIN_PASSPHRASE_LEN {
            return Err(PassphraseError::TooShort);
        }
        Ok(Self(kdf(&[0; 32], "crust network passphrase", &[passphrase.as_bytes()])))
    }
}

impl fmt::Debug for NetworkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkSecret(..)")
    }
}

/// The mark of a network; see [`Network::tag`]. Shown as eight hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkTag([u8; 4]);

impl NetworkTag {
    /// The tag with these bytes.
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

impl fmt::Display for NetworkTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for NetworkTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkTag({self})")
    }
}

/// Why a name cannot be a network's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkNameError {
    /// No name at all.
    #[error("a network's name cannot be empty: leave it out to use {DEFAULT_NETWORK:?}")]
    Empty,
    /// Longer than [`MAX_NETWORK_NAME_LEN`].
    #[error(
        "a network's name has at most {MAX_NETWORK_NAME_LEN} bytes, this has {found}: choose a shorter one"
    )]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// Line breaks and the like.
    #[error("a network's name contains no line breaks or other control characters: remove them")]
    ControlCharacter,
    /// Space at an end, most likely by accident; it would be another network.
    #[error("a network's name neither begins nor ends with a space: remove it")]
    SpaceAtEnd,
}

/// Why a passphrase cannot be a network's secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// Shorter than [`MIN_PASSPHRASE_LEN`]: it could be guessed.
    #[error(
        "a network's passphrase has at least {MIN_PASSPHRASE_LEN} characters, or it is soon guessed: \
         take six random words"
    )]
    TooShort,
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
