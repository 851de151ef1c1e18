//! What goes wrong in a run, and how it is taken back.

use crust_proto::Duration;

use super::plan::{Fault, Which, Wire};
use super::run::{Outcome, Run};
use super::traffic::Entries;
use super::units::Time;
use crate::Power;

impl Run<'_> {
    /// Lets the fault of a step happen now.
    pub(super) async fn strike(&self, step: usize, fault: &Fault) -> Outcome {
        match fault {
            Fault::Link { wire, .. } => {
                self.say(None, format!("the link of {} changes", self.wire_name(*wire)));
                self.begin(step);
                self.relink(*wire);
            }
            Fault::Outage { wire, out } => {
                if !out {
                    self.end_all(|fault| is_outage(fault, *wire));
                }
                self.begin(step);
                self.say_of_outage(*wire);
                self.relink(*wire);
            }
            Fault::Partition { place, groups } => {
                match groups.is_empty() {
                    true => self.end_all(|fault| is_partition(fault, *place)),
                    false => self.begin(step),
                }
                self.say_of_partition(*place);
                self.repartition(*place);
            }
            Fault::Reboot { place, gate, new_address } => self.reboot(*place, *gate, *new_address),
            Fault::BlockUdp { place, blocked } => {
                if !blocked {
                    self.end_all(|fault| is_block(fault, *place));
                }
                self.begin(step);
                self.say_of_block(*place);
                self.regate(*place);
            }
            Fault::Gate { place, which, .. } => {
                self.say(None, format!("{} changes", self.gate_name(*place, *which)));
                self.begin(step);
                self.regate(*place);
            }
            Fault::Crash { host, down: true } => {
                // What is off does not sleep.
                self.end_all(|fault| is_sleep(fault, *host));
                self.begin(step);
                self.crash(*host).await;
            }
            Fault::Crash { host, down: false } => {
                self.end_all(|fault| is_crash(fault, *host));
                self.restart(*host).await?;
            }
            Fault::Suspend { host, asleep: true } => {
                let id = self.built.borrow().hosts[*host];
                if self.sim.world().power(id) == Power::Down {
                    self.say_of_host(*host, "is down and does not go to sleep");
                    return Ok(());
                }
                self.begin(step);
                self.say_of_host(*host, "goes to sleep");
                self.sim.world().suspend(id);
            }
            Fault::Suspend { host, asleep: false } => {
                self.end_all(|fault| is_sleep(fault, *host));
                self.wake(*host);
            }
            Fault::Unplug { host, out } => {
                match out {
                    true => self.begin(step),
                    false => self.end_all(|fault| is_unplugged(fault, *host)),
                }
                self.plug(*host);
            }
            Fault::JumpClock { host, by, back } => {
                let sign = if *back { "back" } else { "on" };
                let id = self.say_of_host(*host, &format!("sets its clock {sign} by {}", Time(*by)));
                self.sim.world().jump_wall(id, *by, *back);
            }
            Fault::SkewClock { host, ppm } => {
                let id = self.say_of_host(*host, &format!("has a clock that is fast by {ppm} millionths"));
                self.sim.world().set_skew(id, *ppm);
            }
            Fault::NewAddress { host } => {
                self.say_of_host(*host, "gets another address");
                self.new_address(*host);
                // Whoever is welcomed has a link as new.
                self.relink(Wire::Host(*host));
            }
            Fault::Move { host, place } => {
                self.say_of_host(*host, &format!("moves to {}", self.plan.place(*place)));
                self.forget_link(*host);
                self.welcome(*host, *place);
                (0..self.plan.places.len()).for_each(|place| self.repartition(place));
            }
        }
        Ok(())
    }

    /// Takes back what a step's fault has done, but for what others do to the same thing.
    pub(super) async fn take_back(&self, step: usize, fault: &Fault) -> Outcome {
        if !self.end(step) {
            return Ok(());
        }
        match fault {
            Fault::Link { wire, .. } => {
                self.say(None, format!("the change to the link of {} is over", self.wire_name(*wire)));
                self.relink(*wire);
            }
            Fault::Outage { wire, .. } => {
                self.say_of_outage(*wire);
                self.relink(*wire);
            }
            Fault::Partition { place, .. } => {
                self.say_of_partition(*place);
                self.repartition(*place);
            }
            Fault::BlockUdp { place, .. } => {
                self.say_of_block(*place);
                self.regate(*place);
            }
            Fault::Gate { place, which, .. } => {
                self.say(None, format!("the change to {} is over", self.gate_name(*place, *which)));
                self.regate(*place);
            }
            Fault::Crash { host, .. } if !self.lasts(|fault| is_crash(fault, *host)) => {
                self.restart(*host).await?;
            }
            Fault::Suspend { host, .. } if !self.lasts(|fault| is_sleep(fault, *host)) => self.wake(*host),
            Fault::Unplug { host, .. } => self.plug(*host),
            // Others hold the host down or asleep, or it is nothing that lasts.
            Fault::Crash { .. }
            | Fault::Suspend { .. }
            | Fault::Reboot { .. }
            | Fault::JumpClock { .. }
            | Fault::SkewClock { .. }
            | Fault::NewAddress { .. }
            | Fault::Move { .. } => {}
        }
        Ok(())
    }

    fn say_of_outage(&self, wire: Wire) {
        let out = self.lasts(|fault| is_outage(fault, wire));
        let what = if out { "has an outage" } else { "has no outage any more" };
        self.say(None, format!("the link of {} {what}", self.wire_name(wire)));
    }

    fn say_of_partition(&self, place: usize) {
        let cut = self.lasts(|fault| is_partition(fault, place));
        let what = if cut { "cut in parts" } else { "whole again" };
        self.say(None, format!("the LAN of {} is {what}", self.plan.place(place)));
    }

    fn say_of_block(&self, place: usize) {
        let blocked = self.lasts(|fault| is_block(fault, place));
        let what = if blocked { "blocks UDP" } else { "blocks UDP no longer" };
        self.say(None, format!("{} {what}", self.plan.place(place)));
    }

    fn wake(&self, host: usize) {
        let id = self.say_of_host(host, "wakes up");
        self.sim.world().resume(id);
    }

    /// The cable is in unless a fault lasts that has taken it out.
    fn plug(&self, host: usize) {
        let out = self.lasts(|fault| is_unplugged(fault, host));
        self.say_of_host(host, if out { "is unplugged" } else { "is plugged in" });
        let mut world = self.sim.world();
        let interface = self.built.borrow().interface(&world, host);
        world.set_interface_up(interface, !out);
    }

    fn wire_name(&self, wire: Wire) -> &str {
        match wire {
            Wire::Site(place) => self.plan.place(place),
            Wire::Host(host) => self.plan.host(host),
        }
    }

    fn gate_name(&self, place: usize, which: Which) -> String {
        let site = self.plan.place(place);
        match which {
            Which::Nth(gate) => format!("gate {} of {site}", gate + 1),
            Which::Ipv6 => format!("the IPv6 firewall of {site}"),
        }
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

fn is_outage(fault: &Fault, wire: Wire) -> bool {
    matches!(fault, Fault::Outage { wire: of, out: true } if *of == wire)
}

fn is_partition(fault: &Fault, place: usize) -> bool {
    matches!(fault, Fault::Partition { place: of, .. } if *of == place)
}

fn is_block(fault: &Fault, place: usize) -> bool {
    matches!(fault, Fault::BlockUdp { place: of, blocked: true } if *of == place)
}

fn is_crash(fault: &Fault, host: usize) -> bool {
    matches!(fault, Fault::Crash { host: of, .. } if *of == host)
}

fn is_sleep(fault: &Fault, host: usize) -> bool {
    matches!(fault, Fault::Suspend { host: of, .. } if *of == host)
}

fn is_unplugged(fault: &Fault, host: usize) -> bool {
    matches!(fault, Fault::Unplug { host: of, .. } if *of == host)
}

/// What is on its way from or to nodes that are gone never arrives.
fn fail_transfers(entries: &mut Entries, gone: &[usize]) {
    for transfer in entries.transfers.values_mut() {
        if transfer.outcome().is_none() && gone.contains(&transfer.pair.to) {
            transfer.fault = Some("the receiver's host crashed".to_owned());
        }
    }
}
