//! From a session's first packet to its slot's next use: announcing, waking, timing, ending.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::attempt::Purpose;
use super::slots::{Entry, Slot, slot_of};
use super::{Dropped, Engine, Timer};
use crate::crypto::hash::kdf;
use crate::event::{AttemptId, ConnectError, Event, SessionId};
use crate::handshake::params::SessionToken;
use crate::identity::PeerId;
use crate::io::{InterfaceAddr, SocketId};
use crate::path::Way;
use crate::session::Session;
use crate::{Duration, Instant};

/// A timer that is due and cannot be served yet (its window is shut) comes again so much later.
pub(super) const GRANULARITY: Duration = Duration::from_millis(1);

/// How often in a row a socket that died is opened again without anything having arrived on it.
const MAX_DEATHS: u32 = 4;

/// How many sessions that are over, and were told of, wait to be released; beyond this the first is forgotten.
const MAX_ENDED: usize = 1024;

/// How many handshakes of one peer may be unconfirmed at once.
const MAX_UNCONFIRMED: usize = 4;

/// What both ends, and nobody else, call a session.
pub(super) fn session_token(handshake_hash: &[u8; 32]) -> SessionToken {
    let token = kdf(handshake_hash, "session token", &[]);
    let mut out = SessionToken::default();
    out.iter_mut().zip(token.iter()).for_each(|(o, t)| *o = *t);
    out
}

impl Engine {
    /// Forgets a session: the application will not ask for it again. One that is still open is closed with code 0.
    ///
    /// Call it for each session that has [ended](Event::Closed), once all that had arrived was read: until then the
    /// engine keeps it. (Of those whose end was told it keeps the 1,024 that ended last.)
    pub fn release(&mut self, id: SessionId, now: Instant) {
        if self.ended.remove(&id).is_some() {
            return;
        }
        let slot = slot_of(id);
        if let Some(entry) = self.slots.entry_mut(slot).filter(|e| e.session.id() == id) {
            entry.released = true;
            entry.session.close(0, b"", now);
            self.enqueue(slot);
            self.after(slot, now);
        }
    }

    /// Closes every session at once, gives every attempt up and takes nobody new. Keep polling until
    /// [`is_idle`](Engine::is_idle).
    pub fn shutdown(&mut self, code: u64, reason: &[u8], now: Instant) {
        self.shut_down = true;
        // Hellos and replies have no purpose any more, and their socket may stay full for ever.
        self.outbox.clear();
        for attempt in self.attempts.keys().copied().collect::<Vec<_>>() {
            self.end_attempt(attempt, Err(ConnectError::Cancelled));
        }
        for slot in self.slots.indices() {
            match self.slots.get_mut(slot) {
                Some(Slot::Session(entry)) => {
                    entry.session.close(code, reason, now);
                    self.enqueue(slot);
                    self.after(slot, now);
                }
                Some(Slot::HalfXx(_)) => {
                    self.discard_slot(slot);
                }
                _ => {}
            }
        }
    }

    /// A session stands.
    pub(super) fn on_open(&mut self, slot: u32, now: Instant) {
        let Some(entry) = self.slots.entry_mut(slot) else { return };
        entry.announced = true;
        entry.response = None;
        let (session, peer) = (entry.session.id(), entry.session.peer());
        self.unconfirmed.remove(&(peer, session));
        self.stats.sessions_opened += 1;
        if let Some(old) = self.peers.insert(peer, session).filter(|old| *old != session) {
            // A peer that opens a second session has lost the first.
            self.with_session(slot_of(old), Session::on_replaced);
            self.after(slot_of(old), now);
        }
        // Whatever else was under way with the peer has lost.
        while let Some(other) = self.unconfirmed_with(&peer) {
            self.discard_unconfirmed(other);
        }
        let served: Vec<(AttemptId, Purpose)> =
            self.attempts.values().filter(|a| a.peer == Some(peer)).map(|a| (a.id, a.purpose)).collect();
        let incoming = !served.iter().any(|(_, purpose)| *purpose == Purpose::Application);
        self.events.push_back(Event::Connected { session, peer, incoming });
        for (attempt, _) in served {
            self.end_attempt(attempt, Ok(session));
        }
        self.enqueue(slot);
    }

    /// To be called after anything that may have changed a session.
    pub(super) fn after(&mut self, slot: u32, now: Instant) {
        let Some(entry) = self.slots.entry_mut(slot) else { return };
        let (id, peer) = (entry.session.id(), entry.session.peer());
        if !entry.eventful {
            entry.eventful = true;
            self.eventful.push_back(id);
        }
        if entry.session.is_ended() {
            return self.retire(slot, now);
        }
        if entry.session.close_reason().is_some() {
            self.forget_peer(&peer, id);
            // The latest: whatever becomes of older ones, which nobody asks after any more.
            let latest = self.closing.entry(peer).or_insert(id);
            *latest = (*latest).max(id);
        }
        self.outdate(slot, now);
    }

    /// Puts a session among those that may have something to send.
    pub(super) fn enqueue(&mut self, slot: u32) {
        if let Some(entry) = self.slots.entry_mut(slot).filter(|e| !e.queued) {
            entry.queued = true;
            self.ready.push_back(slot);
        }
    }

    /// A session's timer may not be what it should be: to be seen to when somebody asks for timers, once for
    /// however many packets.
    pub(super) fn outdate(&mut self, slot: u32, now: Instant) {
        let (slots, at) = &mut self.stale;
        *at = now.max(*at);
        if let Some(entry) = self.slots.entry_mut(slot).filter(|entry| !entry.stale) {
            entry.stale = true;
            slots.push(slot);
        }
    }

    /// Sets the timers of all sessions that have changed.
    pub(super) fn rearm_stale(&mut self) {
        while let Some(slot) = self.stale.0.pop() {
            self.rearm(slot, self.stale.1);
        }
    }

    /// Sets a session's timer. A later time than the one set is left to when that fires.
    fn rearm(&mut self, slot: u32, now: Instant) {
        let Some(entry) = self.slots.entry_mut(slot) else { return };
        entry.stale = false;
        let Some(at) = entry.session.timeout() else { return };
        let at = if at <= now { now + GRANULARITY } else { at };
        if entry.armed.is_some_and(|armed| armed <= at) {
            return;
        }
        if let Some(armed) = entry.armed.replace(at) {
            self.timers.remove(&(armed, Timer::Slot(slot)));
        }
        self.timers.insert((at, Timer::Slot(slot)));
    }

    pub(super) fn with_session(&mut self, slot: u32, change: impl FnOnce(&mut Session)) {
        if let Some(entry) = self.slots.entry_mut(slot) {
            change(&mut entry.session);
            self.enqueue(slot);
        }
    }

    /// A socket could not be opened, or died. One that had been open is opened once more at the same address, so
    /// that those who know it find us; sessions go on over another meanwhile.
    pub(super) fn on_socket_failed(&mut self, socket: SocketId, error: String, now: Instant) {
        let Some(dead) = self.sockets.remove(&socket) else { return };
        self.outbox.retain(|outgoing| !outgoing.way.is_over(socket));
        self.events.push_back(Event::ListenFailed { socket, local: dead.requested, error });
        if let Some(local) = dead.local.filter(|_| dead.deaths < MAX_DEATHS && !self.shut_down) {
            self.bind_after(local, dead.deaths + 1);
        }
        self.leave_dead_sockets(Some(socket), now);
    }

    /// Moves sessions whose socket is gone to one that is there. Their peers see another address, as when a NAT
    /// rebinds.
    pub(super) fn leave_dead_sockets(&mut self, lost: Option<SocketId>, now: Instant) {
        for slot in self.slots.indices() {
            let Some(entry) = self.slots.entry_mut(slot) else { continue };
            if let Some(lost) = lost {
                // Also where only something on the side went over it.
                entry.session.forget_socket(lost);
                entry.waits_for.retain(|waited| *waited != lost);
            }
            let sockets = &self.sockets;
            let is_dead = |way: &Way| way.socket().is_some_and(|socket| !sockets.contains_key(&socket));
            let dead: SmallVec<[Way; 1]> = entry.session.ways().filter(is_dead).collect();
            for way in dead {
                let Some(other) = way.remote().and_then(|remote| self.socket_for(remote)) else { continue };
                let Some(entry) = self.slots.entry_mut(slot) else { break };
                entry.session.on_socket_lost(way, other);
                self.enqueue(slot);
                self.after(slot, now);
            }
        }
    }

    /// The machine's addresses changed. No system sends from an address that it no longer has: sessions whose packets
    /// went out from one go on from any other, and say so, for their peers cannot know.
    pub(super) fn on_interfaces(&mut self, interfaces: &[InterfaceAddr], now: Instant) {
        let before = core::mem::replace(&mut self.interfaces, interfaces.to_vec());
        let still = |ip: IpAddr| interfaces.iter().any(|interface| interface.ip == ip);
        let gone: Vec<IpAddr> =
            before.iter().map(|interface| interface.ip).filter(|ip| !still(*ip)).collect();
        if gone.is_empty() {
            return;
        }
        for slot in self.slots.indices() {
            let Some(entry) = self.slots.entry_mut(slot) else { continue };
            if entry.session.on_addresses_lost(&gone) {
                self.enqueue(slot);
                self.after(slot, now);
            }
        }
    }

    /// How many handshakes of strangers are not finished.
    pub(super) fn half_open(&self) -> usize {
        self.unconfirmed.len() + self.half_xx
    }

    /// A session that the peer opened and has not confirmed.
    ///
    /// There may be several: copies of an older handshake may arrive after a newer one's. The newest is returned.
    pub(super) fn unconfirmed_with(&self, peer: &PeerId) -> Option<SessionId> {
        self.all_unconfirmed_with(peer).next_back()
    }

    /// All of them, oldest first.
    pub(super) fn all_unconfirmed_with(&self, peer: &PeerId) -> impl DoubleEndedIterator<Item = SessionId> {
        self.unconfirmed.range((*peer, SessionId(0))..=(*peer, SessionId(u64::MAX))).map(|(_, id)| *id)
    }

    /// Makes room for one more handshake of a peer, at the cost of its oldest.
    pub(super) fn limit_unconfirmed_with(&mut self, peer: &PeerId) {
        let mut of_peer = self.all_unconfirmed_with(peer);
        if let (Some(oldest), true) = (of_peer.next(), of_peer.count() + 1 >= MAX_UNCONFIRMED) {
            self.discard_unconfirmed(oldest);
        }
    }

    /// Forgets a session that was never confirmed.
    pub(super) fn discard_unconfirmed(&mut self, id: SessionId) {
        let slot = slot_of(id);
        if self.slots.entry_mut(slot).is_some_and(|e| e.session.id() == id && e.session.is_unconfirmed()) {
            self.discard_slot(slot);
        }
        // In any case: whoever asks for the peer's must come to an end.
        self.unconfirmed.retain(|(_, unconfirmed)| *unconfirmed != id);
    }

    /// A session is no longer the one with its peer, and nobody need ask any more whether it lives.
    fn forget_peer(&mut self, peer: &PeerId, id: SessionId) {
        if self.peers.get(peer) == Some(&id) {
            self.peers.remove(peer);
        }
        let asking = self.attempts.values().find(|a| a.purpose == Purpose::Revival(id)).map(|a| a.id);
        if let Some(attempt) = asking {
            self.end_attempt(attempt, Err(ConnectError::Cancelled));
        }
    }

    /// The time of a stranger's unfinished handshake is up.
    pub(super) fn on_half_open_timeout(&mut self, slot: u32, now: Instant) {
        let Some(Slot::HalfXx(half)) = self.slots.get_mut(slot) else { return };
        if half.until <= now {
            self.discard_slot(slot);
        } else {
            // It was answered again since.
            half.armed = half.until;
            self.timers.insert((half.armed, Timer::Slot(slot)));
        }
    }

    /// Empties a slot, and forgets all that led to it.
    pub(super) fn discard_slot(&mut self, slot: u32) -> Option<Box<Entry>> {
        match self.slots.free(slot) {
            Slot::Session(entry) => {
                if let Some(armed) = entry.armed {
                    self.timers.remove(&(armed, Timer::Slot(slot)));
                }
                if let Some(initiation) = &entry.initiation {
                    self.initiations.remove(initiation);
                }
                let (id, peer) = (entry.session.id(), entry.session.peer());
                self.forget_peer(&peer, id);
                if self.closing.get(&peer) == Some(&id) {
                    self.closing.remove(&peer);
                }
                self.unconfirmed.remove(&(peer, id));
                Some(entry)
            }
            Slot::HalfXx(half) => {
                self.half_xx -= 1;
                self.initiations.remove(&half.initiation);
                self.timers.remove(&(half.armed, Timer::Slot(slot)));
                None
            }
            Slot::Free | Slot::Reserved | Slot::Attempt(_) => None,
        }
    }

    /// Forgets what ended first where there is too much of it; but none whose application was not told yet.
    fn forget_ended(&mut self) {
        for _ in 0..self.endings.len() {
            if self.ended.len() <= MAX_ENDED {
                break;
            }
            let Some(oldest) = self.endings.pop_front() else { break };
            match self.ended.get(&oldest) {
                Some(entry) if entry.session.is_told() => {
                    self.ended.remove(&oldest);
                }
                Some(_) => self.endings.push_back(oldest),
                None => {}
            }
        }
        // Released ones leave their names behind.
        if self.endings.len() > 2 * self.ended.len().max(MAX_ENDED) {
            let ended = &self.ended;
            self.endings.retain(|id| ended.contains_key(id));
        }
    }

    /// A session is over.
    fn retire(&mut self, slot: u32, now: Instant) {
        let Some(entry) = self.discard_slot(slot) else { return };
        let id = entry.session.id();
        if entry.announced {
            if !entry.released {
                self.ended.insert(id, entry);
                self.endings.push_back(id);
                self.forget_ended();
            }
            return;
        }
        // It never came to be: whoever stood back for it goes on.
        let stood_back: Vec<AttemptId> = self
            .attempts
            .values()
            .filter(|a| a.yielded == Some(id) || (a.yielded.is_none() && a.unconfirmed() == Some(id)))
            .map(|a| a.id)
            .collect();
        for attempt in stood_back {
            self.restart_attempt(attempt, now);
        }
    }

    pub(super) fn drop_as(&mut self, why: Dropped) {
        self.stats.dropped.count(why);
    }
}
