//! What stands on the wire, byte by byte, with no idea of who sends it or why.
//!
//! * [`codec`]: bounded cursors, variable-length integers
//! * [`ranges`]: sets of packet numbers and byte offsets
//! * [`tlv`]: lists that a later version may add to, and socket addresses
//! * [`frame`]: what packets carry
//! * [`packet`]: the masked head of a data packet
//! * [`stream`]: how a byte stream begins, where that carries packets
//! * [`record`]: how it goes on

pub mod codec;
pub mod frame;
pub mod packet;
pub mod ranges;
pub mod record;
pub mod stream;
pub mod tlv;
