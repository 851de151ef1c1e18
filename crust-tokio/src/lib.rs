//! crust on tokio: encrypted connections between peers.
//!
//! ```
//! use crust_tokio::Builder;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // On any port. A node that is to keep its id loads its key: `key_file::load_or_create`.
//!     let server = Builder::ephemeral().listen("127.0.0.1:0".parse()?).bind().await?;
//!     // In real life this travels as text: `contact.to_string()`, and `text.parse()` at the other end.
//!     let contact = server.contact();
//!
//!     tokio::spawn(async move {
//!         while let Some(connection) = server.accept().await {
//!             tokio::spawn(async move {
//!                 while let Ok((mut send, mut recv)) = connection.accept_bi().await {
//!                     // What was written arrives although the stream is dropped then.
//!                     let _ = tokio::io::copy(&mut recv, &mut send).await;
//!                 }
//!             });
//!         }
//!     });
//!
//!     let client = Builder::ephemeral().listen("127.0.0.1:0".parse()?).bind().await?;
//!     let connection = client.connect(contact).await?;
//!     let (mut send, mut recv) = connection.open_bi().await?;
//!     send.write_all(b"hello").await?;
//!     send.shutdown().await?;
//!     let mut echo = String::new();
//!     recv.read_to_string(&mut echo).await?;
//!     assert_eq!(echo, "hello");
//!
//!     client.shutdown(0, b"").await;
//!     Ok(())
//! }
//! ```
//!
//! Everything but [`Builder`] and [`Tokio`] comes from [`crust_async`], which other runtimes' adapters share.
//!
//! # Features
//!
//! - `aws-lc-rs` (default): fast ciphers, which need a C compiler. Without it crust is all Rust.
#![forbid(unsafe_code)]
#![deny(clippy::missing_errors_doc)]

mod platform;
mod tcp;
mod udp;

pub use crust_async::*;

pub use platform::{Tokio, TokioRuntime};
pub use tcp::{TokioTcpListener, TokioTcpStream};
pub use udp::TokioUdpSocket;

/// Makes a [`Node`] on tokio.
///
/// [`bind`](crust_async::Builder::bind) has to be awaited in a tokio runtime whose IO and time drivers are
/// enabled; the node lives on that runtime, of either flavour.
pub type Builder = crust_async::Builder<Tokio>;
