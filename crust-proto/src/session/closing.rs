//! The end of a session: said, heard, confirmed, or simply come.

use bytes::Bytes;

use super::transmit::Draft;
use super::{Session, State};
use crate::event::{CloseReason, Misbehaviour, PROTOCOL_CODES};
use crate::io::Transmit;
use crate::path::{Contents, Way};
use crate::wire::codec::Writer;
use crate::wire::frame::Frame;
use crate::wire::packet::{HEAD_LEN, MIN_PACKET};
use crate::{Duration, Instant};

/// CLOSE with this code confirms the peer's CLOSE and is not answered.
const CLOSE_CONFIRMED: u64 = PROTOCOL_CODES;
/// CLOSE with this code says that the receiver broke the protocol.
const PROTOCOL_VIOLATION: u64 = PROTOCOL_CODES + 1;
/// CLOSE with this code says that a key is used up.
pub(super) const KEYS_USED_UP: u64 = PROTOCOL_CODES + 2;
/// How often CLOSE is sent to a peer that does not confirm it.
pub(super) const CLOSE_TRIES: u32 = 6;
/// The first pause between two answers with CLOSE to what the peer sends; it doubles.
const CLOSE_REPEAT: Duration = Duration::from_millis(5);
/// How long CLOSE is repeated at most, whatever the peer claims of its acknowledgements.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// A reason longer than this is cut, so that CLOSE always fits a packet.
const MAX_REASON: usize = 256;
/// For so many probe timeouts the peer's CLOSE is confirmed as often as it comes. It comes with growing pauses;
/// this outlasts the first few of them.
const DRAIN_PTOS: u32 = 8;
/// No packet with a CLOSE is longer.
const CLOSE_LEN: usize = MIN_PACKET + 16 + MAX_REASON;

impl Session {
    /// Ends the session at once for the application.
    pub(crate) fn close(&mut self, code: u64, reason: &[u8], now: Instant) {
        if self.close_reason.is_some() {
            return;
        }
        let said = Bytes::copy_from_slice(reason.get(..MAX_REASON).unwrap_or(reason));
        let silent = self.is_unconfirmed();
        self.begin_closing(code.min(PROTOCOL_CODES - 1), said, CloseReason::Here { code }, now);
        if silent {
            self.state = State::Ended;
        }
    }

    /// Ends the session once everything written has been delivered.
    pub(crate) fn finish_and_close(&mut self, code: u64, reason: &[u8], now: Instant) {
        if matches!(self.state, State::Open) {
            let reason = Bytes::copy_from_slice(reason.get(..MAX_REASON).unwrap_or(reason));
            self.state = State::Lingering { until: now + self.config.linger, code, reason };
            self.end_lingering(now);
        }
    }

    /// Takes a graceful close back: the application wants the peer again before it was over.
    pub(crate) fn reopen(&mut self) {
        if matches!(self.state, State::Lingering { .. }) {
            self.state = State::Open;
        }
    }

    /// The peer was restarted and a new session stands in this one's place: its keys are gone at the peer, so
    /// nothing more is sent.
    pub(crate) fn on_replaced(&mut self) {
        self.end(CloseReason::PeerRestarted);
    }

    pub(crate) fn misbehaved(&mut self, what: Misbehaviour, now: Instant) {
        let said = Bytes::from(what.to_string());
        self.begin_closing(PROTOCOL_VIOLATION, said, CloseReason::PeerMisbehaved(what), now);
    }

    /// The peer speaks as if the session were open: it has not heard CLOSE, and hears it again, with pauses that grow,
    /// or the two would keep each other busy (RFC 9000 §10.2.1). Where it `asked` there is no pause.
    pub(crate) fn close_again(&mut self, asked: bool, now: Instant) {
        let longest = self.closing_pto();
        if let State::Closing { sent, again, repeats, may_repeat, .. } = &mut self.state
            && *sent > 0
            && (asked || *may_repeat <= now)
        {
            *again = true;
            *may_repeat = now + (CLOSE_REPEAT * (1 << (*repeats).min(10))).min(longest);
            *repeats += 1;
        }
    }

    pub(super) fn on_close(&mut self, code: u64, reason: &[u8], now: Instant) {
        let drained = now + self.closing_pto() * DRAIN_PTOS;
        if let State::Draining { until, confirm } = &mut self.state {
            if code == CLOSE_CONFIRMED {
                // Both sides closed and both know.
                self.state = State::Ended;
            } else {
                *confirm = true;
                *until = drained;
            }
            return;
        }
        if matches!(self.state, State::Closing { .. }) && code == CLOSE_CONFIRMED {
            self.state = State::Ended;
            return;
        }
        if self.close_reason.is_none() {
            let reason = Bytes::copy_from_slice(reason.get(..MAX_REASON).unwrap_or(reason));
            self.close_reason = Some(match code {
                KEYS_USED_UP => CloseReason::KeysUsedUp,
                PROTOCOL_CODES.. => CloseReason::Protocol { code, reason },
                _ => CloseReason::ByPeer { code, reason },
            });
            self.closed_event = true;
        }
        self.state = State::Draining { until: drained, confirm: true };
    }

    /// Goes from lingering to closing, once everything is delivered or the time is up.
    pub(crate) fn end_lingering(&mut self, now: Instant) {
        let State::Lingering { until, code, reason } = &self.state else { return };
        let delivered = self.streams.is_flushed() && !self.datagrams.wants_to_send();
        if delivered || *until <= now {
            let (code, reason) = (*code, reason.clone());
            self.begin_closing(code.min(PROTOCOL_CODES - 1), reason, CloseReason::Here { code }, now);
        }
    }

    pub(super) fn begin_closing(&mut self, code: u64, said: Bytes, reason: CloseReason, now: Instant) {
        if self.close_reason.is_none() {
            self.close_reason = Some(reason);
            self.closed_event = true;
            self.state = State::Closing {
                code,
                reason: said,
                sent: 0,
                again: false,
                repeats: 0,
                may_repeat: now,
                next: now,
                until: now + CLOSE_PATIENCE,
            };
        }
    }

    /// The session is over and the peer need not, or cannot, be told.
    pub(super) fn end(&mut self, reason: CloseReason) {
        if self.close_reason.is_none() {
            self.close_reason = Some(reason);
            self.closed_event = !self.is_unconfirmed();
        }
        self.state = State::Ended;
    }

    /// Whether the address may be sent as much as CLOSE may take.
    pub(super) fn may_send_close(&self) -> bool {
        self.main().is_some_and(|p| p.may_send_whole(CLOSE_LEN))
    }

    /// CLOSE, repeated until it is confirmed; or its confirmation.
    pub(super) fn poll_close(
        &mut self,
        buf: &mut [u8],
        mut takes: impl FnMut(Way) -> Option<usize>,
        now: Instant,
    ) -> Option<Transmit> {
        let pto = self.closing_pto();
        let path = self.main_mut()?;
        let way = path.way;
        path.is_full = takes(way).is_none();
        // Even a goodbye is no reason to flood an address that was not validated.
        if !self.may_send_close() {
            return None;
        }
        let (code, reason) = match &mut self.state {
            State::Closing { code, reason, sent, next, .. } if *next <= now && *sent < CLOSE_TRIES => {
                *next = now + pto * (1 << *sent);
                *sent += 1;
                (*code, reason.clone())
            }
            State::Closing { code, reason, again, .. } if *again => {
                *again = false;
                (*code, reason.clone())
            }
            State::Draining { confirm, .. } if *confirm => {
                *confirm = false;
                (CLOSE_CONFIRMED, Bytes::new())
            }
            _ => return None,
        };
        let mut w = Writer::new(buf.get_mut(HEAD_LEN..)?);
        Frame::Close { code, reason: &reason }.encode(&mut w);
        let draft = Draft { contents: Contents::new(), eliciting: false, len: w.finish().ok()? };
        let len = self.seal_packet(self.main_at(), buf, draft, now)?;
        self.main_mut()?.on_transmit(len as u64);
        Some(way.transmit(len))
    }

    /// The probe timeout by which closing goes: within bounds that no peer can move.
    pub(super) fn closing_pto(&self) -> Duration {
        self.slowest_pto().clamp(Duration::from_millis(50), Duration::from_secs(1))
    }
}
