//! Whole nodes against each other, over a network in memory.
#![cfg_attr(
    not(crust_unmet),
    allow(dead_code, unused_imports, reason = "only the tests that are not met yet use it")
)]

mod net;

mod app;
mod datagrams;
mod determinism;
mod handshake;
mod hostile;
mod messages;
mod migration;
mod restart;
mod session;
mod sockets;
mod streams;
mod uniformity;
