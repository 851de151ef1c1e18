//! What a session holds at present.

use super::{Session, State};
use crate::Instant;
use crate::path::Path;
use crate::recovery::Permit;

/// What a session holds at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionLoad {
    /// Streams that are not over.
    pub streams: usize,
    /// Of those, what the peer opened.
    pub peer_streams: usize,
    /// Bytes of streams and messages that the peer has not acknowledged.
    pub unacked: u64,
    /// Bytes of streams and messages that the application has not read.
    pub unread: u64,
    /// Bytes of unreliable datagrams that wait to be sent.
    pub datagrams_out: usize,
    /// Bytes of unreliable datagrams that wait for the application.
    pub datagrams_in: usize,
    /// Bytes on their way.
    pub in_flight: u64,
}

impl SessionLoad {
    /// The greater of both, figure by figure.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            streams: self.streams.max(other.streams),
            peer_streams: self.peer_streams.max(other.peer_streams),
            unacked: self.unacked.max(other.unacked),
            unread: self.unread.max(other.unread),
            datagrams_out: self.datagrams_out.max(other.datagrams_out),
            datagrams_in: self.datagrams_in.max(other.datagrams_in),
            in_flight: self.in_flight.max(other.in_flight),
        }
    }
}

impl Session {
    /// What the session holds at present. Walks over all streams.
    pub fn load(&self) -> SessionLoad {
        let (unacked, unread) = self.streams.buffered();
        let (datagrams_out, datagrams_in) = self.datagrams.queued();
        SessionLoad {
            streams: self.streams.stream_count(),
            peer_streams: self.streams.peer_stream_count(),
            unacked,
            unread,
            datagrams_out,
            datagrams_in,
            in_flight: self.paths.iter().map(|p| p.recovery.bytes_in_flight()).sum(),
        }
    }

    /// Whether it has something to send that may go now, or that nothing will bring out: to be asked when it had its
    /// chance to send.
    pub(crate) fn has_forgotten_work(&self, now: Instant) -> bool {
        let open = matches!(self.state, State::Open | State::Lingering { .. });
        let wants = self.streams.wants_to_send() || self.datagrams.wants_to_send();
        if !open || !wants || self.send_at.is_some() {
            return false;
        }
        // A path that may not be sent a whole packet waits for its socket or its peer, one whose window is full for what
        // is on its way.
        let forgotten = |path: &Path| match path.recovery.permit(now, path.datagram_size) {
            Permit::Now { .. } | Permit::At(_) => true,
            Permit::Blocked => !path.recovery.has_in_flight(),
        };
        self.paths.iter().filter(|path| path.may_send_whole(path.datagram_size)).any(forgotten)
    }
}
