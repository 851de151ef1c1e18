//! Steps and expectations out of a file.

use std::collections::BTreeSet;

use crust_proto::{Duration, Priority};

use super::plan::{
    Action, Attempt, Direction, End, Expect, Fault as Trouble, Load, Member, Pair, PlaceKind, Step, When,
    Which, Wire,
};
use super::read::{Fault, Read, Table, Value};
use super::read_world::{LINK_KEYS, NAT_KEYS, World, link_settings, other_gate};
use super::units::Time;
use super::{LONGEST_RUN, MOST_STEPS};
use crate::kinds::Gate;
use crate::place::Place;
use crate::site::MOST_HOSTS;

/// Bytes that all steps of a file send at most.
const MOST_BYTES: u64 = 1_000_000_000;
const MOST_STREAMS: u32 = 256;
/// Messages, or datagrams, of one step.
const MOST_PIECES: u32 = 100_000;
/// A message or datagram says which it is in so many bytes.
pub(super) const HEADER: u64 = 8;
const LARGEST_MESSAGE: u64 = 1 << 20;
const LARGEST_DATAGRAM: u64 = 65_000;
/// The largest code of an application: above are the protocol's own.
const LARGEST_CODE: u32 = u32::MAX;
/// How far a wall clock jumps at most.
const LONGEST_JUMP: Duration = Duration::from_secs(3650 * 86_400);
/// Beyond this a clock is none; [`World::set_skew`](crate::World::set_skew) cuts there.
const MOST_SKEW: i32 = 500_000;
/// How long the peer may take to hear of a close, unless said otherwise.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// How long late datagrams are waited for, unless said otherwise.
const DATAGRAM_WAIT: Duration = Duration::from_secs(2);
const MOMENT: Duration = Duration::from_millis(1);
/// What the firewall before a site's IPv6 is called where a gate is asked for.
const IPV6: &str = "ipv6";
/// Who a LAN's gate is in groups.
const GATE: &str = "gate";

/// The keys that every step has.
const COMMON: &[&str] = &["do", "at", "after", "background"];
/// What a step can do, and the keys that it has then. A link's own come to `link`'s, and a gate's to `gate`'s.
pub(super) const VERBS: &[(&str, &[&str])] = &[
    ("connect", &["from", "to", "both", "within", "expect"]),
    ("send", &["from", "to", "bytes", "streams", "within", "rate-at-least", "expect"]),
    ("messages", &["from", "to", "count", "bytes", "priority", "within", "expect"]),
    ("datagrams", &["from", "to", "count", "bytes", "every", "at-least", "wait"]),
    ("close", &["from", "to", "code", "graceful", "within"]),
    ("ended", &["from", "to", "reason", "within"]),
    ("wait", &["for"]),
    ("expect", EXPECT_KEYS),
    ("link", &["site", "host", "direction", "to", "for"]),
    ("outage", &["site", "host", "for"]),
    ("outage-over", &["site", "host"]),
    ("partition", &["site", "groups", "for"]),
    ("heal", &["site"]),
    ("reboot", &["site", "gate", "address"]),
    ("gate", &["site", "gate", "for"]),
    ("block-udp", &["site", "for"]),
    ("allow-udp", &["site"]),
    ("crash", &["host", "for"]),
    ("restart", &["host"]),
    ("suspend", &["host", "for"]),
    ("resume", &["host"]),
    ("unplug", &["host", "for"]),
    ("plug", &["host"]),
    ("clock", &["host", "jump", "skew-ppm"]),
    ("address", &["host"]),
    ("move", &["host", "to"]),
];
/// The keys of what must hold.
pub(super) const EXPECT_KEYS: &[&str] =
    &["connected", "disconnected", "lost-at-most", "datagrams-at-most", "datagrams-at-least", "time-at-most"];

/// Reads the tables `step`.
pub(super) fn read(file: &Table<'_>, text: &str, world: &World, limit: Duration) -> Read<Vec<Step>> {
    let Some(list) = file.get("step") else { return Ok(Vec::new()) };
    let mut reader = Reader::new(world);
    let mut steps = Vec::new();
    for value in list.list("steps, each a table [[step]]", 0..=MOST_STEPS)? {
        let step = reader.step(value, text)?;
        if let When::At(at) = step.when
            && at > limit
        {
            let place = value.table("a step", &all_keys(step.verb))?.place("at");
            let message = format!("the run is over before that, expected at most its limit, {}", Time(limit));
            return Err(Fault { at: place, message });
        }
        steps.push(step);
    }
    Ok(steps)
}

/// Reads the table `expect`.
pub(super) fn read_expect(file: &Table<'_>, world: &World) -> Read<Expect> {
    match file.get("expect") {
        None => Ok(Expect::default()),
        Some(value) => Reader::new(world).expect(&value.table("what is expected", EXPECT_KEYS)?),
    }
}

/// All keys of a step that does this.
fn all_keys(verb: &str) -> Vec<&'static str> {
    let own = VERBS.iter().find(|(name, _)| *name == verb).map_or(&[][..], |(_, keys)| keys);
    let things = match verb {
        "link" => LINK_KEYS,
        "gate" => NAT_KEYS,
        _ => &[],
    };
    [COMMON, own, things].concat()
}

struct Reader<'w> {
    world: &'w World,
    nodes: Vec<String>,
    hosts: Vec<String>,
    places: Vec<String>,
    /// Hosts on the fullest LAN.
    fullest: usize,
    /// Bytes that the steps so far send.
    bytes: u64,
    /// Addresses that the steps so far give to hosts on LANs.
    leases: usize,
}

impl<'w> Reader<'w> {
    fn new(world: &'w World) -> Self {
        let on = |place| world.hosts.iter().filter(|host| host.place == place).count();
        Self {
            world,
            nodes: world.nodes.iter().map(|node| node.name.clone()).collect(),
            hosts: world.hosts.iter().map(|host| host.name.clone()).collect(),
            places: world.places.iter().map(|place| place.name.clone()).collect(),
            fullest: (0..world.places.len()).map(on).max().unwrap_or(0),
            bytes: 0,
            leases: 0,
        }
    }

    fn step(&mut self, value: Value<'_>, text: &str) -> Read<Step> {
        let verb = value.names("a step")?.need("do")?;
        let words: Vec<(&str, &'static str)> = VERBS.iter().map(|(verb, _)| (*verb, *verb)).collect();
        let verb = verb.choice("step", &words)?;
        let what = format!("a `{verb}` step");
        let table = value.table(&what, &all_keys(verb))?;
        let when = when(&table)?;
        let action = match verb {
            "connect" => self.connect(&table)?,
            "send" | "messages" | "datagrams" => self.send(verb, &table)?,
            "close" => Action::Close {
                pair: self.pair(&table)?,
                code: u64::from(table.get("code").map_or(Ok(0), |v| v.number("a code", 0..=LARGEST_CODE))?),
                graceful: flag(&table, "graceful", true)?,
                within: within(&table)?.unwrap_or(CLOSE_WITHIN),
            },
            "ended" => Action::Ended {
                pair: self.pair(&table)?,
                reason: table
                    .get("reason")
                    .map_or(Ok(None), |v| v.choice("end of a connection", End::NAMES))?,
                within: within(&table)?,
            },
            "wait" => Action::Wait(table.need("for")?.duration(Duration::ZERO..=LONGEST_RUN)?),
            "expect" => Action::Expect(self.expect(&table)?),
            fault => {
                let lasts = table.get("for").map(|v| v.duration(MOMENT..=LONGEST_RUN)).transpose()?;
                Action::Fault(self.fault(fault, &table)?, lasts)
            }
        };
        Ok(Step { line: Place::of(text, table.at()).line, verb, when, action })
    }

    fn connect(&self, table: &Table<'_>) -> Read<Action> {
        Ok(Action::Connect {
            pair: self.pair(table)?,
            both: flag(table, "both", false)?,
            within: within(table)?,
            expect: table
                .get("expect")
                .map_or(Ok(Attempt::Connected), |v| v.choice("outcome", Attempt::NAMES))?,
        })
    }

    fn send(&mut self, verb: &str, table: &Table<'_>) -> Read<Action> {
        let pair = self.pair(table)?;
        let count = |key, most| table.get(key).map_or(Ok(1), |value| value.number("a number", 1..=most));
        let bytes = |low, high| table.need("bytes")?.size(low..=high);
        let load = match verb {
            "send" => Load::Streams { count: count("streams", MOST_STREAMS)?, bytes: bytes(0, MOST_BYTES)? },
            "messages" => Load::Messages {
                count: count("count", MOST_PIECES)?,
                bytes: bytes(HEADER, LARGEST_MESSAGE)?,
                priority: match table.get("priority") {
                    None => Priority::default(),
                    Some(value) => Priority::new(value.number("a priority", 0..=7)?).unwrap_or_default(),
                },
            },
            _ => Load::Datagrams {
                count: count("count", MOST_PIECES)?,
                bytes: bytes(HEADER, LARGEST_DATAGRAM)?,
                every: time(table, "every", Duration::ZERO, Duration::from_secs(3600))?
                    .unwrap_or(Duration::ZERO),
                at_least: table.get("at-least").map_or(Ok(0), |value| value.share())?,
                wait: time(table, "wait", Duration::ZERO, Duration::from_secs(600))?.unwrap_or(DATAGRAM_WAIT),
            },
        };
        let (Load::Streams { count, bytes, .. }
        | Load::Messages { count, bytes, .. }
        | Load::Datagrams { count, bytes, .. }) = load;
        self.bytes = self.bytes.saturating_add(u64::from(count).saturating_mul(bytes));
        if self.bytes > MOST_BYTES {
            let all = self.bytes;
            return table.need("bytes")?.refuse(format!(
                "the steps up to here send {all} bytes, expected at most {MOST_BYTES} in all"
            ));
        }
        let rate_at_least = table.get("rate-at-least").map(|v| v.rate(1..=u64::MAX)).transpose()?;
        let outcomes = [("arrives", false), ("fails", true)];
        let fails = table.get("expect").map_or(Ok(false), |v| v.choice("outcome", &outcomes))?;
        Ok(Action::Send { pair, load, within: within(table)?, rate_at_least, fails })
    }

    fn expect(&self, table: &Table<'_>) -> Read<Expect> {
        let pairs = |key| -> Read<Vec<Pair>> {
            let Some(value) = table.get(key) else { return Ok(Vec::new()) };
            value.list("pairs of nodes", 0..=MOST_STEPS)?.into_iter().map(|pair| self.pair_of(pair)).collect()
        };
        let number = |key| table.get(key).map(|v| v.number("a number", 0..=u64::MAX)).transpose();
        Ok(Expect {
            connected: pairs("connected")?,
            disconnected: pairs("disconnected")?,
            lost_at_most: number("lost-at-most")?,
            datagrams_at_most: number("datagrams-at-most")?,
            datagrams_at_least: number("datagrams-at-least")?,
            time_at_most: time(table, "time-at-most", Duration::ZERO, LONGEST_RUN)?,
        })
    }

    fn fault(&mut self, verb: &str, table: &Table<'_>) -> Read<Trouble> {
        Ok(match verb {
            "link" => {
                let mut change = Vec::new();
                if let Some(value) = table.get("to") {
                    change.push(super::plan::LinkSetting::All(self.world.links.config(value)?));
                }
                change.extend(link_settings(table)?);
                if change.is_empty() {
                    let message = "a step that changes a link needs `to` or one of a link's keys".to_owned();
                    return Err(Fault { at: table.at(), message });
                }
                Trouble::Link { wire: self.wire(table, true)?, direction: direction(table)?, change }
            }
            "outage" | "outage-over" => {
                Trouble::Outage { wire: self.wire(table, false)?, out: verb == "outage" }
            }
            "partition" => {
                Trouble::Partition { place: self.site(table, "site")?, groups: self.groups(table)? }
            }
            "heal" => Trouble::Partition { place: self.site(table, "site")?, groups: Vec::new() },
            "reboot" => self.reboot(table)?,
            "gate" => self.gate(table)?,
            "block-udp" | "allow-udp" => {
                let place = self.site(table, "site")?;
                if self.gates(place) == 0 && !self.has_ipv6(place) {
                    return table.need("site")?.refuse("this site has no gate that could block anything");
                }
                Trouble::BlockUdp { place, blocked: verb == "block-udp" }
            }
            "crash" | "restart" => Trouble::Crash { host: self.host(table)?, down: verb == "crash" },
            "suspend" | "resume" => Trouble::Suspend { host: self.host(table)?, asleep: verb == "suspend" },
            "unplug" | "plug" => Trouble::Unplug { host: self.host(table)?, out: verb == "unplug" },
            "clock" => self.clock(table)?,
            "address" => {
                self.lease(table)?;
                Trouble::NewAddress { host: self.host(table)? }
            }
            _ => {
                let host = self.host(table)?;
                if !self.on_lan(host) {
                    return table
                        .need("host")?
                        .refuse("a public host has its wire to itself and cannot move");
                }
                self.lease(table)?;
                Trouble::Move { host, place: self.site(table, "to")? }
            }
        })
    }

    fn reboot(&self, table: &Table<'_>) -> Read<Trouble> {
        let place = self.site(table, "site")?;
        let gates = self.gates(place);
        if gates == 0 {
            return table.need("site")?.refuse("this site has no gate that could reboot");
        }
        let gate = table.get("gate").map(|value| value.number("the number of a gate", 1..=gates as u32));
        let addresses = [("same", false), ("new", true)];
        let new_address = table.get("address").map_or(Ok(false), |v| v.choice("address", &addresses))?;
        Ok(Trouble::Reboot { place, gate: gate.transpose()?.map(|gate| gate as usize - 1), new_address })
    }

    /// Other rules for a gate: for the outermost for IPv4, unless said otherwise.
    fn gate(&self, table: &Table<'_>) -> Read<Trouble> {
        let place = self.site(table, "site")?;
        let PlaceKind::Site(config) = &self.world.places[place].kind else {
            return table.need("site")?.refuse("this is a public host");
        };
        let (which, own) = match table.get("gate") {
            Some(value) if value.as_text() == Some(IPV6) => match config.ipv6 {
                Some(firewall) => (Which::Ipv6, Gate::Firewall(firewall)),
                None => return value.refuse("this site has no IPv6, and no firewall before it"),
            },
            Some(value) if value.as_text().is_some() => {
                return value.refuse(format!("expected the number of a gate, or {IPV6:?}"));
            }
            value => {
                let count = config.gates.len();
                if count == 0 {
                    let but = if config.ipv6.is_some() {
                        " but that of its IPv6: say `gate = \"ipv6\"`"
                    } else {
                        ""
                    };
                    return table
                        .need("site")?
                        .refuse(format!("this site has no gate that could change{but}"));
                }
                let nth = value.map(|value| value.number("the number of a gate", 1..=count as u32));
                let nth = nth.transpose()?.map_or(count, |nth| nth as usize) - 1;
                (Which::Nth(nth), config.gates[nth])
            }
        };
        Ok(Trouble::Gate { place, which, rules: Box::new(other_gate(table, own)?) })
    }

    fn clock(&self, table: &Table<'_>) -> Read<Trouble> {
        let host = self.host(table)?;
        match (table.get("jump"), table.get("skew-ppm")) {
            (Some(jump), None) => {
                let (by, back) = jump.signed_duration(LONGEST_JUMP)?;
                Ok(Trouble::JumpClock { host, by, back })
            }
            (None, Some(skew)) => {
                Ok(Trouble::SkewClock { host, ppm: skew.number("millionths", -MOST_SKEW..=MOST_SKEW)? })
            }
            _ => Err(Fault { at: table.at(), message: "a clock step needs `jump` or `skew-ppm`".to_owned() }),
        }
    }

    /// One more address on a LAN, wherever that may be.
    fn lease(&mut self, table: &Table<'_>) -> Read<()> {
        self.leases += 1;
        if self.fullest + self.leases <= usize::from(MOST_HOSTS) {
            return Ok(());
        }
        table.need("do")?.refuse(format!("a LAN has {MOST_HOSTS} addresses; all may be given out by now"))
    }

    fn pair(&self, table: &Table<'_>) -> Read<Pair> {
        self.two(table.need("from")?, table.need("to")?)
    }

    fn pair_of(&self, value: Value<'_>) -> Read<Pair> {
        let two = value.list("nodes", 2..=2)?;
        self.two(two[0], two[1])
    }

    fn two(&self, from: Value<'_>, to: Value<'_>) -> Read<Pair> {
        let pair = Pair { from: from.named("node", &self.nodes)?, to: to.named("node", &self.nodes)? };
        match pair.from == pair.to {
            true => to.refuse("both are the same node, expected another one"),
            false => Ok(pair),
        }
    }

    fn host(&self, table: &Table<'_>) -> Read<usize> {
        table.need("host")?.named("host", &self.hosts)
    }

    /// Whether a host is behind a site's gates.
    fn on_lan(&self, host: usize) -> bool {
        matches!(self.world.places[self.world.hosts[host].place].kind, PlaceKind::Site(_))
    }

    fn site(&self, table: &Table<'_>, key: &str) -> Read<usize> {
        let is_site = |place: &usize| matches!(self.world.places[*place].kind, PlaceKind::Site(_));
        let sites: Vec<usize> = (0..self.places.len()).filter(is_site).collect();
        let names: Vec<String> = sites.iter().map(|place| self.places[*place].clone()).collect();
        Ok(sites[table.need(key)?.named("site", &names)?])
    }

    fn gates(&self, place: usize) -> usize {
        match &self.world.places[place].kind {
            PlaceKind::Site(config) => config.gates.len(),
            PlaceKind::Public(_) => 0,
        }
    }

    /// Whether a firewall stands before a site's IPv6.
    fn has_ipv6(&self, place: usize) -> bool {
        matches!(&self.world.places[place].kind, PlaceKind::Site(config) if config.ipv6.is_some())
    }

    /// A site's wire or a host's.
    fn wire(&self, table: &Table<'_>, of_lan: bool) -> Read<Wire> {
        match (table.get("site"), table.get("host")) {
            (Some(_), None) => Ok(Wire::Site(self.site(table, "site")?)),
            (None, Some(value)) => {
                let host = self.host(table)?;
                match self.on_lan(host) {
                    false => Ok(Wire::Host(host)),
                    true if !of_lan => value.refuse(
                        "this host is on a LAN, which goes on: `unplug` it, or let its `site` have the outage",
                    ),
                    true if direction(table)? == Direction::Down => {
                        value.refuse("what this host receives has passed its senders' links: change theirs")
                    }
                    true => Ok(Wire::Host(host)),
                }
            }
            (Some(_), Some(both)) => both.refuse("a link is a `site`'s or a `host`'s, not both"),
            (None, None) => Err(Fault {
                at: table.at(),
                message: "expected the `site` or the `host` whose link it is".to_owned(),
            }),
        }
    }

    /// Who hears whom on a LAN that is cut in parts.
    fn groups(&self, table: &Table<'_>) -> Read<Vec<Vec<Member>>> {
        let mut seen = BTreeSet::new();
        let mut names = self.hosts.clone();
        names.push(GATE.to_owned());
        let mut groups = Vec::new();
        for group in table.need("groups")?.list("groups of hosts", 1..=usize::from(MOST_HOSTS))? {
            let mut members = Vec::new();
            for value in group.list("hosts, or \"gate\"", 1..=usize::from(MOST_HOSTS))? {
                let number = value.named("host", &names)?;
                let member = if number == self.hosts.len() { Member::Gate } else { Member::Host(number) };
                if !seen.insert(member) {
                    return value.refuse("it is in two groups, expected each in one");
                }
                if number < self.hosts.len() && !self.on_lan(number) {
                    return value.refuse("this is a public host, expected one on the LAN");
                }
                members.push(member);
            }
            groups.push(members);
        }
        Ok(groups)
    }
}

fn when(table: &Table<'_>) -> Read<When> {
    let at = time(table, "at", Duration::ZERO, LONGEST_RUN)?;
    let after = time(table, "after", Duration::ZERO, LONGEST_RUN)?;
    let background = table.get("background").map(|value| value.flag()).transpose()?;
    match (at, after, background) {
        (None, after, background) => {
            Ok(When::Turn { after: after.unwrap_or(Duration::ZERO), background: background.unwrap_or(false) })
        }
        (Some(at), None, None | Some(true)) => Ok(When::At(at)),
        (Some(_), Some(_), _) => Err(Fault {
            at: table.place("after"),
            message: "a step is `at` a time or `after` a pause, not both".to_owned(),
        }),
        (Some(_), _, Some(_)) => table.need("background")?.refuse("a step `at` a time is in the background"),
    }
}

fn within(table: &Table<'_>) -> Read<Option<Duration>> {
    time(table, "within", MOMENT, LONGEST_RUN)
}

fn time(table: &Table<'_>, key: &str, low: Duration, high: Duration) -> Read<Option<Duration>> {
    table.get(key).map(|value| value.duration(low..=high)).transpose()
}

fn flag(table: &Table<'_>, key: &str, default: bool) -> Read<bool> {
    table.get(key).map_or(Ok(default), |value| value.flag())
}

fn direction(table: &Table<'_>) -> Read<Direction> {
    let words = [("both", Direction::Both), ("up", Direction::Up), ("down", Direction::Down)];
    table.get("direction").map_or(Ok(Direction::Both), |value| value.choice("direction", &words))
}
