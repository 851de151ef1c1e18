use std::cell::RefCell;

use proptest::test_runner::TestRunner;

use super::*;

#[test]
fn a_property_is_tried_with_the_same_cases_in_every_run() {
    let tried = |n| {
        let values = RefCell::new(Vec::new());
        let note = |value| {
            values.borrow_mut().push(value);
            Ok(())
        };
        TestRunner::new(cases(n)).run(&proptest::num::u64::ANY, note).unwrap();
        values.into_inner()
    };
    let values = tried(100);
    assert!(values.len() >= 100 && values[0] != values[1]);
    assert_eq!(tried(100), values);
}

#[test]
fn seeds_begin_at_zero_at_a_number_or_where_a_text_says() {
    assert_eq!((first(None), first(Some("")), first(Some("12"))), (0, 0, 12));
    let commits = [first(Some("b6384f1")), first(Some("fe361d7"))];
    assert!(commits[0] != commits[1] && !commits.contains(&0));
}

/// Fails at the seed that stands in this variable.
const BAD: &str = "CRUST_SIM_BAD_SEED";

/// Not a test of its own: another process runs it for its output.
#[test]
fn says_its_seeds() {
    let bad = number(BAD);
    seeds(4, |seed| {
        println!("seed {seed}");
        assert_ne!(Some(seed), bad);
    });
}

/// What another process says with those variables: its seeds, and what it says of its failure.
fn said(variables: &[(&str, &str)]) -> (Vec<u64>, String) {
    let this = std::env::current_exe().expect("a test knows its program");
    let mut child = std::process::Command::new(this);
    for name in [ONE, FROM, TIMES, BAD] {
        child.env_remove(name);
    }
    // With more threads than one each test has a thread of its own, with its name.
    child.args(["--exact", "seeds::tests::says_its_seeds", "--nocapture", "--test-threads=2"]);
    let output = child.envs(variables.iter().copied()).output().expect("it runs once more");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let seeds =
        stdout.lines().filter_map(|line| line.strip_prefix("seed ")).map(|seed| seed.parse().unwrap());
    (seeds.collect(), stderr)
}

#[test]
fn seeds_are_those_that_the_variables_say() {
    assert_eq!(said(&[]).0, [0, 1, 2, 3]);
    assert_eq!(said(&[(FROM, "10"), (TIMES, "2")]).0, [10, 11, 12, 13, 14, 15, 16, 17]);
    // One seed is one run, whatever else is said.
    assert_eq!(said(&[(ONE, "77")]).0, [77]);
    assert_eq!(said(&[(ONE, "77"), (FROM, "10"), (TIMES, "2")]).0, [77]);
}

#[test]
fn a_test_that_fails_says_how_it_is_replayed() {
    let (seeds, text) = said(&[(BAD, "2")]);
    let replay = "failed with seed 2; to replay it alone: \
                  CRUST_SIM_SEED=2 cargo test -- --exact seeds::tests::says_its_seeds";
    assert_eq!(seeds, [0, 1, 2]);
    assert!(text.lines().any(|line| line == replay), "{text}");
    assert_eq!(said(&[]).1.lines().find(|line| line.contains("replay")), None);
}
