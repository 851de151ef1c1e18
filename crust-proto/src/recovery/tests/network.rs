//! A sender and a receiver with a bad network between them.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the network does to packets.
#[derive(Clone, Debug, Default)]
struct Weather {
    seed: u64,
    one_way_micros: u64,
    jitter_micros: u64,
    loss_percent: u64,
    ack_loss_percent: u64,
    duplicate_percent: u64,
    mark_percent: u64,
    /// Nothing gets through from the first time to the second, in milliseconds.
    blackout: (u64, u64),
    /// Timers are late by up to this.
    lateness_micros: u64,
    /// Bytes per second, and bytes of queue before it.
    bottleneck: Option<(u64, u64)>,
    path_change_ms: Option<u64>,
    /// Of the packets sent, so many more carry nothing ack-eliciting.
    quiet_percent: u64,
    skip_percent: u64,
    app_limited_percent: u64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_the_network_does_every_packet_is_acknowledged_or_lost_once_and_all_arrives(
        weather in weather(),
        pacing in any::<bool>(),
        items in 1usize..300,
    ) {
        let config = RecoveryConfig { pacing, ..RecoveryConfig::default() };
        let mut network = Network::new(weather, &config, items);
        // Bad weather for a minute; after that it must come to an end. The largest backoff is a minute too.
        let finished = network.run(at(60_000)) || {
            network.weather = Weather {
                one_way_micros: network.weather.one_way_micros,
                jitter_micros: network.weather.jitter_micros,
                ..Weather::default()
            };
            network.run(at(600_000))
        };
        prop_assert!(finished, "{} of {items} arrived", network.acked_items.len());
        prop_assert_eq!(network.sender.bytes_in_flight(), 0);
        prop_assert_eq!(network.sender.timeout(), None);
        let stats = network.sender.stats();
        prop_assert_eq!(stats.sent, network.packets.len() as u64);
        prop_assert_eq!(stats.sent, stats.acked + stats.lost);
        prop_assert!(stats.spuriously_lost <= stats.lost);
    }
}

fn weather() -> impl Strategy<Value = Weather> {
    let often_none = |most: u64| prop_oneof![1 => Just(0), 1 => 0..most];
    (
        (any::<u64>(), 0u64..150_000, often_none(80_000), often_none(40), often_none(40), often_none(30)),
        (often_none(20), 0u64..2000, often_none(5000), often_none(5_000), prop::option::of(0u64..3000)),
        (
            often_none(30),
            often_none(20),
            often_none(100),
            prop::option::of((50_000u64..2_000_000, 3_000u64..100_000)),
        ),
    )
        .prop_map(|(a, b, c)| Weather {
            seed: a.0,
            one_way_micros: a.1,
            jitter_micros: a.2,
            loss_percent: a.3,
            ack_loss_percent: a.4,
            duplicate_percent: a.5,
            mark_percent: b.0,
            blackout: (b.1, b.1 + b.2),
            lateness_micros: b.3,
            path_change_ms: b.4,
            quiet_percent: c.0,
            skip_percent: c.1,
            app_limited_percent: c.2,
            bottleneck: c.3,
        })
}

#[test]
fn a_bottleneck_with_a_queue_is_filled() {
    // 50 Mbit/s, 40 ms, half a bandwidth-delay product of queue.
    let (rate, bdp) = (6_250_000u64, 250_000u64);
    let weather = Weather {
        one_way_micros: 20_000,
        bottleneck: Some((rate, bdp / 2)),
        lateness_micros: 1000,
        ..Weather::default()
    };
    let mut network = Network::new(weather, &RecoveryConfig::default(), usize::MAX);
    network.run(at(3_000));
    let before = network.bytes_arrived;
    network.most_in_flight = 0;
    network.run(at(13_000));
    let arrived = network.bytes_arrived - before;
    assert!(arrived > rate * 10 * 95 / 100, "{arrived} bytes in ten seconds");
    assert!(network.most_in_flight > bdp, "{} bytes in flight", network.most_in_flight);
    let stats = network.sender.stats();
    assert!(stats.lost * 100 < stats.sent, "{stats:?}");
    assert_eq!(stats.persistent_congestions, 0);
}

#[test]
fn pacing_keeps_the_queue_of_an_unloaded_bottleneck_short() {
    // The window is well below the queue's overflow for the first round trips: what queues is bursts.
    let longest_queue = |pacing| {
        let weather = Weather {
            one_way_micros: 50_000,
            bottleneck: Some((2_000_000, 1_000_000)),
            ..Weather::default()
        };
        let config = RecoveryConfig { pacing, ..RecoveryConfig::default() };
        let mut network = Network::new(weather, &config, 100);
        network.run(at(60_000));
        network.longest_queue
    };
    assert!(longest_queue(true) <= 12_000 + 2 * SIZE as u64, "{}", longest_queue(true));
    assert!(longest_queue(false) > longest_queue(true));
}

#[test]
fn reordering_alone_costs_little() {
    let weather = Weather { seed: 3, one_way_micros: 20_000, jitter_micros: 4_000, ..Weather::default() };
    let mut network = Network::new(weather, &RecoveryConfig::default(), 3000);
    assert!(network.run(at(60_000)));
    let stats = network.sender.stats();
    assert!(stats.spuriously_lost > 0, "else this shows nothing: {stats:?}");
    assert_eq!(stats.spuriously_lost, stats.lost, "all that was declared lost was only late: {stats:?}");
    assert!(stats.undone_congestion_events > 0, "{stats:?}");
    assert_eq!(stats.persistent_congestions, 0);
}

/// A small generator, so that a run is its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }

    fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }
}

enum Arrival {
    Data {
        number: u64,
        eliciting: bool,
        ecn: Option<Ecn>,
        /// The description that the sender holds.
        packet: usize,
        /// The largest number of the newest acknowledgement that the sender had.
        heard: Option<u64>,
    },
    Ack(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    UnderWay,
    Acked,
    Lost,
}

/// An ack-eliciting packet.
struct Packet {
    item: usize,
    fate: Fate,
    arrived: bool,
}

struct Network {
    weather: Weather,
    random: Random,
    now: Instant,
    sender: Recovery<usize>,
    receiver: Received,
    arrivals: BTreeMap<(Instant, u64), Arrival>,
    sequence: u64,
    link_free: Instant,
    packets: Vec<Packet>,
    fresh: core::ops::Range<usize>,
    again: VecDeque<usize>,
    items: usize,
    acked_items: BTreeSet<usize>,
    accepted: BTreeSet<u64>,
    heard: Option<u64>,
    paced_until: Option<Instant>,
    outcome: Outcome<usize>,
    bytes_arrived: u64,
    most_in_flight: u64,
    longest_queue: u64,
}

impl Network {
    fn new(weather: Weather, config: &RecoveryConfig, items: usize) -> Self {
        let now = at(1);
        Self {
            random: Random(weather.seed),
            weather,
            now,
            sender: Recovery::new(config, SIZE, now),
            receiver: Received::new(ms(25)),
            arrivals: BTreeMap::new(),
            sequence: 0,
            link_free: now,
            packets: Vec::new(),
            fresh: 0..items,
            again: VecDeque::new(),
            items,
            acked_items: BTreeSet::new(),
            accepted: BTreeSet::new(),
            heard: None,
            paced_until: None,
            outcome: Outcome::default(),
            bytes_arrived: 0,
            most_in_flight: 0,
            longest_queue: 0,
        }
    }

    /// Runs until everything is acknowledged, or `until`. Returns whether everything is.
    fn run(&mut self, until: Instant) -> bool {
        loop {
            self.send_all();
            self.check();
            if self.acked_items.len() == self.items && !self.sender.has_in_flight() {
                return true;
            }
            let late = Duration::from_micros(self.random.below(self.weather.lateness_micros + 1));
            let timers = [self.sender.timeout(), self.paced_until, self.receiver.ack_deadline()];
            let timer = timers.into_iter().flatten().min().map(|due| due + late);
            let arrival = self.arrivals.first_key_value().map(|(&(when, _), _)| when);
            let next =
                timer.into_iter().chain(arrival).min().expect("a timer runs or something is under way");
            if next > until {
                self.now = until;
                return false;
            }
            self.now = self.now.max(next);
            self.step();
        }
    }

    fn step(&mut self) {
        while let Some(entry) = self.arrivals.first_entry()
            && entry.key().0 <= self.now
        {
            match entry.remove() {
                Arrival::Data { number, eliciting, ecn, packet, heard } => {
                    if let Some(largest) = heard {
                        self.receiver.on_ack_acked(largest);
                    }
                    if !self.receiver.is_new(number) {
                        continue;
                    }
                    assert!(self.accepted.insert(number), "{number} was accepted twice");
                    self.receiver.on_packet(self.now, number, eliciting, ecn);
                    if eliciting {
                        self.packets[packet].arrived = true;
                        self.bytes_arrived += SIZE as u64;
                    }
                }
                Arrival::Ack(bytes) => {
                    let Ok(Frame::Ack(ack)) = Frame::decode(&mut Reader::new(&bytes)) else {
                        panic!("an ACK")
                    };
                    self.heard = self.heard.max(Some(ack.largest));
                    self.outcome.clear();
                    self.sender.on_ack(self.now, &ack, &mut self.outcome).unwrap();
                    self.settle();
                }
            }
            if self.receiver.ack_due(self.now) {
                self.send_ack();
            }
        }
        if self.receiver.ack_due(self.now) {
            self.send_ack();
        }
        if self.weather.path_change_ms.is_some_and(|change| at(change) <= self.now) {
            self.weather.path_change_ms = None;
            self.sender.on_path_changed(self.now);
        }
        self.outcome.clear();
        self.sender.on_timeout(self.now, &mut self.outcome);
        self.settle();
    }

    /// Every description comes back once, and is acknowledged only if it arrived.
    fn settle(&mut self) {
        for &index in &self.outcome.acked {
            let packet = &mut self.packets[index];
            assert_eq!(packet.fate, Fate::UnderWay, "packet {index} is acknowledged");
            assert!(packet.arrived, "packet {index} never arrived");
            packet.fate = Fate::Acked;
            self.acked_items.insert(packet.item);
        }
        for &index in &self.outcome.lost {
            let packet = &mut self.packets[index];
            assert_eq!(packet.fate, Fate::UnderWay, "packet {index} is lost");
            packet.fate = Fate::Lost;
            if !self.acked_items.contains(&packet.item) {
                self.again.push_back(packet.item);
            }
        }
    }

    fn check(&mut self) {
        let sender = &self.sender;
        assert!(sender.congestion_window() >= 2 * SIZE as u64);
        assert_eq!(sender.timeout().is_some(), sender.has_in_flight(), "the timer runs while it must");
        assert_eq!(sender.oldest_unacked().is_some(), sender.has_in_flight());
        let under_way = sender.outstanding().count() as u64 * SIZE as u64;
        assert!(sender.bytes_in_flight() <= under_way);
        self.most_in_flight = self.most_in_flight.max(sender.bytes_in_flight());
    }

    fn send_all(&mut self) {
        self.paced_until = None;
        while self.sender.take_probe() {
            let item = match self.next_item() {
                Some(item) => item,
                None => match self.sender.oldest_unacked() {
                    Some(&packet) => self.packets[packet].item,
                    None => return,
                },
            };
            self.send(Some(item));
        }
        loop {
            match self.sender.permit(self.now, SIZE) {
                Permit::Now { bytes } => {
                    assert!(bytes >= SIZE);
                    let Some(item) = self.next_item() else {
                        self.sender.set_app_limited(true);
                        return;
                    };
                    let limited = self.random.percent(self.weather.app_limited_percent);
                    self.sender.set_app_limited(limited);
                    self.send(Some(item));
                    if self.random.percent(self.weather.quiet_percent) {
                        self.send(None);
                    }
                }
                Permit::At(due) => {
                    assert!(due > self.now);
                    if self.fresh.is_empty() && self.again.is_empty() {
                        return;
                    }
                    self.sender.set_app_limited(false);
                    self.paced_until = Some(due);
                    return;
                }
                Permit::Blocked => {
                    assert!(self.sender.has_in_flight());
                    return;
                }
            }
        }
    }

    fn next_item(&mut self) -> Option<usize> {
        while let Some(item) = self.again.pop_front() {
            if !self.acked_items.contains(&item) {
                return Some(item);
            }
        }
        self.fresh.next()
    }

    /// Sends an item, or a packet that asks for no acknowledgement.
    fn send(&mut self, item: Option<usize>) {
        if self.random.percent(self.weather.skip_percent) {
            self.sender.skip_packet_number();
        }
        let (number, packet) = (self.sender.next_packet_number(), self.packets.len());
        let ecn = self.sender.ecn_codepoint();
        let size = if item.is_some() { SIZE } else { 40 };
        self.sender.on_sent(self.now, size, item.is_some(), packet);
        if let Some(item) = item {
            self.packets.push(Packet { item, fate: Fate::UnderWay, arrived: false });
        }
        let copies = if self.random.percent(self.weather.duplicate_percent) { 3 } else { 1 };
        for copy in 0..copies {
            let Some(mut when) = self.link(size as u64, self.weather.loss_percent) else { continue };
            if copy == 2 {
                // A replay, long after.
                when = when + ms(self.random.below(5000));
            }
            let marked = self.random.percent(self.weather.mark_percent);
            let ecn = ecn.map(|ecn| if marked { Ecn::Ce } else { ecn });
            let data = Arrival::Data { number, eliciting: item.is_some(), ecn, packet, heard: self.heard };
            self.arrives(when, data);
        }
    }

    fn send_ack(&mut self) {
        let mut buf = [0; 1200];
        let mut w = Writer::new(&mut buf);
        let room = 20 + usize::try_from(self.random.below(1180)).unwrap();
        if self.receiver.write_ack(self.now, 0, room, &mut w).is_none() {
            return;
        }
        let len = w.finish().unwrap();
        let copies = if self.random.percent(self.weather.duplicate_percent) { 2 } else { 1 };
        for _ in 0..copies {
            if self.is_dark() || self.random.percent(self.weather.ack_loss_percent) {
                continue;
            }
            let jitter = self.random.below(self.weather.jitter_micros);
            let when = self.now + Duration::from_micros(self.weather.one_way_micros + jitter);
            self.arrives(when, Arrival::Ack(buf[..len].to_vec()));
        }
    }

    fn arrives(&mut self, when: Instant, arrival: Arrival) {
        self.sequence += 1;
        self.arrivals.insert((when, self.sequence), arrival);
    }

    fn is_dark(&self) -> bool {
        (at(self.weather.blackout.0)..at(self.weather.blackout.1)).contains(&self.now)
    }

    /// When a packet comes out at the far end, if it does.
    fn link(&mut self, size: u64, loss_percent: u64) -> Option<Instant> {
        if self.is_dark() || self.random.percent(loss_percent) {
            return None;
        }
        let mut when = self.now;
        if let Some((rate, queue)) = self.weather.bottleneck {
            let start = self.link_free.max(self.now);
            let queued = nanos(start.saturating_since(self.now)) / 1000 * rate / 1_000_000;
            if queued + size > queue {
                return None;
            }
            self.longest_queue = self.longest_queue.max(queued + size);
            self.link_free = start + Duration::from_nanos(size * 1_000_000_000 / rate);
            when = self.link_free;
        }
        let jitter = self.random.below(self.weather.jitter_micros);
        Some(when + Duration::from_micros(self.weather.one_way_micros + jitter))
    }
}
