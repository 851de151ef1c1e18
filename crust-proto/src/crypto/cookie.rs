//! Cookies: proof, without state, that a peer receives at the address that it sends from.
//!
//! A node under load answers a stranger's hello with a cookie [baked](CookieJar::bake) for its address,
//! and goes on only when the stranger brings it back. The node keeps two secrets and nothing a peer. The
//! present secret bakes; it and the one before check; [`CookieJar::rotate_if_due`] is called before
//! either, so that a cookie lives for between one and two periods.

use core::fmt;
use std::net::{IpAddr, SocketAddr};

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::{KEY_LEN, first_bytes, hash::kdf};
use crate::{Duration, Instant};

/// Length of a cookie, in bytes.
pub const COOKIE_LEN: usize = 16;
/// How long a secret bakes; it checks for as long again.
pub const ROTATION_PERIOD: Duration = Duration::from_secs(60);

/// The secrets behind the cookies. Erased from memory when dropped.
pub struct CookieJar {
    current: Zeroizing<[u8; KEY_LEN]>,
    previous: Option<Zeroizing<[u8; KEY_LEN]>>,
    rotated: Instant,
}

impl CookieJar {
    /// A jar whose first secret is `key`, which must be random.
    pub fn new(key: Zeroizing<[u8; KEY_LEN]>, now: Instant) -> Self {
        Self { current: key, previous: None, rotated: now }
    }

    /// Replaces the secret by a `fresh` random one if it has baked for [`ROTATION_PERIOD`]. After a pause
    /// of two periods the old one is forgotten as well, since its cookies are as old.
    pub fn rotate_if_due(&mut self, now: Instant, fresh: impl FnOnce() -> Zeroizing<[u8; KEY_LEN]>) {
        let age = now.saturating_since(self.rotated);
        if age < ROTATION_PERIOD {
            return;
        }
        let old = core::mem::replace(&mut self.current, fresh());
        self.previous = (age < ROTATION_PERIOD * 2).then_some(old);
        self.rotated = now;
    }

    /// The cookie of the peer at `addr`. It is bound to `context` too: the parts of the peer's hello that
    /// must come again.
    ///
    /// An IPv4 address means the same as itself mapped into IPv6 (RFC 4291 §2.5.5.2), as sockets of both
    /// families report it.
    pub fn bake(&self, addr: SocketAddr, context: &[u8]) -> [u8; COOKIE_LEN] {
        cookie(&self.current, addr, context)
    }

    /// Whether the cookie `shown` was baked for `addr` and `context` by the present secret or the one before. The
    /// time it takes does not depend on it.
    pub fn check(&self, addr: SocketAddr, context: &[u8], shown: &[u8; COOKIE_LEN]) -> bool {
        let by_current = cookie(&self.current, addr, context).ct_eq(shown);
        let by_previous = match &self.previous {
            Some(key) => cookie(key, addr, context).ct_eq(shown),
            None => Choice::from(0),
        };
        (by_current | by_previous).into()
    }
}

impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieJar").field("rotated", &self.rotated).finish_non_exhaustive()
    }
}

fn cookie(key: &[u8; KEY_LEN], addr: SocketAddr, context: &[u8]) -> [u8; COOKIE_LEN] {
    let port = addr.port().to_be_bytes();
    let mac = match addr.ip().to_canonical() {
        IpAddr::V4(ip) => kdf(key, "cookie", &[&ip.octets(), &port, context]),
        IpAddr::V6(ip) => kdf(key, "cookie", &[&ip.octets(), &port, context]),
    };
    first_bytes(&mac)
}

#[cfg(test)]
#[path = "cookie_tests.rs"]
mod tests;
