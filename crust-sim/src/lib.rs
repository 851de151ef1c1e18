//! A world in a box: hosts, links, LANs, routers, NATs and firewalls, in virtual time and from one seed.
//!
//! Everything that happens in a world follows from its seed and from what the test does: the same seed gives the
//! same packets at the same instants, on every machine. Time stands still while anything can happen now and then
//! jumps to the next event, so that a simulated day costs as much as its packets do.
//!
//! # The rooms
//!
//! Imports go downwards.
//!
//! ```text
//! program  an async program written against crust-async, on an executor in virtual time
//! node     bare crust-proto engines on hosts of the world
//! ───────────────────────────────────────────────────────────────────────────────────
//! oracle   what must be possible between two sites     population   sites by measured shares
//! stun     a STUN server and the probes of RFC 5780     site   hosts behind NATs, in one call
//! ───────────────────────────────────────────────────────────────────────────────────
//! world    the heap and the clock; devices, what is plugged into what, routing, changes
//! host     a host's sockets: UDP, and TCP by smoltcp
//! nat      one NAT: mapping, filtering, allocation      firewall   the same without translation
//! link     what becomes of a packet between two ends
//! ───────────────────────────────────────────────────────────────────────────────────
//! packet   encoded IP packets: read, written, rewritten     flow   what headers tell     rng
//! ```
//!
//! Packets are encoded IP packets everywhere: links, NATs and hosts see what a wire would show, and nothing else.

#![forbid(unsafe_code)]

mod executor;
pub mod firewall;
pub mod flow;
pub mod host;
pub mod link;
pub mod nat;
pub mod oracle;
pub mod packet;
pub mod population;
pub mod program;
pub mod rng;
mod seeds;
pub mod site;
pub mod world;

pub use flow::{Flow, Protocol, TcpFlags};
pub use host::{
    ConnectOptions, HostEvent, HostId, HostStats, ListenerId, NetError, Received, SendOptions, TcpId,
    TcpState, UdpError, UdpId, UdpOptions,
};
pub use link::LinkConfig;
pub use nat::kinds::Kind;
pub use packet::{Ecn, IcmpKind, Packet};
pub use program::Sim;
pub use rng::Rng;
pub use seeds::seeds;
pub use site::{Internet, Site, SiteConfig};
pub use world::{InterfaceId, Middlebox, Power, Prefix, SegmentId, World};
