//! A stateful firewall without translation: for IPv6 sites and for public hosts.
//!
//! Its life is that of a [`crate::nat::Nat`] whose external endpoints are the internal ones: a packet from inside makes
//! an entry, the entry lets the answers in until its time is up, and what nobody asked for is answered as configured.
//! RFC 6092 says what such a firewall should do in an IPv6 home (simple security); its REC-17 and REC-33 name the
//! filters that [`Filtering`] lists.

use std::net::SocketAddr;

use crust_proto::{Duration, Instant};

use crate::nat::{
    Allocation, Answer, Collision, Filtering, Inbound, Lifetimes, Limits, MappingInfo, Nat, NatConfig,
    Outbound, Refresh, Refusal, Rules,
};
use crate::{Flow, Protocol, TcpFlags};

/// What holds for one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirewallRules {
    /// Who may send to an endpoint that has sent something.
    pub filtering: Filtering,
    /// Which packets lengthen the life of an entry.
    pub refresh: Refresh,
    /// What strangers hear. [`Answer::Accept`] lets everything through, both ways, and keeps no entries.
    pub unsolicited: Answer,
}

/// All that a firewall does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirewallConfig {
    /// The rules for UDP.
    pub udp: FirewallRules,
    /// The rules for TCP.
    pub tcp: FirewallRules,
    /// How long entries live.
    pub lifetimes: Lifetimes,
    /// How many there can be.
    pub limits: Limits,
    /// How long an unsolicited SYN waits for its answer; RFC 6092 REC-34 asks for six seconds at least.
    pub hold_syn: Duration,
    /// A TCP connection is taken up in the middle.
    pub tcp_loose: bool,
    /// No UDP passes.
    pub udp_blocked: bool,
}

impl FirewallConfig {
    /// No filter at all.
    pub fn open() -> Self {
        let open = |rules| FirewallRules { unsolicited: Answer::Accept, ..rules };
        let stateful = Self::default();
        Self { udp: open(stateful.udp), tcp: open(stateful.tcp), ..stateful }
    }

    /// The same in the words of a NAT.
    fn as_nat(&self) -> NatConfig {
        let linux = NatConfig::default();
        let rules = |rules: FirewallRules, nat: Rules| Rules {
            filtering: rules.filtering,
            refresh: rules.refresh,
            unsolicited: rules.unsolicited,
            ..nat
        };
        NatConfig {
            udp: rules(self.udp, linux.udp),
            tcp: rules(self.tcp, linux.tcp),
            // Nobody shares an address with anybody.
            allocation: Allocation::Preserving(Collision::Random),
            lifetimes: self.lifetimes,
            limits: self.limits,
            hold_syn: self.hold_syn,
            tcp_loose: self.tcp_loose,
            udp_blocked: self.udp_blocked,
            ..linux
        }
    }
}

impl Default for FirewallConfig {
    /// As Linux with the usual rules: only answers come in, from the endpoint that was sent to.
    fn default() -> Self {
        let NatConfig { udp, tcp, lifetimes, limits, hold_syn, tcp_loose, udp_blocked, .. } =
            NatConfig::default();
        let rules =
            |Rules { filtering, refresh, unsolicited, .. }| FirewallRules { filtering, refresh, unsolicited };
        Self { udp: rules(udp), tcp: rules(tcp), lifetimes, limits, hold_syn, tcp_loose, udp_blocked }
    }
}

/// One firewall.
#[derive(Debug)]
pub struct Firewall {
    config: FirewallConfig,
    inner: Nat,
}

impl Firewall {
    /// A firewall with an empty table.
    pub fn new(config: FirewallConfig) -> Self {
        Self { config, inner: Nat::firewall(config.as_nat()) }
    }

    /// What it does.
    pub const fn config(&self) -> &FirewallConfig {
        &self.config
    }

    /// Changes what it does, from now on; the table stays as far as its limits have room for it.
    pub fn set_config(&mut self, config: FirewallConfig) {
        self.config = config;
        self.inner.set_config(config.as_nat());
    }

    /// A packet from inside: [`Outbound::Forward`] with its own source, or [`Outbound::Drop`].
    pub fn outbound(&mut self, flow: Flow, tcp: Option<TcpFlags>, now: Instant) -> Outbound {
        if self.is_open(flow.protocol) {
            return Outbound::Forward { source: flow.source };
        }
        self.inner.outbound(flow, tcp, now)
    }

    /// A packet from outside: [`Inbound::Forward`] to its own destination, [`Inbound::Refuse`] or [`Inbound::Drop`].
    pub fn inbound(&mut self, flow: Flow, tcp: Option<TcpFlags>, now: Instant) -> Inbound {
        if self.is_open(flow.protocol) {
            return Inbound::Forward { destination: flow.destination };
        }
        self.inner.inbound(flow, tcp, now)
    }

    /// A SYN that was kept back has waited: how it is answered, as [`Nat::release`].
    pub fn release(&mut self, flow: Flow, now: Instant) -> Option<Refusal> {
        self.inner.release(flow, now)
    }

    /// An ICMP error from outside about a packet that went out: the endpoint inside that it is for. `None`: drop it.
    pub fn inbound_error(&mut self, quoted: Flow, now: Instant) -> Option<SocketAddr> {
        if self.is_open(quoted.protocol) {
            return Some(quoted.source);
        }
        self.inner.inbound_error(quoted, now)
    }

    /// An ICMP error from inside about a packet that came in: the quoted packet's destination. `None`: drop it.
    pub fn outbound_error(&mut self, quoted: Flow, now: Instant) -> Option<SocketAddr> {
        if self.is_open(quoted.protocol) {
            return Some(quoted.destination);
        }
        self.inner.outbound_error(quoted, now)
    }

    /// Whether a protocol passes without being looked at.
    fn is_open(&self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Udp => self.config.udp.unsolicited == Answer::Accept && !self.config.udp_blocked,
            Protocol::Tcp => self.config.tcp.unsolicited == Answer::Accept,
        }
    }

    /// Starts anew with an empty table.
    pub fn reboot(&mut self) {
        self.inner.reboot(Vec::new());
    }

    /// Entries in the table.
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether the table has no entry.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// The endpoints inside that something may be sent to, in order.
    pub fn mappings(&mut self, now: Instant) -> Vec<MappingInfo> {
        self.inner.mappings(now)
    }
}

#[cfg(test)]
#[path = "firewall_tests.rs"]
mod tests;
