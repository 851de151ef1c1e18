//! Hellos that we send: which, to which candidates, from where, and when again.

use std::net::SocketAddr;

use super::attempt::{Attempt, Candidate, Copy, Purpose, Stage};
use super::{Engine, Timer};
use crate::event::{AttemptId, TriedOutcome};
use crate::handshake::envelope::{HELLO_OVERHEAD, HelloHead, HelloKind, MAX_HELLO, VERSION};
use crate::io::SocketId;
use crate::path::{Route, Way};
use crate::{Duration, Instant};

/// Hellos are at least this long, so that the answer, which is never longer, has room.
const MIN_HELLO: usize = 800;
/// From this round of repetitions on it is asked whether somebody else lives at an address.
const WHO_IS_FROM_ROUND: u32 = 2;

impl Engine {
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
    pub(super) fn greet_candidate(
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
        let Some(way) = self.way_to(candidate) else { return false };
        let kind = match attempt.stage {
            Stage::Initiating(kind) => kind,
            Stage::Finishing { .. } => HelloKind::Finish,
        };
        let content = attempt.content.clone();
        self.send_hello(attempt, at, way, kind, &content, limit, now);
        let asks = kind == HelloKind::InitiateKnown
            && attempt.round >= WHO_IS_FROM_ROUND
            && attempt.purpose == Purpose::Application;
        if let Some(peer) = attempt.peer.filter(|_| asks) {
            let salt = self.random.wire_array();
            let proof = self.hello_unknown.who_is_proof(&salt, &peer);
            self.send_hello_salted(attempt, at, way, HelloKind::WhoIs, &proof, salt, Some(300), now);
        }
        true
    }

    #[allow(clippy::too_many_arguments, reason = "what is sent, where to, and when")]
    fn send_hello(
        &mut self,
        attempt: &mut Attempt,
        at: usize,
        way: Way,
        kind: HelloKind,
        content: &[u8],
        limit: Option<usize>,
        now: Instant,
    ) {
        let salt = self.random.wire_array();
        self.send_hello_salted(attempt, at, way, kind, content, salt, limit, now);
    }

    #[allow(clippy::too_many_arguments, reason = "what is sent, where to, and when")]
    fn send_hello_salted(
        &mut self,
        attempt: &mut Attempt,
        at: usize,
        way: Way,
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
            // Its time may be the peer's, and far ahead: what the filter learns of time is ours.
            self.replay.remember(head.wall.min(wall), *mac, now);
        }
        candidate.sent += 1;
        let tag = key.reply_tag(&salt);
        let forgotten = attempt.remember(Copy { tag, salt, address: at, way, kind, sent: now });
        if let Some(tag) = forgotten {
            self.tags.remove(&tag);
        }
        self.tags.insert(tag, attempt.id);
        self.stats.hellos_sent += 1;
        self.post(way, datagram);
    }

    /// The winner of a tie repeats its own hello along the way that the loser's came.
    pub(super) fn repeat_along(&mut self, id: AttemptId, way: Way, limit: usize, now: Instant) {
        let Some(remote) = way.remote() else { return };
        let Some(mut attempt) = self.attempts.remove(&id) else { return };
        // As many again as the application named; beyond that the newest takes the last one's place.
        let at = attempt.add_candidate(remote, 2 * self.config.handshake.max_addresses);
        // Along that very path: a firewall that let the loser's hello out lets only its answer in.
        if let Some(candidate) = attempt.candidates.get_mut(at) {
            candidate.along = Some(way);
        }
        if let Stage::Finishing { address, .. } = &mut attempt.stage {
            *address = at;
        }
        self.greet_candidate(&mut attempt, at, Some(limit), now);
        self.attempts.insert(id, attempt);
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

    /// The way to a candidate from here: the one that the peer called along, or from the socket that suits the address.
    fn way_to(&self, candidate: &Candidate) -> Option<Way> {
        let remote = candidate.address;
        let heard_on = candidate.along.and_then(Way::socket).filter(|on| self.sockets.contains_key(on));
        let socket = heard_on.or_else(|| self.socket_for(remote))?;
        Some(Way::Udp(Route { socket, remote, local: None }))
    }

    /// The socket to reach an address from.
    pub(super) fn socket_for(&self, address: SocketAddr) -> Option<SocketId> {
        let same = |local: &SocketAddr| local.is_ipv4() == address.is_ipv4();
        let usable = |local: &SocketAddr| !local.ip().is_loopback() || address.ip().is_loopback();
        let found = self.sockets.iter().find(|(_, s)| s.local.is_some_and(|l| same(&l) && usable(&l)));
        found
            .or_else(|| self.sockets.iter().find(|(_, s)| s.local.is_some_and(|l| same(&l))))
            .map(|(id, _)| *id)
    }
}
