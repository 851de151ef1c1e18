//! The frames that packets carry, on every kind of path alike.
//!
//! A packet's plaintext is a sequence of frames. Types below [`FIRST_EXTENSION`] are defined here and an
//! unknown one is an error; from there on every frame is `type, length, content`, so that a version that
//! knows more can speak to one that doesn't: unknown extensions are skipped.
//!
//! | type | frame | fields |
//! |---|---|---|
//! | 0x00 | PADDING | |
//! | 0x01 | PING | |
//! | 0x02, 0x03 | ACK | path, largest, delay (µs / 8), more ranges, first length, (gap, length)…; 0x03: ECT(0), ECT(1), CE |
//! | 0x04 | RESET_STREAM | stream, code, final size |
//! | 0x05 | STOP_SENDING | stream, code |
//! | 0x08–0x0f | STREAM | stream, offset if bit 2, length if bit 1, data; bit 0: fin |
//! | 0x10 | MAX_DATA | limit |
//! | 0x11 | MAX_STREAM_DATA | stream, limit |
//! | 0x12, 0x13 | MAX_STREAMS | limit; bidirectional, unidirectional |
//! | 0x18, 0x19 | MESSAGE | priority, offset, length if 0x19, data |
//! | 0x1a | MAX_MESSAGE_DATA | priority, limit |
//! | 0x1c | CLOSE | code, reason |
//! | 0x20, 0x21 | PATH_CHALLENGE, PATH_RESPONSE | 8 bytes |
//! | 0x30, 0x31 | DATAGRAM | length if 0x31, data |
//!
//! Where the numbers and fields are RFC 9000 §19's (or RFC 9221's) they mean what they mean there; ACK
//! carries a path number because acknowledgements may return on any path.

use core::ops::RangeInclusive;

use super::codec::{Malformed, Reader, Writer, varint_len};
use super::ranges::RangeSet;

/// Frame types from here on carry a length and may be skipped by who doesn't know them.
pub const FIRST_EXTENSION: u64 = 0x40;

/// ACK delays are carried in units of 8 µs (RFC 9000 §18.2: an exponent of 3).
pub const ACK_DELAY_EXPONENT: u32 = 3;

/// One frame, borrowing its content from the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are described in the module's table")]
pub enum Frame<'a> {
    /// Padding, one byte or more of it.
    Padding,
    /// Asks for an acknowledgement.
    Ping,
    /// Packets of one path that arrived.
    Ack(Ack<'a>),
    /// The sender abandons its half of a stream.
    ResetStream { stream: u64, code: u64, final_size: u64 },
    /// The receiver wants no more of a stream.
    StopSending { stream: u64, code: u64 },
    /// Bytes of a stream.
    Stream(StreamFrame<'a>),
    /// How much stream data the whole session may carry.
    MaxData { limit: u64 },
    /// How much data one stream may carry.
    MaxStreamData { stream: u64, limit: u64 },
    /// How many streams the peer may have opened in all.
    MaxStreams { unidirectional: bool, limit: u64 },
    /// Bytes of the message queue of one priority.
    Message { priority: u8, offset: u64, data: &'a [u8] },
    /// How much the message queue of one priority may carry.
    MaxMessageData { priority: u8, limit: u64 },
    /// The session ends.
    Close { code: u64, reason: &'a [u8] },
    /// Wants its eight bytes back along the same path.
    PathChallenge([u8; 8]),
    /// The eight bytes of a challenge.
    PathResponse([u8; 8]),
    /// An unreliable datagram.
    Datagram(&'a [u8]),
    /// A frame of a later version.
    Unknown { kind: u64, content: &'a [u8] },
}

/// STREAM (RFC 9000 §19.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are described in the module's table")]
pub struct StreamFrame<'a> {
    pub stream: u64,
    pub offset: u64,
    pub data: &'a [u8],
    pub fin: bool,
}

/// ECN counts of an ACK (RFC 9000 §19.3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the RFC")]
pub struct EcnCounts {
    pub ect0: u64,
    pub ect1: u64,
    pub ce: u64,
}

/// ACK (RFC 9000 §19.3) of one path's packets. Its ranges were checked when it was decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The path whose packets are acknowledged.
    pub path: u32,
    /// The largest packet number acknowledged.
    pub largest: u64,
    /// How long the receiver held this acknowledgement back, in microseconds.
    pub delay_micros: u64,
    /// ECN counts, where the receiver reads the field.
    pub ecn: Option<EcnCounts>,
    more_ranges: u64,
    ranges: Reader<'a>,
}

impl<'a> Ack<'a> {
    /// The acknowledged packet numbers, highest range first.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u64>> + use<'a> {
        let mut reader = self.ranges;
        let mut next_top = Some(self.largest);
        let mut left = self.more_ranges + 1;
        let first = left;
        core::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let mut top = next_top?;
            if left != first {
                let gap = reader.varint().ok()?;
                top = top.checked_sub(gap.checked_add(2)?)?;
            }
            let bottom = top.checked_sub(reader.varint().ok()?)?;
            left -= 1;
            next_top = Some(bottom);
            Some(bottom..=top)
        })
    }

    ///
    /// # Errors
    ///
    /// [`Malformed`] where the bytes are no frame.
    fn decode(reader: &mut Reader<'a>, with_ecn: bool) -> Result<Self, Malformed> {
        let path = u32::try_from(reader.varint()?).map_err(|_| Malformed)?;
        let largest = reader.varint()?;
        let delay_micros = reader.varint()?.checked_mul(1 << ACK_DELAY_EXPONENT).ok_or(Malformed)?;
        let more_ranges = reader.varint()?;
        // Each further range takes two bytes at least: a count that cannot be true is refused before the walk.
        if more_ranges > reader.remaining() as u64 / 2 {
            return Err(Malformed);
        }
        let mut ranges = *reader;
        let mut bottom = largest.checked_sub(reader.varint()?).ok_or(Malformed)?;
        for _ in 0..more_ranges {
            let gap = reader.varint()?;
            let top = bottom.checked_sub(gap + 2).ok_or(Malformed)?;
            bottom = top.checked_sub(reader.varint()?).ok_or(Malformed)?;
        }
        let ranges = Reader::new(ranges.bytes(ranges.remaining() - reader.remaining())?);
        let ecn = match with_ecn {
            true => Some(EcnCounts { ect0: reader.varint()?, ect1: reader.varint()?, ce: reader.varint()? }),
            false => None,
        };
        Ok(Self { path, largest, delay_micros, ecn, more_ranges, ranges })
    }

    /// Writes an ACK of `received` into `w`: the newest ranges, as many as fit in `room` bytes.
    /// Returns the largest packet number acknowledged, or `None` (nothing written) where `received` is empty
    /// or not even one range fits.
    pub fn encode(
        path: u32,
        received: &RangeSet,
        delay_micros: u64,
        ecn: Option<EcnCounts>,
        room: usize,
        w: &mut Writer<'_>,
    ) -> Option<u64> {
        let first = received.iter().next_back()?;
        let largest = first.end - 1;
        let delay = (delay_micros >> ACK_DELAY_EXPONENT).min(super::codec::MAX_VARINT);
        let ecn_len = ecn.map_or(0, |e| varint_len(e.ect0) + varint_len(e.ect1) + varint_len(e.ce));
        let mut len = 1
            + varint_len(path.into())
            + varint_len(largest)
            + varint_len(delay)
            + 2
            + varint_len(largest - first.start)
            + ecn_len;
        let room = room.min(w.remaining());
        if len > room {
            return None;
        }
        let mut more = 0u64;
        let mut bottom = first.start;
        for range in received.iter().rev().skip(1) {
            len += varint_len(bottom - range.end - 1) + varint_len(range.end - 1 - range.start);
            // The count was given two bytes above.
            if len > room || more >= (1 << 14) - 1 {
                break;
            }
            bottom = range.start;
            more += 1;
        }
        w.varint(if ecn.is_some() { 0x03 } else { 0x02 });
        w.varint(path.into());
        w.varint(largest);
        w.varint(delay);
        w.varint(more);
        w.varint(largest - first.start);
        let mut bottom = first.start;
        for range in received.iter().rev().skip(1).take(usize::try_from(more).unwrap_or(usize::MAX)) {
            w.varint(bottom - range.end - 1);
            w.varint(range.end - 1 - range.start);
            bottom = range.start;
        }
        if let Some(e) = ecn {
            w.varint(e.ect0);
            w.varint(e.ect1);
            w.varint(e.ce);
        }
        Some(largest)
    }
}

impl<'a> Frame<'a> {
    /// Reads the next frame. A run of padding comes as one.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where the bytes are no frame.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let kind = reader.varint()?;
        Ok(match kind {
            0x00 => {
                let rest = reader.rest();
                let pad = rest.iter().take_while(|&&b| b == 0).count();
                *reader = Reader::new(rest.get(pad..).unwrap_or_default());
                Frame::Padding
            }
            0x01 => Frame::Ping,
            0x02 => Frame::Ack(Ack::decode(reader, false)?),
            0x03 => Frame::Ack(Ack::decode(reader, true)?),
            0x04 => Frame::ResetStream {
                stream: reader.varint()?,
                code: reader.varint()?,
                final_size: reader.varint()?,
            },
            0x05 => Frame::StopSending { stream: reader.varint()?, code: reader.varint()? },
            0x08..=0x0f => {
                let stream = reader.varint()?;
                let offset = if kind & 4 != 0 { reader.varint()? } else { 0 };
                let data = if kind & 2 != 0 { reader.prefixed()? } else { reader.rest() };
                within_bounds(offset, data.len())?;
                Frame::Stream(StreamFrame { stream, offset, data, fin: kind & 1 != 0 })
            }
            0x10 => Frame::MaxData { limit: reader.varint()? },
            0x11 => Frame::MaxStreamData { stream: reader.varint()?, limit: reader.varint()? },
            0x12 | 0x13 => Frame::MaxStreams { unidirectional: kind == 0x13, limit: reader.varint()? },
            0x18 | 0x19 => {
                let priority = reader.u8()?;
                let offset = reader.varint()?;
                let data = if kind == 0x19 { reader.prefixed()? } else { reader.rest() };
                within_bounds(offset, data.len())?;
                Frame::Message { priority, offset, data }
            }
            0x1a => Frame::MaxMessageData { priority: reader.u8()?, limit: reader.varint()? },
            0x1c => Frame::Close { code: reader.varint()?, reason: reader.prefixed()? },
            0x20 => Frame::PathChallenge(reader.array()?),
            0x21 => Frame::PathResponse(reader.array()?),
            0x30 => Frame::Datagram(reader.rest()),
            0x31 => Frame::Datagram(reader.prefixed()?),
            kind if kind >= FIRST_EXTENSION => Frame::Unknown { kind, content: reader.prefixed()? },
            _ => return Err(Malformed),
        })
    }

    /// Whether the frame asks for an acknowledgement: all but PADDING, ACK and CLOSE (RFC 9002 §2).
    pub const fn is_ack_eliciting(&self) -> bool {
        !matches!(self, Frame::Padding | Frame::Ack(_) | Frame::Close { .. })
    }

    /// Writes the frame. Data-carrying frames are written with their length, so that others may follow.
    /// ACK is written by [`Ack::encode`]; here it is copied as it was received.
    pub fn encode(&self, w: &mut Writer<'_>) {
        match *self {
            Frame::Padding => w.u8(0),
            Frame::Ping => w.u8(1),
            Frame::Ack(ref ack) => {
                let mut ranges = RangeSet::default();
                for range in ack.ranges() {
                    ranges.insert(*range.start()..range.end() + 1);
                }
                Ack::encode(ack.path, &ranges, ack.delay_micros, ack.ecn, usize::MAX, w);
            }
            Frame::ResetStream { stream, code, final_size } => {
                w.u8(0x04);
                w.varint(stream);
                w.varint(code);
                w.varint(final_size);
            }
            Frame::StopSending { stream, code } => {
                w.u8(0x05);
                w.varint(stream);
                w.varint(code);
            }
            Frame::Stream(StreamFrame { stream, offset, data, fin }) => {
                w.u8(0x08 | if offset > 0 { 4 } else { 0 } | 2 | u8::from(fin));
                w.varint(stream);
                if offset > 0 {
                    w.varint(offset);
                }
                w.prefixed(data);
            }
            Frame::MaxData { limit } => {
                w.u8(0x10);
                w.varint(limit);
            }
            Frame::MaxStreamData { stream, limit } => {
                w.u8(0x11);
                w.varint(stream);
                w.varint(limit);
            }
            Frame::MaxStreams { unidirectional, limit } => {
                w.u8(0x12 | u8::from(unidirectional));
                w.varint(limit);
            }
            Frame::Message { priority, offset, data } => {
                w.u8(0x19);
                w.u8(priority);
                w.varint(offset);
                w.prefixed(data);
            }
            Frame::MaxMessageData { priority, limit } => {
                w.u8(0x1a);
                w.u8(priority);
                w.varint(limit);
            }
            Frame::Close { code, reason } => {
                w.u8(0x1c);
                w.varint(code);
                w.prefixed(reason);
            }
            Frame::PathChallenge(token) => {
                w.u8(0x20);
                w.bytes(&token);
            }
            Frame::PathResponse(token) => {
                w.u8(0x21);
                w.bytes(&token);
            }
            Frame::Datagram(data) => {
                w.u8(0x31);
                w.prefixed(data);
            }
            Frame::Unknown { kind, content } => {
                w.varint(kind);
                w.prefixed(content);
            }
        }
    }
}

/// How many bytes of data a STREAM frame (with its length) can carry in `room` bytes, or `None` where not
/// even an empty one fits.
pub fn stream_room(room: usize, stream: u64, offset: u64) -> Option<usize> {
    let head = 1 + varint_len(stream) + if offset > 0 { varint_len(offset) } else { 0 };
    data_room(room, head)
}

/// How many bytes of data a MESSAGE frame (with its length) can carry in `room` bytes.
pub fn message_room(room: usize, offset: u64) -> Option<usize> {
    data_room(room, 2 + varint_len(offset))
}

/// How many bytes a DATAGRAM frame (with its length) can carry in `room` bytes.
pub fn datagram_room(room: usize) -> Option<usize> {
    data_room(room, 1)
}

fn data_room(room: usize, head: usize) -> Option<usize> {
    let room = room.checked_sub(head)?;
    // The length's own length depends on the length: take the larger where the two disagree.
    let len_len = varint_len(room as u64);
    room.checked_sub(len_len)
}

/// No stream carries more than 2^62 − 1 bytes (RFC 9000 §4.5).
fn within_bounds(offset: u64, len: usize) -> Result<(), Malformed> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= super::codec::MAX_VARINT => Ok(()),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
