//! The sans-IO core of crust.
#![forbid(unsafe_code)]
#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::iter_over_hash_type,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

pub mod config;
pub mod crypto;
mod engine;
pub mod event;
pub mod handshake;
pub mod identity;
pub mod io;
mod path;
pub mod recovery;
mod session;
pub mod streams;
pub mod time;
pub mod wire;

pub use config::{Config, HandshakeConfig, Hardware, TransportConfig};
pub use crypto::random::Seed;
pub use engine::{
    AbandonStreamError, Dropped, Engine, EngineStats, ReadStreamError, SendDatagramError, SendMessageFailure, SessionClosed,
    SessionMut, Target, WriteStreamError,
};
pub use event::{
    AttemptId, CloseReason, ClockDoubt, ConnectError, Event, Misbehaviour, NoAnswer, PROTOCOL_CODES, SessionId,
    Tried, TriedOutcome,
};
pub use identity::{Contact, Network, PeerId, SecretKey};
pub use io::{Command, Input, InterfaceAddr, SendFailure, SocketId, TimerKind, Transmit};
pub use session::{Session, SessionStats};
pub use streams::{Dir, Message, MessageId, Priority, StreamId};
pub use time::{Duration, Instant, UnixTime};
