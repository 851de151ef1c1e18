//! Handshakes under way: ours (attempts), and strangers' that are half done.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::crypto::noise::Handshake;
use crate::event::{AttemptId, ClockDoubt, ConnectError, NoAnswer, SessionId, Tried, TriedOutcome};
use crate::handshake::envelope::{HelloKey, HelloKind, ReplyTag, Salt};
use crate::handshake::replay::WINDOW;
use crate::identity::PeerId;
use crate::io::SendFailure;
use crate::path::Way;
use crate::{Duration, Instant, UnixTime};

/// How many sent copies of an attempt's hellos are remembered, so that their replies are known.
const MAX_COPIES: usize = 64;
/// How often one address may ask for another cookie or time.
const MAX_RETRIES: u32 = 3;

/// What an attempt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The application asked.
    Application,
    /// To learn whether the peer still has a session.
    Revival(SessionId),
}

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The first message is repeated until it is answered.
    Initiating(HelloKind),
    /// XX: the third message is repeated to one address until the session is confirmed.
    Finishing { address: usize, session: SessionId },
}

/// One address of an attempt.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) address: SocketAddr,
    /// The way that the peer's own hello came from there, where one did.
    pub(super) along: Option<Way>,
    pub(super) sent: u32,
    pub(super) outcome: TriedOutcome,
    pub(super) cookie: Option<[u8; 16]>,
    /// The responder's wall clock, and when it was told.
    pub(super) clock: Option<(UnixTime, Instant)>,
    retries: u32,
}

/// One sent copy of a hello.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) tag: ReplyTag,
    pub(super) salt: Salt,
    pub(super) address: usize,
    /// Where it went: the candidate of that number may be another meanwhile.
    pub(super) way: Way,
    pub(super) kind: HelloKind,
    pub(super) sent: Instant,
}

/// A handshake that we initiated.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) id: AttemptId,
    /// The application's calls that it serves: all that want the same peer.
    pub(super) waiters: Vec<AttemptId>,
    pub(super) purpose: Purpose,
    /// Who is wanted, or (XX) who answered.
    pub(super) peer: Option<PeerId>,
    /// Whether the application named the peer.
    pub(super) named: bool,
    pub(super) stage: Stage,
    pub(super) key: Arc<HelloKey>,
    pub(super) slot: u32,
    pub(super) check: u32,
    pub(super) noise: Option<Handshake>,
    /// The content of the hello that is being repeated.
    pub(super) content: Vec<u8>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) copies: VecDeque<Copy>,
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    pub(super) next: Instant,
    /// The timer that is set for it.
    pub(super) armed: Option<Instant>,
    pub(super) interval: Duration,
    pub(super) round: u32,
    pub(super) clock: ClockDoubt,
    /// The peer's own handshake that this attempt left the field to.
    pub(super) yielded: Option<SessionId>,
}

/// A stranger's XX handshake: its first message was answered.
#[derive(Debug)]
pub(super) struct HalfXx {
    pub(super) noise: Handshake,
    pub(super) initiation: [u8; 32],
    pub(super) response: Vec<u8>,
    pub(super) since: Instant,
    pub(super) until: Instant,
    /// The timer that is set for it.
    pub(super) armed: Instant,
    /// The way that its hello came, and how long it was.
    pub(super) way: Way,
    pub(super) received: usize,
}

impl Candidate {
    pub(super) const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            along: None,
            sent: 0,
            outcome: TriedOutcome::Silence,
            cookie: None,
            clock: None,
            retries: 0,
        }
    }

    /// The wall time for the next hello to this address, ours being `wall`.
    pub(super) fn wall(&self, wall: UnixTime, now: Instant) -> UnixTime {
        self.clock.map_or(wall, |(theirs, at)| theirs + now.saturating_since(at))
    }
}

impl Attempt {
    /// Remembers a copy; returns the tag of one that is forgotten for it.
    pub(super) fn remember(&mut self, copy: Copy) -> Option<ReplyTag> {
        let forgotten = if self.copies.len() >= MAX_COPIES { self.copies.pop_front() } else { None };
        self.copies.push_back(copy);
        forgotten.map(|c| c.tag)
    }

    /// The responder wants a cookie, or says what time it is. Whether it is worth while to try again at once.
    pub(super) fn on_retry(
        &mut self,
        address: usize,
        theirs: UnixTime,
        cookie: [u8; 16],
        wall: UnixTime,
        now: Instant,
    ) -> bool {
        let Some(candidate) = self.candidates.get_mut(address) else { return false };
        candidate.cookie = Some(cookie);
        candidate.clock = Some((theirs, now));
        candidate.outcome = TriedOutcome::Retried;
        candidate.retries += 1;
        if theirs.abs_diff(wall) > WINDOW {
            self.clock = ClockDoubt::Differs { by: theirs.abs_diff(wall), ahead: wall > theirs };
        }
        candidate.retries <= MAX_RETRIES
    }

    pub(super) fn on_not_me(&mut self, address: usize) {
        if let Some(candidate) = self.candidates.get_mut(address) {
            candidate.outcome = TriedOutcome::NotMe;
        }
    }

    pub(super) fn on_send_failed(&mut self, to: SocketAddr, cause: SendFailure) {
        for candidate in self.candidates.iter_mut().filter(|c| c.address == to) {
            candidate.outcome = TriedOutcome::Unsendable(cause);
        }
    }

    /// Whether somebody else answered everywhere.
    pub(super) fn is_hopeless(&self) -> bool {
        self.candidates.iter().all(|c| c.outcome == TriedOutcome::NotMe)
    }

    /// The report of its failure.
    pub(super) fn failure(&self, network_secret: bool, now: Instant) -> ConnectError {
        let tried =
            self.candidates.iter().map(|c| Tried { address: c.address, sent: c.sent, outcome: c.outcome });
        let report = NoAnswer {
            tried: tried.collect(),
            waited: now.saturating_since(self.started),
            clock: self.clock,
            network_secret,
        };
        if self.is_hopeless() { ConnectError::NotMe(report) } else { ConnectError::NoAnswer(report) }
    }

    /// Adds an address, in place of the last one where there are `limit` already. Returns its index.
    pub(super) fn add_candidate(&mut self, address: SocketAddr, limit: usize) -> usize {
        if let Some(at) = self.candidates.iter().position(|c| c.address == address) {
            return at;
        }
        if self.candidates.len() >= limit {
            self.candidates.pop();
        }
        self.candidates.push(Candidate::new(address));
        self.candidates.len() - 1
    }

    /// The session that the peer has yet to confirm, where this attempt made one.
    pub(super) const fn unconfirmed(&self) -> Option<SessionId> {
        match self.stage {
            Stage::Finishing { session, .. } => Some(session),
            Stage::Initiating(_) => None,
        }
    }

    /// Restarts the repetitions: first at once, then with growing pauses.
    pub(super) fn hurry(&mut self, first_retry: Duration, now: Instant) {
        self.next = now;
        self.interval = first_retry;
    }
}
