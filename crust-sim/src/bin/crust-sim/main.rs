//! `crust-sim`: runs worlds, and tells what became of them.
//!
//! - `crust-sim matrix` lets every kind of NAT meet every other.
//! - `crust-sim population` lets pairs of sites meet that are drawn by measured shares.
//! - `crust-sim run` plays a scenario file.
//! - `crust-sim sweep` runs a swarm for each seed of a range, `merge` joins what shards of a sweep have printed,
//!   `replay` runs one seed again.
//!
//! Standard output carries tables for people or, with `--json`, one JSON object a line; progress and failures go to
//! standard error. The exit code says what became of it:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done, and all held |
//! | 1 | done, and something did not hold: a seed failed, an expectation was not met |
//! | 2 | bad input: options, a file that is wrong or missing |
//! | 3 | a file, or standard output, cannot be written |
//!
//! The life of a command: [`args`] reads the command line, the subcommand's own file does what it asks for, over many
//! seeds by [`work`], and says so through [`output`]; what people look at afterwards is written by [`recording`].
#![forbid(unsafe_code)]

mod args;
mod benchmark;
mod failure;
mod figures;
mod matrix;
mod merge;
mod output;
mod population;
mod range;
mod recording;
mod replay;
mod run;
mod source;
mod stopwatch;
mod sweep;
mod table;
mod tally;
mod words;
mod work;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::{Cli, Command};
use crate::failure::{Failure, Kind};
use crate::output::Output;

/// What became of a command that could do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// All held.
    Held,
    /// Something did not.
    Broken,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let out = Output::new(cli.common.json, cli.common.quiet);
    match start(cli.command, &out).and_then(|verdict| out.check().map(|()| verdict)) {
        Ok(Verdict::Held) => ExitCode::SUCCESS,
        Ok(Verdict::Broken) => ExitCode::FAILURE,
        Err(failure) => {
            out.fail(&failure);
            failure.exit()
        }
    }
}

fn start(command: Command, out: &Output) -> Result<Verdict, Failure> {
    match command {
        Command::Matrix(args) => matrix::run(&args, out),
        Command::Population(args) => population::run(&args, out),
        Command::Run(args) => run::run(&args, out),
        Command::Sweep(args) => sweep::run(&args, out),
        Command::Merge(args) => merge::run(&args, out),
        Command::Replay(args) => replay::run(&args, out),
    }
}

/// What is said of a command line that makes no sense: one line, as of every other failure.
fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                ExitCode::from(Kind::Output.exit())
            }
            _ => ExitCode::SUCCESS,
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Nothing was asked for: the help is the answer, but it is not what a script wants.
            let _ = error.print();
            ExitCode::from(Kind::Usage.exit())
        }
        _ => {
            let text = error.to_string();
            let what = text.split("\n\nUsage:").next().unwrap_or_default();
            let what = what.split("\n\nFor more information").next().unwrap_or_default();
            let line = what.split_whitespace().collect::<Vec<_>>().join(" ");
            let line = line.strip_prefix("error: ").unwrap_or(&line);
            let failure = Failure::new(Kind::Usage, format!("{line} (crust-sim --help tells more)"));
            Output::new(std::env::args_os().any(|arg| arg == "--json"), false).fail(&failure);
            failure.exit()
        }
    }
}
