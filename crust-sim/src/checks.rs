//! What must hold at every step of every run, switched on in one call.
//!
//! [`Checks::on`] looks at the world after each of its steps, when no program can run, and at each node that
//! [`Checks::node`] was told of. What does not hold is a [`Violation`], with which the run fails at that very step:
//!
//! * time goes forward, and does not stand still for ever;
//! * no timer rings again and again at one instant while nothing moves;
//! * memory is bounded: packets on their way, NAT tables, socket queues; of nodes their sessions, attempts, streams
//!   and buffers, each by what the node was configured with
//!   (queues and tables of those hosts that a step told something, and of one other in turn: looking at all would cost
//!   more than the world does);
//! * nothing stalls: no session has work that no timer and no acknowledgement will bring out, and no engine waits for
//!   a time for which its host has no timer.
//!
//! It changes no event and no hash. That bytes arrive intact and in order only the program knows that reads them:
//! [`fill`] and [`verify`] make and check bytes that tell where they belong.
//!
//! ```
//! use crust_sim::checks::{Checks, fill, verify};
//! use crust_sim::{LinkConfig, Sim};
//!
//! let sim = Sim::new(1);
//! let checks = Checks::on(&sim);
//! let (alice, bob) = sim.pair(LinkConfig::default());
//! sim.run(async {
//!     let (a, b) = (sim.builder(alice).bind().await.unwrap(), sim.builder(bob).bind().await.unwrap());
//!     checks.node(alice, &a);
//!     checks.node(bob, &b);
//!     let to = a.connect(b.contact()).await.unwrap();
//!     let from = b.accept().await.unwrap();
//!     let mut stream = to.open_uni().await.unwrap();
//!     let mut data = vec![0; 10_000];
//!     fill(7, 0, &mut data);
//!     stream.write_all(&data).await.unwrap();
//!     stream.finish().unwrap();
//!     let read = from.accept_uni().await.unwrap().read_to_end(10_000).await.unwrap();
//!     assert_eq!(verify(7, 0, &read), Ok(()));
//! });
//! assert!(checks.steps() > 0);
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crust_async::{Monitor, Node, NodeLoad};
use crust_proto::{HandshakeConfig, Instant, Priority, SessionId, TransportConfig};
use thiserror::Error;

use crate::world::HostLoad;
use crate::{HostEvent, HostId, Power, Sim, World};

mod content;

pub use content::{WrongByte, fill, verify};

/// Bounds that no configuration tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Packets on their way at once.
    pub packets: usize,
    /// How often one host's timers ring at one instant while nobody sends anything.
    pub rings: u32,
    /// How many steps the world takes at one instant while nobody sends anything.
    pub steps: u64,
}

impl Default for Bounds {
    /// Far above what any run that is right needs.
    fn default() -> Self {
        Self { packets: 1_000_000, rings: 10_000, steps: 10_000_000 }
    }
}

/// What does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// The world's time went back.
    #[error("time went back from {from:?} to {to:?}")]
    TimeWentBack {
        /// From when.
        from: Instant,
        /// To when.
        to: Instant,
    },
    /// The world took step after step at one instant, and nobody sent anything.
    #[error("time stands still: {0} steps at one instant")]
    TimeStandsStill(
        /// How many.
        u64,
    ),
    /// A host's timers rang again and again at one instant, and nobody sent anything.
    #[error("timers of host {} rang {rings} times at one instant, and nothing moved", host.index())]
    TimerRepeats {
        /// Whose.
        host: HostId,
        /// How often.
        rings: u32,
    },
    /// More packets are on their way than there may be.
    #[error("{0} packets are on their way")]
    Packets(
        /// How many.
        usize,
    ),
    /// A host, a router or a node holds more than it may.
    #[error("host {} holds {holds} {what}, {bound} at most are allowed", host.index())]
    TooMuch {
        /// Who.
        host: HostId,
        /// Of what.
        what: &'static str,
        /// How much.
        holds: u64,
        /// How much it may.
        bound: u64,
    },
    /// A session has work, and nothing will wake it.
    #[error("{session} at host {} has work, and nothing will wake it", host.index())]
    Stalled {
        /// On which host.
        host: HostId,
        /// Which.
        session: SessionId,
    },
    /// An engine waits for a time, and its host has no timer for it.
    #[error("a node on host {} has something to do at {due:?}, and no timer is set for it", host.index())]
    NotWoken {
        /// On which host.
        host: HostId,
        /// When, by the host's clock.
        due: Instant,
    },
}

/// Looks at every step of a run; clones look at the same one. It ends with the [`Sim`].
#[derive(Clone, Debug)]
pub struct Checks(Arc<Mutex<Watch>>);

impl Checks {
    /// Checks every step of that run from now on.
    pub fn on(sim: &Sim) -> Self {
        Self::within(sim, Bounds::default())
    }

    /// The same with other bounds.
    pub fn within(sim: &Sim, bounds: Bounds) -> Self {
        let checks = Self(Arc::new(Mutex::new(Watch::new(bounds))));
        let watch = checks.clone();
        sim.observe(move |world| {
            let result = watch.watch().step(world);
            if let Err(violation) = result {
                panic!("at {:?}: {violation}", world.now());
            }
        });
        checks
    }

    /// Checks a node on that host too, until it ends. The node is not kept alive.
    pub fn node(&self, host: HostId, node: &Node) {
        self.monitor(host, node.monitor());
    }

    /// The same for whoever has the node's monitor.
    pub fn monitor(&self, host: HostId, monitor: Monitor) {
        self.watch().nodes.push(Watched::new(host, monitor));
    }

    /// How many steps were looked at.
    pub fn steps(&self) -> u64 {
        self.watch().steps
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is remembered from step to step.
#[derive(Debug)]
struct Watch {
    bounds: Bounds,
    steps: u64,
    now: Instant,
    /// How many datagrams had been sent when this instant's counting began.
    datagrams: u64,
    steps_now: u64,
    rings_now: Vec<(HostId, u32)>,
    /// Whether programs have run since nodes were looked at.
    ran: bool,
    nodes: Vec<Watched>,
}

/// A node, and what it may hold.
#[derive(Debug)]
struct Watched {
    host: HostId,
    monitor: Monitor,
    transport: TransportConfig,
    handshake: HandshakeConfig,
}

impl Watch {
    fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            steps: 0,
            now: Instant::ZERO,
            datagrams: 0,
            steps_now: 0,
            rings_now: Vec::new(),
            ran: true,
            nodes: Vec::new(),
        }
    }

    /// The world has taken a step, or told what happened otherwise.
    fn step(&mut self, world: &World) -> Result<(), Violation> {
        self.steps += 1;
        self.time(world)?;
        self.world(world)?;
        // Nodes change when programs run; those run after a step that told somebody something.
        let told = world.told().len() > 0;
        if std::mem::replace(&mut self.ran, told) {
            self.nodes.retain(|node| !node.monitor.is_over());
            self.nodes.iter().try_for_each(|node| node.check(world))?;
        }
        Ok(())
    }

    fn time(&mut self, world: &World) -> Result<(), Violation> {
        let (now, datagrams) = (world.now(), world.datagrams_so_far());
        if now < self.now {
            return Err(Violation::TimeWentBack { from: self.now, to: now });
        }
        if now > self.now || datagrams > self.datagrams {
            (self.now, self.datagrams, self.steps_now) = (now, datagrams, 0);
            self.rings_now.clear();
        }
        self.steps_now += 1;
        if self.steps_now > self.bounds.steps {
            return Err(Violation::TimeStandsStill(self.steps_now));
        }
        for (host, event) in world.told() {
            if !matches!(event, HostEvent::Timer(_)) {
                continue;
            }
            let rings = match self.rings_now.iter_mut().find(|(known, _)| *known == host) {
                Some((_, rings)) => rings,
                None => {
                    self.rings_now.push((host, 0));
                    &mut self.rings_now.last_mut().expect("just put there").1
                }
            };
            *rings += 1;
            if *rings > self.bounds.rings {
                return Err(Violation::TimerRepeats { host, rings: *rings });
            }
        }
        Ok(())
    }

    fn world(&self, world: &World) -> Result<(), Violation> {
        let packets = world.packets_under_way();
        if packets > self.bounds.packets {
            return Err(Violation::Packets(packets));
        }
        // Whom this step told something, and one of all in turn: looking at all of them would cost more than the world.
        let in_turn = world.hosts().nth((self.steps % world.hosts().len() as u64) as usize);
        for host in world.told().map(|(host, _)| host).chain(in_turn) {
            let HostLoad { queue, table, .. } = world.host_load(host);
            at_most(host, "bytes in a receive queue", queue.0 as u64, queue.1 as u64)?;
            at_most(host, "entries in a NAT's table", table.0 as u64, table.1 as u64)?;
        }
        Ok(())
    }
}

impl Watched {
    fn new(host: HostId, monitor: Monitor) -> Self {
        let (transport, handshake) = (monitor.transport(), monitor.handshake());
        Self { host, monitor, transport, handshake }
    }

    /// What must hold of a node that has done all it could.
    fn check(&self, world: &World) -> Result<(), Violation> {
        let host = self.host;
        // Whoever sleeps, or is about to hear something, has not done all it could.
        if world.power(host) != Power::Up || world.told().any(|(told, _)| told == host) {
            return Ok(());
        }
        let now = world.host_now(host);
        match self.monitor.load(now) {
            Some(load) => self.holds(&load, world),
            None => Ok(()),
        }
    }

    /// What must hold of all that such a node holds.
    fn holds(&self, load: &NodeLoad, world: &World) -> Result<(), Violation> {
        let (host, now) = (self.host, world.host_now(self.host));
        if let Some(session) = load.engine.stalled {
            return Err(Violation::Stalled { host, session });
        }
        if let Some(due) = load.timeout
            && world.host_load(host).next_timer.is_none_or(|timer| timer > due.max(now))
        {
            return Err(Violation::NotWoken { host, due });
        }
        self.bounds(load).into_iter().try_for_each(|(what, holds, bound)| at_most(host, what, holds, bound))
    }

    /// What the node holds, and how much of it its configuration allows.
    fn bounds(&self, load: &NodeLoad) -> [(&'static str, u64, u64); 10] {
        let TransportConfig { limits, send_buffer, datagram_buffer, max_sessions, .. } = &self.transport;
        let engine = &load.engine;
        let most = &engine.most;
        let send_buffer = *send_buffer as u64;
        // RFC 768: no datagram is longer; the newest always stays, however large.
        let datagrams = (*datagram_buffer as u64).max(65_535);
        // A priority holds its longest record, whose length takes 8 bytes at most, and its window.
        let queue = limits.max_message.saturating_add(8).saturating_add(limits.message_window);
        let queues = Priority::COUNT as u64;
        let streams = limits.max_streams_bi.saturating_add(limits.max_streams_uni);
        let written = most.streams as u64 * send_buffer + queues * send_buffer.max(limits.max_message + 8);
        let sessions = engine.sessions as u64;
        [
            ("sessions", sessions, *max_sessions as u64),
            ("handshakes under way", engine.half_open as u64, self.handshake.max_half_open as u64),
            ("attempts to connect", engine.attempts as u64, self.handshake.max_attempts as u64 + sessions),
            ("timers", engine.timers as u64, engine.attempts as u64 + sessions),
            ("things to be polled", engine.queued as u64, MOST_QUEUED),
            ("streams of one peer", most.peer_streams as u64, streams),
            ("bytes unread", most.unread, limits.max_data.saturating_add(queues.saturating_mul(queue))),
            ("bytes not acknowledged", most.unacked, written),
            ("bytes of datagrams to send", most.datagrams_out as u64, datagrams),
            ("bytes of datagrams received", most.datagrams_in as u64, datagrams),
        ]
    }
}

/// Hellos and replies that an engine keeps for a socket that is full; its events and commands are always polled.
const MOST_QUEUED: u64 = 256;

fn at_most(host: HostId, what: &'static str, holds: u64, bound: u64) -> Result<(), Violation> {
    if holds > bound { Err(Violation::TooMuch { host, what, holds, bound }) } else { Ok(()) }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
