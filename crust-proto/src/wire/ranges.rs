//! A set of integers as sorted, disjoint, non-adjacent ranges: packet numbers received, bytes acknowledged.

use core::ops::Range;
use std::collections::VecDeque;

/// Sorted half-open ranges that never touch. Inserting at or near the top, the usual case, is O(1).
///
/// The set does not bound itself: whoever feeds it from the network checks [`RangeSet::len`] and calls
/// [`RangeSet::pop_first`] or refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: VecDeque<Range<u64>>,
}

impl RangeSet {
    /// The number of ranges.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges, lowest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + ExactSizeIterator + '_ {
        self.ranges.iter().cloned()
    }

    /// The lowest range.
    pub fn first(&self) -> Option<Range<u64>> {
        self.ranges.front().cloned()
    }

    /// The largest member.
    pub fn max(&self) -> Option<u64> {
        self.ranges.back().map(|r| r.end - 1)
    }

    /// Removes and returns the lowest range.
    pub fn pop_first(&mut self) -> Option<Range<u64>> {
        self.ranges.pop_front()
    }

    /// Whether `value` is a member.
    pub fn contains(&self, value: u64) -> bool {
        let at = self.first_ending_after(value);
        self.ranges.get(at).is_some_and(|r| r.start <= value)
    }

    /// Adds `range`. Returns whether anything in it was new.
    pub fn insert(&mut self, range: Range<u64>) -> bool {
        if range.is_empty() {
            return false;
        }
        // Fast path: at or beyond the top.
        match self.ranges.back_mut() {
            None => {
                self.ranges.push_back(range);
                return true;
            }
            Some(last) if range.start > last.end => {
                self.ranges.push_back(range);
                return true;
            }
            Some(last) if range.start >= last.start => {
                let new = range.end > last.end;
                last.end = last.end.max(range.end);
                return new;
            }
            Some(_) => {}
        }
        // The first range that ends at or after our start is the first we may merge with.
        let from = self.ranges.partition_point(|r| r.end < range.start);
        let to = self.ranges.partition_point(|r| r.start <= range.end);
        if from == to {
            self.ranges.insert(from, range);
            return true;
        }
        let start = self.ranges.get(from).map_or(range.start, |r| r.start.min(range.start));
        let end = self.ranges.get(to - 1).map_or(range.end, |r| r.end.max(range.end));
        let held = self.ranges.get(from).is_some_and(|r| r.start <= range.start && r.end >= range.end);
        if let Some(slot) = self.ranges.get_mut(from) {
            *slot = start..end;
        }
        if to - from > 1 {
            self.ranges.drain(from + 1..to);
        }
        !held
    }

    /// Takes `range` out, splitting what it cuts.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let mut at = self.first_ending_after(range.start);
        while let Some(r) = self.ranges.get_mut(at) {
            if r.start >= range.end {
                break;
            }
            let (start, end) = (r.start, r.end);
            match (start < range.start, end > range.end) {
                (true, true) => {
                    r.end = range.start;
                    self.ranges.insert(at + 1, range.end..end);
                    break;
                }
                (true, false) => {
                    r.end = range.start;
                    at += 1;
                }
                (false, true) => {
                    r.start = range.end;
                    break;
                }
                (false, false) => {
                    self.ranges.remove(at);
                }
            }
        }
    }

    fn first_ending_after(&self, value: u64) -> usize {
        self.ranges.partition_point(|r| r.end <= value)
    }
}

#[cfg(test)]
#[path = "ranges_tests.rs"]
mod tests;
