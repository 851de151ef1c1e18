#![no_main]
//! Lists of type, length and value, and the addresses in them.

use crust_proto::wire::codec::Reader;
use crust_proto::wire::tlv::{TlvWriter, put_addr, read_addr, read_addrs, tlvs};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let entries: Result<Vec<_>, _> = tlvs(data).collect();
    if let Ok(entries) = entries {
        let mut out = Vec::new();
        let mut w = TlvWriter::new(&mut out);
        entries.iter().for_each(|(kind, value)| w.put(*kind, value));
        w.finish().expect("what was read can be written");
        let again: Vec<_> = tlvs(&out).map(|entry| entry.expect("well-formed")).collect();
        assert_eq!(entries, again);
    }
    if let Ok(addr) = read_addr(&mut Reader::new(data)) {
        let mut out = Vec::new();
        put_addr(&mut out, addr);
        assert_eq!(read_addr(&mut Reader::new(&out)), Ok(addr));
    }
    if let Ok(addrs) = read_addrs(data, 5) {
        assert!(addrs.len() <= 5);
    }
});
