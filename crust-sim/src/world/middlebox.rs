//! What a router does to packets between its inside and its outside: a NAT, or a firewall.
//!
//! The router asks with what the headers tell and carries out the answer: it rewrites the packet, refuses it, or
//! drops it. So a middlebox is a pure state machine over flows and times, and knows nothing of packets.

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crust_proto::Instant;

pub use crate::nat::{HairpinError, Inbound, Outbound, Refusal};

use crate::firewall::{Firewall, FirewallConfig};
use crate::nat::{Nat, NatConfig};
use crate::{Flow, TcpFlags};

/// A NAT or a firewall between a router's inside and its outside.
pub trait Middlebox: Any + fmt::Debug + Send {
    /// A packet that comes from the inside and goes to the outside, or to an outside address of the box.
    fn outbound(&mut self, flow: Flow, tcp: Option<TcpFlags>, now: Instant) -> Outbound;

    /// A packet that comes from the outside.
    fn inbound(&mut self, flow: Flow, tcp: Option<TcpFlags>, now: Instant) -> Inbound;

    /// An ICMP error from the outside about a packet that went out as `quoted`: where that packet came from
    /// inside, or `None` if no such packet can have been (RFC 5508 §4).
    fn inbound_error(&mut self, quoted: Flow, now: Instant) -> Option<SocketAddr>;

    /// An ICMP error from the inside about a packet that came in as `quoted`, its destination already the inner
    /// one: the outer destination that its sender knows, or `None` to drop the error.
    fn outbound_error(&mut self, quoted: Flow, now: Instant) -> Option<SocketAddr> {
        match self.outbound(quoted.reversed(), None, now) {
            Outbound::Forward { source } => Some(source),
            Outbound::Hairpin { .. } | Outbound::Drop(_) => None,
        }
    }

    /// An ICMP error from the inside about a packet that came back inside as `quoted`, to the outer address of its
    /// sender: the ends of that packet as its sender knows it, or `None` where the box sent no such packet back.
    fn hairpin_error(&mut self, _quoted: Flow, _now: Instant) -> Option<HairpinError> {
        None
    }

    /// A SYN that was to be kept until now ([`Inbound::Hold`]): how it is refused, or `None` if it is forgotten.
    fn release(&mut self, _flow: Flow, _now: Instant) -> Option<Refusal> {
        None
    }

    /// How many entries its table holds, and how many it may; `None` where it has no table.
    fn load(&self) -> Option<(usize, usize)> {
        None
    }

    /// The box lost its power and starts again with an empty table, on these outside addresses
    /// of its IP version.
    fn reboot(&mut self, outside: &[IpAddr]);

    /// Lets no UDP pass from now on, or lets it pass again. A box without such a switch does nothing.
    fn block_udp(&mut self, _blocked: bool) {}
}

impl Middlebox for Nat {
    fn outbound(&mut self, flow: Flow, tcp: Option<TcpFlags>, now: Instant) -> Outbound {
        Self::outbound(self, flow, tcp, now)
    }

    fn inbound(&mut self, flow: Flow, tcp: Option<TcpFlags>, now: Instant) -> Inbound {
        Self::inbound(self, flow, tcp, now)
    }

    fn inbound_error(&mut self, quoted: Flow, now: Instant) -> Option<SocketAddr> {
        Self::inbound_error(self, quoted, now)
    }

    fn outbound_error(&mut self, quoted: Flow, now: Instant) -> Option<SocketAddr> {
        Self::outbound_error(self, quoted, now)
    }

    fn hairpin_error(&mut self, quoted: Flow, now: Instant) -> Option<HairpinError> {
        Self::hairpin_error(self, quoted, now)
    }

    fn release(&mut self, flow: Flow, now: Instant) -> Option<Refusal> {
        Self::release(self, flow, now)
    }

    fn reboot(&mut self, outside: &[IpAddr]) {
        Self::reboot(self, outside.to_vec());
    }

    fn block_udp(&mut self, udp_blocked: bool) {
        self.set_config(NatConfig { udp_blocked, ..*self.config() });
    }

    fn load(&self) -> Option<(usize, usize)> {
        Some((self.len(), self.config().limits.entries))
    }
}

impl Middlebox for Firewall {
    fn outbound(&mut self, flow: Flow, tcp: Option<TcpFlags>, now: Instant) -> Outbound {
        Self::outbound(self, flow, tcp, now)
    }

    fn inbound(&mut self, flow: Flow, tcp: Option<TcpFlags>, now: Instant) -> Inbound {
        Self::inbound(self, flow, tcp, now)
    }

    fn inbound_error(&mut self, quoted: Flow, now: Instant) -> Option<SocketAddr> {
        Self::inbound_error(self, quoted, now)
    }

    fn outbound_error(&mut self, quoted: Flow, now: Instant) -> Option<SocketAddr> {
        Self::outbound_error(self, quoted, now)
    }

    fn release(&mut self, flow: Flow, now: Instant) -> Option<Refusal> {
        Self::release(self, flow, now)
    }

    fn reboot(&mut self, _: &[IpAddr]) {
        Self::reboot(self);
    }

    fn block_udp(&mut self, udp_blocked: bool) {
        self.set_config(FirewallConfig { udp_blocked, ..*self.config() });
    }

    fn load(&self) -> Option<(usize, usize)> {
        Some((self.len(), self.config().limits.entries))
    }
}
