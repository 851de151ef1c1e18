//! Sites on an internet: hosts behind NATs and firewalls of given kinds, in one call each.
//!
//! [`Internet::new`] makes the core: one router that every site and every public host hangs on by a wire of its own,
//! with a link's delays and faults on it. [`Internet::site`] adds a LAN behind one or several gates, the outermost
//! the last; [`Site::host`] puts a host there. Addresses are given out in order:
//!
//! | what | IPv4 | IPv6 |
//! |---|---|---|
//! | public hosts and outermost gates | 203.0.113.1, … (RFC 5737's documentation net and what follows it) | 2001:db8:0:n::1 |
//! | between gate k and the next | 100.(63+k).n.0/24 (RFC 6598), k from 1, the innermost | 2001:db8:(1+k):n::/64 |
//! | LANs behind a NAT | 192.168.n.0/24 (RFC 1918), the router .1, hosts from .11 on | 2001:db8:1:n::/64 |
//! | LANs behind a firewall alone | 198.51.n.0/24, routed | 2001:db8:1:n::/64 |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::firewall::{Firewall, FirewallConfig};
use crate::kinds::{Gate, Kind};
use crate::link::LinkConfig;
use crate::nat::Nat;
use crate::world::Middlebox;
use crate::{HostId, InterfaceId, Prefix, SegmentId, World};

/// Where public addresses begin.
const PUBLIC: u32 = u32::from_be_bytes([203, 0, 113, 0]);
/// The core's own address, on every wire.
const CORE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 255);
/// The core's own address in IPv6.
const CORE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xffff);
/// How many sites and public hosts one internet has room for: what the third byte of a LAN's net can tell.
pub const MOST_SITES: u8 = 250;
/// How many hosts one LAN has room for, all that ever were there counted.
pub const MOST_HOSTS: u8 = 240;

/// How a site is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteConfig {
    /// What stands between its LAN and the internet, the innermost first. None: the LAN is routed, open.
    pub gates: Vec<Gate>,
    /// The wire from the outermost gate to the internet; each gate's to the next is perfect.
    pub uplink: LinkConfig,
    /// Each interface on the LAN.
    pub lan: LinkConfig,
    /// Whether the site has IPv6, and the firewall before it.
    pub ipv6: Option<FirewallConfig>,
}

impl SiteConfig {
    /// A LAN behind one gate.
    pub fn of(kind: Kind, uplink: LinkConfig) -> Self {
        Self { gates: vec![kind.gate()], uplink, lan: LinkConfig::default(), ipv6: None }
    }

    /// The same behind one more gate: a home behind a carrier's.
    #[must_use]
    pub fn behind(mut self, kind: Kind) -> Self {
        self.gates.push(kind.gate());
        self
    }

    /// The same with IPv6 behind that firewall.
    #[must_use]
    pub fn with_ipv6(mut self, firewall: FirewallConfig) -> Self {
        self.ipv6 = Some(firewall);
        self
    }
}

/// The core of an internet.
#[derive(Debug)]
pub struct Internet {
    core: HostId,
    used: u8,
}

/// A LAN behind its gates.
#[derive(Debug)]
pub struct Site {
    /// The gates' routers, the innermost first; without a gate a plain router.
    pub routers: Vec<HostId>,
    /// The outermost router's interface to the internet.
    pub uplink: InterfaceId,
    /// The core's interface to it: what it sends is what the site receives.
    pub downlink: InterfaceId,
    /// The LAN.
    pub lan: SegmentId,
    link: LinkConfig,
    net: Ipv4Addr,
    net_v6: Option<Ipv6Addr>,
    hosts: u8,
    gates: Vec<Outside>,
}

/// The outside of a gate.
#[derive(Debug)]
struct Outside {
    interface: InterfaceId,
    address: Ipv4Addr,
    /// How many addresses it has had before.
    before: u8,
}

impl Internet {
    /// An internet without sites.
    pub fn new(world: &mut World) -> Self {
        Self { core: world.add_router(), used: 0 }
    }

    /// The core's router.
    pub const fn core(&self) -> HostId {
        self.core
    }

    /// A host with a public address of each IP version on a wire of its own.
    ///
    /// # Panics
    ///
    /// Beyond [`MOST_SITES`].
    pub fn host(&mut self, world: &mut World, uplink: LinkConfig) -> HostId {
        self.host_with(world, uplink, 1)
    }

    /// The same with so many IPv4 addresses, each of which counts as a site.
    ///
    /// # Panics
    ///
    /// Beyond [`MOST_SITES`].
    pub fn host_with(&mut self, world: &mut World, uplink: LinkConfig, addresses: u8) -> HostId {
        let host = world.add_host();
        let (at_host, at_core) = world.connect(host, self.core, uplink);
        let number = self.next();
        self.address(world, number, at_host, at_core);
        for _ in 1..addresses {
            let number = self.next();
            self.address(world, number, at_host, at_core);
        }
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, number.into(), 0, 0, 0, 1);
        world.add_address(at_host, v6.into(), 128);
        self.route_v6(world, at_core, Prefix::new(v6.into(), 128), None, at_host);
        host
    }

    /// A LAN behind gates.
    ///
    /// # Panics
    ///
    /// Beyond [`MOST_SITES`], and where a NAT's configuration is refused ([`Nat::new`]).
    pub fn site(&mut self, world: &mut World, config: &SiteConfig) -> Site {
        let number = self.next();
        let routed = !config.gates.iter().any(|gate| matches!(gate, Gate::Nat(_)));
        let net = match routed {
            true => Ipv4Addr::new(198, 51, number, 0),
            false => Ipv4Addr::new(192, 168, number, 0),
        };
        let lan = world.add_segment();
        let routers: Vec<HostId> = config.gates.iter().map(|_| world.add_router()).collect();
        let routers = if routers.is_empty() { vec![world.add_router()] } else { routers };
        let (inner, outer) = (routers[0], routers[routers.len() - 1]);

        let at_lan = world.add_interface(inner, lan, config.lan);
        world.add_address(at_lan, nth(net, 1).into(), 24);
        // From gate to gate, each on the inside of the next; and what nets there are, from the LAN outwards.
        let mut nets = vec![net];
        let mut gates = Vec::new();
        for (at, pair) in routers.windows(2).enumerate() {
            let (out, inside) = world.connect(pair[0], pair[1], LinkConfig::default());
            let between = Ipv4Addr::new(100, 64 + at as u8, number, 0);
            world.add_address(out, nth(between, 2).into(), 24);
            world.add_address(inside, nth(between, 1).into(), 24);
            world.set_gateway(out, nth(between, 1).into());
            let address = nth(between, 2);
            // On a wire the neighbour needs no name, and a new address changes no route.
            for net in self.known(config, &nets, at + 1) {
                world.add_route(pair[1], Prefix::new(net.into(), 24), inside, None, 0);
            }
            nets.push(between);
            gates.push(Outside { interface: out, address, before: 0 });
            self.gate(world, pair[0], out, config.gates.get(at), None, address.into());
        }
        let (uplink, downlink) = world.connect(outer, self.core, config.uplink);
        let public = self.address(world, number, uplink, downlink);
        for net in self.known(config, &nets, routers.len()) {
            world.add_route(self.core, Prefix::new(net.into(), 24), downlink, None, 0);
        }
        gates.push(Outside { interface: uplink, address: public, before: 0 });
        let net_v6 = config.ipv6.map(|_| Ipv6Addr::new(0x2001, 0xdb8, 1, number.into(), 0, 0, 0, 0));
        if let Some(net) = net_v6 {
            self.ipv6(world, net, at_lan, &routers, uplink, downlink);
        }
        let v6 = config.ipv6.map(|config| Box::new(Firewall::new(config)) as Box<dyn Middlebox>);
        self.gate(world, outer, uplink, config.gates.last(), v6, public.into());
        Site { routers, uplink, downlink, lan, link: config.lan, net, net_v6, hosts: 0, gates }
    }

    /// Gives a public host, by both ends of its wire, another IPv4 address in place of the one that it has: what a
    /// provider does that deals out leases anew. (For a gate's see [`Site::reboot`].)
    pub fn new_address(&self, world: &mut World, end: InterfaceId, at_core: InterfaceId) -> IpAddr {
        let before = world.interface_addresses(end).iter().find_map(|address| match address.ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        // The same place in the next net of 256.
        let public = IpAddr::from(Ipv4Addr::from(before.map_or(PUBLIC, u32::from).wrapping_add(256)));
        if let Some(before) = before {
            world.remove_route(self.core, Prefix::new(before.into(), 32));
        }
        world.add_route(self.core, Prefix::new(public, 32), at_core, None, 0);
        world.change_address(end, public, 32);
        public
    }

    /// Which of a site's nets are known so far outside: as far as no gate translates between. The nth net is inside the
    /// nth gate.
    fn known(&self, config: &SiteConfig, nets: &[Ipv4Addr], outside: usize) -> Vec<Ipv4Addr> {
        let routed = |from: usize| {
            let between = config.gates.get(from..outside.min(config.gates.len())).unwrap_or_default();
            between.iter().all(|gate| matches!(gate, Gate::Firewall(_)))
        };
        nets.iter().enumerate().filter(|(level, _)| routed(*level)).map(|(_, net)| *net).collect()
    }

    fn next(&mut self) -> u8 {
        assert!(self.used < MOST_SITES, "an internet has room for {MOST_SITES} sites");
        self.used += 1;
        self.used
    }

    /// Gives both ends of a wire to the core their addresses and routes.
    fn address(&self, world: &mut World, number: u8, end: InterfaceId, at_core: InterfaceId) -> Ipv4Addr {
        let public = Ipv4Addr::from(PUBLIC + u32::from(number));
        world.add_address(end, public.into(), 32);
        world.add_address(at_core, CORE.into(), 32);
        world.add_route(self.core, Prefix::new(public.into(), 32), at_core, None, 0);
        let host = world.host_of(end);
        world.add_route(host, Prefix::new(CORE.into(), 32), end, None, 0);
        world.set_gateway(end, CORE.into());
        public
    }

    /// Routes an IPv6 net to a wire's end, and everything else from there to the core.
    fn route_v6(
        &self,
        world: &mut World,
        at_core: InterfaceId,
        net: Prefix,
        via: Option<IpAddr>,
        end: InterfaceId,
    ) {
        world.add_address(at_core, CORE_V6.into(), 128);
        world.add_route(self.core, net, at_core, via, 0);
        let host = world.host_of(end);
        world.add_route(host, Prefix::new(CORE_V6.into(), 128), end, None, 0);
        world.set_gateway(end, CORE_V6.into());
    }

    /// IPv6 is routed through all gates.
    fn ipv6(
        &self,
        world: &mut World,
        net: Ipv6Addr,
        at_lan: InterfaceId,
        routers: &[HostId],
        uplink: InterfaceId,
        downlink: InterfaceId,
    ) {
        let [a, b, _, number, ..] = net.segments();
        world.add_address(at_lan, nth_v6(net, 1).into(), 64);
        let to_lan = Prefix::new(net.into(), 64);
        for (at, pair) in routers.windows(2).enumerate() {
            let between = Ipv6Addr::new(a, b, 2 + at as u16, number, 0, 0, 0, 0);
            // The wires between gates were made in order: the last interface of one, the one before of the other.
            let out = *world.interfaces(pair[0]).last().unwrap_or(&at_lan);
            let inside = world.interfaces(pair[1]).get(1).copied().unwrap_or(uplink);
            world.add_address(out, nth_v6(between, 2).into(), 64);
            world.add_address(inside, nth_v6(between, 1).into(), 64);
            world.set_gateway(out, nth_v6(between, 1).into());
            world.add_route(pair[1], to_lan, inside, Some(nth_v6(between, 2).into()), 0);
        }
        let outer = Ipv6Addr::new(a, b, 0, number, 0, 0, 0, 1);
        world.add_address(uplink, outer.into(), 128);
        self.route_v6(world, downlink, Prefix::new(outer.into(), 128), None, uplink);
        world.add_route(self.core, to_lan, downlink, Some(outer.into()), 0);
    }

    fn gate(
        &self,
        world: &mut World,
        router: HostId,
        outside: InterfaceId,
        gate: Option<&Gate>,
        v6: Option<Box<dyn Middlebox>>,
        address: IpAddr,
    ) {
        let rng = world.rng("gate", router.index() as u64);
        let v4 = gate.map(|gate| -> Box<dyn Middlebox> {
            match gate {
                Gate::Nat(config) => Box::new(Nat::new(*config, vec![address], rng)),
                Gate::Firewall(config) => Box::new(Firewall::new(*config)),
            }
        });
        world.set_middleboxes(outside, v4, v6);
    }
}

impl Site {
    /// One more host on the LAN.
    ///
    /// # Panics
    ///
    /// Beyond [`MOST_HOSTS`].
    pub fn host(&mut self, world: &mut World) -> HostId {
        let host = world.add_host();
        let interface = world.add_interface(host, self.lan, self.link);
        self.address(world, interface);
        host
    }

    /// Plugs the interface of a host of any site into this LAN: it gets addresses of this net, in place of those
    /// that it has, and this LAN's link. Where it is here already that is a new lease.
    ///
    /// # Panics
    ///
    /// Beyond 240 addresses given out here; addresses are not given out twice.
    pub fn welcome(&mut self, world: &mut World, interface: InterfaceId) {
        let before: Vec<IpAddr> = world.interface_addresses(interface).iter().map(|a| a.ip).collect();
        world.replug(interface, Some(self.lan));
        for ip in before {
            world.remove_address(interface, ip);
        }
        // There may be no IPv6 here.
        world.remove_route(world.host_of(interface), Prefix::V6);
        *world.link_mut(interface) = self.link;
        self.address(world, interface);
    }

    fn address(&mut self, world: &mut World, interface: InterfaceId) {
        assert!(self.hosts < MOST_HOSTS, "a LAN has room for {MOST_HOSTS} hosts");
        self.hosts += 1;
        world.add_address(interface, nth(self.net, 10 + self.hosts).into(), 24);
        world.set_gateway(interface, nth(self.net, 1).into());
        if let Some(net) = self.net_v6 {
            world.add_address(interface, nth_v6(net, 10 + u16::from(self.hosts)).into(), 64);
            world.set_gateway(interface, nth_v6(net, 1).into());
        }
    }

    /// A gate's router loses its power for a moment, and begins with empty tables. With `new_address` it has got another
    /// IPv4 address meanwhile, as many providers do: routes follow, and what is still sent to the old one gets nowhere.
    /// Its IPv6 stays. The address that it has now.
    ///
    /// New addresses are those of the table above in the next /24 each time, between gates the next ones of the net.
    /// Where the router shall be gone for a while: [`World::crash`], then [`World::restart`], then this.
    ///
    /// # Panics
    ///
    /// Where the router is none of the site's.
    pub fn reboot(&mut self, world: &mut World, router: HostId, new_address: bool) -> Ipv4Addr {
        let gate = self.routers.iter().position(|own| *own == router).and_then(|at| self.gates.get_mut(at));
        let gate = gate.unwrap_or_else(|| panic!("{router:?} is no router of this site"));
        if new_address {
            let outermost = gate.interface == self.uplink;
            let old = gate.address;
            gate.address = gate.next_address(outermost);
            gate.before = gate.before.wrapping_add(1);
            let (new, prefix) = (IpAddr::from(gate.address), if outermost { 32 } else { 24 });
            world.change_address(gate.interface, new, prefix);
            if outermost {
                let core = world.host_of(self.downlink);
                world.remove_route(core, Prefix::new(old.into(), 32));
                world.add_route(core, Prefix::new(new, 32), self.downlink, None, 0);
            }
        }
        world.reboot_middleboxes(router);
        gate.address
    }
}

impl Outside {
    fn next_address(&self, outermost: bool) -> Ipv4Addr {
        let [a, b, c, d] = self.address.octets();
        match outermost {
            // After the 256th it is the first again.
            true if self.before == u8::MAX => Ipv4Addr::from(PUBLIC + u32::from(d)),
            true => Ipv4Addr::from(u32::from(self.address) + 256),
            // The neighbour is .1.
            false => Ipv4Addr::new(a, b, c, if d == 254 { 2 } else { d + 1 }),
        }
    }
}

/// The nth address of a /24.
fn nth(net: Ipv4Addr, n: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(net) | u32::from(n))
}

fn nth_v6(net: Ipv6Addr, n: u16) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(net) | u128::from(n))
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
