//! Figures of a session, from its beginning.

use super::Session;
use crate::crypto::Aead;
use crate::path::Path;
use crate::{Duration, Instant};

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
    /// The session's figures.
    pub fn stats(&self) -> SessionStats {
        let sum = |f: fn(&Path) -> u64| self.paths.iter().map(f).sum();
        let main = self.main();
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
}
