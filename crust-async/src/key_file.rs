//! The file that keeps a node's secret key.
//!
//! It is made with mode 0600 and appears under its name only when it is whole and on the disk. One that others
//! can read is refused, as `ssh` does. Windows has no such modes: there a file inherits its folder's access
//! list, which in a user's profile excludes other users, and nothing is checked.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crust_proto::SecretKey;
use crust_proto::identity::KeyFileError as ContentError;
use zeroize::Zeroizing;

use crate::os;

/// The longest file that is looked at, in bytes.
const MAX_LEN: u64 = 4096;

/// Why there is no key. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Others can read the file, or change it.
    #[error(
        "others can read the secret key in {} (its mode is {mode:03o}): run `chmod 600 '{}'`; \
         if somebody may have read it, remove it to have a new key made",
        path.display(), path.display()
    )]
    ReadableByOthers {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is too large to be a key file.
    #[error("{} is too large to be a key file: is it the right file?", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// The file does not contain a key.
    #[error("{}: {source}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: ContentError,
    },
    /// The system refused something.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Loads the key from `path`; if there is no file, makes a new key and the file, and the folders above it
/// (mode 0700).
///
/// Several processes may do so at once: one of them makes the key and all load the same.
///
/// # Errors
///
/// As for [`load`], but for a file that is not there; [`Io`](KeyFileError::Io) also where randomness, the file or
/// its folders cannot be had. A file that is there is never changed.
pub fn load_or_create(path: impl AsRef<Path>) -> Result<SecretKey, KeyFileError> {
    let path = path.as_ref();
    match load(path) {
        Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        loaded => return loaded,
    }
    let entropy = Zeroizing::new(os::entropy().map_err(io_error("draw randomness for", path))?);
    let key = SecretKey::from_entropy(*entropy);
    match create(path, &key)? {
        Created::New => Ok(key),
        Created::Existed => load(path),
    }
}

/// Loads the key from `path`.
///
/// # Errors
///
/// [`ReadableByOthers`](KeyFileError::ReadableByOthers) (on Unix), [`TooLarge`](KeyFileError::TooLarge),
/// [`Content`](KeyFileError::Content) where there is no key in it; [`Io`](KeyFileError::Io) where the system refuses
/// to open or read it, with [`NotFound`](io::ErrorKind::NotFound) inside where there is no such file.
pub fn load(path: impl AsRef<Path>) -> Result<SecretKey, KeyFileError> {
    let path = path.as_ref();
    let file = File::open(path).map_err(io_error("open", path))?;
    // Asked of the open file, so that it cannot be changed for another in between.
    check_private(&file, path)?;
    let mut content = Zeroizing::new(String::with_capacity(MAX_LEN as usize + 1));
    match file.take(MAX_LEN + 1).read_to_string(&mut content) {
        Ok(read) if read as u64 > MAX_LEN => return Err(KeyFileError::TooLarge { path: path.into() }),
        Ok(_) => {}
        // Not text.
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            let source = ContentError::NotASecretKey { line: 1 };
            return Err(KeyFileError::Content { path: path.into(), source });
        }
        Err(source) => return Err(io_error("read", path)(source)),
    }
    SecretKey::from_key_file(&content).map_err(|source| KeyFileError::Content { path: path.into(), source })
}

enum Created {
    New,
    Existed,
}

/// Writes the file beside its place, then puts it there, unless there is one already.
fn create(path: &Path, key: &SecretKey) -> Result<Created, KeyFileError> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    create_folder(folder).map_err(io_error("create the folder", folder))?;
    // Mode 0600 from the start.
    let mut file = tempfile::Builder::new()
        .prefix(".crust-key-")
        .tempfile_in(folder)
        .map_err(io_error("create a file in", folder))?;
    file.write_all(key.to_key_file().as_bytes()).map_err(io_error("write", path))?;
    file.as_file().sync_all().map_err(io_error("write", path))?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => return Ok(Created::Existed),
        Err(e) => return Err(io_error("create", path)(e.error)),
    }
    sync_folder(folder).map_err(io_error("write", folder))?;
    Ok(Created::New)
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    move |source| KeyFileError::Io { what, path: path.into(), source }
}

#[cfg(unix)]
fn check_private(file: &File, path: &Path) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = file.metadata().map_err(io_error("look at", path))?;
    let mode = metadata.permissions().mode() & 0o777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(KeyFileError::ReadableByOthers { path: path.into(), mode }),
    }
}

#[cfg(not(unix))]
fn check_private(_: &File, _: &Path) -> Result<(), KeyFileError> {
    Ok(())
}

#[cfg(unix)]
fn create_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// The name of a new file is on the disk only when its folder is.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Folders cannot be opened for that here; the system writes them by itself.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[path = "key_file_tests.rs"]
mod tests;
