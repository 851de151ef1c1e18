//! Who is next: slots in line, by priority, first come first served within one.
//!
//! Links live beside the slots of the stream table, so that joining, leaving and going to the back of the
//! line cost the same however many stand in it, and allocate nothing.

const NONE: u32 = u32::MAX;

/// Capacity that stays when everything else is given back.
const KEPT: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
    priority: i32,
    queued: bool,
}

const UNLINKED: Link = Link { previous: NONE, next: NONE, priority: 0, queued: false };

#[derive(Debug)]
struct Level {
    priority: i32,
    head: u32,
    tail: u32,
}

/// A line of slots for each priority that has any.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    links: Vec<Link>,
    /// Lowest priority first, so that the most urgent comes and goes at the end.
    levels: Vec<Level>,
}

impl ReadyQueue {
    pub(super) const fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// The most urgent slot that has waited longest, and its priority.
    pub(super) fn first(&self) -> Option<(i32, u32)> {
        self.levels.last().map(|level| (level.priority, level.head))
    }

    /// Puts `slot` at the end of its priority's line, wherever it stood before.
    pub(super) fn push(&mut self, slot: u32, priority: i32) {
        self.remove(slot);
        let index = place(slot);
        if self.links.len() <= index {
            self.links.resize(index + 1, UNLINKED);
        }
        let at = match self.levels.binary_search_by_key(&priority, |level| level.priority) {
            Ok(at) => at,
            Err(at) => {
                self.levels.insert(at, Level { priority, head: slot, tail: NONE });
                at
            }
        };
        let Some(level) = self.levels.get_mut(at) else { return };
        let previous = core::mem::replace(&mut level.tail, slot);
        if let Some(link) = self.links.get_mut(place(previous)) {
            link.next = slot;
        }
        if let Some(link) = self.links.get_mut(index) {
            *link = Link { previous, next: NONE, priority, queued: true };
        }
    }

    /// Takes `slot` out of line, if it is in one.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(link) = self.links.get_mut(place(slot)).filter(|link| link.queued) else { return };
        let Link { previous, next, priority, .. } = core::mem::replace(link, UNLINKED);
        if let Some(link) = self.links.get_mut(place(previous)) {
            link.next = next;
        }
        if let Some(link) = self.links.get_mut(place(next)) {
            link.previous = previous;
        }
        let Ok(at) = self.levels.binary_search_by_key(&priority, |level| level.priority) else { return };
        if previous == NONE && next == NONE {
            self.levels.remove(at);
        } else if let Some(level) = self.levels.get_mut(at) {
            if previous == NONE {
                level.head = next;
            }
            if next == NONE {
                level.tail = previous;
            }
        }
    }

    /// Gives memory back once nobody is in line.
    pub(super) fn shrink(&mut self) {
        if self.levels.is_empty() {
            self.links.clear();
            self.links.shrink_to(KEPT);
            self.levels.shrink_to(KEPT);
        }
    }
}

fn place(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "ready_tests.rs"]
mod tests;
