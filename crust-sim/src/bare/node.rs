//! One node: an engine, and what a driver does for it.

use std::net::SocketAddr;

use crust_proto::{
    Command, Config, Duration, Engine, Input, Instant, InterfaceAddr, Seed, SendFailure, SocketId, Transmit,
    recovery,
};

use super::{NodeId, token};
use crate::{Ecn, Flow, HostEvent, HostId, NetError, Packet, SendOptions, UdpId, UdpOptions, World};

/// What one send call takes on Linux (`UDP_MAX_SEGMENTS`).
const MOST_SEGMENTS: usize = 64;
/// The receive buffer that the adapters for real machines ask for, in bytes.
const RECEIVE_QUEUE: usize = 4 << 20;
/// How often an engine is told the wall clock while it has anything to do.
const WALL_EVERY: Duration = Duration::from_secs(60);
/// How often fresh entropy is mixed in then.
const ENTROPY_EVERY: Duration = Duration::from_secs(600);
/// Timers ring at the next of these: what the timers of systems and runtimes are good for (tokio's, for one). An engine
/// makes up for it, and sends what has become due meanwhile together.
const TIMER_GRANULARITY: Duration = Duration::from_millis(1);
/// How many turns a node may take at one instant of its clock. One that is right needs a handful.
pub(super) const MOST_TURNS: u32 = 10_000;

/// One engine and what its driver keeps.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) host: HostId,
    pub(super) engine: Engine,
    pub(super) sockets: Vec<Socket>,
    /// What the host's timer is set to: no later than the engine wants.
    pub(super) alarm: Option<Instant>,
    /// The host sleeps.
    asleep: bool,
    /// Its sockets take nothing.
    pub(super) full: bool,
    pub(super) busy: bool,
    pub(super) eventful: bool,
    wall_told: Instant,
    entropy_at: Instant,
    /// How often randomness was drawn.
    pub(super) drawn: u64,
    patience: Patience,
}

#[derive(Debug)]
pub(super) struct Socket {
    id: SocketId,
    pub(super) udp: UdpId,
    readable: bool,
    /// The one transmit that waits for the socket to take more.
    kept: Option<(Transmit, Vec<u8>)>,
}

impl Node {
    pub(super) fn new(id: NodeId, host: HostId, config: Config, world: &World) -> Self {
        let now = world.host_now(host);
        let seed = Seed::new(entropy(world, id, 0));
        let mut engine = Engine::new(config, seed, now, world.host_wall(host));
        engine.handle_input(Input::Interfaces(&interfaces(world, host)), now);
        Self {
            id,
            host,
            engine,
            sockets: Vec::new(),
            alarm: None,
            asleep: false,
            full: false,
            busy: false,
            eventful: false,
            wall_told: now,
            entropy_at: now,
            drawn: 0,
            patience: Patience::default(),
        }
    }

    pub(super) fn owns(&self, udp: UdpId) -> bool {
        self.sockets.iter().any(|socket| socket.udp == udp)
    }

    /// Whether that is a socket of its own, which has something to be read now.
    pub(super) fn hears(&mut self, udp: UdpId) -> bool {
        let socket = self.sockets.iter_mut().find(|socket| socket.udp == udp);
        socket.map(|socket| socket.readable = true).is_some()
    }

    /// Something happened to the host.
    pub(super) fn hear(&mut self, event: HostEvent, world: &World) {
        let now = world.host_now(self.host);
        let engine = &mut self.engine;
        match event {
            HostEvent::Suspended => self.asleep = true,
            HostEvent::Resumed | HostEvent::ClockSet => {
                self.asleep &= event != HostEvent::Resumed;
                self.wall_told = now;
                engine.handle_input(Input::Wall(world.host_wall(self.host)), now);
            }
            HostEvent::AddressesChanged => {
                engine.handle_input(Input::Interfaces(&interfaces(world, self.host)), now);
            }
            _ => {}
        }
    }

    /// Does what the engine wants done at this instant, all of it.
    pub(super) fn drive(&mut self, world: &mut World, buffer: &mut [u8]) {
        if self.asleep {
            return;
        }
        let now = world.host_now(self.host);
        let engine = &mut self.engine;
        self.wall_told = look_after(engine, self.wall_told, WALL_EVERY, now, |engine| {
            engine.handle_input(Input::Wall(world.host_wall(self.host)), now);
        });
        self.entropy_at = look_after(engine, self.entropy_at, ENTROPY_EVERY, now, |engine| {
            self.drawn += 1;
            engine.handle_input(Input::Entropy(&entropy(world, self.id, self.drawn)), now);
        });
        let mut driven = Driven { engine, sockets: &mut self.sockets, host: self.host, now, world };
        if !self.full {
            driven.unblock();
        }
        driven.receive();
        let next = loop {
            driven.obey();
            let mut moved = driven.transmit(buffer, self.full) | driven.obey();
            // Only now: timers are dear to those that have just changed.
            let next = driven.engine.poll_timeout();
            if next.is_some_and(|(at, _)| at <= now) {
                driven.engine.handle_input(Input::Timeout, now);
                moved = true;
            }
            if !moved {
                break next;
            }
            let turns = self.patience.turn(now);
            assert!(
                turns < MOST_TURNS,
                "{} on {:?} is stuck at {now:?}: after {turns} turns at one instant it wants yet another{}",
                self.id,
                self.host,
                next.map_or(String::new(), |(at, kind)| format!(", for a timer of {at:?} ({kind:?})")),
            );
        };
        // A timer that rings too early is left alone: it costs one idle turn, a new one costs more.
        if let Some(at) = next.map(|(at, _)| rounded_up(at))
            && self.alarm.is_none_or(|rings_at| at < rings_at)
        {
            self.alarm = Some(at);
            world.set_timer(self.host, at, token(self.id));
        }
    }
}

fn rounded_up(at: Instant) -> Instant {
    let granularity = TIMER_GRANULARITY.as_nanos() as u64;
    Instant::from_nanos(at.as_nanos().div_ceil(granularity).saturating_mul(granularity))
}

/// Does something where enough time has passed since it was done last. When it was done last, then.
fn look_after(
    engine: &mut Engine,
    last: Instant,
    every: Duration,
    now: Instant,
    then: impl FnOnce(&mut Engine),
) -> Instant {
    if now.saturating_since(last) < every {
        return last;
    }
    then(engine);
    now
}

/// How many turns were taken at one instant.
#[derive(Debug, Default)]
pub(super) struct Patience {
    at: Instant,
    turns: u32,
}

impl Patience {
    /// One more turn now. How many that makes.
    pub(super) fn turn(&mut self, now: Instant) -> u32 {
        if self.at != now {
            *self = Self { at: now, turns: 0 };
        }
        self.turns += 1;
        self.turns
    }
}

/// A node at an instant, in its world.
struct Driven<'a> {
    engine: &'a mut Engine,
    sockets: &'a mut Vec<Socket>,
    host: HostId,
    now: Instant,
    world: &'a mut World,
}

impl Driven<'_> {
    /// Carries out the engine's commands.
    fn obey(&mut self) -> bool {
        let mut moved = false;
        while let Some(command) = self.engine.poll_command() {
            moved = true;
            match command {
                Command::BindUdp { socket, local } => self.bind(socket, local),
                Command::CloseSocket { socket } => {
                    let closed = self.sockets.extract_if(.., |known| known.id == socket);
                    closed.for_each(|known| self.world.udp_close(known.udp));
                }
                // Only what this version of the core can ask for is ever asked for.
                _ => {}
            }
        }
        moved
    }

    fn bind(&mut self, id: SocketId, local: SocketAddr) {
        let options = UdpOptions { queue: RECEIVE_QUEUE, ..UdpOptions::default() };
        let bound = self.world.udp_bind(self.host, local, options);
        let input = match bound.and_then(|udp| Ok((udp, self.world.udp_local(udp)?))) {
            Ok((udp, local)) => {
                self.sockets.push(Socket { id, udp, readable: false, kept: None });
                Input::SocketOpened { socket: id, local }
            }
            Err(error) => Input::SocketFailed { socket: id, error: error.to_string() },
        };
        self.engine.handle_input(input, self.now);
    }

    /// Takes everything that has arrived. What is sent now arrives later, if only by one event.
    fn receive(&mut self) {
        for at in 0..self.sockets.len() {
            let Socket { id, udp, readable, .. } = &mut self.sockets[at];
            if !std::mem::take(readable) {
                continue;
            }
            while let Ok(Some(mut packet)) = self.world.udp_take(*udp) {
                if let Some(input) = arrived(*id, &mut packet) {
                    self.engine.handle_input(input, self.now);
                }
                self.world.recycle(packet);
            }
        }
    }

    /// Sends what the engine has, until it has no more. Whether it heard of a failure, after which it may.
    fn transmit(&mut self, buffer: &mut [u8], full: bool) -> bool {
        let mut any_failed = false;
        while let Some(transmit) = self.engine.poll_transmit(self.now, buffer, MOST_SEGMENTS) {
            let data = &buffer[..transmit.len];
            let socket = self.sockets.iter_mut().find(|socket| socket.id == transmit.socket);
            let failed = match socket {
                Some(socket) if full => {
                    socket.kept = Some((transmit, data.to_vec()));
                    self.engine.handle_input(Input::Blocked { socket: transmit.socket }, self.now);
                    continue;
                }
                Some(socket) => send(self.world, socket.udp, &transmit, data).err(),
                None => Some(SendFailure::Other),
            };
            any_failed |= failed.is_some();
            self.report(&transmit, failed);
        }
        any_failed
    }

    /// Sends what full sockets had refused.
    fn unblock(&mut self) {
        for at in 0..self.sockets.len() {
            let Some((transmit, data)) = self.sockets[at].kept.take() else { continue };
            let failed = send(self.world, self.sockets[at].udp, &transmit, &data).err();
            self.engine.handle_input(Input::Writable { socket: transmit.socket }, self.now);
            self.report(&transmit, failed);
        }
    }

    fn report(&mut self, transmit: &Transmit, failed: Option<SendFailure>) {
        if let Some(cause) = failed {
            let Transmit { socket, to, .. } = *transmit;
            self.engine.handle_input(Input::SendFailed { socket, to, cause }, self.now);
        }
    }
}

/// A packet that a socket received, as engines are told of it.
pub(super) fn arrived(socket: SocketId, packet: &mut Packet) -> Option<Input<'_>> {
    let ecn = match packet.ecn() {
        Ecn::NotEct => None,
        Ecn::Ect0 => Some(recovery::Ecn::Ect0),
        Ecn::Ect1 => Some(recovery::Ecn::Ect1),
        Ecn::Ce => Some(recovery::Ecn::Ce),
    };
    let Flow { source: from, destination, .. } = packet.flow()?;
    let (to, data) = (Some(destination.ip()), packet.payload_mut());
    Some(Input::Datagrams { socket, from, to, ecn, segment: 0, data })
}

/// Sends the datagrams of one transmit.
fn send(world: &mut World, udp: UdpId, transmit: &Transmit, data: &[u8]) -> Result<(), SendFailure> {
    let options = SendOptions {
        from: transmit.from,
        ttl: transmit.ttl,
        ecn: match transmit.ecn {
            None => Ecn::NotEct,
            Some(recovery::Ecn::Ect0) => Ecn::Ect0,
            Some(recovery::Ecn::Ect1) => Ecn::Ect1,
            Some(recovery::Ecn::Ce) => Ecn::Ce,
        },
        dont_fragment: transmit.dont_fragment,
    };
    let segment = transmit.segment.unwrap_or(data.len()).max(1);
    world.udp_send_all(udp, transmit.to, options, data, segment).map_err(|error| match error {
        NetError::MessageTooLong => SendFailure::TooBig,
        NetError::NetworkUnreachable | NetError::AddrNotAvailable => SendFailure::Unreachable,
        NetError::PermissionDenied => SendFailure::Forbidden,
        _ => SendFailure::Other,
    })
}

fn interfaces(world: &World, host: HostId) -> Vec<InterfaceAddr> {
    world.addresses(host).map(|address| InterfaceAddr { ip: address.ip, prefix: address.len }).collect()
}

pub(super) fn entropy(world: &World, node: NodeId, drawn: u64) -> [u8; 32] {
    world.rng("bare entropy", u64::from(node.0)).fork("draw", drawn).array()
}
