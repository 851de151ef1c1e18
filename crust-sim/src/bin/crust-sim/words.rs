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

/// A method's name: `PlainUdp` is `plain-udp`.
pub(crate) fn method(method: Method) -> String {
    let mut name = String::new();
    for c in format!("{method:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// The names of several.
pub(crate) fn methods(methods: &[Method]) -> Vec<String> {
    methods.iter().copied().map(method).collect()
}

/// A method's name in six characters at most: `plain`, `predic`, and `predtc` for the same over TCP.
pub(crate) fn short_method(which: Method) -> String {
    let name = method(which);
    match name.strip_suffix("-tcp") {
        Some(name) => name.chars().take(4).chain("tc".chars()).collect(),
        None if name.starts_with("tcp-") => "tcp".to_owned(),
        None => name.strip_suffix("-udp").unwrap_or(&name).chars().take(6).collect(),
    }
}

/// What a method that crust does not have yet is, in a few words.
pub(crate) fn told(which: Method) -> String {
    let words = match which {
        // Over UDP it connects already.
        Method::Open => "TCP to an open address",
        Method::Ipv6 => "TCP over IPv6",
        Method::PortMapping => "a port that a router maps",
        Method::PlainUdp => "UDP punching to the addresses told",
        Method::ObservedUdp => "UDP punching back to where packets come from",
        Method::TcpSimultaneousOpen => "TCP by SYNs that cross",
        Method::PredictedUdp => "UDP punching to a predicted port",
        Method::PredictedTcp => "TCP by SYNs to a predicted port",
        Method::BirthdayUdp => "UDP to many ports until two meet",
        _ => return method(which).replace('-', " "),
    };
    words.to_owned()
}

/// What stands under every result: how far crust itself has come.
pub(crate) fn today() -> String {
    format!("Crust has today: {} (without NATs), all over UDP.", methods(&TODAY).join(", "))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn methods_have_the_names_of_the_oracle_and_short_ones_that_differ() {
        let all = [
            (Method::Open, "open", "open"),
            (Method::PortMapping, "port-mapping", "port-m"),
            (Method::Ipv6, "ipv6", "ipv6"),
            (Method::PlainUdp, "plain-udp", "plain"),
            (Method::ObservedUdp, "observed-udp", "observ"),
            (Method::TcpSimultaneousOpen, "tcp-simultaneous-open", "tcp"),
            (Method::PredictedUdp, "predicted-udp", "predic"),
            (Method::PredictedTcp, "predicted-tcp", "predtc"),
            (Method::MutuallyPredictedUdp, "mutually-predicted-udp", "mutual"),
            (Method::BirthdayUdp, "birthday-udp", "birthd"),
        ];
        for (which, name, short) in all {
            assert_eq!((method(which).as_str(), short_method(which).as_str()), (name, short));
        }
    }

    #[test]
    fn the_columns_of_the_matrix_have_names_that_differ_and_fit() {
        let names: BTreeSet<&str> = Kind::ALL.into_iter().map(short_kind).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        assert!(names.iter().all(|name| name.len() <= 6));
    }
}
