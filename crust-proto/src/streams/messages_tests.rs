use super::*;

const LIMITS: StreamLimits = StreamLimits {
    max_data: 0,
    max_stream_data: 0,
    max_streams_bi: 0,
    max_streams_uni: 0,
    max_message: 100,
    message_window: 50,
};

fn queues() -> (Messages, Pool) {
    (Messages::new(&LIMITS, &LIMITS), Pool::default())
}

fn priority(number: u8) -> Priority {
    Priority::new(number).unwrap()
}

#[test]
fn a_length_above_the_limit_is_a_violation_as_soon_as_it_is_known() {
    let (mut messages, mut pool) = queues();
    messages.on_data(&mut pool, priority(1), 0, &[0x40]).unwrap();
    let result = messages.on_data(&mut pool, priority(1), 1, &[101]);
    assert_eq!(result, Err(Violation::MessageTooLarge { len: 101, limit: 100 }));

    // Also behind others that were not taken yet.
    let (mut messages, mut pool) = queues();
    let result = messages.on_data(&mut pool, priority(1), 0, &[1, 7, 0, 0x40, 101]);
    assert_eq!(result, Err(Violation::MessageTooLarge { len: 101, limit: 100 }));
}

#[test]
fn the_limit_lets_one_longest_record_and_the_window_be_ahead() {
    let (mut messages, mut pool) = queues();
    let limit = 100 + 8 + 50;
    assert_eq!(messages.on_data(&mut pool, priority(0), limit, &[0]), Err(Violation::FlowControl));
    messages.on_data(&mut pool, priority(0), limit - 1, &[0]).unwrap();
    assert_eq!(messages.on_data(&mut pool, priority(0), u64::MAX, &[0]), Err(Violation::FlowControl));
}

#[test]
fn an_empty_message_is_a_message() {
    let (mut messages, mut pool) = queues();
    messages.on_data(&mut pool, priority(2), 0, &[0, 0]).unwrap();
    let empty = Message { priority: priority(2), data: Vec::new() };
    assert_eq!(messages.take(&mut pool), Some(empty.clone()));
    assert_eq!(messages.take(&mut pool), Some(empty));
    assert_eq!(messages.take(&mut pool), None);
}

#[test]
fn the_shortest_refused_message_decides_when_there_is_room() {
    let (mut messages, mut pool) = queues();
    let p = priority(4);
    messages.send(&mut pool, p, &[0; 79], false, 80).unwrap();
    for len in [40, 19, 60] {
        assert_eq!(messages.send(&mut pool, p, &vec![0; len], false, 80), Err(SendMessageError::Blocked));
    }
    messages.on_sent(p, 0..81);
    messages.on_acked(&mut pool, p, 0..20, 80);
    assert!(messages.writable.is_empty());
    messages.on_acked(&mut pool, p, 20..21, 80);
    assert_eq!(messages.writable.pop(), Some(p));
    messages.send(&mut pool, p, &[0; 19], false, 80).unwrap();
}

#[test]
fn a_message_longer_than_the_buffer_waits_for_an_empty_one() {
    let (mut messages, mut pool) = queues();
    let p = priority(7);
    messages.send(&mut pool, p, &[0], false, 10).unwrap();
    assert_eq!(messages.send(&mut pool, p, &[0; 100], false, 10), Err(SendMessageError::Blocked));
    messages.on_sent(p, 0..2);
    messages.on_acked(&mut pool, p, 0..2, 10);
    assert_eq!(messages.writable.pop(), Some(p));
    messages.send(&mut pool, p, &[0; 100], false, 10).unwrap();
}

#[test]
fn the_debug_form_of_a_message_shows_no_content() {
    let message = Message { priority: priority(2), data: vec![77; 9] };
    assert!(!format!("{message:?}").contains("77"));
}
