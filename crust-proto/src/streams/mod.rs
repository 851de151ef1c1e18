//! The streams and messages of one session, with no idea of packets, paths or cryptography.
//!
//! A session has one [`Streams`] from the end of its handshake on. Three parties call it:
//!
//! * the application [opens](Streams::open) and [accepts](Streams::accept) streams, [writes](Streams::write),
//!   [finishes](Streams::finish) and [resets](Streams::reset) what it sends, [reads](Streams::read) and
//!   [stops](Streams::stop) what it receives, [sends](Streams::send_message) and
//!   [takes](Streams::recv_message) messages, and hears by [events](Streams::poll_event) when something that
//!   was `Blocked` goes on;
//! * arriving packets hand in their [frames](Streams::on_frame);
//! * departing packets have their room [filled](Streams::write_frames). Each frame leaves a [`Sent`], which
//!   the session keeps with the packet and hands back when the packet was [acknowledged](Streams::on_acked),
//!   given up for [lost](Streams::on_lost), or is to be [repeated](Streams::on_probe) by way of a probe. Copies
//!   may travel on several paths and meet different fates: each call may come any number of times, in any
//!   order.
//!
//! Bytes are copied once on either side: from the application into a buffer of chunks and from there into
//! packets; from packets to their place in such a buffer and from there to the application. While data flows,
//! nothing is allocated, searched or walked per packet. What is idle holds no buffers.
//!
//! A stream lives until both of its halves are over and the application knows: all acknowledged including its
//! end, or reset; read to its end or reset, or stopped. Late frames for it are ignored.
//!
//! Everything a peer can make us hold is bounded by the [`StreamLimits`] that it was granted: it may be a
//! window ahead of the reader of each stream, of all streams together, and of each message priority. Data held
//! out of order costs an eighth more, and a buffer that holds anything is larger than that by two chunks
//! (32 KiB) at most.
//!
//! What goes first: limits and other control frames; then messages and streams take turns, packet by packet,
//! in starting one. Among messages the urgent go before all others. Among streams the higher priority goes
//! first, and those of one priority take turns; what has to be repeated goes before what is new.

mod app;
mod buffer;
mod flow;
mod input;
mod messages;
mod output;
mod ready;
mod recv;
mod send;
mod table;
mod types;

use std::collections::VecDeque;

use self::buffer::Pool;
use self::flow::{OwnStreams, PeerStreams, RecvFlow, SendFlow};
use self::messages::Messages;
use self::ready::ReadyQueue;
use self::recv::RecvHalf;
use self::send::{Ready, SendHalf};
use self::table::{Bits, Stream, Table};
pub use self::types::{
    AbandonError, Dir, Message, MessageId, Priority, ReadError, SendMessageError, Sent, Side, StreamEvent,
    StreamId, StreamLimits, StreamsConfig, Violation, WriteError,
};

/// Capacity of the event queue that stays when it is empty.
const KEPT_EVENTS: usize = 8;

/// All streams and message queues of one session; the [module](self) tells how it is used.
#[derive(Debug)]
pub struct Streams {
    side: Side,
    /// How much of a stream may be written ahead of acknowledgement.
    send_buffer: u64,
    /// How much of a new stream the peer takes at first.
    send_window: u64,
    /// How far ahead of a stream's reader the peer may be.
    recv_window: u64,

    pool: Pool,
    table: Table,
    own: PerDir<OwnStreams>,
    theirs: PerDir<PeerStreams>,
    recv_flow: RecvFlow,
    send_flow: SendFlow,
    messages: Messages,

    /// Streams with control frames to send.
    control: ReadyQueue,
    /// Streams with something to send that needs no session credit.
    repeat: ReadyQueue,
    /// Streams with new data to send.
    fresh: ReadyQueue,
    /// A MAX_DATA is to be sent.
    max_data_due: bool,
    /// A MAX_STREAMS is to be sent.
    max_streams_due: PerDir<bool>,
    /// Whether messages or streams start the next packet that both could start.
    messages_first: bool,
    /// How many streams have something that was not acknowledged.
    unflushed: usize,

    events: VecDeque<StreamEvent>,
    /// [`StreamEvent::Opened`] waits to be polled.
    opened: PerDir<bool>,
    /// [`StreamEvent::StreamsAvailable`] waits to be polled.
    available: PerDir<bool>,
}

/// One for each direction of streams.
#[derive(Clone, Copy, Debug, Default)]
struct PerDir<T> {
    bi: T,
    uni: T,
}

impl<T> PerDir<T> {
    const fn get(&self, dir: Dir) -> &T {
        match dir {
            Dir::Bi => &self.bi,
            Dir::Uni => &self.uni,
        }
    }

    const fn get_mut(&mut self, dir: Dir) -> &mut T {
        match dir {
            Dir::Bi => &mut self.bi,
            Dir::Uni => &mut self.uni,
        }
    }
}

impl Streams {
    /// No streams yet, on one `side` of a session whose `peer` granted these limits.
    pub fn new(side: Side, config: &StreamsConfig, peer: &StreamLimits) -> Self {
        let local = config.local;
        Self {
            side,
            send_buffer: (config.send_buffer as u64).max(1),
            send_window: peer.max_stream_data,
            recv_window: local.max_stream_data,
            pool: Pool::default(),
            table: Table::default(),
            own: PerDir {
                bi: OwnStreams::new(peer.max_streams_bi),
                uni: OwnStreams::new(peer.max_streams_uni),
            },
            theirs: PerDir {
                bi: PeerStreams::new(local.max_streams_bi),
                uni: PeerStreams::new(local.max_streams_uni),
            },
            recv_flow: RecvFlow::new(local.max_data),
            send_flow: SendFlow::new(peer.max_data),
            messages: Messages::new(&local, peer),
            control: ReadyQueue::default(),
            repeat: ReadyQueue::default(),
            fresh: ReadyQueue::default(),
            max_data_due: false,
            max_streams_due: PerDir::default(),
            messages_first: true,
            unflushed: 0,
            events: VecDeque::new(),
            opened: PerDir::default(),
            available: PerDir::default(),
        }
    }

    /// What the application may want to know, until there is nothing. At most one event of each kind waits for
    /// each stream.
    pub fn poll_event(&mut self) -> Option<StreamEvent> {
        for dir in Dir::ALL {
            if core::mem::take(self.opened.get_mut(dir)) {
                return Some(StreamEvent::Opened { dir });
            }
            if core::mem::take(self.available.get_mut(dir)) {
                return Some(StreamEvent::StreamsAvailable(dir));
            }
        }
        if core::mem::take(&mut self.messages.readable_event) {
            return Some(StreamEvent::MessageReadable);
        }
        if let Some(priority) = self.messages.writable.pop() {
            return Some(StreamEvent::MessageWritable(priority));
        }
        if let Some(id) = self.messages.poll_acked() {
            return Some(StreamEvent::MessageAcked(id));
        }
        while let Some(event) = self.events.pop_front() {
            let (id, bit) = match event {
                StreamEvent::Readable(id) => (id, Bits::READABLE),
                StreamEvent::Writable(id) => (id, Bits::WRITABLE),
                StreamEvent::Stopped { id, .. } => (id, Bits::STOPPED),
                _ => return Some(event),
            };
            // What became of a stream that is over was told by other means.
            if let Some(stream) = self.table.find(id).and_then(|slot| self.table.get_mut(slot)) {
                stream.events.clear(bit);
                return Some(event);
            }
        }
        self.events.shrink_to(KEPT_EVENTS);
        None
    }

    /// Whether everything that was written, every end, reset and message, was acknowledged. O(1).
    pub fn is_flushed(&self) -> bool {
        self.unflushed == 0 && self.messages.is_flushed()
    }

    /// How many bytes wait for acknowledgement, and how many for being read. Walks over all streams.
    pub fn buffered(&self) -> (u64, u64) {
        let (mut send, mut recv) = self.messages.buffered();
        for stream in self.table.iter() {
            send += stream.send.as_ref().map_or(0, SendHalf::buffered);
            recv += stream.recv.as_ref().map_or(0, RecvHalf::buffered);
        }
        (send, recv)
    }

    /// How many streams exist that were used or accepted, and are not over.
    pub fn stream_count(&self) -> usize {
        self.table.len()
    }

    /// Of those, how many the peer opened. Walks over all streams.
    pub fn peer_stream_count(&self) -> usize {
        self.table.iter().filter(|stream| stream.id.side() != self.side).count()
    }

    /// Whether there is something to [`trim`](Streams::trim). O(1).
    pub const fn has_spare_memory(&self) -> bool {
        !self.pool.is_empty()
    }

    /// Gives back memory that only serves speed: up to 64 KiB. For a session that has gone idle; one whose last
    /// stream came to its end does it by itself.
    pub fn trim(&mut self) {
        self.pool.clear();
        self.control.shrink();
        self.repeat.shrink();
        self.fresh.shrink();
    }

    /// A new stream, in the table.
    fn create(&mut self, id: StreamId) -> Option<u32> {
        let is_ours = id.side() == self.side;
        let sends = is_ours || id.dir() == Dir::Bi;
        let receives = !is_ours || id.dir() == Dir::Bi;
        self.table.insert(Stream {
            id,
            send: sends.then(|| SendHalf::new(self.send_window)),
            recv: receives.then(|| RecvHalf::new(self.recv_window)),
            priority: 0,
            control: Bits::default(),
            events: Bits::default(),
            queued: Ready::Nothing,
            unflushed: false,
        })
    }

    /// Whether the application knows of a stream that is in the table.
    fn is_known(&self, id: StreamId) -> bool {
        id.side() == self.side || self.theirs.get(id.dir()).is_accepted(id.index())
    }

    /// Queues an event of a stream, unless one of its kind waits already or the application has yet to accept
    /// the stream.
    fn notify(&mut self, slot: u32, bit: u8) {
        let Some(stream) = self.table.get_mut(slot) else { return };
        let id = stream.id;
        let code = stream.send.as_ref().and_then(SendHalf::stopped).unwrap_or(0);
        if !self.is_known(id) {
            return;
        }
        if let Some(stream) = self.table.get_mut(slot)
            && stream.events.set(bit)
        {
            self.events.push_back(match bit {
                Bits::READABLE => StreamEvent::Readable(id),
                Bits::WRITABLE => StreamEvent::Writable(id),
                _ => StreamEvent::Stopped { id, code },
            });
        }
    }

    /// Queues control frames of a stream.
    fn queue_control(&mut self, slot: u32, bit: u8) {
        if let Some(stream) = self.table.get_mut(slot)
            && stream.control.set(bit)
        {
            self.control.push(slot, 0);
        }
    }

    /// Puts a stream where it belongs after something happened to it: into the right queue, or out of the
    /// table. To be called after each change to a stream.
    fn settle(&mut self, slot: u32) {
        let Some(stream) = self.table.get_mut(slot) else { return };
        let ready = stream.send.as_ref().map_or(Ready::Nothing, SendHalf::ready);
        if ready != stream.queued {
            match stream.queued {
                Ready::Nothing => {}
                Ready::Repeat => self.repeat.remove(slot),
                Ready::Fresh => self.fresh.remove(slot),
            }
            match ready {
                Ready::Nothing => {}
                Ready::Repeat => self.repeat.push(slot, stream.priority),
                Ready::Fresh => self.fresh.push(slot, stream.priority),
            }
            stream.queued = ready;
        }
        let unflushed = stream.send.as_ref().is_some_and(|send| !send.is_flushed());
        if unflushed != stream.unflushed {
            stream.unflushed = unflushed;
            if unflushed {
                self.unflushed += 1;
            } else {
                self.unflushed -= 1;
            }
        }
        if !stream.control.is_empty() {
            stream.drop_needless_control();
            if stream.control.is_empty() {
                self.control.remove(slot);
            }
        }
        if stream.is_done() {
            self.remove(slot);
        }
        self.max_data_due |= self.recv_flow.wants_update();
    }

    fn remove(&mut self, slot: u32) {
        let Some(stream) = self.table.remove(slot) else { return };
        self.control.remove(slot);
        let (side, dir) = (stream.id.side(), stream.id.dir());
        if side != self.side {
            let theirs = self.theirs.get_mut(dir);
            theirs.on_closed();
            *self.max_streams_due.get_mut(dir) |= theirs.wants_update();
        }
        if self.table.is_empty() && self.buffered() == (0, 0) {
            self.trim();
        }
    }

    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        let halves = |s: &Stream| {
            s.send.as_ref().map_or(0, SendHalf::memory) + s.recv.as_ref().map_or(0, RecvHalf::memory)
        };
        let (send, recv) = self.messages.memory();
        let streams: usize = self.table.iter().map(|s| size_of::<Stream>() + halves(s)).sum();
        let events = self.events.capacity() * size_of::<StreamEvent>();
        self.pool.memory() + send + recv + streams + events
    }
}

#[cfg(test)]
mod tests;
