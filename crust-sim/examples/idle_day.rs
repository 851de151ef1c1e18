//! How long a simulated day of fifty idle connections takes.
//!
//! `cargo run --release -p crust-sim --example idle_day`
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures the world from outside")]

use crust_proto::{Config, Duration};
use crust_sim::{Internet, Kind, LinkConfig, Sim, SiteConfig};

const PAIRS: usize = 50;
const DAY: Duration = Duration::from_secs(24 * 3600);

fn main() {
    let sim = Sim::new(1);
    sim.set_limit(DAY * 2);
    let hosts: Vec<_> = {
        let mut world = sim.world();
        let mut internet = Internet::new(&mut world);
        let wire = LinkConfig::with_latency(Duration::from_millis(20));
        let mut pair = || {
            let server = internet.host(&mut world, wire);
            let mut site = internet.site(&mut world, &SiteConfig::of(Kind::PortRestricted, wire));
            (site.host(&mut world), server)
        };
        (0..PAIRS).map(|_| pair()).collect()
    };
    let keep_alive = |config: &mut Config| config.transport.keep_alive = Some(Duration::from_secs(25));
    sim.run(async {
        let mut kept = Vec::new();
        for (client, server) in hosts {
            let client = sim.builder(client).config(keep_alive).bind().await.expect("a node");
            let server = sim.builder(server).config(keep_alive).bind().await.expect("a node");
            let to = client.connect(server.contact()).await.expect("a connection");
            kept.push((client, server, to));
        }
        let (began, before) = (std::time::Instant::now(), sim.world().events_so_far());
        sim.sleep(DAY).await;
        let events = sim.world().events_so_far() - before;
        assert!(kept.iter().all(|(.., connection)| connection.close_reason().is_none()), "all live");
        println!(
            "{PAIRS} idle connections, one day: {events} events in {:.2} s",
            began.elapsed().as_secs_f64()
        );
    });
}
