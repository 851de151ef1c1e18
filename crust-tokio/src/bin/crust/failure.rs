//! How the command fails: one line for people, a code for machines, a code for the shell.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::protocol::code;

/// What went wrong, as machines read it. Each belongs to one exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A defect in this program, or a system that denies something basic.
    Internal,
    /// The command line makes no sense.
    Usage,
    /// The contact cannot be read or used.
    BadContact,
    /// There is no such file to send, or it is not one.
    NoSuchFile,
    /// The contact belongs to another network.
    OtherNetwork,
    /// The key or secret file cannot be used.
    Key,
    /// No socket could be opened at the address asked for.
    Listen,
    /// Nobody answers.
    NoAnswer,
    /// Somebody else answers.
    NotMe,
    /// The connection was lost in the middle.
    Lost,
    /// The other side refused.
    Refused,
    /// The other side was interrupted.
    PeerInterrupted,
    /// The other side failed.
    PeerFailed,
    /// The other side does not keep to the protocol.
    PeerMisbehaved,
    /// A file of that name is there already.
    Exists,
    /// No room on the disk.
    DiskFull,
    /// Not allowed to.
    Permission,
    /// Something else with a local file.
    File,
    /// The file changed while it was being sent.
    FileChanged,
    /// What arrived is not what was offered.
    Integrity,
    /// Ctrl-C.
    Interrupted,
    /// This command has come to its end, and a transfer that was still under way with it. Said of that
    /// transfer, never of the command.
    Ended,
}

impl Kind {
    /// The name that machines read.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::BadContact => "bad_contact",
            Self::NoSuchFile => "no_such_file",
            Self::OtherNetwork => "other_network",
            Self::Key => "key",
            Self::Listen => "listen",
            Self::NoAnswer => "no_answer",
            Self::NotMe => "not_me",
            Self::Lost => "connection_lost",
            Self::Refused => "refused",
            Self::PeerInterrupted => "peer_interrupted",
            Self::PeerFailed => "peer_failed",
            Self::PeerMisbehaved => "peer_misbehaved",
            Self::Exists => "exists",
            Self::DiskFull => "disk_full",
            Self::Permission => "permission",
            Self::File => "file",
            Self::FileChanged => "file_changed",
            Self::Integrity => "integrity",
            Self::Interrupted => "interrupted",
            Self::Ended => "ended",
        }
    }

    /// The exit code, as the help tells them.
    pub(crate) fn exit(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage | Self::BadContact | Self::NoSuchFile | Self::OtherNetwork | Self::Key => 2,
            Self::Listen | Self::NoAnswer | Self::NotMe => 3,
            Self::Lost
            | Self::Refused
            | Self::PeerInterrupted
            | Self::PeerFailed
            | Self::PeerMisbehaved
            | Self::Ended => 4,
            Self::Exists | Self::DiskFull | Self::Permission | Self::File | Self::FileChanged => 5,
            Self::Integrity => 6,
            Self::Interrupted => 130,
        }
    }

    /// With what a connection is closed because of this, so that the other side knows, too.
    pub(crate) fn close(self) -> (u64, &'static str) {
        match self {
            Self::Interrupted => (code::INTERRUPTED, "interrupted"),
            Self::Exists => (code::DECLINED, "a file of that name is there already"),
            Self::DiskFull => (code::DESTINATION, "the disk is full"),
            Self::Permission => (code::DESTINATION, "it is not allowed to"),
            Self::File => (code::DESTINATION, ""),
            Self::FileChanged => (code::SOURCE, "the file changed"),
            Self::PeerMisbehaved => (code::PROTOCOL, "broke the file protocol"),
            Self::Integrity => (code::INTEGRITY, "what arrived is not what was offered"),
            _ => (code::INTERNAL, "failed"),
        }
    }
}

/// Why the command ends without having done what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What kind of thing.
    pub(crate) kind: Kind,
    /// What happened and what to do about it: one line.
    pub(crate) message: String,
}

impl Failure {
    /// A failure.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Ctrl-C.
    pub(crate) fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }

    /// A file cannot be read.
    pub(crate) fn reading(path: &Path, error: &io::Error) -> Self {
        let (kind, advice) = match error.kind() {
            io::ErrorKind::PermissionDenied => (Kind::Permission, "; make it readable for this user"),
            _ => (Kind::File, ""),
        };
        Self::new(kind, format!("cannot read {}: {}{advice}", path.display(), plain(error)))
    }

    /// A file cannot be written, created or renamed.
    pub(crate) fn writing(path: &Path, error: &io::Error) -> Self {
        let (kind, advice) = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (Kind::DiskFull, "; make room there and run the same command again")
            }
            io::ErrorKind::FileTooLarge => (Kind::DiskFull, "; choose another place with -o"),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                (Kind::Permission, "; choose another place with -o")
            }
            io::ErrorKind::NotFound => (Kind::File, "; create the directory first"),
            _ => (Kind::File, ""),
        };
        Self::new(kind, format!("cannot write {}: {}{advice}", path.display(), plain(error)))
    }

    /// There is nothing to write a file into.
    pub(crate) fn no_directory(directory: &Path) -> Self {
        let message = format!("there is no directory {}; create it first", directory.display());
        Self::new(Kind::File, message)
    }

    /// No socket could be opened. The error says where.
    pub(crate) fn listening(error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => "; choose another port with --listen, or none",
            io::ErrorKind::AddrNotAvailable => "; choose an address of this machine with --listen, or none",
            io::ErrorKind::PermissionDenied => "; choose a port above 1023 with --listen, or none",
            _ => "",
        };
        Self::new(Kind::Listen, format!("{}{advice}", plain(error)))
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> ExitCode {
        ExitCode::from(self.kind.exit())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whatever was quoted, it is one line.
        self.message
            .split(['\n', '\r'])
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .enumerate()
            .try_for_each(|(i, line)| if i == 0 { f.write_str(line) } else { write!(f, "; {line}") })
    }
}

/// An error of the system in words, without Rust's "(os error 2)", beginning small.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    // Whoever passed the error on has said before it what it is about.
    let (about, words) = text.rsplit_once(": ").map_or(("", text), |(about, words)| (about, words));
    let mut chars = words.chars();
    let words = match chars.next() {
        // "No such file", but not "EOF".
        Some(first) if chars.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => words.to_owned(),
    };
    if about.is_empty() { words } else { format!("{about}: {words}") }
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
