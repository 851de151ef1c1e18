//! Plays the steps of a file in a world.
//!
//! The steps are one future of the run's own, outside all hosts: what a step lets a node do, a program on the node's
//! host does ([`super::traffic`]), and stands still or ends with it. What steps wait for is in the ledger.

use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::net::SocketAddr;

use crust_async::{CloseReason, Connection, Node};
use crust_proto::{ConnectError, Contact, Duration, Instant, SecretKey};

use super::ScenarioReport;
use super::build::Built;
use super::lasting::Lasting;
use super::plan::{Action, Attempt, End, Expect, Load, Pair, Plan, Step, When};
use super::traffic::{self, Ledger, Transfer};
use super::units::{Time, WHOLE};
use crate::caught::caught;
use crate::checks::Checks;
use crate::record::Recorder;
use crate::{HostId, Sim};

type Work<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
/// What came of a step: `Err` says what was not as expected.
pub(super) type Outcome = Result<(), String>;

/// Runs a plan with a seed.
pub(super) fn run(plan: &Plan, seed: u64, recorder: Option<&Recorder>) -> ScenarioReport {
    let sim = Sim::new(seed);
    if let Some(recorder) = recorder {
        recorder.watch(&sim);
    }
    // The run has its own end before that.
    sim.set_limit(plan.limit + plan.limit);
    let built = Built::new(&sim, plan, recorder);
    let run = Run {
        plan,
        sim: &sim,
        checks: Checks::on(&sim),
        built: RefCell::new(built),
        players: plan.nodes.iter().map(|_| RefCell::default()).collect(),
        ledger: Ledger::new(plan, recorder),
        lasting: RefCell::default(),
        recorder,
        begun: RefCell::new(vec![false; plan.steps.len()]),
        log: RefCell::default(),
        failures: RefCell::default(),
    };
    if let Err(panic) = caught(|| sim.run(run.play())) {
        run.failures.borrow_mut().push(panic);
    }
    run.report(seed)
}

/// A run under way.
pub(super) struct Run<'p> {
    pub(super) plan: &'p Plan,
    pub(super) sim: &'p Sim,
    checks: Checks,
    pub(super) built: RefCell<Built>,
    /// The plan's nodes.
    pub(super) players: Vec<RefCell<Player>>,
    pub(super) ledger: Ledger,
    pub(super) lasting: RefCell<Lasting>,
    recorder: Option<&'p Recorder>,
    /// Which steps are under way.
    begun: RefCell<Vec<bool>>,
    log: RefCell<Vec<(Duration, String)>>,
    failures: RefCell<Vec<String>>,
}

/// A node as it is now.
#[derive(Default)]
pub(super) struct Player {
    /// `None` while its host is down.
    pub(super) node: Option<Node>,
    /// Its key, once it has run.
    key: Option<SecretKey>,
    /// What others knew of it last.
    contact: Option<Contact>,
    /// Where it listened first: it does so again after a restart.
    locals: Vec<SocketAddr>,
}

impl Run<'_> {
    async fn play(&self) {
        let over = within(self.sim, Some(self.plan.limit), self.play_steps()).await;
        if over.is_none() {
            self.say_what_waits();
        }
        self.failures.borrow_mut().append(&mut self.ledger.entries().faults);
        let unmet = self.unmet(&self.plan.expect);
        self.failures.borrow_mut().extend(unmet.into_iter().map(|unmet| format!("at the end: {unmet}")));
    }

    async fn play_steps(&self) {
        for node in 0..self.plan.nodes.len() {
            if let Err(error) = self.start(node).await {
                self.failures.borrow_mut().push(error);
                return;
            }
        }
        let aside: RefCell<Vec<Work<'_>>> = RefCell::default();
        for (number, step) in self.plan.steps.iter().enumerate() {
            if let When::At(at) = step.when {
                let work = async move {
                    self.sim.sleep((Instant::ZERO + at).saturating_since(self.sim.now())).await;
                    self.step(number).await;
                };
                aside.borrow_mut().push(Box::pin(work));
            }
        }
        let mut working: Vec<Work<'_>> = Vec::new();
        let mut in_turn = core::pin::pin!(self.play_in_turn(&aside));
        let mut turns_over = false;
        let all = |cx: &mut Context<'_>| {
            turns_over = turns_over || in_turn.as_mut().poll(cx).is_ready();
            working.append(&mut aside.borrow_mut());
            working.retain_mut(|work| work.as_mut().poll(cx).is_pending());
            if turns_over && working.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        };
        std::future::poll_fn(all).await;
    }

    /// The steps that have their turn, one after another, up to the first that fails.
    async fn play_in_turn<'a>(&'a self, aside: &RefCell<Vec<Work<'a>>>) {
        for (number, step) in self.plan.steps.iter().enumerate() {
            let When::Turn { after, background } = step.when else { continue };
            if background {
                aside.borrow_mut().push(Box::pin(async move {
                    self.sim.sleep(after).await;
                    self.step(number).await;
                }));
                continue;
            }
            self.sim.sleep(after).await;
            if !self.step(number).await {
                self.say(None, format!("the steps after line {} are left out", step.line));
                return;
            }
        }
    }

    /// Plays a step. False where something was not as expected.
    async fn step(&self, number: usize) -> bool {
        let step = &self.plan.steps[number];
        self.begun.borrow_mut()[number] = true;
        let outcome = self.act(number, step).await;
        self.begun.borrow_mut()[number] = false;
        let Err(failure) = outcome else { return true };
        let failure = format!("line {}, {}: {failure}", step.line, step.verb);
        self.say(None, format!("failed: {failure}"));
        self.failures.borrow_mut().push(failure);
        false
    }

    async fn act(&self, number: usize, step: &Step) -> Outcome {
        match &step.action {
            Action::Connect { pair, both, within, expect } => {
                self.connect(*pair, *both, *within, *expect).await
            }
            Action::Send { pair, load, within, rate_at_least, fails } => {
                let began = self.sim.now();
                let sent = self.send(number as u32, *pair, *load, *within).await;
                let took = self.sim.now().saturating_since(began);
                match (sent, fails) {
                    (Ok(bytes), false) => fast_enough(bytes, took, *rate_at_least),
                    (Ok(_), true) => Err("everything arrived, and should not have".to_owned()),
                    (Err(failure), false) => Err(failure),
                    (Err(failure), true) => {
                        self.say_of(pair.from, format!("as expected: {failure}"));
                        Ok(())
                    }
                }
            }
            Action::Close { pair, code, graceful, within } => {
                self.close(*pair, *code, *graceful, *within).await
            }
            Action::Ended { pair, reason, within } => self.ended(*pair, *reason, *within).await,
            Action::Wait(time) => {
                self.sim.sleep(*time).await;
                Ok(())
            }
            Action::Expect(expect) => match self.unmet(expect) {
                unmet if unmet.is_empty() => Ok(()),
                unmet => Err(unmet.join("; ")),
            },
            Action::Fault(fault, lasts) => {
                self.strike(number, fault).await?;
                if let Some(lasts) = lasts {
                    self.sim.sleep(*lasts).await;
                    self.take_back(number, fault).await?;
                }
                Ok(())
            }
        }
    }

    // -- nodes --

    /// Starts a node, for the first time or again.
    pub(super) async fn start(&self, node: usize) -> Outcome {
        let plan = &self.plan.nodes[node];
        let host = self.host_of(node);
        let mut builder = self.sim.builder(host).network(plan.network.clone());
        if let Some(recorder) = self.recorder {
            builder = builder.provider(recorder.provider());
        }
        let mut key = self.players[node].borrow().key.clone();
        let locals = self.players[node].borrow().locals.clone();
        builder = builder.config(|config| {
            plan.settings.iter().for_each(|setting| setting.set(config));
            config.secret_key = key.get_or_insert_with(|| config.secret_key.clone()).clone();
            match (locals.is_empty(), plan.port) {
                (true, 0) => {}
                (true, port) => config.listen.push(SocketAddr::from(([0; 4], port))),
                (false, _) => config.listen.extend(locals.iter().copied()),
            }
        });
        let started = builder.bind().await;
        let started = started.map_err(|error| format!("{} cannot start: {error}", plan.name))?;
        self.ledger.entries().nodes.insert(started.peer_id(), node);
        self.ledger.accept(node, started.clone());
        self.checks.node(host, &started);
        let mut player = self.players[node].borrow_mut();
        player.key = key;
        player.contact = Some(started.contact());
        player.locals = started.local_addrs();
        player.node = Some(started);
        Ok(())
    }

    /// A node, and what it would have to know to reach another.
    fn runs(&self, pair: Pair) -> Result<(Node, Contact), String> {
        let node = self.players[pair.from].borrow().node.clone();
        let node = node.ok_or_else(|| format!("{} does not run", self.plan.node(pair.from)))?;
        let mut peer = self.players[pair.to].borrow_mut();
        // It gives away what it knows now; one that is gone is looked for where it was.
        if let Some(contact) = peer.node.as_ref().map(Node::contact) {
            peer.contact = Some(contact);
        }
        let contact = peer.contact.clone();
        Ok((node, contact.ok_or_else(|| format!("{} has never run", self.plan.node(pair.to)))?))
    }

    pub(super) fn host_of(&self, node: usize) -> HostId {
        self.built.borrow().hosts[self.plan.nodes[node].host]
    }

    // -- connections --

    async fn connect(&self, pair: Pair, both: bool, time: Option<Duration>, expect: Attempt) -> Outcome {
        let began = self.sim.now();
        let [from, to] = [pair.from, pair.to].map(|node| self.plan.node(node));
        self.say_of(pair.from, format!("{from} connects to {to}{}", if both { ", and back" } else { "" }));
        let attempts = async {
            let there = self.attempt(pair);
            let back = async { if both { self.attempt(pair.back()).await } else { Ok(()) } };
            let (there, back) = together(there, back).await;
            there?;
            back
        };
        let result = within(self.sim, time, attempts).await;
        let took = Time(self.sim.now().saturating_since(began));
        let Some(result) = result else {
            return Err(format!("{from} and {to} are not connected after {took}, nor has it failed"));
        };
        let (said, as_expected) = match &result {
            Ok(()) => (format!("{from} and {to} are connected after {took}"), expect == Attempt::Connected),
            Err(NotConnected::Refused(error)) => (
                format!("{from} and {to} are not connected after {took}: {error}"),
                expect == Attempt::AnyFailure || expect == kind(error),
            ),
            Err(NotConnected::Never(why)) => return Err(why.clone()),
        };
        self.say_of(pair.from, said.clone());
        if as_expected {
            return Ok(());
        }
        let names = Attempt::NAMES.iter().find(|(_, attempt)| *attempt == expect);
        Err(format!("{said} (expected: {})", names.map_or("connected", |(name, _)| name)))
    }

    /// Until both ends have the connection.
    async fn attempt(&self, pair: Pair) -> Result<(), NotConnected> {
        let (node, contact) = self.runs(pair).map_err(NotConnected::Never)?;
        let crashed = self.down(pair.from);
        let connection = match first(node.connect(contact), crashed).await {
            First::One(connection) => connection.map_err(NotConnected::Refused)?,
            First::Other(why) => return Err(NotConnected::Never(why)),
        };
        self.ledger.register(pair, connection, node.runtime());
        // The connection may be one that was there, and that the peer has lost: then another takes its place.
        let stands = self.ledger.until(|entries| {
            let both = entries.alive(pair) && entries.alive(pair.back());
            both.then_some(())
        });
        match first(stands, self.down(pair.to)).await {
            First::One(()) => Ok(()),
            First::Other(why) => Err(NotConnected::Never(why)),
        }
    }

    /// Waits for a node's host to crash.
    async fn down(&self, node: usize) -> String {
        self.ledger.until(|_| self.players[node].borrow().node.is_none().then_some(())).await;
        format!("{}'s host crashed", self.plan.node(node))
    }

    fn connection(&self, pair: Pair) -> Result<Connection, String> {
        let connection = self.ledger.entries().connections.get(&pair).cloned();
        connection.ok_or_else(|| {
            format!("{} has no connection to {}", self.plan.node(pair.from), self.plan.node(pair.to))
        })
    }

    async fn close(&self, pair: Pair, code: u64, graceful: bool, time: Duration) -> Outcome {
        let [from, to] = [pair.from, pair.to].map(|node| self.plan.node(node));
        let connection = self.connection(pair)?;
        self.say_of(pair.from, format!("{from} closes the connection to {to} with code {code}"));
        match graceful {
            true => connection.finish(code, b""),
            false => connection.close(code, b""),
        }
        let theirs = self.connection(pair.back())?;
        let heard = async { together(connection.closed(), theirs.closed()).await.1 };
        match within(self.sim, Some(time), heard).await {
            Some(CloseReason::ByPeer { code: heard, .. }) if heard == code => Ok(()),
            Some(other) => Err(format!("{to} did not hear of the close, but: {other}")),
            None => Err(format!("{to} has heard nothing of the close after {}", Time(time))),
        }
    }

    async fn ended(&self, pair: Pair, reason: Option<End>, time: Option<Duration>) -> Outcome {
        let [from, to] = [pair.from, pair.to].map(|node| self.plan.node(node));
        let connection = self.connection(pair)?;
        let Some(found) = within(self.sim, time, connection.closed()).await else {
            let time = Time(time.unwrap_or_default());
            return Err(format!("{from}'s connection to {to} still stands after {time}"));
        };
        self.say_of(pair.from, format!("{from}'s connection to {to} is over: {found}"));
        match (&found, reason) {
            (_, None)
            | (CloseReason::Here { .. }, Some(End::Here))
            | (CloseReason::ByPeer { .. }, Some(End::ByPeer))
            | (CloseReason::TimedOut(_), Some(End::TimedOut))
            | (CloseReason::PeerRestarted, Some(End::PeerRestarted)) => Ok(()),
            (_, Some(wanted)) => {
                let name =
                    End::NAMES.iter().find(|(_, end)| *end == Some(wanted)).map_or("", |(name, _)| name);
                Err(format!("{from}'s connection to {to} is over: {found} (expected: {name})"))
            }
        }
    }

    // -- traffic --

    /// Sends something and waits until all of it arrived; how many bytes that were.
    async fn send(&self, step: u32, pair: Pair, load: Load, time: Option<Duration>) -> Result<u64, String> {
        let connection = self.connection(pair)?;
        let runs = self.players[pair.from].borrow().node.clone();
        let node = runs.ok_or_else(|| format!("{} does not run", self.plan.node(pair.from)))?;
        let transfer = Transfer::new(pair, load);
        let (what, total) = (described(&transfer), transfer.total());
        let began = self.sim.now();
        let [from, to] = [pair.from, pair.to].map(|node| self.plan.node(node));
        self.say_of(pair.from, format!("{from} sends {to} {what}"));
        self.ledger.change(|entries| entries.transfers.insert(step, transfer));
        traffic::send(&self.ledger, step, load, &connection, node.runtime());
        drop((connection, node));
        let outcome = within(self.sim, time, self.outcome(step, load)).await;
        let entries = self.ledger.entries();
        let arrived = entries.transfers.get(&step).map_or(0, |transfer| transfer.arrived);
        drop(entries);
        let took = self.sim.now().saturating_since(began);
        let progress = format!("{to} has {arrived} of {total} bytes after {}", Time(took));
        match outcome {
            Some(Ok(())) => {
                self.say_of(pair.to, progress);
                Ok(arrived)
            }
            Some(Err(why)) => Err(format!("{progress}: {why}")),
            None => Err(progress),
        }
    }

    async fn outcome(&self, step: u32, load: Load) -> Outcome {
        let done = self.ledger.until(|entries| entries.transfers.get(&step).and_then(Transfer::outcome));
        let Load::Datagrams { count, at_least, wait, .. } = load else { return done.await };
        // What is late may be lost: it is waited for since the last was sent.
        let late = async {
            self.ledger.until(|entries| entries.transfers.get(&step)?.sent.clone()).await?;
            self.sim.sleep(wait).await;
            let arrived = self.ledger.entries().transfers.get(&step).map_or(0, |t| t.pieces.len() as u64);
            match arrived * u64::from(WHOLE) >= u64::from(count) * u64::from(at_least) {
                true => Ok(()),
                false => Err(format!("{arrived} of {count} datagrams arrived, too few")),
            }
        };
        match first(done, late).await {
            First::One(outcome) | First::Other(outcome) => outcome,
        }
    }

    // -- what must hold --

    /// What of it does not hold, in words.
    fn unmet(&self, expect: &Expect) -> Vec<String> {
        let mut unmet = Vec::new();
        for pair in &expect.connected {
            for pair in [*pair, pair.back()] {
                if !self.ledger.alive(pair) {
                    let how = match self.connection(pair).map(|connection| connection.close_reason()) {
                        Ok(Some(reason)) => format!(": {reason}"),
                        _ => String::new(),
                    };
                    let [from, to] = [pair.from, pair.to].map(|node| self.plan.node(node));
                    unmet.push(format!("{from} is not connected to {to}{how}"));
                }
            }
        }
        for pair in &expect.disconnected {
            if self.ledger.alive(*pair) {
                let [from, to] = [pair.from, pair.to].map(|node| self.plan.node(node));
                unmet.push(format!("{from} is connected to {to}"));
            }
        }
        let lost = self.lost();
        if expect.lost_at_most.is_some_and(|most| lost.len() as u64 > most) {
            unmet.push(format!("{} connections were lost: {}", lost.len(), lost.join("; ")));
        }
        let datagrams = self.sim.world().datagrams_so_far();
        if let Some(most) = expect.datagrams_at_most.filter(|most| datagrams > *most) {
            unmet.push(format!("hosts have sent {datagrams} datagrams, more than {most}"));
        }
        if let Some(least) = expect.datagrams_at_least.filter(|least| datagrams < *least) {
            unmet.push(format!("hosts have sent {datagrams} datagrams, fewer than {least}"));
        }
        let elapsed = self.elapsed();
        if let Some(most) = expect.time_at_most.filter(|most| elapsed > *most) {
            unmet.push(format!("it has taken {}, longer than {}", Time(elapsed), Time(most)));
        }
        unmet
    }

    /// Connections that nobody closed and that are over all the same.
    fn lost(&self) -> Vec<String> {
        let entries = self.ledger.entries();
        let closed =
            |reason: &CloseReason| matches!(reason, CloseReason::Here { .. } | CloseReason::ByPeer { .. });
        let lost = entries.ends.iter().filter(|(_, reason)| !closed(reason));
        lost.map(|(pair, reason)| {
            format!("{}'s to {}: {reason}", self.plan.node(pair.from), self.plan.node(pair.to))
        })
        .collect()
    }

    fn say_what_waits(&self) {
        let begun = self.begun.borrow();
        let waits = self.plan.steps.iter().zip(begun.iter()).filter(|(_, begun)| **begun);
        let waits: Vec<String> =
            waits.map(|(step, _)| format!("line {}, {}", step.line, step.verb)).collect();
        let limit = Time(self.plan.limit);
        let waits = if waits.is_empty() { "a step's turn".to_owned() } else { waits.join("; ") };
        self.failures.borrow_mut().push(format!("the run is not over after {limit}; it waits for: {waits}"));
    }

    // -- the report --

    pub(super) fn say(&self, host: Option<HostId>, text: String) {
        if let Some(recorder) = self.recorder {
            recorder.note(host, text.clone());
        }
        self.log.borrow_mut().push((self.elapsed(), text));
    }

    fn say_of(&self, node: usize, text: String) {
        self.say(Some(self.host_of(node)), text);
    }

    fn elapsed(&self) -> Duration {
        self.sim.now().saturating_since(Instant::ZERO)
    }

    fn report(self, seed: u64) -> ScenarioReport {
        let world = self.sim.world();
        let (hash, datagrams) = (world.hash(), world.datagrams_so_far());
        drop(world);
        let elapsed = self.elapsed();
        let (log, failures) = (self.log.into_inner(), self.failures.into_inner());
        ScenarioReport { seed, hash, elapsed, datagrams, log, failures }
    }
}

impl Pair {
    /// The other way round.
    pub(super) const fn back(self) -> Self {
        Self { from: self.to, to: self.from }
    }
}

/// Why there is no connection.
enum NotConnected {
    /// The attempt failed.
    Refused(ConnectError),
    /// There was none, or nobody who could tell.
    Never(String),
}

fn kind(error: &ConnectError) -> Attempt {
    match error {
        ConnectError::NoAnswer(_) => Attempt::NoAnswer,
        ConnectError::NotMe(_) => Attempt::NotMe,
        ConnectError::OtherNetwork => Attempt::OtherNetwork,
        ConnectError::NoAddress => Attempt::NoAddress,
        _ => Attempt::AnyFailure,
    }
}

fn described(transfer: &Transfer) -> String {
    match transfer.load {
        Load::Streams { count: 1, bytes } => format!("{bytes} bytes on a stream"),
        Load::Streams { count, bytes } => format!("{bytes} bytes on each of {count} streams"),
        Load::Messages { count, bytes, .. } => format!("{count} messages of {bytes} bytes"),
        Load::Datagrams { count, bytes, .. } => format!("{count} datagrams of {bytes} bytes"),
    }
}

fn fast_enough(bytes: u64, took: Duration, at_least: Option<u64>) -> Outcome {
    let nanos = took.as_nanos().max(1);
    let rate = u128::from(bytes) * 8 * 1_000_000_000 / nanos;
    match at_least {
        Some(least) if rate < u128::from(least) => {
            Err(format!("{bytes} bytes took {}: {rate} bit/s, less than {least}", Time(took)))
        }
        _ => Ok(()),
    }
}

// -- futures --

/// What ends first; where both have, the one.
enum First<A, B> {
    One(A),
    Other(B),
}

async fn first<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> First<A, B> {
    let (mut one, mut other) = (core::pin::pin!(one), core::pin::pin!(other));
    std::future::poll_fn(|cx| match (one.as_mut().poll(cx), other.as_mut().poll(cx)) {
        (Poll::Ready(value), _) => Poll::Ready(First::One(value)),
        (Poll::Pending, Poll::Ready(value)) => Poll::Ready(First::Other(value)),
        (Poll::Pending, Poll::Pending) => Poll::Pending,
    })
    .await
}

/// Both to their ends.
async fn together<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (core::pin::pin!(one), core::pin::pin!(other));
    let (mut got_one, mut got_other) = (None, None);
    std::future::poll_fn(|cx| {
        if got_one.is_none() {
            got_one = ready(one.as_mut().poll(cx));
        }
        if got_other.is_none() {
            got_other = ready(other.as_mut().poll(cx));
        }
        match (got_one.take(), got_other.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            (one, other) => {
                (got_one, got_other) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// `None` where it takes longer.
async fn within<T>(sim: &Sim, time: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    let Some(time) = time else { return Some(work.await) };
    match first(work, sim.sleep(time)).await {
        First::One(value) => Some(value),
        First::Other(()) => None,
    }
}
