//! What sealed packets hold, learned where they are sealed.
//!
//! Every datagram of crust ends with what one call of [`AeadKey::seal`] made: a head in clear (the associated data),
//! then the sealed bytes, then their tag. The wrapper notes what it sealed under a digest of sealed bytes and tag; a
//! datagram is looked up by the same digest. So only what arrives as it was sealed is read, whatever its head was
//! masked with, and the wire is what it was.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crust_proto::crypto::{Aead, AeadKey, CryptoProvider, KEY_LEN, NONCE_LEN, OpenError, TAG_LEN, Zeroizing};
use crust_proto::handshake::envelope::{HelloKind, ReplyKind};
use crust_proto::wire::packet::HEAD_LEN;

use super::{Greeting, Recorder};
use crate::{Packet, Protocol};

/// What stands before the sealed bytes of a data packet, of a hello (head, salt, cookie) and of a reply (tag, salt);
/// see [`crust_proto::handshake::envelope`].
const DATA: usize = HEAD_LEN;
const HELLO: usize = HEAD_LEN + 32;
const REPLY: usize = 32;

/// Sealed bytes that have been read. As many as packets are kept, the newest.
pub(super) struct Known {
    room: usize,
    by_digest: BTreeMap<[u8; 32], Clear>,
    order: VecDeque<[u8; 32]>,
}

enum Clear {
    Data(Vec<u8>),
    Greeting(Greeting),
}

impl Known {
    pub(super) fn new(room: usize) -> Self {
        Self { room, by_digest: BTreeMap::new(), order: VecDeque::new() }
    }

    /// What a packet holds: the head and frames in clear, or what it is to a handshake.
    pub(super) fn read(&self, packet: &Packet) -> (Option<Vec<u8>>, Option<Greeting>) {
        let nothing = (None, None);
        if self.by_digest.is_empty() || packet.flow().is_none_or(|flow| flow.protocol != Protocol::Udp) {
            return nothing;
        }
        let payload = packet.payload();
        for before in [DATA, HELLO, REPLY] {
            let Some(sealed) = payload.get(before..).filter(|sealed| sealed.len() >= TAG_LEN) else {
                continue;
            };
            match self.by_digest.get(blake3::hash(sealed).as_bytes()) {
                Some(Clear::Data(clear)) if before == DATA => return (Some(clear.clone()), None),
                Some(Clear::Greeting(greeting)) if before != DATA => return (None, Some(*greeting)),
                _ => {}
            }
        }
        nothing
    }

    /// No more packets are kept, so nothing need be known.
    pub(super) fn close(&mut self) {
        *self = Self::new(0);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.by_digest.len(), self.order.len());
        self.order.len()
    }

    fn put(&mut self, digest: [u8; 32], clear: Clear) {
        if self.room == 0 {
            return;
        }
        if self.order.len() >= self.room
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_digest.remove(&oldest);
        }
        if self.by_digest.insert(digest, clear).is_none() {
            self.order.push_back(digest);
        }
    }
}

/// A provider that tells a recorder what it seals.
#[derive(Debug)]
pub(super) struct Reading {
    inner: Arc<dyn CryptoProvider>,
    recorder: Recorder,
}

impl Reading {
    pub(super) fn new(inner: Arc<dyn CryptoProvider>, recorder: Recorder) -> Self {
        Self { inner, recorder }
    }
}

impl CryptoProvider for Reading {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn public_key(&self, secret: &[u8; KEY_LEN]) -> [u8; KEY_LEN] {
        self.inner.public_key(secret)
    }

    fn dh(&self, secret: &[u8; KEY_LEN], public: &[u8; KEY_LEN]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
        self.inner.dh(secret, public)
    }

    fn aead(&self, aead: Aead, key: &[u8; KEY_LEN]) -> Box<dyn AeadKey> {
        Box::new(ReadingKey { inner: self.inner.aead(aead, key), recorder: self.recorder.clone() })
    }
}

struct ReadingKey {
    inner: Box<dyn AeadKey>,
    recorder: Recorder,
}

impl AeadKey for ReadingKey {
    fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        let clear = match aad.len() {
            DATA => Some(Clear::Data([aad, data].concat())),
            HELLO => aad
                .first()
                .and_then(|code| HelloKind::from_code(*code))
                .map(Greeting::Hello)
                .map(Clear::Greeting),
            // Noise seals with as much before it; but no datagram ends there.
            REPLY => data
                .first()
                .and_then(|code| ReplyKind::from_code(*code))
                .map(Greeting::Reply)
                .map(Clear::Greeting),
            _ => None,
        };
        let tag = self.inner.seal(nonce, aad, data);
        if let Some(clear) = clear {
            let digest = blake3::Hasher::new().update(data).update(&tag).finalize();
            self.recorder.state().known.put(*digest.as_bytes(), clear);
        }
        tag
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        self.inner.open(nonce, aad, data, tag)
    }
}
