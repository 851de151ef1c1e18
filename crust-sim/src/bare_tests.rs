use std::collections::BTreeMap;
use std::net::IpAddr;

use crust_proto::{CloseReason, Dir, Dropped, SessionId, StreamId};

use super::node::{MOST_TURNS, Patience};
use super::*;
use crate::{Internet, Kind, LinkConfig, Rng, SendOptions, SiteConfig, UdpOptions, seeds};

/// A client at home behind a gate, a public server, and what wires do to packets in between.
struct Home {
    bare: Bare,
    hosts: [HostId; 2],
    client: NodeId,
    server: NodeId,
    router: HostId,
}

fn home(seed: u64, kind: Kind, wire: LinkConfig) -> Home {
    let mut world = World::new(seed);
    let mut internet = Internet::new(&mut world);
    let mut site = internet.site(&mut world, &SiteConfig::of(kind, wire));
    let hosts = [site.host(&mut world), internet.host(&mut world, wire)];
    let mut bare = Bare::new(world);
    let [client, server] = hosts.map(|host| {
        let config = bare.config();
        bare.add(host, config)
    });
    bare.run_for(Duration::from_millis(1));
    Home { bare, hosts, client, server, router: site.routers[0] }
}

fn wire() -> LinkConfig {
    LinkConfig::with_latency(Duration::from_millis(10))
}

impl Home {
    /// Opens a session; what the client calls it.
    fn connect(&mut self) -> SessionId {
        let contact = self.bare.engine(self.server).unwrap().contact();
        self.bare.act(self.client, |engine, now| engine.connect_contact(&contact, now)).unwrap();
        let to = self.client;
        let session = self.until(|node, event| match event {
            Event::Attempt { result, .. } if node == to => Some(result.clone().unwrap()),
            _ => None,
        });
        // The server knows when it has heard the client use it.
        while self.bare.engine(self.server).unwrap().sessions().next().is_none() {
            self.bare.step().expect("the client has something to say");
        }
        session
    }

    /// What the first event that `wanted` takes is taken as; a minute's silence fails.
    fn until<T>(&mut self, wanted: impl Fn(NodeId, &Event) -> Option<T>) -> T {
        let until = self.bare.world().now() + Duration::from_secs(120);
        while let Some((node, event)) = self.bare.next_event(until) {
            if let Some(found) = wanted(node, &event) {
                return found;
            }
        }
        panic!("nothing of the kind happened");
    }

    /// The client sends a message, and the server has it.
    fn say(&mut self, session: SessionId, data: &[u8]) {
        self.bare.act(self.client, |engine, now| {
            engine.session_mut(session, now).unwrap().send_message(Default::default(), data, false).unwrap();
        });
        let to = self.server;
        let at = self.until(|node, event| match event {
            Event::MessageReadable { session } if node == to => Some(*session),
            _ => None,
        });
        let heard = self.bare.act(to, |engine, now| engine.session_mut(at, now).unwrap().recv_message());
        assert_eq!(heard.unwrap().data, data);
    }
}

/// Streams both ways at once, each of its own bytes, and what is left of them to write and read.
fn exchange(home: &mut Home, session: SessionId, bytes: usize) {
    let byte = |node: NodeId, at: usize| (at / 7 + at * node.index()) as u8;
    let theirs = home.bare.engine(home.server).unwrap().sessions().last();
    let mut written: BTreeMap<NodeId, (SessionId, StreamId, usize)> = BTreeMap::new();
    for (node, session) in [(home.client, Some(session)), (home.server, theirs)] {
        let session = session.expect("the server has one too");
        let stream = home.bare.act(node, |engine, now| {
            engine.session_mut(session, now).unwrap().open(Dir::Uni).unwrap().unwrap()
        });
        written.insert(node, (session, stream, 0));
    }
    let mut read: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut arrived = 0;
    let until = home.bare.world().now() + Duration::from_secs(3600);
    let mut writable: Vec<NodeId> = written.keys().copied().collect();
    loop {
        for node in writable.drain(..) {
            let (session, stream, done) = written.get_mut(&node).unwrap();
            home.bare.act(node, |engine, now| {
                let mut session = engine.session_mut(*session, now).unwrap();
                while *done < bytes {
                    let data: Vec<u8> = (*done..bytes.min(*done + 5000)).map(|at| byte(node, at)).collect();
                    match session.write(*stream, &data) {
                        Ok(0) | Err(_) => return,
                        Ok(n) => *done += n,
                    }
                }
                session.finish(*stream).unwrap();
            });
        }
        let Some((node, event)) = home.bare.next_event(until) else { panic!("it stands still") };
        match event {
            Event::Writable { .. } => writable.push(node),
            Event::StreamOpened { session, dir } => {
                home.bare.act(node, |engine, now| engine.session_mut(session, now).unwrap().accept(dir));
            }
            Event::Readable { session, stream } => {
                let done = read.entry(node).or_default();
                let other = if node == home.client { home.server } else { home.client };
                home.bare.act(node, |engine, now| {
                    let mut buffer = [0; 10_000];
                    let mut session = engine.session_mut(session, now).unwrap();
                    while let Ok(n @ 1..) = session.read(stream, &mut buffer) {
                        assert!(buffer[..n].iter().zip(*done..).all(|(got, at)| *got == byte(other, at)));
                        *done += n;
                    }
                });
            }
            Event::StreamFinished { .. } => arrived += 1,
            Event::Closed { reason, .. } => panic!("{reason}"),
            _ => {}
        }
        if arrived == 2 && read.values().all(|read| *read == bytes) {
            return;
        }
    }
}

/// A wire of any quality.
fn any_wire(rng: &mut Rng) -> LinkConfig {
    LinkConfig {
        latency: rng.up_to(Duration::from_millis(40)),
        jitter: rng.up_to(Duration::from_millis(5)),
        rate: rng.chance(500_000).then(|| 2_000_000 + rng.below(50_000_000)),
        loss: rng.below(60_000) as u32,
        reorder: rng.below(60_000) as u32,
        duplicate: rng.below(60_000) as u32,
        corrupt: rng.below(30_000) as u32,
        ..LinkConfig::default()
    }
}

fn exchanged(seed: u64) -> ([u8; 32], u64) {
    let mut rng = Rng::new(seed).fork("bare", 0);
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| *kind != Kind::UdpBlocked).collect();
    let kind = kinds[rng.below(kinds.len() as u64) as usize];
    let wire = any_wire(&mut rng);
    let mut home = home(seed, kind, wire);
    let session = home.connect();
    exchange(&mut home, session, 300_000);
    (home.bare.world().hash(), home.bare.world().datagrams_so_far())
}

#[test]
fn through_every_kind_of_gate_and_over_bad_wires_streams_arrive_as_they_were_sent() {
    seeds(60, |seed| {
        let (_, datagrams) = exchanged(seed);
        assert!(datagrams > 500, "{datagrams}");
    });
}

#[test]
fn a_seed_has_one_hash_and_another_seed_another() {
    let hashes: std::collections::BTreeSet<_> = (0..10).map(|seed| exchanged(seed).0).collect();
    assert_eq!(hashes.len(), 10);
    for seed in 0..10 {
        assert!(hashes.contains(&exchanged(seed).0), "seed {seed}");
    }
}

#[test]
fn two_port_restricted_sites_meet_when_both_call_at_once() {
    seeds(20, |seed| {
        let mut world = World::new(seed);
        let mut internet = Internet::new(&mut world);
        let hosts = [0, 1].map(|_| {
            internet.site(&mut world, &SiteConfig::of(Kind::PortRestricted, wire())).host(&mut world)
        });
        let mut bare = Bare::new(world);
        let nodes = hosts.map(|host| {
            let mut config = bare.config();
            config.listen = vec![SocketAddr::from(([0, 0, 0, 0], 5000))];
            bare.add(host, config)
        });
        bare.run_for(Duration::from_millis(1));
        for (node, other) in [(0, 1), (1, 0)] {
            let peer = bare.engine(nodes[other]).unwrap().peer_id();
            let address = SocketAddr::from(([203, 0, 113, 1 + other as u8], 5000));
            bare.act(nodes[node], |engine, now| engine.connect((peer, address).into(), now)).unwrap();
        }
        let mut open = 0;
        let until = bare.world().now() + Duration::from_secs(10);
        while let Some((_, event)) = bare.next_event(until) {
            if let Event::Attempt { result, .. } = event {
                result.unwrap();
                open += 1;
            }
        }
        assert_eq!(open, 2);
    });
}

#[test]
fn a_crash_takes_its_nodes_and_the_peer_finds_out_and_a_new_one_on_the_host_works() {
    seeds(20, |seed| {
        let mut home = home(seed, Kind::FullCone, wire());
        let session = home.connect();
        let server = home.hosts[1];
        home.bare.world_mut().crash(server);
        assert!(home.bare.poll_host_event().is_some_and(|event| event == (server, HostEvent::Crashed)));
        assert!(home.bare.engine(home.server).is_none() && home.bare.host(home.server).is_none());
        let reason = home.until(|_, event| match event {
            Event::Closed { session: closed, reason } if *closed == session => Some(reason.clone()),
            _ => None,
        });
        assert!(matches!(reason, CloseReason::TimedOut(_)), "{reason}");
        home.bare.world_mut().restart(server);
        let config = home.bare.config();
        let again = home.bare.add(server, config);
        assert_ne!(again, home.server);
        home.server = again;
        home.bare.run_for(Duration::from_millis(1));
        let session = home.connect();
        home.say(session, b"hello again");
    });
}

#[test]
#[should_panic(expected = "node 1 is gone")]
fn nobody_acts_on_a_node_that_is_gone() {
    let mut home = home(1, Kind::Open, wire());
    home.bare.kill(home.server);
    home.bare.act(home.server, |_, _| ());
}

#[test]
fn a_killed_node_closes_its_sockets_and_answers_nothing() {
    let mut home = home(1, Kind::Open, wire());
    let session = home.connect();
    let sockets = home.bare.world().size().sockets;
    home.bare.kill(home.server);
    home.until(|node, event| match event {
        Event::Closed { session: closed, .. } if node.index() == 0 && *closed == session => Some(()),
        _ => None,
    });
    let config = home.bare.config();
    let host = home.hosts[1];
    home.bare.add(host, config);
    home.bare.run_for(Duration::from_millis(1));
    assert_eq!(home.bare.world().size().sockets, sockets, "the slot was free");
}

#[test]
fn a_host_that_sleeps_keeps_its_session_and_learns_the_time() {
    seeds(20, |seed| {
        let mut home = home(seed, Kind::PortRestricted, wire());
        let session = home.connect();
        home.say(session, b"before");
        let client = home.hosts[0];
        home.bare.world_mut().suspend(client);
        let before = home.bare.world().datagrams_so_far();
        home.bare.act(home.client, |engine, now| {
            let mut session = engine.session_mut(session, now).unwrap();
            session.send_message(Default::default(), b"in its sleep", false).unwrap();
        });
        let sent = |bare: &Bare| bare.engine(NodeId(0)).unwrap().stats().datagrams_sent;
        let told = sent(&home.bare);
        home.bare.run_for(Duration::from_secs(30));
        assert_eq!(sent(&home.bare), told, "a node that sleeps sends nothing");
        assert!(home.bare.world().datagrams_so_far() >= before);
        home.bare.world_mut().resume(client);
        let server = home.server;
        home.until(|node, event| match event {
            Event::MessageReadable { .. } if node == server => Some(()),
            _ => None,
        });
    });
}

#[test]
fn a_node_hears_when_its_hosts_wall_clock_is_set() {
    // A hello counts for five minutes by the server's clock; a stale one is told the right time.
    let mut home = home(3, Kind::Open, wire());
    let server = home.hosts[1];
    home.bare.world_mut().jump_wall(server, Duration::from_secs(1000), false);
    home.connect();
    let dropped = home.bare.engine(home.server).unwrap().stats().dropped;
    assert_eq!(dropped.of(Dropped::Stale), 1, "{dropped:?}");
}

#[test]
fn a_full_socket_keeps_one_transmit_and_goes_on_when_it_takes_more() {
    seeds(20, |seed| {
        let mut home = home(seed, Kind::PortRestricted, wire());
        let session = home.connect();
        let client = home.client;
        home.bare.set_full(client, true);
        home.bare.act(client, |engine, now| {
            let mut session = engine.session_mut(session, now).unwrap();
            session.send_message(Default::default(), b"kept", false).unwrap();
        });
        let before = home.bare.world().datagrams_so_far();
        home.bare.run_for(Duration::from_secs(2));
        let others = home.bare.engine(home.server).unwrap().stats().datagrams_sent;
        assert!(home.bare.world().datagrams_so_far() <= before + others, "nothing of the client's left");
        home.bare.set_full(client, false);
        home.bare.run_for(Duration::from_millis(1));
        assert!(home.bare.world().datagrams_so_far() > before);
        let server = home.server;
        let at = home.until(|node, event| match event {
            Event::MessageReadable { session } if node == server => Some(*session),
            _ => None,
        });
        home.bare.act(server, |engine, now| engine.session_mut(at, now).unwrap().recv_message());
        home.say(session, b"and the next");
    });
}

#[test]
fn a_session_lives_through_a_new_address_and_the_engine_knows_it() {
    let mut home = home(5, Kind::PortRestricted, wire());
    let session = home.connect();
    let interface = home.bare.world().interfaces(home.hosts[0])[1];
    let new: IpAddr = "192.168.1.77".parse().unwrap();
    home.bare.world_mut().change_address(interface, new, 24);
    home.bare.world_mut().set_gateway(interface, "192.168.1.1".parse().unwrap());
    home.say(session, b"from elsewhere");
    let contact = home.bare.engine(home.client).unwrap().contact();
    assert!(contact.addresses().iter().any(|address| address.ip() == new), "{contact:?}");
}

#[test]
fn a_router_that_forgets_costs_no_byte() {
    seeds(20, |seed| {
        let mut home = home(seed, Kind::Symmetric, wire());
        let session = home.connect();
        home.say(session, b"before");
        let router = home.router;
        home.bare.world_mut().reboot_middleboxes(router);
        home.say(session, b"after");
        exchange(&mut home, session, 50_000);
    });
}

#[test]
fn a_port_that_is_taken_is_a_failure_that_the_application_hears_of() {
    let mut home = home(1, Kind::Open, wire());
    let host = home.hosts[1];
    let taken = home.bare.engine(home.server).unwrap().local_addresses()[0];
    let mut config = home.bare.config();
    config.listen = vec![taken];
    let other = home.bare.add(host, config);
    home.until(|node, event| match event {
        Event::ListenFailed { local, .. } if node == other && *local == taken => Some(()),
        _ => None,
    });
}

#[test]
fn what_is_no_nodes_business_is_put_aside() {
    let mut home = home(1, Kind::Open, wire());
    let [client, server] = home.hosts;
    let world = home.bare.world_mut();
    let at = SocketAddr::from(([0, 0, 0, 0], 7));
    let to = world.udp_bind(server, at, UdpOptions::default()).unwrap();
    let from = world.udp_bind(client, at, UdpOptions::default()).unwrap();
    let address = world.addresses(server).find(|address| address.ip.is_ipv4()).unwrap().ip;
    world.udp_send(from, SocketAddr::new(address, 7), SendOptions::default(), b"x").unwrap();
    home.bare.run_for(Duration::from_secs(1));
    assert_eq!(home.bare.poll_host_event(), Some((server, HostEvent::UdpReadable(to))));
    assert_eq!(home.bare.poll_host_event(), None);
}

#[test]
fn an_engine_that_wants_a_timer_of_the_past_for_ever_is_found_out() {
    let mut patience = Patience::default();
    let now = Instant::ZERO + Duration::from_secs(1);
    assert!((1..MOST_TURNS).all(|nth| patience.turn(now) == nth));
    assert_eq!(patience.turn(now), MOST_TURNS, "here it panics");
    assert_eq!(patience.turn(now + Duration::from_nanos(1)), 1, "another instant is another matter");
}

#[test]
fn an_engine_gets_fresh_entropy_every_ten_minutes_and_never_the_same_twice() {
    let mut home = home(1, Kind::Open, wire());
    let session = home.connect();
    for _ in 0..31 {
        home.say(session, b"still here");
        home.bare.run_for(Duration::from_secs(60));
    }
    let drawn = home.bare.nodes[home.client.index()].as_ref().unwrap().drawn;
    assert_eq!(drawn, 3);
    let all: std::collections::BTreeSet<[u8; 32]> = [home.client, home.server]
        .iter()
        .flat_map(|node| (0..=drawn).map(|nth| super::node::entropy(home.bare.world(), *node, nth)))
        .collect();
    assert_eq!(all.len(), 8);
}

#[test]
fn an_engine_hears_of_each_mark_as_it_arrived() {
    use crust_proto::{Input, recovery};

    use crate::packet::UdpHeader;
    use crate::{Ecn, Packet};

    let mut home = home(1, Kind::Open, wire());
    let socket = home.bare.act(home.client, |engine, _| engine.bind("0.0.0.0:0".parse().unwrap()));
    let (source, destination) = ("10.0.0.1:5".parse().unwrap(), "10.0.0.2:7".parse().unwrap());
    for (sent, heard) in [
        (Ecn::NotEct, None),
        (Ecn::Ect0, Some(recovery::Ecn::Ect0)),
        (Ecn::Ect1, Some(recovery::Ecn::Ect1)),
        (Ecn::Ce, Some(recovery::Ecn::Ce)),
    ] {
        let header = UdpHeader { source, destination, ttl: 64, ecn: sent, dont_fragment: true };
        let mut packet = Packet::udp(Vec::new(), &header, b"x").unwrap();
        match super::node::arrived(socket, &mut packet) {
            Some(Input::Datagrams { ecn, .. }) => assert_eq!(ecn, heard),
            _ => panic!("it is a datagram"),
        }
    }
}
