//! The published vectors, live handshakes against an independent implementation, and every way in which
//! a message can be wrong.

use super::super::{
    OpenError, pure,
    testing::{providers, unhex, unhex_array},
};
use super::*;
use proptest::{collection::vec, prelude::*};
use serde_json::Value;

const BOTH: [Pattern; 2] = [Pattern::IkPsk2, Pattern::XxPsk3];

#[test]
fn the_cacophony_vectors_come_out_byte_for_byte() {
    let file: Value = serde_json::from_str(include_str!("vectors/noise.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 2);
    for provider in providers() {
        for pattern in BOTH {
            let name = std::str::from_utf8(protocol_name(pattern)).unwrap();
            let vector = vectors.iter().find(|v| v["protocol_name"] == name).unwrap();
            check_vector(&provider, pattern, vector);
        }
    }
}

fn check_vector(provider: &Arc<dyn CryptoProvider>, pattern: Pattern, vector: &Value) {
    let text = |name: &str| vector[name].as_str().unwrap();
    let remote = vector["init_remote_static"].as_str().map(unhex_array);
    let [mut initiator, mut responder] = ["init", "resp"].map(|end| {
        let params = HandshakeParams {
            pattern,
            role: if end == "init" { Role::Initiator } else { Role::Responder },
            prologue: &unhex(text(&format!("{end}_prologue"))),
            psk: &unhex_array(vector[format!("{end}_psks")][0].as_str().unwrap()),
            static_secret: &unhex_array(text(&format!("{end}_static"))),
            remote_static: remote.as_ref().filter(|_| end == "init"),
        };
        let mut handshake = Handshake::new(provider, params).unwrap();
        handshake.set_ephemeral(&unhex_array(text(&format!("{end}_ephemeral")))).unwrap();
        handshake
    });

    let messages = vector["messages"].as_array().unwrap();
    let of = |message: &Value, part: &str| unhex(message[part].as_str().unwrap());
    let (handshake, transport) = messages.split_at(super::messages(pattern).len());
    for (index, message) in handshake.iter().enumerate() {
        let (from, to) = match index % 2 {
            0 => (&mut initiator, &mut responder),
            _ => (&mut responder, &mut initiator),
        };
        let mut written = Vec::new();
        from.write_message(&of(message, "payload"), &mut written).unwrap();
        assert_eq!(written, of(message, "ciphertext"), "message {index} of {pattern:?}");
        assert_eq!(*to.read_message(&written).unwrap(), of(message, "payload"));
    }
    for end in [&initiator, &responder] {
        assert!(end.is_finished());
        assert_eq!(end.hash()[..], unhex(text("handshake_hash")));
    }

    let (up, down) = initiator.split().unwrap();
    assert_eq!(responder.split().unwrap(), (up.clone(), down.clone()));
    let mut directions = [Transport::new(provider, &up), Transport::new(provider, &down)];
    assert!(transport.len() >= 3);
    for (index, message) in (handshake.len()..).zip(transport) {
        let sealed = directions[index % 2].seal(&of(message, "payload"));
        assert_eq!(sealed, of(message, "ciphertext"), "message {index} of {pattern:?}");
    }
}

#[test]
fn every_message_is_as_much_longer_than_its_payload_as_promised() {
    for pattern in BOTH {
        let mut pair = Pair::new(pattern);
        for index in 0..messages(pattern).len() {
            let message = pair.write(index, b"payload");
            assert_eq!(message.len(), Handshake::overhead(pattern, index) + 7, "{pattern:?} {index}");
            pair.read(index, &message).unwrap();
        }
        assert_eq!(Handshake::overhead(pattern, messages(pattern).len()), 0);
    }
}

#[test]
fn both_ends_learn_the_others_key_and_when() {
    for pattern in BOTH {
        let mut pair = Pair::new(pattern);
        let (a, b) = (public(&SECRETS[0]), public(&SECRETS[1]));
        let known = |pair: &Pair| pair.ends.each_ref().map(Handshake::remote_static);
        let expected: &[_] = match pattern {
            Pattern::IkPsk2 => &[[Some(b), None], [Some(b), Some(a)], [Some(b), Some(a)]],
            Pattern::XxPsk3 => &[[None, None], [None, None], [Some(b), None], [Some(b), Some(a)]],
        };
        assert_eq!(known(&pair), expected[0]);
        for (index, expected) in expected.iter().skip(1).enumerate() {
            assert!(!pair.ends.iter().all(Handshake::is_finished));
            let message = pair.write(index, b"");
            pair.read(index, &message).unwrap();
            assert_eq!(known(&pair), *expected, "{pattern:?} after {index}");
        }
        assert!(pair.ends.iter().all(Handshake::is_finished));
    }
}

#[test]
fn a_call_out_of_turn_is_refused_and_changes_nothing() {
    for pattern in BOTH {
        let mut pair = Pair::new(pattern);
        let last = messages(pattern).len() - 1;
        for index in 0..=last {
            let mut out = vec![1];
            let [idle, other] = [(index + 1) % 2, index % 2];
            assert_eq!(pair.ends[idle].write_message(b"", &mut out), Err(NoiseError::OutOfTurn));
            assert_eq!(pair.ends[other].read_message(&[0; 200]), Err(NoiseError::OutOfTurn));
            assert_eq!(out, [1]);
            assert!(pair.ends.iter().all(|end| end.clone().split().is_err()));
            let message = pair.write(index, b"");
            pair.read(index, &message).unwrap();
        }
        for end in &mut pair.ends {
            assert_eq!(end.write_message(b"", &mut Vec::new()), Err(NoiseError::OutOfTurn));
            assert_eq!(end.read_message(&[0; 200]), Err(NoiseError::OutOfTurn));
        }
    }
}

#[test]
fn an_ephemeral_key_must_be_set_and_cannot_be_changed_after_it_was_sent() {
    let mut pair = Pair::new(Pattern::XxPsk3);
    let [initiator, responder] = &mut pair.ends;
    initiator.ephemeral = None;
    assert_eq!(initiator.write_message(b"", &mut Vec::new()), Err(NoiseError::UnfitKeys));
    initiator.set_ephemeral(&[1; 32]).unwrap();
    initiator.set_ephemeral(&[2; 32]).unwrap();
    let mut message = Vec::new();
    initiator.write_message(b"", &mut message).unwrap();
    assert_eq!(message[..32], public(&[2; 32]), "the last one set counts");
    assert_eq!(initiator.set_ephemeral(&[3; 32]), Err(NoiseError::OutOfTurn));

    responder.read_message(&message).unwrap();
    responder.set_ephemeral(&[4; 32]).unwrap();
    responder.write_message(b"", &mut Vec::new()).unwrap();
    assert_eq!(responder.set_ephemeral(&[5; 32]), Err(NoiseError::OutOfTurn));
}

#[test]
fn only_the_initiator_of_ik_names_the_responders_key() {
    for (pattern, role) in [
        (Pattern::IkPsk2, Role::Initiator),
        (Pattern::IkPsk2, Role::Responder),
        (Pattern::XxPsk3, Role::Initiator),
        (Pattern::XxPsk3, Role::Responder),
    ] {
        for remote_static in [None, Some(&[9; 32])] {
            let params = HandshakeParams { pattern, role, remote_static, ..PARAMS };
            let fits = remote_static.is_some() == ((pattern, role) == (Pattern::IkPsk2, Role::Initiator));
            let made = Handshake::new(&pure::pure(), params);
            assert_eq!(made.err(), (!fits).then_some(NoiseError::UnfitKeys));
        }
    }
}

#[test]
fn a_payload_too_long_is_refused_and_the_longest_goes_through() {
    let mut pair = Pair::new(Pattern::IkPsk2);
    let room = MAX_MESSAGE_LEN - Handshake::overhead(Pattern::IkPsk2, 0);
    let [initiator, _] = &mut pair.ends;
    assert_eq!(initiator.write_message(&vec![0; room + 1], &mut Vec::new()), Err(NoiseError::TooLong));
    let message = pair.write(0, &vec![7; room]);
    assert_eq!(message.len(), MAX_MESSAGE_LEN);
    let mut longer = message.clone();
    longer.push(0);
    assert_eq!(pair.clone().read(0, &longer), Err(NoiseError::Malformed));
    assert_eq!(pair.read(0, &message).unwrap(), vec![7; room]);
}

#[test]
fn keys_of_low_order_are_refused_wherever_they_stand() {
    let one = core::array::from_fn(|i| u8::from(i == 0));
    // As the id that a contact claims.
    let params = HandshakeParams { remote_static: Some(&one), ..PARAMS };
    let mut initiator = Handshake::new(&pure::pure(), params).unwrap();
    initiator.set_ephemeral(&[1; 32]).unwrap();
    let mut out = b"before".to_vec();
    assert_eq!(initiator.write_message(b"", &mut out), Err(NoiseError::LowOrder));
    assert_eq!(out, b"before");
    assert_eq!(initiator.write_message(b"", &mut out), Err(NoiseError::OutOfTurn), "it is dead");

    // As the initiator's ephemeral: IK meets it when reading.
    let mut pair = Pair::new(Pattern::IkPsk2);
    let mut message = pair.write(0, b"");
    message[..32].copy_from_slice(&one);
    assert_eq!(pair.read(0, &message), Err(NoiseError::LowOrder));

    // XX meets it when answering, for whoever knows the prologue can seal the first payload.
    let mut pair = Pair::new(Pattern::XxPsk3);
    let mut symmetric = pair.ends[0].symmetric.clone();
    symmetric.mix_ephemeral(&one);
    let mut message = one.to_vec();
    symmetric.encrypt_and_hash(&*pure::pure(), b"", &mut message).unwrap();
    pair.read(0, &message).unwrap();
    assert_eq!(pair.ends[1].write_message(b"", &mut Vec::new()), Err(NoiseError::LowOrder));
}

#[test]
fn another_psk_prologue_or_responder_key_is_refused_at_the_first_message_that_holds_it() {
    for pattern in BOTH {
        let last = messages(pattern).len() - 1;
        let cases: [(&str, HandshakeParams<'_>, usize); 2] = [
            ("psk", HandshakeParams { psk: &[0xee; 32], ..PARAMS }, last),
            ("prologue", HandshakeParams { prologue: b"another", ..PARAMS }, 0),
        ];
        for (what, params, refused_at) in cases {
            let mut pair = Pair::with_initiator(HandshakeParams { pattern, ..params });
            for index in 0..=refused_at {
                let message = pair.write(index, b"payload");
                let read = pair.read(index, &message);
                match index == refused_at {
                    true => assert_eq!(read, Err(NoiseError::Authentication), "{what} {pattern:?}"),
                    false => assert_eq!(read.unwrap(), b"payload", "{what} {pattern:?}"),
                }
            }
            assert!(!pair.ends.iter().all(Handshake::is_finished));
        }
    }
    let stranger = public(&[0x77; 32]);
    let mut pair = Pair::new(Pattern::IkPsk2);
    pair.ends[0] =
        Handshake::new(&pure::pure(), HandshakeParams { remote_static: Some(&stranger), ..PARAMS }).unwrap();
    pair.ends[0].set_ephemeral(&[1; 32]).unwrap();
    let message = pair.write(0, b"payload");
    assert_eq!(pair.read(0, &message), Err(NoiseError::Authentication));
}

#[test]
fn every_truncation_and_every_flipped_bit_of_every_message_is_refused() {
    for pattern in BOTH {
        let mut pair = Pair::new(pattern);
        for index in 0..messages(pattern).len() {
            let message = pair.write(index, b"some payload");
            for len in 0..message.len() {
                assert!(pair.clone().read(index, &message[..len]).is_err(), "{pattern:?} {index} to {len}");
            }
            assert!(pair.clone().read(index, &[&message[..], &[0]].concat()).is_err());
            for bit in 0..message.len() * 8 {
                let mut flipped = message.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let mut pair = pair.clone();
                let error = pair.read(index, &flipped).unwrap_err();
                assert_eq!(error, NoiseError::Authentication, "{pattern:?} {index} bit {bit}");
                // The handshake is dead, even for the message as it was.
                assert_eq!(pair.read(index, &message), Err(NoiseError::OutOfTurn));
                assert_eq!(pair.ends[(index + 1) % 2].remote_static(), None);
            }
            pair.read(index, &message).unwrap();
        }
    }
}

#[test]
fn a_handshake_cloned_beforehand_survives_a_forged_message() {
    let mut pair = Pair::new(Pattern::IkPsk2);
    let message = pair.write(0, b"hello");
    let before = pair.ends[1].clone();
    assert!(pair.read(0, &[0; 120]).is_err());
    pair.ends[1] = before;
    assert_eq!(pair.read(0, &message).unwrap(), b"hello");
}

#[test]
fn debug_output_shows_no_key() {
    let pair = Pair::new(Pattern::IkPsk2);
    assert_eq!(
        format!("{:?}", pair.ends[0]),
        "Handshake { pattern: IkPsk2, role: Initiator, done: 0, dead: false, .. }"
    );
    assert_eq!(format!("{PARAMS:?}"), "HandshakeParams { pattern: IkPsk2, role: Initiator, .. }");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_handshake_with_snow_succeeds_in_both_roles_and_carries_data(
        ik: bool,
        snow_initiates: bool,
        secrets: [[u8; 32]; 2],
        psk: [u8; 32],
        ephemeral: [u8; 32],
        prologue in vec(any::<u8>(), 0..100),
        payloads in vec(vec(any::<u8>(), 0..2000), 3),
        transports in vec(vec(any::<u8>(), 0..5000), 1..6),
    ) {
        let pattern = if ik { Pattern::IkPsk2 } else { Pattern::XxPsk3 };
        let [ours, theirs] = &secrets;
        let (our_public, their_public) = (public(ours), public(theirs));
        let knows_peer = |initiates: bool| ik && initiates;

        let name = std::str::from_utf8(protocol_name(pattern)).unwrap();
        let mut builder = snow::Builder::new(name.parse().unwrap())
            .local_private_key(theirs).unwrap()
            .prologue(&prologue).unwrap()
            .psk(if ik { 2 } else { 3 }, &psk).unwrap();
        if knows_peer(snow_initiates) {
            builder = builder.remote_public_key(&our_public).unwrap();
        }
        let mut snow = match snow_initiates {
            true => builder.build_initiator().unwrap(),
            false => builder.build_responder().unwrap(),
        };
        let params = HandshakeParams {
            pattern,
            role: if snow_initiates { Role::Responder } else { Role::Initiator },
            prologue: &prologue,
            psk: &psk,
            static_secret: ours,
            remote_static: knows_peer(!snow_initiates).then_some(&their_public),
        };
        let provider = super::super::best();
        let mut crust = Handshake::new(&provider, params).unwrap();
        crust.set_ephemeral(&ephemeral).unwrap();

        let mut buffer = vec![0; MAX_MESSAGE_LEN];
        for (index, payload) in payloads.iter().take(messages(pattern).len()).enumerate() {
            if (index % 2 == 0) == snow_initiates {
                let len = snow.write_message(payload, &mut buffer).unwrap();
                prop_assert_eq!(&*crust.read_message(&buffer[..len]).unwrap(), payload);
            } else {
                let mut message = Vec::new();
                crust.write_message(payload, &mut message).unwrap();
                let len = snow.read_message(&message, &mut buffer).unwrap();
                prop_assert_eq!(&buffer[..len], &payload[..]);
            }
        }
        prop_assert!(crust.is_finished() && snow.is_handshake_finished());
        prop_assert_eq!(&crust.hash()[..], snow.get_handshake_hash());
        prop_assert_eq!(crust.remote_static(), Some(their_public));
        prop_assert_eq!(snow.get_remote_static(), Some(&our_public[..]));

        let (up, down) = crust.split().unwrap();
        let (tx, rx) = if snow_initiates { (down, up) } else { (up, down) };
        let (mut tx, mut rx) = (Transport::new(&provider, &tx), Transport::new(&provider, &rx));
        let mut snow = snow.into_transport_mode().unwrap();
        for payload in &transports {
            let len = snow.read_message(&tx.seal(payload), &mut buffer).unwrap();
            prop_assert_eq!(&buffer[..len], &payload[..]);
            let len = snow.write_message(payload, &mut buffer).unwrap();
            prop_assert_eq!(&rx.open(&buffer[..len]).unwrap(), payload);
        }
    }

    #[test]
    fn any_bytes_as_a_message_are_refused_without_harm(
        ik: bool, index in 0usize..3, message in vec(any::<u8>(), 0..400),
    ) {
        let pattern = if ik { Pattern::IkPsk2 } else { Pattern::XxPsk3 };
        let mut pair = Pair::new(pattern);
        let index = index.min(messages(pattern).len() - 1);
        for index in 0..index {
            let message = pair.write(index, b"");
            pair.read(index, &message).unwrap();
        }
        let reader = &mut pair.ends[(index + 1) % 2];
        if index > 0 || reader.role == Role::Responder {
            pair.write(index, b"");
        }
        let expected = match message.len() < Handshake::overhead(pattern, index) {
            true => NoiseError::Malformed,
            false => NoiseError::Authentication,
        };
        prop_assert_eq!(pair.read(index, &message), Err(expected));
    }
}

const SECRETS: [[u8; 32]; 2] = [[0x11; 32], [0x22; 32]];
const PARAMS: HandshakeParams<'_> = HandshakeParams {
    pattern: Pattern::IkPsk2,
    role: Role::Initiator,
    prologue: b"crust test",
    psk: &[0x33; 32],
    static_secret: &SECRETS[0],
    remote_static: None,
};

fn public(secret: &[u8; 32]) -> [u8; 32] {
    pure::pure().public_key(secret)
}

/// Both ends of one handshake: the initiator, the responder.
#[derive(Clone)]
struct Pair {
    ends: [Handshake; 2],
}

impl Pair {
    fn new(pattern: Pattern) -> Self {
        Self::with_initiator(HandshakeParams { pattern, ..PARAMS })
    }

    /// The initiator as given, the responder as [`PARAMS`] says.
    fn with_initiator(params: HandshakeParams<'_>) -> Self {
        let pattern = params.pattern;
        let id = public(&SECRETS[1]);
        let remote_static = (pattern == Pattern::IkPsk2).then_some(&id);
        let responder =
            HandshakeParams { pattern, role: Role::Responder, static_secret: &SECRETS[1], ..PARAMS };
        let mut ends = [HandshakeParams { remote_static, ..params }, responder]
            .map(|params| Handshake::new(&pure::pure(), params).unwrap());
        ends[0].set_ephemeral(&[0x44; 32]).unwrap();
        ends[1].set_ephemeral(&[0x55; 32]).unwrap();
        Self { ends }
    }

    fn write(&mut self, index: usize, payload: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        self.ends[index % 2].write_message(payload, &mut message).unwrap();
        message
    }

    fn read(&mut self, index: usize, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        self.ends[(index + 1) % 2].read_message(message).map(|payload| payload.to_vec())
    }
}

/// One direction of Noise's own transport phase, which crust replaces by packets.
struct Transport {
    provider: Arc<dyn CryptoProvider>,
    key: [u8; 32],
    counter: u64,
}

impl Transport {
    fn new(provider: &Arc<dyn CryptoProvider>, key: &[u8; 32]) -> Self {
        Self { provider: Arc::clone(provider), key: *key, counter: 0 }
    }

    fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut sealed = plain.to_vec();
        let key = self.provider.aead(Aead::ChaCha20Poly1305, &self.key);
        let tag = key.seal(&nonce(self.counter), &[], &mut sealed);
        self.counter += 1;
        sealed.extend(tag);
        sealed
    }

    fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (data, tag) = sealed.split_last_chunk().unwrap();
        let mut plain = data.to_vec();
        let key = self.provider.aead(Aead::ChaCha20Poly1305, &self.key);
        key.open(&nonce(self.counter), &[], &mut plain, tag)?;
        self.counter += 1;
        Ok(plain)
    }
}
