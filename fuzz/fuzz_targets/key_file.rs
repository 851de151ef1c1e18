#![no_main]
//! Key files that somebody edited.

use crust_proto::SecretKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    match SecretKey::from_key_file(text) {
        Ok(key) => {
            let again = SecretKey::from_key_file(&key.to_key_file()).expect("what was written can be read");
            assert_eq!(again.peer_id(), key.peer_id());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Some(bytes) = data.first_chunk::<32>() {
        let key = SecretKey::from_bytes(*bytes);
        let again = SecretKey::from_key_file(&key.to_key_file()).expect("what was written can be read");
        assert_eq!(again.peer_id(), key.peer_id());
    }
});
