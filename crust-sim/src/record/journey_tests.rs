use std::collections::BTreeSet;

use crust_proto::Duration;

use super::*;
use crate::record::testing::transfer;
use crate::record::{RecordLimits, Recorder};
use crate::{
    ConnectOptions, HostId, Internet, Kind, LinkConfig, SendOptions, Sim, SiteConfig, UdpOptions, seeds,
};

fn count(recording: &Recording, sight: Sight, host: Option<HostId>) -> usize {
    let seen = recording.packets.iter().filter(|seen| seen.sight == sight);
    seen.filter(|seen| host.is_none_or(|host| host == seen.host)).count()
}

#[test]
fn every_sighting_is_a_stop_of_one_packets_way() {
    seeds(5, |seed| {
        let recorder = Recorder::new(RecordLimits::default());
        transfer(seed, 100_000, Some(&recorder));
        let recording = recorder.recording();
        let ways = journeys(&recording);
        let stops: Vec<usize> = ways.iter().flat_map(|way| way.stops.iter().copied()).collect();
        assert_eq!(stops.len(), recording.packets.len());
        assert_eq!(stops.iter().collect::<BTreeSet<_>>().len(), stops.len());
        assert!(ways.iter().all(|way| way.stops.is_sorted() && !way.again && !way.damaged));
        // What the two hosts sent, and nothing else, sets out.
        let ends = [recording.hosts[0].0, recording.hosts[3].0];
        let sent: usize = ends.iter().map(|host| count(&recording, Sight::Sent, Some(*host))).sum();
        assert_eq!(ways.len(), sent);
        // Whatever was not lost or dropped went from one host by three routers to the other.
        let mut whole = 0;
        for way in &ways {
            let last = &recording.packets[way.stops[way.stops.len() - 1]];
            if last.sight == Sight::Arrived && ends.contains(&last.host) {
                let hosts: Vec<HostId> = way.stops.iter().map(|stop| recording.packets[*stop].host).collect();
                assert_eq!(hosts.len(), 8, "{hosts:?}");
                whole += 1;
            }
        }
        let gone = count(&recording, Sight::Lost, None) + count(&recording, Sight::Dropped, None);
        assert!(gone > 0 && ways.len() - gone - whole < 40, "{whole} of {}, {gone} gone", ways.len());
    });
}

#[test]
fn packets_that_come_twice_or_damaged_are_known_again() {
    seeds(20, |seed| {
        let sim = Sim::new(seed);
        let link = LinkConfig {
            duplicate: 100_000,
            corrupt: 100_000,
            loss: 100_000,
            reorder: 200_000,
            reorder_by: Duration::from_millis(30),
            ..LinkConfig::with_latency(Duration::from_millis(20))
        };
        let (alice, bob) = sim.pair(link);
        let recorder = Recorder::new(RecordLimits::default());
        recorder.watch(&sim);
        let mut world = sim.world();
        let from = world.udp_bind(alice, "0.0.0.0:0".parse().unwrap(), UdpOptions::default()).unwrap();
        world.udp_bind(bob, "0.0.0.0:7".parse().unwrap(), UdpOptions::default()).unwrap();
        for n in 0..200_u32 {
            // Half of them carry the same.
            let data = (n / 2).to_be_bytes().repeat(100);
            world.udp_send(from, "10.0.0.2:7".parse().unwrap(), SendOptions::default(), &data).unwrap();
            world.run_for(Duration::from_millis(1));
        }
        world.run_for(Duration::from_secs(1));
        drop(world);
        let recording = recorder.recording();
        let ways = journeys(&recording);
        let set_out =
            ways.iter().filter(|way| !way.again && recording.packets[way.stops[0]].sight == Sight::Sent);
        assert_eq!(set_out.count(), 200);
        let stranger = |way: &&Journey| recording.packets[way.stops[0]].sight != Sight::Sent;
        let strangers: Vec<&Journey> = ways.iter().filter(stranger).collect();
        // A second copy that was damaged has nobody to have come from; the first one is long over.
        assert!(strangers.len() <= 10, "{strangers:?}");
        let (again, damaged) =
            (ways.iter().filter(|way| way.again).count(), ways.iter().filter(|way| way.damaged).count());
        assert!(again > 3 && damaged > 5, "{again} twice, {damaged} damaged");
        let firsts = ways.iter().filter(|way| way.again).count();
        let stops: usize = ways.iter().map(|way| way.stops.len()).sum();
        assert_eq!(stops - firsts, recording.packets.len());
    });
}

#[test]
fn an_echo_is_no_forwarding() {
    let sim = Sim::new(1);
    let (alice, bob) = sim.pair(LinkConfig::with_latency(Duration::from_millis(20)));
    let recorder = Recorder::new(RecordLimits::default());
    recorder.watch(&sim);
    let mut world = sim.world();
    let a = world.udp_bind(alice, "0.0.0.0:9".parse().unwrap(), UdpOptions::default()).unwrap();
    let b = world.udp_bind(bob, "0.0.0.0:7".parse().unwrap(), UdpOptions::default()).unwrap();
    world.udp_send(a, "10.0.0.2:7".parse().unwrap(), SendOptions::default(), b"echo").unwrap();
    world.step();
    world.udp_send(b, "10.0.0.1:9".parse().unwrap(), SendOptions::default(), b"echo").unwrap();
    world.run_for(Duration::from_secs(1));
    drop(world);
    let recording = recorder.recording();
    let stops: Vec<Vec<usize>> = journeys(&recording).into_iter().map(|way| way.stops).collect();
    assert_eq!(stops, [[0, 1], [2, 3]]);
}

#[test]
fn segments_and_errors_are_followed_through_a_nat() {
    let sim = Sim::new(2);
    let wire = LinkConfig::with_latency(Duration::from_millis(10));
    let mut world = sim.world();
    let mut internet = Internet::new(&mut world);
    let mut home = internet.site(&mut world, &SiteConfig::of(Kind::Symmetric, wire));
    let (alice, bob) = (home.host(&mut world), internet.host(&mut world, wire));
    drop(world);
    let recorder = Recorder::new(RecordLimits::default());
    recorder.watch(&sim);
    let mut world = sim.world();
    let to =
        world.addresses(bob).map(|address| address.ip).find(|ip| ip.is_ipv4() && !ip.is_loopback()).unwrap();
    let listener = world.tcp_listen(bob, "0.0.0.0:80".parse().unwrap(), 4).unwrap();
    let connection = world.tcp_connect(alice, (to, 80).into(), ConnectOptions::default()).unwrap();
    world.run_for(Duration::from_millis(200));
    let (other, _) = world.tcp_accept(listener).unwrap().unwrap();
    for _ in 0..20 {
        world.tcp_send(connection, &[1; 1000]).unwrap();
        world.tcp_send(other, &[2; 100]).unwrap();
        world.run_for(Duration::from_millis(50));
    }
    let socket = world.udp_bind(alice, "0.0.0.0:0".parse().unwrap(), UdpOptions::default()).unwrap();
    world.udp_send(socket, (to, 9).into(), SendOptions::default(), b"nobody there").unwrap();
    world.run_for(Duration::from_secs(1));
    drop(world);
    let recording = recorder.recording();
    let ways = journeys(&recording);
    assert!(ways.len() > 40, "{}", ways.len());
    for way in &ways {
        let ends = [way.stops[0], way.stops[way.stops.len() - 1]].map(|stop| recording.packets[stop].host);
        assert!(ends == [alice, bob] || ends == [bob, alice], "{way:?}");
        // By the NAT and the core; the datagram finds no socket.
        let dropped = recording.packets[way.stops[way.stops.len() - 1]].sight == Sight::Dropped;
        assert_eq!(way.stops.len(), 6 + usize::from(dropped));
    }
}
