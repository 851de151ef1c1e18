//! tokio's TCP listeners and streams.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crust_async::os::tcp;
use crust_async::{TcpListener, TcpStream};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// A TCP listener that tokio watches.
#[derive(Debug)]
pub struct TokioTcpListener(tokio::net::TcpListener);

impl TokioTcpListener {
    /// Listens, in the current runtime.
    ///
    /// # Errors
    ///
    /// What the system says of the address, as for [`tcp::listen`]; or tokio, if its reactor takes no more sockets.
    pub fn bind(local: SocketAddr) -> io::Result<Self> {
        tokio::net::TcpListener::from_std(tcp::listen(local)?).map(Self)
    }
}

impl TcpListener for TokioTcpListener {
    type Stream = TokioTcpStream;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TokioTcpStream, SocketAddr)>> {
        // On an error tokio goes on thinking that somebody waits, which is right: the next call tries again.
        let (stream, from) = ready!(self.0.poll_accept(cx))?;
        tcp::prepare(&stream);
        Poll::Ready(Ok((TokioTcpStream { stream, connected: true }, from)))
    }
}

/// A TCP connection that tokio watches.
#[derive(Debug)]
pub struct TokioTcpStream {
    stream: tokio::net::TcpStream,
    connected: bool,
}

impl TokioTcpStream {
    /// Begins a connection, in the current runtime.
    ///
    /// # Errors
    ///
    /// What the system says at once, as for [`tcp::dial`]; or tokio, if its reactor takes no more sockets.
    pub fn dial(from: Option<SocketAddr>, to: SocketAddr) -> io::Result<Self> {
        let stream = tokio::net::TcpStream::from_std(tcp::dial(from, to)?)?;
        Ok(Self { stream, connected: false })
    }
}

impl TcpStream for TokioTcpStream {
    fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.connected {
            ready!(self.stream.poll_write_ready(cx))?;
            // Clears the readiness where nothing is decided after all.
            match self.stream.try_io(Interest::WRITABLE, || tcp::connected(&self.stream)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                decided => {
                    decided?;
                    self.connected = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        // Over bytes that are initialised: nothing is zeroed again.
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn finish(&mut self) -> io::Result<()> {
        tcp::finish(&self.stream)
    }

    fn reset(self) {
        tcp::reset_when_closed(&self.stream);
    }
}
