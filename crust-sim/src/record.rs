//! What a run leaves for people to look at: packets, what was in them, figures over time, and notes.
//!
//! A [`Recorder`] is made before the run and told three things: which world to watch ([`Recorder::watch`]), which
//! hosts have which names ([`Recorder::name`]), and, through the provider of their nodes ([`Recorder::provider`]),
//! what packets hold. Then the run goes on as it would have without it: the same packets at the same times, the same
//! hash. What was recorded ([`Recorder::recording`]) is written as capture files ([`crate::pcap`]) or as a page
//! ([`crate::page`]), or as both at once for a test that fails ([`page::save`](crate::page::save)).
//!
//! ```
//! use crust_proto::{Duration, Priority};
//! use crust_sim::pcap::{self, Capture};
//! use crust_sim::record::{RecordLimits, Recorder};
//! use crust_sim::{LinkConfig, Sim};
//!
//! let sim = Sim::new(7);
//! let (alice, bob) = sim.pair(LinkConfig::with_latency(Duration::from_millis(20)));
//! let recorder = Recorder::new(RecordLimits::default());
//! recorder.watch(&sim);
//! recorder.name(alice, "alice");
//! recorder.name(bob, "bob");
//! sim.run(async {
//!     let a = sim.builder(alice).provider(recorder.provider()).bind().await.unwrap();
//!     let b = sim.builder(bob).provider(recorder.provider()).bind().await.unwrap();
//!     let connection = a.connect(b.contact()).await.unwrap();
//!     recorder.connection("alice to bob", &connection);
//!     let incoming = b.accept().await.unwrap();
//!     recorder.note(None, "connected");
//!     connection.send_message(Priority::default(), b"hello").await.unwrap();
//!     incoming.recv_message().await.unwrap();
//! });
//! let mut file = Vec::new();
//! pcap::write(&recorder.recording(), Capture::Contents, &mut file).unwrap();
//! assert!(file.windows(5).any(|bytes| bytes == b"hello"), "it can be read");
//! ```
//!
//! Everything is bounded: packets by [`RecordLimits::packets`], figures by taking them less often the longer the run
//! lasts, notes by their number.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crust_async::{Connection, ConnectionWatcher};
use crust_proto::crypto::CryptoProvider;
use crust_proto::handshake::envelope::{HelloKind, ReplyKind};
use crust_proto::{Duration, Instant};

use crate::world::{Sight, Tapped};
use crate::{HostId, InterfaceId, Sim};

pub(crate) mod describe;
pub(crate) mod journey;
mod known;
#[cfg(test)]
pub(crate) mod testing;

use known::{Known, Reading};

/// Figures kept at most; beyond that every second one is forgotten, and they are taken half as often.
const MOST_SAMPLES: usize = 16_384;
/// Connections of which figures are taken.
const MOST_CONNECTIONS: usize = 256;
/// Notes kept at most.
const MOST_NOTES: usize = 4096;

/// How much a recording keeps.
#[derive(Clone, Copy, Debug)]
pub struct RecordLimits {
    /// Packets, each at each place where it was seen; later ones are counted only.
    pub packets: usize,
    /// How often figures are taken; less often in runs that last long.
    pub every: Duration,
}

impl Default for RecordLimits {
    /// 50,000 sightings, some 200 MB where all packets are large and readable; figures every 10 ms.
    fn default() -> Self {
        Self { packets: 50_000, every: Duration::from_millis(10) }
    }
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
    /// What it is to a handshake, where it belongs to one and its sender's provider told.
    pub greeting: Option<Greeting>,
}

/// A datagram of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// It opens a handshake or goes on with it.
    Hello(HelloKind),
    /// It answers one.
    Reply(ReplyKind),
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
    /// Packets declared lost so far.
    pub packets_lost: u64,
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
    /// Notes beyond the limit.
    pub notes_left_out: u64,
}

impl Recording {
    /// The name of a host, or its number where it has none.
    pub fn host_name(&self, host: HostId) -> String {
        let named = self.hosts.iter().find(|(named, _)| *named == host);
        named.map_or_else(|| format!("host {}", host.index()), |(_, name)| name.clone())
    }
}

/// Records a run. Clones record the same one.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<State>>);

struct State {
    limits: RecordLimits,
    recording: Recording,
    known: Known,
    watchers: Vec<ConnectionWatcher>,
    /// The world's time, as last seen.
    now: Instant,
    every: Duration,
    next_sample: Instant,
}

impl Recorder {
    /// A recorder that has seen nothing.
    pub fn new(limits: RecordLimits) -> Self {
        Self(Arc::new(Mutex::new(State {
            limits,
            recording: Recording::default(),
            known: Known::new(limits.packets),
            watchers: Vec::new(),
            now: Instant::ZERO,
            // At no distance at all, halving how often would change nothing.
            every: limits.every.max(Duration::from_nanos(1)),
            next_sample: Instant::ZERO,
        })))
    }

    /// Records everything that happens in that world from now on. It changes no hash. It takes the world's tap
    /// ([`World::set_tap`](crate::World::set_tap)): one recorder at a time sees its packets.
    pub fn watch(&self, sim: &Sim) {
        let tapped = self.clone();
        let mut world = sim.world();
        self.state().now = world.now();
        world.set_tap(Some(Box::new(move |seen| tapped.state().see(seen))));
        drop(world);
        let stepped = self.clone();
        sim.observe(move |world| stepped.step(world.now()));
    }

    /// The name of a host or router, and its place in pictures: in the order of these calls. A host without a name is
    /// not drawn where others have one.
    pub fn name(&self, host: HostId, name: &str) {
        let hosts = &mut self.state().recording.hosts;
        match hosts.iter_mut().find(|(known, _)| *known == host) {
            Some((_, old)) => name.clone_into(old),
            None => hosts.push((host, name.to_owned())),
        }
    }

    /// A provider for nodes whose packets shall be readable; on the wire they are what they were.
    pub fn provider(&self) -> Arc<dyn CryptoProvider> {
        self.provider_over(crust_proto::crypto::best())
    }

    /// As [`provider`](Self::provider), over another one than the fastest. One whose tags are the same for different
    /// packets hides what they hold from the recorder, or mistakes one for another.
    pub fn provider_over(&self, inner: Arc<dyn CryptoProvider>) -> Arc<dyn CryptoProvider> {
        Arc::new(Reading::new(inner, self.clone()))
    }

    /// Takes figures of a connection from now on, as long as it lives; it is not kept open by that. Of 256
    /// connections at most.
    pub fn connection(&self, name: &str, connection: &Connection) {
        let mut state = self.state();
        if state.watchers.len() < MOST_CONNECTIONS {
            state.watchers.push(connection.watcher());
            state.recording.connections.push(name.to_owned());
            state.next_sample = state.now;
        }
    }

    /// Notes something that happens now. (In a function given to [`World::at`](crate::World::at), which runs before the
    /// recorder hears of the time, use [`note_at`](Self::note_at).)
    pub fn note(&self, host: Option<HostId>, text: impl Into<String>) {
        let mut state = self.state();
        let now = state.now;
        state.note(now, host, text.into());
    }

    /// Notes something that happened at a time.
    pub fn note_at(&self, now: Instant, host: Option<HostId>, text: impl Into<String>) {
        self.state().note(now, host, text.into());
    }

    /// What was recorded so far, with the figures of this moment.
    pub fn recording(&self) -> Recording {
        let (mut recording, now, watchers) = {
            let state = self.state();
            (state.recording.clone(), state.now, state.watchers.clone())
        };
        recording.samples.extend(sample(now, &watchers));
        recording.notes.sort_by_key(|note| note.now);
        recording
    }

    /// The observer.
    fn step(&self, now: Instant) {
        let watchers = {
            let mut state = self.state();
            state.now = state.now.max(now);
            if state.watchers.is_empty() || state.now < state.next_sample {
                return;
            }
            state.next_sample = state.now + state.every;
            state.watchers.clone()
        };
        // Nodes tell a recorder what they seal while they hold their own locks, so its lock is open here.
        let samples = sample(now, &watchers);
        self.state().keep(samples);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere is what the test fails with; this lock need not be another.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nodes print their provider, and nobody wants to read a whole run there.
        let packets = self.0.try_lock().ok().map(|state| state.recording.packets.len());
        f.debug_struct("Recorder").field("packets", &packets).finish_non_exhaustive()
    }
}

impl State {
    /// The tap.
    fn see(&mut self, seen: &Tapped<'_>) {
        self.now = self.now.max(seen.now);
        if self.recording.packets.len() >= self.limits.packets {
            self.known.close();
            self.recording.packets_left_out += 1;
            return;
        }
        let (contents, greeting) = self.known.read(seen.packet);
        self.recording.packets.push(Captured {
            now: seen.now,
            host: seen.host,
            interface: seen.interface,
            sight: seen.sight,
            packet: seen.packet.bytes().to_vec(),
            contents,
            greeting,
        });
    }

    /// Keeps figures. Where there are too many, every second one of each connection is forgotten, and from now on they
    /// are taken as far apart as those that are left.
    fn keep(&mut self, samples: Vec<Sample>) {
        let kept = &mut self.recording.samples;
        kept.extend(samples);
        if kept.len() <= MOST_SAMPLES {
            return;
        }
        let mut seen: BTreeMap<usize, u32> = BTreeMap::new();
        kept.retain(|sample| {
            let nth = seen.entry(sample.connection).or_default();
            *nth += 1;
            *nth % 2 == 1
        });
        let most = seen.values().max().map_or(1, |most| most.div_ceil(2));
        // Steps of the world may be further apart than what was asked for.
        let apart = kept.first().map_or(Duration::ZERO, |first| self.now.saturating_since(first.now) / most);
        self.every = apart.max(self.every.saturating_mul(2));
    }

    fn note(&mut self, now: Instant, host: Option<HostId>, text: String) {
        if self.recording.notes.len() >= MOST_NOTES {
            self.recording.notes_left_out += 1;
            return;
        }
        self.recording.notes.push(Note { now, host, text });
    }
}

/// The figures of all connections that live.
fn sample(now: Instant, watchers: &[ConnectionWatcher]) -> Vec<Sample> {
    let of = |(connection, watcher): (usize, &ConnectionWatcher)| {
        let stats = watcher.stats()?;
        Some(Sample {
            now,
            connection,
            bytes_sent: stats.bytes_sent,
            bytes_received: stats.bytes_received,
            packets_lost: stats.packets_lost,
            congestion_window: stats.congestion_window,
            bytes_in_flight: stats.bytes_in_flight,
            rtt: stats.rtt,
        })
    };
    watchers.iter().enumerate().filter_map(of).collect()
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
