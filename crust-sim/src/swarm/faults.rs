//! What goes wrong in a swarm, how it comes, and how it goes.

use std::net::{IpAddr, Ipv4Addr};

use crust_proto::{Duration, Instant, UnixTime};

use super::setting::{Router, Setting, pick, skewed};
use crate::link::{Bursts, LinkConfig, Oversize};
use crate::world::{Prefix, WORLD_BEGINS};
use crate::{Power, Rng, World};

/// Where new addresses of outermost gates and public hosts begin.
const NEW_PUBLIC: u32 = u32::from_be_bytes([203, 0, 114, 0]);

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Loss,
    Bursts,
    Jitter,
    Reorder,
    Duplicate,
    Corrupt,
    Mtu,
    Rate,
    Outage,
    Partition,
    Interface,
    NatReboot,
    NatAddress,
    RouterCrash,
    Crash,
    Suspend,
    Wall,
    Skew,
    Address,
}

impl Fault {
    pub(super) const ALL: [Self; 19] = [
        Self::Loss,
        Self::Bursts,
        Self::Jitter,
        Self::Reorder,
        Self::Duplicate,
        Self::Corrupt,
        Self::Mtu,
        Self::Rate,
        Self::Outage,
        Self::Partition,
        Self::Interface,
        Self::NatReboot,
        Self::NatAddress,
        Self::RouterCrash,
        Self::Crash,
        Self::Suspend,
        Self::Wall,
        Self::Skew,
        Self::Address,
    ];
}

/// What a fault did, by numbers into the setting, and how it is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A wire's direction is not what it was.
    Wire(usize),
    /// A wire is out, in both directions.
    Outage(usize),
    /// A LAN is cut.
    Lan(usize),
    /// A place's interface is down.
    Interface(usize),
    /// A router is down.
    Router(usize),
    /// A place's host is down: its program is gone.
    Down(usize),
    /// A place's host sleeps.
    Asleep(usize),
    /// A place's clocks are wrong.
    Clock(usize),
    /// Nothing to undo.
    Done,
}

/// Lets a fault of that kind happen. What it was, in words; `None` where there is nobody that it could befall.
pub(super) fn strike(
    fault: Fault,
    setting: &Setting,
    world: &mut World,
    rng: &mut Rng,
) -> Option<(Effect, String)> {
    let wire = rng.below(setting.wires.len() as u64) as usize;
    let place = rng.below(setting.places.len() as u64) as usize;
    let (host, interface) = (setting.places[place].host, setting.places[place].interface);
    let name = &setting.places[place].name;
    Some(match fault {
        Fault::Loss
        | Fault::Bursts
        | Fault::Jitter
        | Fault::Reorder
        | Fault::Duplicate
        | Fault::Corrupt
        | Fault::Mtu
        | Fault::Rate => {
            let end = setting.wires[wire].interface;
            spoil(fault, world.link_mut(end), rng);
            (Effect::Wire(wire), format!("{fault:?} on wire {wire}: {:?}", world.link_mut(end)))
        }
        Fault::Outage => {
            world.set_outage(setting.wires[wire].interface, true);
            (Effect::Outage(wire), format!("wire {wire} is out"))
        }
        Fault::Partition => {
            let lan = setting.lan_of(place, world)?;
            world.partition(setting.lans[lan], &[&[interface]]);
            (Effect::Lan(lan), format!("{name} is cut off its LAN"))
        }
        Fault::Interface => {
            world.set_interface_up(interface, false);
            (Effect::Interface(place), format!("{name}'s interface is down"))
        }
        Fault::NatReboot => {
            let router = &setting.routers[rng.below(setting.routers.len() as u64) as usize];
            world.reboot_middleboxes(router.host);
            (Effect::Done, format!("router {} reboots", router.host.index()))
        }
        Fault::NatAddress => {
            let number = rng.below(setting.routers.len() as u64) as usize;
            let router = &setting.routers[number];
            let new = move_out(router, setting, number, world, rng)?;
            (Effect::Done, format!("router {} reboots at {new}", router.host.index()))
        }
        Fault::RouterCrash => {
            let number = rng.below(setting.routers.len() as u64) as usize;
            let router = setting.routers[number].host;
            if setting.places.iter().any(|place| place.host == router) {
                return None;
            }
            world.crash(router);
            (Effect::Router(number), format!("router {} is down", router.index()))
        }
        Fault::Crash if world.power(host) == Power::Down => return None,
        Fault::Suspend if world.power(host) != Power::Up => return None,
        Fault::Crash => {
            world.crash(host);
            (Effect::Down(place), format!("{name} crashes"))
        }
        Fault::Suspend => {
            world.suspend(host);
            (Effect::Asleep(place), format!("{name} sleeps"))
        }
        Fault::Wall => {
            let by = Duration::from_millis(skewed(rng, 30 * 24 * 3600 * 1000));
            let back = rng.chance(500_000);
            world.jump_wall(host, by, back);
            (Effect::Clock(place), format!("{name}'s wall clock jumps by {by:?}, back: {back}"))
        }
        Fault::Skew => {
            let skew = rng.below(200_001) as i32 - 100_000;
            world.set_skew(host, skew);
            (Effect::Clock(place), format!("{name}'s clocks run fast by {skew} millionths"))
        }
        Fault::Address => {
            if !setting.places[place].on_lan {
                return None;
            }
            let IpAddr::V4(old) = world.interface_addresses(interface).iter().find(|a| a.ip.is_ipv4())?.ip
            else {
                return None;
            };
            let [a, b, c, _] = old.octets();
            // Each place has its own part of the net, so that no two are ever given the same.
            let new = Ipv4Addr::new(a, b, c, 40 + 12 * (place % 16) as u8 + rng.below(12) as u8);
            world.change_address(interface, new.into(), 24);
            (Effect::Done, format!("{name} is at {new} now"))
        }
    })
}

/// Puts an end to what a fault did, but for starting programs.
pub(super) fn undo(effect: Effect, setting: &Setting, world: &mut World) {
    match effect {
        Effect::Wire(wire) => *world.link_mut(setting.wires[wire].interface) = setting.wires[wire].healthy,
        Effect::Outage(wire) => world.set_outage(setting.wires[wire].interface, false),
        Effect::Lan(lan) => world.heal(setting.lans[lan]),
        Effect::Interface(place) => world.set_interface_up(setting.places[place].interface, true),
        Effect::Router(router) => world.restart(setting.routers[router].host),
        Effect::Down(place) => world.restart(setting.places[place].host),
        Effect::Asleep(place) => world.resume(setting.places[place].host),
        Effect::Clock(place) => {
            let right: UnixTime = WORLD_BEGINS + world.now().saturating_since(Instant::ZERO);
            world.set_skew(setting.places[place].host, 0);
            world.set_wall(setting.places[place].host, right);
        }
        Effect::Done => {}
    }
}

fn spoil(fault: Fault, link: &mut LinkConfig, rng: &mut Rng) {
    match fault {
        Fault::Loss => link.loss = skewed(rng, 400_000) as u32,
        Fault::Bursts => {
            let (enter, leave) = (1 + skewed(rng, 100_000) as u32, 1_000 + skewed(rng, 500_000) as u32);
            link.bursts = Some(Bursts { enter, leave, loss: 300_000 + rng.below(700_001) as u32 });
        }
        Fault::Jitter => link.jitter = Duration::from_micros(skewed(rng, 200_000)),
        Fault::Reorder => {
            link.reorder = skewed(rng, 500_000) as u32;
            link.reorder_by = Duration::from_micros(skewed(rng, 300_000));
        }
        Fault::Duplicate => link.duplicate = skewed(rng, 500_000) as u32,
        Fault::Corrupt => link.corrupt = skewed(rng, 300_000) as u32,
        Fault::Mtu => {
            link.mtu = 576 + rng.below(900) as u16;
            link.oversize = pick(rng, &[Oversize::TooBig, Oversize::BlackHole]);
        }
        _ => {
            link.rate = Some(50_000 + skewed(rng, 5_000_000));
            link.queue = 2_000 + skewed(rng, 200_000) as usize;
            link.mark_above = rng.chance(500_000).then_some(link.queue / 3);
        }
    }
}

/// A router's, or a public host's, outside gets a new address.
fn move_out(
    router: &Router,
    setting: &Setting,
    number: usize,
    world: &mut World,
    rng: &mut Rng,
) -> Option<IpAddr> {
    let (uplink, at_core) = router.uplink?;
    let old = world.interface_addresses(uplink).iter().find(|address| address.ip.is_ipv4())?.ip;
    let new = IpAddr::from(Ipv4Addr::from(NEW_PUBLIC + 256 * number as u32 + rng.below(250) as u32));
    world.change_address(uplink, new, 32);
    world.remove_route(setting.core, Prefix::new(old, 32));
    world.add_route(setting.core, Prefix::new(new, 32), at_core, None, 0);
    world.reboot_middleboxes(router.host);
    Some(new)
}
