use super::*;
use crate::kernel;

fn gate(mapping: Mapping, filter: Filter, ports: Ports) -> Gate {
    let both = Behaviour { mapping, filter, hairpin: false };
    Gate { udp: both, tcp: both, ports }
}

fn site(gates: Vec<Gate>) -> Site {
    Site { gates, udp_blocked: false, ipv6: Ipv6::Absent, port_mapping: false, carrier: None }
}

fn cone(filter: Filter) -> Gate {
    gate(Mapping::Independent, filter, Ports::Kept)
}

fn symmetric(ports: Ports) -> Gate {
    gate(Mapping::Dependent, Filter::AddressAndPort, ports)
}

/// The laboratory's sites by their short names.
fn named(name: &str) -> Site {
    let restricted = cone(Filter::AddressAndPort);
    site(match name {
        "pub" => vec![],
        "fc" => vec![cone(Filter::Independent)],
        "rc" => vec![cone(Filter::Address)],
        "pr" | "fw" | "rst" | "acc" => vec![restricted],
        "sy" | "sya" => vec![symmetric(Ports::Random)],
        "seq" => vec![symmetric(Ports::Sequential)],
        "dbl" => vec![restricted, restricted],
        "dbS" => vec![restricted, symmetric(Ports::Random)],
        other => panic!("{other}"),
    })
}

/// The letter by which the laboratory would write the best UDP method that it tried.
fn letter(a: &Site, b: &Site) -> char {
    by_udp(Whole::of_udp(a), Whole::of_udp(b))
        .into_iter()
        .find_map(|method| match method {
            Method::PlainUdp => Some('Y'),
            Method::ObservedUdp => Some('y'),
            Method::PredictedUdp | Method::MutuallyPredictedUdp => Some('p'),
            // It tried no birthday attack.
            _ => None,
        })
        .unwrap_or('-')
}

/// The same for TCP.
fn tcp_letter(a: &Site, b: &Site) -> char {
    match by_tcp(Whole::of_tcp(a), Whole::of_tcp(b)) {
        Some(Method::TcpSimultaneousOpen) => 'y',
        Some(Method::PredictedTcp | Method::MutuallyPredictedTcp) => 'p',
        _ => '-',
    }
}

#[test]
fn it_agrees_with_what_real_kernels_did() {
    for (table, letter) in [(kernel::UDP, letter as fn(&Site, &Site) -> char), (kernel::TCP, tcp_letter)] {
        for (row, column, measured) in kernel::cells(table) {
            let (a, b) = (named(row), named(column));
            // One of the two ways in which TCP meets: the oracle asks for a listener always.
            let measured = if measured == 'Y' && table == kernel::TCP { 'y' } else { measured };
            assert_eq!(letter(&a, &b), measured, "{row} with {column}");
            assert_eq!(letter(&b, &a), measured, "{column} with {row}");
        }
    }
}

#[test]
fn it_agrees_with_the_published_table_of_pairs() {
    use Filter::{Address as Adf, AddressAndPort as Apdf, Independent as Eif};
    use Method::{BirthdayUdp, MutuallyPredictedUdp, ObservedUdp, PlainUdp, PredictedUdp};
    use Ports::{Random, Sequential};
    let eim = |filter| site(vec![cone(filter)]);
    let edm = |filter, ports| site(vec![gate(Mapping::Dependent, filter, ports)]);
    let udp = |a: &Site, b: &Site| by_udp(Whole::of_udp(a), Whole::of_udp(b));
    // “Which pairs can be punched over UDP”, row by row.
    for a in [Eif, Adf, Apdf] {
        for b in [Eif, Adf, Apdf] {
            assert_eq!(udp(&eim(a), &eim(b)), [PlainUdp], "EIM x EIM, any filter");
        }
        for ports in [Sequential, Random] {
            for b in [Eif, Adf] {
                assert_eq!(udp(&edm(a, ports), &eim(b)), [ObservedUdp], "EDM x EIM with EIF or ADF");
                assert_eq!(udp(&edm(Eif, ports), &edm(b, ports)), [ObservedUdp], "EDM/EIF x EDM, EIF or ADF");
            }
        }
    }
    assert_eq!(udp(&edm(Apdf, Sequential), &eim(Apdf)), [PredictedUdp, BirthdayUdp]);
    assert_eq!(udp(&edm(Apdf, Random), &eim(Apdf)), [BirthdayUdp]);
    assert_eq!(udp(&edm(Apdf, Sequential), &edm(Apdf, Sequential)), [MutuallyPredictedUdp]);
    // “No, no, open” and “relay”.
    assert_eq!(udp(&edm(Apdf, Sequential), &edm(Apdf, Random)), []);
    assert_eq!(udp(&edm(Apdf, Random), &edm(Apdf, Random)), []);
}

#[test]
fn the_outermost_box_that_does_not_keep_ports_decides_what_can_be_predicted() {
    let restricted = cone(Filter::AddressAndPort);
    let shuffling = gate(Mapping::Independent, Filter::AddressAndPort, Ports::Random);
    let other = site(vec![restricted]);
    let predicted = |gates: Vec<Gate>| letter(&site(gates), &other) == 'p';
    assert!(predicted(vec![symmetric(Ports::Sequential), restricted]));
    assert!(!predicted(vec![symmetric(Ports::Sequential), shuffling]));
    assert!(predicted(vec![symmetric(Ports::Random), symmetric(Ports::Sequential)]));
    assert!(predicted(vec![symmetric(Ports::Sequential), symmetric(Ports::Kept)]));
    assert!(!predicted(vec![symmetric(Ports::Sequential), symmetric(Ports::Random)]));
    // A box that maps independently and shuffles inside a sequential one hides nothing.
    assert!(predicted(vec![shuffling, symmetric(Ports::Sequential)]));
    // What counts inside the box that maps dependently is not what that box chooses by.
    let counting = gate(Mapping::Independent, Filter::AddressAndPort, Ports::Sequential);
    assert!(!predicted(vec![counting, symmetric(Ports::Kept)]));
}

/// UDP as by one box, TCP as by another.
fn mixed(udp: Gate, tcp: Gate, ports: Ports) -> Site {
    site(vec![Gate { udp: udp.udp, tcp: tcp.tcp, ports }])
}

#[test]
fn each_protocol_goes_by_its_own_mappings_and_filters() {
    use Method::{BirthdayUdp, ObservedUdp, PlainUdp, PredictedTcp, PredictedUdp, TcpSimultaneousOpen};
    let (strict, open) = (cone(Filter::AddressAndPort), cone(Filter::Independent));
    let dependent = symmetric(Ports::Random);
    let other = named("pr");
    assert_eq!(between(&mixed(strict, dependent, Ports::Random), &other), [PlainUdp]);
    assert_eq!(between(&mixed(dependent, strict, Ports::Random), &other), [TcpSimultaneousOpen, BirthdayUdp]);
    let counting = mixed(strict, dependent, Ports::Sequential);
    assert_eq!(between(&counting, &other), [PlainUdp, PredictedTcp]);
    let counting = mixed(dependent, strict, Ports::Sequential);
    assert_eq!(between(&counting, &other), [TcpSimultaneousOpen, PredictedUdp, BirthdayUdp]);
    // The filter too.
    assert_eq!(between(&mixed(open, strict, Ports::Kept), &named("sy")), [ObservedUdp]);
    assert_eq!(between(&mixed(strict, open, Ports::Kept), &named("sy")), [TcpSimultaneousOpen, BirthdayUdp]);
    // Of two boxes in a row each decides for its protocol.
    let [outer, inner] = [mixed(dependent, strict, Ports::Random), mixed(strict, dependent, Ports::Random)];
    let nested = site([inner.gates, outer.gates].concat());
    assert_eq!(between(&nested, &other), [BirthdayUdp]);
}

#[test]
fn without_udp_crossing_syns_join_what_plain_datagrams_would() {
    let blocked = |name| Site { udp_blocked: true, ..named(name) };
    assert_eq!(between(&blocked("pr"), &named("fw")), [Method::TcpSimultaneousOpen]);
    assert_eq!(between(&blocked("rc"), &named("sy")), [Method::TcpSimultaneousOpen]);
    assert_eq!(between(&blocked("pr"), &named("seq")), [Method::PredictedTcp]);
    assert_eq!(between(&blocked("pr"), &named("sy")), []);
    assert!(between(&blocked("sy"), &named("pub")).contains(&Method::Open));
    assert!(!between(&blocked("pr"), &named("pr")).contains(&Method::PlainUdp));
}

#[test]
fn a_mapped_port_serves_everybody_unless_another_box_stands_before_it() {
    let mapped = |name| Site { port_mapping: true, ..named(name) };
    assert!(between(&mapped("sy"), &named("sy")).contains(&Method::PortMapping));
    assert_eq!(between(&mapped("dbS"), &named("sy")), []);
    let behind_carrier = Site { carrier: Some(1), ..mapped("sy") };
    assert_eq!(between(&behind_carrier, &named("sy")), []);
}

#[test]
fn ipv6_on_both_sides_joins_what_nothing_else_does() {
    let with = |ipv6| Site { ipv6, ..named("sy") };
    assert_eq!(between(&with(Ipv6::Filtered), &with(Ipv6::Filtered)), [Method::Ipv6]);
    assert_eq!(between(&with(Ipv6::Open), &with(Ipv6::Filtered)), [Method::Ipv6]);
    assert_eq!(between(&with(Ipv6::Open), &with(Ipv6::Absent)), []);
    assert_eq!(between(&with(Ipv6::Absent), &with(Ipv6::Open)), []);
}

#[test]
fn behind_one_carrier_its_hairpin_decides_for_each_protocol() {
    for (udp, tcp) in [(false, false), (true, false), (false, true), (true, true)] {
        let behind = |carrier| {
            let mut one = named("dbl");
            one.carrier = Some(carrier);
            (one.gates[1].udp.hairpin, one.gates[1].tcp.hairpin) = (udp, tcp);
            one
        };
        let methods = between(&behind(1), &behind(1));
        assert_eq!(methods.contains(&Method::PlainUdp), udp);
        assert_eq!(methods.contains(&Method::TcpSimultaneousOpen), tcp);
        // Behind different ones nothing has to come back.
        assert!(between(&behind(1), &behind(2)).contains(&Method::PlainUdp));
    }
}

#[test]
fn both_sides_are_told_the_same() {
    let mut sites = Vec::new();
    for name in ["pub", "fc", "rc", "pr", "sy", "seq", "sya", "fw", "dbl", "dbS"] {
        sites.push(named(name));
        sites.push(Site { udp_blocked: true, ..named(name) });
        sites.push(Site { ipv6: Ipv6::Filtered, ..named(name) });
        sites.push(Site { port_mapping: true, ..named(name) });
    }
    for a in &sites {
        for b in &sites {
            assert_eq!(between(a, b), between(b, a), "{a:?} {b:?}");
        }
    }
}
