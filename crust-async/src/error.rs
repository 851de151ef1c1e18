//! What the handles' methods can fail with. Each converts into an [`io::Error`] of a fitting kind, with the
//! error itself inside.

use std::io;

use crust_proto::CloseReason;

/// The connection has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnectionError(
    /// How it ended.
    pub CloseReason,
);

/// Writing to a stream failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The peer wants no more of this stream.
    #[error("the peer stopped the stream (code {0})")]
    Stopped(u64),
    /// The stream was finished or reset here before.
    #[error("the stream was finished here before")]
    Finished,
    /// The connection has ended.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// Reading from a stream failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer gave the stream up; what it had not yet delivered is lost.
    #[error("the peer reset the stream (code {0})")]
    Reset(u64),
    /// The stream was stopped here before.
    #[error("the stream was stopped here before")]
    Stopped,
    /// The connection has ended before the stream did.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// A stream was not reset or stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AbandonError {
    /// The wire carries no code above 2^62 - 1.
    #[error("a stream's code is at most 2^62 - 1")]
    CodeTooLarge,
    /// The connection has ended.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// [`read_exact`](crate::RecvStream::read_exact) failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadExactError {
    /// The stream ended first; what there was can be read again.
    #[error("the stream ended after {0} bytes, too early")]
    FinishedEarly(
        /// How many bytes there were.
        usize,
    ),
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// [`read_to_end`](crate::RecvStream::read_to_end) failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadToEndError {
    /// The stream is longer than the caller's limit; what arrived can be read again.
    #[error("the stream is longer than {0} bytes")]
    TooLong(
        /// The limit, in bytes.
        usize,
    ),
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A message was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendMessageError {
    /// It is larger than the peer takes. Nothing was sent.
    #[error("the message is too large: at most {limit} bytes")]
    TooLarge {
        /// The largest message that can be sent, in bytes.
        limit: usize,
    },
    /// The connection has ended.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// A datagram was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendDatagramError {
    /// It is larger than fits a packet now, or than the peer takes. Nothing was sent.
    #[error("the datagram is too large: at most {limit} bytes")]
    TooLarge {
        /// The largest datagram that can be sent now, in bytes.
        limit: usize,
    },
    /// The peer takes no datagrams.
    #[error("the peer takes no datagrams")]
    Unsupported,
    /// The connection has ended.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

impl ConnectionError {
    /// The kind of [`io::Error`] that comes nearest.
    fn kind(&self) -> io::ErrorKind {
        match self.0 {
            CloseReason::Here { .. } => io::ErrorKind::NotConnected,
            CloseReason::TimedOut(_) => io::ErrorKind::TimedOut,
            CloseReason::PeerRestarted => io::ErrorKind::ConnectionReset,
            _ => io::ErrorKind::ConnectionAborted,
        }
    }
}

impl WriteError {
    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Stopped(_) | Self::Finished => io::ErrorKind::BrokenPipe,
            Self::Connection(e) => e.kind(),
        }
    }
}

impl ReadError {
    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Reset(_) => io::ErrorKind::ConnectionReset,
            Self::Stopped => io::ErrorKind::BrokenPipe,
            Self::Connection(e) => e.kind(),
        }
    }
}

impl AbandonError {
    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::CodeTooLarge => io::ErrorKind::InvalidInput,
            Self::Connection(e) => e.kind(),
        }
    }
}

impl ReadExactError {
    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::FinishedEarly(_) => io::ErrorKind::UnexpectedEof,
            Self::Read(e) => e.kind(),
        }
    }
}

impl ReadToEndError {
    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::TooLong(_) => io::ErrorKind::InvalidData,
            Self::Read(e) => e.kind(),
        }
    }
}

impl SendMessageError {
    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::TooLarge { .. } => io::ErrorKind::InvalidInput,
            Self::Connection(e) => e.kind(),
        }
    }
}

impl SendDatagramError {
    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::TooLarge { .. } => io::ErrorKind::InvalidInput,
            Self::Unsupported => io::ErrorKind::Unsupported,
            Self::Connection(e) => e.kind(),
        }
    }
}

macro_rules! into_io {
    ($($error:ty),*) => {$(
        impl From<$error> for io::Error {
            fn from(error: $error) -> Self {
                Self::new(error.kind(), error)
            }
        }
    )*};
}

into_io!(
    ConnectionError,
    WriteError,
    ReadError,
    AbandonError,
    ReadExactError,
    ReadToEndError,
    SendMessageError,
    SendDatagramError
);
