//! `crust`: sends files from one computer to another, encrypted, directly, with no server in between.
//!
//! - `crust id` prints this node's id.
//! - `crust send FILE` serves a file and prints the contact to give to whoever shall have it.
//! - `crust get CONTACT` fetches it; cut off, it goes on where it was.
//! - `crust demo` connects two nodes over loopback and measures.
//!
//! People are spoken to on standard error; standard output carries what may be piped on or, with `--json`, one
//! JSON object a line. A failure is one line, `crust: ...`, and an exit code:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | a defect in crust, or a system that denies something basic |
//! | 2 | bad input: options, a contact that is mistyped or of another network, no such file, a bad key |
//! | 3 | no connection: nobody answers, somebody else answers, no socket |
//! | 4 | the transfer failed at the other side, was refused by it, or the connection was lost |
//! | 5 | a local file: no space, exists already, no permission, changed while being sent |
//! | 6 | what arrived is not what was offered |
//! | 130 | interrupted |
//!
//! The life of a transfer: [`send`] and [`get`] set up a node each ([`setup`]) and open one stream; on it
//! [`serve`] and [`fetch`] speak the file [`protocol`], the one reading a [`source`], the other filling a
//! [`destination`], and whatever ends it early becomes a [`failure`] that the other side hears of, too.
#![forbid(unsafe_code)]

mod args;
mod demo;
mod destination;
mod ending;
mod failure;
mod fetch;
mod get;
mod id;
mod interrupt;
mod meter;
mod name;
mod output;
mod pace;
mod protocol;
mod qr;
mod report;
mod send;
mod serve;
mod setup;
mod source;
mod trouble;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::{Cli, Command};
use crate::failure::{Failure, Kind, plain};
use crate::interrupt::Interrupt;
use crate::output::Output;

/// How long threads that still read or write a file are waited for at the end.
const LAST_WRITES: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    if let Err(failure) = setup::logging() {
        Output::new(cli.common.json, cli.common.quiet).fail(&failure);
        return failure.exit();
    }
    let out = Arc::new(Output::new(cli.common.json, cli.common.quiet));
    match start(cli, &out).and_then(|()| out.check()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out.fail(&failure);
            failure.exit()
        }
    }
}

fn start(cli: Cli, out: &Arc<Output>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Kind::Internal, format!("cannot start threads: {}", plain(&error))))?;
    let result = runtime.block_on(run(cli, out));
    runtime.shutdown_timeout(LAST_WRITES);
    result
}

async fn run(cli: Cli, out: &Arc<Output>) -> Result<(), Failure> {
    let Cli { command, common } = cli;
    let interrupt = Interrupt::new()?;
    match command {
        Command::Id => id::run(&common, out),
        Command::Send(args) => send::run(args, &common, out, interrupt).await,
        Command::Get(args) => get::run(args, &common, out, interrupt).await,
        Command::Demo(args) => demo::run(&args, &common, out, interrupt).await,
    }
}

/// What is said of a command line that makes no sense: one line, as of every other failure.
fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::from(Kind::File.exit()),
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
            let failure = Failure::new(Kind::Usage, format!("{line} (crust --help tells more)"));
            Output::new(std::env::args_os().any(|arg| arg == "--json"), false).fail(&failure);
            failure.exit()
        }
    }
}

#[cfg(test)]
mod transfer_tests;
