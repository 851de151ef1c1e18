#![no_main]
//! Records written by who has the key, then damaged; in pieces of any size.

use arbitrary::{Arbitrary, Unstructured};
use crust_fuzz::Damage;
use crust_proto::crypto::Aead;
use crust_proto::crypto::keys::TrafficSecret;
use crust_proto::crypto::pure::pure;
use crust_proto::wire::record::{
    FIRST_RECORD, MAX_RECORD, RECORD_OVERHEAD, RecordError, RecordReader, open_box, seal_record,
};
use libfuzzer_sys::fuzz_target;

const PATH: u32 = 5;

fuzz_target!(|data: &[u8]| {
    let u = &mut Unstructured::new(data);
    let Ok((aes, boxes_lie)) = <(bool, bool)>::arbitrary(u) else { return };
    let aead = if aes { Aead::Aes256Gcm } else { Aead::ChaCha20Poly1305 };
    let key = TrafficSecret::new([9; 32]).packet_key(&*pure(), aead);

    let mut written = Vec::new();
    let mut lens = Vec::new();
    while let Ok(shift @ 0..=16) = u.int_in_range(0..=20u32) {
        let Ok(len) = u.int_in_range(0..=(1usize << shift).min(MAX_RECORD - RECORD_OVERHEAD)) else { break };
        let begun = written.len();
        written.resize(begun + RECORD_OVERHEAD + len, 0x5a);
        let seal = |number, data: &mut [u8]| key.seal(PATH, number, &[], data);
        let number = FIRST_RECORD + lens.len() as u64;
        let sealed = seal_record(number, &mut written[begun..], len, seal);
        assert_eq!(sealed, Some(RECORD_OVERHEAD + len));
        lens.push(len);
        if lens.len() == 8 {
            break;
        }
    }
    let Ok(damage) = Damage::arbitrary(u) else { return };
    let whole = written.clone();
    damage.apply(&mut written);
    let alike = written.iter().zip(&whole).take_while(|(a, b)| a == b).count();
    let damaged = written != whole;

    let sizes: Vec<usize> =
        u.bytes(u.len()).unwrap_or_default().iter().map(|n| (usize::from(*n) + 1).pow(2)).collect();
    let mut sizes = sizes.iter().copied().chain([usize::MAX]).cycle();
    let mut reader = RecordReader::new();
    let (mut out, mut taken, mut end) = (Vec::new(), 0, None);
    let mut rest = &mut written[..];
    'stream: while !rest.is_empty() {
        let size = sizes.next().unwrap_or(1).min(rest.len());
        let (mut piece, others) = core::mem::take(&mut rest).split_at_mut(size);
        rest = others;
        loop {
            let open = |number, sealed: &_| {
                let opened = open_box(sealed, |data, tag| key.open(PATH, number, &[], data, tag));
                // A peer with the key may write any length.
                if boxes_lie { opened.map(|len| len << 9 | len) } else { opened }
            };
            match reader.next(&mut piece, open) {
                Ok(Some(mut record)) => {
                    let (number, tag) = (record.number, record.tag);
                    if key.open(PATH, number, &[], &mut record, &tag).is_err() {
                        end = Some(reader.fail(RecordError::Broken));
                        break 'stream;
                    }
                    assert!(record.iter().all(|byte| *byte == 0x5a) || record.is_empty());
                    assert_eq!(reader.held(), 0);
                    taken += RECORD_OVERHEAD + record.len();
                    out.push(record.len());
                }
                Ok(None) => break,
                Err(error) => {
                    end = Some(error);
                    break 'stream;
                }
            }
        }
        assert!(piece.is_empty() && reader.held() <= MAX_RECORD);
    }
    assert!(lens.starts_with(&out), "something was made up");
    assert!(boxes_lie || end != Some(RecordError::TooLong));
    if !boxes_lie {
        assert!(taken <= alike, "a damaged record opens");
        assert!(damaged || out == lens && end.is_none(), "what was written does not open");
    }
});
