#![no_main]
//! How a byte stream begins: greetings and an Attach, written by who has the keys, then damaged; in pieces of any size.

use arbitrary::{Arbitrary, Unstructured};
use crust_fuzz::Damage;
use crust_proto::Network;
use crust_proto::UnixTime;
use crust_proto::crypto::Aead;
use crust_proto::crypto::keys::TrafficSecret;
use crust_proto::crypto::mask::{MaskKey, MaskKind};
use crust_proto::crypto::pure::pure;
use crust_proto::handshake::envelope::{HelloHead, HelloKey, HelloKind, MAX_HELLO, ReplyKind, VERSION};
use crust_proto::wire::stream::{
    AttachData, AttachHead, Claim, FRAME_LEN, GreetingReader, MAX_BODY, MAX_GREETINGS, Stranger,
};
use libfuzzer_sys::fuzz_target;

/// The copy of a hello that replies answer.
const ASKED: [u8; 16] = [4; 16];

#[derive(Debug)]
enum What {
    Attach(AttachHead, AttachData),
    Reply,
    Hello,
}

fuzz_target!(|data: &[u8]| {
    let provider = &*pure();
    let network = Network::new("fuzz", None).expect("a good name");
    let hello_key = HelloKey::new(network.hello_key(None));
    let mask = MaskKey::new(MaskKind::ChaCha20, &[7; 32]);
    let key = TrafficSecret::new([9; 32]).packet_key(provider, Aead::ChaCha20Poly1305);
    let u = &mut Unstructured::new(data);

    let mut written = Vec::new();
    let mut wrote = Vec::new();
    while let Ok(what @ 0..=3) = u.int_in_range(0..=5u8) {
        let Ok((seed, len, short)) = <([u8; 16], u16, u8)>::arbitrary(u) else { break };
        let content = vec![0x5a; usize::from(short)];
        let len = usize::from(len) % (MAX_HELLO + 1);
        let mut sealed = Vec::new();
        match what {
            0 | 1 => {
                let wall = UnixTime::from_millis(1_800_000_000_000);
                let head = HelloHead { kind: HelloKind::InitiateKnown, version: VERSION, wall };
                hello_key
                    .seal_hello(provider, head, seed, [0; 16], &content, len, &mut sealed)
                    .expect("it fits");
                hello_key.frame_hello(seed, &sealed, &mut written).expect("a hello");
            }
            2 => {
                let kind = ReplyKind::Response;
                hello_key
                    .seal_reply(provider, &ASKED, seed, kind, &content, len, &mut sealed)
                    .expect("it fits");
                hello_key.frame_reply(&sealed, &mut written).expect("a reply");
            }
            _ => {
                let len = u16::try_from(len.clamp(300, MAX_BODY)).expect("short");
                let head = AttachHead { slot: 1, check: 2, epoch: 0, path: short.into(), len };
                let mut room = vec![1; FRAME_LEN + usize::from(len)];
                let seal = |data: &AttachData, body: &mut [u8]| key.seal(head.path, 0, data, body);
                head.seal_attach(seed, &mask, &mut room, short.into(), seal).expect("it fits");
                written.extend(room);
            }
        }
        wrote.push(what);
        if wrote.len() == 7 {
            break;
        }
    }
    let Ok(damage) = Damage::arbitrary(u) else { return };
    let whole = written.clone();
    damage.apply(&mut written);
    let damaged = written != whole;
    let behind = u.bytes(u.len() / 2).unwrap_or_default();
    written.extend(behind);

    let sizes: Vec<usize> =
        u.bytes(u.len()).unwrap_or_default().iter().map(|n| usize::from(*n) + 1).collect();
    let mut sizes = sizes.iter().copied().chain([usize::MAX]).cycle();
    let mut reader = GreetingReader::new();
    let (mut rest, mut greetings, mut attached, mut ended) = (&mut written[..], 0, false, false);
    let (mut genuine, mut handed) = (0, 0);
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(1).min(rest.len());
        let (mut piece, others) = core::mem::take(&mut rest).split_at_mut(size);
        rest = others;
        loop {
            let recognise = |frame: &[u8; FRAME_LEN]| {
                if let Some((head, data)) = AttachHead::open(frame, &mask)
                    && (head.slot, head.check) == (1, 2)
                {
                    return Some(Claim {
                        what: What::Attach(head, data),
                        len: head.len.into(),
                        attach: true,
                    });
                }
                // A fuzzer finds the tag, and takes it for the seed of a hello.
                if frame[..16] == hello_key.reply_tag(&ASKED)
                    && let Some(len) = hello_key.unframe_reply(frame)
                {
                    return Some(Claim { what: What::Reply, len, attach: false });
                }
                let len = hello_key.unframe_hello(frame)?;
                Some(Claim { what: What::Hello, len, attach: false })
            };
            let greeting = match reader.next(&mut piece, recognise) {
                Ok(Some(greeting)) => greeting,
                Ok(None) => break,
                Err(Stranger) => {
                    ended = true;
                    break;
                }
            };
            assert!(!attached && !ended, "something behind the end");
            let opened = match greeting.what {
                What::Attach(head, data) => {
                    attached = true;
                    let (body, tag) = greeting.body().split_last_chunk_mut().expect("a tag");
                    key.open(head.path, 0, &data, body, tag).is_ok()
                }
                What::Reply => {
                    greetings += 1;
                    hello_key.open_reply(provider, &ASKED, greeting.into_reply()).is_ok()
                }
                What::Hello => {
                    greetings += 1;
                    let hello = greeting.body();
                    let head = hello_key.peek(hello);
                    head.is_some_and(|head| hello_key.open_hello(provider, head, hello).is_ok())
                }
            };
            genuine += usize::from(opened);
            handed += 1;
            let made_up = damaged || handed > wrote.len();
            assert!(opened || made_up, "what was written does not open");
            assert!(greetings <= MAX_GREETINGS);
        }
        if attached || ended {
            break;
        }
    }
    assert!(genuine <= wrote.len(), "something was made up");
    let first_attach = wrote.iter().position(|what| *what == 3);
    let greeted = first_attach.unwrap_or(wrote.len());
    if !damaged && behind.is_empty() {
        let expected = greeted.min(usize::from(MAX_GREETINGS));
        let attaches = first_attach.is_some() && greeted <= usize::from(MAX_GREETINGS);
        assert_eq!((usize::from(greetings), attached), (expected, attaches));
    }
});
