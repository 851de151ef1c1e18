//! The driver: one task a node, which moves datagrams between sockets and engine.
//!
//! It decides nothing. A turn sends what a full socket had refused, receives one batch from every socket, and
//! sends what the engine has; after some turns other tasks get theirs. No socket is called under the lock.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;

use crust_proto::{
    Command, Config, Duration, Engine, Input, Instant, InterfaceAddr, Seed, SendFailure, SocketId, Transmit,
    UnixTime,
};
use zeroize::Zeroizing;

use crate::log::Log;
use crate::node::Node;
use crate::runtime::{BoxFuture, Platform, RecvMeta, UdpSocket};
use crate::shared::Shared;
use crate::state::State;

/// How many buffers one receive call can fill.
const BATCH: usize = 32;
/// The size of each, in bytes: the largest UDP payload there is, or as much of smaller ones (GRO).
const RECV_LEN: usize = 64 * 1024;
/// The size of the send buffer, in bytes: the largest UDP payload over IPv4 (65,535 less IP and UDP headers),
/// which bounds what can be sent with one call (GSO).
const SEND_LEN: usize = 65_535 - 20 - 8;
/// How many received bytes the engine gets before others may have the lock.
const LOCK_BYTES: usize = 128 * 1024;
/// How many transmits there are in a turn, before it is the turn of receiving again.
const TRANSMITS_PER_TURN: usize = 16;
/// How many turns there are before the driver lets other tasks run.
const TURNS_PER_POLL: usize = 8;
/// How many receive calls in a row may fail before a socket is given up.
const RECV_FAILURES: u32 = 16;

/// How often interfaces and the wall clock are looked at where the machine does not tell of changes.
const UPKEEP: Duration = Duration::from_secs(5);
/// How often the engine is told the wall time, at least.
const WALL_EVERY: Duration = Duration::from_secs(60);
/// By how much the wall clock has to be off its course to be told at once: after a suspend, or when it was set.
const WALL_JUMP: Duration = Duration::from_secs(2);
/// How often fresh entropy is mixed in.
const ENTROPY_EVERY: Duration = Duration::from_secs(600);

/// Addresses that could not be bound, and why.
pub(crate) type BindFailures = Vec<(SocketAddr, io::Error)>;

/// See the module. It ends when the node is shut down, or when no handle is left and all is delivered.
pub(crate) struct Driver<P: Platform> {
    shared: Arc<Shared>,
    platform: P,
    sockets: Vec<Socket<P::Socket>>,
    recv_buf: Box<[u8]>,
    recv_metas: [RecvMeta; BATCH],
    send_buf: Box<[u8]>,
    timer: Option<(Instant, BoxFuture<()>)>,
    upkeep: Upkeep,
    log: Log,
}

/// A socket and what it has refused.
struct Socket<S> {
    id: SocketId,
    io: S,
    /// The one transmit that waits for the socket to take more.
    blocked: Option<(Transmit, Vec<u8>)>,
    recv_failures: u32,
}

/// When what was last looked after.
struct Upkeep {
    next: Instant,
    /// The machine tells of changes, so that nobody need be woken to look.
    told: bool,
    interfaces: Vec<InterfaceAddr>,
    wall: (UnixTime, Instant),
    entropy: Instant,
}

impl<P: Platform> Driver<P> {
    /// A driver with an engine and its first sockets, or the word why some are missing.
    pub(crate) fn new(config: Config, mut platform: P) -> io::Result<(Self, BindFailures)> {
        let runtime = platform.runtime()?;
        let entropy = Zeroizing::new(platform.entropy()?);
        let seed = Seed::new(*entropy);
        let (now, wall) = (runtime.now(), runtime.wall());
        let engine = Engine::new(config, seed, now, wall);
        let log = Log::new(engine.peer_id());
        let mut driver = Self {
            shared: Arc::new(Shared::new(State::new(engine), runtime)),
            platform,
            sockets: Vec::new(),
            // Zeroed by the system page by page as they are used; most never are.
            recv_buf: vec![0; BATCH * RECV_LEN].into_boxed_slice(),
            recv_metas: [RecvMeta::default(); BATCH],
            send_buf: vec![0; SEND_LEN].into_boxed_slice(),
            timer: None,
            upkeep: Upkeep {
                next: now,
                told: false,
                interfaces: Vec::new(),
                wall: (wall, now),
                entropy: now,
            },
            log,
        };
        driver.look_after(now);
        let failures = driver.obey();
        driver.shared.with(State::dispatch);
        driver.tell();
        Ok((driver, failures))
    }

    /// Lets it run.
    pub(crate) fn start(self) -> Node {
        let shared = self.shared.clone();
        let node = Node::new(shared.clone());
        shared.runtime().spawn(Box::pin(self));
        node
    }

    /// Carries out the engine's commands.
    fn obey(&mut self) -> BindFailures {
        let mut failures = Vec::new();
        while let Some(command) = self.shared.with(|state, _| state.engine.poll_command()) {
            match command {
                Command::BindUdp { socket, local } => {
                    if let Err(error) = self.bind(socket, local) {
                        let error_text = error.to_string();
                        self.input(Input::SocketFailed { socket, error: error_text });
                        failures.push((local, error));
                    }
                }
                Command::CloseSocket { socket } => self.sockets.retain(|known| known.id != socket),
                // Only what this version of the core can ask for is ever asked for.
                _ => {}
            }
        }
        failures
    }

    fn bind(&mut self, id: SocketId, local: SocketAddr) -> io::Result<()> {
        let io = self.platform.bind_udp(local)?;
        let local = io.local_addr()?;
        self.sockets.push(Socket { id, io, blocked: None, recv_failures: 0 });
        self.input(Input::SocketOpened { socket: id, local });
        Ok(())
    }

    /// Logs what happened.
    fn tell(&mut self) {
        for (session, event) in self.shared.with(|state, _| state.take_news()) {
            self.log.tell(session, &event);
        }
    }

    fn input(&self, input: Input<'_>) {
        self.shared.with(|state, now| state.engine.handle_input(input, now));
    }

    /// One round of everything. Whether anything moved.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let unblocked = self.unblock(cx);
        let received = self.receive(cx);
        let sent = self.send(cx);
        // A socket that died later is no failure to bind.
        let _ = self.obey();
        self.tell();
        unblocked | received | sent
    }

    /// Sends what full sockets had refused, where they take it now.
    fn unblock(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        for socket in &mut self.sockets {
            let Some((transmit, data)) = &socket.blocked else { continue };
            let Poll::Ready(sent) = socket.io.poll_send(cx, transmit, data) else { continue };
            let failure = sent.err().map(|error| {
                let cause = send_failure(transmit, &error);
                self.log.send_failed(transmit, cause, &error);
                Input::SendFailed { socket: transmit.socket, to: transmit.to, cause }
            });
            socket.blocked = None;
            let id = socket.id;
            self.shared.with(|state, now| {
                state.engine.handle_input(Input::Writable { socket: id }, now);
                if let Some(failure) = failure {
                    state.engine.handle_input(failure, now);
                }
            });
            moved = true;
        }
        moved
    }

    /// Receives one batch from each socket.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        let mut dead = Vec::new();
        for socket in &mut self.sockets {
            let metas = &mut self.recv_metas;
            let mut buffers = self.recv_buf.chunks_exact_mut(RECV_LEN);
            let mut bufs: [IoSliceMut<'_>; BATCH] =
                core::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
            let received = match socket.io.poll_recv(cx, &mut bufs, metas) {
                Poll::Pending => continue,
                Poll::Ready(received) => received,
            };
            moved = true;
            match received {
                Ok(count) => {
                    socket.recv_failures = 0;
                    let filled = bufs.iter_mut().zip(&*metas).take(count);
                    feed(&self.shared, socket.id, filled);
                }
                // An ICMP error that the system reports with a receive call, about some datagram sent before.
                // Anybody can forge one.
                Err(error) if is_unreachable(&error) => self.log.receive_failed(&error),
                Err(error) => {
                    self.log.receive_failed(&error);
                    socket.recv_failures += 1;
                    if socket.recv_failures >= RECV_FAILURES {
                        dead.push((socket.id, error.to_string()));
                    }
                }
            }
        }
        for (id, error) in dead {
            self.sockets.retain(|socket| socket.id != id);
            self.input(Input::SocketFailed { socket: id, error });
        }
        moved
    }

    /// Sends what the engine has, and hands out its events. Whether there may be more to do.
    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let segments = self.sockets.iter().map(|socket| socket.io.max_gso_segments()).min();
        let mut last = LastSend::None;
        for first in (0..TRANSMITS_PER_TURN).map(|nth| nth == 0) {
            let (shared, send_buf) = (&self.shared, &mut self.send_buf);
            let transmit = shared.with(|state, now| {
                last.report(&mut state.engine, now);
                if first && state.engine.poll_timeout().is_some_and(|(when, _)| when <= now) {
                    state.engine.handle_input(Input::Timeout, now);
                }
                let transmit = state.engine.poll_transmit(now, send_buf, segments.unwrap_or(1));
                state.dispatch(now);
                transmit
            });
            let Some(transmit) = transmit else { return false };
            last = self.transmit(&transmit, cx);
        }
        self.shared.with(|state, now| last.report(&mut state.engine, now));
        true
    }

    fn transmit(&mut self, transmit: &Transmit, cx: &mut Context<'_>) -> LastSend {
        let Some(socket) = self.sockets.iter_mut().find(|socket| socket.id == transmit.socket) else {
            return LastSend::Failed(*transmit, SendFailure::Other);
        };
        let data = self.send_buf.get(..transmit.len).unwrap_or_default();
        match socket.io.poll_send(cx, transmit, data) {
            Poll::Ready(Ok(())) => LastSend::None,
            Poll::Ready(Err(error)) => {
                let cause = send_failure(transmit, &error);
                self.log.send_failed(transmit, cause, &error);
                LastSend::Failed(*transmit, cause)
            }
            Poll::Pending => {
                socket.blocked = Some((*transmit, data.to_vec()));
                LastSend::Blocked(socket.id)
            }
        }
    }

    /// What is to be looked at from time to time.
    fn look_after(&mut self, now: Instant) {
        let Upkeep { next, interfaces, wall: (told, told_at), entropy, .. } = &mut self.upkeep;
        *next = now + UPKEEP;
        let wall = self.shared.runtime().wall();
        let elapsed = now.saturating_since(*told_at);
        let told_wall = elapsed >= WALL_EVERY || wall.abs_diff(*told + elapsed) >= WALL_JUMP;
        if told_wall {
            (*told, *told_at) = (wall, now);
        }
        let fresh = match now.saturating_since(*entropy) >= ENTROPY_EVERY {
            // Without fresh entropy the engine's generator goes on as it is.
            true => self.platform.entropy().ok().map(Zeroizing::new),
            false => None,
        };
        if fresh.is_some() {
            *entropy = now;
        }
        // If the system won't say, what it said before still stands.
        let found = self.platform.interfaces().ok().filter(|found| found != interfaces);
        if let Some(found) = found {
            *interfaces = found;
            self.shared.with(|state, now| {
                state.engine.handle_input(Input::Interfaces(interfaces), now);
            });
        }
        self.shared.with(|state, now| {
            if told_wall {
                state.engine.handle_input(Input::Wall(wall), now);
            }
            if let Some(fresh) = &fresh {
                state.engine.handle_input(Input::Entropy(fresh), now);
            }
        });
    }

    /// Whether there is something to look after.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        let change = self.platform.poll_change(cx);
        self.upkeep.told = change.is_some();
        change.is_some_and(|change| change.is_ready()) || self.upkeep.next <= self.shared.runtime().now()
    }

    /// Nothing moves: waits for the next time anything has to.
    fn sleep(&mut self, cx: &mut Context<'_>) -> Sleep {
        let upkeep = Some(self.upkeep.next).filter(|_| !self.upkeep.told);
        let wake_at = self.shared.with(|state, now| {
            if state.is_over() {
                return Err(Sleep::Over);
            }
            let timeout = state.engine.poll_timeout().map(|(when, _)| when);
            let wake_at = [timeout, upkeep].into_iter().flatten().min();
            let due = wake_at.is_some_and(|when| when <= now);
            match !due && state.driver_sleeps(cx.waker()) {
                true => Ok(wake_at),
                false => Err(Sleep::NotYet),
            }
        });
        let wake_at = match wake_at {
            Ok(wake_at) => wake_at,
            Err(other) => return other,
        };
        // A timer that rings too early is left alone: it costs one idle turn, a new one costs more.
        if let Some(wake_at) = wake_at
            && self.timer.as_ref().is_none_or(|(rings_at, _)| *rings_at > wake_at)
        {
            self.timer = Some((wake_at, self.shared.runtime().sleep_until(wake_at)));
        }
        let rang = self.timer.as_mut().is_some_and(|(_, timer)| timer.as_mut().poll(cx).is_ready());
        if rang {
            self.timer = None;
            return Sleep::NotYet;
        }
        Sleep::Asleep
    }
}

enum Sleep {
    Asleep,
    NotYet,
    Over,
}

impl<P: Platform> Future for Driver<P>
where
    Self: Unpin,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let span = this.log.node();
        let _entered = span.enter();
        for _ in 0..TURNS_PER_POLL {
            if this.is_due(cx) {
                this.look_after(this.shared.runtime().now());
            }
            if this.turn(cx) {
                continue;
            }
            match this.sleep(cx) {
                Sleep::Asleep => return Poll::Pending,
                Sleep::NotYet => {}
                Sleep::Over => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

// Nothing in it is pinned in place.
impl<P: Platform> Unpin for Driver<P> {}

impl<P: Platform> Drop for Driver<P> {
    /// Its end, or the runtime's: either way everybody who waits must hear of it, and after the sockets closed.
    fn drop(&mut self) {
        self.sockets.clear();
        self.shared.with(State::end);
        self.tell();
    }
}

impl<P: Platform> fmt::Debug for Driver<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("sockets", &self.sockets.len()).finish_non_exhaustive()
    }
}

/// Feeds received datagrams to the engine, holding the lock for many but not for all.
fn feed<'a, 'b: 'a>(
    shared: &Shared,
    socket: SocketId,
    filled: impl Iterator<Item = (&'a mut IoSliceMut<'b>, &'a RecvMeta)>,
) {
    let mut filled = filled.peekable();
    while filled.peek().is_some() {
        shared.with(|state, now| {
            let mut fed = 0;
            for (buf, meta) in filled.by_ref() {
                let RecvMeta { from, to, ecn, len, segment } = *meta;
                let Some(data) = buf.get_mut(..len) else { continue };
                state.engine.handle_input(Input::Datagrams { socket, from, to, ecn, segment, data }, now);
                fed += len;
                if fed >= LOCK_BYTES {
                    break;
                }
            }
            state.dispatch(now);
        });
    }
}

/// What became of the last transmit, for the engine to hear when the lock is next held.
enum LastSend {
    None,
    Blocked(SocketId),
    Failed(Transmit, SendFailure),
}

impl LastSend {
    fn report(&mut self, engine: &mut Engine, now: Instant) {
        match std::mem::replace(self, Self::None) {
            Self::None => {}
            Self::Blocked(socket) => engine.handle_input(Input::Blocked { socket }, now),
            Self::Failed(transmit, cause) => {
                engine
                    .handle_input(Input::SendFailed { socket: transmit.socket, to: transmit.to, cause }, now);
            }
        }
    }
}

/// What an error of a send call means.
fn send_failure(transmit: &Transmit, error: &io::Error) -> SendFailure {
    // `EMSGSIZE`, and `EIO`, which `io::ErrorKind` does not tell from others.
    const TOO_BIG: i32 = if cfg!(windows) {
        10040
    } else if cfg!(any(target_os = "linux", target_os = "android")) {
        90
    } else {
        40
    };
    const IO: i32 = 5;

    match (error.kind(), error.raw_os_error()) {
        (_, Some(TOO_BIG)) => SendFailure::TooBig,
        (io::ErrorKind::InvalidInput, _) | (_, Some(IO)) if transmit.segment.is_some() => {
            SendFailure::NoSegmentation
        }
        (io::ErrorKind::PermissionDenied, _) => SendFailure::Forbidden,
        _ if is_unreachable(error) => SendFailure::Unreachable,
        _ => SendFailure::Other,
    }
}

fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}
