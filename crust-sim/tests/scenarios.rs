//! What sessions promise, through every kind of NAT that needs no punching: the client is inside, the server public.

use std::cell::RefCell;

use crust_async::{CloseReason, Connection, Node, NodeEvent};
use crust_proto::{Duration, Priority};
use crust_sim::checks::Checks;
use crust_sim::kinds::Gate;
use crust_sim::{HostId, Internet, Kind, LinkConfig, Sim, Site, SiteConfig, seeds};

/// How many seeds each scenario is run with.
const SEEDS: u64 = 200;

/// A client behind gates, a public server, and the wires' weather.
struct Scene {
    sim: Sim,
    checks: Checks,
    site: RefCell<Site>,
    client: HostId,
    server: HostId,
    gates: Vec<Kind>,
}

/// The seed chooses the gates (one, or two in a row), the delays and the faults. Each fault is off in half of the
/// cases, so that each meets each in calm and storm.
fn scene(seed: u64) -> Scene {
    let sim = Sim::new(seed);
    let mut rng = sim.world().rng("scene", 0);
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| *kind != Kind::UdpBlocked).collect();
    let mut pick = || kinds[rng.below(kinds.len() as u64) as usize];
    let (inner, outer) = (pick(), pick());
    let mut maybe = |most: u64| if rng.chance(500_000) { rng.below(most + 1) } else { 0 };
    let uplink = LinkConfig {
        jitter: Duration::from_micros(maybe(20_000)),
        loss: maybe(100_000) as u32,
        duplicate: maybe(100_000) as u32,
        reorder: maybe(100_000) as u32,
        corrupt: maybe(50_000) as u32,
        rate: (maybe(1) == 1).then_some(10_000_000),
        ..LinkConfig::with_latency(Duration::from_micros(500 + maybe(80_000)))
    };
    let two = maybe(1) == 1;
    let config = SiteConfig::of(inner, uplink);
    let config = if two { config.behind(outer) } else { config };
    let gates = if two { vec![inner, outer] } else { vec![inner] };
    let mut world = sim.world();
    let mut internet = Internet::new(&mut world);
    let server = internet.host(&mut world, LinkConfig::with_latency(Duration::from_millis(5)));
    let mut site = internet.site(&mut world, &config);
    let client = site.host(&mut world);
    drop(world);
    let checks = Checks::on(&sim);
    Scene { sim, checks, site: site.into(), client, server, gates }
}

impl Scene {
    /// Both nodes, and both ends of a connection that the client made.
    async fn connect(&self) -> [(Node, Connection); 2] {
        let patient = |config: &mut crust_proto::Config| config.handshake.timeout = Duration::from_secs(120);
        let client = self.sim.builder(self.client).config(patient).bind().await.expect("a node");
        let server = self.sim.builder(self.server).config(patient).bind().await.expect("a node");
        self.checks.node(self.client, &client);
        self.checks.node(self.server, &server);
        let to = client.connect(server.contact()).await;
        let to = to.unwrap_or_else(|error| panic!("behind {:?}: {error}", self.gates));
        let from = server.accept().await.expect("a connection");
        [(client, to), (server, from)]
    }
}

fn content(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(seed | 1) >> 3) as u8).collect()
}

/// Sends all of it on a stream of its own, and waits until the peer has it.
async fn put(connection: &Connection, data: &[u8]) {
    let mut stream = connection.open_uni().await.expect("a stream");
    stream.write_all(data).await.expect("written");
    stream.finished().await.expect("arrived");
}

/// Everything that comes on the next stream.
async fn take(connection: &Connection) -> Vec<u8> {
    let mut stream = connection.accept_uni().await.expect("a stream");
    stream.read_to_end(1 << 20).await.expect("read")
}

/// Runs both to their ends.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut got_a, mut got_b) = (None, None);
    std::future::poll_fn(|cx| {
        if got_a.is_none()
            && let std::task::Poll::Ready(value) = a.as_mut().poll(cx)
        {
            got_a = Some(value);
        }
        if got_b.is_none()
            && let std::task::Poll::Ready(value) = b.as_mut().poll(cx)
        {
            got_b = Some(value);
        }
        if got_a.is_some() && got_b.is_some() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    (got_a.expect("ready"), got_b.expect("ready"))
}

#[test]
fn streams_arrive_whole_in_both_directions() {
    seeds(SEEDS, |seed| {
        let scene = scene(seed);
        scene.sim.run(async {
            let [(_client, to), (_server, from)] = scene.connect().await;
            let (up, down) = (content(seed, 60_000), content(seed ^ 7, 90_000));
            let send = both(put(&to, &up), put(&from, &down));
            let (_, (got_up, got_down)) = both(send, both(take(&from), take(&to))).await;
            assert!(got_up == up && got_down == down, "behind {:?}", scene.gates);
        });
    });
}

#[test]
fn messages_arrive_whole_in_order_and_acknowledged() {
    seeds(SEEDS, |seed| {
        let scene = scene(seed);
        scene.sim.run(async {
            let [(_client, to), (_server, from)] = scene.connect().await;
            let sizes = (0..10).map(|i| content(seed + i, 100 + 3000 * i as usize)).collect::<Vec<_>>();
            let send = async {
                for data in &sizes {
                    to.send_message_acked(Priority::default(), data).await.expect("acknowledged");
                }
            };
            let receive = async {
                for data in &sizes {
                    let message = from.recv_message().await.expect("a message");
                    assert!(message.data == data[..], "behind {:?}", scene.gates);
                }
            };
            both(send, receive).await;
        });
    });
}

#[test]
fn a_nat_that_reboots_in_mid_transfer_costs_no_byte() {
    seeds(SEEDS, |seed| {
        let scene = scene(seed);
        scene.world_rate(2_000_000);
        scene.sim.run(async {
            let [(_client, to), (_server, from)] = scene.connect().await;
            let data = content(seed, 400_000);
            let reboots = async {
                for _ in 0..2 {
                    scene.sim.sleep(Duration::from_millis(700)).await;
                    let mut world = scene.sim.world();
                    for router in &scene.site.borrow().routers {
                        world.reboot_middleboxes(*router);
                    }
                }
            };
            let ((), ((), got)) = both(reboots, both(put(&to, &data), take(&from))).await;
            assert!(got == data, "behind {:?}", scene.gates);
            assert_eq!((to.close_reason(), from.close_reason()), (None, None));
        });
    });
}

/// Sends some both ways, each side when the other is already sending.
async fn exchange(scene: &Scene, seed: u64, to: &Connection, from: &Connection) {
    let (up, down) = (content(seed, 30_000), content(seed ^ 5, 30_000));
    let send = both(put(to, &up), put(from, &down));
    let (_, (got_up, got_down)) = both(send, both(take(from), take(to))).await;
    assert!(got_up == up && got_down == down, "behind {:?}", scene.gates);
    assert_eq!((to.close_reason(), from.close_reason()), (None, None), "behind {:?}", scene.gates);
}

#[test]
fn a_nat_that_reboots_while_nobody_talks_costs_nothing_later() {
    seeds(SEEDS, |seed| {
        let scene = scene(seed);
        let (idle, new_address) = {
            let mut rng = scene.sim.world().rng("reboot", 0);
            (rng.up_to(Duration::from_secs(100)), rng.chance(500_000))
        };
        scene.sim.run(async {
            let [(_client, to), (_server, from)] = scene.connect().await;
            scene.sim.sleep(idle).await;
            scene.reboot(new_address);
            exchange(&scene, seed, &to, &from).await;
        });
    });
}

#[test]
fn a_host_whose_address_changes_in_mid_transfer_loses_no_byte() {
    seeds(SEEDS, |seed| {
        let scene = scene(seed);
        scene.world_rate(2_000_000);
        scene.sim.run(async {
            let [(_client, to), (_server, from)] = scene.connect().await;
            let data = content(seed, 400_000);
            let moves = async {
                for _ in 0..2 {
                    scene.sim.sleep(Duration::from_millis(700)).await;
                    scene.new_lease();
                }
            };
            let ((), ((), got)) = both(moves, both(put(&to, &data), take(&from))).await;
            assert!(got == data, "behind {:?}", scene.gates);
            assert_eq!((to.close_reason(), from.close_reason()), (None, None));
        });
    });
}

#[test]
fn a_host_whose_address_changes_while_nobody_talks_is_found_again() {
    seeds(SEEDS, |seed| {
        let scene = scene(seed);
        let idle = scene.sim.world().rng("lease", 0).up_to(Duration::from_secs(100));
        scene.sim.run(async {
            let [(_client, to), (_server, from)] = scene.connect().await;
            scene.sim.sleep(idle).await;
            scene.new_lease();
            exchange(&scene, seed, &to, &from).await;
        });
    });
}

#[test]
fn the_other_side_is_told_of_the_new_address() {
    seeds(SEEDS, |seed| {
        let scene = scene(seed);
        scene.sim.run(async {
            let [(_client, to), (server, from)] = scene.connect().await;
            let mut events = server.events();
            let before = from.remote_address().expect("connected");
            // Whatever stands between them, what the server sees of the client is another address now.
            scene.reboot(true);
            scene.new_lease();
            exchange(&scene, seed, &to, &from).await;
            let now = from.remote_address().expect("connected");
            assert_ne!(now.ip(), before.ip(), "behind {:?}", scene.gates);
            let mut known = before;
            while known != now {
                if let NodeEvent::AddressChanged { peer, from: old, to: new } =
                    events.next().await.expect("the node lives")
                {
                    assert_eq!((peer, old), (from.peer_id(), known), "behind {:?}", scene.gates);
                    known = new;
                }
            }
        });
    });
}

#[test]
fn a_close_reaches_the_peer_with_its_reason() {
    seeds(SEEDS, |seed| {
        let scene = scene(seed);
        scene.sim.run(async {
            let [(_client, to), (_server, from)] = scene.connect().await;
            from.close(7, b"enough");
            let heard = to.closed().await;
            assert_eq!(heard, CloseReason::ByPeer { code: 7, reason: b"enough".to_vec().into() });
        });
    });
}

/// A carrier's mapping lives for 35 seconds: keep-alives come sooner.
#[test]
fn no_mapping_expires_under_an_idle_connection() {
    seeds(SEEDS, |seed| {
        let scene = scene(seed);
        scene.sim.run(async {
            let [(_client, to), (_server, from)] = scene.connect().await;
            scene.sim.sleep(Duration::from_secs(600)).await;
            // From outside to inside: only a mapping that lives lets it in.
            both(
                async {
                    from.send_message_acked(Priority::default(), b"still there?").await.expect("acknowledged")
                },
                async { assert_eq!(to.recv_message().await.expect("a message").data, b"still there?") },
            )
            .await;
        });
    });
}

#[test]
fn who_passes_no_udp_is_told_that_nobody_answered() {
    let sim = Sim::new(1);
    let (client, server) = {
        let mut world = sim.world();
        let mut internet = Internet::new(&mut world);
        let wire = LinkConfig::with_latency(Duration::from_millis(5));
        let server = internet.host(&mut world, wire);
        let site = SiteConfig::of(Kind::UdpBlocked, wire);
        assert!(matches!(site.gates[..], [Gate::Nat(_)]));
        (internet.site(&mut world, &site).host(&mut world), server)
    };
    sim.run(async {
        let (client, server) =
            (sim.builder(client).bind().await.unwrap(), sim.builder(server).bind().await.unwrap());
        let error = client.connect(server.contact()).await.expect_err("no way");
        assert!(matches!(error, crust_async::ConnectError::NoAnswer(_)), "{error}");
    });
}

impl Scene {
    /// Limits what the site can send, in bits a second, so that a transfer takes a while.
    fn world_rate(&self, rate: u64) {
        self.sim.world().link_mut(self.site.borrow().uplink).rate = Some(rate);
    }

    /// All gates reboot, with other addresses or the same.
    fn reboot(&self, new_addresses: bool) {
        let (mut site, mut world) = (self.site.borrow_mut(), self.sim.world());
        for router in site.routers.clone() {
            site.reboot(&mut world, router, new_addresses);
        }
    }

    /// The client gets another address on its LAN.
    fn new_lease(&self) {
        let mut world = self.sim.world();
        let interface = world.interfaces(self.client)[1];
        self.site.borrow_mut().welcome(&mut world, interface);
    }
}
