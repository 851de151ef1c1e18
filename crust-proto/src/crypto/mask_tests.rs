use super::super::testing::{unhex, unhex_array};
use super::*;
use proptest::prelude::*;

#[test]
fn the_aes_mask_is_the_block_of_fips_197_appendix_c_3() {
    let key = MaskKey::new(
        MaskKind::Aes256,
        &unhex_array("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
    );
    let sample = unhex_array("00112233445566778899aabbccddeeff");
    assert_eq!(key.mask(&sample), unhex_array("8ea2b7ca516745bfeafc49904b496089"));
}

#[test]
fn the_chacha20_mask_is_that_of_rfc_9001_appendix_a_5() {
    let key = MaskKey::new(
        MaskKind::ChaCha20,
        &unhex_array("25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4"),
    );
    let sample = unhex_array("5e5cd55c41f69080575d7999c25a5bfb");
    // QUIC uses five bytes.
    assert_eq!(key.mask(&sample)[..5], unhex("aefefe7d03"));
}

#[test]
fn the_oracle_below_yields_the_block_of_rfc_8439_section_2_3_2() {
    let key = core::array::from_fn(|i| u8::try_from(i).unwrap());
    let block = chacha20_block(&key, 1, &unhex_array("000000090000004a00000000"));
    assert_eq!(block[..16], unhex("10f1e7e4d13b5915500fdd1fa32071c4"));
}

#[test]
fn debug_output_shows_no_key() {
    let key = MaskKey::new(MaskKind::ChaCha20, &[0xab; 32]);
    assert_eq!(format!("{key:?}"), "MaskKey(ChaCha20, ..)");
}

proptest! {
    #[test]
    fn the_chacha20_mask_is_the_block_that_the_sample_names(
        key: [u8; 32],
        counter in prop_oneof![any::<u32>(), Just(u32::MAX), Just(0)],
        nonce: [u8; 12],
    ) {
        let sample: [u8; 16] = [&counter.to_le_bytes()[..], &nonce].concat().try_into().unwrap();
        let mask = MaskKey::new(MaskKind::ChaCha20, &key).mask(&sample);
        prop_assert_eq!(&mask[..], &chacha20_block(&key, counter, &nonce)[..16]);
    }

    #[test]
    fn a_key_masks_alike_every_time_and_every_bit_of_the_sample_matters(
        key: [u8; 32],
        sample: [u8; 16],
        bit in 0usize..128,
        kind in prop_oneof![Just(MaskKind::Aes256), Just(MaskKind::ChaCha20)],
    ) {
        let key = MaskKey::new(kind, &key);
        prop_assert_eq!(key.kind(), kind);
        prop_assert_eq!(key.mask(&sample), key.mask(&sample));
        let mut other = sample;
        other[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(key.mask(&sample), key.mask(&other));
    }
}

/// ChaCha20's block function, from RFC 8439 §2.3, written for nothing but to be compared with.
fn chacha20_block(key: &[u8; 32], counter: u32, nonce: &[u8; 12]) -> [u8; 64] {
    let words = |bytes: &[u8]| -> Vec<u32> {
        bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
    };
    let initial: Vec<u32> = [words(b"expand 32-byte k"), words(key), vec![counter], words(nonce)].concat();
    let mut state = initial.clone();
    let mut quarter = |a: usize, b: usize, c: usize, d: usize| {
        for (x, y, z, rotation) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
            state[x] = state[x].wrapping_add(state[y]);
            state[z] = (state[z] ^ state[x]).rotate_left(rotation);
        }
    };
    for _ in 0..10 {
        for i in 0..4 {
            quarter(i, i + 4, i + 8, i + 12);
        }
        for i in 0..4 {
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
        }
    }
    let sums: Vec<u8> =
        state.iter().zip(&initial).flat_map(|(a, b)| a.wrapping_add(*b).to_le_bytes()).collect();
    sums.try_into().unwrap()
}
