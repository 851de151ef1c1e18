//! Sites by measured shares: a population to run thousands of connections over.
//!
//! Its life: a [`Population`] is read from a file, the frozen one of this crate ([`Population::standard`]) or another,
//! and [`Population::site`] draws sites from it, every parameter by chance. A file that is wrong is refused with line,
//! column and what was expected.
//!
//! The frozen file is `population.toml` beside this crate's manifest: two mixes, so that nobody can tune a result by
//! choosing one. What it takes from whom (what isn't listed is an estimate of ours and marked so there; a result over
//! the population is a model, never a field rate):
//!
//! | parameter | source |
//! |---|---|
//! | mapping at home, behind fixed-line carriers, cellular; home port preservation; carriers' UDP timeouts | Richter et al., “A Multi-perspective Analysis of Carrier-Grade NAT Deployment”, IMC 2016 |
//! | filtering | Guha & Francis, “Characterization and Measurement of TCP Traversal through NATs and Firewalls”, IMC 2005 |
//! | cellular allocation | Wang et al., “An Untold Story of Middleboxes in Cellular Networks”, SIGCOMM 2011 (72 carriers) |
//! | hairpin at home | Ford, Srisuresh & Kegel, “Peer-to-Peer Communication Across Network Address Translators”, USENIX ATC 2005 |
//! | routers that map ports | DiCioccio et al., “Probe and Pray: Using UPnP for Home Network Measurements”, PAM 2012 |
//! | IPv6 | Google's counter of users, 2026 |
//!
//! ```
//! use crust_sim::Rng;
//! use crust_sim::oracle::between;
//! use crust_sim::population::{Mix, Population};
//!
//! let population = Population::standard(Mix::A);
//! let mut rng = Rng::new(1);
//! let (here, there) = (population.site(&mut rng), population.site(&mut rng));
//! println!("{:?} and {:?}: {:?}", here.class, there.class, between(&(&here).into(), &(&there).into()));
//! ```

use std::collections::BTreeMap;

use crust_proto::Duration;
use serde::Deserialize;

use crate::Rng;
use crate::firewall::FirewallConfig;
use crate::nat::{Allocation, Answer, Collision, Filtering, Hairpin, Lifetimes, Mapping, NatConfig};
use crate::oracle;
use crate::place::Place;

/// The frozen file.
const STANDARD: &str = include_str!("../population.toml");
/// Ports in a block of chunked allocation: what the estimates of the birthday method assume.
const BLOCK: u16 = 2048;
/// Mappings that others make a second, at most: more would keep a world busy with nothing else.
const MOST_NOISE: f64 = 10_000.0;
/// A UDP entry that has seen no reply lives no longer than this (Linux's default).
const UNREPLIED: Duration = Duration::from_secs(30);

/// One of the frozen mixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mix {
    /// The milder one.
    A,
    /// The harder one.
    B,
}

/// A class of sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Behind a home router.
    Home,
    /// Behind a home router behind a carrier's NAT.
    Carrier,
    /// Behind a cellular carrier's NAT.
    Mobile,
    /// Behind a company's NAT.
    Enterprise,
    /// At a public address.
    Public,
}

/// A site as drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteProfile {
    /// Its class.
    pub class: Class,
    /// The NATs that its IPv4 packets cross, the innermost first.
    pub nats: Vec<NatConfig>,
    /// The firewall before its IPv4 address, where it has a public one.
    pub firewall: Option<FirewallConfig>,
    /// The firewall before its IPv6 addresses, where it has IPv6.
    pub ipv6: Option<FirewallConfig>,
    /// Its router maps ports on request (UPnP, NAT-PMP or PCP).
    pub port_mapping: bool,
    /// Mappings that others make on its outermost NAT, a second.
    pub noise_per_second: f64,
}

/// Classes of sites, and how often each occurs.
#[derive(Clone, Debug)]
pub struct Population {
    mix: Choice<Class>,
    file: File,
}

/// A file that is no population.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct PopulationError {
    /// The line, from 1.
    pub line: usize,
    /// The column in it, in characters from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub message: String,
}

impl Population {
    /// One of the two frozen mixes.
    ///
    /// # Panics
    ///
    /// Never: that the file in this crate is right is tested.
    pub fn standard(mix: Mix) -> Self {
        let name = if mix == Mix::A { "a" } else { "b" };
        Self::parse(STANDARD, name).expect("the frozen file is right")
    }

    /// A mix of a file.
    ///
    /// # Errors
    ///
    /// The first fault of the file; or that it has no such mix, at its first line.
    pub fn parse(text: &str, mix: &str) -> Result<Self, PopulationError> {
        let file: File = toml::from_str(text).map_err(|error| PopulationError::at(text, &error))?;
        let Some(mix) = file.mix.get(mix).cloned() else {
            let names: Vec<&str> = file.mix.keys().map(String::as_str).collect();
            let message = format!("no mix {mix:?}, expected one of {}", names.join(", "));
            return Err(PopulationError { line: 1, column: 1, message });
        };
        Ok(Self { mix, file })
    }

    /// A site, every parameter by chance.
    pub fn site(&self, rng: &mut Rng) -> SiteProfile {
        let class = self.mix.draw(rng).unwrap_or(Class::Public);
        let classes = &self.file.class;
        let noise_per_second = self.file.noise.lambda.get(&class).map_or(0.0, |rate| rate.0);
        let behind = match class {
            Class::Home => &classes.home,
            Class::Carrier => &classes.carrier,
            Class::Mobile => &classes.mobile,
            Class::Enterprise => &classes.enterprise,
            Class::Public => return classes.public.site(noise_per_second, rng),
        };
        let nat = behind.nat(rng);
        let inner = behind.inner.map(|Inner::Home| classes.home.nat(rng));
        let udp_blocked = nat.udp_blocked;
        let ipv6 = behind.ipv6.draw(rng).then(|| FirewallConfig { udp_blocked, ..FirewallConfig::default() });
        SiteProfile {
            class,
            nats: inner.into_iter().chain([nat]).collect(),
            firewall: None,
            ipv6,
            port_mapping: behind.port_mapping.draw(rng),
            noise_per_second,
        }
    }
}

impl PopulationError {
    fn at(text: &str, error: &toml::de::Error) -> Self {
        let (Place { line, column }, message) = Place::of_toml(text, error);
        Self { line, column, message }
    }
}

// -- the file --

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mix: BTreeMap<String, Choice<Class>>,
    class: Classes,
    noise: Noise,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Classes {
    home: Behind,
    carrier: Behind,
    mobile: Behind,
    enterprise: Behind,
    public: Public,
}

/// Sites behind a NAT.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Behind {
    /// A further box between this one and the host, drawn as that class's.
    inner: Option<Inner>,
    mapping: Choice<MappingName>,
    allocation: Allocations,
    filtering: Choice<FilteringName>,
    port_mapping: Share,
    ipv6: Share,
    hairpin: PerProtocol,
    udp_timeout_s: Seconds,
    unsolicited_syn: Choice<AnswerName>,
    udp_blocked: Share,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Inner {
    Home,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allocations {
    eim: Choice<AllocationName>,
    edm: Choice<AllocationName>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PerProtocol {
    udp: Share,
    tcp: Share,
}

/// Sites at a public address.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Public {
    firewall: Choice<FirewallName>,
    ipv6: Share,
    udp_blocked: Share,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Noise {
    lambda: BTreeMap<Class, Rate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MappingName {
    Eim,
    Edm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FilteringName {
    Eif,
    Adf,
    Apdf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AllocationName {
    Preserve,
    Random,
    Chunk,
    Sequential,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AnswerName {
    Drop,
    Rst,
    Icmp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FirewallName {
    Open,
    Stateful,
}

impl Behind {
    fn nat(&self, rng: &mut Rng) -> NatConfig {
        let mapping = self.mapping.draw(rng).unwrap_or(MappingName::Eim);
        let (mapping, allocation) = match mapping {
            MappingName::Eim => (Mapping::EndpointIndependent, &self.allocation.eim),
            MappingName::Edm => (Mapping::AddressAndPortDependent, &self.allocation.edm),
        };
        let allocation = match allocation.draw(rng).unwrap_or(AllocationName::Random) {
            AllocationName::Preserve => Allocation::Preserving(Collision::Random),
            AllocationName::Random => Allocation::Random,
            AllocationName::Chunk => Allocation::Chunked { size: BLOCK, blocks: 1 },
            AllocationName::Sequential => Allocation::Sequential { start: None, step: 1 },
        };
        let filtering = match self.filtering.draw(rng).unwrap_or(FilteringName::Apdf) {
            FilteringName::Eif => Filtering::EndpointIndependent,
            FilteringName::Adf => Filtering::AddressDependent,
            FilteringName::Apdf => Filtering::AddressAndPortDependent,
        };
        let mut config =
            NatConfig { allocation, lifetimes: Lifetimes::RFC, ..NatConfig::default() }.both(|rules| {
                rules.mapping = mapping;
                rules.filtering = filtering;
            });
        let hairpin = |works: bool| if works { Hairpin::ExternalSource } else { Hairpin::No };
        config.udp.hairpin = hairpin(self.hairpin.udp.draw(rng));
        config.tcp.hairpin = hairpin(self.hairpin.tcp.draw(rng));
        config.tcp.unsolicited = match self.unsolicited_syn.draw(rng).unwrap_or(AnswerName::Drop) {
            AnswerName::Drop => Answer::Silence,
            AnswerName::Rst => Answer::Rst,
            AnswerName::Icmp => Answer::Icmp,
        };
        config.lifetimes.udp_replied = self.udp_timeout_s.draw(rng);
        config.lifetimes.udp_unreplied = config.lifetimes.udp_replied.min(UNREPLIED);
        config.udp_blocked = self.udp_blocked.draw(rng);
        config
    }
}

impl Public {
    fn site(&self, noise_per_second: f64, rng: &mut Rng) -> SiteProfile {
        let config = match self.firewall.draw(rng).unwrap_or(FirewallName::Stateful) {
            FirewallName::Open => FirewallConfig::open(),
            FirewallName::Stateful => FirewallConfig::default(),
        };
        let firewall = FirewallConfig { udp_blocked: self.udp_blocked.draw(rng), ..config };
        SiteProfile {
            class: Class::Public,
            nats: Vec::new(),
            firewall: Some(firewall),
            ipv6: self.ipv6.draw(rng).then_some(firewall),
            port_mapping: false,
            noise_per_second,
        }
    }
}

/// A share, in millionths.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "f64")]
struct Share(u32);

impl Share {
    const ONE: u32 = 1_000_000;

    fn draw(self, rng: &mut Rng) -> bool {
        rng.chance(self.0)
    }
}

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self((share * f64::from(Self::ONE)).round() as u32))
        } else {
            Err(format!("{share} is no share, expected a number from 0 to 1"))
        }
    }
}

/// One of several, by shares that add up to one.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "BTreeMap<K, Share>", bound = "K: Ord + Deserialize<'de>")]
struct Choice<K>(Vec<(K, u32)>);

impl<K: Copy> Choice<K> {
    /// One of them; there always is one, since the shares add up to one.
    fn draw(&self, rng: &mut Rng) -> Option<K> {
        let mut at = rng.below(u64::from(Share::ONE));
        self.0.iter().find_map(|&(key, share)| {
            let share = u64::from(share);
            let here = at < share;
            at = at.saturating_sub(share);
            here.then_some(key)
        })
    }
}

impl<K> TryFrom<BTreeMap<K, Share>> for Choice<K> {
    type Error = String;

    fn try_from(shares: BTreeMap<K, Share>) -> Result<Self, String> {
        let sum: u32 = shares.values().map(|share| share.0).sum();
        if sum == Share::ONE {
            Ok(Self(shares.into_iter().map(|(key, share)| (key, share.0)).collect()))
        } else {
            let sum = f64::from(sum) / f64::from(Share::ONE);
            Err(format!("the shares add up to {sum}, expected 1"))
        }
    }
}

/// A range of whole seconds, both ends included.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "[u32; 2]")]
struct Seconds(u32, u32);

impl Seconds {
    /// Uniform, to the nanosecond.
    fn draw(self, rng: &mut Rng) -> Duration {
        let Self(low, high) = self;
        Duration::from_secs(low.into()) + rng.up_to(Duration::from_secs((high - low).into()))
    }
}

impl TryFrom<[u32; 2]> for Seconds {
    type Error = String;

    fn try_from([low, high]: [u32; 2]) -> Result<Self, String> {
        if low > 0 && low <= high {
            Ok(Self(low, high))
        } else {
            Err(format!("[{low}, {high}] is no range, expected two numbers above 0, the lower first"))
        }
    }
}

/// Events a second.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "f64")]
struct Rate(f64);

impl TryFrom<f64> for Rate {
    type Error = String;

    fn try_from(rate: f64) -> Result<Self, String> {
        if (0.0..=MOST_NOISE).contains(&rate) {
            Ok(Self(rate))
        } else {
            Err(format!("{rate} is no rate, expected a number from 0 to {MOST_NOISE}"))
        }
    }
}

// -- for the oracle --

impl From<&SiteProfile> for oracle::Site {
    fn from(site: &SiteProfile) -> Self {
        let nats = site.nats.iter().map(gate);
        let stateful = |firewall: &FirewallConfig| {
            [firewall.udp, firewall.tcp].iter().any(|rules| rules.unsolicited != Answer::Accept)
        };
        // A firewall is a gate that keeps endpoints as they are; an open one is none.
        let firewall = site.firewall.iter().filter(|firewall| stateful(firewall)).map(|firewall| {
            let [udp, tcp] = [firewall.udp, firewall.tcp].map(|rules| oracle::Behaviour {
                mapping: oracle::Mapping::Independent,
                filter: match rules.unsolicited {
                    Answer::Accept => oracle::Filter::Independent,
                    Answer::Silence | Answer::Rst | Answer::Icmp => filter(rules.filtering),
                },
                hairpin: true,
            });
            oracle::Gate { udp, tcp, ports: oracle::Ports::Kept }
        });
        Self {
            gates: nats.chain(firewall).collect(),
            udp_blocked: site.nats.iter().any(|nat| nat.udp_blocked)
                || site.firewall.is_some_and(|firewall| firewall.udp_blocked),
            ipv6: match &site.ipv6 {
                None => oracle::Ipv6::Absent,
                Some(firewall) if stateful(firewall) => oracle::Ipv6::Filtered,
                Some(_) => oracle::Ipv6::Open,
            },
            port_mapping: site.port_mapping,
            carrier: None,
        }
    }
}

fn gate(nat: &NatConfig) -> oracle::Gate {
    let [udp, tcp] = [&nat.udp, &nat.tcp].map(|rules| oracle::Behaviour {
        mapping: match rules.mapping {
            Mapping::EndpointIndependent => oracle::Mapping::Independent,
            Mapping::AddressDependent | Mapping::AddressAndPortDependent => oracle::Mapping::Dependent,
        },
        filter: filter(rules.filtering),
        hairpin: rules.hairpin != Hairpin::No,
    });
    let ports = match nat.allocation {
        Allocation::Preserving(_) => oracle::Ports::Kept,
        Allocation::Sequential { .. } => oracle::Ports::Sequential,
        Allocation::Random | Allocation::Chunked { .. } => oracle::Ports::Random,
    };
    oracle::Gate { udp, tcp, ports }
}

const fn filter(filtering: Filtering) -> oracle::Filter {
    match filtering {
        Filtering::EndpointIndependent => oracle::Filter::Independent,
        Filtering::AddressDependent => oracle::Filter::Address,
        Filtering::AddressAndPortDependent => oracle::Filter::AddressAndPort,
    }
}

#[cfg(test)]
#[path = "population_tests.rs"]
mod tests;
