//! The command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// The exit codes, as the help tells them; [`Kind::exit`](crate::failure::Kind::exit) is where they are made.
const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    a defect in crust, or a system that denies something basic
  2    bad input: options, a mistyped contact or one of another network, no such file, a bad key
  3    no connection: nobody answers, somebody else answers, no socket
  4    the transfer failed at the other side, was refused by it, or the connection was lost
  5    a local file: no space, exists already, no permission, changed while being sent
  6    what arrived is not what was offered (nothing of it is kept)
  130  interrupted (Ctrl-C or a termination signal); what has arrived is kept

With --json every line on standard output is one JSON object; a failure is
{\"event\":\"error\",\"code\":\"...\",\"message\":\"...\"}.

Environment:
  CRUST_NETWORK_SECRET  the network's passphrase
  RUST_LOG              logs on standard error, for example crust_async=debug";

/// Sends files from one computer to another: encrypted, directly, with no server in between.
#[derive(Debug, Parser)]
#[command(name = "crust", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print this node's id; make its key if there is none.
    #[command(after_help = EXIT_CODES)]
    Id,
    /// Serve a file until somebody has fetched it; prints the contact to give away.
    #[command(after_help = EXIT_CODES)]
    Send(SendArgs),
    /// Fetch the file that somebody serves; goes on where the last attempt was cut off.
    #[command(after_help = EXIT_CODES)]
    Get(GetArgs),
    /// Connect two nodes within this process over real sockets and measure.
    #[command(after_help = EXIT_CODES)]
    Demo(DemoArgs),
}

/// `crust send`.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The file.
    pub(crate) file: PathBuf,
    /// Go on serving when somebody has it.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Serve nobody but this peer, as its `crust id` says (it has to use that key: `crust get --key`). Can be
    /// repeated.
    #[arg(long, value_name = "PEER")]
    pub(crate) to: Vec<String>,
    /// Show the contact as a QR code even where standard error is no terminal.
    #[arg(long)]
    pub(crate) qr: bool,
    #[command(flatten)]
    pub(crate) rate: Rate,
}

/// `crust get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// What `crust send` printed at the other side: "crust...".
    pub(crate) contact: String,
    /// The file to write, or the directory to write it to [default: the sender's name for it, here].
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Replace a file of that name.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) rate: Rate,
}

/// `crust demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How much to move, in MiB.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) mib: u64,
}

/// What both ends of a transfer have.
#[derive(Debug, Args)]
pub(crate) struct Rate {
    /// Go no faster than so many bytes a second; K, M and G stand for their powers of 1024.
    #[arg(long = "limit-rate", value_name = "RATE", value_parser = rate)]
    pub(crate) limit: Option<u64>,
}

/// What all commands have.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The network; both sides must name the same one.
    #[arg(long, global = true, value_name = "NAME", env = "CRUST_NETWORK")]
    pub(crate) network: Option<String>,
    /// A file with the network's passphrase (or set CRUST_NETWORK_SECRET; an argument would show in every
    /// list of processes).
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The file of this node's key; made if there is none [default: for `id` the one in the configuration
    /// directory, else a new key every time].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Where to listen: IP:PORT, IP, or PORT. Can be repeated [default: any port on all addresses].
    #[arg(long, global = true, value_name = "ADDR", value_parser = listen)]
    pub(crate) listen: Vec<Listen>,
    /// Give up when the other side has not been heard of for so many seconds, while connecting or later.
    #[arg(long, global = true, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Tell machines on standard output: one JSON object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but results and errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// One `--listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// At this address.
    At(SocketAddr),
    /// At this port of all addresses, of both families.
    Port(u16),
}

impl Listen {
    /// The addresses to bind.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        match *self {
            Self::At(address) => vec![address],
            Self::Port(port) => {
                vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
            }
        }
    }
}

fn listen(text: &str) -> Result<Listen, String> {
    if let Ok(address) = text.parse() {
        return Ok(Listen::At(address));
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(Listen::At(SocketAddr::new(ip, 0)));
    }
    let expected = "expected IP:PORT, IP, or PORT, such as 192.0.2.1:4433, [2001:db8::1]:4433, or 4433";
    text.parse().map(Listen::Port).map_err(|_| expected.to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    match (0.1..=86_400.0).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err("expected 0.1 to 86400 seconds".to_owned()),
    }
}

fn rate(text: &str) -> Result<u64, String> {
    let expected = || "expected a number of bytes a second, such as 500K, 2.5M or 1G".to_owned();
    let number = text.trim_end_matches(char::is_alphabetic);
    let unit: u64 = match text[number.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(expected()),
    };
    let rate = number.parse::<f64>().map_err(|_| expected())? * unit as f64;
    // Beyond 2^53 a float skips numbers; nothing is so fast.
    if (1.0..=9e15).contains(&rate) { Ok(rate as u64) } else { Err(expected()) }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
