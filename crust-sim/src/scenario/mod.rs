//! Runs described by files, to be read and written by people without Rust.
//!
//! Its life: [`Scenario::parse`] reads a TOML file which describes a world and what happens in it, and refuses one that
//! is wrong with line, column and what was expected; [`Scenario::run`] builds the world from a seed, plays the steps,
//! and reports what happened and which expectations did not hold. The same file and seed are the same run. More
//! examples stand in this crate's `scenarios` folder.
//!
//! ```
//! use crust_sim::scenario::Scenario;
//!
//! let scenario = Scenario::parse(
//!     r#"
//! name = "A gate forgets everything in mid-transfer"
//! limit = "2min"
//!
//! [link.dsl]                    # links by name; in both directions, unless said otherwise
//! latency = "15ms"
//! jitter = "3ms"
//! loss = "1%"
//! rate = "16Mbit/s"
//! queue = "64KiB"
//!
//! [site.home]                   # a LAN behind gates
//! gates = ["port-restricted", { kind = "carrier-grade", lifetimes = { udp-replied = "20s" } }]
//! link = "dsl"
//!
//! [host.server]                 # a public host
//! link = { latency = "5ms" }
//!
//! [node.alice]                  # a node of crust, on a host
//! host = "home"
//! keep-alive = "10s"
//!
//! [node.server]                 # on the host of the same name
//!
//! [[step]]                      # steps, one after another
//! do = "connect"
//! from = "alice"
//! to = "server"
//! within = "5s"
//!
//! [[step]]
//! do = "send"
//! from = "alice"
//! to = "server"
//! bytes = "2MB"
//! within = "30s"
//! background = true             # the next steps don't wait for this one
//!
//! [[step]]
//! do = "reboot"
//! after = "500ms"
//! site = "home"
//! address = "new"
//!
//! [[step]]
//! at = "40s"                    # at a time of the world
//! do = "outage"
//! site = "home"
//! for = "2s"
//!
//! [expect]                      # at the end
//! connected = [["alice", "server"]]
//! lost-at-most = 0
//! "#,
//! )
//! .unwrap();
//! let report = scenario.run(7, None);
//! assert_eq!(report.failures, [""; 0], "{:#?}", report.log);
//! assert_eq!(scenario.run(7, None).hash, report.hash);
//!
//! let wrong = "name = \"x\"\n[link.dsl]\nlatency = \"20 parsecs\"";
//! let error = Scenario::parse(wrong).unwrap_err();
//! assert_eq!((error.line, error.column), (3, 11));
//! ```
//!
//! # Values
//!
//! Durations are texts in `ns`, `us`, `ms`, `s`, `min`, `h` or `d` (`"1.5s"`), rates in `bit/s`, `kbit/s`, `Mbit/s` or
//! `Gbit/s`, sizes numbers of bytes or texts in `B`, `kB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`, shares texts in `%` or
//! numbers from 0 to 1. Names are of letters, digits, `-`, `_` and `.`. Everything has bounds, which the error names.
//!
//! # The file
//!
//! | key | what | default |
//! |---|---|---|
//! | `name` | what the scenario is called | must be there |
//! | `description` | what it shows | none |
//! | `seed` | what it is run with, unless somebody says otherwise | none |
//! | `limit` | how much of the world's time a run takes at most; beyond it has failed | 10 min |
//! | `link.NAME` | links | none |
//! | `site.NAME`, `host.NAME` | sites, and public hosts | none |
//! | `node.NAME` | nodes; all start at the beginning | none |
//! | `step` | what happens | nothing |
//! | `expect` | what must hold at the end | nothing |
//!
//! ## Links
//!
//! Wherever a link is asked for, there may be a name or a table with these keys ([`LinkConfig`](crate::LinkConfig)):
//!
//! | key | what | default |
//! |---|---|---|
//! | `latency`, `jitter` | how long the way takes, and up to so much longer by chance | 1 ms, none |
//! | `rate` | bits a second, or `"unlimited"` | unlimited |
//! | `queue` | bytes that may wait for the rate | 256 KiB |
//! | `mark-above` | ECN marks where more bytes wait, or `"never"` | never |
//! | `loss` | share lost, each packet by itself | 0 |
//! | `bursts` | loss in bursts: `{ enter, leave, loss }`, shares a packet ([`Bursts`](crate::link::Bursts)), or `"none"` | none |
//! | `reorder`, `reorder-by` | share held back, and by up to how long | 0, 10 ms |
//! | `duplicate`, `corrupt` | share that arrives twice, or damaged | 0 |
//! | `mtu` | bytes of the largest packet | 1500 |
//! | `black-hole` | larger ones vanish without a word | false |
//! | `up` | false is an outage | true |
//!
//! ## Sites
//!
//! | key of `site.NAME` | what | default |
//! |---|---|---|
//! | `gates` | a gate, or a list of them, the innermost first | none: routed, open |
//! | `link` | the wire to the internet | a good wire of 1 ms |
//! | `down` | its direction from the internet, where that is another | as `link` |
//! | `lan` | the link of each host on the LAN | a good wire of 1 ms |
//! | `ipv6` | `"none"`, `"open"`, `"firewall"`, or a firewall's table | none |
//! | `hosts` | how many, or their names. One is called as the site, several `NAME-1`, `NAME-2`, … | 1 |
//!
//! A public host (`host.NAME`) has `link` and `down`, and IPv4 and IPv6. A gate is the name of a
//! [`Kind`](crate::Kind) or a table, of which every key overrides that kind's
//! ([`NatConfig`](crate::nat::NatConfig)). The keys with a star may be a table `{ udp, tcp }`:
//!
//! | key of a gate | what |
//! |---|---|
//! | `kind` | `"open"`, `"firewall"`, `"full-cone"`, `"restricted"`, `"port-restricted"` (the default), `"symmetric"`, `"symmetric-seq"`, `"symmetric-addr"`, `"carrier-grade"`, `"tcp-rst"`, `"poisoned"`, `"udp-blocked"` |
//! | `mapping`*, `filtering`* | `"endpoint-independent"`, `"address-dependent"`, `"address-and-port-dependent"` |
//! | `hairpin`* | `"no"`, `"internal-source"`, `"external-source"` |
//! | `refresh`* | `"outbound"`, `"inbound"`, `"both"` |
//! | `unsolicited`* | `"silence"`, `"rst"`, `"icmp"`, `"accept"` |
//! | `allocation` | `"preserving"`, `"sequential"`, `"random"`, `"chunked"`, or a table with that as `kind` and `collision` (`"next-free"`, `"random"`, `"overload"`), `start` and `step`, or `size` and `blocks` |
//! | `ports` | `[lowest, highest]` |
//! | `parity`, `tcp-loose`, `udp-blocked` | true or false |
//! | `pooling` | `"paired"`, `"arbitrary"` |
//! | `lifetimes` | `{ udp-unreplied, udp-replied, tcp-opening, tcp-established, tcp-closing }` |
//! | `limits` | `{ entries, per-host, full }`, the last `"refuse"` or `"evict"` |
//! | `hold-syn` | how long a SYN that nobody asked for waits for its `unsolicited` answer, up to 1 h (`"0s"`: not at all) |
//!
//! A firewall (the first two kinds, and `ipv6`) has those of these keys that make sense without translation.
//!
//! ## Nodes
//!
//! | key of `node.NAME` | what | default |
//! |---|---|---|
//! | `host` | where it runs | the host of its name |
//! | `network` | the network's name | crust's default |
//! | `port` | the UDP port for IPv4; with it there is no IPv6 | any, for both |
//! | `keep-alive` | the longest silence, or `"never"` | 15 s |
//! | `idle-timeout`, `linger`, `handshake-timeout` | as in crust's [`Config`](crust_proto::Config) | 60 s, 10 s, 10 s |
//! | `datagram-size` | bytes of UDP payloads | 1200 |
//! | `accept-incoming` | whether peers may connect | true |
//!
//! # Steps
//!
//! Steps without `at` or `background` come in turn: each begins when the one before is done. The first of them that
//! fails is the last; what goes on in the background goes on to its end, and what is expected at the end is looked at
//! all the same. Each failure is one of [`ScenarioReport::failures`].
//!
//! | key of every step | what |
//! |---|---|
//! | `do` | what happens: the next tables |
//! | `after` | a pause before it |
//! | `background` | true: it begins in its turn (and after its pause), and nobody waits for it |
//! | `at` | it begins at this time of the world, and nobody waits for it |
//!
//! What nodes do. Each of these but `wait` and `expect` has `from` and `to`, two nodes; and `within`, the longest that it
//! may take, except for `datagrams`:
//!
//! | `do` | keys | what |
//! |---|---|---|
//! | `connect` | `both`, `expect` | `from` connects to what `to` says of itself, and both ends have the connection; with `both`, each to the other at once. `expect` is `"connected"` (the default), `"no-answer"`, `"not-me"`, `"other-network"`, `"no-address"`, or `"failure"` for any |
//! | `send` | `bytes`, `streams`, `rate-at-least`, `expect` | so many bytes on each of so many streams (1); every byte and their order is checked. `expect` is `"arrives"` (the default) or `"fails"` |
//! | `messages` | `count`, `bytes`, `priority`, `expect` | so many messages (1) of that size, checked likewise; priorities from 0, the most urgent, to 7 |
//! | `datagrams` | `count`, `bytes`, `every`, `at-least`, `wait` | so many (1) of that size, one `every` so often; the share that must arrive (0) until `wait` (2 s) after the last. None may arrive twice or damaged |
//! | `close` | `code`, `graceful` | `from` closes with that code (0), and `to` hears of it within 10 s, unless said otherwise. Not graceful: at once |
//! | `ended` | `reason` | waits until `from` knows that its connection is over: `"here"`, `"by-peer"`, `"timed-out"`, `"peer-restarted"`, `"any"` (the default) |
//! | `wait` | `for` | time passes |
//! | `expect` | as `[expect]` | what must hold now |
//!
//! What goes wrong. With `for` it lasts so long and is taken back, and the step takes as long; without, it lasts:
//!
//! | `do` | keys | what |
//! |---|---|---|
//! | `link` | `site` or `host`, `direction`, `to`, `for`, a link's keys | a link becomes the one of that name or table, and what the keys say. `direction` is `"up"` (to the internet), `"down"`, `"both"` (the default); of a host on a LAN only what it sends, but for `up = false`, which cuts it off both ways |
//! | `outage`, `outage-over` | `site` or a public `host`, `for` | nothing passes, and nobody is told |
//! | `partition`, `heal` | `site`, `groups`, `for` | the LAN is cut: lists of hosts, and `"gate"`, that hear each other; who is in none is one more group |
//! | `reboot` | `site`, `gate`, `address` | gates lose their tables: the one of that number from inside (from 1), or all; with the `"same"` public address or a `"new"` one |
//! | `gate` | `site`, `gate`, `for`, a gate's keys | a gate's rules are those of the file, but for what the keys say; what is in its table stays. `gate` is its number from inside (the outermost, unless said otherwise), or `"ipv6"` for the firewall before the site's IPv6, which has a firewall's keys; with `kind` they are those of that kind, a NAT's for a NAT, `"open"` or `"firewall"` for a firewall |
//! | `block-udp`, `allow-udp` | `site`, `for` | at the outermost gate, and at the firewall before the site's IPv6; a site that has only one of them blocks there, one that has neither is refused |
//! | `crash`, `restart` | `host`, `for` | everything on it is gone; its nodes start again, with their keys and ports |
//! | `suspend`, `resume` | `host`, `for` | it sleeps |
//! | `unplug`, `plug` | `host`, `for` | the cable is out, and the host knows |
//! | `clock` | `host`, `jump` or `skew-ppm` | its wall clock jumps (`"-30s"`), or its clocks run fast by so many millionths |
//! | `address` | `host` | another address: a new lease |
//! | `move` | `host`, `to` | plugged into the LAN of another site, with an address there |
//!
//! Several may last at once on the same thing: it is over when the last of them is. Each `for` takes back only what its
//! own step has done: of several changes to a property of a link the latest that lasts is in force, else the link's own;
//! of several cuts of a LAN all are. Who says that it is over (`outage-over`, `heal`, `allow-udp`, `restart`, `resume`,
//! `plug`) ends all of that kind so far. An outage goes on whatever a `link` step says of `up`. A crash ends a sleep, and a
//! host that moves has a new link and is in no cut.
//!
//! # Expectations
//!
//! | key | what |
//! |---|---|
//! | `connected` | pairs of nodes: each end knows of the connection to the other and that it stands |
//! | `disconnected` | pairs of nodes: the first has no connection to the second, as far as it knows |
//! | `lost-at-most` | ends of connections that are over so far, neither end having closed them |
//! | `datagrams-at-most`, `datagrams-at-least` | UDP datagrams that all hosts have sent so far |
//! | `time-at-most` | time since the beginning |

use crust_proto::Duration;
use toml::de::DeTable;

use crate::place::Place;
use crate::record::Recorder;

mod build;
mod faults;
mod lasting;
mod plan;
mod read;
mod read_steps;
mod read_world;
mod run;
mod traffic;
mod units;

use plan::Plan;
use read::{Fault, Read, Table};

/// The longest file, in bytes.
pub const LONGEST_FILE: usize = 1 << 20;
/// The most steps of a file.
const MOST_STEPS: usize = 1000;
/// The longest run, in the world's time.
const LONGEST_RUN: Duration = Duration::from_secs(7 * 86_400);
/// How long a run may take, unless the file says otherwise.
const LIMIT: Duration = Duration::from_secs(600);
/// The longest description, and the longest name of a scenario, in bytes.
const LONGEST_TEXT: usize = 10_000;
const LONGEST_NAME: usize = 200;

/// The keys of a file.
const FILE_KEYS: &[&str] =
    &["name", "description", "seed", "limit", "link", "site", "host", "node", "step", "expect"];

/// A run, described.
#[derive(Clone, Debug)]
pub struct Scenario {
    plan: Plan,
}

/// A file that is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ScenarioError {
    /// The line, from 1.
    pub line: usize,
    /// The column in it, in characters from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub message: String,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct ScenarioReport {
    /// The seed of this run.
    pub seed: u64,
    /// The hash over everything that happened.
    pub hash: [u8; 32],
    /// How long it took, in the world's time.
    pub elapsed: Duration,
    /// UDP datagrams that hosts sent.
    pub datagrams: u64,
    /// What happened, as the file's steps went.
    pub log: Vec<(Duration, String)>,
    /// Which expectations did not hold; none: it passed.
    pub failures: Vec<String>,
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Its first fault.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let at = |Place { line, column }, message| ScenarioError { line, column, message };
        if text.len() > LONGEST_FILE {
            let message = format!("the file is {} bytes long, expected at most {LONGEST_FILE}", text.len());
            return Err(at(Place::of(text, 0), message));
        }
        let file = DeTable::parse(text).map_err(|error| {
            let (place, message) = Place::of_toml(text, &error);
            at(place, message)
        })?;
        match read(file.get_ref(), text) {
            Ok(plan) => Ok(Self { plan }),
            Err(Fault { at: offset, message }) => Err(at(Place::of(text, offset), message)),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// What it is about; empty where the file does not say.
    pub fn description(&self) -> &str {
        &self.plan.description
    }

    /// The seed that the file asks for.
    pub fn seed(&self) -> Option<u64> {
        self.plan.seed
    }

    /// Runs it, with a recorder where somebody wants to look at it later. That changes nothing in the world.
    ///
    /// # Panics
    ///
    /// Where a defect of crust's core or of the simulator shows itself by a panic.
    pub fn run(&self, seed: u64, recorder: Option<&Recorder>) -> ScenarioReport {
        run::run(&self.plan, seed, recorder)
    }
}

fn read(file: &DeTable<'_>, text: &str) -> Read<Plan> {
    let file = Table::new(0, file, "a scenario", FILE_KEYS)?;
    let name = file.need("name")?.text("a name", LONGEST_NAME)?.to_owned();
    let description =
        file.get("description").map_or(Ok(""), |value| value.text("a description", LONGEST_TEXT))?;
    let seed = file.get("seed").map(|value| value.number("a seed", 0..=u64::MAX)).transpose()?;
    let limit =
        file.get("limit").map_or(Ok(LIMIT), |v| v.duration(Duration::from_millis(1)..=LONGEST_RUN))?;
    let world = read_world::read(&file)?;
    let steps = read_steps::read(&file, text, &world, limit)?;
    let expect = read_steps::read_expect(&file, &world)?;
    let read_world::World { places, hosts, nodes, .. } = world;
    Ok(Plan { name, description: description.to_owned(), seed, limit, places, hosts, nodes, steps, expect })
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "error_tests.rs"]
mod error_tests;

#[cfg(test)]
#[path = "world_tests.rs"]
mod world_tests;

#[cfg(test)]
#[path = "overlap_tests.rs"]
mod overlap_tests;
