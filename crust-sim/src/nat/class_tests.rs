use super::testing::*;
use super::*;
use crate::kinds::{Gate, Kind};

const MAPPINGS: [Mapping; 3] =
    [Mapping::EndpointIndependent, Mapping::AddressDependent, Mapping::AddressAndPortDependent];
const FILTERINGS: [Filtering; 3] =
    [Filtering::EndpointIndependent, Filtering::AddressDependent, Filtering::AddressAndPortDependent];
const ALLOCATIONS: [Allocation; 7] = [
    Allocation::Preserving(Collision::NextFree),
    Allocation::Preserving(Collision::Random),
    Allocation::Sequential { start: None, step: 1 },
    Allocation::Sequential { start: Some(40_000), step: -3 },
    Allocation::Random,
    Allocation::Chunked { size: 512, blocks: 2 },
    Allocation::Preserving(Collision::Overload),
];

/// RFC 5780 §4.3: what three destinations see.
fn mapping_found(nat: &mut Nat, protocol: Protocol, flags: Option<TcpFlags>) -> Mapping {
    // The same port number is wanted by another host, or preservation would hide the dependence.
    let sources = [OUT, OUT_PORT, OUT_ADDRESS].map(|to| {
        nat.say(protocol, flags, "192.168.1.99:5000", to, 0);
        nat.say(protocol, flags, IN, to, 0)
    });
    match sources {
        [a, b, c] if a == b && b == c => Mapping::EndpointIndependent,
        [a, b, _] if a == b => Mapping::AddressDependent,
        _ => Mapping::AddressAndPortDependent,
    }
}

/// RFC 5780 §4.4: who can answer what was sent to one endpoint.
fn filtering_found(nat: &mut Nat, protocol: Protocol, flags: Option<TcpFlags>) -> Filtering {
    let external = nat.say(protocol, flags, IN, OUT, 0);
    if nat.hear(protocol, flags, OUT_ADDRESS, external, 0) == to(IN) {
        Filtering::EndpointIndependent
    } else if nat.hear(protocol, flags, OUT_PORT, external, 0) == to(IN) {
        Filtering::AddressDependent
    } else {
        assert_eq!(nat.hear(protocol, flags, OUT, external, 0), to(IN));
        Filtering::AddressAndPortDependent
    }
}

#[test]
fn the_class_that_probes_find_is_the_class_configured() {
    for mapping in MAPPINGS {
        for filtering in FILTERINGS {
            for allocation in ALLOCATIONS {
                for (protocol, flags) in [(Protocol::Udp, None), (Protocol::Tcp, Some(SYN))] {
                    let config = NatConfig { allocation, ..NatConfig::default() }.both(|rules| {
                        rules.mapping = mapping;
                        rules.filtering = filtering;
                    });
                    let case = format!("{mapping:?} {filtering:?} {allocation:?} {protocol:?}");
                    // Overloading decides for each remote endpoint, whatever the mapping is configured to be.
                    if allocation != Allocation::Preserving(Collision::Overload) {
                        // A port kept towards a second destination looks endpoint-independent to probes, so the
                        // dependence shows only where somebody else wants the port too.
                        assert_eq!(mapping_found(&mut nat(config), protocol, flags), mapping, "{case}");
                    }
                    assert_eq!(filtering_found(&mut nat(config), protocol, flags), filtering, "{case}");
                }
            }
        }
    }
}

#[test]
fn udp_and_tcp_have_rules_of_their_own() {
    let mut config = NatConfig { allocation: Allocation::Random, ..NatConfig::default() };
    config.tcp.mapping = Mapping::AddressAndPortDependent;
    config.tcp.filtering = Filtering::EndpointIndependent;
    assert_eq!(mapping_found(&mut nat(config), Protocol::Udp, None), Mapping::EndpointIndependent);
    assert_eq!(mapping_found(&mut nat(config), Protocol::Tcp, Some(SYN)), Mapping::AddressAndPortDependent);
    assert_eq!(filtering_found(&mut nat(config), Protocol::Udp, None), Filtering::AddressAndPortDependent);
    assert_eq!(filtering_found(&mut nat(config), Protocol::Tcp, Some(SYN)), Filtering::EndpointIndependent);
}

#[test]
fn each_kind_is_of_the_class_that_was_measured_of_its_namesake() {
    // From the laboratory's README, “What was measured here”: mapping, filtering and external port.
    let measured = "
        full-cone        EI  EI  kept
        restricted       EI  AD  kept
        port-restricted  EI  APD kept
        symmetric        APD APD random
        symmetric-seq    APD APD sequential
        symmetric-addr   AD  APD address";
    for line in measured.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Gate::Nat(config) = words[0].parse::<Kind>().unwrap().gate() else { panic!("{line}") };
        let class = |word| FILTERINGS[["EI", "AD", "APD"].iter().position(|&name| name == word).unwrap()];
        let mut one = nat(config);
        let seen = [OUT, OUT_PORT, OUT_ADDRESS].map(|to| one.udp_out(IN, to, 0));
        let found = match seen {
            [a, b, c] if a == b && b == c => "EI",
            [a, b, _] if a == b => "AD",
            _ => "APD",
        };
        assert_eq!(found, words[1], "{line}");
        assert_eq!(filtering_found(&mut nat(config), Protocol::Udp, None), class(words[2]), "{line}");
        let ports = seen.map(|external| external.port());
        match words[3] {
            "kept" => assert_eq!(ports, [5000; 3], "{line}"),
            "sequential" => assert_eq!(ports, [40_000, 40_001, 40_002], "{line}"),
            _ => assert!(ports[0] != 5000 && ports[0].abs_diff(ports[2]) > 1, "{line}: {ports:?}"),
        }
    }
}

#[test]
fn every_kind_is_read_by_its_name_and_others_are_named_in_the_error() {
    for kind in Kind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    for (name, kind) in [
        ("address-restricted", Kind::Restricted),
        ("symmetric-sequential", Kind::SymmetricSequential),
        ("symmetric-address", Kind::SymmetricAddress),
        ("cgn", Kind::CarrierGrade),
        ("tcp-drop", Kind::PortRestricted),
    ] {
        assert_eq!(name.parse(), Ok(kind));
    }
    let unknown = "half-cone".parse::<Kind>().unwrap_err().to_string();
    assert!(unknown.contains("half-cone") && unknown.contains("port-restricted"), "{unknown}");
}
