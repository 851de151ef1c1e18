//! The file that is served: read once for its hash, and once more for every receiver.
//!
//! All receivers share one open file, so that one that is replaced under its name (as editors do) is served
//! as it was. One that is changed in place is noticed: by its length and time as it is read, and for certain
//! by the hash, which is compared before the last piece is handed out. No receiver ever gets the whole of a
//! file that changed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc;

use crate::failure::{Failure, Kind};
use crate::name;

/// How much is read and written at once, in bytes.
pub(crate) const CHUNK: usize = 256 << 10;
/// How many chunks wait between disk and network.
pub(crate) const AHEAD: usize = 8;

/// A file to serve.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    file: File,
    name: String,
    length: u64,
    modified: Option<SystemTime>,
}

/// One step of a [`Source`] that is read for a receiver.
#[derive(Debug)]
pub(crate) enum Piece {
    /// What follows begins here.
    Start(u64),
    /// The next bytes.
    Data(Vec<u8>),
}

/// A [`Source`] being read for one receiver, on a thread of its own, somewhat ahead.
#[derive(Debug)]
pub(crate) struct Reading {
    pieces: mpsc::Receiver<Result<Piece, Failure>>,
    empty: mpsc::Sender<Vec<u8>>,
}

impl Source {
    /// Opens a file to serve it.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let no_file =
            |why: &str| Failure::new(Kind::NoSuchFile, format!("cannot send {}: {why}", path.display()));
        // Looked at before it is opened: opening a pipe would wait for its other end.
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => no_file("no such file"),
            _ => Failure::reading(path, &error),
        })?;
        if metadata.is_dir() {
            return Err(no_file("it is a directory; pack it into one file first (tar, zip)"));
        }
        if !metadata.is_file() {
            return Err(no_file("it is not a regular file; save its content as one first"));
        }
        let file = File::open(path).map_err(|error| Failure::reading(path, &error))?;
        let metadata = file.metadata().map_err(|error| Failure::reading(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            name: name::offered(path),
            length: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }

    /// The name under which it is offered.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its length, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Reads it all for its hash. Blocks.
    pub(crate) fn hash(&self, progress: impl Fn(u64)) -> Result<blake3::Hash, Failure> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; CHUNK];
        self.feed(&mut hasher, self.length, &mut buffer, progress)?;
        Ok(hasher.finalize())
    }

    /// Begins to read it for a receiver that has `offset` bytes of it, whose hash is `prefix`.
    pub(crate) fn read(self: Arc<Self>, root: blake3::Hash, offset: u64, prefix: blake3::Hash) -> Reading {
        let (send, pieces) = mpsc::channel(AHEAD);
        let (empty, reuse) = mpsc::channel(AHEAD + 2);
        tokio::task::spawn_blocking(move || {
            if let Err(Stop::Failed(failure)) = self.produce(root, offset, prefix, &send, reuse) {
                // If nobody listens any more, nobody needs to know.
                let _ = send.blocking_send(Err(failure));
            }
        });
        Reading { pieces, empty }
    }

    fn produce(
        &self,
        root: blake3::Hash,
        offset: u64,
        prefix: blake3::Hash,
        out: &mpsc::Sender<Result<Piece, Failure>>,
        mut reuse: mpsc::Receiver<Vec<u8>>,
    ) -> Result<(), Stop> {
        let give = |piece| out.blocking_send(Ok(piece)).map_err(|_| Stop::Unwanted);
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        if offset > 0 && offset <= self.length {
            let mut buffer = vec![0; CHUNK];
            self.feed(&mut hasher, offset, &mut buffer, |_| ())?;
            match hasher.finalize() == prefix {
                true => at = offset,
                false => hasher = blake3::Hasher::new(),
            }
        }
        give(Piece::Start(at))?;
        while at < self.length {
            let mut buffer = reuse.try_recv().unwrap_or_default();
            // Short of the last chunk all are full, and a buffer that was full once is not zeroed again.
            buffer.resize(usize::try_from(self.length - at).unwrap_or(CHUNK).min(CHUNK), 0);
            self.read_exact_at(&mut buffer, at)?;
            hasher.update(&buffer);
            at += buffer.len() as u64;
            if at == self.length && hasher.finalize() != root {
                return Err(self.changed().into());
            }
            give(Piece::Data(buffer))?;
        }
        // Where nothing was left to send, what the receiver has is to be the whole.
        if hasher.finalize() != root { Err(self.changed().into()) } else { Ok(()) }
    }

    /// Hashes the file's first `length` bytes.
    fn feed(
        &self,
        hasher: &mut blake3::Hasher,
        length: u64,
        buffer: &mut [u8],
        progress: impl Fn(u64),
    ) -> Result<(), Failure> {
        let mut at = 0;
        while at < length {
            let count = usize::try_from(length - at).unwrap_or(usize::MAX).min(buffer.len());
            let chunk = &mut buffer[..count];
            self.read_exact_at(chunk, at)?;
            hasher.update(chunk);
            at += count as u64;
            progress(at);
        }
        Ok(())
    }

    fn read_exact_at(&self, mut buffer: &mut [u8], mut at: u64) -> Result<(), Failure> {
        let metadata = self.file.metadata().map_err(|error| Failure::reading(&self.path, &error))?;
        if metadata.len() != self.length || metadata.modified().ok() != self.modified {
            return Err(self.changed());
        }
        while !buffer.is_empty() {
            match read_at(&self.file, buffer, at) {
                Ok(0) => return Err(self.changed()),
                Ok(count) => {
                    buffer = &mut buffer[count..];
                    at += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::reading(&self.path, &error)),
            }
        }
        Ok(())
    }

    fn changed(&self) -> Failure {
        let message =
            format!("{} changed while it was being sent; run the command again", self.path.display());
        Failure::new(Kind::FileChanged, message)
    }
}

impl Reading {
    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Piece, Failure>> {
        self.pieces.recv().await
    }

    /// Gives a buffer back for another piece.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        // If there are enough already, it is freed.
        let _ = self.empty.try_send(buffer);
    }
}

/// Why reading for a receiver ends early.
enum Stop {
    /// The receiver is gone.
    Unwanted,
    /// It cannot be read.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, at)
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
