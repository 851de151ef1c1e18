//! `crust-sim population`: pairs of sites by measured shares.

use std::ops::ControlFlow;
use std::path::Path;

use crust_proto::Duration;
use crust_sim::meeting::{self, Meeting, Way};
use crust_sim::page::Page;
use crust_sim::population::{Mix, Population};
use serde::Serialize;

use crate::args::PopulationArgs;
use crate::failure::{Failure, Kind};
use crate::figures::{grouped, hex, millis, percentile, share};
use crate::output::Output;
use crate::recording::Files;
use crate::source::{self, Place};
use crate::{Verdict, table, words, work};

/// One line of `--json --each`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    seed: u64,
    hash: String,
    sites: [String; 2],
    way: Option<&'a str>,
    time_ms: Option<f64>,
    datagrams: u64,
    possible: Vec<String>,
}

/// The last line of `--json`. Shares are of all seeds.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    seeds: u64,
    mix: &'a str,
    connected: f64,
    direct: f64,
    relayed: f64,
    /// Times to connect of those that did.
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    /// Where the oracle knows a method for a direct path; and one that needs no luck.
    possible: f64,
    certain: f64,
    datagrams: u64,
}

/// What came of all seeds.
#[derive(Debug, Default)]
struct Total {
    seeds: u64,
    direct: u64,
    relayed: u64,
    possible: u64,
    certain: u64,
    datagrams: u64,
    times: Vec<Duration>,
    /// The first seed with which they did not meet.
    first_missed: Option<u64>,
}

/// Runs the population.
pub(crate) fn run(args: &PopulationArgs, out: &Output) -> Result<Verdict, Failure> {
    let population = read(args)?;
    let files = Files::create(&args.record)?;
    let mut total = Total::default();
    let progress = out.progress("meetings", args.seeds.count());
    work::run(
        args.seeds.iter(),
        args.jobs.jobs,
        |seed| meeting::of_population(*seed, &population, None),
        |meeting| {
            progress.step();
            if args.each {
                tell(&meeting, &population, out);
            }
            total.add(&meeting);
            if out.unheard() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    );
    drop(progress);
    let (p50, p95) = (percentile(&mut total.times, 50), percentile(&mut total.times, 95));
    let of_all = |part: u64| share(part, total.seeds);
    out.object(&Summary {
        seeds: total.seeds,
        mix: &args.mix,
        connected: of_all(total.direct + total.relayed),
        direct: of_all(total.direct),
        relayed: of_all(total.relayed),
        p50_ms: p50.map(millis),
        p95_ms: p95.map(millis),
        possible: of_all(total.possible),
        certain: of_all(total.certain),
        datagrams: total.datagrams,
    });
    let facts = facts(&total, [p50, p95], args);
    table::figures(&facts).iter().for_each(|line| out.line(line));
    out.say(format_args!("A model of a population, not a measurement of one. {}", words::today()));
    record(files, &total, &facts, &population, args, out)?;
    Ok(Verdict::Held)
}

fn read(args: &PopulationArgs) -> Result<Population, Failure> {
    let Some(path) = &args.file else {
        return match args.mix.as_str() {
            "a" => Ok(Population::standard(Mix::A)),
            "b" => Ok(Population::standard(Mix::B)),
            other => {
                let message =
                    format!("no mix {other:?}; there are a and b, or name a file of yours with --file");
                Err(Failure::new(Kind::Usage, message))
            }
        };
    };
    parse(path, &source::read(path)?, &args.mix)
}

fn parse(path: &Path, text: &str, mix: &str) -> Result<Population, Failure> {
    Population::parse(text, mix)
        .map_err(|error| Failure::at(Place::new(path, text, error.line, error.column), error.message))
}

impl Total {
    fn add(&mut self, meeting: &Meeting) {
        self.seeds += 1;
        self.datagrams += meeting.datagrams;
        self.times.extend(meeting.time);
        self.possible += u64::from(!meeting.possible.is_empty());
        self.certain += u64::from(meeting.possible.iter().any(|method| method.is_certain()));
        match meeting.way {
            Some(Way::Udp) => self.direct += 1,
            Some(Way::Relay) => self.relayed += 1,
            None => self.first_missed = self.first_missed.or(Some(meeting.seed)),
        }
    }
}

/// One meeting.
fn tell(meeting: &Meeting, population: &Population, out: &Output) {
    let sites =
        meeting::drawn(meeting.seed, population).map(|site| format!("{:?}", site.class).to_lowercase());
    let possible = words::methods(&meeting.possible);
    let outcome = match (meeting.way, meeting.time) {
        (Some(way), Some(time)) => format!("{} after {} ms", words::way(way), millis(time)),
        _ => "not connected".to_owned(),
    };
    let best = possible.first().map_or("nothing", String::as_str);
    let [a, b] = &sites;
    out.line(format_args!("{:>8}  {a:<10} {b:<10}  {outcome:<26}  possible: {best}", meeting.seed));
    out.object(&Line {
        seed: meeting.seed,
        hash: hex(&meeting.hash),
        sites,
        way: meeting.way.map(words::way),
        time_ms: meeting.time.map(millis),
        datagrams: meeting.datagrams,
        possible,
    });
}

fn facts(
    total: &Total,
    [p50, p95]: [Option<Duration>; 2],
    args: &PopulationArgs,
) -> [(&'static str, String); 9] {
    let percent = |part: u64| format!("{:.1} %", share(part, total.seeds) * 100.0);
    let time = |time: Option<Duration>| time.map_or("-".to_owned(), |time| format!("{} ms", millis(time)));
    [
        ("mix", args.mix.clone()),
        ("seeds", format!("{} ({})", args.seeds, grouped(total.seeds))),
        ("connected", percent(total.direct + total.relayed)),
        ("direct", percent(total.direct)),
        ("relayed", percent(total.relayed)),
        ("p50", time(p50)),
        ("p95", time(p95)),
        ("possible", format!("{} have a direct path by some method", percent(total.possible))),
        ("certain", format!("{} by one that needs no luck", percent(total.certain))),
    ]
}

/// One of them for people to look at: the first that did not meet, else the first.
fn record(
    files: Files,
    total: &Total,
    facts: &[(&str, String)],
    population: &Population,
    args: &PopulationArgs,
    out: &Output,
) -> Result<(), Failure> {
    let Some(recorder) = files.recorder() else { return Ok(()) };
    let seed = total.first_missed.unwrap_or(args.seeds.first);
    meeting::of_population(seed, population, Some(&recorder));
    let page = Page {
        title: format!("Population, mix {}", args.mix),
        subtitle: format!(
            "crust-sim population --mix {} --seeds {}; the run is seed {seed}",
            args.mix, args.seeds
        ),
        facts: facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        ..Page::default()
    };
    files.write(page, &format!("seed {seed}"), &recorder, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_population_that_is_wrong_is_shown_where() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/population.toml")).unwrap();
        assert!(parse(Path::new("p.toml"), &text, "b").is_ok());
        let broken = text.replacen("eim = 0.98", "eim = 0.97", 1);
        let failure = parse(Path::new("p.toml"), &broken, "a").unwrap_err();
        let place = failure.place.clone().unwrap();
        let line = broken.lines().position(|line| line.contains("eim = 0.97")).unwrap();
        assert_eq!(place.line, line + 1);
        assert!(failure.to_string().contains("add up"), "{failure}");
        assert!(parse(Path::new("p.toml"), &text, "c").unwrap_err().to_string().contains("one of a, b"));
    }

    #[test]
    fn shares_and_the_first_that_missed_are_counted() {
        let met = Meeting { way: Some(Way::Udp), time: Some(Duration::from_millis(5)), ..Meeting::default() };
        let mut total = Total::default();
        for seed in 3..13 {
            let way = if seed == 5 || seed == 9 { None } else { met.way };
            total.add(&Meeting { seed, way, time: way.and(met.time), datagrams: 2, ..Meeting::default() });
        }
        total.add(&Meeting { way: Some(Way::Relay), ..met });
        assert_eq!((total.seeds, total.direct, total.relayed), (11, 8, 1));
        assert_eq!((total.first_missed, total.times.len(), total.datagrams), (Some(5), 9, 20));
    }

    #[test]
    fn what_is_possible_with_luck_alone_is_not_certain() {
        use crust_sim::oracle::Method::{BirthdayUdp, Open, PredictedUdp};
        let mut total = Total::default();
        for possible in [vec![], vec![BirthdayUdp], vec![PredictedUdp, BirthdayUdp], vec![Open, BirthdayUdp]]
        {
            total.add(&Meeting { possible, ..Meeting::default() });
        }
        assert_eq!((total.seeds, total.possible, total.certain), (4, 3, 1));
    }
}
