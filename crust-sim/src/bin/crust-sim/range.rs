//! Ranges of seeds, and the shares of them that machines take.

use std::fmt;
use std::str::FromStr;

/// Seeds from one up to, not including, another; never none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seeds {
    /// The first.
    pub(crate) first: u64,
    /// The last.
    pub(crate) last: u64,
}

/// One of n shares of a range: the seeds that leave the rest i when divided by n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shard {
    /// How many there are, 1 or more.
    pub(crate) of: u64,
    /// Which it is, from 1 to `of`.
    pub(crate) nth: u64,
}

impl Seeds {
    /// One seed.
    pub(crate) const fn one(seed: u64) -> Self {
        Self { first: seed, last: seed }
    }

    /// How many there are.
    pub(crate) const fn count(self) -> u64 {
        // No text tells all of them: B is one of them.
        (self.last - self.first).saturating_add(1)
    }

    /// All of them.
    pub(crate) fn iter(self) -> impl Iterator<Item = u64> + Clone + Send {
        self.first..=self.last
    }

    /// Those of a shard, in order.
    pub(crate) fn of(self, shard: Shard) -> impl Iterator<Item = u64> + Clone + Send {
        let Self { last, .. } = self;
        std::iter::successors(self.first_of(shard), move |seed| seed.checked_add(shard.of))
            .take_while(move |seed| *seed <= last)
    }

    /// How many a shard has.
    pub(crate) fn count_of(self, shard: Shard) -> u64 {
        let ahead = self.first_of(shard).and_then(|first| self.last.checked_sub(first));
        ahead.map_or(0, |ahead| (ahead / shard.of).saturating_add(1))
    }

    /// The first of a shard, which may be beyond the range.
    fn first_of(self, shard: Shard) -> Option<u64> {
        let (rest, here) = (shard.nth % shard.of, self.first % shard.of);
        let ahead = if rest >= here { rest - here } else { shard.of - here + rest };
        self.first.checked_add(ahead)
    }
}

impl Shard {
    /// Whether a seed is its.
    pub(crate) const fn has(self, seed: u64) -> bool {
        seed % self.of == self.nth % self.of
    }
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected A..B, two whole numbers, such as 0..1000";
        let (from, to) = text.split_once("..").ok_or(expected)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| expected.to_owned());
        let (from, to) = (number(from)?, number(to)?);
        match from < to {
            true => Ok(Self { first: from, last: to - 1 }),
            false => Err(format!("{from}..{to} holds no seed, expected A below B")),
        }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected I/N with I from 1 to N, such as 2/4";
        let (nth, of) = text.split_once('/').ok_or(expected)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| expected.to_owned());
        let (nth, of) = (number(nth)?, number(of)?);
        match (1..=of).contains(&nth) {
            true => Ok(Self { of, nth }),
            false => Err(expected.to_owned()),
        }
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, u128::from(self.last) + 1)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.nth, self.of)
    }
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;
