//! tokio's tasks and timers, and the machine.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crust_async::proto::{Duration, Hardware, Instant, InterfaceAddr, UnixTime};
use crust_async::{BoxFuture, Platform, Runtime, os};
use tokio::runtime::Handle;

use crate::tcp::{TokioTcpListener, TokioTcpStream};
use crate::udp::TokioUdpSocket;

/// A real machine under tokio.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

impl Platform for Tokio {
    type Socket = TokioUdpSocket;
    type Listener = TokioTcpListener;
    type Stream = TokioTcpStream;

    fn runtime(&mut self) -> io::Result<Arc<dyn Runtime>> {
        let handle = Handle::try_current().map_err(io::Error::other)?;
        Ok(Arc::new(TokioRuntime { handle, epoch: tokio::time::Instant::now() }))
    }

    fn bind_udp(&mut self, local: SocketAddr) -> io::Result<TokioUdpSocket> {
        TokioUdpSocket::bind(local)
    }

    fn listen_tcp(&mut self, local: SocketAddr) -> io::Result<TokioTcpListener> {
        TokioTcpListener::bind(local)
    }

    fn dial_tcp(&mut self, from: Option<SocketAddr>, to: SocketAddr) -> io::Result<TokioTcpStream> {
        TokioTcpStream::dial(from, to)
    }

    fn descriptors(&mut self) -> Option<usize> {
        os::descriptors()
    }

    fn interfaces(&mut self) -> io::Result<Vec<InterfaceAddr>> {
        os::interfaces()
    }

    fn entropy(&mut self) -> io::Result<[u8; 32]> {
        os::entropy()
    }

    fn hardware(&mut self) -> Hardware {
        os::hardware()
    }
}

/// A tokio runtime. Its clock is tokio's, so that tests can pause it; it counts from the making of the node.
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    handle: Handle,
    epoch: tokio::time::Instant,
}

impl Runtime for TokioRuntime {
    fn spawn(&self, task: BoxFuture<()>) {
        drop(self.handle.spawn(task));
    }

    fn sleep_until(&self, when: Instant) -> BoxFuture<()> {
        // May be called from outside of the runtime.
        let _guard = self.handle.enter();
        let when = when.saturating_since(Instant::ZERO);
        match self.epoch.checked_add(when) {
            Some(when) => Box::pin(tokio::time::sleep_until(when)),
            None => Box::pin(std::future::pending()),
        }
    }

    fn now(&self) -> Instant {
        Instant::ZERO + tokio::time::Instant::now().saturating_duration_since(self.epoch)
    }

    fn wall(&self) -> UnixTime {
        // A clock before 1970 is wrong anyway.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
