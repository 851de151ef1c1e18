//! What the fuzz targets share: damage to datagrams, and a world of two nodes that a byte string directs.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use arbitrary::{Arbitrary, Result, Unstructured};
use crust_proto::crypto::{Aead, AeadKey, CryptoProvider, NONCE_LEN, OpenError, TAG_LEN};
use crust_proto::recovery::Ecn;
use crust_proto::{
    AttemptId, Command, Config, Dir, Duration, Engine, Event, Input, Instant, InterfaceAddr, Network,
    Priority, SecretKey, Seed, SendFailure, SessionId, SocketId, StreamId, UnixTime,
};
use zeroize::Zeroizing;

/// How a datagram is damaged on its way.
#[derive(Clone, Debug, Arbitrary)]
pub enum Damage {
    /// Not at all.
    None,
    /// One byte is changed.
    Change { at: u16, with: u8 },
    /// Several bytes are replaced.
    Replace { at: u16, with: [u8; 8] },
    /// The end is cut off.
    Cut { len: u16 },
    /// Something is inserted.
    Insert { at: u16, what: Vec<u8> },
    /// Everything after the head is replaced.
    Body { with: Vec<u8> },
}

impl Damage {
    pub fn apply(&self, data: &mut Vec<u8>) {
        let len = data.len().max(1);
        match self {
            Self::None => {}
            Self::Change { at, with } => {
                if let Some(byte) = data.get_mut(usize::from(*at) % len) {
                    *byte ^= with;
                }
            }
            Self::Replace { at, with } => {
                data.iter_mut().skip(usize::from(*at) % len).zip(with).for_each(|(byte, with)| *byte = *with);
            }
            Self::Cut { len: keep } => data.truncate(usize::from(*keep) % len),
            Self::Insert { at, what } => {
                let at = (usize::from(*at) % len).min(data.len());
                data.splice(at..at, what.iter().copied().take(1500));
            }
            Self::Body { with } => {
                // The last 16 bytes decide the head's mask: they stay.
                if data.len() >= 32 {
                    data.splice(16..data.len() - 16, with.iter().copied().take(1500));
                }
            }
        }
    }
}

/// Keeps no secret and accepts everything.
#[derive(Debug)]
pub struct NullCrypto;

impl CryptoProvider for NullCrypto {
    fn name(&self) -> &'static str {
        "null"
    }

    fn public_key(&self, secret: &[u8; 32]) -> [u8; 32] {
        *secret
    }

    fn dh(&self, secret: &[u8; 32], public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        Some(Zeroizing::new(core::array::from_fn(|i| secret[i] ^ public[i])))
    }

    fn aead(&self, _: Aead, _: &[u8; 32]) -> Box<dyn AeadKey> {
        Box::new(NullKey)
    }
}

struct NullKey;

impl AeadKey for NullKey {
    fn seal(&self, nonce: &[u8; NONCE_LEN], _: &[u8], _: &mut [u8]) -> [u8; TAG_LEN] {
        // Differs from packet to packet, as masks and filters expect.
        core::array::from_fn(|i| nonce.get(i).copied().unwrap_or(7))
    }

    fn open(
        &self,
        _: &[u8; NONCE_LEN],
        _: &[u8],
        _: &mut [u8],
        _: &[u8; TAG_LEN],
    ) -> core::result::Result<(), OpenError> {
        Ok(())
    }
}

struct Party {
    engine: Engine,
    address: SocketAddr,
    sockets: Vec<SocketId>,
    sessions: Vec<SessionId>,
    attempts: Vec<AttemptId>,
    streams: Vec<StreamId>,
}

/// Two nodes, what is on its way between them, and the time.
pub struct World {
    parties: [Party; 2],
    wire: VecDeque<(usize, SocketAddr, Vec<u8>)>,
    now: Instant,
    wall: UnixTime,
    buffer: Vec<u8>,
}

/// No sequence of calls makes an engine hand out more than this between two steps of the time.
const ENOUGH: usize = 20_000;

impl World {
    pub fn new(provider: Arc<dyn CryptoProvider>) -> Self {
        let wall = UnixTime::from_millis(1_800_000_000_000);
        let party = |n: u8| {
            let key = SecretKey::from_bytes([n; 32]);
            let network = Network::new("fuzz", None).expect("a good name");
            let mut config = Config::new(key, network, provider.clone());
            let address = SocketAddr::from(([10, 0, 0, n], 7000));
            config.listen = vec![address];
            config.handshake.cookie_threshold = 2;
            config.handshake.max_half_open = 4;
            config.handshake.max_attempts = 8;
            config.handshake.replay_capacity = 8;
            config.transport.max_sessions = 16;
            config.transport.send_buffer = 20_000;
            config.transport.datagram_buffer = 5000;
            config.transport.key_update_after = 8;
            let limits = &mut config.transport.limits;
            limits.max_data = 20_000;
            limits.max_stream_data = 10_000;
            limits.max_streams_bi = 4;
            limits.max_streams_uni = 4;
            limits.max_message = 5000;
            limits.message_window = 5000;
            let engine = Engine::new(config, Seed::new([n; 32]), Instant::ZERO, wall);
            Party { engine, address, sockets: vec![], sessions: vec![], attempts: vec![], streams: vec![] }
        };
        let mut world = Self {
            parties: [party(1), party(2)],
            wire: VecDeque::new(),
            now: Instant::ZERO,
            wall,
            buffer: vec![0; 65_535],
        };
        world.poll(0);
        world.poll(1);
        world
    }

    /// Does what `data` says, to its end.
    pub fn play(mut self, data: &[u8]) {
        let mut u = Unstructured::new(data);
        while !u.is_empty() {
            if self.step(&mut u).is_err() {
                break;
            }
        }
        // Whatever was done, the two come to rest: everybody is told to stop, and time passes.
        for side in 0..2 {
            self.parties[side].engine.shutdown(0, b"", self.now);
        }
        for _ in 0..200 {
            self.pass(Duration::from_secs(2));
            while let Some((to, from, data)) = self.wire.pop_front() {
                self.deliver(to, from, data, 0, None);
                if self.wire.len() > ENOUGH {
                    panic!("the two never stop talking");
                }
            }
            if self.parties.iter().all(|p| p.engine.is_idle()) {
                return;
            }
        }
        panic!("not idle after it was shut down");
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let side = usize::from(u.arbitrary::<bool>()?);
        match u.int_in_range(0..=15)? {
            0 | 1 => {
                let shift = u.int_in_range(0..=36)?;
                self.pass(Duration::from_nanos(1 << shift));
            }
            2..=5 => self.carry(u)?,
            6 => {
                // Something from nowhere.
                let data = u.arbitrary::<Vec<u8>>()?;
                let from = self.address(u)?;
                let segment = u.int_in_range(0..=300)?;
                self.deliver(side, from, data, segment, None);
            }
            7 => self.dial(side, u)?,
            8 => self.driver(side, u)?,
            _ => self.application(side, u)?,
        }
        self.poll(side);
        Ok(())
    }

    fn address(&self, u: &mut Unstructured<'_>) -> Result<SocketAddr> {
        Ok(match u.int_in_range(0..=3)? {
            0 => self.parties[0].address,
            1 => self.parties[1].address,
            2 => SocketAddr::from((u.arbitrary::<[u8; 16]>()?, u.arbitrary()?)),
            _ => SocketAddr::from((u.arbitrary::<[u8; 4]>()?, u.arbitrary()?)),
        })
    }

    /// Lets a datagram that is on its way arrive, or not; damaged, or not.
    fn carry(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(last) = self.wire.len().checked_sub(1) else { return Ok(()) };
        let at = if u.arbitrary()? { 0 } else { u.int_in_range(0..=last)? };
        let fate = u.int_in_range(0..=7)?;
        let keep = fate == 1;
        let item = if keep { self.wire.get(at).cloned() } else { self.wire.remove(at) };
        let Some((mut to, mut from, mut data)) = item else { return Ok(()) };
        match fate {
            0 => return Ok(()),
            2 | 3 => Damage::arbitrary(u)?.apply(&mut data),
            4 => from = self.address(u)?,
            5 => to = 1 - to,
            _ => {}
        }
        let ecn = match u.int_in_range(0..=3)? {
            0 => Some(Ecn::Ce),
            1 => Some(Ecn::Ect0),
            _ => None,
        };
        self.deliver(to, from, data, 0, ecn);
        Ok(())
    }

    fn deliver(&mut self, to: usize, from: SocketAddr, mut data: Vec<u8>, segment: usize, ecn: Option<Ecn>) {
        let Some(&socket) = self.parties[to].sockets.first() else { return };
        let input = Input::Datagrams { socket, from, to: None, ecn, segment, data: &mut data };
        self.parties[to].engine.handle_input(input, self.now);
        self.poll(to);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.wall = self.wall + time;
        for side in 0..2 {
            let engine = &mut self.parties[side].engine;
            if engine.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
                engine.handle_input(Input::Timeout, self.now);
                self.poll(side);
                let next = self.parties[side].engine.poll_timeout();
                assert!(next.is_none_or(|(at, _)| at > self.now), "a timeout that is served stays due");
            }
        }
    }

    fn dial(&mut self, side: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let there = self.parties[1 - side].address;
        let peer = self.parties[1 - side].engine.peer_id();
        let target = match u.int_in_range(0..=3)? {
            0 | 1 => (peer, there).into(),
            2 => there.into(),
            _ => self.address(u)?.into(),
        };
        let party = &mut self.parties[side];
        if let Ok(attempt) = party.engine.connect(target, self.now) {
            party.attempts.push(attempt);
        }
        if u.ratio(1, 20)?
            && let Some(&attempt) = party.attempts.last()
        {
            party.engine.cancel(attempt);
        }
        Ok(())
    }

    /// What a driver may report.
    fn driver(&mut self, side: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let from = self.address(u)?;
        let party = &mut self.parties[side];
        let Some(&socket) = party.sockets.first() else { return Ok(()) };
        let ip = from.ip();
        let entropy = [9; 32];
        let interfaces = [InterfaceAddr { ip, prefix: 24 }];
        let input = match u.int_in_range(0..=19)? {
            0..=3 => Input::Timeout,
            4 | 5 => Input::Blocked { socket },
            6..=9 => Input::Writable { socket },
            10 => Input::SendFailed { socket, to: from, cause: SendFailure::TooBig },
            11 => Input::SendFailed { socket, to: from, cause: SendFailure::NoSegmentation },
            12 => Input::SendFailed { socket, to: from, cause: SendFailure::Unreachable },
            13 => Input::SendFailed { socket, to: from, cause: SendFailure::Other },
            14 => Input::Interfaces(&interfaces),
            15 => Input::Wall(UnixTime::from_millis(u.arbitrary()?)),
            16 => Input::Wall(self.wall),
            17 => Input::Entropy(&entropy),
            18 => Input::SocketOpened { socket, local: from },
            _ if u.ratio(1, 10)? => {
                party.sockets.remove(0);
                Input::SocketFailed { socket, error: "gone".into() }
            }
            _ => Input::Timeout,
        };
        party.engine.handle_input(input, self.now);
        Ok(())
    }

    fn application(&mut self, side: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let now = self.now;
        let party = &mut self.parties[side];
        let Some(last) = party.sessions.len().checked_sub(1) else { return Ok(()) };
        let id = party.sessions[if u.arbitrary()? { last } else { u.int_in_range(0..=last)? }];
        if u.ratio(1, 200)? {
            party.engine.release(id, now);
            return Ok(());
        }
        let stream = match party.streams.len() {
            n @ 1.. if u.ratio(9, 10)? => party.streams[u.int_in_range(0..=n - 1)?],
            _ => StreamId::from_u64(u.arbitrary()?),
        };
        let Some(mut session) = party.engine.session_mut(id, now) else { return Ok(()) };
        let dir = if u.arbitrary()? { Dir::Bi } else { Dir::Uni };
        let len = u.int_in_range(0..=3000)?;
        let content = vec![0x5a; len];
        match u.int_in_range(0..=24)? {
            0..=2 => {
                if let Ok(Some(stream)) = session.open(dir) {
                    party.streams.push(stream);
                }
            }
            3 | 4 => party.streams.extend(session.accept(dir)),
            5..=8 => {
                let _ = session.write(stream, &content);
            }
            9 | 10 => {
                let mut buffer = vec![0; len];
                let _ = session.read(stream, &mut buffer);
            }
            11 => {
                let _ = session.finish(stream);
            }
            12 => {
                let _ = session.reset(stream, u.arbitrary()?);
            }
            13 => {
                let _ = session.stop(stream, u.arbitrary()?);
            }
            14..=16 => {
                let priority = Priority::new(u.int_in_range(0..=7)?).expect("one of eight");
                let _ = session.send_message(priority, &content, u.arbitrary()?);
            }
            17 | 18 => {
                let _ = session.recv_message();
            }
            19 => {
                let _ = session.send_datagram(&content);
            }
            20 => {
                let _ = session.recv_datagram();
            }
            21 => session.update_keys(),
            22 => session.set_priority(stream, u.arbitrary()?),
            23 if u.ratio(1, 20)? => session.close(u.arbitrary()?, &content),
            24 if u.ratio(1, 10)? => session.finish_and_close(u.arbitrary()?, &content),
            _ => {}
        }
        Ok(())
    }

    /// Polls everything until nothing more comes, and checks what does.
    fn poll(&mut self, side: usize) {
        let (here, there) = (self.parties_address(side), self.parties_address(1 - side));
        let party = &mut self.parties[side];
        let mut count = 0;
        while let Some(command) = party.engine.poll_command() {
            match command {
                Command::BindUdp { socket, local } => {
                    party.sockets.push(socket);
                    party.engine.handle_input(Input::SocketOpened { socket, local }, self.now);
                }
                Command::CloseSocket { socket } => party.sockets.retain(|s| *s != socket),
                _ => {}
            }
            count += 1;
            assert!(count < ENOUGH, "commands without end");
        }
        // A small buffer and an odd number of segments are a caller's right.
        let max_segments = (self.now.as_nanos() % 11) as usize;
        while let Some(transmit) = party.engine.poll_transmit(self.now, &mut self.buffer, max_segments) {
            count += 1;
            assert!(count < ENOUGH, "transmits without end");
            assert!(transmit.len > 0 && transmit.len <= self.buffer.len());
            let segment = transmit.segment.unwrap_or(transmit.len);
            assert!(segment > 0 && transmit.len.div_ceil(segment) <= max_segments.max(1));
            for data in self.buffer[..transmit.len].chunks(segment) {
                if transmit.to == there {
                    self.wire.push_back((1 - side, here, data.to_vec()));
                }
            }
            if self.wire.len() > 3000 {
                self.wire.drain(..1000);
            }
        }
        let party = &mut self.parties[side];
        while let Some(event) = party.engine.poll_event() {
            count += 1;
            assert!(count < ENOUGH, "events without end");
            if let Event::Connected { session, .. } = event {
                assert!(!party.sessions.contains(&session), "announced twice");
                party.sessions.push(session);
            }
        }
        assert!(party.engine.sessions().count() <= 16, "more sessions than allowed");
    }

    fn parties_address(&self, side: usize) -> SocketAddr {
        self.parties[side].address
    }
}
