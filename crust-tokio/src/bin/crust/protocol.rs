//! The file protocol: what the two commands say to each other on one bidirectional stream.
//!
//! The fetching side opens the stream. Both sides speak in turn:
//!
//! ```text
//! getter                                sender
//! Hello  magic, highest version    →
//!                                  ←    Offer   version, length, BLAKE3 of the whole, name
//! Accept offset, BLAKE3 of what    →
//!        is there up to it
//!                                  ←    Start   offset: the one asked for, or 0 if that hash is wrong
//!                                  ←    the file from there to its end, bare; then the stream's end
//! Done   BLAKE3 of the whole       →            (written, verified, synced to disk, under its name)
//! ```
//!
//! Who cannot go on closes the connection with one of the codes in [`code`] and a few words.
//!
//! A message is a type (1 byte), the length of its body (2 bytes) and the body; numbers are big-endian. A
//! body longer than what its reader knows is legal, so that later versions can add to it. Everything here
//! is pure; [`read`] and [`write()`] are the only functions that touch a stream.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The version of this protocol that is spoken here.
pub(crate) const VERSION: u8 = 1;

/// The longest body of a message that is read, in bytes.
const MAX_BODY: usize = 4096;
/// The longest file name, in bytes: what file systems allow (`NAME_MAX`).
pub(crate) const MAX_NAME: usize = 255;
/// The longest file: offsets are signed in every system's calls.
const MAX_LENGTH: u64 = i64::MAX as u64;

const MAGIC: &[u8; 10] = b"crust/file";
const HASH: usize = blake3::OUT_LEN;

/// With which codes the commands close their connections.
pub(crate) mod code {
    /// All is well.
    pub(crate) const DONE: u64 = 0;
    /// A person stopped the command.
    pub(crate) const INTERRUPTED: u64 = 1;
    /// The getter does not want the file (one of that name is there already, for example).
    pub(crate) const DECLINED: u64 = 2;
    /// The sender does not serve this peer.
    pub(crate) const REFUSED: u64 = 3;
    /// The sender serves as many peers as it can.
    pub(crate) const BUSY: u64 = 4;
    /// The sender cannot read the file any more, or it changed.
    pub(crate) const SOURCE: u64 = 5;
    /// The getter cannot write the file.
    pub(crate) const DESTINATION: u64 = 6;
    /// The other side does not keep to this protocol.
    pub(crate) const PROTOCOL: u64 = 7;
    /// What arrived is not what was offered.
    pub(crate) const INTEGRITY: u64 = 8;
    /// Another getter has the file, and the sender served only until then.
    pub(crate) const SERVED: u64 = 9;
    /// Something else failed.
    pub(crate) const INTERNAL: u64 = 10;
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The getter's first word.
    Hello {
        /// The highest version that it speaks.
        version: u8,
    },
    /// What there is.
    Offer(Offer),
    /// What the getter wants.
    Accept {
        /// From which byte on.
        offset: u64,
        /// The hash of what it has before that.
        prefix: blake3::Hash,
    },
    /// The file follows.
    Start {
        /// From this byte on.
        offset: u64,
    },
    /// The getter has the file.
    Done {
        /// Its hash.
        root: blake3::Hash,
    },
}

/// Which message is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// [`Message::Hello`]
    Hello,
    /// [`Message::Offer`]
    Offer,
    /// [`Message::Accept`]
    Accept,
    /// [`Message::Start`]
    Start,
    /// [`Message::Done`]
    Done,
}

/// What a sender offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The version both speak from here on.
    pub(crate) version: u8,
    /// The file's length, in bytes.
    pub(crate) length: u64,
    /// The hash of the whole file.
    pub(crate) root: blake3::Hash,
    /// The file's name, as the sender gave it: no path, but otherwise anything (see [`crate::name`]).
    pub(crate) name: String,
}

/// How the other side broke this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// It speaks something else altogether.
    NotThisProtocol,
    /// It speaks a version that did not exist when this was built.
    Version(u8),
    /// It said something else than what was due.
    Unexpected(Due),
    /// A message of an unknown type.
    UnknownMessage(u8),
    /// A message too long.
    TooLong(usize),
    /// A message too short for its fields.
    TooShort,
    /// A file name that no file can have.
    Name(&'static str),
    /// A length or an offset that no file can have.
    Length(u64),
    /// More data than it said, or less.
    Amount,
    /// It confirms another file than the one that was sent.
    WrongDone,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotThisProtocol => f.write_str("it is no `crust send` or `crust get`"),
            Self::Version(version) => {
                write!(f, "it speaks version {version} of the file protocol, this is version {VERSION}")
            }
            Self::Unexpected(what) => write!(f, "it did not say {} when that was due", what.words()),
            Self::UnknownMessage(kind) => write!(f, "it sent a message of the unknown type {kind}"),
            Self::TooLong(length) => write!(f, "it sent a message of {length} bytes"),
            Self::TooShort => f.write_str("it sent a message too short for its fields"),
            Self::Name(why) => write!(f, "it sent an impossible file name ({why})"),
            Self::Length(length) => write!(f, "it sent an impossible length ({length})"),
            Self::Amount => f.write_str("it sent more or less than it offered"),
            Self::WrongDone => f.write_str("it confirms another file than the one sent"),
        }
    }
}

/// Why a message could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The stream failed or ended.
    Stream(io::Error),
    /// What came breaks the protocol.
    Violation(Violation),
}

impl From<Violation> for ReadError {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

/// Reads the next message, which is to be this one.
///
/// Another is refused at its first byte: a stranger may well wait for an answer before it says more.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin), due: Due) -> Result<Message, ReadError> {
    let kind = stream.read_u8().await?;
    due.check(kind)?;
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_BODY {
        return Err(Violation::TooLong(length).into());
    }
    let mut body = [0; MAX_BODY];
    let body = &mut body[..length];
    stream.read_exact(body).await?;
    Ok(Message::decode(kind, body)?)
}

/// Writes a message.
pub(crate) async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &Message) -> io::Result<()> {
    stream.write_all(&message.encode()).await?;
    stream.flush().await
}

/// The version to speak with a peer whose highest is `theirs`.
pub(crate) fn common_version(theirs: u8) -> Result<u8, Violation> {
    match theirs.min(VERSION) {
        0 => Err(Violation::Version(0)),
        version => Ok(version),
    }
}

impl Due {
    /// The message's type, as it goes on the stream.
    fn kind(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Offer => 2,
            Self::Accept => 3,
            Self::Start => 4,
            Self::Done => 5,
        }
    }

    /// Whether a message of this type is the one that is due.
    fn check(self, kind: u8) -> Result<(), Violation> {
        match (kind, self) {
            _ if kind == self.kind() => Ok(()),
            (1..=5, _) => Err(Violation::Unexpected(self)),
            // Whoever speaks something else altogether says it in the first byte.
            (_, Self::Hello | Self::Offer) => Err(Violation::NotThisProtocol),
            _ => Err(Violation::UnknownMessage(kind)),
        }
    }

    /// "It did not say ...".
    fn words(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Offer => "what it offers",
            Self::Accept => "what it has",
            Self::Start => "where it starts",
            Self::Done => "that it is done",
        }
    }
}

impl Message {
    /// Which one it is.
    fn due(&self) -> Due {
        match self {
            Self::Hello { .. } => Due::Hello,
            Self::Offer(_) => Due::Offer,
            Self::Accept { .. } => Due::Accept,
            Self::Start { .. } => Due::Start,
            Self::Done { .. } => Due::Done,
        }
    }

    /// The message as it goes on the stream.
    ///
    /// A name longer than [`MAX_NAME`] is cut; senders shorten theirs before (see [`crate::name`]).
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(64);
        match self {
            Self::Hello { version } => {
                body.extend_from_slice(MAGIC);
                body.push(*version);
            }
            Self::Offer(Offer { version, length, root, name }) => {
                let name = &name.as_bytes()[..name.floor_char_boundary_at(MAX_NAME)];
                body.push(*version);
                body.extend_from_slice(&length.to_be_bytes());
                body.extend_from_slice(root.as_bytes());
                body.push(name.len() as u8);
                body.extend_from_slice(name);
            }
            Self::Accept { offset, prefix } => {
                body.extend_from_slice(&offset.to_be_bytes());
                body.extend_from_slice(prefix.as_bytes());
            }
            Self::Start { offset } => body.extend_from_slice(&offset.to_be_bytes()),
            Self::Done { root } => body.extend_from_slice(root.as_bytes()),
        }
        let mut message = vec![self.due().kind()];
        message.extend_from_slice(&(body.len() as u16).to_be_bytes());
        message.append(&mut body);
        message
    }

    /// Reads a message's body.
    pub(crate) fn decode(kind: u8, body: &[u8]) -> Result<Self, Violation> {
        let mut body = Body(body);
        Ok(match kind {
            1 => {
                if body.take::<{ MAGIC.len() }>() != Ok(*MAGIC) {
                    return Err(Violation::NotThisProtocol);
                }
                Self::Hello { version: body.byte()? }
            }
            2 => {
                let version = body.byte()?;
                if !(1..=VERSION).contains(&version) {
                    return Err(Violation::Version(version));
                }
                let length = body.length()?;
                let root = body.hash()?;
                let name = usize::from(body.byte()?);
                let name = body.bytes(name)?;
                Self::Offer(Offer { version, length, root, name: checked_name(name)?.to_owned() })
            }
            3 => Self::Accept { offset: body.length()?, prefix: body.hash()? },
            4 => Self::Start { offset: body.length()? },
            5 => Self::Done { root: body.hash()? },
            other => return Err(Violation::UnknownMessage(other)),
        })
    }
}

/// Checks that a name can be one file's name. What merely is unwise in it is for [`crate::name`].
fn checked_name(name: &[u8]) -> Result<&str, Violation> {
    let name = std::str::from_utf8(name).map_err(|_| Violation::Name("not UTF-8"))?;
    match name {
        "" => Err(Violation::Name("empty")),
        "." | ".." => Err(Violation::Name("a directory")),
        _ if name.contains('/') => Err(Violation::Name("a path")),
        _ if name.contains('\0') => Err(Violation::Name("a zero byte")),
        _ => Ok(name),
    }
}

struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Violation> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Violation::TooShort)?;
        self.0 = rest;
        Ok(taken)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Violation> {
        self.bytes(N)?.try_into().map_err(|_| Violation::TooShort)
    }

    fn byte(&mut self) -> Result<u8, Violation> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn length(&mut self) -> Result<u64, Violation> {
        let length = u64::from_be_bytes(self.take()?);
        if length > MAX_LENGTH { Err(Violation::Length(length)) } else { Ok(length) }
    }

    fn hash(&mut self) -> Result<blake3::Hash, Violation> {
        self.take::<HASH>().map(blake3::Hash::from_bytes)
    }
}

trait CharBoundary {
    fn floor_char_boundary_at(&self, at: usize) -> usize;
}

impl CharBoundary for str {
    fn floor_char_boundary_at(&self, at: usize) -> usize {
        (0..=at.min(self.len())).rev().find(|&i| self.is_char_boundary(i)).unwrap_or(0)
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
