//! What happens to a node as a whole, for those who subscribe.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use crust_proto::{CloseReason, PeerId};

use crate::shared::{Shared, until};
use crate::state::{NodePlace, Place};
use crate::waiters::Ticket;

/// How many events wait for a subscriber before the oldest make room.
const CAPACITY: usize = 256;

/// What happened to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A socket listens.
    Listening {
        /// Its address.
        local: SocketAddr,
    },
    /// A socket could not be opened or died.
    ListenFailed {
        /// The address that was asked for.
        local: SocketAddr,
        /// What the system said.
        error: String,
    },
    /// A connection stands.
    Connected {
        /// With whom.
        peer: PeerId,
        /// Whether the peer asked for it and we did not.
        incoming: bool,
    },
    /// A connection ended.
    Disconnected {
        /// With whom.
        peer: PeerId,
        /// How.
        reason: CloseReason,
    },
    /// A peer is reached at another address than before.
    AddressChanged {
        /// Which peer.
        peer: PeerId,
        /// Where it was.
        from: SocketAddr,
        /// Where it is.
        to: SocketAddr,
    },
    /// The subscriber was too slow and missed events, all of them older than the next one.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// A subscriber's queue.
#[derive(Debug)]
pub(crate) struct Subscriber {
    queue: VecDeque<NodeEvent>,
    missed: u64,
}

impl Subscriber {
    pub(crate) const fn new() -> Self {
        Self { queue: VecDeque::new(), missed: 0 }
    }

    pub(crate) fn push(&mut self, event: &NodeEvent) {
        if self.queue.len() >= CAPACITY {
            self.queue.pop_front();
            self.missed += 1;
        }
        self.queue.push_back(event.clone());
    }

    pub(crate) fn pop(&mut self) -> Option<NodeEvent> {
        match std::mem::take(&mut self.missed) {
            0 => self.queue.pop_front(),
            missed => Some(NodeEvent::Lagged { missed }),
        }
    }
}

/// The events of a node from [`Node::events`](crate::Node::events) on.
///
/// It is a [`futures_core::Stream`] too. Up to 256 events wait; a subscriber that falls behind further hears
/// [`NodeEvent::Lagged`]. It does not keep the node alive.
pub struct Events {
    shared: Arc<Shared>,
    id: u64,
}

impl Events {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let id = shared.with(|state, _| state.subscribe());
        Self { shared, id }
    }

    /// The next event; `None` once the node has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        let id = self.id;
        until(&self.shared, Place::Node(NodePlace::Events(id)), move |state, _| state.next_event(id)).await
    }
}

impl futures_core::Stream for Events {
    type Item = NodeEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<NodeEvent>> {
        let place = Place::Node(NodePlace::Events(self.id));
        self.shared.poll_at(cx, place, Ticket::SOLE, |state, _| state.next_event(self.id))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.shared.with(|state, _| state.unsubscribe(self.id));
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
