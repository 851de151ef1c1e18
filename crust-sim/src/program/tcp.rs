//! TCP listeners and streams of simulated hosts, for drivers.

use core::task::{Context, Poll};
use std::io;
use std::net::SocketAddr;

use crust_async::{TcpListener, TcpStream};

use super::{Handle, Machine, as_the_system_says};
use crate::executor::Wait;
use crate::{ConnectOptions, HostId, ListenerId, NetError, TcpId, TcpState, World};

/// How many connections wait for a listener's program, at most: what the adapters for real machines ask for.
const BACKLOG: usize = 1024;

impl Machine {
    pub(super) fn open_listener(&self, local: SocketAddr) -> io::Result<SimTcpListener> {
        let mut world = self.sim.world();
        let id = world.tcp_listen(self.host, local, BACKLOG).map_err(as_the_system_says)?;
        let local = world.tcp_listener_local(id)?;
        drop(world);
        Ok(SimTcpListener { sim: self.sim.clone(), id, local })
    }

    pub(super) fn open_stream(&self, from: Option<SocketAddr>, to: SocketAddr) -> io::Result<SimTcpStream> {
        let mut world = self.sim.world();
        let id = dial(&mut world, self.host, from, to).map_err(as_the_system_says)?;
        drop(world);
        Ok(SimTcpStream { sim: self.sim.clone(), id, connected: false })
    }
}

/// Dials from where it is asked to, else from another port of that address, else from any.
fn dial(
    world: &mut World,
    host: HostId,
    from: Option<SocketAddr>,
    to: SocketAddr,
) -> Result<TcpId, NetError> {
    let fallbacks = from.map(|from| [Some(SocketAddr::new(from.ip(), 0)), None]).into_iter().flatten();
    let mut connect = |from| world.tcp_connect(host, to, ConnectOptions { from, ttl: None });
    let mut dialled = connect(from);
    for fallback in fallbacks {
        match dialled {
            Err(NetError::AddrInUse | NetError::AddrNotAvailable) => dialled = connect(fallback),
            _ => break,
        }
    }
    let id = dialled?;
    world.tcp_set_nodelay(id, true)?;
    Ok(id)
}

/// A TCP listener of a host, as the driver of a node has it.
#[derive(Debug)]
pub struct SimTcpListener {
    sim: Handle,
    id: ListenerId,
    local: SocketAddr,
}

impl TcpListener for SimTcpListener {
    type Stream = SimTcpStream;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(SimTcpStream, SocketAddr)>> {
        let mut world = self.sim.world();
        let Some((id, from)) = world.tcp_accept(self.id).map_err(as_the_system_says)? else {
            self.sim.executor().waits(Wait::Connections(self.id), cx.waker());
            return Poll::Pending;
        };
        world.tcp_set_nodelay(id, true)?;
        drop(world);
        Poll::Ready(Ok((SimTcpStream { sim: self.sim.clone(), id, connected: true }, from)))
    }
}

impl Drop for SimTcpListener {
    fn drop(&mut self) {
        self.sim.world().tcp_close_listener(self.id);
        let waker = self.sim.executor().waits_no_more(Wait::Connections(self.id));
        drop(waker);
    }
}

/// A TCP connection of a host, as the driver of a node has it.
#[derive(Debug)]
pub struct SimTcpStream {
    sim: Handle,
    id: TcpId,
    connected: bool,
}

impl SimTcpStream {
    fn waits(&self, wait: Wait, cx: &Context<'_>) {
        self.sim.executor().waits(wait, cx.waker());
    }
}

impl TcpStream for SimTcpStream {
    fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.connected {
            let mut world = self.sim.world();
            if world.tcp_state(self.id)? == TcpState::Connecting {
                self.waits(Wait::Room(self.id), cx);
                return Poll::Pending;
            }
            // Nothing is sent; whether anything could be is said.
            world.tcp_send(self.id, &[])?;
            drop(world);
            self.connected = true;
        }
        Poll::Ready(Ok(()))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.sim.world().tcp_ends(self.id)?.0)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut world = self.sim.world();
        if let Some(taken) = world.tcp_recv(self.id, buf)? {
            return Poll::Ready(Ok(taken));
        }
        self.waits(Wait::Bytes(self.id), cx);
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut world = self.sim.world();
        let taken = world.tcp_send(self.id, data)?;
        if taken > 0 || data.is_empty() {
            return Poll::Ready(Ok(taken));
        }
        self.waits(Wait::Room(self.id), cx);
        Poll::Pending
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(self.sim.world().tcp_finish(self.id)?)
    }

    fn reset(self) {
        self.sim.world().tcp_abort(self.id);
    }
}

impl Drop for SimTcpStream {
    fn drop(&mut self) {
        self.sim.world().tcp_close(self.id);
        let mut executor = self.sim.executor();
        let wakers = [Wait::Bytes(self.id), Wait::Room(self.id)].map(|wait| executor.waits_no_more(wait));
        drop(executor);
        drop(wakers);
    }
}
