use super::*;

/// What a sweep over a range prints as one of its shards.
fn printed(range: &str, shard: &str) -> String {
    let (seeds, share): (Seeds, Shard) = (range.parse().unwrap(), shard.parse().unwrap());
    let mut tally = Tally::default();
    let mut text = String::new();
    for seed in seeds.of(share) {
        let (hash, failure) = ([seed as u8; 32], (seed % 5 == 4).then(|| format!("{seed}\nis odd")));
        tally.add(seed, &hash, seed * 10, failure.is_some());
        let line = SeedLine { seed, hash: hex(&hash), datagrams: seed * 10, failure };
        text += &(serde_json::to_string(&line).unwrap() + "\n");
    }
    let summary = Summary {
        seeds: tally.seeds(),
        failed: tally.failed(),
        hash: hex(&tally.hash()),
        datagrams: tally.datagrams(),
        datagrams_per_second: 1,
        datagrams_per_cpu_second: Some(2),
        seconds: 1.5,
        cpu_seconds: Some(1.0),
        range: range.to_owned(),
        shard: shard.to_owned(),
        benchmark: None,
    };
    text + &serde_json::to_string(&summary).unwrap() + "\n"
}

fn part(name: &str, text: &str) -> Result<Part, Failure> {
    read(Path::new(name), text.as_bytes())
}

fn parts(range: &str, shards: &[&str]) -> Vec<Part> {
    shards.iter().map(|shard| part(shard, &printed(range, shard)).unwrap()).collect()
}

#[track_caller]
fn refused(result: Result<impl std::fmt::Debug, Failure>, says: &str) {
    let failure = result.unwrap_err();
    assert_eq!(failure.kind, Kind::BadShards);
    assert!(failure.to_string().contains(says), "{failure}");
}

#[test]
fn however_a_sweep_is_shared_out_its_shards_make_the_same_whole() {
    let whole = parts("3..50", &["1/1"]);
    let whole = join(&whole).unwrap();
    for of in [2, 3, 7, 47, 60] {
        let mut shards: Vec<String> = (1..=of).map(|nth| format!("{nth}/{of}")).collect();
        shards.reverse();
        let parts = parts("3..50", &shards.iter().map(String::as_str).collect::<Vec<_>>());
        let joined = join(&parts).unwrap();
        assert_eq!((&joined.tally, &joined.lines), (&whole.tally, &whole.lines), "{of} shards");
        assert_eq!(joined.effort.wall, Duration::from_millis(1500 * of));
        assert_eq!(joined.effort.cpu, Some(Duration::from_secs(of)));
    }
}

#[test]
fn shards_that_are_missing_doubled_or_of_another_sweep_are_named() {
    refused(join(&parts("0..9", &["1/4", "3/4"])), "missing: 2/4, 4/4");
    refused(join(&parts("0..9", &["1/2", "2/2", "1/2"])), "1/2 and 1/2 are both shard 1/2");
    refused(join(&parts("0..9", &["1/2", "2/3"])), "one number of shards");
    let mut mixed = parts("0..9", &["1/2"]);
    mixed.extend(parts("0..10", &["2/2"]));
    refused(join(&mixed), "of seeds 0..9");
    refused(join(&parts("0..9", &["1/18446744073709551615"])), "2/18446744073709551615");
}

/// The text of one shard after a change to its lines, its last line made to agree where it can.
fn changed(change: impl Fn(&mut Vec<String>)) -> Result<Part, Failure> {
    let mut lines: Vec<String> = printed("0..9", "1/1").lines().map(|line| format!("{line}\n")).collect();
    change(&mut lines);
    part("part.jsonl", &lines.concat())
}

#[test]
fn what_no_sweep_has_written_is_refused_with_its_line() {
    assert!(changed(|_| ()).is_ok());
    refused(changed(|lines| lines[3] = "{\n".to_owned()), "part.jsonl:4: no line of");
    refused(changed(|lines| lines[3] = "\n".to_owned()), "part.jsonl:4: ");
    refused(changed(|lines| lines[2] = lines[2].replace("seed", "sead")), "part.jsonl:3: ");
    refused(changed(|lines| lines[2] = lines[2].replace("\"datagrams\":20", "\"datagrams\":-1")), ":3: ");
    refused(changed(|lines| drop(lines.pop())), "the last line is missing");
    refused(changed(|lines| lines.clear()), "the last line is missing");
    refused(changed(|lines| lines.push(lines[0].clone())), "part.jsonl:11: nothing is expected");
    refused(changed(|lines| *lines.last_mut().unwrap() = lines.last().unwrap().trim().to_owned()), "cut off");
    refused(changed(|lines| lines[1] = "x".repeat(3 << 20) + "\n"), "part.jsonl:2: ");
    refused(changed(|lines| lines[9] = lines[9].replace("0..9", "9..0")), "part.jsonl:10: range");
    refused(changed(|lines| lines[9] = lines[9].replace("1/1", "2/1")), "part.jsonl:10: shard");
}

#[test]
fn a_file_whose_last_line_does_not_fit_the_others_is_refused() {
    refused(changed(|lines| drop(lines.remove(4))), "run that shard again");
    refused(changed(|lines| lines[4] = lines[3].clone()), "run that shard again");
    refused(changed(|lines| lines[4] = lines[4].replace("04", "05")), "run that shard again");
    refused(changed(|lines| lines[4] = lines[4].replace("\"datagrams\":40", "\"datagrams\":41")), "again");
}

#[test]
fn seeds_that_are_missing_doubled_or_anothers_are_named() {
    let with = |change: &dyn Fn(&mut Vec<Part>)| {
        let mut parts = parts("0..40", &["1/2", "2/2"]);
        change(&mut parts);
        join(&parts).map(|whole| whole.tally)
    };
    assert!(with(&|_| ()).is_ok());
    refused(with(&|parts| drop(parts[1].lines.drain(1..4))), "missing: 2, 4, 6");
    refused(with(&|parts| drop(parts[1].lines.drain(..))), "missing: 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, ...");
    refused(with(&|parts| parts[0].lines[1].1.seed = 1), "1/2:2: seed 1 is there twice");
    refused(with(&|parts| parts[0].lines[1].1.seed = 2), "1/2:2: seed 2 is none of shard 1/2");
    refused(with(&|parts| parts[0].lines[1].1.seed = 41), "1/2:2: seed 41 is none of");
    refused(with(&|parts| parts[0].lines[1].1.hash = "12".to_owned()), "1/2:2: \"12\" is no hash");
}
