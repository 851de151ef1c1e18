//! Runs described by files.

use crust_proto::Duration;
use toml::de::DeTable;

use crate::place::Place;
use crate::record::Recorder;

mod build;
mod faults;
mod plan;
mod read;
mod read_steps;
mod read_world;
mod run;
mod traffic;
mod units;

use plan::Plan;
use read::{Fault, Read, Table};

/// The longest file, in bytes.
pub const LONGEST_FILE: usize = 1 << 20;
/// The most steps of a file.
const MOST_STEPS: usize = 1000;
/// The longest run, in the world's time.
const LONGEST_RUN: Duration = Duration::from_secs(7 * 86_400);
/// How long a run may take, unless the file says otherwise.
const LIMIT: Duration = Duration::from_secs(600);
/// The longest description, and the longest name of a scenario, in bytes.
const LONGEST_TEXT: usize = 10_000;
const LONGEST_NAME: usize = 200;

/// The keys of a file.
const FILE_KEYS: &[&str] =
    &["name", "description", "seed", "limit", "link", "site", "host", "node", "step", "expect"];

/// A run, described.
#[derive(Clone, Debug)]
pub struct Scenario {
    plan: Plan,
}

/// A file that is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ScenarioError {
    /// The line, from 1.
    pub line: usize,
    /// The column in it, in characters from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub message: String,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct ScenarioReport {
    /// The seed of this run.
    pub seed: u64,
    /// The hash over everything that happened.
    pub hash: [u8; 32],
    /// How long it took, in the world's time.
    pub elapsed: Duration,
    /// UDP datagrams that hosts sent.
    pub datagrams: u64,
    /// What happened, as the file's steps went.
    pub log: Vec<(Duration, String)>,
    /// Which expectations did not hold; none: it passed.
    pub failures: Vec<String>,
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Its first fault.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let at = |Place { line, column }, message| ScenarioError { line, column, message };
        if text.len() > LONGEST_FILE {
            let message = format!("the file is {} bytes long, expected at most {LONGEST_FILE}", text.len());
            return Err(at(Place::of(text, 0), message));
        }
        let file = DeTable::parse(text).map_err(|error| {
            let (place, message) = Place::of_toml(text, &error);
            at(place, message)
        })?;
        match read(file.get_ref(), text) {
            Ok(plan) => Ok(Self { plan }),
            Err(Fault { at: offset, message }) => Err(at(Place::of(text, offset), message)),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// What it is about; empty where the file does not say.
    pub fn description(&self) -> &str {
        &self.plan.description
    }

    /// The seed that the file asks for.
    pub fn seed(&self) -> Option<u64> {
        self.plan.seed
    }

    /// Runs it, with a recorder where somebody wants to look at it later. That changes nothing in the world.
    ///
    /// # Panics
    ///
    /// Where a defect of crust's core or of the simulator shows itself by a panic.
    pub fn run(&self, seed: u64, recorder: Option<&Recorder>) -> ScenarioReport {
        run::run(&self.plan, seed, recorder)
    }
}

fn read(file: &DeTable<'_>, text: &str) -> Read<Plan> {
    let file = Table::new(0, file, "a scenario", FILE_KEYS)?;
    let name = file.need("name")?.text("a name", LONGEST_NAME)?.to_owned();
    let description =
        file.get("description").map_or(Ok(""), |value| value.text("a description", LONGEST_TEXT))?;
    let seed = file.get("seed").map(|value| value.number("a seed", 0..=u64::MAX)).transpose()?;
    let limit =
        file.get("limit").map_or(Ok(LIMIT), |v| v.duration(Duration::from_millis(1)..=LONGEST_RUN))?;
    let world = read_world::read(&file)?;
    let steps = read_steps::read(&file, text, &world, limit)?;
    let expect = read_steps::read_expect(&file, &world)?;
    let read_world::World { places, hosts, nodes, .. } = world;
    Ok(Plan { name, description: description.to_owned(), seed, limit, places, hosts, nodes, steps, expect })
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "error_tests.rs"]
mod error_tests;
