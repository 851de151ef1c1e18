//! What a run leaves for people to look at: captures and pages.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crust_proto::Duration;
use crust_sim::page::{self, Page};
use crust_sim::pcap::{self, Capture};
use crust_sim::record::{RecordLimits, Recorder, Recording};

use crate::args::Record;
use crate::failure::{Failure, Kind};
use crate::output::Output;

/// How much is kept of one run that is looked at by itself: some hundred megabytes at most.
const ONE: RecordLimits = RecordLimits { packets: 200_000, every: Duration::from_millis(10) };
/// How much of each of many on one page: the meeting itself, and how the first data goes.
const ONE_OF_MANY: RecordLimits = RecordLimits { packets: 300, every: Duration::from_millis(20) };

/// The files that were asked for, open from the start, so that what cannot be written is known before the work is done.
#[derive(Debug)]
pub(crate) struct Files {
    pcap: Option<[(PathBuf, File); 2]>,
    html: Option<(PathBuf, File)>,
}

impl Files {
    /// Creates them.
    pub(crate) fn create(args: &Record) -> Result<Self, Failure> {
        let create = |path: PathBuf| match File::create(&path) {
            Ok(file) => Ok((path, file)),
            Err(error) => Err(Failure::writing(&path, &error)),
        };
        let all = args.pcap.iter().flat_map(|path| [path.clone(), contents(path)]).chain(args.html.clone());
        let mut known = BTreeSet::new();
        if let Some(twice) = all.into_iter().find(|path| !known.insert(path.clone())) {
            let message = format!("{} is asked for twice; give each file a name of its own", twice.display());
            return Err(Failure::new(Kind::Usage, message));
        }
        let pcap = match &args.pcap {
            Some(path) => Some([create(path.clone())?, create(contents(path))?]),
            None => None,
        };
        Ok(Self { pcap, html: args.html.clone().map(create).transpose()? })
    }

    /// Whether a run has to be recorded.
    pub(crate) fn wanted(&self) -> bool {
        self.pcap.is_some() || self.html.is_some()
    }

    /// A recorder of one run, where any is wanted.
    pub(crate) fn recorder(&self) -> Option<Recorder> {
        self.wanted().then(|| Recorder::new(ONE))
    }

    /// Writes all that was asked for of one run.
    pub(crate) fn write(
        self,
        mut page: Page,
        name: &str,
        recorder: &Recorder,
        out: &Output,
    ) -> Result<(), Failure> {
        let recording = recorder.recording();
        let left_out = recording.packets_left_out;
        if left_out > 0 {
            out.warn(format_args!(
                "the recording is full: {left_out} later sightings of packets are left out"
            ));
        }
        let html = self.write_pcap(&recording, out)?;
        page.runs.push((name.to_owned(), recording));
        html.write_page(&page, out)
    }

    /// Writes the captures, and leaves the page to be written.
    pub(crate) fn write_pcap(mut self, recording: &Recording, out: &Output) -> Result<Self, Failure> {
        if let Some([packets, contents]) = self.pcap.take() {
            for ((path, file), capture) in [(packets, Capture::Packets), (contents, Capture::Contents)] {
                fill(&path, file, |to| pcap::write(recording, capture, to))?;
                out.say(format_args!("{} written", path.display()));
            }
        }
        Ok(self)
    }

    /// Writes the page.
    pub(crate) fn write_page(self, page: &Page, out: &Output) -> Result<(), Failure> {
        let Some((path, file)) = self.html else { return Ok(()) };
        fill(&path, file, |to| page::write(page, to))?;
        out.say(format_args!("{} written", path.display()));
        Ok(())
    }
}

/// A recorder of one run of many on one page.
pub(crate) fn small() -> Recorder {
    Recorder::new(ONE_OF_MANY)
}

fn fill(
    path: &Path,
    file: File,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut to = BufWriter::new(file);
    write(&mut to).and_then(|()| to.flush()).map_err(|error| Failure::writing(path, &error))
}

/// The second file beside a capture: `x.contents.pcapng` beside `x.pcapng`.
fn contents(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.file_stem().unwrap_or_default());
    name.push(".contents");
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_capture_stands_beside_the_first() {
        for (path, beside) in [
            ("x.pcapng", "x.contents.pcapng"),
            ("some/where.d/x.y.pcap", "some/where.d/x.y.contents.pcap"),
            ("x", "x.contents"),
        ] {
            assert_eq!(contents(Path::new(path)), Path::new(beside));
        }
    }
}
