//! The seeds that a test runs with, and how to run it with one of them again.

/// The environment variable that makes every test run with one seed.
const ONE: &str = "CRUST_SIM_SEED";
/// The one that says where seeds begin: a number, or any text (a commit's hash, so that every commit has its own).
const FROM: &str = "CRUST_SIM_FROM";
/// The one that multiplies how many there are.
const TIMES: &str = "CRUST_SIM_TIMES";

/// Runs a test with `n` seeds: from 0, or from `CRUST_SIM_FROM`; `CRUST_SIM_TIMES` times as many; or with the one in
/// `CRUST_SIM_SEED`. When the test panics, what replays it is printed.
///
/// # Panics
///
/// Where the test does, and where a variable holds what it should not.
pub fn seeds(n: u64, test: impl Fn(u64)) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        let number = text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}"));
        Some(number)
    };
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
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            eprintln!("failed with seed {0}; to replay it alone: {ONE}={0} cargo test {name}", self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_begin_at_zero_at_a_number_or_where_a_text_says() {
        assert_eq!((first(None), first(Some("")), first(Some("12"))), (0, 0, 12));
        let commits = [first(Some("b6384f1")), first(Some("fe361d7"))];
        assert!(commits[0] != commits[1] && !commits.contains(&0));
    }
}
