use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Cli, String> {
    Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())
}

#[test]
fn the_command_line_is_put_together_rightly() {
    Cli::command().debug_assert();
}

#[test]
fn every_example_of_the_help_is_a_command_line() {
    let mut count = 0;
    for text in [EXAMPLES, MATRIX, POPULATION, RUN, SWEEP, MERGE, REPLAY] {
        for line in text.lines().map(str::trim).filter(|line| line.starts_with("crust-sim ")) {
            // What is explained stands after two spaces, what goes to a file after a bracket.
            let line = line.split("  ").next().unwrap().split('>').next().unwrap();
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            count += 1;
        }
    }
    assert_eq!(count, 23);
}

#[test]
fn two_kinds_are_read_and_others_are_refused_with_what_there_is() {
    assert_eq!(pair("symmetric,open"), Ok([Kind::Symmetric, Kind::Open]));
    assert_eq!(pair("cgn, full-cone"), Ok([Kind::CarrierGrade, Kind::FullCone]));
    assert!(pair("symmetric").unwrap_err().contains("two kinds"));
    assert!(pair("symmetric,cube").unwrap_err().contains("port-restricted"));
}

#[test]
fn one_seed_and_a_range_exclude_each_other() {
    assert!(parse("crust-sim matrix --seed 1 --seeds 0..2").is_err());
    assert!(parse("crust-sim sweep").unwrap_err().contains("--seeds"));
    for jobs in ["0", "1025", "-1", "many"] {
        assert!(parse(&format!("crust-sim sweep --seeds 0..1 --jobs {jobs}")).is_err(), "{jobs}");
    }
}
