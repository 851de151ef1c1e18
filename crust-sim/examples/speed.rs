//! How many simulated datagrams a second one core moves through two real NATs: the benchmark of `crust-sim sweep
//! --speed`, which says what the figures are, with as many runs and datagrams as one likes.
//!
//! `cargo run --release -p crust-sim --features aws-lc-rs --example speed [RUNS] [THOUSANDS] [NAME]`
//!
//! Each figure is the median of some runs, a second of CPU time where the system tells.

#[path = "../src/bin/crust-sim/benchmark.rs"]
mod benchmark;
#[path = "../src/bin/crust-sim/stopwatch.rs"]
mod stopwatch;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise| arguments.next().map_or(otherwise, |n| n.parse().expect("a number"));
    let (runs, thousands) = (number(5_u64), number(2000));
    let only = arguments.next();
    for name in benchmark::names().into_iter().filter(|name| only.as_ref().is_none_or(|only| only == name)) {
        let all = benchmark::measure(name, runs, thousands * 1000);
        let median = &all[all.len() / 2];
        let (rate, low, high) = (median.rate(), all[0].rate(), all[all.len() - 1].rate());
        println!("{name:>10}: {rate:9} datagrams a second ({low} to {high}); in the median run {median}");
    }
}
