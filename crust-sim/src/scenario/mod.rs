//! Runs described by files.

use crust_proto::Duration;

use crate::record::Recorder;

/// A run, described.
#[derive(Clone, Debug)]
pub struct Scenario {
    name: String,
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
        Ok(Self { name: text.to_owned() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The seed that the file asks for.
    pub fn seed(&self) -> Option<u64> {
        None
    }

    /// Runs it.
    pub fn run(&self, seed: u64, _recorder: Option<&Recorder>) -> ScenarioReport {
        ScenarioReport { seed, ..ScenarioReport::default() }
    }
}
