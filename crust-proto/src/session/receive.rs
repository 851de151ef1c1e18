//! Packets in: open, filter replays, act on every frame.

use bytes::Bytes;

use super::{CLOSE_CONFIRMED, KEYS_USED_UP, MAX_REASON, Session, State};
use crate::Instant;
use crate::crypto::TAG_LEN;
use crate::event::{CloseReason, Misbehaviour, PROTOCOL_CODES};
use crate::path::{Carried, Contents, Validated, Way};
use crate::recovery::{AckError, Ecn, Outcome, TimeoutKind};
use crate::session::keys::Opened;
use crate::streams::{Sent, Side};
use crate::wire::codec::Reader;
use crate::wire::frame::{Ack, Frame};
use crate::wire::packet::{HEAD_LEN, Head};

/// For so many probe timeouts the peer's CLOSE is confirmed as often as it comes. It comes with growing pauses;
/// this outlasts the first few of them.
const DRAIN_PTOS: u32 = 8;

/// What became of a packet that was addressed to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PacketFate {
    /// Opened and acted on.
    Taken,
    /// Opened, and with it the session is confirmed.
    Confirmed,
    /// Its number was received before, or is too old to tell.
    Duplicate,
    /// It did not authenticate.
    Forged,
    /// Its path does not exist.
    UnknownPath,
    /// The session is over.
    Late,
}

impl Session {
    /// Takes a packet whose head (in clear, decoded as `head`) names this session. `body` is what follows the head.
    #[allow(clippy::too_many_arguments, reason = "a packet and all that came with it")]
    pub(crate) fn handle_packet(
        &mut self,
        head: Head,
        clear: &[u8; HEAD_LEN],
        body: &mut [u8],
        way: Way,
        ecn: Option<Ecn>,
        token: impl FnOnce() -> [u8; 8],
        now: Instant,
    ) -> PacketFate {
        if self.is_ended() {
            return PacketFate::Late;
        }
        let forget = match self.keys.starts_clock(head.epoch) {
            true => now + self.slowest_pto() * 3,
            false => now,
        };
        let confirmed = self.is_unconfirmed();
        let Some(at) = self.paths.iter().position(|p| p.number == head.path) else {
            return PacketFate::UnknownPath;
        };
        let Some(path) = self.paths.get_mut(at) else { return PacketFate::UnknownPath };
        if !path.received.is_new(head.packet_number) {
            return PacketFate::Duplicate;
        }
        let len = HEAD_LEN + body.len();
        let Some((data, tag)) = body.split_last_chunk_mut::<TAG_LEN>() else { return PacketFate::Forged };
        match self.keys.open(head.epoch, head.path, head.packet_number, clear, data, tag, forget) {
            Ok(Opened::Known) => {}
            Ok(Opened::Updated) => self.key_updates += 1,
            Err(_) => {
                if self.keys.too_many_forged() && self.close_reason.is_none() {
                    self.misbehaved(Misbehaviour::IntegrityLimit, now);
                }
                return PacketFate::Forged;
            }
        }
        self.packets_received += 1;
        self.last_heard = now;
        self.first_unheard = None;

        if confirmed {
            self.state = State::Open;
            self.opened = Some(now);
        }
        if confirmed && self.side == Side::Responder {
            // Which of the raced ways the peer chose is told by its first packet.
            path.choose(way);
        }
        let newest = path.received.largest().is_none_or(|largest| head.packet_number > largest);
        path.on_packet(way, len, newest, token, now);

        if matches!(self.state, State::Closing { .. }) {
            self.close_again(false, now);
        }
        let mut eliciting = false;
        let mut reader = Reader::new(data);
        while !reader.is_empty() {
            let Ok(frame) = Frame::decode(&mut reader) else {
                self.misbehaved(Misbehaviour::MalformedFrames, now);
                break;
            };
            eliciting |= frame.is_ack_eliciting();
            if let Err(what) = self.on_frame(at, &frame, way, now) {
                self.misbehaved(what, now);
                break;
            }
        }
        if let Some(path) = self.paths.get_mut(at) {
            path.received.on_packet(now, head.packet_number, eliciting, ecn);
        }
        self.end_lingering(now);
        if confirmed { PacketFate::Confirmed } else { PacketFate::Taken }
    }

    fn on_frame(&mut self, at: usize, frame: &Frame<'_>, way: Way, now: Instant) -> Result<(), Misbehaviour> {
        if let Frame::Close { code, reason } = *frame {
            self.on_close(code, reason, now);
            return Ok(());
        }
        if !self.is_open() {
            // Closing: the peer hears CLOSE again, and nothing else is acted on.
            return Ok(());
        }
        match frame {
            Frame::Padding | Frame::Ping | Frame::Close { .. } | Frame::Unknown { .. } => {}
            Frame::Ack(ack) => self.on_ack(ack, now)?,
            Frame::PathChallenge(token) => {
                if let Some(path) = self.paths.get_mut(at) {
                    path.on_challenge(*token, way);
                }
            }
            Frame::PathResponse(token) => {
                if let Some(path) = self.paths.get_mut(at) {
                    match path.on_response(*token, way, now) {
                        Validated::Moved { from } => self.moved = from.remote().zip(way.remote()),
                        Validated::Present | Validated::No => {}
                    }
                }
            }
            Frame::Datagram(data) => {
                if data.len() > self.config.max_datagram {
                    return Err(Misbehaviour::DatagramTooLarge);
                }
                self.datagrams.on_frame(data);
            }
            Frame::ResetStream { .. }
            | Frame::StopSending { .. }
            | Frame::Stream(_)
            | Frame::MaxData { .. }
            | Frame::MaxStreamData { .. }
            | Frame::MaxStreams { .. }
            | Frame::Message { .. }
            | Frame::MaxMessageData { .. } => {
                self.last_data = now;
                self.streams.on_frame(frame)?;
            }
        }
        Ok(())
    }

    fn on_ack(&mut self, ack: &Ack<'_>, now: Instant) -> Result<(), Misbehaviour> {
        // An acknowledgement may return on any path; one of a path that is gone says nothing any more.
        let Some(path) = self.paths.iter_mut().find(|p| p.number == ack.path) else { return Ok(()) };
        let mut outcome = core::mem::take(&mut self.outcome);
        let result = path.recovery.on_ack(now, ack, &mut outcome);
        if self.settle(&mut outcome)
            && let State::Lingering { until, .. } = &mut self.state
        {
            // However slow the line is: what was written arrives.
            *until = now + self.config.linger;
        }
        self.outcome = outcome;
        result.map_err(|AckError::NeverSent| Misbehaviour::AckOfUnsent)
    }

    pub(super) fn on_path_timeout(&mut self, at: usize, now: Instant) {
        let Some(path) = self.paths.get_mut(at) else { return };
        if path.recovery.timeout().is_none_or(|due| due > now) {
            return;
        }
        let mut outcome = core::mem::take(&mut self.outcome);
        if path.recovery.on_timeout(now, &mut outcome) == TimeoutKind::Probe {
            // The probe repeats what has been on its way the longest: if that arrives, nothing was lost by waiting.
            for carried in path.recovery.oldest_unacked().into_iter().flatten() {
                if let Carried::Streams(sent) = carried {
                    self.streams.on_probe(sent);
                }
            }
            path.ping = true;
        }
        self.settle(&mut outcome);
        self.outcome = outcome;
    }

    /// Acts on what became of packets. Whether something that was written has arrived.
    fn settle(&mut self, outcome: &mut Outcome<Contents>) -> bool {
        let mut progress = false;
        for contents in outcome.acked.drain(..) {
            for carried in contents {
                match carried {
                    Carried::Streams(sent) => {
                        self.streams.on_acked(&sent);
                        // What the peer is told of our own windows is nothing that the application wrote.
                        progress |= matches!(sent, Sent::Stream { .. } | Sent::Message { .. });
                    }
                    Carried::Ack { path, largest } => {
                        if let Some(path) = self.paths.iter_mut().find(|p| p.number == path) {
                            path.received.on_ack_acked(largest);
                        }
                    }
                    Carried::Ping | Carried::Challenge | Carried::Datagram => {}
                }
            }
        }
        for contents in outcome.lost.drain(..) {
            for carried in contents {
                match carried {
                    Carried::Streams(sent) => self.streams.on_lost(&sent),
                    // Acknowledgements are always written anew; challenges have their own clock; datagrams and
                    // pings are not repeated.
                    Carried::Ack { .. } | Carried::Ping | Carried::Challenge | Carried::Datagram => {}
                }
            }
        }
        outcome.clear();
        progress
    }

    fn on_close(&mut self, code: u64, reason: &[u8], now: Instant) {
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
}
