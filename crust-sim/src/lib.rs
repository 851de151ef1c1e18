//! A world in a box: hosts, links, LANs, routers, NATs and firewalls, in virtual time and from one seed.
//!
//! Everything that happens in a world follows from its seed and from what the test does: the same seed gives the
//! same packets at the same instants, on every machine. Time stands still while anything can happen now and then
//! jumps to the next event, so that a simulated day costs as much as its packets do.
//!
//! # A test
//!
//! Two sites behind NATs, programs as they run under tokio, and whatever shall go wrong:
//!
//! ```
//! use crust_proto::Duration;
//! use crust_sim::{Internet, Kind, LinkConfig, Sim, SiteConfig, seeds};
//!
//! seeds(3, |seed| {
//!     let sim = Sim::new(seed);
//!     let wire = LinkConfig { loss: 20_000, ..LinkConfig::with_latency(Duration::from_millis(15)) };
//!     let (alice, bob, router) = {
//!         let mut world = sim.world();
//!         let mut internet = Internet::new(&mut world);
//!         let mut home = internet.site(&mut world, &SiteConfig::of(Kind::PortRestricted, wire));
//!         let mut open = internet.site(&mut world, &SiteConfig::of(Kind::Open, wire));
//!         (home.host(&mut world), open.host(&mut world), home.routers[0])
//!     };
//!     sim.run(async {
//!         let (a, b) = (sim.builder(alice).bind().await.unwrap(), sim.builder(bob).bind().await.unwrap());
//!         let to = a.connect(b.contact()).await.unwrap();
//!         let from = b.accept().await.unwrap();
//!         sim.world().reboot_middleboxes(router);
//!         let mut stream = to.open_uni().await.unwrap();
//!         stream.write_all(b"through a NAT that has just forgotten us").await.unwrap();
//!         stream.finish().unwrap();
//!         let read = from.accept_uni().await.unwrap().read_to_end(100).await.unwrap();
//!         assert_eq!(read, b"through a NAT that has just forgotten us");
//!     });
//! });
//! ```
//!
//! When it fails it prints the seed, and the command that runs it with that seed alone: `CRUST_SIM_SEED=2 cargo test
//! …`. [`seeds`] says how CI gets fresh ones.
//!
//! # In CI
//!
//! A crate takes the simulator from the repository, for its tests alone, and all of crust from the same place, or else
//! their types are not the same:
//!
//! ```toml
//! [dev-dependencies]
//! crust-sim = { git = "https://github.com/maidsafe/crust" }
//! crust-proto = { git = "https://github.com/maidsafe/crust" }
//! ```
//!
//! Its tests are those of its own file `tests/simulated.rs`: `#[test]` functions such as the example above is, around
//! the programs that are to be tested. Every commit tries seeds of its own, and whatever fails can be replayed on any
//! machine:
//!
//! ```yaml
//! name: simulated
//! on: [push, pull_request]
//! jobs:
//!   sim:
//!     runs-on: ubuntu-latest
//!     steps:
//!       - uses: actions/checkout@v4
//!       - run: cargo test --release --test simulated # tests/simulated.rs
//!         env:
//!           CRUST_SIM_FROM: ${{ github.sha }} # where this commit's seeds begin
//!           CRUST_SIM_TIMES: "10"             # ten times as many as on a developer's machine
//! ```
//!
//! # Without a test of one's own
//!
//! The `crust-sim` command (`cargo install --locked --git https://github.com/maidsafe/crust crust-sim --features cli`)
//! shows who meets whom ([`meeting`]), plays scenario files ([`scenario`]), and runs worlds full of faults ([`swarm`])
//! whose seeds many machines can share. Among the jobs above:
//!
//! ```yaml
//!   sweep:
//!     runs-on: ubuntu-latest
//!     strategy:
//!       matrix:
//!         shard: [1/4, 2/4, 3/4, 4/4]
//!     steps:
//!       - run: cargo install --locked --git https://github.com/maidsafe/crust crust-sim --features cli
//!       - run: crust-sim sweep --seeds 0..4000 --shard ${{ matrix.shard }} --json > shard.jsonl
//!       - uses: actions/upload-artifact@v4
//!         if: always() # of a seed that failed too
//!         with: { name: "shard-${{ strategy.job-index }}", path: shard.jsonl }
//!   swept:
//!     runs-on: ubuntu-latest
//!     needs: sweep
//!     if: always()
//!     steps:
//!       - uses: actions/download-artifact@v4
//!       - run: cargo install --locked --git https://github.com/maidsafe/crust crust-sim --features cli
//!       - run: crust-sim merge shard-*/shard.jsonl # fails where a seed did, or a shard is missing
//! ```
//!
//! How fast it is: `crust-sim sweep --seeds 0..100 --speed` tells how many datagrams a second swarms come to, with all
//! that is checked in them, and how many one core moves through two NATs when it does nothing else; add `aws-lc-rs` to
//! the features for the fast ciphers.
//!
//! # What there is not yet
//!
//! Services of routers (UPnP, NAT-PMP, PCP), IP fragments, full send buffers of asynchronous sockets; of crust's own ways
//! to connect what crust has today ([`meeting::TODAY`]).
//!
//! # The rooms
//!
//! Imports go downwards: each line knows those below it, and none beside or above it.
//!
//! ```text
//! scenario  runs described by files     swarm  worlds full of faults
//! meeting  whether two sites meet
//! page  recordings as a page for a browser
//! pcap  recordings as captures for Wireshark
//! ───────────────────────────────────────────────────────────────────────────────────
//! checks  what must hold after every step     record  what a run leaves to be looked at
//! program  async programs written against crust-async     bare  the same without async: engines, and an event loop
//! executor  what polls programs in virtual time     cipher  a provider that encrypts nothing     seeds  what a test runs with
//! ───────────────────────────────────────────────────────────────────────────────────
//! stun  a STUN server and the probes of RFC 5780     population  sites by measured shares
//! site  hosts behind NATs, in one call     oracle  what must be possible between two sites
//! ───────────────────────────────────────────────────────────────────────────────────
//! world  the heap and the clock; devices, what is plugged into what, routing, changes     kinds  boxes by the names people know
//! host  a host's sockets: UDP, and TCP by smoltcp     firewall  a NAT's filter without translation
//! link  what becomes of a packet between two ends     nat  one NAT: mapping, filtering, allocation
//! ───────────────────────────────────────────────────────────────────────────────────
//! packet  encoded IP packets: read, written, rewritten
//! flow  what headers tell     rng  chance     digest  hashes     place  lines and columns     caught  panics as values
//! ```
//!
//! Packets are encoded IP packets everywhere: links, NATs and hosts see what a wire would show, and nothing else.

#![forbid(unsafe_code)]

pub mod bare;
mod caught;
pub mod checks;
pub mod cipher;
mod digest;
mod executor;
pub mod firewall;
pub mod flow;
pub mod host;
#[cfg(test)]
mod kernel;
pub mod kinds;
pub mod link;
pub mod meeting;
pub mod nat;
pub mod oracle;
pub mod packet;
pub mod page;
pub mod pcap;
mod place;
pub mod population;
pub mod program;
pub mod record;
pub mod rng;
pub mod scenario;
mod seeds;
pub mod site;
pub mod stun;
pub mod swarm;
pub mod world;

pub use flow::{Flow, Protocol, TcpFlags};
pub use host::{
    ConnectOptions, HostEvent, HostId, HostStats, InterfaceId, ListenerId, NetError, Received, SendOptions,
    TcpId, TcpState, UdpError, UdpId, UdpOptions,
};
pub use kinds::Kind;
pub use link::LinkConfig;
pub use packet::{Ecn, IcmpKind, Packet};
pub use program::Sim;
pub use rng::Rng;
pub use seeds::seeds;
pub use site::{Internet, Site, SiteConfig};
pub use world::{Middlebox, Power, Prefix, SegmentId, World};
