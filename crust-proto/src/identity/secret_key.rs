use core::fmt;

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use super::PeerId;
use super::base32::{self, BadSymbols, CHECKED_SYMBOLS, Kind, SECRET_PREFIX, decode_checked, encode_checked};
use crate::crypto::hash::kdf;

/// How a key file's line begins.
const LINE_PREFIX: &str = "crust-secret-";

/// A node's X25519 private key (RFC 7748 §5): whoever has it is that node.
///
/// It is erased from memory when dropped, as is every clone, and never printed: `Debug` shows the peer id
/// that belongs to it.
#[derive(Clone)]
pub struct SecretKey {
    bytes: Zeroizing<[u8; 32]>,
    peer: PeerId,
}

impl SecretKey {
    /// The key with these bytes, as they are: X25519 itself clamps them (RFC 7748 §5).
    ///
    /// The bytes must be uniformly random and secret. To make a new key, use [`SecretKey::from_entropy`].
    pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
        let key = StaticSecret::from(bytes);
        let peer = PeerId::from_bytes(PublicKey::from(&key).to_bytes());
        let secret = Zeroizing::new(bytes);
        bytes.zeroize();
        Self { bytes: secret, peer }
    }

    /// A new key, from 32 bytes of the system's randomness.
    ///
    /// The entropy is hashed under a label of its own, so that a caller who draws once and uses the bytes for
    /// something else too gives neither away by the other. Hashing adds no entropy: a guessable input makes
    /// a guessable key.
    pub fn from_entropy(mut entropy: [u8; 32]) -> Self {
        let key = kdf(&entropy, "crust secret key", &[]);
        entropy.zeroize();
        Self::from_bytes(*key)
    }

    /// The key itself. Copies of it are the caller's to erase.
    pub fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The public key that belongs to it.
    pub const fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// The content of a key file: two lines of comment, then the key with a checksum.
    ///
    /// Only its owner may be able to read the file; see to that before anything is written to it.
    pub fn to_key_file(&self) -> Zeroizing<String> {
        // Reserved at once: a string that grows leaves copies of itself behind.
        let comment = format!(
            "# A crust secret key. Whoever has it can pose as this node: show it to nobody.\n\
             # Its peer id, which anybody may know: {}\n",
            self.peer
        );
        let len = comment.len() + LINE_PREFIX.len() + CHECKED_SYMBOLS + 1;
        let mut text = Zeroizing::new(String::with_capacity(len));
        text.push_str(&comment);
        text.push_str(LINE_PREFIX);
        encode_checked(Kind::SecretKey, &self.bytes, |c| text.push(c));
        text.push('\n');
        text
    }

    /// Reads the content of a key file.
    ///
    /// One line holds the key; empty lines and lines that begin with `#` are skipped, and line endings may be
    /// those of any system.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`]: what is wrong with the text; it quotes nothing of it.
    pub fn from_key_file(content: &str) -> Result<Self, KeyFileError> {
        // Some editors put a byte order mark first.
        let content = content.strip_prefix('\u{feff}').unwrap_or(content);
        let mut lines = content
            .lines()
            .zip(1..)
            .map(|(text, line)| (text.trim(), line))
            .filter(|(text, _)| !text.is_empty() && !text.starts_with('#'));
        let (text, line) = lines.next().ok_or(KeyFileError::Empty)?;
        if let Some((_, line)) = lines.next() {
            return Err(KeyFileError::Several { line });
        }
        let letters = base32::strip_prefix(base32::letters(text), SECRET_PREFIX)
            .ok_or(KeyFileError::NotASecretKey { line })?;
        let symbols = base32::read_checked(letters).map_err(|bad| match bad {
            BadSymbols::Length { found } => {
                KeyFileError::WrongLength { line, expected: CHECKED_SYMBOLS, found }
            }
            BadSymbols::Invalid { position, .. } => KeyFileError::InvalidCharacter { line, position },
        })?;
        let mut key = Zeroizing::new([0; 32]);
        match decode_checked(Kind::SecretKey, &symbols, &mut key) {
            true => Ok(Self::from_bytes(*key)),
            false => Err(KeyFileError::Checksum { line }),
        }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Why the content of a file is not a secret key. Each says what to do; none shows what the file contains.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Nothing but empty lines and comments.
    #[error("the key file holds no key: restore it from a copy, or remove it to have a new key made")]
    Empty,
    /// Something else than a key.
    #[error(
        "line {line} of the key file is not a secret key (it would begin with {LINE_PREFIX}): \
         is it the right file?"
    )]
    NotASecretKey {
        /// The line, the first being 1.
        line: usize,
    },
    /// A second line that is no comment.
    #[error("the key file goes on at line {line} after its key: keep one key, on one line")]
    Several {
        /// The line, the first being 1.
        line: usize,
    },
    /// A part is missing, or there is too much.
    #[error(
        "the secret key in line {line} has {found} characters instead of {expected}: \
         restore the key file from a copy"
    )]
    WrongLength {
        /// The line, the first being 1.
        line: usize,
        /// How many characters there should be after the prefix.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A character that no key contains.
    #[error(
        "character {position} of line {line} of the key file belongs to no secret key: \
         restore the key file from a copy"
    )]
    InvalidCharacter {
        /// The line, the first being 1.
        line: usize,
        /// Where in the line it stands, the first character being 1.
        position: usize,
    },
    /// The characters don't belong together.
    #[error("the secret key in line {line} has a typo: restore the key file from a copy")]
    Checksum {
        /// The line, the first being 1.
        line: usize,
    },
}

#[cfg(test)]
#[path = "secret_key_tests.rs"]
mod tests;
