//! The sans-IO core of crust: encrypted peer-to-peer sessions as a pure state machine.
//!
//! An [`Engine`] is a node. It has no socket, no clock, no randomness of the system's, no thread and no
//! `async` in it: a *driver* tells it what happened and does what it asks. Adapters such as `crust-tokio` are
//! drivers; this is all that one of your own needs, over a [`std::net::UdpSocket`] in one thread:
//!
//! ```
#![doc = include_str!("../examples/udp_loop.rs")]
//! ```
//!
//! That is `examples/udp_loop.rs`, and runs. [`Engine`] says what a driver owes; [`Input`] and [`Command`] are all
//! that passes between the two.
//!
//! The floors of the crate, each of which imports only what stands below it:
//!
//! ```text
//! engine       routes inputs to sessions, makes sessions out of handshakes
//! session      one authenticated peer: keys, frames, scheduling
//! path         how frames of one session cross one socket
//! handshake    envelopes, parameters, replay filter
//! recovery     ack ranges, RTT, loss, congestion, pacing      streams   buffers, flow control, messages
//! wire         varints, frames, packets                       crypto    identity    time
//! ```
#![forbid(unsafe_code)]
#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::iter_over_hash_type,
    clippy::missing_errors_doc
)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::float_arithmetic,
        clippy::print_stdout,
        clippy::print_stderr,
        clippy::cast_possible_truncation
    )
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
    AbandonStreamError, Dropped, Engine, EngineLoad, EngineStats, ReadStreamError, SendDatagramError,
    SendMessageFailure, SessionClosed, SessionMut, Target, WriteStreamError,
};
pub use event::{
    AttemptId, ClockDoubt, CloseReason, ConnectError, Event, Misbehaviour, NoAnswer, PROTOCOL_CODES,
    SessionId, Tried, TriedOutcome,
};
pub use identity::{Contact, Network, PeerId, SecretKey};
pub use io::{Command, Input, InterfaceAddr, SendFailure, SocketId, TimerKind, Transmit};
pub use session::{Session, SessionLoad, SessionStats};
pub use streams::{Dir, Message, MessageId, Priority, StreamId};
pub use time::{Duration, Instant, UnixTime};
