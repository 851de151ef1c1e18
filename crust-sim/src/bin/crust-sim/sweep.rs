//! `crust-sim sweep`: a swarm for each seed of a range, or of a shard of it.
//!
//! It tells two kinds of speed. Datagrams of the swarms a second, by the wall and by the time that processors spent:
//! that is how fast *sweeps* go, with small worlds that are built and taken down, programs, encryption, and checks after
//! every step. With `--speed` also what one core of this machine moves when nothing but that is asked of it: the
//! [`benchmark`].

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crust_proto::Duration;
use crust_sim::swarm;
use serde::{Deserialize, Serialize};

use crate::args::SweepArgs;
use crate::failure::Failure;
use crate::figures::{grouped, hex, per_second, seconds};
use crate::output::Output;
use crate::range::{Seeds, Shard};
use crate::table::{self, style};
use crate::tally::Tally;
use crate::work::Effort;
use crate::{Verdict, benchmark, work};

/// One line of `--json`: one seed. `merge` reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedLine {
    pub(crate) seed: u64,
    pub(crate) hash: String,
    pub(crate) datagrams: u64,
    pub(crate) failure: Option<String>,
}

/// The last line of `--json`. `merge` reads it, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Summary {
    /// How many seeds were run.
    pub(crate) seeds: u64,
    /// How many of them failed.
    pub(crate) failed: u64,
    /// The hash over every seed and its hash.
    pub(crate) hash: String,
    pub(crate) datagrams: u64,
    /// Of the swarms, by the wall clock,
    pub(crate) datagrams_per_second: u64,
    /// and by the time that processors spent, where the system tells it.
    pub(crate) datagrams_per_cpu_second: Option<u64>,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: Option<f64>,
    /// The whole range, `A..B`.
    pub(crate) range: String,
    /// Which share of it, `I/N`.
    pub(crate) shard: String,
    /// With `--speed`: datagrams that one core moves a second, by each of the benchmark's names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) benchmark: Option<BTreeMap<String, u64>>,
}

/// How often each of the benchmark's figures is taken; the median is told.
const RUNS: u64 = 3;

/// Runs the sweep.
pub(crate) fn run(args: &SweepArgs, out: &Output) -> Result<Verdict, Failure> {
    let mut tally = Tally::default();
    let progress = out.progress("swarms", args.seeds.count_of(args.shard));
    let effort = work::run(
        args.seeds.of(args.shard),
        args.jobs.jobs,
        |seed| swarm::run(*seed, None),
        |report| {
            progress.step();
            tally.add(report.seed, &report.hash, report.datagrams, report.failure.is_some());
            let (seed, hash, datagrams) = (report.seed, hex(&report.hash), report.datagrams);
            tell(&SeedLine { seed, hash, datagrams, failure: report.failure }, out);
            if out.unheard() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    );
    drop(progress);
    let benchmark = args.speed.map(|thousands| measure(thousands, out));
    Ok(finish(&tally, effort, args.seeds, args.shard, benchmark, out))
}

fn measure(thousands: u32, out: &Output) -> BTreeMap<String, u64> {
    let names = benchmark::names();
    let progress = out.progress("measuring", names.len() as u64);
    let figures = names.map(|name| {
        let runs = benchmark::measure(name, RUNS, u64::from(thousands) * 1000);
        progress.step();
        (name.to_owned(), runs[runs.len() / 2].rate())
    });
    figures.into()
}

/// One seed.
pub(crate) fn tell(line: &SeedLine, out: &Output) {
    out.object(line);
    if let Some(failure) = &line.failure {
        out.warn(format_args!("seed {} failed: {failure}", line.seed));
        out.warn(format_args!("to see it alone: crust-sim replay {}", line.seed));
    }
}

/// All of them.
pub(crate) fn finish(
    tally: &Tally,
    effort: Effort,
    range: Seeds,
    shard: Shard,
    benchmark: Option<BTreeMap<String, u64>>,
    out: &Output,
) -> Verdict {
    let datagrams = tally.datagrams();
    let rate = |time: Duration| per_second(datagrams, time);
    out.object(&Summary {
        seeds: tally.seeds(),
        failed: tally.failed(),
        hash: hex(&tally.hash()),
        datagrams,
        datagrams_per_second: rate(effort.wall),
        datagrams_per_cpu_second: effort.cpu.map(rate),
        seconds: seconds(effort.wall),
        cpu_seconds: effort.cpu.map(seconds),
        range: range.to_string(),
        shard: shard.to_string(),
        benchmark: benchmark.clone(),
    });
    let failed = match tally.failed() {
        0 => style::good().apply_to("0".to_owned()),
        count => style::bad().apply_to(grouped(count)),
    };
    let share = if shard.of > 1 { format!(", shard {shard}") } else { String::new() };
    let processors = effort
        .cpu
        .map_or(String::new(), |cpu| format!(", {} a second of processor time", grouped(rate(cpu))));
    let mut rows = vec![
        ("seeds", format!("{range}{share} ({})", grouped(tally.seeds()))),
        ("failed", failed.to_string()),
        ("datagrams", grouped(datagrams)),
        ("speed", format!("{} datagrams a second in swarms{processors}", grouped(rate(effort.wall)))),
        ("time", format!("{} s", seconds(effort.wall))),
        ("hash", hex(&tally.hash())),
    ];
    if let Some(benchmark) = benchmark {
        let each = benchmark.iter().map(|(name, rate)| format!("{} {name}", grouped(*rate)));
        let each = each.collect::<Vec<_>>().join(", ");
        rows.push(("benchmark", format!("datagrams a second of one core through two NATs: {each}")));
    }
    table::figures(&rows).iter().for_each(|line| out.line(line));
    if tally.failed() > 0 { Verdict::Broken } else { Verdict::Held }
}
