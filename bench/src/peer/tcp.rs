//! Plain TCP.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use super::{Connected, Dialer, Listener};

pub async fn listen() -> Result<(Box<dyn Listener>, Value)> {
    let (listener, address) = bind().await?;
    Ok((Box::new(Plain(listener)), serde_json::to_value(address)?))
}

pub fn dialer(place: Value) -> Result<Box<dyn Dialer>> {
    Ok(Box::new(PlainDialer(serde_json::from_value(place)?)))
}

struct Plain(TcpListener);

impl Listener for Plain {
    fn accept(&mut self) -> Connected<'_> {
        Box::pin(async { Ok(Box::new(accept(&self.0).await?) as _) })
    }
}

struct PlainDialer(SocketAddr);

impl Dialer for PlainDialer {
    fn connect(&mut self) -> Connected<'_> {
        Box::pin(async { Ok(Box::new(dial(self.0).await?) as _) })
    }
}

/// A listener on any port, and its address.
pub async fn bind() -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .context("no TCP port can be had on 127.0.0.1: is the loopback interface up?")?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

pub async fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub async fn dial(to: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(to).await.with_context(|| {
        format!(
            "no TCP connection to {to}: when ports run out, which closed connections hold for a minute, \
             ask for fewer connections"
        )
    })?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
