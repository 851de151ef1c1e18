use std::net::SocketAddr;

use crust_proto::Duration;

use super::*;
use crate::{SendOptions, UdpId, UdpOptions};

const WIRE: fn() -> LinkConfig = || LinkConfig::with_latency(Duration::from_millis(10));

fn bind(world: &mut World, host: HostId, port: u16, v6: bool) -> UdpId {
    let any: IpAddr = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    world.udp_bind(host, SocketAddr::new(any, port), UdpOptions::default()).unwrap()
}

/// Sends one datagram and lets it arrive. Where it says that it comes from, if it does.
fn carries(world: &mut World, from: UdpId, to: UdpId, address: SocketAddr) -> Option<SocketAddr> {
    world.udp_send(from, address, SendOptions::default(), b"hello").unwrap();
    world.run_for(Duration::from_secs(1));
    let mut buffer = [0; 10];
    world.udp_recv(to, &mut buffer).unwrap().map(|received| received.from)
}

fn address(world: &World, host: HostId, v6: bool) -> IpAddr {
    world.addresses(host).map(|a| a.ip).find(|ip| ip.is_ipv6() == v6).unwrap()
}

/// Out to a public host, back to where that saw it come from, and from a stranger.
#[test]
fn every_kind_lets_out_and_answers_in_and_only_the_open_ones_let_strangers_in() {
    for kind in Kind::ALL {
        for nested in [false, true] {
            let mut world = World::new(1);
            let mut internet = Internet::new(&mut world);
            let (public, stranger) = (internet.host(&mut world, WIRE()), internet.host(&mut world, WIRE()));
            let config = SiteConfig::of(kind, WIRE());
            let config = if nested { config.behind(Kind::FullCone) } else { config };
            let inside = internet.site(&mut world, &config).host(&mut world);
            let here = bind(&mut world, inside, 5000, false);
            let there = bind(&mut world, public, 7, false);
            let elsewhere = bind(&mut world, stranger, 7, false);
            let to = SocketAddr::new(address(&world, public, false), 7);
            let seen = carries(&mut world, here, there, to);
            assert_eq!(seen.is_none(), kind == Kind::UdpBlocked, "{kind}, nested: {nested}");
            let Some(seen) = seen else { continue };
            assert_eq!(carries(&mut world, there, here, seen), Some(to), "{kind}, nested: {nested}");
            let open = matches!(kind, Kind::Open | Kind::FullCone);
            assert_eq!(
                carries(&mut world, elsewhere, here, seen).is_some(),
                open,
                "{kind}, nested: {nested}"
            );
        }
    }
}

#[test]
fn ipv6_passes_all_gates_untranslated_and_its_firewall_keeps_strangers_out() {
    for gates in [vec![], vec![Kind::PortRestricted], vec![Kind::Symmetric, Kind::CarrierGrade]] {
        let mut world = World::new(2);
        let mut internet = Internet::new(&mut world);
        let public = internet.host(&mut world, WIRE());
        let config = SiteConfig {
            gates: gates.iter().map(|kind| kind.gate()).collect(),
            ..SiteConfig::of(Kind::Open, WIRE()).with_ipv6(FirewallConfig::default())
        };
        let inside = internet.site(&mut world, &config).host(&mut world);
        let (here, there) = (bind(&mut world, inside, 5000, true), bind(&mut world, public, 7, true));
        let own = SocketAddr::new(address(&world, inside, true), 5000);
        let to = SocketAddr::new(address(&world, public, true), 7);
        assert_eq!(carries(&mut world, there, here, own), None, "{gates:?}");
        assert_eq!(carries(&mut world, here, there, to), Some(own), "{gates:?}");
        assert_eq!(carries(&mut world, there, here, own), Some(to), "{gates:?}");
    }
}

#[test]
fn two_hosts_of_one_lan_hear_each_other_directly() {
    let mut world = World::new(3);
    let mut internet = Internet::new(&mut world);
    let mut site = internet.site(&mut world, &SiteConfig::of(Kind::Symmetric, WIRE()));
    let (a, b) = (site.host(&mut world), site.host(&mut world));
    let (here, there) = (bind(&mut world, a, 1, false), bind(&mut world, b, 2, false));
    let to = SocketAddr::new(address(&world, b, false), 2);
    let own = SocketAddr::new(address(&world, a, false), 1);
    assert_eq!(carries(&mut world, here, there, to), Some(own));
}
