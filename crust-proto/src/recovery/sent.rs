//! Packets that were sent and whose fate is open or was guessed: what acknowledgements are held against.

use std::collections::VecDeque;

use crate::Instant;

/// How many packets that need no acknowledgement are remembered for round-trip samples.
const MAX_QUIET: usize = 512;

/// How many lost packets are remembered, in case they were only late.
const MAX_LOST: usize = 2048;

/// An ack-eliciting packet under way.
#[derive(Clone, Debug)]
pub(super) struct SentPacket<T> {
    pub(super) number: u64,
    pub(super) sent: Instant,
    /// Bytes acknowledged on the path when this was sent.
    pub(super) delivered: u64,
    pub(super) size: u32,
    /// Sent with ECT(0).
    pub(super) ecn: bool,
    /// Something sent between the packet before and this one was acknowledged.
    pub(super) acked_before: bool,
    /// What it carried, until it is acknowledged.
    pub(super) content: Option<T>,
}

/// The ack-eliciting packets under way, oldest first.
///
/// Its first packet is always outstanding, so the window is as long as what is in flight is wide, and
/// losses are found at its front. Packets that need no acknowledgement have numbers but no slot: a number's
/// slot is found by distance from the front where there were none, by bisection otherwise.
#[derive(Clone, Debug)]
pub(super) struct SentWindow<T> {
    slots: VecDeque<SentPacket<T>>,
    /// One past the number of the slot last taken from the front.
    floor: u64,
    /// Something sent after the last slot was acknowledged.
    acked_after: bool,
}

impl<T> SentWindow<T> {
    pub(super) fn new() -> Self {
        Self { slots: VecDeque::new(), floor: 0, acked_after: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Adds a packet sent after all others.
    pub(super) fn push(&mut self, packet: SentPacket<T>) {
        let acked_before = core::mem::take(&mut self.acked_after);
        self.slots.push_back(SentPacket { acked_before, ..packet });
    }

    pub(super) fn front(&self) -> Option<&SentPacket<T>> {
        self.slots.front()
    }

    pub(super) fn pop_front(&mut self) -> Option<SentPacket<T>> {
        let packet = self.slots.pop_front()?;
        self.floor = packet.number + 1;
        Some(packet)
    }

    /// What is outstanding, oldest first.
    pub(super) fn outstanding(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.content.as_ref())
    }

    /// Empties the window.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        self.slots.drain(..).filter_map(|slot| slot.content)
    }

    /// Hands each outstanding packet numbered `from` to `to` to `take`, with its content, and remembers it
    /// as acknowledged.
    pub(super) fn acknowledge(&mut self, from: u64, to: u64, mut take: impl FnMut(&SentPacket<T>, T)) {
        if to < self.floor {
            return;
        }
        let at = self.position(from);
        let mut found = false;
        for slot in self.slots.range_mut(at..) {
            if slot.number > to {
                // Where all of the range was without slots, the next slot remembers it.
                slot.acked_before |= !found;
                return;
            }
            found = true;
            if let Some(content) = slot.content.take() {
                take(slot, content);
            }
        }
        self.acked_after = true;
    }

    /// The index of the first slot whose number is at least `number`.
    fn position(&self, number: u64) -> usize {
        let Some(front) = self.slots.front() else { return 0 };
        let Some(distance) = number.checked_sub(front.number) else { return 0 };
        let distance = usize::try_from(distance).unwrap_or(usize::MAX);
        match self.slots.get(distance) {
            Some(slot) if slot.number == number => distance,
            _ => self.slots.partition_point(|slot| slot.number < number),
        }
    }
}

/// When packets were sent that need no acknowledgement, but may get one: an ACK's round trip is that of the
/// largest number in it, whatever that packet carried.
#[derive(Clone, Debug, Default)]
pub(super) struct QuietPackets {
    sent: VecDeque<(u64, Instant)>,
}

impl QuietPackets {
    pub(super) fn push(&mut self, number: u64, sent: Instant) {
        if self.sent.len() >= MAX_QUIET {
            // Thinned out rather than cut off: who sends little but acknowledgements still gets samples.
            let mut keep = false;
            self.sent.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.sent.push_back((number, sent));
    }

    /// When `number` was sent. Forgets it and all before it.
    pub(super) fn take(&mut self, number: u64) -> Option<Instant> {
        let at = self.sent.partition_point(|&(n, _)| n < number);
        let found = self.sent.get(at).filter(|&&(n, _)| n == number).map(|&(_, sent)| sent);
        self.sent.drain(..at + usize::from(found.is_some()));
        found
    }

    pub(super) fn clear(&mut self) {
        self.sent.clear();
    }
}

/// A packet declared lost.
#[derive(Clone, Copy, Debug)]
struct LostPacket {
    number: u64,
    declared: Instant,
    /// The congestion event it belonged to.
    event: u64,
    acknowledged: bool,
}

/// The packets lately declared lost, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct LostPackets {
    lost: VecDeque<LostPacket>,
}

impl LostPackets {
    pub(super) fn push(&mut self, number: u64, declared: Instant, event: u64) {
        if self.lost.len() >= MAX_LOST {
            self.lost.pop_front();
        }
        self.lost.push_back(LostPacket { number, declared, event, acknowledged: false });
    }

    /// The lowest number remembered.
    pub(super) fn lowest(&self) -> Option<u64> {
        self.lost.front().map(|packet| packet.number)
    }

    /// Forgets what was declared lost before `horizon`.
    pub(super) fn forget(&mut self, horizon: Instant) {
        while self.lost.front().is_some_and(|packet| packet.declared < horizon || packet.acknowledged) {
            self.lost.pop_front();
        }
    }

    /// How many are remembered: where [`acknowledge`](Self::acknowledge) begins.
    pub(super) fn len(&self) -> usize {
        self.lost.len()
    }

    /// Hands the congestion event of each packet from `from` to `to` that arrived after all to `late`.
    ///
    /// For ranges in falling order, which mostly have a lost packet or two between them: `above` is the
    /// index above which all was looked at.
    pub(super) fn acknowledge(&mut self, from: u64, to: u64, above: &mut usize, mut late: impl FnMut(u64)) {
        while let Some(index) = above.checked_sub(1)
            && let Some(packet) = self.lost.get_mut(index)
            && packet.number >= from
        {
            if packet.number <= to && !packet.acknowledged {
                packet.acknowledged = true;
                late(packet.event);
            }
            *above = index;
        }
    }

    pub(super) fn clear(&mut self) {
        self.lost.clear();
    }
}
