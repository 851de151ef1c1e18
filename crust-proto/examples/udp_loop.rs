//! Two nodes over real sockets, each driven by the whole of a run loop in one thread: no runtime, no adapter.
//!
//! `cargo run -p crust-proto --example udp_loop` sends a greeting there and an answer back over loopback.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a driver is where the world begins")]

use std::error::Error;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crust_proto::{
    Command, Config, Engine, Event, Input, Instant, Network, Priority, SecretKey, Seed, SessionId, SocketId,
    Target, UnixTime,
};

/// A node and the little that a driver keeps: its sockets, its clock, a buffer.
struct Driver {
    engine: Engine,
    socket: Option<(SocketId, UdpSocket)>,
    epoch: std::time::Instant,
    buf: Vec<u8>,
}

impl Driver {
    fn new() -> Result<Self, Box<dyn Error>> {
        let provider = crust_proto::crypto::best();
        let mut config = Config::new(SecretKey::from_entropy(entropy()?), Network::default(), provider);
        config.listen = vec!["127.0.0.1:0".parse()?];
        let wall = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let wall = UnixTime::from_millis(u64::try_from(wall.as_millis())?);
        let engine = Engine::new(config, Seed::new(entropy()?), Instant::ZERO, wall);
        Ok(Self { engine, socket: None, epoch: std::time::Instant::now(), buf: vec![0; 65536] })
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed()
    }

    /// One turn: do what the engine asks, hand over its events, wait for a datagram or its timeout.
    fn turn(&mut self, on_event: impl FnMut(&mut Engine, Event, Instant)) -> Result<(), Box<dyn Error>> {
        self.drain(on_event)?;
        // No longer than this, since the other node has its turn in the same thread.
        let longest = Duration::from_millis(10);
        let wait = match self.engine.poll_timeout() {
            Some((at, _why)) => at.saturating_since(self.now()).min(longest),
            None => longest,
        };
        let (id, socket) = self.socket.as_ref().ok_or("there is no socket")?;
        // Zero would mean for ever.
        socket.set_read_timeout(Some(wait.max(Duration::from_micros(1))))?;
        match socket.recv_from(&mut self.buf) {
            Ok((len, from)) => {
                let now = Instant::ZERO + self.epoch.elapsed();
                let data = &mut self.buf[..len];
                let input = Input::Datagrams { socket: *id, from, to: None, ecn: None, segment: len, data };
                self.engine.handle_input(input, now);
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(e) => return Err(e.into()),
        }
        let now = self.now();
        self.engine.handle_input(Input::Timeout, now);
        Ok(())
    }

    /// Polls everything until nothing more comes: what the application does in answer to an event makes more to send.
    fn drain(&mut self, mut on_event: impl FnMut(&mut Engine, Event, Instant)) -> Result<(), Box<dyn Error>> {
        loop {
            let now = self.now();
            let mut idle = true;
            while let Some(command) = self.engine.poll_command() {
                if let Command::BindUdp { socket, local } = command {
                    let bound = UdpSocket::bind(local)?;
                    let local = bound.local_addr()?;
                    self.engine.handle_input(Input::SocketOpened { socket, local }, now);
                    self.socket = Some((socket, bound));
                }
            }
            while let Some(transmit) = self.engine.poll_transmit(now, &mut self.buf, 1) {
                if let Some((_, socket)) = &self.socket {
                    // Blocking sockets are never full; whatever else fails counts as a lost datagram.
                    let _ = socket.send_to(&self.buf[..transmit.len], transmit.to);
                }
            }
            while let Some(event) = self.engine.poll_event() {
                idle = false;
                on_event(&mut self.engine, event, now);
            }
            if idle {
                return Ok(());
            }
        }
    }
}

fn entropy() -> Result<[u8; 32], Box<dyn Error>> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn say(engine: &mut Engine, session: SessionId, what: &[u8], now: Instant) {
    if let Some(mut session) = engine.session_mut(session, now) {
        // A first message of a few bytes always fits.
        let _ = session.send_message(Priority::HIGHEST, what, false);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut server = Driver::new()?;
    let mut client = Driver::new()?;
    server.drain(|_, _, _| ())?;
    let address = server.engine.local_addresses().pop().ok_or("the server has no socket")?;
    let target = Target::from((server.engine.peer_id(), address));
    client.drain(|_, _, _| ())?;
    let now = client.now();
    client.engine.connect(target, now)?;

    let mut answer = None;
    while answer.is_none() {
        client.turn(|engine, event, now| match event {
            Event::Connected { session, peer, .. } => {
                println!("client: connected to {peer}");
                say(engine, session, b"hello", now);
            }
            Event::MessageReadable { session } => {
                answer = engine.session_mut(session, now).and_then(|mut s| s.recv_message());
            }
            Event::Attempt { result: Err(error), .. } => println!("client: {error}"),
            _ => {}
        })?;
        server.turn(|engine, event, now| {
            if let Event::MessageReadable { session } = event {
                while let Some(message) = engine.session_mut(session, now).and_then(|mut s| s.recv_message())
                {
                    println!("server: {}", String::from_utf8_lossy(&message.data));
                    say(engine, session, b"hello yourself", now);
                }
            }
        })?;
    }
    let answer = answer.map(|m| m.data).unwrap_or_default();
    println!("client: {}", String::from_utf8_lossy(&answer));
    assert_eq!(answer, b"hello yourself");
    Ok(())
}
