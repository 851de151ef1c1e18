//! One authenticated peer: keys, streams, messages, datagrams, and the paths that carry them.
//!
//! A session begins when a handshake has yielded keys. The side that cannot yet know that the other has them
//! too (the responder of IK, the initiator of XX) holds it *unconfirmed*, unannounced and without sending
//! data, until a packet of the peer opens. Then it is open until
//!
//! * the application closes it: at once (CLOSE goes out until the peer confirms it or some tries are spent), or
//!   gracefully (first everything written is delivered, for as long as something is within
//!   [`TransportConfig::linger`]);
//! * the peer closes it: a while longer the session answers CLOSE with CLOSE, should the answer be lost;
//! * nothing was heard for the idle timeout; the peer was restarted; the peer broke the protocol.
//!
//! What had arrived by then can still be read.

mod datagrams;
mod keys;
mod load;
mod receive;
mod record;
mod transmit;

use core::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;
use zeroize::Zeroizing;

use self::datagrams::Datagrams;
use self::keys::Keys;
pub use self::load::SessionLoad;
pub(crate) use self::receive::PacketFate;
pub(crate) use self::transmit::Polled;
use crate::config::{MIN_IDLE_TIMEOUT, TransportConfig};
use crate::crypto::mask::MaskKey;
use crate::crypto::{Aead, CryptoProvider};
use crate::event::{CloseReason, Event, Misbehaviour, PROTOCOL_CODES, SessionId};
use crate::handshake::params::{Params, SessionToken};
use crate::identity::PeerId;
use crate::io::SocketId;
use crate::path::{Contents, Path, Route};
use crate::recovery::{Outcome, RecoveryConfig};
use crate::streams::{Side, StreamEvent, Streams, StreamsConfig};
use crate::wire::packet::MIN_PACKET;
use crate::{Duration, Instant};

/// CLOSE with this code confirms the peer's CLOSE and is not answered.
const CLOSE_CONFIRMED: u64 = PROTOCOL_CODES;
/// CLOSE with this code says that the receiver broke the protocol.
const PROTOCOL_VIOLATION: u64 = PROTOCOL_CODES + 1;
/// CLOSE with this code says that a key is used up.
const KEYS_USED_UP: u64 = PROTOCOL_CODES + 2;
/// How often CLOSE is sent to a peer that does not confirm it.
const CLOSE_TRIES: u32 = 6;
/// The first pause between two answers with CLOSE to what the peer sends; it doubles.
const CLOSE_REPEAT: Duration = Duration::from_millis(5);
/// How long CLOSE is repeated at most, whatever the peer claims of its acknowledgements.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// A reason longer than this is cut, so that CLOSE always fits a packet.
const MAX_REASON: usize = 256;
/// How long an unconfirmed session waits for its peer's first packet.
///
/// Longer than an initiator's first packets, lost several times, take to be repeated.
const HALF_OPEN: Duration = Duration::from_secs(12);
/// After so many probe timeouts in a row the peer is asked whether it still has the session.
const PTOS_BEFORE_REVIVAL: u32 = 3;
/// How long after one such question the next is asked.
const REVIVAL_INTERVAL: Duration = Duration::from_secs(5);
/// When nothing of the application's came or went for so long, memory that only serves speed is given back.
const SPARES_KEPT: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum State {
    /// The peer has not shown yet that it has the keys.
    Unconfirmed {
        until: Instant,
    },
    Open,
    /// Closing gracefully: what was written is delivered first.
    Lingering {
        until: Instant,
        code: u64,
        reason: Bytes,
    },
    /// CLOSE goes out until the peer confirms it.
    Closing {
        code: u64,
        reason: Bytes,
        sent: u32,
        /// Whether the peer has shown that it has not heard, and is told again beside the tries.
        again: bool,
        /// How often it was, and from when on it may be once more.
        repeats: u32,
        may_repeat: Instant,
        next: Instant,
        until: Instant,
    },
    /// The peer closed: its CLOSE is confirmed as often as it comes.
    Draining {
        until: Instant,
        confirm: bool,
    },
    Ended,
}

/// One authenticated peer.
pub struct Session {
    id: SessionId,
    peer: PeerId,
    side: Side,
    token: SessionToken,
    config: Arc<TransportConfig>,
    state: State,
    keys: Keys,
    /// How the peer wants our packets addressed.
    slot: u32,
    check: u32,
    mask: MaskKey,
    paths: SmallVec<[Path; 1]>,
    streams: Streams,
    datagrams: Datagrams,
    peer_max_datagram: u64,
    idle_timeout: Duration,
    keep_alive: Option<Duration>,
    started: Instant,
    /// When the session was confirmed.
    opened: Option<Instant>,
    last_heard: Instant,
    /// The first ack-eliciting packet since the peer was heard last (RFC 9000 §10.1).
    first_unheard: Option<Instant>,
    last_sent: Instant,
    /// When something of the application's came or went last.
    last_data: Instant,
    /// When the pacer, or the peer's clock, lets the next packet go.
    send_at: Option<Instant>,
    next_revival: Option<Instant>,
    close_reason: Option<CloseReason>,
    closed_event: bool,
    moved: Option<(SocketAddr, SocketAddr)>,
    outcome: Outcome<Contents>,
    packets_sent: u64,
    packets_received: u64,
    key_updates: u64,
    /// The application asked for new keys, and has not got them yet.
    update_wanted: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .field("state", &self.state)
            .field("paths", &self.paths.len())
            .finish_non_exhaustive()
    }
}

/// What a finished handshake yields.
pub(crate) struct Established {
    pub(crate) id: SessionId,
    pub(crate) peer: PeerId,
    pub(crate) side: Side,
    pub(crate) token: SessionToken,
    pub(crate) send_secret: Zeroizing<[u8; 32]>,
    pub(crate) receive_secret: Zeroizing<[u8; 32]>,
    pub(crate) aead: Aead,
    pub(crate) params: Params,
    pub(crate) route: Route,
    /// The handshake's round trip, where it is known.
    pub(crate) rtt: Option<Duration>,
}

/// Figures of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// The AEAD in use.
    pub aead: Aead,
    /// Since when both sides have been known to hold the keys.
    pub opened: Option<Instant>,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets received that authenticated and were new.
    pub packets_received: u64,
    /// UDP payload bytes sent.
    pub bytes_sent: u64,
    /// UDP payload bytes received in such packets.
    pub bytes_received: u64,
    /// Packets declared lost.
    pub packets_lost: u64,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Congestion window, in bytes.
    pub congestion_window: u64,
    /// Bytes on their way.
    pub bytes_in_flight: u64,
    /// How often the keys were updated.
    pub key_updates: u64,
    /// Datagrams dropped here for want of room: before sending, and before they were received.
    pub datagrams_dropped: (u64, u64),
}

impl Session {
    pub(crate) fn new(
        established: Established,
        confirmed: bool,
        config: Arc<TransportConfig>,
        provider: Arc<dyn CryptoProvider>,
        now: Instant,
    ) -> Self {
        let Established { id, peer, side, token, send_secret, receive_secret, aead, params, route, rtt } =
            established;
        let addressing = &params.addressing;
        let keys = Keys::new(provider, aead, send_secret, receive_secret, config.key_update_after);
        let recovery = RecoveryConfig { max_ack_delay: params.max_ack_delay, ..RecoveryConfig::default() };
        let datagram_size = usize::from(config.datagram_size.min(params.max_udp_payload));
        let mut path = Path::new(0, route, datagram_size, &recovery, config.max_ack_delay, now);
        if let Some(rtt) = rtt {
            path.recovery.on_first_rtt(now, rtt);
        }
        // RFC 9000 §10.1: whoever says zero sets no limit of its own.
        let theirs = Some(params.idle_timeout).filter(|theirs| !theirs.is_zero());
        let idle_timeout = theirs.map_or(config.idle_timeout, |theirs| theirs.min(config.idle_timeout));
        let idle_timeout = idle_timeout.max(MIN_IDLE_TIMEOUT);
        let streams_config = StreamsConfig { local: config.limits, send_buffer: config.send_buffer };
        Self {
            id,
            peer,
            side,
            token,
            state: if confirmed { State::Open } else { State::Unconfirmed { until: now + HALF_OPEN } },
            keys,
            slot: addressing.slot,
            check: addressing.check,
            mask: MaskKey::new(addressing.mask, &addressing.receive_key),
            paths: SmallVec::from_iter([path]),
            streams: Streams::new(side, &streams_config, &params.limits),
            datagrams: Datagrams::new(config.datagram_buffer),
            peer_max_datagram: params.max_datagram,
            idle_timeout,
            // Early enough that two of three may be lost, whatever the peer's patience.
            keep_alive: config.keep_alive.map(|every| every.min(idle_timeout / 3)),
            started: now,
            opened: confirmed.then_some(now),
            last_heard: now,
            first_unheard: None,
            last_sent: now,
            last_data: now,
            send_at: None,
            next_revival: None,
            close_reason: None,
            closed_event: false,
            moved: None,
            outcome: Outcome::default(),
            packets_sent: 0,
            packets_received: 0,
            key_updates: 0,
            update_wanted: false,
            config,
        }
    }

    /// The session's name.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Who is at the other end.
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// Which side of the handshake we were.
    pub const fn side(&self) -> Side {
        self.side
    }

    /// How the session ended, if it has.
    pub const fn close_reason(&self) -> Option<&CloseReason> {
        self.close_reason.as_ref()
    }

    /// Where the peer is reached.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.paths.first().map(|p| p.route.remote)
    }

    /// How long the handshake's keys have been there.
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// The session's figures.
    pub fn stats(&self) -> SessionStats {
        let sum = |f: fn(&Path) -> u64| self.paths.iter().map(f).sum();
        let main = self.paths.first();
        SessionStats {
            aead: self.keys.aead(),
            opened: self.opened,
            packets_sent: self.packets_sent,
            packets_received: self.packets_received,
            bytes_sent: sum(|p| p.bytes_sent),
            bytes_received: sum(|p| p.bytes_received),
            packets_lost: sum(|p| p.recovery.stats().lost),
            rtt: main.map_or(Duration::ZERO, |p| p.recovery.rtt().smoothed()),
            congestion_window: main.map_or(0, |p| p.recovery.congestion_window()),
            bytes_in_flight: main.map_or(0, |p| p.recovery.bytes_in_flight()),
            key_updates: self.key_updates,
            datagrams_dropped: self.datagrams.dropped(),
        }
    }

    pub(crate) const fn token(&self) -> &SessionToken {
        &self.token
    }

    /// Whether both sides are known to have the keys and neither has closed.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Lingering { .. })
    }

    pub(crate) const fn is_unconfirmed(&self) -> bool {
        matches!(self.state, State::Unconfirmed { .. })
    }

    pub(crate) const fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether the application may still write.
    pub(crate) const fn takes_data(&self) -> bool {
        matches!(self.state, State::Open)
    }

    pub(crate) fn streams(&mut self) -> &mut Streams {
        &mut self.streams
    }

    pub(crate) fn datagrams(&mut self) -> &mut Datagrams {
        &mut self.datagrams
    }

    pub(crate) fn route(&self) -> Option<Route> {
        self.paths.first().map(|p| p.route)
    }

    /// The largest unreliable datagram that fits now.
    pub(crate) fn max_datagram(&self) -> Option<usize> {
        if self.peer_max_datagram == 0 {
            return None;
        }
        let path = self.paths.first()?;
        let room = crate::wire::frame::datagram_room(path.datagram_size - MIN_PACKET)?;
        Some(room.min(usize::try_from(self.peer_max_datagram).unwrap_or(usize::MAX)))
    }

    pub(crate) fn message_limit(&self) -> usize {
        self.streams.message_limit()
    }

    /// Sends something soon that the peer must acknowledge.
    pub(crate) fn ping(&mut self) {
        if let Some(path) = self.paths.first_mut() {
            path.ping = true;
        }
    }

    /// Changes the keys as soon as they may change: with the next packet, or once the peer has been heard in the
    /// present epoch and the last one's keys are forgotten.
    pub(crate) fn update_keys(&mut self) {
        self.update_wanted = true;
        self.ping();
    }

    /// Whether it is over and the application has heard so.
    pub(crate) const fn is_told(&self) -> bool {
        self.close_reason.is_some() && !self.closed_event
    }

    /// A socket is gone: nothing goes to the side over it any more.
    pub(crate) fn forget_socket(&mut self, lost: SocketId) {
        for path in &mut self.paths {
            path.forget_socket(lost);
        }
    }

    /// The socket of a path is gone; it goes on over another.
    pub(crate) fn on_socket_lost(&mut self, lost: SocketId, other: SocketId) {
        for path in &mut self.paths {
            path.on_socket_lost(lost, other);
        }
    }

    /// The machine no longer has these addresses. True where a path goes on from another.
    pub(crate) fn on_addresses_lost(&mut self, gone: &[IpAddr]) -> bool {
        let mut left = false;
        for path in &mut self.paths {
            left |= path.on_addresses_lost(gone);
        }
        left
    }

    /// Begins to validate the peer's address: it was not proven by the handshake.
    pub(crate) fn validate_address(&mut self, token: [u8; 8], received: usize, now: Instant) {
        if let Some(path) = self.paths.first_mut() {
            path.validate(token, received as u64, now);
        }
    }

    /// Whether the peer has been silent so long that it should be asked whether it still has the session.
    pub(crate) fn wants_revival(&mut self, now: Instant) -> bool {
        let silent = self.paths.iter().all(|p| p.recovery.pto_count() >= PTOS_BEFORE_REVIVAL);
        let due = self.is_open() && silent && self.next_revival.is_none_or(|at| at <= now);
        if due {
            self.next_revival = Some(now + REVIVAL_INTERVAL);
        }
        due
    }

    /// The peer says, in a handshake at `address`, that the session lives: probe again at once.
    pub(crate) fn on_alive(&mut self, address: SocketAddr, now: Instant) {
        self.last_heard = now;
        for path in &mut self.paths {
            path.on_proven(address);
        }
        self.ping();
    }

    /// Ends the session at once for the application.
    pub(crate) fn close(&mut self, code: u64, reason: &[u8], now: Instant) {
        if self.close_reason.is_some() {
            return;
        }
        let said = Bytes::copy_from_slice(reason.get(..MAX_REASON).unwrap_or(reason));
        let silent = self.is_unconfirmed();
        self.begin_closing(code.min(PROTOCOL_CODES - 1), said, CloseReason::Here { code }, now);
        if silent {
            self.state = State::Ended;
        }
    }

    /// Ends the session once everything written has been delivered.
    pub(crate) fn finish_and_close(&mut self, code: u64, reason: &[u8], now: Instant) {
        if matches!(self.state, State::Open) {
            let reason = Bytes::copy_from_slice(reason.get(..MAX_REASON).unwrap_or(reason));
            self.state = State::Lingering { until: now + self.config.linger, code, reason };
            self.end_lingering(now);
        }
    }

    /// Takes a graceful close back: the application wants the peer again before it was over.
    pub(crate) fn reopen(&mut self) {
        if matches!(self.state, State::Lingering { .. }) {
            self.state = State::Open;
        }
    }

    /// The peer was restarted and a new session stands in this one's place: its keys are gone at the peer, so
    /// nothing more is sent.
    pub(crate) fn on_replaced(&mut self) {
        self.end(CloseReason::PeerRestarted);
    }

    pub(crate) fn misbehaved(&mut self, what: Misbehaviour, now: Instant) {
        let said = Bytes::from(what.to_string());
        self.begin_closing(PROTOCOL_VIOLATION, said, CloseReason::PeerMisbehaved(what), now);
    }

    /// What the application is to hear next.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        let session = self.id;
        if let Some((from, to)) = self.moved.take() {
            return Some(Event::AddressChanged { session, from, to });
        }
        if self.datagrams.take_readable() {
            return Some(Event::DatagramReadable { session });
        }
        if let Some(event) = self.streams.poll_event() {
            return Some(match event {
                StreamEvent::Opened { dir } => Event::StreamOpened { session, dir },
                StreamEvent::Readable(stream) => Event::Readable { session, stream },
                StreamEvent::Writable(stream) => Event::Writable { session, stream },
                StreamEvent::Finished(stream) => Event::StreamFinished { session, stream },
                StreamEvent::Stopped { id: stream, code } => Event::StreamStopped { session, stream, code },
                StreamEvent::StreamsAvailable(dir) => Event::StreamsAvailable { session, dir },
                StreamEvent::MessageReadable => Event::MessageReadable { session },
                StreamEvent::MessageWritable(priority) => Event::MessageWritable { session, priority },
                StreamEvent::MessageAcked(message) => Event::MessageAcked { session, message },
            });
        }
        // Last, so that whoever reads on every event has read everything by then.
        let closed = core::mem::take(&mut self.closed_event);
        let reason = self.close_reason.clone().filter(|_| closed)?;
        Some(Event::Closed { session, reason })
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        let until = match self.state {
            State::Ended => return None,
            State::Unconfirmed { until } | State::Draining { until, .. } => return Some(until),
            // What may not be sent needs no timer: the packet that allows it wakes the session.
            State::Closing { next, until, .. } => {
                return Some(if self.may_send_close() { next.min(until) } else { until });
            }
            State::Lingering { until, .. } => Some(until),
            State::Open => None,
        };
        let paths = self.paths.iter().filter_map(Path::timeout).min();
        let may_send = self.paths.iter().any(Path::may_send);
        let keep_alive = self.keep_alive.filter(|_| may_send).map(|every| self.last_sent + every);
        let idle = Some(self.idle_deadline());
        [until, paths, keep_alive, idle, self.keys.timeout(), self.send_at, self.trim_at()]
            .into_iter()
            .flatten()
            .min()
    }

    /// When the session ends or changes its state even if its socket takes nothing.
    pub(crate) fn end_of_patience(&self) -> Option<Instant> {
        match self.state {
            State::Ended => None,
            State::Unconfirmed { until } | State::Draining { until, .. } | State::Closing { until, .. } => {
                Some(until)
            }
            State::Lingering { until, .. } => Some(until.min(self.idle_deadline())),
            State::Open => Some(self.idle_deadline()),
        }
    }

    /// Another copy of the hello was answered: the peer may only now have what it needs to go on.
    pub(crate) fn on_answered_again(&mut self, now: Instant) {
        if let State::Unconfirmed { until } = &mut self.state {
            *until = now + HALF_OPEN;
        }
    }

    /// Whether the session is one that we opened and in which nothing was heard yet.
    pub(crate) const fn is_unheard(&self) -> bool {
        matches!(self.side, Side::Initiator) && self.packets_received == 0
    }

    /// Since when both sides have been known to have the keys.
    pub(crate) const fn opened(&self) -> Option<Instant> {
        self.opened
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Ended => return,
            State::Unconfirmed { until } => {
                // Never announced, so nobody is told.
                if *until <= now {
                    self.state = State::Ended;
                }
                return;
            }
            State::Draining { until, .. } => {
                if *until <= now {
                    self.state = State::Ended;
                }
                return;
            }
            State::Closing { sent, next, until, .. } => {
                if *until <= now || (*next <= now && *sent >= CLOSE_TRIES) {
                    self.state = State::Ended;
                }
                return;
            }
            State::Open | State::Lingering { .. } => {}
        }
        if self.idle_deadline() <= now {
            self.end(CloseReason::TimedOut(self.idle_timeout));
            return;
        }
        self.keys.on_timeout(now);
        self.send_at.take_if(|at| *at <= now);
        for at in 0..self.paths.len() {
            self.on_path_timeout(at, now);
        }
        if self.keep_alive.is_some_and(|every| self.last_sent + every <= now) {
            self.ping();
        }
        if self.trim_at().is_some_and(|at| at <= now) {
            self.streams.trim();
        }
        self.end_lingering(now);
    }

    /// When spare memory is to be given back, while there is some.
    fn trim_at(&self) -> Option<Instant> {
        self.streams.has_spare_memory().then(|| self.last_data + SPARES_KEPT)
    }

    /// Goes from lingering to closing, once everything is delivered or the time is up.
    pub(crate) fn end_lingering(&mut self, now: Instant) {
        let State::Lingering { until, code, reason } = &self.state else { return };
        let delivered = self.streams.is_flushed() && !self.datagrams.wants_to_send();
        if delivered || *until <= now {
            let (code, reason) = (*code, reason.clone());
            self.begin_closing(code.min(PROTOCOL_CODES - 1), reason, CloseReason::Here { code }, now);
        }
    }

    /// The peer speaks as if the session were open: it has not heard CLOSE, and hears it again, with pauses that grow,
    /// or the two would keep each other busy (RFC 9000 §10.2.1). Where it `asked` there is no pause.
    pub(crate) fn close_again(&mut self, asked: bool, now: Instant) {
        let longest = self.closing_pto();
        if let State::Closing { sent, again, repeats, may_repeat, .. } = &mut self.state
            && *sent > 0
            && (asked || *may_repeat <= now)
        {
            *again = true;
            *may_repeat = now + (CLOSE_REPEAT * (1 << (*repeats).min(10))).min(longest);
            *repeats += 1;
        }
    }

    fn begin_closing(&mut self, code: u64, said: Bytes, reason: CloseReason, now: Instant) {
        if self.close_reason.is_none() {
            self.close_reason = Some(reason);
            self.closed_event = true;
            self.state = State::Closing {
                code,
                reason: said,
                sent: 0,
                again: false,
                repeats: 0,
                may_repeat: now,
                next: now,
                until: now + CLOSE_PATIENCE,
            };
        }
    }

    /// The session is over and the peer need not, or cannot, be told.
    fn end(&mut self, reason: CloseReason) {
        if self.close_reason.is_none() {
            self.close_reason = Some(reason);
            self.closed_event = !self.is_unconfirmed();
        }
        self.state = State::Ended;
    }

    fn idle_deadline(&self) -> Instant {
        // RFC 9000 §10.1: also from the first packet that asks for an answer, and no shorter than three PTOs.
        let since = self.first_unheard.map_or(self.last_heard, |sent| sent.max(self.last_heard));
        since + self.idle_timeout.max(self.slowest_pto() * 3)
    }

    /// The probe timeout by which closing goes: within bounds that no peer can move.
    fn closing_pto(&self) -> Duration {
        self.slowest_pto().clamp(Duration::from_millis(50), Duration::from_secs(1))
    }

    fn slowest_pto(&self) -> Duration {
        self.paths.iter().map(|p| p.recovery.pto()).max().unwrap_or_default()
    }
}
