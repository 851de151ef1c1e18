//! What goes wrong, and what changes: outages, partitions, crashes, sleep, clocks.

use std::net::IpAddr;

use crust_proto::{Duration, Instant, UnixTime};

use super::{InterfaceId, Power, SegmentId, World};
use crate::host::{HostEvent, HostId, HostStats};
use crate::link::LinkConfig;

impl World {
    /// The link that an interface sends through, to be read or changed. Packets on their way are not touched.
    pub fn link_mut(&mut self, interface: InterfaceId) -> &mut LinkConfig {
        &mut self.interface_mut(interface).link.config
    }

    /// Takes an interface down (no carrier: routes over it don't count, its host knows) or up again.
    pub fn set_interface_up(&mut self, interface: InterfaceId, up: bool) {
        self.topology_changed();
        let entry = self.interface_mut(interface);
        if std::mem::replace(&mut entry.up, up) != up {
            let host = entry.host;
            self.addresses_changed(host);
        }
    }

    /// Whether an interface is up, as its host sees it: an [outage](Self::set_outage) takes none down.
    pub fn is_interface_up(&self, interface: InterfaceId) -> bool {
        self.interface(interface).up
    }

    /// Both directions of an interface's link: an outage that no host is told of, or its end. On a LAN it is that
    /// interface's alone.
    pub fn set_outage(&mut self, interface: InterfaceId, out: bool) {
        self.interface_mut(interface).link.config.up = !out;
        if let Some(segment) = self.interface(interface).segment
            && self.segments[segment.0 as usize].wire
        {
            for member in self.segments[segment.0 as usize].members.clone() {
                self.interface_mut(member).link.config.up = !out;
            }
        }
    }

    /// Plugs an interface into another segment, or into none. It keeps its addresses.
    pub fn replug(&mut self, interface: InterfaceId, segment: Option<SegmentId>) {
        self.topology_changed();
        if let Some(before) = self.interface(interface).segment {
            let before = &mut self.segments[before.0 as usize];
            before.members.retain(|member| *member != interface);
            before.by_address.retain(|_, on| *on != interface);
        }
        let plugged = self.interface_mut(interface);
        plugged.segment = segment;
        // A partition is of the segment that it was plugged into.
        plugged.cell = 0;
        if let Some(segment) = segment {
            let addresses: Vec<IpAddr> =
                self.interface(interface).addresses.iter().map(|address| address.ip).collect();
            let segment = &mut self.segments[segment.0 as usize];
            segment.members.push(interface);
            segment.by_address.extend(addresses.into_iter().map(|ip| (ip, interface)));
        }
    }

    /// Cuts a segment: each of its interfaces hears only those of its own cell. Those not named are one more cell.
    pub fn partition(&mut self, segment: SegmentId, cells: &[&[InterfaceId]]) {
        self.heal(segment);
        for (number, cell) in (1..).zip(cells) {
            for interface in *cell {
                self.interface_mut(*interface).cell = number;
            }
        }
    }

    /// Joins a segment's cells again.
    pub fn heal(&mut self, segment: SegmentId) {
        for member in self.segments[segment.0 as usize].members.clone() {
            self.interface_mut(member).cell = 0;
        }
    }

    /// Whether a host runs.
    pub fn power(&self, host: HostId) -> Power {
        self.node(host).power
    }

    /// Ends a host without a word on the wire: sockets, connections and timers are gone. A router's middleboxes
    /// start empty when it comes back.
    pub fn crash(&mut self, host: HostId) {
        if self.node(host).power == Power::Down {
            return;
        }
        self.trace.record(self.now, 251, host.0, 0);
        let now = self.now;
        let node = self.node_mut(host);
        node.power = Power::Down;
        node.udp.clear();
        node.tcp.clear();
        node.timers.clear();
        node.clock.set_running(now, true);
        // What its programs have not heard yet they never will.
        self.events.retain(|(whose, _)| *whose != host);
        self.tell(host, HostEvent::Crashed);
    }

    /// Starts a host again after a crash, with nothing left but its addresses and routes.
    pub fn restart(&mut self, host: HostId) {
        if self.node(host).power != Power::Down {
            return;
        }
        self.trace.record(self.now, 250, host.0, 0);
        self.node_mut(host).power = Power::Up;
        self.reboot_middleboxes(host);
        self.tell(host, HostEvent::Restarted);
    }

    /// A router's middleboxes lose their tables, and learn the addresses that the outside interface has now.
    pub fn reboot_middleboxes(&mut self, router: HostId) {
        let Some(outside) = self.node(router).outside else { return };
        let all: Vec<IpAddr> = self.interface(outside).addresses.iter().map(|address| address.ip).collect();
        for (middlebox, ipv6) in self.node_mut(router).boxes.iter_mut().zip([false, true]) {
            let addresses: Vec<IpAddr> = all.iter().copied().filter(|ip| ip.is_ipv6() == ipv6).collect();
            if let Some(middlebox) = middlebox {
                middlebox.reboot(&addresses);
            }
        }
    }

    /// Puts a host to sleep: its programs and its monotonic clock stand still, what arrives is lost.
    pub fn suspend(&mut self, host: HostId) {
        if self.node(host).power != Power::Up {
            return;
        }
        self.trace.record(self.now, 249, host.0, 0);
        let now = self.now;
        let node = self.node_mut(host);
        node.power = Power::Suspended;
        node.clock.set_running(now, false);
        self.tell(host, HostEvent::Suspended);
    }

    /// Wakes a host up.
    pub fn resume(&mut self, host: HostId) {
        if self.node(host).power != Power::Suspended {
            return;
        }
        self.trace.record(self.now, 248, host.0, 0);
        let now = self.now;
        let node = self.node_mut(host);
        node.power = Power::Up;
        node.clock.set_running(now, true);
        self.tell(host, HostEvent::Resumed);
        self.arm(host);
    }

    /// A host's monotonic clock.
    pub fn host_now(&self, host: HostId) -> Instant {
        self.node(host).clock.local(self.now)
    }

    /// A host's wall clock.
    pub fn host_wall(&self, host: HostId) -> UnixTime {
        self.node(host).clock.wall(self.now)
    }

    /// Sets a host's wall clock.
    pub fn set_wall(&mut self, host: HostId, wall: UnixTime) {
        let now = self.now;
        self.trace.record(now, 247, host.0, wall.as_millis());
        self.node_mut(host).clock.set_wall(now, wall);
        if self.node(host).power == Power::Up {
            self.tell(host, HostEvent::ClockSet);
        }
    }

    /// Lets a host's wall clock jump: forwards, or backwards where `back`.
    pub fn jump_wall(&mut self, host: HostId, by: Duration, back: bool) {
        let wall = self.host_wall(host);
        let wall = if back {
            let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            UnixTime::from_millis(wall.as_millis().saturating_sub(by))
        } else {
            wall + by
        };
        self.set_wall(host, wall);
    }

    /// Lets a host's clocks run fast by so many millionths from now on, or slow where negative.
    pub fn set_skew(&mut self, host: HostId, millionths: i32) {
        let now = self.now;
        self.trace.record(now, 246, host.0, millionths as u64);
        self.node_mut(host).clock.set_skew(now, millionths);
        self.arm(host);
    }

    /// What a host has counted.
    pub fn stats(&self, host: HostId) -> HostStats {
        self.node(host).stats
    }
}
