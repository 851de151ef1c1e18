//! Two sites, each with a node that wants the other: whether they meet, how, and how long it takes.

use crust_proto::Duration;

use crate::oracle::Method;
use crate::record::Recorder;
use crate::{Kind, population::Population};

/// How two nodes are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// By a path of their own over UDP.
    Udp,
    /// By another node.
    Relay,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Meeting {
    /// The seed of this run.
    pub seed: u64,
    /// The hash over everything that happened.
    pub hash: [u8; 32],
    /// How they are connected; `None`: they are not.
    pub way: Option<Way>,
    /// From the first call to connect until both have the connection, in the world's time.
    pub time: Option<Duration>,
    /// UDP datagrams that hosts sent.
    pub datagrams: u64,
    /// Every method by which a direct path could come about, best first, as the oracle says.
    pub possible: Vec<Method>,
}

/// Nodes behind two kinds of NAT.
pub fn of_kinds(seed: u64, _kinds: [Kind; 2], _recorder: Option<&Recorder>) -> Meeting {
    Meeting { seed, ..Meeting::default() }
}

/// Nodes of two sites of a population.
pub fn of_population(seed: u64, _population: &Population, _recorder: Option<&Recorder>) -> Meeting {
    Meeting { seed, ..Meeting::default() }
}
