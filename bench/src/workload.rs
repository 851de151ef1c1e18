//! What the two ends do, and which part of it is measured.
//!
//! Every workload begins with some of the same that is not measured: it fills caches, windows and buffers, and what
//! arrives is compared whole. In the measured part, for all peers alike, the client compares each small answer whole,
//! and the bulk's receiver compares the first and the last bytes of what each read gave, besides counting.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::peer::{Dialer, Listener, Stream};
use crate::usage::{Stopwatch, Usage};

/// What is done, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "workload", rename_all = "kebab-case")]
pub enum Workload {
    /// The client sends so many bytes on one stream.
    Bulk { bytes: u64 },
    /// The client sends a message, the server sends it back, so many times; one connection, one at a time.
    Small { message_bytes: usize, round_trips: u64 },
    /// The client connects, asks one byte, is answered one, and ends the connection, so many times, one at a time.
    Connect { connections: u64 },
}

/// How much each write hands over, and each read asks for.
const PIECE: usize = 64 * 1024;
/// What the bulk repeats: long enough that bytes which went astray don't fit by chance.
const PATTERN: usize = 17 * PIECE;
/// How many bytes go ahead of the measured ones, unless those are fewer.
const WARM_UP_BYTES: u64 = 16 << 20;
/// How many bytes of either end of a read are compared.
const SAMPLE: usize = 8;
/// One byte that says: go on.
const GO: [u8; 1] = [1];

impl Workload {
    /// The client's part, and what it cost.
    pub async fn client(self, dialer: &mut dyn Dialer) -> Result<Usage> {
        match self {
            Self::Bulk { bytes } => {
                let pattern = pattern();
                let mut stream = dialer.connect().await?;
                send(&mut stream, &pattern, bytes.min(WARM_UP_BYTES)).await?;
                expect_go(&mut stream).await?;
                let watch = Stopwatch::start()?;
                send(&mut stream, &pattern, bytes).await?;
                expect_go(&mut stream).await?;
                watch.stop()
            }
            Self::Small { message_bytes, round_trips } => {
                let message = pattern().split_off(PATTERN - message_bytes);
                let mut stream = dialer.connect().await?;
                ask(&mut stream, &message, warm_up(round_trips)).await?;
                let watch = Stopwatch::start()?;
                ask(&mut stream, &message, round_trips).await?;
                watch.stop()
            }
            Self::Connect { connections } => {
                connect(dialer, warm_up(connections)).await?;
                let watch = Stopwatch::start()?;
                connect(dialer, connections).await?;
                watch.stop()
            }
        }
    }

    /// The server's part, and what it cost; with the stream, which the client may still need.
    pub async fn server(self, listener: &mut dyn Listener) -> Result<(Usage, Option<Box<dyn Stream>>)> {
        match self {
            Self::Bulk { bytes } => {
                let pattern = pattern();
                let mut stream = listener.accept().await?;
                receive(&mut stream, &pattern, bytes.min(WARM_UP_BYTES), PIECE).await?;
                let watch = Stopwatch::start()?;
                say_go(&mut stream).await?;
                receive(&mut stream, &pattern, bytes, SAMPLE).await?;
                let usage = watch.stop()?;
                say_go(&mut stream).await?;
                Ok((usage, Some(stream)))
            }
            Self::Small { message_bytes, round_trips } => {
                let mut stream = listener.accept().await?;
                answer(&mut stream, message_bytes, warm_up(round_trips)).await?;
                let watch = Stopwatch::start()?;
                answer(&mut stream, message_bytes, round_trips).await?;
                Ok((watch.stop()?, Some(stream)))
            }
            Self::Connect { connections } => {
                let last = accept(listener, warm_up(connections), None).await?;
                let watch = Stopwatch::start()?;
                let last = accept(listener, connections, last).await?;
                Ok((watch.stop()?, last))
            }
        }
    }
}

/// How many go ahead of so many that are measured.
fn warm_up(count: u64) -> u64 {
    count.div_ceil(10)
}

async fn say_go(stream: &mut impl Stream) -> Result<()> {
    stream.write_all(&GO).await?;
    Ok(stream.flush().await?)
}

async fn expect_go(stream: &mut impl Stream) -> Result<()> {
    let mut go = [0; GO.len()];
    stream.read_exact(&mut go).await.context("the other end is gone")?;
    ensure!(go == GO, "what the other end answered is damaged");
    Ok(())
}

async fn send(stream: &mut impl Stream, pattern: &[u8], bytes: u64) -> Result<()> {
    let mut left = bytes;
    for piece in pattern.chunks(PIECE).cycle() {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        if len == 0 {
            break;
        }
        stream.write_all(&piece[..len]).await?;
        left -= len as u64;
    }
    Ok(stream.flush().await?)
}

/// Receives so many bytes of the repeated pattern, and compares up to `sample` bytes at each end of each read.
async fn receive(stream: &mut impl Stream, pattern: &[u8], bytes: u64, sample: usize) -> Result<()> {
    let mut buf = vec![0; PIECE];
    let mut left = bytes;
    let mut at = 0;
    while left > 0 {
        let len = stream.read(&mut buf).await?;
        ensure!(len > 0, "the stream ended {left} bytes early");
        let data = &buf[..len];
        let sample = sample.min(len);
        let fits = is_pattern(pattern, at, &data[..sample])
            && is_pattern(pattern, at + len - sample, &data[len - sample..]);
        ensure!(
            fits && len as u64 <= left,
            "what arrived, {left} bytes before the end, is not what was sent"
        );
        at = (at + len) % PATTERN;
        left -= len as u64;
    }
    Ok(())
}

/// Whether this is what stands at `at` of the pattern, which goes round.
fn is_pattern(pattern: &[u8], at: usize, data: &[u8]) -> bool {
    let at = at % pattern.len();
    let (before, after) = data.split_at(data.len().min(pattern.len() - at));
    pattern[at..].starts_with(before) && pattern.starts_with(after)
}

async fn ask(stream: &mut impl Stream, message: &[u8], times: u64) -> Result<()> {
    let mut answer = vec![0; message.len()];
    for _ in 0..times {
        stream.write_all(message).await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await?;
        ensure!(answer == message, "the answer is not what was sent");
    }
    Ok(())
}

async fn answer(stream: &mut impl Stream, message_bytes: usize, times: u64) -> Result<()> {
    let mut message = vec![0; message_bytes];
    for _ in 0..times {
        stream.read_exact(&mut message).await?;
        stream.write_all(&message).await?;
        stream.flush().await?;
    }
    Ok(())
}

async fn connect(dialer: &mut dyn Dialer, times: u64) -> Result<()> {
    for _ in 0..times {
        let mut stream = dialer.connect().await?;
        say_go(&mut stream).await?;
        expect_go(&mut stream).await?;
        dialer.end(stream);
    }
    Ok(())
}

/// Waits, before each, for the end of the last one, in whatever way this peer's connections end.
async fn accept(
    listener: &mut dyn Listener,
    times: u64,
    mut last: Option<Box<dyn Stream>>,
) -> Result<Option<Box<dyn Stream>>> {
    for _ in 0..times {
        if let Some(mut ending) = last.take() {
            let _ = ending.read(&mut [0]).await;
        }
        let mut stream = listener.accept().await?;
        expect_go(&mut stream).await?;
        say_go(&mut stream).await?;
        last = Some(stream);
    }
    Ok(last)
}

/// Bytes without a short period (SplitMix64).
fn pattern() -> Vec<u8> {
    let words = (1..=PATTERN as u64 / 8).map(|n| {
        let mut word = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    });
    words.flat_map(u64::to_le_bytes).collect()
}

#[cfg(test)]
#[path = "workload_tests.rs"]
mod tests;
