//! What the floor's methods take and give.

/// Which end of the handshake one is; the other is the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Sent the first handshake message.
    Initiator,
    /// Answered it.
    Responder,
}

impl Side {
    /// The other end.
    pub const fn peer(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

/// Which ways a stream carries data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dir {
    /// Both ways.
    Bi,
    /// From its opener to the other side only.
    Uni,
}

impl Dir {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Bi, Self::Uni];
}

/// A stream's number: who opened it, which ways it carries data, and the how manieth of these it is
/// (RFC 9000 §2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

impl StreamId {
    /// The stream of that opener, direction and index, counted from zero and below 2^60.
    pub const fn new(side: Side, dir: Dir, index: u64) -> Self {
        let side = match side {
            Side::Initiator => 0,
            Side::Responder => 1,
        };
        let dir = match dir {
            Dir::Bi => 0,
            Dir::Uni => 2,
        };
        Self(index << 2 | dir | side)
    }

    /// The stream of that number, as frames carry it.
    pub const fn from_u64(id: u64) -> Self {
        Self(id)
    }

    /// The number that frames carry.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Who opened it.
    pub const fn side(self) -> Side {
        if self.0 & 1 == 0 { Side::Initiator } else { Side::Responder }
    }

    /// Which ways it carries data.
    pub const fn dir(self) -> Dir {
        if self.0 & 2 == 0 { Dir::Bi } else { Dir::Uni }
    }

    /// How many of its opener and direction came before it.
    pub const fn index(self) -> u64 {
        self.0 >> 2
    }
}

impl core::fmt::Display for StreamId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let side = match self.side() {
            Side::Initiator => "initiator",
            Side::Responder => "responder",
        };
        let dir = match self.dir() {
            Dir::Bi => "bi",
            Dir::Uni => "uni",
        };
        write!(f, "{side} {dir} {}", self.index())
    }
}

impl core::fmt::Debug for StreamId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "StreamId({self})")
    }
}

/// How urgent a message is: 0 before everything, 7 after everything. Messages of one priority keep their
/// order; between priorities the more urgent always goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// The most urgent.
    pub const HIGHEST: Self = Self(0);

    /// The least urgent.
    pub const LOWEST: Self = Self(7);

    /// The priority of that number; `None` above 7.
    pub const fn new(priority: u8) -> Option<Self> {
        if priority <= Self::LOWEST.0 { Some(Self(priority)) } else { None }
    }

    /// Its number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Urgency 3, as RFC 9218 §4.1 has it.
impl Default for Priority {
    fn default() -> Self {
        Self(3)
    }
}

/// A message that was sent, to be recognised in [`StreamEvent::MessageAcked`]. Counts up from zero with every
/// message of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub(super) u64);

impl MessageId {
    /// How many messages the session was given before this one.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// A message that arrived.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// How urgent the peer held it to be.
    pub priority: Priority,
    /// What it says.
    pub data: Vec<u8>,
}

/// Never prints what applications send.
impl core::fmt::Debug for Message {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { priority, data } = self;
        f.debug_struct("Message").field("priority", priority).field("len", &data.len()).finish()
    }
}

/// What one side lets the other do. Both tell each other in the handshake. In bytes, where it isn't streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// How much stream data may be sent beyond what the session's applications have read.
    pub max_data: u64,
    /// How much may be sent on one stream beyond what its reader has read.
    pub max_stream_data: u64,
    /// How many bidirectional streams may exist at a time.
    pub max_streams_bi: u64,
    /// How many unidirectional streams may exist at a time.
    pub max_streams_uni: u64,
    /// How long a message may be.
    pub max_message: u64,
    /// How much of each priority may be sent beyond what the application has taken and one longest message.
    pub message_window: u64,
}

/// How this side behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamsConfig {
    /// What the peer may do. It is told so in the handshake.
    pub local: StreamLimits,
    /// How many bytes of each stream and each message priority may wait for acknowledgement here; whoever
    /// writes more has to wait. A single message may be longer.
    pub send_buffer: usize,
}

/// What a frame in a sent packet carried: to be kept with the packet, and handed back when its fate is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the frames")]
pub enum Sent {
    /// Bytes `start..end` of a stream, and perhaps its end.
    Stream { id: StreamId, start: u64, end: u64, fin: bool },
    /// Bytes `start..end` of the message queue of one priority.
    Message { priority: Priority, start: u64, end: u64 },
    /// MAX_DATA.
    MaxData,
    /// MAX_STREAM_DATA.
    MaxStreamData(StreamId),
    /// MAX_STREAMS.
    MaxStreams(Dir),
    /// RESET_STREAM.
    ResetStream(StreamId),
    /// STOP_SENDING.
    StopSending(StreamId),
    /// MAX_MESSAGE_DATA.
    MaxMessageData(Priority),
}

/// What the application may want to know.
///
/// Events tell of a change, once: whoever hears of one goes on until it is `Blocked` (or `None`) again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The peer opened streams: [`accept`](super::Streams::accept) them, until there is none.
    Opened {
        /// Of this direction.
        dir: Dir,
    },
    /// A stream has data, its end or its reset to [`read`](super::Streams::read), and had nothing before.
    Readable(StreamId),
    /// There is room on a stream where a [`write`](super::Streams::write) found none.
    Writable(StreamId),
    /// The peer has everything that was written to a finished stream, and its end.
    Finished(StreamId),
    /// The peer wants no more of a stream; what it had not read is gone.
    Stopped {
        /// The stream.
        id: StreamId,
        /// The application's code.
        code: u64,
    },
    /// More streams may be opened, after [`open`](super::Streams::open) gave none.
    StreamsAvailable(Dir),
    /// Messages have come: [`recv_message`](super::Streams::recv_message), until there is none.
    MessageReadable,
    /// There is room for messages of this priority where one found none.
    MessageWritable(Priority),
    /// The peer's crust has the whole of a message.
    MessageAcked(MessageId),
}

/// How the peer broke the rules. The session ends of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// More data than was allowed (RFC 9000 §4.1).
    #[error("the peer sent more data than it was allowed to")]
    FlowControl,
    /// A stream beyond the limit (RFC 9000 §4.6).
    #[error("the peer opened more streams than it was allowed to")]
    StreamLimit,
    /// A stream's length changed (RFC 9000 §4.5).
    #[error("the peer changed its mind about how long a stream is")]
    FinalSize,
    /// A frame for a stream that can't have it (RFC 9000 §19.4 to §19.10).
    #[error("the peer sent a frame for a stream that does not exist or carries no data that way")]
    StreamState,
    /// A number that no peer may use: a limit above 2^60 streams (RFC 9000 §19.11), a ninth priority.
    #[error("the peer sent a frame with a value that is out of its range")]
    FrameEncoding,
    /// A message that is longer than what we allow.
    #[error("the peer announced a message of {len} bytes, where {limit} are allowed")]
    MessageTooLarge {
        /// Its length.
        len: u64,
        /// Our limit.
        limit: u64,
    },
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The buffer is full; [`StreamEvent::Writable`] will say when it isn't.
    #[error("the send buffer is full")]
    Blocked,
    /// The peer wants no more.
    #[error("the peer wants no more of this stream (code {code})")]
    Stopped {
        /// The peer's application's code.
        code: u64,
    },
    /// The stream was finished or reset before.
    #[error("the stream was finished or reset before")]
    Finished,
    /// No such stream, or none that can be written to, or one that is over.
    #[error("there is no such stream to write to")]
    Unknown,
}

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing has come yet; [`StreamEvent::Readable`] will say when something has.
    #[error("nothing to read yet")]
    Blocked,
    /// The peer abandoned the stream.
    #[error("the peer reset the stream (code {code})")]
    Reset {
        /// The peer's application's code.
        code: u64,
    },
    /// The stream was stopped before, on this side.
    #[error("the stream was stopped before")]
    Stopped,
    /// No such stream, or none that can be read from, or one that is over.
    #[error("there is no such stream to read from")]
    Unknown,
}

/// Why a stream was not reset or stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbandonError {
    /// The wire carries no code above 2^62 − 1.
    #[error("an application's code is at most 2^62 - 1")]
    CodeTooLarge,
    /// No such stream, or none with such a half, or one that is over.
    #[error("there is no such stream to abandon")]
    Unknown,
}

/// Why a message was not sent. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendMessageError {
    /// Longer than both sides allow.
    #[error("a message may be at most {limit} bytes long")]
    TooLarge {
        /// The longest that would do.
        limit: usize,
    },
    /// The buffer is full; [`StreamEvent::MessageWritable`] will say when it isn't.
    #[error("the send buffer of this priority is full")]
    Blocked,
}
