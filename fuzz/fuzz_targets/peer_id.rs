#![no_main]
//! Peer ids as text that somebody typed, and as bytes.

use crust_proto::PeerId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(bytes) = data.first_chunk::<32>() {
        let id = PeerId::from_bytes(*bytes);
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        // A typo: another symbol in one place.
        if let (Some(&at), Some(&symbol)) = (data.get(32), data.get(33)) {
            let at = usize::from(at) % text.len();
            let mut typo = text.clone().into_bytes();
            typo[at] = symbol;
            if let Ok(typo) = String::from_utf8(typo)
                && let Ok(other) = typo.parse::<PeerId>()
            {
                assert_eq!(other, id, "{typo} was taken for another id");
            }
        }
    }
    if let Ok(text) = core::str::from_utf8(data) {
        match text.parse::<PeerId>() {
            Ok(id) => assert_eq!(id.to_string().parse(), Ok(id)),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
