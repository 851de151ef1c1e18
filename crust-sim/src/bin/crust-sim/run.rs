//! `crust-sim run`: a scenario file.

use std::ops::ControlFlow;

use crust_sim::page::Page;
use crust_sim::scenario::{Scenario, ScenarioReport};
use serde::Serialize;

use crate::args::RunArgs;
use crate::failure::Failure;
use crate::figures::{grouped, hex, millis};
use crate::output::Output;
use crate::range::Seeds;
use crate::recording::Files;
use crate::source::{self, Place};
use crate::table::{self, style};
use crate::tally::Tally;
use crate::{Verdict, work};

/// One line of `--json`: one run.
#[derive(Debug, Serialize)]
struct Line<'a> {
    scenario: &'a str,
    seed: u64,
    hash: String,
    elapsed_ms: f64,
    datagrams: u64,
    log: Vec<LogLine<'a>>,
    /// What did not hold; none: it passed.
    failures: &'a [String],
}

#[derive(Debug, Serialize)]
struct LogLine<'a> {
    ms: f64,
    text: &'a str,
}

/// The last line of `--json`, of several runs.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    scenario: &'a str,
    seeds: u64,
    failed: u64,
    hash: String,
    datagrams: u64,
}

/// Plays the scenario.
pub(crate) fn run(args: &RunArgs, out: &Output) -> Result<Verdict, Failure> {
    let text = source::read(&args.file)?;
    let scenario = Scenario::parse(&text).map_err(|error| {
        Failure::at(Place::new(&args.file, &text, error.line, error.column), error.message)
    })?;
    let files = Files::create(&args.record)?;
    let one = args.which.seed.or(scenario.seed()).unwrap_or(0);
    let seeds = args.which.seeds.unwrap_or(Seeds::one(one));
    let many = args.which.seeds.is_some();
    let mut tally = Tally::default();
    let mut first_failed = None;
    let progress = out.progress("runs", seeds.count());
    work::run(
        seeds.iter(),
        args.jobs.jobs,
        |seed| scenario.run(*seed, None),
        |report| {
            progress.step();
            let failed = !report.failures.is_empty();
            tally.add(report.seed, &report.hash, report.datagrams, failed);
            first_failed = first_failed.or(failed.then_some(report.seed));
            out.object(&line(&scenario, &report));
            if !many {
                log(&scenario, &report, out);
            }
            complain(args, &report, many, out);
            if out.unheard() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    );
    drop(progress);
    if many {
        summary(&scenario, &tally, seeds, out);
    }
    if let Some(recorder) = files.recorder() {
        let seed = first_failed.unwrap_or(seeds.first);
        let report = scenario.run(seed, Some(&recorder));
        files.write(page(args, &scenario, &report), &format!("seed {seed}"), &recorder, out)?;
    }
    Ok(if tally.failed() > 0 { Verdict::Broken } else { Verdict::Held })
}

fn line<'a>(scenario: &'a Scenario, report: &'a ScenarioReport) -> Line<'a> {
    Line {
        scenario: scenario.name(),
        seed: report.seed,
        hash: hex(&report.hash),
        elapsed_ms: millis(report.elapsed),
        datagrams: report.datagrams,
        log: report.log.iter().map(|(at, text)| LogLine { ms: millis(*at), text }).collect(),
        failures: &report.failures,
    }
}

/// What happened, for people.
fn log(scenario: &Scenario, report: &ScenarioReport, out: &Output) {
    for (at, text) in &report.log {
        let time = format!("{:>12.3}", at.as_secs_f64());
        out.line(format_args!("{} s  {text}", style::dim().apply_to(time)));
    }
    let verdict = match report.failures.len() {
        0 => style::good().apply_to("passed".to_owned()),
        1 => style::bad().apply_to("1 expectation did not hold".to_owned()),
        count => style::bad().apply_to(format!("{count} expectations did not hold")),
    };
    let (elapsed, datagrams) = (report.elapsed.as_secs_f64(), grouped(report.datagrams));
    out.line(format_args!(
        "{}: {verdict} (seed {}, {elapsed:.3} s of the world's time, {datagrams} datagrams)",
        scenario.name(),
        report.seed
    ));
}

fn complain(args: &RunArgs, report: &ScenarioReport, many: bool, out: &Output) {
    for failure in &report.failures {
        out.warn(format_args!("seed {}: {failure}", report.seed));
    }
    if many && !report.failures.is_empty() {
        let file = args.file.display();
        out.warn(format_args!("to see it alone: crust-sim run {file} --seed {}", report.seed));
    }
}

fn summary(scenario: &Scenario, tally: &Tally, seeds: Seeds, out: &Output) {
    out.object(&Summary {
        scenario: scenario.name(),
        seeds: tally.seeds(),
        failed: tally.failed(),
        hash: hex(&tally.hash()),
        datagrams: tally.datagrams(),
    });
    let rows = [
        ("scenario", scenario.name().to_owned()),
        ("seeds", format!("{seeds} ({})", grouped(tally.seeds()))),
        ("failed", grouped(tally.failed())),
        ("datagrams", grouped(tally.datagrams())),
        ("hash", hex(&tally.hash())),
    ];
    table::figures(&rows).iter().for_each(|line| out.line(line));
}

fn page(args: &RunArgs, scenario: &Scenario, report: &ScenarioReport) -> Page {
    let outcome = match report.failures.is_empty() {
        true => "passed".to_owned(),
        false => report.failures.join("; "),
    };
    Page {
        title: scenario.name().to_owned(),
        subtitle: format!("crust-sim run {} --seed {}", args.file.display(), report.seed),
        facts: vec![
            ("outcome".to_owned(), outcome),
            ("seed".to_owned(), report.seed.to_string()),
            ("hash".to_owned(), hex(&report.hash)),
            ("elapsed".to_owned(), format!("{} ms", millis(report.elapsed))),
            ("datagrams".to_owned(), grouped(report.datagrams)),
        ],
        ..Page::default()
    }
}
