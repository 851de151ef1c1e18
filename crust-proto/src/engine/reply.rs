//! Replies to our hellos: another try, another peer, or the second Noise message and with it a session.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::attempt::{Copy, Purpose, Stage};
use super::slots::Entry;
use super::{Dropped, Engine, PAYLOAD_ROOM};
use crate::crypto::noise::{Handshake, HandshakeParams, Pattern, Role};
use crate::event::{AttemptId, ConnectError, SessionId};
use crate::handshake::envelope::{HelloKey, HelloKind, ReplyKind, ReplyTag};
use crate::handshake::params::{Addressing, AeadSet, Params, SessionToken};
use crate::identity::PeerId;
use crate::path::{Route, Way};
use crate::session::{Established, Session};
use crate::streams::Side;
use crate::wire::codec::Reader;
use crate::wire::packet::MAX_SLOT;
use crate::{Duration, Instant, UnixTime};

/// What a finished handshake yields.
pub(super) struct Met {
    pub(super) slot: u32,
    pub(super) peer: PeerId,
    pub(super) side: Side,
    pub(super) hash: [u8; 32],
    /// The initiator's and the responder's first sending secrets.
    pub(super) secrets: (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>),
    /// What the peer says of itself.
    pub(super) params: Params,
    pub(super) way: Way,
    /// How long the handshake's round trip took, where that is known.
    pub(super) rtt: Option<Duration>,
    /// Whether the peer is known to have the keys.
    pub(super) confirmed: bool,
}

impl Engine {
    /// A datagram that begins with the tag of a reply to one of an attempt's hellos.
    pub(super) fn handle_reply(
        &mut self,
        id: AttemptId,
        tag: ReplyTag,
        way: Way,
        datagram: &mut [u8],
        now: Instant,
    ) {
        let Some(attempt) = self.attempts.get(&id) else { return self.drop_as(Dropped::Late) };
        let of_tag = attempt.copies.iter().find(|c| c.tag == tag);
        let present = |c: &&Copy| {
            attempt.candidates.get(c.address).is_some_and(|there| c.way.remote() == Some(there.address))
        };
        let Some(copy) = of_tag.filter(present).cloned() else {
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
                if self.on_response(id, &copy, way, &content, now).is_none() {
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
        way: Way,
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
        let way = self.answered(copy.way, way);
        // Every copy has a tag of its own, so the answer tells which one it answers (no ambiguity as in Karn's).
        let rtt = now.saturating_since(copy.sent);
        match copy.kind {
            HelloKind::InitiateKnown if params.alive => {
                if let Purpose::Revival(session) = attempt.purpose {
                    let slot = super::slots::slot_of(session);
                    if self.slots.session(session).is_some() {
                        self.with_session(slot, |s| s.on_alive(way, now));
                        self.after(slot, now);
                    }
                    self.end_attempt(id, Err(ConnectError::Cancelled));
                }
                Some(())
            }
            HelloKind::InitiateKnown => {
                let slot = attempt.slot;
                let (hash, secrets) = (noise.hash(), noise.split().ok()?);
                let (side, rtt) = (Side::Initiator, Some(rtt));
                let met = Met { slot, peer, side, hash, secrets, params, way, rtt, confirmed: true };
                self.establish(met, now);
                self.with_session(slot, |session| session.ping());
                self.on_open(slot, now);
                Some(())
            }
            _ => self.on_xx_response(id, copy.address, noise, peer, params, (way, rtt), now),
        }
    }

    /// The way on, where a hello that went along `called` was answered along `came`.
    ///
    /// The address that we wrote to is where the responder heard us; the reply's source may be forged.
    fn answered(&self, called: Way, came: Way) -> Way {
        match (called, came) {
            (Way::Udp(called), Way::Udp(came)) => {
                let socket =
                    if self.sockets.contains_key(&called.socket) { called.socket } else { came.socket };
                Way::Udp(Route { socket, remote: called.remote, local: came.local })
            }
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
        (way, rtt): (Way, Duration),
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
            self.merge_attempts(id, other, way, now);
            return Some(());
        }
        let mut payload = Zeroizing::new(Vec::with_capacity(PAYLOAD_ROOM));
        self.params(slot, check, None, false).encode(&mut payload);
        let mut content = Vec::new();
        content.extend_from_slice(&params.addressing.slot.to_be_bytes());
        content.extend_from_slice(&params.addressing.check.to_be_bytes());
        noise.write_message(&payload, &mut content).ok()?;
        let (hash, secrets) = (noise.hash(), noise.split().ok()?);
        let (side, rtt) = (Side::Initiator, Some(rtt));
        let met = Met { slot, peer, side, hash, secrets, params, way, rtt, confirmed: false };
        let session = self.establish(met, now);
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
    pub(super) fn establish(&mut self, met: Met, now: Instant) -> SessionId {
        let Met { slot, peer, side, hash, secrets: (initiators, responders), params, way, rtt, confirmed } =
            met;
        let token = super::lifecycle::session_token(&hash);
        let (send_secret, receive_secret) = match side {
            Side::Initiator => (initiators, responders),
            Side::Responder => (responders, initiators),
        };
        let id = self.slots.name(slot);
        let aead = self.aeads().choose(params.aeads);
        let established =
            Established { id, peer, side, token, send_secret, receive_secret, aead, params, way, rtt };
        let provider = self.config.provider.clone();
        let session = Session::new(established, confirmed, self.transport.clone(), provider, now);
        self.slots.fill(slot, Box::new(Entry::new(session)));
        self.outdate(slot, now);
        id
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
