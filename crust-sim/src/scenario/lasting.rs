//! Faults that last, several of them at once: how things are follows from all that last now.

use std::collections::BTreeMap;

use super::plan::{Action, Direction, Fault, Member, PlaceKind, Which, Wire};
use super::run::Run;
use crate::InterfaceId;
use crate::kinds::Gate;
use crate::link::LinkConfig;

/// What lasts.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    /// The numbers of the steps that brought it, in the order in which they struck.
    steps: Vec<usize>,
    /// The links that it has changed, as they were before.
    before: BTreeMap<InterfaceId, LinkConfig>,
}

impl Run<'_> {
    /// From now on the fault of this step lasts.
    pub(super) fn begin(&self, step: usize) {
        self.lasting.borrow_mut().steps.push(step);
    }

    /// It does no longer. False where it has been ended before.
    pub(super) fn end(&self, step: usize) -> bool {
        let steps = &mut self.lasting.borrow_mut().steps;
        let at = steps.iter().position(|lasting| *lasting == step);
        at.map(|at| steps.remove(at)).is_some()
    }

    /// Ends all of a kind, however long they should have lasted.
    pub(super) fn end_all(&self, ended: impl Fn(&Fault) -> bool) {
        self.lasting.borrow_mut().steps.retain(|step| !self.fault(*step).is_some_and(&ended));
    }

    /// Whether one of a kind lasts.
    pub(super) fn lasts(&self, kind: impl Fn(&Fault) -> bool) -> bool {
        self.lasting().into_iter().any(kind)
    }

    fn lasting(&self) -> Vec<&Fault> {
        self.lasting.borrow().steps.iter().filter_map(|step| self.fault(*step)).collect()
    }

    fn fault(&self, step: usize) -> Option<&Fault> {
        match &self.plan.steps[step].action {
            Action::Fault(fault, _) => Some(fault),
            _ => None,
        }
    }

    /// A wire's links are as they were, but for what has been changed since and lasts, the latest last.
    pub(super) fn relink(&self, wire: Wire) {
        let mut world = self.sim.world();
        let (up, down) = self.built.borrow().ends(&world, self.plan, wire);
        for (interface, way) in [(Some(up), Direction::Up), (down, Direction::Down)] {
            let Some(interface) = interface else { continue };
            let link = world.link_mut(interface);
            let mut config = *self.lasting.borrow_mut().before.entry(interface).or_insert(*link);
            let mut outage = false;
            for fault in self.lasting() {
                match fault {
                    Fault::Link { wire: of, direction, change }
                        if *of == wire && (*direction == way || *direction == Direction::Both) =>
                    {
                        change.iter().for_each(|setting| setting.set(&mut config));
                    }
                    Fault::Outage { wire: of, out: true } if *of == wire => outage = true,
                    Fault::Outage { wire: of, out: false } if *of == wire => config.up = true,
                    _ => {}
                }
            }
            config.up &= !outage;
            *link = config;
        }
    }

    /// A host on a LAN has another link from now on, and what was done to the one before is over.
    pub(super) fn forget_link(&self, host: usize) {
        self.end_all(|fault| matches!(fault, Fault::Link { wire: Wire::Host(of), .. } if *of == host));
        let interface = self.built.borrow().interface(&self.sim.world(), host);
        self.lasting.borrow_mut().before.remove(&interface);
    }

    /// On a site's LAN hear each other who are in the same group of each cut that lasts.
    pub(super) fn repartition(&self, place: usize) {
        let built = self.built.borrow();
        let mut world = self.sim.world();
        let Some(site) = &built.places[place].site else { return };
        let cuts: Vec<&Vec<Vec<Member>>> = self
            .lasting()
            .into_iter()
            .filter_map(|fault| match fault {
                Fault::Partition { place: of, groups } if *of == place => Some(groups),
                _ => None,
            })
            .collect();
        // The number of everybody's group in each cut; zero is the group of all that are not named.
        let mut numbers: BTreeMap<InterfaceId, Vec<usize>> = BTreeMap::new();
        for (cut, groups) in cuts.iter().enumerate() {
            for (number, group) in (1..).zip(*groups) {
                for member in group {
                    let interface = match member {
                        Member::Host(host) => Some(built.interface(&world, *host)),
                        // The first after the loopback.
                        Member::Gate => {
                            site.routers.first().and_then(|gate| world.interfaces(*gate).get(1).copied())
                        }
                    };
                    // Who has moved away is cut off from nobody here.
                    let here = interface.filter(|here| world.segment_of(*here) == Some(site.lan));
                    if let Some(interface) = here {
                        numbers.entry(interface).or_insert_with(|| vec![0; cuts.len()])[cut] = number;
                    }
                }
            }
        }
        let mut cells: BTreeMap<Vec<usize>, Vec<InterfaceId>> = BTreeMap::new();
        for (interface, numbers) in numbers {
            cells.entry(numbers).or_default().push(interface);
        }
        let cells: Vec<&[InterfaceId]> = cells.values().map(Vec::as_slice).collect();
        world.partition(site.lan, &cells);
    }

    /// The gates of a site, and the firewall before its IPv6, have the rules of the file, but for what has been changed
    /// since and lasts; the outermost and the firewall block UDP as long as that lasts, whatever their rules are.
    pub(super) fn regate(&self, place: usize) {
        let built = self.built.borrow();
        let Some(site) = &built.places[place].site else { return };
        let PlaceKind::Site(config) = &self.plan.places[place].kind else { return };
        let mut rules = config.gates.clone();
        let mut ipv6 = config.ipv6;
        let mut blocked = false;
        for fault in self.lasting() {
            match fault {
                Fault::Gate { place: of, which, rules: other } if *of == place => match (which, **other) {
                    (Which::Nth(gate), other) => rules[*gate] = other,
                    (Which::Ipv6, Gate::Firewall(other)) => ipv6 = Some(other),
                    (Which::Ipv6, Gate::Nat(_)) => {}
                },
                Fault::BlockUdp { place: of, blocked: true } if *of == place => blocked = true,
                Fault::BlockUdp { place: of, blocked: false } if *of == place => {
                    rules.last_mut().into_iter().for_each(|gate| block(gate, false));
                    ipv6.iter_mut().for_each(|firewall| firewall.udp_blocked = false);
                }
                _ => {}
            }
        }
        if blocked {
            rules.last_mut().into_iter().for_each(|gate| block(gate, true));
            ipv6.iter_mut().for_each(|firewall| firewall.udp_blocked = true);
        }
        let mut world = self.sim.world();
        for (router, rules) in site.routers.iter().zip(rules) {
            match rules {
                Gate::Nat(config) => {
                    world.nat_mut(*router).into_iter().for_each(|nat| nat.set_config(config));
                }
                Gate::Firewall(config) => {
                    let firewall = world.firewall_mut(*router, false);
                    firewall.into_iter().for_each(|firewall| firewall.set_config(config));
                }
            }
        }
        if let Some((outermost, config)) = site.routers.last().zip(ipv6) {
            let firewall = world.firewall_mut(*outermost, true);
            firewall.into_iter().for_each(|firewall| firewall.set_config(config));
        }
    }
}

fn block(gate: &mut Gate, udp: bool) {
    match gate {
        Gate::Nat(config) => config.udp_blocked = udp,
        Gate::Firewall(config) => config.udp_blocked = udp,
    }
}
