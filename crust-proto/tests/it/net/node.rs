//! One engine and its driver. The driver keeps the contract to the letter, and checks that the engine does.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crust_proto::{
    AttemptId, Command, Config, ConnectError, Duration, Engine, Event, Input, Instant, Seed, SendFailure,
    SessionId, SocketId, TimerKind, Transmit, UnixTime,
};

use super::link::Rng;

/// The wall clock at the network's time zero: 2027-01-15T08:00:00Z.
const WALL: u64 = 1_800_000_000_000;

/// What drivers and their machines do besides what they must. Probabilities are in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Driving {
    /// So many transmits meet a full socket.
    pub(crate) full: u32,
    /// Timers fire up to so much late.
    pub(crate) late: Duration,
    /// So many polls are preceded by a timeout that nobody asked for.
    pub(crate) spurious: u32,
    /// So many batches of segments are refused for good by a system without segmentation offload.
    pub(crate) no_segmentation: u32,
    /// Datagrams of one batch are handed over one by one.
    pub(crate) no_gro: bool,
}

/// What a node is made of.
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) seed: [u8; 32],
    /// How wrong its wall clock is, in milliseconds.
    pub(crate) skew: i64,
}

pub(crate) struct Socket {
    pub(crate) local: SocketAddr,
    /// What others see: another address once a NAT has rebound.
    pub(crate) public: SocketAddr,
    /// The one transmit that the full socket refused.
    kept: Option<(Transmit, Vec<u8>)>,
    /// It takes nothing until it is told to.
    stuck: bool,
}

pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) config: Config,
    pub(crate) sockets: BTreeMap<SocketId, Socket>,
    /// Everything that the application heard since the start.
    pub(crate) events: Vec<Event>,
    /// How many of them the test has taken.
    taken: usize,
    pub(crate) skew: i64,
    /// How long it slept: its monotonic clock stands still meanwhile.
    pub(crate) slept: Duration,
    pub(crate) asleep: bool,
    /// Its machine gives it no socket.
    pub(crate) refuses_sockets: bool,
    /// Counts restarts.
    pub(crate) life: u32,
    /// Counts changes of the alarm: only the latest one rings.
    pub(crate) alarm: u64,
    /// What it is set for.
    pub(crate) alarm_at: Option<Instant>,
    /// When an alarm rang last, how often at that instant, and how often in a row for nothing.
    rung: (Instant, u32, u32),
    segmentation: bool,
    pub(crate) received: u64,
    buffer: Vec<u8>,
}

/// What one round of polling brought.
#[derive(Default)]
pub(crate) struct Polled {
    /// From the public address, in order.
    pub(crate) sent: Vec<(SocketAddr, Transmit, Vec<u8>)>,
    /// Sockets that turned out to be full.
    pub(crate) full: Vec<SocketId>,
    pub(crate) bound: Vec<(SocketId, SocketAddr)>,
    pub(crate) closed: Vec<SocketAddr>,
    progress: bool,
}

impl Node {
    pub(crate) fn new(setup: Setup, now: Instant) -> Self {
        let Setup { config, seed, skew } = setup;
        let engine = Engine::new(config.clone(), Seed::new(seed), now, wall(now, skew));
        Self {
            engine,
            config,
            sockets: BTreeMap::new(),
            events: Vec::new(),
            taken: 0,
            skew,
            slept: Duration::ZERO,
            asleep: false,
            refuses_sockets: false,
            life: 0,
            alarm: 0,
            alarm_at: None,
            rung: (Instant::ZERO, 0, 0),
            segmentation: true,
            received: 0,
            buffer: vec![0; 65_535],
        }
    }

    pub(crate) fn restart(&mut self, seed: [u8; 32], now: Instant) {
        let life = self.life + 1;
        let (alarm, slept) = (self.alarm + 1, self.slept);
        *self = Self::new(Setup { config: self.config.clone(), seed, skew: self.skew }, now - slept);
        (self.life, self.alarm, self.slept) = (life, alarm, slept);
    }

    /// The node's monotonic clock.
    pub(crate) fn clock(&self, now: Instant) -> Instant {
        now - self.slept
    }

    pub(crate) fn wall(&self, now: Instant) -> UnixTime {
        wall(now, self.skew)
    }

    pub(crate) fn input(&mut self, input: Input<'_>, now: Instant) {
        if !matches!(input, Input::Timeout) {
            self.rung.2 = 0;
        }
        if let Input::Datagrams { segment, data, .. } = &input {
            self.received += if *segment == 0 { 1 } else { data.len().div_ceil(*segment) as u64 };
        }
        let clock = self.clock(now);
        self.engine.handle_input(input, clock);
    }

    /// Events that no one has taken yet.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        let fresh = self.events.get(self.taken..).unwrap_or_default().to_vec();
        self.taken = self.events.len();
        fresh
    }

    pub(crate) fn outcome(&self, attempt: AttemptId) -> Option<Result<SessionId, ConnectError>> {
        self.events.iter().find_map(|event| match event {
            Event::Attempt { attempt: ended, result } if *ended == attempt => Some(result.clone()),
            _ => None,
        })
    }

    /// An alarm that was due now. Fails where the engine asks for the same over and over.
    pub(crate) fn ring(&mut self, now: Instant) {
        let clock = self.clock(now);
        if self.rung.0 != clock {
            (self.rung.0, self.rung.1) = (clock, 0);
        }
        self.rung.1 += 1;
        self.rung.2 += 1;
        assert!(self.rung.1 < 1000, "livelock: {} timeouts at {clock:?}", self.rung.1);
        assert!(self.rung.2 < 50, "busy waiting: {} timeouts for nothing, up to {clock:?}", self.rung.2);
        self.input(Input::Timeout, now);
    }

    /// Polls everything, in any order, until nothing more comes.
    pub(crate) fn poll(&mut self, now: Instant, driving: &Driving, rng: &mut Rng) -> Polled {
        let mut polled = Polled::default();
        if rng.chance(driving.spurious) {
            self.input(Input::Timeout, now);
        }
        let mut order = [Self::commands, Self::transmits, Self::happenings];
        rng.shuffle(&mut order);
        for round in 0.. {
            assert!(round < 10_000, "polling never ends");
            polled.progress = false;
            for poll in order {
                poll(self, now, driving, rng, &mut polled);
            }
            if !polled.progress {
                break;
            }
            self.rung.2 = 0;
        }
        polled
    }

    fn commands(&mut self, now: Instant, _: &Driving, _: &mut Rng, polled: &mut Polled) {
        while let Some(command) = self.engine.poll_command() {
            polled.progress = true;
            match command {
                Command::BindUdp { socket, .. } if self.refuses_sockets => {
                    self.input(Input::SocketFailed { socket, error: "no more sockets".into() }, now);
                }
                Command::BindUdp { socket, local } => {
                    let new = Socket { local, public: local, kept: None, stuck: false };
                    assert!(self.sockets.insert(socket, new).is_none(), "{socket} was named twice");
                    polled.bound.push((socket, local));
                    self.input(Input::SocketOpened { socket, local }, now);
                }
                Command::CloseSocket { socket } => {
                    let socket = self.sockets.remove(&socket).expect("closes a socket that it opened");
                    polled.closed.push(socket.public);
                }
                other => panic!("a command that no driver knows: {other:?}"),
            }
        }
    }

    fn transmits(&mut self, now: Instant, driving: &Driving, rng: &mut Rng, polled: &mut Polled) {
        let clock = self.clock(now);
        for count in 0.. {
            assert!(count < 50_000, "transmits without end");
            let max_segments = 1 + rng.index(10);
            let Some(transmit) = self.engine.poll_transmit(clock, &mut self.buffer, max_segments) else {
                break;
            };
            polled.progress = true;
            let data = self.buffer[..transmit.len].to_vec();
            self.check(&transmit, max_segments);
            let socket = self.sockets.get_mut(&transmit.socket).expect("sends on a socket that is open");
            assert!(socket.kept.is_none(), "a transmit on a socket that is full");
            if transmit.segment.is_some() && rng.chance(driving.no_segmentation) {
                self.segmentation = false;
                let cause = SendFailure::NoSegmentation;
                self.input(Input::SendFailed { socket: transmit.socket, to: transmit.to, cause }, now);
            } else if socket.stuck {
                socket.kept = Some((transmit, data));
                self.input(Input::Blocked { socket: transmit.socket }, now);
            } else if rng.chance(driving.full) {
                socket.kept = Some((transmit, data));
                polled.full.push(transmit.socket);
                self.input(Input::Blocked { socket: transmit.socket }, now);
            } else {
                polled.sent.push((socket.public, transmit, data));
            }
        }
    }

    fn happenings(&mut self, _: Instant, _: &Driving, _: &mut Rng, polled: &mut Polled) {
        while let Some(event) = self.engine.poll_event() {
            polled.progress = true;
            self.events.push(event);
            assert!(self.events.len() < 5_000_000, "events without end");
        }
    }

    /// What a driver relies on when it makes one system call of a transmit.
    fn check(&self, transmit: &Transmit, max_segments: usize) {
        let Transmit { len, segment, to, .. } = *transmit;
        assert!(len > 0 && len <= self.buffer.len(), "{len} bytes are no datagram");
        match segment {
            None => assert!(len <= 65_507, "a datagram of {len} bytes"),
            Some(segment) => {
                assert!(segment > 0 && segment < len, "one segment is no batch: {segment} of {len}");
                assert!(len.div_ceil(segment) <= max_segments, "more segments than allowed");
                assert!(self.segmentation, "a batch though the system has no segmentation");
            }
        }
        let local = self.sockets.get(&transmit.socket).map(|s| s.local);
        assert!(
            local.is_some_and(|l| l.is_ipv4() == to.is_ipv4()),
            "from {local:?} to {to}: families differ"
        );
    }

    /// From now on the socket takes nothing, or takes everything again.
    pub(crate) fn set_stuck(&mut self, socket: SocketId, stuck: bool) {
        self.sockets.get_mut(&socket).expect("is open").stuck = stuck;
    }

    /// The socket is no longer full: what was kept leaves.
    pub(crate) fn writable(
        &mut self,
        socket: SocketId,
        now: Instant,
    ) -> Option<(SocketAddr, Transmit, Vec<u8>)> {
        let Socket { public, kept, .. } = self.sockets.get_mut(&socket)?;
        let (public, (transmit, data)) = (*public, kept.take()?);
        self.input(Input::Writable { socket }, now);
        Some((public, transmit, data))
    }

    /// When to ring next, by the network's clock.
    pub(crate) fn next_alarm(&mut self, now: Instant) -> Option<Instant> {
        let clock = self.clock(now);
        let next = self.engine.poll_timeout();
        assert_eq!(next, self.engine.poll_timeout(), "asking for the timeout changes it");
        let Some((at, kind)) = next else {
            let open = self.engine.sessions().filter(|&id| self.is_open(id)).count();
            assert!(open == 0, "{open} open sessions and no timer");
            return None;
        };
        // Everything was polled: an alarm that stays due does nothing when it rings.
        assert!(at > clock || self.rung.2 < 4, "stall: {kind:?}, due at {at:?}, is not served at {clock:?}");
        Some(at.max(clock) + self.slept)
    }

    pub(crate) fn is_open(&self, id: SessionId) -> bool {
        self.engine.session(id).is_some_and(|s| s.close_reason().is_none())
    }

    pub(crate) fn why(&mut self) -> Option<(Instant, TimerKind)> {
        self.engine.poll_timeout()
    }

    pub(crate) fn socket(&self) -> SocketAddr {
        self.sockets.values().next().expect("has a socket").public
    }

    /// The first socket's name, for inputs that a test makes itself.
    pub(crate) fn socket_id(&self) -> SocketId {
        *self.sockets.keys().next().expect("has a socket")
    }
}

fn wall(now: Instant, skew: i64) -> UnixTime {
    UnixTime::from_millis((WALL + now.as_nanos() / 1_000_000).saturating_add_signed(skew))
}
