use proptest::prelude::*;

use super::*;

fn offer_body(length: u64, name: &[u8]) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(&[7; 32]);
    body.push(name.len() as u8);
    body.extend_from_slice(name);
    body
}

fn any_message() -> impl Strategy<Value = Message> {
    let hash = || any::<[u8; 32]>().prop_map(blake3::Hash::from_bytes);
    let offset = || 0..=MAX_LENGTH;
    prop_oneof![
        any::<u8>().prop_map(|version| Message::Hello { version }),
        (offset(), hash(), "[^/\0.][^/\0]{0,60}").prop_map(|(length, root, name)| {
            Message::Offer(Offer { version: VERSION, length, root, name })
        }),
        (offset(), hash()).prop_map(|(offset, prefix)| Message::Accept { offset, prefix }),
        offset().prop_map(|offset| Message::Start { offset }),
        hash().prop_map(|root| Message::Done { root }),
    ]
}

/// What a stream with these bytes on it yields.
fn read_bytes(mut bytes: &[u8], due: Due) -> Result<Message, ReadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(read(&mut bytes, due))
}

proptest! {
    #[test]
    fn every_message_is_read_as_it_was_written(message in any_message(), rest in any::<[u8; 3]>()) {
        let mut bytes = message.encode();
        bytes.extend(rest);
        prop_assert_eq!(read_bytes(&bytes, message.due()).unwrap(), message);
    }

    #[test]
    fn a_message_cut_short_is_no_message(message in any_message(), cut in any::<prop::sample::Index>()) {
        let bytes = message.encode();
        let cut = &bytes[..cut.index(bytes.len())];
        prop_assert!(matches!(read_bytes(cut, message.due()), Err(ReadError::Stream(_))));
    }

    #[test]
    fn fields_that_later_versions_add_are_skipped(message in any_message(), more in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut body = message.encode().split_off(3);
        body.extend(more);
        prop_assert_eq!(Message::decode(message.due().kind(), &body), Ok(message));
    }

    #[test]
    fn no_bytes_whatever_make_reading_panic(kind in 0u8..8, body in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Message::decode(kind, &body);
    }
}

#[test]
fn a_name_that_is_a_path_or_no_name_is_refused() {
    for (name, why) in [
        (&b""[..], "empty"),
        (b"..", "a directory"),
        (b".", "a directory"),
        (b"../../.ssh/authorized_keys", "a path"),
        (b"/etc/passwd", "a path"),
        (b"a/b", "a path"),
        (b"a\0b", "a zero byte"),
        (b"\xff\xfe", "not UTF-8"),
        (b"\xc0\xaf", "not UTF-8"),
    ] {
        assert_eq!(Message::decode(2, &offer_body(1, name)), Err(Violation::Name(why)), "{name:?}");
    }
}

#[test]
fn a_length_beyond_what_files_can_have_is_refused() {
    assert!(Message::decode(2, &offer_body(MAX_LENGTH, b"a")).is_ok());
    for length in [MAX_LENGTH + 1, u64::MAX] {
        assert_eq!(Message::decode(2, &offer_body(length, b"a")), Err(Violation::Length(length)));
    }
}

#[test]
fn a_body_longer_than_any_message_is_refused_before_it_is_read() {
    let read = read_bytes(&[2, 0xff, 0xff], Due::Offer);
    assert!(matches!(read, Err(ReadError::Violation(Violation::TooLong(0xffff)))), "{read:?}");
}

#[test]
fn what_is_not_due_is_refused_at_its_first_byte() {
    for (byte, due, violation) in [
        (3, Due::Hello, Violation::Unexpected(Due::Hello)),
        (1, Due::Done, Violation::Unexpected(Due::Done)),
        (b'G', Due::Hello, Violation::NotThisProtocol),
        (b'H', Due::Offer, Violation::NotThisProtocol),
        (6, Due::Start, Violation::UnknownMessage(6)),
    ] {
        // Nothing follows: whoever waited for more would see the end of the stream.
        let read = read_bytes(&[byte], due);
        assert!(matches!(&read, Err(ReadError::Violation(found)) if *found == violation), "{read:?}");
    }
}

#[test]
fn a_stranger_to_the_protocol_is_told_apart_from_a_newer_version() {
    assert_eq!(Message::decode(1, b"GET / HTTP/1.1"), Err(Violation::NotThisProtocol));
    let newer = Message::Hello { version: 9 };
    assert_eq!(read_bytes(&newer.encode(), Due::Hello).unwrap(), newer);
    assert_eq!(common_version(9), Ok(VERSION));
    assert_eq!(common_version(0), Err(Violation::Version(0)));
    let mut newer = offer_body(1, b"a");
    newer[0] = VERSION + 1;
    assert_eq!(Message::decode(2, &newer), Err(Violation::Version(VERSION + 1)));
}
