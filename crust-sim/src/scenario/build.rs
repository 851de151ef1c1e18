//! The world that a file describes.

use super::plan::{Place, PlaceKind, Plan, Wire};
use crate::record::Recorder;
use crate::{HostId, InterfaceId, Internet, Sim, Site, World};

/// A world as built, and where in it things are.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) internet: Internet,
    pub(super) places: Vec<BuiltPlace>,
    /// The plan's hosts.
    pub(super) hosts: Vec<HostId>,
}

/// A site or a public host.
#[derive(Debug)]
pub(super) struct BuiltPlace {
    /// `None` for a public host.
    pub(super) site: Option<Site>,
    /// The outermost interface, …
    pub(super) up: InterfaceId,
    /// … and the core's at the other end of the wire.
    pub(super) down: InterfaceId,
}

impl Built {
    pub(super) fn new(sim: &Sim, plan: &Plan, recorder: Option<&Recorder>) -> Self {
        let mut world = sim.world();
        let internet = Internet::new(&mut world);
        let mut built = Self { internet, places: Vec::new(), hosts: Vec::new() };
        for (number, place) in plan.places.iter().enumerate() {
            let count = plan.hosts.iter().filter(|host| host.place == number).count();
            built.place(&mut world, place, count);
        }
        drop(world);
        if let Some(recorder) = recorder {
            built.name(plan, recorder);
        }
        built
    }

    fn place(&mut self, world: &mut World, place: &Place, hosts: usize) {
        let built = match &place.kind {
            PlaceKind::Site(config) => {
                let mut site = self.internet.site(world, config);
                self.hosts.extend((0..hosts).map(|_| site.host(world)));
                BuiltPlace { up: site.uplink, down: site.downlink, site: Some(site) }
            }
            PlaceKind::Public(link) => {
                let host = self.internet.host(world, *link);
                self.hosts.push(host);
                // Its wire was the last that was made.
                let last = |host| world.interfaces(host).last().copied();
                let (up, down) = last(host).zip(last(self.internet.core())).expect("a wire has two ends");
                BuiltPlace { site: None, up, down }
            }
        };
        if let Some(down) = place.down {
            *world.link_mut(built.down) = down;
        }
        self.places.push(built);
    }

    /// Names everybody, in the order of a picture: the first place from its hosts outwards, the core, the others from
    /// outside inwards.
    fn name(&self, plan: &Plan, recorder: &Recorder) {
        for (number, (place, built)) in plan.places.iter().zip(&self.places).enumerate() {
            let hosts = plan.hosts.iter().zip(&self.hosts).filter(|(host, _)| host.place == number);
            let hosts = hosts.map(|(host, id)| (*id, host.name.clone()));
            let routers = built.site.as_ref().map_or(&[][..], |site| &site.routers);
            let gates = routers.iter().enumerate().map(|(gate, id)| match routers.len() {
                1 => (*id, format!("{}'s gate", place.name)),
                _ => (*id, format!("{}'s gate {}", place.name, gate + 1)),
            });
            let mut row: Vec<(HostId, String)> = hosts.chain(gates).collect();
            if number == 0 {
                row.push((self.internet.core(), "internet".to_owned()));
            } else {
                row.reverse();
            }
            row.iter().for_each(|(host, name)| recorder.name(*host, name));
        }
    }

    /// The interfaces at both ends of a wire: what goes up, and what comes down, where that is one link.
    pub(super) fn ends(&self, world: &World, plan: &Plan, wire: Wire) -> (InterfaceId, Option<InterfaceId>) {
        let ends = |place: usize| (self.places[place].up, Some(self.places[place].down));
        match wire {
            Wire::Site(place) => ends(place),
            Wire::Host(host) => match plan.places[plan.hosts[host].place].kind {
                PlaceKind::Public(_) => ends(plan.hosts[host].place),
                PlaceKind::Site(_) => (self.interface(world, host), None),
            },
        }
    }

    /// A host's only interface but the loopback.
    pub(super) fn interface(&self, world: &World, host: usize) -> InterfaceId {
        world.interfaces(self.hosts[host]).last().copied().expect("every host has one")
    }
}
