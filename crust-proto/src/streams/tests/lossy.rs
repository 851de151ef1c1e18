//! Two applications that live by events alone, and a network that loses, repeats, delays and reorders.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Clone, Debug)]
enum Step {
    Open(Dir),
    Write(usize, usize),
    Finish(usize),
    Reset(usize, u64),
    Stop(usize, u64),
    Read(usize, usize),
    SetPriority(usize, i32),
    Message(u8, usize, bool),
    TakeMessage,
    /// Sends a packet of at most this size.
    Send(usize),
    /// Delivers any packet that is on its way; and keeps a copy of it there, or doesn't.
    Deliver(usize, bool),
    Drop(usize),
    /// Tells the sender that a packet that has arrived has arrived; perhaps not for the last time.
    Acked(usize, bool),
    /// Tells the sender that a packet is lost, whether it is or not; perhaps not for the last time.
    Lost(usize, bool),
    Probe(usize),
}

fn step() -> impl Strategy<Value = (bool, Step)> {
    let at = || any::<usize>();
    let len = || prop_oneof![3 => 0usize..50, 3 => 0usize..3000, 1 => 0usize..60_000];
    let code = || prop_oneof![0u64..10, Just((1 << 62) - 1)];
    let room = || prop_oneof![20usize..60, 1000usize..1500, 20usize..65_000];
    let step = prop_oneof![
        2 => prop_oneof![Just(Dir::Bi), Just(Dir::Uni)].prop_map(Step::Open),
        6 => (at(), len()).prop_map(|(at, len)| Step::Write(at, len)),
        1 => at().prop_map(Step::Finish),
        1 => (at(), code()).prop_map(|(at, code)| Step::Reset(at, code)),
        1 => (at(), code()).prop_map(|(at, code)| Step::Stop(at, code)),
        4 => (at(), len()).prop_map(|(at, len)| Step::Read(at, len)),
        1 => (at(), -2i32..3).prop_map(|(at, priority)| Step::SetPriority(at, priority)),
        3 => (0u8..8, len(), any::<bool>()).prop_map(|(p, len, notify)| Step::Message(p, len, notify)),
        2 => Just(Step::TakeMessage),
        12 => room().prop_map(Step::Send),
        10 => (at(), any::<bool>()).prop_map(|(at, keep)| Step::Deliver(at, keep)),
        2 => at().prop_map(Step::Drop),
        8 => (at(), any::<bool>()).prop_map(|(at, keep)| Step::Acked(at, keep)),
        4 => (at(), any::<bool>()).prop_map(|(at, keep)| Step::Lost(at, keep)),
        1 => at().prop_map(Step::Probe),
    ];
    (any::<bool>(), step)
}

fn config() -> impl Strategy<Value = StreamsConfig> {
    let bytes = || prop_oneof![8u64..100, 1000u64..10_000, 50_000u64..300_000];
    let limits = (bytes(), bytes(), 1u64..6, 1u64..6, bytes(), prop_oneof![Just(0), Just(1), bytes()]);
    (limits, bytes()).prop_map(|((data, stream, bi, uni, message, window), buffer)| StreamsConfig {
        local: StreamLimits {
            max_data: data,
            max_stream_data: stream,
            max_streams_bi: bi,
            max_streams_uni: uni,
            max_message: message,
            message_window: window,
        },
        send_buffer: buffer as usize,
    })
}

/// The byte at `offset` of what `side` sends on a stream.
fn byte(side: Side, id: StreamId, offset: u64) -> u8 {
    (offset * 31 % 251) as u8 ^ id.as_u64() as u8 ^ if side == Side::Initiator { 0x80 } else { 0 }
}

fn content(number: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at * 17 + number) as u8).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Finished,
    Reset(u64),
    Stopped(u64),
}

/// What an application knows of a stream.
#[derive(Debug)]
struct Model {
    /// Written and to be written.
    to_write: u64,
    written: u64,
    wants_finish: bool,
    write_blocked: bool,
    sending: End,
    read: u64,
    read_blocked: bool,
    receiving: End,
    sends: bool,
    receives: bool,
}

#[derive(Debug)]
struct App {
    side: Side,
    streams: Streams,
    models: BTreeMap<StreamId, Model>,
    to_open: Vec<Dir>,
    open_blocked: [bool; 2],
    to_send: [VecDeque<(u64, usize, bool)>; 8],
    send_blocked: [bool; 8],
    next_message: u64,
    may_take: bool,
    /// What the peer has yet to take: number and length.
    untaken: [VecDeque<(u64, usize)>; 8],
    unacked: BTreeSet<MessageId>,
    finished: BTreeSet<StreamId>,
}

impl App {
    fn new(side: Side, config: &StreamsConfig, peer: &StreamsConfig) -> Self {
        Self {
            side,
            streams: Streams::new(side, config, &peer.local),
            models: BTreeMap::new(),
            to_open: Vec::new(),
            open_blocked: [false; 2],
            to_send: Default::default(),
            send_blocked: [false; 8],
            next_message: 0,
            may_take: false,
            untaken: Default::default(),
            unacked: BTreeSet::new(),
            finished: BTreeSet::new(),
        }
    }

    fn pick(&self, at: usize) -> Option<StreamId> {
        self.models.keys().nth(at % self.models.len().max(1)).copied()
    }

    fn add(&mut self, id: StreamId) {
        let ours = id.side() == self.side;
        let model = Model {
            to_write: 0,
            written: 0,
            wants_finish: false,
            write_blocked: false,
            sending: End::Open,
            read: 0,
            read_blocked: false,
            receiving: End::Open,
            sends: ours || id.dir() == Dir::Bi,
            receives: !ours || id.dir() == Dir::Bi,
        };
        assert!(self.models.insert(id, model).is_none(), "{id} twice");
    }

    /// Hears what there is to hear.
    fn listen(&mut self) {
        let mut heard = Vec::new();
        while let Some(event) = self.streams.poll_event() {
            assert!(!heard.contains(&event), "{event:?} twice in a row");
            heard.push(event);
            match event {
                StreamEvent::Opened { dir } => {
                    while let Some(id) = self.streams.accept(dir) {
                        assert_eq!((id.side(), id.dir()), (self.side.peer(), dir));
                        self.add(id);
                    }
                }
                StreamEvent::Readable(id) => self.models.get_mut(&id).unwrap().read_blocked = false,
                StreamEvent::Writable(id) => self.models.get_mut(&id).unwrap().write_blocked = false,
                StreamEvent::Finished(id) => {
                    assert_eq!(self.models[&id].sending, End::Finished);
                    assert!(self.finished.insert(id), "{id} finished twice");
                }
                StreamEvent::Stopped { id, code } => {
                    let model = self.models.get_mut(&id).unwrap();
                    if model.sending == End::Open {
                        assert_eq!(self.streams.write(id, b"x"), Err(WriteError::Stopped { code }));
                    }
                    model.sending = End::Stopped(code);
                }
                StreamEvent::StreamsAvailable(dir) => self.open_blocked[dir as usize] = false,
                StreamEvent::MessageReadable => self.may_take = true,
                StreamEvent::MessageWritable(p) => self.send_blocked[usize::from(p.get())] = false,
                StreamEvent::MessageAcked(id) => assert!(self.unacked.remove(&id), "{id:?} twice"),
            }
        }
    }

    /// Does whatever it was not told to wait with.
    fn act(&mut self) {
        self.listen();
        let mut later = Vec::new();
        for dir in core::mem::take(&mut self.to_open) {
            match self.open_blocked[dir as usize] {
                false => match self.streams.open(dir) {
                    Some(id) => self.add(id),
                    None => {
                        self.open_blocked[dir as usize] = true;
                        later.push(dir);
                    }
                },
                true => later.push(dir),
            }
        }
        self.to_open = later;
        for (&id, model) in &mut self.models {
            while model.sending == End::Open && !model.write_blocked && model.written < model.to_write {
                let end = model.to_write.min(model.written + 5000);
                let data: Vec<u8> = (model.written..end).map(|at| byte(self.side, id, at)).collect();
                match self.streams.write(id, &data) {
                    Ok(n) => model.written += n as u64,
                    Err(WriteError::Blocked) => model.write_blocked = true,
                    // The event is still to come.
                    Err(WriteError::Stopped { code }) => model.sending = End::Stopped(code),
                    Err(error) => panic!("{id}: {error}"),
                }
            }
            if model.sending == End::Open && model.wants_finish && model.written == model.to_write {
                match self.streams.finish(id) {
                    Ok(()) => model.sending = End::Finished,
                    Err(WriteError::Stopped { code }) => model.sending = End::Stopped(code),
                    Err(error) => panic!("{id}: {error}"),
                }
            }
        }
        for number in 0..8 {
            while let Some(&(message, len, notify)) = self.to_send[number].front()
                && !self.send_blocked[number]
            {
                match self.streams.send_message(priority(number as u8), &content(message, len), notify) {
                    Ok(id) => {
                        self.untaken[number].push_back((message, len));
                        if notify {
                            self.unacked.insert(id);
                        }
                        self.to_send[number].pop_front();
                    }
                    Err(SendMessageError::TooLarge { limit }) => {
                        assert!(len > limit && limit == self.streams.message_limit());
                        self.to_send[number].pop_front();
                    }
                    Err(SendMessageError::Blocked) => self.send_blocked[number] = true,
                }
            }
        }
    }

    fn read(&mut self, id: StreamId, len: usize, peer: &App) {
        let model = self.models.get_mut(&id).unwrap();
        if !model.receives || model.receiving != End::Open || model.read_blocked || len == 0 {
            return;
        }
        let sender = peer.models.get(&id);
        let mut buf = vec![0; len];
        match self.streams.read(id, &mut buf) {
            Ok(0) => {
                let sender = sender.unwrap();
                assert_eq!(model.read, sender.written, "{id} ended early");
                assert!(sender.wants_finish, "{id} ended without being finished");
                model.receiving = End::Finished;
            }
            Ok(n) => {
                let range = model.read..model.read + n as u64;
                let want: Vec<u8> = range.clone().map(|at| byte(self.side.peer(), id, at)).collect();
                assert!(buf[..n] == want, "{id}: {range:?} is not what was sent");
                model.read = range.end;
            }
            Err(ReadError::Blocked) => model.read_blocked = true,
            Err(ReadError::Reset { code }) => {
                let sender = sender.unwrap();
                assert_eq!(sender.sending, End::Reset(code), "{id} reset by nobody");
                model.receiving = End::Reset(code);
            }
            Err(error) => panic!("{id}: {error}"),
        }
    }

    fn take_message(&mut self, peer: &mut App) {
        if !self.may_take {
            return;
        }
        match self.streams.recv_message() {
            Some(Message { priority, data }) => {
                let (number, len) = peer.untaken[usize::from(priority.get())].pop_front().unwrap();
                assert!(data == content(number, len), "message {number} of {len} bytes");
            }
            None => self.may_take = false,
        }
    }

    fn check_memory(&self, config: &StreamsConfig) {
        let StreamsConfig { local, send_buffer } = config;
        let grants = local.max_data + 8 * (local.max_message + 8 + local.message_window);
        let queue = (*send_buffer).max(self.streams.message_limit() + 8);
        let count = self.streams.stream_count() + 8;
        let places = 12 * buffer::CHUNK;
        let bound = 2 * grants as usize + count * (2 * queue + 3 * buffer::CHUNK) + places;
        assert!(self.streams.memory() <= bound, "{} > {bound}", self.streams.memory());
        let (send, recv) = self.streams.buffered();
        assert!(send <= (count * queue) as u64 && recv <= grants, "{send}, {recv}");
    }
}

/// Packets of one direction.
#[derive(Debug, Default)]
struct Wire {
    flying: Vec<(usize, Vec<u8>)>,
    /// What each packet carried, and whether it has arrived; until its sender heard for the last time.
    sent: BTreeMap<usize, (SentFrames, bool)>,
    next: usize,
}

impl Wire {
    fn send(&mut self, from: &mut Streams, room: usize) -> bool {
        let Some((bytes, sent)) = packet(from, room) else { return false };
        self.flying.push((self.next, bytes));
        self.sent.insert(self.next, (sent, false));
        self.next += 1;
        true
    }

    fn deliver(&mut self, to: &mut Streams, at: usize, keep: bool) {
        if self.flying.is_empty() {
            return;
        }
        let at = at % self.flying.len();
        let (number, bytes) = match keep {
            true => self.flying[at].clone(),
            false => self.flying.swap_remove(at),
        };
        deliver(to, &bytes).expect("a correct peer breaks no rule");
        if let Some((_, arrived)) = self.sent.get_mut(&number) {
            *arrived = true;
        }
    }

    /// Any packet whose fate the sender wasn't told for the last time.
    fn fate(&mut self, at: usize, keep: bool, arrived: bool) -> SentFrames {
        let candidates: Vec<usize> = self.sent.iter().filter(|s| s.1.1 || !arrived).map(|s| *s.0).collect();
        let Some(number) = candidates.get(at % candidates.len().max(1)) else { return SentFrames::new() };
        match keep {
            true => self.sent[number].0.clone(),
            false => self.sent.remove(number).unwrap().0,
        }
    }
}

fn run(configs: &[StreamsConfig; 2], steps: Vec<(bool, Step)>) {
    let mut apps = [
        App::new(Side::Initiator, &configs[0], &configs[1]),
        App::new(Side::Responder, &configs[1], &configs[0]),
    ];
    let mut wires = [Wire::default(), Wire::default()];
    for (second, step) in steps {
        let [first_app, second_app] = &mut apps;
        let (app, peer) = if second { (second_app, first_app) } else { (first_app, second_app) };
        // The wire that leads away from the application.
        let wire = &mut wires[usize::from(second)];
        match step {
            Step::Open(dir) => app.to_open.push(dir),
            Step::Write(at, len) => {
                if let Some(model) = app.pick(at).and_then(|id| app.models.get_mut(&id))
                    && model.sends
                    && !model.wants_finish
                {
                    model.to_write += len as u64;
                }
            }
            Step::Finish(at) => {
                if let Some(model) = app.pick(at).and_then(|id| app.models.get_mut(&id)) {
                    model.wants_finish |= model.sends;
                }
            }
            Step::Reset(at, code) => {
                if let Some(id) = app.pick(at) {
                    let model = app.models.get_mut(&id).unwrap();
                    if model.sends && model.sending == End::Open {
                        app.streams.reset(id, code).unwrap();
                        // The peer's STOP_SENDING may have come first.
                        model.sending = match app.streams.write(id, b"x") {
                            Err(WriteError::Stopped { code }) => End::Stopped(code),
                            _ => End::Reset(code),
                        };
                    }
                }
            }
            Step::Stop(at, code) => {
                if let Some(id) = app.pick(at) {
                    let model = app.models.get_mut(&id).unwrap();
                    if model.receives && model.receiving == End::Open {
                        app.streams.stop(id, code).unwrap();
                        model.receiving = End::Stopped(code);
                    }
                }
            }
            Step::Read(at, len) => {
                if let Some(id) = app.pick(at) {
                    app.read(id, len, peer);
                }
            }
            Step::SetPriority(at, priority) => {
                if let Some(id) = app.pick(at) {
                    app.streams.set_priority(id, priority);
                }
            }
            Step::Message(number, len, notify) => {
                app.to_send[usize::from(number)].push_back((app.next_message, len, notify));
                app.next_message += 1;
            }
            Step::TakeMessage => app.take_message(peer),
            Step::Send(room) => drop(wire.send(&mut app.streams, room)),
            Step::Deliver(at, keep) => wire.deliver(&mut peer.streams, at, keep),
            Step::Drop(at) if !wire.flying.is_empty() => {
                let at = at % wire.flying.len();
                wire.flying.swap_remove(at);
            }
            Step::Drop(_) => {}
            Step::Acked(at, keep) => {
                wire.fate(at, keep, true).iter().for_each(|sent| app.streams.on_acked(sent));
            }
            Step::Lost(at, keep) => {
                wire.fate(at, keep, false).iter().for_each(|sent| app.streams.on_lost(sent));
            }
            Step::Probe(at) => {
                wire.fate(at, true, false).iter().for_each(|sent| app.streams.on_probe(sent));
            }
        }
        app.act();
        app.check_memory(&configs[usize::from(second)]);
        peer.check_memory(&configs[usize::from(!second)]);
    }
    finish(&mut apps, &mut wires);
}

/// The network heals, and the applications bring to an end what they began.
fn finish(apps: &mut [App; 2], wires: &mut [Wire; 2]) {
    for (app, wire) in apps.iter_mut().zip(wires.iter_mut()) {
        wire.flying.clear();
        for (_, (sent, arrived)) in core::mem::take(&mut wire.sent) {
            for sent in &sent {
                if arrived { app.streams.on_acked(sent) } else { app.streams.on_lost(sent) }
            }
        }
        for model in app.models.values_mut() {
            model.wants_finish |= model.sends;
        }
    }
    let [a, b] = apps;
    let [from_a, from_b] = wires;
    while take_turn(a, b, from_a) | take_turn(b, a, from_b) {}
    for (app, peer) in [(&*a, &*b), (&*b, &*a)] {
        assert!(app.to_open.is_empty(), "streams could not be opened");
        for (id, model) in &app.models {
            if model.receives {
                assert_ne!(model.receiving, End::Open, "{id} has no end for {:?}", app.side);
            }
            if model.sends {
                assert_ne!(model.sending, End::Open, "{id} could not be written to its end");
                assert!(peer.models.contains_key(id), "{id} is unknown to the peer");
                // A stream whose end was acknowledged was told so, unless it was stopped meanwhile.
                assert_eq!(model.sending == End::Finished, app.finished.contains(id), "{id}");
            }
        }
        assert!(app.to_send.iter().all(VecDeque::is_empty), "messages could not be sent");
        assert!(app.untaken.iter().all(VecDeque::is_empty), "messages did not arrive");
        assert!(app.unacked.is_empty(), "messages were not acknowledged");
        assert!(app.streams.is_flushed());
        assert_eq!(app.streams.buffered(), (0, 0));
        assert_eq!(app.streams.stream_count(), 0, "streams stay in memory: {:?}", app.streams);
        assert!(!app.streams.wants_to_send());
    }
    for app in apps {
        app.streams.trim();
        assert!(app.streams.memory() <= 6 * 1024, "{} bytes stay", app.streams.memory());
    }
}

/// One application does what it can, and all that it says arrives. Returns whether anything happened.
fn take_turn(app: &mut App, peer: &mut App, wire: &mut Wire) -> bool {
    let mut moved = false;
    app.act();
    // Streams that were opened only now.
    app.models.values_mut().for_each(|model| model.wants_finish |= model.sends);
    app.act();
    let ids: Vec<StreamId> = app.models.keys().copied().collect();
    for id in ids {
        while !app.models[&id].read_blocked
            && app.models[&id].receives
            && app.models[&id].receiving == End::Open
        {
            app.read(id, 70_000, peer);
            moved = true;
        }
    }
    while app.may_take {
        app.take_message(peer);
        moved = true;
    }
    while wire.send(&mut app.streams, 1400) {
        wire.deliver(&mut peer.streams, 0, false);
        wire.fate(0, false, true).iter().for_each(|sent| app.streams.on_acked(sent));
        moved = true;
    }
    moved
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn whatever_the_network_did_all_that_was_sent_arrives_once_and_in_order_and_nothing_stays(
        configs in [config(), config()],
        steps in prop::collection::vec(step(), 1..250),
    ) {
        run(&configs, steps);
    }
}
