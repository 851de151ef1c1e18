//! Packets that have reached their host: which socket gets them, and what is answered where none does.

use super::{InterfaceId, Moving, World};
use crate::Protocol;
use crate::host::{HostEvent, HostId, UdpError};
use crate::packet::{IcmpKind, Packet, Quoted};

impl World {
    /// Whether a program on the host itself waits for such a packet.
    pub(super) fn is_for_own_socket(&self, host: HostId, packet: &Packet) -> bool {
        let node = self.node(host);
        packet.flow().is_some_and(|flow| match flow.protocol {
            Protocol::Udp => node.udp.find(flow.destination).is_some(),
            Protocol::Tcp => node.tcp.knows(flow),
        })
    }

    /// A packet to one host is there.
    pub(super) fn deliver(&mut self, host: HostId, moving: Moving) {
        if !moving.packet.checksum_holds() {
            self.node_mut(host).stats.damaged += 1;
            return self.dropped(host, moving);
        }
        let Some(flow) = moving.packet.flow() else {
            match moving.packet.quoted() {
                Some(quoted) => {
                    self.icmp_error_arrived(host, &moving.packet, quoted);
                    self.recycle(moving.packet);
                }
                None => self.dropped(host, moving),
            }
            return;
        };
        match flow.protocol {
            Protocol::Tcp => self.tcp_arrived(host, moving),
            Protocol::Udp => match self.node(host).udp.find(flow.destination) {
                Some(slot) => self.push(host, slot, moving),
                None => self.refuse(host, moving, IcmpKind::PortUnreachable, None),
            },
        }
    }

    /// A packet to all on a segment, or to a group.
    pub(super) fn deliver_to_all(&mut self, host: HostId, at: InterfaceId, moving: Moving) {
        let Some(flow) = moving.packet.flow().filter(|flow| flow.protocol == Protocol::Udp) else {
            return self.recycle(moving.packet);
        };
        if !moving.packet.checksum_holds() {
            self.node_mut(host).stats.damaged += 1;
            return self.dropped(host, moving);
        }
        for slot in self.node(host).udp.find_all(flow.destination, at) {
            let copy = moving.clone();
            self.push(host, slot, copy);
        }
        self.recycle(moving.packet);
    }

    fn push(&mut self, host: HostId, slot: u32, moving: Moving) {
        let Some((id, socket)) = self.nodes[host.index()].udp.at_mut(host, slot) else {
            return self.dropped(host, moving);
        };
        match socket.push(moving.packet) {
            Ok(()) => {
                if !std::mem::replace(&mut socket.readable_told, true) {
                    self.tell(host, HostEvent::UdpReadable(id));
                }
            }
            Err(packet) => {
                self.node_mut(host).stats.udp_overflowed += 1;
                self.dropped(host, Moving { packet, payload: moving.payload, ruined: false });
            }
        }
    }

    fn icmp_error_arrived(&mut self, host: HostId, packet: &Packet, quoted: Quoted) {
        let flow = quoted.flow;
        if flow.protocol == Protocol::Tcp {
            return self.tcp_error_arrived(host, quoted);
        }
        let node = &mut self.nodes[host.index()];
        let Some(slot) = node.udp.find(flow.source) else { return };
        let Some((id, socket)) = node.udp.at_mut(host, slot) else { return };
        socket.push_error(UdpError { kind: quoted.kind, reporter: packet.source_ip(), to: flow.destination });
        if !std::mem::replace(&mut socket.error_told, true) {
            self.tell(host, HostEvent::UdpError(id));
        }
    }
}
