//! Recordings as one self-contained HTML page: a matrix as a heat map, sequence diagrams, plots.
//!
//! The page needs no network, no server and no script to be read: every picture is in it as it will be seen. Its script
//! shows a packet's details beside the diagram and values under the pointer, and lets arrow keys move. Light or
//! dark is the reader's system's choice.
//!
//! What is drawn is bounded, for a browser has to bear it: 300 arrows of a run, fewer each where there are many runs,
//! 16,000 in all; figures are gathered into 400 points a curve. What is left out is said on the page.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use crust_proto::{Duration, Instant};

use crate::pcap::{self, Capture};
use crate::record::Recording;
use crate::record::journey::{Journey, journeys};
use crate::world::Sight;

mod lines;
mod matrix;
mod plot;
mod sequence;

use sequence::Drawing;

/// Arrows in a run's diagram …
const MOST_ARROWS: usize = 300;
/// … and in all diagrams of a page, as long as each run has …
const MOST_ARROWS_IN_ALL: usize = 16_000;
/// … so many. Beyond that, diagrams are left out.
const LEAST_ARROWS: usize = 40;

/// A page.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// One line under it: how it was made.
    pub subtitle: String,
    /// Figures, each with its name.
    pub facts: Vec<(String, String)>,
    /// A heat map that leads to runs.
    pub matrix: Option<Matrix>,
    /// Runs with their names. The nth is to be found at `#run-n`, from 0.
    pub runs: Vec<(String, Recording)>,
}

/// A heat map.
#[derive(Clone, Debug, Default)]
pub struct Matrix {
    /// Names of rows and columns; the matrix is square.
    pub names: Vec<String>,
    /// Cells by row and column.
    pub cells: Vec<Vec<Cell>>,
}

/// A cell of it.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// What stands in it, short.
    pub label: String,
    /// What is told of it when asked.
    pub detail: String,
    /// From 0, bad, to 1, good; `None` where there is nothing to be had.
    pub score: Option<f32>,
    /// Which of [`Page::runs`] it leads to.
    pub run: Option<usize>,
}

/// Writes the page.
///
/// # Errors
///
/// What the writer says.
pub fn write(page: &Page, out: &mut dyn io::Write) -> io::Result<()> {
    let title = escape(&page.title);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"generator\" content=\"crust-sim\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body class=\"{}\">\n",
        include_str!("style.css"),
        if page.matrix.is_some() { "with-matrix" } else { "runs-only" },
    )?;
    write!(out, "<header class=\"top\" id=\"top\">\n<h1>{title}</h1>\n")?;
    if !page.subtitle.is_empty() {
        writeln!(out, "<p class=\"subtitle\">{}</p>", escape(&page.subtitle))?;
    }
    if !page.facts.is_empty() {
        out.write_all(b"<dl class=\"facts\">\n")?;
        for (name, value) in &page.facts {
            writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value))?;
        }
        out.write_all(b"</dl>\n")?;
    }
    out.write_all(b"</header>\n<main>\n")?;
    if let Some(matrix) = &page.matrix {
        matrix::write(matrix, page.runs.len(), out)?;
    } else if page.runs.len() > 1 {
        contents(page, out)?;
    }
    let mut left = MOST_ARROWS_IN_ALL;
    for nth in 0..page.runs.len() {
        // What earlier runs did not need, later ones may have.
        let share = (left / (page.runs.len() - nth)).clamp(LEAST_ARROWS, MOST_ARROWS).min(left);
        left -= run(page, nth, share, out)?;
    }
    write!(out, "</main>\n<script>\n{}</script>\n</body>\n</html>\n", include_str!("script.js"))
}

/// Writes all there is to look at of a run, for a test that fails: `STEM.pcapng`, `STEM.contents.pcapng` and `STEM.html`.
///
/// # Errors
///
/// What the system says of the files.
pub fn save(recording: &Recording, stem: impl AsRef<Path>) -> io::Result<()> {
    let stem = stem.as_ref();
    let create = |end: &str| {
        let mut name = stem.as_os_str().to_owned();
        name.push(end);
        File::create(name).map(BufWriter::new)
    };
    for (end, capture) in [(".pcapng", Capture::Packets), (".contents.pcapng", Capture::Contents)] {
        let mut file = create(end)?;
        pcap::write(recording, capture, &mut file)?;
        file.flush()?;
    }
    let title = stem.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut file = create(".html")?;
    write(&Page { runs: vec![(title.clone(), recording.clone())], title, ..Page::default() }, &mut file)?;
    file.flush()
}

/// Links to all runs, where no matrix leads to them.
fn contents(page: &Page, out: &mut dyn io::Write) -> io::Result<()> {
    out.write_all(b"<nav class=\"contents\" aria-label=\"Runs\">\n")?;
    for (nth, (name, _)) in page.runs.iter().enumerate() {
        writeln!(out, "<a href=\"#run-{nth}\">{}</a>", escape(name))?;
    }
    out.write_all(b"</nav>\n")
}

/// One run with its diagram and plots. How many arrows were drawn.
fn run(page: &Page, nth: usize, most: usize, out: &mut dyn io::Write) -> io::Result<usize> {
    let Some((name, recording)) = page.runs.get(nth) else { return Ok(0) };
    let ways = journeys(recording);
    let drawing = sequence::draw(recording, &ways, most);
    writeln!(out, "<section class=\"run\" id=\"run-{nth}\" data-arrows=\"{}\">", drawing.arrows)?;
    let step = |to: usize, text: &str| match page.runs.get(to) {
        Some((name, _)) => format!("<a href=\"#run-{to}\" title=\"{}\">{text}</a>", escape(name)),
        None => String::new(),
    };
    let (back, on) = (step(nth.wrapping_sub(1), "← previous"), step(nth + 1, "next →"));
    let up = if page.matrix.is_some() { "<a href=\"#matrix\">↑ matrix</a>" } else { "" };
    // A page of one run has its name already.
    if page.runs.len() > 1 || *name != page.title {
        writeln!(out, "<div class=\"head\"><h2>{}</h2><nav>{back}{up}{on}</nav></div>", escape(name))?;
    }
    summary(recording, &ways, out)?;
    out.write_all(b"<div class=\"pictures\">\n")?;
    diagram(recording, &drawing, out)?;
    out.write_all(b"<div class=\"aside\">\n<aside class=\"detail\" aria-live=\"polite\" hidden></aside>\n")?;
    plot::write(recording, out)?;
    out.write_all(b"</div>\n</div>\n</section>\n")?;
    Ok(drawing.arrows)
}

fn diagram(recording: &Recording, drawing: &Drawing, out: &mut dyn io::Write) -> io::Result<()> {
    out.write_all(b"<figure class=\"sequence\">\n<figcaption><h3>Packets</h3>")?;
    out.write_all(drawing.legend.as_bytes())?;
    out.write_all(b"</figcaption>\n")?;
    if drawing.arrows == 0 {
        let why = if recording.packets.is_empty() {
            "No packet was recorded."
        } else {
            "Not drawn: too many runs."
        };
        writeln!(out, "<p class=\"word\">{why}</p>")?;
    } else {
        let (lanes, svg) = (&drawing.lanes, &drawing.svg);
        writeln!(
            out,
            "<div class=\"scroll\" tabindex=\"0\">\n<div class=\"lanes\">{lanes}</div>\n{svg}</div>"
        )?;
    }
    for word in &drawing.left_out {
        writeln!(out, "<p class=\"word\">{}</p>", escape(word))?;
    }
    if recording.packets_left_out > 0 {
        let count = thousands(recording.packets_left_out);
        writeln!(out, "<p class=\"word\">{count} later sightings of packets were not recorded.</p>")?;
    }
    out.write_all(b"</figure>\n")
}

/// What one sees of a run at a glance.
fn summary(recording: &Recording, ways: &[Journey], out: &mut dyn io::Write) -> io::Result<()> {
    let end = |sight| {
        let ends = ways.iter().filter_map(|way| way.stops.last());
        ends.filter(|last| recording.packets[**last].sight == sight).count() as u64
    };
    let first = recording.packets.first().map(|packet| packet.now);
    let last = recording.packets.last().map(|packet| packet.now).max(recording.samples.last().map(|s| s.now));
    let mut chips = vec![("packets", thousands(ways.len() as u64), "")];
    if let (Some(first), Some(last)) = (first, last) {
        chips.push(("from first to last", time_of(last.saturating_since(first)), ""));
    }
    for (name, count) in [("lost", end(Sight::Lost)), ("dropped", end(Sight::Dropped))] {
        chips.push((name, thousands(count), if count > 0 { " bad" } else { "" }));
    }
    let mut line = String::new();
    for (name, value, class) in chips {
        let _ = write!(line, "<li class=\"{class}\"><b>{}</b> {name}</li>", escape(&value));
    }
    writeln!(out, "<ul class=\"summary\">{line}</ul>")
}

/// Text as it stands between tags and in quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // What HTML has no way to say.
            '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\x7f' => escaped.push('\u{fffd}'),
            char => escaped.push(char),
        }
    }
    escaped
}

/// At most so many characters of a text.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A time of the world, as read from the left edge.
fn time(now: Instant) -> String {
    time_of(now.saturating_since(Instant::ZERO))
}

fn time_of(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000_000 => format!("{}.{:01} ms", micros / 1000, micros % 1000 / 100),
        _ => format!("{}.{:03} s", micros / 1_000_000, micros % 1_000_000 / 1000),
    }
}

/// A number with its digits in groups, by narrow spaces.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
#[path = "browser_tests.rs"]
mod browser_tests;
#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
