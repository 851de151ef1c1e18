use super::super::testing::providers;
use super::*;
use proptest::{collection::vec, prelude::*};

const AEADS: [Aead; 2] = [Aead::ChaCha20Poly1305, Aead::Aes256Gcm];

#[test]
fn the_nonce_is_the_iv_xor_path_and_packet_number() {
    let mut key = TrafficSecret::new([7; 32]).packet_key(&*providers()[0], Aead::Aes256Gcm);
    key.iv = Zeroizing::new([0xf0; 12]);
    let nonce = key.nonce(0x0102_0304, 0x0506_0708_090a_0b0c);
    let expected: [u8; 12] = core::array::from_fn(|i| 0xf0 ^ u8::try_from(i + 1).unwrap());
    assert_eq!(nonce, expected);
}

#[test]
fn each_epoch_and_each_aead_has_a_key_and_an_iv_of_its_own() {
    let provider = &*providers()[0];
    let first = TrafficSecret::new([7; 32]);
    let second = first.next();
    let third = second.next();
    let mut seen = Vec::new();
    for secret in [&first, &second, &third] {
        for aead in AEADS {
            let key = secret.packet_key(provider, aead);
            let mut data = [0u8; 64];
            let tag = key.seal(0, 0, b"", &mut data);
            seen.push(key.iv.to_vec());
            seen.push(data[..12].to_vec());
            for other in [&first, &second, &third] {
                for other_aead in AEADS {
                    let opened =
                        other.packet_key(provider, other_aead).open(0, 0, b"", &mut data.clone(), &tag);
                    let same = *other.0 == *secret.0 && other_aead == aead;
                    assert_eq!(opened.is_ok(), same);
                }
            }
        }
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn a_traffic_secret_appears_in_none_of_its_offspring() {
    let secret = TrafficSecret::new([7; 32]);
    assert_ne!(*secret.next().0, *secret.0);
    assert_ne!(*kdf(&secret.0, "key", &[]), *secret.next().0);
    assert_eq!(format!("{secret:?}"), "TrafficSecret(..)");
    let key = secret.packet_key(&*providers()[0], Aead::Aes256Gcm);
    assert_eq!(format!("{key:?}"), "PacketKey(..)");
}

#[test]
fn the_limits_keep_the_advantage_below_2_to_the_minus_57_for_packets_of_64_kib() {
    // In blocks of 16 bytes, head and tag included.
    let blocks: u128 = 1 << 12;
    // Poly1305 (draft-irtf-cfrg-aead-limits §5.2.1): v · (blocks + 1) / 2^103 ≤ 2^-57.
    let forgeries = u128::from(integrity_limit(Aead::ChaCha20Poly1305));
    assert!(forgeries * (blocks + 1) <= 1 << 46);
    // GCM's confidentiality (RFC 9001 appendix B.1.1): 2 · (blocks · q)^2 / 2^128 ≤ 2^-57.
    let sealed = u128::from(confidentiality_limit(Aead::Aes256Gcm));
    assert!((sealed * blocks).pow(2) <= 1 << 70);
    // GCM's integrity (appendix B.1.2): v · blocks ≤ 2^64.
    let forgeries = u128::from(integrity_limit(Aead::Aes256Gcm));
    assert!(forgeries * blocks <= 1 << 64);
}

proptest! {
    #[test]
    fn a_packet_opens_as_what_it_was_sealed_as_and_as_nothing_else(
        secret: [u8; 32], path: u32, number: u64, aad in vec(any::<u8>(), 0..32),
        plain in vec(any::<u8>(), 0..2000), flip in 0u32..96,
    ) {
        for provider in providers() {
            for aead in AEADS {
                let key = TrafficSecret::new(secret).packet_key(&*provider, aead);
                let mut sealed = plain.clone();
                let tag = key.seal(path, number, &aad, &mut sealed);
                let mut data = sealed.clone();
                prop_assert_eq!(key.open(path, number, &aad, &mut data, &tag), Ok(()));
                prop_assert_eq!(&data, &plain);
                // One bit of path or packet number is wrong.
                let (path, number) = match flip.checked_sub(64) {
                    Some(bit) => (path ^ 1 << bit, number),
                    None => (path, number ^ 1 << flip),
                };
                prop_assert_eq!(key.open(path, number, &aad, &mut sealed, &tag), Err(OpenError));
            }
        }
    }
}
