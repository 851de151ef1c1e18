//! How two nodes that share a network become a session.
//!
//! The *initiator* sends a hello with the first Noise message to every address it knows of the peer, each copy
//! in an envelope of its own; the *responder* recognises the message, whatever envelope it comes in, and
//! answers every copy. Where the peer's id is known that is all (IK: the initiator has the keys when the
//! response arrives, the responder is sure of the initiator when its first packet opens). Where only an address
//! is known the initiator's identity follows in a third message (XX).
//!
//! * [`envelope`]: what it looks like on the wire
//! * [`params`]: what both sides tell each other
//! * [`replay`]: why no hello is taken twice
//! * [`rate`]: how often strangers are answered

pub mod envelope;
pub mod params;
pub mod rate;
pub mod replay;
