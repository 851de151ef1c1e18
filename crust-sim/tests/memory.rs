//! Memory grows with the world's size and not with its age.

use std::net::SocketAddr;

use crust_proto::{Config, Duration, Event};
use crust_sim::bare::{Bare, NodeId};
use crust_sim::{HostId, Internet, Kind, LinkConfig, Sim, SiteConfig, World};

const HOUR: Duration = Duration::from_secs(3600);
/// What may be under way at one moment and not at another.
const UNDER_WAY: usize = 8;
/// As `idle_day` of the examples has it.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

fn sites(world: &mut World) -> [HostId; 2] {
    let mut internet = Internet::new(world);
    let wire = LinkConfig { jitter: Duration::from_millis(2), ..LinkConfig::default() };
    let mut site = internet.site(world, &SiteConfig::of(Kind::Symmetric, wire).behind(Kind::CarrierGrade));
    [site.host(world), internet.host(world, wire)]
}

fn keep_alive(config: &mut Config) {
    config.transport.keep_alive = Some(KEEP_ALIVE);
}

/// What is held at the end of each of so many spans of time, looked at at rest; none holds more than the first.
fn holds_no_more(spans: usize, mut span: impl FnMut() -> (usize, String)) {
    let (first, what) = span();
    for nth in 1..spans {
        let (later, then) = span();
        assert!(
            later <= first + UNDER_WAY,
            "{later} in span {nth}, {first} in the first: {then} after {what}"
        );
    }
}

#[test]
fn an_idle_week_of_bare_nodes_holds_no_more_than_its_first_day() {
    let mut world = World::new(1);
    let hosts = sites(&mut world);
    let mut bare = Bare::new(world);
    let [client, server] = hosts.map(|host| {
        let mut config = bare.config();
        keep_alive(&mut config);
        bare.add(host, config)
    });
    bare.run_for(Duration::from_millis(1));
    connect(&mut bare, client, server);
    let before = bare.world().datagrams_so_far();
    holds_no_more(7, || {
        bare.run_for(HOUR * 24);
        let size = bare.world().size();
        (size.total(), format!("{size:?}"))
    });
    assert!(bare.world().datagrams_so_far() - before > 7 * 24 * 3600 / 25, "it was kept alive");
}

fn connect(bare: &mut Bare, client: NodeId, server: NodeId) {
    let contact = bare.engine(server).unwrap().contact();
    bare.act(client, |engine, now| engine.connect_contact(&contact, now)).unwrap();
    let until = bare.world().now() + Duration::from_secs(20);
    while let Some((node, event)) = bare.next_event(until) {
        if node == client
            && let Event::Attempt { result, .. } = event
        {
            result.unwrap();
            return;
        }
    }
    panic!("no answer");
}

#[test]
fn an_idle_week_of_programs_holds_no_more_than_its_first_day() {
    let sim = Sim::new(1);
    sim.set_limit(HOUR * 24 * 8);
    let [client, server] = sites(&mut sim.world());
    sim.run(async {
        let client = sim.builder(client).config(keep_alive).bind().await.unwrap();
        let server = sim.builder(server).config(keep_alive).bind().await.unwrap();
        let _to = client.connect(server.contact()).await.unwrap();
        let _from = server.accept().await.unwrap();
        let mut first = None;
        for day in 0..7 {
            sim.sleep(HOUR * 24).await;
            let size = sim.world().size();
            let now = size.total() + sim.size();
            let most = *first.get_or_insert(now);
            assert!(now <= most + UNDER_WAY, "day {day}: {now} after {most}: {size:?}");
        }
    });
}

#[test]
fn programs_that_come_and_go_leave_nothing_behind() {
    let sim = Sim::new(2);
    let [client, server] = sites(&mut sim.world());
    sim.run(async {
        let server = sim.builder(server).bind().await.unwrap();
        let mut most = 0;
        for round in 0..60 {
            let node = sim.builder(client).bind().await.unwrap();
            let to = node.connect(server.contact()).await.unwrap();
            to.close(0, b"");
            drop((to, node, server.accept().await.unwrap()));
            // NATs' entries and what the engines remember of the last ones have gone.
            sim.sleep(Duration::from_secs(300)).await;
            let size = sim.world().size();
            let now = size.total() + sim.size();
            match round {
                ..10 => most = most.max(now),
                _ => assert!(now <= most + UNDER_WAY, "round {round}: {now} after {most}: {size:?}"),
            }
        }
    });
}

#[test]
fn nodes_that_crash_and_are_killed_leave_nothing_behind() {
    let mut world = World::new(3);
    let hosts = sites(&mut world);
    let mut bare = Bare::new(world);
    let config = bare.config();
    let server = bare.add(hosts[1], config);
    let mut most = 0;
    for round in 0..60 {
        let mut config = bare.config();
        config.listen.push(SocketAddr::from(([0, 0, 0, 0], 0)));
        let client = bare.add(hosts[0], config);
        bare.run_for(Duration::from_millis(1));
        connect(&mut bare, client, server);
        if round % 2 == 0 {
            bare.kill(client);
        } else {
            bare.world_mut().crash(hosts[0]);
            bare.world_mut().restart(hosts[0]);
        }
        bare.run_for(Duration::from_secs(300));
        let size = bare.world().size();
        match round {
            ..10 => most = most.max(size.total()),
            _ => assert!(size.total() <= most + UNDER_WAY, "round {round}: {size:?} after {most}"),
        }
    }
}
