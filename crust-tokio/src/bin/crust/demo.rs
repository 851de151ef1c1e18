//! `crust demo`: two nodes in one process, real sockets, real bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use crust_tokio::{Builder, Connection, Network, Node, RecvStream, SendStream};
use indicatif::BinaryBytes;
use serde::Serialize;

use crate::args::{Common, DemoArgs};
use crate::failure::{Failure, Kind};
use crate::interrupt::Interrupt;
use crate::meter::{Meter, millis};
use crate::output::Output;
use crate::protocol::code;
use crate::{ending, setup};

/// Every page of what is moved begins with its number, so that pages lost, doubled or out of order show.
const PAGE: usize = 4096;
/// How many pages are written at once.
const PAGES: usize = 64;
const MIB: u64 = 1 << 20;

/// What the demo found, as `--json` prints it.
#[derive(Debug, Default, Serialize)]
struct Findings {
    /// Whether all of it arrived as it was sent.
    ok: bool,
    /// How much arrived and was right, in bytes.
    bytes: u64,
    /// Over what: `udp`.
    path: &'static str,
    /// From calling `connect` to having a connection, in milliseconds.
    handshake_ms: f64,
    /// From the first byte written to the last byte verified, in MiB a second.
    mib_per_s: f64,
    /// For how long data was moved.
    seconds: f64,
    /// Who connected, and from where.
    from: Option<Party>,
    /// Whom to, and where.
    to: Option<Party>,
    /// The cipher.
    cipher: Option<String>,
    /// The round-trip time at the end, in milliseconds.
    rtt_ms: Option<f64>,
    /// UDP datagrams that were sent again because they were lost (or seemed to be).
    packets_lost: Option<u64>,
    /// What went wrong, if anything did: the code of the failure,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// and the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Debug, Serialize)]
struct Party {
    peer: String,
    address: String,
}

/// Runs the demo.
pub(crate) async fn run(
    args: &DemoArgs,
    common: &Common,
    out: &Arc<Output>,
    mut interrupt: Interrupt,
) -> Result<(), Failure> {
    let mut findings = Findings { path: "udp", ..Findings::default() };
    let result = tokio::select! {
        result = measure(args, common, out, &mut findings) => result,
        () = interrupt.wait() => Err(Failure::interrupted()),
    };
    findings.ok = result.is_ok();
    if let Err(failure) = &result {
        (findings.code, findings.message) = (Some(failure.kind.name()), Some(failure.to_string()));
    }
    if out.json() {
        out.sole_object(&findings);
    } else if result.is_ok() {
        out.result(format_args!(
            "moved {} in {:.2} s: {:.1} MiB/s, every byte checked",
            BinaryBytes(findings.bytes),
            findings.seconds,
            findings.mib_per_s,
        ));
    }
    result
}

async fn measure(
    args: &DemoArgs,
    common: &Common,
    out: &Arc<Output>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let network = setup::network(common, out)?;
    let asked = common.listen.iter().flat_map(|listen| listen.addresses()).next();
    let here: SocketAddr = asked.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
    let left = node(common, &network, SocketAddr::new(here.ip(), 0)).await?;
    let right = node(common, &network, here).await?;

    let begun = Instant::now();
    let (connected, accepted) = tokio::join!(left.connect(right.contact()), right.accept());
    let took = begun.elapsed();
    let connected = connected.map_err(|error| ending::no_connection(&error))?;
    let accepted = accepted.ok_or_else(|| Failure::new(Kind::Internal, "the second node has ended"))?;
    findings.handshake_ms = millis(took);
    let (from, to) = (party(&left, &accepted), party(&right, &connected));
    out.result(format_args!("{} at {}\n{} at {}", from.peer, from.address, to.peer, to.address));
    out.result(format_args!("connected over {} in {took:.2?}", findings.path.to_uppercase()));
    (findings.from, findings.to) = (Some(from), Some(to));

    let total = args.mib * MIB;
    let meter = Arc::new(Meter::new(out, None, "moving".to_owned(), 0, total));
    let begun = Instant::now();
    // Tasks of their own, so that both ends work at the same time as in two processes.
    let sending = tokio::spawn(send(connected.clone(), total));
    let receiving = tokio::spawn(receive(accepted.clone(), total, meter.clone()));
    let received = receiving.await.unwrap_or_else(|error| Err(defect(&error)));
    let took = begun.elapsed();
    drop(meter);
    findings.bytes = *received.as_ref().unwrap_or(&0);
    findings.seconds = took.as_secs_f64();
    findings.mib_per_s = findings.bytes as f64 / MIB as f64 / took.as_secs_f64().max(1e-9);
    if let Some(stats) = connected.stats() {
        findings.cipher = Some(format!("{:?}", stats.aead));
        findings.rtt_ms = Some(stats.rtt.as_nanos() as f64 / 1e6);
        findings.packets_lost = Some(stats.packets_lost);
    }
    received?;
    sending.await.unwrap_or_else(|error| Err(defect(&error)))?;
    tokio::join!(ending::goodbye(&left, code::DONE, "done"), ending::goodbye(&right, code::DONE, "done"));
    Ok(())
}

async fn node(common: &Common, network: &Network, listen: SocketAddr) -> Result<Node, Failure> {
    let patience = |config: &mut _| setup::patience(config, common.timeout);
    let builder = Builder::ephemeral().network(network.clone()).listen(listen).config(patience);
    builder.bind().await.map_err(|error| Failure::listening(&error))
}

/// A node, and where the other one sees it.
fn party(node: &Node, seen_from: &Connection) -> Party {
    Party { peer: node.peer_id().to_string(), address: ending::address(seen_from) }
}

async fn send(connection: Connection, total: u64) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Kind::Lost, format!("sending failed: {error}"));
    let mut stream: SendStream = connection.open_uni().await.map_err(|error| failed(&error))?;
    let mut pages = Pages::new(total);
    while let Some(data) = pages.next() {
        stream.write_all(data).await.map_err(|error| failed(&error))?;
    }
    stream.finish().map_err(|error| failed(&error))?;
    stream.finished().await.map_err(|error| failed(&error))
}

async fn receive(connection: Connection, total: u64, meter: Arc<Meter>) -> Result<u64, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(Kind::Lost, format!("receiving failed: {error}"));
    let mut stream: RecvStream = connection.accept_uni().await.map_err(|error| failed(&error))?;
    let mut pages = Pages::new(total);
    let mut buffer = vec![0; PAGE * PAGES];
    let mut checked = 0;
    while let Some(expected) = pages.next() {
        let arrived = &mut buffer[..expected.len()];
        stream.read_exact(arrived).await.map_err(|error| failed(&error))?;
        if arrived != expected {
            let message = format!("what arrived after {checked} bytes is not what was sent");
            return Err(Failure::new(Kind::Integrity, message));
        }
        checked += arrived.len() as u64;
        meter.set(checked);
    }
    match stream.read(&mut buffer).await {
        Ok(0) => Ok(checked),
        Ok(_) => Err(Failure::new(Kind::Integrity, "more arrived than was sent")),
        Err(error) => Err(failed(&error)),
    }
}

/// The same numbered pages at both ends.
struct Pages {
    buffer: Vec<u8>,
    page: u64,
    left: u64,
}

impl Pages {
    /// `total` bytes, a multiple of the page's size.
    fn new(total: u64) -> Self {
        let mut buffer = vec![0; PAGE * PAGES];
        blake3::Hasher::new().finalize_xof().fill(&mut buffer);
        Self { buffer, page: 0, left: total }
    }

    fn next(&mut self) -> Option<&[u8]> {
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.buffer.len());
        self.left -= count as u64;
        let pages = &mut self.buffer[..count];
        for page in pages.chunks_mut(PAGE) {
            page[..8].copy_from_slice(&self.page.to_be_bytes());
            self.page += 1;
        }
        if pages.is_empty() { None } else { Some(pages) }
    }
}

fn defect(error: &tokio::task::JoinError) -> Failure {
    Failure::new(Kind::Internal, format!("a defect in crust: {error}"))
}
