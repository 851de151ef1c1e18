//! Short words for the tests of this folder.

use std::net::SocketAddr;

use crust_proto::{Duration, Instant};

use super::{Allocation, Collision, Filtering, Hairpin, Inbound, Nat, NatConfig, Outbound};
use crate::{Flow, Protocol, Rng, TcpFlags};

pub(super) const SYN: TcpFlags = TcpFlags { syn: true, ack: false, fin: false, rst: false };
pub(super) const SYN_ACK: TcpFlags = TcpFlags { syn: true, ack: true, fin: false, rst: false };
pub(super) const ACK: TcpFlags = TcpFlags { syn: false, ack: true, fin: false, rst: false };
pub(super) const FIN: TcpFlags = TcpFlags { syn: false, ack: true, fin: true, rst: false };
pub(super) const RST: TcpFlags = TcpFlags { syn: false, ack: false, fin: false, rst: true };

/// An internal endpoint, a remote one, and another port and another address of the remote one.
pub(super) const IN: &str = "192.168.1.11:5000";
pub(super) const IN2: &str = "192.168.1.12:5000";
pub(super) const OUT: &str = "203.0.113.2:3478";
pub(super) const OUT_PORT: &str = "203.0.113.2:3479";
pub(super) const OUT_ADDRESS: &str = "203.0.113.3:3478";
pub(super) const WAN: &str = "203.0.113.101";

pub(super) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn secs(n: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(n)
}

pub(super) fn nat(config: NatConfig) -> Nat {
    Nat::new(config, vec![WAN.parse().unwrap()], Rng::new(7))
}

pub(super) fn flow(protocol: Protocol, source: SocketAddr, destination: SocketAddr) -> Flow {
    Flow { protocol, source, destination }
}

/// A box with the verbs that tests want.
pub(super) trait Probe {
    /// Sends from inside and tells the external source.
    fn say(
        &mut self,
        protocol: Protocol,
        flags: Option<TcpFlags>,
        from: &str,
        to: &str,
        now: u64,
    ) -> SocketAddr;
    /// Sends from outside.
    fn hear(
        &mut self,
        protocol: Protocol,
        flags: Option<TcpFlags>,
        from: &str,
        to: SocketAddr,
        now: u64,
    ) -> Inbound;
    fn udp_out(&mut self, from: &str, to: &str, now: u64) -> SocketAddr {
        self.say(Protocol::Udp, None, from, to, now)
    }
    fn udp_in(&mut self, from: &str, to: SocketAddr, now: u64) -> Inbound {
        self.hear(Protocol::Udp, None, from, to, now)
    }
    fn tcp_out(&mut self, flags: TcpFlags, from: &str, to: &str, now: u64) -> SocketAddr {
        self.say(Protocol::Tcp, Some(flags), from, to, now)
    }
    fn tcp_in(&mut self, flags: TcpFlags, from: &str, to: SocketAddr, now: u64) -> Inbound {
        self.hear(Protocol::Tcp, Some(flags), from, to, now)
    }
}

impl Probe for Nat {
    fn say(
        &mut self,
        protocol: Protocol,
        flags: Option<TcpFlags>,
        from: &str,
        to: &str,
        now: u64,
    ) -> SocketAddr {
        match self.outbound(flow(protocol, at(from), at(to)), flags, secs(now)) {
            Outbound::Forward { source } => source,
            other => panic!("{from} to {to}: {other:?}"),
        }
    }

    fn hear(
        &mut self,
        protocol: Protocol,
        flags: Option<TcpFlags>,
        from: &str,
        to: SocketAddr,
        now: u64,
    ) -> Inbound {
        self.inbound(flow(protocol, at(from), to), flags, secs(now))
    }
}

pub(super) fn to(inside: &str) -> Inbound {
    Inbound::Forward { destination: at(inside) }
}

pub(super) fn cone(filtering: Filtering) -> NatConfig {
    NatConfig { allocation: Allocation::Preserving(Collision::Random), ..NatConfig::default() }
        .both(|rules| rules.filtering = filtering)
}

pub(super) fn hairpinning(hairpin: Hairpin) -> NatConfig {
    cone(Filtering::EndpointIndependent).both(|rules| rules.hairpin = hairpin)
}

pub(super) fn random() -> NatConfig {
    NatConfig { allocation: Allocation::Random, ..NatConfig::default() }
}

pub(super) const OPEN: Filtering = Filtering::EndpointIndependent;
pub(super) const STRICT: Filtering = Filtering::AddressAndPortDependent;
