//! The applications of a swarm: they dial, accept, talk of all kinds of things, hang up, and dial again.
//!
//! Every byte that they send tells where it belongs, so that the reader knows whether it is right. Streams begin with
//! a key and a length, messages and datagrams with their talk and their place in it.

use core::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crust_async::{
    Builder, ConnectError, Connection, Node, ReadError, ReadExactError, RecvStream, Runtime,
    SendMessageError, SendStream, WriteError,
};
use crust_proto::{Duration, Instant, Priority};

use super::ledger::{Ledger, Phase, Talk};
use super::setting::{Pair, Work, pick, skewed};
use super::wait::{Bell, Either, all, never, race};
use crate::checks::{Checks, fill, verify};
use crate::program::Machine;
use crate::record::Recorder;
use crate::{HostId, Rng};

/// A stream's key and length.
const HEAD: usize = 16;
/// A message's talk, its number within its priority, and its key.
const MESSAGE_HEAD: usize = 24;
/// A datagram's talk and number.
const DATAGRAM_HEAD: usize = 16;
/// How often a calm application says that it is there, and how often any looks whether it is to end.
const PULSE: Duration = Duration::from_secs(3);
/// How long after a failure an application dials again.
const PATIENCE: Duration = Duration::from_secs(2);
/// The code with which streams are given up.
const GIVEN_UP: u64 = 77;
/// A connection made so long after the faults must last.
const SETTLED: Duration = Duration::from_secs(30);

/// What all applications of a swarm share.
#[derive(Clone)]
pub(super) struct Apps(Arc<Shared>);

struct Shared {
    ledger: Mutex<Ledger>,
    /// The world's time, in nanoseconds: hosts' clocks may be wrong.
    now: AtomicU64,
    rng: Rng,
    keys: AtomicU64,
    work: Work,
    pairs: Vec<Pair>,
    hosts: Vec<(HostId, String)>,
    checks: Checks,
    recorder: Option<Recorder>,
}

/// One application: a node at a place, until its host crashes or it ends.
#[derive(Clone)]
struct App {
    apps: Apps,
    place: usize,
    runtime: Arc<dyn Runtime>,
}

/// How a side ends a talk.
#[derive(Debug)]
enum End {
    Close(u64, Vec<u8>),
    Finish(u64, Vec<u8>),
    Drop,
}

impl Apps {
    pub(super) fn new(
        work: Work,
        pairs: Vec<Pair>,
        hosts: Vec<(HostId, String)>,
        rng: Rng,
        checks: Checks,
        recorder: Option<Recorder>,
    ) -> Self {
        let ledger = Mutex::new(Ledger::new(hosts.len(), pairs.len()));
        let (now, keys) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Shared { ledger, now, rng, keys, work, pairs, hosts, checks, recorder }))
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Instant {
        Instant::ZERO + Duration::from_nanos(self.0.now.load(Relaxed))
    }

    /// The world's time has gone on.
    pub(super) fn set_now(&self, now: Instant) {
        self.0.now.store(now.saturating_since(Instant::ZERO).as_nanos() as u64, Relaxed);
    }

    pub(super) fn note(&self, place: Option<usize>, text: impl FnOnce() -> String) {
        if let Some(recorder) = &self.0.recorder {
            recorder.note(place.map(|place| self.0.hosts[place].0), text());
        }
    }

    /// The program of a place.
    pub(super) async fn run(self, place: usize, builder: Builder<Machine>) {
        let node = match builder.bind().await {
            Ok(node) => node,
            // Its host may have crashed again before it came to run.
            Err(_) if self.ledger().crashed_at(place) == Some(self.now()) => return,
            Err(error) => return self.fail(format!("place {place} cannot listen: {error}")),
        };
        self.ledger().up(place, &node);
        self.0.checks.node(self.0.hosts[place].0, &node);
        let app = App { apps: self.clone(), place, runtime: node.runtime().clone() };
        for (nth, pair) in self.0.pairs.iter().enumerate() {
            if let Some(end) = pair.places.iter().position(|of| *of == place).filter(|end| pair.dials[*end]) {
                app.spawn(app.clone().dial(node.clone(), nth, end, pair.places[1 - end]));
            }
        }
        app.spawn(app.clone().watch(node.events()));
        app.accept(node).await;
    }

    fn fail(&self, what: impl Into<String>) {
        let now = self.now();
        self.ledger().fail(now, what);
    }
}

impl App {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(Box::pin(task));
    }

    /// Starts a task that is dropped when the bell rings.
    fn until(&self, bell: &Bell, task: impl Future<Output = ()> + Send + 'static) {
        let bell = bell.clone();
        self.spawn(async move {
            // In this order: nothing begins once it has rung.
            race(bell.rung(), task).await;
        });
    }

    async fn sleep(&self, time: Duration) {
        self.runtime.sleep_until(self.runtime.now() + time).await;
    }

    fn phase(&self) -> Phase {
        self.apps.ledger().phase
    }

    fn rng(&self, name: &str, number: u64) -> Rng {
        self.apps.0.rng.fork(name, number)
    }

    fn fail(&self, what: impl Into<String>) {
        let name = &self.apps.0.hosts[self.place].1;
        self.apps.fail(format!("{name}: {}", what.into()));
    }

    /// A key that nothing else has.
    fn key(&self) -> u64 {
        // The number is in the low half, so that no two are equal; the rest is for content that differs.
        let number = self.apps.0.keys.fetch_add(1, Relaxed);
        (self.rng("key", number).next_u64() << 32) | (number & 0xffff_ffff)
    }

    async fn accept(self, node: Node) {
        loop {
            match race(node.accept(), self.sleep(PULSE)).await {
                Either::Left(Some(connection)) => self.spawn(self.clone().talk(connection)),
                Either::Left(None) => return,
                Either::Right(()) if self.phase() == Phase::Leaving => return,
                Either::Right(()) => {}
            }
        }
    }

    /// Notes when something is told.
    async fn watch(self, mut events: crust_async::Events) {
        while let Some(event) = events.next().await {
            let now = self.apps.now();
            self.apps.ledger().last_event = now;
            self.apps.note(Some(self.place), || format!("{event:?}"));
        }
    }

    /// Sees to it that there is a connection with a peer.
    async fn dial(self, node: Node, nth: usize, end: usize, to: usize) {
        let mut tries = 0;
        while self.phase() < Phase::Closing {
            let peer = self.apps.ledger().places[to].node.clone();
            let contact = peer.as_ref().map(Node::contact);
            drop(peer);
            let Some(contact) = contact else {
                self.sleep(PATIENCE).await;
                continue;
            };
            let possible = self.apps.0.pairs[nth].possible;
            match node.connect(contact).await {
                Ok(_) if !possible => return self.fail(format!("place {to} was reached, which is hopeless")),
                Ok(connection) => self.clone().talk(connection).await,
                Err(error) => {
                    self.judge_failure(&error);
                    let calm = self.phase() == Phase::Calm;
                    self.apps.ledger().pairs[nth].refused[end] |= calm;
                }
            }
            tries += 1;
            let spread = self.rng("again", nth as u64 + (tries << 8)).up_to(PATIENCE);
            self.sleep(PATIENCE / 4 + spread).await;
        }
    }

    /// Whether an attempt may fail so.
    fn judge_failure(&self, error: &ConnectError) {
        let right = matches!(
            error,
            ConnectError::NoAnswer(_)
                | ConnectError::NotMe(_)
                | ConnectError::NoAddress
                | ConnectError::Cancelled
        );
        self.apps.note(Some(self.place), || format!("no connection: {error}"));
        if !right {
            self.fail(format!("an attempt to connect failed: {error}"));
        }
    }

    /// One side's time with a connection, to its end.
    async fn talk(self, connection: Connection) {
        let peer = connection.peer_id();
        let now = self.apps.now();
        let Some(to) = self.apps.ledger().place_of(peer) else {
            // A life of the peer that is over: it will not say a word.
            connection.closed().await;
            return;
        };
        let (talk, before) = self.apps.ledger().begin(self.place, to, &connection, now);
        drop(before);
        // Where somebody talks over it already there is nothing to do. Nobody waits for its end with a handle in hand: it
        // could not come.
        let Some(talk) = talk else { return };
        if let Some(recorder) = &self.apps.0.recorder {
            let hosts = &self.apps.0.hosts;
            recorder.connection(&format!("{} to {}", hosts[self.place].1, hosts[to].1), &connection);
        }
        self.apps.note(Some(self.place), || format!("talk {} with place {to} over {connection:?}", talk.id));
        let bell = Bell::default();
        let hears = self.hear(&connection, talk, &bell);
        let ended = race(self.act(&connection, talk, &bell), hears).await;
        let kept = self.apps.ledger().forget(talk, peer);
        drop(kept);
        match ended {
            Either::Left(end) => self.end(connection, talk, end, &bell).await,
            Either::Right(()) => {
                let reason = connection.closed().await;
                self.apps.note(Some(self.place), || format!("talk {} ended: {reason}", talk.id));
                let now = self.apps.now();
                let mut ledger = self.apps.ledger();
                ledger.judge(talk, &reason, now);
                if ledger.must_last(talk, SETTLED) {
                    let began = talk.began;
                    ledger.fail(
                        now,
                        format!("the connection with place {to} since {began:?} ended: {reason:?}"),
                    );
                }
            }
        }
    }

    /// This side has had enough.
    async fn end(&self, connection: Connection, talk: Talk, end: End, bell: &Bell) {
        let now = self.apps.now();
        self.apps.note(Some(self.place), || format!("talk {} is ended here by {end:?}", talk.id));
        self.apps.ledger().leave(talk, now);
        match &end {
            // All streams too, or what they wait for may wait for what nobody takes any more.
            End::Drop => {
                self.apps.ledger().hang_up(talk);
                return bell.ring();
            }
            End::Close(code, reason) => {
                self.apps.ledger().say(talk, *code, reason);
                connection.close(*code, reason);
            }
            End::Finish(code, reason) => {
                self.apps.ledger().say(talk, *code, reason);
                connection.finish(*code, reason);
            }
        }
        let reason = connection.closed().await;
        let now = self.apps.now();
        self.apps.ledger().judge(talk, &reason, now);
    }

    /// Takes all that comes, until the connection ends and nothing is left.
    fn hear<'a>(
        &'a self,
        connection: &'a Connection,
        talk: Talk,
        bell: &'a Bell,
    ) -> impl Future<Output = ()> + 'a {
        let uni = async move {
            while let Ok(stream) = connection.accept_uni().await {
                let app = self.clone();
                self.until(bell, async move { app.take(stream, talk).await.map_or((), |_| ()) });
            }
        };
        let bi = async move {
            while let Ok((send, recv)) = connection.accept_bi().await {
                self.until(bell, self.clone().answer(send, recv, talk));
            }
        };
        let both = all(vec![Box::pin(uni), Box::pin(bi)]);
        let messages = self.hear_messages(connection);
        let datagrams = self.hear_datagrams(connection);
        async move {
            all(vec![Box::pin(both), Box::pin(messages), Box::pin(datagrams)]).await;
        }
    }

    async fn hear_messages(&self, connection: &Connection) {
        while let Ok(message) = connection.recv_message().await {
            let now = self.apps.now();
            let Some((head, content)) = message.data.split_first_chunk::<MESSAGE_HEAD>() else {
                return self.fail(format!("a message of {} bytes", message.data.len()));
            };
            let [of, number, key] = words(head);
            self.apps.ledger().hear_message(of, message.priority.get(), number, now);
            match verify(key, 0, content) {
                Ok(()) => self.apps.ledger().read(key, content.len() as u64, now),
                Err(wrong) => self.fail(wrong.to_string()),
            }
        }
    }

    async fn hear_datagrams(&self, connection: &Connection) {
        while let Ok(data) = connection.recv_datagram().await {
            let Some((head, content)) = data.split_first_chunk::<DATAGRAM_HEAD>() else {
                return self.fail(format!("a datagram of {} bytes", data.len()));
            };
            let [talk, number] = words(head);
            let now = self.apps.now();
            self.apps.ledger().hear_datagram(talk, number, now);
            if let Err(wrong) = verify(talk ^ number, 0, content) {
                self.fail(wrong.to_string());
            }
        }
    }

    /// Does one thing after another, until it is time to end; never returns where the connection ends before.
    async fn act(&self, connection: &Connection, talk: Talk, bell: &Bell) -> End {
        let Work { most, pause, shares } = self.apps.0.work;
        let mut rng = self.rng("talk", talk.id);
        let mut numbers = [0; Priority::COUNT];
        let mut datagrams = 0;
        loop {
            match self.phase() {
                Phase::Storm => {}
                Phase::Calm => {
                    self.greet(connection, talk, &mut numbers).await;
                    self.sleep(PULSE).await;
                    continue;
                }
                Phase::Closing | Phase::Leaving => return self.choose_end(&mut rng),
            }
            self.sleep(Duration::from_nanos(skewed(&mut rng, pause.as_nanos() as u64))).await;
            let len = skewed(&mut rng, most);
            match choose(&shares, &mut rng) {
                Some(0) => {
                    let Ok(stream) = connection.open_uni().await else { return never().await };
                    self.until(bell, self.clone().put(stream, talk, len, rng.fork("put", 0)));
                }
                Some(1) => {
                    let Ok((send, recv)) = connection.open_bi().await else { return never().await };
                    self.until(bell, self.clone().ask(send, recv, talk, len, rng.fork("ask", 0)));
                }
                Some(2 | 3) => {
                    let priority = Priority::new(rng.below(Priority::COUNT as u64) as u8).unwrap_or_default();
                    let acked = rng.chance(300_000);
                    self.message(connection, talk, priority, len, acked, &mut numbers).await;
                }
                Some(4) => {
                    for _ in 0..1 + skewed(&mut rng, 20) {
                        self.datagram(connection, talk, len, &mut datagrams);
                    }
                }
                _ if rng.chance(60_000) => return self.choose_end(&mut rng),
                _ => {}
            }
        }
    }

    /// A side ends by closing, gracefully or not, or by letting go.
    fn choose_end(&self, rng: &mut Rng) -> End {
        let code = 1 + rng.below((1 << 32) - 1);
        let mut reason = vec![0; rng.below(60) as usize];
        fill(code, 0, &mut reason);
        match rng.below(3) {
            0 => End::Close(code, reason),
            1 => End::Finish(code, reason),
            _ => End::Drop,
        }
    }

    /// Says that it is there, and hears that this was heard.
    async fn greet(&self, connection: &Connection, talk: Talk, numbers: &mut [u64; Priority::COUNT]) {
        let heard = self.message(connection, talk, Priority::default(), 0, true, numbers).await;
        if heard && self.phase() == Phase::Calm {
            let pairs = &self.apps.0.pairs;
            for (nth, pair) in pairs.iter().enumerate() {
                let end = pair.places.iter().position(|place| *place == talk.from);
                if let Some(end) = end.filter(|end| pair.places[1 - *end] == talk.to) {
                    self.apps.ledger().pairs[nth].heard[end] = true;
                }
            }
        }
    }

    /// Sends a message. False where the peer takes none of that length.
    async fn message(
        &self,
        connection: &Connection,
        talk: Talk,
        priority: Priority,
        len: u64,
        acked: bool,
        numbers: &mut [u64; Priority::COUNT],
    ) -> bool {
        let most = connection.message_limit().saturating_sub(MESSAGE_HEAD);
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(most);
        let key = self.key();
        let number = &mut numbers[usize::from(priority.get())];
        let mut data = Vec::with_capacity(MESSAGE_HEAD + len);
        [talk.id, *number, key].iter().for_each(|word| data.extend(word.to_le_bytes()));
        data.resize(MESSAGE_HEAD + len, 0);
        fill(key, 0, &mut data[MESSAGE_HEAD..]);
        self.apps.ledger().send(key, talk, "message", len as u64);
        let sent = match acked {
            true => connection.send_message_acked(priority, &data).await,
            false => connection.send_message(priority, &data).await,
        };
        // Of one whose arrival nobody waits for nothing is promised.
        self.apps.ledger().sent(key, acked && sent.is_ok());
        match sent {
            Ok(()) => *number += 1,
            Err(SendMessageError::TooLarge { limit }) => {
                self.fail(format!("a message of {} bytes is too large for {limit}", data.len()));
            }
            // It has no limit any more, or is over.
            Err(_) => return never().await,
        }
        true
    }

    fn datagram(&self, connection: &Connection, talk: Talk, len: u64, number: &mut u64) {
        let Some(most) = connection.max_datagram().and_then(|most| most.checked_sub(DATAGRAM_HEAD)) else {
            return;
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(most);
        let mut data = Vec::with_capacity(DATAGRAM_HEAD + len);
        [talk.id, *number].iter().for_each(|word| data.extend(word.to_le_bytes()));
        data.resize(DATAGRAM_HEAD + len, 0);
        fill(talk.id ^ *number, 0, &mut data[DATAGRAM_HEAD..]);
        *number += 1;
        match connection.send_datagram(&data) {
            Ok(()) | Err(crust_async::SendDatagramError::Connection(_)) => {}
            Err(error) => self.fail(format!("a datagram of {} bytes: {error}", data.len())),
        }
    }

    /// Sends a stream: key, length, content. Some are given up half-way.
    async fn put(self, mut stream: SendStream, talk: Talk, len: u64, mut rng: Rng) {
        let key = self.key();
        let gives_up = rng.chance(100_000).then(|| rng.below(len + 1));
        if rng.chance(200_000) {
            stream.set_priority(rng.below(5) as i32 - 2);
        }
        self.apps.ledger().send(key, talk, "stream", len);
        let result = self.write(&mut stream, key, len, gives_up, &mut rng).await;
        let stopped = self.apps.ledger().may_be_stopped(key);
        if let Err(WriteError::Stopped(_)) = result
            && !stopped
        {
            self.fail(format!("stream {key:#x} was stopped, and nobody did"));
        }
        self.apps.ledger().sent(key, result.is_ok());
    }

    async fn write(
        &self,
        stream: &mut SendStream,
        key: u64,
        len: u64,
        gives_up: Option<u64>,
        rng: &mut Rng,
    ) -> Result<(), WriteError> {
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&key.to_le_bytes());
        head[8..].copy_from_slice(&len.to_le_bytes());
        stream.write_all(&head).await?;
        let mut buffer = vec![0; pick(rng, &[50, 2_000, 16_000])];
        let end = gives_up.unwrap_or(len);
        let mut at = 0;
        while at < end {
            let part = (end - at).min(buffer.len() as u64);
            let part = &mut buffer[..part as usize];
            fill(key, at, part);
            stream.write_all(part).await?;
            at += part.len() as u64;
        }
        if gives_up.is_some() {
            self.apps.ledger().cut(key);
            if rng.chance(500_000) {
                let _ = stream.reset(GIVEN_UP);
                return Ok(());
            }
        }
        stream.finished().await
    }

    /// Sends a question and hears the answer.
    async fn ask(self, send: SendStream, recv: RecvStream, talk: Talk, len: u64, rng: Rng) {
        self.clone().put(send, talk, len, rng).await;
        let _ = self.take(recv, talk).await;
    }

    /// Hears a question and answers it at the same length.
    async fn answer(self, send: SendStream, recv: RecvStream, talk: Talk) {
        if let Some((key, len)) = self.take(recv, talk).await {
            let rng = self.rng("answer", key);
            self.put(send, talk, len, rng).await;
        }
    }

    /// Reads a stream to its end. Its key and how long it was; `None` where it came to no end.
    async fn take(&self, mut stream: RecvStream, talk: Talk) -> Option<(u64, u64)> {
        let mut head = [0; HEAD];
        match stream.read_exact(&mut head).await {
            Ok(()) => {}
            // The question was given up, so there is nothing to answer; or the connection ended.
            Err(ReadExactError::Read(ReadError::Reset(_) | ReadError::Connection(_))) => return None,
            // An answer that never came, since its question was given up.
            Err(ReadExactError::FinishedEarly(0)) => return None,
            Err(_) if self.apps.ledger().has_left(talk) => return None,
            Err(error) => {
                self.fail(format!("a stream without a head: {error}"));
                return None;
            }
        }
        let [key, len] = words(&head);
        let mut rng = self.rng("take", key);
        let stops = rng.chance(50_000).then(|| rng.below(len + 1));
        let mut buffer = vec![0; pick(&mut rng, &[100, 1_000, 20_000])];
        let mut at = 0;
        loop {
            if stops.is_some_and(|stops| stops <= at) {
                self.apps.ledger().stop(key);
                let _ = stream.stop(GIVEN_UP);
                return None;
            }
            match stream.read(&mut buffer).await {
                Ok(0) => break,
                Ok(read) => {
                    let Some(data) = buffer.get(..read).filter(|_| at + read as u64 <= len) else {
                        self.fail(format!("stream {key:#x} goes on after its {len} bytes"));
                        return None;
                    };
                    if let Err(wrong) = verify(key, at, data) {
                        self.fail(wrong.to_string());
                        return None;
                    }
                    at += read as u64;
                }
                Err(ReadError::Reset(code)) => {
                    if code != GIVEN_UP && !self.apps.ledger().has_left(talk) {
                        self.fail(format!("stream {key:#x} was reset with code {code}"));
                    }
                    return None;
                }
                Err(_) => return None,
            }
        }
        let now = self.apps.now();
        self.apps.ledger().read(key, at, now);
        Some((key, at))
    }
}

/// One of several by their shares; `None` where none has any.
fn choose(shares: &[u64], rng: &mut Rng) -> Option<usize> {
    let mut at = rng.below(shares.iter().sum());
    shares.iter().position(|share| {
        let here = at < *share;
        at = at.saturating_sub(*share);
        here
    })
}

/// A head's numbers.
fn words<const N: usize>(head: &[u8]) -> [u64; N] {
    let (words, _) = head.as_chunks::<8>();
    core::array::from_fn(|at| u64::from_le_bytes(words[at]))
}
