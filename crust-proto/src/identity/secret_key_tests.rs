use super::*;
use proptest::prelude::*;

fn hex(text: &str) -> [u8; 32] {
    core::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

const COUNTING: &str = "crust-secret-000g40r40m30e209185gr38e1w8124gk2gahc5rr34d1p70x3rfgr8sfnq";

fn counting() -> [u8; 32] {
    core::array::from_fn(|i| u8::try_from(i).unwrap())
}

#[test]
fn the_peer_id_is_the_public_key_of_rfc_7748_section_6_1() {
    for (secret, public) in [
        (
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        ),
        (
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        ),
    ] {
        assert_eq!(SecretKey::from_bytes(hex(secret)).peer_id(), PeerId::from_bytes(hex(public)));
    }
}

#[test]
fn a_new_key_is_the_hash_of_the_entropy_under_a_label_of_its_own() {
    let key = SecretKey::from_entropy([7; 32]);
    assert_eq!(*key.expose(), hex("e70a2c63d4d4c7463a24cae16a1117839ac29e314f4666060112eb7f9d065398"));
}

#[test]
fn the_line_in_a_key_file_is_what_it_has_always_been() {
    let file = SecretKey::from_bytes(counting()).to_key_file();
    assert_eq!(file.lines().last(), Some(COUNTING));
    assert!(file.ends_with('\n'));
    assert_eq!(*SecretKey::from_key_file(COUNTING).unwrap().expose(), counting());
}

#[test]
fn a_key_file_may_have_comments_empty_lines_and_any_systems_line_endings() {
    for content in [
        format!("{COUNTING}\n"),
        format!("# mine\r\n\r\n  # and mine alone\r\n{COUNTING}\r\n\r\n"),
        format!("\u{feff}  {} \n# end", COUNTING.to_uppercase()),
    ] {
        assert_eq!(*SecretKey::from_key_file(&content).unwrap().expose(), counting(), "{content:?}");
    }
}

#[test]
fn what_is_no_key_file_is_refused_with_the_reason() {
    let error = |content: &str| SecretKey::from_key_file(content).unwrap_err();
    assert_eq!(error(""), KeyFileError::Empty);
    assert_eq!(error("# nothing\n\n"), KeyFileError::Empty);
    assert_eq!(error("# x\nssh-ed25519 AAAA"), KeyFileError::NotASecretKey { line: 2 });
    assert_eq!(error("crust040j1190y0"), KeyFileError::NotASecretKey { line: 1 });
    assert_eq!(error(&format!("{COUNTING}\n#\n{COUNTING}")), KeyFileError::Several { line: 3 });
    assert_eq!(
        error(&COUNTING[..COUNTING.len() - 1]),
        KeyFileError::WrongLength { line: 1, expected: 58, found: 57 }
    );
    assert_eq!(
        error(&format!("\n{}", COUNTING.replace("0m30", "0u30"))),
        KeyFileError::InvalidCharacter { line: 2, position: 23 }
    );
    assert_eq!(error(&COUNTING.replace("0m30", "0m31")), KeyFileError::Checksum { line: 1 });
}

proptest! {
    #[test]
    fn a_key_reads_back_from_its_file(bytes in any::<[u8; 32]>()) {
        let key = SecretKey::from_bytes(bytes);
        let file = key.to_key_file();
        // It never grew, so that it left no copy of itself behind.
        prop_assert_eq!(file.len(), file.capacity());
        let back = SecretKey::from_key_file(&file).unwrap();
        prop_assert_eq!(back.expose(), &bytes);
        prop_assert_eq!(back.peer_id(), key.peer_id());
        prop_assert!(file.contains(&key.peer_id().to_string()));
    }

    /// Two secrets whose files are damaged alike have the same error: so it tells nothing of either.
    #[test]
    fn neither_debug_nor_an_error_shows_any_of_the_secret(
        bytes in any::<[u8; 32]>(),
        others in any::<[u8; 32]>(),
        at in 13usize..71,
    ) {
        let keys = [bytes, others].map(SecretKey::from_bytes);
        for key in &keys {
            prop_assert_eq!(format!("{key:?}"), format!("SecretKey {{ peer: {:?}, .. }}", key.peer_id()));
        }
        for typo in ["", "u", "é"] {
            let [shown, other] = keys.each_ref().map(|key| {
                let mut damaged = key.to_key_file().lines().last().unwrap().to_owned();
                damaged.replace_range(at..=at, typo);
                let error = SecretKey::from_key_file(&damaged).unwrap_err();
                format!("{error} {error:?}")
            });
            prop_assert_eq!(shown, other);
        }
    }

    #[test]
    fn no_content_makes_the_reader_panic(content in any::<String>(), line in "crust-secret-[0-9a-tv-z]{57,59}") {
        let _ = SecretKey::from_key_file(&content);
        let _ = SecretKey::from_key_file(&line);
    }
}
