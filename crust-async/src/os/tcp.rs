//! TCP sockets and their options, as each system needs them.
//!
//! An adapter registers what [`listen`] and [`dial`] open with its reactor, asks [`connected`] whenever a dial says
//! writable, and prepares what it accepts with [`prepare`].
//!
//! # One port for everything
//!
//! A node dials from the port that it listens on, so that the address that peers observe is one at which it can be reached.
//! For that a listener and its dials share a port, while a second program is refused, and a program that starts again gets
//! its port back although connections of its last life linger there (TIME-WAIT) or still live.
//!
//! On Unix a listener has `SO_REUSEADDR` when it is bound, which lets connections linger and refuses a second listener,
//! and gets `SO_REUSEPORT` between bind and listen; dials have both from the start. (Measured on Linux 6.18: without the
//! first the restart fails, without the second the dial, and with the second from the start a second program shares the
//! port unnoticed. A program that asks for `SO_REUSEPORT` by itself, under the same user, gets in all the same: nothing
//! prevents it.) Where a system does not like the order, dials fall back to a port of their own.
//!
//! On Windows, where `SO_REUSEADDR` means that anybody may take the port, a listener has no option and dials leave from
//! ports of their own.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// How many connections the system keeps for a listener that does not accept; it may keep fewer.
const BACKLOG: i32 = 1024;
/// Bytes that may wait in a socket behind those that are on their way: what more is written is better decided later, and
/// may go another way.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 64 * 1024;
/// Bytes that a socket takes where the system does not bound the unsent ones alone.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SEND_BUFFER: usize = 256 * 1024;

/// Opens a listener that doesn't block; IPv6 only where it is IPv6.
///
/// # Errors
///
/// What the system says: the address is in use or not of this machine, its family is missing, the port takes privileges.
pub fn listen(local: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(local)?;
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&local.into())?;
    share_port(&socket)?;
    // What is accepted inherits it, on most systems.
    prepare(&socket);
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Begins a connection that doesn't block, from `from` where that can be had, else from a port of its own.
///
/// # Errors
///
/// What the system says at once; the rest comes out of [`connected`].
pub fn dial(from: Option<SocketAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let from = from.filter(|_| cfg!(unix));
    // Another port of the same address; then, where the address is gone, any.
    let fallbacks = from.map(|from| [Some(SocketAddr::new(from.ip(), 0)), None]).into_iter().flatten();
    let mut dialled = dial_from(from, to);
    for fallback in fallbacks {
        match &dialled {
            Err(error) if is_conflict(error) => dialled = dial_from(fallback, to),
            _ => break,
        }
    }
    dialled
}

fn dial_from(from: Option<SocketAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = open(to)?;
    prepare(&socket);
    if let Some(from) = from {
        if from.port() != 0 {
            socket.set_reuse_address(true)?;
            share_port(&socket)?;
        }
        socket.bind(&from.into())?;
    }
    match socket.connect(&to.into()) {
        Err(error) if !is_under_way(&error) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Somebody has the port, or this very connection; or the address is gone.
fn is_conflict(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

#[cfg(unix)]
fn is_under_way(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}

#[cfg(not(unix))]
fn is_under_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn open(family_of: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(family_of), Type::STREAM, Some(Protocol::TCP))?;
    if family_of.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))))]
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin")))))]
fn share_port(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// Small writes leave at once, and little waits unsent.
pub fn prepare<'a, S>(socket: &'a S)
where
    SockRef<'a>: From<&'a S>,
{
    let socket = SockRef::from(socket);
    // A connection that has ended meanwhile takes no options, on some systems; its next call says so.
    let _ = socket.set_tcp_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
}

/// What became of a dial, once it says writable.
///
/// # Errors
///
/// [`WouldBlock`](io::ErrorKind::WouldBlock) where it is not decided yet; else why it will never be connected, once.
pub fn connected<'a, S>(socket: &'a S) -> io::Result<()>
where
    SockRef<'a>: From<&'a S>,
{
    let socket = SockRef::from(socket);
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
        // What else it may say is of a connection that has come and gone: reading tells.
        _ => Ok(()),
    }
}

/// Sends a FIN behind what was written. Doing it again does nothing.
///
/// # Errors
///
/// What the system says of a connection that is broken.
pub fn finish<'a, S>(socket: &'a S) -> io::Result<()>
where
    SockRef<'a>: From<&'a S>,
{
    SockRef::from(socket).shutdown(std::net::Shutdown::Write)
}

/// Makes the socket's close an RST.
pub fn reset_when_closed<'a, S>(socket: &'a S)
where
    SockRef<'a>: From<&'a S>,
{
    // Where that fails the connection is gone anyway.
    let _ = SockRef::from(socket).set_linger(Some(core::time::Duration::ZERO));
}
