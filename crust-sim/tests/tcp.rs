//! The simulator's listeners and streams: the suite of all platforms, and what only a simulator can show.

use std::net::IpAddr;

use crust_proto::Duration;
use crust_sim::program::Machine;
use crust_sim::{Internet, Kind, LinkConfig, Sim, SiteConfig, seeds};
use tcp_suite::{Ends, Test};

#[macro_use]
#[path = "../../crust-async/tests/tcp_suite/mod.rs"]
mod tcp_suite;

tests_of_tcp!(run);

/// Over a good wire in both IP versions, over a bad one, and out of a NAT.
fn run(test: impl Fn(Ends<Machine>) -> Test) {
    seeds(3, |seed| {
        let good = LinkConfig::with_latency(Duration::from_millis(10));
        let bad = LinkConfig {
            loss: 20_000,
            jitter: Duration::from_millis(3),
            reorder: 10_000,
            duplicate: 10_000,
            ..good
        };
        for (link, ipv6) in [(good, false), (good, true), (bad, false)] {
            let sim = Sim::new(seed);
            let ends = wire(&sim, link, ipv6);
            sim.run(test(ends));
        }
        let sim = Sim::new(seed);
        let ends = out_of_a_nat(&sim, good);
        sim.run(test(ends));
    });
}

fn wire(sim: &Sim, link: LinkConfig, ipv6: bool) -> Ends<Machine> {
    let (a, b) = sim.pair(link);
    let addresses = match ipv6 {
        false => [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from),
        true => ["2001:db8::1", "2001:db8::2"].map(|ip| ip.parse().unwrap()),
    };
    if ipv6 {
        let mut world = sim.world();
        for (host, ip) in [a, b].into_iter().zip(addresses) {
            let interface = world.interfaces(host)[1];
            world.add_address(interface, ip, 64);
        }
    }
    let [a_ip, b_ip] = addresses;
    Ends { a: sim.machine(a), b: sim.machine(b), a_ip, b_ip, translated: false }
}

fn out_of_a_nat(sim: &Sim, link: LinkConfig) -> Ends<Machine> {
    let mut world = sim.world();
    let mut internet = Internet::new(&mut world);
    let mut home = internet.site(&mut world, &SiteConfig::of(Kind::Symmetric, link));
    let mut open = internet.site(&mut world, &SiteConfig::of(Kind::Open, link));
    let (a, b) = (home.host(&mut world), open.host(&mut world));
    let [a_ip, b_ip] = [a, b].map(|host| {
        let mut addresses = world.addresses(host).map(|address| address.ip);
        addresses.find(|ip| ip.is_ipv4() && !ip.is_loopback()).unwrap()
    });
    drop(world);
    Ends { a: sim.machine(a), b: sim.machine(b), a_ip, b_ip, translated: true }
}
