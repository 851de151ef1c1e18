//! Two ends and what is between them. [`lossy`] is the property that everything arrives, [`hostile`] that
//! nobody can do harm; here stand the examples.

#![allow(clippy::cast_possible_truncation, reason = "the numbers of these tests are small, or meant to wrap")]

use super::*;
use crate::wire::codec::{Reader, Writer};
use crate::wire::frame::{Frame, StreamFrame};
use smallvec::SmallVec;

mod hostile;
mod lossy;

type SentFrames = SmallVec<[Sent; 4]>;

const LIMITS: StreamLimits = StreamLimits {
    max_data: 200_000,
    max_stream_data: 50_000,
    max_streams_bi: 10,
    max_streams_uni: 10,
    max_message: 20_000,
    message_window: 10_000,
};

const CONFIG: StreamsConfig = StreamsConfig { local: LIMITS, send_buffer: 60_000 };

fn pair() -> (Streams, Streams) {
    pair_of(&CONFIG, &CONFIG)
}

fn pair_of(a: &StreamsConfig, b: &StreamsConfig) -> (Streams, Streams) {
    (Streams::new(Side::Initiator, a, &b.local), Streams::new(Side::Responder, b, &a.local))
}

/// A packet with `room` bytes for frames, and what it carries.
fn packet(from: &mut Streams, room: usize) -> Option<(Vec<u8>, SentFrames)> {
    let mut buf = vec![0; room];
    let mut w = Writer::new(&mut buf);
    let mut sent = SentFrames::new();
    let wanted = from.wants_to_send();
    let wrote = from.write_frames(&mut w, &mut sent);
    // Any room from 32 bytes on is enough to get on with it.
    assert!(!wrote || wanted);
    assert!(wrote || !wanted || room < 32, "wants to send, and wrote nothing into {room} bytes");
    assert_eq!(wrote, !sent.is_empty());
    assert!(!from.wants_to_send() || w.remaining() < 64, "{} of {room} bytes stay empty", w.remaining());
    let len = w.finish().unwrap();
    buf.truncate(len);
    wrote.then_some((buf, sent))
}

fn deliver(to: &mut Streams, packet: &[u8]) -> Result<(), Violation> {
    let mut reader = Reader::new(packet);
    while !reader.is_empty() {
        to.on_frame(&Frame::decode(&mut reader).unwrap())?;
    }
    Ok(())
}

/// One packet that arrives and is acknowledged. Returns what it carried.
fn send(from: &mut Streams, to: &mut Streams) -> Option<SentFrames> {
    let (bytes, sent) = packet(from, 1200)?;
    deliver(to, &bytes).unwrap();
    sent.iter().for_each(|sent| from.on_acked(sent));
    Some(sent)
}

/// Until neither has anything to say.
fn exchange(a: &mut Streams, b: &mut Streams) {
    while send(a, b).is_some() | send(b, a).is_some() {}
}

fn events(streams: &mut Streams) -> Vec<StreamEvent> {
    core::iter::from_fn(|| streams.poll_event()).collect()
}

fn read_all(streams: &mut Streams, id: StreamId) -> Result<Vec<u8>, ReadError> {
    let mut all = Vec::new();
    let mut buf = [0; 999];
    loop {
        match streams.read(id, &mut buf)? {
            0 => return Ok(all),
            n => all.extend_from_slice(&buf[..n]),
        }
    }
}

fn priority(number: u8) -> Priority {
    Priority::new(number).unwrap()
}

#[test]
fn a_stream_is_numbered_as_rfc_9000_section_2_1_has_it() {
    let cases = [
        (0, Side::Initiator, Dir::Bi, 0, "initiator bi 0"),
        (1, Side::Responder, Dir::Bi, 0, "responder bi 0"),
        (2, Side::Initiator, Dir::Uni, 0, "initiator uni 0"),
        (3, Side::Responder, Dir::Uni, 0, "responder uni 0"),
        (4 * 77 + 3, Side::Responder, Dir::Uni, 77, "responder uni 77"),
    ];
    for (number, side, dir, index, text) in cases {
        let id = StreamId::new(side, dir, index);
        assert_eq!(id.as_u64(), number);
        assert_eq!((id.side(), id.dir(), id.index()), (side, dir, index));
        assert_eq!(id.to_string(), text);
    }
}

#[test]
fn data_and_its_end_arrive_and_both_sides_hear_of_it() {
    let (mut a, mut b) = pair();
    let id = a.open(Dir::Bi).unwrap();
    assert_eq!(a.write(id, b"hello"), Ok(5));
    a.finish(id).unwrap();
    assert!(!a.is_flushed());
    exchange(&mut a, &mut b);
    assert!(a.is_flushed());
    assert_eq!(events(&mut a), [StreamEvent::Finished(id)]);
    assert_eq!(events(&mut b), [StreamEvent::Opened { dir: Dir::Bi }]);
    assert_eq!(b.accept(Dir::Bi), Some(id));
    assert_eq!(events(&mut b), [StreamEvent::Readable(id)]);
    assert_eq!(read_all(&mut b, id).unwrap(), b"hello");
    b.write(id, b"yes").unwrap();
    b.finish(id).unwrap();
    assert_eq!(a.read(id, &mut [0; 9]), Err(ReadError::Blocked));
    exchange(&mut a, &mut b);
    assert_eq!(events(&mut a), [StreamEvent::Readable(id)]);
    assert_eq!(read_all(&mut a, id).unwrap(), b"yes");
    assert_eq!((a.stream_count(), b.stream_count()), (0, 0));
    assert_eq!(a.write(id, b"more"), Err(WriteError::Unknown));
}

#[test]
fn a_bare_end_wakes_a_reader_that_has_read_everything() {
    let (mut a, mut b) = pair();
    let id = a.open(Dir::Uni).unwrap();
    a.write(id, b"data").unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(b.accept(Dir::Uni), Some(id));
    assert_eq!(b.read(id, &mut [0; 9]), Ok(4));
    assert_eq!(b.read(id, &mut [0; 9]), Err(ReadError::Blocked));
    events(&mut b);
    a.finish(id).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(events(&mut b), [StreamEvent::Readable(id)]);
    assert_eq!(b.read(id, &mut [0; 9]), Ok(0));
}

#[test]
fn an_end_of_its_own_comes_after_data_that_was_sent_before() {
    let (mut a, mut b) = pair();
    let id = a.open(Dir::Uni).unwrap();
    a.write(id, b"data").unwrap();
    exchange(&mut a, &mut b);
    a.finish(id).unwrap();
    let sent = send(&mut a, &mut b).unwrap();
    assert_eq!(sent[..], [Sent::Stream { id, start: 4, end: 4, fin: true }]);
    assert_eq!(b.accept(Dir::Uni), Some(id));
    assert_eq!(read_all(&mut b, id).unwrap(), b"data");
    assert_eq!(a.write(id, b"more"), Err(WriteError::Unknown), "gone from memory");
}

#[test]
fn a_small_urgent_message_overtakes_a_large_one_in_its_middle() {
    let (mut a, mut b) = pair();
    a.send_message(Priority::LOWEST, &[7; 20_000], false).unwrap();
    for _ in 0..3 {
        send(&mut a, &mut b).unwrap();
    }
    a.send_message(Priority::HIGHEST, b"now", false).unwrap();
    send(&mut a, &mut b).unwrap();
    assert_eq!(events(&mut b), [StreamEvent::MessageReadable]);
    let urgent = Message { priority: Priority::HIGHEST, data: b"now".to_vec() };
    assert_eq!(b.recv_message(), Some(urgent));
    assert_eq!(b.recv_message(), None);
    exchange(&mut a, &mut b);
    let large = Message { priority: Priority::LOWEST, data: vec![7; 20_000] };
    assert_eq!(events(&mut b), [StreamEvent::MessageReadable]);
    assert_eq!(b.recv_message(), Some(large));
}

#[test]
fn of_the_messages_that_wait_the_most_urgent_is_taken_first() {
    let (mut a, mut b) = pair();
    for number in [3, 1, 5, 1] {
        a.send_message(priority(number), &[number], false).unwrap();
    }
    exchange(&mut a, &mut b);
    let taken: Vec<u8> = core::iter::from_fn(|| b.recv_message()).map(|m| m.data[0]).collect();
    assert_eq!(taken, [1, 1, 3, 5]);
}

#[test]
fn a_longest_message_gets_through_a_window_of_nothing() {
    for (window, buffer) in [(0, 1), (0, 100_000), (1, 1), (1, 100_000)] {
        let local = StreamLimits { message_window: window, ..LIMITS };
        let config = StreamsConfig { local, send_buffer: buffer };
        let (mut a, mut b) = pair_of(&config, &config);
        let mut sent = 0;
        for round in 0..20u8 {
            // Small ones in between shift the large ones against the limit.
            for len in [20_000, usize::from(round)] {
                sent += usize::from(a.send_message(priority(2), &vec![round; len], false).is_ok());
            }
            exchange(&mut a, &mut b);
            while b.recv_message().is_some() {
                sent -= 1;
                exchange(&mut a, &mut b);
            }
            assert_eq!(sent, 0, "window {window}, buffer {buffer}, round {round}");
        }
    }
}

#[test]
fn eight_half_sent_messages_do_not_lock_each_other_out() {
    let local = StreamLimits { message_window: 0, ..LIMITS };
    let config = StreamsConfig { local, send_buffer: 100_000 };
    let (mut a, mut b) = pair_of(&config, &config);
    // The least urgent first, each interrupted by the next: eight partial messages at the receiver.
    for number in (0..8).rev() {
        for _ in 0..3 {
            a.send_message(priority(number), &[number; 20_000], false).unwrap();
        }
        send(&mut a, &mut b).unwrap();
        send(&mut a, &mut b).unwrap();
    }
    assert_eq!(b.recv_message(), None);
    let mut taken = Vec::new();
    for _ in 0..100 {
        exchange(&mut a, &mut b);
        taken.extend(b.recv_message().map(|message| message.priority.get()));
    }
    assert_eq!(taken, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7]);
    assert!(a.is_flushed());
}

#[test]
fn a_message_that_is_too_long_is_an_error_and_the_others_arrive() {
    let short = StreamsConfig { local: StreamLimits { max_message: 500, ..LIMITS }, ..CONFIG };
    for (here, there) in [(short, CONFIG), (CONFIG, short)] {
        let (mut a, mut b) = pair_of(&here, &there);
        assert_eq!(a.message_limit(), 500);
        a.send_message(priority(0), &[1; 500], false).unwrap();
        assert_eq!(
            a.send_message(priority(0), &[2; 501], true),
            Err(SendMessageError::TooLarge { limit: 500 })
        );
        a.send_message(priority(0), &[3; 5], false).unwrap();
        exchange(&mut a, &mut b);
        assert_eq!(b.recv_message().unwrap().data, [1; 500]);
        assert_eq!(b.recv_message().unwrap().data, [3; 5]);
        assert_eq!(b.recv_message(), None);
        assert_eq!(events(&mut a), []);
    }
}

#[test]
fn who_asks_hears_that_the_peer_has_the_whole_message() {
    let (mut a, mut b) = pair();
    let asked = a.send_message(priority(3), &[0; 3000], true).unwrap();
    a.send_message(priority(3), &[0; 3000], false).unwrap();
    let last = a.send_message(priority(3), &[0; 100], true).unwrap();
    let mut packets = Vec::new();
    while let Some((bytes, sent)) = packet(&mut a, 1200) {
        deliver(&mut b, &bytes).unwrap();
        packets.push(sent);
    }
    // All but the first packet.
    packets[1..].iter().flatten().for_each(|sent| a.on_acked(sent));
    assert_eq!(events(&mut a), []);
    packets[0].iter().for_each(|sent| a.on_acked(sent));
    packets.iter().flatten().for_each(|sent| a.on_acked(sent));
    assert_eq!(events(&mut a), [StreamEvent::MessageAcked(asked), StreamEvent::MessageAcked(last)]);
}

#[test]
fn a_message_is_not_said_to_have_arrived_because_the_one_before_it_has() {
    let (mut a, mut b) = pair();
    let first = a.send_message(priority(3), &[0; 900], true).unwrap();
    let second = a.send_message(priority(3), &[0; 900], true).unwrap();
    send(&mut a, &mut b).unwrap();
    assert_eq!(events(&mut a), [StreamEvent::MessageAcked(first)]);
    send(&mut a, &mut b).unwrap();
    assert_eq!(events(&mut a), [StreamEvent::MessageAcked(second)]);
}

#[test]
fn messages_and_streams_take_turns() {
    let (mut a, mut b) = pair();
    let id = a.open(Dir::Uni).unwrap();
    a.write(id, &[0; 20_000]).unwrap();
    a.send_message(priority(0), &[0; 20_000], false).unwrap();
    let kinds: Vec<bool> = (0..10)
        .map(|_| matches!(send(&mut a, &mut b).unwrap().first(), Some(Sent::Message { .. })))
        .collect();
    assert!(kinds.windows(2).all(|pair| pair[0] != pair[1]), "{kinds:?}");
}

#[test]
fn streams_of_one_priority_take_turns_and_a_higher_one_goes_first() {
    let (mut a, mut b) = pair();
    let ids: Vec<StreamId> = (0..4).map(|_| a.open(Dir::Uni).unwrap()).collect();
    for id in &ids {
        a.write(*id, &[0; 6000]).unwrap();
    }
    a.set_priority(ids[2], 1);
    a.set_priority(ids[0], -1);
    let mut order = Vec::new();
    while let Some(sent) = send(&mut a, &mut b) {
        match sent[0] {
            Sent::Stream { id, .. } => order.push(ids.iter().position(|i| *i == id).unwrap()),
            _ => panic!("{sent:?}"),
        }
    }
    assert_eq!(order[..6], [2, 2, 2, 2, 2, 2]);
    assert_eq!(order[6..14], [3, 1, 3, 1, 3, 1, 3, 1], "whatever was left of the last packet went to 1");
    assert!(order[16..].iter().all(|&at| at == 0), "{order:?}");
}

#[test]
fn nothing_is_wanted_while_only_the_peers_limits_hold_it_back() {
    let tight = StreamLimits { max_data: 1500, max_stream_data: 1000, ..LIMITS };
    let (mut a, mut b) = pair_of(&CONFIG, &StreamsConfig { local: tight, ..CONFIG });
    let one = a.open(Dir::Uni).unwrap();
    let two = a.open(Dir::Uni).unwrap();
    assert_eq!(a.write(one, &[1; 3000]), Ok(3000), "buffering takes no credit");
    exchange(&mut a, &mut b);
    assert!(!a.wants_to_send(), "the stream's limit");
    a.write(two, &[2; 3000]).unwrap();
    a.finish(two).unwrap();
    exchange(&mut a, &mut b);
    assert!(!a.wants_to_send(), "the session's limit");
    assert_eq!(b.accept(Dir::Uni), Some(one));
    assert_eq!(b.accept(Dir::Uni), Some(two));
    for _ in 0..30 {
        for id in [one, two] {
            let _ = b.read(id, &mut [0; 300]);
        }
        exchange(&mut a, &mut b);
    }
    assert_eq!(b.read(one, &mut [0; 1]), Err(ReadError::Blocked));
    assert_eq!(b.read(two, &mut [0; 1]), Err(ReadError::Unknown), "read to its end");
    assert!(a.is_flushed());
}

#[test]
fn a_lost_piece_goes_out_again_without_credit() {
    let tight = StreamLimits { max_data: 1000, ..LIMITS };
    let (mut a, mut b) = pair_of(&CONFIG, &StreamsConfig { local: tight, ..CONFIG });
    let id = a.open(Dir::Uni).unwrap();
    a.write(id, &[1; 3000]).unwrap();
    let (_, sent) = packet(&mut a, 1200).unwrap();
    assert!(!a.wants_to_send());
    a.on_lost(&sent[0]);
    a.on_lost(&sent[0]);
    assert!(a.wants_to_send());
    assert_eq!(send(&mut a, &mut b).unwrap()[..], [Sent::Stream { id, start: 0, end: 1000, fin: false }]);
    assert!(!a.wants_to_send());
    a.on_lost(&sent[0]);
    assert!(!a.wants_to_send(), "acknowledged meanwhile");
    a.on_probe(&sent[0]);
    assert!(!a.wants_to_send());
}

#[test]
fn a_reset_tells_the_reader_and_ends_the_writer() {
    let (mut a, mut b) = pair();
    let id = a.open(Dir::Uni).unwrap();
    a.write(id, &[1; 3000]).unwrap();
    send(&mut a, &mut b).unwrap();
    assert_eq!(a.reset(id, 1 << 62), Err(AbandonError::CodeTooLarge));
    a.reset(id, 77).unwrap();
    a.reset(id, 78).unwrap();
    assert_eq!(a.write(id, b"x"), Err(WriteError::Finished));
    assert!(!a.is_flushed());
    let (bytes, sent) = packet(&mut a, 1200).unwrap();
    assert_eq!(sent[..], [Sent::ResetStream(id)]);
    assert!(!a.wants_to_send());
    a.on_lost(&sent[0]);
    assert_eq!(packet(&mut a, 1200).unwrap().0, bytes);
    deliver(&mut b, &bytes).unwrap();
    a.on_acked(&sent[0]);
    a.on_lost(&sent[0]);
    assert!(!a.wants_to_send());
    assert!(a.is_flushed());
    assert_eq!(a.stream_count(), 0);
    assert_eq!(b.accept(Dir::Uni), Some(id));
    assert_eq!(events(&mut b).last(), Some(&StreamEvent::Readable(id)));
    assert_eq!(b.read(id, &mut [0; 9]), Err(ReadError::Reset { code: 77 }));
    assert_eq!(b.stream_count(), 0);
    deliver(&mut b, &bytes).unwrap();
    assert_eq!(b.stream_count(), 0, "late frames bring nothing back");
}

#[test]
fn a_stopped_stream_is_reset_by_its_writer_who_hears_why() {
    let (mut a, mut b) = pair();
    let id = a.open(Dir::Uni).unwrap();
    a.write(id, &[1; 3000]).unwrap();
    send(&mut a, &mut b).unwrap();
    assert_eq!(b.accept(Dir::Uni), Some(id));
    b.stop(id, 5).unwrap();
    assert_eq!(b.read(id, &mut [0; 9]), Err(ReadError::Stopped));
    exchange(&mut a, &mut b);
    assert_eq!(events(&mut a), [StreamEvent::Stopped { id, code: 5 }]);
    assert_eq!(b.stream_count(), 0);
    assert_eq!(a.stream_count(), 1, "until the writer has heard");
    assert_eq!(a.write(id, b"x"), Err(WriteError::Stopped { code: 5 }));
    assert_eq!(a.stream_count(), 0);
    assert!(a.is_flushed());
}

#[test]
fn stopping_what_has_ended_says_nothing_to_the_peer() {
    let (mut a, mut b) = pair();
    let id = a.open(Dir::Uni).unwrap();
    a.write(id, b"data").unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(b.accept(Dir::Uni), Some(id));
    b.stop(id, 5).unwrap();
    assert!(b.wants_to_send());
    a.finish(id).unwrap();
    send(&mut a, &mut b).unwrap();
    let (_, sent) = packet(&mut b, 1200).unwrap();
    assert_eq!(sent[..], [Sent::MaxStreams(Dir::Uni)], "the end crossed the wish that there be one");
    assert_eq!(b.stream_count(), 0);
    assert_eq!(events(&mut a), [StreamEvent::Finished(id)]);
}

#[test]
fn the_stream_limit_is_raised_as_streams_end() {
    let few = StreamLimits { max_streams_uni: 2, ..LIMITS };
    let (mut a, mut b) = pair_of(&CONFIG, &StreamsConfig { local: few, ..CONFIG });
    for round in 0..20 {
        let one = a.open(Dir::Uni).unwrap();
        let two = a.open(Dir::Uni).unwrap();
        assert_eq!(a.open(Dir::Uni), None);
        for id in [one, two] {
            a.finish(id).unwrap();
        }
        exchange(&mut a, &mut b);
        assert_eq!(a.open(Dir::Uni), None, "finished, and not read");
        events(&mut a);
        for id in [one, two] {
            assert_eq!(b.accept(Dir::Uni), Some(id));
            assert!(read_all(&mut b, id).unwrap().is_empty());
        }
        exchange(&mut a, &mut b);
        assert_eq!(events(&mut a), [StreamEvent::StreamsAvailable(Dir::Uni)], "round {round}");
    }
}

#[test]
fn opening_a_stream_opens_all_below_it_at_no_cost() {
    let many = StreamLimits { max_streams_uni: 1 << 40, ..LIMITS };
    let mut b = Streams::new(Side::Responder, &StreamsConfig { local: many, ..CONFIG }, &LIMITS);
    let high = StreamId::new(Side::Initiator, Dir::Uni, (1 << 40) - 1);
    let frame =
        |id: StreamId| Frame::Stream(StreamFrame { stream: id.as_u64(), offset: 0, data: b"x", fin: true });
    b.on_frame(&frame(high)).unwrap();
    assert_eq!(b.stream_count(), 1);
    assert_eq!(events(&mut b), [StreamEvent::Opened { dir: Dir::Uni }]);
    let low = StreamId::new(Side::Initiator, Dir::Uni, 1);
    b.on_frame(&frame(low)).unwrap();
    assert_eq!(events(&mut b), [], "nobody was told of it yet, and it was opened before");
    let first = b.accept(Dir::Uni).unwrap();
    assert_eq!(first.index(), 0);
    assert_eq!(b.read(first, &mut [0]), Err(ReadError::Blocked));
    assert_eq!(b.read(low, &mut [0]), Err(ReadError::Unknown), "not accepted yet");
    assert_eq!(b.accept(Dir::Uni), Some(low));
    assert_eq!(b.read(low, &mut [0]), Ok(1));
}

#[test]
fn a_frame_for_a_stream_that_cannot_have_it_is_a_violation() {
    let (mut a, _) = pair();
    let ours_bi = a.open(Dir::Bi).unwrap().as_u64();
    let ours_uni = a.open(Dir::Uni).unwrap().as_u64();
    let unopened = StreamId::new(Side::Initiator, Dir::Bi, 1).as_u64();
    let theirs_uni = StreamId::new(Side::Responder, Dir::Uni, 0).as_u64();
    let data = |stream| Frame::Stream(StreamFrame { stream, offset: 0, data: &[], fin: false });
    let reset = |stream| Frame::ResetStream { stream, code: 0, final_size: 0 };
    let stop = |stream| Frame::StopSending { stream, code: 0 };
    let credit = |stream| Frame::MaxStreamData { stream, limit: 0 };
    for _ in 0..2 {
        for frame in [
            data(ours_uni),
            reset(ours_uni),
            data(unopened),
            reset(unopened),
            stop(unopened),
            credit(unopened),
            stop(theirs_uni),
            credit(theirs_uni),
        ] {
            let before = a.stream_count();
            assert_eq!(a.on_frame(&frame), Err(Violation::StreamState), "{frame:?}");
            assert_eq!(a.stream_count(), before, "{frame:?}");
        }
        for frame in [data(ours_bi), stop(ours_uni), credit(ours_bi), data(theirs_uni)] {
            assert_eq!(a.on_frame(&frame), Ok(()), "{frame:?}");
        }
    }
    let beyond = StreamId::new(Side::Responder, Dir::Uni, 10).as_u64();
    assert_eq!(a.on_frame(&data(beyond)), Err(Violation::StreamLimit));
    let limit = (1 << 60) + 1;
    let frame = Frame::MaxStreams { unidirectional: true, limit };
    assert_eq!(a.on_frame(&frame), Err(Violation::FrameEncoding));
    let frame = Frame::Message { priority: 8, offset: 0, data: &[] };
    assert_eq!(a.on_frame(&frame), Err(Violation::FrameEncoding));
}

#[test]
fn session_credit_counts_all_streams() {
    let tight = StreamLimits { max_data: 100, ..LIMITS };
    let mut b = Streams::new(Side::Responder, &StreamsConfig { local: tight, ..CONFIG }, &LIMITS);
    let data =
        |stream, len| Frame::Stream(StreamFrame { stream, offset: 0, data: &[0; 99][..len], fin: false });
    b.on_frame(&data(0, 60)).unwrap();
    b.on_frame(&data(4, 40)).unwrap();
    b.on_frame(&data(4, 40)).unwrap();
    assert_eq!(b.on_frame(&data(8, 1)), Err(Violation::FlowControl));
    let reset = Frame::ResetStream { stream: 0, code: 0, final_size: 61 };
    assert_eq!(b.on_frame(&reset), Err(Violation::FlowControl));
}

#[test]
fn the_end_of_the_last_stream_gives_spare_memory_back() {
    let (mut a, mut b) = pair();
    let ids = [a.open(Dir::Uni).unwrap(), a.open(Dir::Uni).unwrap()];
    for id in ids {
        a.write(id, &[1; 40_000]).unwrap();
        exchange(&mut a, &mut b);
        b.accept(Dir::Uni).unwrap();
        b.read(id, &mut [0; 40_000]).unwrap();
    }
    assert!(a.pool.memory() > 0 && b.pool.memory() > 0);
    for id in ids {
        a.finish(id).unwrap();
        exchange(&mut a, &mut b);
        read_all(&mut b, id).unwrap();
    }
    assert_eq!((a.pool.memory(), b.pool.memory()), (0, 0));
}

#[test]
fn an_idle_session_is_small_and_one_that_was_busy_becomes_so_again() {
    let (mut a, mut b) = pair();
    assert!(size_of::<Streams>() <= 1024, "{}", size_of::<Streams>());
    let fresh = size_of::<Streams>() * 2 + a.memory() + b.memory();
    let open = a.open(Dir::Bi).unwrap();
    a.write(open, b"x").unwrap();
    exchange(&mut a, &mut b);
    b.accept(Dir::Bi).unwrap();
    b.read(open, &mut [0; 9]).unwrap();
    for round in 0..10 {
        let ids: Vec<StreamId> = (0..9).map(|_| a.open(Dir::Bi).unwrap()).collect();
        for id in &ids {
            a.write(*id, &[round; 20_000]).unwrap();
            a.finish(*id).unwrap();
        }
        a.send_message(priority(round % 8), &[round; 20_000], false).unwrap();
        exchange(&mut a, &mut b);
        while let Some(id) = b.accept(Dir::Bi) {
            assert_eq!(read_all(&mut b, id).unwrap().len(), 20_000);
            b.finish(id).unwrap();
        }
        exchange(&mut a, &mut b);
        for id in ids {
            read_all(&mut a, id).unwrap();
        }
        b.recv_message().unwrap();
        exchange(&mut a, &mut b);
        events(&mut a);
        events(&mut b);
    }
    a.trim();
    b.trim();
    let idle = size_of::<Streams>() * 2 + a.memory() + b.memory();
    assert!(idle - fresh <= 6 * 1024, "{fresh} became {idle} with one idle stream");
    // Without being asked to, once nothing is left.
    a.finish(open).unwrap();
    b.finish(open).unwrap();
    exchange(&mut a, &mut b);
    read_all(&mut a, open).unwrap();
    read_all(&mut b, open).unwrap();
    events(&mut a);
    events(&mut b);
    let empty = size_of::<Streams>() * 2 + a.memory() + b.memory();
    assert!(empty - fresh <= 5 * 1024, "{fresh} became {empty}");
}
