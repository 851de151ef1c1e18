//! A session's traffic keys through their epochs.
//!
//! Both directions move from epoch to epoch together, over all paths at once: whoever updates seals with the
//! next epoch's key, and the other follows when such a packet opens. An update waits until a packet of the present
//! epoch was received: before that the peer may not have followed the last one (RFC 9001 §6.1 asks for the same).
//!
//! Receive keys live on for what was sent before an update: for UDP that of the epoch before, for three probe
//! timeouts (RFC 9001 §6.5); for byte streams, where what is late is never lost, those of the [`EPOCHS_BACK`] epochs
//! before, for as long as a path has not got beyond them. A path that falls behind these is to be closed: no stream
//! that stands still keeps old packets readable, or an update waiting.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::Instant;
use crate::crypto::keys::{PacketKey, TrafficSecret, confidentiality_limit, integrity_limit};
use crate::crypto::{Aead, CryptoProvider, OpenError, TAG_LEN};
use crate::wire::record::{self, BOX_LEN};

/// So many epochs before the present one records may still be of. As many keys are kept in `old`.
const EPOCHS_BACK: u64 = 2;

pub(crate) struct Keys {
    provider: Arc<dyn CryptoProvider>,
    aead: Aead,
    epoch: u64,
    send: PacketKey,
    receive: PacketKey,
    /// Those of the epochs before, the last first.
    old: [Option<PacketKey>; 2],
    /// While packets of the epoch before may come over UDP.
    late: Option<Late>,
    /// The oldest epoch that a byte stream may go on in.
    oldest_stream: Option<u64>,
    next: Next,
    /// What was sealed in this epoch: packets, boxes, records.
    sealed: u64,
    /// Whether a packet of this epoch was opened: only then may the next one begin.
    confirmed: bool,
    /// Forgeries over all epochs (RFC 9001 §6.6 counts them for a connection, whatever its keys).
    forged: u64,
    update_after: u64,
}

struct Late {
    /// When it is over; not set until the peer was heard in the present epoch.
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
    /// It was of the present epoch or one before.
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
            old: [None, None],
            late: None,
            oldest_stream: None,
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
        let may = self.confirmed && self.late.is_none();
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
        let epoch = match epoch_byte.wrapping_sub(self.epoch_byte()) {
            0 => self.epoch,
            1 => self.epoch + 1,
            u8::MAX if self.late.is_some() => self.epoch.checked_sub(1).ok_or(OpenError)?,
            _ => return Err(OpenError),
        };
        self.open_in(epoch, path, number, head, data, tag, forget_previous_at)
    }

    /// The epoch that an Attach of this byte is of. `None` where there is no key for it.
    pub(crate) fn epoch_of(&self, epoch_byte: u8) -> Option<u64> {
        let ahead = epoch_byte.wrapping_sub(self.epoch_byte()).wrapping_add(EPOCHS_BACK.to_le_bytes()[0]);
        let epoch = (self.epoch + u64::from(ahead)).checked_sub(EPOCHS_BACK)?;
        self.key_of(epoch).map(|_| epoch)
    }

    /// Opens what is known to be of a certain epoch: that of a box that opened, or of [`epoch_of`](Self::epoch_of).
    #[allow(clippy::too_many_arguments, reason = "a packet, piece by piece, as it lies in the buffer")]
    pub(crate) fn open_in(
        &mut self,
        epoch: u64,
        path: u32,
        number: u64,
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
        forget_previous_at: Instant,
    ) -> Result<Opened, OpenError> {
        let key = self.key_of(epoch).ok_or(OpenError)?;
        if key.open(path, number, aad, data, tag).is_err() {
            self.forged += 1;
            return Err(OpenError);
        }
        if epoch < self.epoch {
            return Ok(Opened::Known);
        }
        let updated = epoch > self.epoch;
        if updated {
            self.advance();
        }
        if !self.confirmed {
            self.confirmed = true;
            if let Some(late) = &mut self.late {
                late.until = Some(forget_previous_at);
            }
        }
        Ok(if updated { Opened::Updated } else { Opened::Known })
    }

    /// Opens a record's box, whose path's last record was of epoch `from`: with that epoch's key, or a later one's.
    /// Which epoch it is of, and the number of bytes of frames.
    ///
    /// However many keys are tried, it counts as one forgery if none fits.
    pub(crate) fn open_box(
        &mut self,
        from: u64,
        path: u32,
        number: u64,
        sealed: &[u8; BOX_LEN],
    ) -> Result<(u64, usize), OpenError> {
        if !self.reaches(from) {
            return Err(OpenError);
        }
        let opened = (from..=self.epoch + 1).find_map(|epoch| {
            let key = self.key_of(epoch)?;
            let frames = record::open_box(sealed, |data, tag| key.open(path, number, &[], data, tag)).ok()?;
            Some((epoch, frames))
        });
        opened.ok_or_else(|| {
            self.forged += 1;
            OpenError
        })
    }

    /// Whether a path whose last record was of this epoch can go on. One that can't is to be closed.
    pub(crate) const fn reaches(&self, epoch: u64) -> bool {
        epoch + EPOCHS_BACK >= self.epoch
    }

    /// Says which epoch the slowest byte stream is in, whenever one is opened, moves on or is closed: older keys go,
    /// as soon as UDP has no use for them either.
    #[cfg_attr(not(test), expect(dead_code, reason = "the TCP carrier uses it"))]
    pub(crate) fn release_below(&mut self, oldest_stream: Option<u64>, now: Instant) {
        self.oldest_stream = oldest_stream;
        self.on_timeout(now);
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.late.as_ref().and_then(|late| late.until)
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) {
        self.late.take_if(|late| late.until.is_some_and(|until| until <= now));
        self.drop_unneeded();
    }

    fn advance(&mut self) {
        let Next { send_secret, receive_secret, .. } = &self.next;
        let following = Next::after(&*self.provider, self.aead, send_secret, receive_secret);
        self.send = send_secret.packet_key(&*self.provider, self.aead);
        let next = core::mem::replace(&mut self.next, following);
        let last = core::mem::replace(&mut self.receive, next.receive);
        let [before, _] = &mut self.old;
        self.old = [Some(last), before.take()];
        self.late = Some(Late { until: None });
        self.epoch += 1;
        self.sealed = 0;
        self.confirmed = false;
        self.drop_unneeded();
    }

    fn key_of(&self, epoch: u64) -> Option<&PacketKey> {
        let [before, before_that] = &self.old;
        match (epoch + EPOCHS_BACK).checked_sub(self.epoch)? {
            0 => before_that.as_ref(),
            1 => before.as_ref(),
            2 => Some(&self.receive),
            3 => Some(&self.next.receive),
            _ => None,
        }
    }

    fn drop_unneeded(&mut self) {
        let (epoch, oldest) = (self.epoch, self.oldest_stream);
        let of_streams = |back: u64| oldest.is_some_and(|oldest| oldest + back <= epoch);
        let of_late = self.late.is_some();
        let [before, before_that] = &mut self.old;
        before.take_if(|_| !of_late && !of_streams(1));
        before_that.take_if(|_| !of_streams(2));
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
impl Keys {
    pub(super) const fn sealed(&self) -> u64 {
        self.sealed
    }

    pub(super) const fn forged(&self) -> u64 {
        self.forged
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
