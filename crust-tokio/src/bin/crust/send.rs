//! `crust send`.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use console::Term;
use crust_tokio::proto::TransportConfig;
use crust_tokio::{Connection, Contact, PeerId, RecvStream, SendStream};
use indicatif::BinaryBytes;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::{Common, SendArgs};
use crate::failure::{Failure, Kind};
use crate::interrupt::Interrupt;
use crate::meter::{Meter, per_second};
use crate::output::{Event, Output};
use crate::pace::Pace;
use crate::protocol::{Due, Violation, code};
use crate::qr::{self, Ink};
use crate::report::Report;
use crate::serve::{FIRST_WORD, serve};
use crate::source::Source;
use crate::trouble::Trouble;
use crate::{ending, name, setup};

/// How many receivers are served at once.
const MAX_RECEIVERS: usize = 32;

/// How long transfers that were under way when the service ended may take to report that.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The file's hash, once it is known.
type Root = watch::Receiver<Option<Result<blake3::Hash, Failure>>>;

/// Serves a file until somebody has it.
pub(crate) async fn run(
    args: SendArgs,
    common: &Common,
    out: &Arc<Output>,
    mut interrupt: Interrupt,
) -> Result<(), Failure> {
    let source = Arc::new(Source::open(&args.file)?);
    let guests = args.to.iter().map(|peer| guest(peer)).collect::<Result<Vec<_>, _>>()?;
    let node = setup::node(common, out, |config| serve_only(&mut config.transport)).await?;
    introduce(&node.contact(), &source, args.qr, out);

    let service = Arc::new(Service {
        out: out.clone(),
        root: hash(&source, out),
        source,
        guests,
        rate: args.rate.limit,
    });
    let mut root = service.root.clone();
    let mut receivers = JoinSet::new();
    let result = loop {
        tokio::select! {
            Some(connection) = node.accept() => {
                if receivers.len() < MAX_RECEIVERS {
                    receivers.spawn(service.clone().receiver(connection));
                } else {
                    connection.close(code::BUSY, b"serves too many at once");
                }
            }
            Some(served) = receivers.join_next() => match served {
                Ok(Ok(Served::Whole)) if !args.keep => break Ok(()),
                Ok(Ok(_)) => {}
                Ok(Err(failure)) => break Err(failure),
                Err(error) => break Err(Failure::new(Kind::Internal, format!("a defect in crust: {error}"))),
            },
            Err(failure) = hashed(&mut root), if root.borrow().as_ref().is_none_or(Result::is_err) => break Err(failure),
            () = interrupt.wait() => break Err(Failure::interrupted()),
        }
    };
    let (code, reason) = match &result {
        Ok(()) => (code::SERVED, "another has it"),
        Err(failure) => failure.kind.close(),
    };
    ending::goodbye(&node, code, reason).await;
    // Those whose transfers end with this have something to say about it, too.
    let last_words = async { while receivers.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
    result
}

/// Whether a receiver got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    /// All of it, on its disk.
    Whole,
    /// No; others may.
    Not,
}

/// What all receivers are served from.
struct Service {
    out: Arc<Output>,
    source: Arc<Source>,
    root: Root,
    guests: Vec<PeerId>,
    rate: Option<u64>,
}

impl Service {
    /// Serves one receiver. An error is one of ours and the end of the service.
    async fn receiver(self: Arc<Self>, connection: Connection) -> Result<Served, Failure> {
        let peer = connection.peer_id();
        let address = ending::address(&connection);
        let (id, short) = (peer.to_string(), peer.short());
        if !self.guests.is_empty() && !self.guests.contains(&peer) {
            connection.close(code::REFUSED, b"not served");
            self.failed(
                &id,
                &Failure::new(Kind::Refused, format!("it is none of those to serve (at {address})")),
            );
            return Ok(Served::Not);
        }
        self.out.event(&Event::Connected { peer: &id, address: &address, handshake_ms: None });
        self.out.say(format_args!("{short} has connected from {address}"));

        let shown = name::printable(self.source.name());
        let report = Report::new(&self.out, id.clone(), format!("{shown} to {short}"), self.source.length());
        // Kept until the connection is closed: a stream that is dropped before says that all is well with it.
        let mut stream = None;
        let result = self.transfer(&connection, &mut stream, &report).await;
        let seconds = report.elapsed();
        report.stop();
        let (from, root) = match result {
            Ok(sent) => sent,
            Err(trouble) => {
                let ours = matches!(trouble, Trouble::Here(_));
                let failure = ending::explain(&connection, trouble).await;
                return if ours {
                    Err(failure)
                } else {
                    self.failed(&id, &failure);
                    Ok(Served::Not)
                };
            }
        };
        connection.close(code::DONE, b"done");
        let bytes = self.source.length();
        let moved = bytes - from;
        self.out.event(&Event::Sent {
            peer: &id,
            name: self.source.name(),
            bytes,
            blake3: &root.to_hex(),
            resumed_from: from,
            seconds: seconds.as_secs_f64(),
        });
        self.out.say(format_args!(
            "{short} has all of it: {} in {:.1} s ({}/s), complete and verified",
            BinaryBytes(moved),
            seconds.as_secs_f64(),
            BinaryBytes(per_second(moved, seconds)),
        ));
        Ok(Served::Whole)
    }

    /// Says from where on the receiver was served, and the hash that it has confirmed.
    async fn transfer(
        &self,
        connection: &Connection,
        stream: &mut Option<(SendStream, RecvStream)>,
        report: &Report,
    ) -> Result<(u64, blake3::Hash), Trouble> {
        let opened = tokio::time::timeout(FIRST_WORD, connection.accept_bi()).await;
        let (send, recv) = match opened {
            Ok(opened) => stream.insert(opened.map_err(io::Error::from)?),
            Err(_) => return Err(Violation::Unexpected(Due::Hello).into()),
        };
        let mut root = self.root.clone();
        let known = async { hashed(&mut root).await };
        let from = serve(recv, send, &self.source, known, Pace::new(self.rate), report).await?;
        Ok((from, hashed(&mut self.root.clone()).await?))
    }

    fn failed(&self, peer: &str, failure: &Failure) {
        let message = failure.to_string();
        self.out.event(&Event::Failed { peer, code: failure.kind.name(), message: &message });
        let goes_on = match failure.kind {
            Kind::Ended | Kind::Interrupted => "",
            _ => "; still serving",
        };
        self.out.say(format_args!("{peer}: {message}{goes_on}"));
    }
}

/// Reads the whole file once, beside everything else.
fn hash(source: &Arc<Source>, out: &Arc<Output>) -> Root {
    let (known, root) = watch::channel(None);
    let (source, out) = (source.clone(), out.clone());
    tokio::task::spawn_blocking(move || {
        let label = format!("reading {}", name::printable(source.name()));
        let meter = Meter::new(&out, None, label, 0, source.length());
        let result = source.hash(|bytes| meter.set(bytes));
        drop(meter);
        if let Ok(root) = &result {
            out.event(&Event::Hashed { blake3: &root.to_hex() });
        }
        // If nobody waits for it any more, the command is about to end.
        let _ = known.send(Some(result));
    });
    root
}

/// Waits for the hash.
async fn hashed(root: &mut Root) -> Result<blake3::Hash, Failure> {
    let gone = |_| Failure::new(Kind::Internal, "a defect in crust: the file is not being read");
    let known = root.wait_for(Option::is_some).await.map_err(gone)?.clone();
    known.unwrap_or_else(|| Err(Failure::new(Kind::Internal, "a defect in crust: no hash")))
}

/// Says how to get the file.
fn introduce(contact: &Contact, source: &Source, always_qr: bool, out: &Output) {
    let (text, peer) = (contact.to_string(), contact.peer().to_string());
    out.event(&Event::Ready { contact: &text, peer: &peer, name: source.name(), bytes: source.length() });
    let shown = name::printable(source.name());
    out.say(format_args!(
        "{shown}, {}, can be fetched with `crust get` and this contact:\n",
        BinaryBytes(source.length())
    ));
    out.result(&text);
    out.say("");
    show_qr(contact, always_qr, out);
    out.say("It must reach nobody who shall not have the file. Ctrl-C ends the service.");
}

fn show_qr(contact: &Contact, always: bool, out: &Output) {
    let terminal = io::stderr().is_terminal();
    if !(always || terminal && out.chatty()) {
        return;
    }
    let ink = if terminal && console::colors_enabled_stderr() { Ink::Colours } else { Ink::Blocks };
    let Some(drawing) = qr::draw(&contact.qr_text(), ink) else { return };
    let room = Term::stderr().size_checked().map_or(usize::MAX, |(_, columns)| columns.into());
    if drawing.width > room && !always {
        out.say(format_args!("(The QR code needs {} columns; here are {room}.)", drawing.width));
        return;
    }
    out.picture(&drawing.lines);
}

/// A peer that `--to` names.
fn guest(text: &str) -> Result<PeerId, Failure> {
    text.parse().map_err(|error| Failure::new(Kind::Usage, format!("--to {text}: {error}")))
}

/// Receivers open one stream and nothing else.
fn serve_only(transport: &mut TransportConfig) {
    transport.limits.max_streams_bi = 1;
    transport.limits.max_streams_uni = 0;
    transport.max_datagram = 0;
}
