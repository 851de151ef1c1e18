//! What nodes send each other, and whether every byte of it arrives in order.
//!
//! Everything sent begins with a header of eight bytes: which step sends it, and which piece of that it is. What
//! follows is known to both ends by these two numbers. So whoever receives something can check it alone, and reports
//! to the [`Ledger`], where the steps wait.

use core::task::{Context, Poll, Waker};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crust_async::{CloseReason, Connection, Node, ReadError, RecvStream, Runtime};
use crust_proto::{Duration, PeerId};

use super::plan::{Load, Pair, Plan};
use super::read_steps::HEADER;
use crate::checks::{WrongByte, fill, verify};
use crate::record::Recorder;

/// Bytes written or read at once.
const PIECE: usize = 16 * 1024;

/// What all programs of a run know together.
#[derive(Clone, Debug)]
pub(super) struct Ledger(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    entries: Mutex<Entries>,
    /// Who wants to hear of connections, and the names of nodes.
    recorder: Option<Recorder>,
    names: Vec<String>,
}

/// The entries of a ledger.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Nodes by their ids.
    pub(super) nodes: BTreeMap<PeerId, usize>,
    /// The connection that a node has, or last had, with another.
    pub(super) connections: BTreeMap<Pair, Connection>,
    /// By the number of the step.
    pub(super) transfers: BTreeMap<u32, Transfer>,
    /// Connections that ended, in order: at which node, with which, and how.
    pub(super) ends: Vec<(Pair, CloseReason)>,
    /// What was received and never sent.
    pub(super) faults: Vec<String>,
    waiting: Vec<Waker>,
}

/// Something on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) pair: Pair,
    pub(super) load: Load,
    /// Bytes that arrived, headers not counted.
    pub(super) arrived: u64,
    /// The pieces that arrived whole.
    pub(super) pieces: BTreeSet<u32>,
    /// What the sender says, when it has done all.
    pub(super) sent: Option<Result<(), String>>,
    /// What the receiver found wrong.
    pub(super) fault: Option<String>,
}

impl Transfer {
    pub(super) fn new(pair: Pair, load: Load) -> Self {
        Self { pair, load, arrived: 0, pieces: BTreeSet::new(), sent: None, fault: None }
    }

    /// Pieces there are.
    pub(super) const fn count(&self) -> u32 {
        match self.load {
            Load::Streams { count, .. } | Load::Messages { count, .. } | Load::Datagrams { count, .. } => {
                count
            }
        }
    }

    /// Bytes of each piece: of a stream without its header, of others with it.
    const fn bytes(&self) -> u64 {
        match self.load {
            Load::Streams { bytes, .. } | Load::Messages { bytes, .. } | Load::Datagrams { bytes, .. } => {
                bytes
            }
        }
    }

    /// Bytes there are in all.
    pub(super) fn total(&self) -> u64 {
        u64::from(self.count()) * self.bytes()
    }

    fn all_arrived(&self) -> bool {
        self.pieces.len() == self.count() as usize
    }

    /// What has come of it, once that is known.
    pub(super) fn outcome(&self) -> Option<Result<(), String>> {
        match (&self.fault, &self.sent) {
            (Some(fault), _) | (None, Some(Err(fault))) => Some(Err(fault.clone())),
            (None, Some(Ok(()))) if self.all_arrived() => Some(Ok(())),
            _ => None,
        }
    }

    /// A piece has arrived whole.
    fn piece(&mut self, index: u32, in_order: bool) {
        let last = self.pieces.last().copied();
        if index >= self.count() {
            self.fault(format!("piece {index} arrived and was never sent"));
        } else if in_order && last.map_or(0, |last| last + 1) != index {
            self.fault(format!("message {index} arrived after {last:?}"));
        } else if !self.pieces.insert(index) {
            self.fault(format!("piece {index} arrived twice"));
        }
    }

    /// The first fault counts.
    fn fault(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }
}

impl Ledger {
    pub(super) fn new(plan: &Plan, recorder: Option<&Recorder>) -> Self {
        let names = plan.nodes.iter().map(|node| node.name.clone()).collect();
        Self(Arc::new(Shared { entries: Mutex::default(), recorder: recorder.cloned(), names }))
    }

    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        // A panic elsewhere is what the run fails with.
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something; who waits looks again.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> T {
        let mut entries = self.entries();
        let value = change(&mut entries);
        let waiting = std::mem::take(&mut entries.waiting);
        drop(entries);
        waiting.into_iter().for_each(Waker::wake);
        value
    }

    /// Waits until there is something to be found.
    pub(super) async fn until<T>(&self, mut find: impl FnMut(&Entries) -> Option<T>) -> T {
        let poll = |cx: &mut Context<'_>| {
            let mut entries = self.entries();
            if let Some(found) = find(&entries) {
                return Poll::Ready(found);
            }
            if !entries.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                entries.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        };
        std::future::poll_fn(poll).await
    }

    /// Takes every connection that peers open to a node.
    pub(super) fn accept(&self, me: usize, node: Node) {
        let (ledger, runtime) = (self.clone(), node.runtime().clone());
        let accept = async move {
            while let Some(connection) = node.accept().await {
                let with = ledger.entries().nodes.get(&connection.peer_id()).copied();
                if let Some(to) = with {
                    ledger.register(Pair { from: me, to }, connection, node.runtime());
                }
            }
        };
        runtime.spawn(Box::pin(accept));
    }

    /// A connection that stands at one of its ends. A second handle to one that is known already is dropped.
    pub(super) fn register(&self, pair: Pair, connection: Connection, runtime: &Arc<dyn Runtime>) {
        if self.alive(pair) {
            return;
        }
        if let Some(recorder) = &self.0.recorder {
            let names = &self.0.names;
            recorder.connection(&format!("{} to {}", names[pair.from], names[pair.to]), &connection);
        }
        runtime.spawn(Box::pin(watch(self.clone(), pair, connection.clone())));
        runtime.spawn(Box::pin(streams(self.clone(), pair, connection.clone(), runtime.clone())));
        runtime.spawn(Box::pin(messages(self.clone(), pair, connection.clone())));
        runtime.spawn(Box::pin(datagrams(self.clone(), pair, connection.clone())));
        let before = self.change(|entries| entries.connections.insert(pair, connection));
        drop(before);
    }

    /// Whether a node has a connection with another that has not ended, as far as it knows.
    pub(super) fn alive(&self, pair: Pair) -> bool {
        self.entries().alive(pair)
    }

    /// Notes what a node has received of a transfer.
    fn received(&self, header: Header, pair: Pair, note: impl FnOnce(&mut Transfer)) {
        let Pair { from: me, to: with } = pair;
        self.change(|entries| match entries.transfers.get_mut(&header.step) {
            Some(transfer) if transfer.pair == (Pair { from: with, to: me }) => note(transfer),
            _ => entries.faults.push("something arrived that nobody sent".to_owned()),
        });
    }
}

impl Entries {
    /// As [`Ledger::alive`].
    pub(super) fn alive(&self, pair: Pair) -> bool {
        self.connections.get(&pair).is_some_and(|connection| connection.close_reason().is_none())
    }
}

/// Notes how a connection ends.
async fn watch(ledger: Ledger, pair: Pair, connection: Connection) {
    let reason = connection.closed().await;
    ledger.change(|entries| entries.ends.push((pair, reason)));
}

// -- receiving --

/// What everything sent begins with.
#[derive(Clone, Copy)]
struct Header {
    step: u32,
    index: u32,
}

impl Header {
    fn encode(self) -> [u8; HEADER as usize] {
        self.key().to_be_bytes()
    }

    fn decode(bytes: [u8; HEADER as usize]) -> Self {
        let both = u64::from_be_bytes(bytes);
        Self { step: (both >> 32) as u32, index: both as u32 }
    }

    /// What its content is called. No two pieces of a run have one name.
    const fn key(self) -> u64 {
        ((self.step as u64) << 32) | self.index as u64
    }
}

async fn streams(ledger: Ledger, pair: Pair, connection: Connection, runtime: Arc<dyn Runtime>) {
    while let Ok(stream) = connection.accept_uni().await {
        runtime.spawn(Box::pin(stream_in(ledger.clone(), pair, stream)));
    }
}

async fn stream_in(ledger: Ledger, pair: Pair, mut stream: RecvStream) {
    let mut header = [0; HEADER as usize];
    // A stream that ends before its header does tells nothing; its sender hears of the connection's end.
    if stream.read_exact(&mut header).await.is_err() {
        return;
    }
    let header = Header::decode(header);
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    loop {
        let read = stream.read(&mut buffer).await;
        let mut over = true;
        ledger.received(header, pair, |transfer| match read {
            Err(error) => transfer.fault(cannot_read(at, &error)),
            Ok(0) if at == transfer.bytes() => transfer.piece(header.index, false),
            Ok(0) => transfer.fault(format!("stream {} ended after {at} bytes", header.index)),
            Ok(count) => match verify(header.key(), at, &buffer[..count]) {
                Err(WrongByte { offset, .. }) => {
                    transfer.fault(format!("byte {offset} of stream {} is wrong", header.index));
                }
                Ok(()) if at + count as u64 > transfer.bytes() => {
                    transfer.fault(format!("stream {} is too long", header.index));
                }
                Ok(()) => {
                    transfer.arrived += count as u64;
                    at += count as u64;
                    over = false;
                }
            },
        });
        if over {
            return;
        }
    }
}

fn cannot_read(at: u64, error: &ReadError) -> String {
    format!("the receiver got {at} bytes: {error}")
}

async fn messages(ledger: Ledger, pair: Pair, connection: Connection) {
    while let Ok(message) = connection.recv_message().await {
        whole(&ledger, pair, &message.data, true);
    }
}

async fn datagrams(ledger: Ledger, pair: Pair, connection: Connection) {
    while let Ok(datagram) = connection.recv_datagram().await {
        whole(&ledger, pair, &datagram, false);
    }
}

/// Something arrived in one piece.
fn whole(ledger: &Ledger, pair: Pair, data: &[u8], in_order: bool) {
    let header = data.first_chunk().map_or(Header { step: u32::MAX, index: 0 }, |head| Header::decode(*head));
    ledger.received(header, pair, |transfer| {
        let content = data.get(HEADER as usize..).unwrap_or_default();
        if data.len() as u64 != transfer.bytes() {
            transfer.fault(format!("piece {} has {} bytes", header.index, data.len()));
        } else if let Err(WrongByte { offset, .. }) = verify(header.key(), 0, content) {
            transfer.fault(format!("byte {} of piece {} is wrong", offset + HEADER, header.index));
        } else {
            transfer.arrived += data.len() as u64;
            transfer.piece(header.index, in_order);
        }
    });
}

// -- sending --

/// Sends what a step says from a program of the sender's host.
pub(super) fn send(
    ledger: &Ledger,
    step: u32,
    load: Load,
    connection: &Connection,
    runtime: &Arc<dyn Runtime>,
) {
    let (connection, clock) = (connection.clone(), runtime.clone());
    match load {
        Load::Streams { count, bytes } => {
            let left = Arc::new(());
            for index in 0..count {
                let sending = Sending { ledger: ledger.clone(), step, left: left.clone(), result: None };
                let work = stream_out(connection.clone(), Header { step, index }, bytes);
                runtime.spawn(Box::pin(sending.through(work)));
            }
        }
        Load::Messages { count, bytes, priority } => {
            let sending = Sending { ledger: ledger.clone(), step, left: Arc::new(()), result: None };
            runtime.spawn(Box::pin(sending.through(async move {
                for index in 0..count {
                    let message = piece(Header { step, index }, bytes);
                    let last = index + 1 == count;
                    let sent = match last {
                        true => connection.send_message_acked(priority, &message).await,
                        false => connection.send_message(priority, &message).await,
                    };
                    sent.map_err(|error| format!("message {index} could not be sent: {error}"))?;
                }
                Ok(())
            })));
        }
        Load::Datagrams { count, bytes, every, .. } => {
            let sending = Sending { ledger: ledger.clone(), step, left: Arc::new(()), result: None };
            runtime.spawn(Box::pin(sending.through(async move {
                for index in 0..count {
                    let sent = connection.send_datagram(&piece(Header { step, index }, bytes));
                    sent.map_err(|error| format!("datagram {index} could not be sent: {error}"))?;
                    if every > Duration::ZERO {
                        clock.sleep(every).await;
                    }
                }
                Ok(())
            })));
        }
    }
}

async fn stream_out(connection: Connection, header: Header, bytes: u64) -> Result<(), String> {
    let failed =
        |error: &dyn core::fmt::Display| format!("stream {} could not be sent: {error}", header.index);
    let mut stream = connection.open_uni().await.map_err(|error| failed(&error))?;
    stream.write_all(&header.encode()).await.map_err(|error| failed(&error))?;
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    while at < bytes {
        let count = (bytes - at).min(PIECE as u64) as usize;
        fill(header.key(), at, &mut buffer[..count]);
        stream.write_all(&buffer[..count]).await.map_err(|error| failed(&error))?;
        at += count as u64;
    }
    stream.finished().await.map_err(|error| failed(&error))
}

fn piece(header: Header, bytes: u64) -> Vec<u8> {
    let mut data = vec![0; bytes.max(HEADER) as usize];
    let (head, content) = data.split_at_mut(HEADER as usize);
    head.copy_from_slice(&header.encode());
    fill(header.key(), 0, content);
    data
}

/// A program that sends. That it was ended by a crash is noticed when it is dropped.
struct Sending {
    ledger: Ledger,
    step: u32,
    /// Held by each program of the step.
    left: Arc<()>,
    result: Option<Result<(), String>>,
}

impl Sending {
    async fn through(mut self, work: impl Future<Output = Result<(), String>>) {
        self.result = Some(work.await);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| Err("the sender's host crashed".to_owned()));
        let last = Arc::strong_count(&self.left) == 1;
        self.ledger.change(|entries| {
            let Some(transfer) = entries.transfers.get_mut(&self.step) else { return };
            if result.is_err() || (last && transfer.sent.is_none()) {
                transfer.sent.get_or_insert(result);
            }
        });
    }
}

#[cfg(test)]
#[path = "traffic_tests.rs"]
mod tests;
