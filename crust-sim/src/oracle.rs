//! What must be possible between two sites, from what they are: the judge over runs.
//!
//! Its life: a run tells it two [`Site`]s, [`between`] lists the [`Method`]s by which a direct path can come about, best
//! first, and the run is held to it. [`Method::is_certain`] ones must succeed, the others depend on luck (how many
//! mappings others make meanwhile, how many probes are spent); an empty list means that a relay is all there is.
//!
//! It shares no code with [`crate::nat`], not even the names of the classes: it knows the tables of what is published
//! and measured, the NATs know the rules of the RFCs, and tests hold the one against the other.
//!
//! What it says of UDP pairs is the table that follows from Ford, Srisuresh & Kegel (USENIX ATC 2005) and RFC 5128:
//!
//! | pair | method |
//! |---|---|
//! | EIM with EIM | plain |
//! | EDM with EIM that filters by nothing or by address | observed |
//! | EDM that filters by nothing with EDM that filters by nothing or by address | observed |
//! | EDM, sequential, with EIM that filters by endpoint | prediction, birthday |
//! | EDM, random, with EIM that filters by endpoint | birthday |
//! | EDM, sequential, with the same | prediction on both sides |
//! | other EDM with EDM | none |
//!
//! Of TCP it says what real kernels did: as for UDP, with SYNs and a listener beside them, but nothing by chance.

/// What a mapping depends on (RFC 4787 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mapping {
    /// Nothing: EIM.
    Independent,
    /// The remote address, or that and the port: EDM.
    Dependent,
}

/// Who is let in (RFC 4787 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filter {
    /// Everybody: EIF.
    Independent,
    /// Addresses that were sent to: ADF.
    Address,
    /// Endpoints that were sent to: APDF.
    AddressAndPort,
}

/// What can be said of the next external port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ports {
    /// The internal one, or there is no translation.
    Kept,
    /// A fixed distance after the last.
    Sequential,
    /// Nothing, or only the block that it is in.
    Random,
}

/// What a box does with one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// What its mappings depend on; a firewall's are independent.
    pub mapping: Mapping,
    /// Whom it lets in.
    pub filter: Filter,
    /// Whether what hosts behind it send to each other's external addresses comes back inside.
    pub hairpin: bool,
}

/// A box between a host and the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// What it does with UDP.
    pub udp: Behaviour,
    /// What it does with TCP.
    pub tcp: Behaviour,
    /// How it chooses ports, of both.
    pub ports: Ports,
}

/// Whether a site has IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ipv6 {
    /// No.
    Absent,
    /// Behind a stateful firewall.
    Filtered,
    /// Reachable by all.
    Open,
}

/// A site: a host and all that stands between it and the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The boxes that its IPv4 packets cross, the innermost first; none for an open address.
    pub gates: Vec<Gate>,
    /// No UDP passes.
    pub udp_blocked: bool,
    /// Its IPv6.
    pub ipv6: Ipv6,
    /// Its innermost box maps ports on request (UPnP, NAT-PMP, PCP); of use only where it is the only one.
    pub port_mapping: bool,
    /// The same number as another site's: the outermost boxes are one and the same.
    pub carrier: Option<u64>,
}

/// How a direct path comes about, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// One side has an open address: the other one's connection, and datagrams, arrive.
    Open,
    /// One side's router has mapped a port for it.
    PortMapping,
    /// Both have IPv6: datagrams or SYNs to the addresses that they have.
    Ipv6,
    /// Datagrams to the addresses told.
    PlainUdp,
    /// Datagrams to the source that the other side's come from.
    ObservedUdp,
    /// SYNs that cross, to the addresses told (RFC 5382 REQ-2), or to a listener behind an opened filter.
    TcpSimultaneousOpen,
    /// One side aims at the ports that a sequential NAT will use next.
    PredictedUdp,
    /// The same with SYNs.
    PredictedTcp,
    /// Both aim at the ports that the other's sequential NAT will use next.
    MutuallyPredictedUdp,
    /// The same with SYNs.
    MutuallyPredictedTcp,
    /// Many sockets on one side, many ports tried from the other: two meet by chance.
    BirthdayUdp,
}

impl Method {
    /// It succeeds if both sides do it right. The others need luck too.
    pub const fn is_certain(self) -> bool {
        match self {
            Self::Open
            | Self::PortMapping
            | Self::Ipv6
            | Self::PlainUdp
            | Self::ObservedUdp
            | Self::TcpSimultaneousOpen => true,
            Self::PredictedUdp
            | Self::PredictedTcp
            | Self::MutuallyPredictedUdp
            | Self::MutuallyPredictedTcp
            | Self::BirthdayUdp => false,
        }
    }
}

/// The methods by which two sites can get a direct path, best first. None: it is hopeless.
pub fn between(a: &Site, b: &Site) -> Vec<Method> {
    let udp = !a.udp_blocked && !b.udp_blocked;
    // By external addresses, two sites behind one box need its hairpin.
    let shared = a.carrier.is_some() && a.carrier == b.carrier;
    let outermost = if shared { a.gates.last() } else { None };
    let udp_returns = outermost.is_none_or(|gate| gate.udp.hairpin);
    let tcp_returns = outermost.is_none_or(|gate| gate.tcp.hairpin);
    let mut methods = Vec::new();
    if a.gates.is_empty() || b.gates.is_empty() {
        methods.push(Method::Open);
    }
    if maps_ports(a) || maps_ports(b) {
        methods.push(Method::PortMapping);
    }
    if a.ipv6 != Ipv6::Absent && b.ipv6 != Ipv6::Absent {
        methods.push(Method::Ipv6);
    }
    if udp && udp_returns {
        methods.extend(by_udp(Whole::of_udp(a), Whole::of_udp(b)));
    }
    if tcp_returns {
        methods.extend(by_tcp(Whole::of_tcp(a), Whole::of_tcp(b)));
    }
    methods.sort_unstable();
    methods
}

/// A router's mapping is reachable if no other box stands before it.
fn maps_ports(site: &Site) -> bool {
    site.port_mapping && site.gates.len() == 1 && site.carrier.is_none()
}

/// All boxes of a site as one, for one protocol.
#[derive(Clone, Copy)]
struct Whole {
    mapping: Mapping,
    filter: Filter,
    sequential: bool,
}

impl Whole {
    fn of_udp(site: &Site) -> Self {
        Self::of(&site.gates, |gate| gate.udp)
    }

    fn of_tcp(site: &Site) -> Self {
        Self::of(&site.gates, |gate| gate.tcp)
    }

    fn of(gates: &[Gate], protocol: impl Fn(&Gate) -> Behaviour) -> Self {
        // Every box must let a packet in, and one that maps dependently is enough to make the whole do so.
        let filter = gates.iter().map(|gate| protocol(gate).filter).max().unwrap_or(Filter::Independent);
        let dependent = gates.iter().position(|gate| protocol(gate).mapping == Mapping::Dependent);
        // A new port of that box is a new endpoint for those outside it: the outermost that doesn't keep it decides.
        let visible =
            dependent.and_then(|from| gates[from..].iter().rev().find(|gate| gate.ports != Ports::Kept));
        Self {
            mapping: if dependent.is_some() { Mapping::Dependent } else { Mapping::Independent },
            filter,
            sequential: visible.is_some_and(|gate| gate.ports == Ports::Sequential),
        }
    }

    fn independent(self) -> bool {
        self.mapping == Mapping::Independent
    }

    /// It lets in what comes from another port of an address that was sent to.
    fn lets_in_other_ports(self) -> bool {
        self.filter <= Filter::Address
    }
}

fn by_udp(a: Whole, b: Whole) -> Vec<Method> {
    match (a.independent(), b.independent()) {
        (true, true) => vec![Method::PlainUdp],
        (false, true) => dependent_with_independent(a, b),
        (true, false) => dependent_with_independent(b, a),
        (false, false) => {
            let reachable =
                |one: Whole, other: Whole| one.filter == Filter::Independent && other.lets_in_other_ports();
            if reachable(a, b) || reachable(b, a) {
                vec![Method::ObservedUdp]
            } else if a.sequential && b.sequential {
                vec![Method::MutuallyPredictedUdp]
            } else {
                Vec::new()
            }
        }
    }
}

fn dependent_with_independent(dependent: Whole, independent: Whole) -> Vec<Method> {
    if independent.lets_in_other_ports() {
        vec![Method::ObservedUdp]
    } else if dependent.sequential {
        vec![Method::PredictedUdp, Method::BirthdayUdp]
    } else {
        vec![Method::BirthdayUdp]
    }
}

fn by_tcp(a: Whole, b: Whole) -> Option<Method> {
    let (dependent, independent) = match (a.independent(), b.independent()) {
        (true, true) => return Some(Method::TcpSimultaneousOpen),
        (false, true) => (a, b),
        (true, false) => (b, a),
        (false, false) => {
            return (a.sequential && b.sequential).then_some(Method::MutuallyPredictedTcp);
        }
    };
    if independent.lets_in_other_ports() {
        Some(Method::TcpSimultaneousOpen)
    } else {
        dependent.sequential.then_some(Method::PredictedTcp)
    }
}

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod tests;
