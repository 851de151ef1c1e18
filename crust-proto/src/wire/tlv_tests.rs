use super::*;
use core::net::SocketAddrV6;
use proptest::prelude::*;

fn kind() -> impl Strategy<Value = u64> {
    (0..=MAX_VARINT, 0u32..62).prop_map(|(kind, shift)| kind >> shift)
}

fn addr() -> impl Strategy<Value = SocketAddr> {
    any::<SocketAddr>().prop_map(canonical_addr)
}

proptest! {
    #[test]
    fn entries_read_back_in_the_order_in_which_they_were_written(
        entries in prop::collection::vec((kind(), prop::collection::vec(any::<u8>(), 0..200)), 0..12),
        before in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut out = before.clone();
        let mut w = TlvWriter::new(&mut out);
        for (kind, value) in &entries {
            w.put(*kind, value);
        }
        prop_assert_eq!(w.finish(), Ok(()));
        prop_assert_eq!(&out[..before.len()], &before);
        let read: Vec<_> = tlvs(&out[before.len()..]).map(|e| e.map(|(k, v)| (k, v.to_vec()))).collect();
        prop_assert_eq!(read, entries.into_iter().map(Ok).collect::<Vec<_>>());
    }

    #[test]
    fn a_number_is_written_as_the_bytes_of_its_varint(kind in kind(), number in kind()) {
        let mut out = Vec::new();
        TlvWriter::new(&mut out).put_varint(kind, number);
        let (k, value) = tlvs(&out).next().unwrap().unwrap();
        prop_assert_eq!(k, kind);
        prop_assert_eq!(varint_value(value), Ok(number));
        prop_assert_eq!(tlvs(&out).count(), 1);
    }

    #[test]
    fn a_list_that_ends_within_an_entry_ends_with_one_error(
        first in prop::collection::vec(any::<u8>(), 0..20),
        second in prop::collection::vec(any::<u8>(), 0..80),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut out = Vec::new();
        TlvWriter::new(&mut out).put(1, &first);
        let whole = out.len();
        TlvWriter::new(&mut out).put(2, &second);
        let cut = whole + 1 + cut.index(out.len() - whole - 1);
        let mut list = tlvs(&out[..cut]);
        prop_assert_eq!(list.next(), Some(Ok((1, &first[..]))));
        prop_assert_eq!(list.next(), Some(Err(Malformed)));
        prop_assert_eq!(list.next(), None);
        prop_assert_eq!(list.next(), None);
    }

    #[test]
    fn no_bytes_make_a_reader_panic_or_read_past_their_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let values: usize = tlvs(&bytes).flatten().map(|(_, value)| value.len()).sum();
        prop_assert!(values <= bytes.len());
        let _ = varint_value(&bytes);
        let _ = read_addrs(&bytes, 16);
    }

    #[test]
    fn addresses_read_back_and_take_as_long_as_promised(addrs in prop::collection::vec(addr(), 0..16)) {
        let mut out = Vec::new();
        let mut packet = [0u8; 16 * MAX_ADDR_LEN];
        let mut w = Writer::new(&mut packet);
        for addr in &addrs {
            put_addr(&mut out, *addr);
            write_addr(&mut w, *addr);
        }
        prop_assert_eq!(out.len(), addrs.iter().map(|a| addr_len(*a)).sum::<usize>());
        let len = w.finish().unwrap();
        prop_assert_eq!(&packet[..len], &out[..]);
        prop_assert_eq!(read_addrs(&out, addrs.len()), Ok(addrs));
    }
}

#[test]
fn what_has_no_encoding_is_left_out_whole_and_remembered() {
    let mut out = Vec::new();
    let mut w = TlvWriter::new(&mut out);
    w.put_varint(1, MAX_VARINT + 1);
    w.put_varint(MAX_VARINT + 1, 1);
    w.put(MAX_VARINT + 1, b"x");
    w.put(3, b"x");
    assert_eq!(w.finish(), Err(Malformed));
    assert_eq!(out, [3, 1, b'x']);
}

#[test]
fn a_second_value_of_a_single_type_is_malformed() {
    let mut slot = None;
    assert_eq!(set_once(&mut slot, 1), Ok(()));
    assert_eq!(set_once(&mut slot, 1), Err(Malformed));
}

#[test]
fn a_number_with_bytes_after_it_is_malformed() {
    assert_eq!(varint_value(&[7]), Ok(7));
    assert_eq!(varint_value(&[7, 0]), Err(Malformed));
    assert_eq!(varint_value(&[]), Err(Malformed));
}

#[test]
fn one_address_more_than_the_limit_is_malformed() {
    let mut out = Vec::new();
    for port in 1..=3 {
        put_addr(&mut out, SocketAddr::from(([192, 0, 2, 1], port)));
    }
    assert_eq!(read_addrs(&out, 3).map(|a| a.len()), Ok(3));
    assert_eq!(read_addrs(&out, 2), Err(Malformed));
}

#[test]
fn an_address_of_an_unknown_family_or_cut_short_is_malformed() {
    assert_eq!(read_addrs(&[5, 1, 2, 3, 4, 0, 80], 1), Err(Malformed));
    for addr in ["192.0.2.1:80", "[2001:db8::1]:80"] {
        let mut out = Vec::new();
        put_addr(&mut out, addr.parse().unwrap());
        for len in 1..out.len() {
            assert_eq!(read_addrs(&out[..len], 1), Err(Malformed), "{addr} cut to {len}");
        }
    }
}

#[test]
fn one_address_has_one_form_on_the_wire() {
    let plain = SocketAddr::from(([192, 0, 2, 1], 80));
    let mapped = SocketAddr::new(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().into(), 80);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    put_addr(&mut a, plain);
    put_addr(&mut b, mapped);
    assert_eq!(a, [4, 192, 0, 2, 1, 0, 80]);
    assert_eq!(a, b);

    // Sent by another implementation in the long form, it is still the same address.
    let mut long = vec![6];
    long.extend(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets());
    long.extend([0, 80]);
    assert_eq!(read_addr(&mut Reader::new(&long)), Ok(plain));

    let ip = "2001:db8::1".parse().unwrap();
    let mut scoped = Vec::new();
    put_addr(&mut scoped, SocketAddrV6::new(ip, 80, 7, 3).into());
    assert_eq!(read_addr(&mut Reader::new(&scoped)), Ok(SocketAddr::new(ip.into(), 80)));
}
