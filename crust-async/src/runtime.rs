//! What a runtime and a machine must offer for a node to live on them.
//!
//! An adapter implements three traits and nothing else: [`Runtime`] (tasks and time), [`Platform`]
//! (everything else that is outside) and [`UdpSocket`]. When to call them, and what an error means, is
//! decided in this crate.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crust_proto::recovery::Ecn;
use crust_proto::{Duration, Hardware, Instant, InterfaceAddr, Transmit, UnixTime};

/// A boxed future that can move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Tasks and time.
///
/// Applications can use it too ([`Node::runtime`](crate::Node::runtime)): a program that spawns and sleeps
/// through it runs on every adapter, and in the simulator in virtual time.
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// Runs a task in the background.
    fn spawn(&self, task: BoxFuture<()>);

    /// A future that ends at `when`, or somewhat later.
    fn sleep_until(&self, when: Instant) -> BoxFuture<()>;

    /// The present on the clock that never goes backwards.
    fn now(&self) -> Instant;

    /// The present on the wall clock.
    fn wall(&self) -> UnixTime;

    /// A future that ends after `duration`, or somewhat later.
    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        self.sleep_until(self.now() + duration)
    }
}

/// The machine that a node runs on.
///
/// All methods are quick and don't block. They are called from the driver's task, the first time while the
/// node is being made.
pub trait Platform: Send + 'static {
    /// Its UDP sockets.
    type Socket: UdpSocket;

    /// The runtime that drives the node. Called once, first.
    ///
    /// # Errors
    ///
    /// There is no runtime around the caller; the node is not made.
    fn runtime(&mut self) -> io::Result<Arc<dyn Runtime>>;

    /// Opens a UDP socket. Port zero leaves the choice to the system; IPv6 sockets are IPv6 only.
    ///
    /// # Errors
    ///
    /// What the system says. The node goes on without that socket, unless it is being made: see
    /// [`Builder::bind`](crate::Builder::bind).
    fn bind_udp(&mut self, local: SocketAddr) -> io::Result<Self::Socket>;

    /// The addresses of all interfaces that are up.
    ///
    /// # Errors
    ///
    /// What the system says; what it said before still stands then.
    fn interfaces(&mut self) -> io::Result<Vec<InterfaceAddr>>;

    /// Ready where addresses, interfaces or the wall clock may have changed since the last call; while they have not it
    /// arranges for the task to be woken when they do. `None`: this machine does not tell, and is looked at every few
    /// seconds.
    fn poll_change(&mut self, _: &mut Context<'_>) -> Option<Poll<()>> {
        None
    }

    /// Randomness fit for keys. Whoever calls erases it when it is used up.
    ///
    /// # Errors
    ///
    /// The system has none to give. Without any a node is not made; later it goes on with what it has.
    fn entropy(&mut self) -> io::Result<[u8; 32]>;

    /// What the machine is good at.
    fn hardware(&mut self) -> Hardware {
        Hardware::default()
    }
}

/// What a receive call says of one buffer that it filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvMeta {
    /// The source of the datagrams.
    pub from: SocketAddr,
    /// The local address that they were sent to, where the system tells.
    pub to: Option<IpAddr>,
    /// The ECN codepoint of their IP headers, where the system tells.
    pub ecn: Option<Ecn>,
    /// How many bytes of the buffer are filled.
    pub len: usize,
    /// The length of each datagram but the last (GRO); zero, or `len`, where there is but one.
    pub segment: usize,
}

impl Default for RecvMeta {
    fn default() -> Self {
        let from = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
        Self { from, to: None, ecn: None, len: 0, segment: 0 }
    }
}

/// A UDP socket that never blocks.
pub trait UdpSocket: Send + 'static {
    /// The address it is bound to.
    ///
    /// # Errors
    ///
    /// What the system says; a socket without an address is given up.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Receives: fills one or more of `bufs` from the first on, describes each in `metas` at the same place,
    /// and returns how many. With nothing there it arranges for the task to be woken.
    ///
    /// Both slices have the same length, at least one; each buffer holds the largest datagram there is.
    ///
    /// # Errors
    ///
    /// What the system says. Errors about a datagram sent before are ignored; after sixteen others in a row the
    /// socket is given up.
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>>;

    /// Sends the datagrams that `transmit` describes and `data` holds (`data.len() == transmit.len`), all or
    /// none. While the socket takes no more it arranges for the task to be woken.
    ///
    /// # Errors
    ///
    /// What the system says. Nothing was sent then, and none of it is tried again as it is; the engine learns what
    /// follows for the way from the error's kind and number.
    fn poll_send(&mut self, cx: &mut Context<'_>, transmit: &Transmit, data: &[u8]) -> Poll<io::Result<()>>;

    /// How many datagrams one [`poll_send`](Self::poll_send) takes at most. May sink to one when the system
    /// turns out not to be able.
    fn max_gso_segments(&self) -> usize {
        1
    }
}
