//! Every property of a NAT on a switch of its own.
//!
//! A [`NatConfig`] says what a box does; [`Kind`](crate::Kind) has the combinations that people know by name. Where
//! UDP and TCP may differ ([RFC 4787] for the one, [RFC 5382] for the other) there are two [`Rules`].
//!
//! [RFC 4787]: https://www.rfc-editor.org/rfc/rfc4787
//! [RFC 5382]: https://www.rfc-editor.org/rfc/rfc5382

use crust_proto::Duration;

/// What a mapping depends on: when one internal endpoint keeps its external endpoint (RFC 4787 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mapping {
    /// The same external endpoint towards everybody.
    EndpointIndependent,
    /// One external endpoint for each remote address.
    AddressDependent,
    /// One external endpoint for each remote address and port: “symmetric”.
    AddressAndPortDependent,
}

/// Who may send to a mapping from outside (RFC 4787 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filtering {
    /// Everybody.
    EndpointIndependent,
    /// Every port of an address that was sent to.
    AddressDependent,
    /// The endpoint that was sent to.
    AddressAndPortDependent,
}

/// What becomes of a packet from inside to an external endpoint of the same box (RFC 4787 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hairpin {
    /// It is dropped.
    No,
    /// It is delivered with the sender's internal address: the answer then goes past the NAT.
    InternalSource,
    /// It is delivered with the sender's external address and port, as REQ-9 (a) asks.
    ExternalSource,
}

/// Which packets lengthen the life of a mapping (RFC 4787 §4.3, REQ-6). One from outside that doesn't may still come in
/// and make an entry, which outlives none that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refresh {
    /// Those from inside: what REQ-6 asks for at least.
    Outbound,
    /// Those from outside.
    Inbound,
    /// All.
    Both,
}

/// The answer to a packet from outside that nobody inside asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// None.
    Silence,
    /// A TCP reset, at once or after [`NatConfig::hold_syn`]; nothing to UDP.
    Rst,
    /// An ICMP “port unreachable”, likewise.
    Icmp,
    /// The router's own stack takes it. Over UDP that leaves an entry which holds the port against that sender:
    /// a later mapping of the port towards them has to move, and a punch that came too early has spoilt the
    /// next. Over TCP the stack, which has no listener, answers with RST, and an RST to an unreplied SYN removes
    /// the entry at once. A firewall without translation lets the packet through.
    Accept,
}

/// What holds for one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// When an internal endpoint keeps its external one.
    pub mapping: Mapping,
    /// Who may send to it.
    pub filtering: Filtering,
    /// Whether hosts behind the box reach each other by external addresses.
    pub hairpin: Hairpin,
    /// What refreshes it.
    pub refresh: Refresh,
    /// What strangers hear.
    pub unsolicited: Answer,
}

/// What a port-preserving NAT does where the port is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collision {
    /// The next free port above it.
    NextFree,
    /// A random free port.
    Random,
    /// Both use it, as long as they talk to different remote endpoints; only where two would be one on the wire, the
    /// later gets a random port for that remote endpoint. So does Linux, whose mapping is endpoint-independent until
    /// then (“port overloading”, RFC 4787 §4.2.1, which forbids it).
    Overload,
}

/// How external ports are chosen (RFC 4787 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Allocation {
    /// The internal port where it can be had.
    Preserving(Collision),
    /// Each new mapping a fixed distance after the last one, whichever host or protocol it is for.
    Sequential {
        /// The first port; a random one if `None`.
        start: Option<u16>,
        /// From one to the next; may be negative. Zero counts as one.
        step: i32,
    },
    /// Any free port.
    Random,
    /// Each inside host has blocks of its own, and random ports within (RFC 6888 REQ-14, RFC 7422, RFC 7753).
    Chunked {
        /// Ports in a block. Zero counts as one.
        size: u16,
        /// Blocks that one host can have.
        blocks: u8,
    },
}

/// How a box with several external addresses shares them out (RFC 4787 §4.1, REQ-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pooling {
    /// An inside host keeps one while it has mappings.
    Paired,
    /// Each mapping gets any.
    Arbitrary,
}

/// How long an entry lives without a packet that refreshes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// UDP, packets in one direction only.
    pub udp_unreplied: Duration,
    /// UDP, packets in both directions (RFC 4787 REQ-5: two minutes at least).
    pub udp_replied: Duration,
    /// TCP, until both sides have acknowledged (RFC 5382 REQ-5, “transitory”: four minutes at least).
    pub tcp_opening: Duration,
    /// TCP, established (RFC 5382 REQ-5: two hours and four minutes at least).
    pub tcp_established: Duration,
    /// TCP, after the first FIN or an RST (RFC 5382 REQ-5, “transitory”).
    pub tcp_closing: Duration,
}

impl Lifetimes {
    /// The least that RFC 4787 REQ-5 and RFC 5382 REQ-5 allow.
    pub const RFC: Self = Self {
        udp_unreplied: Duration::from_secs(120),
        udp_replied: Duration::from_secs(120),
        tcp_opening: Duration::from_secs(240),
        tcp_established: Duration::from_secs(2 * 3600 + 240),
        tcp_closing: Duration::from_secs(240),
    };
    /// Linux's defaults (nf_conntrack-sysctl: `udp_timeout`, `udp_timeout_stream`, `tcp_timeout_syn_sent`,
    /// `tcp_timeout_established`, `tcp_timeout_fin_wait`).
    pub const LINUX: Self = Self {
        udp_unreplied: Duration::from_secs(30),
        udp_replied: Duration::from_secs(120),
        tcp_opening: Duration::from_secs(120),
        tcp_established: Duration::from_secs(5 * 24 * 3600),
        tcp_closing: Duration::from_secs(120),
    };
}

/// What goes when a table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Full {
    /// The newcomer: its packet is dropped.
    Refuse,
    /// The entry that would have expired first.
    Evict,
}

/// Bounds on the table. An entry is one internal endpoint talking to one remote endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries in all.
    pub entries: usize,
    /// Entries of one inside address (RFC 6888 REQ-4).
    pub per_host: usize,
    /// What goes when either is reached.
    pub full: Full,
}

/// All that a NAT does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatConfig {
    /// The rules for UDP (RFC 4787).
    pub udp: Rules,
    /// The rules for TCP (RFC 5382).
    pub tcp: Rules,
    /// How ports are chosen.
    pub allocation: Allocation,
    /// The ports to choose from, lowest and highest, from 1 on. A preserved port may lie outside. [`Nat::new`] and
    /// [`Nat::set_config`] refuse a range that has none.
    ///
    /// [`Nat::new`]: super::Nat::new
    /// [`Nat::set_config`]: super::Nat::set_config
    pub ports: (u16, u16),
    /// Even ports map to even ports, odd ones to odd ones (RFC 4787 §4.2.2, REQ-4).
    pub parity: bool,
    /// How external addresses are shared out.
    pub pooling: Pooling,
    /// How long entries live.
    pub lifetimes: Lifetimes,
    /// How many there can be.
    pub limits: Limits,
    /// How long a SYN from outside that nobody asked for waits for an [`Answer::Rst`] or [`Answer::Icmp`]; zero: not at
    /// all. RFC 5382 REQ-4 asks for six seconds at least, and that nothing is said where a SYN for the same
    /// connection goes out meanwhile.
    pub hold_syn: Duration,
    /// A TCP connection is taken up in the middle, as Linux does by default (`nf_conntrack_tcp_loose`): what a
    /// connection needs to outlive a restart of the box.
    pub tcp_loose: bool,
    /// No UDP passes.
    pub udp_blocked: bool,
}

impl NatConfig {
    /// The rules for a protocol.
    pub const fn rules(&self, protocol: crate::Protocol) -> &Rules {
        match protocol {
            crate::Protocol::Udp => &self.udp,
            crate::Protocol::Tcp => &self.tcp,
        }
    }

    /// Changes the rules of both protocols.
    #[must_use]
    pub fn both(mut self, change: impl Fn(&mut Rules)) -> Self {
        change(&mut self.udp);
        change(&mut self.tcp);
        self
    }

    /// Panics where there is no port to choose from.
    #[track_caller]
    pub(super) fn check(&self) {
        let (low, high) = self.ports;
        assert!(low > 0 && low <= high, "ports are {low} to {high}, expected two from 1 on, the lower first");
    }
}

impl Default for NatConfig {
    /// As Linux `masquerade` with its usual firewall: a “port-restricted cone”.
    fn default() -> Self {
        let rules = Rules {
            mapping: Mapping::EndpointIndependent,
            filtering: Filtering::AddressAndPortDependent,
            hairpin: Hairpin::No,
            refresh: Refresh::Both,
            unsolicited: Answer::Silence,
        };
        Self {
            udp: rules,
            tcp: rules,
            allocation: Allocation::Preserving(Collision::Overload),
            ports: (1024, u16::MAX),
            parity: false,
            pooling: Pooling::Paired,
            lifetimes: Lifetimes::LINUX,
            limits: Limits { entries: 65_536, per_host: 65_536, full: Full::Refuse },
            hold_syn: Duration::ZERO,
            tcp_loose: true,
            udp_blocked: false,
        }
    }
}
