//! The sender's half of the file protocol, on any pair of streams.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::failure::Failure;
use crate::pace::Pace;
use crate::protocol::{self, Due, Message, Offer, Violation};
use crate::source::{Piece, Source};
use crate::trouble::{Trouble, Watch};

/// How long a peer that has connected may take to say what it wants, and again to say it all: those that never
/// do would keep others out.
pub(crate) const FIRST_WORD: Duration = Duration::from_secs(10);

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
    let hello = tokio::time::timeout(FIRST_WORD, protocol::read(recv, Due::Hello)).await;
    let version = match hello.map_err(|_| Violation::Unexpected(Due::Hello))?? {
        Message::Hello { version } => protocol::common_version(version)?,
        _ => return Err(Violation::Unexpected(Due::Hello).into()),
    };
    let root = root.await?;
    let offer = Offer { version, length: source.length(), root, name: source.name().to_owned() };
    protocol::write(send, &Message::Offer(offer)).await?;

    let Message::Accept { offset, prefix } = protocol::read(recv, Due::Accept).await? else {
        return Err(Violation::Unexpected(Due::Accept).into());
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
                for portion in buffer.chunks(pace.portion()) {
                    pace.wait(portion.len()).await;
                    send.write_all(portion).await?;
                    at += portion.len() as u64;
                    watch.progress(at);
                }
                reading.give_back(buffer);
            }
        }
    }
    send.shutdown().await?;

    match protocol::read(recv, Due::Done).await? {
        Message::Done { root: theirs } if theirs == root => Ok(from),
        Message::Done { .. } => Err(Violation::WrongDone.into()),
        _ => Err(Violation::Unexpected(Due::Done).into()),
    }
}
