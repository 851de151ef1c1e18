//! Packets in: open, filter replays, act on every frame.

use super::{Session, State};
use crate::Instant;
use crate::crypto::TAG_LEN;
use crate::event::Misbehaviour;
use crate::path::{Carried, Contents, Validated, Way};
use crate::recovery::{AckError, Ecn, Outcome};
use crate::session::keys::Opened;
use crate::streams::{Sent, Side};
use crate::wire::codec::Reader;
use crate::wire::frame::{Ack, Frame};
use crate::wire::packet::{HEAD_LEN, Head};

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
        let Some(at) = self.place_of(head.path) else {
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
        let Some(at) = self.place_of(ack.path) else { return Ok(()) };
        let Some(path) = self.paths.get_mut(at) else { return Ok(()) };
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

    /// Acts on what became of packets. Whether something that was written has arrived.
    pub(super) fn settle(&mut self, outcome: &mut Outcome<Contents>) -> bool {
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
                        if let Some(path) = self.path_mut(path) {
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
}
