//! Ready-made boxes under the names that people know.
//!
//! The names are those of the kernel laboratory whose measurements the tests compare with (real Linux NATs in network
//! namespaces, kernel 6.18), so that a scenario can be played in both. [`Kind::gate`] gives the configuration, to be
//! changed at will.

use std::fmt;
use std::str::FromStr;

use crust_proto::Duration;

use crate::firewall::FirewallConfig;
use crate::nat::{
    Allocation, Answer, Collision, Filtering, Full, Hairpin, Lifetimes, Limits, Mapping, NatConfig, Rules,
};

/// The external port at which the laboratory's sequential NAT starts.
const SEQUENTIAL_START: u16 = 40_000;
/// How long the laboratory's cones keep a mapping: their maps know of no replies.
const CONE_LIFE: Duration = Duration::from_secs(120);
/// Ports in a carrier's block, and entries that a subscriber may have.
const CARRIER_BLOCK: u16 = 2048;
/// The median of UDP timeouts in carrier networks, fixed lines (Richter et al. 2016).
const CARRIER_UDP_LIFE: Duration = Duration::from_secs(35);

/// A kind of box between a site and the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// No translation, no filter: a public host.
    Open,
    /// No translation; only answers come in.
    Firewall,
    /// “Full cone”: one external endpoint, open to everybody.
    FullCone,
    /// “Address-restricted cone”: one external endpoint, open to addresses that were sent to.
    Restricted,
    /// “Port-restricted cone”: one external endpoint, open to endpoints that were sent to; as Linux `masquerade`, which
    /// lets two hosts share a port towards different destinations.
    PortRestricted,
    /// “Symmetric”: a random external port for each remote endpoint.
    Symmetric,
    /// The same with ports one after another, from 40000.
    SymmetricSequential,
    /// A random external port for each remote address, open to endpoints that were sent to.
    SymmetricAddress,
    /// A carrier's: one external endpoint, random in the subscriber's block of ports; open to endpoints that were sent
    /// to, as most are; hairpins (RFC 6888 REQ-9); short of entries and of patience.
    CarrierGrade,
    /// A port-restricted cone that answers strangers' SYNs with RST, which RFC 5382 REQ-4 forbids.
    TcpRst,
    /// A port-restricted cone whose own stack takes what nobody asked for: see [`Answer::Accept`].
    Poisoned,
    /// A port-restricted cone for TCP; no UDP.
    UdpBlocked,
}

/// What stands at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// A NAT.
    Nat(NatConfig),
    /// A firewall without translation.
    Firewall(FirewallConfig),
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Open,
        Self::Firewall,
        Self::FullCone,
        Self::Restricted,
        Self::PortRestricted,
        Self::Symmetric,
        Self::SymmetricSequential,
        Self::SymmetricAddress,
        Self::CarrierGrade,
        Self::TcpRst,
        Self::Poisoned,
        Self::UdpBlocked,
    ];

    /// Its name, as [`FromStr`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Firewall => "firewall",
            Self::FullCone => "full-cone",
            Self::Restricted => "restricted",
            Self::PortRestricted => "port-restricted",
            Self::Symmetric => "symmetric",
            Self::SymmetricSequential => "symmetric-seq",
            Self::SymmetricAddress => "symmetric-addr",
            Self::CarrierGrade => "carrier-grade",
            Self::TcpRst => "tcp-rst",
            Self::Poisoned => "poisoned",
            Self::UdpBlocked => "udp-blocked",
        }
    }

    /// What it is made of.
    pub fn gate(self) -> Gate {
        let linux = NatConfig::default();
        let cone = |filtering| NatConfig {
            // A known inside endpoint keeps its mapping; where two want one port, the later gets a random one.
            allocation: Allocation::Preserving(Collision::Random),
            lifetimes: Lifetimes { udp_unreplied: CONE_LIFE, udp_replied: CONE_LIFE, ..Lifetimes::LINUX },
            ..linux.both(|rules| rules.filtering = filtering)
        };
        let symmetric = |mapping, allocation| NatConfig {
            allocation,
            ..linux.both(|rules: &mut Rules| rules.mapping = mapping)
        };
        Gate::Nat(match self {
            Self::Open => return Gate::Firewall(FirewallConfig::open()),
            Self::Firewall => return Gate::Firewall(FirewallConfig::default()),
            Self::FullCone => cone(Filtering::EndpointIndependent),
            Self::Restricted => cone(Filtering::AddressDependent),
            Self::PortRestricted => linux,
            Self::Symmetric => symmetric(Mapping::AddressAndPortDependent, Allocation::Random),
            Self::SymmetricSequential => symmetric(
                Mapping::AddressAndPortDependent,
                Allocation::Sequential { start: Some(SEQUENTIAL_START), step: 1 },
            ),
            Self::SymmetricAddress => symmetric(Mapping::AddressDependent, Allocation::Random),
            Self::CarrierGrade => NatConfig {
                allocation: Allocation::Chunked { size: CARRIER_BLOCK, blocks: 1 },
                lifetimes: Lifetimes {
                    udp_unreplied: CARRIER_UDP_LIFE,
                    udp_replied: CARRIER_UDP_LIFE,
                    ..Lifetimes::RFC
                },
                limits: Limits { entries: 1 << 20, per_host: usize::from(CARRIER_BLOCK), full: Full::Refuse },
                ..linux.both(|rules| rules.hairpin = Hairpin::ExternalSource)
            },
            Self::TcpRst => linux.both(|rules| rules.unsolicited = Answer::Rst),
            Self::Poisoned => linux.both(|rules| rules.unsolicited = Answer::Accept),
            Self::UdpBlocked => NatConfig { udp_blocked: true, ..linux },
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no kind has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no kind {0:?}; there are {all}", all = Kind::ALL.map(Kind::name).join(", "))]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Reads a [`Kind::name`], or another name that is in use: `address-restricted`, `symmetric-sequential`,
    /// `symmetric-address`, `cgn`, `tcp-drop` (a port-restricted cone, which is silent to strangers' SYNs).
    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let by_name = Self::ALL.into_iter().find(|kind| kind.name() == name);
        by_name
            .or(match name {
                "address-restricted" => Some(Self::Restricted),
                "symmetric-sequential" => Some(Self::SymmetricSequential),
                "symmetric-address" => Some(Self::SymmetricAddress),
                "cgn" => Some(Self::CarrierGrade),
                "tcp-drop" => Some(Self::PortRestricted),
                _ => None,
            })
            .ok_or_else(|| UnknownKind(name.to_owned()))
    }
}
