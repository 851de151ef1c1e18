//! `crust-sim merge`: the shards of a sweep, joined to the whole.
//!
//! Each file is read line by line; what no sweep has written, and what belongs to another sweep, is refused with its
//! place. Then the shards must be all there are, and the seeds each exactly once: so the result is what one machine
//! would have found.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crust_proto::Duration;

use crate::Verdict;
use crate::args::MergeArgs;
use crate::failure::{Failure, Kind};
use crate::figures::hex;
use crate::output::Output;
use crate::range::{Seeds, Shard};
use crate::sweep::{self, SeedLine, Summary};
use crate::tally::Tally;
use crate::work::Effort;

/// The longest line that is read; a failure's text may be long.
const LONGEST: u64 = 1 << 20;
/// How many seeds that are missing are named.
const NAMED: usize = 10;

/// What one file holds.
#[derive(Debug)]
struct Part {
    name: String,
    lines: Vec<(usize, SeedLine)>,
    summary: Summary,
    range: Seeds,
    shard: Shard,
}

/// Joins the files.
pub(crate) fn run(args: &MergeArgs, out: &Output) -> Result<Verdict, Failure> {
    let mut parts = Vec::new();
    for path in &args.files {
        let file = File::open(path).map_err(|error| Failure::reading(path, &error))?;
        parts.push(read(path, BufReader::new(file))?);
    }
    let whole = join(&parts)?;
    for line in whole.lines.values() {
        sweep::tell(line, out);
        if out.unheard() {
            break;
        }
    }
    Ok(sweep::finish(&whole.tally, whole.effort, whole.range, Shard { of: 1, nth: 1 }, None, out))
}

/// All parts as one.
#[derive(Debug)]
struct Whole<'a> {
    lines: BTreeMap<u64, &'a SeedLine>,
    tally: Tally,
    effort: Effort,
    range: Seeds,
}

fn join(parts: &[Part]) -> Result<Whole<'_>, Failure> {
    let bad = |message: String| Failure::new(Kind::BadShards, message);
    let Some(first) = parts.first() else { return Err(bad("no file".to_owned())) };
    let mut shards: BTreeMap<Shard, &str> = BTreeMap::new();
    let mut whole = Whole {
        lines: BTreeMap::new(),
        tally: Tally::default(),
        effort: Effort { wall: Duration::ZERO, cpu: Some(Duration::ZERO) },
        range: first.range,
    };
    for part in parts {
        let (a, b) = (&first.name, &part.name);
        if part.range != first.range {
            return Err(bad(format!(
                "{a} is of seeds {}, {b} of {}; join one sweep at a time",
                first.range, part.range
            )));
        }
        if part.shard.of != first.shard.of {
            return Err(bad(format!(
                "{a} is shard {}, {b} is shard {}; a sweep has one number of shards",
                first.shard, part.shard
            )));
        }
        if let Some(other) = shards.insert(part.shard, b) {
            return Err(bad(format!("{other} and {b} are both shard {}; name each once", part.shard)));
        }
        for (number, line) in &part.lines {
            add(&mut whole, part, *number, line)?;
        }
        let wall = Duration::try_from_secs_f64(part.summary.seconds).unwrap_or_default();
        whole.effort.wall = whole.effort.wall.saturating_add(wall);
        let cpu = part.summary.cpu_seconds.and_then(|cpu| Duration::try_from_secs_f64(cpu).ok());
        whole.effort.cpu = whole.effort.cpu.zip(cpu).map(|(all, one)| all.saturating_add(one));
    }
    let missing = |nth: &u64| !shards.contains_key(&Shard { of: first.shard.of, nth: *nth });
    if (shards.len() as u64) < first.shard.of {
        let missing: Vec<u64> = (1..=first.shard.of).filter(missing).take(NAMED + 1).collect();
        let names = some(missing.into_iter().map(|nth| format!("{nth}/{}", first.shard.of)));
        return Err(bad(format!("not every shard is there; missing: {names}")));
    }
    complete(&whole)?;
    Ok(whole)
}

fn add<'a>(whole: &mut Whole<'a>, part: &Part, number: usize, line: &'a SeedLine) -> Result<(), Failure> {
    let bad =
        |message: String| Err(Failure::new(Kind::BadShards, format!("{}:{number}: {message}", part.name)));
    let seed = line.seed;
    if !(whole.range.first..=whole.range.last).contains(&seed) || !part.shard.has(seed) {
        return bad(format!("seed {seed} is none of shard {} of {}", part.shard, part.range));
    }
    let Ok(hash) = blake3::Hash::from_hex(&line.hash) else {
        return bad(format!("{:?} is no hash, expected 64 hexadecimal digits", line.hash));
    };
    if !whole.tally.add(seed, hash.as_bytes(), line.datagrams, line.failure.is_some()) {
        return bad(format!("seed {seed} is there twice"));
    }
    whole.lines.insert(seed, line);
    Ok(())
}

/// Whether no seed is missing.
fn complete(whole: &Whole<'_>) -> Result<(), Failure> {
    if whole.tally.seeds() == whole.range.count() {
        return Ok(());
    }
    let missing = whole.range.iter().filter(|seed| !whole.lines.contains_key(seed)).take(NAMED + 1);
    let names = some(missing.map(|seed| seed.to_string()));
    Err(Failure::new(
        Kind::BadShards,
        format!("not every seed of {} is there; missing: {names}", whole.range),
    ))
}

/// The first of them, and whether there are more.
fn some(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.take(NAMED + 1).collect();
    if names.len() > NAMED {
        names.truncate(NAMED);
        names.push("...".to_owned());
    }
    names.join(", ")
}

/// Reads what one shard has printed.
fn read(path: &Path, mut from: impl BufRead) -> Result<Part, Failure> {
    let name = path.display().to_string();
    let bad =
        |number: usize, message: String| Failure::new(Kind::BadShards, format!("{name}:{number}: {message}"));
    let (mut lines, mut summary, mut number) = (Vec::new(), None, 0);
    loop {
        let mut text = String::new();
        let count = from.by_ref().take(LONGEST).read_line(&mut text);
        if count.map_err(|error| Failure::reading(path, &error))? == 0 {
            break;
        }
        number += 1;
        if summary.is_some() {
            return Err(bad(number, "nothing is expected after the last line of a sweep".to_owned()));
        }
        if !text.ends_with('\n') {
            return Err(bad(number, "the line is cut off; run that shard again".to_owned()));
        }
        // What tells them apart is whether it is about one seed.
        let value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| bad(number, format!("no line of `sweep --json`: {error}")))?;
        let parsed = if value.get("seed").is_some() {
            serde_json::from_value(value).map(|line| lines.push((number, line)))
        } else {
            serde_json::from_value(value).map(|line| summary = Some(line))
        };
        parsed.map_err(|error| bad(number, format!("no line of `sweep --json`: {error}")))?;
    }
    let Some(summary) = summary else {
        return Err(bad(
            number,
            "the last line is missing: the sweep was cut off; run that shard again".to_owned(),
        ));
    };
    let summary: Summary = summary;
    let range: Seeds =
        summary.range.parse().map_err(|error: String| bad(number, format!("range: {error}")))?;
    let shard: Shard =
        summary.shard.parse().map_err(|error: String| bad(number, format!("shard: {error}")))?;
    let part = Part { name: name.clone(), lines, summary, range, shard };
    part.agrees().map_err(|message| bad(number, message))?;
    Ok(part)
}

impl Part {
    /// Whether the last line tells what the others do.
    fn agrees(&self) -> Result<(), String> {
        let mut tally = Tally::default();
        for (_, line) in &self.lines {
            if let Ok(hash) = blake3::Hash::from_hex(&line.hash) {
                tally.add(line.seed, hash.as_bytes(), line.datagrams, line.failure.is_some());
            }
        }
        let Summary { seeds, failed, datagrams, hash, .. } = &self.summary;
        let found = (tally.seeds(), tally.failed(), tally.datagrams(), hex(&tally.hash()));
        if self.lines.len() as u64 == *seeds && found == (*seeds, *failed, *datagrams, hash.clone()) {
            return Ok(());
        }
        Err(format!(
            "the last line tells of {seeds} seeds, {failed} failed, {datagrams} datagrams, the lines before it of {}, \
             {}, {}, or their hash differs; run that shard again",
            self.lines.len(),
            tally.failed(),
            tally.datagrams()
        ))
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
