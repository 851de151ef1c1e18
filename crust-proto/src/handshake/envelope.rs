//! What a stranger sends and what it gets: envelopes that look like random bytes to whoever lacks the
//! network's key, and that prove that key before any Diffie-Hellman is computed.
//!
//! A **hello** opens a handshake, or goes on with one:
//!
//! ```text
//!  0      1         2                8              16        32        48                    n-16     n
//! | type | version | wall time (ms) | keyed check  | salt    | cookie  | sealed body         | MAC    |
//!  <---------------- masked over the MAC ------->                        length, content, padding
//! ```
//!
//! Its key is the *hello key*: derived from the network's name and secret and the responder's id (or none,
//! where only its address is known). Each copy has a salt of its own, from which the key that seals the body
//! comes; so no two copies share a byte. The MAC is the AEAD's tag; head, salt and cookie are its associated
//! data.
//!
//! A **reply** answers one copy of a hello and begins with a tag that only its sender and its receiver can
//! compute (from the hello key and that copy's salt). So the initiator finds the attempt, the address and
//! the copy that is answered with one look-up, whatever address the reply came from.
//!
//! ```text
//!  0                  16        32                     n-16     n
//! | tag              | salt    | sealed body          | MAC    |
//! ```
//!
//! Over a [byte stream](crate::wire::stream) both are *framed*, for nothing there says where one ends.

use core::ops::RangeInclusive;

use zeroize::Zeroizing;

use crate::UnixTime;
use crate::crypto::hash::kdf;
use crate::crypto::mask::{MaskKey, MaskKind};
use crate::crypto::{Aead, CryptoProvider, NONCE_LEN, TAG_LEN};
use crate::wire::codec::{Malformed, Reader, Writer};
use crate::wire::packet::{self, HEAD_LEN};
use crate::wire::stream::{self, FRAME_LEN};

/// The version that this code speaks.
pub const VERSION: u8 = 1;
/// Everything in a hello but its content and padding, in bytes.
pub const HELLO_OVERHEAD: usize = HEAD_LEN + 16 + 16 + 2 + TAG_LEN;
/// Everything in a reply but its content and padding, in bytes.
pub const REPLY_OVERHEAD: usize = 16 + 16 + 3 + TAG_LEN;
/// No hello is longer than this, so that it fits every path that carries anything.
pub const MAX_HELLO: usize = stream::MAX_BODY;

/// How long a hello can be behind its frame.
const HELLO_LENGTHS: RangeInclusive<usize> = HELLO_OVERHEAD..=MAX_HELLO;
/// How long a reply can be behind its frame, which holds its tag.
const REPLY_LENGTHS: RangeInclusive<usize> = REPLY_OVERHEAD - 16..=MAX_HELLO - 16;

/// A salt: random for each datagram.
pub type Salt = [u8; 16];
/// The first bytes of a reply.
pub type ReplyTag = [u8; 16];

/// What a hello is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HelloKind {
    /// The first Noise message where the responder's id is known (IK).
    InitiateKnown,
    /// The first Noise message where only an address is known (XX).
    InitiateUnknown,
    /// The third Noise message of XX: slot and check of the half-open session, then the message.
    Finish,
    /// Asks whether somebody else lives at this address: a proof of the id that is looked for.
    WhoIs,
}

impl HelloKind {
    const fn code(self) -> u8 {
        match self {
            Self::InitiateKnown => 1,
            Self::InitiateUnknown => 2,
            Self::Finish => 3,
            Self::WhoIs => 4,
        }
    }

    /// The kind that a hello's first byte says in clear.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::InitiateKnown),
            2 => Some(Self::InitiateUnknown),
            3 => Some(Self::Finish),
            4 => Some(Self::WhoIs),
            _ => None,
        }
    }
}

/// The key of a network's (and a responder's) hellos, ready to use.
pub struct HelloKey {
    key: Zeroizing<[u8; 32]>,
    mask: MaskKey,
    check: [u8; 8],
    frame_mask: MaskKey,
    /// What marks the frame of a hello, and that of a reply.
    frame_checks: [[u8; 8]; 2],
}

impl core::fmt::Debug for HelloKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HelloKey(..)")
    }
}

/// A hello's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloHead {
    /// What it is.
    pub kind: HelloKind,
    /// The sender's version.
    pub version: u8,
    /// The sender's wall clock.
    pub wall: UnixTime,
}

/// A hello whose MAC was right.
#[derive(Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// Its head.
    pub head: HelloHead,
    /// Its salt, to which the reply is bound.
    pub salt: Salt,
    /// Its cookie field: random where unused.
    pub cookie: [u8; 16],
    /// Its MAC, unique to this copy.
    pub mac: [u8; 16],
    /// Its content.
    pub content: &'a [u8],
}

/// What a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// The second Noise message.
    Response,
    /// Try again with this cookie, at this time: wall time (8 bytes), cookie (16 bytes).
    Retry,
    /// The one you look for is not here.
    NotMe,
}

impl ReplyKind {
    const fn code(self) -> u8 {
        match self {
            Self::Response => 1,
            Self::Retry => 2,
            Self::NotMe => 3,
        }
    }

    /// The kind that the first byte of a reply's body says in clear.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Response),
            2 => Some(Self::Retry),
            3 => Some(Self::NotMe),
            _ => None,
        }
    }
}

impl HelloKey {
    /// From the key that [`Network::hello_key`](crate::Network::hello_key) derives.
    pub fn new(key: Zeroizing<[u8; 32]>) -> Self {
        let mask = MaskKey::new(MaskKind::ChaCha20, &kdf(&key, "hello mask", &[]));
        let check = first(&kdf(&key, "hello check", &[]));
        // Their own, so that nothing seen over UDP helps to make a frame.
        let frame_mask = MaskKey::new(MaskKind::ChaCha20, &kdf(&key, "frame mask", &[]));
        let frame_checks =
            ["frame check, hello", "frame check, reply"].map(|label| first(&kdf(&key, label, &[])));
        Self { key, mask, check, frame_mask, frame_checks }
    }

    /// Seals a hello into `out`, padded to `len` bytes in all (or as long as its content needs).
    ///
    /// # Errors
    ///
    /// [`Malformed`] where the content does not fit the length.
    #[allow(clippy::too_many_arguments, reason = "one for each field of the format")]
    pub fn seal_hello(
        &self,
        provider: &dyn CryptoProvider,
        head: HelloHead,
        salt: Salt,
        cookie: [u8; 16],
        content: &[u8],
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let len = len.max(HELLO_OVERHEAD + content.len());
        let mut plain_head = [0; HEAD_LEN];
        let mut w = Writer::new(&mut plain_head);
        w.u8(head.kind.code());
        w.u8(head.version);
        let [_, _, wall @ ..] = head.wall.as_millis().to_be_bytes();
        w.bytes(&wall);
        w.bytes(&self.check);

        out.clear();
        out.resize(len, 0);
        let mut w = Writer::new(out);
        w.bytes(&plain_head);
        w.bytes(&salt);
        w.bytes(&cookie);
        w.u16(u16::try_from(content.len()).map_err(|_| Malformed)?);
        w.bytes(content);
        w.finish()?;
        let key = kdf(&self.key, "hello body", &[&salt]);
        seal(provider, &key, out, HEAD_LEN + 32)?;
        packet::mask(out, &self.mask);
        Ok(())
    }

    /// Reads a datagram's head as a hello of this key: one cipher block. `None` where it is none.
    pub fn peek(&self, datagram: &[u8]) -> Option<HelloHead> {
        if datagram.len() < HELLO_OVERHEAD {
            return None;
        }
        let head = packet::unmask(datagram, &self.mask).ok()?;
        let mut reader = Reader::new(&head);
        let kind = reader.u8().ok()?;
        let version = reader.u8().ok()?;
        let [a, b, c, d, e, f] = reader.array::<6>().ok()?;
        if reader.array::<8>().ok()? != self.check {
            return None;
        }
        let wall = UnixTime::from_millis(u64::from_be_bytes([0, 0, a, b, c, d, e, f]));
        Some(HelloHead { kind: HelloKind::from_code(kind)?, version, wall })
    }

    /// Opens a hello whose head [`peek`](Self::peek) recognised, in place.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where it is too short or does not authenticate.
    pub fn open_hello<'a>(
        &self,
        provider: &dyn CryptoProvider,
        head: HelloHead,
        datagram: &'a mut [u8],
    ) -> Result<Hello<'a>, Malformed> {
        let plain_head = packet::unmask(datagram, &self.mask)?;
        *datagram.first_chunk_mut().ok_or(Malformed)? = plain_head;
        let mut reader = Reader::new(datagram);
        reader.bytes(HEAD_LEN)?;
        let salt = reader.array()?;
        let cookie = reader.array()?;
        let mac = *datagram.last_chunk().ok_or(Malformed)?;
        let key = kdf(&self.key, "hello body", &[&salt]);
        let body = open(provider, &key, datagram, HEAD_LEN + 32)?;
        let mut reader = Reader::new(body);
        let len = reader.u16()?;
        let content = reader.bytes(len.into())?;
        Ok(Hello { head, salt, cookie, mac, content })
    }

    /// The tag of the reply to the copy with this salt.
    pub fn reply_tag(&self, hello: &Salt) -> ReplyTag {
        first(&kdf(&self.key, "reply tag", &[hello]))
    }

    /// Seals a reply to the copy with salt `hello` into `out`, padded to `len` bytes in all.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where the content does not fit the length.
    #[allow(clippy::too_many_arguments, reason = "one for each field of the format")]
    pub fn seal_reply(
        &self,
        provider: &dyn CryptoProvider,
        hello: &Salt,
        salt: Salt,
        kind: ReplyKind,
        content: &[u8],
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        out.clear();
        out.resize(len.max(REPLY_OVERHEAD + content.len()), 0);
        let mut w = Writer::new(out);
        w.bytes(&self.reply_tag(hello));
        w.bytes(&salt);
        w.u8(kind.code());
        w.u16(u16::try_from(content.len()).map_err(|_| Malformed)?);
        w.bytes(content);
        w.finish()?;
        let key = kdf(&self.key, "reply body", &[hello, &salt]);
        seal(provider, &key, out, 32)
    }

    /// Opens the reply to the copy with salt `hello`, in place.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where it is too short or does not authenticate.
    pub fn open_reply<'a>(
        &self,
        provider: &dyn CryptoProvider,
        hello: &Salt,
        datagram: &'a mut [u8],
    ) -> Result<(ReplyKind, &'a [u8]), Malformed> {
        let mut reader = Reader::new(datagram);
        reader.bytes(16)?;
        let salt: Salt = reader.array()?;
        let key = kdf(&self.key, "reply body", &[hello, &salt]);
        let body = open(provider, &key, datagram, 32)?;
        let mut reader = Reader::new(body);
        let kind = ReplyKind::from_code(reader.u8()?).ok_or(Malformed)?;
        let len = reader.u16()?;
        Ok((kind, reader.bytes(len.into())?))
    }

    /// Frames a sealed hello for a byte stream: appends it to `out`. `seed` is random.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where it is longer than [`MAX_HELLO`], or too short for a hello.
    pub fn frame_hello(&self, seed: [u8; 16], hello: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let [check, _] = self.frame_checks;
        let len = Some(hello.len()).filter(|len| HELLO_LENGTHS.contains(len)).ok_or(Malformed)?;
        out.extend_from_slice(&self.frame(seed, check, len)?);
        out.extend_from_slice(hello);
        Ok(())
    }

    /// Frames a sealed reply for a byte stream: appends it to `out`. Its tag is the frame's seed.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where it is longer than [`MAX_HELLO`], or too short for a reply.
    pub fn frame_reply(&self, reply: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let [_, check] = self.frame_checks;
        let (tag, rest) = reply.split_first_chunk::<16>().ok_or(Malformed)?;
        let len = Some(rest.len()).filter(|len| REPLY_LENGTHS.contains(len)).ok_or(Malformed)?;
        out.extend_from_slice(&self.frame(*tag, check, len)?);
        out.extend_from_slice(rest);
        Ok(())
    }

    /// The length of the hello behind this frame: one cipher block. `None` where it is no frame of a hello of this
    /// key.
    pub fn unframe_hello(&self, frame: &[u8; FRAME_LEN]) -> Option<usize> {
        let [check, _] = self.frame_checks;
        self.unframe(frame, check).filter(|len| HELLO_LENGTHS.contains(len))
    }

    /// The length of what follows this frame, whose seed is the tag of a reply under this key: one cipher block.
    /// `None` where the frame is not genuine.
    pub fn unframe_reply(&self, frame: &[u8; FRAME_LEN]) -> Option<usize> {
        let [_, check] = self.frame_checks;
        self.unframe(frame, check).filter(|len| REPLY_LENGTHS.contains(len))
    }

    fn frame(&self, seed: [u8; 16], check: [u8; 8], len: usize) -> Result<[u8; FRAME_LEN], Malformed> {
        let mut clear = [0; 16];
        let mut w = Writer::new(&mut clear);
        w.bytes(&check);
        w.u16(u16::try_from(len).map_err(|_| Malformed)?);
        Ok(stream::mask(seed, clear, &self.frame_mask))
    }

    fn unframe(&self, frame: &[u8; FRAME_LEN], check: [u8; 8]) -> Option<usize> {
        let (_, clear) = stream::unmask(frame, &self.frame_mask);
        let mut reader = Reader::new(&clear);
        let checked = reader.array() == Ok(check);
        let len = reader.u16().ok()?;
        (checked && reader.rest() == [0; 6]).then_some(usize::from(len))
    }

    /// The content of a [`HelloKind::WhoIs`] with this salt that looks for `peer`.
    pub fn who_is_proof(&self, salt: &Salt, peer: &crate::PeerId) -> [u8; 32] {
        *kdf(&self.key, "who is", &[salt, peer.as_bytes()])
    }
}

fn first<const N: usize>(key: &[u8; 32]) -> [u8; N] {
    let mut out = [0; N];
    out.iter_mut().zip(key).for_each(|(o, k)| *o = *k);
    out
}

/// Each key seals one datagram only, so the nonce may be constant.
const NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];

/// Seals `datagram[aad_len .. len - 16]`, authenticates what stands before it and ends it with the tag.
fn seal(
    provider: &dyn CryptoProvider,
    key: &[u8; 32],
    datagram: &mut [u8],
    aad_len: usize,
) -> Result<(), Malformed> {
    let (aad, rest) = datagram.split_at_mut_checked(aad_len).ok_or(Malformed)?;
    let (body, tag) = rest.split_last_chunk_mut::<TAG_LEN>().ok_or(Malformed)?;
    *tag = provider.aead(Aead::ChaCha20Poly1305, key).seal(&NONCE, aad, body);
    Ok(())
}

fn open<'a>(
    provider: &dyn CryptoProvider,
    key: &[u8; 32],
    datagram: &'a mut [u8],
    aad_len: usize,
) -> Result<&'a [u8], Malformed> {
    let (aad, rest) = datagram.split_at_mut_checked(aad_len).ok_or(Malformed)?;
    let (body, tag) = rest.split_last_chunk_mut::<TAG_LEN>().ok_or(Malformed)?;
    provider.aead(Aead::ChaCha20Poly1305, key).open(&NONCE, aad, body, tag).map_err(|_| Malformed)?;
    Ok(body)
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
