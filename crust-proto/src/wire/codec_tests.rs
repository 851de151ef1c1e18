use super::*;
use proptest::prelude::*;

#[test]
fn varints_of_rfc_9000_appendix_a_1_decode() {
    let cases: [(&[u8], u64); 5] = [
        (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
        (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
        (&[0x7b, 0xbd], 15_293),
        (&[0x25], 37),
        (&[0x40, 0x25], 37),
    ];
    for (bytes, value) in cases {
        assert_eq!(Reader::new(bytes).varint(), Ok(value));
    }
}

#[test]
fn a_truncated_varint_is_malformed() {
    for bytes in [&[][..], &[0x40], &[0x80, 0, 0], &[0xc0, 0, 0, 0, 0, 0, 0]] {
        assert_eq!(Reader::new(bytes).varint(), Err(Malformed));
    }
}

#[test]
fn a_value_that_does_not_fit_writes_nothing_and_is_remembered() {
    let mut buf = [0u8; 3];
    let mut w = Writer::new(&mut buf);
    w.u16(7);
    w.u32(1);
    assert_eq!(w.len(), 2);
    assert_eq!(w.finish(), Err(Malformed));
    assert_eq!(buf, [0, 7, 0]);
}

proptest! {
    #[test]
    fn a_varint_reads_back_and_takes_as_long_as_promised(value in 0..=MAX_VARINT, shift in 0u32..62) {
        let value = value >> shift;
        let mut buf = [0u8; 8];
        let mut w = Writer::new(&mut buf);
        w.varint(value);
        let len = w.finish().unwrap();
        prop_assert_eq!(len, varint_len(value));
        prop_assert_eq!(Reader::new(&buf[..len]).varint(), Ok(value));
    }
}
