#![no_main]
//! Hellos and replies, opened by who has the key; also those that were sealed with it and then damaged.

use arbitrary::{Arbitrary, Unstructured};
use crust_fuzz::Damage;
use crust_proto::crypto::pure::pure;
use crust_proto::handshake::envelope::{HelloHead, HelloKey, HelloKind, ReplyKind, VERSION};
use crust_proto::{Network, UnixTime};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let provider = &*pure();
    let network = Network::new("fuzz", None).expect("a good name");
    let key = HelloKey::new(network.hello_key(None));
    // As it comes.
    let mut datagram = data.to_vec();
    if let Some(head) = key.peek(&datagram) {
        let _ = key.open_hello(provider, head, &mut datagram);
    }
    let mut datagram = data.to_vec();
    let _ = key.open_reply(provider, &[0; 16], &mut datagram);
    // Sealed, damaged, and opened.
    let u = &mut Unstructured::new(data);
    let Ok((salt, cookie, wall, len)) = <([u8; 16], [u8; 16], u64, u16)>::arbitrary(u) else { return };
    let Ok(damage) = Damage::arbitrary(u) else { return };
    let wall = UnixTime::from_millis(wall >> 16);
    let content = u.bytes(u.len()).unwrap_or_default();
    let head = HelloHead { kind: HelloKind::InitiateKnown, version: VERSION, wall };
    let len = usize::from(len % 1200);
    let mut sealed = Vec::new();
    if key.seal_hello(provider, head, salt, cookie, content, len, &mut sealed).is_ok() {
        let whole = sealed.clone();
        damage.apply(&mut sealed);
        match key.peek(&sealed) {
            Some(head) => {
                let damaged = sealed != whole;
                if let Ok(hello) = key.open_hello(provider, head, &mut sealed) {
                    assert!(!damaged, "a damaged hello opens");
                    assert_eq!((hello.content, hello.salt, hello.cookie), (content, salt, cookie));
                    assert_eq!(hello.head.wall, wall);
                }
            }
            None => assert_ne!(sealed, whole),
        }
    }
    if key.seal_reply(provider, &salt, cookie, ReplyKind::Retry, content, len, &mut sealed).is_ok() {
        let whole = sealed.clone();
        damage.apply(&mut sealed);
        let damaged = sealed != whole;
        // The tag only finds the hello that is answered; everything behind it is authenticated.
        let tag_only = sealed.len() == whole.len() && sealed.get(16..) == whole.get(16..);
        match key.open_reply(provider, &salt, &mut sealed) {
            Ok((kind, opened)) => {
                assert!(!damaged || tag_only, "a damaged reply opens");
                assert_eq!((kind, opened), (ReplyKind::Retry, content));
            }
            Err(_) => assert!(damaged),
        }
    }
});
