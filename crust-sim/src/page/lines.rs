//! Which packets of a run are drawn, and as which lines between which lifelines.

use std::collections::BTreeMap;
use std::ops::Range;

use crust_proto::Instant;

use crate::record::journey::Journey;
use crate::record::{Note, Recording};
use crate::world::Sight;
use crate::{HostId, InterfaceId};

/// Lifelines that are drawn.
pub(super) const MOST_LANES: usize = 24;
/// Packets before a note that are drawn with what follows it.
const BEFORE_NOTE: usize = 2;

/// Pixels: left of the first lifeline, between two, right of the last.
const LEFT: i32 = 120;
pub(super) const LANE: i32 = 150;
const RIGHT: i32 = 84;
/// Few lifelines stand further apart, as if there were so many at least.
const LANES_OF_ROOM: i32 = 5;

/// One packet at one lifeline: seen there, or on its way out and in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) lane: usize,
    /// The place in the recording, which is the order of time.
    pub(super) at: usize,
}

/// How a packet's arrows end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It arrived, or nobody knows.
    Arrived,
    /// It is still on its way to that lifeline, or went to somebody who is not drawn.
    Open(usize),
    /// Lost or dropped between the last point and that lifeline.
    Lost(usize),
    /// Dropped at the last point.
    Dropped,
}

/// A packet as it is drawn.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) points: Vec<Point>,
    pub(super) end: End,
}

impl Line {
    /// How many arrows it is.
    pub(super) fn arrows(&self) -> usize {
        self.points.len() - 1
            + usize::from(!matches!(self.end, End::Arrived | End::Dropped))
            + usize::from(self.points.len() == 1 && matches!(self.end, End::Arrived | End::Dropped))
    }
}

/// Lifelines: those that have names, or all where none has.
pub(super) struct Lanes {
    pub(super) names: Vec<String>,
    of: BTreeMap<HostId, usize>,
}

impl Lanes {
    pub(super) fn of(recording: &Recording) -> Self {
        let mut hosts: Vec<HostId> = recording.hosts.iter().map(|(host, _)| *host).collect();
        if hosts.is_empty() {
            hosts = recording.packets.iter().map(|packet| packet.host).collect();
            hosts.sort();
            hosts.dedup();
        }
        hosts.truncate(MOST_LANES);
        let names = hosts.iter().map(|host| recording.host_name(*host)).collect();
        Self { names, of: hosts.into_iter().enumerate().map(|(lane, host)| (host, lane)).collect() }
    }

    pub(super) fn get(&self, host: HostId) -> Option<usize> {
        self.of.get(&host).copied()
    }

    pub(super) fn x(&self, lane: usize) -> i32 {
        LEFT + self.between() * lane as i32
    }

    /// From one lifeline to the next.
    fn between(&self) -> i32 {
        let gaps = (self.names.len() as i32 - 1).max(1);
        (LANE * (LANES_OF_ROOM - 1) / gaps).clamp(LANE, LANE * 3 / 2)
    }

    pub(super) fn width(&self) -> i32 {
        self.x(self.names.len().saturating_sub(1)) + RIGHT
    }
}

/// Where interfaces lead, as far as packets have shown.
pub(super) struct Wires(BTreeMap<(Option<InterfaceId>, HostId), usize>);

impl Wires {
    pub(super) fn of(recording: &Recording, ways: &[Journey], lanes: &Lanes) -> Self {
        let mut wires = BTreeMap::new();
        for way in ways {
            for (nth, stop) in way.stops.iter().enumerate() {
                let sent = &recording.packets[*stop];
                let later = way.stops[nth + 1..].iter().map(|stop| recording.packets[*stop].host);
                let next = later.filter(|host| *host != sent.host).find_map(|host| lanes.get(host));
                if let Some(next) = next.filter(|_| sent.sight == Sight::Sent) {
                    wires.insert((sent.interface, sent.host), next);
                }
            }
        }
        Self(wires)
    }

    /// To which lifeline a packet was on its way that was last seen at that place.
    fn next(&self, recording: &Recording, point: Point, lanes: &Lanes) -> usize {
        let sent = &recording.packets[point.at];
        let known = self.0.get(&(sent.interface, sent.host)).copied();
        let beside =
            if point.lane + 1 < lanes.names.len() { point.lane + 1 } else { point.lane.saturating_sub(1) };
        known.unwrap_or(beside)
    }
}

/// What of a packet's way is seen at lifelines; `None` where nothing is.
pub(super) fn line(recording: &Recording, way: &Journey, lanes: &Lanes, wires: &Wires) -> Option<Line> {
    let mut points: Vec<Point> = Vec::new();
    let mut end = End::Arrived;
    for stop in &way.stops {
        let seen = &recording.packets[*stop];
        let lane = lanes.get(seen.host);
        let last = points.last().copied();
        let towards = |last: Point| wires.next(recording, last, lanes);
        match (seen.sight, lane, last) {
            (Sight::Sent | Sight::Arrived, Some(lane), last) => {
                match last {
                    // In and out again at once, by its other interface: one point, told by the later place.
                    Some(last) if last.lane == lane => points.last_mut()?.at = *stop,
                    _ => points.push(Point { lane, at: *stop }),
                }
                let sent = points.last().copied().filter(|_| seen.sight == Sight::Sent);
                end = sent.map_or(End::Arrived, |sent| End::Open(wires.next(recording, sent, lanes)));
            }
            (Sight::Dropped, Some(lane), Some(last)) if last.lane == lane => end = End::Dropped,
            (Sight::Dropped, Some(lane), None) => {
                points.push(Point { lane, at: *stop });
                end = End::Dropped;
            }
            (Sight::Lost, Some(lane), Some(last)) if last.lane != lane => end = End::Lost(lane),
            (Sight::Lost | Sight::Dropped, _, Some(last)) => end = End::Lost(towards(last)),
            _ => {}
        }
    }
    (!points.is_empty()).then_some(Line { points, end })
}

/// Which packets are drawn: all, or the first and those after each note, as long as arrows are left.
pub(super) fn choose(
    arrows: &[usize],
    starts: &[Instant],
    notes: &[&Note],
    most: usize,
) -> Vec<Range<usize>> {
    let take = |from: usize, room: usize| {
        let mut used = 0;
        let fits = |arrows: &&usize| {
            used += **arrows;
            used <= room
        };
        from..from + arrows[from..].iter().take_while(fits).count()
    };
    let all = take(0, most);
    if all.end == arrows.len() || notes.is_empty() {
        return vec![all];
    }
    let head = take(0, most / 2);
    let later: Vec<usize> = notes
        .iter()
        .map(|note| starts.partition_point(|start| *start < note.now).saturating_sub(BEFORE_NOTE))
        .filter(|from| *from >= head.end)
        .collect();
    let Some(share) = (most / 2).checked_div(later.len()) else { return vec![all] };
    let mut chosen = vec![head];
    for from in later {
        let end = chosen.last().map_or(0, |range| range.end);
        let range = take(from.max(end).min(arrows.len()), share);
        match chosen.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ if !range.is_empty() => chosen.push(range),
            _ => {}
        }
    }
    chosen
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
