//! What a run leaves for people to look at: packets, what was in them, figures over time, and notes.

use std::sync::{Arc, Mutex};

use crust_async::Connection;
use crust_proto::crypto::CryptoProvider;
use crust_proto::{Duration, Instant};

use crate::world::Sight;
use crate::{HostId, InterfaceId, Sim};

/// How much a recording keeps.
#[derive(Clone, Copy, Debug)]
pub struct RecordLimits {
    /// Packets, each at each place where it was seen; later ones are counted only.
    pub packets: usize,
    /// How often figures are taken.
    pub every: Duration,
}

/// A packet at a place.
#[derive(Clone, Debug)]
pub struct Captured {
    /// When.
    pub now: Instant,
    /// At which host or router.
    pub host: HostId,
    /// At which of its interfaces.
    pub interface: Option<InterfaceId>,
    /// What happened to it there.
    pub sight: Sight,
    /// The IP packet.
    pub packet: Vec<u8>,
    /// What its datagram holds in clear: the head, and the frames. `None` for hellos and for what is not crust's.
    pub contents: Option<Vec<u8>>,
}

/// Figures of a connection at a time.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When.
    pub now: Instant,
    /// Which of [`Recording::connections`].
    pub connection: usize,
    /// Bytes sent so far.
    pub bytes_sent: u64,
    /// Bytes received so far.
    pub bytes_received: u64,
    /// Congestion window, in bytes.
    pub congestion_window: u64,
    /// Bytes on their way.
    pub bytes_in_flight: u64,
    /// Smoothed round-trip time.
    pub rtt: Duration,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Note {
    /// When.
    pub now: Instant,
    /// At which host; `None`: to the world.
    pub host: Option<HostId>,
    /// What.
    pub text: String,
}

/// What was recorded.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Names of hosts and routers, in the order in which a picture shows them.
    pub hosts: Vec<(HostId, String)>,
    /// Names of connections.
    pub connections: Vec<String>,
    /// Packets in the order of time.
    pub packets: Vec<Captured>,
    /// Sightings beyond the limit.
    pub packets_left_out: u64,
    /// Figures in the order of time.
    pub samples: Vec<Sample>,
    /// What happened, in the order of time.
    pub notes: Vec<Note>,
}

/// Records a run. Clones record the same one.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Mutex<Recording>>);

impl Recorder {
    /// A recorder that has seen nothing.
    pub fn new(_limits: RecordLimits) -> Self {
        Self(Arc::default())
    }

    /// Records everything that happens in that world from now on. It changes no hash.
    pub fn watch(&self, _sim: &Sim) {}

    /// The name of a host or router, and its place in pictures: in the order of these calls.
    pub fn name(&self, _host: HostId, _name: &str) {}

    /// A provider for nodes whose packets shall be readable; on the wire they are what they were.
    pub fn provider(&self) -> Arc<dyn CryptoProvider> {
        crust_proto::crypto::best()
    }

    /// Takes figures of a connection from now on.
    pub fn connection(&self, _name: &str, _connection: &Connection) {}

    /// Notes something that happened.
    pub fn note(&self, _host: Option<HostId>, _text: impl Into<String>) {}

    /// What was recorded so far.
    pub fn recording(&self) -> Recording {
        self.0.lock().expect("no panic").clone()
    }
}
