use super::*;
use proptest::prelude::*;

fn peer() -> impl Strategy<Value = PeerId> {
    any::<[u8; 32]>().prop_map(PeerId::from_bytes)
}

const COUNTING: &str = "000g40r40m30e209185gr38e1w8124gk2gahc5rr34d1p70x3rfg95fkwj";

#[test]
fn the_text_of_an_id_is_what_it_has_always_been() {
    let id = PeerId::from_bytes(core::array::from_fn(|i| u8::try_from(i).unwrap()));
    assert_eq!(id.to_string(), COUNTING);
    assert_eq!(COUNTING.parse(), Ok(id));
    assert_eq!(id.short().to_string(), "000g40r4");
    assert_eq!(format!("{id:?}"), "PeerId(000g40r4)");
    assert_eq!(format!("{id:.8}"), "000g40r4");
    assert_eq!(format!("[{:>10}]", id.short()), "[  000g40r4]");
}

#[test]
fn what_is_no_peer_id_is_called_what_it_is() {
    let error = |text: &str| text.parse::<PeerId>().unwrap_err();
    assert_eq!(error("crust040j1190y0"), ParsePeerIdError::Contact);
    assert_eq!(error(" CRUST040J"), ParsePeerIdError::Contact);
    assert_eq!(error("crust-secret-000g40r40m"), ParsePeerIdError::SecretKey);
    assert_eq!(error(""), ParsePeerIdError::WrongLength { expected: 58, found: 0 });
    assert_eq!(error(&COUNTING[1..]), ParsePeerIdError::WrongLength { expected: 58, found: 57 });
    assert_eq!(error(&format!("{COUNTING}0")), ParsePeerIdError::WrongLength { expected: 58, found: 59 });
    let mut typo = COUNTING.to_owned();
    typo.replace_range(2..3, "u");
    assert_eq!(error(&typo), ParsePeerIdError::InvalidCharacter { character: 'u', position: 3 });
    typo.replace_range(2..3, "1");
    assert_eq!(error(&typo), ParsePeerIdError::Checksum);
}

#[test]
fn every_message_says_what_to_do() {
    let errors = [
        ParsePeerIdError::Contact,
        ParsePeerIdError::SecretKey,
        ParsePeerIdError::WrongLength { expected: 58, found: 3 },
        ParsePeerIdError::InvalidCharacter { character: '\u{1b}', position: 3 },
        ParsePeerIdError::Checksum,
    ];
    for error in errors {
        let text = error.to_string();
        assert!(
            ["use it", "make a new one", "copy it", "compare it"].iter().any(|s| text.contains(s)),
            "{text}"
        );
        assert!(!text.contains(char::is_control), "{text:?} would reach a terminal");
    }
}

#[test]
fn a_key_that_x25519_would_reduce_is_not_canonical() {
    let mut p = [0xff; 32];
    p[31] = 0x7f;
    let with = |low: u8, high: u8| {
        let mut key = p;
        (key[0], key[31]) = (low, high);
        PeerId::from_bytes(key).is_canonical()
    };
    assert!(with(0xec, 0x7f), "2^255 - 20");
    assert!(!with(0xed, 0x7f), "2^255 - 19");
    assert!(!with(0xff, 0x7f), "2^255 - 1");
    assert!(with(0xff, 0x7e));
    assert!(!with(0, 0x80) && !with(0, 0xff));
    assert!(PeerId::from_bytes([0x7f; 32]).is_canonical());
}

proptest! {
    #[test]
    fn an_id_reads_back_from_its_text_however_it_is_typed(
        id in peer(),
        upper in prop::collection::vec(any::<bool>(), 58),
        breaks in prop::collection::vec((0usize..58, prop::sample::select(vec![" ", "-", "\n", "\r\n", "\u{a0}", "\u{2060}"])), 0..6),
    ) {
        let text = id.to_string();
        prop_assert_eq!(text.len(), PeerId::TEXT_LEN);
        prop_assert_eq!(text.parse(), Ok(id));
        let mut typed = String::new();
        for (i, (c, upper)) in text.chars().zip(upper).enumerate() {
            breaks.iter().filter(|(at, _)| *at == i).for_each(|(_, s)| typed.push_str(s));
            typed.push(match c {
                '0' if upper => 'O',
                '1' if upper => 'l',
                c if upper => c.to_ascii_uppercase(),
                c => c,
            });
        }
        prop_assert_eq!(typed.parse(), Ok(id));
    }

    #[test]
    fn any_single_wrong_character_is_refused(id in peer(), at in 0usize..58) {
        let text = id.to_string();
        for c in (0u8..128).map(char::from).chain(['é', '\u{200b}']) {
            if base32::symbol(c) == text[at..].chars().next().and_then(base32::symbol) {
                continue;
            }
            let mut typo = text.clone();
            typo.replace_range(at..=at, c.encode_utf8(&mut [0; 4]));
            prop_assert!(typo.parse::<PeerId>().is_err(), "{} for {}", typo, text);
        }
    }

    #[test]
    fn any_two_swapped_neighbours_are_refused(id in peer()) {
        let text = id.to_string().into_bytes();
        for at in 1..text.len() {
            let mut typo = text.clone();
            typo.swap(at - 1, at);
            let same = typo == text;
            prop_assert_eq!(String::from_utf8(typo).unwrap().parse::<PeerId>().is_ok(), same);
        }
    }

    #[test]
    fn ids_are_ordered_as_their_bytes(a in any::<[u8; 32]>(), b in any::<[u8; 32]>()) {
        prop_assert_eq!(PeerId::from_bytes(a).cmp(&PeerId::from_bytes(b)), a.cmp(&b));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>(), symbols in "[0-9a-tv-zA-TV-Z]{57,59}") {
        let _ = text.parse::<PeerId>();
        let _ = symbols.parse::<PeerId>();
    }
}
