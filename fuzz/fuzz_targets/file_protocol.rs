#![no_main]
//! The `crust` command's file protocol: what a stranger can put on its stream.

use core::pin::pin;
use core::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use protocol::{Due, Message, Offer, ReadError};

// The command is no library: its module is read as it stands.
#[allow(dead_code, reason = "the command's own code uses the rest")]
#[path = "../../crust-tokio/src/bin/crust/protocol.rs"]
mod protocol;

/// What a stream with these bytes on it yields.
fn read(mut stream: &[u8], due: Due) -> Result<Message, ReadError> {
    let reading = pin!(protocol::read(&mut stream, due));
    match reading.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a stream that is all there makes nobody wait"),
    }
}

fn check(message: &Message, due: Due) {
    match read(&message.encode(), due) {
        Ok(again) => assert_eq!(again, *message),
        Err(error) => panic!("{message:?} is not read as it was written: {error:?}"),
    }
    if let Message::Offer(Offer { name, length, .. }) = message {
        assert!(i64::try_from(*length).is_ok());
        assert!(!name.is_empty() && name.len() <= protocol::MAX_NAME);
        assert!(!name.contains(['/', '\0']) && name != "." && name != "..");
    }
}

fuzz_target!(|data: &[u8]| {
    let dues = [Due::Hello, Due::Offer, Due::Accept, Due::Start, Due::Done];
    for (kind, due) in (1..).zip(dues) {
        match read(data, due) {
            Ok(message) => check(&message, due),
            Err(ReadError::Violation(violation)) => assert!(!violation.to_string().is_empty()),
            Err(ReadError::Stream(_)) => {}
        }
        // The length in front hides what is behind it: let the fuzzer past.
        if let Ok(message) = Message::decode(kind, data) {
            check(&message, due);
        }
    }
});
