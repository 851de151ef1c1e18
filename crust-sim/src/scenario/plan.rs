//! What a file describes, with names resolved to numbers.

use crust_proto::{Duration, Network, Priority};

use crate::SiteConfig;
use crate::kinds::Gate;
use crate::link::{Bursts, LinkConfig, Oversize};

/// A whole file.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) seed: Option<u64>,
    /// How much time of the world a run takes at most.
    pub(super) limit: Duration,
    /// Sites and public hosts in the order of the file.
    pub(super) places: Vec<Place>,
    pub(super) hosts: Vec<Host>,
    pub(super) nodes: Vec<Node>,
    pub(super) steps: Vec<Step>,
    /// What must hold at the end.
    pub(super) expect: Expect,
}

/// What hangs on the internet.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) kind: PlaceKind,
    /// The wire's direction from the internet, where it is another than the one to it.
    pub(super) down: Option<LinkConfig>,
}

#[derive(Clone, Debug)]
pub(super) enum PlaceKind {
    Site(Box<SiteConfig>),
    Public(LinkConfig),
}

/// A host, at a place.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) place: usize,
}

/// A node, on a host.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) host: usize,
    pub(super) network: Network,
    pub(super) port: u16,
    pub(super) settings: Vec<NodeSetting>,
}

/// Something that a node does otherwise than by default.
#[derive(Clone, Copy, Debug)]
pub(super) enum NodeSetting {
    KeepAlive(Option<Duration>),
    IdleTimeout(Duration),
    Linger(Duration),
    HandshakeTimeout(Duration),
    DatagramSize(u16),
    AcceptIncoming(bool),
}

impl NodeSetting {
    pub(super) fn set(self, config: &mut crust_proto::Config) {
        match self {
            Self::KeepAlive(every) => config.transport.keep_alive = every,
            Self::IdleTimeout(time) => config.transport.idle_timeout = time,
            Self::Linger(time) => config.transport.linger = time,
            Self::HandshakeTimeout(time) => config.handshake.timeout = time,
            Self::DatagramSize(size) => config.transport.datagram_size = size,
            Self::AcceptIncoming(accept) => config.accept_incoming = accept,
        }
    }
}

/// A property of a link.
#[derive(Clone, Copy, Debug)]
pub(super) enum LinkSetting {
    All(LinkConfig),
    Latency(Duration),
    Jitter(Duration),
    Rate(Option<u64>),
    Queue(usize),
    MarkAbove(Option<usize>),
    Loss(u32),
    Bursts(Option<Bursts>),
    Reorder(u32),
    ReorderBy(Duration),
    Duplicate(u32),
    Corrupt(u32),
    Mtu(u16),
    Oversize(Oversize),
    Up(bool),
}

impl LinkSetting {
    pub(super) fn set(self, config: &mut LinkConfig) {
        match self {
            Self::All(all) => *config = all,
            Self::Latency(time) => config.latency = time,
            Self::Jitter(time) => config.jitter = time,
            Self::Rate(rate) => config.rate = rate,
            Self::Queue(bytes) => config.queue = bytes,
            Self::MarkAbove(bytes) => config.mark_above = bytes,
            Self::Loss(share) => config.loss = share,
            Self::Bursts(bursts) => config.bursts = bursts,
            Self::Reorder(share) => config.reorder = share,
            Self::ReorderBy(time) => config.reorder_by = time,
            Self::Duplicate(share) => config.duplicate = share,
            Self::Corrupt(share) => config.corrupt = share,
            Self::Mtu(bytes) => config.mtu = bytes,
            Self::Oversize(what) => config.oversize = what,
            Self::Up(up) => config.up = up,
        }
    }
}

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Where it stands.
    pub(super) line: usize,
    /// Its name in the file.
    pub(super) verb: &'static str,
    pub(super) when: When,
    pub(super) action: Action,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    /// When the steps before it are done, and so much later.
    Turn { after: Duration, background: bool },
    /// At a time of the world.
    At(Duration),
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Connect {
        pair: Pair,
        both: bool,
        within: Option<Duration>,
        expect: Attempt,
    },
    Send {
        pair: Pair,
        load: Load,
        within: Option<Duration>,
        rate_at_least: Option<u64>,
        fails: bool,
    },
    Close {
        pair: Pair,
        code: u64,
        graceful: bool,
        within: Duration,
    },
    Ended {
        pair: Pair,
        reason: Option<End>,
        within: Option<Duration>,
    },
    Wait(Duration),
    Expect(Expect),
    /// Taken back after so long, where that is said.
    Fault(Fault, Option<Duration>),
}

/// From one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) from: usize,
    pub(super) to: usize,
}

/// What must come of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Connected,
    NoAnswer,
    NotMe,
    OtherNetwork,
    NoAddress,
    AnyFailure,
}

impl Attempt {
    pub(super) const NAMES: &[(&str, Self)] = &[
        ("connected", Self::Connected),
        ("no-answer", Self::NoAnswer),
        ("not-me", Self::NotMe),
        ("other-network", Self::OtherNetwork),
        ("no-address", Self::NoAddress),
        ("failure", Self::AnyFailure),
    ];
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Here,
    ByPeer,
    TimedOut,
    PeerRestarted,
}

impl End {
    pub(super) const NAMES: &[(&str, Option<Self>)] = &[
        ("here", Some(Self::Here)),
        ("by-peer", Some(Self::ByPeer)),
        ("timed-out", Some(Self::TimedOut)),
        ("peer-restarted", Some(Self::PeerRestarted)),
        ("any", None),
    ];
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Load {
    Streams { count: u32, bytes: u64 },
    Messages { count: u32, bytes: u64, priority: Priority },
    Datagrams { count: u32, bytes: u64, every: Duration, at_least: u32, wait: Duration },
}

/// What goes wrong, or right again.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    Link { wire: Wire, direction: Direction, change: Vec<LinkSetting> },
    Outage { wire: Wire, out: bool },
    Partition { place: usize, groups: Vec<Vec<Member>> },
    Reboot { place: usize, gate: Option<usize>, new_address: bool },
    Crash { host: usize, down: bool },
    Suspend { host: usize, asleep: bool },
    Unplug { host: usize, out: bool },
    JumpClock { host: usize, by: Duration, back: bool },
    SkewClock { host: usize, ppm: i32 },
    NewAddress { host: usize },
    Move { host: usize, place: usize },
    BlockUdp { place: usize, blocked: bool },
    Gate { place: usize, which: Which, rules: Box<Gate> },
}

/// Which gate of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// That for IPv4 with this number from inside, from 0.
    Nth(usize),
    /// The firewall before its IPv6.
    Ipv6,
}

/// A link that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// Of a site to the internet.
    Site(usize),
    /// Of a host: to the internet where it is public, to its LAN otherwise.
    Host(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
    Both,
}

/// Who is on a LAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Member {
    Host(usize),
    Gate,
}

/// What must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Expect {
    pub(super) connected: Vec<Pair>,
    pub(super) disconnected: Vec<Pair>,
    pub(super) lost_at_most: Option<u64>,
    pub(super) datagrams_at_most: Option<u64>,
    pub(super) datagrams_at_least: Option<u64>,
    pub(super) time_at_most: Option<Duration>,
}

impl Plan {
    pub(super) fn node(&self, node: usize) -> &str {
        &self.nodes[node].name
    }

    pub(super) fn place(&self, place: usize) -> &str {
        &self.places[place].name
    }

    pub(super) fn host(&self, host: usize) -> &str {
        &self.hosts[host].name
    }
}
