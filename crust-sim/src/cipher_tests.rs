use super::*;

const NONCE: [u8; NONCE_LEN] = [3; NONCE_LEN];

fn key(byte: u8) -> Box<dyn AeadKey> {
    null().aead(Aead::ChaCha20Poly1305, &[byte; KEY_LEN])
}

#[test]
fn what_was_sealed_opens_and_was_never_hidden() {
    for len in [0, 1, 15, 16, 63, 64, 1200] {
        let mut data: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let plain = data.clone();
        let tag = key(1).seal(&NONCE, b"head", &mut data);
        assert_eq!(data, plain);
        key(1).open(&NONCE, b"head", &mut data, &tag).unwrap();
    }
}

#[test]
fn whatever_differs_is_refused() {
    let data = [9; 100];
    let tag = key(1).seal(&NONCE, b"head", &mut data.clone());
    let opens = |key: Box<dyn AeadKey>, nonce: [u8; NONCE_LEN], aad: &[u8], mut data: Vec<u8>| {
        key.open(&nonce, aad, &mut data, &tag).is_ok()
    };
    assert!(opens(key(1), NONCE, b"head", data.to_vec()));
    assert!(!opens(key(2), NONCE, b"head", data.to_vec()), "another key");
    assert!(
        !opens(null().aead(Aead::Aes256Gcm, &[1; KEY_LEN]), NONCE, b"head", data.to_vec()),
        "another AEAD"
    );
    assert!(!opens(key(1), [4; NONCE_LEN], b"head", data.to_vec()), "another number");
    assert!(!opens(key(1), NONCE, b"heap", data.to_vec()), "another head");
    assert!(!opens(key(1), NONCE, b"head", data[1..].to_vec()), "cut short");
    for bit in 0..800 {
        let mut damaged = data.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(!opens(key(1), NONCE, b"head", damaged), "bit {bit}");
    }
}

#[test]
fn tags_vary_with_the_packet_number_as_masks_of_heads_need_it() {
    let tags: std::collections::BTreeSet<_> = (0..1000_u32)
        .map(|number| {
            let mut nonce = NONCE;
            nonce[8..].copy_from_slice(&number.to_be_bytes());
            key(1).seal(&nonce, &[], &mut [])
        })
        .collect();
    assert_eq!(tags.len(), 1000);
}
