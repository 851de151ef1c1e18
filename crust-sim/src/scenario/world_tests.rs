//! What a file says of the world is how the world is.

use crust_proto::crypto;
use crust_proto::{Config, Network, SecretKey};

use super::plan::PlaceKind;
use super::*;
use crate::firewall::FirewallConfig;
use crate::kinds::{Gate, Kind};
use crate::link::{Bursts, LinkConfig, Oversize};
use crate::nat::{
    Allocation, Answer, Collision, Filtering, Full, Hairpin, Lifetimes, Limits, Mapping, NatConfig, Pooling,
    Refresh,
};
use crate::{Sim, SiteConfig};

fn plan(text: &str) -> Plan {
    Scenario::parse(&format!("name = \"world\"\n{text}"))
        .unwrap_or_else(|error| panic!("{error}: {text}"))
        .plan
}

fn site(text: &str) -> SiteConfig {
    match plan(&format!("[site.s]\n{text}")).places.swap_remove(0).kind {
        PlaceKind::Site(config) => *config,
        PlaceKind::Public(_) => panic!("a site"),
    }
}

#[test]
fn every_property_of_a_link_is_as_the_file_says() {
    let all = "latency = \"7ms\"\njitter = \"1.5ms\"\nrate = \"3Mbit/s\"\nqueue = \"10kB\"\nmark-above = 5000\n\
               loss = \"1.5%\"\nbursts = { enter = 0.001, leave = \"25%\", loss = 0.5 }\nreorder = 0.02\n\
               reorder-by = \"4ms\"\nduplicate = 0.03\ncorrupt = 0.04\nmtu = 1300\nblack-hole = true\nup = false\n";
    let wanted = LinkConfig {
        latency: Duration::from_millis(7),
        jitter: Duration::from_micros(1500),
        rate: Some(3_000_000),
        queue: 10_000,
        mark_above: Some(5000),
        loss: 15_000,
        bursts: Some(Bursts { enter: 1000, leave: 250_000, loss: 500_000 }),
        reorder: 20_000,
        reorder_by: Duration::from_millis(4),
        duplicate: 30_000,
        corrupt: 40_000,
        mtu: 1300,
        oversize: Oversize::BlackHole,
        up: false,
    };
    let plan = plan(&format!(
        "[link.all]\n{all}[site.s]\nlink = \"all\"\nlan = {{ mtu = 1400 }}\ndown = {{ loss = 1 }}\n[host.h]\nlink = {{}}\n"
    ));
    // And it is so where the packets pass.
    let sim = Sim::new(1);
    let built = build::Built::new(&sim, &plan, None);
    let mut world = sim.world();
    let [site, host] = &built.places[..] else { panic!("two places") };
    assert_eq!(*world.link_mut(site.up), wanted);
    assert_eq!(*world.link_mut(site.down), LinkConfig { loss: 1_000_000, ..LinkConfig::default() });
    assert_eq!(*world.link_mut(host.up), LinkConfig::default());
    let lan = built.interface(&world, 0);
    assert_eq!(*world.link_mut(lan), LinkConfig { mtu: 1400, ..LinkConfig::default() });
    assert_eq!(world.host_of(host.up), built.hosts[1]);
    assert_eq!(world.host_of(host.down), built.internet.core());
}

#[test]
fn every_switch_of_a_gate_is_as_the_file_says() {
    let all = "[[site.s.gates]]\nmapping = \"address-dependent\"\nfiltering = { tcp = \"endpoint-independent\" }\n\
               hairpin = \"internal-source\"\nrefresh = { udp = \"outbound\", tcp = \"inbound\" }\n\
               unsolicited = \"icmp\"\nallocation = { kind = \"preserving\", collision = \"next-free\" }\n\
               ports = [2000, 3000]\nparity = true\npooling = \"arbitrary\"\n\
               lifetimes = { udp-unreplied = \"1s\", udp-replied = \"2s\", tcp-opening = \"3s\", \
               tcp-established = \"4s\", tcp-closing = \"5s\" }\n\
               limits = { entries = 10, per-host = 5, full = \"evict\" }\nhold-syn = \"6s\"\ntcp-loose = false\nudp-blocked = true\n\
               [[site.s.gates]]\nkind = \"symmetric-seq\"\n[[site.s.gates]]\nkind = \"firewall\"\nhold-syn = \"7s\"\nudp-blocked = true\n";
    let seconds = Duration::from_secs;
    let mut wanted = NatConfig {
        allocation: Allocation::Preserving(Collision::NextFree),
        ports: (2000, 3000),
        parity: true,
        pooling: Pooling::Arbitrary,
        lifetimes: Lifetimes {
            udp_unreplied: seconds(1),
            udp_replied: seconds(2),
            tcp_opening: seconds(3),
            tcp_established: seconds(4),
            tcp_closing: seconds(5),
        },
        limits: Limits { entries: 10, per_host: 5, full: Full::Evict },
        hold_syn: seconds(6),
        tcp_loose: false,
        udp_blocked: true,
        ..NatConfig::default().both(|rules| {
            rules.mapping = Mapping::AddressDependent;
            rules.hairpin = Hairpin::InternalSource;
            rules.unsolicited = Answer::Icmp;
        })
    };
    wanted.tcp.filtering = Filtering::EndpointIndependent;
    (wanted.udp.refresh, wanted.tcp.refresh) = (Refresh::Outbound, Refresh::Inbound);
    let blocked = FirewallConfig { hold_syn: seconds(7), udp_blocked: true, ..FirewallConfig::default() };
    let gates = site(all).gates;
    assert_eq!(gates, [Gate::Nat(wanted), Kind::SymmetricSequential.gate(), Gate::Firewall(blocked)]);
}

#[test]
fn gates_have_short_forms() {
    assert_eq!(site("").gates, []);
    assert_eq!(site("gates = \"cgn\"").gates, [Kind::CarrierGrade.gate()]);
    let both = [Kind::PortRestricted.gate(), Kind::Open.gate()];
    assert_eq!(site("gates = [{}, \"open\"]").gates, both);
    for (allocation, wanted) in [
        ("\"preserving\"", Allocation::Preserving(Collision::Overload)),
        ("\"random\"", Allocation::Random),
        ("\"sequential\"", Allocation::Sequential { start: None, step: 1 }),
        (
            "{ kind = \"sequential\", start = 9, step = -2 }",
            Allocation::Sequential { start: Some(9), step: -2 },
        ),
        ("\"chunked\"", Allocation::Chunked { size: 2048, blocks: 1 }),
        ("{ kind = \"chunked\", size = 64, blocks = 3 }", Allocation::Chunked { size: 64, blocks: 3 }),
    ] {
        let gates = site(&format!("gates = {{ allocation = {allocation} }}")).gates;
        assert_eq!(gates, [Gate::Nat(NatConfig { allocation: wanted, ..NatConfig::default() })]);
    }
    let strict = FirewallConfig { tcp_loose: false, ..FirewallConfig::open() };
    for (ipv6, wanted) in [
        ("\"none\"", None),
        ("\"open\"", Some(FirewallConfig::open())),
        ("\"firewall\"", Some(FirewallConfig::default())),
        ("{}", Some(FirewallConfig::default())),
        ("{ kind = \"open\", tcp-loose = false }", Some(strict)),
    ] {
        assert_eq!(site(&format!("ipv6 = {ipv6}")).ipv6, wanted);
    }
}

#[test]
fn hosts_are_called_as_their_site_or_numbered_or_by_their_names() {
    let text = "[site.b]\nhosts = 2\n[host.a]\n[site.one]\n[site.n]\nhosts = [\"x\", \"y\"]\n";
    let plan = plan(text);
    let hosts: Vec<(&str, usize)> = plan.hosts.iter().map(|host| (&*host.name, host.place)).collect();
    assert_eq!(hosts, [("b-1", 0), ("b-2", 0), ("a", 1), ("one", 2), ("x", 3), ("y", 3)]);
}

#[test]
fn every_setting_of_a_node_is_as_the_file_says() {
    let text = "[host.h]\n[node.n]\nhost = \"h\"\nnetwork = \"mine\"\nport = 7000\nkeep-alive = \"never\"\n\
                idle-timeout = \"90s\"\nlinger = \"1s\"\nhandshake-timeout = \"3s\"\ndatagram-size = 1300\n\
                accept-incoming = false\n[node.h]\nkeep-alive = \"20s\"\n";
    let plan = plan(text);
    let set = |node: usize| {
        let mut config = Config::new(SecretKey::from_bytes([7; 32]), Network::default(), crypto::best());
        plan.nodes[node].settings.iter().for_each(|setting| setting.set(&mut config));
        config
    };
    assert_eq!((plan.nodes[0].network.name(), plan.nodes[0].port), ("mine", 7000));
    let config = set(0);
    let transport = &config.transport;
    assert_eq!(transport.keep_alive, None);
    assert_eq!((transport.idle_timeout, transport.linger), (Duration::from_secs(90), Duration::from_secs(1)));
    assert_eq!(config.handshake.timeout, Duration::from_secs(3));
    assert_eq!((transport.datagram_size, config.accept_incoming), (1300, false));
    assert_eq!(set(1).transport.keep_alive, Some(Duration::from_secs(20)));
}
