//! One NAT box: a state machine over what headers tell. It parses no packet and rewrites none; the world does.
//!
//! # Its life
//!
//! A [`Nat`] begins with a [`NatConfig`], its external addresses and an empty table. A packet from inside
//! ([`Nat::outbound`]) finds its **entry** (internal endpoint, remote endpoint) or makes one. The entry belongs to a
//! **mapping**: an internal endpoint and its external one, towards everybody, one address or one endpoint
//! ([RFC 4787] §4.1). A packet from outside ([`Nat::inbound`]) finds its entry, or a mapping whose filter lets it in
//! (§5) and thereby makes one, or gets the answer for what nobody asked for.
//!
//! An entry lives until its time is up ([`Lifetimes`]), counted from the last packet that refreshes it (§4.3); from
//! that very instant on it is gone. The filter's memory is the entries: who was sent to may answer while that entry
//! lives. A mapping lives as long as one of its entries, and its port is free when it goes. Time passes with the calls
//! only: nothing ticks.
//!
//! What refreshes is [`Refresh`]'s to say (REQ-6). Where packets from outside don't, they prolong nothing: a stranger
//! whom an open filter admits has an entry, but one that goes no later than the last of those that the internal
//! endpoint already has by that external one, towards whomever. So the pair of endpoints ends when it would have ended
//! without him. A packet from inside to him then refreshes as any other. A mapping on request has its own time, and
//! its entries theirs.
//!
//! TCP's entries follow their connection ([RFC 5382]): opening, established, closing; two SYNs that cross open one as
//! well (REQ-2). ICMP errors find the entry that they are about, and neither refresh nor end it ([RFC 5508] REQ-6).
//!
//! A SYN that nobody asked for can be kept back before it is answered ([`NatConfig::hold_syn`], RFC 5382 REQ-4): it
//! ends with the box's answer ([`Nat::release`]), or unheard when a SYN from inside has opened the same connection.
//!
//! A mapping can also be asked for ([`Nat::map_port`], for UPnP, NAT-PMP and PCP): it admits everybody, and the
//! internal endpoint sends by it as long as it lives. [`Nat::reboot`] forgets everything.
//!
//! What a box does not do: it tells an inside host nothing when it drops its packets (RFC 5508 REQ-8 would have an
//! ICMP “prohibited” sent), it limits no rate of ICMP errors, passes no ICMP queries and no fragments, and looks into
//! no payload.
//!
//! Memory is bounded by [`Limits`]; nothing depends on the order of a hash map; all chance comes from the [`Rng`] that
//! the box was born with.
//!
//! ```
//! use crust_proto::Instant;
//! use crust_sim::nat::{Inbound, Nat, NatConfig, Outbound, Reason};
//! use crust_sim::{Flow, Protocol, Rng};
//!
//! // A port-restricted cone: only who was sent to can answer.
//! let mut nat = Nat::new(NatConfig::default(), vec!["203.0.113.1".parse()?], Rng::new(1));
//! let (host, server) = ("192.168.1.11:5000".parse()?, "198.51.100.2:3478".parse()?);
//! let question = Flow { protocol: Protocol::Udp, source: host, destination: server };
//! let Outbound::Forward { source } = nat.outbound(question, None, Instant::ZERO) else { panic!() };
//! assert_eq!(source, "203.0.113.1:5000".parse()?);
//!
//! let answer = Flow { source: server, destination: source, ..question };
//! assert_eq!(nat.inbound(answer, None, Instant::ZERO), Inbound::Forward { destination: host });
//! let stranger = Flow { source: "198.51.100.3:3478".parse()?, ..answer };
//! assert_eq!(nat.inbound(stranger, None, Instant::ZERO), Inbound::Drop(Reason::Filtered));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```
//!
//! [RFC 4787]: https://www.rfc-editor.org/rfc/rfc4787
//! [RFC 5382]: https://www.rfc-editor.org/rfc/rfc5382
//! [RFC 5508]: https://www.rfc-editor.org/rfc/rfc5508

pub mod config;
mod connection;
mod held;
mod mapped;
mod ports;
mod request;
mod table;
mod verdict;

#[cfg(test)]
mod class_tests;
#[cfg(test)]
mod lifetime_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod nat_tests;
#[cfg(test)]
mod port_tests;
#[cfg(test)]
mod punch_tests;
#[cfg(test)]
mod testing;

use std::net::{IpAddr, SocketAddr};

use crust_proto::{Duration, Instant};

pub use config::{
    Allocation, Answer, Collision, Filtering, Full, Hairpin, Lifetimes, Limits, Mapping, NatConfig, Pooling,
    Refresh, Rules,
};
use connection::{Connection, Direction, Phase, opens};
use held::Held;
use mapped::{Mapped, Mappings, Towards};
use ports::{Ports, Request};
use table::{Entry, Table};
pub use verdict::{HairpinError, Inbound, MapError, MappingInfo, Outbound, Reason, Refusal};

use crate::{Flow, Protocol, Rng, TcpFlags};

/// One NAT box.
#[derive(Debug)]
pub struct Nat {
    config: NatConfig,
    external: Vec<IpAddr>,
    /// False for a firewall: external endpoints are the internal ones.
    translates: bool,
    rng: Rng,
    table: Table,
    mappings: Mappings,
    ports: Ports,
    held: Held,
}

impl Nat {
    /// A box with an empty table. Its external addresses may be of both families.
    ///
    /// # Panics
    ///
    /// Where [`NatConfig::ports`] is no range: the lower port first, and none is 0.
    #[track_caller]
    pub fn new(config: NatConfig, external: Vec<IpAddr>, rng: Rng) -> Self {
        config.check();
        Self {
            config,
            external,
            translates: true,
            rng,
            table: Table::default(),
            mappings: Mappings::default(),
            ports: Ports::default(),
            held: Held::default(),
        }
    }

    /// A box that filters and doesn't translate.
    pub(crate) fn firewall(config: NatConfig) -> Self {
        Self { translates: false, ..Self::new(config, Vec::new(), Rng::new(0)) }
    }

    /// What the box does.
    pub const fn config(&self) -> &NatConfig {
        &self.config
    }

    /// Changes what the box does, for mappings and packets from now on; the table stays, but for the entries that a lower
    /// limit, in all or of one host, has no more room for: those that would expire first are gone.
    ///
    /// # Panics
    ///
    /// As [`Nat::new`]; the box does what it did before.
    #[track_caller]
    pub fn set_config(&mut self, config: NatConfig) {
        config.check();
        self.config = config;
        for host in self.table.hosts_above(config.limits.per_host) {
            self.shrink(Some(host), config.limits.per_host);
        }
        self.shrink(None, config.limits.entries);
    }

    /// Removes what would expire first, of one inside host or of all, until no more than so many entries are left.
    fn shrink(&mut self, host: Option<IpAddr>, most: usize) {
        while host.map_or(self.table.len(), |host| self.table.host_len(host)) > most {
            let Some(first) = self.table.first_to_expire(host) else { break };
            self.remove_entry(first);
        }
    }

    /// Its external addresses.
    pub fn external(&self) -> &[IpAddr] {
        &self.external
    }

    /// Starts anew: new addresses, an empty table. Ports are counted from the start again.
    pub fn reboot(&mut self, external: Vec<IpAddr>) {
        self.external = external;
        self.table = Table::default();
        self.mappings = Mappings::default();
        self.ports = Ports::default();
        self.held = Held::default();
    }

    /// Entries in the table: pairs of internal and remote endpoint. Those that expired since the last call count.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether the table has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The mappings that live, in the order of protocol and external endpoint.
    pub fn mappings(&mut self, now: Instant) -> Vec<MappingInfo> {
        self.expire(now);
        let mut all: Vec<MappingInfo> = self.mappings.iter().map(Mapped::info).collect();
        all.sort_unstable();
        all
    }

    /// A packet from inside. `tcp` are a TCP segment's flags; without them it counts as one with none.
    pub fn outbound(&mut self, flow: Flow, tcp: Option<TcpFlags>, now: Instant) -> Outbound {
        self.expire(now);
        if self.config.udp_blocked && flow.protocol == Protocol::Udp {
            return Outbound::Drop(Reason::UdpBlocked);
        }
        let flags = tcp.unwrap_or_default();
        let back_inside = self.is_external(flow.destination.ip());
        let hairpin = self.config.rules(flow.protocol).hairpin;
        if back_inside && hairpin == Hairpin::No {
            return Outbound::Drop(Reason::NoHairpin);
        }
        match self.send(flow, flags, now) {
            Ok(source) if back_inside => self.hairpin(flow, source, hairpin, flags, now),
            Ok(source) => Outbound::Forward { source },
            Err(reason) => Outbound::Drop(reason),
        }
    }

    /// A packet from outside to one of the external addresses. `tcp` as for [`Nat::outbound`].
    pub fn inbound(&mut self, flow: Flow, tcp: Option<TcpFlags>, now: Instant) -> Inbound {
        self.expire(now);
        if self.config.udp_blocked && flow.protocol == Protocol::Udp {
            return Inbound::Drop(Reason::UdpBlocked);
        }
        if self.translates && !self.is_external(flow.destination.ip()) {
            return Inbound::Drop(Reason::NoAddress);
        }
        let flags = tcp.unwrap_or_default();
        match self.receive(flow, flags, now) {
            Ok(Some(destination)) => Inbound::Forward { destination },
            Ok(None) => Inbound::Local,
            Err(reason @ (Reason::NoMapping | Reason::Filtered)) => self.answer(flow, flags, reason, now),
            Err(reason) => Inbound::Drop(reason),
        }
    }

    /// A SYN that was kept back ([`Inbound::Hold`]) has waited so long: how it is answered, or `None` where a SYN from
    /// inside has opened that very connection meanwhile (RFC 5382 REQ-4), or the box has forgotten it.
    pub fn release(&mut self, flow: Flow, now: Instant) -> Option<Refusal> {
        self.expire(now);
        self.held.take(flow.destination, flow.source).filter(|&until| until <= now)?;
        match self.config.rules(flow.protocol).unsolicited {
            Answer::Silence => None,
            Answer::Icmp => Some(Refusal::Icmp),
            Answer::Rst | Answer::Accept => Some(Refusal::Rst),
        }
    }

    /// An ICMP error from outside about a packet that went out, quoted as it was on the outside: the internal endpoint
    /// that the error is for, and that is the quoted packet's source inside (RFC 5508 REQ-4). `None`: no entry; drop it
    /// (REQ-3). The entry is neither refreshed nor ended (REQ-6).
    pub fn inbound_error(&mut self, quoted: Flow, now: Instant) -> Option<SocketAddr> {
        self.expire(now);
        let id = self.table.find_from_outside(quoted.protocol, quoted.source, quoted.destination)?;
        let entry = self.table.get(id)?;
        entry.mapping.map(|_| entry.internal)
    }

    /// An ICMP error from inside about a packet that came in, quoted as it was on the inside: the external endpoint
    /// that was the quoted packet's destination outside (RFC 5508 REQ-5). `None` as for [`Nat::inbound_error`].
    pub fn outbound_error(&mut self, quoted: Flow, now: Instant) -> Option<SocketAddr> {
        self.expire(now);
        let id = self.table.find_from_inside(quoted.protocol, quoted.destination, quoted.source)?;
        self.table.get(id).map(|entry| entry.external)
    }

    /// An ICMP error from inside about a hairpinned packet, quoted as it came back inside. `None`: there was none, or
    /// its receiver saw the sender's internal address and doesn't need the box to answer (RFC 5508 REQ-7).
    pub fn hairpin_error(&mut self, quoted: Flow, now: Instant) -> Option<HairpinError> {
        self.expire(now);
        let Flow { protocol, source: remote, destination: internal } = quoted;
        let receiver = self.table.get(self.table.find_from_inside(protocol, internal, remote)?)?;
        let destination = receiver.external;
        let sender = self.table.get(self.table.find_from_outside(protocol, remote, destination)?)?;
        sender.mapping.map(|_| HairpinError { source: sender.internal, destination })
    }

    fn is_external(&self, ip: IpAddr) -> bool {
        self.external.contains(&ip)
    }

    /// Removes what has had its time.
    fn expire(&mut self, now: Instant) {
        while let Some(id) = self.table.expired(now) {
            self.remove_entry(id);
        }
        while let Some(id) = self.mappings.request_ended(now) {
            self.withdraw(id);
        }
        self.held.expire(now);
    }

    // -- from inside --

    /// The external source of a packet from inside, whose entry is made or refreshed.
    fn send(&mut self, flow: Flow, flags: TcpFlags, now: Instant) -> Result<SocketAddr, Reason> {
        let Flow { protocol, source: internal, destination: remote } = flow;
        if let Some(id) = self.table.find_from_inside(protocol, internal, remote) {
            let external = self.table.get(id).map(|entry| entry.external).ok_or(Reason::NoMapping)?;
            self.advance(id, Direction::Outbound, flags, now);
            return Ok(external);
        }
        if protocol == Protocol::Tcp && !opens(flags, self.config.tcp_loose) {
            return Err(Reason::OutOfState);
        }
        self.make_room(Some(internal.ip()))?;
        let (mapping, external) = match self.mapping_towards(protocol, internal, remote) {
            Some(known) => known,
            None => self.map_towards(protocol, internal, remote)?,
        };
        let outside = Flow { protocol, source: external, destination: remote };
        self.enter(mapping, outside, internal, Direction::Outbound, flags, now);
        // Whoever inside opens the connection himself has nothing to be refused.
        self.held.take(external, remote);
        Ok(external)
    }

    /// A mapping by which an internal endpoint can send to a remote one.
    fn mapping_towards(
        &self,
        protocol: Protocol,
        internal: SocketAddr,
        remote: SocketAddr,
    ) -> Option<(u32, SocketAddr)> {
        let shared = self.shared_towards(protocol, remote);
        let requested = self.mappings.requested(protocol, internal).map(|_| Towards::Anyone);
        [requested, Some(shared), Some(Towards::Endpoint(remote))].into_iter().flatten().find_map(|towards| {
            self.mappings.find(protocol, internal, towards).filter(|&(_, external)| {
                // The same two ends on the wire twice could not be told apart.
                self.table.find_from_outside(protocol, external, remote).is_none()
            })
        })
    }

    /// What a new mapping towards a remote endpoint is good for.
    fn shared_towards(&self, protocol: Protocol, remote: SocketAddr) -> Towards {
        match self.config.rules(protocol).mapping {
            // Whether two inside hosts can share a port is decided for each remote endpoint.
            _ if self.config.allocation == Allocation::Preserving(Collision::Overload) => {
                Towards::Endpoint(remote)
            }
            Mapping::EndpointIndependent => Towards::Anyone,
            Mapping::AddressDependent => Towards::Address(remote.ip()),
            Mapping::AddressAndPortDependent => Towards::Endpoint(remote),
        }
    }

    /// A new mapping for an internal endpoint that sends to a remote one.
    fn map_towards(
        &mut self,
        protocol: Protocol,
        internal: SocketAddr,
        remote: SocketAddr,
    ) -> Result<(u32, SocketAddr), Reason> {
        let mut towards = self.shared_towards(protocol, remote);
        if self.mappings.find(protocol, internal, towards).is_some() {
            // There is one, but its external endpoint is taken towards this remote one.
            towards = Towards::Endpoint(remote);
        }
        let external = if self.translates {
            if !self.external.iter().any(|ip| ip.is_ipv4() == internal.is_ipv4()) {
                return Err(Reason::NoAddress);
            }
            let table = &self.table;
            let clashes =
                |external: SocketAddr| table.find_from_outside(protocol, external, remote).is_some();
            let request = Request { protocol, internal };
            self.ports
                .allocate(&self.config, &self.external, request, &mut self.rng, clashes)
                .ok_or(Reason::NoPort)?
        } else {
            internal
        };
        Ok((self.mappings.insert(protocol, internal, towards, external), external))
    }

    /// A packet from inside to an external endpoint of the box itself (RFC 4787 §6).
    fn hairpin(
        &mut self,
        flow: Flow,
        external: SocketAddr,
        hairpin: Hairpin,
        flags: TcpFlags,
        now: Instant,
    ) -> Outbound {
        // To the filter it comes from the sender's external endpoint, whatever the receiver sees.
        match self.receive(Flow { source: external, ..flow }, flags, now) {
            Ok(Some(destination)) => {
                let source = if hairpin == Hairpin::InternalSource { flow.source } else { external };
                Outbound::Hairpin { source, destination }
            }
            Ok(None) => Outbound::Drop(Reason::NoMapping),
            Err(reason) => Outbound::Drop(reason),
        }
    }

    // -- from outside --

    /// The internal destination of a packet from outside, whose entry is made or refreshed; `None` for the router.
    fn receive(&mut self, flow: Flow, flags: TcpFlags, now: Instant) -> Result<Option<SocketAddr>, Reason> {
        let Flow { protocol, source: remote, destination: external } = flow;
        if let Some(id) = self.table.find_from_outside(protocol, external, remote) {
            let internal = self.table.get(id).and_then(|entry| entry.mapping.map(|_| entry.internal));
            self.advance(id, Direction::Inbound, flags, now);
            return Ok(internal);
        }
        let (_, internal) = self.admitting(protocol, external, remote)?;
        if protocol == Protocol::Tcp && !opens(flags, self.config.tcp_loose) {
            return Err(Reason::OutOfState);
        }
        self.make_room(Some(internal.ip()))?;
        // Making room may have ended the very mapping.
        let (mapping, internal) = self.admitting(protocol, external, remote)?;
        self.enter(mapping, flow.reversed(), internal, Direction::Inbound, flags, now);
        Ok(Some(internal))
    }

    /// The mapping of an external endpoint that admits a remote one (RFC 4787 §5), and its internal endpoint.
    fn admitting(
        &self,
        protocol: Protocol,
        external: SocketAddr,
        remote: SocketAddr,
    ) -> Result<(u32, SocketAddr), Reason> {
        let rules = *self.config.rules(protocol);
        let first = self.mappings.at(protocol, external).next().map(|(id, _)| id);
        let id = self.mappings.requested_at(protocol, external).or_else(|| match rules.filtering {
            Filtering::EndpointIndependent => first,
            Filtering::AddressDependent => self.mappings.knowing(protocol, external, remote.ip()),
            // The entry would have been found.
            Filtering::AddressAndPortDependent => None,
        });
        if let Some(found) = id.and_then(|id| Some((id, self.mappings.internal_of(id)?))) {
            return Ok(found);
        }
        Err(if first.is_some() { Reason::Filtered } else { Reason::NoMapping })
    }

    /// The answer to a packet that nobody asked for.
    fn answer(&mut self, flow: Flow, flags: TcpFlags, reason: Reason, now: Instant) -> Inbound {
        // A reset is never answered, least of all by one.
        if flags.rst {
            return Inbound::Drop(reason);
        }
        let tcp = flow.protocol == Protocol::Tcp;
        let answer = self.config.rules(flow.protocol).unsolicited;
        if tcp && flags.syn && !flags.ack && self.config.hold_syn > Duration::ZERO {
            // The stack behind `Accept` is not the box's to hold, and silence needs no holding.
            if matches!(answer, Answer::Rst | Answer::Icmp) {
                return self.hold(flow, reason, now);
            }
        }
        match answer {
            Answer::Silence => Inbound::Drop(reason),
            Answer::Rst | Answer::Accept if tcp => Inbound::Refuse(Refusal::Rst),
            Answer::Rst => Inbound::Drop(reason),
            Answer::Icmp => Inbound::Refuse(Refusal::Icmp),
            Answer::Accept => {
                if let Err(reason) = self.make_room(None) {
                    return Inbound::Drop(reason);
                }
                self.table.insert(Entry {
                    protocol: flow.protocol,
                    internal: flow.destination,
                    external: flow.destination,
                    remote: flow.source,
                    mapping: None,
                    outward: false,
                    sent: false,
                    received: true,
                    connection: Connection::default(),
                    expires: now + self.config.lifetimes.udp_unreplied,
                });
                Inbound::Local
            }
        }
    }

    /// Keeps a SYN back; its repetitions meanwhile, and more than the table may have entries, are dropped.
    fn hold(&mut self, flow: Flow, reason: Reason, now: Instant) -> Inbound {
        let until = now + self.config.hold_syn;
        if self.held.len() < self.config.limits.entries
            && self.held.keep(flow.destination, flow.source, until)
        {
            Inbound::Hold { until }
        } else {
            Inbound::Drop(reason)
        }
    }

    // -- entries --

    /// Makes an entry of a mapping, for its first packet.
    fn enter(
        &mut self,
        mapping: u32,
        outside: Flow,
        internal: SocketAddr,
        direction: Direction,
        flags: TcpFlags,
        now: Instant,
    ) {
        let Flow { protocol, source: external, destination: remote } = outside;
        let mut entry = Entry {
            protocol,
            internal,
            external,
            remote,
            mapping: Some(mapping),
            outward: true,
            sent: direction == Direction::Outbound,
            received: direction == Direction::Inbound,
            connection: Connection::default(),
            expires: now,
        };
        entry.connection.advance(direction, flags);
        let full = now + lifetime(&self.config.lifetimes, &entry);
        // Where packets from outside don't refresh, a new sender from outside doesn't either.
        let refreshes = direction == Direction::Outbound
            || self.config.rules(protocol).refresh != Refresh::Outbound
            || self.mappings.is_requested(mapping);
        entry.expires = if refreshes {
            full
        } else {
            full.min(self.table.lives_until(protocol, internal, external).unwrap_or(now))
        };
        self.mappings.entered(mapping, remote.ip());
        self.table.insert(entry);
    }

    /// A further packet of an entry.
    fn advance(&mut self, id: u32, direction: Direction, flags: TcpFlags, now: Instant) {
        let Some(entry) = self.table.get_mut(id) else { return };
        match direction {
            Direction::Outbound => entry.sent = true,
            Direction::Inbound => entry.received = true,
        }
        if entry.protocol == Protocol::Tcp && !entry.connection.advance(direction, flags) {
            self.remove_entry(id);
            return;
        }
        let refreshes = match self.config.rules(entry.protocol).refresh {
            Refresh::Both => true,
            Refresh::Outbound => direction == Direction::Outbound,
            Refresh::Inbound => direction == Direction::Inbound,
        };
        let full = now + lifetime(&self.config.lifetimes, entry);
        // What doesn't refresh can still shorten: the end of a connection.
        let expires = if refreshes { full } else { full.min(entry.expires) };
        self.table.expire_at(id, expires);
    }

    /// Sees to it that one more entry, of that inside host, keeps the limits.
    fn make_room(&mut self, host: Option<IpAddr>) -> Result<(), Reason> {
        let Limits { entries, per_host, full } = self.config.limits;
        if let Some(host) = host {
            while self.table.host_len(host) >= per_host {
                let first = self.table.first_to_expire(Some(host)).filter(|_| full == Full::Evict);
                self.remove_entry(first.ok_or(Reason::HostFull)?);
            }
        }
        while self.table.len() >= entries {
            let first = self.table.first_to_expire(None).filter(|_| full == Full::Evict);
            self.remove_entry(first.ok_or(Reason::TableFull)?);
        }
        Ok(())
    }

    fn remove_entry(&mut self, id: u32) {
        let Some(entry) = self.table.remove(id) else { return };
        if let Some(mapping) = entry.mapping {
            self.mappings.left(mapping, entry.remote.ip());
            self.drop_unused(mapping);
        }
    }

    /// Ends a mapping that has no entry and that nobody asks for.
    fn drop_unused(&mut self, id: u32) {
        let Some(gone) = self.mappings.remove_unused(id) else { return };
        let (protocol, internal, external) = (gone.protocol(), gone.internal(), gone.external());
        if self.mappings.at(protocol, external).next().is_none() {
            self.ports.release(protocol, external);
        }
        if !self.mappings.any_of(internal.ip()) {
            self.ports.forget_host(internal.ip());
        }
    }
}

/// How long an entry lives in its present state.
const fn lifetime(lifetimes: &Lifetimes, entry: &Entry) -> Duration {
    match entry.protocol {
        Protocol::Udp if entry.sent && entry.received => lifetimes.udp_replied,
        Protocol::Udp => lifetimes.udp_unreplied,
        Protocol::Tcp => match entry.connection.phase() {
            Phase::Opening => lifetimes.tcp_opening,
            Phase::Established => lifetimes.tcp_established,
            Phase::Closing => lifetimes.tcp_closing,
        },
    }
}
