use core::fmt;
use core::str::FromStr;

use super::base32::{
    self, BadSymbols, CHECKED_SYMBOLS, CONTACT_PREFIX, Kind, SECRET_PREFIX, decode_checked, encode_checked,
};

/// How many characters the short form shows: 40 bits, enough to tell the peers in a log apart.
const SHORT_LEN: usize = 8;

/// The name of a peer: its X25519 public key (RFC 7748 §5).
///
/// Ids are ordered as their bytes are; the handshake settles simultaneous opens by that order.
///
/// As text it takes 58 characters: 52 for the key and six for a checksum (BIP-350's) which no single wrong
/// character and no two swapped ones can pass, nor anything up to four wrong ones. See the
/// [module](crate::identity) for the alphabet. `{:.8}` prints a prefix, as [`PeerId::short`] does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// The length of the text form, in characters.
    pub const TEXT_LEN: usize = CHECKED_SYMBOLS;

    /// The id of the peer that has this public key.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether these bytes are the key's only spelling.
    ///
    /// X25519 takes any 32 bytes: it ignores the top bit and reduces modulo 2^255 − 19 (RFC 7748 §5), so that
    /// one key can be spelt in several ways. A peer that proves its key under another spelling would be one
    /// peer with two names; whoever accepts a key from the wire refuses such a one.
    pub fn is_canonical(&self) -> bool {
        // Little-endian. From 2^255 − 19 on: 0x7f, thirty times 0xff, and 0xed or more.
        match self.0 {
            [low, middle @ .., 0x7f] => low < 0xed || middle.iter().any(|&b| b != 0xff),
            [.., high] => high < 0x7f,
        }
    }

    /// The first eight characters, for logs. Never compare peers by them.
    pub fn short(&self) -> impl fmt::Display + use<> {
        Short(*self)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(Self::TEXT_LEN);
        encode_checked(Kind::PeerId, &self.0, |c| text.push(c));
        f.pad(&text)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.short())
    }
}

struct Short(PeerId);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = base32::symbols(&self.0.0).take(SHORT_LEN).map(base32::letter).collect();
        f.pad(&text)
    }
}

/// Why a text is not a peer id. Each says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePeerIdError {
    /// The text is a contact.
    #[error("this is a contact, not a peer id: use it where a contact is asked for")]
    Contact,
    /// The text is a secret key.
    #[error("this is a SECRET KEY, not a peer id: show it to nobody, and make a new one if somebody saw it")]
    SecretKey,
    /// A part is missing, or there is something before or after it.
    #[error("a peer id has {expected} characters, this has {found}: copy it again, whole")]
    WrongLength {
        /// How many characters a peer id has.
        expected: usize,
        /// How many there are, spaces and hyphens not counted.
        found: usize,
    },
    /// A character that no peer id contains.
    #[error(
        "character {position} is {character:?}, which no peer id contains (only digits and letters, but \
         no u): compare it with the original"
    )]
    InvalidCharacter {
        /// The character.
        character: char,
        /// Where in the text it stands, the first character being 1.
        position: usize,
    },
    /// The characters don't belong together.
    #[error(
        "a typo: some of its characters are wrong or swapped; compare it with the original or copy it again"
    )]
    Checksum,
}

impl FromStr for PeerId {
    type Err = ParsePeerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters = base32::letters(text);
        if base32::strip_prefix(letters.clone(), SECRET_PREFIX).is_some() {
            return Err(ParsePeerIdError::SecretKey);
        }
        if base32::strip_prefix(letters.clone(), CONTACT_PREFIX).is_some() {
            return Err(ParsePeerIdError::Contact);
        }
        let symbols = base32::read_checked(letters).map_err(|bad| match bad {
            BadSymbols::Length { found } => ParsePeerIdError::WrongLength { expected: Self::TEXT_LEN, found },
            BadSymbols::Invalid { character, position } => {
                ParsePeerIdError::InvalidCharacter { character, position }
            }
        })?;
        let mut key = [0; 32];
        match decode_checked(Kind::PeerId, &symbols, &mut key) {
            true => Ok(Self(key)),
            false => Err(ParsePeerIdError::Checksum),
        }
    }
}

#[cfg(test)]
#[path = "peer_id_tests.rs"]
mod tests;
