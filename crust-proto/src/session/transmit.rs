//! Packets out: what is due, on which path, in how many equal segments.

use super::closing::KEYS_USED_UP;
use super::{Session, State};
use crate::Instant;
use crate::event::CloseReason;
use crate::io::Transmit;
use crate::path::{Carried, Contents, Elsewhere, MIN_ALLOWANCE, Way};
use crate::recovery::Permit;
use crate::wire::codec::Writer;
use crate::wire::frame::Frame;
use crate::wire::packet::{self, HEAD_LEN, Head, MAX_PACKET_NUMBER, MIN_PACKET};

/// A packet's plaintext, being written.
pub(super) struct Draft {
    pub(super) contents: Contents,
    pub(super) eliciting: bool,
    /// Bytes of frames.
    pub(super) len: usize,
}

impl Session {
    /// Writes the next packets into `buf`: equal in size but the last, for one destination. `None`: nothing until an
    /// input, the session's timeout, or until a way is writable that was full.
    ///
    /// `takes` says how many segments at once go along a way; `None` where it is full. Paths that are full are passed
    /// over, and hold up nothing on the others.
    pub(crate) fn poll_transmit(
        &mut self,
        buf: &mut [u8],
        mut takes: impl FnMut(Way) -> Option<usize>,
        now: Instant,
    ) -> Option<Transmit> {
        match &self.state {
            State::Ended | State::Unconfirmed { .. } => return None,
            State::Closing { .. } | State::Draining { .. } => return self.poll_close(buf, takes, now),
            State::Open | State::Lingering { .. } => {}
        }
        self.send_at = None;
        for at in 0..self.paths.len() {
            let path = self.paths.get_mut(at)?;
            let max_segments = takes(path.way);
            path.is_full = max_segments.is_none();
            if let Some((way, what)) = path.due_elsewhere(|way| takes(way).is_none(), now)
                && let Some(transmit) = self.send_elsewhere(at, way, what, buf, now)
            {
                return Some(transmit);
            }
            if let Some(max_segments) = max_segments
                && let Some(transmit) = self.send_batch(at, buf, max_segments, now)
            {
                return Some(transmit);
            }
        }
        None
    }

    /// Full packets back to back, for as long as there is content, window and room.
    fn send_batch(
        &mut self,
        at: usize,
        buf: &mut [u8],
        max_segments: usize,
        now: Instant,
    ) -> Option<Transmit> {
        if self.keys.update_if_worn() || (self.update_wanted && self.keys.update()) {
            self.key_updates += 1;
            if core::mem::take(&mut self.update_wanted) {
                // The peer follows when it hears us.
                self.ping();
            }
        }
        let path = self.paths.get_mut(at)?;
        let mut budget = match path.recovery.permit(now, path.datagram_size) {
            Permit::Now { bytes } => bytes,
            Permit::At(when) => {
                if self.streams.wants_to_send() || self.datagrams.wants_to_send() {
                    self.send_at = Some(self.send_at.map_or(when, |at| at.min(when)));
                }
                0
            }
            Permit::Blocked => 0,
        };
        let mut allowance = path.allowance();
        let way = path.way;
        let ecn = path.recovery.ecn_codepoint();
        let mut segment = path.datagram_size;
        let mut total = 0;
        let mut count = 0;
        let mut idle = false;
        while count < max_segments.max(1) {
            let Some(room) = buf.get_mut(total..).filter(|room| room.len() >= segment) else { break };
            let Some(room) = room.get_mut(..segment) else { break };
            if allowance < MIN_ALLOWANCE
                || self.paths.get(at)?.recovery.next_packet_number() >= MAX_PACKET_NUMBER
            {
                break;
            }
            let size_limit = segment.min(usize::try_from(allowance).unwrap_or(usize::MAX));
            let data = budget >= segment;
            let Some(len) = self.write_packet(at, room.get_mut(..size_limit)?, data, count == 0, now) else {
                idle = data;
                break;
            };
            total += len;
            count += 1;
            budget = budget.saturating_sub(len);
            allowance -= len as u64;
            if count == 1 {
                // The first packet sets the size of all; a short one ends the batch.
                if len < segment {
                    segment = len;
                    break;
                }
            } else if len < segment {
                break;
            }
        }
        let path = self.paths.get_mut(at)?;
        path.recovery.set_app_limited(idle);
        if count == 0 {
            return None;
        }
        path.on_transmit(total as u64);
        Some(Transmit { ecn, segment: (count > 1).then_some(segment), ..way.transmit(total) })
    }

    /// Writes, seals and records one packet of path `at`. `data`: whether the congestion window has room.
    fn write_packet(
        &mut self,
        at: usize,
        room: &mut [u8],
        data: bool,
        first: bool,
        now: Instant,
    ) -> Option<usize> {
        let body = room.get_mut(HEAD_LEN..)?;
        let end = body.len().checked_sub(crate::crypto::TAG_LEN)?;
        let draft = self.draft(at, Writer::new(body.get_mut(..end)?), data, first, now)?;
        self.seal_packet(at, room, draft, now)
    }

    fn draft(
        &mut self,
        at: usize,
        mut w: Writer<'_>,
        data: bool,
        first: bool,
        now: Instant,
    ) -> Option<Draft> {
        let full = self.paths.get(at)?.datagram_size - MIN_PACKET;
        let mut contents = Contents::new();
        let mut eliciting = false;

        // Small answers that other packets wait for come first, congested or not.
        let path = self.paths.get_mut(at)?;
        let probe = path.recovery.take_probe();
        if let Some(token) = path.due_response() {
            Frame::PathResponse(token).encode(&mut w);
            eliciting = true;
        }
        if let Some(token) = path.due_challenge(now) {
            Frame::PathChallenge(token).encode(&mut w);
            contents.push(Carried::Challenge);
            eliciting = true;
        }
        let wants_data = (data || probe) && (self.streams.wants_to_send() || self.datagrams.wants_to_send());
        let speaks = wants_data || probe || eliciting || path.ping;
        if first {
            for path in &mut self.paths {
                // Whoever sends anyway takes along what it owes; otherwise only what is due.
                let owes = path.received.ack_due(now) || (speaks && path.received.has_unacked());
                if owes {
                    let room = w.remaining();
                    if let Some(largest) = path.received.write_ack(now, path.number, room, &mut w) {
                        contents.push(Carried::Ack { path: path.number, largest });
                    }
                }
            }
        }
        if wants_data {
            if self.datagrams.write_frames(&mut w, full) {
                contents.push(Carried::Datagram);
                eliciting = true;
            }
            let mut sent = smallvec::SmallVec::new();
            if self.streams.write_frames(&mut w, &mut sent) {
                contents.extend(sent.into_iter().map(Carried::Streams));
                self.last_data = now;
                eliciting = true;
            }
        }
        let path = self.paths.get_mut(at)?;
        if (probe || path.ping) && !eliciting && w.remaining() > 0 {
            Frame::Ping.encode(&mut w);
            contents.push(Carried::Ping);
            eliciting = true;
        }
        if eliciting {
            path.ping = false;
        }
        let len = w.finish().ok()?;
        (len > 0).then_some(Draft { contents, eliciting, len })
    }

    /// Seals the frames that stand in `room` behind the head's place.
    pub(super) fn seal_packet(
        &mut self,
        at: usize,
        room: &mut [u8],
        draft: Draft,
        now: Instant,
    ) -> Option<usize> {
        let path = self.paths.get_mut(at)?;
        let number = path.recovery.next_packet_number();
        let len = HEAD_LEN + draft.len + crate::crypto::TAG_LEN;
        let packet = room.get_mut(..len)?;
        let head = Head {
            slot: self.slot,
            check: self.check,
            epoch: self.keys.epoch_byte(),
            path: path.number,
            packet_number: number,
        }
        .encode();
        let (head_room, body) = packet.split_first_chunk_mut::<HEAD_LEN>()?;
        *head_room = head;
        let (data, tag) = body.split_last_chunk_mut()?;
        *tag = self.keys.seal(path.number, number, &head, data);
        packet::mask(packet, &self.mask);
        path.recovery.on_sent(now, len, draft.eliciting, draft.contents);
        self.packets_sent += 1;
        self.last_sent = now;
        if draft.eliciting && self.first_unheard.is_none() {
            self.first_unheard = Some(now);
        }
        if self.keys.exhausted() {
            self.begin_closing(KEYS_USED_UP, bytes::Bytes::new(), CloseReason::KeysUsedUp, now);
        }
        Some(len)
    }

    /// A challenge or its answer, alone, to an address that is not the path's.
    fn send_elsewhere(
        &mut self,
        at: usize,
        way: Way,
        what: Elsewhere,
        buf: &mut [u8],
        now: Instant,
    ) -> Option<Transmit> {
        let body = buf.get_mut(HEAD_LEN..)?;
        let mut w = Writer::new(body);
        match what {
            Elsewhere::Challenge(token) => Frame::PathChallenge(token).encode(&mut w),
            Elsewhere::Response(token) => Frame::PathResponse(token).encode(&mut w),
        }
        let contents = Contents::from_iter([Carried::Challenge]);
        let draft = Draft { contents, eliciting: false, len: w.finish().ok()? };
        let len = self.seal_packet(at, buf, draft, now)?;
        self.paths.get_mut(at)?.bytes_sent += len as u64;
        Some(way.transmit(len))
    }
}
