use std::net::{IpAddr, SocketAddr};

use crust_proto::Duration;

use super::*;
use crate::world::{Inbound, Middlebox, Outbound};
use crate::{Flow, LinkConfig, SendOptions, TcpFlags, UdpOptions};

/// Two nodes with a connection, watched over.
async fn connected(sim: &Sim, checks: &Checks, hosts: [HostId; 2]) -> [(Node, crust_async::Connection); 2] {
    let a = sim.builder(hosts[0]).bind().await.unwrap();
    let b = sim.builder(hosts[1]).bind().await.unwrap();
    checks.node(hosts[0], &a);
    checks.node(hosts[1], &b);
    let to = a.connect(b.contact()).await.unwrap();
    let from = b.accept().await.unwrap();
    [(a, to), (b, from)]
}

#[test]
fn nothing_is_found_where_nothing_is_wrong_and_the_hash_stays_what_it_was() {
    let run = |watched: bool| {
        let sim = Sim::new(3);
        let (a, b) =
            sim.pair(LinkConfig { loss: 20_000, ..LinkConfig::with_latency(Duration::from_millis(20)) });
        let checks = watched.then(|| Checks::on(&sim));
        sim.run(async {
            let a = sim.builder(a).bind().await.unwrap();
            let node = sim.builder(b).bind().await.unwrap();
            if let Some(checks) = &checks {
                checks.node(b, &node);
            }
            let to = a.connect(node.contact()).await.unwrap();
            let from = node.accept().await.unwrap();
            let mut stream = to.open_uni().await.unwrap();
            let mut data = vec![0; 200_000];
            fill(9, 0, &mut data);
            stream.write_all(&data).await.unwrap();
            stream.finish().unwrap();
            let read = from.accept_uni().await.unwrap().read_to_end(1 << 20).await.unwrap();
            assert_eq!((read.len(), verify(9, 0, &read)), (data.len(), Ok(())));
        });
        assert!(checks.is_none_or(|checks| checks.steps() > 300));
        sim.world().hash()
    };
    assert_eq!(run(true), run(false));
}

#[test]
#[should_panic(expected = "timers of host 1 rang 101 times at one instant, and nothing moved")]
fn a_program_that_sets_its_timer_in_the_past_is_found_out() {
    let sim = Sim::new(1);
    let (a, _) = sim.pair(LinkConfig::default());
    let _checks = Checks::within(&sim, Bounds { rings: 100, ..Bounds::default() });
    // Each time it rings it is set anew, to a time that has passed.
    fn again(world: &mut World, host: HostId) {
        world.set_timer(host, Instant::ZERO, 7);
        let now = world.now();
        world.at(now, move |world| again(world, host));
    }
    sim.world().at(Instant::ZERO + Duration::from_secs(1), move |world| again(world, a));
    sim.run_for(Duration::from_secs(2));
}

#[test]
#[should_panic(expected = "time stands still: 1001 steps at one instant")]
fn a_world_that_does_not_go_on_is_found_out() {
    let sim = Sim::new(1);
    let _checks = Checks::within(&sim, Bounds { steps: 1_000, ..Bounds::default() });
    fn again(world: &mut World) {
        let now = world.now();
        world.at(now, again);
    }
    sim.world().at(Instant::ZERO, again);
    sim.run_for(Duration::from_secs(2));
}

#[test]
fn time_that_goes_back_is_found_out() {
    let mut watch = Watch::new(Bounds::default());
    let mut world = World::new(1);
    world.add_host();
    world.run_for(Duration::from_secs(2));
    assert_eq!(watch.step(&world), Ok(()));
    let mut earlier = World::new(1);
    earlier.add_host();
    earlier.run_for(Duration::from_secs(1));
    let [from, to] = [&world, &earlier].map(World::now);
    assert_eq!(watch.step(&earlier), Err(Violation::TimeWentBack { from, to }));
}

#[test]
#[should_panic(expected = "packets are on their way")]
fn packets_without_bound_are_found_out() {
    let sim = Sim::new(1);
    let (a, _) = sim.pair(LinkConfig::with_latency(Duration::from_secs(10)));
    let _checks = Checks::within(&sim, Bounds { packets: 50, ..Bounds::default() });
    let mut world = sim.world();
    let socket = world.udp_bind(a, "10.0.0.1:9".parse().unwrap(), UdpOptions::default()).unwrap();
    for _ in 0..100 {
        world.udp_send(socket, "10.0.0.2:9".parse().unwrap(), SendOptions::default(), b"x").unwrap();
    }
    drop(world);
    sim.run_for(Duration::from_secs(1));
}

/// A box whose table knows no limit.
#[derive(Debug)]
struct Greedy(usize);

impl Middlebox for Greedy {
    fn outbound(&mut self, flow: Flow, _: Option<TcpFlags>, _: Instant) -> Outbound {
        self.0 += 1;
        Outbound::Forward { source: flow.source }
    }

    fn inbound(&mut self, flow: Flow, _: Option<TcpFlags>, _: Instant) -> Inbound {
        Inbound::Forward { destination: flow.destination }
    }

    fn inbound_error(&mut self, _: Flow, _: Instant) -> Option<SocketAddr> {
        None
    }

    fn load(&self) -> Option<(usize, usize)> {
        Some((self.0, 10))
    }

    fn reboot(&mut self, _: &[IpAddr]) {}
}

#[test]
#[should_panic(expected = "entries in a NAT's table, 10 at most are allowed")]
fn a_table_beyond_its_limit_is_found_out() {
    let sim = Sim::new(1);
    let _checks = Checks::on(&sim);
    let mut world = sim.world();
    let mut internet = crate::Internet::new(&mut world);
    let config = crate::SiteConfig::of(crate::Kind::Open, LinkConfig::default());
    let mut site = internet.site(&mut world, &config);
    let (host, server) = (site.host(&mut world), internet.host(&mut world, LinkConfig::default()));
    world.set_middleboxes(site.uplink, Some(Box::new(Greedy(0))), None);
    let to = world.addresses(server).find(|address| address.ip.is_ipv4()).unwrap().ip;
    let socket = world.udp_bind(host, "0.0.0.0:9".parse().unwrap(), UdpOptions::default()).unwrap();
    for _ in 0..20 {
        world.udp_send(socket, SocketAddr::new(to, 9), SendOptions::default(), b"x").unwrap();
    }
    drop(world);
    sim.run_for(Duration::from_secs(1));
}

#[test]
#[should_panic(expected = "host 2 holds 65 bytes in a receive queue, 64 at most are allowed")]
fn a_receive_queue_beyond_its_limit_is_found_out() {
    let sim = Sim::new(1);
    let (a, b) = sim.pair(LinkConfig::default());
    let _checks = Checks::on(&sim);
    let mut world = sim.world();
    let [from, to] =
        [a, b].map(|host| world.udp_bind(host, "0.0.0.0:9".parse().unwrap(), UdpOptions::default()).unwrap());
    world.udp_send(from, "10.0.0.2:9".parse().unwrap(), SendOptions::default(), b"x").unwrap();
    let soon = world.now() + Duration::from_secs(1);
    world.at(soon, move |world| world.limit_queue(to, 64));
    drop(world);
    // Each host is looked at in its turn.
    for _ in 0..10 {
        sim.run_for(Duration::from_secs(1));
    }
}

/// Two nodes with a connection, watched over, to which something is done; ten kilobytes go out before or after that.
fn done_to(link: LinkConfig, first: bool, what: impl Fn(&Sim, &Checks, HostId)) {
    let sim = Sim::new(1);
    let (a, b) = sim.pair(link);
    let checks = Checks::on(&sim);
    sim.run(async {
        let [(_a, to), (_b, _from)] = connected(&sim, &checks, [a, b]).await;
        if first {
            what(&sim, &checks, a);
        }
        to.open_uni().await.unwrap().write_all(&[7; 10_000]).await.unwrap();
        sim.sleep(Duration::from_secs(1)).await;
        if !first {
            what(&sim, &checks, a);
        }
        sim.sleep(Duration::from_secs(1)).await;
    });
}

#[test]
#[should_panic(expected = "bytes unread")]
fn a_node_that_holds_more_than_it_says_is_found_out() {
    // From now on it claims to hold next to nothing.
    done_to(LinkConfig::default(), true, |_, checks, _| {
        for watched in &mut checks.watch().nodes {
            watched.transport.limits.max_data = 1_000;
            watched.transport.limits.max_message = 0;
            watched.transport.limits.message_window = 0;
        }
    });
}

#[test]
#[should_panic(expected = "bytes not acknowledged")]
fn a_node_that_keeps_more_than_it_may_until_it_is_acknowledged_is_found_out() {
    // From now on it claims to keep next to nothing.
    done_to(LinkConfig::with_latency(Duration::from_millis(50)), true, |_, checks, _| {
        for watched in &mut checks.watch().nodes {
            watched.transport.send_buffer = 0;
            watched.transport.limits.max_message = 0;
        }
    });
}

/// The machine forgets what it was to wake the node for.
fn forget_timers(world: &mut World, host: HostId) {
    for token in 0..1_000 {
        world.cancel_timer(host, token);
    }
}

#[test]
#[should_panic(expected = "has something to do")]
fn a_timer_that_nobody_set_is_found_out() {
    done_to(LinkConfig::default(), false, |sim, _, host| forget_timers(&mut sim.world(), host));
}

#[test]
#[should_panic(expected = "has something to do")]
fn a_timer_that_is_set_too_late_is_found_out() {
    done_to(LinkConfig::default(), false, |sim, _, host| {
        let mut world = sim.world();
        forget_timers(&mut world, host);
        let late = world.host_now(host) + Duration::from_secs(1_000_000);
        world.set_timer(host, late, 7);
    });
}

/// Two nodes with a connection that nothing is done to are not found out.
#[test]
fn nothing_that_is_right_is_found_out() {
    done_to(LinkConfig::default(), true, |_, _, _| {});
}

/// Some session's name.
fn some_session() -> SessionId {
    let mut world = World::new(1);
    let mut internet = crate::Internet::new(&mut world);
    let hosts = [0; 2].map(|_| internet.host(&mut world, LinkConfig::default()));
    let mut bare = crate::bare::Bare::new(world);
    let [a, b] = hosts.map(|host| {
        let config = bare.config();
        bare.add(host, config)
    });
    bare.run_for(Duration::from_secs(1));
    let contact = bare.engine(b).unwrap().contact();
    bare.act(a, |engine, now| engine.connect_contact(&contact, now)).unwrap();
    bare.run_for(Duration::from_secs(1));
    bare.engine(a).unwrap().sessions().next().unwrap()
}

#[test]
fn a_session_that_nothing_will_wake_is_found_out() {
    let session = some_session();
    let sim = Sim::new(1);
    let (a, b) = sim.pair(LinkConfig::default());
    let checks = Checks::on(&sim);
    sim.run(async {
        let _nodes = connected(&sim, &checks, [a, b]).await;
        sim.sleep(Duration::from_secs(1)).await;
        let (watch, world) = (checks.watch(), sim.world());
        let watched = &watch.nodes[0];
        let mut load = watched.monitor.load(world.host_now(a)).unwrap();
        assert_eq!(watched.holds(&load, &world), Ok(()));
        // No engine says so of itself unless it has a defect.
        load.engine.stalled = Some(session);
        assert_eq!(watched.holds(&load, &world), Err(Violation::Stalled { host: a, session }));
    });
}
