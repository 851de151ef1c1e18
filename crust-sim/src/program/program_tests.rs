use std::io::IoSliceMut;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crust_async::proto::recovery;
use crust_async::{Connection, Node, RecvMeta, UdpSocket};
use crust_proto::{Priority, Transmit};

use super::*;
use crate::{Power, seeds};

/// Two nodes on one wire, and both ends of a connection.
struct Pair {
    sim: Sim,
    hosts: [HostId; 2],
}

fn pair(seed: u64, link: LinkConfig) -> Pair {
    let sim = Sim::new(seed);
    let (a, b) = sim.pair(link);
    Pair { sim, hosts: [a, b] }
}

async fn connected(pair: &Pair) -> [(Node, Connection); 2] {
    let [a, b] = pair.hosts;
    let a = pair.sim.builder(a).bind().await.unwrap();
    let b = pair.sim.builder(b).bind().await.unwrap();
    let ab = a.connect(b.contact()).await.unwrap();
    let ba = b.accept().await.unwrap();
    [(a, ab), (b, ba)]
}

fn lossy() -> LinkConfig {
    LinkConfig {
        loss: 50_000,
        jitter: Duration::from_millis(5),
        ..LinkConfig::with_latency(Duration::from_millis(20))
    }
}

/// Moves a megabyte, and returns the world's hash and time.
fn transfer(seed: u64) -> ([u8; 32], Instant) {
    let pair = pair(seed, lossy());
    pair.sim.run(async {
        let [(_a, ab), (_b, ba)] = connected(&pair).await;
        let data: Vec<u8> = (0..1_000_000u32).map(|i| (i / 7) as u8).collect();
        let sent = data.clone();
        pair.sim.spawn(pair.hosts[0], async move {
            let mut stream = ab.open_uni().await.unwrap();
            stream.write_all(&sent).await.unwrap();
            stream.finish().unwrap();
            ab.closed().await;
        });
        let mut stream = ba.accept_uni().await.unwrap();
        let mut got = vec![0; data.len()];
        stream.read_exact(&mut got).await.unwrap();
        assert!(got == data, "every byte, in order");
    });
    let world = pair.sim.world();
    (world.hash(), world.now())
}

#[test]
fn the_same_seed_is_the_same_run_and_another_seed_another() {
    let runs: Vec<_> = (0..8).map(transfer).collect();
    for (seed, run) in runs.iter().enumerate() {
        assert_eq!(transfer(seed as u64), *run, "seed {seed}");
    }
    let hashes: std::collections::BTreeSet<_> = runs.iter().map(|(hash, _)| hash).collect();
    assert_eq!(hashes.len(), runs.len(), "N seeds give N hashes");
}

#[test]
fn time_passes_only_in_the_world() {
    let sim = Sim::new(1);
    let began = sim.now();
    sim.run_for(Duration::from_secs(3600));
    assert_eq!(sim.now().saturating_since(began), Duration::from_secs(3600));
}

#[test]
#[should_panic(expected = "nothing will ever happen again")]
fn who_waits_for_what_nobody_will_do_is_found_out() {
    Sim::new(1).run(std::future::pending::<()>());
}

#[test]
#[should_panic(expected = "takes too long")]
fn a_program_that_never_ends_is_found_out() {
    let sim = Sim::new(1);
    sim.set_limit(Duration::from_secs(60));
    sim.run(async {
        loop {
            sim.sleep(Duration::from_secs(1)).await;
        }
    });
}

#[test]
fn a_crash_ends_the_hosts_programs_and_the_peer_hears_of_the_restart() {
    seeds(10, |seed| {
        let pair = pair(seed, lossy());
        let [a, b] = pair.hosts;
        let ticks = Arc::new(AtomicU64::new(0));
        pair.sim.run(async {
            let node = pair.sim.builder(a).bind().await.unwrap();
            let contact = {
                let server = pair.sim.builder(b).bind().await.unwrap();
                let contact = server.contact();
                let (runtime, ticks) = (pair.sim.runtime(b), ticks.clone());
                pair.sim.spawn(b, async move {
                    let _server = server;
                    loop {
                        ticks.fetch_add(1, Relaxed);
                        runtime.sleep(Duration::from_secs(1)).await;
                    }
                });
                contact
            };
            let connection = node.connect(contact).await.unwrap();
            pair.sim.sleep(Duration::from_secs(5)).await;
            pair.sim.world().crash(b);
            let seen = ticks.load(Relaxed);
            assert!((5..=7).contains(&seen), "{seen}");
            pair.sim.sleep(Duration::from_secs(5)).await;
            assert_eq!(ticks.load(Relaxed), seen, "its programs stand where they stood");
            pair.sim.world().restart(b);
            connection.closed().await;
        });
    });
}

#[test]
fn a_host_that_sleeps_keeps_its_programs() {
    let pair = pair(2, LinkConfig::with_latency(Duration::from_millis(20)));
    let [a, b] = pair.hosts;
    pair.sim.run(async {
        let [(_a, ab), (_b, ba)] = connected(&pair).await;
        pair.sim.world().suspend(b);
        ab.send_message(Priority::default(), b"are you there?").await.unwrap();
        pair.sim.sleep(Duration::from_secs(20)).await;
        assert_eq!(pair.sim.world().power(b), Power::Suspended);
        pair.sim.world().resume(b);
        assert_eq!(ba.recv_message().await.unwrap().data, b"are you there?");
        assert_eq!(pair.sim.world().power(a), Power::Up);
    });
}

/// The peer cannot know where it is until it says something; it says so by itself when it notices.
#[test]
fn a_host_that_gets_another_address_goes_on_from_there() {
    seeds(10, |seed| {
        let pair = pair(seed, lossy());
        let [a, _] = pair.hosts;
        pair.sim.run(async {
            let [(_a, ab), (_b, ba)] = connected(&pair).await;
            let new = IpAddr::from([10, 0, 0, 77]);
            {
                let mut world = pair.sim.world();
                let interface = world.interfaces(a)[1];
                world.change_address(interface, new, 24);
            }
            ba.send_message(Priority::default(), b"where are you?").await.unwrap();
            assert_eq!(ab.recv_message().await.unwrap().data, b"where are you?");
            assert_eq!(ba.remote_address().unwrap().ip(), new);
        });
    });
}

#[test]
fn a_program_started_after_a_crash_at_the_same_instant_lives() {
    let pair = pair(1, LinkConfig::default());
    let done = Arc::new(AtomicU64::new(0));
    let program = |name: u64| {
        let (done, runtime) = (done.clone(), pair.sim.runtime(pair.hosts[0]));
        async move {
            runtime.sleep(Duration::from_secs(1)).await;
            done.fetch_add(name, Relaxed);
        }
    };
    pair.sim.spawn(pair.hosts[0], program(1));
    pair.sim.run_for(Duration::from_millis(1));
    pair.sim.world().crash(pair.hosts[0]);
    pair.sim.world().restart(pair.hosts[0]);
    pair.sim.spawn(pair.hosts[0], program(10));
    pair.sim.run_for(Duration::from_secs(2));
    assert_eq!(done.load(Relaxed), 10, "the second alone");
}

#[test]
#[should_panic(expected = "programs never come to rest")]
fn programs_that_wake_themselves_without_end_are_found_out() {
    let pair = pair(1, LinkConfig::default());
    let runtime = pair.sim.runtime(pair.hosts[0]);
    pair.sim.spawn(pair.hosts[0], async move {
        loop {
            // A time that has passed: it is ready at once.
            runtime.sleep_until(Instant::ZERO).await;
            let mut yielded = false;
            core::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    });
    pair.sim.run_for(Duration::from_secs(1));
}

#[test]
fn a_node_knows_a_new_address_at_once_and_nobody_wakes_up_to_look_for_one() {
    let pair = pair(1, LinkConfig::default());
    let host = pair.hosts[0];
    pair.sim.run(async {
        let node = pair.sim.builder(host).bind().await.unwrap();
        pair.sim.sleep(Duration::from_secs(1)).await;
        let before = pair.sim.world().events_so_far();
        pair.sim.sleep(Duration::from_secs(3600)).await;
        assert_eq!(pair.sim.world().events_so_far(), before + 1, "the test's own timer");
        let interface = pair.sim.world().interfaces(host)[1];
        let new = IpAddr::from([10, 0, 0, 77]);
        pair.sim.world().change_address(interface, new, 24);
        pair.sim.sleep(Duration::from_millis(1)).await;
        assert!(node.contact().addresses().iter().any(|address| address.ip() == new));
    });
}

#[test]
fn a_socket_sets_the_ttl_and_the_mark_that_it_is_asked_for_and_tells_each_mark() {
    use crate::UdpOptions;

    let pair = pair(1, LinkConfig::default());
    let [a, b] = pair.hosts;
    let id = pair.sim.world().udp_bind(b, "0.0.0.0:7".parse().unwrap(), UdpOptions::default()).unwrap();
    let mut from = pair.sim.machine(a).bind_udp("0.0.0.0:5".parse().unwrap()).unwrap();
    let ttls = Arc::new(Mutex::new(Vec::new()));
    let seen = ttls.clone();
    pair.sim.world().set_tap(Some(Box::new(move |tapped| {
        if tapped.sight == crate::world::Sight::Arrived {
            seen.lock().unwrap().push(tapped.packet.ttl());
        }
    })));
    // Only an engine names sockets; any name will do.
    let mut other = crate::World::new(1);
    let host = other.add_host();
    let mut bare = crate::bare::Bare::new(other);
    let config = bare.config();
    let node = bare.add(host, config);
    let socket = bare.act(node, |engine, _| engine.bind("0.0.0.0:0".parse().unwrap()));
    let mut cx = Context::from_waker(Waker::noop());
    let to: SocketAddr = "10.0.0.2:7".parse().unwrap();
    let marks = [None, Some(recovery::Ecn::Ect0), Some(recovery::Ecn::Ect1), Some(recovery::Ecn::Ce)];
    let mut hearer = SimUdpSocket { sim: pair.sim.0.clone(), id, local: to };
    for (ttl, ecn) in [None, Some(9), Some(3), Some(1)].into_iter().zip(marks) {
        let transmit =
            Transmit { socket, to, from: None, ecn, ttl, dont_fragment: true, len: 1, segment: None };
        assert!(from.poll_send(&mut cx, &transmit, b"x").is_ready());
        pair.sim.run_for(Duration::from_millis(10));
        let (mut buffer, mut metas) = ([0; 10], [RecvMeta::default()]);
        let heard = hearer.poll_recv(&mut cx, &mut [IoSliceMut::new(&mut buffer)], &mut metas);
        assert!(matches!(heard, Poll::Ready(Ok(1))));
        assert_eq!(metas[0].ecn, ecn);
    }
    assert_eq!(*ttls.lock().unwrap(), [64, 9, 3, 1]);
}
