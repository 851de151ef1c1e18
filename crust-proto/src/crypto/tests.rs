//! Every provider against the standards' vectors, and against each other.

use super::testing::{providers, unhex, unhex_array};
use super::*;
use proptest::{collection::vec, prelude::*};

/// Montgomery u-coordinates of order 1, 2, 4 or 8, on the curve and on its twist, and their
/// non-canonical spellings below 2^255.
const LOW_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

struct AeadVector {
    aead: Aead,
    key: &'static str,
    nonce: &'static str,
    aad: &'static str,
    plain: &'static str,
    sealed: &'static str,
    tag: &'static str,
}

/// RFC 8439 §2.8.2; cases 14 and 16 of the GCM specification that NIST SP 800-38D standardised.
const AEAD_VECTORS: [AeadVector; 3] = [
    AeadVector {
        aead: Aead::ChaCha20Poly1305,
        key: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        nonce: "070000004041424344454647",
        aad: "50515253c0c1c2c3c4c5c6c7",
        plain: "4c616469657320616e642047656e746c656d656e206f662074686520636c6173
                73206f66202739393a204966204920636f756c64206f6666657220796f75206f
                6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73
                637265656e20776f756c642062652069742e",
        sealed: "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6
                 3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36
                 92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc
                 3ff4def08e4b7a9de576d26586cec64b6116",
        tag: "1ae10b594f09e26a7e902ecbd0600691",
    },
    AeadVector {
        aead: Aead::Aes256Gcm,
        key: "0000000000000000000000000000000000000000000000000000000000000000",
        nonce: "000000000000000000000000",
        aad: "",
        plain: "00000000000000000000000000000000",
        sealed: "cea7403d4d606b6e074ec5d3baf39d18",
        tag: "d0d1c8a799996bf0265b98b5d48ab919",
    },
    AeadVector {
        aead: Aead::Aes256Gcm,
        key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        nonce: "cafebabefacedbaddecaf888",
        aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        plain: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
                1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        sealed: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
                 8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
        tag: "76fc6ece0f4e1768cddf8853bb2d551b",
    },
];

#[test]
fn x25519_yields_the_vectors_of_rfc_7748_section_5_2() {
    let cases = [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        // Here the highest bit is set, and must be ignored.
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ];
    for provider in providers() {
        for (scalar, point, product) in cases {
            let shared = provider.dh(&unhex_array(scalar), &unhex_array(point)).unwrap();
            assert_eq!(*shared, unhex_array(product), "{}", provider.name());
        }
    }
}

#[test]
fn x25519_agrees_as_in_rfc_7748_section_6_1() {
    let alice = unhex_array("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    let bob = unhex_array("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    let alice_public = unhex_array("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    let bob_public = unhex_array("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    let shared = unhex_array("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    for provider in providers() {
        assert_eq!(provider.public_key(&alice), alice_public);
        assert_eq!(provider.public_key(&bob), bob_public);
        assert_eq!(*provider.dh(&alice, &bob_public).unwrap(), shared);
        assert_eq!(*provider.dh(&bob, &alice_public).unwrap(), shared);
    }
}

#[test]
fn x25519_iterated_a_thousand_times_is_as_rfc_7748_says() {
    for provider in providers() {
        let mut k: [u8; 32] = unhex_array("0900000000000000000000000000000000000000000000000000000000000000");
        let mut u = k;
        for _ in 0..1000 {
            (k, u) = (*provider.dh(&k, &u).unwrap(), k);
        }
        assert_eq!(k, unhex_array("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"));
    }
}

#[test]
fn a_public_key_of_low_order_is_refused_by_every_provider() {
    for provider in providers() {
        for point in LOW_ORDER {
            let mut point: [u8; 32] = unhex_array(point);
            for secret in [[0; 32], [0x5a; 32], [0xff; 32]] {
                assert!(provider.dh(&secret, &point).is_none(), "{} {point:02x?}", provider.name());
                point[31] ^= 0x80;
                assert!(provider.dh(&secret, &point).is_none(), "{} {point:02x?}", provider.name());
                point[31] ^= 0x80;
            }
        }
    }
}

#[test]
fn the_aeads_yield_the_vectors_of_rfc_8439_and_of_gcm() {
    for provider in providers() {
        for vector in &AEAD_VECTORS {
            let key = provider.aead(vector.aead, &unhex_array(vector.key));
            let (nonce, aad) = (unhex_array(vector.nonce), unhex(vector.aad));
            let mut data = unhex(vector.plain);
            let tag = key.seal(&nonce, &aad, &mut data);
            assert_eq!(data, unhex(vector.sealed), "{} {:?}", provider.name(), vector.aead);
            assert_eq!(tag[..], unhex(vector.tag), "{} {:?}", provider.name(), vector.aead);
            assert_eq!(key.open(&nonce, &aad, &mut data, &tag), Ok(()));
            assert_eq!(data, unhex(vector.plain));
        }
    }
}

#[test]
fn a_key_that_cannot_seal_lets_no_plain_text_out() {
    let mut data = *b"plain";
    assert_eq!(refuse_to_seal(&mut data), [0; TAG_LEN]);
    assert_eq!(data, [0; 5]);
}

#[test]
fn the_best_provider_is_the_last_compiled_in() {
    assert_eq!(best().name(), providers().last().unwrap().name());
}

fn aead() -> impl Strategy<Value = Aead> {
    prop_oneof![Just(Aead::ChaCha20Poly1305), Just(Aead::Aes256Gcm)]
}

/// Lengths as packets have them, with the longest and the empty one well represented.
fn data() -> impl Strategy<Value = Vec<u8>> {
    (prop_oneof![0usize..300, 0usize..70_000], any::<u64>()).prop_map(|(len, seed)| {
        // An ordinary congruential generator: drawing each byte from proptest would dominate the test.
        let mut state = seed;
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[0]
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn all_providers_compute_the_same_public_key_and_secret(secret: [u8; 32], public: [u8; 32]) {
        let results: Vec<_> =
            providers().iter().map(|p| (p.public_key(&secret), p.dh(&secret, &public))).collect();
        prop_assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn what_one_provider_seals_every_other_opens_and_seals_alike(
        aead in aead(), key: [u8; 32], nonce: [u8; 12], aad in vec(any::<u8>(), 0..80), plain in data(),
    ) {
        let keys: Vec<_> = providers().iter().map(|p| p.aead(aead, &key)).collect();
        let mut sealed = plain.clone();
        let tag = keys[0].seal(&nonce, &aad, &mut sealed);
        for key in &keys {
            let mut data = plain.clone();
            prop_assert_eq!(key.seal(&nonce, &aad, &mut data), tag);
            prop_assert!(data == sealed);
            prop_assert_eq!(key.open(&nonce, &aad, &mut data, &tag), Ok(()));
            prop_assert!(data == plain);
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_fails_to_open(
        aead in aead(), key: [u8; 32], nonce: [u8; 12], aad in vec(any::<u8>(), 1..40),
        plain in vec(any::<u8>(), 1..200), at: prop::sample::Index, bit in 0u8..8,
    ) {
        for provider in providers() {
            let key = provider.aead(aead, &key);
            let mut sealed = plain.clone();
            let tag = key.seal(&nonce, &aad, &mut sealed);
            // Nonce, associated data, data and tag in one row, so that one index reaches them all.
            let mut row = [&nonce[..], &aad, &sealed, &tag].concat();
            row[at.index(nonce.len() + aad.len() + sealed.len() + tag.len())] ^= 1 << bit;
            let (nonce, rest) = row.split_at(12);
            let (aad, rest) = rest.split_at(aad.len());
            let (data, tag) = rest.split_at(sealed.len());
            let mut data = data.to_vec();
            let opened = key.open(nonce.try_into().unwrap(), aad, &mut data, tag.try_into().unwrap());
            prop_assert_eq!(opened, Err(OpenError));
        }
    }
}
