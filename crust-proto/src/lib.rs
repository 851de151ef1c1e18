//! The sans-IO core of crust: encrypted peer-to-peer sessions as a pure state machine.
//!
//! An [`Engine`] is a node. It has no socket, no clock, no randomness of the system's, no thread and no
//! `async` in it: a *driver* tells it what happened and does what it asks. Adapters such as `crust-tokio` are
//! drivers; this is all that one of your own needs, over a [`std::net::UdpSocket`] in one thread:
//!
//! ```no_run
//! use crust_proto::{Command, Config, Engine, Input, Instant, Network, SecretKey, Seed, Target, UnixTime};
//! use std::net::UdpSocket;
//! use std::time::{Duration, SystemTime, UNIX_EPOCH};
//!
//! # fn entropy() -> Result<[u8; 32], Box<dyn std::error::Error>> {
//! #     let mut bytes = [0; 32];
//! #     getrandom::fill(&mut bytes)?;
//! #     Ok(bytes)
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A node: who it is, its network, its cryptography; and the time, which it only knows from us.
//! let provider = crust_proto::crypto::best();
//! let mut config = Config::new(SecretKey::from_entropy(entropy()?), Network::default(), provider);
//! config.listen = vec!["0.0.0.0:0".parse()?];
//! let wall = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
//! let mut engine = Engine::new(config, Seed::new(entropy()?), Instant::ZERO, UnixTime::from_millis(wall));
//! let epoch = std::time::Instant::now();
//! let now = || Instant::ZERO + epoch.elapsed();
//!
//! let mut sockets = std::collections::BTreeMap::new();
//! let mut buf = vec![0; 65536];
//! engine.connect(Target::from("192.0.2.1:4000".parse::<std::net::SocketAddr>()?), now())?;
//! loop {
//!     // What the engine asks for.
//!     while let Some(command) = engine.poll_command() {
//!         if let Command::BindUdp { socket, local } = command {
//!             match UdpSocket::bind(local).and_then(|udp| Ok((udp.local_addr()?, udp))) {
//!                 Ok((local, udp)) => {
//!                     sockets.insert(socket, udp);
//!                     engine.handle_input(Input::SocketOpened { socket, local }, now());
//!                 }
//!                 Err(e) => engine.handle_input(Input::SocketFailed { socket, error: e.to_string() }, now()),
//!             }
//!         }
//!     }
//!     // What it has to send: one datagram at a time, since this socket knows no better.
//!     while let Some(transmit) = engine.poll_transmit(now(), &mut buf, 1) {
//!         let _ = sockets[&transmit.socket].send_to(&buf[..transmit.len], transmit.to);
//!     }
//!     // What it has to tell.
//!     while let Some(event) = engine.poll_event() {
//!         println!("{event:?}"); // An application acts here: `engine.session_mut(..)`.
//!     }
//!     // Wait for a datagram, but no longer than it can wait.
//!     let wait = engine.poll_timeout().map(|(at, _)| at.saturating_since(now()));
//!     for (socket, udp) in &sockets {
//!         let wait = wait.unwrap_or(Duration::from_secs(1)).max(Duration::from_micros(1));
//!         udp.set_read_timeout(Some(wait))?;
//!         if let Ok((len, from)) = udp.recv_from(&mut buf) {
//!             let data = &mut buf[..len];
//!             let input = Input::Datagrams { socket: *socket, from, to: None, ecn: None, segment: len, data };
//!             engine.handle_input(input, now());
//!         }
//!     }
//!     engine.handle_input(Input::Timeout, now());
//! }
//! # }
//! ```
//!
//! `examples/udp_loop.rs` is the same with both ends in it, and runs. [`Engine`] says what a driver owes;
//! [`Input`] and [`Command`] are all that passes between the two.
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
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
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
    AbandonStreamError, Dropped, Engine, EngineStats, ReadStreamError, SendDatagramError, SendMessageFailure,
    SessionClosed, SessionMut, Target, WriteStreamError,
};
pub use event::{
    AttemptId, ClockDoubt, CloseReason, ConnectError, Event, Misbehaviour, NoAnswer, PROTOCOL_CODES,
    SessionId, Tried, TriedOutcome,
};
pub use identity::{Contact, Network, PeerId, SecretKey};
pub use io::{Command, Input, InterfaceAddr, SendFailure, SocketId, TimerKind, Transmit};
pub use session::{Session, SessionStats};
pub use streams::{Dir, Message, MessageId, Priority, StreamId};
pub use time::{Duration, Instant, UnixTime};
