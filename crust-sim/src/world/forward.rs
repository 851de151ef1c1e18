//! The way of packets: out of a host, over links, through routers and their middleboxes.
//!
//! A router does in this order what Linux does: a packet from the outside is translated first; then it is for the
//! router itself, or its TTL is counted down and its size is held against the next link; then a packet to the
//! outside is translated. So a TTL that ends in the router opens nothing in its NAT on the way out, but a packet
//! that ends there on the way in has been seen by it. Errors are always about the packet as its sender knows it.
//!
//! What a router's own programs send passes no middlebox, and what comes back for them is theirs before any box is
//! asked.

use std::net::{IpAddr, SocketAddr};

use super::way::{Next, Way};
use super::{Event, Inbound, InterfaceId, Moving, Outbound, Power, Refusal, SegmentId, Sight, World};
use crate::digest::digest;
use crate::host::HostId;
use crate::link::{Arrival, Freight, Oversize, Passage};
use crate::packet::{Ecn, IcmpKind, Packet};

/// Neighbours that don't answer are given up after so long: three queries, one a second (RFC 4861 §10; Linux's ARP).
const NO_NEIGHBOUR_AFTER: crust_proto::Duration = crust_proto::Duration::from_secs(3);

/// The two ends of a packet before a middlebox changed them, if one did.
type Was = Option<(SocketAddr, SocketAddr)>;

impl World {
    /// Sends a packet that a host made.
    pub(super) fn emit(&mut self, host: HostId, moving: Moving) {
        if self.node(host).power != Power::Up {
            return self.recycle(moving.packet);
        }
        let (to, from) = (moving.packet.destination_ip(), moving.packet.source_ip());
        match self.destination(host, to, Some(from)).way {
            Some(way) => self.send_by(host, way, moving),
            None => self.dropped(host, moving),
        }
    }

    /// Sends a packet that a host made, on a way that is known.
    pub(super) fn send_by(&mut self, host: HostId, way: Way, mut moving: Moving) {
        let now = self.now;
        self.trace.packet(now, host, Some(way.interface), Sight::Sent, &mut moving.packet, moving.payload);
        if way.next == Next::All {
            // The host's own sockets hear it too (IP_MULTICAST_LOOP, on by default).
            self.deliver_to_all(host, way.interface, moving.clone());
        }
        self.transmit(host, way, moving, None);
    }

    /// Puts a packet on the link of an interface.
    fn transmit(&mut self, host: HostId, way: Way, moving: Moving, was: Was) {
        let now = self.now;
        let interface = &mut self.interfaces[way.interface.0 as usize];
        if interface.loopback {
            return self.schedule_arrival(way.interface, way.interface, now, moving);
        }
        let Some(segment) = interface.segment.filter(|_| interface.up) else {
            return self.lost(host, way.interface, moving);
        };
        let one = match way.next {
            Next::One(to) => Some(to),
            Next::All => None,
            Next::Nobody => return self.no_neighbour(host, moving, was),
        };
        let freight = Freight {
            len: moving.packet.len(),
            dont_fragment: moving.packet.dont_fragment(),
            ect: matches!(moving.packet.ecn(), Ecn::Ect0 | Ecn::Ect1),
        };
        let cell = interface.cell;
        match interface.link.send(now, freight) {
            Passage::Lost(_) => self.lost(host, way.interface, moving),
            Passage::TooBig(mtu) => self.refuse(host, moving, IcmpKind::TooBig { mtu }, was),
            Passage::Arrives(first, second) => {
                if let Some(to) = one {
                    if !self.hears(to, segment, cell) {
                        return self.lost(host, way.interface, moving);
                    }
                    if let Some(second) = second {
                        let copy = moving.clone();
                        self.land(way.interface, to, second, copy);
                    }
                    return self.land(way.interface, to, first, moving);
                }
                let receivers = self.segments[segment.0 as usize].members.clone();
                for to in receivers {
                    if to != way.interface && self.hears(to, segment, cell) {
                        for arrival in [Some(first), second].into_iter().flatten() {
                            let copy = moving.clone();
                            self.land(way.interface, to, arrival, copy);
                        }
                    }
                }
                self.recycle(moving.packet);
            }
        }
    }

    /// Whether an interface hears what a member of its segment sends that is in that cell. On a LAN its link is the cable
    /// to it too; of a wire's two links each is one direction's.
    fn hears(&self, to: InterfaceId, segment: SegmentId, cell: u32) -> bool {
        let receiver = self.interface(to);
        receiver.cell == cell && (receiver.link.config.up || self.segments[segment.0 as usize].wire)
    }

    /// A packet has passed a link and will arrive.
    fn land(&mut self, from: InterfaceId, to: InterfaceId, arrival: Arrival, mut moving: Moving) {
        if arrival.marked {
            moving.packet.set_ecn(Ecn::Ce);
        }
        if arrival.damaged {
            // Which bytes is drawn from the receiver's generator: the link's own draws don't depend on contents.
            let host = self.interface(to).host;
            let rng = &mut self.nodes[host.index()].rng;
            let before = moving.packet.clone();
            match moving.packet.damage(rng) {
                Some(packet) => {
                    let payload = digest_foreign(&packet);
                    moving = Moving { packet, payload, ruined: false };
                }
                None => moving = Moving { packet: before, ruined: true, ..moving },
            }
        }
        self.schedule_arrival(from, to, arrival.at, moving);
    }

    /// Lets a packet arrive at an interface now, as though it had come over its link: for tests that forge packets.
    pub fn inject(&mut self, at: InterfaceId, packet: Packet) {
        let payload = digest_foreign(&packet);
        let packet = self.put_moving(Moving { packet, payload, ruined: false });
        self.schedule(self.now, Event::Arrive { interface: at, packet });
    }

    /// A packet is at an interface.
    pub(super) fn arrive(&mut self, at: InterfaceId, mut moving: Moving) {
        let now = self.now;
        let interface = self.interface(at);
        let (host, loopback) = (interface.host, interface.loopback);
        let alive = interface.up && self.node(host).power == Power::Up;
        if !alive || moving.ruined {
            if moving.ruined {
                self.node_mut(host).stats.damaged += 1;
            }
            return self.lost(host, at, moving);
        }
        self.trace.packet(now, host, Some(at), Sight::Arrived, &mut moving.packet, moving.payload);
        let to = self.destination(host, moving.packet.destination_ip(), None);
        if to.multicast || (!loopback && to.broadcast) {
            return self.deliver_to_all(host, at, moving);
        }
        let node = self.node(host);
        if loopback || !node.forwards {
            if to.own.is_some() {
                return self.deliver(host, moving);
            }
            return self.dropped(host, moving);
        }
        let boxed = node.boxes[usize::from(!moving.packet.is_ipv4())].is_some();
        if boxed && node.outside == Some(at) {
            return self.inbound(host, at, moving, to.own.is_some());
        }
        if let Some(own) = to.own {
            if boxed && Some(own) == node.outside {
                return self.for_outer_address(host, at, moving);
            }
            return self.deliver(host, moving);
        }
        self.forward(host, at, moving, None);
    }

    /// A packet from the outside, before a middlebox; `own`: to the router itself.
    fn inbound(&mut self, host: HostId, at: InterfaceId, mut moving: Moving, own: bool) {
        let now = self.now;
        let Some(flow) = moving.packet.flow() else {
            let quoted = moving.packet.quoted();
            let middlebox = self.box_for(host, &moving.packet);
            let inner = quoted.and_then(|quoted| middlebox?.inbound_error(quoted.flow, now));
            return match (inner, quoted) {
                (Some(inner), Some(quoted)) if inner != quoted.flow.source => {
                    moving.packet.set_quoted_source(inner);
                    moving.packet.set_destination(inner);
                    moving.payload = digest(moving.packet.payload(), 0);
                    self.forward(host, at, moving, None)
                }
                (Some(_), _) if !own => self.forward(host, at, moving, None),
                _ if own => self.deliver(host, moving),
                _ => self.dropped(host, moving),
            };
        };
        // The router's own programs are asked first: what they send passes no box.
        if own && self.is_for_own_socket(host, &moving.packet) {
            return self.deliver(host, moving);
        }
        let tcp = moving.packet.tcp_flags();
        let answer = match self.box_for(host, &moving.packet) {
            Some(middlebox) => middlebox.inbound(flow, tcp, now),
            None => Inbound::Local,
        };
        match answer {
            Inbound::Forward { destination } => {
                let was = (destination != flow.destination).then_some((flow.source, flow.destination));
                if !moving.packet.set_destination(destination) {
                    return self.dropped(host, moving);
                }
                self.forward(host, at, moving, was);
            }
            Inbound::Local if own => self.deliver(host, moving),
            Inbound::Local | Inbound::Drop(_) => self.dropped(host, moving),
            Inbound::Refuse(refusal) => self.refuse_by(host, moving, refusal),
            Inbound::Hold { until } => {
                let packet = self.put_moving(moving);
                self.schedule(until, Event::Release { host, packet });
            }
        }
    }

    /// A middlebox refuses a packet.
    fn refuse_by(&mut self, host: HostId, moving: Moving, refusal: Refusal) {
        let reset = match refusal {
            Refusal::Rst => Packet::tcp_reset(&moving.packet),
            Refusal::Icmp => None,
        };
        match reset {
            Some(reset) => {
                self.reply(host, reset);
                self.dropped(host, moving);
            }
            None => self.refuse(host, moving, IcmpKind::PortUnreachable, None),
        }
    }

    /// A SYN that a middlebox has kept back is refused now, or forgotten.
    pub(super) fn release(&mut self, host: HostId, moving: Moving) {
        let now = self.now;
        let flow = moving.packet.flow().filter(|_| self.node(host).power == Power::Up);
        let refusal = flow.and_then(|flow| self.box_for(host, &moving.packet)?.release(flow, now));
        match refusal {
            Some(refusal) => self.refuse_by(host, moving, refusal),
            None => self.dropped(host, moving),
        }
    }

    /// A packet from the inside to the outer address: hairpinned, or for the router itself.
    fn for_outer_address(&mut self, host: HostId, at: InterfaceId, mut moving: Moving) {
        let now = self.now;
        let flow = match moving.packet.flow() {
            Some(flow) if !self.is_for_own_socket(host, &moving.packet) => flow,
            Some(_) => return self.deliver(host, moving),
            None => return self.error_for_outer_address(host, at, moving),
        };
        let tcp = moving.packet.tcp_flags();
        if moving.packet.ttl() <= 1 {
            return self.refuse(host, moving, IcmpKind::TimeExceeded, None);
        }
        match self.box_for(host, &moving.packet).map(|middlebox| middlebox.outbound(flow, tcp, now)) {
            Some(Outbound::Hairpin { source, destination }) => {
                if !(moving.packet.set_source(source) && moving.packet.set_destination(destination)) {
                    return self.dropped(host, moving);
                }
                self.forward(host, at, moving, Some((flow.source, flow.destination)));
            }
            Some(Outbound::Drop(_)) => self.dropped(host, moving),
            Some(Outbound::Forward { .. }) | None => self.deliver(host, moving),
        }
    }

    /// An ICMP error from the inside to the outer address: about a packet that was hairpinned, for the inside host that
    /// sent that (RFC 5508 REQ-7), or for the router itself.
    fn error_for_outer_address(&mut self, host: HostId, at: InterfaceId, mut moving: Moving) {
        let now = self.now;
        let quoted = moving.packet.quoted();
        let middlebox = self.box_for(host, &moving.packet);
        let Some(ends) = quoted.and_then(|quoted| middlebox?.hairpin_error(quoted.flow, now)) else {
            return self.deliver(host, moving);
        };
        moving.packet.set_quoted_source(ends.source);
        moving.packet.set_quoted_destination(ends.destination);
        moving.packet.set_source(ends.destination);
        moving.packet.set_destination(ends.source);
        moving.payload = digest(moving.packet.payload(), 0);
        self.forward(host, at, moving, None);
    }

    /// Sends a packet on.
    fn forward(&mut self, host: HostId, at: InterfaceId, mut moving: Moving, was: Was) {
        let now = self.now;
        if moving.packet.ttl() <= 1 {
            return self.refuse_at(host, at, moving, IcmpKind::TimeExceeded, was);
        }
        let Some(way) = self.destination(host, moving.packet.destination_ip(), None).way else {
            return self.refuse_at(host, at, moving, IcmpKind::HostUnreachable, was);
        };
        let next = self.interface(way.interface);
        let (config, outside) = (&next.link.config, self.node(host).outside);
        if moving.packet.len() > usize::from(config.mtu)
            && config.oversize == Oversize::TooBig
            && moving.packet.dont_fragment()
        {
            let mtu = config.mtu;
            return self.refuse_at(host, at, moving, IcmpKind::TooBig { mtu }, was);
        }
        // To itself, or broadcast (RFC 2644): no.
        if way.next == Next::All || next.loopback {
            return self.dropped(host, moving);
        }
        let mut was = was;
        if outside == Some(way.interface)
            && outside != Some(at)
            && !self.translate_out(host, &mut moving, &mut was)
        {
            return self.dropped(host, moving);
        }
        moving.packet.decrement_ttl();
        self.node_mut(host).stats.forwarded += 1;
        self.trace.show(now, host, Some(way.interface), Sight::Sent, &mut moving.packet);
        self.transmit(host, way, moving, was);
    }

    /// Lets the middlebox see a packet to the outside. False where it drops it.
    fn translate_out(&mut self, host: HostId, moving: &mut Moving, was: &mut Was) -> bool {
        let now = self.now;
        let (flow, tcp, quoted) = (moving.packet.flow(), moving.packet.tcp_flags(), moving.packet.quoted());
        let Some(middlebox) = self.box_for(host, &moving.packet) else { return true };
        match (flow, quoted) {
            (Some(flow), _) => match middlebox.outbound(flow, tcp, now) {
                Outbound::Forward { source } => {
                    if source != flow.source {
                        *was = Some((flow.source, flow.destination));
                        return moving.packet.set_source(source);
                    }
                    true
                }
                Outbound::Hairpin { .. } | Outbound::Drop(_) => false,
            },
            (None, Some(quoted)) => {
                let Some(outer) = middlebox.outbound_error(quoted.flow, now) else { return false };
                if outer != quoted.flow.destination {
                    moving.packet.set_quoted_destination(outer);
                    moving.packet.set_source(outer);
                    moving.payload = digest(moving.packet.payload(), 0);
                }
                true
            }
            // Neither ports nor an error: a NAT has nothing to know it by.
            (None, None) => false,
        }
    }

    fn box_for(&mut self, host: HostId, packet: &Packet) -> Option<&mut (dyn super::Middlebox + 'static)> {
        self.node_mut(host).boxes[usize::from(!packet.is_ipv4())].as_deref_mut()
    }

    /// An ICMP error about a packet that came in at an interface, which names that interface's address.
    fn refuse_at(&mut self, host: HostId, at: InterfaceId, moving: Moving, kind: IcmpKind, was: Was) {
        let ipv4 = moving.packet.is_ipv4();
        let address = self.interface(at).addresses.iter().find(|address| address.ip.is_ipv4() == ipv4);
        let reporter = address.map(|address| address.ip);
        self.refuse_as(host, reporter, moving, kind, was);
    }

    /// An ICMP error about a packet, from the address on the way back to its sender.
    pub(super) fn refuse(&mut self, host: HostId, moving: Moving, kind: IcmpKind, was: Was) {
        let own = Some(moving.packet.destination_ip()).filter(|ip| self.node(host).has(*ip));
        self.refuse_as(host, own, moving, kind, was);
    }

    fn refuse_as(
        &mut self,
        host: HostId,
        reporter: Option<IpAddr>,
        mut moving: Moving,
        kind: IcmpKind,
        was: Was,
    ) {
        if let Some((source, destination)) = was {
            moving.packet.set_source(source);
            moving.packet.set_destination(destination);
        }
        let sender = moving.packet.source_ip();
        let reporter = reporter.or_else(|| self.source_for(self.way(host, sender, None)?, sender));
        if let Some(error) = reporter.and_then(|reporter| Packet::icmp_error(&moving.packet, kind, reporter))
        {
            self.reply(host, error);
        }
        self.dropped(host, moving);
    }

    /// Sends a packet that the host itself made up just now.
    pub(super) fn reply(&mut self, host: HostId, packet: Packet) {
        let payload = digest(packet.payload(), 0);
        self.emit(host, Moving { packet, payload, ruined: false });
    }

    /// Nobody on the segment has the address: the sender hears of it when the queries have gone unanswered.
    fn no_neighbour(&mut self, host: HostId, mut moving: Moving, was: Was) {
        if let Some((source, destination)) = was {
            moving.packet.set_source(source);
            moving.packet.set_destination(destination);
        }
        let sender = moving.packet.source_ip();
        let reporter = self.way(host, sender, None).and_then(|way| self.source_for(way, sender));
        let error = reporter
            .and_then(|reporter| Packet::icmp_error(&moving.packet, IcmpKind::HostUnreachable, reporter));
        if let Some(error) = error {
            let payload = digest(error.payload(), 0);
            let packet = self.put_moving(Moving { packet: error, payload, ruined: false });
            self.schedule(self.now + NO_NEIGHBOUR_AFTER, Event::Emit { host, packet });
        }
        self.dropped(host, moving);
    }

    fn lost(&mut self, host: HostId, at: InterfaceId, mut moving: Moving) {
        let now = self.now;
        self.trace.packet(now, host, Some(at), Sight::Lost, &mut moving.packet, moving.payload);
        self.recycle(moving.packet);
    }

    pub(super) fn dropped(&mut self, host: HostId, mut moving: Moving) {
        let now = self.now;
        self.node_mut(host).stats.dropped += 1;
        self.trace.packet(now, host, None, Sight::Dropped, &mut moving.packet, moving.payload);
        self.recycle(moving.packet);
    }
}

/// The digest of a packet that the world did not make, whose checksum may be any.
fn digest_foreign(packet: &Packet) -> u64 {
    digest(packet.payload(), 1 + u64::from(packet.checksum()))
}
