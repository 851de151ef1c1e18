//! A run's packets as a sequence diagram: a lifeline for each host and router, an arrow for each hop.
//!
//! Time goes down, not to scale: what happens gets room, and a pause gets the more of it the longer it is, but never
//! much. Where a run has more packets than can be drawn, its beginning is, and what follows each note.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use crust_proto::Instant;

use crate::record::describe::{Sort, describe, ends};
use crate::record::journey::Journey;
use crate::record::{Note, Recording};
use crate::world::Sight;
use crate::{HostId, InterfaceId};

use super::{escape, shortened, thousands, time};

/// Lifelines that are drawn.
const MOST_LANES: usize = 24;
/// Notes that are drawn.
const MOST_NOTES: usize = 60;
/// Stops of one packet that are told.
const MOST_STOPS: usize = 24;
/// Packets before a note that are drawn with what follows it.
const BEFORE_NOTE: usize = 2;

/// Pixels: left of the first lifeline, between two, right of the last.
const LEFT: i32 = 120;
const LANE: i32 = 150;
const RIGHT: i32 = 84;
/// Few lifelines stand further apart, as if there were so many at least.
const LANES_OF_ROOM: i32 = 5;
/// From one label to the next, from one arrow's end to the next, for a note or a gap.
const ROW: i32 = 18;
const END: i32 = 8;
const BAND: i32 = 30;
/// From an arrow's end to a label beside it.
const CLEAR: i32 = 20;
/// The head with the names.
const HEAD: i32 = 34;

/// A diagram.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    /// How many arrows it has.
    pub(super) arrows: usize,
    /// What the colours mean.
    pub(super) legend: String,
    /// The names of the lifelines, a picture as wide as the diagram.
    pub(super) lanes: String,
    /// The diagram.
    pub(super) svg: String,
    /// What is not in it, in words.
    pub(super) left_out: Vec<String>,
}

/// One packet at one lifeline: seen there, or on its way out and in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    lane: usize,
    /// The place in the recording, which is the order of time.
    at: usize,
}

/// How a packet's arrows end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
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
struct Line {
    points: Vec<Point>,
    end: End,
}

impl Line {
    fn arrows(&self) -> usize {
        self.points.len() - 1
            + usize::from(!matches!(self.end, End::Arrived | End::Dropped))
            + usize::from(self.points.len() == 1 && matches!(self.end, End::Arrived | End::Dropped))
    }
}

/// Draws a run with so many arrows at most.
pub(super) fn draw(recording: &Recording, ways: &[Journey], most: usize) -> Drawing {
    let lanes = Lanes::of(recording);
    let lines: Vec<Option<Line>> = {
        let wires = Wires::of(recording, ways, &lanes);
        ways.iter().map(|way| line(recording, way, &lanes, &wires)).collect()
    };
    let notes: Vec<&Note> = recording.notes.iter().take(MOST_NOTES).collect();
    let arrows: Vec<usize> = lines.iter().map(|line| line.as_ref().map_or(0, Line::arrows)).collect();
    let starts: Vec<Instant> = ways.iter().map(|way| recording.packets[way.stops[0]].now).collect();
    let chosen = choose(&arrows, &starts, &notes, most);

    let mut drawing = Drawing { lanes: heads(&lanes), ..Drawing::default() };
    let mut canvas = Canvas {
        recording,
        lanes: &lanes,
        y: HEAD / 2,
        last_time: i32::MIN,
        last_text: String::new(),
        times: String::new(),
        body: String::new(),
    };
    canvas.fill(ways, &lines, &chosen, &notes, &mut drawing);
    let (width, height) = (lanes.width(), canvas.y + ROW);
    let mut svg = format!(
        "<svg class=\"packets\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"group\" \
         aria-label=\"Packets in the order of time\">\n<path class=\"life\" d=\""
    );
    for lane in 0..lanes.names.len() {
        let _ = write!(svg, "M{} 0V{height}", lanes.x(lane));
    }
    let _ = write!(svg, "\"/>\n{}<g class=\"times\">{}</g>\n</svg>\n", canvas.body, canvas.times);
    drawing.svg = svg;

    let packets = arrows.iter().filter(|arrows| **arrows > 0).count();
    let drawn: usize =
        chosen.iter().map(|range| arrows[range.clone()].iter().filter(|a| **a > 0).count()).sum();
    if drawn < packets {
        drawing.left_out.push(format!(
            "{} of {} packets are drawn: the beginning, and what follows notes. All of them are in the capture files.",
            thousands(drawn as u64),
            thousands(packets as u64)
        ));
    }
    if recording.hosts.len() > MOST_LANES {
        drawing.left_out.push(format!("{} more hosts are not drawn.", recording.hosts.len() - MOST_LANES));
    }
    let notes = (recording.notes.len() - notes.len()) as u64 + recording.notes_left_out;
    if notes > 0 {
        drawing.left_out.push(format!("{} more notes are not shown.", thousands(notes)));
    }
    drawing
}

/// Lifelines: those that have names, or all where none has.
struct Lanes {
    names: Vec<String>,
    of: BTreeMap<HostId, usize>,
}

impl Lanes {
    fn of(recording: &Recording) -> Self {
        let mut hosts: Vec<HostId> = recording.hosts.iter().map(|(host, _)| *host).collect();
        if hosts.is_empty() {
            hosts = recording.packets.iter().map(|packet| packet.host).collect();
            hosts.sort();
            hosts.dedup();
        }
        hosts.truncate(MOST_LANES);
        let names = hosts.iter().map(|host| crate::pcap::host_name(recording, *host)).collect();
        Self { names, of: hosts.into_iter().enumerate().map(|(lane, host)| (host, lane)).collect() }
    }

    fn get(&self, host: HostId) -> Option<usize> {
        self.of.get(&host).copied()
    }

    fn x(&self, lane: usize) -> i32 {
        LEFT + self.between() * lane as i32
    }

    /// From one lifeline to the next.
    fn between(&self) -> i32 {
        let gaps = (self.names.len() as i32 - 1).max(1);
        (LANE * (LANES_OF_ROOM - 1) / gaps).clamp(LANE, LANE * 3 / 2)
    }

    fn width(&self) -> i32 {
        self.x(self.names.len().saturating_sub(1)) + RIGHT
    }
}

/// Where interfaces lead, as far as packets have shown.
struct Wires(BTreeMap<(Option<InterfaceId>, HostId), usize>);

impl Wires {
    fn of(recording: &Recording, ways: &[Journey], lanes: &Lanes) -> Self {
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
fn line(recording: &Recording, way: &Journey, lanes: &Lanes, wires: &Wires) -> Option<Line> {
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
fn choose(arrows: &[usize], starts: &[Instant], notes: &[&Note], most: usize) -> Vec<Range<usize>> {
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

fn heads(lanes: &Lanes) -> String {
    let width = lanes.width();
    let mut svg =
        format!("<svg class=\"heads\" width=\"{width}\" height=\"{HEAD}\" viewBox=\"0 0 {width} {HEAD}\">\n");
    for (lane, name) in lanes.names.iter().enumerate() {
        let (x, y, half) = (lanes.x(lane), HEAD / 2, LANE / 2 - 6);
        let _ = writeln!(
            svg,
            "<g><title>{}</title><rect x=\"{}\" y=\"4\" width=\"{}\" height=\"{}\" rx=\"5\"/>\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
            escape(name),
            x - half,
            2 * half,
            HEAD - 8,
            y + 4,
            escape(&shortened(name, 20)),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// What happens next from top to bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Note(usize),
    Point { line: usize, point: usize, lane: usize },
}

struct Canvas<'a> {
    recording: &'a Recording,
    lanes: &'a Lanes,
    y: i32,
    /// Where a time was last written.
    last_time: i32,
    last_text: String,
    times: String,
    body: String,
}

impl Canvas<'_> {
    fn fill(
        &mut self,
        ways: &[Journey],
        lines: &[Option<Line>],
        chosen: &[Range<usize>],
        notes: &[&Note],
        drawing: &mut Drawing,
    ) {
        let mut sorts: Vec<Sort> = Vec::new();
        let mut lost = [false; 2];
        for (nth, range) in chosen.iter().enumerate() {
            let before = nth.checked_sub(1).and_then(|nth| chosen.get(nth)).map_or(0, |range| range.end);
            self.gap(range.start - before);
            // Notes are drawn where their packets are.
            let from = if nth == 0 { None } else { Some(self.start(ways, range.start)) };
            let next = chosen.get(nth + 1).map(|next| self.start(ways, next.start));
            let within = |note: &Note| {
                from.is_none_or(|from| note.now >= from) && next.is_none_or(|next| note.now < next)
            };
            let mut rows: Vec<(Instant, usize, Row)> = Vec::new();
            for (nth, note) in notes.iter().enumerate().filter(|(_, note)| within(note)) {
                rows.push((note.now, 0, Row::Note(nth)));
            }
            for line in range.clone() {
                let points = lines[line].iter().flat_map(|line| &line.points);
                for (point, Point { lane, at }) in points.copied().enumerate() {
                    rows.push((self.recording.packets[at].now, at, Row::Point { line, point, lane }));
                }
            }
            rows.sort();
            let ys = self.lay_out(&rows, notes);
            for line in range.clone() {
                if let (Some(drawn), Some(ys)) = (&lines[line], ys.get(&line)) {
                    let sort = self.packet(&ways[line], drawn, ys, drawing.arrows == 0);
                    drawing.arrows += drawn.arrows();
                    if !sorts.contains(&sort) {
                        sorts.push(sort);
                    }
                    lost[0] |= matches!(drawn.end, End::Lost(_));
                    lost[1] |= drawn.end == End::Dropped;
                }
            }
        }
        let drawn_to = chosen.last().map_or(0, |range| range.end);
        self.gap(lines.len() - drawn_to);
        sorts.sort();
        drawing.legend = legend(&sorts, lost);
    }

    fn start(&self, ways: &[Journey], way: usize) -> Instant {
        ways.get(way).map_or(Instant::ZERO, |way| self.recording.packets[way.stops[0]].now)
    }

    /// Gives each row its place, and writes notes and times. The places of packets' points.
    fn lay_out(&mut self, rows: &[(Instant, usize, Row)], notes: &[&Note]) -> BTreeMap<usize, Vec<i32>> {
        let mut places: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
        let mut last: Option<Instant> = None;
        let mut label = self.y;
        let mut tips: BTreeMap<usize, i32> = BTreeMap::new();
        for (now, _, row) in rows {
            self.y += last.map_or(0, |last| pause(now.saturating_since(last).as_micros()));
            last = Some(*now);
            match row {
                Row::Note(nth) => {
                    if let Some(note) = notes.get(*nth) {
                        self.note(note);
                        label = self.y;
                    }
                }
                Row::Point { line, point, lane } => {
                    self.y += END;
                    if *point == 0 {
                        // Below the last label, and clear of an arrow that ends here.
                        let tip = tips.get(lane).map_or(0, |tip| tip + CLEAR);
                        self.y = self.y.max(label + ROW).max(tip);
                        label = self.y;
                        self.time(*now);
                    }
                    tips.insert(*lane, self.y);
                    places.entry(*line).or_default().push(self.y);
                }
            }
        }
        places
    }

    fn time(&mut self, now: Instant) {
        let text = time(now);
        if self.y >= self.last_time.saturating_add(ROW - 2) && text != self.last_text {
            let _ = write!(self.times, "<text x=\"56\" y=\"{}\">{text}</text>", self.y + 4);
            (self.last_time, self.last_text) = (self.y, text);
        }
    }

    fn note(&mut self, note: &Note) {
        let (top, width) = (self.y + 8, self.lanes.width());
        self.y = top + BAND - 8;
        let lane = note.host.and_then(|host| self.lanes.get(host));
        let x = lane.map_or(LEFT - 40, |lane| self.lanes.x(lane));
        let who =
            note.host.map(|host| crate::pcap::host_name(self.recording, host) + ": ").unwrap_or_default();
        let text = who + &note.text;
        let room = ((width - x) / 7).max(24) as usize;
        // What would not fit to the right of its lifeline stands as far left as needed.
        let shown = shortened(&text, 90);
        let length = shown.chars().count() as i32 * 7;
        let x_text = if shown.chars().count() > room { (width - length).max(LEFT - 48) } else { x + 10 };
        let _ = write!(
            self.body,
            "<g class=\"note\"><title>{}: {}</title><rect x=\"64\" y=\"{top}\" width=\"{}\" height=\"20\"/>",
            time(note.now),
            escape(&shortened(&text, 400)),
            width - 64,
        );
        if lane.is_some() {
            let _ = write!(self.body, "<circle cx=\"{x}\" cy=\"{}\" r=\"4\"/>", top + 10);
        }
        let _ = writeln!(self.body, "<text x=\"{x_text}\" y=\"{}\">{}</text></g>", top + 14, escape(&shown));
        let _ = write!(self.times, "<text x=\"56\" y=\"{}\">{}</text>", top + 14, time(note.now));
        (self.last_time, self.last_text) = (top + 10, time(note.now));
    }

    /// Packets that are not drawn.
    fn gap(&mut self, packets: usize) {
        if packets == 0 {
            return;
        }
        self.y += BAND;
        let (y, width) = (self.y, self.lanes.width());
        let _ = writeln!(
            self.body,
            "<g class=\"gap\"><rect x=\"64\" y=\"{}\" width=\"{}\" height=\"22\"/><text x=\"{}\" y=\"{}\">{} more \
             packets, not drawn</text></g>",
            y - 11,
            width - 64,
            LEFT - 40,
            y + 4,
            thousands(packets as u64),
        );
        self.y += BAND / 2;
        self.last_text.clear();
    }

    /// Draws a packet's arrows. The first of a diagram can be reached by keyboard, and the others from there.
    fn packet(&mut self, way: &Journey, line: &Line, ys: &[i32], first: bool) -> Sort {
        let told = describe(&self.recording.packets[line.points[0].at]);
        let mut class = sort_class(told.sort).to_owned();
        if matches!(line.end, End::Lost(_) | End::Dropped) {
            class.push_str(" gone");
        }
        let _ = write!(
            self.body,
            "<g class=\"j {class}\" tabindex=\"{}\"><title>{}</title>",
            if first { 0 } else { -1 },
            escape(&self.detail(way, &told.detail)),
        );
        let x = |lane: usize| self.lanes.x(lane);
        let mut towards = None;
        for (pair, y) in line.points.windows(2).zip(ys.windows(2)) {
            let (from, to) = (x(pair[0].lane), x(pair[1].lane));
            towards.get_or_insert(to - from);
            arrow(&mut self.body, (from, y[0]), (to, y[1]), 0);
        }
        let (last, y) = (x(line.points[line.points.len() - 1].lane), ys[ys.len() - 1]);
        let toward = |lane: usize| if x(lane) < last { -1 } else { 1 };
        let single = line.points.len() == 1;
        match line.end {
            End::Lost(lane) => {
                let to = last + (x(lane) - last) * 5 / 9 + if x(lane) == last { LANE / 2 } else { 0 };
                towards.get_or_insert(to - last);
                arrow(&mut self.body, (last, y), (to, y + 5), 1);
                cross(&mut self.body, to, y + 5);
            }
            End::Open(lane) => {
                let to = last + toward(lane) * LANE / 2;
                towards.get_or_insert(to - last);
                arrow(&mut self.body, (last, y), (to, y + 4), 2);
            }
            // Nobody saw it set out.
            End::Arrived | End::Dropped if single => {
                arrow(&mut self.body, (last - 36, y - 3), (last, y), 0);
                towards.get_or_insert(1);
            }
            End::Arrived | End::Dropped => {}
        }
        if line.end == End::Dropped {
            let _ = write!(
                self.body,
                "<circle class=\"x\" cx=\"{last}\" cy=\"{y}\" r=\"5.5\"/><path class=\"x\" d=\"M{} {}l8 8\"/>",
                last - 4,
                y - 4
            );
        }
        let (start, side) = (x(line.points[0].lane), towards.unwrap_or(1));
        let (x, anchor) = if side < 0 { (start - 9, " text-anchor=\"end\"") } else { (start + 9, "") };
        let mut label = told.label;
        if way.again {
            label.push_str(" (twice)");
        }
        if way.damaged {
            label.push_str(" (damaged)");
        }
        let _ = writeln!(
            self.body,
            "<text x=\"{x}\" y=\"{}\"{anchor}>{}</text></g>",
            ys[0] - 4,
            escape(&shortened(&label, 24))
        );
        told.sort
    }

    /// All that is known of a packet.
    fn detail(&self, way: &Journey, what: &str) -> String {
        let mut text = what.to_owned();
        let mut last_ends = String::new();
        for stop in way.stops.iter().take(MOST_STOPS) {
            let seen = &self.recording.packets[*stop];
            let did = match seen.sight {
                Sight::Sent => "sends",
                Sight::Arrived => "gets",
                Sight::Lost => "⇥ lost after",
                Sight::Dropped => "drops",
            };
            let _ = write!(
                text,
                "\n{}  {} {did}",
                time(seen.now),
                crate::pcap::host_name(self.recording, seen.host)
            );
            let ends = ends(&seen.packet);
            if ends != last_ends {
                let _ = write!(text, "  {ends}");
                last_ends = ends;
            }
        }
        if let Some(first) = way.stops.first() {
            let _ = write!(text, "\n{} B with all headers", self.recording.packets[*first].packet.len());
        }
        text
    }
}

/// How much room a pause gets: none below 10 µs, then more for each doubling.
fn pause(micros: u128) -> i32 {
    let doublings = (micros / 10).checked_ilog2().unwrap_or(0) as i32;
    (doublings * 3 / 2).min(40)
}

/// A line with a head, slanted as time goes by.
fn arrow(out: &mut String, from: (i32, i32), to: (i32, i32), kind: u8) {
    let class = ["a", "a cut", "a open"][usize::from(kind.min(2))];
    let back = if to.0 < from.0 { 7 } else { -7 };
    let _ = write!(out, "<path class=\"{class}\" d=\"M{} {}L{} {}", from.0, from.1, to.0, to.1);
    if kind == 0 {
        let _ = write!(out, "m{back} -4l{} 4l{back} 4", -back);
    }
    out.push_str("\"/>");
}

fn cross(out: &mut String, x: i32, y: i32) {
    let _ = write!(out, "<path class=\"x\" d=\"M{} {}l8 8m0 -8l-8 8\"/>", x - 4, y - 4);
}

fn sort_class(sort: Sort) -> &'static str {
    match sort {
        Sort::Hello => "hello",
        Sort::Reply => "reply",
        Sort::Data => "data",
        Sort::Ack => "ack",
        Sort::Tcp => "tcp",
        Sort::Stun => "stun",
        Sort::Icmp => "icmp",
        Sort::Other => "other",
    }
}

fn legend(sorts: &[Sort], lost: [bool; 2]) -> String {
    let mut list = String::from("<ul class=\"sorts\">");
    for sort in sorts {
        let name = match sort {
            Sort::Hello => "hello",
            Sort::Reply => "reply",
            Sort::Data => "data",
            Sort::Ack => "acknowledgement alone",
            Sort::Tcp => "TCP",
            Sort::Stun => "STUN",
            Sort::Icmp => "ICMP",
            Sort::Other => "other",
        };
        let _ = write!(list, "<li class=\"{}\"><i></i>{name}</li>", sort_class(*sort));
    }
    for (there, sign, name) in [(lost[0], "✗", "lost on the way"), (lost[1], "⊘", "dropped there")] {
        if there {
            let _ = write!(list, "<li class=\"end\"><b>{sign}</b>{name}</li>");
        }
    }
    list.push_str("</ul>");
    list
}

#[cfg(test)]
#[path = "sequence_tests.rs"]
mod tests;
