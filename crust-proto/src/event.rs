//! What the application hears, and how things end.

use core::fmt;
use core::time::Duration;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::identity::PeerId;
use crate::io::SocketId;
use crate::streams::{Dir, MessageId, Priority, StreamId, Violation};

/// A session, as the application names it. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u64);

/// One call of [`connect`](crate::Engine::connect). Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub(crate) u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.0)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {}", self.0)
    }
}

/// What happened, for the application.
///
/// Events about data are edges: one [`Event::Readable`] says that there is something to read where there was
/// nothing; read until `Blocked`, or the end, before waiting for the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A socket listens.
    Listening {
        /// Which.
        socket: SocketId,
        /// Its address.
        local: SocketAddr,
    },
    /// A socket could not be opened or died; the machine's fault. One that died is opened again at its address
    /// ([`Event::Listening`] follows if that works); sessions that used it go on over any other meanwhile.
    ListenFailed {
        /// Which.
        socket: SocketId,
        /// The address that was asked for.
        local: SocketAddr,
        /// What the system said.
        error: String,
    },
    /// A session stands: both sides proved who they are.
    Connected {
        /// Which.
        session: SessionId,
        /// With whom.
        peer: PeerId,
        /// Whether the peer asked for it and we did not.
        incoming: bool,
    },
    /// An attempt to connect ended.
    Attempt {
        /// Which.
        attempt: AttemptId,
        /// The session that serves it (announced by [`Event::Connected`] before), or why there is none.
        result: Result<SessionId, ConnectError>,
    },
    /// A session ended. What it had received can be read until [`release`](crate::Engine::release), which is due for
    /// each.
    Closed {
        /// Which.
        session: SessionId,
        /// How.
        reason: CloseReason,
    },
    /// The peer opened a stream: [`accept`](crate::SessionMut::accept) it.
    StreamOpened {
        /// In which session.
        session: SessionId,
        /// Its kind.
        dir: Dir,
    },
    /// The peer allows more streams to be opened.
    StreamsAvailable {
        /// In which session.
        session: SessionId,
        /// Their kind.
        dir: Dir,
    },
    /// A stream has something to read: data, its end, or its reset.
    Readable {
        /// In which session.
        session: SessionId,
        /// Which stream.
        stream: StreamId,
    },
    /// A stream takes more data.
    Writable {
        /// In which session.
        session: SessionId,
        /// Which stream.
        stream: StreamId,
    },
    /// All of a finished stream arrived.
    StreamFinished {
        /// In which session.
        session: SessionId,
        /// Which stream.
        stream: StreamId,
    },
    /// The peer wants no more of a stream.
    StreamStopped {
        /// In which session.
        session: SessionId,
        /// Which stream.
        stream: StreamId,
        /// The peer's application's code.
        code: u64,
    },
    /// A message can be received.
    MessageReadable {
        /// In which session.
        session: SessionId,
    },
    /// The message queue of a priority takes more.
    MessageWritable {
        /// In which session.
        session: SessionId,
        /// Which queue.
        priority: Priority,
    },
    /// The peer's crust has all of a message.
    MessageAcked {
        /// In which session.
        session: SessionId,
        /// Which message.
        message: MessageId,
    },
    /// An unreliable datagram can be received.
    DatagramReadable {
        /// In which session.
        session: SessionId,
    },
    /// The peer is reached at another address than before (its NAT rebound, or it moved).
    AddressChanged {
        /// In which session.
        session: SessionId,
        /// Where it was.
        from: SocketAddr,
        /// Where it is.
        to: SocketAddr,
    },
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This application closed it.
    #[error("closed here (code {code})")]
    Here {
        /// The application's code.
        code: u64,
    },
    /// The peer's application closed it.
    #[error("closed by the peer (code {code}{})", Said(reason))]
    ByPeer {
        /// The peer's application's code.
        code: u64,
        /// The peer's application's words.
        reason: Bytes,
    },
    /// Nothing was heard of the peer for the idle timeout.
    #[error("the peer has not answered for {0:?}")]
    TimedOut(Duration),
    /// The peer lost the session, because it was started again, and a new session took its place.
    #[error("the peer was restarted; connect again to go on")]
    PeerRestarted,
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    PeerMisbehaved(Misbehaviour),
    /// The peer says that we broke the protocol: a defect in one of the two.
    #[error("the peer reports a protocol error (code {code:#x}{})", Said(reason))]
    Protocol {
        /// The code, from [`PROTOCOL_CODES`] up.
        code: u64,
        /// The peer's words.
        reason: Bytes,
    },
    /// A key was used as often as is safe and the peer followed no key update.
    #[error("the session's keys are used up and the peer does not follow the update")]
    KeysUsedUp,
}

/// Codes from here on belong to the protocol; applications' codes are below.
pub const PROTOCOL_CODES: u64 = 1 << 32;

struct Said<'a>(&'a Bytes);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        // A stranger's words go to a terminal: no control characters.
        f.write_str(": ")?;
        String::from_utf8_lossy(self.0).chars().take(200).try_for_each(|c| match c.is_control() {
            true => f.write_str("\u{fffd}"),
            false => fmt::Write::write_char(f, c),
        })
    }
}

/// What a peer did that no correct peer does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// A packet that authenticated holds no valid sequence of frames.
    #[error("a packet of malformed frames")]
    MalformedFrames,
    /// It acknowledged what was never sent.
    #[error("an acknowledgement of a packet that was never sent")]
    AckOfUnsent,
    /// Streams or messages against their rules.
    #[error(transparent)]
    Streams(#[from] Violation),
    /// A datagram frame larger than announced.
    #[error("a datagram larger than allowed")]
    DatagramTooLarge,
    /// Too many packets failed to authenticate (RFC 9001 §6.6).
    #[error("too many forged packets")]
    IntegrityLimit,
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The contact or target is our own.
    #[error("that is this node's own contact; ask the other side for theirs")]
    Oneself,
    /// The contact belongs to another network.
    #[error("the contact belongs to another network; both sides must use the same network name and secret")]
    OtherNetwork,
    /// The contact is no longer valid.
    #[error("the contact has expired; ask for a new one")]
    Expired,
    /// There is no address to try.
    #[error("the contact has no address that can be tried from here")]
    NoAddress,
    /// As many attempts are under way as the configuration allows.
    #[error("too many attempts to connect are under way; wait for one to end")]
    TooManyAttempts,
    /// Somebody else answered at every address. (Where others are silent it is [`ConnectError::NoAnswer`], which
    /// names those that are somebody else's.)
    #[error("another peer answers at {}; the address in the contact is out of date", Addresses(.0, true))]
    NotMe(NoAnswer),
    /// Nobody answered.
    #[error("{0}")]
    NoAnswer(NoAnswer),
    /// The attempt was given up here.
    #[error("the attempt was cancelled")]
    Cancelled,
}

/// What was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// Every address that was tried.
    pub tried: Vec<Tried>,
    /// For how long.
    pub waited: Duration,
    /// Whether something suggests that our clock or the peer's is wrong.
    pub clock: ClockDoubt,
    /// Whether the network has a secret: strangers to it hear nothing at all.
    pub network_secret: bool,
}

/// One address that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The address.
    pub address: SocketAddr,
    /// How many hellos were sent there.
    pub sent: u32,
    /// What came of it.
    pub outcome: TriedOutcome,
}

/// What came of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TriedOutcome {
    /// Silence.
    Silence,
    /// A live peer with another id.
    NotMe,
    /// It asked for a cookie or the right time and was silent after that.
    Retried,
    /// The machine could not send there.
    Unsendable(crate::io::SendFailure),
}

/// What is known of the two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockDoubt {
    /// Nothing.
    Unknown,
    /// The peer's clock differs from ours by this much, ours being ahead if `ahead`.
    Differs {
        /// By how much.
        by: Duration,
        /// Whether ours is ahead.
        ahead: bool,
    },
}

/// The addresses that came to nothing in one way, or in another way than that.
struct Addresses<'a>(&'a NoAnswer, bool);

impl fmt::Display for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let those = self.0.tried.iter().filter(|t| (t.outcome == TriedOutcome::NotMe) == self.1);
        for (i, tried) in those.enumerate() {
            write!(f, "{}{}", if i > 0 { ", " } else { "" }, tried.address)?;
        }
        Ok(())
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.waited.as_millis();
        write!(
            f,
            "no answer from {} in {}.{} s",
            Addresses(self, false),
            millis / 1000,
            millis % 1000 / 100
        )?;
        for tried in self.tried.iter().filter(|t| t.outcome == TriedOutcome::NotMe) {
            write!(f, "; another peer answers at {}", tried.address)?;
        }
        let unsendable =
            self.tried.iter().filter(|t| matches!(t.outcome, TriedOutcome::Unsendable(_))).count();
        if unsendable > 0 {
            write!(f, "; {unsendable} of {} addresses cannot be sent to from here", self.tried.len())?;
        }
        f.write_str(". Likely causes: the peer is not running, or a firewall or NAT is in between")?;
        match (self.network_secret, self.clock) {
            (_, ClockDoubt::Differs { by, ahead }) => {
                let word = if ahead { "ahead of" } else { "behind" };
                write!(f, "; this machine's clock is {} s {word} the peer's: set it", by.as_secs())
            }
            (true, ClockDoubt::Unknown) => {
                f.write_str("; the network secret differs; or a clock is wrong by more than five minutes")
            }
            (false, ClockDoubt::Unknown) => {
                f.write_str("; the network name differs; or a clock is wrong by more than five minutes")
            }
        }
    }
}

impl std::error::Error for NoAnswer {}
