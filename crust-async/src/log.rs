//! What is logged: one span a node and one a connection, and what happens in them.
//!
//! Fields that one filters by have the same names everywhere: `node` and `peer` are ids, `session` tells
//! connections to the same peer apart. Nothing of what is sent, and no key, is ever logged; of the peer's words
//! only the reason that it closed with, without control characters.
//!
//! Only the driver logs, with the lock open: a subscriber may do anything, even use the node.

use std::collections::BTreeMap;
use std::io;

use crust_proto::{PeerId, SendFailure, SessionId, Transmit};
use tracing::{Span, debug, debug_span, info_span, trace, warn};

use crate::events::NodeEvent;

/// A node's spans.
#[derive(Debug)]
pub(crate) struct Log {
    node: Span,
    /// One for each connection; empty while nobody listens.
    connections: BTreeMap<SessionId, Span>,
}

impl Log {
    pub(crate) fn new(node: PeerId) -> Self {
        Self { node: info_span!("node", %node), connections: BTreeMap::new() }
    }

    /// The node's span, to be entered while the driver works.
    pub(crate) fn node(&self) -> Span {
        self.node.clone()
    }

    /// Tells what happened to the node or, where a session is named, to a connection.
    pub(crate) fn tell(&mut self, session: Option<SessionId>, event: &NodeEvent) {
        match (session, event) {
            (Some(session), NodeEvent::Connected { peer, incoming }) => {
                let span = debug_span!(parent: &self.node, "connection", %peer, ?session);
                debug!(parent: &span, incoming, "connected");
                if !span.is_disabled() {
                    self.connections.insert(session, span);
                }
            }
            (Some(session), NodeEvent::AddressChanged { from, to, .. }) => {
                if let Some(span) = self.connections.get(&session) {
                    debug!(parent: span, %from, %to, "address changed");
                }
            }
            (Some(session), NodeEvent::Disconnected { reason, .. }) => {
                if let Some(span) = self.connections.remove(&session) {
                    debug!(parent: &span, %reason, "closed");
                }
            }
            (_, NodeEvent::Listening { local }) => debug!(parent: &self.node, %local, "listening"),
            (_, NodeEvent::ListenFailed { local, error }) => {
                warn!(parent: &self.node, %local, error, "cannot listen");
            }
            // Each of the others concerns a session, or a subscriber alone.
            _ => {}
        }
    }

    /// A send call failed. The engine hears of it and goes on, so this is for those who look closely.
    pub(crate) fn send_failed(&self, transmit: &Transmit, cause: SendFailure, error: &io::Error) {
        let Transmit { to, len, segment, .. } = transmit;
        debug!(parent: &self.node, %to, len, ?segment, ?cause, %error, "send failed");
    }

    /// A receive call failed, which says something about a datagram sent before, or that the socket dies.
    pub(crate) fn receive_failed(&self, error: &io::Error) {
        trace!(parent: &self.node, %error, "receive failed");
    }
}
