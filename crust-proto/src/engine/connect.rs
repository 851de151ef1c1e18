//! Handshakes that we initiate: from the application's call to a session, or a report of what was tried.

use std::net::SocketAddr;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::attempt::{Attempt, Candidate, Purpose, Stage};
use super::slots::Slot;
use super::{Engine, PAYLOAD_ROOM, Timer};
use crate::crypto::noise::{Pattern, Role};
use crate::event::{AttemptId, ClockDoubt, ConnectError, Event, SessionId};
use crate::handshake::envelope::{HelloKey, HelloKind};
use crate::identity::{Contact, ContactError, PeerId};
use crate::path::Way;
use crate::{Duration, Instant};

/// How many calls of the application one attempt serves.
const MAX_WAITERS: usize = 64;
/// How long a peer is asked whether it still has a session.
const REVIVAL_TIMEOUT: Duration = Duration::from_secs(4);

/// Whom to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The peer; `None`: whoever answers.
    pub peer: Option<PeerId>,
    /// Where to try.
    pub addresses: Vec<SocketAddr>,
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self { peer: None, addresses: vec![address] }
    }
}

impl From<(PeerId, SocketAddr)> for Target {
    fn from((peer, address): (PeerId, SocketAddr)) -> Self {
        Self { peer: Some(peer), addresses: vec![address] }
    }
}

impl From<&Contact> for Target {
    fn from(contact: &Contact) -> Self {
        Self { peer: Some(contact.peer()), addresses: contact.addresses().to_vec() }
    }
}

impl Engine {
    /// Connects to the owner of a contact, after checking that it is of our network, not our own, and not expired.
    ///
    /// # Errors
    ///
    /// [`ConnectError::OtherNetwork`], [`ConnectError::Oneself`] or [`ConnectError::Expired`], by the contact; and those of
    /// [`connect`](Self::connect).
    pub fn connect_contact(&mut self, contact: &Contact, now: Instant) -> Result<AttemptId, ConnectError> {
        contact.check(&self.config.network, &self.peer_id(), self.wall_now(now)).map_err(
            |error| match error {
                ContactError::OtherNetwork { .. } => ConnectError::OtherNetwork,
                ContactError::Oneself => ConnectError::Oneself,
                _ => ConnectError::Expired,
            },
        )?;
        self.connect(contact.into(), now)
    }

    /// Connects to a peer, or to whoever lives at an address. [`Event::Attempt`] tells how it ended; where a
    /// session with that peer is open already, it is the answer.
    ///
    /// # Errors
    ///
    /// At once: [`ConnectError::Oneself`], [`ConnectError::NoAddress`], [`ConnectError::TooManyAttempts`]. All others come
    /// with the event.
    pub fn connect(&mut self, target: Target, now: Instant) -> Result<AttemptId, ConnectError> {
        if target.peer == Some(self.peer_id()) {
            return Err(ConnectError::Oneself);
        }
        let open = target.peer.and_then(|peer| self.peers.get(&peer).copied());
        if let Some(session) = open {
            let attempt = self.name_attempt();
            if let Some(entry) = self.slots.entry_mut(super::slots::slot_of(session)) {
                entry.session.reopen();
                entry.released = false;
            }
            self.events.push_back(Event::Attempt { attempt, result: Ok(session) });
            return Ok(attempt);
        }
        let named = !target.addresses.is_empty();
        let mut addresses = target.addresses;
        addresses.retain(|a| !a.ip().is_unspecified() && !a.ip().is_multicast() && a.port() != 0);
        let usable = !addresses.is_empty();
        addresses.retain(|a| !self.is_own(a));
        if named && usable && addresses.is_empty() {
            return Err(ConnectError::Oneself);
        }
        let mut candidates: Vec<Candidate> = Vec::new();
        for address in addresses {
            if candidates.len() < self.config.handshake.max_addresses
                && candidates.iter().all(|c| c.address != address)
            {
                candidates.push(Candidate::new(address));
            }
        }
        if candidates.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        let calls: usize = self.attempts.values().map(|a| a.waiters.len()).sum();
        if self.shut_down || calls >= self.config.handshake.max_attempts {
            return Err(ConnectError::TooManyAttempts);
        }
        let under_way = target.peer.and_then(|peer| self.application_attempt(&peer));
        if let Some(id) = under_way {
            return self.join(id, candidates, now).ok_or(ConnectError::TooManyAttempts);
        }
        let timeout = self.config.handshake.timeout;
        self.begin(Purpose::Application, target.peer, candidates, timeout, now)
            .ok_or(ConnectError::TooManyAttempts)
    }

    /// Gives an attempt up. [`Event::Attempt`] says so, unless it has ended already.
    pub fn cancel(&mut self, attempt: AttemptId) {
        let Some(serving) = self.attempts.values_mut().find(|a| a.waiters.contains(&attempt)) else { return };
        let id = serving.id;
        if serving.waiters.len() == 1 {
            return self.end_attempt(id, Err(ConnectError::Cancelled));
        }
        serving.waiters.retain(|waiter| *waiter != attempt);
        self.events.push_back(Event::Attempt { attempt, result: Err(ConnectError::Cancelled) });
    }

    /// The application's attempt to connect to a peer, where there is one.
    pub(super) fn application_attempt(&self, peer: &PeerId) -> Option<AttemptId> {
        let wanted = |a: &&Attempt| a.peer.as_ref() == Some(peer) && a.purpose == Purpose::Application;
        self.attempts.values().find(wanted).map(|a| a.id)
    }

    /// One handshake serves everybody who wants the same peer, or each side could end with another session.
    fn join(&mut self, id: AttemptId, candidates: Vec<Candidate>, now: Instant) -> Option<AttemptId> {
        let name = self.name_attempt();
        let limit = 2 * self.config.handshake.max_addresses;
        let deadline = now + self.config.handshake.timeout;
        let first_retry = self.config.handshake.first_retry;
        let attempt = self.attempts.get_mut(&id).filter(|a| a.waiters.len() < MAX_WAITERS)?;
        attempt.waiters.push(name);
        // Whoever joins wants this very peer, however the attempt began.
        attempt.named = true;
        attempt.deadline = attempt.deadline.max(deadline);
        let known = attempt.candidates.len();
        for candidate in candidates {
            if attempt.candidates.len() < limit {
                attempt.add_candidate(candidate.address, limit);
            }
        }
        if attempt.candidates.len() > known {
            attempt.hurry(first_retry, now);
        }
        self.drive_attempt(id, now);
        Some(name)
    }

    /// Asks the peer of a silent session, in a handshake of its own, whether it still has the session.
    pub(super) fn ask_whether_alive(&mut self, slot: u32, now: Instant) {
        let Some(entry) = self.slots.entry_mut(slot) else { return };
        let (id, peer) = (entry.session.id(), entry.session.peer());
        let Some(remote) = entry.session.way().and_then(Way::remote) else { return };
        if self.attempts.values().any(|a| a.purpose == Purpose::Revival(id)) {
            return;
        }
        let candidates = vec![Candidate::new(remote)];
        self.begin(Purpose::Revival(id), Some(peer), candidates, REVIVAL_TIMEOUT, now);
    }

    fn begin(
        &mut self,
        purpose: Purpose,
        peer: Option<PeerId>,
        candidates: Vec<Candidate>,
        timeout: Duration,
        now: Instant,
    ) -> Option<AttemptId> {
        let id = self.name_attempt();
        let check = u32::from_be_bytes(self.random.wire_array());
        let slot = self.slots.take(check, Slot::Attempt(id))?;
        let first_retry = self.config.handshake.first_retry;
        let mut attempt = Attempt {
            id,
            waiters: vec![id],
            purpose,
            peer,
            named: peer.is_some(),
            stage: Stage::Initiating(HelloKind::InitiateUnknown),
            key: self.hello_unknown.clone(),
            slot,
            check,
            noise: None,
            content: Vec::new(),
            candidates,
            copies: std::collections::VecDeque::new(),
            started: now,
            deadline: now + timeout,
            next: now,
            armed: None,
            interval: first_retry,
            round: 0,
            clock: ClockDoubt::Unknown,
            yielded: peer.and_then(|peer| self.unconfirmed_with(&peer)),
        };
        if self.write_initiation(&mut attempt, now).is_none() {
            self.slots.free(slot);
            return None;
        }
        self.attempts.insert(id, attempt);
        self.drive_attempt(id, now);
        Some(id)
    }

    /// Makes the first Noise message of an attempt.
    fn write_initiation(&mut self, attempt: &mut Attempt, now: Instant) -> Option<()> {
        let live = match attempt.purpose {
            Purpose::Revival(session) => self.slots.session(session).map(|s| *s.token()),
            Purpose::Application => None,
        };
        let mut payload = Zeroizing::new(Vec::with_capacity(PAYLOAD_ROOM));
        let (pattern, kind) = match attempt.peer {
            Some(_) => (Pattern::IkPsk2, HelloKind::InitiateKnown),
            None => (Pattern::XxPsk3, HelloKind::InitiateUnknown),
        };
        attempt.key = match &attempt.peer {
            Some(peer) => Arc::new(HelloKey::new(self.config.network.hello_key(Some(peer)))),
            None => self.hello_unknown.clone(),
        };
        if pattern == Pattern::IkPsk2 {
            self.params(attempt.slot, attempt.check, live, false).encode(&mut payload);
        }
        let mut noise = self.noise(pattern, Role::Initiator, attempt.peer.as_ref())?;
        noise.set_ephemeral(&self.ephemeral(&payload, now)).ok()?;
        attempt.content.clear();
        noise.write_message(&payload, &mut attempt.content).ok()?;
        attempt.noise = Some(noise);
        attempt.stage = Stage::Initiating(kind);
        Some(())
    }

    /// Ends an attempt and tells the application.
    pub(super) fn end_attempt(&mut self, id: AttemptId, result: Result<SessionId, ConnectError>) {
        let Some(attempt) = self.attempts.remove(&id) else { return };
        for copy in &attempt.copies {
            self.tags.remove(&copy.tag);
        }
        if let Some(armed) = attempt.armed {
            self.timers.remove(&(armed, Timer::Attempt(id)));
        }
        self.free_slot_of(&attempt);
        // The session that it made, and that the peer has not confirmed, goes with it.
        if let Some(session) = attempt.unconfirmed() {
            self.discard_unconfirmed(session);
        }
        if attempt.purpose == Purpose::Application {
            for attempt in attempt.waiters {
                self.events.push_back(Event::Attempt { attempt, result: result.clone() });
            }
        }
    }

    fn free_slot_of(&mut self, attempt: &Attempt) {
        if matches!(self.slots.get_mut(attempt.slot), Some(Slot::Attempt(owner)) if *owner == attempt.id) {
            self.slots.free(attempt.slot);
        }
    }

    /// An attempt by address has found a peer that another attempt is after: that one goes on for both.
    pub(super) fn merge_attempts(&mut self, from: AttemptId, into: AttemptId, found: Way, now: Instant) {
        let Some(ended) = self.attempts.remove(&from) else { return };
        for copy in &ended.copies {
            self.tags.remove(&copy.tag);
        }
        if let Some(armed) = ended.armed {
            self.timers.remove(&(armed, Timer::Attempt(from)));
        }
        self.free_slot_of(&ended);
        let limit = 2 * self.config.handshake.max_addresses;
        let first_retry = self.config.handshake.first_retry;
        if let Some(attempt) = self.attempts.get_mut(&into) {
            attempt.waiters.extend(ended.waiters);
            attempt.deadline = attempt.deadline.max(ended.deadline);
            if let Some(found) = found.remote() {
                attempt.add_candidate(found, limit);
            }
            attempt.hurry(first_retry, now);
        }
        self.drive_attempt(into, now);
    }

    /// Starts an attempt anew after the handshake that it yielded to, or its own, came to nothing.
    pub(super) fn restart_attempt(&mut self, id: AttemptId, now: Instant) {
        let Some(mut attempt) = self.attempts.remove(&id) else { return };
        attempt.yielded = None;
        let owns_slot =
            matches!(self.slots.get_mut(attempt.slot), Some(Slot::Attempt(owner)) if *owner == id);
        if !owns_slot {
            attempt.check = u32::from_be_bytes(self.random.wire_array());
            let Some(slot) = self.slots.take(attempt.check, Slot::Attempt(id)) else {
                // No room for a session: as if nobody had answered.
                attempt.deadline = now;
                self.attempts.insert(id, attempt);
                return self.drive_attempt(id, now);
            };
            attempt.slot = slot;
        }
        for copy in attempt.copies.drain(..) {
            self.tags.remove(&copy.tag);
        }
        if !attempt.named {
            attempt.peer = None;
        }
        let first_retry = self.config.handshake.first_retry;
        attempt.hurry(first_retry, now);
        let _ = self.write_initiation(&mut attempt, now);
        self.attempts.insert(id, attempt);
        self.drive_attempt(id, now);
    }

    fn name_attempt(&mut self) -> AttemptId {
        self.next_attempt += 1;
        AttemptId(self.next_attempt)
    }

    /// Whether an address is one of our own sockets'.
    fn is_own(&self, address: &SocketAddr) -> bool {
        self.sockets.values().filter_map(|s| s.local).any(|local| {
            local.port() == address.port()
                && (local.ip() == address.ip()
                    || local.ip().is_unspecified()
                        && local.is_ipv4() == address.is_ipv4()
                        && (address.ip().is_loopback()
                            || self.interfaces.iter().any(|i| i.ip == address.ip())))
        })
    }
}
