//! How connections end: what the other side is told, and what it means that it told us.

use std::time::Duration;

use crust_tokio::{CloseReason, ConnectError, Connection, Node};

use crate::failure::{Failure, Kind, plain};
use crate::name;
use crate::protocol::code;
use crate::trouble::Trouble;

/// How long the other sides are told of the end.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long the end of a connection may take to be known after its stream has failed.
const REASON: Duration = Duration::from_millis(500);

/// Ends a node; the other sides hear why.
pub(crate) async fn goodbye(node: &Node, code: u64, reason: &str) {
    // Whoever does not hear it will notice the silence.
    let _ = tokio::time::timeout(GOODBYE, node.shutdown(code, reason.as_bytes())).await;
}

/// Why no connection came about.
pub(crate) fn no_connection(error: &ConnectError) -> Failure {
    let kind = match error {
        ConnectError::OtherNetwork => Kind::OtherNetwork,
        ConnectError::Oneself | ConnectError::Expired => Kind::BadContact,
        ConnectError::NotMe(_) => Kind::NotMe,
        ConnectError::NoAnswer(_) | ConnectError::NoAddress => Kind::NoAnswer,
        _ => Kind::Internal,
    };
    Failure::new(kind, error.to_string())
}

/// Why a connection ended, if it did before its work was done.
pub(crate) fn ended(reason: &CloseReason) -> Failure {
    let CloseReason::ByPeer { code, reason: words } = reason else {
        return match reason {
            CloseReason::Here { code } => ended_here(*code),
            CloseReason::PeerMisbehaved(_) => Failure::new(Kind::PeerMisbehaved, reason.to_string()),
            _ => Failure::new(Kind::Lost, format!("the connection was lost: {reason}")),
        };
    };
    let (kind, message) = match *code {
        code::INTERRUPTED => (Kind::PeerInterrupted, "the other side was interrupted"),
        code::DECLINED => (Kind::Refused, "the other side does not want the file: it has one of that name"),
        code::REFUSED => (
            Kind::Refused,
            "the other side refused: it serves only certain peers (send --to); tell it what `crust id` prints, and \
             use that key (get --key)",
        ),
        code::BUSY => (Kind::Refused, "the other side refused: it serves too many at once; try again later"),
        code::SERVED => (
            Kind::Refused,
            "the other side is done: somebody else has fetched the file (send --keep serves several)",
        ),
        code::SOURCE => (Kind::PeerFailed, "the other side cannot go on: its file changed or cannot be read"),
        code::DESTINATION => (Kind::PeerFailed, "the other side cannot write the file"),
        code::INTEGRITY => (Kind::PeerFailed, "the other side received something else than was sent"),
        code::PROTOCOL => {
            (Kind::PeerFailed, "the other side did not understand; one of the two is out of date")
        }
        code::DONE => (Kind::PeerFailed, "the other side ended the connection too early"),
        _ => (Kind::PeerFailed, "the other side failed"),
    };
    match name::printable(&String::from_utf8_lossy(words)) {
        // The usual words say no more than the code does.
        words if !words.is_empty() && (*code == code::DESTINATION || *code > code::INTERNAL) => {
            Failure::new(kind, format!("{message}: {words}"))
        }
        _ => Failure::new(kind, message),
    }
}

/// Why this side ended a connection although its work was not done: the whole command ends, and what else it was
/// doing with it.
fn ended_here(code: u64) -> Failure {
    match code {
        code::INTERRUPTED => Failure::interrupted(),
        code::SERVED => Failure::new(Kind::Ended, "this side is done: somebody else has fetched the file"),
        code::SOURCE => {
            Failure::new(Kind::Ended, "this side cannot go on: its file changed or cannot be read")
        }
        _ => Failure::new(Kind::Ended, "this side ended the connection"),
    }
}

/// What a transfer's trouble comes to, given how the connection ended. If it has not, it does now.
pub(crate) async fn explain(connection: &Connection, trouble: Trouble) -> Failure {
    let failure = match trouble {
        Trouble::Here(failure) => failure,
        Trouble::Peer(violation) => Failure::new(
            Kind::PeerMisbehaved,
            format!("the other side does not keep to the file protocol: {violation}"),
        ),
        Trouble::Stream(error) => match tokio::time::timeout(REASON, connection.closed()).await {
            Ok(reason) => ended(&reason),
            Err(_) => Failure::new(Kind::PeerFailed, format!("the other side gave up: {}", plain(&error))),
        },
    };
    let (code, reason) = failure.kind.close();
    connection.close(code, reason.as_bytes());
    failure
}

/// Where the other side is reached, for people and machines.
pub(crate) fn address(connection: &Connection) -> String {
    connection.remote_address().map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

#[cfg(test)]
#[path = "ending_tests.rs"]
mod tests;
