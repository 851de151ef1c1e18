//! `crust get`.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crust_tokio::{Connection, Contact, Node, RecvStream, SendStream};
use indicatif::BinaryBytes;

use crate::args::{Common, GetArgs};
use crate::destination::Destination;
use crate::failure::{Failure, Kind};
use crate::fetch::{Fetched, fetch};
use crate::interrupt::Interrupt;
use crate::meter::{millis, per_second};
use crate::output::{Event, Output};
use crate::pace::Pace;
use crate::protocol::code;
use crate::report::Report;
use crate::trouble::Trouble;
use crate::{ending, setup};

/// How long the other side is given to hear that all has arrived.
const CONFIRM: Duration = Duration::from_secs(5);

/// Fetches what the contact's owner serves.
pub(crate) async fn run(
    args: GetArgs,
    common: &Common,
    out: &Arc<Output>,
    mut interrupt: Interrupt,
) -> Result<(), Failure> {
    let contact: Contact =
        args.contact.parse().map_err(|error| Failure::new(Kind::BadContact, format!("{error}")))?;
    let destination = Destination::new(args.output.as_deref(), args.force)?;
    let node = setup::node(common, out, |config| config.accept_incoming = false).await?;
    let report = Arc::new(Report::new(out, contact.peer().to_string(), String::new(), 0));

    let pace = Pace::new(args.rate.limit);
    // Interrupted, it is dropped only after the goodbye: what it drops says that all is well with it.
    let mut work = pin!(connect_and_fetch(&node, &contact, &destination, pace, out, &report));
    let result = tokio::select! {
        result = &mut work => result,
        () = interrupt.wait() => Err(Failure::interrupted()),
    };
    report.stop();
    match result {
        Ok(()) => {
            ending::goodbye(&node, code::DONE, "done").await;
            Ok(())
        }
        Err(mut failure) => {
            let (code, reason) = failure.kind.close();
            ending::goodbye(&node, code, reason).await;
            if report.bytes() > 0 && goes_on(failure.kind) {
                failure
                    .message
                    .push_str("; what has arrived is kept, and the next `crust get` goes on from there");
            }
            Err(failure)
        }
    }
}

async fn connect_and_fetch(
    node: &Node,
    contact: &Contact,
    destination: &Destination,
    pace: Pace,
    out: &Output,
    report: &Arc<Report>,
) -> Result<(), Failure> {
    out.say(format_args!("Connecting to {} ...", contact.peer().short()));
    let begun = Instant::now();
    let connection = node.connect(contact).await.map_err(|error| ending::no_connection(&error))?;
    let took = begun.elapsed();
    let address = ending::address(&connection);
    let handshake_ms = Some(millis(took));
    out.event(&Event::Connected { peer: report.peer(), address: &address, handshake_ms });
    out.say(format_args!("Connected to {address} in {took:.1?}"));

    // Kept until the connection is closed: a stream that is dropped before says that all is well with it.
    let mut stream = None;
    let fetched = match transfer(&connection, &mut stream, destination, pace, report).await {
        Ok(fetched) => fetched,
        Err(trouble) => return Err(ending::explain(&connection, trouble).await),
    };
    let seconds = report.elapsed().as_secs_f64();
    let Fetched { path, bytes, root, resumed_from } = fetched;
    report.stop();
    let (root, path) = (root.to_hex(), path.display().to_string());
    out.event(&Event::Received { path: &path, bytes, blake3: &root, resumed_from, seconds });
    out.result(&path);
    let moved = bytes - resumed_from;
    out.say(format_args!(
        "{} received in {seconds:.1} s ({}/s), complete and verified",
        BinaryBytes(moved),
        BinaryBytes(per_second(moved, Duration::from_secs_f64(seconds))),
    ));
    // The sender closes as soon as it has heard. If it does not hear, the file is here all the same.
    let _ = tokio::time::timeout(CONFIRM, connection.closed()).await;
    Ok(())
}

async fn transfer(
    connection: &Connection,
    stream: &mut Option<(SendStream, RecvStream)>,
    destination: &Destination,
    pace: Pace,
    report: &Arc<Report>,
) -> Result<Fetched, Trouble> {
    let watched = connection.clone();
    let pace = pace.until(async move { drop(watched.closed().await) });
    let (send, recv) = stream.insert(connection.open_bi().await.map_err(std::io::Error::from)?);
    fetch(recv, send, destination, pace, report.clone()).await
}

/// Whether it makes sense to run the same command again, at most with another contact.
fn goes_on(kind: Kind) -> bool {
    use Kind::{Interrupted, Lost, PeerFailed, PeerInterrupted, Refused};
    matches!(kind, Interrupted | Lost | PeerFailed | PeerInterrupted | Refused)
}
