//! What a seed draws before anything happens: sites, wires, nodes, who talks to whom, how much, and what may go wrong.

use crust_proto::{Config, Duration, SecretKey};

use super::faults::Fault;
use crate::firewall::FirewallConfig;
use crate::kinds::{Gate, Kind};
use crate::link::LinkConfig;
use crate::meeting::TODAY;
use crate::nat::NatConfig;
use crate::oracle::{self, Method};
use crate::population::{Mix, Population, SiteProfile};
use crate::{HostId, InterfaceId, Internet, Rng, SegmentId, SiteConfig, World};

/// Where nodes listen that keep their port for life.
const FIXED_PORT: u16 = 4433;

/// Everything that was drawn, and where it stands in the world.
pub(super) struct Setting {
    pub(super) core: HostId,
    pub(super) places: Vec<Place>,
    /// Routers with their outside interfaces and the core's end of the wire, where there is one.
    pub(super) routers: Vec<Router>,
    pub(super) wires: Vec<Wire>,
    pub(super) lans: Vec<SegmentId>,
    pub(super) pairs: Vec<Pair>,
    pub(super) work: Work,
    pub(super) storm: Storm,
    /// The same in words.
    pub(super) lines: Vec<String>,
}

/// A host with a node.
pub(super) struct Place {
    pub(super) host: HostId,
    pub(super) name: String,
    /// The interface to its LAN or wire.
    pub(super) interface: InterfaceId,
    /// Which site it is in, counting up.
    site: usize,
    /// On a LAN, where it can get another address.
    pub(super) on_lan: bool,
    profile: oracle::Site,
    /// Whether a NAT stands before it.
    translated: bool,
    pub(super) node: NodeSetting,
}

/// A router and its way out.
pub(super) struct Router {
    pub(super) host: HostId,
    /// The outermost gate's interface to the internet, and the core's to it.
    pub(super) uplink: Option<(InterfaceId, InterfaceId)>,
}

/// One direction of a wire to the internet, and what it is when nothing is wrong.
pub(super) struct Wire {
    pub(super) interface: InterfaceId,
    pub(super) healthy: LinkConfig,
}

/// How a node is made.
#[derive(Clone)]
pub(super) struct NodeSetting {
    pub(super) port: Option<u16>,
    idle_timeout: Duration,
    keep_alive: Option<Duration>,
    key_update_after: Option<u64>,
    /// Windows and limits are this many bytes, or far above what is sent.
    window: Option<u64>,
    streams: u64,
}

/// Two places that want a connection, by their numbers.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    pub(super) places: [usize; 2],
    /// Who dials.
    pub(super) dials: [bool; 2],
    /// Whether they can be connected today.
    pub(super) possible: bool,
}

/// How much is sent.
#[derive(Clone, Copy)]
pub(super) struct Work {
    /// The longest stream or message.
    pub(super) most: u64,
    /// The longest pause.
    pub(super) pause: Duration,
    /// Shares of what is done, each from 0 on.
    pub(super) shares: [u64; 6],
}

/// What goes wrong, and how often.
pub(super) struct Storm {
    pub(super) lasts: Duration,
    /// The longest pause between two faults.
    pub(super) pause: Duration,
    /// The longest that one lasts.
    pub(super) most: Duration,
    /// What may happen, and how often it does beside the others.
    pub(super) faults: Vec<(Fault, u64)>,
}

impl NodeSetting {
    /// Changes a configuration to this one.
    pub(super) fn apply(&self, config: &mut Config, key: SecretKey) {
        config.secret_key = key;
        let transport = &mut config.transport;
        transport.idle_timeout = self.idle_timeout;
        transport.keep_alive = self.keep_alive;
        transport.key_update_after = self.key_update_after.unwrap_or(transport.key_update_after);
        transport.limits.max_streams_bi = self.streams;
        transport.limits.max_streams_uni = self.streams;
        if let Some(window) = self.window {
            transport.limits.max_data = window * 2;
            transport.limits.max_stream_data = window;
            transport.limits.max_message = window;
            transport.limits.message_window = window;
            transport.send_buffer = usize::try_from(window).unwrap_or(usize::MAX);
            transport.datagram_buffer = 2000;
        }
        if let Some(port) = self.port {
            config.listen = vec![([0, 0, 0, 0], port).into(), (std::net::Ipv6Addr::UNSPECIFIED, port).into()];
        }
    }
}

impl Setting {
    /// Draws it all and builds the world.
    pub(super) fn draw(world: &mut World) -> Self {
        let mut rng = world.rng("swarm setting", 0);
        let mut internet = Internet::new(world);
        let storm = Storm::draw(&mut rng);
        let work = Work::draw(&mut rng);
        let mut setting = Self {
            core: internet.core(),
            places: Vec::new(),
            routers: Vec::new(),
            wires: Vec::new(),
            lans: Vec::new(),
            pairs: Vec::new(),
            lines: vec![storm.to_string(), work.to_string()],
            work,
            storm,
        };
        let limits = rng.chance(300_000);
        for site in 0..2 + rng.below(4) as usize + if rng.chance(200_000) { 3 } else { 0 } {
            setting.site(site, limits, &mut internet, world, &mut rng);
        }
        setting.choose_pairs(&mut rng);
        setting
    }

    fn site(&mut self, site: usize, limits: bool, internet: &mut Internet, world: &mut World, rng: &mut Rng) {
        let wire = healthy(rng);
        // Without somebody who can be reached nothing would ever happen.
        if site == 0 || rng.chance(150_000) {
            let host = internet.host(world, wire);
            let interface = world.interfaces(host)[1];
            let core = internet.core();
            let at_core = *world.interfaces(core).last().unwrap_or(&interface);
            self.wires.extend([interface, at_core].map(|interface| Wire { interface, healthy: wire }));
            self.routers.push(Router { host, uplink: Some((interface, at_core)) });
            let profile = oracle::Site {
                gates: Vec::new(),
                udp_blocked: false,
                ipv6: oracle::Ipv6::Open,
                port_mapping: false,
                carrier: None,
            };
            let node = NodeSetting::draw(limits, rng);
            let name = format!("public {site}");
            self.lines.push(format!("{name}: {wire:?}; {node}"));
            self.places.push(Place {
                host,
                name,
                interface,
                site,
                on_lan: false,
                profile,
                translated: false,
                node,
            });
            return;
        }
        let drawn = Drawn::draw(rng);
        let config =
            SiteConfig { uplink: wire, gates: drawn.gates, lan: LinkConfig::default(), ipv6: drawn.ipv6 };
        let mut built = internet.site(world, &config);
        self.lans.push(built.lan);
        let ends = [built.uplink, built.downlink];
        self.wires.extend(ends.map(|interface| Wire { interface, healthy: wire }));
        let outermost = built.routers.len() - 1;
        for (at, host) in built.routers.iter().enumerate() {
            let uplink = (at == outermost).then_some((built.uplink, built.downlink));
            self.routers.push(Router { host: *host, uplink });
        }
        for nth in 0..1 + u64::from(rng.chance(250_000)) {
            let host = built.host(world);
            let interface = world.interfaces(host)[1];
            let node = NodeSetting::draw(limits, rng);
            let name = format!("site {site}.{nth} ({})", drawn.name);
            self.lines.push(format!("{name}: {wire:?}; {node}"));
            let (profile, translated) = (drawn.profile.clone(), drawn.translated);
            self.places.push(Place { host, name, interface, site, on_lan: true, profile, translated, node });
        }
    }

    /// Up to six pairs that can be connected, and two that can't.
    fn choose_pairs(&mut self, rng: &mut Rng) {
        let mut left = [6, 2];
        let count = self.places.len();
        let mut all: Vec<[usize; 2]> = (0..count).flat_map(|a| (a + 1..count).map(move |b| [a, b])).collect();
        while !all.is_empty() {
            let [a, b] = all.swap_remove(rng.below(all.len() as u64) as usize);
            let dials = self.possible(a, b);
            let left = &mut left[usize::from(dials.is_none())];
            if *left == 0 {
                continue;
            }
            *left -= 1;
            let both = rng.chance(200_000);
            let pair = Pair {
                places: [a, b],
                dials: dials.map_or([true, true], |[a, b]| [a || both, b || both]),
                possible: dials.is_some(),
            };
            let names = pair.places.map(|place| &self.places[place].name);
            let how = if pair.possible { format!("dials {:?}", pair.dials) } else { "hopeless today".into() };
            self.lines.push(format!("{} and {}: {how}", names[0], names[1]));
            self.pairs.push(pair);
        }
    }

    /// The number of the LAN that a place is plugged into.
    pub(super) fn lan_of(&self, place: usize, world: &World) -> Option<usize> {
        let segment = world.segment_of(self.places[place].interface)?;
        self.lans.iter().position(|lan| *lan == segment)
    }

    /// Whether two places can be connected today, and who must dial.
    fn possible(&self, a: usize, b: usize) -> Option<[bool; 2]> {
        let (a, b) = (&self.places[a], &self.places[b]);
        if a.site == b.site {
            return Some([true, false]);
        }
        if a.profile.udp_blocked || b.profile.udp_blocked {
            return None;
        }
        let untranslated = !a.translated && !b.translated;
        let method = oracle::between(&a.profile, &b.profile)
            .into_iter()
            .find(|method| TODAY.contains(method) && (*method != Method::PlainUdp || untranslated))?;
        Some(match method {
            Method::Open => [b.profile.gates.is_empty(), a.profile.gates.is_empty()],
            _ => [true, true],
        })
    }
}

/// A site before it is built.
struct Drawn {
    name: String,
    gates: Vec<Gate>,
    ipv6: Option<FirewallConfig>,
    profile: oracle::Site,
    translated: bool,
}

impl Drawn {
    fn draw(rng: &mut Rng) -> Self {
        if rng.chance(250_000) {
            let mix = if rng.chance(500_000) { Mix::A } else { Mix::B };
            return Self::of_population(Population::standard(mix).site(rng), mix);
        }
        let mut kinds = vec![pick(rng, &Kind::ALL)];
        while kinds.len() < 3 && rng.chance(250_000) {
            kinds.push(pick(rng, &Kind::ALL));
        }
        let gates: Vec<Gate> = kinds.iter().map(|kind| kind.gate()).collect();
        let udp_blocked = kinds.contains(&Kind::UdpBlocked);
        let ipv6 = rng.chance(300_000).then(|| {
            let open = rng.chance(300_000);
            let config = if open { FirewallConfig::open() } else { FirewallConfig::default() };
            FirewallConfig { udp_blocked, ..config }
        });
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        let nats: Vec<NatConfig> = gates.iter().filter_map(|gate| nat(*gate)).collect();
        // A firewall is told apart from a NAT by that alone, and an open one is no gate at all.
        let firewall = gates.iter().find_map(|gate| match gate {
            Gate::Firewall(config) if *config != FirewallConfig::open() => Some(*config),
            _ => None,
        });
        let translated = !nats.is_empty();
        let class = crate::population::Class::Home;
        let site = SiteProfile { class, nats, firewall, ipv6, port_mapping: false, noise_per_second: 0.0 };
        Self { name: names.join(" in "), gates, ipv6, profile: (&site).into(), translated }
    }

    fn of_population(site: SiteProfile, mix: Mix) -> Self {
        let nats = site.nats.iter().map(|config| Gate::Nat(*config));
        Self {
            name: format!("{:?} of {mix:?}", site.class),
            gates: nats.chain(site.firewall.map(Gate::Firewall)).collect(),
            ipv6: site.ipv6,
            // Nobody asks a router for a port yet.
            profile: oracle::Site { port_mapping: false, ..(&site).into() },
            translated: !site.nats.is_empty(),
        }
    }
}

const fn nat(gate: Gate) -> Option<NatConfig> {
    match gate {
        Gate::Nat(config) => Some(config),
        Gate::Firewall(_) => None,
    }
}

impl NodeSetting {
    fn draw(limits: bool, rng: &mut Rng) -> Self {
        let timeouts = [5, 10, 20, 60];
        Self {
            port: rng.chance(500_000).then_some(FIXED_PORT),
            idle_timeout: Duration::from_secs(pick(rng, &timeouts)),
            keep_alive: (!rng.chance(200_000)).then(|| Duration::from_secs(pick(rng, &[1, 5, 15]))),
            key_update_after: rng.chance(300_000).then(|| 8 + skewed(rng, 1000)),
            window: (limits && rng.chance(500_000)).then(|| 200 + skewed(rng, 20_000)),
            streams: if limits { 1 + rng.below(4) } else { 128 },
        }
    }
}

impl Work {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            most: pick(rng, &[100, 2_000, 10_000, 50_000]),
            pause: Duration::from_millis(pick(rng, &[1_000, 3_000, 8_000])),
            shares: core::array::from_fn(|_| if rng.chance(700_000) { 1 + rng.below(8) } else { 0 }),
        }
    }
}

impl Storm {
    fn draw(rng: &mut Rng) -> Self {
        // A calm run now and then: what fails there needs no fault.
        let none = rng.chance(50_000);
        let mut faults = Vec::new();
        for fault in Fault::ALL {
            if !none && rng.chance(400_000) {
                faults.push((fault, 1 + skewed(rng, 10)));
            }
        }
        Self {
            lasts: Duration::from_secs(5 + rng.below(25)),
            pause: Duration::from_millis(pick(rng, &[500, 2_000, 8_000])),
            most: Duration::from_millis(pick(rng, &[1_000, 5_000, 20_000])),
            faults,
        }
    }
}

/// A wire without faults.
fn healthy(rng: &mut Rng) -> LinkConfig {
    LinkConfig {
        rate: rng.chance(500_000).then(|| 1_000_000 + skewed(rng, 100_000_000)),
        queue: pick(rng, &[16, 64, 256]) * 1024,
        ..LinkConfig::with_latency(Duration::from_micros(200 + skewed(rng, 150_000)))
    }
}

/// One of them.
pub(super) fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.below(from.len() as u64) as usize]
}

/// From 0 to below `most`, small ones as often as large ones.
pub(super) fn skewed(rng: &mut Rng, most: u64) -> u64 {
    let below = most >> rng.below(u64::from(most.max(1).ilog2()) + 1);
    rng.below(below.max(1))
}

impl std::fmt::Display for NodeSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { port, idle_timeout, keep_alive, key_update_after, window, streams } = self;
        write!(f, "port {port:?}, idle after {idle_timeout:?}, keep-alive {keep_alive:?}, ")?;
        write!(f, "new keys after {key_update_after:?}, windows {window:?}, {streams} streams")
    }
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { most, pause, shares } = self;
        write!(f, "up to {most} bytes at a time, up to {pause:?} between; shares {shares:?}")
    }
}

impl std::fmt::Display for Storm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { lasts, pause, most, faults } = self;
        write!(f, "faults for {lasts:?}, up to {pause:?} between, each up to {most:?}: {faults:?}")
    }
}
