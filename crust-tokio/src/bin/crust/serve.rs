//! The sender's half of the file protocol, on any pair of streams.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::failure::Failure;
use crate::pace::Pace;
use crate::protocol::{self, Message, Offer, Violation};
use crate::source::{Piece, Source};
use crate::trouble::{Trouble, Watch};

/// Serves a file to one receiver; ends when that has confirmed that it has it all on its disk.
///
/// `root` is what [`Source::hash`] has found. Returns the byte from which on the receiver was served.
pub(crate) async fn serve(
    recv: &mut (impl AsyncRead + Unpin),
    send: &mut (impl AsyncWrite + Unpin),
    source: &Arc<Source>,
    root: impl Future<Output = Result<blake3::Hash, Failure>>,
    mut pace: Pace,
    watch: &dyn Watch,
) -> Result<u64, Trouble> {
    let version = match protocol::read(recv).await? {
        Message::Hello { version } => protocol::common_version(version)?,
        _ => return Err(Violation::Unexpected("hello").into()),
    };
    let root = root.await?;
    let offer = Offer { version, length: source.length(), root, name: source.name().to_owned() };
    protocol::write(send, &Message::Offer(offer)).await?;

    let Message::Accept { offset, prefix } = protocol::read(recv).await? else {
        return Err(Violation::Unexpected("what it has").into());
    };
    let mut reading = source.clone().read(root, offset, prefix);
    let (mut from, mut at) = (0, 0);
    while let Some(piece) = reading.next().await {
        match piece? {
            Piece::Start(start) => {
                (from, at) = (start, start);
                protocol::write(send, &Message::Start { offset: start }).await?;
                watch.started(from, from != offset);
            }
            Piece::Data(buffer) => {
                pace.wait(buffer.len()).await;
                send.write_all(&buffer).await?;
                at += buffer.len() as u64;
                reading.give_back(buffer);
                watch.progress(at);
            }
        }
    }
    send.shutdown().await?;

    match protocol::read(recv).await? {
        Message::Done { root: theirs } if theirs == root => Ok(from),
        Message::Done { .. } => Err(Violation::WrongDone.into()),
        _ => Err(Violation::Unexpected("that it is done").into()),
    }
}
