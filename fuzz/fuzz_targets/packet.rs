#![no_main]
//! Heads of data packets: masked, unmasked, of any length; and the packet's opening.

use crust_proto::crypto::Aead;
use crust_proto::crypto::keys::TrafficSecret;
use crust_proto::crypto::mask::{MaskKey, MaskKind};
use crust_proto::crypto::pure::pure;
use crust_proto::wire::packet::{
    HEAD_LEN, Head, MAX_PACKET_NUMBER, MAX_PATH, MAX_SLOT, MIN_PACKET, mask, unmask,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for kind in [MaskKind::Aes256, MaskKind::ChaCha20] {
        let key = MaskKey::new(kind, &[7; 32]);
        let Ok(clear) = unmask(data, &key) else {
            assert!(data.len() < MIN_PACKET);
            continue;
        };
        let head = Head::decode(&clear);
        assert!(head.slot < MAX_SLOT && head.path < MAX_PATH && head.packet_number < MAX_PACKET_NUMBER);
        assert_eq!(head.encode(), clear);
        let mut again = data.to_vec();
        again[..HEAD_LEN].copy_from_slice(&clear);
        mask(&mut again, &key);
        assert_eq!(again, data);
    }
    let Some((rest, tag)) = data.split_last_chunk::<16>() else { return };
    let Some((head, body)) = rest.split_first_chunk::<HEAD_LEN>() else { return };
    for aead in [Aead::ChaCha20Poly1305, Aead::Aes256Gcm] {
        let key = TrafficSecret::new([9; 32]).packet_key(&*pure(), aead);
        let Head { path, packet_number, .. } = Head::decode(head);
        assert!(key.open(path, packet_number, head, &mut body.to_vec(), tag).is_err(), "a forgery");
        let mut sealed = body.to_vec();
        let tag = key.seal(path, packet_number, head, &mut sealed);
        key.open(path, packet_number, head, &mut sealed, &tag).expect("what was sealed opens");
        assert_eq!(sealed, body);
    }
});
