//! What a runtime and a machine must offer for a node to live on them.
//!
//! An adapter implements [`Runtime`] (tasks and time), [`Platform`] (everything else that is outside) and its sockets:
//! [`UdpSocket`], [`TcpListener`] and [`TcpStream`]. When to call them, and what an error means, is decided in this
//! crate.
//!
//! # Wakers
//!
//! A method that says [`Poll::Pending`] remembers the waker of that call, in place of the one before, and wakes it when
//! calling again may give another answer. It may wake it for nothing now and then, but never fails to. Of one stream,
//! [`poll_read`](TcpStream::poll_read) remembers one waker, and [`poll_connected`](TcpStream::poll_connected) and
//! [`poll_write`](TcpStream::poll_write) together another. Where the answer is ready nothing is remembered: who wants
//! more calls again. Dropping a socket wakes nobody.

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
    /// Its TCP listeners.
    type Listener: TcpListener<Stream = Self::Stream>;
    /// Its TCP streams.
    type Stream: TcpStream;

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

    /// Listens for TCP connections. Port zero leaves the choice to the system; IPv6 listeners are IPv6 only. The port can
    /// be had again at once by who listens there next, also while connections of the listener before still live or
    /// linger; but only by one at a time.
    ///
    /// # Errors
    ///
    /// What the system says: [`AddrInUse`](io::ErrorKind::AddrInUse) where somebody listens there,
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) where the address is not of this machine, a lack of
    /// [descriptors](is_out_of_descriptors).
    fn listen_tcp(&mut self, local: SocketAddr) -> io::Result<Self::Listener>;

    /// Begins a TCP connection; [`TcpStream::poll_connected`] says what becomes of it. It leaves from `from`, as a rule
    /// the address of a listener; where the system does not give that address or port to a connection, or has that very
    /// connection already, from an ephemeral one. [`TcpStream::local_addr`] says which it was.
    ///
    /// # Errors
    ///
    /// What the system says at once: no route, `from` and `to` of different IP versions, a lack of
    /// [descriptors](is_out_of_descriptors). Some say it here, some later.
    fn dial_tcp(&mut self, from: Option<SocketAddr>, to: SocketAddr) -> io::Result<Self::Stream>;

    /// How many files and sockets this process may have open at a time. `None`: there is no such limit, or the system
    /// does not tell.
    fn descriptors(&mut self) -> Option<usize>;

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

/// A TCP socket that listens. Dropped it listens no more, and connections that nobody has accepted are reset.
pub trait TcpListener: Send + 'static {
    /// What it accepts.
    type Stream: TcpStream;

    /// The address that it listens on, its port no longer zero.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Takes the connection that has waited longest, and the address that it comes from. It is connected, and may have
    /// ended since. Connections wait in the system as long as nobody calls, up to some number; further peers get no
    /// answer until then and ask again.
    ///
    /// # Errors
    ///
    /// What the system says: of one connection that ended before it was accepted, or of the machine, such as a lack of
    /// [descriptors](is_out_of_descriptors), and then the connection goes on waiting (some systems say so even where
    /// none waits). Either way the listener lives on,
    /// and **nothing is remembered**: calling again tries again at once. So whoever is told of a lack lets some time pass
    /// or closes something first, or spins.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, SocketAddr)>>;
}

/// A TCP connection that never blocks. Small writes leave at once (no Nagle).
///
/// Its life: a dial is connected when [`poll_connected`](Self::poll_connected) says so; an accepted one is from the first.
/// Then both directions go their own ways until each is at its end: the peer's when [`poll_read`](Self::poll_read) says
/// zero, its own with [`finish`](Self::finish). An error of any of these is the end of both, and is said once: whoever
/// has heard it, from whichever call, drops the stream and calls nothing else. What had arrived before may be lost then.
///
/// Dropped it closes as systems close: nothing of it is left to the program at once, and the system sends what it has been
/// given and a FIN behind it. But if bytes have arrived that were not read, or more arrive after, the peer gets an RST,
/// which may destroy what it had not read yet. Who wants to be sure that all arrives finishes, and drops the stream when
/// the peer's end has come. A dial that is not connected just ends.
pub trait TcpStream: Send + 'static {
    /// Whether it is connected. May be called again after it was.
    ///
    /// # Errors
    ///
    /// Why it will never be: [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) (nobody listens, or somebody on the
    /// way says so), [`HostUnreachable`](io::ErrorKind::HostUnreachable) or
    /// [`NetworkUnreachable`](io::ErrorKind::NetworkUnreachable), [`TimedOut`](io::ErrorKind::TimedOut) after the system's
    /// patience (about two minutes), [`ConnectionReset`](io::ErrorKind::ConnectionReset) where it was and is no more.
    fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Its address on this machine. That of a dial is known when it is connected.
    ///
    /// # Errors
    ///
    /// What the system says, as of a connection that has been reset.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Takes bytes that have arrived into `buf`, and says how many; zero is the peer's end, and again at each later call.
    /// `buf` is not empty, and what is behind the bytes that it said is unspecified. Not before it is connected.
    ///
    /// # Errors
    ///
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) where the peer, or somebody in its name, broke it off;
    /// [`TimedOut`](io::ErrorKind::TimedOut) where the peer stayed silent for longer than the system's patience (some
    /// quarter of an hour, and only if something was on its way to it); else what the system says.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Gives the system bytes to send, and says how many of them it took from the front: at least one, and often not all.
    /// `data` is not empty. Not before it is connected. What was taken is not yet with the peer.
    ///
    /// # Errors
    ///
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) after [`finish`](Self::finish), and on some systems in place of
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset); else as for [`poll_read`](Self::poll_read).
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;

    /// A FIN goes behind all that was taken; nothing more is written, reading goes on. Doing it again does nothing.
    /// Not before it is connected.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) or another where the connection is broken already.
    fn finish(&mut self) -> io::Result<()>;

    /// Breaks it off: what is on its way is dropped, and the peer gets an RST.
    fn reset(self);
}

/// Whether a call failed because the process or the machine has no descriptor left, or no memory for one:
/// [`io::ErrorKind`] does not tell that from others.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS. The first two are the same numbers on every Unix.
    const NUMBERS: [i32; 3] = if cfg!(windows) {
        [10024, 10024, 10055]
    } else if cfg!(any(target_os = "linux", target_os = "android")) {
        [24, 23, 105]
    } else {
        [24, 23, 55]
    };
    error.kind() == io::ErrorKind::OutOfMemory
        || error.raw_os_error().is_some_and(|number| NUMBERS.contains(&number))
}
