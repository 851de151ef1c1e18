use super::super::testing::unhex;
use super::*;
use hmac::{KeyInit, Mac, SimpleHmac};
use proptest::{collection::vec, prelude::*};

#[test]
fn blake2s_of_rfc_7693_appendix_b_comes_out() {
    let expected = unhex("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
    assert_eq!(hash(&[b"abc"])[..], expected);
    assert_eq!(hash(&[b"a", b"", b"bc"])[..], expected, "parts are concatenated");
}

proptest! {
    #[test]
    fn hmac_equals_that_of_an_independent_library(key: [u8; 32], parts in vec(vec(any::<u8>(), 0..200), 0..4)) {
        let mut oracle = SimpleHmac::<Blake2s256>::new_from_slice(&key).unwrap();
        for part in &parts {
            oracle.update(part);
        }
        let parts: Vec<&[u8]> = parts.iter().map(|p| &p[..]).collect();
        prop_assert_eq!(hmac(&key, &parts)[..].to_vec(), oracle.finalize().into_bytes().to_vec());
    }

    #[test]
    fn the_outputs_of_hkdf_are_a_chain_of_hmacs(ck: [u8; 32], input in vec(any::<u8>(), 0..65)) {
        let (a2, b2) = hkdf2(&ck, &input);
        let (a3, b3, c3) = hkdf3(&ck, &input);
        prop_assert_eq!((&a2, &b2), (&a3, &b3));
        let temp = hmac(&ck, &[&input]);
        prop_assert_eq!(&a3, &hmac(&temp, &[&[1]]));
        prop_assert_eq!(&b3, &hmac(&temp, &[&a3[..], &[2]]));
        prop_assert_eq!(&c3, &hmac(&temp, &[&b3[..], &[3]]));
    }

    #[test]
    fn moving_a_border_between_parts_changes_the_key(
        key: [u8; 32],
        bytes in vec(any::<u8>(), 0..40),
        a in 0usize..41,
        b in 0usize..41,
    ) {
        let (a, b) = (a.min(bytes.len()), b.min(bytes.len()));
        let split_at = |at: usize| kdf(&key, "label", &[&bytes[..at], &bytes[at..]]);
        prop_assert_eq!(split_at(a) == split_at(b), a == b);
        prop_assert_ne!(split_at(a), kdf(&key, "label", &[&bytes]));
    }

    #[test]
    fn another_label_or_key_gives_another_key(key: [u8; 32], part: [u8; 8], bit in 0usize..256) {
        let derived = kdf(&key, "label", &[&part]);
        prop_assert_ne!(&derived, &kdf(&key, "labe", &[b"l", &part]));
        prop_assert_ne!(&derived, &kdf(&key, "Label", &[&part]));
        let mut other = key;
        other[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(&derived, &kdf(&other, "label", &[&part]));
    }
}
