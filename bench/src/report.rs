//! What the runs say: figures, their medians and spread, and ratios; as JSON and as a table.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::peer::Peer;
use crate::run::{Case, Manner, Run};
use crate::usage::Usage;
use crate::workload::Workload;

/// A run's figures by name.
pub type Figures = Vec<(&'static str, f64)>;

const GIB: f64 = (1_u64 << 30) as f64;

/// What a run comes to for so much work.
pub fn figures(run: &Run) -> Figures {
    let Run { client, server, .. } = run;
    let both = client.cpu_s() + server.cpu_s();
    match run.case.workload {
        Workload::Bulk { bytes } => {
            let gib = bytes as f64 / GIB;
            vec![
                ("cpu_s_per_gib", both / gib),
                ("sender_cpu_s_per_gib", client.cpu_s() / gib),
                ("receiver_cpu_s_per_gib", server.cpu_s() / gib),
                ("mb_per_s", bytes as f64 / 1e6 / client.wall_s),
            ]
        }
        Workload::Small { round_trips, .. } => {
            each(round_trips as f64, ("round_trips_per_cpu_s", "round_trips_per_s"), client, server)
        }
        Workload::Connect { connections } => {
            each(connections as f64, ("connections_per_cpu_s", "connections_per_s"), client, server)
        }
    }
}

fn each(
    count: f64,
    (per_cpu, per_wall): (&'static str, &'static str),
    client: &Usage,
    server: &Usage,
) -> Figures {
    vec![
        (per_cpu, count / (client.cpu_s() + server.cpu_s())),
        ("client_cpu_us", client.cpu_s() / count * 1e6),
        ("server_cpu_us", server.cpu_s() / count * 1e6),
        (per_wall, count / client.wall_s),
    ]
}

/// A run as one JSON object.
pub fn run_object(run: &Run) -> Value {
    let mut object = case_object(run.case, run.peer, "run");
    object.insert("round".into(), json!(run.round));
    object.insert("client".into(), json!(run.client));
    object.insert("server".into(), json!(run.server));
    for (name, value) in figures(run) {
        object.insert(name.into(), json!(value));
    }
    Value::Object(object)
}

/// All runs as one JSON object.
pub fn summary_object(results: &[Outcome], baseline: Peer, manner: Manner) -> Value {
    let results: Vec<_> = results
        .iter()
        .map(|result| {
            let mut object = case_object(result.case, result.peer, "result");
            for (name, spread) in &result.spreads {
                object.insert((*name).into(), json!(spread));
            }
            Value::Object(object)
        })
        .collect();
    json!({
        "type": "summary",
        "baseline": baseline,
        "rounds": manner.rounds,
        "pinned": manner.pin,
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "results": results,
    })
}

fn case_object(case: Case, peer: Peer, kind: &str) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("type".into(), json!(kind));
    if let Value::Object(workload) = json!(case.workload) {
        object.extend(workload);
    }
    object.insert("cipher".into(), json!(case.cipher));
    object.insert("peer".into(), json!(peer));
    object
}

/// What one peer came to in one case.
#[derive(Debug)]
pub struct Outcome {
    pub case: Case,
    pub peer: Peer,
    pub spreads: Vec<(&'static str, Spread)>,
}

/// One figure over all rounds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// The median of each round's ratio to the baseline in the same round; none where the baseline did not run.
    pub ratio: Option<f64>,
}

/// The outcomes of all runs, in the order of the first round.
pub fn outcomes(runs: &[Run], baseline: Peer) -> Vec<Outcome> {
    let first_round = runs.iter().filter(|run| run.round == 1);
    first_round
        .map(|first| {
            let spreads =
                figures(first).into_iter().map(|(name, _)| (name, spread(runs, first, name, baseline)));
            Outcome { case: first.case, peer: first.peer, spreads: spreads.collect() }
        })
        .collect()
}

fn spread(runs: &[Run], of: &Run, name: &str, baseline: Peer) -> Spread {
    let rounds_of = |peer| runs.iter().filter(move |run| run.case == of.case && run.peer == peer);
    let values: Vec<_> = rounds_of(of.peer).map(|run| value(run, name)).collect();
    let ratios =
        rounds_of(of.peer).zip(rounds_of(baseline)).map(|(run, base)| value(run, name) / value(base, name));
    let ratios: Vec<_> = ratios.collect();
    Spread {
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(0.0, f64::max),
        median: median(values).unwrap_or(0.0),
        ratio: median(ratios),
    }
}

fn value(run: &Run, name: &str) -> f64 {
    figures(run).into_iter().find(|(known, _)| *known == name).map_or(0.0, |(_, value)| value)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}

/// All outcomes as tables, one for each case.
pub fn tables(outcomes: &[Outcome], baseline: Peer) -> String {
    let mut text = String::new();
    for of_one_case in outcomes.chunk_by(|a, b| a.case == b.case) {
        let Some(first) = of_one_case.first() else { continue };
        let _ = writeln!(text, "\n{}", title(first.case));
        let _ = write!(text, "{:10}", "");
        for (name, _) in &first.spreads {
            let _ = write!(text, " {name:>33}");
        }
        let _ = writeln!(text);
        for outcome in of_one_case {
            let _ = write!(text, "{:10}", outcome.peer);
            for (_, spread) in &outcome.spreads {
                let _ = write!(text, " {:>33}", cell(spread));
            }
            let _ = writeln!(text);
        }
    }
    let _ = writeln!(text, "\nmedian (lowest to highest) and its ratio to {baseline}");
    text
}

fn title(Case { workload, cipher }: Case) -> String {
    match workload {
        Workload::Bulk { bytes } => format!("bulk, {bytes} bytes, {cipher}"),
        Workload::Small { message_bytes, round_trips } => {
            format!("small, {round_trips} round trips of {message_bytes} bytes, {cipher}")
        }
        Workload::Connect { connections } => format!("connect, {connections} connections, {cipher}"),
    }
}

fn cell(spread: &Spread) -> String {
    let Spread { median, min, max, ratio } = *spread;
    let ratio = ratio.map_or(String::from("-"), |ratio| format!("{ratio:.2}"));
    let decimals = if median < 100.0 { 2 } else { 0 };
    format!("{median:.decimals$} ({min:.decimals$} to {max:.decimals$}) {ratio:>5}")
}

/// One line for those who wait.
pub fn progress(run: &Run) -> String {
    let Run { case, peer, round, .. } = run;
    let figures: Vec<_> = figures(run).iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
    format!("round {round}, {}: {peer}: {}", title(*case), figures.join(", "))
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
