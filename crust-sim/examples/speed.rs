//! How many simulated datagrams a second one core moves through two NATs: `cargo run --release --example speed`.
//!
//! Two hosts behind a NAT each send datagrams of 1,200 bytes to one another in bursts, by way of a public segment;
//! each datagram is built, hashed, translated twice, counted down twice, checked and received. Nothing is encrypted.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // it measures how long the world takes

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crust_proto::{Duration, Instant};
use crust_sim::nat::Reason;
use crust_sim::world::{Inbound, Middlebox, Outbound};
use crust_sim::{Flow, HostId, LinkConfig, SendOptions, TcpFlags, UdpId, UdpOptions, World};

/// The least NAT there is: one port for each inner socket, open to all.
#[derive(Debug)]
struct Cone {
    outside: IpAddr,
    next: u16,
    out: BTreeMap<SocketAddr, u16>,
    back: BTreeMap<u16, SocketAddr>,
}

impl Middlebox for Cone {
    fn outbound(&mut self, flow: Flow, _: Option<TcpFlags>, _: Instant) -> Outbound {
        let port = *self.out.entry(flow.source).or_insert_with(|| {
            self.next += 1;
            self.back.insert(self.next, flow.source);
            self.next
        });
        Outbound::Forward { source: SocketAddr::new(self.outside, port) }
    }

    fn inbound(&mut self, flow: Flow, _: Option<TcpFlags>, _: Instant) -> Inbound {
        match self.back.get(&flow.destination.port()) {
            Some(destination) => Inbound::Forward { destination: *destination },
            None => Inbound::Drop(Reason::NoMapping),
        }
    }

    fn inbound_error(&mut self, quoted: Flow, _: Instant) -> Option<SocketAddr> {
        self.back.get(&quoted.source.port()).copied()
    }

    fn reboot(&mut self, _: &[IpAddr]) {
        self.out.clear();
        self.back.clear();
    }
}

fn site(
    world: &mut World,
    internet: crust_sim::SegmentId,
    number: u8,
) -> Result<HostId, crust_sim::NetError> {
    let (host, router) = (world.add_host(), world.add_router());
    let outside = IpAddr::from([203, 0, 113, number]);
    let (inner, lan) = world.connect(host, router, LinkConfig::default());
    world.add_address(inner, IpAddr::from([192, 168, number, 2]), 24);
    world.add_address(lan, IpAddr::from([192, 168, number, 1]), 24);
    world.set_gateway(inner, IpAddr::from([192, 168, number, 1]));
    let wan = world.add_interface(router, internet, LinkConfig::with_latency(Duration::from_millis(10)));
    world.add_address(wan, outside, 24);
    let nat = Cone { outside, next: 40_000, out: BTreeMap::new(), back: BTreeMap::new() };
    world.set_middleboxes(wan, Some(Box::new(nat)), None);
    Ok(host)
}

fn drain(world: &mut World, sockets: &[UdpId; 2], buffer: &mut [u8]) -> Result<u64, crust_sim::NetError> {
    let mut received = 0;
    while world.poll_event().is_some() {}
    for socket in sockets {
        while world.udp_recv(*socket, buffer)?.is_some() {
            received += 1;
        }
    }
    Ok(received)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const BURST: usize = 32;
    let size: usize = std::env::args().nth(1).map_or(Ok(1200), |size| size.parse())?;
    let total: u64 = std::env::args().nth(2).map_or(Ok(2_000_000), |total| total.parse())?;
    let mut world = World::new(1);
    let internet = world.add_segment();
    let (a, b) = (site(&mut world, internet, 1)?, site(&mut world, internet, 2)?);
    let any: SocketAddr = "0.0.0.0:5000".parse()?;
    let sockets =
        [world.udp_bind(a, any, UdpOptions::default())?, world.udp_bind(b, any, UdpOptions::default())?];
    let far: [SocketAddr; 2] = ["203.0.113.2:40001".parse()?, "203.0.113.1:40001".parse()?];
    let mut buffer = vec![0; 2000];
    let payload = vec![7; size];
    // Opens both NATs.
    for (socket, to) in sockets.iter().zip(far) {
        world.udp_send(*socket, to, SendOptions::default(), b"open")?;
    }
    world.run_for(Duration::from_millis(100));
    drain(&mut world, &sockets, &mut buffer)?;

    let begun = std::time::Instant::now();
    let mut received = 0;
    let options = SendOptions { dont_fragment: true, ..SendOptions::default() };
    while received < total {
        for _ in 0..BURST {
            for (socket, to) in sockets.iter().zip(far) {
                world.udp_send(*socket, to, options, &payload)?;
            }
        }
        // So that several bursts are under way at any time.
        world.run_for(Duration::from_millis(3));
        received += drain(&mut world, &sockets, &mut buffer)?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{received} datagrams of {size} bytes through two NATs in {seconds:.2} s: {:.0} a second, {} events",
        received as f64 / seconds,
        world.events_so_far()
    );
    Ok(())
}
