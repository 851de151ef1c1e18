use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crust_proto::{Duration, Instant};

use super::*;
use crate::firewall::FirewallRules;
use crate::nat::{Answer, Filtering, Hairpin, NatConfig};
use crate::{
    ConnectOptions, HostEvent, IcmpKind, NetError, SendOptions, TcpId, TcpState, UdpError, UdpId, UdpOptions,
};

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
    // What is still sent to the old one does not even come as far as its wire.
    let came = Arc::new(AtomicU32::new(0));
    let seen = came.clone();
    world.set_tap(Some(Box::new(move |tapped| {
        seen.fetch_add(u32::from(tapped.host == a), Ordering::Relaxed);
    })));
    assert_eq!(carries(&mut world, there, here, SocketAddr::new(before, 1)), None);
    assert_eq!(came.load(Ordering::Relaxed), 0);
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

/// A TCP connection that is tried: when it was open or had failed, and why.
fn tried(world: &mut World, connection: TcpId, until: Instant) -> Option<(Instant, Option<NetError>)> {
    while world.run_until_event(until) {
        match world.poll_event() {
            Some((_, HostEvent::TcpConnected(id))) if id == connection => return Some((world.now(), None)),
            Some((_, HostEvent::TcpFailed(id, error))) if id == connection => {
                return Some((world.now(), Some(error)));
            }
            _ => {}
        }
    }
    None
}

const HOLD: Duration = Duration::from_secs(6);

/// A site whose gate holds unsolicited SYNs, its host, and a public host.
fn holding(world: &mut World, gate: &Gate) -> (Site, HostId, HostId) {
    let mut internet = Internet::new(world);
    let public = internet.host(world, WIRE());
    let config = SiteConfig { gates: vec![*gate], ..SiteConfig::of(Kind::Open, WIRE()) };
    let mut site = internet.site(world, &config);
    let inside = site.host(world);
    (site, inside, public)
}

fn gates_that_hold(answer: Answer, hold_syn: Duration) -> [Gate; 2] {
    let nat = NatConfig { hold_syn, ..NatConfig::default() }.both(|rules| rules.unsolicited = answer);
    let stateful = FirewallConfig::default();
    let tcp = FirewallRules { unsolicited: answer, ..stateful.tcp };
    [Gate::Nat(nat), Gate::Firewall(FirewallConfig { tcp, hold_syn, ..stateful })]
}

/// Where the site's port 5000 is for others.
fn port_5000(world: &World, site: &Site, inside: HostId, gate: &Gate) -> SocketAddr {
    let ip = match gate {
        Gate::Nat(_) => world.interface_addresses(site.uplink)[0].ip,
        Gate::Firewall(_) => address(world, inside, false),
    };
    SocketAddr::new(ip, 5000)
}

/// RFC 5382 REQ-4.
#[test]
fn an_unsolicited_syn_is_refused_when_it_has_been_held_and_not_before() {
    for answer in [Answer::Rst, Answer::Icmp] {
        for hold in [Duration::ZERO, HOLD] {
            for gate in gates_that_hold(answer, hold) {
                let mut world = World::new(1);
                let (site, inside, public) = holding(&mut world, &gate);
                let to = port_5000(&world, &site, inside, &gate);
                let connection = world.tcp_connect(public, to, ConnectOptions::default()).unwrap();
                let found = tried(&mut world, connection, Instant::ZERO + Duration::from_secs(60));
                // Two wires there and two back.
                let at = Instant::ZERO + hold + Duration::from_millis(40);
                assert_eq!(found, Some((at, Some(NetError::ConnectionRefused))), "{answer:?} {hold:?}");
            }
        }
    }
}

#[test]
fn a_held_syn_is_forgotten_where_one_from_inside_opens_the_same_connection() {
    for answer in [Answer::Rst, Answer::Icmp] {
        for gate in gates_that_hold(answer, HOLD) {
            let mut world = World::new(1);
            let (site, inside, public) = holding(&mut world, &gate);
            let to = port_5000(&world, &site, inside, &gate);
            let public_at = SocketAddr::new(address(&world, public, false), 6000);
            let local = |port| Some(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
            let options = |port| ConnectOptions { from: local(port), ..ConnectOptions::default() };
            let outer = world.tcp_connect(public, to, options(6000)).unwrap();
            let refusals = Arc::new(AtomicU32::new(0));
            let count = refusals.clone();
            world.set_tap(Some(Box::new(move |seen| {
                let refuses = seen.packet.is_icmp() || seen.packet.tcp_flags().is_some_and(|flags| flags.rst);
                count.fetch_add(refuses.into(), Ordering::Relaxed);
            })));
            world.run_for(Duration::from_secs(5));
            let inner = world.tcp_connect(inside, public_at, options(5000)).unwrap();
            // Beyond the time at which it would have been answered.
            world.run_for(Duration::from_secs(10));
            for id in [outer, inner] {
                assert_eq!(world.tcp_state(id), Ok(TcpState::Open), "{answer:?}");
            }
            assert_eq!(refusals.load(Ordering::Relaxed), 0, "{answer:?}");
        }
    }
}

#[test]
fn a_gate_that_reboots_answers_no_syn_that_it_held_before() {
    for gate in gates_that_hold(Answer::Rst, HOLD) {
        let mut world = World::new(1);
        let (mut site, inside, public) = holding(&mut world, &gate);
        let to = port_5000(&world, &site, inside, &gate);
        let connection = world.tcp_connect(public, to, ConnectOptions::default()).unwrap();
        world.run_for(Duration::from_millis(300));
        let router = site.routers[0];
        site.reboot(&mut world, router, false);
        let found = tried(&mut world, connection, Instant::ZERO + Duration::from_secs(60));
        // The next SYN is held anew: smoltcp repeats the first one after 700 ms.
        let (at, error) = found.unwrap();
        assert_eq!(error, Some(NetError::ConnectionRefused));
        assert!(at >= Instant::ZERO + Duration::from_millis(6740), "{at:?}");
    }
}

/// RFC 5508 REQ-7.
#[test]
fn an_error_about_a_hairpinned_packet_reaches_its_sender_in_the_words_of_that() {
    for (hairpin, home) in
        [(Hairpin::ExternalSource, false), (Hairpin::ExternalSource, true), (Hairpin::InternalSource, false)]
    {
        let mut world = World::new(1);
        let mut internet = Internet::new(&mut world);
        let public = internet.host(&mut world, WIRE());
        let open = NatConfig::default().both(|rules| {
            rules.hairpin = hairpin;
            rules.filtering = Filtering::EndpointIndependent;
        });
        let gates = vec![Gate::Nat(open); if home { 2 } else { 1 }];
        let config = SiteConfig { gates, ..SiteConfig::of(Kind::Open, WIRE()) };
        let mut site = internet.site(&mut world, &config);
        let (a, b) = (site.host(&mut world), site.host(&mut world));
        let there = bind(&mut world, public, 7, false);
        let to = SocketAddr::new(address(&world, public, false), 7);
        let (on_a, on_b) = (bind(&mut world, a, 5001, false), bind(&mut world, b, 5002, false));
        let of_b = carries(&mut world, on_b, there, to).unwrap();
        // Behind it nobody listens any more.
        world.udp_close(on_b);
        world.udp_send(on_a, of_b, SendOptions::default(), b"anybody there?").unwrap();
        world.run_for(Duration::from_secs(1));
        let error = world.udp_take_error(on_a).unwrap();
        // Who sees the sender's internal address answers past the NAT, about what the sender has not sent.
        let internal_b = SocketAddr::new(address(&world, b, false), 5002);
        let about = if hairpin == Hairpin::ExternalSource { of_b } else { internal_b };
        let expected = UdpError { kind: IcmpKind::PortUnreachable, reporter: about.ip(), to: about };
        assert_eq!(error, Some(expected), "{hairpin:?}, two gates: {home}");
    }
}

#[test]
fn a_gate_that_reboots_forgets_and_may_come_back_with_another_address() {
    let nat = || Kind::FullCone.gate();
    let firewall = || Kind::Firewall.gate();
    for gates in [
        vec![nat()],
        vec![firewall()],
        vec![nat(), nat()],
        vec![firewall(), nat()],
        vec![firewall(), firewall()],
    ] {
        for at in 0..gates.len() {
            for new_address in [false, true] {
                let mut world = World::new(1);
                let mut internet = Internet::new(&mut world);
                let public = internet.host(&mut world, WIRE());
                let config = SiteConfig { gates: gates.clone(), ..SiteConfig::of(Kind::Open, WIRE()) };
                let mut site = internet.site(&mut world, &config);
                let inside = site.host(&mut world);
                let (here, there) =
                    (bind(&mut world, inside, 5000, false), bind(&mut world, public, 7, false));
                let to = SocketAddr::new(address(&world, public, false), 7);
                let mut seen = carries(&mut world, here, there, to).unwrap();
                let router = site.routers[at];
                let mut addresses = BTreeSet::new();
                for round in 0..4 {
                    assert_eq!(carries(&mut world, there, here, seen), Some(to), "{round}");
                    let address = site.reboot(&mut world, router, new_address);
                    assert!(addresses.insert(address) || !new_address, "{address} again");
                    // Nobody is let in any more, by the old address or the new one.
                    assert_eq!(carries(&mut world, there, here, seen), None, "{gates:?} {at} {round}");
                    let before = std::mem::replace(&mut seen, carries(&mut world, here, there, to).unwrap());
                    let translates = matches!(gates[at], Gate::Nat(_)) && at + 1 == gates.len();
                    assert_eq!(before.ip() != seen.ip(), new_address && translates, "{gates:?} {at} {round}");
                }
                assert_eq!(addresses.len(), if new_address { 4 } else { 1 });
            }
        }
    }
}

#[test]
fn addresses_of_gates_come_round_and_are_never_those_of_neighbours() {
    let mut world = World::new(1);
    let mut internet = Internet::new(&mut world);
    let public = internet.host(&mut world, WIRE());
    let mut site = internet.site(&mut world, &SiteConfig::of(Kind::FullCone, WIRE()).behind(Kind::FullCone));
    let inside = site.host(&mut world);
    let (here, there) = (bind(&mut world, inside, 5000, false), bind(&mut world, public, 7, false));
    let to = SocketAddr::new(address(&world, public, false), 7);
    for round in 0..600 {
        for router in site.routers.clone() {
            site.reboot(&mut world, router, true);
        }
        if round % 50 == 0 || (245..260).contains(&round) {
            assert!(carries(&mut world, here, there, to).is_some(), "{round}");
        }
    }
}

#[test]
fn whoever_leaves_a_partitioned_lan_leaves_the_partition() {
    let mut world = World::new(1);
    let mut internet = Internet::new(&mut world);
    let wire = SiteConfig::of(Kind::FullCone, WIRE());
    let (mut old, mut new) = (internet.site(&mut world, &wire), internet.site(&mut world, &wire));
    let (mover, stays) = (old.host(&mut world), new.host(&mut world));
    let interface = world.interfaces(mover)[1];
    world.partition(old.lan, &[&[interface]]);
    new.welcome(&mut world, interface);
    let (here, there) = (bind(&mut world, mover, 5000, false), bind(&mut world, stays, 7, false));
    let to = SocketAddr::new(address(&world, stays, false), 7);
    assert!(carries(&mut world, here, there, to).is_some());
}

#[test]
fn the_rules_of_a_gate_change_while_the_world_runs() {
    let mut world = World::new(1);
    let mut internet = Internet::new(&mut world);
    let public = internet.host(&mut world, WIRE());
    let mut site = internet.site(&mut world, &SiteConfig::of(Kind::PortRestricted, WIRE()));
    let inside = site.host(&mut world);
    let (here, there) = (bind(&mut world, inside, 5000, false), bind(&mut world, public, 7, false));
    let stranger = bind(&mut world, public, 8, false);
    let to = SocketAddr::new(address(&world, public, false), 7);
    let seen = carries(&mut world, here, there, to).unwrap();
    assert_eq!(carries(&mut world, stranger, here, seen), None, "from another port");
    let router = site.routers[0];
    assert!(world.firewall_mut(router, false).is_none());
    let nat = world.nat_mut(router).unwrap();
    nat.set_config(nat.config().both(|rules| rules.filtering = Filtering::EndpointIndependent));
    assert!(carries(&mut world, stranger, here, seen).is_some(), "the mapping stands");
}
