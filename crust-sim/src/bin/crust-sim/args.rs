//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use crust_sim::Kind;

use crate::range::{Seeds, Shard};

/// The exit codes, as the help tells them; [`Kind::exit`](crate::failure::Kind::exit) is where they are made.
const EXIT_CODES: &str = "\
Exit codes:
  0  done, and all held
  1  done, and something did not hold: a seed failed, an expectation was not met
  2  bad input: options, a file that is wrong or missing
  3  a file, or standard output, cannot be written

With --json every line on standard output is one JSON object; a command that cannot do what it was
asked for ends with {\"event\":\"error\",\"code\":\"...\",\"message\":\"...\"}.";

const EXAMPLES: &str = "\
Examples:
  crust-sim matrix                                   who meets whom, and how fast
  crust-sim population --mix b --seeds 0..5000       what share of pairs connects
  crust-sim run outage.toml                          play a scenario
  crust-sim sweep --seeds 0..1000                    a thousand worlds full of faults
  crust-sim replay 421                               the one that failed";

const MATRIX: &str = "\
Examples:
  crust-sim matrix
  crust-sim matrix --seeds 0..20 --jobs 4 --json     medians of twenty meetings a cell
  crust-sim matrix --html matrix.html                a heat map that leads to each meeting's packets
  crust-sim matrix --pair symmetric,open --pcap meeting.pcapng";

const POPULATION: &str = "\
Examples:
  crust-sim population --mix a --seeds 0..1000
  crust-sim population --file mine.toml --mix office --seeds 0..1000
  crust-sim population --seeds 17..18 --html one.html   look at one meeting

A result over a population is a model, never a field rate.";

const RUN: &str = "\
Examples:
  crust-sim run outage.toml
  crust-sim run outage.toml --seeds 0..200 --jobs 4  with other luck each time
  crust-sim run outage.toml --seed 17 --pcap outage.pcapng --html outage.html";

const SWEEP: &str = "\
Examples:
  crust-sim sweep --seeds 0..1000 --jobs 4
  crust-sim sweep --seeds 0..100 --speed             and how fast this machine is
  crust-sim sweep --seeds 0..1000 --shard 2/4 --json > shard2.jsonl
  crust-sim merge shard1.jsonl shard2.jsonl shard3.jsonl shard4.jsonl";

const MERGE: &str = "\
Examples:
  crust-sim merge shard*.jsonl
  crust-sim merge --json shard*.jsonl > whole.jsonl  the same lines as of one whole sweep";

const REPLAY: &str = "\
Examples:
  crust-sim replay 421
  crust-sim replay 421 --pcap 421.pcapng --html 421.html";

/// Runs worlds of links, NATs and faults, each from one seed, and tells what became of them.
#[derive(Debug, Parser)]
#[command(name = "crust-sim", version, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Let nodes behind every kind of NAT meet nodes behind every other.
    #[command(after_help = MATRIX)]
    Matrix(MatrixArgs),
    /// Let pairs of sites meet that are drawn by measured shares.
    #[command(after_help = POPULATION)]
    Population(PopulationArgs),
    /// Play a scenario file.
    #[command(after_help = RUN)]
    Run(RunArgs),
    /// Run a world full of faults for each seed of a range.
    #[command(after_help = SWEEP)]
    Sweep(SweepArgs),
    /// Join what the shards of a sweep have printed with --json.
    #[command(after_help = MERGE)]
    Merge(MergeArgs),
    /// Run one seed of a sweep again, twice, and tell everything.
    #[command(after_help = REPLAY)]
    Replay(ReplayArgs),
}

/// What all commands have.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Tell machines on standard output: one JSON object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but results and errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// `crust-sim matrix`.
#[derive(Debug, Args)]
pub(crate) struct MatrixArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Only these two kinds, the one that dials first named first.
    #[arg(long, value_name = "KIND,KIND", value_parser = pair)]
    pub(crate) pair: Option<[Kind; 2]>,
    #[command(flatten)]
    pub(crate) jobs: Jobs,
    #[command(flatten)]
    pub(crate) record: Record,
}

/// `crust-sim population`.
#[derive(Debug, Args)]
pub(crate) struct PopulationArgs {
    /// The mix of classes: a, or b, which is harder; or one of the file's.
    #[arg(long, value_name = "NAME", default_value = "a")]
    pub(crate) mix: String,
    /// Another population than the frozen one.
    #[arg(long, value_name = "POPULATION.toml")]
    pub(crate) file: Option<PathBuf>,
    /// One pair of sites for each seed from A up to, not including, B.
    #[arg(long, value_name = "A..B", default_value = "0..200")]
    pub(crate) seeds: Seeds,
    /// Tell of each seed, too.
    #[arg(long)]
    pub(crate) each: bool,
    #[command(flatten)]
    pub(crate) jobs: Jobs,
    #[command(flatten)]
    pub(crate) record: Record,
}

/// `crust-sim run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The scenario.
    #[arg(value_name = "SCENARIO.toml")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) jobs: Jobs,
    #[command(flatten)]
    pub(crate) record: Record,
}

/// `crust-sim sweep`.
#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// One swarm for each seed from A up to, not including, B.
    #[arg(long, value_name = "A..B")]
    pub(crate) seeds: Seeds,
    /// Only the ith of n shares of the seeds: those that leave the rest i when divided by n.
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    pub(crate) shard: Shard,
    /// Then measure how many datagrams a second one core moves through two NATs: sockets alone (wire), whole sessions
    /// with a cipher that does nothing (null), and encrypted. THOUSANDS of datagrams in each of three runs each.
    #[arg(
        long,
        value_name = "THOUSANDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "300",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub(crate) speed: Option<u32>,
    #[command(flatten)]
    pub(crate) jobs: Jobs,
}

/// `crust-sim merge`.
#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// What `crust-sim sweep --json` has printed, one file for each shard.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// `crust-sim replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The seed.
    #[arg(value_parser = seed)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) record: Record,
}

/// Which seeds.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// With this seed [default: 0, or the scenario's].
    #[arg(long, value_name = "N", value_parser = seed, conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,
    /// With every seed from A up to, not including, B.
    #[arg(long, value_name = "A..B")]
    pub(crate) seeds: Option<Seeds>,
}

/// How many at once.
#[derive(Debug, Args)]
pub(crate) struct Jobs {
    /// Run so many worlds at the same time; what is printed is the same.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: u16,
}

/// What is left to look at.
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// Write the packets for Wireshark, and what was in them to a second file: x.pcapng and x.contents.pcapng. Of
    /// several runs it is the first that failed, else the first.
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Write a page with sequence diagrams and plots.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a seed, a whole number from 0 on, at most {}", u64::MAX))
}

fn pair(text: &str) -> Result<[Kind; 2], String> {
    let (a, b) = text.split_once(',').ok_or("expected two kinds, such as symmetric,open")?;
    let kind = |name: &str| name.trim().parse::<Kind>().map_err(|error| error.to_string());
    Ok([kind(a)?, kind(b)?])
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
