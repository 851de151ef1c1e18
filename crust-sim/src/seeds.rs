//! The seeds that a test runs with, and how to run it with one of them again.

/// The environment variable that makes every test run with one seed.
const ONE: &str = "CRUST_SIM_SEED";
/// The one that says where seeds begin: a number, or any text (a commit's hash, so that every commit has its own).
const FROM: &str = "CRUST_SIM_FROM";
/// The one that multiplies how many there are.
const TIMES: &str = "CRUST_SIM_TIMES";

/// Runs a test with `n` seeds: from 0, or from `CRUST_SIM_FROM`; `CRUST_SIM_TIMES` times as many; or with the one in
/// `CRUST_SIM_SEED`. When the test panics, what replays it is printed: `CRUST_SIM_SEED=3 cargo test -- --exact NAME`.
///
/// # Panics
///
/// Where the test does, and where a variable holds what it should not.
pub fn seeds(n: u64, test: impl Fn(u64)) {
    let (first, count) = match number(ONE) {
        Some(seed) => (seed, 1),
        None => (first(std::env::var(FROM).ok().as_deref()), n.saturating_mul(number(TIMES).unwrap_or(1))),
    };
    for seed in (0..count).map(|i: u64| first.wrapping_add(i)) {
        let tell = Tell(seed);
        test(seed);
        drop(tell);
    }
}

/// How a property is tried: `n` cases, the same ones in every run. `CRUST_SIM_FROM` chooses others and
/// `CRUST_SIM_TIMES` more, as for [`seeds`]; `PROPTEST_RNG_SEED` goes before the former. No failure is written to a
/// file: the same run finds it again.
#[cfg(test)]
pub(crate) fn cases(n: u32) -> proptest::test_runner::Config {
    use proptest::test_runner::{Config, RngSeed};

    let config = Config::default();
    let rng_seed = match config.rng_seed {
        RngSeed::Random => RngSeed::Fixed(first(std::env::var(FROM).ok().as_deref())),
        asked_for => asked_for,
    };
    let times = number(TIMES).map_or(1, |times| u32::try_from(times).unwrap_or(u32::MAX));
    Config { cases: n.saturating_mul(times), rng_seed, failure_persistence: None, ..config }
}

/// The number in an environment variable, if it is set.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

/// Where seeds begin.
fn first(from: Option<&str>) -> u64 {
    let Some(text) = from.filter(|text| !text.is_empty()) else { return 0 };
    text.parse().unwrap_or_else(|_| {
        let hash = blake3::hash(text.as_bytes());
        hash.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    })
}

/// Says which seed it was when a test panics.
struct Tell(u64);

impl Drop for Tell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let thread = std::thread::current();
            // Where tests run one after the other, they all run in the main thread.
            let test = thread.name().filter(|name| *name != "main");
            let alone = test.map_or(String::new(), |name| format!(" -- --exact {name}"));
            eprintln!("failed with seed {0}; to replay it alone: {ONE}={0} cargo test{alone}", self.0);
        }
    }
}

#[cfg(test)]
#[path = "seeds_tests.rs"]
mod tests;
