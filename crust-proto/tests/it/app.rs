//! Two applications that follow a script over one session and check everything that they hear.
//!
//! They act on events alone, as an asynchronous application does: an edge that the engine forgets is a stall
//! that the test sees. Content is a function of stream and offset, so a byte that arrives twice, or not, or in
//! another's place, is seen where it arrives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::LazyLock;

use crust_proto::streams::{ReadError, SendMessageError, WriteError};
use crust_proto::{
    CloseReason, Dir, Duration, Event, Instant, MessageId, Priority, ReadStreamError, SendMessageFailure,
    SessionId, StreamId, WriteStreamError,
};

use crate::net::{Net, Rng};

/// A prime period, so that no offset that is a power of two maps to itself.
const PERIOD: usize = 65_521;
const CHUNK: usize = 16_384;

static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = Rng::new(0).bytes(PERIOD);
    bytes.extend_from_within(..CHUNK);
    bytes
});

/// Some of what `key`'s data says at `offset`, `len` bytes at most.
fn piece(key: u64, offset: u64, len: u64) -> &'static [u8] {
    let start = (Rng::new(key).next().wrapping_add(offset) % PERIOD as u64) as usize;
    &TABLE[start..start + len.min(CHUNK as u64) as usize]
}

pub(crate) fn content(key: u64, len: u64) -> Vec<u8> {
    let mut all = Vec::new();
    while (all.len() as u64) < len {
        all.extend(piece(key, all.len() as u64, len - all.len() as u64));
    }
    all
}

fn assert_content(key: u64, mut offset: u64, data: &[u8]) {
    for chunk in data.chunks(CHUNK) {
        assert!(piece(key, offset, chunk.len() as u64) == chunk, "other bytes than were sent, near {offset}");
        offset += chunk.len() as u64;
    }
}

/// What becomes of one direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Finish,
    Reset(u64),
}

/// What one side does next.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Opens a stream, writes so much, and ends it so. The peer answers a bidirectional one with `reply` bytes,
    /// and stops reading after `stop` bytes.
    Stream {
        dir: Dir,
        len: u64,
        end: End,
        reply: u64,
        stop: Option<u64>,
        priority: i32,
    },
    Message {
        priority: u8,
        len: u64,
        notify: bool,
    },
    Datagram {
        len: usize,
    },
    /// Reads nothing for so long.
    Pause(Duration),
    UpdateKeys,
    /// Its NAT gives it a new address.
    Rebind,
    /// Nothing passes in either direction for so long.
    Outage(Duration),
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) side: usize,
    /// After the step before.
    pub(crate) after: Duration,
    pub(crate) act: Act,
}

#[derive(Debug)]
struct Outgoing {
    key: u64,
    total: u64,
    at: u64,
    end: End,
    ready: bool,
    over: bool,
    stopped: Option<u64>,
    finished: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Finished,
    Reset(u64),
    Stopped,
}

#[derive(Debug)]
struct Incoming {
    key: u64,
    at: u64,
    ready: bool,
    stop: Option<u64>,
    ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    dir: Dir,
    len: u64,
    end: End,
    reply: u64,
    stop: Option<u64>,
    priority: i32,
}

/// One end of the session.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) node: usize,
    pub(crate) session: SessionId,
    to_open: [VecDeque<Plan>; 2],
    may_open: [bool; 2],
    out: BTreeMap<StreamId, Outgoing>,
    incoming: BTreeMap<StreamId, Incoming>,
    may_accept: [bool; 2],
    to_send: [VecDeque<(u64, bool)>; Priority::COUNT],
    may_send: [bool; Priority::COUNT],
    sent: [Vec<u64>; Priority::COUNT],
    received: [usize; Priority::COUNT],
    to_be_acked: BTreeSet<MessageId>,
    messages: bool,
    datagrams: bool,
    datagrams_sent: u64,
    datagrams_seen: BTreeSet<u64>,
    paused: Option<Instant>,
    pub(crate) closed: Option<CloseReason>,
}

/// A script and the two who play it.
pub(crate) struct Play {
    steps: VecDeque<Step>,
    next: Instant,
    pub(crate) sides: [Side; 2],
    /// What the peer will do with a stream, by its id.
    plans: BTreeMap<StreamId, Plan>,
    /// Distinguishes the streams' contents.
    salt: u64,
    rng: Rng,
    outage: Option<Instant>,
}

const STOP_CODE: u64 = 77;

impl Play {
    pub(crate) fn new(net: &mut Net, ends: [(usize, SessionId); 2], steps: Vec<Step>) -> Self {
        let side = |(node, session): (usize, SessionId)| Side {
            node,
            session,
            to_open: Default::default(),
            may_open: [true; 2],
            out: BTreeMap::new(),
            incoming: BTreeMap::new(),
            may_accept: [true; 2],
            to_send: Default::default(),
            may_send: [true; Priority::COUNT],
            sent: Default::default(),
            received: Default::default(),
            to_be_acked: BTreeSet::new(),
            messages: true,
            datagrams: true,
            datagrams_sent: 0,
            datagrams_seen: BTreeSet::new(),
            paused: None,
            closed: None,
        };
        let mut play = Self {
            steps: steps.into(),
            next: net.now,
            sides: ends.map(side),
            plans: BTreeMap::new(),
            salt: net.seed,
            rng: net.rng.clone(),
            outage: None,
        };
        play.wait_for_next(net);
        play
    }

    fn wait_for_next(&mut self, net: &mut Net) {
        if let Some(step) = self.steps.front() {
            self.next = self.next + step.after;
            net.look_again(self.next.saturating_since(net.now));
        }
    }

    /// Plays on. To be called after every step of the network.
    pub(crate) fn act(&mut self, net: &mut Net) {
        if self.outage.is_some_and(|end| end <= net.now) {
            self.outage = None;
            self.block(net, false);
        }
        // What happened comes before what is wanted: nobody writes to a session that it was told is closed.
        for side in 0..2 {
            self.hear(net, side);
        }
        while self.next <= net.now && self.steps.front().is_some_and(|step| may_begin(&self.sides, net, step))
        {
            let Some(Step { side, act, .. }) = self.steps.pop_front() else { break };
            self.begin(net, side, act);
            self.wait_for_next(net);
        }
        for side in 0..2 {
            if self.sides[side].closed.is_none() {
                self.open(net, side);
                self.write(net, side);
                self.send_messages(net, side);
                if self.sides[side].paused.is_none_or(|until| until <= net.now) {
                    self.accept(net, side);
                    self.read(net, side);
                    self.receive(net, side);
                }
            }
        }
    }

    fn block(&self, net: &mut Net, blocked: bool) {
        let [a, b] = [self.sides[0].node, self.sides[1].node];
        net.link(a, b).blocked = blocked;
        net.link(b, a).blocked = blocked;
    }

    fn begin(&mut self, net: &mut Net, side: usize, act: Act) {
        let this = &mut self.sides[side];
        if this.closed.is_some() {
            return;
        }
        match act {
            Act::Stream { dir, len, end, reply, stop, priority } => {
                this.to_open[dir as usize].push_back(Plan { dir, len, end, reply, stop, priority });
            }
            Act::Message { priority, len, notify } => {
                this.to_send[usize::from(priority)].push_back((len, notify))
            }
            Act::Datagram { len } => {
                let mut session = net.session(this.node, this.session);
                let len = len.min(session.max_datagram().unwrap_or(0));
                if len >= 8 {
                    let index = this.datagrams_sent;
                    let mut data = index.to_be_bytes().to_vec();
                    data.extend(content(self.salt ^ index ^ (side as u64) << 60, len as u64 - 8));
                    session.send_datagram(&data).expect("not too large");
                    this.datagrams_sent += 1;
                }
            }
            Act::Pause(length) => {
                this.paused = Some(net.now + length);
                net.look_again(length);
            }
            Act::UpdateKeys => net.session(this.node, this.session).update_keys(),
            Act::Rebind => net.rebind(this.node),
            Act::Outage(length) => {
                self.outage = Some(net.now + length);
                net.look_again(length);
                self.block(net, true);
            }
        }
    }

    fn hear(&mut self, net: &mut Net, side: usize) {
        let this = &mut self.sides[side];
        for event in net.nodes[this.node].take_events() {
            match event {
                Event::StreamOpened { session, dir } if session == this.session => {
                    this.may_accept[dir as usize] = true
                }
                Event::StreamsAvailable { session, dir } if session == this.session => {
                    this.may_open[dir as usize] = true;
                }
                Event::Readable { session, stream } if session == this.session => {
                    if let Some(incoming) = this.incoming.get_mut(&stream) {
                        incoming.ready = true;
                    }
                }
                Event::Writable { session, stream } if session == this.session => {
                    if let Some(out) = this.out.get_mut(&stream) {
                        out.ready = true;
                    }
                }
                Event::StreamFinished { session, stream } if session == this.session => {
                    let out = this.out.get_mut(&stream).expect("a stream of ours");
                    out.finished += 1;
                    assert!(out.over && out.finished == 1 && out.end == End::Finish, "{stream}: {out:?}");
                }
                Event::StreamStopped { session, stream, code } if session == this.session => {
                    let out = this.out.get_mut(&stream).expect("a stream of ours");
                    assert_eq!((out.stopped, code), (None, STOP_CODE));
                    out.stopped = Some(code);
                    // A writer that waits for room waits no longer: its next write tells it why.
                    out.ready = true;
                }
                Event::MessageReadable { session } if session == this.session => this.messages = true,
                Event::MessageWritable { session, priority } if session == this.session => {
                    this.may_send[usize::from(priority.get())] = true;
                }
                Event::MessageAcked { session, message } if session == this.session => {
                    assert!(this.to_be_acked.remove(&message), "acknowledged twice, or not asked for");
                }
                Event::DatagramReadable { session } if session == this.session => this.datagrams = true,
                Event::Closed { session, reason } if session == this.session => {
                    assert_eq!(this.closed, None, "closed twice");
                    this.closed = Some(reason);
                }
                _ => {}
            }
        }
    }

    fn open(&mut self, net: &mut Net, side: usize) {
        let this = &mut self.sides[side];
        for dir in Dir::ALL {
            while this.may_open[dir as usize] && !this.to_open[dir as usize].is_empty() {
                let Some(id) = net.session(this.node, this.session).open(dir).expect("the session is open")
                else {
                    this.may_open[dir as usize] = false;
                    break;
                };
                let Some(plan) = this.to_open[dir as usize].pop_front() else { break };
                net.session(this.node, this.session).set_priority(id, plan.priority);
                let key = self.salt ^ id.as_u64() << 8 ^ side as u64;
                assert!(
                    this.out.insert(id, Outgoing::new(key, plan.len, plan.end)).is_none(),
                    "{id} opened twice"
                );
                if dir == Dir::Bi {
                    let key = self.salt ^ id.as_u64() << 8 ^ (1 - side) as u64;
                    this.incoming.insert(id, Incoming { key, at: 0, ready: true, stop: None, ended: None });
                }
                self.plans.insert(id, plan);
            }
        }
    }

    fn accept(&mut self, net: &mut Net, side: usize) {
        let this = &mut self.sides[side];
        for dir in Dir::ALL {
            while this.may_accept[dir as usize] {
                let Some(id) = net.session(this.node, this.session).accept(dir) else {
                    this.may_accept[dir as usize] = false;
                    break;
                };
                let plan = self.plans.get(&id).expect("a stream that was opened");
                assert_eq!(plan.dir, dir);
                let key = self.salt ^ id.as_u64() << 8 ^ (1 - side) as u64;
                let new = Incoming { key, at: 0, ready: true, stop: plan.stop, ended: None };
                assert!(this.incoming.insert(id, new).is_none(), "{id} was accepted twice");
                if dir == Dir::Bi {
                    let key = self.salt ^ id.as_u64() << 8 ^ side as u64;
                    this.out.insert(id, Outgoing::new(key, plan.reply, End::Finish));
                }
            }
        }
    }

    fn write(&mut self, net: &mut Net, side: usize) {
        let this = &mut self.sides[side];
        for (&id, out) in this.out.iter_mut().filter(|(_, out)| out.ready && !out.over) {
            let mut session = net.session(this.node, this.session);
            while out.at < out.total {
                match session.write(id, piece(out.key, out.at, out.total - out.at)) {
                    Ok(0) => panic!("took nothing, and did not say that it is blocked"),
                    Ok(n) => out.at += n as u64,
                    Err(WriteStreamError::Stream(WriteError::Blocked)) => {
                        out.ready = false;
                        break;
                    }
                    Err(WriteStreamError::Stream(WriteError::Stopped { code })) => {
                        assert_eq!(code, STOP_CODE);
                        out.over = true;
                        break;
                    }
                    Err(error) => panic!("{id}: {error}"),
                }
            }
            if out.at == out.total && !out.over {
                out.over = true;
                let ended = match out.end {
                    End::Finish => session.finish(id).err().map(|e| e.to_string()),
                    End::Reset(code) => session.reset(id, code).err().map(|e| e.to_string()),
                };
                assert!(ended.is_none() || out.stopped.is_some(), "{id}: {ended:?}");
            }
        }
    }

    fn read(&mut self, net: &mut Net, side: usize) {
        let [a, b] = &mut self.sides;
        let (this, peer) = if side == 0 { (a, b) } else { (b, a) };
        let mut buffer = [0; 5000];
        for (&id, incoming) in this.incoming.iter_mut().filter(|(_, incoming)| incoming.ready) {
            let mut session = net.session(this.node, this.session);
            while incoming.ended.is_none() {
                if incoming.stop.is_some_and(|at| incoming.at >= at) {
                    session.stop(id, STOP_CODE).expect("may be stopped");
                    incoming.ended = Some(Ended::Stopped);
                    break;
                }
                let room = 1 + self.rng.index(buffer.len());
                match session.read(id, &mut buffer[..room]) {
                    Ok(0) => {
                        let sent = peer.out.get(&id).expect("was opened");
                        assert!(
                            sent.over && sent.end == End::Finish && sent.total == incoming.at,
                            "{id} ends early"
                        );
                        incoming.ended = Some(Ended::Finished);
                    }
                    Ok(n) => {
                        assert_content(incoming.key, incoming.at, &buffer[..n]);
                        incoming.at += n as u64;
                        assert!(
                            incoming.at <= peer.out.get(&id).map_or(0, |out| out.at),
                            "more than was sent"
                        );
                    }
                    Err(ReadStreamError::Stream(ReadError::Blocked)) => break,
                    Err(ReadStreamError::Stream(ReadError::Reset { code })) => {
                        let sent = peer.out.get(&id).expect("was opened");
                        assert_eq!(sent.end, End::Reset(code), "{id}");
                        incoming.ended = Some(Ended::Reset(code));
                    }
                    Err(error) => panic!("{id}: {error}"),
                }
            }
            incoming.ready = false;
        }
    }

    fn send_messages(&mut self, net: &mut Net, side: usize) {
        let this = &mut self.sides[side];
        for number in 0..Priority::COUNT {
            while let Some(&(len, notify)) = this.to_send[number].front().filter(|_| this.may_send[number]) {
                let priority = Priority::new(number as u8).expect("one of eight");
                let data = content(message_key(self.salt, side, number, this.sent[number].len()), len);
                match net.session(this.node, this.session).send_message(priority, &data, notify) {
                    Ok(id) => {
                        this.sent[number].push(len);
                        this.to_send[number].pop_front();
                        if notify {
                            this.to_be_acked.insert(id);
                        }
                    }
                    Err(SendMessageFailure::Message(SendMessageError::Blocked)) => {
                        this.may_send[number] = false
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    fn receive(&mut self, net: &mut Net, side: usize) {
        let [a, b] = &mut self.sides;
        let (this, peer) = if side == 0 { (a, b) } else { (b, a) };
        while this.messages {
            let Some(message) = net.session(this.node, this.session).recv_message() else {
                this.messages = false;
                break;
            };
            let number = usize::from(message.priority.get());
            let index = this.received[number];
            assert_eq!(
                peer.sent[number].get(index),
                Some(&(message.data.len() as u64)),
                "whole and in order"
            );
            assert_content(message_key(self.salt, 1 - side, number, index), 0, &message.data);
            this.received[number] += 1;
        }
        while this.datagrams {
            let Some(data) = net.session(this.node, this.session).recv_datagram() else {
                this.datagrams = false;
                break;
            };
            let (head, rest) = data.split_first_chunk::<8>().expect("eight bytes at least");
            let index = u64::from_be_bytes(*head);
            assert!(
                index < peer.datagrams_sent && this.datagrams_seen.insert(index),
                "datagram {index} twice"
            );
            assert_eq!(rest, content(self.salt ^ index ^ ((1 - side) as u64) << 60, rest.len() as u64));
        }
    }

    /// Whether the script is over and everything that was sent has arrived.
    pub(crate) fn is_done(&self) -> bool {
        self.steps.is_empty() && self.outage.is_none() && (0..2).all(|side| self.has_arrived(side))
    }

    fn has_arrived(&self, from: usize) -> bool {
        let (this, peer) = (&self.sides[from], &self.sides[1 - from]);
        let streams = this.to_open.iter().all(VecDeque::is_empty)
            && this.out.iter().all(|(id, out)| {
                match peer.incoming.get(id).and_then(|incoming| incoming.ended) {
                    None => false,
                    Some(Ended::Finished) => out.finished == 1,
                    Some(Ended::Reset(_)) => true,
                    Some(Ended::Stopped) => out.over,
                }
            });
        let messages = this.to_send.iter().all(VecDeque::is_empty)
            && this.to_be_acked.is_empty()
            && (0..Priority::COUNT).all(|p| this.sent[p].len() == peer.received[p]);
        streams && messages
    }

    pub(crate) fn both_closed(&self) -> bool {
        self.sides.iter().all(|side| side.closed.is_some())
    }

    /// What is not done yet, for a failing test's message.
    pub(crate) fn missing(&self) -> String {
        let open: Vec<_> = (0..2)
            .flat_map(|side| {
                let (this, peer) = (&self.sides[side], &self.sides[1 - side]);
                this.out.iter().filter_map(move |(id, out)| {
                    let incoming = peer.incoming.get(id);
                    let over = incoming.and_then(|i| i.ended);
                    (over.is_none() || over == Some(Ended::Finished) && out.finished == 0)
                        .then(|| format!("from {side}, {id}: {out:?}, {incoming:?}"))
                })
            })
            .collect();
        let messages: Vec<_> = self.sides.iter().map(|s| (&s.to_send, &s.may_send, &s.received)).collect();
        let closed: Vec<_> = self.sides.iter().map(|s| &s.closed).collect();
        format!("{open:#?}\nmessages {messages:?}\nclosed {closed:?}, {} steps to go", self.steps.len())
    }
}

/// Two who both move before either has told the other are lost to each other, whatever they do: nobody is there to
/// ask. So whoever is to move waits until it knows where the other has gone.
fn may_begin(sides: &[Side; 2], net: &Net, step: &Step) -> bool {
    let (this, peer) = (&sides[step.side], &sides[1 - step.side]);
    let known = net.nodes[this.node].engine.session(this.session).and_then(|s| s.remote_address());
    !matches!(step.act, Act::Rebind) || this.closed.is_some() || known == Some(net.address(peer.node))
}

impl Outgoing {
    const fn new(key: u64, total: u64, end: End) -> Self {
        Self { key, total, at: 0, end, ready: true, over: false, stopped: None, finished: 0 }
    }
}

fn message_key(salt: u64, side: usize, priority: usize, index: usize) -> u64 {
    salt ^ (index as u64) << 8 ^ (priority as u64) << 4 ^ side as u64 ^ 0x55 << 56
}
