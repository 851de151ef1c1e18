//! How the command fails: one line for people, a code for machines, a code for the shell.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::source::Place;

/// What went wrong, as machines read it. Each belongs to one exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The command line makes no sense.
    Usage,
    /// A file cannot be read.
    NoSuchFile,
    /// A scenario or a population that is none.
    BadFile,
    /// Shards that do not belong together, or lines that no sweep has written.
    BadShards,
    /// A file or standard output cannot be written.
    Output,
}

impl Kind {
    /// The name that machines read.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::NoSuchFile => "no_such_file",
            Self::BadFile => "bad_file",
            Self::BadShards => "bad_shards",
            Self::Output => "output",
        }
    }

    /// The exit code, as the help tells them.
    pub(crate) fn exit(self) -> u8 {
        match self {
            Self::Usage | Self::NoSuchFile | Self::BadFile | Self::BadShards => 2,
            Self::Output => 3,
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
    /// The place in a file that is wrong.
    pub(crate) place: Option<Place>,
}

impl Failure {
    /// A failure.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), place: None }
    }

    /// A file that is wrong at a place.
    pub(crate) fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), ..Self::new(Kind::BadFile, message) }
    }

    /// A file cannot be read.
    pub(crate) fn reading(path: &Path, error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "; is it spelt as on the disk?",
            io::ErrorKind::PermissionDenied => "; make it readable for this user",
            io::ErrorKind::InvalidData => "; it must be text in UTF-8",
            _ => "",
        };
        let message = format!("cannot read {}: {}{advice}", path.display(), plain(error));
        Self::new(Kind::NoSuchFile, message)
    }

    /// A file cannot be written.
    pub(crate) fn writing(path: &Path, error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "; create the directory first",
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "; choose another place",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room there",
            _ => "",
        };
        let message = format!("cannot write {}: {}{advice}", path.display(), plain(error));
        Self::new(Kind::Output, message)
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> ExitCode {
        ExitCode::from(self.kind.exit())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
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
    let words = text.split(" (os error").next().unwrap_or_default();
    let mut chars = words.chars();
    match chars.next() {
        // "No such file", but not "EOF".
        Some(first) if chars.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_whatever_it_quotes() {
        let failure = Failure::new(Kind::Usage, "first\n  second\r\nthird\n");
        assert_eq!(failure.to_string(), "first; second; third");
    }

    #[test]
    fn errors_of_the_system_are_quoted_without_their_numbers_and_say_what_to_do() {
        let missing = Failure::reading(Path::new("a.toml"), &io::ErrorKind::NotFound.into());
        assert!(missing.message.starts_with("cannot read a.toml: ") && missing.message.contains("spelt"));
        let nowhere = Failure::writing(Path::new("x/a.html"), &io::ErrorKind::NotFound.into());
        assert!(nowhere.message.contains("create the directory"), "{nowhere}");
        assert!(!plain(&io::Error::from_raw_os_error(2)).contains("os error"));
        assert_eq!((missing.kind.exit(), nowhere.kind.exit()), (2, 3));
    }
}
