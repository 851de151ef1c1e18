//! What both halves of a transfer share: how they fail, and who watches.

use std::io;
use std::path::Path;

use crate::failure::Failure;
use crate::protocol::{Offer, ReadError, Violation};

/// Why a transfer failed, by whose fault it is.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The connection broke; how it was closed says more.
    Stream(io::Error),
    /// The other side does not keep to the protocol.
    Peer(Violation),
    /// This side cannot go on.
    Here(Failure),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

impl From<Violation> for Trouble {
    fn from(violation: Violation) -> Self {
        Self::Peer(violation)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Here(failure)
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Stream(error) => Self::Stream(error),
            ReadError::Violation(violation) => Self::Peer(violation),
        }
    }
}

/// Hears how a transfer goes. Called from any thread.
pub(crate) trait Watch: Send + Sync {
    /// A getter hears what there is, and where it will be.
    fn offered(&self, _offer: &Offer, _path: &Path) {}
    /// Data flows, from this byte on; `restarted` if what was there turned out to be wrong.
    fn started(&self, _from: u64, _restarted: bool) {}
    /// So many bytes of the file are at the other side (or, in a getter, on the disk).
    fn progress(&self, _bytes: u64) {}
}
