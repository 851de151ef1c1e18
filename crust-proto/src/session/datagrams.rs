//! Unreliable datagrams of a session (after RFC 9221): two bounded queues that drop their oldest.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::wire::codec::Writer;
use crate::wire::frame::{Frame, datagram_room};

#[derive(Debug)]
pub(crate) struct Datagrams {
    out: Queue,
    incoming: Queue,
    /// Whether the application found the incoming queue empty, and so is to be told of the next one.
    told: bool,
    readable: bool,
}

/// An empty queue keeps room for so many.
const KEPT: usize = 16;

/// A queue holds no more datagrams than fit its limit at this size, so that empty ones fill it too.
const ITEM: usize = 64;

#[derive(Debug)]
struct Queue {
    items: VecDeque<Bytes>,
    bytes: usize,
    limit: usize,
    dropped: u64,
}

impl Queue {
    const fn new(limit: usize) -> Self {
        Self { items: VecDeque::new(), bytes: 0, limit, dropped: 0 }
    }

    fn push(&mut self, data: Bytes) {
        self.bytes += data.len();
        self.items.push_back(data);
        // The newest always stays, however large.
        while (self.bytes > self.limit || self.items.len() > self.limit / ITEM) && self.items.len() > 1 {
            self.pop();
            self.dropped += 1;
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        let data = self.items.pop_front()?;
        self.bytes -= data.len();
        if self.items.is_empty() {
            // What a burst took is given back, or a session that had one would never be small again.
            self.items.shrink_to(KEPT);
        }
        Some(data)
    }
}

impl Datagrams {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { out: Queue::new(limit), incoming: Queue::new(limit), told: false, readable: false }
    }

    pub(crate) fn send(&mut self, data: &[u8]) {
        self.out.push(Bytes::copy_from_slice(data));
    }

    pub(crate) fn receive(&mut self) -> Option<Bytes> {
        let data = self.incoming.pop();
        if data.is_none() {
            self.told = false;
        }
        data
    }

    pub(crate) fn on_frame(&mut self, data: &[u8]) {
        self.incoming.push(Bytes::copy_from_slice(data));
        if !self.told {
            self.told = true;
            self.readable = true;
        }
    }

    /// Whether the application is to be told that there is something; once.
    pub(crate) fn take_readable(&mut self) -> bool {
        core::mem::take(&mut self.readable)
    }

    /// How many bytes wait to be sent, and how many to be received.
    pub(crate) const fn queued(&self) -> (usize, usize) {
        (self.out.bytes, self.incoming.bytes)
    }

    pub(crate) fn wants_to_send(&self) -> bool {
        !self.out.items.is_empty()
    }

    /// Writes the next datagrams that fit. One that fits no packet of `full` bytes any more (the path shrank)
    /// is dropped.
    pub(crate) fn write_frames(&mut self, w: &mut Writer<'_>, full: usize) -> bool {
        let mut wrote = false;
        while let Some(next) = self.out.items.front() {
            let fits = |room| datagram_room(room).is_some_and(|room| next.len() <= room);
            if fits(w.remaining()) {
                Frame::Datagram(next).encode(w);
                wrote = true;
            } else if fits(full) {
                break;
            } else {
                self.out.dropped += 1;
            }
            self.out.pop();
        }
        wrote
    }

    /// How many were dropped for want of room: before sending, and before the application took them.
    pub(crate) const fn dropped(&self) -> (u64, u64) {
        (self.out.dropped, self.incoming.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_was_full_is_small_again_when_it_is_empty() {
        let mut datagrams = Datagrams::new(1 << 20);
        for _ in 0..10_000 {
            datagrams.on_frame(b"a burst");
        }
        assert!(datagrams.incoming.items.capacity() >= 10_000);
        while datagrams.receive().is_some() {}
        assert!(datagrams.incoming.items.capacity() <= KEPT);
    }

    #[test]
    fn one_that_must_wait_for_the_next_packet_waits_and_one_that_fits_none_any_more_holds_nobody_up() {
        let mut datagrams = Datagrams::new(1 << 20);
        datagrams.send(&[1; 400]);
        assert!(!datagrams.write_frames(&mut Writer::new(&mut [0; 100]), 500));
        assert!(datagrams.wants_to_send());
        assert!(datagrams.write_frames(&mut Writer::new(&mut [0; 500]), 500));
        datagrams.send(&[2; 600]);
        datagrams.send(&[3; 400]);
        let mut packet = [0; 500];
        assert!(datagrams.write_frames(&mut Writer::new(&mut packet), 500));
        assert!(packet.contains(&3) && !packet.contains(&2));
        assert!(!datagrams.wants_to_send());
        assert_eq!(datagrams.dropped(), (1, 0));
    }
}
