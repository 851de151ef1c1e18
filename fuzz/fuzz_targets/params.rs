#![no_main]
//! Transport parameters: what decodes encodes to the same.

use crust_proto::handshake::params::Params;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(params) = Params::decode(data) else { return };
    let mut out = Vec::new();
    params.encode(&mut out);
    let again = Params::decode(&out).expect("what was encoded decodes");
    assert_eq!(format!("{again:?}"), format!("{params:?}"));
});
