//! Where a file goes, and what is there of it already.
//!
//! A file `NAME` is written to `NAME.part`, beside which `NAME.part.info` says which file that is a part of.
//! Both stay when the transfer is cut off, in whatever way, and the next one goes on with them. Only when
//! the whole is there, has the right hash and is on the disk does it get its name, and both are gone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Kind};
use crate::name;
use crate::protocol::Offer;
use crate::source::CHUNK;

/// The longest `NAME.part.info` that is read, in bytes.
const MAX_INFO: u64 = 4096;

/// Where the user wants the file.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    place: Place,
    force: bool,
}

#[derive(Clone, Debug)]
enum Place {
    /// Under this very name.
    File(PathBuf),
    /// In this directory, under the sender's name for it.
    Directory(PathBuf),
}

/// A file that is partly there, open for the rest. Locked: no other process writes it.
#[derive(Debug)]
pub(crate) struct Partial {
    paths: Paths,
    file: File,
    force: bool,
    length: u64,
    have: u64,
    hasher: blake3::Hasher,
}

#[derive(Clone, Debug)]
struct Paths {
    target: PathBuf,
    part: PathBuf,
    info: PathBuf,
}

/// What `NAME.part.info` says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Info {
    /// The version of this file's format.
    crust_part: u32,
    /// The length of the whole.
    length: u64,
    /// The hash of the whole.
    blake3: String,
}

impl Destination {
    /// The place that `-o` names (or the current directory), looked at as far as possible before anybody is
    /// asked for the file.
    pub(crate) fn new(output: Option<&Path>, force: bool) -> Result<Self, Failure> {
        let path = output.unwrap_or(Path::new("."));
        if path == Path::new("-") {
            let message =
                "cannot write to standard output, since a file is only good when whole; use -o PATH";
            return Err(Failure::new(Kind::Usage, message));
        }
        if path.is_dir() {
            return Ok(Self { place: Place::Directory(path.to_owned()), force });
        }
        if path.file_name().is_none() || path.to_string_lossy().ends_with(std::path::is_separator) {
            return Err(Failure::no_directory(path));
        }
        let parent = Paths::new(path.to_owned()).parent().to_owned();
        if !parent.is_dir() {
            return Err(Failure::no_directory(&parent));
        }
        let destination = Self { place: Place::File(path.to_owned()), force };
        destination.check_free(path)?;
        Ok(destination)
    }

    /// The path of the file, given the sender's name for it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        match &self.place {
            Place::File(path) => path.clone(),
            // "./name" is for programs; people read "name".
            Place::Directory(directory) if directory == Path::new(".") => PathBuf::from(name::safe(name)),
            Place::Directory(directory) => directory.join(name::safe(name)),
        }
    }

    /// Opens what is there of the offered file, or begins it. Blocks.
    pub(crate) fn open(&self, offer: &Offer) -> Result<Partial, Failure> {
        let paths = Paths::new(self.path(&offer.name));
        self.check_free(&paths.target)?;
        let failed = |error| Failure::writing(&paths.part, &error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&paths.part)
            .map_err(failed)?;
        match file.try_lock() {
            // Where there are no locks it must do without.
            Ok(()) => {}
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                let part = paths.part.display();
                let message =
                    format!("another process is writing {part}; wait for it, or choose another name with -o");
                return Err(Failure::new(Kind::File, message));
            }
        }
        let mut have = file.metadata().map_err(failed)?.len();
        let info = Info::of(offer);
        match Info::read(&paths.info) {
            Some(known) if known == info && have <= offer.length => {}
            Some(_) => have = 0,
            None if have == 0 || self.force => have = 0,
            None => {
                let part = paths.part.display();
                let message = format!(
                    "{part} is there already and is no part of a download; move it away, or use --force"
                );
                return Err(Failure::new(Kind::Exists, message));
            }
        }
        if have == 0 {
            // Empty before it is declared to be a part of this file: at no time is it called what it isn't.
            file.set_len(0).map_err(failed)?;
            info.write(&paths.info).map_err(|error| Failure::writing(&paths.info, &error))?;
        }
        let mut hasher = blake3::Hasher::new();
        hash_prefix(&mut file, have, &mut hasher).map_err(|error| Failure::reading(&paths.part, &error))?;
        Ok(Partial { paths, file, force: self.force, length: offer.length, have, hasher })
    }

    fn check_free(&self, path: &Path) -> Result<(), Failure> {
        let message = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Failure::writing(path, &error)),
            Ok(metadata) if metadata.is_dir() => format!("{} is a directory; use -o PATH", path.display()),
            Ok(_) if self.force => return Ok(()),
            Ok(_) => format!("{} is there already; use --force to replace it, or -o PATH", path.display()),
        };
        Err(Failure::new(Kind::Exists, message))
    }
}

impl Partial {
    /// How many bytes are there.
    pub(crate) fn have(&self) -> u64 {
        self.have
    }

    /// The hash of what is there.
    pub(crate) fn prefix(&self) -> blake3::Hash {
        self.hasher.finalize()
    }

    /// Begins again: what is there is no part of the file.
    pub(crate) fn restart(&mut self) -> Result<(), Failure> {
        self.have = 0;
        self.hasher = blake3::Hasher::new();
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map(drop).map_err(|error| Failure::writing(&self.paths.part, &error))
    }

    /// Writes the next bytes. Blocks.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.file.write_all(data).map_err(|error| {
            let mut failure = Failure::writing(&self.paths.part, &error);
            if failure.kind == Kind::DiskFull {
                let missing = self.length.saturating_sub(self.have);
                failure.message = format!("{} ({missing} more bytes are to come)", failure.message);
            }
            failure
        })?;
        self.hasher.update(data);
        self.have += data.len() as u64;
        Ok(())
    }

    /// Verifies the whole, makes it last, and gives it its name. Blocks.
    pub(crate) fn finish(self, root: blake3::Hash) -> Result<PathBuf, Failure> {
        let Paths { target, part, info } = &self.paths;
        if self.have != self.length || self.hasher.finalize() != root {
            // Nothing of it can be trusted: the next transfer begins afresh.
            let _ = fs::remove_file(part);
            let _ = fs::remove_file(info);
            let message = format!(
                "what arrived is not the file that was offered (its BLAKE3 differs); {} was removed, run the command again",
                part.display(),
            );
            return Err(Failure::new(Kind::Integrity, message));
        }
        self.file.sync_all().map_err(|error| Failure::writing(part, &error))?;
        if self.force { fs::rename(part, target) } else { rename_new(part, target) }.map_err(|error| {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Failure::writing(target, &error);
            }
            let message = format!(
                "{} has come to be there meanwhile; move it away and run the same command again",
                target.display()
            );
            Failure::new(Kind::Exists, message)
        })?;
        let _ = fs::remove_file(info);
        sync_directory(self.paths.parent());
        Ok(self.paths.target)
    }
}

impl Paths {
    fn new(target: PathBuf) -> Self {
        let beside = |suffix: &str| {
            let mut name = target.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self { part: beside(".part"), info: beside(".part.info"), target }
    }

    fn parent(&self) -> &Path {
        match self.target.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        }
    }
}

impl Info {
    fn of(offer: &Offer) -> Self {
        Self { crust_part: 1, length: offer.length, blake3: offer.root.to_hex().to_string() }
    }

    /// What is written there, if it is something like this at all.
    fn read(path: &Path) -> Option<Self> {
        let mut text = String::new();
        File::open(path).ok()?.take(MAX_INFO).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        fs::write(path, text)
    }
}

/// Leaves the file at the end of its first `length` bytes.
fn hash_prefix(file: &mut File, length: u64, hasher: &mut blake3::Hasher) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; CHUNK];
    let mut left = length;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
        let chunk = &mut buffer[..count];
        file.read_exact(chunk)?;
        hasher.update(chunk);
        left -= count as u64;
    }
    Ok(())
}

/// Renames, but replaces nothing, even if it appears this very moment.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // A file system without links: all that is left is to look first.
        Err(_) => match fs::symlink_metadata(to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(from, to),
        },
    }
}

/// Makes a rename last. The file is whole with or without it, so a failure here is none.
fn sync_directory(directory: &Path) {
    if cfg!(unix) {
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
}

#[cfg(test)]
#[path = "destination_tests.rs"]
mod tests;
