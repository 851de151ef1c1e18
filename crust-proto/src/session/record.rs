//! Packets over byte streams: a path's Attach and its records, sealed and opened with the session's keys.
#![cfg_attr(not(test), expect(dead_code, reason = "the TCP carrier uses it"))]

use super::keys::{Keys, Opened};
use crate::Instant;
use crate::crypto::mask::MaskKey;
use crate::crypto::{OpenError, TAG_LEN};
use crate::wire::record::{self, Record, RecordError, RecordReader};
use crate::wire::stream::{AttachData, AttachHead};

/// The number of an Attach in its nonce.
const ATTACH: u64 = 0;

/// Makes the Attach that `head` describes, but for its epoch, where its frames lie: see
/// [`AttachHead::seal_attach`]. `key` is the peer's receive key.
pub(crate) fn seal_attach(
    keys: &mut Keys,
    head: AttachHead,
    seed: [u8; 16],
    key: &MaskKey,
    room: &mut [u8],
    frames: usize,
) -> Option<usize> {
    let head = AttachHead { epoch: keys.epoch_byte(), ..head };
    head.seal_attach(seed, key, room, frames, |data, body| keys.seal(head.path, ATTACH, data, body))
}

/// Makes a record where its frames lie: see [`record::seal_record`]. The keys count it as two.
pub(crate) fn seal_record(
    keys: &mut Keys,
    path: u32,
    number: u64,
    room: &mut [u8],
    frames: usize,
) -> Option<usize> {
    record::seal_record(number, room, frames, |number, data| keys.seal(path, number, &[], data))
}

/// The packets that a path receives over a byte stream, behind its Attach.
#[derive(Debug)]
pub(crate) struct Incoming {
    path: u32,
    /// The epoch of the last box that opened.
    epoch: u64,
    reader: RecordReader,
}

impl Incoming {
    /// Opens an Attach whose head names the session. Its records follow; its frames are what of `body` comes first,
    /// and PADDING.
    ///
    /// The path's number has not been looked at. Whoever takes the path says so to [`Keys::release_below`].
    pub(crate) fn open<'b>(
        keys: &mut Keys,
        head: &AttachHead,
        data: &AttachData,
        body: &'b mut [u8],
        forget_previous_at: Instant,
    ) -> Result<(Self, Opened, &'b [u8]), OpenError> {
        let epoch = keys.epoch_of(head.epoch).ok_or(OpenError)?;
        let (frames, tag) = body.split_last_chunk_mut::<TAG_LEN>().ok_or(OpenError)?;
        let opened = keys.open_in(epoch, head.path, ATTACH, data, frames, tag, forget_previous_at)?;
        Ok((Self { path: head.path, epoch, reader: RecordReader::new() }, opened, frames))
    }

    /// The next whole record, opened; see [`RecordReader::next`].
    pub(crate) fn next<'i>(
        &mut self,
        keys: &mut Keys,
        input: &mut &'i mut [u8],
        forget_previous_at: Instant,
    ) -> Result<Option<(Record<'i>, Opened)>, RecordError> {
        let Self { path, epoch, reader } = self;
        let open_box = |number, sealed: &_| {
            let (found, frames) = keys.open_box(*epoch, *path, number, sealed)?;
            *epoch = found;
            Ok(frames)
        };
        let Some(mut record) = reader.next(input, open_box)? else { return Ok(None) };
        let (number, tag) = (record.number, record.tag);
        match keys.open_in(*epoch, *path, number, &[], &mut record, &tag, forget_previous_at) {
            Ok(opened) => Ok(Some((record, opened))),
            Err(OpenError) => Err(reader.fail(RecordError::Broken)),
        }
    }

    /// The epoch that the next record is not older than.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether a record has begun and is not whole.
    pub(crate) const fn is_partial(&self) -> bool {
        self.reader.is_partial()
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
