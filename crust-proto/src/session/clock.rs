//! What time brings: losses, probes, keep-alives, the end of patience.

use super::closing::CLOSE_TRIES;
use super::{HALF_OPEN, Session, State};
use crate::event::CloseReason;
use crate::path::{Carried, Path};
use crate::recovery::TimeoutKind;
use crate::{Duration, Instant};

/// When nothing of the application's came or went for so long, memory that only serves speed is given back.
const SPARES_KEPT: Duration = Duration::from_secs(2);

impl Session {
    pub(crate) fn timeout(&self) -> Option<Instant> {
        let until = match self.state {
            State::Ended => return None,
            State::Unconfirmed { until } | State::Draining { until, .. } => return Some(until),
            // What may not be sent needs no timer: the packet that allows it wakes the session.
            State::Closing { next, until, .. } => {
                return Some(if self.may_send_close() { next.min(until) } else { until });
            }
            State::Lingering { until, .. } => Some(until),
            State::Open => None,
        };
        let paths = self.paths.iter().filter_map(Path::timeout).min();
        let may_send = self.paths.iter().any(Path::may_send);
        let acks = self.paths.iter().filter_map(|path| path.received.ack_deadline()).min();
        let acks = acks.filter(|_| may_send);
        let keep_alive = self.keep_alive.filter(|_| may_send).map(|every| self.last_sent + every);
        let idle = Some(self.idle_deadline());
        [until, paths, acks, keep_alive, idle, self.keys.timeout(), self.send_at, self.trim_at()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Ended => return,
            State::Unconfirmed { until } => {
                // Never announced, so nobody is told.
                if *until <= now {
                    self.state = State::Ended;
                }
                return;
            }
            State::Draining { until, .. } => {
                if *until <= now {
                    self.state = State::Ended;
                }
                return;
            }
            State::Closing { sent, next, until, .. } => {
                if *until <= now || (*next <= now && *sent >= CLOSE_TRIES) {
                    self.state = State::Ended;
                }
                return;
            }
            State::Open | State::Lingering { .. } => {}
        }
        if self.idle_deadline() <= now {
            self.end(CloseReason::TimedOut(self.idle_timeout));
            return;
        }
        self.keys.on_timeout(now);
        self.send_at.take_if(|at| *at <= now);
        for at in 0..self.paths.len() {
            self.on_path_timeout(at, now);
        }
        if self.keep_alive.is_some_and(|every| self.last_sent + every <= now) {
            self.ping();
        }
        if self.trim_at().is_some_and(|at| at <= now) {
            self.streams.trim();
        }
        self.end_lingering(now);
    }

    pub(super) fn on_path_timeout(&mut self, at: usize, now: Instant) {
        let Some(path) = self.paths.get_mut(at) else { return };
        if path.recovery.timeout().is_none_or(|due| due > now) {
            return;
        }
        let mut outcome = core::mem::take(&mut self.outcome);
        if path.recovery.on_timeout(now, &mut outcome) == TimeoutKind::Probe {
            // The probe repeats what has been on its way the longest: if that arrives, nothing was lost by waiting.
            for carried in path.recovery.oldest_unacked().into_iter().flatten() {
                if let Carried::Streams(sent) = carried {
                    self.streams.on_probe(sent);
                }
            }
            path.ping = true;
        }
        self.settle(&mut outcome);
        self.outcome = outcome;
    }

    /// Another copy of the hello was answered: the peer may only now have what it needs to go on.
    pub(crate) fn on_answered_again(&mut self, now: Instant) {
        if let State::Unconfirmed { until } = &mut self.state {
            *until = now + HALF_OPEN;
        }
    }

    pub(super) fn idle_deadline(&self) -> Instant {
        // RFC 9000 §10.1: also from the first packet that asks for an answer, and no shorter than three PTOs.
        let since = self.first_unheard.map_or(self.last_heard, |sent| sent.max(self.last_heard));
        since + self.idle_timeout.max(self.slowest_pto() * 3)
    }

    /// When spare memory is to be given back, while there is some.
    pub(super) fn trim_at(&self) -> Option<Instant> {
        self.streams.has_spare_memory().then(|| self.last_data + SPARES_KEPT)
    }
}
