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

#[test]
fn a_gate_with_a_new_address_is_reached_there_and_no_longer_at_the_old_one() {
    for kind in [Kind::FullCone, Kind::Open] {
        let mut world = World::new(4);
        let mut internet = Internet::new(&mut world);
        let public = internet.host(&mut world, WIRE());
        let mut site = internet.site(&mut world, &SiteConfig::of(kind, WIRE()));
        let inside = site.host(&mut world);
        let (here, there) = (bind(&mut world, inside, 5000, false), bind(&mut world, public, 7, false));
        let to = SocketAddr::new(address(&world, public, false), 7);
        let before = carries(&mut world, here, there, to).unwrap();
        let new = internet.new_address(&mut world, site.uplink, site.downlink);
        world.reboot_middleboxes(site.routers[0]);
        let after = carries(&mut world, here, there, to).unwrap();
        // Behind a firewall alone the host has an address of its own.
        let own = address(&world, inside, false);
        assert_eq!(after.ip(), if kind == Kind::Open { own } else { new });
        assert_eq!(carries(&mut world, there, here, after), Some(to), "{kind}");
        assert_eq!(carries(&mut world, there, here, before).is_some(), kind == Kind::Open, "{kind}");
    }
}

#[test]
fn a_public_host_with_a_new_address_sends_from_there() {
    let mut world = World::new(5);
    let mut internet = Internet::new(&mut world);
    let (a, b) = (internet.host(&mut world, WIRE()), internet.host(&mut world, WIRE()));
    let before = address(&world, a, false);
    let (up, down) = (world.interfaces(a)[1], world.interfaces(internet.core())[1]);
    let new = internet.new_address(&mut world, up, down);
    assert_ne!(new, before);
    let (here, there) = (bind(&mut world, a, 1, false), bind(&mut world, b, 2, false));
    let to = SocketAddr::new(address(&world, b, false), 2);
    assert_eq!(carries(&mut world, here, there, to), Some(SocketAddr::new(new, 1)));
    assert_eq!(carries(&mut world, there, here, SocketAddr::new(new, 1)), Some(to));
    assert_eq!(carries(&mut world, there, here, SocketAddr::new(before, 1)), None);
}

/// From a LAN with IPv6 to one without, back, and a new lease where it is.
#[test]
fn a_host_that_is_plugged_in_elsewhere_has_addresses_of_there_and_no_others() {
    let mut world = World::new(6);
    let mut internet = Internet::new(&mut world);
    let public = internet.host(&mut world, WIRE());
    let with = SiteConfig::of(Kind::PortRestricted, WIRE()).with_ipv6(FirewallConfig::default());
    let (mut home, mut office) = (
        internet.site(&mut world, &with),
        internet.site(&mut world, &SiteConfig::of(Kind::Symmetric, WIRE())),
    );
    let host = home.host(&mut world);
    let interface = world.interfaces(host)[1];
    let there = bind(&mut world, public, 7, false);
    let to = SocketAddr::new(address(&world, public, false), 7);
    for (site, nets) in [(&mut office, 1), (&mut home, 2)] {
        let here = bind(&mut world, host, 0, false);
        let before = address(&world, host, false);
        site.welcome(&mut world, interface);
        assert_eq!(world.segment_of(interface), Some(site.lan));
        assert_ne!(address(&world, host, false), before);
        assert_eq!(world.addresses(host).count(), nets);
        assert_eq!(world.gateway(host, true).is_some(), nets == 2);
        let seen = carries(&mut world, here, there, to).unwrap();
        assert_eq!(seen.ip(), world.interface_addresses(site.uplink)[0].ip);
        assert_eq!(carries(&mut world, there, here, seen), Some(to));
    }
    let before: Vec<IpAddr> = world.addresses(host).map(|a| a.ip).collect();
    home.welcome(&mut world, interface);
    assert!(world.addresses(host).all(|a| !before.contains(&a.ip)) && world.addresses(host).count() == 2);
}

#[test]
fn udp_is_blocked_and_allowed_again_at_any_gate() {
    for kind in [Kind::PortRestricted, Kind::Firewall, Kind::Open] {
        let mut world = World::new(7);
        let mut internet = Internet::new(&mut world);
        let public = internet.host(&mut world, WIRE());
        let mut site = internet.site(&mut world, &SiteConfig::of(kind, WIRE()));
        let inside = site.host(&mut world);
        let (here, there) = (bind(&mut world, inside, 5000, false), bind(&mut world, public, 7, false));
        let to = SocketAddr::new(address(&world, public, false), 7);
        for blocked in [false, true, false] {
            world.middlebox_mut(site.routers[0], false).unwrap().block_udp(blocked);
            assert_eq!(carries(&mut world, here, there, to).is_none(), blocked, "{kind}");
        }
    }
}
