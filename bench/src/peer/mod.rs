//! What is measured: one file for each peer, and the face that they all have here.

mod crust;
mod quinn;
mod rustls;
mod tcp;
mod tls;

use std::fmt;
use std::pin::Pin;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// Plain TCP on tokio: the floor. It has no cipher.
    Tcp,
    /// TLS 1.3 on TCP: tokio-rustls.
    Rustls,
    /// QUIC on UDP.
    Quinn,
    /// crust on UDP.
    Crust,
}

/// The one cipher that both ends may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cipher {
    /// AES-256-GCM.
    #[value(name = "aes-256-gcm", alias = "aes")]
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
    /// ChaCha20-Poly1305.
    #[value(name = "chacha20-poly1305", alias = "chacha")]
    #[serde(rename = "chacha20-poly1305")]
    ChaCha20Poly1305,
}

/// One bidirectional stream of a connection, which lasts as long as the stream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
/// A stream whose connection is new.
pub type Connected<'a> = BoxFuture<'a, Result<Box<dyn Stream>>>;

pub trait Listener {
    /// Waits for the next connection, and for the stream that its client opens on it.
    fn accept(&mut self) -> Connected<'_>;
}

pub trait Dialer {
    /// A new connection, with no help from an earlier one, and a stream on it.
    fn connect(&mut self) -> Connected<'_>;

    /// Ends the connection that was made last, whose stream this is. What was written may be lost.
    fn end(&mut self, stream: Box<dyn Stream>) {
        drop(stream);
    }
}

impl Peer {
    /// A listener on a port that the system chooses, and what a client must know to find and trust it.
    pub async fn listen(self, cipher: Cipher) -> Result<(Box<dyn Listener>, Value)> {
        match self {
            Self::Tcp => tcp::listen().await,
            Self::Rustls => rustls::listen(cipher).await,
            Self::Quinn => quinn::listen(cipher),
            Self::Crust => crust::listen(cipher).await,
        }
    }

    /// A client of the listener that gave this `place`.
    pub async fn dialer(self, cipher: Cipher, place: Value) -> Result<Box<dyn Dialer>> {
        match self {
            Self::Tcp => tcp::dialer(place),
            Self::Rustls => rustls::dialer(cipher, place),
            Self::Quinn => quinn::dialer(cipher, place),
            Self::Crust => crust::dialer(cipher, place).await,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Rustls => "rustls",
            Self::Quinn => "quinn",
            Self::Crust => "crust",
        })
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Aes256Gcm => "aes-256-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
        })
    }
}

#[cfg(test)]
mod tests;
