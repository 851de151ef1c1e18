//! How long a simulated day of fifty idle connections takes.
//!
//! `cargo run --release -p crust-sim --features aws-lc-rs --example idle_day`
//!
//! Fifty clients, each behind a port-restricted NAT of its own, are connected to fifty public servers, and both ends
//! keep the connection alive every 25 s: once as async programs, and once as bare engines with the null cipher. Seconds
//! are of CPU time where the system tells.

#[path = "../src/bin/crust-sim/stopwatch.rs"]
mod stopwatch;

use crust_proto::{Config, Duration, Event};
use crust_sim::bare::Bare;
use crust_sim::{HostId, Internet, Kind, LinkConfig, Sim, SiteConfig, World};

use crate::stopwatch::Stopwatch;

const PAIRS: usize = 50;
const DAY: Duration = Duration::from_secs(24 * 3600);

fn main() {
    programs();
    bare_engines();
}

fn pairs(world: &mut World) -> Vec<(HostId, HostId)> {
    let mut internet = Internet::new(world);
    let wire = LinkConfig::with_latency(Duration::from_millis(20));
    let mut pair = || {
        let server = internet.host(world, wire);
        let mut site = internet.site(world, &SiteConfig::of(Kind::PortRestricted, wire));
        (site.host(world), server)
    };
    (0..PAIRS).map(|_| pair()).collect()
}

fn keep_alive(config: &mut Config) {
    config.transport.keep_alive = Some(Duration::from_secs(25));
}

fn programs() {
    let sim = Sim::new(1);
    sim.set_limit(DAY * 2);
    let hosts = pairs(&mut sim.world());
    sim.run(async {
        let mut kept = Vec::new();
        for (client, server) in hosts {
            let client = sim.builder(client).config(keep_alive).bind().await.expect("a node");
            let server = sim.builder(server).config(keep_alive).bind().await.expect("a node");
            let to = client.connect(server.contact()).await.expect("a connection");
            kept.push((client, server, to));
        }
        let (began, before) = (Stopwatch::start(), figures(&sim.world()));
        sim.sleep(DAY).await;
        tell("async programs", began, before, figures(&sim.world()));
        assert!(kept.iter().all(|(.., connection)| connection.close_reason().is_none()), "all live");
    });
}

fn bare_engines() {
    let mut world = World::new(1);
    let hosts = pairs(&mut world);
    let mut bare = Bare::new(world);
    for (client, server) in hosts {
        let [client, server] = [client, server].map(|host| {
            let mut config = bare.config();
            keep_alive(&mut config);
            bare.add(host, config)
        });
        bare.run_for(Duration::from_millis(1));
        let contact = bare.engine(server).expect("a node").contact();
        bare.act(client, |engine, now| engine.connect_contact(&contact, now)).expect("an attempt");
        bare.run_for(Duration::from_secs(1));
    }
    let mut open = 0;
    while let Some((_, event)) = bare.poll_event() {
        open += usize::from(matches!(event, Event::Connected { .. }));
    }
    assert_eq!(open, 2 * PAIRS);
    let (began, before) = (Stopwatch::start(), figures(bare.world()));
    bare.run_for(DAY);
    tell("bare engines", began, before, figures(bare.world()));
    assert!(bare.poll_event().is_none(), "all live");
}

/// Events and datagrams so far.
fn figures(world: &World) -> (u64, u64) {
    (world.events_so_far(), world.datagrams_so_far())
}

fn tell(who: &str, watch: Stopwatch, before: (u64, u64), after: (u64, u64)) {
    let seconds = watch.cpu().unwrap_or_else(|| watch.wall()).as_secs_f64();
    let (events, datagrams) = (after.0 - before.0, after.1 - before.1);
    println!("{who}: {PAIRS} idle pairs for a day: {seconds:.2} s, {datagrams} datagrams, {events} events");
}
