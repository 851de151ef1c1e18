//! Faults that last at the same time as others.

use super::*;

const WORLD: &str = "name = \"overlap\"\nlimit = \"2min\"\n[host.a]\n[host.b]\n[site.s]\ngates = \"full-cone\"\n\
                     hosts = 2\n[node.a]\n[node.b]\n[node.c]\nhost = \"s-1\"\n[node.d]\nhost = \"s-2\"\n";

fn run(text: &str) -> ScenarioReport {
    Scenario::parse(&format!("{WORLD}{text}")).unwrap_or_else(|error| panic!("{error}: {text}")).run(1, None)
}

/// A step aside, so many seconds from now, that lasts so many; 0: as long as nothing ends it.
fn aside((at, lasts, what): (u32, u32, &str)) -> String {
    let lasts = if lasts == 0 { String::new() } else { format!("for = \"{lasts}s\"\n") };
    format!("[[step]]\nbackground = true\nafter = \"{at}s\"\ndo = {what}\n{lasts}")
}

/// How many tenths of seconds are spoilt of the six seconds after both are connected: a datagram each.
fn spoilt(from: &str, to: &str, faults: &[(u32, u32, &str)]) -> u64 {
    let faults: String = faults.iter().copied().map(aside).collect();
    let report = run(&format!(
        "[[step]]\ndo = \"connect\"\nfrom = \"{from}\"\nto = \"{to}\"\n{faults}\
         [[step]]\ndo = \"datagrams\"\nfrom = \"{from}\"\nto = \"{to}\"\ncount = 60\nbytes = 100\nevery = \"100ms\"\n"
    ));
    assert_eq!(report.failures, [""; 0], "{faults}");
    let arrived =
        report.log.iter().rev().find_map(|(_, said)| said.split_once(" of 6000 bytes")?.0.rsplit_once(' '));
    60 - arrived.unwrap().1.parse::<u64>().unwrap() / 100
}

fn check(from: &str, to: &str, seconds: u64, faults: &[(u32, u32, &str)]) {
    let found = spoilt(from, to, faults);
    // After a second fault some of what waited for the congestion window still arrives.
    let right = seconds * 10 - 7..=seconds * 10 + 2;
    assert!(right.contains(&found), "{found} tenths of {faults:?}, and not {seconds} seconds");
}

#[test]
fn what_is_struck_by_several_faults_ends_with_the_last() {
    for (fault, from, to) in [
        ("\"outage\"\nhost = \"a\"", "a", "b"),
        ("\"outage\"\nsite = \"s\"", "c", "b"),
        ("\"unplug\"\nhost = \"b\"", "a", "b"),
        ("\"suspend\"\nhost = \"b\"", "a", "b"),
        ("\"block-udp\"\nsite = \"s\"", "c", "b"),
        ("\"partition\"\nsite = \"s\"\ngroups = [[\"s-1\"]]", "c", "d"),
        ("\"link\"\nhost = \"a\"\nloss = 1", "a", "b"),
    ] {
        check(from, to, 3, &[(1, 3, fault), (2, 1, fault)]);
        check(from, to, 3, &[(1, 2, fault), (2, 2, fault)]);
        // One that nothing ends does not end with another.
        check(from, to, 5, &[(1, 0, fault), (2, 1, fault)]);
    }
}

#[test]
fn who_says_that_a_fault_is_over_ends_all_of_it_and_none_that_comes_later() {
    for (fault, over, from, to) in [
        ("\"outage\"\nhost = \"a\"", "\"outage-over\"\nhost = \"a\"", "a", "b"),
        ("\"unplug\"\nhost = \"b\"", "\"plug\"\nhost = \"b\"", "a", "b"),
        ("\"suspend\"\nhost = \"b\"", "\"resume\"\nhost = \"b\"", "a", "b"),
        ("\"block-udp\"\nsite = \"s\"", "\"allow-udp\"\nsite = \"s\"", "c", "b"),
        ("\"partition\"\nsite = \"s\"\ngroups = [[\"s-1\"]]", "\"heal\"\nsite = \"s\"", "c", "d"),
    ] {
        check(from, to, 2, &[(1, 9, fault), (2, 9, fault), (3, 0, over)]);
        check(from, to, 3, &[(1, 3, fault), (2, 0, over), (3, 2, fault)]);
    }
}

#[test]
fn a_change_to_a_link_takes_back_what_it_has_changed_and_no_more() {
    let [outage, noise, silence, slow, clear, good, down] = [
        "\"outage\"\nhost = \"a\"",
        "\"link\"\nhost = \"a\"\nloss = 1",
        "\"link\"\nhost = \"a\"\nup = false",
        "\"link\"\nhost = \"a\"\nlatency = \"2ms\"",
        "\"link\"\nhost = \"a\"\nloss = 0",
        "\"link\"\nhost = \"a\"\nto = {}",
        "\"link\"\nhost = \"a\"\nloss = 1\ndirection = \"down\"",
    ];
    for (seconds, faults) in [
        // Another property.
        (3, [(1, 2, slow), (2, 3, outage)]),
        (3, [(1, 3, outage), (2, 1, slow)]),
        (3, [(1, 2, slow), (2, 3, noise)]),
        (3, [(1, 2, noise), (2, 2, silence)]),
        // All of them, but an outage is none.
        (3, [(1, 3, outage), (2, 1, good)]),
        (2, [(1, 3, noise), (2, 1, good)]),
        // The same: the latest that lasts, then those before, then none.
        (3, [(1, 4, noise), (2, 1, clear)]),
        (1, [(1, 2, noise), (2, 2, clear)]),
        (1, [(1, 2, noise), (2, 0, clear)]),
        (3, [(1, 1, clear), (2, 3, noise)]),
        // The other direction.
        (2, [(1, 2, noise), (2, 2, down)]),
    ] {
        check("a", "b", seconds, &faults);
    }
    // A new lease leaves the wire as bad as it was.
    let noise = "\"link\"\nhost = \"s-1\"\nloss = 1";
    assert!(spoilt("c", "b", &[(1, 3, noise), (2, 0, "\"address\"\nhost = \"s-1\"")]) >= 28);
}

#[test]
fn a_lan_that_is_cut_twice_is_cut_everywhere() {
    let alone = "\"partition\"\nsite = \"s\"\ngroups = [[\"s-1\"]]";
    let no_gate = "\"partition\"\nsite = \"s\"\ngroups = [[\"gate\"]]";
    check("c", "d", 2, &[(1, 2, alone), (2, 2, no_gate)]);
    check("d", "b", 2, &[(1, 2, alone), (2, 2, no_gate)]);
    check("c", "b", 3, &[(1, 2, alone), (2, 2, no_gate)]);
    check("c", "d", 3, &[(1, 3, alone), (2, 1, no_gate)]);
}

#[test]
fn a_gate_blocks_udp_as_before_when_nothing_else_lasts() {
    let world = WORLD.replace("\"full-cone\"", "{ udp-blocked = true }");
    let block = "[[step]]\ndo = \"block-udp\"\nsite = \"s\"\nfor = \"1s\"\n";
    let allow = "[[step]]\ndo = \"allow-udp\"\nsite = \"s\"\n";
    let connect = "[[step]]\ndo = \"connect\"\nfrom = \"c\"\nto = \"a\"\nexpect = ";
    for steps in [
        format!("{block}{connect}\"no-answer\""),
        format!("{allow}{connect}\"connected\""),
        format!("{allow}{block}{connect}\"connected\""),
    ] {
        let report = Scenario::parse(&format!("{world}{steps}")).unwrap().run(1, None);
        assert_eq!(report.failures, [""; 0], "{steps}");
    }
}

/// When each thing was said, in whole seconds.
fn said(report: &ScenarioReport, what: &str) -> Vec<u64> {
    assert_eq!(report.failures, [""; 0]);
    report.log.iter().filter(|(_, said)| said == what).map(|(at, _)| at.as_millis() as u64 / 1000).collect()
}

#[test]
fn a_host_that_crashed_twice_starts_once() {
    let crash = "\"crash\"\nhost = \"b\"";
    for (faults, starts) in [
        (vec![(1, 9, crash), (2, 2, crash)], vec![10]),
        (vec![(1, 2, crash), (2, 7, crash)], vec![9]),
        (vec![(1, 0, crash), (2, 2, crash)], vec![]),
        (vec![(1, 9, crash), (2, 5, crash), (3, 0, "\"restart\"\nhost = \"b\"")], vec![3]),
        (vec![(1, 3, crash), (2, 0, "\"restart\"\nhost = \"b\""), (3, 5, crash)], vec![2, 8]),
    ] {
        let report = run(&faults.iter().copied().map(aside).collect::<String>());
        assert_eq!(said(&report, "b starts again"), starts, "{faults:?}");
    }
}

#[test]
fn a_crash_ends_a_sleep_and_who_is_down_does_not_fall_asleep() {
    let (crash, sleep) = ("\"crash\"\nhost = \"b\"", "\"suspend\"\nhost = \"b\"");
    let connect = "[[step]]\nafter = \"5s\"\ndo = \"connect\"\nfrom = \"a\"\nto = \"b\"\nwithin = \"2s\"\n";
    for faults in [[(1, 9, sleep), (2, 2, crash)], [(1, 3, crash), (2, 9, sleep)]] {
        let report = run(&format!("{}{connect}", faults.map(aside).concat()));
        assert_eq!(said(&report, "b wakes up"), [0; 0], "{faults:?}");
        assert_eq!(said(&report, "b starts again"), [4], "{faults:?}");
    }
}

#[test]
fn who_moves_takes_neither_a_cut_nor_a_bad_link_along() {
    let world = WORLD.replace("[node.a]", "[site.t]\n[node.a]");
    for fault in ["\"partition\"\nsite = \"s\"\ngroups = [[\"s-1\"]]", "\"link\"\nhost = \"s-1\"\nloss = 1"] {
        let steps = [(0, 60, fault), (1, 0, "\"move\"\nhost = \"s-1\"\nto = \"t\"")].map(aside).concat();
        let connect = "[[step]]\nafter = \"2s\"\ndo = \"connect\"\nfrom = \"c\"\nto = \"a\"\n";
        let report = Scenario::parse(&format!("{world}{steps}{connect}")).unwrap().run(1, None);
        assert_eq!(report.failures, [""; 0], "{fault}");
    }
}

#[test]
fn the_rules_of_a_gate_change_and_change_back() {
    let block = "\"gate\"\nsite = \"s\"\nudp-blocked = true";
    let pass = "\"gate\"\nsite = \"s\"\nkind = \"symmetric\"";
    check("c", "b", 2, &[(1, 2, block)]);
    check("c", "b", 5, &[(1, 0, block)]);
    check("c", "b", 3, &[(1, 3, block), (2, 1, block)]);
    // The latest that lasts is in force.
    check("c", "b", 3, &[(1, 4, block), (2, 1, pass)]);
    // Blocked is blocked, whatever the rules.
    check("c", "b", 3, &[(1, 3, "\"block-udp\"\nsite = \"s\""), (2, 1, pass)]);
    // Entries that live for a second let nothing in after five.
    let gate = "[[step]]\ndo = \"gate\"\nsite = \"s\"\nlifetimes = { udp-replied = \"1s\", udp-unreplied = \"1s\" }\n";
    let late = "[[step]]\ndo = \"connect\"\nfrom = \"c\"\nto = \"b\"\n\
                [[step]]\nafter = \"5s\"\ndo = \"datagrams\"\nfrom = \"b\"\nto = \"c\"\nbytes = 9\nat-least = 1\n";
    assert_eq!(run(late).failures, [""; 0]);
    assert_eq!(run(&format!("{gate}{late}")).failures.len(), 1);
    assert_eq!(run(&format!("{gate}for = \"1s\"\n{late}")).failures, [""; 0]);
}

/// Strangers outside, who have IPv6 alone in common with the one inside that they look for.
#[test]
fn the_firewall_before_ipv6_changes_by_itself_and_changes_back() {
    let world = "name = \"ipv6\"\nlimit = \"2min\"\n[host.a]\n[site.s]\ngates = \"port-restricted\"\n\
                 ipv6 = \"firewall\"\n[node.a]\nhandshake-timeout = \"2s\"\n[node.s]\n";
    let met = |steps: &str| {
        let connect = "[[step]]\ndo = \"connect\"\nafter = \"100ms\"\nfrom = \"a\"\nto = \"s\"\n";
        let text = format!("{world}{steps}{connect}");
        let report = Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}")).run(1, None);
        let changes = report.log.iter().filter(|(_, said)| said.ends_with("of s changes")).count();
        assert_eq!(changes, steps.matches("do = \"gate\"").count());
        report.failures.is_empty()
    };
    let gate = |keys: &str| format!("[[step]]\nbackground = true\ndo = \"gate\"\nsite = \"s\"\n{keys}\n");
    let open = gate("gate = \"ipv6\"\nkind = \"open\"");
    assert!(!met(""));
    assert!(met(&open));
    // The gate for IPv4 is another one.
    assert!(!met(&gate("kind = \"full-cone\"")));
    assert!(!met(&gate("gate = 1\nkind = \"full-cone\"")));
    // The latest that lasts is in force, and nothing passes where UDP is blocked.
    let shut = gate("gate = \"ipv6\"\nkind = \"firewall\"");
    assert!(!met(&format!("{open}{shut}")));
    assert!(met(&format!("{open}{}", shut.replace("kind", "for = \"10ms\"\nkind"))));
    assert!(!met(&open.replace("kind", "for = \"10ms\"\nkind")));
    assert!(!met(&gate("gate = \"ipv6\"\nkind = \"open\"\nudp-blocked = true")));
    assert!(!met(&format!("[[step]]\ndo = \"block-udp\"\nsite = \"s\"\n{open}")));
    // The others' rules go on.
    assert!(met(&format!("{open}{}", gate("kind = \"symmetric\""))));
}

#[test]
fn a_firewall_has_no_rules_of_a_nat() {
    let text = WORLD.replace("\"full-cone\"", "\"firewall\"");
    let step = "[[step]]\ndo = \"gate\"\nsite = \"s\"\n";
    let refusal =
        |keys: &str| Scenario::parse(&format!("{text}{step}{keys}")).map(drop).map_err(|error| error.message);
    assert_eq!(refusal("tcp-loose = false"), Ok(()));
    assert_eq!(refusal("parity = true"), Err("a firewall has no key `parity`".to_owned()));
    assert_eq!(refusal(""), Err("a step that changes a gate needs one of a gate's keys".to_owned()));
}

#[test]
fn a_gate_may_become_any_other_under_way() {
    let keys = [
        "allocation = \"chunked\"",
        "allocation = { kind = \"chunked\", size = 7 }",
        "ports = [65000, 65535]",
        "limits = { entries = 1, per-host = 1, full = \"evict\" }",
        "pooling = \"arbitrary\"",
        "parity = true",
    ];
    let nats = crate::Kind::ALL.into_iter().filter(|kind| matches!(kind.gate(), crate::kinds::Gate::Nat(_)));
    let keys = keys.map(str::to_owned).into_iter().chain(nats.map(|kind| format!("kind = \"{kind}\"")));
    let steps = keys.map(|keys| {
        let talk = "do = \"datagrams\"\nbytes = 9\nwait = \"100ms\"\n";
        format!(
            "[[step]]\ndo = \"gate\"\nsite = \"s\"\n{keys}\n\
             [[step]]\n{talk}from = \"c\"\nto = \"b\"\n[[step]]\n{talk}from = \"d\"\nto = \"b\"\n"
        )
    });
    let connect =
        ["c", "d"].map(|from| format!("[[step]]\ndo = \"connect\"\nfrom = \"{from}\"\nto = \"b\"\n"));
    let report = run(&format!("{}{}", connect.concat(), steps.collect::<String>()));
    // What arrives is another matter, but each change has been made.
    assert_eq!(report.failures, [""; 0]);
    assert_eq!(said(&report, "gate 1 of s changes").len(), 6 + 10);
}
