//! A second NAT, slow and plain, against the first: every rule as the RFCs word it, over the whole history of every
//! flow, with no index, no schedule and no state but the packets that were seen.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::testing::*;
use super::*;
use crate::seeds::cases;

const INSIDE: [&str; 5] =
    ["192.168.1.11:5000", "192.168.1.11:5001", "192.168.1.12:5000", "192.168.1.12:5002", "192.168.1.13:5000"];
const REMOTE: [&str; 4] = ["203.0.113.2:3478", "203.0.113.2:3479", "203.0.113.3:3478", "203.0.113.3:3479"];
const FLAGS: [TcpFlags; 5] = [SYN, SYN_ACK, ACK, FIN, RST];

#[derive(Clone, Debug)]
struct Step {
    seconds: u64,
    outbound: bool,
    tcp: bool,
    flags: usize,
    inside: usize,
    remote: usize,
    /// Which of the external endpoints seen so far.
    external: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let seconds =
        prop_oneof![4 => 0u64..3, 2 => 3u64..40, 1 => 100u64..260, 1 => Just(30u64), 1 => Just(120u64)];
    let step = (seconds, any::<bool>(), any::<bool>(), 0..FLAGS.len(), 0..5usize, 0..4usize, any::<usize>());
    let step = step.prop_map(|(seconds, outbound, tcp, flags, inside, remote, external)| Step {
        seconds,
        outbound,
        tcp,
        // SYNs are what most depends on.
        flags: if external % 3 == 0 { 0 } else { flags },
        inside,
        remote,
        external,
    });
    prop::collection::vec(step, 1..80)
}

fn config() -> impl Strategy<Value = NatConfig> {
    let mapping = prop_oneof![
        Just(Mapping::EndpointIndependent),
        Just(Mapping::AddressDependent),
        Just(Mapping::AddressAndPortDependent)
    ];
    let filtering = prop_oneof![
        Just(Filtering::EndpointIndependent),
        Just(Filtering::AddressDependent),
        Just(Filtering::AddressAndPortDependent)
    ];
    let allocation = prop_oneof![
        Just(Allocation::Preserving(Collision::NextFree)),
        Just(Allocation::Preserving(Collision::Random)),
        Just(Allocation::Preserving(Collision::Overload)),
        (any::<i8>()).prop_map(|step| Allocation::Sequential { start: Some(40_000), step: i32::from(step) }),
        Just(Allocation::Random),
        Just(Allocation::Chunked { size: 64, blocks: 1 }),
    ];
    let refresh = prop_oneof![Just(Refresh::Outbound), Just(Refresh::Inbound), Just(Refresh::Both)];
    let unsolicited = prop_oneof![Just(Answer::Silence), Just(Answer::Rst), Just(Answer::Icmp)];
    (mapping, filtering, allocation, refresh, unsolicited, any::<bool>()).prop_map(
        |(mapping, filtering, allocation, refresh, unsolicited, tcp_loose)| {
            let lifetimes = Lifetimes { tcp_established: Duration::from_secs(1000), ..Lifetimes::LINUX };
            NatConfig { allocation, tcp_loose, lifetimes, ..NatConfig::default() }.both(|rules| {
                *rules = Rules { mapping, filtering, refresh, unsolicited, hairpin: Hairpin::No };
            })
        },
    )
}

/// All that was seen of one internal and one remote endpoint by one external endpoint.
#[derive(Clone, Debug)]
struct Record {
    protocol: Protocol,
    internal: SocketAddr,
    external: SocketAddr,
    remote: SocketAddr,
    /// Which mapping: the remote part that it was made for.
    mapping: usize,
    /// The first by which this pair talked while it lived.
    primary: bool,
    /// When, from inside, and with which flags.
    packets: Vec<(u64, bool, TcpFlags)>,
    /// No later than this at first: what comes in doesn't prolong the mapping where only what goes out does.
    cap: u64,
}

impl Record {
    /// The packets since the connection was last opened, of the first `n`.
    fn connection(&self, n: usize) -> &[(u64, bool, TcpFlags)] {
        let mut from = 0;
        for (i, (_, _, flags)) in self.packets[..n].iter().enumerate() {
            if flags.syn && !flags.ack && closing(&self.packets[from..i]) {
                from = i;
            }
        }
        &self.packets[from..n]
    }

    /// When it is gone, after its first `n` packets.
    fn end(&self, config: &NatConfig, n: usize) -> u64 {
        let mut end = self.cap;
        for i in 1..=n {
            let (time, outbound, flags) = self.packets[i - 1];
            let connection = self.connection(i);
            let both = |of: fn(&TcpFlags) -> bool| {
                [true, false].iter().all(|&way| connection.iter().any(|(_, out, f)| *out == way && of(f)))
            };
            let lifetimes = &config.lifetimes;
            let life = match self.protocol {
                Protocol::Udp if both(|_| true) => lifetimes.udp_replied,
                Protocol::Udp => lifetimes.udp_unreplied,
                Protocol::Tcp if flags.rst && !both(|f| !f.rst) => return time,
                Protocol::Tcp if closing(connection) => lifetimes.tcp_closing,
                Protocol::Tcp if both(|f| f.ack) => lifetimes.tcp_established,
                Protocol::Tcp => lifetimes.tcp_opening,
            };
            let full = time + life.as_secs();
            let refreshes = match config.rules(self.protocol).refresh {
                Refresh::Both => true,
                Refresh::Outbound => outbound,
                Refresh::Inbound => !outbound,
            };
            end = if i == 1 && (refreshes || outbound) || i > 1 && refreshes { full } else { end.min(full) };
        }
        end
    }

    fn lives(&self, config: &NatConfig, now: u64) -> bool {
        now < self.end(config, self.packets.len())
    }
}

fn closing(connection: &[(u64, bool, TcpFlags)]) -> bool {
    connection.iter().any(|(_, _, flags)| flags.fin || flags.rst)
}

struct Model {
    config: NatConfig,
    records: Vec<Record>,
    mappings: usize,
    last_sequential: Option<u16>,
}

impl Model {
    fn live(&self, now: u64) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.lives(&self.config, now))
    }

    fn begins(&self, protocol: Protocol, flags: TcpFlags) -> bool {
        let middle = self.config.tcp_loose && flags.ack && !flags.syn;
        protocol == Protocol::Udp || !flags.rst && !flags.fin && (flags.syn && !flags.ack || middle)
    }

    /// RFC 4787 §4.1: whether a mapping made by one record serves another remote endpoint.
    fn same_mapping(&self, of: &Record, first_remote: SocketAddr, remote: SocketAddr) -> bool {
        let overload = self.config.allocation == Allocation::Preserving(Collision::Overload);
        match self.config.rules(of.protocol).mapping {
            _ if overload => first_remote == remote,
            Mapping::EndpointIndependent => true,
            Mapping::AddressDependent => first_remote.ip() == remote.ip(),
            Mapping::AddressAndPortDependent => first_remote == remote,
        }
    }

    /// The remote endpoint that a mapping was made for.
    fn first_remote(&self, mapping: usize) -> SocketAddr {
        self.records.iter().find(|record| record.mapping == mapping).unwrap().remote
    }

    /// Follows a packet from inside and says what is wrong with the verdict.
    fn outbound(&mut self, flow: Flow, flags: TcpFlags, now: u64, verdict: Outbound) -> Result<(), String> {
        let Flow { protocol, source: internal, destination: remote } = flow;
        let pair = |r: &Record| r.protocol == protocol && r.internal == internal && r.remote == remote;
        let known = self.live(now).find(|r| pair(r) && r.primary).cloned();
        let source = match verdict {
            Outbound::Forward { source } => source,
            Outbound::Drop(Reason::OutOfState) if known.is_none() && !self.begins(protocol, flags) => {
                return Ok(());
            }
            other => return Err(format!("{other:?}")),
        };
        if let Some(known) = known {
            let config = self.config;
            let record =
                self.records.iter_mut().find(|r| pair(r) && r.primary && r.lives(&config, now)).unwrap();
            record.packets.push((now, true, flags));
            return (source == known.external).then_some(()).ok_or(format!("known by {}", known.external));
        }
        if !self.begins(protocol, flags) {
            return Err("it begins nothing".into());
        }
        let of_endpoint: Vec<Record> =
            self.live(now).filter(|r| r.protocol == protocol && r.internal == internal).cloned().collect();
        // Two could not be told apart on the wire.
        let clashes = |r: &Record| {
            self.live(now).any(|o| (o.protocol, o.external, o.remote) == (protocol, r.external, remote))
        };
        let serves = |r: &&Record| self.same_mapping(r, self.first_remote(r.mapping), remote) && !clashes(r);
        let serving: Vec<Record> = of_endpoint.iter().filter(serves).cloned().collect();
        let mapping = if let Some(mapped) = serving.iter().find(|r| r.external == source) {
            mapped.mapping
        } else if let Some(mapped) = serving.first() {
            return Err(format!("mapped to {}", mapped.external));
        } else {
            self.fresh(protocol, internal, remote, source, now)?;
            self.mappings += 1;
            self.mappings
        };
        self.records.push(Record {
            protocol,
            internal,
            external: source,
            remote,
            mapping,
            primary: true,
            packets: vec![(now, true, flags)],
            cap: u64::MAX,
        });
        Ok(())
    }

    /// RFC 4787 §4.2: whether a new mapping got a port that it may get.
    fn fresh(
        &mut self,
        protocol: Protocol,
        internal: SocketAddr,
        remote: SocketAddr,
        source: SocketAddr,
        now: u64,
    ) -> Result<(), String> {
        let taken: BTreeSet<u16> =
            self.live(now).filter(|r| r.protocol == protocol).map(|r| r.external.port()).collect();
        let (port, kept) = (source.port(), internal.port());
        let unused = !taken.contains(&port) && port >= 1024;
        let right = match self.config.allocation {
            Allocation::Preserving(Collision::Overload) => {
                let clash = self
                    .live(now)
                    .any(|r| r.protocol == protocol && r.remote == remote && r.external.port() == kept);
                if clash { unused } else { port == kept }
            }
            Allocation::Preserving(_) if !taken.contains(&kept) => port == kept,
            Allocation::Preserving(Collision::NextFree) => {
                port == (kept + 1..).find(|port| !taken.contains(port)).unwrap()
            }
            Allocation::Sequential { start, step } => {
                let step = if step == 0 { 1 } else { step };
                let after = |port: u16| u16::try_from(i32::from(port) + step).unwrap();
                let mut next = self.last_sequential.map_or(start.unwrap(), after);
                while taken.contains(&next) {
                    next = after(next);
                }
                self.last_sequential = Some(port);
                port == next
            }
            Allocation::Chunked { size, .. } => {
                let block = |port: u16| (port - 1024) / size;
                unused
                    && self
                        .live(now)
                        .filter(|r| r.internal.ip() == internal.ip())
                        .all(|r| block(r.external.port()) == block(port))
                    && self
                        .live(now)
                        .filter(|r| r.internal.ip() != internal.ip())
                        .all(|r| block(r.external.port()) != block(port))
            }
            _ => unused,
        };
        let right = right && source.ip().to_string() == WAN;
        right.then_some(()).ok_or(format!("not that port, where {taken:?} are taken"))
    }

    /// Follows a packet from outside and says what is wrong with the verdict.
    fn inbound(&mut self, flow: Flow, flags: TcpFlags, now: u64, verdict: Inbound) -> Result<(), String> {
        let Flow { protocol, source: remote, destination: external } = flow;
        let config = self.config;
        let rules = config.rules(protocol);
        if let Some(record) = self.records.iter_mut().find(|r| {
            r.protocol == protocol && r.external == external && r.remote == remote && r.lives(&config, now)
        }) {
            record.packets.push((now, false, flags));
            let right = verdict == Inbound::Forward { destination: record.internal };
            return right.then_some(()).ok_or(format!("known by {}", record.internal));
        }
        // RFC 4787 §5: what was sent, and to whom, decides.
        let here: Vec<Record> =
            self.live(now).filter(|r| r.protocol == protocol && r.external == external).cloned().collect();
        let admitting: Vec<&Record> = here
            .iter()
            .filter(|r| match rules.filtering {
                Filtering::EndpointIndependent => true,
                Filtering::AddressDependent => r.remote.ip() == remote.ip(),
                Filtering::AddressAndPortDependent => r.remote == remote,
            })
            .collect();
        if admitting.is_empty() {
            let reason = if here.is_empty() { Reason::NoMapping } else { Reason::Filtered };
            let expected = match rules.unsolicited {
                _ if flags.rst => Inbound::Drop(reason),
                Answer::Rst if protocol == Protocol::Tcp => Inbound::Refuse(Refusal::Rst),
                Answer::Icmp => Inbound::Refuse(Refusal::Icmp),
                _ => Inbound::Drop(reason),
            };
            return (verdict == expected).then_some(()).ok_or(format!("{expected:?}"));
        }
        if !self.begins(protocol, flags) {
            let expected = Inbound::Drop(Reason::OutOfState);
            return (verdict == expected).then_some(()).ok_or(format!("{expected:?}"));
        }
        let Inbound::Forward { destination } = verdict else { return Err("admitted".into()) };
        let Some(by) = admitting.iter().find(|r| r.internal == destination) else {
            return Err(format!("admitted by {admitting:?}"));
        };
        // RFC 4787 §4.3, REQ-6: where what comes in refreshes nothing, the binding of the two endpoints ends when it
        // would have ended anyway, however many mappings the binding is made of.
        let of_binding = here.iter().filter(|r| r.internal == destination);
        let last = of_binding.map(|r| r.end(&config, r.packets.len())).max().unwrap();
        let primary = !self
            .live(now)
            .any(|r| r.protocol == protocol && r.internal == destination && r.remote == remote && r.primary);
        let (mapping, internal) = (by.mapping, destination);
        self.records.push(Record {
            protocol,
            internal,
            external,
            remote,
            mapping,
            primary,
            packets: vec![(now, false, flags)],
            cap: if rules.refresh == Refresh::Outbound { last } else { u64::MAX },
        });
        Ok(())
    }
}

/// Whether the NAT and the model say the same of a history.
fn follow(config: NatConfig, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut nat = nat(config);
    let mut model = Model { config, records: Vec::new(), mappings: 0, last_sequential: None };
    let mut externals = vec![at("203.0.113.101:5000")];
    let mut now = 0;
    for (n, step) in steps.iter().enumerate() {
        now += step.seconds;
        let protocol = if step.tcp { Protocol::Tcp } else { Protocol::Udp };
        let flags = if step.tcp { FLAGS[step.flags] } else { TcpFlags::default() };
        let tcp = step.tcp.then_some(flags);
        let remote = at(REMOTE[step.remote]);
        let wrong = if step.outbound {
            let flow = flow(protocol, at(INSIDE[step.inside]), remote);
            let verdict = nat.outbound(flow, tcp, secs(now));
            if let Outbound::Forward { source } = verdict {
                externals.push(source);
            }
            model.outbound(flow, flags, now, verdict).map_err(|why| format!("{verdict:?}, but {why}"))
        } else {
            // Of late ones mostly: they live.
            let back = 1 + (step.external / 3) % externals.len().min(6);
            let flow = flow(protocol, remote, externals[externals.len() - back]);
            let verdict = nat.inbound(flow, tcp, secs(now));
            model.inbound(flow, flags, now, verdict).map_err(|why| format!("{verdict:?}, but {why}"))
        };
        prop_assert_eq!(wrong, Ok(()), "step {} at {} s: {:?}", n, now, step);
        let mappings = nat.mappings(secs(now));
        let found: BTreeSet<_> = mappings.iter().map(|m| (m.protocol, m.external, m.internal)).collect();
        let expected: BTreeSet<_> = model.live(now).map(|r| (r.protocol, r.external, r.internal)).collect();
        prop_assert_eq!(found, expected, "mappings after step {} at {} s", n, now);
        prop_assert_eq!(nat.len(), model.live(now).count(), "entries after step {} at {} s", n, now);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn the_nat_does_what_the_rules_say_over_the_whole_history(config in config(), steps in steps()) {
        follow(config, &steps)?;
    }
}

// -- what the property has found --

/// A packet from inside, so many seconds after the last step.
const fn sends(seconds: u64, tcp: bool, flags: usize, inside: usize, remote: usize) -> Step {
    Step { seconds, outbound: true, tcp, flags, inside, remote, external: 0 }
}

/// A packet from outside, to the last external endpoint but so many.
const fn hears(seconds: u64, tcp: bool, flags: usize, remote: usize, back: usize) -> Step {
    Step { seconds, outbound: false, tcp, flags, inside: 0, remote, external: 3 * back }
}

fn open(refresh: Refresh) -> NatConfig {
    NatConfig::default().both(|rules| {
        rules.filtering = Filtering::EndpointIndependent;
        rules.refresh = refresh;
    })
}

#[test]
fn a_stranger_lives_as_long_as_the_external_endpoint_whatever_lived_there_before() {
    // One internal endpoint, two remote ones, until 31 and until 60. The slot of an entry that is gone is used again.
    let steps = [
        sends(0, false, 0, 0, 0),
        sends(0, false, 0, 0, 1),
        sends(1, false, 0, 3, 1),
        sends(29, false, 0, 3, 2),
        hears(0, false, 0, 0, 0),
        hears(3, false, 0, 0, 2),
    ];
    follow(open(Refresh::Outbound), &steps).unwrap();
}

#[test]
fn a_stranger_gains_nothing_by_what_shares_only_one_of_the_two_endpoints() {
    // Until 30 what the stranger came by. Until 50 another external endpoint of the same internal one, ...
    let mut config = open(Refresh::Outbound).both(|rules| rules.mapping = Mapping::AddressAndPortDependent);
    config.allocation = Allocation::Preserving(Collision::NextFree);
    let other_external = [
        sends(0, false, 0, 0, 0),
        sends(20, false, 0, 0, 1),
        hears(5, false, 0, 2, 1),
        hears(5, false, 0, 2, 1),
    ];
    follow(config, &other_external).unwrap();
    // ... or another internal endpoint behind the same external one.
    let other_internal = [
        sends(0, false, 0, 0, 0),
        sends(20, false, 0, 2, 1),
        hears(5, false, 0, 2, 0),
        hears(5, false, 0, 3, 0),
    ];
    follow(open(Refresh::Outbound), &other_internal).unwrap();
}

#[test]
fn a_stranger_does_not_outlive_a_connection_that_has_ended_early() {
    // Established and closed at 0: until 120, not 1000. A stranger's SYN at 60, who is gone at 120 too.
    let mut config = open(Refresh::Outbound);
    config.lifetimes.tcp_established = Duration::from_secs(1000);
    let steps = [
        sends(0, true, 0, 0, 0),
        hears(0, true, 1, 0, 0),
        sends(0, true, 2, 0, 0),
        sends(0, true, 3, 0, 0),
        hears(60, true, 0, 2, 0),
        hears(60, true, 0, 3, 0),
    ];
    follow(config, &steps).unwrap();
    let mut nat = nat(config);
    let external = nat.tcp_out(SYN, IN, OUT, 0);
    nat.tcp_in(SYN_ACK, OUT, external, 0);
    nat.tcp_out(ACK, IN, OUT, 0);
    nat.tcp_out(FIN, IN, OUT, 0);
    assert_eq!(nat.tcp_in(SYN, OUT_ADDRESS, external, 60), to(IN));
    assert_eq!(nat.mappings(secs(119)).len(), 1);
    assert_eq!(nat.mappings(secs(120)).len(), 0, "the stranger prolongs it");
}

#[test]
fn a_port_that_another_host_uses_towards_a_remote_endpoint_meanwhile_is_not_used_again() {
    // A stranger keeps what host 11 had towards remote 0; host 12 has the same port by then.
    let steps = [
        sends(0, false, 0, 0, 0),
        hears(20, false, 0, 3, 0),
        sends(11, false, 0, 2, 0),
        sends(1, false, 0, 0, 0),
    ];
    follow(open(Refresh::Both), &steps).unwrap();
}
