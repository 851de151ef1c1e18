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

mod clock;
mod closing;
mod datagrams;
mod keys;
mod load;
mod paths;
mod receive;
mod record;
mod stats;
mod transmit;

use core::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;
use zeroize::Zeroizing;

use self::datagrams::Datagrams;
use self::keys::Keys;
pub use self::load::SessionLoad;
pub(crate) use self::receive::PacketFate;
pub use self::stats::SessionStats;
use crate::config::{MIN_IDLE_TIMEOUT, TransportConfig};
use crate::crypto::mask::MaskKey;
use crate::crypto::{Aead, CryptoProvider};
use crate::event::{CloseReason, Event, SessionId};
use crate::handshake::params::{Params, SessionToken};
use crate::identity::PeerId;
use crate::path::{Contents, Path, Way};
use crate::recovery::{Outcome, RecoveryConfig};
use crate::streams::{Side, StreamEvent, Streams, StreamsConfig};
use crate::wire::packet::MIN_PACKET;
use crate::{Duration, Instant};

/// How long an unconfirmed session waits for its peer's first packet.
///
/// Longer than an initiator's first packets, lost several times, take to be repeated.
const HALF_OPEN: Duration = Duration::from_secs(12);

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
    pub(crate) way: Way,
    /// The handshake's round trip, where it is known.
    pub(crate) rtt: Option<Duration>,
}

impl Session {
    pub(crate) fn new(
        established: Established,
        confirmed: bool,
        config: Arc<TransportConfig>,
        provider: Arc<dyn CryptoProvider>,
        now: Instant,
    ) -> Self {
        let Established { id, peer, side, token, send_secret, receive_secret, aead, params, way, rtt } =
            established;
        let addressing = &params.addressing;
        let keys = Keys::new(provider, aead, send_secret, receive_secret, config.key_update_after);
        let recovery = RecoveryConfig { max_ack_delay: params.max_ack_delay, ..RecoveryConfig::default() };
        let datagram_size = usize::from(config.datagram_size.min(params.max_udp_payload));
        let mut path = Path::new(paths::HANDSHAKES, way, datagram_size, &recovery, config.max_ack_delay, now);
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
        self.way().and_then(Way::remote)
    }

    /// How long the handshake's keys have been there.
    pub const fn started(&self) -> Instant {
        self.started
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

    /// The largest unreliable datagram that fits now.
    pub(crate) fn max_datagram(&self) -> Option<usize> {
        if self.peer_max_datagram == 0 {
            return None;
        }
        let path = self.main()?;
        let room = crate::wire::frame::datagram_room(path.datagram_size - MIN_PACKET)?;
        Some(room.min(usize::try_from(self.peer_max_datagram).unwrap_or(usize::MAX)))
    }

    pub(crate) fn message_limit(&self) -> usize {
        self.streams.message_limit()
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

    /// Whether the session is one that we opened and in which nothing was heard yet.
    pub(crate) const fn is_unheard(&self) -> bool {
        matches!(self.side, Side::Initiator) && self.packets_received == 0
    }

    /// Since when both sides have been known to have the keys.
    pub(crate) const fn opened(&self) -> Option<Instant> {
        self.opened
    }
}
