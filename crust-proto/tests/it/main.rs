//! Whole nodes against each other, over a network in memory.

mod net;

mod app;
mod clocks;
mod configuration;
mod datagrams;
mod determinism;
mod endings;
mod handshake;
mod hardware;
mod hostile;
mod messages;
mod migration;
mod purity;
mod restart;
mod session;
mod sockets;
mod streams;
mod uniformity;
