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

use super::lines::{End, LANE, Lanes, Line, MOST_LANES, Point, Wires, choose, line};
use super::{escape, shortened, thousands, time};

/// Notes that are drawn.
const MOST_NOTES: usize = 60;
/// Stops of one packet that are told.
const MOST_STOPS: usize = 24;

/// Pixels: from one label to the next, from one arrow's end to the next, for a note or a gap.
const ROW: i32 = 18;
const END: i32 = 8;
const BAND: i32 = 30;
/// From an arrow's end to a label beside it.
const CLEAR: i32 = 20;
/// Where notes begin that have no lifeline, and about how wide a letter of one is.
const NOTES_FROM: i32 = 80;
const LETTER: i32 = 7;
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
        body: String::new(),
        over: String::new(),
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
    let _ = write!(svg, "\"/>\n{}{}</svg>\n", canvas.body, canvas.over);
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
    body: String,
    /// What stands over all lines.
    over: String,
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
            let _ = writeln!(self.over, "<text class=\"time\" x=\"56\" y=\"{}\">{text}</text>", self.y + 4);
            (self.last_time, self.last_text) = (self.y, text);
        }
    }

    /// A band with what happened: beside its host's lifeline, where it fits there.
    fn note(&mut self, note: &Note) {
        let (top, width) = (self.y + 8, self.lanes.width());
        self.y = top + BAND - 8;
        let who = note.host.map(|host| self.recording.host_name(host) + ": ").unwrap_or_default();
        let text = who + &note.text;
        let shown = shortened(&text, ((width - NOTES_FROM) / LETTER).max(20) as usize);
        let length = shown.chars().count() as i32 * LETTER;
        let x = note.host.and_then(|host| self.lanes.get(host)).map(|lane| self.lanes.x(lane));
        let (at, anchor) = match x {
            Some(x) if x + 10 + length <= width => (x + 10, ""),
            Some(x) if x - 10 - length >= NOTES_FROM => (x - 10, " text-anchor=\"end\""),
            _ => (NOTES_FROM, ""),
        };
        let _ = writeln!(
            self.body,
            "<rect class=\"band\" x=\"64\" y=\"{top}\" width=\"{}\" height=\"20\"/>",
            width - 64
        );
        let over = &mut self.over;
        let (title, now) = (escape(&shortened(&text, 400)), time(note.now));
        let _ = write!(over, "<g class=\"note\"><title>{now}: {title}</title>");
        if let Some(x) = x {
            let _ = write!(over, "<circle cx=\"{x}\" cy=\"{}\" r=\"4\"/>", top + 10);
        }
        let _ = write!(over, "<text x=\"{at}\" y=\"{}\"{anchor}>{}</text></g>", top + 14, escape(&shown));
        let _ = writeln!(over, "<text class=\"time\" x=\"56\" y=\"{}\">{now}</text>", top + 14);
        (self.last_time, self.last_text) = (top + 10, now);
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
            NOTES_FROM,
            y + 4,
            thousands(packets as u64),
        );
        self.y += BAND / 2;
        self.last_text.clear();
    }

    /// Draws a packet's arrows. The first of a diagram can be reached by keyboard, and the others from there.
    fn packet(&mut self, way: &Journey, line: &Line, ys: &[i32], first: bool) -> Sort {
        let told = describe(&self.recording.packets[line.points[0].at]);
        let mut label = shortened(&told.label, 24);
        if way.again {
            label.push_str(" (twice)");
        }
        if way.damaged {
            label.push_str(" (damaged)");
        }
        let gone = if matches!(line.end, End::Lost(_) | End::Dropped) { " gone" } else { "" };
        let _ = write!(
            self.body,
            "<g class=\"j {}{gone}\" tabindex=\"{}\"><title>{}</title>",
            sort_class(told.sort),
            if first { 0 } else { -1 },
            escape(&self.detail(way, &told.detail)),
        );
        let mut arrows =
            Arrows { out: &mut self.body, shelf: label.chars().count() as i32 * 6 + 12, to_left: None };
        let x = |lane: usize| self.lanes.x(lane);
        for (pair, y) in line.points.windows(2).zip(ys.windows(2)) {
            arrows.draw("a", (x(pair[0].lane), y[0]), (x(pair[1].lane), y[1]));
        }
        let (last, y) = (x(line.points[line.points.len() - 1].lane), ys[ys.len() - 1]);
        let side = |lane: usize| if x(lane) < last { -1 } else { 1 };
        match line.end {
            End::Lost(lane) => {
                let room = if x(lane) == last { LANE } else { x(lane) - last };
                let to = (last + room * 5 / 9, y + 5);
                arrows.draw("a cut", (last, y), to);
                let _ =
                    write!(arrows.out, "<path class=\"x\" d=\"M{} {}l8 8m0 -8l-8 8\"/>", to.0 - 4, to.1 - 4);
            }
            End::Open(lane) => arrows.draw("a open", (last, y), (last + side(lane) * LANE / 2, y + 4)),
            // Nobody saw it set out.
            End::Arrived | End::Dropped if line.points.len() == 1 => {
                arrows.draw("a", (last - 36, y - 3), (last, y))
            }
            End::Arrived | End::Dropped => {}
        }
        let to_left = arrows.to_left.unwrap_or(false);
        if line.end == End::Dropped {
            let _ = write!(
                self.body,
                "<circle class=\"x\" cx=\"{last}\" cy=\"{y}\" r=\"5.5\"/><path class=\"x\" d=\"M{} {}l8 8\"/>",
                last - 4,
                y - 4
            );
        }
        let start = self.lanes.x(line.points[0].lane);
        let (x, anchor) = if to_left { (start - 9, " text-anchor=\"end\"") } else { (start + 9, "") };
        let _ =
            writeln!(self.body, "<text x=\"{x}\" y=\"{}\"{anchor}>{}</text></g>", ys[0] - 5, escape(&label));
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
            let _ = write!(text, "\n{}  {} {did}", time(seen.now), self.recording.host_name(seen.host));
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

/// Draws a packet's arrows one after another.
struct Arrows<'a> {
    out: &'a mut String,
    /// The first goes level as far as its label reaches, so that no line crosses it; then all go down with time.
    shelf: i32,
    /// Whether the first goes to the left.
    to_left: Option<bool>,
}

impl Arrows<'_> {
    fn draw(&mut self, class: &str, from: (i32, i32), to: (i32, i32)) {
        let (left, whole) = (to.0 < from.0, class == "a");
        let sign = if left { -1 } else { 1 };
        let _ = write!(self.out, "<path class=\"{class}\" d=\"M{} {}", from.0, from.1);
        let shelf = self.shelf.min((to.0 - from.0).abs() - 36);
        if self.to_left.is_none() && shelf > 0 {
            let _ = write!(self.out, "h{}", sign * shelf);
        }
        let _ = write!(self.out, "L{} {}", to.0, to.1);
        if whole {
            let _ = write!(self.out, "m{0} -4l{1} 4l{0} 4", -7 * sign, 7 * sign);
        }
        self.out.push_str("\"/>");
        self.to_left.get_or_insert(left);
    }
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
