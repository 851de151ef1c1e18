//! Strangers' hellos: who is heard, who is answered, and how.
//!
//! In order of cost: the head (a cipher block), the time, the MAC, our own reflection, the replay filter, the
//! cookie where one is asked for, and only then a Diffie-Hellman.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::attempt::HalfXx;
use super::reply::Met;
use super::slots::{Slot, slot_of};
use super::{Dropped, Engine, PAYLOAD_ROOM, Timer};
use crate::Instant;
use crate::crypto::hash::hash;
use crate::crypto::noise::{Pattern, Role};
use crate::event::SessionId;
use crate::handshake::envelope::{Hello, HelloKey, HelloKind, REPLY_OVERHEAD, ReplyKind, Salt, VERSION};
use crate::handshake::params::Params;
use crate::handshake::replay::Stale;
use crate::identity::PeerId;
use crate::path::Way;
use crate::session::Session;
use crate::streams::Side;
use crate::wire::codec::Reader;

/// What cookies are baked for.
const COOKIE_FOR: &[u8] = b"hello";
/// How long a stranger has to finish an XX handshake.
const HALF_XX: crate::Duration = crate::Duration::from_secs(5);

/// What a hello must be answered by: the key it came under, its salt, the way it came, and its length, which no
/// answer exceeds.
#[derive(Clone, Copy)]
struct Asked {
    known: bool,
    salt: Salt,
    way: Way,
    len: usize,
}

impl Engine {
    /// A datagram that is no session's and no reply.
    pub(super) fn handle_stranger(&mut self, way: Way, datagram: &mut [u8], now: Instant) {
        if self.shut_down {
            return self.drop_as(Dropped::Full);
        }
        let fits = |known: bool, kind| matches!(kind, HelloKind::InitiateKnown | HelloKind::Finish) == known;
        let found =
            [(true, &self.hello_known), (false, &self.hello_unknown)].into_iter().find_map(|(known, key)| {
                key.peek(datagram).filter(|head| fits(known, head.kind)).map(|head| (known, head))
            });
        let Some((known, head)) = found else { return self.drop_as(Dropped::Unknown) };
        if head.version != VERSION {
            return self.drop_as(Dropped::Version);
        }
        let time = self.replay.time(self.wall_now(now), now);
        let Some(mac) = datagram.last_chunk().copied() else { return };
        let fresh = self.replay.check(head.wall, &mac, time);
        let initiates = matches!(head.kind, HelloKind::InitiateKnown | HelloKind::InitiateUnknown);
        match fresh {
            Ok(()) => {}
            // To a network without a secret anybody may be told the time; but not by a node that is not asked.
            Err(Stale::Time) if self.replay.knows(&mac) => return self.drop_as(Dropped::Replayed),
            Err(Stale::Time) if initiates && self.config.network.secret().is_none() => {}
            Err(Stale::Time) => return self.drop_as(Dropped::Stale),
            Err(Stale::Replayed) => return self.drop_as(Dropped::Replayed),
        }
        let len = datagram.len();
        let provider = self.config.provider.clone();
        let key = self.hello_key(known);
        let Ok(hello) = key.open_hello(&*provider, head, datagram) else {
            return self.drop_as(Dropped::Unauthentic);
        };
        if self.tags.contains_key(&key.reply_tag(&hello.salt)) {
            return self.drop_as(Dropped::Reflected);
        }
        let asked = Asked { known, salt: hello.salt, way, len };
        if fresh.is_err() {
            self.drop_as(Dropped::Stale);
            if self.clock_answers.allow(now) {
                self.replay.remember_answered(mac, now);
                self.send_retry(asked, now);
            }
            return;
        }
        match head.kind {
            HelloKind::InitiateKnown | HelloKind::InitiateUnknown if !self.has_cookie(&hello, way, now) => {
                self.replay.remember_answered(mac, now);
                return self.send_retry(asked, now);
            }
            // Neither is remembered, nor costs more than this, unless there is reason to believe it.
            HelloKind::Finish if !self.is_expected(&hello) => return self.drop_as(Dropped::Late),
            HelloKind::WhoIs if !self.unproven.allow(now) => return self.drop_as(Dropped::Full),
            _ => {}
        }
        self.replay.remember(head.wall, mac, now);
        match head.kind {
            HelloKind::InitiateKnown => self.on_initiation(asked, hello.content, now),
            HelloKind::InitiateUnknown => self.on_unknown_initiation(asked, hello.content, now),
            HelloKind::Finish => self.on_finish(asked, hello.content, now),
            HelloKind::WhoIs => self.on_who_is(asked, hello.content),
        }
    }

    fn hello_key(&self, known: bool) -> Arc<HelloKey> {
        if known { self.hello_known.clone() } else { self.hello_unknown.clone() }
    }

    /// Whether a stranger has shown that it receives at its address, or needs not yet.
    fn has_cookie(&mut self, hello: &Hello<'_>, way: Way, now: Instant) -> bool {
        let random = &mut self.random;
        self.cookies.rotate_if_due(now, || random.secret_key("cookies", &[]));
        let shows_one = match way {
            Way::Udp(route) => self.cookies.check(route.remote, COOKIE_FOR, &hello.cookie),
        };
        // A cookie first: whoever shows one does not use up what is left for those who cannot have one yet.
        shows_one || (self.half_open() < self.config.handshake.cookie_threshold && self.unproven.allow(now))
    }

    /// Whether a third message names a handshake that waits for one.
    fn is_expected(&self, hello: &Hello<'_>) -> bool {
        let mut reader = Reader::new(hello.content);
        matches!((reader.u32(), reader.u32()), (Ok(slot), Ok(check)) if self.slots.check_of(slot) == Some(check))
    }

    fn send_retry(&mut self, asked: Asked, now: Instant) {
        let cookie = match asked.way {
            Way::Udp(route) => self.cookies.bake(route.remote, COOKIE_FOR),
        };
        let mut content = [0u8; 24];
        let mut w = crate::wire::codec::Writer::new(&mut content);
        let time = self.replay.time(self.wall_now(now), now);
        w.u64(self.replay.acceptable(time).as_millis());
        w.bytes(&cookie);
        self.stats.retries_sent += 1;
        // Well below the hello, so that nobody is flooded through us.
        self.send_reply(asked, ReplyKind::Retry, &content, asked.len / 2);
    }

    /// Answers in at most `longest` bytes, and never more than were asked with.
    fn send_reply(&mut self, asked: Asked, kind: ReplyKind, content: &[u8], longest: usize) {
        let shortest = REPLY_OVERHEAD + content.len();
        let longest = longest.min(asked.len);
        if shortest > asked.len {
            return;
        }
        let spare = longest.saturating_sub(shortest) as u64;
        let len = shortest + usize::try_from(self.random.wire_below(spare + 1)).unwrap_or(0);
        let salt = self.random.wire_array();
        let mut datagram = Vec::new();
        let provider = &*self.config.provider;
        let key = self.hello_key(asked.known);
        if key.seal_reply(provider, &asked.salt, salt, kind, content, len, &mut datagram).is_ok() {
            self.post(asked.way, datagram);
        }
    }

    fn respond(&mut self, asked: Asked, message: &[u8]) {
        self.stats.hellos_answered += 1;
        self.send_reply(asked, ReplyKind::Response, message, asked.len);
    }

    /// Answers another copy of a first message that was answered before. Whether it was one.
    fn respond_again(&mut self, asked: Asked, initiation: &[u8; 32], now: Instant) -> bool {
        let Some(&slot) = self.initiations.get(initiation) else { return false };
        let response = match self.slots.get_mut(slot) {
            Some(Slot::HalfXx(half)) => {
                half.until = now + HALF_XX;
                Some(half.response.clone())
            }
            Some(Slot::Session(entry)) => {
                entry.session.on_answered_again(now);
                entry.response.clone()
            }
            _ => None,
        };
        match response {
            Some(response) => self.respond(asked, &response),
            // The session is confirmed: the initiator has the answer already.
            None => self.drop_as(Dropped::Late),
        }
        true
    }

    /// IK's first message.
    fn on_initiation(&mut self, asked: Asked, message: &[u8], now: Instant) {
        let initiation = hash(&[message]);
        if self.respond_again(asked, &initiation, now) {
            return;
        }
        if self.half_open() >= self.config.handshake.max_half_open || self.shut_down {
            return self.drop_as(Dropped::Full);
        }
        let read = || {
            let mut noise = self.noise(Pattern::IkPsk2, Role::Responder, None)?;
            let params = Params::decode(&noise.read_message(message).ok()?).ok()?;
            let peer = PeerId::from_bytes(noise.remote_static()?);
            // A second spelling of a key would be a second name for one peer.
            (peer != self.peer_id() && peer.is_canonical()).then_some((noise, params, peer))
        };
        let Some((mut noise, params, peer)) = read() else { return self.drop_as(Dropped::Unauthentic) };

        let named = |id: &SessionId, token| self.slots.session(*id).is_some_and(|s| *s.token() == token);
        let live = params.live_session.is_some_and(|token| {
            // Also one that the peer never confirmed as far as we know: all its packets may have been lost.
            let open = self.peers.get(&peer).copied();
            open.into_iter().chain(self.all_unconfirmed_with(&peer)).any(|id| named(&id, token))
        });
        let ended =
            params.live_session.and_then(|token| self.closing.get(&peer).filter(|id| named(id, token)));
        if let Some(&ended) = ended.filter(|_| !live) {
            // It asks after a session that we are closing: it shall hear that, not find a new one.
            self.with_session(slot_of(ended), |session| session.close_again(true, now));
            return self.drop_as(Dropped::Unwanted);
        }
        if !live && let Err(why) = self.admit(&peer, asked, now) {
            return self.drop_as(why);
        }
        let check = u32::from_be_bytes(self.random.wire_array());
        let slot = match live {
            // Nothing is kept of a question: the slot in its answer means nothing.
            true => 0,
            false => {
                self.limit_unconfirmed_with(&peer);
                let Some(slot) = self.slots.take(check, Slot::Reserved) else {
                    return self.drop_as(Dropped::Full);
                };
                slot
            }
        };
        let mut payload = Zeroizing::new(Vec::with_capacity(PAYLOAD_ROOM));
        self.params(slot, check, None, live).encode(&mut payload);
        let armed = noise.set_ephemeral(&self.ephemeral(&payload, now));
        let mut response = Vec::new();
        if armed.is_err() || noise.write_message(&payload, &mut response).is_err() {
            if !live {
                self.slots.free(slot);
            }
            return self.drop_as(Dropped::Unauthentic);
        }
        if live {
            return self.respond(asked, &response);
        }
        let hash = noise.hash();
        let Ok(secrets) = noise.split() else {
            self.slots.free(slot);
            return self.drop_as(Dropped::Unauthentic);
        };
        let (side, way, rtt) = (Side::Responder, asked.way, None);
        let met = Met { slot, peer, side, hash, secrets, params, way, rtt, confirmed: false };
        self.establish(met, now);
        let token = self.random.wire_array();
        if let Some(entry) = self.slots.entry_mut(slot) {
            entry.session.validate_address(token, asked.len, now);
            entry.initiation = Some(initiation);
            entry.response = Some(response.clone());
            let id = entry.session.id();
            self.initiations.insert(initiation, slot);
            self.unconfirmed.insert((peer, id));
            self.yield_attempts(&peer, id);
        }
        self.respond(asked, &response);
    }

    /// Whether a peer that opens a handshake may have a session, as far as our own wishes go.
    fn admit(&mut self, peer: &PeerId, asked: Asked, now: Instant) -> Result<(), Dropped> {
        let ours = self.attempts.values().find(|a| a.peer.as_ref() == Some(peer) && a.yielded.is_none());
        let session = self.peers.get(peer).and_then(|id| self.slots.session(*id));
        if session.is_some_and(Session::is_unheard) && self.peer_id() < *peer {
            // Our own handshake was answered, so this one has lost the tie already, or will hear of our session soon.
            return Err(Dropped::Unwanted);
        }
        match ours.map(|a| a.id) {
            // Both opened: the lower id's initiation wins, and the loser hears it along the way it called.
            Some(attempt) if self.peer_id() < *peer => {
                self.repeat_along(attempt, asked.way, asked.len, now);
                Err(Dropped::Unwanted)
            }
            Some(_) => Ok(()),
            None if self.config.accept_incoming => Ok(()),
            // A peer that we have, or ask about, may come back even where strangers may not.
            None if self.peers.contains_key(peer) => Ok(()),
            None if self.attempts.values().any(|a| a.peer.as_ref() == Some(peer)) => Ok(()),
            None => Err(Dropped::Unwanted),
        }
    }

    /// XX's first message.
    fn on_unknown_initiation(&mut self, asked: Asked, message: &[u8], now: Instant) {
        let initiation = hash(&[message]);
        if self.respond_again(asked, &initiation, now) {
            return;
        }
        if self.half_open() >= self.config.handshake.max_half_open || self.shut_down {
            return self.drop_as(Dropped::Full);
        }
        if !self.config.accept_incoming && self.attempts.is_empty() {
            return self.drop_as(Dropped::Unwanted);
        }
        let Some(mut noise) = self.noise(Pattern::XxPsk3, Role::Responder, None) else { return };
        if noise.read_message(message).is_err() {
            return self.drop_as(Dropped::Unauthentic);
        }
        let check = u32::from_be_bytes(self.random.wire_array());
        let Some(slot) = self.slots.take(check, Slot::Reserved) else {
            return self.drop_as(Dropped::Full);
        };
        let mut payload = Zeroizing::new(Vec::with_capacity(PAYLOAD_ROOM));
        self.params(slot, check, None, false).encode(&mut payload);
        let armed = noise.set_ephemeral(&self.ephemeral(&payload, now));
        let mut response = Vec::new();
        if armed.is_err() || noise.write_message(&payload, &mut response).is_err() {
            self.slots.free(slot);
            return self.drop_as(Dropped::Unauthentic);
        }
        let until = now + HALF_XX;
        let half = HalfXx {
            noise,
            initiation,
            response: response.clone(),
            until,
            since: now,
            armed: until,
            way: asked.way,
            received: asked.len,
        };
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Slot::HalfXx(Box::new(half));
        }
        self.half_xx += 1;
        self.initiations.insert(initiation, slot);
        self.timers.insert((until, Timer::Slot(slot)));
        self.respond(asked, &response);
    }

    /// XX's third message.
    fn on_finish(&mut self, asked: Asked, content: &[u8], now: Instant) {
        let mut reader = Reader::new(content);
        let (Ok(slot), Ok(check)) = (reader.u32(), reader.u32()) else {
            return self.drop_as(Dropped::Unauthentic);
        };
        if self.slots.check_of(slot) != Some(check) {
            return self.drop_as(Dropped::Late);
        }
        let half = match self.slots.get_mut(slot) {
            Some(Slot::HalfXx(half)) => half,
            Some(Slot::Session(entry)) => {
                // A copy: the initiator has not heard yet that it is done.
                entry.session.ping();
                return self.enqueue(slot);
            }
            _ => return self.drop_as(Dropped::Late),
        };
        let (initiation, since, armed) = (half.initiation, half.since, half.armed);
        // The first hello counts for the address's validation only if it came from there.
        let received = if half.way.leads_where(asked.way) { half.received } else { 0 };
        let mut noise = half.noise.clone();
        let mut read = || {
            let params = Params::decode(&noise.read_message(reader.rest()).ok()?).ok()?;
            Some((params, PeerId::from_bytes(noise.remote_static()?)))
        };
        let Some((params, peer)) = read() else { return self.drop_as(Dropped::Unauthentic) };
        if peer == self.peer_id() || !peer.is_canonical() {
            return self.drop_as(Dropped::Unauthentic);
        }
        // A session that was opened since is the newer one, whatever was late here.
        let newer = self.peers.get(&peer).and_then(|id| self.slots.session(*id)?.opened());
        if newer.is_some_and(|opened| opened >= since) {
            return self.drop_as(Dropped::Unwanted);
        }
        if let Err(why) = self.admit(&peer, asked, now) {
            return self.drop_as(why);
        }
        let hash = noise.hash();
        let Ok(secrets) = noise.split() else { return self.drop_as(Dropped::Unauthentic) };
        self.timers.remove(&(armed, Timer::Slot(slot)));
        self.half_xx -= 1;
        let (side, way, rtt) = (Side::Responder, asked.way, None);
        let met = Met { slot, peer, side, hash, secrets, params, way, rtt, confirmed: true };
        self.establish(met, now);
        let token = self.random.wire_array();
        if let Some(entry) = self.slots.entry_mut(slot) {
            entry.session.validate_address(token, received + asked.len, now);
            entry.session.ping();
            entry.initiation = Some(initiation);
        }
        self.on_open(slot, now);
        self.enqueue(slot);
    }

    /// Somebody looks for a peer at our address.
    fn on_who_is(&mut self, asked: Asked, content: &[u8]) {
        let me = self.hello_unknown.who_is_proof(&asked.salt, &self.peer_id());
        if content == me {
            // The hello that came with it is answered; this needs no answer.
            return;
        }
        self.stats.not_me_sent += 1;
        self.send_reply(asked, ReplyKind::NotMe, &[], asked.len);
    }

    /// Attempts to connect to a peer whose own handshake we answer stand back until it is confirmed, or not.
    fn yield_attempts(&mut self, peer: &PeerId, to: crate::SessionId) {
        let mut finishing = Vec::new();
        for attempt in self.attempts.values_mut().filter(|a| a.peer.as_ref() == Some(peer)) {
            attempt.yielded = Some(to);
            finishing.extend(attempt.unconfirmed());
        }
        for session in finishing {
            self.discard_unconfirmed(session);
        }
    }
}
