use super::*;

/// What is said of a connection that the other side closed with this code and these words.
fn heard(code: u64, words: &str) -> Failure {
    ended(&CloseReason::ByPeer { code, reason: words.as_bytes().to_vec().into() })
}

#[test]
fn a_getter_that_cannot_write_is_quoted_and_nothing_is_said_twice() {
    let of = |kind: Kind| {
        let (code, words) = kind.close();
        heard(code, words).message
    };
    assert_eq!(of(Kind::DiskFull), "the other side cannot write the file: the disk is full");
    assert_eq!(of(Kind::Permission), "the other side cannot write the file: it is not allowed to");
    assert_eq!(of(Kind::File), "the other side cannot write the file");
}

#[test]
fn codes_of_later_versions_are_failures_that_say_what_the_other_side_says() {
    let failure = heard(4242, "out of tea");
    assert_eq!((failure.kind, &*failure.message), (Kind::PeerFailed, "the other side failed: out of tea"));
    assert_eq!(heard(4242, "").message, "the other side failed");
}

#[test]
fn what_ends_because_this_side_is_done_is_neither_a_defect_nor_a_loss() {
    let said = |code| ended(&CloseReason::Here { code });
    assert_eq!(said(code::SERVED).kind, Kind::Ended);
    assert_eq!(said(code::SERVED).message, "this side is done: somebody else has fetched the file");
    assert_eq!(said(code::INTERRUPTED), Failure::interrupted());
    for code in [code::DONE, code::SOURCE, code::INTERNAL, 4242] {
        assert_eq!(said(code).kind, Kind::Ended, "{code}");
    }
}
