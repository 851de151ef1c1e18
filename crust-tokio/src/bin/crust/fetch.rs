//! The getter's half of the file protocol, on any pair of streams.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::{JoinError, spawn_blocking};

use crate::destination::{Destination, Partial};
use crate::failure::{Failure, Kind};
use crate::pace::Pace;
use crate::protocol::{self, Due, Message, Offer, VERSION, Violation};
use crate::source::{AHEAD, CHUNK};
use crate::trouble::{Trouble, Watch};

/// How long what has arrived may wait for a chunk to fill before it is written.
const WRITE_WITHIN: Duration = Duration::from_millis(200);

/// What was fetched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its length, in bytes.
    pub(crate) bytes: u64,
    /// Its hash.
    pub(crate) root: blake3::Hash,
    /// How much of it was there before.
    pub(crate) resumed_from: u64,
}

/// Fetches the file that the other side serves. When it ends well the file is under its name, on the disk.
///
/// Dropped midway, or failed, it leaves what has arrived for the next attempt.
pub(crate) async fn fetch(
    recv: &mut (impl AsyncRead + Unpin),
    send: &mut (impl AsyncWrite + Unpin),
    destination: &Destination,
    pace: Pace,
    watch: Arc<dyn Watch>,
) -> Result<Fetched, Trouble> {
    protocol::write(send, &Message::Hello { version: VERSION }).await?;
    let Message::Offer(offer) = protocol::read(recv, Due::Offer).await? else {
        return Err(Violation::Unexpected(Due::Offer).into());
    };
    watch.offered(&offer, &destination.path(&offer.name));

    let mut partial = {
        let (destination, offer) = (destination.clone(), offer.clone());
        blocking(spawn_blocking(move || destination.open(&offer)).await)?
    };
    let have = partial.have();
    protocol::write(send, &Message::Accept { offset: have, prefix: partial.prefix() }).await?;
    let from = match protocol::read(recv, Due::Start).await? {
        Message::Start { offset } if offset == have => have,
        Message::Start { offset: 0 } => {
            partial = blocking(spawn_blocking(move || partial.restart().map(|()| partial)).await)?;
            0
        }
        Message::Start { offset } => return Err(Violation::Length(offset).into()),
        _ => return Err(Violation::Unexpected(Due::Start).into()),
    };
    watch.started(from, from != have);

    let partial = receive(recv, partial, &offer, pace, &watch).await?;
    let root = offer.root;
    let path = blocking(spawn_blocking(move || partial.finish(root)).await)?;
    let fetched = Fetched { path, bytes: offer.length, root, resumed_from: from };
    // The file is there: if the other side cannot be told, that is its loss alone.
    if protocol::write(send, &Message::Done { root }).await.is_ok() {
        let _ = send.shutdown().await;
    }
    Ok(fetched)
}

/// Receives the rest of the file; the disk works while the network does.
async fn receive(
    recv: &mut (impl AsyncRead + Unpin),
    partial: Partial,
    offer: &Offer,
    mut pace: Pace,
    watch: &Arc<dyn Watch>,
) -> Result<Partial, Trouble> {
    let mut left = offer.length - partial.have();
    let (chunks, to_write) = mpsc::channel(AHEAD);
    let (give_back, mut written) = mpsc::channel(AHEAD + 2);
    let watch = watch.clone();
    let writing = spawn_blocking(move || write(partial, to_write, &give_back, &*watch));

    let mut arrived = Ok(());
    while left > 0 && arrived.is_ok() {
        let mut buffer: Vec<u8> = written.try_recv().unwrap_or_else(|_| vec![0; CHUNK]);
        let count = usize::try_from(left).unwrap_or(CHUNK).min(pace.portion());
        let filled;
        (filled, arrived) = fill(recv, &mut buffer[..count]).await;
        left -= filled as u64;
        // Also what came before a failure is kept.
        if filled > 0 && chunks.send(Chunk { buffer, filled }).await.is_err() {
            break;
        }
        if arrived.is_ok() {
            pace.wait(filled).await;
        }
    }
    drop(chunks);
    let partial = blocking(writing.await)?;
    arrived?;
    match recv.read(&mut [0]).await? {
        0 => Ok(partial),
        _ => Err(Violation::Amount.into()),
    }
}

struct Chunk {
    buffer: Vec<u8>,
    filled: usize,
}

/// Reads until the buffer is full, or some time has passed. Says how much was read, whatever happened then.
async fn fill(recv: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> (usize, Result<(), Trouble>) {
    let mut filled = 0;
    let mut first = None;
    while filled < buffer.len() {
        match recv.read(&mut buffer[filled..]).await {
            Ok(0) => return (filled, Err(Violation::Amount.into())),
            Ok(count) => filled += count,
            Err(error) => return (filled, Err(error.into())),
        }
        if first.get_or_insert_with(Instant::now).elapsed() > WRITE_WITHIN {
            break;
        }
    }
    (filled, Ok(()))
}

/// Writes what comes until there is no more.
fn write(
    mut partial: Partial,
    mut chunks: mpsc::Receiver<Chunk>,
    give_back: &mpsc::Sender<Vec<u8>>,
    watch: &dyn Watch,
) -> Result<Partial, Failure> {
    while let Some(Chunk { buffer, filled }) = chunks.blocking_recv() {
        partial.write(&buffer[..filled])?;
        watch.progress(partial.have());
        // If there are enough already, it is freed.
        let _ = give_back.try_send(buffer);
    }
    Ok(partial)
}

/// The result of work on a thread of its own.
fn blocking<T>(joined: Result<Result<T, Failure>, JoinError>) -> Result<T, Trouble> {
    let internal = |error| Failure::new(Kind::Internal, format!("a defect in crust: {error}"));
    joined.map_err(internal)?.map_err(Trouble::Here)
}
