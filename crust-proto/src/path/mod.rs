//! One way between the two ends of a session.
//!
//! A path is a *number*; its addresses are an attribute. It has a packet-number space, a replay window, RTT,
//! loss detection and congestion control of its own. When packets of the path come from another address
//! (a NAT rebound, the peer moved), that address is a *candidate* until it returned a challenge: data goes on
//! to the old one, the candidate gets nothing but the challenge, and what is lost meanwhile is repeated. So
//! whoever forwards or forges a packet's source gains nothing but a challenge.
//!
//! Until the peer's address is validated at all (at the responder, until the challenge in its first packet
//! returns) no more than three times what came from it is sent to it (RFC 9000 §8.1).

mod way;

use std::net::IpAddr;

use smallvec::SmallVec;

pub(crate) use self::way::{Route, Way};
use crate::io::SocketId;
use crate::recovery::{Received, Recovery, RecoveryConfig};
use crate::streams;
use crate::wire::packet::MIN_PACKET;
use crate::{Duration, Instant};

/// How often a challenge is repeated before its address is given up.
const MAX_CHALLENGES: u32 = 5;
/// Sent is at most so many times what came from an address that is not validated (RFC 9000 §8.1).
const AMPLIFICATION: u64 = 3;

/// An allowance below this is not spent: a challenge and an acknowledgement fit in so much.
pub(crate) const MIN_ALLOWANCE: u64 = 96;
/// The length of a packet that holds nothing but a challenge or a response.
pub(crate) const ELSEWHERE_LEN: usize = MIN_PACKET + 9;

/// What a packet carried, to be remembered until its fate is known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Carried {
    /// Content of the session's streams and messages.
    Streams(streams::Sent),
    /// An acknowledgement of the packets of a path up to `largest`.
    Ack {
        path: u32,
        largest: u64,
    },
    Ping,
    Challenge,
    Datagram,
}

/// All that a packet carried.
pub(crate) type Contents = SmallVec<[Carried; 4]>;

/// A challenge under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Challenge {
    token: [u8; 8],
    sent: u32,
    first_sent: Instant,
    next: Instant,
}

/// An address that packets of the path came from, not yet trusted.
#[derive(Debug)]
struct Candidate {
    way: Way,
    challenge: Challenge,
    received: u64,
    sent: u64,
}

#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) number: u32,
    pub(crate) way: Way,
    /// Whether its socket took nothing when it was last to send: until that is writable nothing of the path's own leaves.
    pub(crate) is_full: bool,
    pub(crate) recovery: Recovery<Contents>,
    pub(crate) received: Received,
    /// Probe packets or pings to send whatever the congestion window says.
    pub(crate) ping: bool,
    /// The size of our datagrams, in bytes.
    pub(crate) datagram_size: usize,
    /// A challenge to the present address, while it is not validated.
    challenge: Option<Challenge>,
    candidate: Option<Candidate>,
    /// Challenges of the peer to be answered, each along the way it came.
    responses: SmallVec<[([u8; 8], Way); 2]>,
    unvalidated_received: u64,
    unvalidated_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
}

/// What became of a returned challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validated {
    /// It answers none of ours.
    No,
    /// The present address is validated.
    Present,
    /// The candidate is, and is the path's address now.
    Moved { from: Way },
}

impl Path {
    /// `config` holds what the peer says of its acknowledgements, `max_ack_delay` is what we told it of ours.
    pub(crate) fn new(
        number: u32,
        way: Way,
        datagram_size: usize,
        config: &RecoveryConfig,
        max_ack_delay: Duration,
        now: Instant,
    ) -> Self {
        Self {
            number,
            way,
            is_full: false,
            recovery: Recovery::new(config, datagram_size, now),
            received: Received::new(max_ack_delay),
            ping: false,
            datagram_size,
            challenge: None,
            candidate: None,
            responses: SmallVec::new(),
            unvalidated_received: 0,
            unvalidated_sent: 0,
            bytes_sent: 0,
            bytes_received: 0,
        }
    }

    /// Begins to validate the path's address, from which `received` bytes came; until then little is sent to it.
    pub(crate) fn validate(&mut self, token: [u8; 8], received: u64, now: Instant) {
        self.challenge = Some(Challenge::new(token, now));
        self.unvalidated_received = received;
    }

    /// The peer's first packet, about to be counted, came along `way`. Where that is another than its hello's,
    /// only what comes from there counts for its validation.
    pub(crate) fn choose(&mut self, way: Way) {
        if !way.leads_where(self.way) {
            self.unvalidated_received = 0;
        }
        self.way = way;
    }

    /// An authenticated packet of this path came along `way`; `newest` if none with a higher number had come.
    pub(crate) fn on_packet(
        &mut self,
        way: Way,
        len: usize,
        newest: bool,
        token: impl FnOnce() -> [u8; 8],
        now: Instant,
    ) {
        self.bytes_received += len as u64;
        if way.is_same(self.way) {
            self.unvalidated_received += len as u64;
            self.way = way;
            if newest {
                // The peer is where we believe it to be; a candidate was a detour.
                self.candidate = None;
            }
            return;
        }
        match &mut self.candidate {
            Some(candidate) if candidate.way.leads_where(way) => candidate.received += len as u64,
            // Only the newest packet moves a path (RFC 9000 §9.3): older ones may be late ones from before.
            _ if newest => {
                let challenge = Challenge::new(token(), now);
                self.candidate = Some(Candidate { way, challenge, received: len as u64, sent: 0 });
            }
            _ => {}
        }
    }

    /// A socket is gone, and with it what was to go to other addresses over it.
    pub(crate) fn forget_socket(&mut self, lost: SocketId) {
        self.candidate.take_if(|c| c.way.is_over(lost));
        self.responses.retain(|(_, way)| !way.is_over(lost));
    }

    /// The path's socket is gone, and `other` takes its place.
    pub(crate) fn on_socket_lost(&mut self, other: SocketId) {
        match &mut self.way {
            Way::Udp(route) => {
                // The peer answers where it hears us next.
                *route = Route { socket: other, remote: route.remote, local: None };
                self.ping = true;
            }
        }
    }

    /// The machine no longer has these addresses: what went out from one of them goes out from any. True where the
    /// path itself did.
    pub(crate) fn on_addresses_lost(&mut self, gone: &[IpAddr]) -> bool {
        let leave = |way: &mut Way| way.without(gone).map(|left| *way = left).is_some();
        if let Some(candidate) = &mut self.candidate {
            leave(&mut candidate.way);
        }
        self.responses.iter_mut().for_each(|(_, way)| _ = leave(way));
        let left = leave(&mut self.way);
        // The peer answers where it hears us next.
        self.ping |= left;
        left
    }

    /// The peer's challenge, which came along `way`, is to be answered there.
    pub(crate) fn on_challenge(&mut self, token: [u8; 8], way: Way) {
        // Two at a time are plenty: the present address and a candidate.
        if self.responses.len() >= 2 {
            self.responses.remove(0);
        }
        self.responses.push((token, way));
    }

    /// A challenge's answer came along `way`.
    pub(crate) fn on_response(&mut self, token: [u8; 8], way: Way, now: Instant) -> Validated {
        if self.challenge.is_some_and(|c| c.sent > 0 && c.token == token) {
            self.challenge = None;
            return Validated::Present;
        }
        let answered =
            |c: &mut Candidate| c.challenge.sent > 0 && c.challenge.token == token && c.way.leads_where(way);
        let Some(candidate) = self.candidate.take_if(answered) else { return Validated::No };
        let from = core::mem::replace(&mut self.way, candidate.way);
        self.challenge = None;
        // RFC 9000 §9.4: where but the port changed it is likely the same way through the network.
        if from.is_elsewhere(self.way) {
            self.recovery.on_path_changed(now);
            // Measured from the first challenge: too long where that was lost, never too short.
            self.recovery.on_first_rtt(now, now.saturating_since(candidate.challenge.first_sent));
        }
        Validated::Moved { from }
    }

    /// The peer was shown by other means to receive along `way`: it answered a hello that went there.
    ///
    /// Were we moved (a NAT rebound) before our challenge returned, its answer went to where we no longer are, and
    /// once what may be sent to an address that is not validated is spent we cannot tell the peer where we are.
    pub(crate) fn on_proven(&mut self, way: Way) {
        if self.way.leads_where(way) {
            self.challenge = None;
        }
    }

    /// How many bytes may go to the present address now, as far as its validation is concerned.
    pub(crate) fn allowance(&self) -> u64 {
        match self.challenge {
            Some(_) => (AMPLIFICATION * self.unvalidated_received).saturating_sub(self.unvalidated_sent),
            None => u64::MAX,
        }
    }

    /// Whether a packet worth sending may go to the present address now.
    pub(crate) fn may_send(&self) -> bool {
        !self.is_full && self.allowance() >= MIN_ALLOWANCE
    }

    /// Whether a packet of that length may go to the present address now.
    pub(crate) fn may_send_whole(&self, len: usize) -> bool {
        !self.is_full && self.allowance() >= len as u64
    }

    pub(crate) fn on_transmit(&mut self, bytes: u64) {
        self.bytes_sent += bytes;
        self.unvalidated_sent += bytes;
    }

    /// The challenge to send to the present address, if one is due.
    pub(crate) fn due_challenge(&mut self, now: Instant) -> Option<[u8; 8]> {
        let pto = self.recovery.pto();
        // The present address is all that we have: it is challenged for as long as the session lasts.
        let challenge = self.challenge.as_mut()?;
        challenge.due(now).then(|| challenge.take(now, pto))
    }

    /// A challenge or a response that must go to another address than the present one, alone in its packet.
    pub(crate) fn due_elsewhere(
        &mut self,
        mut is_full: impl FnMut(Way) -> bool,
        now: Instant,
    ) -> Option<(Way, Elsewhere)> {
        let present = self.way;
        let elsewhere = |(_, way): &([u8; 8], Way)| !way.leads_where(present) && !is_full(*way);
        if let Some(at) = self.responses.iter().position(elsewhere) {
            let (token, way) = self.responses.remove(at);
            return Some((way, Elsewhere::Response(token)));
        }
        let pto = self.recovery.pto();
        let candidate = self.candidate.as_mut().filter(|c| c.challenge.due(now))?;
        if is_full(candidate.way) {
            // Later, as if it had been lost.
            candidate.challenge.next = now + pto;
            return None;
        }
        if candidate.challenge.sent >= MAX_CHALLENGES || !candidate.may_send() {
            self.candidate = None;
            return None;
        }
        candidate.sent += ELSEWHERE_LEN as u64;
        Some((candidate.way, Elsewhere::Challenge(candidate.challenge.take(now, pto))))
    }

    /// Takes a challenge of the peer to be answered at the present address.
    pub(crate) fn due_response(&mut self) -> Option<[u8; 8]> {
        let present = self.way;
        let at = self.responses.iter().position(|(_, way)| way.leads_where(present))?;
        Some(self.responses.remove(at).0)
    }

    /// When something is due on it. Not its acknowledgements: these may go on any path.
    ///
    /// Recovery's clock goes on while the socket is full: what is on its way is lost or acknowledged all the same, and
    /// each probe timeout is twice as far off as the last.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        let candidate = self.candidate.as_ref().map(|c| c.challenge.next);
        // What may not be sent now needs no timer: whatever allows it, a packet or the socket, wakes the session.
        let challenge = self.challenge.filter(|_| self.may_send()).map(|c| c.next);
        [candidate, challenge, self.recovery.timeout()].into_iter().flatten().min()
    }
}

/// What goes to another address than the path's present one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Elsewhere {
    Challenge([u8; 8]),
    Response([u8; 8]),
}

impl Candidate {
    const fn may_send(&self) -> bool {
        self.sent + ELSEWHERE_LEN as u64 <= AMPLIFICATION * self.received
    }
}

impl Challenge {
    const fn new(token: [u8; 8], now: Instant) -> Self {
        Self { token, sent: 0, first_sent: now, next: now }
    }

    fn due(&self, now: Instant) -> bool {
        self.next <= now
    }

    fn take(&mut self, now: Instant, pto: Duration) -> [u8; 8] {
        if self.sent == 0 {
            self.first_sent = now;
        }
        self.next = now + pto * (1 << self.sent.min(6));
        self.sent += 1;
        self.token
    }
}

#[cfg(test)]
mod tests;
