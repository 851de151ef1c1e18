#![no_main]
//! Any sequence of inputs, calls and damaged datagrams, with real cryptography: what gets through is genuine.

use crust_fuzz::World;
use crust_proto::crypto::pure::pure;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    World::new(pure()).play(data);
});
