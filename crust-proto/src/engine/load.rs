//! What an engine holds at present, for whoever watches over it: a test, a simulator, a monitor.

use super::lifecycle::GRANULARITY;
use super::slots::{Entry, Slot};
use super::{Engine, SessionId};
use crate::Instant;
use crate::session::SessionLoad;

/// What an engine holds at present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineLoad {
    /// Sessions, from their first keys until they are over.
    pub sessions: usize,
    /// Of those, what peers opened and have not confirmed, and strangers' half-done handshakes.
    pub half_open: usize,
    /// Sessions that are over and were not released.
    pub ended: usize,
    /// Attempts to connect, and to find out whether a silent peer lives.
    pub attempts: usize,
    /// Timers that are set.
    pub timers: usize,
    /// Events, commands, hellos and replies that wait to be polled.
    pub queued: usize,
    /// The most that any one session holds, each figure by itself.
    pub most: SessionLoad,
    /// A session that has work, and that nothing will wake for it: a defect. True only where everything was polled
    /// since the last call.
    pub stalled: Option<SessionId>,
}

impl Engine {
    /// What the engine holds at present. It changes nothing, and walks over all sessions and their streams.
    pub fn load(&self, now: Instant) -> EngineLoad {
        let mut load = EngineLoad {
            half_open: self.half_open(),
            ended: self.ended.len(),
            attempts: self.attempts.len(),
            timers: self.timers.len(),
            queued: self.events.len() + self.commands.len() + self.outbox.len(),
            ..EngineLoad::default()
        };
        for slot in self.slots.iter() {
            match slot {
                Slot::Session(entry) => {
                    load.sessions += 1;
                    load.most = load.most.max(entry.session.load());
                    if self.is_stalled(entry, now) {
                        load.stalled = Some(entry.session.id());
                    }
                }
                Slot::HalfXx(_) => load.sessions += 1,
                Slot::Free | Slot::Reserved | Slot::Attempt(_) => {}
            }
        }
        load
    }

    /// When [`Input::Timeout`](crate::Input::Timeout) is due, as [`poll_timeout`](Self::poll_timeout) says it.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Whether a session would never go on by itself, if nothing but time happened.
    fn is_stalled(&self, entry: &Entry, now: Instant) -> bool {
        if entry.session.is_ended() {
            return false;
        }
        if entry.session.has_forgotten_work(now) {
            return true;
        }
        let Some(due) = entry.session.timeout() else { return false };
        entry.armed.is_none_or(|armed| armed > due.max(now + GRANULARITY))
    }
}
