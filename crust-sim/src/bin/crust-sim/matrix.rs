//! `crust-sim matrix`: every kind of NAT against every other.

use std::ops::ControlFlow;

use crust_proto::Duration;
use crust_sim::Kind;
use crust_sim::meeting::{self, Meeting, Way};
use crust_sim::oracle::Method;
use crust_sim::page::{Cell as PageCell, Matrix, Page};
use crust_sim::record::Recorder;
use serde::Serialize;

use crate::args::MatrixArgs;
use crate::failure::{Failure, Kind as FailureKind};
use crate::figures::{millis, percentile, share};
use crate::output::Output;
use crate::range::Seeds;
use crate::recording::{Files, small};
use crate::table::{Cell, lines, list, style};
use crate::{Verdict, words, work};

/// What came of one pair of kinds, over all seeds.
#[derive(Clone, Debug)]
struct Outcome {
    kinds: [Kind; 2],
    seeds: u64,
    times: Vec<Duration>,
    datagrams: Vec<u64>,
    way: Option<Way>,
    possible: Vec<Method>,
}

/// One line of `--json`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    a: &'a str,
    b: &'a str,
    seeds: u64,
    /// The share of seeds with which they met.
    connected: f64,
    way: Option<&'a str>,
    /// Medians: of the times of those that met, and of the datagrams of all.
    time_ms: Option<f64>,
    datagrams: Option<u64>,
    /// What the oracle holds possible, best first, and whether one of these needs no luck.
    possible: Vec<String>,
    certain: bool,
}

/// Runs the matrix.
pub(crate) fn run(args: &MatrixArgs, out: &Output) -> Result<Verdict, Failure> {
    if args.record.pcap.is_some() && args.pair.is_none() {
        let message = "--pcap is for one pair; name it with --pair, such as --pair symmetric,open";
        return Err(Failure::new(FailureKind::Usage, message));
    }
    let files = Files::create(&args.record)?;
    let seeds = args.which.seeds.unwrap_or(Seeds::one(args.which.seed.unwrap_or(0)));
    let names: Vec<Kind> = Kind::ALL.to_vec();
    let cells: Vec<[Kind; 2]> = match args.pair {
        Some(pair) => vec![pair],
        None => names.iter().flat_map(|a| names.iter().map(|b| [*a, *b])).collect(),
    };
    let mut outcomes = Vec::with_capacity(cells.len());
    let progress = out.progress("meetings", seeds.count().saturating_mul(cells.len() as u64));
    let items = cells.iter().flat_map(|cell| seeds.iter().map(move |seed| (*cell, seed)));
    work::run(
        items,
        args.jobs.jobs,
        |(kinds, seed)| (*kinds, meeting::of_kinds(*seed, *kinds, None)),
        |(kinds, meeting)| {
            progress.step();
            if meeting.seed == seeds.first {
                outcomes.push(Outcome::new(kinds));
            }
            if let Some(outcome) = outcomes.last_mut() {
                outcome.add(meeting);
                if outcome.seeds == seeds.count() {
                    out.object(&outcome.line());
                }
            }
            if out.unheard() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    );
    drop(progress);
    match args.pair {
        Some(_) => outcomes.iter_mut().for_each(|outcome| one(outcome, seeds, out)),
        None => table(&mut outcomes, seeds, out),
    }
    if files.wanted() {
        match args.pair {
            Some(pair) => record_one(files, pair, seeds, out)?,
            None => record_all(files, &mut outcomes, seeds, out)?,
        }
    }
    Ok(Verdict::Held)
}

impl Outcome {
    fn new(kinds: [Kind; 2]) -> Self {
        let (times, datagrams, possible) = (Vec::new(), Vec::new(), Vec::new());
        Self { kinds, seeds: 0, times, datagrams, way: None, possible }
    }

    fn add(&mut self, meeting: Meeting) {
        self.seeds += 1;
        self.times.extend(meeting.time);
        self.datagrams.push(meeting.datagrams);
        self.way = self.way.or(meeting.way);
        self.possible = meeting.possible;
    }

    fn time(&mut self) -> Option<Duration> {
        percentile(&mut self.times, 50)
    }

    fn connected(&self) -> f64 {
        share(self.times.len() as u64, self.seeds)
    }

    fn certain(&self) -> bool {
        self.possible.iter().any(|method| method.is_certain())
    }

    fn line(&mut self) -> Line<'static> {
        Line {
            a: self.kinds[0].name(),
            b: self.kinds[1].name(),
            seeds: self.seeds,
            connected: self.connected(),
            way: self.way.map(words::way),
            time_ms: self.time().map(millis),
            datagrams: percentile(&mut self.datagrams, 50),
            possible: words::methods(&self.possible),
            certain: self.certain(),
        }
    }

    /// What stands in the table, six characters at most.
    fn label(&mut self) -> String {
        match (self.time(), self.possible.first()) {
            (Some(time), _) => {
                let datagrams = percentile(&mut self.datagrams, 50).unwrap_or(0);
                let partly = if self.connected() < 1.0 { "~" } else { "" };
                format!("{partly}{}/{datagrams}", time.as_millis())
            }
            (None, Some(best)) => words::short_method(*best),
            (None, None) => "-".to_owned(),
        }
    }

    fn cell(&mut self) -> Cell {
        let colour = match (self.times.is_empty(), self.possible.is_empty(), self.certain()) {
            (false, ..) => style::good(),
            (true, true, _) => style::dim(),
            (true, false, true) => style::open(),
            (true, false, false) => style::bad(),
        };
        Cell::new(self.label(), colour)
    }

    /// All of it in a sentence.
    fn sentence(&mut self) -> String {
        let methods = words::methods(&self.possible);
        let possible = match methods.is_empty() {
            true => "nothing but a relay".to_owned(),
            false => methods.join(", "),
        };
        let datagrams = percentile(&mut self.datagrams, 50).unwrap_or(0);
        let met = match (self.time(), self.way) {
            (Some(time), Some(way)) => {
                format!("connected over {} after {} ms", words::way(way).to_uppercase(), millis(time))
            }
            _ => "not connected".to_owned(),
        };
        format!("{met}, {datagrams} datagrams; possible: {possible}")
    }
}

/// A pair by itself.
fn one(outcome: &mut Outcome, seeds: Seeds, out: &Output) {
    let [a, b] = outcome.kinds;
    out.line(format_args!("{a} with {b}: {}", outcome.sentence()));
    if seeds.count() > 1 {
        let percent = outcome.connected() * 100.0;
        out.line(format_args!("{percent:.1} % of {} seeds connected; medians", seeds.count()));
    }
}

fn table(outcomes: &mut [Outcome], seeds: Seeds, out: &Output) {
    let heading = Kind::ALL.iter().map(|kind| Cell::new(words::short_kind(*kind), style::head()));
    let mut rows: Vec<Vec<Cell>> =
        vec![[Cell::new("dials first", style::dim())].into_iter().chain(heading).collect()];
    for (kind, row) in Kind::ALL.iter().zip(outcomes.chunks_mut(Kind::ALL.len())) {
        let name = Cell::new(kind.name(), style::head());
        rows.push([name].into_iter().chain(row.iter_mut().map(Outcome::cell)).collect());
    }
    lines(&rows).iter().for_each(|line| out.line(line));
    out.line("");
    legend(outcomes, seeds).iter().for_each(|line| out.line(line));
    out.line("");
    out.line(words::today());
}

/// What the labels mean, as far as they occur.
fn legend(outcomes: &[Outcome], seeds: Seeds) -> Vec<String> {
    let count = seeds.count();
    let medians = if count > 1 { format!(", medians of {count} seeds") } else { String::new() };
    let mut rows = vec![(
        Cell::new("45/3", style::good()),
        format!("connected over UDP: milliseconds/datagrams{medians}"),
    )];
    if outcomes.iter().any(|outcome| (0.0..1.0).contains(&outcome.connected()) && !outcome.times.is_empty()) {
        rows.push((Cell::new("~45/3", style::good()), "the same, but not with every seed".to_owned()));
    }
    let failed = |outcome: &&Outcome| outcome.times.is_empty();
    let mut best: Vec<Method> =
        outcomes.iter().filter(failed).filter_map(|outcome| outcome.possible.first().copied()).collect();
    best.sort_unstable();
    best.dedup();
    rows.extend(best.into_iter().map(|method| {
        let colour = if method.is_certain() { style::open() } else { style::bad() };
        let luck = if method.is_certain() { "" } else { ", with luck" };
        let meaning = format!("not connected; possible: {}{luck}", words::told(method));
        (Cell::new(words::short_method(method), colour), meaning)
    }));
    if outcomes.iter().any(|outcome| failed(&outcome) && outcome.possible.is_empty()) {
        rows.push((Cell::new("-", style::dim()), "not connected; nothing but a relay would do".to_owned()));
    }
    list(&rows)
}

// -- what is left to look at --

fn record_one(files: Files, kinds: [Kind; 2], seeds: Seeds, out: &Output) -> Result<(), Failure> {
    let Some(recorder) = files.recorder() else { return Ok(()) };
    let seed = to_look_at(seeds, |seed| meeting::of_kinds(seed, kinds, None).way.is_none());
    let meeting = meeting::of_kinds(seed, kinds, Some(&recorder));
    let mut outcome = Outcome::new(kinds);
    outcome.add(meeting);
    let [a, b] = kinds;
    let page = Page {
        title: format!("{a} with {b}"),
        subtitle: format!("crust-sim matrix --pair {a},{b} --seed {seed}"),
        facts: vec![("outcome".to_owned(), outcome.sentence())],
        ..Page::default()
    };
    files.write(page, &format!("{a} with {b}"), &recorder, out)
}

/// The first that did not meet, else the first.
fn to_look_at(seeds: Seeds, missed: impl Fn(u64) -> bool) -> u64 {
    seeds.iter().find(|seed| missed(*seed)).unwrap_or(seeds.first)
}

fn record_all(files: Files, outcomes: &mut [Outcome], seeds: Seeds, out: &Output) -> Result<(), Failure> {
    let progress = out.progress("recording", outcomes.len() as u64);
    let (mut runs, mut cells) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        let recorder: Recorder = small();
        meeting::of_kinds(seeds.first, outcome.kinds, Some(&recorder));
        let [a, b] = outcome.kinds;
        cells.push(PageCell {
            label: outcome.label(),
            detail: format!("{a} with {b}: {}", outcome.sentence()),
            score: score(outcome),
            run: Some(runs.len()),
        });
        runs.push((format!("{a} with {b}"), recorder.recording()));
        progress.step();
    }
    drop(progress);
    let met = cells.iter().filter(|cell| cell.score == Some(1.0)).count();
    let page = Page {
        title: "Who meets whom".to_owned(),
        subtitle: format!("crust-sim matrix --seeds {seeds}; rows dial first"),
        facts: vec![
            ("pairs".to_owned(), cells.len().to_string()),
            ("connected".to_owned(), met.to_string()),
            ("seeds".to_owned(), seeds.to_string()),
            ("methods".to_owned(), words::today()),
        ],
        matrix: Some(Matrix {
            names: Kind::ALL.iter().map(|kind| kind.name().to_owned()).collect(),
            cells: cells.chunks(Kind::ALL.len()).map(<[PageCell]>::to_vec).collect(),
        }),
        runs,
    };
    files.write_page(&page, out)
}

/// From 1, all met, to 0, none did although there is a method; `None` where nothing but a relay would do.
fn score(outcome: &Outcome) -> Option<f32> {
    let met = outcome.connected() as f32;
    (met > 0.0 || !outcome.possible.is_empty()).then_some(met)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_told_by_the_medians_of_its_seeds() {
        let mut outcome = Outcome::new([Kind::Open; 2]);
        for (datagrams, millis) in [(90, Some(10)), (2, Some(70)), (5, None), (7, Some(20)), (3, None)] {
            let time = millis.map(Duration::from_millis);
            let way = time.map(|_| Way::Udp);
            outcome.add(Meeting { datagrams, time, way, ..Meeting::default() });
        }
        let line = outcome.line();
        assert_eq!((line.datagrams, line.time_ms, line.connected), (Some(5), Some(20.0), 0.6));
        assert_eq!(outcome.label(), "~20/5");
    }

    #[test]
    fn what_is_looked_at_is_the_first_seed_that_missed_or_else_the_first() {
        let seeds: Seeds = "3..9".parse().unwrap();
        assert_eq!(to_look_at(seeds, |seed| seed == 5 || seed == 7), 5);
        assert_eq!(to_look_at(seeds, |seed| seed == 9), 3);
    }
}
