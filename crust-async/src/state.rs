//! What stands behind the lock: the engine, and who waits for which of its events.
//!
//! Handles call the engine directly and register here when it says `Blocked`; the driver feeds the engine and
//! hands its events out here. Both hold the lock while they do, so nothing can happen in between.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Poll, Waker};

use crust_proto::{
    AttemptId, CloseReason, ConnectError, Dir, Engine, Event, Instant, MessageId, PeerId, Priority,
    SessionId, StreamId,
};

use crate::ConnectionError;
use crate::events::{NodeEvent, Subscriber};
use crate::waiters::{Leaving, Ticket, Waiters};

/// How many sessions that peers opened wait to be accepted; beyond that they are closed at once.
const BACKLOG: usize = 1024;

/// What a task can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// At the node.
    Node(NodePlace),
    /// At one session.
    Session(SessionId, Part),
}

/// What a task can wait for at the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NodePlace {
    Incoming,
    Ended,
    Attempt(AttemptId),
    Events(u64),
}

/// What a task can wait for at one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Closed,
    Open(Dir),
    Accept(Dir),
    MessageIn,
    MessageRoom(Priority),
    MessageAck(MessageId),
    DatagramIn,
    Read(StreamId),
    Write(StreamId),
    /// The end of a sending stream: finished or stopped.
    Fate(StreamId),
}

/// Where the node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Every session is being closed; nothing new begins.
    ShuttingDown,
    /// The driver is gone.
    Ended,
}

/// What is known of a sending stream that a handle holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sending {
    /// All of it arrived.
    pub(crate) arrived: bool,
    /// It was reset here.
    pub(crate) reset: bool,
    /// The peer stopped it, with this code.
    pub(crate) stopped: Option<u64>,
}

/// One session, as the handles need it.
#[derive(Debug)]
pub(crate) struct SessionState {
    peer: PeerId,
    /// How many hold it: handles, and places that will become handles.
    holders: usize,
    closed: Option<CloseReason>,
    waiters: Waiters<Part>,
    sending: BTreeMap<StreamId, Sending>,
    /// Messages whose acknowledgement somebody waits for, and whether it came.
    acks: BTreeMap<MessageId, bool>,
}

/// Everything behind the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) engine: Engine,
    pub(crate) phase: Phase,
    sessions: BTreeMap<SessionId, SessionState>,
    attempts: BTreeMap<AttemptId, Option<Result<SessionId, ConnectError>>>,
    /// Sessions that peers opened, to be accepted. Each is held once on behalf of the queue.
    incoming: VecDeque<SessionId>,
    subscribers: BTreeMap<u64, Subscriber>,
    /// What happened, and to which session, since the driver last logged it.
    news: Vec<(Option<SessionId>, NodeEvent)>,
    waiters: Waiters<NodePlace>,
    /// The last ticket or subscriber that was given out.
    last_ticket: u64,
    /// How many `Node` handles there are.
    nodes: usize,
    /// The sum of all sessions' holders.
    holders: usize,
    /// The driver, while it sleeps.
    driver: Option<Waker>,
    /// Something was asked of the engine since the driver last looked.
    notified: bool,
    /// Wakers for whoever opens the lock again.
    leaving: Leaving,
}

impl State {
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            phase: Phase::Running,
            sessions: BTreeMap::new(),
            attempts: BTreeMap::new(),
            incoming: VecDeque::new(),
            subscribers: BTreeMap::new(),
            news: Vec::new(),
            waiters: Waiters::new(),
            last_ticket: Ticket::SOLE.0,
            nodes: 0,
            holders: 0,
            driver: None,
            notified: false,
            leaving: Leaving::default(),
        }
    }

    // Waking.

    /// To be seen off by whoever opens the lock.
    pub(crate) fn take_leaving(&mut self) -> Leaving {
        std::mem::take(&mut self.leaving)
    }

    /// The driver has to look at the engine.
    pub(crate) fn notify(&mut self) {
        self.notified = true;
        self.leaving.wake(self.driver.take());
    }

    /// The driver is about to sleep. `false`: it must not, there is something to do.
    pub(crate) fn driver_sleeps(&mut self, waker: &Waker) -> bool {
        if std::mem::take(&mut self.notified) {
            return false;
        }
        if !self.driver.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.leaving.discard(self.driver.replace(waker.clone()));
        }
        true
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    pub(crate) fn register(&mut self, place: Place, ticket: Ticket, waker: &Waker) {
        match place {
            Place::Node(place) => self.waiters.register(place, ticket, waker, &mut self.leaving),
            Place::Session(id, part) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.waiters.register(part, ticket, waker, &mut self.leaving);
                }
            }
        }
    }

    pub(crate) fn unregister(&mut self, place: Place, ticket: Ticket) {
        match place {
            Place::Node(place) => self.waiters.remove(place, ticket, &mut self.leaving),
            Place::Session(id, part) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.waiters.remove(part, ticket, &mut self.leaving);
                }
            }
        }
    }

    fn wake(&mut self, place: NodePlace) {
        self.waiters.wake(place, &mut self.leaving);
    }

    pub(crate) fn wake_at(&mut self, session: SessionId, part: Part) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.waiters.wake(part, &mut self.leaving);
        }
    }

    // The engine's events.

    /// Hands out all of the engine's events.
    pub(crate) fn dispatch(&mut self, now: Instant) {
        let mut connected = Vec::new();
        while let Some(event) = self.engine.poll_event() {
            self.dispatch_one(event, &mut connected, now);
        }
        // Sessions whose attempts were given up in the very moment they succeeded.
        for session in connected {
            self.close_unheld(session, now);
        }
    }

    fn dispatch_one(&mut self, event: Event, connected: &mut Vec<SessionId>, now: Instant) {
        match event {
            Event::Listening { local, .. } => self.publish(None, NodeEvent::Listening { local }),
            Event::ListenFailed { local, error, .. } => {
                self.publish(None, NodeEvent::ListenFailed { local, error });
            }
            Event::Connected { session, peer, incoming } => {
                self.sessions.insert(session, SessionState::new(peer));
                self.publish(Some(session), NodeEvent::Connected { peer, incoming });
                match incoming {
                    true => self.offer(session, now),
                    false => connected.push(session),
                }
            }
            Event::Attempt { attempt, result } => {
                if let Some(session) = self.settle(attempt, result) {
                    connected.push(session);
                }
            }
            Event::Closed { session, reason } => self.closed(session, reason, now),
            Event::StreamOpened { session, dir } => self.wake_at(session, Part::Accept(dir)),
            Event::StreamsAvailable { session, dir } => self.wake_at(session, Part::Open(dir)),
            Event::Readable { session, stream } => self.wake_at(session, Part::Read(stream)),
            Event::Writable { session, stream } => self.wake_at(session, Part::Write(stream)),
            Event::StreamFinished { session, stream } => {
                self.sending(session, stream, |sending| sending.arrived = true);
            }
            Event::StreamStopped { session, stream, code } => {
                self.sending(session, stream, |sending| sending.stopped = Some(code));
                self.wake_at(session, Part::Write(stream));
            }
            Event::MessageReadable { session } => self.wake_at(session, Part::MessageIn),
            Event::MessageWritable { session, priority } => {
                self.wake_at(session, Part::MessageRoom(priority));
            }
            Event::MessageAcked { session, message } => {
                if let Some(acked) = self.sessions.get_mut(&session).and_then(|s| s.acks.get_mut(&message)) {
                    *acked = true;
                    self.wake_at(session, Part::MessageAck(message));
                }
            }
            Event::DatagramReadable { session } => self.wake_at(session, Part::DatagramIn),
            Event::AddressChanged { session, from, to } => {
                if let Some(peer) = self.sessions.get(&session).map(|s| s.peer) {
                    self.publish(Some(session), NodeEvent::AddressChanged { peer, from, to });
                }
            }
            // Later versions of the core may say more than this one can hand on.
            _ => {}
        }
    }

    /// A peer opened a session.
    fn offer(&mut self, session: SessionId, now: Instant) {
        let wanted = self.nodes > 0 && self.phase == Phase::Running;
        if wanted && self.incoming.len() < BACKLOG {
            self.hold(session);
            self.incoming.push_back(session);
            self.wake(NodePlace::Incoming);
        } else if let Some(mut session) = self.engine.session_mut(session, now) {
            session.close(0, b"nobody accepts connections here");
            self.notified = true;
        }
    }

    /// An attempt to connect ended. Returns a session that nobody waits for any more.
    fn settle(&mut self, attempt: AttemptId, result: Result<SessionId, ConnectError>) -> Option<SessionId> {
        if !self.attempts.contains_key(&attempt) {
            return result.ok();
        }
        let result = match result {
            // Held on behalf of whoever waits for the attempt.
            Ok(session) if self.hold(session) => Ok(session),
            Ok(_) => Err(ConnectError::Cancelled),
            Err(e) => Err(e),
        };
        self.attempts.insert(attempt, Some(result));
        self.wake(NodePlace::Attempt(attempt));
        None
    }

    fn closed(&mut self, id: SessionId, reason: CloseReason, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.waiters.wake_all(&mut self.leaving);
        session.closed = Some(reason.clone());
        let (peer, held) = (session.peer, session.holders > 0);
        if !held {
            self.sessions.remove(&id);
            self.engine.release(id, now);
        }
        self.publish(Some(id), NodeEvent::Disconnected { peer, reason });
    }

    fn sending(&mut self, session: SessionId, stream: StreamId, change: impl FnOnce(&mut Sending)) {
        let known = self.sessions.get_mut(&session).and_then(|s| s.sending.get_mut(&stream));
        if let Some(known) = known {
            change(known);
            self.wake_at(session, Part::Fate(stream));
        }
    }

    // Who holds what.

    /// One more holds `session`. `false` where it is unknown.
    pub(crate) fn hold(&mut self, session: SessionId) -> bool {
        match self.sessions.get_mut(&session) {
            Some(session) => {
                session.holders += 1;
                self.holders += 1;
                true
            }
            None => false,
        }
    }

    /// One less holds `session`; the last one closes it gracefully.
    pub(crate) fn let_go(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.holders = session.holders.saturating_sub(1);
        self.holders = self.holders.saturating_sub(1);
        self.close_unheld(id, now);
    }

    fn close_unheld(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.sessions.get(&id) else { return };
        if session.holders > 0 {
            return;
        }
        if session.closed.is_some() {
            self.sessions.remove(&id);
            self.engine.release(id, now);
        } else if let Some(mut session) = self.engine.session_mut(id, now) {
            session.finish_and_close(0, b"");
        }
        self.notify();
    }

    pub(crate) fn add_node(&mut self) {
        self.nodes += 1;
    }

    pub(crate) fn drop_node(&mut self, now: Instant) {
        self.nodes = self.nodes.saturating_sub(1);
        if self.nodes == 0 {
            self.drop_incoming(now);
            self.notify();
        }
    }

    /// Nobody will accept what waits.
    fn drop_incoming(&mut self, now: Instant) {
        for session in std::mem::take(&mut self.incoming) {
            self.let_go(session, now);
        }
    }

    /// Whether nothing is left to drive.
    pub(crate) fn is_over(&self) -> bool {
        let unused = self.nodes == 0 && self.holders == 0;
        (unused || self.phase != Phase::Running) && self.engine.is_idle()
    }

    /// Begins to close everything at once.
    pub(crate) fn shut_down(&mut self, code: u64, reason: &[u8], now: Instant) {
        if self.phase == Phase::Running {
            self.phase = Phase::ShuttingDown;
            self.engine.shutdown(code, reason, now);
            self.drop_incoming(now);
            self.wake(NodePlace::Incoming);
            self.notify();
        }
    }

    /// The driver is gone: nothing will happen any more, and everybody has to hear of it.
    pub(crate) fn end(&mut self, now: Instant) {
        if self.phase == Phase::Ended {
            return;
        }
        self.dispatch(now);
        self.phase = Phase::Ended;
        self.leaving.discard(self.driver.take());
        self.drop_incoming(now);
        for session in self.sessions.values_mut() {
            session.closed.get_or_insert(CloseReason::Here { code: 0 });
            session.waiters.wake_all(&mut self.leaving);
        }
        for result in self.attempts.values_mut() {
            result.get_or_insert(Err(ConnectError::Cancelled));
        }
        self.waiters.wake_all(&mut self.leaving);
    }

    // Attempts and incoming sessions.

    pub(crate) fn await_attempt(&mut self, attempt: AttemptId) {
        self.attempts.insert(attempt, None);
    }

    /// The result of an attempt; a session in it is held for the caller.
    pub(crate) fn attempt_result(&mut self, attempt: AttemptId) -> Poll<Result<SessionId, ConnectError>> {
        match self.attempts.get(&attempt) {
            Some(None) => Poll::Pending,
            Some(Some(_)) | None => {
                let result = self.attempts.remove(&attempt).flatten();
                Poll::Ready(result.unwrap_or(Err(ConnectError::Cancelled)))
            }
        }
    }

    /// Nobody waits for an attempt any more.
    pub(crate) fn abandon_attempt(&mut self, attempt: AttemptId, now: Instant) {
        match self.attempts.remove(&attempt) {
            Some(Some(Ok(session))) => self.let_go(session, now),
            Some(None) => {
                self.engine.cancel(attempt);
                self.notify();
            }
            Some(Some(Err(_))) | None => {}
        }
    }

    /// The next session that a peer opened, held for the caller; `None` once there will be no more.
    pub(crate) fn next_incoming(&mut self) -> Poll<Option<SessionId>> {
        match self.incoming.pop_front() {
            Some(session) => Poll::Ready(Some(session)),
            None if self.phase != Phase::Running => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    // Node events.

    pub(crate) fn subscribe(&mut self) -> u64 {
        let id = self.ticket().0;
        self.subscribers.insert(id, Subscriber::new());
        id
    }

    pub(crate) fn unsubscribe(&mut self, id: u64) {
        self.subscribers.remove(&id);
        self.waiters.remove(NodePlace::Events(id), Ticket::SOLE, &mut self.leaving);
    }

    pub(crate) fn next_event(&mut self, id: u64) -> Poll<Option<NodeEvent>> {
        match self.subscribers.get_mut(&id).and_then(Subscriber::pop) {
            Some(event) => Poll::Ready(Some(event)),
            None if self.phase == Phase::Ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn publish(&mut self, session: Option<SessionId>, event: NodeEvent) {
        for (id, subscriber) in &mut self.subscribers {
            subscriber.push(&event);
            self.waiters.wake(NodePlace::Events(*id), &mut self.leaving);
        }
        self.news.push((session, event));
    }

    /// What there is to log, with the lock open.
    pub(crate) fn take_news(&mut self) -> Vec<(Option<SessionId>, NodeEvent)> {
        std::mem::take(&mut self.news)
    }

    // Figures.

    /// How many connections handles know of.
    pub(crate) fn connections(&self) -> usize {
        self.sessions.len()
    }

    /// How many tasks wait for something.
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.len() + self.sessions.values().map(|session| session.waiters.len()).sum::<usize>()
    }

    // One session.

    pub(crate) fn peer(&self, session: SessionId) -> Option<PeerId> {
        self.sessions.get(&session).map(|s| s.peer)
    }

    /// How a session ended, if it has.
    pub(crate) fn close_reason(&self, session: SessionId) -> Option<CloseReason> {
        match self.sessions.get(&session) {
            Some(session) => session.closed.clone(),
            None => Some(CloseReason::Here { code: 0 }),
        }
    }

    /// An error if the session has ended.
    pub(crate) fn check_open(&self, session: SessionId) -> Result<(), ConnectionError> {
        self.close_reason(session).map_or(Ok(()), |reason| Err(ConnectionError(reason)))
    }

    /// The error for a session that the engine calls closed, if need be before the driver has heard of it.
    pub(crate) fn closed_error(&mut self, session: SessionId, now: Instant) -> ConnectionError {
        if self.close_reason(session).is_none() {
            self.dispatch(now);
            self.notify();
        }
        ConnectionError(self.close_reason(session).unwrap_or(CloseReason::Here { code: 0 }))
    }

    /// Pending while the session is open.
    pub(crate) fn pending<T>(&self, session: SessionId) -> Poll<Result<T, ConnectionError>> {
        match self.check_open(session) {
            Ok(()) => Poll::Pending,
            Err(e) => Poll::Ready(Err(e)),
        }
    }

    pub(crate) fn add_sending(&mut self, session: SessionId, stream: StreamId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.sending.insert(stream, Sending::default());
        }
    }

    pub(crate) fn sending_state(&mut self, session: SessionId, stream: StreamId) -> Option<&mut Sending> {
        self.sessions.get_mut(&session)?.sending.get_mut(&stream)
    }

    pub(crate) fn forget_sending(&mut self, session: SessionId, stream: StreamId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.sending.remove(&stream);
            session.waiters.remove(Part::Write(stream), Ticket::SOLE, &mut self.leaving);
            // Those who wait for the stream's fate without holding it.
            session.waiters.wake(Part::Fate(stream), &mut self.leaving);
        }
    }

    pub(crate) fn await_ack(&mut self, session: SessionId, message: MessageId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.acks.insert(message, false);
        }
    }

    pub(crate) fn is_acked(&self, session: SessionId, message: MessageId) -> bool {
        self.sessions.get(&session).and_then(|s| s.acks.get(&message)).copied().unwrap_or(false)
    }

    pub(crate) fn forget_ack(&mut self, session: SessionId, message: MessageId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.acks.remove(&message);
        }
    }
}

impl SessionState {
    const fn new(peer: PeerId) -> Self {
        Self {
            peer,
            holders: 0,
            closed: None,
            waiters: Waiters::new(),
            sending: BTreeMap::new(),
            acks: BTreeMap::new(),
        }
    }
}
