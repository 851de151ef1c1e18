use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A right file, to be spoilt.
const RIGHT: &str = r#"name = "right"
seed = 7
limit = "2min"

[link.wire]
latency = "20ms"
loss = "2%"
rate = "10Mbit/s"

[site.home]
gates = { kind = "full-cone", filtering = "address-dependent" }
link = "wire"
hosts = 2

[site.office]
ipv6 = "firewall"

[host.server]
link = { mtu = 1400 }

[node.alice]
host = "home-1"
keep-alive = "15s"

[node.server]

[[step]]
do = "connect"
from = "alice"
to = "server"
within = "5s"

[[step]]
do = "send"
from = "alice"
to = "server"
bytes = "1MB"

[[step]]
do = "partition"
site = "home"
groups = [["home-1"], ["home-2", "gate"]]
for = "1s"

[expect]
connected = [["alice", "server"]]
"#;

/// A step of it.
const PARTITION: &str =
    "do = \"partition\"\nsite = \"home\"\ngroups = [[\"home-1\"], [\"home-2\", \"gate\"]]";
/// The same with how long it lasts.
const CLOCK: &str =
    "do = \"partition\"\nsite = \"home\"\ngroups = [[\"home-1\"], [\"home-2\", \"gate\"]]\nfor = \"1s\"";

/// What stands there, what stands there instead, with a mark at the place of the fault.
const WRONG: &[(&str, &str, &str)] = &[
    // No TOML.
    ("seed = 7", "seed = ¦", "string values must be quoted, expected literal string"),
    ("seed = 7", "seed = ¦7 8", "string values must be quoted, expected literal string"),
    ("name = \"right\"", "name = \"right¦", "invalid basic string, expected `\"`"),
    ("[link.wire]", "[link.wire¦", "unclosed table, expected `]`"),
    ("limit = \"2min\"", "limit = \"2min\"\n¦seed = 8", "duplicate key"),
    ("[host.server]", "[site.¦home]", "duplicate key"),
    // The file.
    (
        "name = \"right\"",
        "¦title = \"right\"",
        "a scenario has no key `title` (expected one of name, description, seed, limit, link, site, host, node, step, expect)",
    ),
    ("name = \"right\"\n", "¦", "a scenario needs `name`"),
    ("name = \"right\"", "name = ¦5", "expected a name in quotes, found 5"),
    ("seed = 7", "seed = ¦-7", "expected a seed from 0 to 18446744073709551615, found -7"),
    ("seed = 7", "seed = ¦7.5", "expected a seed from 0 to 18446744073709551615, found 7.5"),
    ("limit = \"2min\"", "limit = ¦\"8d\"", "expected a duration from 1 ms to 7 d, found \"8d\""),
    (
        "limit = \"2min\"",
        "limit = ¦120",
        "expected a duration in ns, us, ms, s, min, h or d, such as \"20ms\" or \"1.5s\", found 120",
    ),
    (
        "[link.wire]",
        "[¦lnik.wire]",
        "a scenario has no key `lnik`; did you mean \"link\"? (expected one of name, description, seed, limit, link, site, host, node, step, expect)",
    ),
    (
        "[[step]]\ndo = \"connect\"",
        "[¦steps]\ndo = \"connect\"",
        "a scenario has no key `steps`; did you mean \"step\"? (expected one of name, description, seed, limit, link, site, host, node, step, expect)",
    ),
    // Links.
    (
        "latency = \"20ms\"",
        "latency = ¦\"20 parsecs\"",
        "expected a duration in ns, us, ms, s, min, h or d, such as \"20ms\" or \"1.5s\", found \"20 parsecs\"",
    ),
    (
        "latency = \"20ms\"",
        "latency = ¦20",
        "expected a duration in ns, us, ms, s, min, h or d, such as \"20ms\" or \"1.5s\", found 20",
    ),
    ("latency = \"20ms\"", "latency = ¦\"3650d\"", "expected a duration from 0 s to 1 min, found \"3650d\""),
    (
        "latency = \"20ms\"",
        "¦latncy = \"20ms\"",
        "a link has no key `latncy`; did you mean \"latency\"? (expected one of latency, jitter, rate, queue, mark-above, loss, bursts, reorder, reorder-by, duplicate, corrupt, mtu, black-hole, up)",
    ),
    ("loss = \"2%\"", "loss = ¦\"2\"", "expected a share, such as \"2%\" or 0.02, from 0 to 1, found \"2\""),
    ("loss = \"2%\"", "loss = ¦1.02", "expected a share, such as \"2%\" or 0.02, from 0 to 1, found 1.02"),
    ("loss = \"2%\"", "loss = ¦true", "expected a share, such as \"2%\" or 0.02, from 0 to 1, found true"),
    (
        "rate = \"10Mbit/s\"",
        "rate = ¦\"10MB/s\"",
        "expected a rate in bit/s, kbit/s, Mbit/s or Gbit/s, such as \"10Mbit/s\", found \"10MB/s\"",
    ),
    (
        "rate = \"10Mbit/s\"",
        "rate = ¦\"1bit/s\"",
        "expected a rate from 1000 bit/s to 100000000000 bit/s, found \"1bit/s\"",
    ),
    (
        "rate = \"10Mbit/s\"",
        "queue = ¦\"2GiB\"",
        "expected a size from 0 to 1073741824 bytes, found \"2GiB\"",
    ),
    (
        "rate = \"10Mbit/s\"",
        "queue = ¦\"many\"",
        "expected a size: a number of bytes, or one in B, kB, MB, GB, KiB, MiB or GiB, such as \"64KiB\", found \"many\"",
    ),
    (
        "rate = \"10Mbit/s\"",
        "bursts = ¦{ enter = \"1%\", loss = \"50%\" }",
        "a table of bursts needs `leave`",
    ),
    ("rate = \"10Mbit/s\"", "bursts = ¦\"some\"", "expected a table of bursts, found \"some\""),
    ("rate = \"10Mbit/s\"", "up = ¦\"yes\"", "expected true or false, found \"yes\""),
    ("{ mtu = 1400 }", "{ mtu = ¦70000 }", "expected a size in bytes from 68 to 65535, found 70000"),
    (
        "[link.wire]",
        "[link.¦\"a wire\"]",
        "\"a wire\" is no name, expected 1 to 32 letters, digits, `-`, `_` or `.`",
    ),
    ("[link.wire]\n", "link.wire = ¦5\n[link.other]\n", "expected a table (a link), found 5"),
    // Sites and hosts.
    (
        "link = \"wire\"",
        "link = ¦\"wier\"",
        "there is no link \"wier\"; did you mean \"wire\"? (expected one of wire)",
    ),
    (
        "\"full-cone\"",
        "¦\"full-con\"",
        "\"full-con\" is no kind of gate; did you mean \"full-cone\"? (expected one of open, firewall, full-cone, restricted, port-restricted, symmetric, symmetric-seq, symmetric-addr, carrier-grade, tcp-rst, poisoned, udp-blocked)",
    ),
    (
        "filtering = \"address-dependent\"",
        "filtering = ¦\"none\"",
        "\"none\" is no filtering (expected one of endpoint-independent, address-dependent, address-and-port-dependent)",
    ),
    (
        "filtering = \"address-dependent\"",
        "filtering = { udp = ¦5 }",
        "expected a filtering, one of \"endpoint-independent\", \"address-dependent\", \"address-and-port-dependent\", found 5",
    ),
    (
        "filtering = \"address-dependent\"",
        "¦filters = \"none\"",
        "a gate has no key `filters` (expected one of kind, mapping, filtering, hairpin, refresh, unsolicited, allocation, ports, parity, pooling, lifetimes, limits, hold-syn, tcp-loose, udp-blocked)",
    ),
    (
        "kind = \"full-cone\", filtering",
        "kind = \"firewall\", ¦mapping",
        "a firewall has no key `mapping` (expected one of kind, filtering, refresh, unsolicited, lifetimes, limits, hold-syn, tcp-loose, udp-blocked)",
    ),
    (
        "filtering = \"address-dependent\"",
        "ports = ¦[5]",
        "expected 2 ports, the lowest and the highest, found 1",
    ),
    ("filtering = \"address-dependent\"", "ports = ¦[9, 8]", "expected the lower port first"),
    (
        "filtering = \"address-dependent\"",
        "allocation = { kind = \"random\", ¦step = 2 }",
        "an allocation that is random has no key `step` (expected one of kind)",
    ),
    (
        "filtering = \"address-dependent\"",
        "allocation = ¦\"serial\"",
        "\"serial\" is no allocation (expected one of preserving, sequential, random, chunked)",
    ),
    (
        "filtering = \"address-dependent\"",
        "lifetimes = { ¦udp = \"5s\" }",
        "a table of lifetimes has no key `udp` (expected one of udp-unreplied, udp-replied, tcp-opening, tcp-established, tcp-closing)",
    ),
    (
        "filtering = \"address-dependent\"",
        "limits = { entries = ¦0 }",
        "expected a number of entries from 1 to 1048576, found 0",
    ),
    ("hosts = 2", "hosts = ¦1000000000", "expected a number of hosts from 1 to 240, found 1000000000"),
    ("hosts = 2", "hosts = ¦0", "expected a number of hosts from 1 to 240, found 0"),
    (
        "hosts = 2",
        "hosts = [\"home-1\", ¦\"home 2\"]",
        "\"home 2\" is no name, expected 1 to 32 letters, digits, `-`, `_` or `.`",
    ),
    ("hosts = 2", "hosts = [\"home-1\", ¦\"home-1\"]", "there is a host \"home-1\" already"),
    (
        "ipv6 = \"firewall\"",
        "ipv6 = ¦true",
        "expected a state of IPv6, one of \"none\", \"open\", \"firewall\", found true",
    ),
    (
        "[site.office]\nipv6 = \"firewall\"\n\n[host.server]",
        "[site.server]\n[host.¦server]",
        "there is a host \"server\" already",
    ),
    // Nodes.
    (
        "host = \"home-1\"",
        "host = ¦\"home\"",
        "there is no host \"home\"; did you mean \"home-1\"? (expected one of home-1, home-2, office, server)",
    ),
    ("[node.alice]\nhost = \"home-1\"\n", "¦[node.alice]\n", "a node needs `host`"),
    ("keep-alive = \"15s\"", "keep-alive = ¦\"1ms\"", "expected a duration from 1 s to 1 d, found \"1ms\""),
    (
        "keep-alive = \"15s\"",
        "network = ¦\" mine\"",
        "a network's name neither begins nor ends with a space: remove it",
    ),
    ("keep-alive = \"15s\"", "port = ¦0", "expected a port from 1 to 65535, found 0"),
    // Steps.
    (
        "do = \"connect\"",
        "do = ¦\"conect\"",
        "\"conect\" is no step; did you mean \"connect\"? (expected one of connect, send, messages, datagrams, close, ended, wait, expect, link, outage, outage-over, partition, heal, reboot, gate, block-udp, allow-udp, crash, restart, suspend, resume, unplug, plug, clock, address, move)",
    ),
    (
        PARTITION,
        "do = \"gate\"\nsite = ¦\"office\"\nmapping = \"address-dependent\"",
        "this site has no gate that could change but that of its IPv6: say `gate = \"ipv6\"`",
    ),
    (
        CLOCK,
        "do = \"gate\"\nsite = \"office\"\ngate = \"ipv6\"\n¦mapping = \"address-dependent\"",
        "a firewall has no key `mapping`",
    ),
    (
        CLOCK,
        "do = \"gate\"\nsite = \"office\"\ngate = \"ipv6\"\nkind = ¦\"full-cone\"",
        "a NAT stays a NAT, and a firewall a firewall",
    ),
    (
        CLOCK,
        "do = \"gate\"\nsite = \"office\"\ngate = ¦\"IPv6\"\nkind = \"open\"",
        "expected the number of a gate, or \"ipv6\"",
    ),
    (
        CLOCK,
        "do = \"gate\"\nsite = \"home\"\ngate = ¦\"ipv6\"\nkind = \"open\"",
        "this site has no IPv6, and no firewall before it",
    ),
    (
        CLOCK,
        "do = \"gate\"\nsite = \"home\"\nkind = ¦\"open\"",
        "a NAT stays a NAT, and a firewall a firewall",
    ),
    (
        CLOCK,
        "do = \"gate\"\nsite = \"home\"\ngate = ¦2\nparity = true",
        "expected the number of a gate from 1 to 1, found 2",
    ),
    (CLOCK, "do = \"gate\"\nsite = \"home\"\nports = ¦[9, 8]", "expected the lower port first"),
    ("[[step]]\ndo = \"connect\"\n", "¦[[step]]\n", "a step needs `do`"),
    (
        "from = \"alice\"",
        "from = ¦\"alcie\"",
        "there is no node \"alcie\"; did you mean \"alice\"? (expected one of alice, server)",
    ),
    ("to = \"server\"", "to = ¦\"alice\"", "both are the same node, expected another one"),
    (
        "[[step]]\ndo = \"connect\"\nfrom = \"alice\"\nto = \"server\"",
        "¦[[step]]\ndo = \"connect\"\nfrom = \"alice\"",
        "a `connect` step needs `to`",
    ),
    (
        "within = \"5s\"",
        "¦witin = \"5s\"",
        "a `connect` step has no key `witin`; did you mean \"within\"? (expected one of do, at, after, background, from, to, both, within, expect)",
    ),
    ("within = \"5s\"", "within = ¦\"0s\"", "expected a duration from 1 ms to 7 d, found \"0s\""),
    (
        "within = \"5s\"",
        "expect = ¦\"success\"",
        "\"success\" is no outcome (expected one of connected, no-answer, not-me, other-network, no-address, failure)",
    ),
    (
        "within = \"5s\"",
        "¦bytes = 5",
        "a `connect` step has no key `bytes` (expected one of do, at, after, background, from, to, both, within, expect)",
    ),
    ("within = \"5s\"", "at = \"1s\"\n¦after = \"1s\"", "a step is `at` a time or `after` a pause, not both"),
    ("within = \"5s\"", "¦at = \"3min\"", "the run is over before that, expected at most its limit, 2 min"),
    ("within = \"5s\"", "at = \"1s\"\nbackground = ¦false", "a step `at` a time is in the background"),
    ("bytes = \"1MB\"", "bytes = ¦\"2GB\"", "expected a size from 0 to 1000000000 bytes, found \"2GB\""),
    (
        "bytes = \"1MB\"",
        "streams = 200\nbytes = ¦\"100MB\"",
        "the steps up to here send 20000000000 bytes, expected at most 1000000000 in all",
    ),
    ("site = \"home\"", "site = ¦\"server\"", "there is no site \"server\" (expected one of home, office)"),
    ("[\"home-2\", \"gate\"]", "[\"home-2\", ¦\"home-1\"]", "it is in two groups, expected each in one"),
    ("[\"home-2\", \"gate\"]", "[¦\"server\"]", "this is a public host, expected one on the LAN"),
    ("[\"home-2\", \"gate\"]", "¦\"home-2\"", "expected a list of hosts, or \"gate\", found \"home-2\""),
    (
        "do = \"partition\"\nsite = \"home\"\n",
        "do = \"reboot\"\nsite = \"home\"\n¦",
        "a `reboot` step has no key `groups` (expected one of do, at, after, background, site, gate, address)",
    ),
    (CLOCK, "do = \"reboot\"\nsite = ¦\"office\"", "this site has no gate that could reboot"),
    (
        CLOCK,
        "do = \"reboot\"\nsite = \"home\"\ngate = ¦2",
        "expected the number of a gate from 1 to 1, found 2",
    ),
    (
        CLOCK,
        "do = \"reboot\"\nsite = \"home\"\naddress = ¦\"old\"",
        "\"old\" is no address (expected one of same, new)",
    ),
    (
        CLOCK,
        "do = \"move\"\nhost = ¦\"server\"\nto = \"home\"",
        "a public host has its wire to itself and cannot move",
    ),
    (
        CLOCK,
        "do = \"move\"\nhost = \"office\"\nto = ¦\"hmoe\"",
        "there is no site \"hmoe\"; did you mean \"home\"? (expected one of home, office)",
    ),
    (
        PARTITION,
        "do = \"outage\"\nhost = ¦\"office\"",
        "this host is on a LAN, which goes on: `unplug` it, or let its `site` have the outage",
    ),
    (
        PARTITION,
        "do = \"outage\"\nsite = \"office\"\nhost = ¦\"office\"",
        "a link is a `site`'s or a `host`'s, not both",
    ),
    (
        PARTITION,
        "do = \"link\"\nhost = ¦\"office\"\nloss = 0.5\ndirection = \"down\"",
        "what this host receives has passed its senders' links: change theirs",
    ),
    (
        PARTITION,
        "do = \"link\"\nsite = \"home\"\nto = ¦\"none\"",
        "there is no link \"none\" (expected one of wire)",
    ),
    (
        "[[step]]\ndo = \"partition\"\nsite = \"home\"\ngroups = [[\"home-1\"], [\"home-2\", \"gate\"]]",
        "¦[[step]]\ndo = \"link\"\nsite = \"home\"",
        "a step that changes a link needs `to` or one of a link's keys",
    ),
    (
        "[[step]]\ndo = \"partition\"\nsite = \"home\"\ngroups = [[\"home-1\"], [\"home-2\", \"gate\"]]",
        "¦[[step]]\ndo = \"outage\"",
        "expected the `site` or the `host` whose link it is",
    ),
    (
        "[[step]]\ndo = \"partition\"\nsite = \"home\"\ngroups = [[\"home-1\"], [\"home-2\", \"gate\"]]\nfor = \"1s\"",
        "¦[[step]]\ndo = \"clock\"\nhost = \"office\"",
        "a clock step needs `jump` or `skew-ppm`",
    ),
    (
        CLOCK,
        "do = \"clock\"\nhost = \"office\"\njump = ¦\"1 hour\"",
        "expected a duration with its sign, such as \"+1h\" or \"-30s\", of at most 3650 d, found \"1 hour\"",
    ),
    (
        CLOCK,
        "do = \"clock\"\nhost = \"office\"\nskew-ppm = ¦1000000",
        "expected millionths from -500000 to 500000, found 1000000",
    ),
    (
        CLOCK,
        "do = \"messages\"\nfrom = \"alice\"\nto = \"server\"\nbytes = 8\npriority = ¦8",
        "expected a priority from 0 to 7, found 8",
    ),
    (
        CLOCK,
        "do = \"datagrams\"\nfrom = \"alice\"\nto = \"server\"\nbytes = 100\nat-least = ¦\"most\"",
        "expected a share, such as \"2%\" or 0.02, from 0 to 1, found \"most\"",
    ),
    (
        CLOCK,
        "do = \"ended\"\nfrom = \"alice\"\nto = \"server\"\nreason = ¦\"timeout\"",
        "\"timeout\" is no end of a connection; did you mean \"timed-out\"? (expected one of here, by-peer, timed-out, peer-restarted, any)",
    ),
    // Expectations.
    ("connected = [[\"alice\", \"server\"]]", "connected = [¦[\"alice\"]]", "expected 2 nodes, found 1"),
    (
        "connected = [[\"alice\", \"server\"]]",
        "connected = [[\"alice\", ¦\"sever\"]]",
        "there is no node \"sever\"; did you mean \"server\"? (expected one of alice, server)",
    ),
    (
        "connected = [[\"alice\", \"server\"]]",
        "lost-at-most = ¦\"none\"",
        "expected a number from 0 to 18446744073709551615, found \"none\"",
    ),
];

#[test]
fn a_wrong_file_is_refused_with_its_place_and_what_was_expected() {
    Scenario::parse(RIGHT).unwrap();
    for (right, wrong, message) in WRONG {
        assert!(RIGHT.contains(right), "{right}");
        let marked = RIGHT.replacen(right, wrong, 1);
        let Place { line, column } = Place::of(&marked, marked.find('¦').expect(wrong));
        let error = Scenario::parse(&marked.replace('¦', "")).expect_err(wrong);
        assert_eq!(error, ScenarioError { line, column, message: (*message).to_owned() }, "{wrong}");
    }
}

#[test]
fn a_site_that_has_neither_a_gate_nor_ipv6_cannot_block_udp() {
    let block = |site: &str| {
        let text = format!("name = \"x\"\n[site.s]\n{site}\n[[step]]\ndo = \"block-udp\"\nsite = \"s\"\n");
        Scenario::parse(&text).map(drop).map_err(|error| error.to_string())
    };
    let refused = block("").unwrap_err();
    assert!(refused.ends_with("this site has no gate that could block anything"), "{refused}");
    for site in ["gates = \"full-cone\"", "ipv6 = \"firewall\""] {
        assert_eq!(block(site), Ok(()));
    }
}

#[test]
fn who_asks_for_a_step_that_there_is_not_is_shown_every_one_that_there_is() {
    let error = Scenario::parse("name = \"x\"\n[[step]]\ndo = \"juggle\"\n").unwrap_err();
    let (_, shown) = error.message.split_once("(expected one of ").unwrap();
    let shown: Vec<&str> = shown.trim_end_matches(')').split(", ").collect();
    let all: Vec<&str> = read_steps::VERBS.iter().map(|(verb, _)| *verb).collect();
    assert_eq!(shown, all);
}

/// The error of a file that is too much of something.
fn refusal(text: &str) -> String {
    Scenario::parse(text).expect_err("too much").to_string()
}

#[test]
fn there_is_not_too_much_of_anything() {
    let many = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    let name = "name = \"much\"\n";

    let long = format!("{name}#{}", "x".repeat(LONGEST_FILE));
    assert_eq!(refusal(&long), "line 1, column 1: the file is 1048591 bytes long, expected at most 1048576");

    let steps = format!("{name}{}", many(1001, &|_| "[[step]]\ndo = \"wait\"\nfor = \"1s\"\n".to_owned()));
    assert_eq!(
        refusal(&steps),
        "line 2, column 1: expected 0 to 1000 steps, each a table [[step]], found 1001"
    );

    let sites = format!("{name}{}", many(251, &|site| format!("[site.s{site}]\n")));
    assert_eq!(refusal(&sites), "line 252, column 7: expected at most 250 sites and public hosts");

    let hosts = format!("{name}{}", many(9, &|site| format!("[site.s{site}]\nhosts = 240\n")));
    assert_eq!(refusal(&hosts), "line 18, column 7: expected at most 2000 hosts in all");

    let nodes = format!("{name}[host.h]\n{}", many(65, &|node| format!("[node.n{node}]\nhost = \"h\"\n")));
    assert_eq!(refusal(&nodes), "line 131, column 7: expected at most 64 nodes");

    let address = "[[step]]\ndo = \"address\"\nhost = \"s-1\"\n";
    let leases = format!("{name}[site.s]\nhosts = 239\n{}", address.repeat(2));
    assert_eq!(refusal(&leases), "line 8, column 6: a LAN has 240 addresses; all may be given out by now");

    let deep = format!("{name}seed = {}", "[".repeat(100_000));
    assert!(refusal(&deep).starts_with("line 2, column "), "{}", refusal(&deep));
}

/// All scenarios of this crate.
fn shipped() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

/// An error is within the file, one place behind its end included.
fn check_bounds(text: &str) {
    let Err(error) = Scenario::parse(text) else { return };
    let line = text.split('\n').nth(error.line - 1);
    let line = line.unwrap_or_else(|| panic!("{error}: there is no such line in {text:?}"));
    assert!((1..=line.chars().count() + 1).contains(&error.column), "{error}: {line:?}");
    assert!(
        !error.message.is_empty() && error.message.len() < 2000 && !error.message.contains('\n'),
        "{error:?}"
    );
}

proptest! {
    #![proptest_config(crate::seeds::cases(512))]

    /// Bytes are changed, taken out and put in; what is no text then is read as the replacement character.
    #[test]
    fn a_spoilt_file_is_read_or_refused_at_a_place_that_it_has(
        file in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..6),
    ) {
        let files = shipped();
        let mut bytes = file.get(&files).clone().into_bytes();
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                // A digit more makes numbers that are too large.
                _ => bytes.insert(at, b'0' + byte % 10),
            }
        }
        check_bounds(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_file_that_ends_early_is_read_or_refused_at_a_place_that_it_has(
        file in any::<prop::sample::Index>(),
        end in any::<prop::sample::Index>(),
    ) {
        let files = shipped();
        let bytes = file.get(&files).as_bytes();
        check_bounds(&String::from_utf8_lossy(&bytes[..end.index(bytes.len())]));
    }

    #[test]
    fn no_text_at_all_makes_it_panic(text in "\\PC*") {
        check_bounds(&text);
    }

    /// Lines of files in another order, some of them twice: what is well formed and means something else.
    #[test]
    fn lines_in_another_order_are_read_or_refused(
        lines in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..60),
    ) {
        let files = shipped();
        let mut text = String::from("name = \"shuffled\"\n");
        for (file, line) in lines {
            let all: Vec<&str> = file.get(&files).lines().collect();
            text.push_str(all[line.index(all.len())]);
            text.push('\n');
        }
        check_bounds(&text);
    }
}
