//! Whole nodes against each other, over a network in memory.

mod net;

mod app;
mod datagrams;
mod determinism;
mod handshake;
mod hardware;
mod hostile;
mod messages;
mod migration;
mod restart;
mod session;
mod sockets;
mod streams;
mod uniformity;
