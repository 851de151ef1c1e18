//! Two sites, each with a node that wants the other: whether they meet, how, and how long it takes.
//!
//! Its life: a world is built from the seed, with a wire to each site that is neither perfect nor bad; each node is told
//! the other's contact, as by pasting it; both dial, the second up to [`APART`] later, and dial again when an attempt
//! has failed; once both have the connection each sends the other [`PROOF`] bytes, so that what counts as connected
//! carries data. After [`PATIENCE`] it is over. Sites of a population also have a neighbour behind the same outermost
//! gate, who opens mappings as a Poisson process all the while.
//!
//! Nothing helps the two nodes: they know the addresses that their own interfaces have, and dial those. So they meet
//! where [`TODAY`] says, and elsewhere not, whatever the oracle holds possible.
//!
//! ```
//! use crust_sim::Kind;
//! use crust_sim::meeting::{self, Way};
//!
//! let easy = meeting::of_kinds(1, [Kind::Symmetric, Kind::Open], None);
//! assert_eq!(easy.way, Some(Way::Udp));
//! println!("connected after {:?}, {} datagrams", easy.time.unwrap(), easy.datagrams);
//! ```

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crust_async::{Connection, Node};
use crust_proto::{Contact, Duration, Instant, Priority};

use crate::checks::Checks;
use crate::firewall::FirewallConfig;
use crate::kinds::Gate;
use crate::oracle::{self, Method};
use crate::population::{Class, Population, SiteProfile};
use crate::record::Recorder;
use crate::{HostId, Internet, Kind, LinkConfig, Rng, SendOptions, Sim, Site, SiteConfig, UdpOptions, World};

/// The oracle's methods that crust can use as it is, over UDP alone and with no peer's help: [`Method::Open`] and
/// [`Method::Ipv6`] where UDP passes at both sites, and [`Method::PlainUdp`] where besides nothing translates at
/// either, so that the addresses told are those that packets come from. Through NATs the addresses told are
/// private ones, of use to nobody outside.
pub const TODAY: [Method; 3] = [Method::Open, Method::Ipv6, Method::PlainUdp];
/// How long both try, in the world's time.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How much later the second dials at most: two people who press the button at the same time.
pub const APART: Duration = Duration::from_millis(200);
/// Bytes that each sends the other over the new connection.
pub const PROOF: usize = 32 * 1024;

/// The pause after an attempt that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// How two nodes are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// By a path of their own over UDP.
    Udp,
    /// By another node.
    Relay,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meeting {
    /// The seed of this run.
    pub seed: u64,
    /// The hash over everything that happened.
    pub hash: [u8; 32],
    /// How they are connected; `None`: they are not.
    pub way: Option<Way>,
    /// From the first call to connect until both have the connection, in the world's time.
    pub time: Option<Duration>,
    /// UDP datagrams that the two nodes sent until then, or until they gave up.
    pub datagrams: u64,
    /// Every method by which a direct path could come about, best first, as the oracle says.
    pub possible: Vec<Method>,
}

/// Nodes behind two kinds of NAT.
pub fn of_kinds(seed: u64, kinds: [Kind; 2], recorder: Option<&Recorder>) -> Meeting {
    let names = kinds.map(|kind| kind.name().to_owned());
    meet(seed, kinds.map(of_kind), names, recorder)
}

/// Nodes of two sites of a population, drawn by the seed.
pub fn of_population(seed: u64, population: &Population, recorder: Option<&Recorder>) -> Meeting {
    let sites = drawn(seed, population);
    let names = sites.each_ref().map(|site| format!("{:?}", site.class).to_lowercase());
    meet(seed, sites, names, recorder)
}

/// The two sites that [`of_population`] draws by that seed.
pub fn drawn(seed: u64, population: &Population) -> [SiteProfile; 2] {
    let mut rng = Rng::new(seed).fork("sites", 0);
    [population.site(&mut rng), population.site(&mut rng)]
}

/// A site that is nothing but its gate.
fn of_kind(kind: Kind) -> SiteProfile {
    let (nats, firewall) = match kind.gate() {
        Gate::Nat(config) => (vec![config], None),
        Gate::Firewall(config) => (Vec::new(), Some(config)),
    };
    SiteProfile {
        class: if nats.is_empty() { Class::Public } else { Class::Home },
        nats,
        firewall,
        ipv6: None,
        port_mapping: false,
        noise_per_second: 0.0,
    }
}

fn meet(seed: u64, sites: [SiteProfile; 2], names: [String; 2], recorder: Option<&Recorder>) -> Meeting {
    let sim = Sim::new(seed);
    if let Some(recorder) = recorder {
        recorder.watch(&sim);
    }
    Meeting { seed, ..meet_in(&sim, &sites, &names, recorder) }
}

/// The same in a world that has no sites yet.
fn meet_in(sim: &Sim, sites: &[SiteProfile; 2], names: &[String; 2], recorder: Option<&Recorder>) -> Meeting {
    let [a, b] = sites.each_ref().map(oracle::Site::from);
    let mut meeting = Meeting { possible: oracle::between(&a, &b), ..Meeting::default() };
    let hosts = build(sim, sites, names, recorder);
    let checks = Checks::on(sim);
    sim.run(async {
        let nodes = [bind(sim, hosts[0], recorder).await, bind(sim, hosts[1], recorder).await];
        hosts.iter().zip(&nodes).for_each(|(host, node)| checks.node(*host, node));
        let contacts = nodes.each_ref().map(Node::contact);
        let apart = sim.world().rng("apart", 0).up_to(APART);
        let began = sim.now();
        let deadline = began + PATIENCE;
        let [first, second] = &nodes;
        let dials = [
            dial(first, &contacts[1], Duration::ZERO, (recorder, hosts[0], "a's")),
            dial(second, &contacts[0], apart, (recorder, hosts[1], "b's")),
        ];
        let connections = both(sim, dials, deadline).await;
        let took = sim.now().saturating_since(began);
        meeting.datagrams = nodes.iter().map(|node| node.stats().datagrams_sent).sum();
        let proven = match &connections {
            Some(ends) => both(sim, ends.each_ref().map(prove), deadline).await,
            None => None,
        };
        if proven.is_some() {
            (meeting.way, meeting.time) = (Some(Way::Udp), Some(took));
        }
        if let Some(recorder) = recorder {
            let text = if proven.is_some() { "both have sent and received" } else { "they have not met" };
            recorder.note(None, text);
        }
    });
    meeting.hash = sim.world().hash();
    meeting
}

// -- the world --

/// A host in each site.
fn build(
    sim: &Sim,
    sites: &[SiteProfile; 2],
    names: &[String; 2],
    recorder: Option<&Recorder>,
) -> [HostId; 2] {
    let mut world = sim.world();
    let mut internet = Internet::new(&mut world);
    let elsewhere = internet.host(&mut world, LinkConfig::default());
    let mut weather = world.rng("weather", 0);
    let mut built = sites.each_ref().map(|profile| {
        let config = SiteConfig {
            gates: gates(profile),
            uplink: uplink(&mut weather),
            lan: LinkConfig::default(),
            ipv6: profile.ipv6,
        };
        internet.site(&mut world, &config)
    });
    let hosts = built.each_mut().map(|site| site.host(&mut world));
    for ((site, profile), number) in built.iter().zip(sites).zip(0..) {
        disturb(&mut world, site, number, profile.noise_per_second, elsewhere);
    }
    drop(world);
    if let Some(recorder) = recorder {
        introduce(recorder, hosts, &built, names, internet.core());
    }
    hosts
}

/// Names all that packets pass, from left to right.
fn introduce(
    recorder: &Recorder,
    hosts: [HostId; 2],
    sites: &[Site; 2],
    names: &[String; 2],
    internet: HostId,
) {
    let side = |at: usize| {
        let routers = sites[at].routers.iter().rev();
        let names = [names[at].clone(), format!("{} (inner)", names[at])];
        // The outermost first; there are two at most.
        routers.copied().zip(names).collect::<Vec<_>>()
    };
    recorder.name(hosts[0], "a");
    side(0).iter().rev().for_each(|(router, name)| recorder.name(*router, name));
    recorder.name(internet, "internet");
    side(1).iter().for_each(|(router, name)| recorder.name(*router, name));
    recorder.name(hosts[1], "b");
}

fn gates(site: &SiteProfile) -> Vec<Gate> {
    let firewall = |config: &FirewallConfig| Gate::Firewall(*config);
    site.nats.iter().copied().map(Gate::Nat).chain(site.firewall.iter().map(firewall)).collect()
}

/// An ordinary line: a few to some tens of milliseconds, jitter, now and then a packet lost, a rate. What is ordinary
/// is an estimate; no result here depends on it but the times.
fn uplink(rng: &mut Rng) -> LinkConfig {
    LinkConfig {
        jitter: rng.up_to(Duration::from_millis(4)),
        loss: rng.below(5_000) as u32,
        rate: Some(5_000_000 + rng.below(95_000_001)),
        ..LinkConfig::with_latency(Duration::from_millis(4) + rng.up_to(Duration::from_millis(40)))
    }
}

/// Lets a neighbour behind the outermost gate open so many mappings a second on average, for ever.
fn disturb(world: &mut World, site: &Site, number: u8, per_second: f64, elsewhere: HostId) {
    // To the millionth: whole numbers from here on, which are the same on every machine.
    let per_million_seconds = (per_second * 1e6) as u64;
    let Some(mean) = 1_000_000_000_000_000u64.checked_div(per_million_seconds) else { return };
    let Some(router) = site.routers.last() else { return };
    let neighbour = world.add_host();
    let (at_neighbour, at_router) = world.connect(neighbour, *router, LinkConfig::default());
    let address = |last| IpAddr::from(Ipv4Addr::new(100, 127, number, last));
    world.add_address(at_neighbour, address(2), 24);
    world.add_address(at_router, address(1), 24);
    world.set_gateway(at_neighbour, address(1));
    let Some(target) = world.addresses(elsewhere).map(|at| at.ip).find(IpAddr::is_ipv4) else { return };
    let noise = Noise { neighbour, target, mean, rng: world.rng("noise", neighbour.index() as u64) };
    noise.wait(world);
}

/// Somebody who opens mappings.
struct Noise {
    neighbour: HostId,
    target: IpAddr,
    /// Nanoseconds from one to the next.
    mean: u64,
    rng: Rng,
}

impl Noise {
    fn wait(mut self, world: &mut World) {
        let next = world.now() + exponential(&mut self.rng, self.mean);
        world.at(next, move |world| {
            self.open(world);
            self.wait(world);
        });
    }

    /// From a fresh socket to a port of its own: a mapping more on every kind of NAT.
    fn open(&mut self, world: &mut World) {
        let to = SocketAddr::new(self.target, 1024 + self.rng.below(60_000) as u16);
        let any = (Ipv4Addr::UNSPECIFIED, 0).into();
        if let Ok(socket) = world.udp_bind(self.neighbour, any, UdpOptions::default()) {
            // Nobody hears of it if it fails.
            let _ = world.udp_send(socket, to, SendOptions::default(), b"noise");
            world.udp_close(socket);
        }
    }
}

/// A waiting time of a Poisson process of that mean, by comparing whole numbers alone (von Neumann, “Various techniques
/// used in connection with random digits”, 1951): no logarithm, so that all machines draw the same.
fn exponential(rng: &mut Rng, mean: u64) -> Duration {
    for whole in 0.. {
        let first = rng.next_u64();
        let (mut last, mut falls) = (first, 0);
        loop {
            let next = rng.next_u64();
            if next >= last {
                break;
            }
            (last, falls) = (next, falls + 1);
        }
        // A run that falls an even number of times has its first number for a fraction; the others add one each.
        if falls % 2 == 0 {
            let fraction = (u128::from(mean) * u128::from(first)) >> 64;
            return Duration::from_nanos(mean.saturating_mul(whole).saturating_add(fraction as u64));
        }
    }
    Duration::ZERO
}

// -- the programs --

async fn bind(sim: &Sim, host: HostId, recorder: Option<&Recorder>) -> Node {
    let builder = sim.builder(host);
    let builder = match recorder {
        Some(recorder) => builder.provider(recorder.provider()),
        None => builder,
    };
    builder.bind().await.expect("a host that is up has ports")
}

/// Dials until it is connected.
async fn dial(
    node: &Node,
    to: &Contact,
    after: Duration,
    (recorder, host, name): (Option<&Recorder>, HostId, &str),
) -> Connection {
    node.runtime().sleep(after).await;
    loop {
        if let Ok(connection) = node.connect(to).await {
            if let Some(recorder) = recorder {
                recorder.connection(name, &connection);
                recorder.note(Some(host), "has the connection");
            }
            return connection;
        }
        node.runtime().sleep(AGAIN).await;
    }
}

/// Sends and receives; never ends where the other side's bytes don't come.
async fn prove(connection: &Connection) {
    let sent = connection.send_message_acked(Priority::default(), &[0x5a; PROOF]).await;
    let received = connection.recv_message().await;
    if sent.is_err() || received.is_err() {
        core::future::pending().await
    }
}

/// Runs both to their ends; `None`: they take too long.
async fn both<T>(sim: &Sim, programs: [impl Future<Output = T>; 2], deadline: Instant) -> Option<[T; 2]> {
    let mut patience = Box::pin(sim.sleep(deadline.saturating_since(sim.now())));
    let mut programs = programs.map(Box::pin);
    let mut ends = [const { None }; 2];
    poll_fn(|cx| {
        for (program, end) in programs.iter_mut().zip(&mut ends) {
            if end.is_none()
                && let Poll::Ready(value) = Pin::as_mut(program).poll(cx)
            {
                *end = Some(value);
            }
        }
        match &mut ends {
            [a @ Some(_), b @ Some(_)] => Poll::Ready(a.take().zip(b.take()).map(|(a, b)| [a, b])),
            _ => patience.as_mut().poll(cx).map(|()| None),
        }
    })
    .await
}

#[cfg(test)]
#[path = "meeting_tests.rs"]
mod tests;
