//! Everything that can be chosen when an engine is made. Numbers stand here with their reasons.

use core::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::Duration;
use crate::crypto::CryptoProvider;
use crate::identity::{Network, SecretKey};
use crate::streams::StreamLimits;

/// The configuration of an [`Engine`](crate::Engine).
#[derive(Clone)]
pub struct Config {
    /// Who we are.
    pub secret_key: SecretKey,
    /// The network we belong to.
    pub network: Network,
    /// Who does the costly cryptography.
    pub provider: Arc<dyn CryptoProvider>,
    /// What the machine is good at. The core never probes.
    pub hardware: Hardware,
    /// Addresses to bind UDP sockets to at the start.
    pub listen: Vec<SocketAddr>,
    /// Whether peers may open sessions that we did not ask for.
    pub accept_incoming: bool,
    /// Handshakes.
    pub handshake: HandshakeConfig,
    /// Sessions.
    pub transport: TransportConfig,
}

/// What the machine is good at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hardware {
    /// Whether AES and carry-less multiplication are instructions here: then AES-256-GCM is offered.
    pub aes: bool,
}

/// How handshakes are made and answered.
#[derive(Clone, Debug)]
pub struct HandshakeConfig {
    /// How long an attempt goes on before it is a [`NoAnswer`](crate::NoAnswer).
    pub timeout: Duration,
    /// The time to the first repetition of a hello, 10 ms or more; it doubles from then on.
    pub first_retry: Duration,
    /// The longest time between two repetitions, 10 ms or more.
    pub max_retry: Duration,
    /// How many addresses one attempt tries at most.
    pub max_addresses: usize,
    /// How many attempts may be under way at once.
    pub max_attempts: usize,
    /// How many sessions may await their peer's first packet. Beyond that hellos are dropped.
    pub max_half_open: usize,
    /// With how many half-open sessions a stranger must show a cookie first, which proves its address.
    pub cookie_threshold: usize,
    /// Hellos without a cookie are taken one every so often, however few handshakes are under way: more of them
    /// must show a cookie, so that forged sources cost no Diffie-Hellman and fill no filter.
    pub unproven_every: Duration,
    /// So many of them are taken at once after a pause.
    pub unproven_burst: u32,
    /// How many hellos the replay filter remembers in each of its two generations.
    pub replay_capacity: usize,
}

/// How sessions behave.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// What the peer may send: flow-control windows and stream counts.
    pub limits: StreamLimits,
    /// How much one stream, or one message queue, buffers for sending, in bytes.
    pub send_buffer: usize,
    /// The largest datagram frame that we accept, in bytes; zero refuses datagrams.
    pub max_datagram: usize,
    /// How many bytes of unreliable datagrams wait in either direction before the oldest is dropped.
    pub datagram_buffer: usize,
    /// A session ends when nothing was heard for so long, 100 ms or more. The lower of both sides' counts.
    pub idle_timeout: Duration,
    /// Something is sent after so long a silence, 10 ms or more, so that NAT mappings live. `None`: never.
    pub keep_alive: Option<Duration>,
    /// How long a graceful close waits for what was written to be acknowledged, from the last time that some of it
    /// was: a slow line takes as long as it takes, a dead one no longer than this. So does a peer that reads slowly:
    /// whoever will not wait for it closes at once.
    pub linger: Duration,
    /// How long an acknowledgement is held back at most (RFC 9000 §13.2.1); below 16.384 s.
    pub max_ack_delay: Duration,
    /// The size of UDP payloads, in bytes, from 1,200 (RFC 9000 §14) to 65,507. Like everything here that has bounds
    /// it counts as the nearest of them where it is beyond.
    pub datagram_size: u16,
    /// How many sessions there may be in all.
    pub max_sessions: usize,
    /// How many packets are sealed under one key before it is updated; the AEAD's own limit where lower.
    pub key_update_after: u64,
}

impl Config {
    /// The defaults, for a node with this key in this network.
    pub fn new(secret_key: SecretKey, network: Network, provider: Arc<dyn CryptoProvider>) -> Self {
        Self {
            secret_key,
            network,
            provider,
            hardware: Hardware::default(),
            listen: Vec::new(),
            accept_incoming: true,
            handshake: HandshakeConfig::default(),
            transport: TransportConfig::default(),
        }
    }
}

/// The shortest idle timeout there is.
pub(crate) const MIN_IDLE_TIMEOUT: Duration = Duration::from_millis(100);
/// The longest delay of acknowledgements that can be told (RFC 9000 §18.2).
const MAX_ACK_DELAY: Duration = Duration::from_millis((1 << 14) - 1);
/// The smallest and the largest UDP payload that a session can work with (RFC 9000 §14; IPv4's total length).
const DATAGRAM_SIZES: core::ops::RangeInclusive<u16> = 1200..=65_507;

/// The shortest pause between two hellos, and between two keep-alives.
const MIN_PAUSE: Duration = Duration::from_millis(10);

impl HandshakeConfig {
    /// The same, with what is out of its bounds at the nearest bound.
    pub(crate) fn in_bounds(&self) -> Self {
        Self {
            first_retry: self.first_retry.max(MIN_PAUSE),
            max_retry: self.max_retry.max(MIN_PAUSE),
            max_addresses: self.max_addresses.max(1),
            ..self.clone()
        }
    }
}

impl TransportConfig {
    /// The same, with what is out of its bounds at the nearest bound.
    pub(crate) fn in_bounds(&self) -> Self {
        let mut config = self.clone();
        config.datagram_size = config.datagram_size.clamp(*DATAGRAM_SIZES.start(), *DATAGRAM_SIZES.end());
        config.max_ack_delay = config.max_ack_delay.min(MAX_ACK_DELAY);
        config.idle_timeout = config.idle_timeout.max(MIN_IDLE_TIMEOUT);
        config.keep_alive = config.keep_alive.map(|every| every.max(MIN_PAUSE));
        config
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("peer", &self.secret_key.peer_id())
            .field("provider", &self.provider.name())
            .field("hardware", &self.hardware)
            .field("listen", &self.listen)
            .field("accept_incoming", &self.accept_incoming)
            .field("handshake", &self.handshake)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl Default for HandshakeConfig {
    fn default() -> Self {
        Self {
            // The original Crust's whole bootstrap took 10 s at most; STUN gives up after 39.5 s.
            timeout: Duration::from_secs(10),
            first_retry: Duration::from_millis(300),
            max_retry: Duration::from_secs(2),
            max_addresses: 16,
            max_attempts: 1024,
            max_half_open: 1024,
            cookie_threshold: 64,
            unproven_every: Duration::from_millis(10),
            unproven_burst: 64,
            replay_capacity: 16 * 1024,
        }
    }
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            limits: StreamLimits {
                max_data: 8 << 20,
                max_stream_data: 4 << 20,
                max_streams_bi: 128,
                max_streams_uni: 128,
                max_message: 1 << 20,
                message_window: 256 << 10,
            },
            send_buffer: 4 << 20,
            max_datagram: 65_000,
            datagram_buffer: 256 << 10,
            idle_timeout: Duration::from_secs(60),
            // libjuice 15 s, WireGuard 25 s; carriers' mappings go down to 10 s but are mostly above 30 s.
            keep_alive: Some(Duration::from_secs(15)),
            linger: Duration::from_secs(10),
            max_ack_delay: Duration::from_millis(25),
            datagram_size: 1200,
            max_sessions: 1 << 16,
            key_update_after: 1 << 22,
        }
    }
}
