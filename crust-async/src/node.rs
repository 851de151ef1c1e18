//! A node: where connections are made and accepted.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::net::SocketAddr;
use std::sync::Arc;

use crust_proto::{
    AttemptId, ConnectError, Contact, EngineStats, Instant, Network, PeerId, SessionId, Target,
};

use crate::connection::{Connection, Held};
use crate::events::Events;
use crate::monitor::Monitor;
use crate::runtime::Runtime;
use crate::shared::{Shared, until};
use crate::state::{NodePlace, Phase, Place, State};
use crate::waiters::Ticket;

/// A node of the network: makes and accepts connections.
///
/// A handle: clones are the same node. It lives as long as a handle, or a handle of one of its connections,
/// does; when all are dropped, what was written to the connections still arrives and then the node's sockets
/// close.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    peer_id: PeerId,
    network: Network,
}

/// Whom to connect to.
#[derive(Clone, Debug)]
pub enum Destination {
    /// What a peer gave away to be found by.
    Contact(Box<Contact>),
    /// Addresses, and the id of who is expected there if that is known.
    Target(Target),
}

impl Node {
    /// The handle for a driver that is about to run.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let (peer_id, network) = shared.with(|state, _| {
            state.add_node();
            (state.engine.peer_id(), state.engine.network().clone())
        });
        Self { inner: Arc::new(Inner { shared, peer_id, network }) }
    }

    /// This node's id: its public key.
    pub fn peer_id(&self) -> PeerId {
        self.inner.peer_id
    }

    /// The network it belongs to.
    pub fn network(&self) -> &Network {
        &self.inner.network
    }

    /// What to give to others so that they find this node: its id, its network's tag and every address known
    /// to be its own at present.
    pub fn contact(&self) -> Contact {
        self.inner.shared.with(|state, _| state.engine.contact())
    }

    /// The addresses that its sockets are bound to.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.inner.shared.with(|state, _| state.engine.local_addresses())
    }

    /// Counters of the node as a whole.
    pub fn stats(&self) -> EngineStats {
        self.inner.shared.with(|state, _| state.engine.stats())
    }

    /// Looks at the node without keeping it alive.
    pub fn monitor(&self) -> Monitor {
        Monitor::new(self.inner.shared.clone())
    }

    /// The runtime that the node lives on, for the application's own tasks and timers.
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        self.inner.shared.runtime()
    }

    /// Connects to a peer: a contact, an address, or an id and an address.
    ///
    /// If there is a connection to that peer already, this yields another handle to it. Dropping the future
    /// gives the attempt up.
    pub fn connect(&self, to: impl Into<Destination>) -> Connect {
        Connect { node: self.clone(), progress: Progress::New(to.into()) }
    }

    /// The next connection that a peer opens to this node; `None` once the node is shut down.
    ///
    /// Up to 1,024 wait; more are refused. Dropping the future loses none.
    pub async fn accept(&self) -> Option<Connection> {
        let shared = &self.inner.shared;
        let incoming = Place::Node(NodePlace::Incoming);
        let session = until(shared, incoming, |state, _| state.next_incoming()).await?;
        Held::take_over(shared.clone(), session).map(Connection::new)
    }

    /// What happens to the node from now on.
    pub fn events(&self) -> Events {
        Events::new(self.inner.shared.clone())
    }

    /// Closes every connection at once, with this code and reason, stops accepting, and waits until the peers
    /// were told and the sockets are closed. What was not sent by then is lost.
    ///
    /// Takes effect at the first poll; dropping the future only forgoes the waiting.
    pub async fn shutdown(&self, code: u64, reason: &[u8]) {
        let shared = &self.inner.shared;
        shared.with(|state, now| state.shut_down(code, reason, now));
        let ended = Place::Node(NodePlace::Ended);
        until(shared, ended, |state, _| match state.phase {
            Phase::Ended => Poll::Ready(()),
            Phase::Running | Phase::ShuttingDown => Poll::Pending,
        })
        .await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.with(|state, now| state.drop_node(now));
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("peer_id", &self.inner.peer_id).finish_non_exhaustive()
    }
}

impl From<Contact> for Destination {
    fn from(contact: Contact) -> Self {
        Self::Contact(Box::new(contact))
    }
}

impl From<&Contact> for Destination {
    fn from(contact: &Contact) -> Self {
        contact.clone().into()
    }
}

impl From<Target> for Destination {
    fn from(target: Target) -> Self {
        Self::Target(target)
    }
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Self::Target(address.into())
    }
}

impl From<(PeerId, SocketAddr)> for Destination {
    fn from(target: (PeerId, SocketAddr)) -> Self {
        Self::Target(target.into())
    }
}

/// An attempt to connect, from [`Node::connect`]. It begins when it is first polled; dropping it gives it up.
#[must_use = "futures do nothing unless polled"]
pub struct Connect {
    node: Node,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    New(Destination),
    Waiting(AttemptId),
    Done,
}

impl Future for Connect {
    type Output = Result<Connection, ConnectError>;

    /// # Panics
    ///
    /// Never; polled again after its end it reports [`ConnectError::Cancelled`].
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { node, progress } = self.get_mut();
        let shared = &node.inner.shared;
        let result = shared.with(|state, now| progress.advance(state, now, cx));
        let Poll::Ready(result) = result else { return Poll::Pending };
        *progress = Progress::Done;
        let session = result?;
        let held = Held::take_over(shared.clone(), session).ok_or(ConnectError::Cancelled)?;
        Poll::Ready(Ok(Connection::new(held)))
    }
}

impl Progress {
    fn advance(
        &mut self,
        state: &mut State,
        now: Instant,
        cx: &Context<'_>,
    ) -> Poll<Result<SessionId, ConnectError>> {
        if let Self::New(to) = self {
            let attempt = state.begin_attempt(to, now)?;
            *self = Self::Waiting(attempt);
        }
        let Self::Waiting(attempt) = self else { return Poll::Ready(Err(ConnectError::Cancelled)) };
        let result = state.attempt_result(*attempt);
        let place = Place::Node(NodePlace::Attempt(*attempt));
        match result {
            Poll::Pending => state.register(place, Ticket::SOLE, cx.waker()),
            Poll::Ready(_) => state.unregister(place, Ticket::SOLE),
        }
        result
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        if let Progress::Waiting(attempt) = self.progress {
            self.node.inner.shared.with(|state, now| {
                state.unregister(Place::Node(NodePlace::Attempt(attempt)), Ticket::SOLE);
                state.abandon_attempt(attempt, now);
            });
        }
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl State {
    fn begin_attempt(&mut self, to: &Destination, now: Instant) -> Result<AttemptId, ConnectError> {
        if self.phase != Phase::Running {
            return Err(ConnectError::Cancelled);
        }
        let attempt = match to {
            Destination::Contact(contact) => self.engine.connect_contact(contact, now)?,
            Destination::Target(target) => self.engine.connect(target.clone(), now)?,
        };
        self.await_attempt(attempt);
        self.notify();
        Ok(attempt)
    }
}
