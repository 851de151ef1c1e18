use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

use super::base32::{self, CONTACT_PREFIX, SECRET_PREFIX};
use super::{Network, NetworkTag, PeerId};
use crate::UnixTime;
use crate::crypto::hash::kdf;
use crate::wire::codec::{Malformed, Reader};
use crate::wire::tlv::{TlvWriter, canonical_addr, put_addr, read_addrs, set_once, tlvs, varint_value};

/// The most addresses that a contact holds.
pub const MAX_ADDRESSES: usize = 16;

/// The most introducers that a contact holds.
pub const MAX_INTRODUCERS: usize = 4;

/// The most addresses that a contact holds of one introducer.
pub const MAX_INTRODUCER_ADDRESSES: usize = 8;

/// The longest contact that is read, in bytes: nearly twice what this version writes, and as text still within what
/// one QR code holds (4,296 alphanumeric characters; ISO/IEC 18004).
pub const MAX_CONTACT_LEN: usize = 2048;

/// The layout that follows the first byte.
const VERSION: u8 = 1;

/// How much of the hash of a contact stands at the end of its text: 40 bits, eight symbols.
const CHECKSUM_LEN: usize = 5;

/// Version, peer and network: no text of this version holds fewer bytes.
const MIN_TEXT_BYTES: usize = 1 + (2 + 32) + (2 + 4) + CHECKSUM_LEN;

const MAX_TEXT_SYMBOLS: usize = ((MAX_CONTACT_LEN + CHECKSUM_LEN) * 8).div_ceil(5);

// Types of entries. Only introducers may repeat.
const PEER: u64 = 1;
const NETWORK: u64 = 2;
const ADDRESSES: u64 = 3;
const INTRODUCER: u64 = 4;
const EXPIRES: u64 = 5;

/// What somebody needs to reach a peer. Its owner made it and decides who gets it.
///
/// # Bytes
///
/// One byte of version (1), then a [list of entries](crate::wire::tlv): 1 the peer's id; 2 the network's tag;
/// 3 addresses; 4 an introducer, its id and then its addresses; 5 the time of expiry, in seconds since 1970.
/// 1 and 2 are always there, 4 may repeat, unknown types are skipped. A contact is not signed: who hands it
/// over can change it. A false one leads to no false peer, as the handshake proves the id, but it may name
/// addresses of computers that have nothing to do with crust.
///
/// # Text
///
/// `crust`, then the bytes and five bytes of their hash in the alphabet of the [module](crate::identity). This
/// layer is the same for all versions, so that one too new is told apart from a mistyped one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contact {
    peer: PeerId,
    network: NetworkTag,
    addresses: Vec<SocketAddr>,
    introducers: Vec<Introducer>,
    expires: Option<UnixTime>,
}

/// A peer that can introduce the contact's owner, and where it was last reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Introducer {
    peer: PeerId,
    addresses: Vec<SocketAddr>,
}

impl Introducer {
    /// An introducer. At most [`MAX_INTRODUCER_ADDRESSES`] addresses, best first, all [dialable](is_dialable);
    /// repeated ones are left out.
    ///
    /// # Errors
    ///
    /// [`ContactError`] where there are too many addresses, or one that nobody could dial.
    pub fn new(peer: PeerId, addresses: impl IntoIterator<Item = SocketAddr>) -> Result<Self, ContactError> {
        Ok(Self { peer, addresses: checked_addresses(addresses, MAX_INTRODUCER_ADDRESSES)? })
    }

    /// Its id.
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// Where to dial it, best first. May be empty.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Contact {
    /// A contact with nothing but the id: who has it must find the peer by other means.
    pub const fn new(peer: PeerId, network: NetworkTag) -> Self {
        Self { peer, network, addresses: Vec::new(), introducers: Vec::new(), expires: None }
    }

    /// With these addresses, best first: at most [`MAX_ADDRESSES`], all [dialable](is_dialable); repeated ones
    /// are left out.
    ///
    /// # Errors
    ///
    /// [`ContactError`] where there are too many, or one that nobody could dial.
    pub fn with_addresses(
        mut self,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Self, ContactError> {
        self.addresses = checked_addresses(addresses, MAX_ADDRESSES)?;
        Ok(self)
    }

    /// With these introducers, best first: at most [`MAX_INTRODUCERS`].
    ///
    /// # Errors
    ///
    /// [`ContactError`] where there are too many.
    pub fn with_introducers(
        mut self,
        introducers: impl IntoIterator<Item = Introducer>,
    ) -> Result<Self, ContactError> {
        self.introducers = introducers.into_iter().take(MAX_INTRODUCERS + 1).collect();
        match self.introducers.len() > MAX_INTRODUCERS {
            true => Err(ContactError::TooManyIntroducers { limit: MAX_INTRODUCERS }),
            false => Ok(self),
        }
    }

    /// Good until this time, rounded down to seconds.
    pub const fn with_expiry(mut self, expires: UnixTime) -> Self {
        self.expires = Some(UnixTime::from_millis(expires.as_secs() * 1000));
        self
    }

    /// Whom it reaches.
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// The network that the peer belongs to.
    pub const fn network(&self) -> NetworkTag {
        self.network
    }

    /// Where to dial the peer, best first. May be empty.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Who can introduce, best first. May be empty.
    pub fn introducers(&self) -> &[Introducer] {
        &self.introducers
    }

    /// The time from which on it is worthless, where there is one.
    pub const fn expires(&self) -> Option<UnixTime> {
        self.expires
    }

    /// Whether it makes sense to dial this from a node that is `me` on `network`.
    ///
    /// # Errors
    ///
    /// [`ContactError`]: of another network, our own, or expired.
    pub fn check(&self, network: &Network, me: &PeerId, now: UnixTime) -> Result<(), ContactError> {
        if self.network != network.tag() {
            return Err(ContactError::OtherNetwork { name: network.name().to_owned() });
        }
        if self.peer == *me {
            return Err(ContactError::Oneself);
        }
        match self.expires {
            Some(when) if when <= now => Err(ContactError::Expired { when }),
            _ => Ok(()),
        }
    }

    /// The binary form, without the checksum of the text.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let mut value = Vec::new();
        // Types are constants and seconds fit: nothing here can overflow a variable-length integer.
        let mut w = TlvWriter::new(&mut out);
        w.put(PEER, self.peer.as_bytes());
        w.put(NETWORK, self.network.as_bytes());
        if !self.addresses.is_empty() {
            self.addresses.iter().for_each(|&addr| put_addr(&mut value, addr));
            w.put(ADDRESSES, &value);
        }
        for introducer in &self.introducers {
            value.clear();
            value.extend_from_slice(introducer.peer.as_bytes());
            introducer.addresses.iter().for_each(|&addr| put_addr(&mut value, addr));
            w.put(INTRODUCER, &value);
        }
        if let Some(expires) = self.expires {
            w.put_varint(EXPIRES, expires.as_secs());
        }
        out
    }

    /// Reads the binary form.
    ///
    /// # Errors
    ///
    /// [`ContactError`]: what is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ContactError> {
        if bytes.len() > MAX_CONTACT_LEN {
            return Err(ContactError::TooLong);
        }
        let (&version, list) = bytes.split_first().ok_or(Malformed)?;
        match version {
            VERSION => {}
            0 => return Err(ContactError::Malformed),
            found => return Err(ContactError::UnknownVersion { found, supported: VERSION }),
        }
        let (mut peer, mut network, mut addresses, mut expires) = (None, None, None, None);
        let mut introducers = Vec::new();
        for entry in tlvs(list) {
            let (kind, value) = entry?;
            match kind {
                PEER => set_once(&mut peer, PeerId::from_bytes(whole(value)?))?,
                NETWORK => set_once(&mut network, NetworkTag::from_bytes(whole(value)?))?,
                // Bounded by the contact's length here; the constructors refuse too many in the right words.
                ADDRESSES => set_once(&mut addresses, read_addrs(value, MAX_CONTACT_LEN)?)?,
                INTRODUCER => {
                    let mut reader = Reader::new(value);
                    let peer = PeerId::from_bytes(reader.array()?);
                    let addresses = read_addrs(reader.rest(), MAX_CONTACT_LEN)?;
                    introducers.push(Introducer::new(peer, addresses)?);
                }
                EXPIRES => {
                    let millis = varint_value(value)?.checked_mul(1000).ok_or(Malformed)?;
                    set_once(&mut expires, UnixTime::from_millis(millis))?;
                }
                _ => {}
            }
        }
        let mut contact = Self::new(peer.ok_or(Malformed)?, network.ok_or(Malformed)?)
            .with_addresses(addresses.unwrap_or_default())?
            .with_introducers(introducers)?;
        contact.expires = expires;
        Ok(contact)
    }

    /// The text in capital letters, as which a QR code can hold it in its alphanumeric mode: two thirds of
    /// the size.
    pub fn qr_text(&self) -> String {
        let mut text = self.to_string();
        text.make_ascii_uppercase();
        text
    }
}

/// Whether another computer may be reached at `addr`: it has a port, and an address that is one computer's
/// (not unspecified, multicast or broadcast) and complete (an IPv6 link-local address lacks its scope).
/// Addresses of private networks and of this computer are; programs on one LAN or computer use them.
pub const fn is_dialable(addr: SocketAddr) -> bool {
    addr.port() != 0
        && match canonical_addr(addr).ip() {
            IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
            IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_unicast_link_local(),
        }
}

/// The addresses in the form that they have on the wire, each once.
fn checked_addresses(
    addresses: impl IntoIterator<Item = SocketAddr>,
    limit: usize,
) -> Result<Vec<SocketAddr>, ContactError> {
    let mut checked = Vec::new();
    for addr in addresses {
        if !is_dialable(addr) {
            return Err(ContactError::NotDialable { addr });
        }
        let addr = canonical_addr(addr);
        if checked.contains(&addr) {
            continue;
        }
        if checked.len() == limit {
            return Err(ContactError::TooManyAddresses { limit });
        }
        checked.push(addr);
    }
    Ok(checked)
}

/// A value that has exactly this length.
fn whole<const N: usize>(value: &[u8]) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_| Malformed)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let [a, b, c, d, e, ..] = *kdf(&[0; 32], "crust contact checksum", &[bytes]);
    [a, b, c, d, e]
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.to_bytes();
        bytes.extend_from_slice(&checksum(&bytes));
        let mut text = CONTACT_PREFIX.to_owned();
        text.extend(base32::symbols(&bytes).map(base32::letter));
        f.pad(&text)
    }
}

impl FromStr for Contact {
    type Err = ContactError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters = base32::letters(text);
        if base32::strip_prefix(letters.clone(), SECRET_PREFIX).is_some() {
            return Err(ContactError::SecretKey);
        }
        let Some(letters) = base32::strip_prefix(letters, CONTACT_PREFIX) else {
            return Err(match text.parse() {
                Ok(peer) => ContactError::PeerId { peer },
                Err(_) => ContactError::NotAContact,
            });
        };
        let mut symbols = Vec::new();
        for (character, position) in letters {
            if symbols.len() == MAX_TEXT_SYMBOLS {
                return Err(ContactError::TooLong);
            }
            symbols.push(
                base32::symbol(character).ok_or(ContactError::InvalidCharacter { character, position })?,
            );
        }
        let mut bytes = vec![0; symbols.len() * 5 / 8];
        let damaged = match bytes.len() < MIN_TEXT_BYTES {
            true => ContactError::Truncated,
            false => ContactError::Checksum,
        };
        if !base32::pack(&symbols, &mut bytes) {
            return Err(damaged);
        }
        match bytes.split_last_chunk::<CHECKSUM_LEN>() {
            Some((content, sum)) if *sum == checksum(content) => Self::from_bytes(content),
            _ => Err(damaged),
        }
    }
}

/// Why a contact cannot be made, read or used. Each says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContactError {
    /// The text is something else.
    #[error("this is not a contact: a contact is one line that begins with \"crust\"; copy it again, whole")]
    NotAContact,
    /// The text is a peer id.
    #[error(
        "this is a peer id, not a contact: it says who, but not where; ask the peer for its contact, \
         which begins with \"crust\""
    )]
    PeerId {
        /// The id that it is.
        peer: PeerId,
    },
    /// The text is a secret key.
    #[error("this is a SECRET KEY, not a contact: show it to nobody, and make a new one if somebody saw it")]
    SecretKey,
    /// Too short to be a contact.
    #[error("the contact is cut short: copy it again, whole")]
    Truncated,
    /// The characters don't belong together.
    #[error("the contact has a typo, or a part of it is missing: copy it again, whole")]
    Checksum,
    /// A character that no contact contains.
    #[error(
        "character {position} is {character:?}, which no contact contains: copy it again, without what \
         stands before and after it"
    )]
    InvalidCharacter {
        /// The character.
        character: char,
        /// Where in the text it stands, the first character being 1.
        position: usize,
    },
    /// Longer than [`MAX_CONTACT_LEN`].
    #[error("this is too long for a contact: copy it again, without what stands after it")]
    TooLong,
    /// A version that this crate doesn't know.
    #[error(
        "the contact was made by a newer crust (format {found}; this one reads {supported}): \
         update this program"
    )]
    UnknownVersion {
        /// The version that it names.
        found: u8,
        /// The version that can be read.
        supported: u8,
    },
    /// Its content makes no sense, though it arrived as it was sent.
    #[error("the contact was not made by a working crust: ask the peer for a new one")]
    Malformed,
    /// More addresses than a contact or an introducer may have.
    #[error("a contact holds at most {limit} addresses of one peer: leave some out")]
    TooManyAddresses {
        /// How many are allowed.
        limit: usize,
    },
    /// More introducers than a contact may have.
    #[error("a contact holds at most {limit} introducers: leave some out")]
    TooManyIntroducers {
        /// How many are allowed.
        limit: usize,
    },
    /// An address at which no other computer can be; see [`is_dialable`].
    #[error("no other computer can be reached at {addr}: leave it out of the contact")]
    NotDialable {
        /// The address.
        addr: SocketAddr,
    },
    /// The peer belongs to another network.
    #[error(
        "the contact is for another network than {name:?}: both sides need the same network name and, \
         if they use one, the same network secret"
    )]
    OtherNetwork {
        /// The name of the network that it was checked against.
        name: String,
    },
    /// The contact leads back to who uses it.
    #[error("this is this node's own contact: use it on another computer, with another key")]
    Oneself,
    /// Its time is over.
    #[error("the contact expired on {}: ask the peer for a new one", Date(*when))]
    Expired {
        /// Until when it was good.
        when: UnixTime,
    },
}

impl From<Malformed> for ContactError {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

/// A time as people write it, in UTC.
struct Date(UnixTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0.as_secs() / 60;
        let (hour, minute) = (minutes / 60 % 24, minutes % 60);
        // Days are counted from 1 March of the year 0 on, so that a leap day is its year's last. 719,468 days
        // later it is 1970; the calendar repeats every 400 years, of 146,097 days.
        let days = minutes / (60 * 24) + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        // Every fourth year has a leap day, but for every hundredth, but for the last.
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // From March on, months come in fives of 153 days.
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = era * 400 + year + carry;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
    }
}

#[cfg(test)]
#[path = "contact_tests.rs"]
mod tests;
