//! Messages: whole, in order within a priority, the urgent before all others.
//!
//! Each priority is an endless sequence of `length, content` records, carried like a stream's bytes by MESSAGE
//! frames. What one priority has in flight holds up no other: each has its own offsets and its own credit. The
//! receiver's limit is always large enough for the record at its head, so that no set of half-arrived messages
//! can block each other: per priority, `taken + longest record + window` (and of the window it may keep back
//! half at most, see [`flow::is_update_due`]). Memory follows: a priority holds no more than its longest
//! record and its window, and nothing while idle.

use std::collections::VecDeque;

use super::buffer::{Pool, lesser};
use super::flow;
use super::recv::RecvBuffer;
use super::send::SendBuffer;
use super::types::{Message, MessageId, Priority, SendMessageError, StreamLimits, Violation};
use crate::wire::codec::{Reader, Writer};

/// A record's length takes no more than this.
const MAX_HEAD: usize = 8;

/// Priorities as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PrioritySet(u8);

impl PrioritySet {
    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn put(&mut self, priority: Priority, member: bool) {
        if member {
            self.0 |= 1 << priority.get();
        } else {
            self.0 &= !(1 << priority.get());
        }
    }

    /// The most urgent.
    pub(super) fn first(self) -> Option<Priority> {
        u8::try_from(self.0.trailing_zeros()).ok().and_then(Priority::new)
    }

    /// Takes the most urgent out.
    pub(super) fn pop(&mut self) -> Option<Priority> {
        let first = self.first()?;
        self.put(first, false);
        Some(first)
    }
}

#[derive(Debug)]
struct SendQueue {
    buffer: SendBuffer,
    limit: u64,
    /// Where the messages end whose sender wants to know of their arrival.
    notify: VecDeque<(u64, MessageId)>,
    /// The shortest record that found no room since there last was some.
    refused: Option<u64>,
}

#[derive(Debug)]
struct RecvQueue {
    buffer: RecvBuffer,
    limit: u64,
    /// The start of the first record that is not complete.
    complete_to: u64,
    /// How many are.
    complete: usize,
}

/// The message queues of a session.
#[derive(Debug)]
pub(super) struct Messages {
    send: [Option<Box<SendQueue>>; Priority::COUNT],
    recv: [Option<Box<RecvQueue>>; Priority::COUNT],
    /// The longest message that may be sent.
    max_sent: u64,
    /// What each queue may send at first.
    first_limit: u64,
    /// The longest message that may come.
    max_received: u64,
    window: u64,
    next_id: u64,
    /// Have something that may be sent.
    sendable: PrioritySet,
    /// Have something that was not acknowledged.
    unacked: PrioritySet,
    /// Have a message to be taken.
    readable: PrioritySet,
    /// A MAX_MESSAGE_DATA is to be sent.
    pub(super) credit: PrioritySet,
    /// Have room again: an event waits to be polled.
    pub(super) writable: PrioritySet,
    /// Have messages whose arrival is to be told.
    acked: PrioritySet,
    /// Messages have come: an event waits to be polled.
    pub(super) readable_event: bool,
}

/// How far a peer may be ahead that may send messages of `max` bytes.
fn reach(max: u64, window: u64) -> u64 {
    max.saturating_add(MAX_HEAD as u64).saturating_add(window)
}

impl Messages {
    pub(super) fn new(local: &StreamLimits, peer: &StreamLimits) -> Self {
        Self {
            send: Default::default(),
            recv: Default::default(),
            max_sent: local.max_message.min(peer.max_message),
            first_limit: flow::limit(0, reach(peer.max_message, peer.message_window)),
            max_received: local.max_message,
            window: local.message_window,
            next_id: 0,
            sendable: PrioritySet::default(),
            unacked: PrioritySet::default(),
            readable: PrioritySet::default(),
            credit: PrioritySet::default(),
            writable: PrioritySet::default(),
            acked: PrioritySet::default(),
            readable_event: false,
        }
    }

    pub(super) fn max_sent(&self) -> usize {
        lesser(self.max_sent, usize::MAX)
    }

    pub(super) const fn has_sendable(&self) -> bool {
        !self.sendable.is_empty()
    }

    pub(super) const fn is_flushed(&self) -> bool {
        self.unacked.is_empty()
    }

    pub(super) fn send(
        &mut self,
        pool: &mut Pool,
        priority: Priority,
        data: &[u8],
        notify: bool,
        room: u64,
    ) -> Result<MessageId, SendMessageError> {
        if data.len() as u64 > self.max_sent {
            return Err(SendMessageError::TooLarge { limit: self.max_sent() });
        }
        let mut head = [0; MAX_HEAD];
        let mut w = Writer::new(&mut head);
        w.varint_usize(data.len());
        let head_len = w.len();
        let first_limit = self.first_limit;
        let Some(place) = self.send.get_mut(usize::from(priority.get())) else {
            return Err(SendMessageError::Blocked);
        };
        let queue = place.get_or_insert_with(|| Box::new(SendQueue::new(first_limit)));
        let len = (head_len + data.len()) as u64;
        if !queue.has_room(len, room) {
            queue.refused = Some(queue.refused.map_or(len, |refused| refused.min(len)));
            return Err(SendMessageError::Blocked);
        }
        queue.buffer.write(pool, head.get(..head_len).unwrap_or_default());
        queue.buffer.write(pool, data);
        let id = MessageId(self.next_id);
        self.next_id += 1;
        if notify {
            queue.notify.push_back((queue.buffer.written(), id));
        }
        self.settle(priority);
        Ok(id)
    }

    /// MAX_MESSAGE_DATA.
    pub(super) fn raise_limit(&mut self, priority: Priority, limit: u64) {
        // A peer that has received nothing has no reason to raise the limit.
        if let Some(queue) = self.send_queue(priority) {
            queue.limit = queue.limit.max(limit);
        }
        self.settle(priority);
    }

    /// What to send next: the priority, where it starts and how much there is.
    pub(super) fn next(&self) -> Option<(Priority, core::ops::Range<u64>)> {
        let priority = self.sendable.first()?;
        let queue = self.send.get(usize::from(priority.get()))?.as_ref()?;
        Some((priority, queue.buffer.next_range(queue.limit)?))
    }

    pub(super) fn copy_to(&self, priority: Priority, offset: u64, out: &mut [u8]) {
        if let Some(Some(queue)) = self.send.get(usize::from(priority.get())) {
            queue.buffer.copy_to(offset, out);
        }
    }

    pub(super) fn on_sent(&mut self, priority: Priority, range: core::ops::Range<u64>) {
        if let Some(queue) = self.send_queue(priority) {
            queue.buffer.on_sent(range);
        }
        self.settle(priority);
    }

    pub(super) fn on_lost(&mut self, priority: Priority, range: core::ops::Range<u64>) {
        if let Some(queue) = self.send_queue(priority) {
            queue.buffer.on_lost(range);
        }
        self.settle(priority);
    }

    pub(super) fn on_acked(
        &mut self,
        pool: &mut Pool,
        priority: Priority,
        range: core::ops::Range<u64>,
        room: u64,
    ) {
        let Some(queue) = self.send_queue(priority) else { return };
        queue.buffer.on_acked(pool, range);
        let has_room = queue.refused.is_some_and(|len| queue.has_room(len, room));
        if has_room {
            queue.refused = None;
        }
        let arrived = queue.notify.front().is_some_and(|(end, _)| *end <= queue.buffer.acked_to());
        if has_room {
            self.writable.put(priority, true);
        }
        if arrived {
            self.acked.put(priority, true);
        }
        self.settle(priority);
    }

    /// A message that arrived and whose sender wanted to know.
    pub(super) fn poll_acked(&mut self) -> Option<MessageId> {
        while let Some(priority) = self.acked.first() {
            if let Some(queue) = self.send_queue(priority) {
                let acked_to = queue.buffer.acked_to();
                if queue.notify.front().is_some_and(|(end, _)| *end <= acked_to) {
                    return queue.notify.pop_front().map(|(_, id)| id);
                }
                if queue.notify.is_empty() {
                    queue.notify = VecDeque::new();
                }
            }
            self.acked.put(priority, false);
        }
        None
    }

    /// MESSAGE.
    pub(super) fn on_data(
        &mut self,
        pool: &mut Pool,
        priority: Priority,
        offset: u64,
        data: &[u8],
    ) -> Result<(), Violation> {
        let max = self.max_received;
        let first_limit = flow::limit(0, reach(max, self.window));
        let Some(place) = self.recv.get_mut(usize::from(priority.get())) else { return Ok(()) };
        let limit = place.as_ref().map_or(first_limit, |queue| queue.limit);
        if offset.checked_add(data.len() as u64).is_none_or(|end| end > limit) {
            return Err(Violation::FlowControl);
        }
        let queue = place.get_or_insert_with(|| Box::new(RecvQueue::new(first_limit)));
        let before = queue.complete;
        queue.buffer.insert(pool, offset, data);
        queue.find_complete(max)?;
        if before == 0 && queue.complete > 0 {
            self.readable.put(priority, true);
            self.readable_event = true;
        }
        Ok(())
    }

    /// The most urgent message that has wholly arrived.
    pub(super) fn take(&mut self, pool: &mut Pool) -> Option<Message> {
        let priority = self.readable.first()?;
        let reach = reach(self.max_received, self.window);
        let window = self.window;
        let queue = self.recv.get_mut(usize::from(priority.get()))?.as_mut()?;
        let (head, len) = queue.record_at(queue.buffer.read_to())?;
        let start = queue.buffer.read_to() + head as u64;
        let data = queue.buffer.peek_vec(start, lesser(len, usize::MAX));
        queue.buffer.skip(pool, head as u64 + len);
        queue.complete = queue.complete.saturating_sub(1);
        let taken = queue.buffer.read_to();
        let due = flow::limit(taken, reach).saturating_sub(queue.limit) >= (window / 2).max(1);
        if queue.complete == 0 {
            self.readable.put(priority, false);
        }
        if due {
            self.credit.put(priority, true);
        }
        Some(Message { priority, data })
    }

    /// The limit to announce now.
    pub(super) fn update(&mut self, priority: Priority) -> Option<u64> {
        let reach = reach(self.max_received, self.window);
        let queue = self.recv.get_mut(usize::from(priority.get()))?.as_mut()?;
        queue.limit = queue.limit.max(flow::limit(queue.buffer.read_to(), reach));
        Some(queue.limit)
    }

    /// Bytes that wait for acknowledgement, and bytes that wait to be taken.
    pub(super) fn buffered(&self) -> (u64, u64) {
        let send = self.send.iter().flatten().map(|queue| queue.buffer.buffered()).sum();
        let recv = self.recv.iter().flatten().map(|queue| queue.buffer.buffered()).sum();
        (send, recv)
    }

    fn send_queue(&mut self, priority: Priority) -> Option<&mut SendQueue> {
        self.send.get_mut(usize::from(priority.get()))?.as_deref_mut()
    }

    fn settle(&mut self, priority: Priority) {
        if let Some(queue) = self.send_queue(priority) {
            let sendable = queue.buffer.next_range(queue.limit).is_some();
            let unacked = queue.buffer.buffered() > 0;
            self.sendable.put(priority, sendable);
            self.unacked.put(priority, unacked);
        }
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> (usize, usize) {
        let send = self.send.iter().flatten().map(|q| q.buffer.memory()).sum();
        let recv = self.recv.iter().flatten().map(|q| q.buffer.memory()).sum();
        (send, recv)
    }
}

impl SendQueue {
    fn new(limit: u64) -> Self {
        Self { buffer: SendBuffer::default(), limit, notify: VecDeque::new(), refused: None }
    }

    /// A record always fits into an empty queue, or the longest could never be sent.
    fn has_room(&self, len: u64, room: u64) -> bool {
        let buffered = self.buffer.buffered();
        buffered == 0 || buffered.saturating_add(len) <= room
    }
}

impl RecvQueue {
    fn new(limit: u64) -> Self {
        Self { buffer: RecvBuffer::default(), limit, complete_to: 0, complete: 0 }
    }

    /// Counts the records that have become complete, and refuses one that is longer than `max` as soon as its
    /// length is known.
    fn find_complete(&mut self, max: u64) -> Result<(), Violation> {
        while let Some((head, len)) = self.record_at(self.complete_to) {
            if len > max {
                return Err(Violation::MessageTooLarge { len, limit: max });
            }
            let end = self.complete_to + head as u64 + len;
            if end > self.buffer.ready_to() {
                break;
            }
            self.complete_to = end;
            self.complete += 1;
        }
        Ok(())
    }

    /// Lengths of head and content of the record that starts at `offset`, if its head has arrived.
    fn record_at(&self, offset: u64) -> Option<(usize, u64)> {
        let mut head = [0; MAX_HEAD];
        let have = lesser(self.buffer.ready_to().checked_sub(offset)?, MAX_HEAD);
        let head = head.get_mut(..have)?;
        self.buffer.peek(offset, head);
        let mut reader = Reader::new(head);
        let len = reader.varint().ok()?;
        Some((have - reader.remaining(), len))
    }
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
