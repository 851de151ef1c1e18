//! The async face of [crust](crust_proto): written once, so that tokio, smol and the simulator run the same
//! handles.
//!
//! Applications name an adapter, which re-exports all of this, and a program begins with its `Builder`:
//!
//! - A [`Node`] has an identity and sockets. It [connects](Node::connect) and [accepts](Node::accept).
//! - A [`Connection`] is to a peer, not to an address. It carries streams, messages and datagrams.
//! - [`SendStream`] and [`RecvStream`] are ordered bytes, with backpressure.
//!
//! The life of a node: [`Builder::bind`] opens the sockets and spawns one task, the driver, which moves
//! datagrams between the sockets and the [engine](crust_proto::Engine) and wakes whoever waits for its events.
//! Handles call the engine directly, under the one lock. When all handles are dropped the driver sees to it
//! that what was written arrives, then it ends; [`Node::shutdown`] ends it sooner.
//!
//! **Dropping futures** never loses anything, and never does anything twice: each method of each handle says
//! when it takes effect.
//!
//! # For adapters
//!
//! An adapter implements [`Platform`], its sockets and [`Runtime`] and names `Builder` with its platform; see
//! [`runtime`] for what they owe. The feature `os` has what adapters for real machines share.
//!
//! ```
//! # use std::net::SocketAddr;
//! # use crust_async::{Node, Platform, Builder};
//! // Works on any adapter: a program that echoes one stream, and asks for it.
//! async fn echo<P: Platform + Default>() -> Result<(), Box<dyn std::error::Error>> {
//!     let localhost: SocketAddr = "127.0.0.1:0".parse()?;
//!     let server = Builder::<P>::ephemeral().listen(localhost).bind().await?;
//!     let client = Builder::<P>::ephemeral().listen(localhost).bind().await?;
//!
//!     let node = server.clone();
//!     server.runtime().spawn(Box::pin(async move {
//!         let Some(connection) = node.accept().await else { return };
//!         let Ok((mut send, mut recv)) = connection.accept_bi().await else { return };
//!         if let Ok(question) = recv.read_to_end(1024).await {
//!             // Arrives even though everything is dropped then.
//!             let _ = send.write_all(&question).await;
//!         }
//!     }));
//!
//!     let connection = client.connect(server.contact()).await?;
//!     let (mut send, mut recv) = connection.open_bi().await?;
//!     send.write_all(b"hello").await?;
//!     send.finish()?;
//!     assert_eq!(recv.read_to_end(1024).await?, b"hello");
//!     client.shutdown(0, b"").await;
//!     Ok(())
//! }
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::missing_errors_doc)]

mod builder;
mod connection;
mod driver;
mod error;
mod events;
#[cfg(feature = "os")]
pub mod key_file;
mod log;
mod monitor;
mod node;
#[cfg(feature = "os")]
pub mod os;
mod recv_stream;
pub mod runtime;
mod send_stream;
mod shared;
mod state;
mod waiters;

pub use crust_proto as proto;
pub use crust_proto::{
    CloseReason, Config, ConnectError, Contact, Dir, EngineStats, Message, Network, PeerId, Priority,
    SecretKey, SessionStats, StreamId, Target,
};

pub use builder::Builder;
pub use connection::{Connection, ConnectionWatcher};
pub use error::{
    AbandonError, ConnectionError, ReadError, ReadExactError, ReadToEndError, SendDatagramError,
    SendMessageError, WriteError,
};
pub use events::{Events, NodeEvent};
pub use monitor::{Monitor, NodeLoad};
pub use node::{Connect, Destination, Node};
pub use recv_stream::RecvStream;
pub use runtime::{BoxFuture, Platform, RecvMeta, Runtime, TcpListener, TcpStream, UdpSocket};
pub use send_stream::SendStream;
