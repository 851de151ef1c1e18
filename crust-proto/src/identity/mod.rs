//! Who a peer is, which network it belongs to, and how to tell somebody else.
//!
//! * [`SecretKey`]: what makes a node that node. It is made once, from 32 bytes of the system's entropy, is
//!   kept in a key file, and leaves the computer never.
//! * [`PeerId`]: the public key that belongs to it, and the node's name. Anybody may know it.
//! * [`Network`]: a name, and optionally a secret, that all peers of one network share. Everything that is
//!   sent is bound to it; peers of different networks do not even recognise each other's packets.
//! * [`Contact`]: what somebody needs to reach a peer: its id, its addresses, who can introduce, and for
//!   which network and how long that holds. Its owner hands it out as one line of text or as a QR code.
//!
//! The life cycle: a node starts with its key file ([`SecretKey::from_key_file`]) and its network, gathers
//! the addresses at which it may be reached, and offers a [`Contact`]. Somebody pastes that into another
//! node, which first asks [`Contact::check`] whether it makes sense there, and then dials.
//!
//! Ids, key files and contacts are written in the same alphabet, Crockford's base 32: digits and letters
//! without `i`, `l`, `o` and `u`. It may be typed in upper or lower case, `i` and `l` are read as `1`, `o`
//! as `0`, and spaces, line breaks, hyphens and what is invisible between its symbols are ignored. All three carry a checksum
//! and none is mistaken for another.

mod base32;
mod contact;
mod network;
mod peer_id;
mod secret_key;

pub use contact::{
    Contact, ContactError, Introducer, MAX_ADDRESSES, MAX_CONTACT_LEN, MAX_INTRODUCER_ADDRESSES,
    MAX_INTRODUCERS, is_dialable,
};
pub use network::{
    DEFAULT_NETWORK, MAX_NETWORK_NAME_LEN, MIN_PASSPHRASE_LEN, Network, NetworkNameError, NetworkSecret,
    NetworkTag, PROTOCOL_VERSION, PassphraseError,
};
pub use peer_id::{ParsePeerIdError, PeerId};
pub use secret_key::{KeyFileError, SecretKey};
