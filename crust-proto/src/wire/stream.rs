//! How a byte stream (TCP) begins: greetings, and the Attach that names a session.
//!
//! What each side writes on a stream is `greeting* Attach record*`, the same in both directions. Greetings
//! are the handshake's hellos and replies; an *Attach* says whose [records](super::record) follow. Each of
//! them is framed alike, and nothing of it is in clear:
//!
//! ```text
//!  0      16      32              32 + len
//! | seed | block | body          |
//! ```
//!
//! The block says what the body is and how long; it is xored with one cipher block of the seed:
//!
//! ```text
//!             key                       block in clear                              body
//! hello       the hello key             check 8, len 2, zeros 6                     a hello as over UDP
//! reply       the hello key             check 8, len 2, zeros 6                     a reply without its tag
//! Attach      the receiver's receive    slot 3, check 4, epoch 1, path 3, len 2,    sealed frames, tag
//!             key                       zeros 3
//! ```
//!
//! A reply's seed is its tag, by which its receiver finds the attempt; the other seeds are random. An Attach is
//! packet 0 of its path, framed for a stream: its nonce is (path, 0), its associated data the seed and the
//! block in clear; its frames end in PADDING, so that its length is like a hello's. As a path's number is taken
//! once, it works once.
//!
//! So a frame is told by at most three cipher blocks and one look-up. Where it is nothing of these, whoever
//! wrote it is a stranger to us.

use core::fmt;

use super::codec::{Reader, Writer};
use super::packet::xor;
use crate::crypto::TAG_LEN;
use crate::crypto::mask::MaskKey;

/// The length of a seed and a block, in bytes.
pub const FRAME_LEN: usize = 32;
/// No body is longer.
pub const MAX_BODY: usize = 1100;
/// So many greetings may come before an Attach.
pub const MAX_GREETINGS: u8 = 4;

/// All that is ever taken of a stream before an Attach was whole.
const MOST_BYTES: usize = (MAX_GREETINGS as usize + 1) * (FRAME_LEN + MAX_BODY);
const _: () = assert!(MOST_BYTES <= 8 * 1024);

/// A seed and the block that `clear` becomes under it.
pub fn mask(seed: [u8; 16], mut clear: [u8; 16], key: &MaskKey) -> [u8; FRAME_LEN] {
    xor(&mut clear, &key.mask(&seed));
    join(seed, clear)
}

/// A frame's seed, and its block in clear if `key` is the one it was masked with.
pub fn unmask(frame: &[u8; FRAME_LEN], key: &MaskKey) -> ([u8; 16], [u8; 16]) {
    let mut reader = Reader::new(frame);
    let seed = reader.array().unwrap_or_default();
    let mut clear = reader.array().unwrap_or_default();
    xor(&mut clear, &key.mask(&seed));
    (seed, clear)
}

fn join(seed: [u8; 16], block: [u8; 16]) -> [u8; FRAME_LEN] {
    let mut joined = [0; FRAME_LEN];
    joined.iter_mut().zip(seed.into_iter().chain(block)).for_each(|(to, from)| *to = from);
    joined
}

/// What the block of an Attach says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachHead {
    /// The session's index at the receiver, below [`MAX_SLOT`](super::packet::MAX_SLOT).
    pub slot: u32,
    /// The receiver's random value for that slot.
    pub check: u32,
    /// The low byte of the key epoch.
    pub epoch: u8,
    /// The path's number, below [`MAX_PATH`](super::packet::MAX_PATH).
    pub path: u32,
    /// The length of the body in bytes, its tag included: [`TAG_LEN`] to [`MAX_BODY`].
    pub len: u16,
}

/// The associated data of an Attach: its seed and its block in clear.
pub type AttachData = [u8; FRAME_LEN];

impl AttachHead {
    /// The frame under the receiver's receive key, and what the AEAD authenticates beside the body.
    pub fn seal(&self, seed: [u8; 16], key: &MaskKey) -> ([u8; FRAME_LEN], AttachData) {
        let mut clear = [0; 16];
        let mut w = Writer::new(&mut clear);
        let [_, slot @ ..] = self.slot.to_be_bytes();
        w.bytes(&slot);
        w.u32(self.check);
        w.u8(self.epoch);
        let [_, path @ ..] = self.path.to_be_bytes();
        w.bytes(&path);
        w.u16(self.len);
        (mask(seed, clear, key), join(seed, clear))
    }

    /// Reads a frame as that of an Attach to whoever has this receive key. `None` where it can be none.
    ///
    /// Whether it is one its slot and check tell, and its body proves.
    pub fn open(frame: &[u8; FRAME_LEN], key: &MaskKey) -> Option<(Self, AttachData)> {
        let (seed, clear) = unmask(frame, key);
        let [s0, s1, s2, c0, c1, c2, c3, epoch, p0, p1, p2, l0, l1, zeros @ ..] = clear;
        let head = Self {
            slot: u32::from_be_bytes([0, s0, s1, s2]),
            check: u32::from_be_bytes([c0, c1, c2, c3]),
            epoch,
            path: u32::from_be_bytes([0, p0, p1, p2]),
            len: u16::from_be_bytes([l0, l1]),
        };
        let fits = zeros == [0; 3] && (TAG_LEN..=MAX_BODY).contains(&usize::from(head.len));
        fits.then(|| (head, join(seed, clear)))
    }

    /// Makes an Attach where it lies: `frames` bytes of frames stand in `room` behind the place of seed and
    /// block; PADDING fills the body up to the head's `len`. `seal` gets the associated data and the body, and
    /// yields the tag.
    ///
    /// How long it is in all; `None`, and nothing was sealed, where the frames do not fit the length or it does
    /// not fit the room.
    pub fn seal_attach(
        &self,
        seed: [u8; 16],
        key: &MaskKey,
        room: &mut [u8],
        frames: usize,
        seal: impl FnOnce(&AttachData, &mut [u8]) -> [u8; TAG_LEN],
    ) -> Option<usize> {
        let len = usize::from(self.len);
        let (frame, rest) = room.split_first_chunk_mut::<FRAME_LEN>()?;
        let (body, tag) = rest.get_mut(..len).filter(|_| len <= MAX_BODY)?.split_last_chunk_mut()?;
        body.get_mut(frames..)?.fill(0);
        let (masked, data) = self.seal(seed, key);
        *frame = masked;
        *tag = seal(&data, body);
        Some(FRAME_LEN + len)
    }
}

/// What a frame was recognised as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<K> {
    /// What it is, in the words of who recognised it.
    pub what: K,
    /// The length of its body. One longer than [`MAX_BODY`] is a stranger's.
    pub len: usize,
    /// Whether it is an Attach, behind which the reader takes nothing more.
    pub attach: bool,
}

/// The stream does not begin as one of ours: its bytes are to be read and thrown away, and it must look the
/// same as if they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream does not begin with a greeting")]
pub struct Stranger;

/// Takes a stream's first bytes as they come, and hands out greetings when they are whole.
///
/// Memory is taken only for what was recognised, and always the same: [`FRAME_LEN`] + [`MAX_BODY`] bytes.
///
/// ```
/// use crust_proto::crypto::mask::{MaskKey, MaskKind};
/// use crust_proto::wire::stream::{AttachHead, Claim, GreetingReader};
///
/// let key = MaskKey::new(MaskKind::ChaCha20, &[1; 32]);
/// let head = AttachHead { slot: 1, check: 2, epoch: 0, path: 4, len: 50 };
/// let mut written = [0; 82 + 5];
/// head.seal_attach([9; 16], &key, &mut written, 0, |_, _| [7; 16]).unwrap();
///
/// let mut reader = GreetingReader::new();
/// let recognise = |frame: &_| {
///     let (head, data) = AttachHead::open(frame, &key)?;
///     Some(Claim { what: (head, data), len: head.len.into(), attach: true })
/// };
/// let (first, mut rest) = written.split_at_mut(40);
/// assert!(reader.next(&mut &mut *first, recognise)?.is_none());
/// let attach = reader.next(&mut rest, recognise)?.unwrap();
/// assert_eq!(attach.what.0, head);
/// assert_eq!(attach.body().len(), 50);
/// // What follows are records.
/// assert_eq!(rest.len(), 5);
/// # Ok::<(), crust_proto::wire::stream::Stranger>(())
/// ```
pub struct GreetingReader<K> {
    stage: Stage<K>,
    frame: [u8; FRAME_LEN],
    /// How much of it there is.
    got: usize,
    /// A frame that was recognised, and its body as far as it came.
    whole: Vec<u8>,
    greetings: u8,
}

enum Stage<K> {
    Frame,
    Body(Claim<K>),
    Attached,
    Stranger,
}

/// A whole greeting, or Attach.
pub struct Greeting<'a, K> {
    /// What it was recognised as.
    pub what: K,
    bytes: &'a mut [u8],
}

impl<K> GreetingReader<K> {
    /// A reader that has got nothing yet.
    pub const fn new() -> Self {
        Self { stage: Stage::Frame, frame: [0; FRAME_LEN], got: 0, whole: Vec::new(), greetings: 0 }
    }

    /// The next whole greeting; what it takes is cut from the front of `input`. `None` where `input` is used up,
    /// or where an Attach was handed out. To be called until it says so.
    ///
    /// `recognise` is asked once for each frame. In order of cost it asks itself: does it
    /// [open](AttachHead::open) under our receive key and name a slot of ours; is its seed the tag of a reply that
    /// we wait for; is it a hello under either of our hello keys?
    ///
    /// # Errors
    ///
    /// [`Stranger`] where a frame is not recognised, claims too long a body, or is one greeting too many; from
    /// then on always. `input` is worthless then.
    pub fn next(
        &mut self,
        input: &mut &mut [u8],
        recognise: impl FnOnce(&[u8; FRAME_LEN]) -> Option<Claim<K>>,
    ) -> Result<Option<Greeting<'_, K>>, Stranger> {
        if matches!(self.stage, Stage::Frame) {
            let taken = take(input, FRAME_LEN - self.got);
            self.frame.iter_mut().skip(self.got).zip(&*taken).for_each(|(to, from)| *to = *from);
            self.got += taken.len();
            if self.got < FRAME_LEN {
                return Ok(None);
            }
            self.got = 0;
            let may =
                |claim: &Claim<K>| claim.len <= MAX_BODY && (claim.attach || self.greetings < MAX_GREETINGS);
            self.stage = recognise(&self.frame).filter(may).map_or(Stage::Stranger, Stage::Body);
            if let Stage::Body(claim) = &self.stage {
                self.greetings += u8::from(!claim.attach);
                self.whole.clear();
                self.whole.reserve_exact(FRAME_LEN + MAX_BODY);
                self.whole.extend_from_slice(&self.frame);
            }
        }
        match core::mem::replace(&mut self.stage, Stage::Frame) {
            Stage::Body(claim) => {
                let len = FRAME_LEN + claim.len;
                self.whole.extend_from_slice(take(input, len - self.whole.len()));
                if self.whole.len() < len {
                    self.stage = Stage::Body(claim);
                    return Ok(None);
                }
                if claim.attach {
                    self.stage = Stage::Attached;
                }
                Ok(Some(Greeting { what: claim.what, bytes: &mut self.whole }))
            }
            Stage::Attached => {
                self.stage = Stage::Attached;
                Ok(None)
            }
            Stage::Stranger | Stage::Frame => {
                self.stage = Stage::Stranger;
                Err(Stranger)
            }
        }
    }

    /// Whether a greeting has begun and is not whole.
    pub const fn is_partial(&self) -> bool {
        self.got > 0 || matches!(self.stage, Stage::Body(_))
    }
}

/// Cuts at most `n` bytes from the front of `input`.
pub(super) fn take<'i>(input: &mut &'i mut [u8], n: usize) -> &'i mut [u8] {
    let whole = core::mem::take(input);
    let (taken, rest) = whole.split_at_mut(n.min(whole.len()));
    *input = rest;
    taken
}

impl<K> Default for GreetingReader<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for GreetingReader<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GreetingReader")
            .field("greetings", &self.greetings)
            .field("is_partial", &self.is_partial())
            .finish_non_exhaustive()
    }
}

impl<'a, K> Greeting<'a, K> {
    /// The body: a hello, or the sealed frames of an Attach and their tag.
    pub fn body(self) -> &'a mut [u8] {
        self.bytes.get_mut(FRAME_LEN..).unwrap_or_default()
    }

    /// Seed and body in one: a reply as over UDP.
    pub fn into_reply(self) -> &'a mut [u8] {
        // The seed takes the place of the block, which is read.
        self.bytes.copy_within(..FRAME_LEN / 2, FRAME_LEN / 2);
        self.bytes.get_mut(FRAME_LEN / 2..).unwrap_or_default()
    }
}

impl<K: fmt::Debug> fmt::Debug for Greeting<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greeting").field("what", &self.what).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
