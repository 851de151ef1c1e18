//! Credit: how much stream data the session may carry, and how many streams may be opened, both ways
//! (RFC 9000 §4).

use super::Violation;
use crate::wire::codec::MAX_VARINT;

/// No more streams of a kind than this can exist (RFC 9000 §4.6).
pub(super) const MAX_STREAMS: u64 = 1 << 60;

/// The limit that lets a peer be `window` ahead of what was `read`.
pub(super) const fn limit(read: u64, window: u64) -> u64 {
    let limit = read.saturating_add(window);
    if limit > MAX_VARINT { MAX_VARINT } else { limit }
}

/// Whether half of the window was read since `announced` was: often enough that a sender isn't held up, and
/// seldom enough to cost next to nothing.
pub(super) fn is_update_due(announced: u64, read: u64, window: u64) -> bool {
    limit(read, window).saturating_sub(announced) >= (window / 2).max(1)
}

/// Session credit that the peer has with us (MAX_DATA, RFC 9000 §4.1).
#[derive(Debug)]
pub(super) struct RecvFlow {
    window: u64,
    limit: u64,
    received: u64,
    read: u64,
}

impl RecvFlow {
    pub(super) fn new(window: u64) -> Self {
        Self { window, limit: limit(0, window), received: 0, read: 0 }
    }

    /// The streams have grown by `new` bytes.
    pub(super) fn on_received(&mut self, new: u64) -> Result<(), Violation> {
        match self.received.checked_add(new) {
            Some(received) if received <= self.limit => self.received = received,
            _ => return Err(Violation::FlowControl),
        }
        Ok(())
    }

    /// The application took `bytes`, or will never want them.
    pub(super) const fn on_read(&mut self, bytes: u64) {
        self.read += bytes;
    }

    pub(super) fn wants_update(&self) -> bool {
        is_update_due(self.limit, self.read, self.window)
    }

    /// The limit to announce now.
    pub(super) fn update(&mut self) -> u64 {
        self.limit = self.limit.max(limit(self.read, self.window));
        self.limit
    }
}

/// Session credit that we have with the peer.
#[derive(Debug)]
pub(super) struct SendFlow {
    limit: u64,
    sent: u64,
}

impl SendFlow {
    pub(super) const fn new(limit: u64) -> Self {
        Self { limit, sent: 0 }
    }

    /// How many new bytes may be sent.
    pub(super) const fn credit(&self) -> u64 {
        self.limit.saturating_sub(self.sent)
    }

    pub(super) const fn on_sent(&mut self, new: u64) {
        self.sent += new;
    }

    /// MAX_DATA; a limit never sinks.
    pub(super) fn raise_limit(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }
}

/// Streams of one direction that we open.
#[derive(Debug)]
pub(super) struct OwnStreams {
    /// How many were opened.
    pub(super) opened: u64,
    limit: u64,
    /// Whether one was refused since the limit was last raised.
    refused: bool,
}

impl OwnStreams {
    pub(super) fn new(limit: u64) -> Self {
        Self { opened: 0, limit: limit.min(MAX_STREAMS), refused: false }
    }

    /// The index of a new stream, unless the peer's limit forbids it.
    pub(super) const fn open(&mut self) -> Option<u64> {
        if self.opened >= self.limit {
            self.refused = true;
            return None;
        }
        self.opened += 1;
        Some(self.opened - 1)
    }

    /// MAX_STREAMS. Returns whether someone waits to hear of it.
    pub(super) const fn raise_limit(&mut self, limit: u64) -> bool {
        if limit <= self.limit {
            return false;
        }
        self.limit = limit;
        core::mem::replace(&mut self.refused, false)
    }
}

/// Streams of one direction that the peer opens.
///
/// To open one is to open all below it (RFC 9000 §2.1); those exist as a number only, until a frame for them
/// comes or the application accepts them.
#[derive(Debug)]
pub(super) struct PeerStreams {
    /// How many may exist at a time.
    concurrent: u64,
    /// How many were announced in all.
    limit: u64,
    /// How many the peer has opened.
    opened: u64,
    /// How many of these the application knows.
    accepted: u64,
    /// How many of these came to their end.
    closed: u64,
}

impl PeerStreams {
    pub(super) fn new(concurrent: u64) -> Self {
        let concurrent = concurrent.min(MAX_STREAMS);
        Self { concurrent, limit: concurrent, opened: 0, accepted: 0, closed: 0 }
    }

    /// The peer spoke of stream `index`. Returns whether that opened it.
    pub(super) const fn on_used(&mut self, index: u64) -> Result<bool, Violation> {
        if index >= self.limit {
            return Err(Violation::StreamLimit);
        }
        let opens = index >= self.opened;
        if opens {
            self.opened = index + 1;
        }
        Ok(opens)
    }

    /// The index of the next stream that the application doesn't know.
    pub(super) const fn accept(&mut self) -> Option<u64> {
        if self.accepted >= self.opened {
            return None;
        }
        self.accepted += 1;
        Some(self.accepted - 1)
    }

    /// Whether the application knows stream `index`. One that it doesn't know never came to its end.
    pub(super) const fn is_accepted(&self, index: u64) -> bool {
        index < self.accepted
    }

    pub(super) const fn on_closed(&mut self) {
        self.closed += 1;
    }

    /// Whether a new limit should be announced. Sooner than with data: a peer that may have a hundred streams
    /// at a time is not to be kept at fifty.
    pub(super) fn wants_update(&self) -> bool {
        let next = self.closed.saturating_add(self.concurrent).min(MAX_STREAMS);
        next.saturating_sub(self.limit) >= (self.concurrent / 8).max(1)
    }

    /// The limit to announce now.
    pub(super) fn update(&mut self) -> u64 {
        self.limit = self.limit.max(self.closed.saturating_add(self.concurrent).min(MAX_STREAMS));
        self.limit
    }
}
