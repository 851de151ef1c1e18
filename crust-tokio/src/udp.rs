//! tokio's UDP sockets.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use crust_async::os::{self, UdpIo};
use crust_async::proto::Transmit;
use crust_async::{RecvMeta, UdpSocket};
use tokio::io::Interest;

/// A UDP socket that tokio watches.
#[derive(Debug)]
pub struct TokioUdpSocket {
    socket: tokio::net::UdpSocket,
    io: UdpIo,
}

impl TokioUdpSocket {
    /// Opens a socket in the current runtime.
    ///
    /// # Errors
    ///
    /// What the system says of the address, as for [`os::bind_udp`]; or tokio, if its reactor takes no more sockets.
    pub fn bind(local: SocketAddr) -> io::Result<Self> {
        let socket = tokio::net::UdpSocket::from_std(os::bind_udp(local)?)?;
        let io = UdpIo::new(&socket)?;
        Ok(Self { socket, io })
    }
}

impl UdpSocket for TokioUdpSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_recv_ready(cx))?;
            // Clears the readiness where there was nothing after all.
            match self.socket.try_io(Interest::READABLE, || self.io.recv(&self.socket, bufs, metas)) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                received => return Poll::Ready(received),
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, transmit: &Transmit, data: &[u8]) -> Poll<io::Result<()>> {
        loop {
            ready!(self.socket.poll_send_ready(cx))?;
            match self.socket.try_io(Interest::WRITABLE, || self.io.send(&self.socket, transmit, data)) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }

    fn max_gso_segments(&self) -> usize {
        self.io.max_gso_segments()
    }
}
