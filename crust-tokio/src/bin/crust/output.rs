//! What the command says: results and events for machines on standard output, the rest for people on
//! standard error.
//!
//! Without `--json` standard output carries only what somebody may want to pipe on (an id, a contact, the path
//! of a file received). With it, every line is one JSON object, and people's chatter is left out.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;

use crate::failure::{Failure, Kind, plain};

/// One line of `--json`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// `id`: who this is.
    Id { peer: &'a str, key: &'a str, created: bool },
    /// `send`: receivers can come. Always the first line.
    Ready { contact: &'a str, peer: &'a str, name: &'a str, bytes: u64 },
    /// `send`: the whole file was read once and this is its hash.
    Hashed { blake3: &'a str },
    /// A session with the other side stands.
    Connected {
        peer: &'a str,
        address: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        handshake_ms: Option<f64>,
    },
    /// `get`: what the sender offers, and where it will be.
    Offered { name: &'a str, bytes: u64, blake3: &'a str, path: &'a str },
    /// The data begins to flow, from this byte on.
    Started { peer: &'a str, resumed_from: u64, restarted: bool },
    /// It flows.
    Progress { peer: &'a str, bytes: u64, total: u64, bytes_per_s: u64 },
    /// `send`: one receiver has it all, on its disk.
    Sent { peer: &'a str, name: &'a str, bytes: u64, blake3: &'a str, resumed_from: u64, seconds: f64 },
    /// `get`: it is there.
    Received { path: &'a str, bytes: u64, blake3: &'a str, resumed_from: u64, seconds: f64 },
    /// `send`: one receiver did not get it. Serving goes on, unless the code says `ended` or `interrupted`: then it
    /// is over, for reasons of its own.
    Failed { peer: &'a str, code: &'a str, message: &'a str },
    /// The end, in failure.
    Error { code: &'a str, message: &'a str },
}

/// Where everything is said.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    /// Machines have heard everything, a failure too.
    said_all: AtomicBool,
    bars: MultiProgress,
    stdout: Mutex<Stdout>,
}

#[derive(Debug, Default)]
struct Stdout {
    /// Nobody reads it any more. That is the reader's right, and no reason to give up a transfer.
    gone: bool,
    /// What went wrong with it otherwise.
    error: Option<io::Error>,
}

impl Output {
    /// The output, as the options say.
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let target = match json || quiet || !io::stderr().is_terminal() {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let bars = MultiProgress::with_draw_target(target);
        Self { json, quiet, said_all: AtomicBool::new(false), bars, stdout: Mutex::default() }
    }

    /// Whether machines read standard output.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Whether people are to be told about progress.
    pub(crate) fn chatty(&self) -> bool {
        !self.json && !self.quiet
    }

    /// Where progress bars are drawn.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// For machines.
    pub(crate) fn event(&self, event: &Event<'_>) {
        if self.json {
            self.object(event);
        }
    }

    /// For machines: the one object that is all a command says to them, also if it fails.
    pub(crate) fn sole_object(&self, object: &impl Serialize) {
        self.object(object);
        self.said_all.store(true, Relaxed);
    }

    fn object(&self, object: &impl Serialize) {
        match serde_json::to_string(object) {
            Ok(line) => self.stdout_line(&line),
            Err(error) => self.stdout_failed(error.into()),
        }
    }

    /// For people, on standard output: what they may want to pipe on.
    pub(crate) fn result(&self, line: impl Display) {
        if !self.json {
            self.stdout_line(&line.to_string());
        }
    }

    /// For people.
    pub(crate) fn say(&self, line: impl Display) {
        if self.chatty() {
            self.stderr_line(&line.to_string());
        }
    }

    /// For people who asked for it: a picture of several lines.
    pub(crate) fn picture(&self, lines: &[String]) {
        self.stderr_line(&lines.join("\n"));
    }

    /// For people, also with `--json` and `-q`.
    pub(crate) fn warn(&self, message: &str) {
        self.stderr_line(&format!("crust: warning: {message}"));
    }

    /// The last word of a command that failed.
    pub(crate) fn fail(&self, failure: &Failure) {
        let message = failure.to_string();
        self.stderr_line(&format!("crust: {message}"));
        if !self.said_all.load(Relaxed) {
            self.event(&Event::Error { code: failure.kind.name(), message: &message });
        }
    }

    /// Whether everything could be said that somebody still listened to.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.stdout.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).error.take() {
            None => Ok(()),
            Some(error) => {
                let kind = match error.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::DiskFull,
                    _ => Kind::File,
                };
                Err(Failure::new(kind, format!("cannot write to standard output: {}", plain(&error))))
            }
        }
    }

    /// A line on standard error; if that fails there is nowhere left to say so.
    fn stderr_line(&self, line: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(anstream::stderr().lock(), "{line}");
        });
    }

    fn stdout_line(&self, line: &str) {
        let mut state = self.stdout.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if state.gone || state.error.is_some() {
            return;
        }
        let written = self.bars.suspend(|| {
            let mut stdout = io::stdout().lock();
            // One write a line: whoever reads a pipe sees whole lines.
            stdout.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout.flush())
        });
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => state.gone = true,
            Err(error) => state.error = Some(error),
            Ok(()) => {}
        }
    }

    fn stdout_failed(&self, error: io::Error) {
        self.stdout.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).error.get_or_insert(error);
    }
}
