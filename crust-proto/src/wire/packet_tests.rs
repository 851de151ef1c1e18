use super::*;
use crate::crypto::mask::MaskKind;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_head_reads_back(slot in 0..MAX_SLOT, check: u32, epoch: u8, path in 0..MAX_PATH,
                         packet_number in 0..MAX_PACKET_NUMBER) {
        let head = Head { slot, check, epoch, path, packet_number };
        prop_assert_eq!(Head::decode(&head.encode()), head);
    }

    #[test]
    fn a_masked_head_unmasks_with_the_same_key_only(
        mut datagram in prop::collection::vec(any::<u8>(), MIN_PACKET..200),
        key: [u8; 32],
        other: [u8; 32],
        aes: bool,
    ) {
        let kind = if aes { MaskKind::Aes256 } else { MaskKind::ChaCha20 };
        let clear: [u8; 16] = *datagram.first_chunk().unwrap();
        mask(&mut datagram, &MaskKey::new(kind, &key));
        prop_assert_eq!(unmask(&datagram, &MaskKey::new(kind, &key)), Ok(clear));
        prop_assume!(key != other);
        prop_assert_ne!(unmask(&datagram, &MaskKey::new(kind, &other)), Ok(clear));
    }
}

#[test]
fn what_is_shorter_than_a_packet_is_malformed() {
    let key = MaskKey::new(MaskKind::ChaCha20, &[1; 32]);
    for len in 0..MIN_PACKET {
        assert_eq!(unmask(&vec![0; len], &key), Err(Malformed));
    }
}
