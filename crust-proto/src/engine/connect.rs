//! Handshakes that we initiate: from the application's call to a session, or a report of what was tried.

use std::net::SocketAddr;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::attempt::{Attempt, Candidate, Copy, Purpose, Stage};
use super::slots::{Entry, Slot};
use super::{Dropped, Engine, Timer};
use crate::crypto::noise::{Handshake, HandshakeParams, Pattern, Role};
use crate::event::{AttemptId, ClockDoubt, ConnectError, Event, SessionId, TriedOutcome};
use crate::handshake::envelope::{
    HELLO_OVERHEAD, HelloHead, HelloKey, HelloKind, MAX_HELLO, ReplyKind, ReplyTag, VERSION,
};
use crate::handshake::params::{Addressing, AeadSet, Params, SessionToken};
use crate::identity::{Contact, ContactError, PeerId};
use crate::io::SocketId;
use crate::path::Route;
use crate::session::{Established, Session};
use crate::streams::Side;
use crate::wire::codec::Reader;
use crate::wire::packet::MAX_SLOT;
use crate::{Duration, Instant, UnixTime};

/// Hellos are at least this long, so that the answer, which is never longer, has room.
const MIN_HELLO: usize = 800;
/// From this round of repetitions on it is asked whether somebody else lives at an address.
const WHO_IS_FROM_ROUND: u32 = 2;
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
    fn application_attempt(&self, peer: &PeerId) -> Option<AttemptId> {
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
        let Some(route) = entry.session.route() else { return };
        if self.attempts.values().any(|a| a.purpose == Purpose::Revival(id)) {
            return;
        }
        let candidates = vec![Candidate::new(route.remote)];
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
        let mut payload = Vec::new();
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

    /// Sends what is due of an attempt, or ends it.
    pub(super) fn drive_attempt(&mut self, id: AttemptId, now: Instant) {
        let Some(mut attempt) = self.attempts.remove(&id) else { return };
        if attempt.deadline <= now {
            let error = attempt.failure(self.config.network.secret().is_some(), now);
            self.attempts.insert(id, attempt);
            return self.end_attempt(id, Err(error));
        }
        if attempt.yielded.is_none() && attempt.next <= now {
            let only = match attempt.stage {
                Stage::Finishing { address, .. } => Some(address),
                Stage::Initiating(_) => None,
            };
            let mut sent = false;
            for at in 0..attempt.candidates.len() {
                if only.is_none_or(|only| only == at) {
                    sent |= self.greet_candidate(&mut attempt, at, None, now);
                }
            }
            if sent {
                attempt.round += 1;
                // Randomised, so that two sides that began together do not stay in step.
                let micros = u64::try_from(attempt.interval.as_micros()).unwrap_or(u64::MAX);
                let jitter = self.random.wire_below(micros / 4 + 1);
                attempt.next = now + attempt.interval + Duration::from_micros(jitter);
                attempt.interval = (attempt.interval * 2).min(self.config.handshake.max_retry);
            } else {
                // No socket yet: whoever opens one hurries us.
                attempt.next = attempt.deadline;
            }
        }
        let next =
            if attempt.yielded.is_some() { attempt.deadline } else { attempt.next.min(attempt.deadline) };
        if let Some(armed) = attempt.armed.replace(next) {
            self.timers.remove(&(armed, Timer::Attempt(id)));
        }
        self.timers.insert((next, Timer::Attempt(id)));
        self.attempts.insert(id, attempt);
    }

    /// Sends the attempt's present hello to one candidate, and the question who lives there where that is due.
    /// `limit`: the hello may not be longer.
    fn greet_candidate(
        &mut self,
        attempt: &mut Attempt,
        at: usize,
        limit: Option<usize>,
        now: Instant,
    ) -> bool {
        let Some(candidate) = attempt.candidates.get(at) else { return false };
        if candidate.outcome == TriedOutcome::NotMe {
            return false;
        }
        let Some(socket) = self.socket_for(candidate.address) else { return false };
        let kind = match attempt.stage {
            Stage::Initiating(kind) => kind,
            Stage::Finishing { .. } => HelloKind::Finish,
        };
        let content = attempt.content.clone();
        self.send_hello(attempt, at, socket, kind, &content, limit, now);
        let asks = kind == HelloKind::InitiateKnown
            && attempt.round >= WHO_IS_FROM_ROUND
            && attempt.purpose == Purpose::Application;
        if let Some(peer) = attempt.peer.filter(|_| asks) {
            let salt = self.random.wire_array();
            let proof = self.hello_unknown.who_is_proof(&salt, &peer);
            self.send_hello_salted(attempt, at, socket, HelloKind::WhoIs, &proof, salt, Some(300), now);
        }
        true
    }

    #[allow(clippy::too_many_arguments, reason = "what is sent, where to, and when")]
    fn send_hello(
        &mut self,
        attempt: &mut Attempt,
        at: usize,
        socket: SocketId,
        kind: HelloKind,
        content: &[u8],
        limit: Option<usize>,
        now: Instant,
    ) {
        let salt = self.random.wire_array();
        self.send_hello_salted(attempt, at, socket, kind, content, salt, limit, now);
    }

    #[allow(clippy::too_many_arguments, reason = "what is sent, where to, and when")]
    fn send_hello_salted(
        &mut self,
        attempt: &mut Attempt,
        at: usize,
        socket: SocketId,
        kind: HelloKind,
        content: &[u8],
        salt: [u8; 16],
        limit: Option<usize>,
        now: Instant,
    ) {
        let wall = self.wall_now(now);
        let key = match kind {
            HelloKind::WhoIs => self.hello_unknown.clone(),
            _ => attempt.key.clone(),
        };
        let Some(candidate) = attempt.candidates.get_mut(at) else { return };
        let head = HelloHead { kind, version: VERSION, wall: candidate.wall(wall, now) };
        let cookie = candidate.cookie.unwrap_or_else(|| self.random.wire_array());
        let longest = limit.unwrap_or(MAX_HELLO).min(MAX_HELLO);
        let shortest = MIN_HELLO.min(longest / 2).max(HELLO_OVERHEAD + content.len()).min(longest);
        let len =
            shortest + usize::try_from(self.random.wire_below((longest - shortest) as u64 + 1)).unwrap_or(0);
        let mut datagram = Vec::new();
        let sealed = key.seal_hello(&*self.config.provider, head, salt, cookie, content, len, &mut datagram);
        if sealed.is_err() || datagram.len() > longest {
            return;
        }
        if let (HelloKind::InitiateUnknown | HelloKind::WhoIs, Some(mac)) = (kind, datagram.last_chunk()) {
            // Should it be sent back to us some day, it was taken before.
            self.replay.remember(head.wall, *mac, now);
        }
        candidate.sent += 1;
        let remote = candidate.address;
        let tag = key.reply_tag(&salt);
        let forgotten = attempt.remember(Copy { tag, salt, address: at, socket, kind });
        if let Some(tag) = forgotten {
            self.tags.remove(&tag);
        }
        self.tags.insert(tag, attempt.id);
        self.stats.hellos_sent += 1;
        self.post(Route { socket, remote, local: None }, datagram);
    }

    /// A datagram that begins with the tag of a reply to one of an attempt's hellos.
    pub(super) fn handle_reply(
        &mut self,
        id: AttemptId,
        tag: ReplyTag,
        route: Route,
        datagram: &mut [u8],
        now: Instant,
    ) {
        let Some(attempt) = self.attempts.get(&id) else { return self.drop_as(Dropped::Late) };
        let Some(copy) = attempt.copies.iter().find(|c| c.tag == tag).cloned() else {
            return self.drop_as(Dropped::Late);
        };
        let key = if copy.kind == HelloKind::WhoIs { &self.hello_unknown } else { &attempt.key };
        let provider = self.config.provider.clone();
        let Ok((kind, content)) = key.open_reply(&*provider, &copy.salt, datagram) else {
            return self.drop_as(Dropped::Unauthentic);
        };
        match (kind, copy.kind) {
            (ReplyKind::Retry, HelloKind::InitiateKnown | HelloKind::InitiateUnknown) => {
                let mut reader = Reader::new(content);
                let (Ok(theirs), Ok(cookie)) = (reader.u64(), reader.array()) else {
                    return self.drop_as(Dropped::Unauthentic);
                };
                self.on_retry(id, &copy, UnixTime::from_millis(theirs), cookie, now);
            }
            (ReplyKind::NotMe, HelloKind::WhoIs) => {
                let Some(attempt) = self.attempts.get_mut(&id) else { return };
                attempt.on_not_me(copy.address);
                if attempt.is_hopeless() && attempt.yielded.is_none() {
                    let error = attempt.failure(self.config.network.secret().is_some(), now);
                    self.end_attempt(id, Err(error));
                }
            }
            (ReplyKind::Response, HelloKind::InitiateKnown | HelloKind::InitiateUnknown) => {
                let content = content.to_vec();
                if self.on_response(id, &copy, route, &content, now).is_none() {
                    self.drop_as(Dropped::Unauthentic);
                }
            }
            _ => self.drop_as(Dropped::Unauthentic),
        }
    }

    fn on_retry(&mut self, id: AttemptId, copy: &Copy, theirs: UnixTime, cookie: [u8; 16], now: Instant) {
        let wall = self.wall_now(now);
        // A retry counts once: its copy is forgotten, and with it whatever repeats the retry.
        self.tags.remove(&copy.tag);
        let Some(mut attempt) = self.attempts.remove(&id) else { return };
        attempt.copies.retain(|c| c.tag != copy.tag);
        if attempt.on_retry(copy.address, theirs, cookie, wall, now) && attempt.yielded.is_none() {
            self.greet_candidate(&mut attempt, copy.address, None, now);
        }
        self.attempts.insert(id, attempt);
    }

    /// The second Noise message. `None` where it is not genuine; then nothing has changed.
    fn on_response(
        &mut self,
        id: AttemptId,
        copy: &Copy,
        route: Route,
        content: &[u8],
        now: Instant,
    ) -> Option<()> {
        let attempt = self.attempts.get(&id)?;
        if attempt.yielded.is_some() || !matches!(attempt.stage, Stage::Initiating(_)) {
            // A late copy's answer.
            return Some(());
        }
        let mut noise = attempt.noise.clone()?;
        let params = Params::decode(&noise.read_message(content).ok()?).ok()?;
        let peer = PeerId::from_bytes(noise.remote_static()?);
        if !peer.is_canonical() {
            return None;
        }
        let address = attempt.candidates.get(copy.address)?.address;
        // The address that we wrote to is where the responder heard us; the reply's source may be forged.
        let route = Route { socket: copy.socket, remote: address, local: route.local };
        match copy.kind {
            HelloKind::InitiateKnown if params.alive => {
                if let Purpose::Revival(session) = attempt.purpose {
                    let slot = super::slots::slot_of(session);
                    if self.slots.session(session).is_some() {
                        self.with_session(slot, |s| s.on_alive(now));
                        self.after(slot, now);
                    }
                    self.end_attempt(id, Err(ConnectError::Cancelled));
                }
                Some(())
            }
            HelloKind::InitiateKnown => {
                let slot = attempt.slot;
                let (hash, (send, receive)) = (noise.hash(), noise.split().ok()?);
                self.establish(slot, peer, Side::Initiator, hash, (send, receive), params, route, true, now)?;
                self.with_session(slot, |session| session.ping());
                self.on_open(slot, now);
                Some(())
            }
            _ => self.on_xx_response(id, copy.address, noise, peer, params, route, now),
        }
    }

    /// XX: now we know who answered, and say who we are.
    #[allow(clippy::too_many_arguments, reason = "what the second message tells")]
    fn on_xx_response(
        &mut self,
        id: AttemptId,
        address: usize,
        mut noise: Handshake,
        peer: PeerId,
        params: Params,
        route: Route,
        now: Instant,
    ) -> Option<()> {
        if peer == self.peer_id() {
            self.end_attempt(id, Err(ConnectError::Oneself));
            return Some(());
        }
        if let Some(&session) = self.peers.get(&peer) {
            self.with_session(super::slots::slot_of(session), Session::reopen);
            self.end_attempt(id, Ok(session));
            return Some(());
        }
        let theirs = self.unconfirmed_with(&peer);
        let (slot, check) = self.attempts.get(&id).map(|a| (a.slot, a.check))?;
        if theirs.is_some() {
            // The peer's own handshake with us was answered: it is further on.
            let attempt = self.attempts.get_mut(&id)?;
            attempt.peer = Some(peer);
            attempt.yielded = theirs;
            return Some(());
        }
        if let Some(other) = self.application_attempt(&peer).filter(|other| *other != id) {
            self.merge_attempts(id, other, route.remote, now);
            return Some(());
        }
        let mut payload = Vec::new();
        self.params(slot, check, None, false).encode(&mut payload);
        let mut content = Vec::new();
        content.extend_from_slice(&params.addressing.slot.to_be_bytes());
        content.extend_from_slice(&params.addressing.check.to_be_bytes());
        noise.write_message(&payload, &mut content).ok()?;
        let (hash, split) = (noise.hash(), noise.split().ok()?);
        self.establish(slot, peer, Side::Initiator, hash, split, params, route, false, now)?;
        let session = self.slots.entry_mut(slot).map(|e| e.session.id())?;
        let key = Arc::new(HelloKey::new(self.config.network.hello_key(Some(&peer))));
        let first_retry = self.config.handshake.first_retry;
        let attempt = self.attempts.get_mut(&id)?;
        attempt.peer = Some(peer);
        attempt.key = key;
        attempt.noise = None;
        attempt.content = content;
        attempt.stage = Stage::Finishing { address, session };
        attempt.hurry(first_retry, now);
        self.drive_attempt(id, now);
        Some(())
    }

    /// Puts a session in a slot whose handshake is done.
    #[allow(clippy::too_many_arguments, reason = "what a handshake yields")]
    pub(super) fn establish(
        &mut self,
        slot: u32,
        peer: PeerId,
        side: Side,
        hash: [u8; 32],
        (initiators, responders): (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>),
        params: Params,
        route: Route,
        confirmed: bool,
        now: Instant,
    ) -> Option<()> {
        let token = super::lifecycle::session_token(&hash);
        let (send_secret, receive_secret) = match side {
            Side::Initiator => (initiators, responders),
            Side::Responder => (responders, initiators),
        };
        let id = self.slots.name(slot);
        let aead = self.aeads().choose(params.aeads);
        let established =
            Established { id, peer, side, token, send_secret, receive_secret, aead, params, route };
        let provider = self.config.provider.clone();
        let session = Session::new(established, confirmed, self.transport.clone(), provider, now);
        self.slots.fill(slot, Box::new(Entry::new(session)));
        self.rearm(slot, now);
        Some(())
    }

    /// The winner of a tie repeats its own hello along the way that the loser's came.
    pub(super) fn repeat_along(&mut self, id: AttemptId, route: Route, limit: usize, now: Instant) {
        let Some(mut attempt) = self.attempts.remove(&id) else { return };
        // As many again as the application named; beyond that the newest takes the last one's place.
        let at = attempt.add_candidate(route.remote, 2 * self.config.handshake.max_addresses);
        if let Stage::Finishing { address, .. } = &mut attempt.stage {
            *address = at;
        }
        self.greet_candidate(&mut attempt, at, Some(limit), now);
        self.attempts.insert(id, attempt);
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
    fn merge_attempts(&mut self, from: AttemptId, into: AttemptId, found: SocketAddr, now: Instant) {
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
            attempt.add_candidate(found, limit);
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

    /// A socket opened: attempts that had none send at once.
    pub(super) fn hurry_attempts(&mut self, now: Instant) {
        let waiting = self.attempts.values().filter(|a| a.round == 0).map(|a| a.id).collect::<Vec<_>>();
        for id in waiting {
            if let Some(attempt) = self.attempts.get_mut(&id) {
                attempt.next = now;
            }
            self.drive_attempt(id, now);
        }
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

    /// The socket to reach an address from.
    fn socket_for(&self, address: SocketAddr) -> Option<SocketId> {
        let same = |local: &SocketAddr| local.is_ipv4() == address.is_ipv4();
        let usable = |local: &SocketAddr| !local.ip().is_loopback() || address.ip().is_loopback();
        let found = self.sockets.iter().find(|(_, s)| s.local.is_some_and(|l| same(&l) && usable(&l)));
        found
            .or_else(|| self.sockets.iter().find(|(_, s)| s.local.is_some_and(|l| same(&l))))
            .map(|(id, _)| *id)
    }

    pub(super) const fn aeads(&self) -> AeadSet {
        AeadSet { aes_256_gcm: self.config.hardware.aes }
    }

    /// What we tell a peer of a session in that slot.
    pub(super) fn params(
        &self,
        slot: u32,
        check: u32,
        live_session: Option<SessionToken>,
        alive: bool,
    ) -> Params {
        debug_assert!(slot < MAX_SLOT);
        let transport = &self.transport;
        Params {
            addressing: Addressing {
                mask: self.receive_kind,
                receive_key: self.receive_key.clone(),
                slot,
                check,
            },
            aeads: self.aeads(),
            limits: transport.limits,
            max_datagram: transport.max_datagram as u64,
            idle_timeout: transport.idle_timeout,
            max_ack_delay: transport.max_ack_delay,
            max_udp_payload: u16::MAX,
            live_session,
            alive,
        }
    }

    pub(super) fn noise(&self, pattern: Pattern, role: Role, remote: Option<&PeerId>) -> Option<Handshake> {
        let params = HandshakeParams {
            pattern,
            role,
            prologue: &self.config.network.prologue(),
            psk: &self.config.network.psk(),
            static_secret: self.config.secret_key.expose(),
            remote_static: remote.map(PeerId::as_bytes),
        };
        Handshake::new(&self.config.provider, params).ok()
    }

    /// An ephemeral key, hedged over all that makes this handshake different from any other.
    pub(super) fn ephemeral(&mut self, payload: &[u8], now: Instant) -> Zeroizing<[u8; 32]> {
        let wall = self.wall_now(now).as_millis().to_be_bytes();
        self.random.secret_key("ephemeral", &[self.config.secret_key.expose(), &wall, payload])
    }
}
