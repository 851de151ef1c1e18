//! What goes wrong in a run, and how it is taken back.

use crust_proto::Duration;

use super::plan::{Direction, Fault, Member, Wire};
use super::run::{Outcome, Run};
use super::traffic::Entries;
use super::units::Time;
use crate::link::LinkConfig;
use crate::{InterfaceId, World};

/// What a fault has changed.
pub(super) enum Undo {
    /// There is nothing to take back.
    Nothing,
    /// Links as they were.
    Links(Vec<(InterfaceId, LinkConfig)>),
    /// The fault that is its contrary.
    Contrary(Fault),
}

impl Run<'_> {
    /// Lets something happen now; what takes it back.
    pub(super) async fn strike(&self, fault: &Fault) -> Result<Undo, String> {
        match fault {
            Fault::Link { wire, direction, change } => {
                let before = self.links(*wire, *direction);
                self.say(None, format!("the link of {} changes", self.wire_name(*wire)));
                let mut world = self.sim.world();
                for (interface, _) in &before {
                    change.iter().for_each(|setting| setting.set(world.link_mut(*interface)));
                }
                Ok(Undo::Links(before))
            }
            Fault::Outage { wire, out } => {
                let ends = self.links(*wire, Direction::Both);
                let what = if *out { "has an outage" } else { "is up again" };
                self.say(None, format!("the link of {} {what}", self.wire_name(*wire)));
                let mut world = self.sim.world();
                ends.iter().for_each(|(interface, _)| world.link_mut(*interface).up = !out);
                Ok(Undo::Contrary(Fault::Outage { wire: *wire, out: !out }))
            }
            Fault::Partition { place, groups } => {
                let what = if groups.is_empty() { "whole again" } else { "cut in parts" };
                self.say(None, format!("the LAN of {} is {what}", self.plan.place(*place)));
                self.partition(*place, groups);
                Ok(Undo::Contrary(Fault::Partition { place: *place, groups: Vec::new() }))
            }
            Fault::Reboot { place, gate, new_address } => {
                self.reboot(*place, *gate, *new_address);
                Ok(Undo::Nothing)
            }
            Fault::BlockUdp { place, blocked } => {
                let what = if *blocked { "blocks UDP" } else { "lets UDP pass" };
                self.say(None, format!("{} {what}", self.plan.place(*place)));
                self.block_udp(*place, *blocked);
                Ok(Undo::Contrary(Fault::BlockUdp { place: *place, blocked: !blocked }))
            }
            Fault::Crash { host, down: true } => {
                self.crash(*host).await;
                Ok(Undo::Contrary(Fault::Crash { host: *host, down: false }))
            }
            Fault::Crash { host, down: false } => {
                self.restart(*host).await?;
                Ok(Undo::Nothing)
            }
            Fault::Suspend { host, asleep } => {
                let what = if *asleep { "goes to sleep" } else { "wakes up" };
                let id = self.say_of_host(*host, what);
                match asleep {
                    true => self.sim.world().suspend(id),
                    false => self.sim.world().resume(id),
                }
                Ok(Undo::Contrary(Fault::Suspend { host: *host, asleep: !asleep }))
            }
            Fault::Unplug { host, out } => {
                self.say_of_host(*host, if *out { "is unplugged" } else { "is plugged in" });
                let mut world = self.sim.world();
                let interface = self.built.borrow().interface(&world, *host);
                world.set_interface_up(interface, !out);
                Ok(Undo::Contrary(Fault::Unplug { host: *host, out: !out }))
            }
            Fault::JumpClock { host, by, back } => {
                let sign = if *back { "back" } else { "on" };
                let id = self.say_of_host(*host, &format!("sets its clock {sign} by {}", Time(*by)));
                self.sim.world().jump_wall(id, *by, *back);
                Ok(Undo::Nothing)
            }
            Fault::SkewClock { host, ppm } => {
                let id = self.say_of_host(*host, &format!("has a clock that is fast by {ppm} millionths"));
                self.sim.world().set_skew(id, *ppm);
                Ok(Undo::Nothing)
            }
            Fault::NewAddress { host } => {
                self.say_of_host(*host, "gets another address");
                self.new_address(*host);
                Ok(Undo::Nothing)
            }
            Fault::Move { host, place } => {
                self.say_of_host(*host, &format!("moves to {}", self.plan.place(*place)));
                self.welcome(*host, *place);
                Ok(Undo::Nothing)
            }
        }
    }

    /// Takes back what was struck.
    pub(super) async fn take_back(&self, undo: Undo) -> Outcome {
        match undo {
            Undo::Nothing => Ok(()),
            Undo::Links(before) => {
                self.say(None, "the link is as it was".to_owned());
                let mut world = self.sim.world();
                before.into_iter().for_each(|(interface, config)| *world.link_mut(interface) = config);
                Ok(())
            }
            Undo::Contrary(fault) => Box::pin(self.strike(&fault)).await.map(|_| ()),
        }
    }

    /// Both ends' links, or one's, as they are now.
    fn links(&self, wire: Wire, direction: Direction) -> Vec<(InterfaceId, LinkConfig)> {
        let mut world = self.sim.world();
        let (up, down) = self.built.borrow().ends(&world, self.plan, wire);
        let up = Some(up).filter(|_| direction != Direction::Down);
        let down = down.filter(|_| direction != Direction::Up);
        up.into_iter().chain(down).map(|interface| (interface, *world.link_mut(interface))).collect()
    }

    fn wire_name(&self, wire: Wire) -> &str {
        match wire {
            Wire::Site(place) => self.plan.place(place),
            Wire::Host(host) => self.plan.host(host),
        }
    }

    fn partition(&self, place: usize, groups: &[Vec<Member>]) {
        let built = self.built.borrow();
        let mut world = self.sim.world();
        let Some(site) = &built.places[place].site else { return };
        let interface = |world: &World, member: &Member| match member {
            Member::Host(host) => Some(built.interface(world, *host)),
            // The first after the loopback.
            Member::Gate => world.interfaces(*site.routers.first()?).get(1).copied(),
        };
        let cells: Vec<Vec<InterfaceId>> = groups
            .iter()
            .map(|group| group.iter().filter_map(|member| interface(&world, member)).collect())
            .collect();
        let cells: Vec<&[InterfaceId]> = cells.iter().map(Vec::as_slice).collect();
        world.partition(site.lan, &cells);
    }

    fn reboot(&self, place: usize, gate: Option<usize>, new_address: bool) {
        let mut built = self.built.borrow_mut();
        let Some(site) = &mut built.places[place].site else { return };
        let (which, verb) = match gate {
            Some(gate) => (format!("gate {}", gate + 1), "reboots"),
            None => ("all gates".to_owned(), "reboot"),
        };
        let with = if new_address { " with a new address" } else { "" };
        self.say(
            site.routers.first().copied(),
            format!("{which} of {} {verb}{with}", self.plan.place(place)),
        );
        let mut world = self.sim.world();
        for (number, router) in site.routers.clone().into_iter().enumerate() {
            // Where all reboot, it is the provider that has another address for the outermost.
            let outermost = number + 1 == site.routers.len();
            match gate {
                Some(gate) if gate == number => site.reboot(&mut world, router, new_address),
                None => site.reboot(&mut world, router, new_address && outermost),
                Some(_) => continue,
            };
        }
    }

    fn block_udp(&self, place: usize, blocked: bool) {
        let built = self.built.borrow();
        let Some(site) = &built.places[place].site else { return };
        let mut world = self.sim.world();
        let Some(outermost) = site.routers.last() else { return };
        for ipv6 in [false, true] {
            if let Some(middlebox) = world.middlebox_mut(*outermost, ipv6) {
                middlebox.block_udp(blocked);
            }
        }
    }

    fn new_address(&self, host: usize) {
        let mut built = self.built.borrow_mut();
        let mut world = self.sim.world();
        let interface = built.interface(&world, host);
        let segment = world.segment_of(interface);
        let home = built.places.iter_mut().filter_map(|place| place.site.as_mut());
        match home.into_iter().find(|site| Some(site.lan) == segment) {
            Some(site) => site.welcome(&mut world, interface),
            None => {
                let place = &built.places[self.plan.hosts[host].place];
                built.internet.new_address(&mut world, place.up, place.down);
            }
        }
    }

    fn welcome(&self, host: usize, place: usize) {
        let mut built = self.built.borrow_mut();
        let mut world = self.sim.world();
        let interface = built.interface(&world, host);
        if let Some(site) = &mut built.places[place].site {
            site.welcome(&mut world, interface);
        }
    }

    async fn crash(&self, host: usize) {
        let id = self.say_of_host(host, "crashes");
        self.sim.world().crash(id);
        // Its programs must be gone before the handles of its nodes are: a node says farewell when its last one goes.
        self.sim.sleep(Duration::from_nanos(1)).await;
        let mut gone = Vec::new();
        for node in self.nodes_on(host) {
            gone.extend(self.players[node].borrow_mut().node.take());
        }
        let of_host = self.nodes_on(host);
        let connections = self.ledger.change(|entries| {
            fail_transfers(entries, &of_host);
            let theirs = |pair: &super::plan::Pair| of_host.contains(&pair.from);
            let pairs: Vec<_> = entries.connections.keys().copied().filter(theirs).collect();
            pairs.into_iter().filter_map(|pair| entries.connections.remove(&pair)).collect::<Vec<_>>()
        });
        drop((connections, gone));
    }

    async fn restart(&self, host: usize) -> Outcome {
        let id = self.say_of_host(host, "starts again");
        self.sim.world().restart(id);
        for node in self.nodes_on(host) {
            if self.players[node].borrow().node.is_none() {
                self.start(node).await?;
            }
        }
        Ok(())
    }

    fn nodes_on(&self, host: usize) -> Vec<usize> {
        (0..self.plan.nodes.len()).filter(|node| self.plan.nodes[*node].host == host).collect()
    }

    fn say_of_host(&self, host: usize, what: &str) -> crate::HostId {
        let id = self.built.borrow().hosts[host];
        self.say(Some(id), format!("{} {what}", self.plan.host(host)));
        id
    }
}

/// What is on its way from or to nodes that are gone never arrives.
fn fail_transfers(entries: &mut Entries, gone: &[usize]) {
    for transfer in entries.transfers.values_mut() {
        if transfer.outcome().is_none() && gone.contains(&transfer.pair.to) {
            transfer.fault = Some("the receiver's host crashed".to_owned());
        }
    }
}
