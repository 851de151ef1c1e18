//! The library's answers in words: names for machines, short ones for tables.

use crust_sim::Kind;
use crust_sim::meeting::{TODAY, Way};
use crust_sim::oracle::Method;

/// A way's name.
pub(crate) const fn way(way: Way) -> &'static str {
    match way {
        Way::Udp => "udp",
        Way::Relay => "relay",
    }
}

/// A method's name.
pub(crate) const fn method(method: Method) -> &'static str {
    match method {
        Method::Open => "open",
        Method::PortMapping => "port-mapping",
        Method::Ipv6 => "ipv6",
        Method::PlainUdp => "plain-udp",
        Method::ObservedUdp => "observed-udp",
        Method::TcpSimultaneousOpen => "tcp-simultaneous-open",
        Method::PredictedUdp => "predicted-udp",
        Method::PredictedTcp => "predicted-tcp",
        Method::MutuallyPredictedUdp => "mutually-predicted-udp",
        Method::BirthdayUdp => "birthday-udp",
    }
}

/// A method's name, where there is little room.
pub(crate) const fn short_method(method: Method) -> &'static str {
    match method {
        Method::Open => "open",
        Method::PortMapping => "map",
        Method::Ipv6 => "ipv6",
        Method::PlainUdp => "plain",
        Method::ObservedUdp => "observ",
        Method::TcpSimultaneousOpen => "tcp",
        Method::PredictedUdp => "predic",
        Method::PredictedTcp => "predtc",
        Method::MutuallyPredictedUdp => "mutual",
        Method::BirthdayUdp => "birth",
    }
}

/// What a method that crust does not have yet is, in a few words.
pub(crate) const fn told(method: Method) -> &'static str {
    match method {
        // Over UDP it connects already.
        Method::Open => "TCP to an open address",
        Method::PortMapping => "a port that a router maps",
        Method::Ipv6 => "TCP over IPv6",
        Method::PlainUdp => "UDP punching to the addresses told",
        Method::ObservedUdp => "UDP punching back to where packets come from",
        Method::TcpSimultaneousOpen => "TCP by SYNs that cross",
        Method::PredictedUdp => "UDP punching to a predicted port",
        Method::PredictedTcp => "TCP by SYNs to a predicted port",
        Method::MutuallyPredictedUdp => "UDP punching to predicted ports on both sides",
        Method::BirthdayUdp => "UDP to many ports until two meet",
    }
}

/// What stands under every result: how far crust itself has come.
pub(crate) fn today() -> String {
    let names: Vec<&str> = TODAY.into_iter().map(method).collect();
    format!("Crust has today: {} (without NATs), all over UDP.", names.join(", "))
}

/// A kind's name, where there is little room.
pub(crate) const fn short_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Open => "open",
        Kind::Firewall => "fire",
        Kind::FullCone => "full",
        Kind::Restricted => "restr",
        Kind::PortRestricted => "port-r",
        Kind::Symmetric => "symm",
        Kind::SymmetricSequential => "sy-seq",
        Kind::SymmetricAddress => "sy-add",
        Kind::CarrierGrade => "cgn",
        Kind::TcpRst => "rst",
        Kind::Poisoned => "poison",
        Kind::UdpBlocked => "no-udp",
    }
}
