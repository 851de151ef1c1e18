//! The paths of a session: which serves for what, and what happens to them from outside.

use std::net::IpAddr;

use super::Session;
use crate::io::SocketId;
use crate::path::{Path, Way};
use crate::{Duration, Instant};

/// The number of the path that the handshake made: its datagrams had gone that way.
pub(super) const HANDSHAKES: u32 = 0;
/// After so many probe timeouts in a row the peer is asked whether it still has the session.
const PTOS_BEFORE_REVIVAL: u32 = 3;
/// How long after one such question the next is asked.
const REVIVAL_INTERVAL: Duration = Duration::from_secs(5);

impl Session {
    /// Where in the list the path is that serves for all that is bound to none: data, pings, CLOSE, figures.
    pub(super) const fn main_at(&self) -> usize {
        0
    }

    pub(super) fn main(&self) -> Option<&Path> {
        self.paths.get(self.main_at())
    }

    pub(super) fn main_mut(&mut self) -> Option<&mut Path> {
        let at = self.main_at();
        self.paths.get_mut(at)
    }

    /// Where in the list the path of that number is.
    pub(super) fn place_of(&self, number: u32) -> Option<usize> {
        self.paths.iter().position(|path| path.number == number)
    }

    pub(super) fn path_mut(&mut self, number: u32) -> Option<&mut Path> {
        self.paths.iter_mut().find(|path| path.number == number)
    }

    /// The way that what is not bound to a path goes.
    pub(crate) fn way(&self) -> Option<Way> {
        self.main().map(|path| path.way)
    }

    /// The ways of all paths.
    pub(crate) fn ways(&self) -> impl Iterator<Item = Way> + '_ {
        self.paths.iter().map(|path| path.way)
    }

    /// Sends something soon that the peer must acknowledge.
    pub(crate) fn ping(&mut self) {
        if let Some(path) = self.main_mut() {
            path.ping = true;
        }
    }

    /// Begins to validate the peer's address: it was not proven by the handshake.
    pub(crate) fn validate_address(&mut self, token: [u8; 8], received: usize, now: Instant) {
        if let Some(path) = self.path_mut(HANDSHAKES) {
            path.validate(token, received as u64, now);
        }
    }

    /// A socket is gone: nothing goes to the side over it any more.
    pub(crate) fn forget_socket(&mut self, lost: SocketId) {
        for path in &mut self.paths {
            path.forget_socket(lost);
        }
    }

    /// The socket of a way is gone; the paths that went it go on over another.
    pub(crate) fn on_socket_lost(&mut self, way: Way, other: SocketId) {
        for path in self.paths.iter_mut().filter(|path| path.way == way) {
            path.on_socket_lost(other);
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

    /// Whether the peer has been silent so long that it should be asked whether it still has the session.
    pub(crate) fn wants_revival(&mut self, now: Instant) -> bool {
        let silent = self.paths.iter().all(|p| p.recovery.pto_count() >= PTOS_BEFORE_REVIVAL);
        // Whoever cannot be probed is not silent.
        let probed = self.paths.iter().any(|p| !p.is_full);
        let due = self.is_open() && silent && probed && self.next_revival.is_none_or(|at| at <= now);
        if due {
            self.next_revival = Some(now + REVIVAL_INTERVAL);
        }
        due
    }

    /// The peer says, in a handshake along `way`, that the session lives: probe again at once.
    pub(crate) fn on_alive(&mut self, way: Way, now: Instant) {
        self.last_heard = now;
        for path in &mut self.paths {
            path.on_proven(way);
        }
        self.ping();
    }

    pub(super) fn slowest_pto(&self) -> Duration {
        self.paths.iter().map(|p| p.recovery.pto()).max().unwrap_or_default()
    }
}
