//! What the applications of a swarm promised each other: what was sent, what arrived, how connections ended.
//!
//! A *talk* is one side's time with one connection. Whatever it sends has an entry from before its first byte until
//! sender and reader are done with it; what is left when everything should be over was lost.

use std::collections::{BTreeMap, BTreeSet};

use crust_async::{CloseReason, Connection, Monitor, Node, PeerId};
use crust_proto::{Duration, Instant};

/// How much later one side may hear of a connection than the other.
const HALF_OPEN: Duration = Duration::from_secs(12);

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Faults happen, and applications do what they like.
    Storm,
    /// Faults are over; applications only see to it that they are connected.
    Calm,
    /// Applications close what they have, and open nothing.
    Closing,
    /// Applications end.
    Leaving,
}

/// See the module.
pub(super) struct Ledger {
    pub(super) phase: Phase,
    /// When that phase began.
    pub(super) since: Instant,
    /// The first thing that did not hold.
    pub(super) failure: Option<String>,
    pub(super) places: Vec<Presence>,
    pub(super) pairs: Vec<Meeting>,
    talks: u64,
    entries: BTreeMap<u64, Entry>,
    /// What was read whole; each may be so once.
    read: BTreeSet<u64>,
    /// How many messages of each talk and priority were heard, and which datagrams.
    messages: BTreeMap<(u64, u8), u64>,
    datagrams: BTreeSet<(u64, u64)>,
    /// When a place ended a talk with another by itself, last.
    left: BTreeMap<(usize, usize), Instant>,
    /// Talks that the peer ended: it need not have read what it had.
    dismissed: BTreeSet<u64>,
    /// What applications gave as codes and reasons of closing, and to whom.
    said: BTreeSet<(usize, usize, u64, Vec<u8>)>,
    /// When a node told of something last.
    pub(super) last_event: Instant,
}

/// A place's node.
#[derive(Default)]
pub(super) struct Presence {
    pub(super) node: Option<Node>,
    pub(super) monitor: Option<Monitor>,
    /// When it crashed last.
    crashed: Option<Instant>,
    /// The talk with each peer, and the connection that it goes over.
    current: BTreeMap<PeerId, (u64, Connection)>,
    /// Who it is in this life.
    pub(super) id: Option<PeerId>,
}

/// What came of a pair since faults stopped, at each of its ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meeting {
    /// A message was acknowledged.
    pub(super) heard: [bool; 2],
    /// An attempt failed.
    pub(super) refused: [bool; 2],
}

/// One side's time with one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talk {
    pub(super) id: u64,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) began: Instant,
}

struct Entry {
    talk: Talk,
    what: &'static str,
    len: u64,
    /// The sender may give it up half-way.
    cut: bool,
    /// The reader may stop it half-way.
    stopped: bool,
    /// The sender heard that all of it arrived.
    acked: bool,
}

impl Ledger {
    pub(super) fn new(places: usize, pairs: usize) -> Self {
        Self {
            phase: Phase::Storm,
            since: Instant::ZERO,
            failure: None,
            places: (0..places).map(|_| Presence::default()).collect(),
            pairs: vec![Meeting::default(); pairs],
            talks: 0,
            entries: BTreeMap::new(),
            read: BTreeSet::new(),
            messages: BTreeMap::new(),
            datagrams: BTreeSet::new(),
            left: BTreeMap::new(),
            dismissed: BTreeSet::new(),
            said: BTreeSet::new(),
            last_event: Instant::ZERO,
        }
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Instant) {
        (self.phase, self.since) = (phase, now);
    }

    /// Something does not hold.
    pub(super) fn fail(&mut self, now: Instant, what: impl Into<String>) {
        let (phase, what) = (self.phase, what.into());
        self.failure.get_or_insert_with(|| format!("at {now:?}, {phase:?}: {what}"));
    }

    /// A node runs there.
    pub(super) fn up(&mut self, place: usize, node: &Node) {
        let presence = &mut self.places[place];
        presence.id = Some(node.peer_id());
        presence.monitor = Some(node.monitor());
        presence.node = Some(node.clone());
    }

    /// The host crashed. What it held is for the caller to drop, with the ledger closed.
    #[must_use]
    pub(super) fn down(&mut self, place: usize, now: Instant) -> impl Sized + use<> {
        let presence = &mut self.places[place];
        presence.crashed = Some(now);
        (presence.node.take(), presence.monitor.take(), std::mem::take(&mut presence.current))
    }

    /// When a place's host crashed last.
    pub(super) fn crashed_at(&self, place: usize) -> Option<Instant> {
        self.places[place].crashed
    }

    /// Who is at that place, by id.
    pub(super) fn place_of(&self, peer: PeerId) -> Option<usize> {
        self.places.iter().position(|presence| presence.id == Some(peer))
    }

    /// Begins a talk over a connection; `None` where one goes on over it already. What is no longer needed is for
    /// the caller to drop, with the ledger closed.
    pub(super) fn begin(
        &mut self,
        from: usize,
        to: usize,
        connection: &Connection,
        now: Instant,
    ) -> (Option<Talk>, Option<Connection>) {
        let current = &mut self.places[from].current;
        if current.get(&connection.peer_id()).is_some_and(|(_, known)| known.close_reason().is_none()) {
            return (None, None);
        }
        self.talks += 1;
        let before = current.insert(connection.peer_id(), (self.talks, connection.clone()));
        (Some(Talk { id: self.talks, from, to, began: now }), before.map(|(_, connection)| connection))
    }

    /// The handle that a talk's place kept, for the caller to drop.
    #[must_use]
    pub(super) fn forget(&mut self, talk: Talk, peer: PeerId) -> Option<Connection> {
        let current = &mut self.places[talk.from].current;
        // Its successor, over another connection, may have begun.
        current.get(&peer).filter(|(id, _)| *id == talk.id)?;
        current.remove(&peer).map(|(_, connection)| connection)
    }

    /// A talk's message of that priority was heard. A peer may hear it over several talks of its own.
    pub(super) fn hear_message(&mut self, talk: u64, priority: u8, number: u64, now: Instant) {
        let expected = self.messages.entry((talk, priority)).or_default();
        let (right, next) = (number == *expected, *expected);
        *expected += 1;
        if !right {
            self.fail(now, format!("message {number} of talk {talk}, priority {priority}, and not {next}"));
        }
    }

    /// A talk's datagram was heard.
    pub(super) fn hear_datagram(&mut self, talk: u64, number: u64, now: Instant) {
        if !self.datagrams.insert((talk, number)) {
            self.fail(now, format!("datagram {number} of talk {talk} arrived twice"));
        }
    }

    /// This side ends a talk.
    pub(super) fn leave(&mut self, talk: Talk, now: Instant) {
        self.left.insert((talk.from, talk.to), now);
    }

    /// This side closes with that code and those words.
    pub(super) fn say(&mut self, talk: Talk, code: u64, reason: &[u8]) {
        self.said.insert((talk.from, talk.to, code, reason.to_vec()));
    }

    /// Something is about to be sent.
    pub(super) fn send(&mut self, key: u64, talk: Talk, what: &'static str, len: u64) {
        self.entries.insert(key, Entry { talk, what, len, cut: false, stopped: false, acked: false });
    }

    /// The sender may give it up half-way.
    pub(super) fn cut(&mut self, key: u64) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.cut = true;
        }
    }

    /// The reader stops it half-way.
    pub(super) fn stop(&mut self, key: u64) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.stopped = true;
        if entry.acked {
            self.entries.remove(&key);
        }
    }

    /// Whether the reader of something may have stopped it.
    pub(super) fn may_be_stopped(&self, key: u64) -> bool {
        self.entries.get(&key).is_none_or(|entry| entry.stopped || self.has_left(entry.talk))
    }

    /// This side lets go of all that it has of a talk, half-way.
    pub(super) fn hang_up(&mut self, talk: Talk) {
        self.entries.retain(|_, entry| entry.talk.id != talk.id);
    }

    /// Whether the peer may have left a talk by itself.
    pub(super) fn has_left(&self, talk: Talk) -> bool {
        // It may have done so before this side heard that the connection stands.
        let began = talk.began;
        self.left.get(&(talk.to, talk.from)).is_some_and(|left| *left + HALF_OPEN >= began)
    }

    /// The sender is done with it: it heard that all arrived, or gave up.
    pub(super) fn sent(&mut self, key: u64, acked: bool) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.acked = acked;
        if !acked || entry.stopped || entry.cut || self.read.contains(&key) {
            self.entries.remove(&key);
        }
    }

    /// The reader has all of it.
    pub(super) fn read(&mut self, key: u64, len: u64, now: Instant) {
        if !self.read.insert(key) {
            self.fail(now, format!("content {key:#x} arrived twice"));
        }
        let Some(entry) = self.entries.get(&key) else { return };
        if entry.len != len && !entry.cut {
            let (what, whole) = (entry.what, entry.len);
            self.fail(now, format!("{what} {key:#x} ended after {len} of {whole} bytes"));
        } else if self.entries[&key].acked {
            self.entries.remove(&key);
        }
    }

    /// What was promised and not kept, if anything.
    pub(super) fn broken_promise(&self) -> Option<String> {
        self.entries.iter().find_map(|(key, entry)| {
            let Entry { talk: Talk { id, from, to, began }, what, len, acked, .. } = entry;
            let excused = |end: Option<&Instant>| end.is_some_and(|end| end >= began);
            let gone = |place: usize| excused(self.places[place].crashed.as_ref());
            let dismissed = self.dismissed.contains(id) || self.has_left(entry.talk);
            if gone(*from) || gone(*to) || (*acked && dismissed) {
                return None;
            }
            let how = if *acked { "was acknowledged and never read" } else { "is still under way" };
            Some(format!("{what} {key:#x} of {len} bytes in talk {id} from place {from} to {to} {how}"))
        })
    }

    /// Whether a connection may end so.
    pub(super) fn judge(&mut self, talk: Talk, reason: &CloseReason, now: Instant) {
        let right = match reason {
            CloseReason::Here { .. } | CloseReason::TimedOut(_) | CloseReason::PeerRestarted => true,
            CloseReason::ByPeer { code, reason } => self.is_said(talk, *code, reason),
            _ => false,
        };
        if matches!(reason, CloseReason::ByPeer { .. }) {
            self.dismissed.insert(talk.id);
        }
        if !right {
            let Talk { from, to, .. } = talk;
            self.fail(now, format!("the connection of place {from} with {to} ended: {reason:?}"));
        }
    }

    /// Whether the peer's application said so, or its node for it.
    fn is_said(&self, talk: Talk, code: u64, reason: &[u8]) -> bool {
        code == 0 || self.said.contains(&(talk.to, talk.from, code, reason.to_vec()))
    }

    /// A connection that was made in the calm must last.
    pub(super) fn must_last(&self, talk: Talk, settled: Duration) -> bool {
        self.phase == Phase::Calm && talk.began >= self.since + settled
    }
}
