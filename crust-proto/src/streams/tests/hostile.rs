//! Whatever a peer sends: no panic, no more memory than it was granted.

use super::*;
use proptest::prelude::*;

const DATA: &[u8] = &[0x11; 3000];

/// Numbers that are likely to mean something, and others.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0u64..40,
        3 => 0u64..5000,
        1 => (0u64..1 << 62, 0u32..62).prop_map(|(n, shift)| n >> shift),
        1 => Just(crate::wire::codec::MAX_VARINT),
    ]
}

fn frame() -> impl Strategy<Value = Frame<'static>> {
    let len = || prop_oneof![0usize..3, 0usize..3000];
    prop_oneof![
        8 => (number(), number(), len(), any::<bool>()).prop_map(|(stream, offset, len, fin)| {
            Frame::Stream(StreamFrame { stream, offset, data: &DATA[..len], fin })
        }),
        3 => (number(), number(), number())
            .prop_map(|(stream, code, final_size)| Frame::ResetStream { stream, code, final_size }),
        3 => (number(), number()).prop_map(|(stream, code)| Frame::StopSending { stream, code }),
        1 => number().prop_map(|limit| Frame::MaxData { limit }),
        1 => (number(), number()).prop_map(|(stream, limit)| Frame::MaxStreamData { stream, limit }),
        1 => (any::<bool>(), number())
            .prop_map(|(unidirectional, limit)| Frame::MaxStreams { unidirectional, limit }),
        6 => (0u8..10, number(), len())
            .prop_map(|(priority, offset, len)| Frame::Message { priority, offset, data: &DATA[..len] }),
        1 => (0u8..10, number()).prop_map(|(priority, limit)| Frame::MaxMessageData { priority, limit }),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Frame(Frame<'static>),
    Open(Dir),
    Accept(Dir),
    Write(u64, usize),
    Finish(u64),
    Reset(u64),
    Stop(u64),
    Read(u64, usize),
    SetPriority(u64, i32),
    SendMessage(u8, usize),
    TakeMessage,
    Send(usize),
    Acked(usize),
    Lost(usize),
    PollEvents,
}

fn step() -> impl Strategy<Value = Step> {
    let dir = || prop_oneof![Just(Dir::Bi), Just(Dir::Uni)];
    prop_oneof![
        20 => frame().prop_map(Step::Frame),
        1 => dir().prop_map(Step::Open),
        2 => dir().prop_map(Step::Accept),
        2 => (0u64..40, 0usize..3000).prop_map(|(id, len)| Step::Write(id, len)),
        1 => (0u64..40).prop_map(Step::Finish),
        1 => (0u64..40).prop_map(Step::Reset),
        1 => (0u64..40).prop_map(Step::Stop),
        3 => (0u64..40, 0usize..3000).prop_map(|(id, len)| Step::Read(id, len)),
        1 => (0u64..40, -2i32..3).prop_map(|(id, priority)| Step::SetPriority(id, priority)),
        1 => (0u8..8, 0usize..2000).prop_map(|(priority, len)| Step::SendMessage(priority, len)),
        1 => Just(Step::TakeMessage),
        3 => (20usize..2000).prop_map(Step::Send),
        2 => any::<usize>().prop_map(Step::Acked),
        2 => any::<usize>().prop_map(Step::Lost),
        1 => Just(Step::PollEvents),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_frames_in_any_order_panic_or_take_more_memory_than_was_granted(
        steps in prop::collection::vec(step(), 1..400),
        max_data in 1u64..20_000,
        max_stream_data in 1u64..5000,
        max_streams in 0u64..20,
        max_message in 0u64..2000,
        message_window in 0u64..2000,
        send_buffer in 0usize..5000,
    ) {
        let local = StreamLimits {
            max_data,
            max_stream_data,
            max_streams_bi: max_streams,
            max_streams_uni: max_streams,
            max_message,
            message_window,
        };
        let mut streams = Streams::new(Side::Responder, &StreamsConfig { local, send_buffer }, &LIMITS);
        let mut flying: Vec<Sent> = Vec::new();
        for step in steps {
            let id = StreamId::from_u64;
            match step {
                // A session would end at a violation; going on is worse.
                Step::Frame(frame) => _ = streams.on_frame(&frame),
                Step::Open(dir) => _ = streams.open(dir),
                Step::Accept(dir) => _ = streams.accept(dir),
                Step::Write(at, len) => _ = streams.write(id(at), &DATA[..len]),
                Step::Finish(at) => _ = streams.finish(id(at)),
                Step::Reset(at) => _ = streams.reset(id(at), at),
                Step::Stop(at) => _ = streams.stop(id(at), at),
                Step::Read(at, len) => _ = streams.read(id(at), &mut vec![0; len]),
                Step::SetPriority(at, priority) => streams.set_priority(id(at), priority),
                Step::SendMessage(number, len) => {
                    _ = streams.send_message(priority(number), &DATA[..len], true);
                }
                Step::TakeMessage => _ = streams.recv_message(),
                Step::Send(room) => flying.extend(packet(&mut streams, room).map(|p| p.1).unwrap_or_default()),
                Step::Acked(at) if !flying.is_empty() => streams.on_acked(&flying[at % flying.len()]),
                Step::Lost(at) if !flying.is_empty() => streams.on_lost(&flying[at % flying.len()]),
                Step::Acked(_) | Step::Lost(_) => {}
                Step::PollEvents => drop(events(&mut streams)),
            }
            let theirs = 2 * max_streams as usize;
            let ours = 20;
            let chunk = buffer::CHUNK + buffer::CHUNK / 8 + 256;
            // What was granted; what may be sent; and per buffer in use two chunks, of which one is small
            // unless the other was filled.
            let granted = max_data as usize + 8 * (max_message + 8 + message_window) as usize;
            let sending = (theirs + ours + 8) * (send_buffer.max(max_message as usize + 8) + 2048);
            let stream = size_of::<Stream>() + 4096;
            let bound = 3 * granted + 2 * sending + (theirs + ours) * stream + 12 * chunk;
            prop_assert!(streams.memory() <= bound, "{} > {bound}", streams.memory());
            prop_assert!(streams.stream_count() <= theirs + ours);
            let waiting = streams.events.len();
            prop_assert!(waiting <= 4 * (theirs + ours) + 400, "{waiting} events");
        }
    }
}
