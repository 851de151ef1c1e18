//! How many sockets a host's programs may have, and how much each connection buffers.

use super::World;
use crate::host::{HostId, NetError};

impl World {
    /// So many sockets a host's programs may have open at a time: UDP sockets, TCP listeners and connections, also those
    /// that have ended and are not closed (`RLIMIT_NOFILE`). Connections that nobody has accepted don't count, nor those
    /// that were closed and still send. At first there is no limit; one that is lower than what is open closes nothing.
    pub fn set_descriptors(&mut self, host: HostId, limit: usize) {
        self.node_mut(host).descriptors = Some(limit);
    }

    /// How many sockets a host's programs have open, and how many they may. Walks over its TCP connections.
    pub fn descriptors(&self, host: HostId) -> (usize, Option<usize>) {
        let node = self.node(host);
        (node.udp.open() + node.tcp.open(), node.descriptors)
    }

    /// Bytes that the send and the receive buffer of each connection hold that a host makes or is asked for from now on, at
    /// least one each; at first [`TCP_BUFFER`](crate::host::TCP_BUFFER). A kernel lets them grow to several MiB by itself.
    ///
    /// # Panics
    ///
    /// Where `receive` is above 1 GiB, the largest window there is (RFC 7323 §2.3).
    pub fn set_tcp_buffers(&mut self, host: HostId, send: usize, receive: usize) {
        assert!(receive <= 1 << 30, "no window is larger than 1 GiB");
        self.node_mut(host).tcp.buffers = [send.max(1), receive.max(1)];
    }

    /// A host's program wants one socket more.
    pub(super) fn one_more_socket(&self, host: HostId) -> Result<(), NetError> {
        if self.node(host).descriptors.is_none() {
            return Ok(());
        }
        match self.descriptors(host) {
            (open, Some(limit)) if open >= limit => Err(NetError::TooManyFiles),
            _ => Ok(()),
        }
    }
}
