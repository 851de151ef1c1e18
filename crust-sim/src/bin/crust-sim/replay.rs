//! `crust-sim replay`: one seed of a sweep again, twice, with all that is known of it.

use crust_sim::page::Page;
use crust_sim::swarm::{self, SwarmReport};
use serde::Serialize;

use crate::Verdict;
use crate::args::ReplayArgs;
use crate::failure::Failure;
use crate::figures::{grouped, hex, millis};
use crate::output::Output;
use crate::recording::Files;
use crate::table::{self, style};

/// The line of `--json`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    seed: u64,
    hash: String,
    datagrams: u64,
    elapsed_ms: f64,
    setting: &'a [String],
    failure: Option<&'a str>,
    /// Both runs had the same hash.
    deterministic: bool,
}

/// Runs the seed.
pub(crate) fn run(args: &ReplayArgs, out: &Output) -> Result<Verdict, Failure> {
    let files = Files::create(&args.record)?;
    let first = swarm::run(args.seed, None);
    // The recorded one is the second: that recording changes nothing is held to as well.
    let recorder = files.recorder();
    let again = swarm::run(args.seed, recorder.as_ref());
    let verdict = tell(&first, &again, out);
    if let Some(recorder) = recorder {
        let page = Page {
            title: format!("Seed {}", first.seed),
            subtitle: format!("crust-sim replay {}", first.seed),
            facts: told(&first, &facts(&first)),
            ..Page::default()
        };
        files.write(page, &format!("seed {}", first.seed), &recorder, out)?;
    }
    Ok(verdict)
}

/// Tells of a seed's run, and holds the second one to it.
fn tell(first: &SwarmReport, again: &SwarmReport, out: &Output) -> Verdict {
    let deterministic = first.hash == again.hash;
    out.object(&Line {
        seed: first.seed,
        hash: hex(&first.hash),
        datagrams: first.datagrams,
        elapsed_ms: millis(first.elapsed),
        setting: &first.setting,
        failure: first.failure.as_deref(),
        deterministic,
    });
    let facts = facts(first);
    for line in &first.setting {
        out.line(line);
    }
    table::figures(&facts).iter().for_each(|line| out.line(line));
    match &first.failure {
        None => out.line(style::good().apply_to("all held")),
        Some(failure) => out.warn(format_args!("seed {} failed: {failure}", first.seed)),
    }
    if !deterministic {
        let (one, other) = (hex(&first.hash), hex(&again.hash));
        out.warn(format_args!(
            "two runs of seed {} differ: {one} and {other}; something in it depends on more than the seed, which is \
             a defect of crust-sim's",
            first.seed
        ));
    }
    let held = first.failure.is_none() && deterministic;
    if held { Verdict::Held } else { Verdict::Broken }
}

fn facts(report: &SwarmReport) -> [(&'static str, String); 4] {
    [
        ("seed", report.seed.to_string()),
        ("datagrams", grouped(report.datagrams)),
        ("elapsed", format!("{} ms of the world's time", millis(report.elapsed))),
        ("hash", hex(&report.hash)),
    ]
}

/// The same for the page, with the setting and how it ended.
fn told(report: &SwarmReport, facts: &[(&str, String)]) -> Vec<(String, String)> {
    let outcome = ("outcome", report.failure.clone().unwrap_or("all held".to_owned()));
    let setting = report.setting.iter().map(|line| ("setting", line.clone()));
    let all = [outcome].into_iter().chain(facts.iter().cloned()).chain(setting);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_holds_where_its_run_does_and_is_the_same_again() {
        let out = Output::new(false, true);
        let held = SwarmReport::default();
        let other = SwarmReport { hash: [1; 32], ..held.clone() };
        let failed = SwarmReport { failure: Some("it is odd".to_owned()), ..held.clone() };
        assert_eq!(tell(&held, &held, &out), Verdict::Held);
        assert_eq!(tell(&held, &other, &out), Verdict::Broken);
        assert_eq!(tell(&failed, &failed, &out), Verdict::Broken);
    }
}
