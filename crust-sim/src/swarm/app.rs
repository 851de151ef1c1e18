//! The applications of a swarm: they dial, accept, talk of all kinds of things, hang up, and dial again. What they say
//! stands in `speak`, what they make of what they hear in `hear`.
//!
//! Every byte that they send tells where it belongs, so that the reader knows whether it is right. Streams begin with
//! a key and a length, messages and datagrams with their talk and their place in it.

use core::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crust_async::{Builder, ConnectError, Connection, Node, Runtime};
use crust_proto::{Duration, Instant};

use super::ledger::{Ledger, Phase, Talk};
use super::setting::{Pair, Work};
use super::wait::{Bell, Either, race};
use crate::checks::Checks;
use crate::program::Machine;
use crate::record::Recorder;
use crate::{HostId, Rng};

/// A stream's key and length.
pub(super) const HEAD: usize = 16;
/// A message's talk, its number within its priority, and its key.
pub(super) const MESSAGE_HEAD: usize = 24;
/// A datagram's talk and number.
pub(super) const DATAGRAM_HEAD: usize = 16;
/// How often a calm application says that it is there, and how often any looks whether it is to end.
pub(super) const PULSE: Duration = Duration::from_secs(3);
/// How long after a failure an application dials again.
const PATIENCE: Duration = Duration::from_secs(2);
/// The code with which streams are given up.
pub(super) const GIVEN_UP: u64 = 77;
/// A connection made so long after the faults must last.
const SETTLED: Duration = Duration::from_secs(30);

/// What all applications of a swarm share.
#[derive(Clone)]
pub(super) struct Apps(pub(super) Arc<Shared>);

pub(super) struct Shared {
    ledger: Mutex<Ledger>,
    /// The world's time, in nanoseconds: hosts' clocks may be wrong.
    now: AtomicU64,
    rng: Rng,
    keys: AtomicU64,
    pub(super) work: Work,
    pub(super) pairs: Vec<Pair>,
    hosts: Vec<(HostId, String)>,
    checks: Checks,
    recorder: Option<Recorder>,
}

/// One application: a node at a place, until its host crashes or it ends.
#[derive(Clone)]
pub(super) struct App {
    pub(super) apps: Apps,
    place: usize,
    runtime: Arc<dyn Runtime>,
}

/// How a side ends a talk.
#[derive(Debug)]
pub(super) enum End {
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
    pub(super) fn until(&self, bell: &Bell, task: impl Future<Output = ()> + Send + 'static) {
        let bell = bell.clone();
        self.spawn(async move {
            // In this order: nothing begins once it has rung.
            race(bell.rung(), task).await;
        });
    }

    pub(super) async fn sleep(&self, time: Duration) {
        self.runtime.sleep_until(self.runtime.now() + time).await;
    }

    pub(super) fn phase(&self) -> Phase {
        self.apps.ledger().phase
    }

    pub(super) fn rng(&self, name: &str, number: u64) -> Rng {
        self.apps.0.rng.fork(name, number)
    }

    pub(super) fn fail(&self, what: impl Into<String>) {
        let name = &self.apps.0.hosts[self.place].1;
        self.apps.fail(format!("{name}: {}", what.into()));
    }

    /// A key that nothing else has.
    pub(super) fn key(&self) -> u64 {
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
}
