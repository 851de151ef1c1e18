//! What the command says: tables for people or objects for machines on standard output, the rest on standard error.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::failure::{Failure, Kind, plain};

/// The last line of `--json` of a command that could not do what it was asked for.
#[derive(Debug, Serialize)]
struct ErrorEvent<'a> {
    event: &'static str,
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

/// Where everything is said.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    bars: MultiProgress,
    stdout: RefCell<Stdout>,
}

#[derive(Debug, Default)]
struct Stdout {
    /// Nobody reads it any more: that is the reader's right.
    gone: bool,
    /// What went wrong with it otherwise.
    error: Option<io::Error>,
}

impl Output {
    /// The output, as the options say.
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        // Where objects run over the same terminal a bar is in their way.
        let seen = io::stderr().is_terminal() && !(json && io::stdout().is_terminal());
        let target = match quiet || !seen {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let bars = MultiProgress::with_draw_target(target);
        Self { json, quiet, bars, stdout: RefCell::default() }
    }

    /// For machines.
    pub(crate) fn object(&self, object: &impl Serialize) {
        if self.json {
            match serde_json::to_string(object) {
                Ok(line) => self.stdout_line(&line),
                Err(error) => self.failed(error.into()),
            }
        }
    }

    /// For people: what they asked for.
    pub(crate) fn line(&self, line: impl Display) {
        if !self.json {
            self.stdout_line(&line.to_string());
        }
    }

    /// For people: what they may want to know besides.
    pub(crate) fn say(&self, line: impl Display) {
        if !self.json && !self.quiet {
            self.stderr_line(&line.to_string());
        }
    }

    /// For people, also with `--json` and `-q`.
    pub(crate) fn warn(&self, message: impl Display) {
        self.stderr_line(&format!("crust-sim: {message}"));
    }

    /// The last word of a command that could not do what it was asked for.
    pub(crate) fn fail(&self, failure: &Failure) {
        let message = failure.to_string();
        match &failure.place {
            // As compilers say it, so that editors find the place.
            Some(place) => self.stderr_line(&format!("{message}\n{}", place.picture())),
            None => self.warn(&message),
        }
        let place = failure.place.as_ref();
        self.object(&ErrorEvent {
            event: "error",
            code: failure.kind.name(),
            message: &message,
            file: place.map(|place| place.file.as_str()),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
        });
    }

    /// A bar that shows how far work is; it goes when it is dropped.
    pub(crate) fn progress(&self, label: &'static str, total: u64) -> Progress<'_> {
        let bar = self.bars.add(ProgressBar::new(total));
        let template = "{prefix}  {bar:32}  {human_pos} of {human_len}  {eta}";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(label);
        Progress { out: self, bar }
    }

    /// Nobody listens to what is said on standard output any more.
    pub(crate) fn unheard(&self) -> bool {
        let stdout = self.stdout.borrow();
        stdout.gone || stdout.error.is_some()
    }

    /// Whether everything could be said that somebody still listened to.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.stdout.borrow_mut().error.take() {
            None => Ok(()),
            Some(error) => {
                let message = format!("cannot write to standard output: {}", plain(&error));
                Err(Failure::new(Kind::Output, message))
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
        let mut state = self.stdout.borrow_mut();
        if state.gone || state.error.is_some() {
            return;
        }
        let written = self.bars.suspend(|| {
            // Colours are left out where they would not be seen.
            let mut stdout = anstream::stdout().lock();
            stdout.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout.flush())
        });
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => state.gone = true,
            Err(error) => state.error = Some(error),
            Ok(()) => {}
        }
    }

    fn failed(&self, error: io::Error) {
        self.stdout.borrow_mut().error.get_or_insert(error);
    }
}

/// How far work is.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    out: &'a Output,
    bar: ProgressBar,
}

impl Progress<'_> {
    /// One more is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.out.bars.remove(&self.bar);
    }
}
