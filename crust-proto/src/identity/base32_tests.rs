use super::*;
use proptest::prelude::*;

/// The alphabet of BIP-173, to read its successor's test vectors.
const BECH32: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

fn read(kind: Kind, text: &str) -> Option<[u8; 32]> {
    let symbols = read_checked(letters(text)).ok()?;
    let mut key = [0; 32];
    decode_checked(kind, &symbols, &mut key).then_some(key)
}

fn write(kind: Kind, key: &[u8; 32]) -> String {
    let mut text = String::new();
    encode_checked(kind, key, |c| text.push(c));
    text
}

#[test]
fn the_checksum_is_that_of_bip_350() {
    for vector in [
        "a1lqfn3a",
        "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
        "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
        "split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
        "?1v759aa",
    ] {
        let (label, data) = vector.rsplit_once('1').unwrap();
        let mut sum = Checksum(1);
        sum.feed_label(label.as_bytes());
        for c in data.chars() {
            sum.feed(u8::try_from(BECH32.find(c).unwrap()).unwrap());
        }
        assert_eq!(sum.0, BECH32M, "{vector}");
    }
}

#[test]
fn the_letters_that_look_alike_are_read_as_digits_and_u_is_none() {
    for (value, c) in (0u8..).zip("0123456789abcdefghjkmnpqrstvwxyz".chars()) {
        assert_eq!(letter(value), c);
        assert_eq!(symbol(c), Some(value));
        assert_eq!(symbol(c.to_ascii_uppercase()), Some(value));
    }
    for (c, digit) in [('o', 0), ('O', 0), ('i', 1), ('I', 1), ('l', 1), ('L', 1)] {
        assert_eq!(symbol(c), Some(digit));
    }
    for c in ['u', 'U', '-', ' ', '\0', 'é', 'İ', 'ı', '０'] {
        assert_eq!(symbol(c), None, "{c:?}");
    }
}

proptest! {
    #[test]
    fn bytes_read_back_from_their_symbols_alone(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        extra in 0u8..32,
    ) {
        let mut symbols: Vec<u8> = symbols(&bytes).collect();
        let mut back = vec![0xaa; bytes.len()];
        prop_assert!(pack(&symbols, &mut back));
        prop_assert_eq!(&back, &bytes);
        // One symbol more or less, or a bit where the last one has room to spare.
        symbols.push(extra);
        prop_assert!(!pack(&symbols, &mut back));
        symbols.pop();
        let spare = symbols.len() * 5 - bytes.len() * 8;
        for bit in 0..spare {
            *symbols.last_mut().unwrap() ^= 1 << bit;
            prop_assert!(!pack(&symbols, &mut back));
            *symbols.last_mut().unwrap() ^= 1 << bit;
        }
        if symbols.pop().is_some() {
            prop_assert!(!pack(&symbols, &mut back));
        }
    }

    #[test]
    fn one_kind_of_key_is_never_read_as_another(key in any::<[u8; 32]>()) {
        let (id, secret) = (write(Kind::PeerId, &key), write(Kind::SecretKey, &key));
        prop_assert_eq!(read(Kind::PeerId, &id), Some(key));
        prop_assert_eq!(read(Kind::SecretKey, &secret), Some(key));
        prop_assert_eq!(read(Kind::PeerId, &secret), None);
        prop_assert_eq!(read(Kind::SecretKey, &id), None);
    }

    #[test]
    fn up_to_four_wrong_symbols_are_always_noticed(
        key in any::<[u8; 32]>(),
        at in prop::sample::subsequence((0..CHECKED_SYMBOLS).collect::<Vec<_>>(), 1..=4),
        change in prop::collection::vec(1u8..32, 4),
    ) {
        let mut symbols = read_checked(letters(&write(Kind::PeerId, &key))).unwrap();
        for (at, change) in at.into_iter().zip(change) {
            symbols[at] ^= change;
        }
        prop_assert!(!decode_checked(Kind::PeerId, &symbols, &mut [0; 32]));
    }
}
