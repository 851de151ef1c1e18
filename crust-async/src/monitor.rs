//! What a node holds at present, for whoever watches over it.

use core::fmt;
use std::sync::Arc;

use crust_proto::{EngineLoad, EngineStats, HandshakeConfig, Instant, PeerId, TransportConfig};

use crate::shared::Shared;
use crate::state::Phase;

/// Looks at a node without keeping it alive, from [`Node::monitor`](crate::Node::monitor).
///
/// It asks no clock, wakes nobody and changes nothing, so that it can be used where no program may run.
#[derive(Clone)]
pub struct Monitor {
    shared: Arc<Shared>,
    peer_id: PeerId,
}

/// What a node holds at present.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeLoad {
    /// What its engine holds.
    pub engine: EngineLoad,
    /// When the engine must be woken, by the runtime's clock.
    pub timeout: Option<Instant>,
    /// Connections that handles know of.
    pub connections: usize,
    /// Tasks that wait for something at the node or one of its connections.
    pub waiting: usize,
}

impl Monitor {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let peer_id = shared.look(|state| state.engine.peer_id());
        Self { shared, peer_id }
    }

    /// Whose it is.
    pub const fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Whether the node has ended.
    pub fn is_over(&self) -> bool {
        self.shared.look(|state| state.phase == Phase::Ended)
    }

    /// What the node holds at present, `now` by the runtime's clock; `None` when it has ended. It walks over all
    /// connections and their streams.
    pub fn load(&self, now: Instant) -> Option<NodeLoad> {
        self.shared.look(|state| {
            (state.phase != Phase::Ended).then(|| NodeLoad {
                engine: state.engine.load(now),
                timeout: state.engine.next_timeout(),
                connections: state.connections(),
                waiting: state.waiting(),
            })
        })
    }

    /// Counters of the node as a whole.
    pub fn stats(&self) -> EngineStats {
        self.shared.look(|state| state.engine.stats())
    }

    /// How its handshakes are configured.
    pub fn handshake(&self) -> HandshakeConfig {
        self.shared.look(|state| state.engine.config().handshake.clone())
    }

    /// How its sessions are configured.
    pub fn transport(&self) -> TransportConfig {
        self.shared.look(|state| state.engine.config().transport.clone())
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("peer_id", &self.peer_id).finish_non_exhaustive()
    }
}
