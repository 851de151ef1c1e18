//! A session's traffic keys through their epochs.
//!
//! Both directions move from epoch to epoch together, over all paths at once: whoever updates seals with the
//! next epoch's key, and the other follows when such a packet opens. The receive key of the epoch before lives
//! on for what was sent before the update. An update waits until a packet of the present epoch was received:
//! before that the peer may not have followed the last one (RFC 9001 §6.1 asks for the same).

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::Instant;
use crate::crypto::keys::{PacketKey, TrafficSecret, confidentiality_limit, integrity_limit};
use crate::crypto::{Aead, CryptoProvider, OpenError, TAG_LEN};

pub(crate) struct Keys {
    provider: Arc<dyn CryptoProvider>,
    aead: Aead,
    epoch: u64,
    send: PacketKey,
    receive: PacketKey,
    previous: Option<Previous>,
    next: Next,
    /// Packets sealed in this epoch.
    sealed: u64,
    /// Whether a packet of this epoch was opened: only then may the next one begin.
    confirmed: bool,
    /// Forgeries over all epochs (RFC 9001 §6.6 counts them for a connection, whatever its keys).
    forged: u64,
    update_after: u64,
}

struct Previous {
    receive: PacketKey,
    /// When to forget it; not set until the peer was heard in the present epoch.
    until: Option<Instant>,
}

struct Next {
    send_secret: TrafficSecret,
    receive_secret: TrafficSecret,
    receive: PacketKey,
}

/// What opening a packet told about the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It was of the present epoch or the one before.
    Known,
    /// The peer updated; we followed.
    Updated,
}

impl Keys {
    pub(crate) fn new(
        provider: Arc<dyn CryptoProvider>,
        aead: Aead,
        send_secret: Zeroizing<[u8; 32]>,
        receive_secret: Zeroizing<[u8; 32]>,
        update_after: u64,
    ) -> Self {
        let send_secret = TrafficSecret::new(*send_secret);
        let receive_secret = TrafficSecret::new(*receive_secret);
        let send = send_secret.packet_key(&*provider, aead);
        let receive = receive_secret.packet_key(&*provider, aead);
        let next = Next::after(&*provider, aead, &send_secret, &receive_secret);
        let update_after = update_after.min(confidentiality_limit(aead) / 2).max(1);
        Self {
            provider,
            aead,
            epoch: 0,
            send,
            receive,
            previous: None,
            next,
            sealed: 0,
            confirmed: false,
            forged: 0,
            update_after,
        }
    }

    pub(crate) const fn aead(&self) -> Aead {
        self.aead
    }

    /// The epoch's byte in the heads that we send.
    pub(crate) const fn epoch_byte(&self) -> u8 {
        self.epoch.to_le_bytes()[0]
    }

    /// Whether no more packets may be sealed: the key is used up and the peer follows no update.
    pub(crate) fn exhausted(&self) -> bool {
        self.sealed >= confidentiality_limit(self.aead)
    }

    /// Whether too many packets failed to authenticate.
    pub(crate) fn too_many_forged(&self) -> bool {
        self.forged >= integrity_limit(self.aead)
    }

    pub(crate) fn seal(&mut self, path: u32, number: u64, head: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        self.sealed += 1;
        self.send.seal(path, number, head, data)
    }

    /// Begins the next epoch if the present one is worn and the peer has been heard in it.
    /// Whether it did.
    pub(crate) fn update_if_worn(&mut self) -> bool {
        self.sealed >= self.update_after && self.update()
    }

    /// Begins the next epoch now, if it may begin.
    pub(crate) fn update(&mut self) -> bool {
        let may = self.confirmed && self.previous.is_none();
        if may {
            self.advance();
        }
        may
    }

    /// Whether opening a packet of that epoch may set when a key is to be forgotten.
    pub(crate) const fn starts_clock(&self, epoch_byte: u8) -> bool {
        !self.confirmed || epoch_byte != self.epoch_byte()
    }

    #[allow(clippy::too_many_arguments, reason = "a packet, piece by piece, as it lies in the buffer")]
    pub(crate) fn open(
        &mut self,
        epoch_byte: u8,
        path: u32,
        number: u64,
        head: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
        forget_previous_at: Instant,
    ) -> Result<Opened, OpenError> {
        let opened = match epoch_byte.wrapping_sub(self.epoch_byte()) {
            0 => {
                self.receive.open(path, number, head, data, tag).inspect_err(|_| self.forged += 1)?;
                Opened::Known
            }
            1 => {
                self.next.receive.open(path, number, head, data, tag).inspect_err(|_| self.forged += 1)?;
                self.advance();
                Opened::Updated
            }
            u8::MAX => {
                let previous = self.previous.as_ref().ok_or(OpenError)?;
                previous.receive.open(path, number, head, data, tag).inspect_err(|_| self.forged += 1)?;
                return Ok(Opened::Known);
            }
            _ => return Err(OpenError),
        };
        if !self.confirmed {
            self.confirmed = true;
            if let Some(previous) = &mut self.previous {
                previous.until = Some(forget_previous_at);
            }
        }
        Ok(opened)
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.previous.as_ref().and_then(|p| p.until)
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) {
        self.previous.take_if(|p| p.until.is_some_and(|until| until <= now));
    }

    fn advance(&mut self) {
        let Next { send_secret, receive_secret, .. } = &self.next;
        let following = Next::after(&*self.provider, self.aead, send_secret, receive_secret);
        self.send = send_secret.packet_key(&*self.provider, self.aead);
        let next = core::mem::replace(&mut self.next, following);
        let old = core::mem::replace(&mut self.receive, next.receive);
        self.previous = Some(Previous { receive: old, until: None });
        self.epoch += 1;
        self.sealed = 0;
        self.confirmed = false;
    }
}

impl Next {
    fn after(
        provider: &dyn CryptoProvider,
        aead: Aead,
        send_secret: &TrafficSecret,
        receive_secret: &TrafficSecret,
    ) -> Self {
        let send_secret = send_secret.next();
        let receive_secret = receive_secret.next();
        let receive = receive_secret.packet_key(provider, aead);
        Self { send_secret, receive_secret, receive }
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
