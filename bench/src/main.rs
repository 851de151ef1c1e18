//! Measures crust side by side with its peers: CPU seconds first, since those can be compared on a machine that
//! others use too. See the README.
#![forbid(unsafe_code)]

mod peer;
mod report;
mod role;
mod run;
mod usage;
mod workload;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::peer::{Cipher, Peer};
use crate::run::{Case, Manner};
use crate::workload::Workload;

/// Measures crust side by side with its peers, both ends on this machine.
#[derive(Parser)]
#[command(name = "crust-bench", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One-way transfer on one stream: CPU seconds per GiB.
    Bulk {
        /// How much to send, in bytes or as 512KiB, 64MiB, 1GiB.
        #[arg(long, default_value = "1GiB", value_parser = size)]
        size: u64,
        #[command(flatten)]
        options: Options,
    },
    /// Questions and answers, one at a time: round trips per CPU second.
    Small {
        /// Sizes of a question, and of its answer, in bytes.
        #[arg(long, value_delimiter = ',', default_value = "64,1KiB", value_parser = size)]
        sizes: Vec<u64>,
        /// How many to ask.
        #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
        round_trips: u64,
        #[command(flatten)]
        options: Options,
    },
    /// Connections, one at a time, each with a full handshake: connections per CPU second.
    Connect {
        /// How many to make.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
        connections: u64,
        #[command(flatten)]
        options: Options,
    },
    /// One end of a run.
    #[command(hide = true)]
    Role,
}

#[derive(Args)]
struct Options {
    /// How many times each peer has its turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rounds: u64,
    /// Who is measured, in this order.
    #[arg(long, value_delimiter = ',', default_value = "tcp,rustls,quinn,crust")]
    peers: Vec<Peer>,
    /// With which cipher; several are measured in turn.
    #[arg(long, value_delimiter = ',', default_value = "aes-256-gcm")]
    cipher: Vec<Cipher>,
    /// Against whom ratios are taken.
    #[arg(long, default_value = "rustls")]
    baseline: Peer,
    /// Keep the server on CPU 0 and the client on CPU 1.
    #[arg(long)]
    pin: bool,
    /// How many seconds one run may take.
    #[arg(long, default_value_t = 120)]
    limit: u64,
    /// Print a JSON object a line: each run, and last the summary.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match obey(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crust-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(command: Command) -> Result<()> {
    match command {
        Command::Bulk { size, options } => measure(&[Workload::Bulk { bytes: size }], &options),
        Command::Small { sizes, round_trips, options } => {
            const LARGEST: u64 = 64 << 10;
            ensure!(sizes.iter().all(|size| *size <= LARGEST), "`--sizes` goes up to 64KiB: more is `bulk`");
            let small = |size: &u64| Workload::Small { message_bytes: *size as usize, round_trips };
            measure(&sizes.iter().map(small).collect::<Vec<_>>(), &options)
        }
        Command::Connect { connections, options } => measure(&[Workload::Connect { connections }], &options),
        Command::Role => role::play(),
    }
}

fn measure(workloads: &[Workload], options: &Options) -> Result<()> {
    let Options { rounds, ref peers, ref cipher, baseline, pin, limit, json } = *options;
    let manner = Manner { rounds: usize::try_from(rounds)?, pin, limit: Duration::from_secs(limit) };
    let (peers, ciphers) = (distinct(peers), distinct(cipher));
    let cases: Vec<_> = distinct(workloads)
        .into_iter()
        .flat_map(|workload| ciphers.iter().map(move |&cipher| Case { workload, cipher }))
        .collect();
    let tell = |run: &run::Run| {
        match json {
            true => writeln!(io::stdout(), "{}", report::run_object(run))?,
            false => writeln!(io::stderr(), "{}", report::progress(run))?,
        }
        Ok(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let runs = runtime.block_on(run::rounds(&cases, &peers, manner, tell))?;
    let outcomes = report::outcomes(&runs, baseline);
    match json {
        true => writeln!(io::stdout(), "{}", report::summary_object(&outcomes, baseline, manner))?,
        false => write!(io::stdout(), "{}", report::tables(&outcomes, baseline))?,
    }
    Ok(())
}

/// The same without repetitions.
fn distinct<T: Copy + PartialEq>(values: &[T]) -> Vec<T> {
    let mut distinct = Vec::new();
    for value in values {
        if !distinct.contains(value) {
            distinct.push(*value);
        }
    }
    distinct
}

/// A number of bytes, one or more.
fn size(text: &str) -> Result<u64, String> {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("", 0)];
    let number = units.iter().find_map(|(unit, shift)| {
        let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        number.checked_mul(1_u64 << shift)
    });
    number
        .filter(|number| *number > 0)
        .ok_or_else(|| "a size is a number of bytes above zero, or such as 512KiB, 64MiB, 1GiB".into())
}
