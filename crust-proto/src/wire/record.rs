//! Records: how a path's packets cross a byte stream (TCP) behind its [Attach](super::stream).
//!
//! ```text
//!  0                   19                        n-16  n
//! | length 3 + tag 16 | frames ...              | tag |
//!  <----- sealed ----> <---------- sealed ----------->
//! ```
//!
//! The *box* in front holds the number of bytes of frames. It is sealed by itself, so that its receiver knows that
//! the length is genuine before anything is waited for. A record's number is implicit: it counts each direction of
//! a path, from 1 on, as the Attach is packet 0. The frames' nonce is that of a packet (path, number), the box's has
//! the number's highest bit set beside; packet numbers never come near it
//! ([`MAX_PACKET_NUMBER`]). Neither has associated data: everything that could
//! stand there is in the nonce.

use core::fmt;
use core::ops::{Deref, DerefMut};

use super::packet::MAX_PACKET_NUMBER;
use super::stream::take;
use crate::crypto::{OpenError, TAG_LEN};

const LENGTH_LEN: usize = 3;
/// The length of a box, in bytes.
pub const BOX_LEN: usize = LENGTH_LEN + TAG_LEN;
/// Everything in a record but its frames, in bytes.
pub const RECORD_OVERHEAD: usize = BOX_LEN + TAG_LEN;
/// No record is longer, box and tag included: what is sealed at once is held against the AEADs' limits for 2^16
/// bytes.
pub const MAX_RECORD: usize = 65_507;
/// No record carries more bytes of frames.
pub const MAX_FRAMES: usize = MAX_RECORD - RECORD_OVERHEAD;
/// The number of the first record of a path.
pub const FIRST_RECORD: u64 = 1;

/// The number in the nonce of the box of record `number`.
const fn box_number(number: u64) -> u64 {
    1 << 63 | number
}

/// Where in `room` a record's frames are to be written: as many as it, and a record, can take. `None` where there is
/// room for no frame.
pub fn frames_room(room: &mut [u8]) -> Option<&mut [u8]> {
    let len = room.len().min(MAX_RECORD);
    room.get_mut(BOX_LEN..len.checked_sub(TAG_LEN)?).filter(|frames| !frames.is_empty())
}

/// Makes a record where it lies: `frames` bytes of frames stand in [`frames_room`]. `seal` seals bytes under a
/// nonce's number, and is called twice. No byte is moved, nothing allocated.
///
/// How long the record is; the next may be written right behind. `None`, and nothing was sealed, where it does not
/// fit the room, or the path's numbers are spent.
pub fn seal_record(
    number: u64,
    room: &mut [u8],
    frames: usize,
    mut seal: impl FnMut(u64, &mut [u8]) -> [u8; TAG_LEN],
) -> Option<usize> {
    if frames > MAX_FRAMES || number >= MAX_PACKET_NUMBER {
        return None;
    }
    let len = RECORD_OVERHEAD + frames;
    let (length, rest) = room.get_mut(..len)?.split_first_chunk_mut::<LENGTH_LEN>()?;
    let (length_tag, rest) = rest.split_first_chunk_mut::<TAG_LEN>()?;
    let (body, tag) = rest.split_last_chunk_mut::<TAG_LEN>()?;
    let [_, bytes @ ..] = u32::try_from(frames).ok()?.to_be_bytes();
    *length = bytes;
    *length_tag = seal(box_number(number), length);
    *tag = seal(number, body);
    Some(len)
}

/// Opens a box with `open`, which decrypts in place. The number of bytes of frames.
///
/// # Errors
///
/// [`OpenError`] where it does not authenticate.
pub fn open_box(
    sealed: &[u8; BOX_LEN],
    open: impl FnOnce(&mut [u8], &[u8; TAG_LEN]) -> Result<(), OpenError>,
) -> Result<usize, OpenError> {
    let (length, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(OpenError)?;
    let mut clear = [0; LENGTH_LEN];
    clear.copy_from_slice(length);
    open(&mut clear, tag)?;
    let [a, b, c] = clear;
    usize::try_from(u32::from_be_bytes([0, a, b, c])).map_err(|_| OpenError)
}

/// Why a stream of records goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A record does not authenticate: bytes of the stream were damaged, repeated, left out or made up.
    #[error("a record does not authenticate")]
    Broken,
    /// A genuine record is longer than [`MAX_RECORD`]: the peer broke the protocol.
    #[error("a record is too long")]
    TooLong,
}

/// Takes a stream's bytes as they come, and hands out records when they are whole.
///
/// A record that lies wholly in what came is handed out where it lies. Of the last, when it is not whole, a copy is
/// kept: no more than one record, and none between records.
pub struct RecordReader {
    number: u64,
    /// A box, as far as it came.
    boxed: [u8; BOX_LEN],
    got: usize,
    /// Bytes of frames and tag, once a box was opened.
    body_len: Option<usize>,
    /// A body, as far as it came, if that is not whole.
    tail: Vec<u8>,
    failed: Option<RecordError>,
}

/// A whole record, its frames as yet sealed; to be opened in place.
pub struct Record<'i> {
    /// Its number on its path and in its nonce.
    pub number: u64,
    /// The tag of its frames.
    pub tag: [u8; TAG_LEN],
    frames: Place<'i>,
}

enum Place<'i> {
    Came(&'i mut [u8]),
    Kept(Vec<u8>),
}

impl RecordReader {
    /// A reader that begins behind an Attach.
    pub const fn new() -> Self {
        Self {
            number: FIRST_RECORD,
            boxed: [0; BOX_LEN],
            got: 0,
            body_len: None,
            tail: Vec::new(),
            failed: None,
        }
    }

    /// The next whole record; what it takes is cut from the front of `input`. `None` where `input` is used up: to be
    /// called until it says so.
    ///
    /// `open` opens a box sealed under the number it is given (see [`open_box`]), and yields the number of bytes of
    /// frames.
    ///
    /// # Errors
    ///
    /// [`RecordError`]; from then on always the same. The stream's other bytes are worthless.
    pub fn next<'i>(
        &mut self,
        input: &mut &'i mut [u8],
        open: impl FnOnce(u64, &[u8; BOX_LEN]) -> Result<usize, OpenError>,
    ) -> Result<Option<Record<'i>>, RecordError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let len = match self.body_len {
            Some(len) => len,
            None => {
                let taken = take(input, BOX_LEN - self.got);
                self.boxed.iter_mut().skip(self.got).zip(&*taken).for_each(|(to, from)| *to = *from);
                self.got += taken.len();
                if self.got < BOX_LEN {
                    return Ok(None);
                }
                self.got = 0;
                if self.number >= MAX_PACKET_NUMBER {
                    return Err(self.fail(RecordError::Broken));
                }
                let Ok(frames) = open(box_number(self.number), &self.boxed) else {
                    return Err(self.fail(RecordError::Broken));
                };
                if frames > MAX_FRAMES {
                    return Err(self.fail(RecordError::TooLong));
                }
                *self.body_len.insert(frames + TAG_LEN)
            }
        };
        if self.tail.is_empty() && input.len() >= len {
            return Ok(take(input, len).split_last_chunk_mut().map(|(frames, tag)| {
                let tag = *tag;
                self.whole(tag, Place::Came(frames))
            }));
        }
        let taken = take(input, len - self.tail.len());
        if self.tail.capacity() == 0 && !taken.is_empty() {
            self.tail = Vec::with_capacity(len);
        }
        self.tail.extend_from_slice(taken);
        if self.tail.len() < len {
            return Ok(None);
        }
        let mut tail = core::mem::take(&mut self.tail);
        let tag = tail.last_chunk().copied();
        tail.truncate(len - TAG_LEN);
        Ok(tag.map(|tag| self.whole(tag, Place::Kept(tail))))
    }

    fn whole<'i>(&mut self, tag: [u8; TAG_LEN], frames: Place<'i>) -> Record<'i> {
        self.body_len = None;
        let number = self.number;
        self.number += 1;
        Record { number, tag, frames }
    }

    /// Ends the stream, as when a record's frames do not open.
    pub fn fail(&mut self, error: RecordError) -> RecordError {
        self.tail = Vec::new();
        *self.failed.insert(error)
    }

    /// Whether a record has begun and is not whole.
    pub const fn is_partial(&self) -> bool {
        self.got > 0 || self.body_len.is_some()
    }

    /// Bytes of memory held for a record that is not whole.
    pub fn held(&self) -> usize {
        self.tail.capacity()
    }
}

impl Default for RecordReader {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RecordReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordReader")
            .field("number", &self.number)
            .field("is_partial", &self.is_partial())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// Its frames: sealed, or in clear once they were opened.
impl Deref for Record<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.frames {
            Place::Came(bytes) => bytes,
            Place::Kept(bytes) => bytes,
        }
    }
}

impl DerefMut for Record<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.frames {
            Place::Came(bytes) => bytes,
            Place::Kept(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("number", &self.number)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
