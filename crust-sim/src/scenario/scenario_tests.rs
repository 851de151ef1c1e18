use super::*;
use crate::record::RecordLimits;
use crate::seeds;

/// How many seeds each shipped scenario is run with.
const SEEDS: u64 = 4;

fn parse(text: &str) -> Scenario {
    Scenario::parse(text).unwrap_or_else(|error| panic!("{error}: {:?}", text.lines().nth(error.line - 1)))
}

fn passes(text: &str) {
    let scenario = parse(text);
    seeds(SEEDS, |seed| {
        let report = scenario.run(seed, None);
        assert_eq!(report.failures, [""; 0], "seed {seed}: {:#?}", report.log);
    });
}

/// Each file of the folder, with a test of its own.
macro_rules! shipped {
    ($($test:ident: $file:literal;)*) => {
        $(
            #[test]
            fn $test() {
                passes(include_str!(concat!("../../scenarios/", $file)));
            }
        )*
        const SHIPPED: &[(&str, &str)] =
            &[$(($file, include_str!(concat!("../../scenarios/", $file)))),*];
    };
}

shipped! {
    a_storm_costs_no_byte: "bad-weather.toml";
    a_server_that_crashed_is_reached_again: "crash-and-restart.toml";
    gates_that_reboot_cost_no_byte: "gates-reboot.toml";
    keep_alives_outlast_a_night: "idle-night.toml";
    a_firewall_lets_strangers_in_for_a_minute: "ipv6-opened.toml";
    a_lan_is_cut_and_comes_together_again: "lan-party.toml";
    a_host_that_moves_keeps_its_connection: "moving-phone.toml";
    who_cannot_connect_is_told_why: "no-way.toml";
    a_nap_costs_nothing_and_a_night_a_connection: "sleeping-laptop.toml";
}

#[test]
fn every_file_of_the_folder_is_tested() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let files =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = files.collect();
    files.sort();
    let tested: Vec<&str> = SHIPPED.iter().map(|(file, _)| *file).collect();
    assert_eq!(files, tested);
}

#[test]
fn every_file_of_the_folder_is_another_run_with_each_seed_and_the_same_with_the_same() {
    // Without chance in its links a scenario has none but keys and ports.
    for (file, text) in SHIPPED.iter().filter(|(file, _)| *file != "idle-night.toml") {
        let scenario = parse(text);
        assert!(!scenario.name().is_empty() && !scenario.description().is_empty(), "{file}");
        let [first, again, other] = [3, 3, 4].map(|seed| scenario.run(seed, None));
        assert_eq!(first.hash, again.hash, "{file}");
        assert_eq!(first.log, again.log, "{file}");
        assert_ne!(first.hash, other.hash, "{file}");
        assert_eq!((first.seed, other.seed), (3, 4));
    }
}

#[test]
fn a_recorder_changes_nothing() {
    let (_, text) = SHIPPED[2];
    let recorder = Recorder::new(RecordLimits { packets: 1000, every: Duration::from_millis(100) });
    let scenario = parse(text);
    let (with, without) = (scenario.run(5, Some(&recorder)), scenario.run(5, None));
    assert_eq!(with.hash, without.hash);
    assert_eq!(with.log, without.log);
}

/// Two public hosts with a node each.
const TWO: &str = "name = \"two\"\nlimit = \"1min\"\n[host.a]\nlink = { latency = \"10ms\", rate = \"20Mbit/s\" }\n[host.b]\n[node.a]\n[node.b]\n";

/// Runs [`TWO`] with these steps; what did not hold.
fn failures(steps: &str) -> Vec<String> {
    parse(&format!("{TWO}{steps}")).run(1, None).failures
}

const CONNECT: &str = "[[step]]\ndo = \"connect\"\nfrom = \"a\"\nto = \"b\"\n";

#[test]
fn what_does_not_hold_is_said_in_plain_words() {
    let unmet = "[expect]\nconnected = [[\"a\", \"b\"]]\ndatagrams-at-least = 5\n";
    assert_eq!(
        failures(unmet),
        [
            "at the end: a is not connected to b",
            "at the end: b is not connected to a",
            "at the end: hosts have sent 0 datagrams, fewer than 5"
        ]
    );
    let unmet = "[expect]\ndisconnected = [[\"a\", \"b\"]]\ndatagrams-at-most = 2\ntime-at-most = \"10ms\"\n";
    let found = failures(&format!("{CONNECT}{unmet}"));
    assert_eq!(found[0], "at the end: a is connected to b");
    assert!(
        found[1].starts_with("at the end: hosts have sent ") && found[1].ends_with(" datagrams, more than 2")
    );
    assert!(found[2].ends_with(" ms, longer than 10 ms"), "{found:?}");
    assert_eq!(found.len(), 3);
    let close = "[[step]]\ndo = \"close\"\nfrom = \"a\"\nto = \"b\"\n";
    let ended = |reason: &str| {
        let step = format!("[[step]]\ndo = \"ended\"\nfrom = \"b\"\nto = \"a\"\nreason = \"{reason}\"\n");
        failures(&format!("{CONNECT}{close}{step}"))
    };
    for right in ["by-peer", "any"] {
        assert_eq!(ended(right), [""; 0]);
    }
    for wrong in ["here", "timed-out", "peer-restarted"] {
        let found = ended(wrong);
        assert!(found[0].starts_with("line 16, ended: b's connection to a is over: "), "{found:?}");
        assert!(found[0].ends_with(&format!(" (expected: {wrong})")), "{found:?}");
    }
}

#[test]
fn the_first_step_that_fails_in_its_turn_is_the_last_and_those_aside_go_on() {
    let steps = "
[[step]]
at = \"5s\"
do = \"send\"
from = \"b\"
to = \"a\"
bytes = 5
[[step]]
do = \"connect\"
from = \"a\"
to = \"b\"
expect = \"no-answer\"
[[step]]
do = \"wait\"
for = \"30s\"
[[step]]
do = \"expect\"
disconnected = [[\"a\", \"b\"]]
";
    let report = parse(&format!("{TWO}{steps}")).run(1, None);
    assert_eq!(report.failures.len(), 1);
    let failure = &report.failures[0];
    assert!(failure.starts_with("line 15, connect: a and b are connected after "), "{failure}");
    assert!(failure.ends_with(" (expected: no-answer)"), "{failure}");
    assert!(report.log.iter().any(|(_, said)| said == "the steps after line 15 are left out"));
    let (at, last) = report.log.last().unwrap();
    assert!(last.starts_with("a has 5 of 5 bytes after "), "{last}");
    assert!((Duration::from_secs(5)..Duration::from_secs(6)).contains(at));
}

#[test]
fn a_run_that_is_not_over_in_time_says_which_steps_wait() {
    let steps = "[[step]]\ndo = \"ended\"\nfrom = \"a\"\nto = \"b\"\n";
    let report = parse(&format!("{TWO}{CONNECT}{steps}")).run(1, None);
    assert_eq!(report.failures, ["the run is not over after 1 min; it waits for: line 12, ended"]);
    assert_eq!(report.elapsed, Duration::from_secs(60));
}

#[test]
fn a_step_that_takes_too_long_says_how_far_it_came() {
    let send = "[[step]]\ndo = \"send\"\nfrom = \"a\"\nto = \"b\"\nbytes = \"1MB\"\nwithin = \"2s\"\n";
    let slow = "[[step]]\ndo = \"link\"\nhost = \"a\"\nrate = \"1Mbit/s\"\n";
    assert_eq!(failures(&format!("{CONNECT}{send}")), [""; 0]);
    let found = failures(&format!("{CONNECT}{slow}{send}"));
    assert!(
        found[0].starts_with("line 16, send: b has ") && found[0].ends_with(" of 1000000 bytes after 2 s")
    );
    let rate = send.replace("within = \"2s\"", "rate-at-least = \"5Mbit/s\"");
    let found = failures(&format!("{CONNECT}{slow}{rate}"));
    assert!(found[0].contains("bit/s, less than 5000000"), "{found:?}");
    assert_eq!(failures(&format!("{CONNECT}{rate}")), [""; 0]);
}

#[test]
fn what_should_fail_and_does_not_has_failed() {
    let send = "[[step]]\ndo = \"send\"\nfrom = \"a\"\nto = \"b\"\nbytes = 9\nexpect = \"fails\"\n";
    let found = failures(&format!("{CONNECT}{send}"));
    assert_eq!(found, ["line 12, send: everything arrived, and should not have"]);
}

#[test]
fn too_few_datagrams_are_a_failure() {
    let half = "[[step]]\ndo = \"link\"\nhost = \"a\"\nloss = \"50%\"\n";
    let send = "[[step]]\ndo = \"datagrams\"\nfrom = \"a\"\nto = \"b\"\ncount = 100\nbytes = 50\n\
                every = \"20ms\"\nat-least = ";
    assert_eq!(failures(&format!("{CONNECT}{half}{send}\"30%\"")), [""; 0]);
    let found = failures(&format!("{CONNECT}{half}{send}\"70%\""));
    assert!(found[0].ends_with(" of 100 datagrams arrived, too few"), "{found:?}");
}

/// Which way a link is changed: of 60 datagrams of 100 bytes either all arrive or those that were sent before.
#[test]
fn a_link_changes_in_the_direction_asked_for() {
    for (direction, from, to, spoilt) in [
        ("up", "a", "b", true),
        ("up", "b", "a", false),
        ("down", "a", "b", false),
        ("down", "b", "a", true),
        ("both", "b", "a", true),
    ] {
        let change = format!(
            "[[step]]\nbackground = true\nafter = \"2s\"\ndo = \"link\"\nhost = \"a\"\nloss = 1\ndirection = \"{direction}\"\n"
        );
        let send = format!(
            "[[step]]\ndo = \"datagrams\"\nfrom = \"{from}\"\nto = \"{to}\"\ncount = 60\nbytes = 100\nevery = \"100ms\"\nat-least = 1\n"
        );
        let found = failures(&format!("{CONNECT}{change}{send}"));
        assert_eq!(!found.is_empty(), spoilt, "{direction}, from {from}: {found:?}");
    }
}

#[test]
fn a_gate_reboots_with_the_address_asked_for() {
    let world = "name = \"reboot\"\n[host.a]\n[site.s]\ngates = \"full-cone\"\n[node.a]\n[node.s]\n\
                 [[step]]\ndo = \"connect\"\nfrom = \"s\"\nto = \"a\"\n";
    let message = "[[step]]\ndo = \"messages\"\nfrom = \"s\"\nto = \"a\"\nbytes = 9\n";
    let run = |address: &str| {
        let reboot = format!("[[step]]\ndo = \"reboot\"\nsite = \"s\"\naddress = \"{address}\"\n");
        let report = parse(&format!("{world}{reboot}{message}")).run(1, None);
        assert_eq!(report.failures, [""; 0], "{address}");
        report.hash
    };
    // The world's hash knows nothing of the file.
    assert_ne!(run("same"), run("new"));
}

#[test]
fn who_was_ended_by_a_crash_is_known() {
    let send = "[[step]]\nbackground = true\ndo = \"send\"\nfrom = \"a\"\nto = \"b\"\nbytes = \"500MB\"\n";
    let crash = "[[step]]\nafter = \"1s\"\ndo = \"crash\"\nhost = ";
    let found = failures(&format!("{CONNECT}{send}{crash}\"a\""));
    assert!(found[0].ends_with(": the sender's host crashed"), "{found:?}");
    let found = failures(&format!("{CONNECT}{send}{crash}\"b\""));
    assert!(found[0].ends_with(": the receiver's host crashed"), "{found:?}");
    // And who is gone can do nothing.
    let found = failures(&format!("{CONNECT}{crash}\"a\"\n{CONNECT}"));
    assert_eq!(found, ["line 16, connect: a does not run"]);
    // A connection that nobody closed is lost.
    let lost = "[[step]]\ndo = \"ended\"\nfrom = \"b\"\nto = \"a\"\n[expect]\nlost-at-most = 0\n";
    let found =
        parse(&format!("{}{CONNECT}{crash}\"a\"\n{lost}", TWO.replace("1min", "5min"))).run(1, None).failures;
    assert_eq!(found, ["at the end: 1 connections were lost: b's to a: the peer has not answered for 60s"]);
}

#[test]
fn faults_last_as_long_as_they_should() {
    // A datagram each 100 ms for six seconds, of which two seconds are spoilt.
    let connect = format!(
        "{TWO}[site.s]\ngates = \"full-cone\"\nhosts = 2\n[node.c]\nhost = \"s-1\"\n[node.d]\nhost = \"s-2\"\n"
    );
    for (fault, from, to) in [
        ("\"outage\"\nhost = \"a\"", "a", "b"),
        ("\"unplug\"\nhost = \"b\"", "a", "b"),
        ("\"suspend\"\nhost = \"b\"", "a", "b"),
        ("\"link\"\nhost = \"a\"\nloss = 1", "a", "b"),
        ("\"link\"\nhost = \"b\"\ndirection = \"down\"\nup = false", "a", "b"),
        ("\"outage\"\nsite = \"s\"", "c", "b"),
        ("\"block-udp\"\nsite = \"s\"", "c", "b"),
        ("\"partition\"\nsite = \"s\"\ngroups = [[\"s-1\"]]", "c", "d"),
        ("\"partition\"\nsite = \"s\"\ngroups = [[\"s-1\", \"s-2\"]]", "c", "b"),
        ("\"partition\"\nsite = \"s\"\ngroups = [[\"s-2\", \"gate\"]]", "c", "b"),
    ] {
        let text = format!(
            "{connect}[[step]]\ndo = \"connect\"\nfrom = \"{from}\"\nto = \"{to}\"\n\
             [[step]]\nbackground = true\nafter = \"2s\"\ndo = {fault}\nfor = \"2s\"\n\
             [[step]]\ndo = \"datagrams\"\nfrom = \"{from}\"\nto = \"{to}\"\ncount = 60\nbytes = 100\nevery = \"100ms\"\n"
        );
        let report = parse(&text).run(1, None);
        assert_eq!(report.failures, [""; 0], "{fault}");
        let (_, last) = report.log.last().unwrap();
        let bytes: u64 = last.split(' ').nth(2).unwrap().parse().unwrap();
        assert!((3800..=4200).contains(&bytes), "{fault}: {last}");
    }
    let undo = "[[step]]\ndo = \"outage\"\nhost = \"a\"\n[[step]]\nafter = \"1s\"\ndo = \"outage-over\"\nhost = \"a\"\n";
    let message = "[[step]]\ndo = \"messages\"\nfrom = \"a\"\nto = \"b\"\nbytes = 9\nwithin = \"5s\"\n";
    assert_eq!(failures(&format!("{CONNECT}{undo}{message}")), [""; 0]);
    let (outage, _) = undo.split_once("[[step]]\nafter").unwrap();
    let found = failures(&format!("{CONNECT}{outage}{message}"));
    assert_eq!(found, ["line 15, messages: b has 0 of 9 bytes after 5 s"]);
}

/// What the firewall before a site's IPv6 drops, where no gate stands before its IPv4.
#[test]
fn udp_is_blocked_before_ipv6_where_nothing_else_could() {
    let dropped = |block: &str| {
        let world = "name = \"six\"\n[host.a]\n[site.s]\nipv6 = \"firewall\"\n[node.a]\n[node.s]\n";
        let connect = "[[step]]\ndo = \"connect\"\nfrom = \"s\"\nto = \"a\"\n";
        let recorder = Recorder::new(RecordLimits::default());
        let report = parse(&format!("{world}{block}{connect}")).run(1, Some(&recorder));
        assert_eq!(report.failures, [""; 0], "by IPv4 they meet");
        let recording = recorder.recording();
        let six = |seen: &&crate::record::Captured| seen.packet[0] >> 4 == 6;
        recording.packets.iter().filter(six).filter(|seen| seen.sight == crate::world::Sight::Dropped).count()
    };
    assert_eq!(dropped(""), 0);
    assert!(dropped("[[step]]\ndo = \"block-udp\"\nsite = \"s\"\n") > 0);
}

#[test]
fn addresses_change_and_connections_stay() {
    let world = "name = \"addresses\"\n[host.a]\n[site.s]\ngates = \"symmetric\"\n[site.t]\nipv6 = \"firewall\"\n\
                 [node.a]\n[node.s]\n[[step]]\ndo = \"connect\"\nfrom = \"s\"\nto = \"a\"\n";
    let message = "[[step]]\ndo = \"messages\"\nfrom = \"a\"\nto = \"s\"\nbytes = 9\nwithin = \"20s\"\n\
                   [expect]\nconnected = [[\"a\", \"s\"]]\nlost-at-most = 0\n";
    for change in [
        "do = \"address\"\nhost = \"s\"",
        "do = \"move\"\nhost = \"s\"\nto = \"t\"",
        "do = \"move\"\nhost = \"s\"\nto = \"s\"",
        "do = \"reboot\"\nsite = \"s\"\naddress = \"new\"",
        "do = \"clock\"\nhost = \"s\"\njump = \"+1h\"",
        "do = \"clock\"\nhost = \"s\"\nskew-ppm = -500",
    ] {
        let report = parse(&format!("{world}[[step]]\n{change}\n{message}")).run(1, None);
        assert_eq!(report.failures, [""; 0], "{change}: {:#?}", report.log);
    }
}

/// A fast clock counts five seconds in four; a wall clock that is wrong costs a round trip of a handshake.
#[test]
fn clocks_are_as_wrong_as_the_file_says() {
    let clock = |change: &str| format!("[[step]]\ndo = \"clock\"\nhost = \"a\"\n{change}\n");
    let took = |text: String| {
        let report = parse(&text).run(1, None);
        assert_eq!(report.failures, [""; 0]);
        let (_, last) = report.log.last().unwrap();
        let (_, took) = last.split_once("after ").unwrap();
        units::duration(took.split(':').next().unwrap()).unwrap_or_else(|| panic!("{last}"))
    };
    let silent =
        format!("{TWO}accept-incoming = false\n").replace("[node.a]", "[node.a]\nhandshake-timeout = \"5s\"");
    let in_vain = format!("{CONNECT}expect = \"no-answer\"\n");
    assert_eq!(took(format!("{silent}{in_vain}")), Duration::from_secs(5));
    assert_eq!(took(format!("{silent}{}{in_vain}", clock("skew-ppm = 250000"))), Duration::from_secs(4));
    // Nodes look at the clock every few seconds.
    let later = format!("{CONNECT}after = \"10s\"\n");
    let right = took(format!("{TWO}{later}"));
    for (jump, wrong) in [("+4min", false), ("+1h", true), ("-1h", true)] {
        let with = took(format!("{TWO}{}{later}", clock(&format!("jump = \"{jump}\""))));
        assert_eq!(with > right, wrong, "{jump}: {with:?}, without {right:?}");
    }
}

/// What the documentation says is there is there, and the other way round.
#[test]
fn every_key_is_documented() {
    let (docs, _) = include_str!("mod.rs").split_once("\nuse ").unwrap();
    let verbs = read_steps::VERBS.iter().flat_map(|(verb, keys)| keys.iter().copied().chain([*verb]));
    let keys = [FILE_KEYS, read_steps::EXPECT_KEYS].concat();
    let world = [
        read_world::LINK_KEYS,
        read_world::SITE_KEYS,
        read_world::NODE_KEYS,
        read_world::NAT_KEYS,
        read_world::FIREWALL_KEYS,
    ]
    .concat();
    for key in keys.into_iter().chain(world).chain(verbs) {
        assert!(docs.contains(&format!("`{key}`")) || docs.contains(&format!("`{key}.NAME`")), "{key}");
    }
    for kind in crate::Kind::ALL {
        assert!(docs.contains(&format!("`\"{kind}\"`")), "{kind}");
    }
}
