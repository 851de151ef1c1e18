//! Links, sites, hosts and nodes out of a file.

use crust_proto::{Duration, Network};

use super::plan::{Host, LinkSetting, Node, NodeSetting, Place, PlaceKind};
use super::read::{Fault, Name, Read, Table, Value};
use crate::SiteConfig;
use crate::firewall::FirewallConfig;
use crate::kinds::{Gate, Kind};
use crate::link::{Bursts, LinkConfig, Oversize};
use crate::nat::{
    Allocation, Answer, Collision, Filtering, Full, Hairpin, Lifetimes, Limits, Mapping, NatConfig, Pooling,
    Refresh,
};
use crate::site::{MOST_HOSTS, MOST_SITES};

/// Nodes that a file may describe; each may be connected with each.
const MOST_NODES: usize = 64;
/// Hosts that a file may describe in all.
const MOST_IN_ALL: usize = 2000;
/// Boxes in a row before a site.
const MOST_GATES: usize = 16;
/// The longest delay of a link.
const LONGEST_DELAY: Duration = Duration::from_secs(60);
const SLOWEST: u64 = 1_000;
const FASTEST: u64 = 100_000_000_000;
/// The largest queue of a link, in bytes.
const LARGEST_QUEUE: u64 = 1 << 30;
/// The smallest packet that every link carries (RFC 791 §3.2).
const SMALLEST_MTU: u16 = 68;
/// The longest life of an entry in a table.
const LONGEST_LIFE: Duration = Duration::from_secs(100 * 86_400);
/// How long a SYN is kept back at most.
const LONGEST_HOLD: Duration = Duration::from_secs(3600);
/// The most entries in a table.
const MOST_ENTRIES: u32 = 1 << 20;

const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);

/// The keys of a link's table, and of a step that changes one.
pub(super) const LINK_KEYS: &[&str] = &[
    "latency",
    "jitter",
    "rate",
    "queue",
    "mark-above",
    "loss",
    "bursts",
    "reorder",
    "reorder-by",
    "duplicate",
    "corrupt",
    "mtu",
    "black-hole",
    "up",
];
pub(super) const SITE_KEYS: &[&str] = &["gates", "link", "down", "lan", "ipv6", "hosts"];
const HOST_KEYS: &[&str] = &["link", "down"];
pub(super) const NODE_KEYS: &[&str] = &[
    "host",
    "network",
    "port",
    "keep-alive",
    "idle-timeout",
    "linger",
    "handshake-timeout",
    "datagram-size",
    "accept-incoming",
];
pub(super) const FIREWALL_KEYS: &[&str] = &[
    "kind",
    "filtering",
    "refresh",
    "unsolicited",
    "lifetimes",
    "limits",
    "hold-syn",
    "tcp-loose",
    "udp-blocked",
];
pub(super) const NAT_KEYS: &[&str] = &[
    "kind",
    "mapping",
    "filtering",
    "hairpin",
    "refresh",
    "unsolicited",
    "allocation",
    "ports",
    "parity",
    "pooling",
    "lifetimes",
    "limits",
    "hold-syn",
    "tcp-loose",
    "udp-blocked",
];

/// What a file describes before anything happens.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) links: Links,
    pub(super) places: Vec<Place>,
    pub(super) hosts: Vec<Host>,
    pub(super) nodes: Vec<Node>,
}

/// Links by name.
#[derive(Debug, Default)]
pub(super) struct Links {
    names: Vec<String>,
    configs: Vec<LinkConfig>,
}

impl Links {
    /// A link by its name, or by its properties.
    pub(super) fn config(&self, value: Value<'_>) -> Read<LinkConfig> {
        if value.is_table() {
            return link(&value.table("a link", LINK_KEYS)?);
        }
        Ok(self.configs[value.named("link", &self.names)?])
    }
}

/// Reads the tables `link`, `site`, `host` and `node`.
pub(super) fn read(file: &Table<'_>) -> Read<World> {
    let mut world = World::default();
    for (name, value) in things(file, "link")? {
        world.links.configs.push(link(&value.table("a link", LINK_KEYS)?)?);
        world.links.names.push(name.check()?);
    }
    let mut places: Vec<(Name<'_>, Value<'_>, bool)> = Vec::new();
    places.extend(things(file, "site")?.into_iter().map(|(name, value)| (name, value, true)));
    places.extend(things(file, "host")?.into_iter().map(|(name, value)| (name, value, false)));
    places.sort_by_key(|(name, ..)| name.at);
    for (name, value, site) in places {
        if world.places.len() == usize::from(MOST_SITES) {
            return fault(name.at, format!("expected at most {MOST_SITES} sites and public hosts"));
        }
        let names = match site {
            true => world.site(name, value)?,
            false => world.public(name, value)?,
        };
        for (at, host) in names {
            if world.hosts.iter().any(|other| other.name == host) {
                return fault(at, format!("there is a host {host:?} already"));
            }
            if world.hosts.len() == MOST_IN_ALL {
                return fault(at, format!("expected at most {MOST_IN_ALL} hosts in all"));
            }
            world.hosts.push(Host { name: host, place: world.places.len() - 1 });
        }
    }
    for (name, value) in things(file, "node")? {
        if world.nodes.len() == MOST_NODES {
            return fault(name.at, format!("expected at most {MOST_NODES} nodes"));
        }
        world.node(name.check()?, value)?;
    }
    Ok(world)
}

fn fault<T>(at: usize, message: String) -> Read<T> {
    Err(Fault { at, message })
}

fn things<'a>(file: &Table<'a>, what: &'static str) -> Read<Vec<(Name<'a>, Value<'a>)>> {
    file.get(what).map_or(Ok(Vec::new()), |value| Ok(value.names(what)?.entries()))
}

impl World {
    /// A site; the names of its hosts, and where they stand.
    fn site(&mut self, name: Name<'_>, value: Value<'_>) -> Read<Vec<(usize, String)>> {
        let (at, name) = (name.at, name.check()?);
        let table = value.table("a site", SITE_KEYS)?;
        let gates = match table.get("gates") {
            None => Vec::new(),
            Some(value) if value.is_list() => {
                value.list("gates", 0..=MOST_GATES)?.into_iter().map(gate).collect::<Read<_>>()?
            }
            Some(value) => vec![gate(value)?],
        };
        let uplink = self.link(&table, "link")?.unwrap_or_default();
        let lan = self.link(&table, "lan")?.unwrap_or_default();
        let ipv6 = table.get("ipv6").map(ipv6).transpose()?.flatten();
        let kind = PlaceKind::Site(Box::new(SiteConfig { gates, uplink, lan, ipv6 }));
        self.places.push(Place { name: name.clone(), kind, down: self.link(&table, "down")? });
        match table.get("hosts") {
            None => Ok(vec![(at, name)]),
            Some(value) if value.is_list() => value
                .list("hosts", 1..=usize::from(MOST_HOSTS))?
                .into_iter()
                .map(|value| {
                    let name = Name { at: value.at, text: value.text("a host's name", usize::MAX)? };
                    Ok((name.at, name.check()?))
                })
                .collect(),
            Some(value) => match value.number("a number of hosts", 1..=MOST_HOSTS)? {
                1 => Ok(vec![(at, name)]),
                many => Ok((1..=many).map(|number| (at, format!("{name}-{number}"))).collect()),
            },
        }
    }

    /// A public host; its name, and where it stands.
    fn public(&mut self, name: Name<'_>, value: Value<'_>) -> Read<Vec<(usize, String)>> {
        let (at, name) = (name.at, name.check()?);
        let table = value.table("a host", HOST_KEYS)?;
        let link = self.link(&table, "link")?.unwrap_or_default();
        let down = self.link(&table, "down")?;
        self.places.push(Place { name: name.clone(), kind: PlaceKind::Public(link), down });
        Ok(vec![(at, name)])
    }

    fn link(&self, table: &Table<'_>, key: &str) -> Read<Option<LinkConfig>> {
        table.get(key).map(|value| self.links.config(value)).transpose()
    }

    fn node(&mut self, name: String, value: Value<'_>) -> Read<()> {
        let table = value.table("a node", NODE_KEYS)?;
        let hosts: Vec<String> = self.hosts.iter().map(|host| host.name.clone()).collect();
        let host = match (table.get("host"), hosts.iter().position(|host| *host == name)) {
            (None, Some(namesake)) => namesake,
            _ => table.need("host")?.named("host", &hosts)?,
        };
        let network = match table.get("network") {
            None => Network::default(),
            Some(value) => {
                let name = value.text("a network's name", usize::MAX)?;
                Network::new(name, None).or_else(|error| value.refuse(error.to_string()))?
            }
        };
        let port = table.get("port").map_or(Ok(0), |value| value.number("a port", 1..=u16::MAX))?;
        let time = |key: &str, low, high| table.get(key).map(|value| value.duration(low..=high)).transpose();
        let mut settings = Vec::new();
        if let Some(value) = table.get("keep-alive") {
            settings.push(NodeSetting::KeepAlive(unless(value, "never", |v| v.duration(SECOND..=DAY))?));
        }
        settings.extend(time("idle-timeout", SECOND, DAY)?.map(NodeSetting::IdleTimeout));
        settings.extend(time("linger", Duration::ZERO, DAY)?.map(NodeSetting::Linger));
        settings.extend(time("handshake-timeout", SECOND, DAY)?.map(NodeSetting::HandshakeTimeout));
        if let Some(value) = table.get("datagram-size") {
            settings.push(NodeSetting::DatagramSize(value.number("a size in bytes", 1200..=65_507)?));
        }
        if let Some(value) = table.get("accept-incoming") {
            settings.push(NodeSetting::AcceptIncoming(value.flag()?));
        }
        self.nodes.push(Node { name, host, network, port, settings });
        Ok(())
    }
}

/// `None` for that word.
fn unless<'a, T>(value: Value<'a>, word: &str, read: impl FnOnce(Value<'a>) -> Read<T>) -> Read<Option<T>> {
    if value.as_text() == Some(word) { Ok(None) } else { read(value).map(Some) }
}

fn link(table: &Table<'_>) -> Read<LinkConfig> {
    let mut config = LinkConfig::default();
    link_settings(table)?.into_iter().for_each(|setting| setting.set(&mut config));
    Ok(config)
}

/// The properties of a link that a table names.
pub(super) fn link_settings(table: &Table<'_>) -> Read<Vec<LinkSetting>> {
    let mut settings = Vec::new();
    for (key, value) in table.entries() {
        let time = || value.duration(Duration::ZERO..=LONGEST_DELAY);
        let bytes = || value.size(0..=LARGEST_QUEUE).map(|bytes| bytes as usize);
        settings.push(match key.text {
            "latency" => LinkSetting::Latency(time()?),
            "jitter" => LinkSetting::Jitter(time()?),
            "rate" => LinkSetting::Rate(unless(value, "unlimited", |v| v.rate(SLOWEST..=FASTEST))?),
            "queue" => LinkSetting::Queue(bytes()?),
            "mark-above" => LinkSetting::MarkAbove(unless(value, "never", |_| bytes())?),
            "loss" => LinkSetting::Loss(value.share()?),
            "bursts" => LinkSetting::Bursts(unless(value, "none", bursts)?),
            "reorder" => LinkSetting::Reorder(value.share()?),
            "reorder-by" => LinkSetting::ReorderBy(time()?),
            "duplicate" => LinkSetting::Duplicate(value.share()?),
            "corrupt" => LinkSetting::Corrupt(value.share()?),
            "mtu" => LinkSetting::Mtu(value.number("a size in bytes", SMALLEST_MTU..=u16::MAX)?),
            "black-hole" => LinkSetting::Oversize(match value.flag()? {
                true => Oversize::BlackHole,
                false => Oversize::TooBig,
            }),
            "up" => LinkSetting::Up(value.flag()?),
            _ => continue,
        });
    }
    Ok(settings)
}

fn bursts(value: Value<'_>) -> Read<Bursts> {
    let table = value.table("a table of bursts", &["enter", "leave", "loss"])?;
    let share = |key| table.need(key)?.share();
    Ok(Bursts { enter: share("enter")?, leave: share("leave")?, loss: share("loss")? })
}

// -- gates --

/// A gate by its kind's name, or by its properties.
fn gate(value: Value<'_>) -> Read<Gate> {
    if !value.is_table() {
        return Ok(kind(value)?.gate());
    }
    let table = value.table("a gate", NAT_KEYS)?;
    match table.get("kind").map_or(Ok(Kind::PortRestricted), kind)?.gate() {
        Gate::Nat(config) => Ok(Gate::Nat(nat(&table, config)?)),
        Gate::Firewall(config) => {
            let table = value.table("a firewall", FIREWALL_KEYS)?;
            Ok(Gate::Firewall(firewall(&table, config)?))
        }
    }
}

/// A gate with other rules: those that it has in the file, or those of another kind, but for the keys of a step.
pub(super) fn other_gate(table: &Table<'_>, own: Gate) -> Read<Gate> {
    let entries = table.entries();
    let mut named = entries.iter().filter(|(key, _)| NAT_KEYS.contains(&key.text)).peekable();
    if named.peek().is_none() {
        let message = "a step that changes a gate needs one of a gate's keys".to_owned();
        return Err(Fault { at: table.at(), message });
    }
    let base = table.get("kind").map_or(Ok(own), |value| Ok(kind(value)?.gate()))?;
    match (base, own) {
        (Gate::Nat(config), Gate::Nat(_)) => Ok(Gate::Nat(nat(table, config)?)),
        (Gate::Firewall(config), Gate::Firewall(_)) => {
            match named.find(|(key, _)| !FIREWALL_KEYS.contains(&key.text)) {
                Some((key, _)) => {
                    Err(Fault { at: key.at, message: format!("a firewall has no key `{}`", key.text) })
                }
                None => Ok(Gate::Firewall(firewall(table, config)?)),
            }
        }
        _ => table.need("kind")?.refuse("a NAT stays a NAT, and a firewall a firewall"),
    }
}

fn kind(value: Value<'_>) -> Read<Kind> {
    if let Some(kind) = value.as_text().and_then(|name| name.parse().ok()) {
        return Ok(kind);
    }
    value.choice("kind of gate", &Kind::ALL.map(|kind| (kind.name(), kind)))
}

/// The firewall before a site's IPv6; `None` where it has no IPv6.
fn ipv6(value: Value<'_>) -> Read<Option<FirewallConfig>> {
    if !value.is_table() {
        let words = [("none", None), ("open", Some(Kind::Open)), ("firewall", Some(Kind::Firewall))];
        return Ok(value.choice("state of IPv6", &words)?.map(of_kind));
    }
    let table = value.table("a firewall", FIREWALL_KEYS)?;
    let words = [("open", Kind::Open), ("firewall", Kind::Firewall)];
    let kind =
        table.get("kind").map_or(Ok(Kind::Firewall), |value| value.choice("kind of firewall", &words))?;
    firewall(&table, of_kind(kind)).map(Some)
}

fn of_kind(kind: Kind) -> FirewallConfig {
    if kind == Kind::Open { FirewallConfig::open() } else { FirewallConfig::default() }
}

const MAPPINGS: &[(&str, Mapping)] = &[
    ("endpoint-independent", Mapping::EndpointIndependent),
    ("address-dependent", Mapping::AddressDependent),
    ("address-and-port-dependent", Mapping::AddressAndPortDependent),
];
const FILTERS: &[(&str, Filtering)] = &[
    ("endpoint-independent", Filtering::EndpointIndependent),
    ("address-dependent", Filtering::AddressDependent),
    ("address-and-port-dependent", Filtering::AddressAndPortDependent),
];
const HAIRPINS: &[(&str, Hairpin)] = &[
    ("no", Hairpin::No),
    ("internal-source", Hairpin::InternalSource),
    ("external-source", Hairpin::ExternalSource),
];
const REFRESHES: &[(&str, Refresh)] =
    &[("outbound", Refresh::Outbound), ("inbound", Refresh::Inbound), ("both", Refresh::Both)];
const ANSWERS: &[(&str, Answer)] =
    &[("silence", Answer::Silence), ("rst", Answer::Rst), ("icmp", Answer::Icmp), ("accept", Answer::Accept)];
const POOLINGS: &[(&str, Pooling)] = &[("paired", Pooling::Paired), ("arbitrary", Pooling::Arbitrary)];
const COLLISIONS: &[(&str, Collision)] =
    &[("next-free", Collision::NextFree), ("random", Collision::Random), ("overload", Collision::Overload)];
const FULLS: &[(&str, Full)] = &[("refuse", Full::Refuse), ("evict", Full::Evict)];

fn nat(table: &Table<'_>, base: NatConfig) -> Read<NatConfig> {
    let mut config = base;
    let [udp, tcp] = [&mut config.udp, &mut config.tcp];
    per_protocol(table, "mapping", MAPPINGS, &mut udp.mapping, &mut tcp.mapping)?;
    per_protocol(table, "filtering", FILTERS, &mut udp.filtering, &mut tcp.filtering)?;
    per_protocol(table, "hairpin", HAIRPINS, &mut udp.hairpin, &mut tcp.hairpin)?;
    per_protocol(table, "refresh", REFRESHES, &mut udp.refresh, &mut tcp.refresh)?;
    per_protocol(table, "unsolicited", ANSWERS, &mut udp.unsolicited, &mut tcp.unsolicited)?;
    if let Some(value) = table.get("allocation") {
        config.allocation = allocation(value)?;
    }
    if let Some(value) = table.get("ports") {
        let ends = value.list("ports, the lowest and the highest", 2..=2)?;
        let [low, high] = [ends[0].number("a port", 1..=u16::MAX)?, ends[1].number("a port", 1..=u16::MAX)?];
        if low > high {
            return value.refuse("expected the lower port first");
        }
        config.ports = (low, high);
    }
    flag(table, "parity", &mut config.parity)?;
    if let Some(value) = table.get("pooling") {
        config.pooling = value.choice("pooling", POOLINGS)?;
    }
    lifetimes(table, &mut config.lifetimes)?;
    limits(table, &mut config.limits)?;
    hold_syn(table, &mut config.hold_syn)?;
    flag(table, "tcp-loose", &mut config.tcp_loose)?;
    flag(table, "udp-blocked", &mut config.udp_blocked)?;
    Ok(config)
}

fn firewall(table: &Table<'_>, base: FirewallConfig) -> Read<FirewallConfig> {
    let mut config = base;
    let [udp, tcp] = [&mut config.udp, &mut config.tcp];
    per_protocol(table, "filtering", FILTERS, &mut udp.filtering, &mut tcp.filtering)?;
    per_protocol(table, "refresh", REFRESHES, &mut udp.refresh, &mut tcp.refresh)?;
    per_protocol(table, "unsolicited", ANSWERS, &mut udp.unsolicited, &mut tcp.unsolicited)?;
    lifetimes(table, &mut config.lifetimes)?;
    limits(table, &mut config.limits)?;
    hold_syn(table, &mut config.hold_syn)?;
    flag(table, "tcp-loose", &mut config.tcp_loose)?;
    flag(table, "udp-blocked", &mut config.udp_blocked)?;
    Ok(config)
}

/// A word for both protocols, or a table with one for each.
fn per_protocol<T: Copy>(
    table: &Table<'_>,
    key: &'static str,
    words: &[(&str, T)],
    udp: &mut T,
    tcp: &mut T,
) -> Read<()> {
    let Some(value) = table.get(key) else { return Ok(()) };
    if !value.is_table() {
        *udp = value.choice(key, words)?;
        *tcp = *udp;
        return Ok(());
    }
    let table = value.table("a table by protocol", &["udp", "tcp"])?;
    for (protocol, rule) in [("udp", udp), ("tcp", tcp)] {
        if let Some(value) = table.get(protocol) {
            *rule = value.choice(key, words)?;
        }
    }
    Ok(())
}

fn allocation(value: Value<'_>) -> Read<Allocation> {
    let kinds: [(&str, &'static [&'static str]); 4] = [
        ("preserving", &["kind", "collision"]),
        ("sequential", &["kind", "start", "step"]),
        ("random", &["kind"]),
        ("chunked", &["kind", "size", "blocks"]),
    ];
    let words = kinds.map(|(name, keys)| (name, (name, keys)));
    let kind = match value.is_table() {
        true => value
            .table("an allocation", &["kind", "collision", "start", "step", "size", "blocks"])?
            .need("kind")?,
        false => value,
    };
    let (name, keys) = kind.choice("allocation", &words)?;
    let what = format!("an allocation that is {name}");
    let table = value.is_table().then(|| value.table(&what, keys)).transpose()?;
    let get = |key| table.and_then(|table| table.get(key));
    Ok(match name {
        "preserving" => Allocation::Preserving(
            get("collision").map_or(Ok(Collision::Overload), |v| v.choice("collision", COLLISIONS))?,
        ),
        "sequential" => Allocation::Sequential {
            start: get("start").map(|v| v.number("a port", 1..=u16::MAX)).transpose()?,
            step: get("step").map_or(Ok(1), |v| v.number("a step", -65_535..=65_535))?,
        },
        "chunked" => Allocation::Chunked {
            size: get("size").map_or(Ok(2048), |v| v.number("ports in a block", 1..=u16::MAX))?,
            blocks: get("blocks").map_or(Ok(1), |v| v.number("blocks", 1..=u8::MAX))?,
        },
        _ => Allocation::Random,
    })
}

fn lifetimes(table: &Table<'_>, lifetimes: &mut Lifetimes) -> Read<()> {
    let Some(value) = table.get("lifetimes") else { return Ok(()) };
    let fields = [
        ("udp-unreplied", &mut lifetimes.udp_unreplied),
        ("udp-replied", &mut lifetimes.udp_replied),
        ("tcp-opening", &mut lifetimes.tcp_opening),
        ("tcp-established", &mut lifetimes.tcp_established),
        ("tcp-closing", &mut lifetimes.tcp_closing),
    ];
    let table = value.table("a table of lifetimes", &fields.each_ref().map(|(key, _)| *key))?;
    for (key, field) in fields {
        if let Some(value) = table.get(key) {
            *field = value.duration(Duration::from_millis(1)..=LONGEST_LIFE)?;
        }
    }
    Ok(())
}

fn limits(table: &Table<'_>, limits: &mut Limits) -> Read<()> {
    let Some(value) = table.get("limits") else { return Ok(()) };
    let table = value.table("a table of limits", &["entries", "per-host", "full"])?;
    for (key, field) in [("entries", &mut limits.entries), ("per-host", &mut limits.per_host)] {
        if let Some(value) = table.get(key) {
            *field = value.number("a number of entries", 1..=MOST_ENTRIES)? as usize;
        }
    }
    if let Some(value) = table.get("full") {
        limits.full = value.choice("policy for a full table", FULLS)?;
    }
    Ok(())
}

fn hold_syn(table: &Table<'_>, time: &mut Duration) -> Read<()> {
    if let Some(value) = table.get("hold-syn") {
        *time = value.duration(Duration::ZERO..=LONGEST_HOLD)?;
    }
    Ok(())
}

fn flag(table: &Table<'_>, key: &str, flag: &mut bool) -> Read<()> {
    if let Some(value) = table.get(key) {
        *flag = value.flag()?;
    }
    Ok(())
}
