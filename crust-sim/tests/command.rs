//! The `crust-sim` command as users run it: real processes, real files.
#![cfg(feature = "cli")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A directory of its own, and what was run in it.
struct Place(TempDir);

/// What a process has said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crust-sim"));
        command.args(line.split_whitespace()).current_dir(self.0.path()).env_remove("CLICOLOR_FORCE");
        command
    }

    /// Runs a command line; no argument holds a space.
    fn run(&self, line: &str) -> Said {
        Said::of(self.command(line).output().unwrap())
    }

    /// The same, with what it prints kept in a file, as a shell does it.
    fn run_into(&self, file: &str, line: &str) -> Said {
        let said = self.run(line);
        self.write(file, &said.stdout);
        said
    }
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    fn well(self) -> Self {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self
    }

    /// One JSON object a line.
    #[track_caller]
    fn objects(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    fn last(&self) -> Value {
        self.objects().pop().unwrap()
    }

    /// It failed as it should, for people and for machines.
    #[track_caller]
    fn badly(self, code: i32, name: &str, says: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.contains(says), "{}", self.stderr);
        let error = self.last();
        assert_eq!((error["event"].as_str(), error["code"].as_str()), (Some("error"), Some(name)));
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }
}

#[test]
fn the_matrix_has_every_pair_and_says_what_the_oracle_holds_possible() {
    let place = Place::new();
    let cells = place.run("matrix --seed 3 --json").well().objects();
    assert_eq!(cells.len(), 144);
    let cell = |a: &str, b: &str| cells.iter().find(|cell| cell["a"] == a && cell["b"] == b).unwrap();
    let met = cell("symmetric", "open");
    assert_eq!((met["connected"].as_f64(), met["way"].as_str()), (Some(1.0), Some("udp")));
    assert!(met["time_ms"].as_f64().unwrap() > 1.0 && met["datagrams"].as_u64().unwrap() >= 3);
    let hopeless = cell("symmetric", "symmetric");
    assert_eq!((hopeless["connected"].as_f64(), hopeless["way"].as_str()), (Some(0.0), None));
    assert_eq!((&hopeless["possible"], &hopeless["certain"]), (&serde_json::json!([]), &false.into()));
    let punched = cell("port-restricted", "full-cone");
    assert_eq!(punched["possible"], serde_json::json!(["plain-udp", "tcp-simultaneous-open"]));
    assert!(punched["certain"].as_bool().unwrap());
}

#[test]
fn the_matrix_for_people_fits_a_hundred_columns_and_explains_itself() {
    let said = Place::new().run("matrix").well();
    let width = said.stdout.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(width <= 100, "{width} columns:\n{}", said.stdout);
    for word in ["port-restricted", "udp-blocked", "milliseconds/datagrams", "relay"] {
        assert!(said.stdout.contains(word), "no {word} in\n{}", said.stdout);
    }
    assert!(!said.stdout.contains('\x1b'), "colours where there is no terminal");
}

#[test]
fn each_cell_of_the_heat_map_leads_to_the_run_of_its_pair() {
    let place = Place::new();
    place.run("matrix -q --html matrix.html").well();
    let page = fs::read_to_string(place.path("matrix.html")).unwrap();
    let (matrix, runs) = page.split_once("<section class=\"run\"").unwrap();
    let between = |text: &str, from: &str, to: &str| {
        let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from} in {text:.200}"));
        rest.split_once(to).unwrap().0.to_owned()
    };
    let headings: BTreeMap<String, String> = runs
        .split("<section class=\"run\"")
        .map(|run| (between(run, "id=\"", "\""), between(run, "<h2>", "</h2>")))
        .collect();
    let cells = matrix.split("<td class=").skip(1).map(|cell| {
        let target = between(cell, "<a href=\"#", "\"");
        let told = between(cell, "title=\"", "\"");
        // The row and the column, then the run: which stands under a heading that names both.
        let (pair, _) = told.split_once(": ").unwrap();
        assert_eq!(headings[&target], pair.replace(" – ", " with "), "{target}");
        target
    });
    assert_eq!(cells.collect::<BTreeSet<_>>().len(), 144);
}

#[test]
fn one_pair_can_be_asked_for_alone() {
    let place = Place::new();
    let cells = place.run("matrix --pair cgn,open --seeds 5..15 --json").well().objects();
    assert_eq!((cells.len(), cells[0]["seeds"].as_u64()), (1, Some(10)));
    let said = place.run("matrix --pair firewall,firewall").well();
    assert!(said.stdout.starts_with("firewall with firewall: connected over UDP"), "{}", said.stdout);
    place.run("matrix --pair cube,open --json").badly(2, "usage", "port-restricted");
    place.run("matrix --pcap x.pcapng --json").badly(2, "usage", "--pair symmetric,open");
}

#[test]
fn the_population_ends_with_shares_and_percentiles() {
    let place = Place::new();
    let said = place.run("population --mix b --seeds 0..60 --each --json").well();
    let objects = said.objects();
    let (total, each) = objects.split_last().unwrap();
    assert_eq!((total["seeds"].as_u64(), each.len()), (Some(60), 60));
    let share = |name: &str| total[name].as_f64().unwrap();
    let met = each.iter().filter(|line| line["way"] == "udp").count() as f64 / 60.0;
    assert!((share("connected") - met).abs() < 1e-5, "{total}");
    assert!((share("direct") + share("relayed") - share("connected")).abs() < 1e-5, "{total}");
    assert!(share("connected") <= share("certain") && share("certain") <= share("possible"), "{total}");
    assert!(0.0 < share("connected") && share("possible") <= 1.0, "{total}");
    let mut times: Vec<f64> = each.iter().filter_map(|line| line["time_ms"].as_f64()).collect();
    times.sort_by(f64::total_cmp);
    let nearest_rank = |hundredths: usize| times[(times.len() * hundredths).div_ceil(100) - 1];
    assert!(nearest_rank(50) < nearest_rank(95), "{times:?}");
    assert_eq!([share("p50_ms"), share("p95_ms")], [50, 95].map(nearest_rank), "{total}");
    assert_eq!(place.run("population --mix b --seeds 0..60 --json").well().last(), *total);
    let people = place.run("population --seeds 0..5 -q").well();
    assert!(people.stdout.contains("p95") && people.stdout.contains("possible"), "{}", people.stdout);
}

#[test]
fn another_population_is_read_from_a_file_and_shown_where_it_is_wrong() {
    let place = Place::new();
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/population.toml")).unwrap();
    place.write("mine.toml", &text.replacen("\nb = ", "\noffice = ", 1));
    let line = "population --file mine.toml --mix office --seeds 0..20 --json";
    let (mine, mix_b) =
        (place.run(line).well().last(), place.run("population --mix b --seeds 0..20 --json").last());
    assert_eq!((&mine["p50_ms"], &mine["mix"]), (&mix_b["p50_ms"], &"office".into()));
    place.run("population --file mine.toml --mix b --json").badly(2, "bad_file", "one of a, office");
    place.run("population --mix office --json").badly(2, "usage", "--file");
    place.write("wrong.toml", &text.replacen("a = { home = 0.55", "a = { hone = 0.55", 1));
    let said = place.run("population --file wrong.toml --seeds 0..20 --json");
    let line = text.lines().position(|line| line.starts_with("a = ")).unwrap() + 1;
    assert_eq!(said.last()["line"].as_u64(), Some(line as u64));
    assert!(said.stderr.starts_with(&format!("wrong.toml:{line}:")), "{}", said.stderr);
    assert!(said.stderr.contains("a = { hone"), "the line itself: {}", said.stderr);
    said.badly(2, "bad_file", "hone");
}

#[test]
fn shards_in_any_number_join_to_what_one_sweep_finds() {
    let place = Place::new();
    let whole = place.run_into("whole", "sweep --seeds 7..12 --json");
    let without_speed = |said: &Said| {
        let mut objects = said.objects();
        let total = objects.last_mut().unwrap().as_object_mut().unwrap();
        for speed in ["seconds", "cpu_seconds", "datagrams_per_second", "datagrams_per_cpu_second"] {
            assert!(total.remove(speed).is_some(), "no {speed}");
        }
        objects
    };
    for of in [3, 7] {
        let names: Vec<String> = (1..=of).map(|nth| format!("shard{nth}of{of}")).collect();
        for (nth, name) in (1..).zip(&names) {
            place.run_into(name, &format!("sweep --seeds 7..12 --shard {nth}/{of} --json"));
        }
        let joined = place.run(&format!("merge --json {}", names.join(" ")));
        assert_eq!(joined.code, whole.code);
        assert_eq!(without_speed(&joined), without_speed(&whole), "{of} shards");
    }
    // The same on several threads.
    let threads = place.run("sweep --seeds 7..12 --jobs 5 --json");
    assert_eq!(without_speed(&threads), without_speed(&whole));
    place.run("merge --json whole shard1of3").badly(2, "bad_shards", "number of shards");
    place.run("merge --json shard1of3 shard3of3").badly(2, "bad_shards", "missing: 2/3");
    place.run("merge --json shard1of3 shard1of3 shard3of3").badly(2, "bad_shards", "both shard 1/3");
    place.run("merge --json whole nowhere").badly(2, "no_such_file", "nowhere");
    place.write("text", "hello\n");
    place.run("merge --json text").badly(2, "bad_shards", "text:1: ");
}

#[test]
fn a_seed_that_failed_is_named_with_the_command_that_replays_it() {
    let place = Place::new();
    // As a sweep would tell of it, whether or not one fails today.
    let hashes = [[1; 32], [2; 32]];
    let mut all = blake3::Hasher::new();
    let mut text = String::new();
    for (seed, hash) in (70u64..).zip(hashes) {
        all.update(&seed.to_le_bytes()).update(&hash);
        let (hash, failure) = (blake3::Hash::from(hash).to_hex(), (seed == 71).then_some("it is odd"));
        let line =
            serde_json::json!({"seed": seed, "hash": hash.as_str(), "datagrams": 5, "failure": failure});
        text += &format!("{line}\n");
    }
    let hash = all.finalize().to_hex();
    let total = serde_json::json!({
        "seeds": 2, "failed": 1, "hash": hash.as_str(), "datagrams": 10, "datagrams_per_second": 5,
        "datagrams_per_cpu_second": null, "seconds": 2.0, "cpu_seconds": null, "range": "70..72", "shard": "1/1",
    });
    place.write("sweep", &format!("{text}{total}\n"));
    for line in ["merge sweep", "merge sweep --json"] {
        let said = place.run(line);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.stderr.contains("seed 71 failed: it is odd"), "{}", said.stderr);
        assert!(said.stderr.contains("crust-sim replay 71"), "{}", said.stderr);
        assert!(said.stdout.contains(hash.as_str()), "{}", said.stdout);
    }
    assert_eq!(place.run("merge sweep --json").last(), total);
}

#[test]
fn a_sweep_tells_of_each_seed_and_then_of_all() {
    let said = Place::new().run("sweep --seeds 0..3 --json");
    let objects = said.objects();
    let (total, seeds) = objects.split_last().unwrap();
    let number = |value: &Value, name: &str| value[name].as_u64().unwrap();
    assert_eq!(seeds.iter().map(|line| number(line, "seed")).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(number(total, "seeds"), 3);
    let datagrams: u64 = seeds.iter().map(|line| number(line, "datagrams")).sum();
    assert_eq!(number(total, "datagrams"), datagrams);
    assert!(total["datagrams_per_second"].is_u64(), "{total}");
    for hash in objects.iter().map(|line| line["hash"].as_str().unwrap()) {
        assert_eq!(hash.len(), 64);
    }
    let failed = seeds.iter().filter(|line| !line["failure"].is_null()).count() as u64;
    assert_eq!((number(total, "failed"), said.code), (failed, Some(i32::from(failed > 0))));
}

#[test]
fn a_sweep_tells_on_request_what_one_core_moves() {
    let place = Place::new();
    let said = place.run("sweep --seeds 3..4 --speed=2 --json");
    let total = said.last();
    let benchmark = total["benchmark"].as_object().unwrap();
    // Which of the two there is may be another crate's wish: features are those of the whole build.
    let best = ["aws-lc-rs", "pure"].into_iter().find(|name| benchmark.contains_key(*name)).unwrap();
    for name in ["wire", "null", best] {
        assert!(benchmark[name].as_u64().unwrap() > 0, "{total}");
    }
    assert_eq!(benchmark.len(), 3);
    assert!(place.run("sweep --seeds 3..4 --json").last().get("benchmark").is_none());
    // What one machine could do is nothing of the sweep's.
    place.write("shard", &said.stdout);
    assert!(place.run("merge shard --json").last().get("benchmark").is_none());
    let people = place.run("sweep --seeds 3..4 --speed=1").stdout;
    for words in ["datagrams a second in swarms", "one core through two NATs", " null"] {
        assert!(people.contains(words), "{people}");
    }
}

#[test]
fn two_processes_give_the_same_hashes() {
    let place = Place::new();
    for line in ["replay 2 --json", "population --seeds 0..10 --each --json", "matrix --json"] {
        let (one, other) = (place.run(line), place.run(line));
        assert_eq!((one.code, one.stdout), (other.code, other.stdout), "{line}");
    }
    let threads = place.run("population --seeds 0..10 --each --json --jobs 3");
    assert_eq!(threads.stdout, place.run("population --seeds 0..10 --each --json").stdout);
}

#[test]
fn a_replay_tells_everything_of_one_seed_and_that_it_is_the_same_again() {
    let place = Place::new();
    let swept = place.run("sweep --seeds 1..2 --json").objects().remove(0);
    let said = place.run("replay 1 --json");
    let replayed = said.last();
    for name in ["seed", "hash", "datagrams", "failure"] {
        assert_eq!(replayed[name], swept[name], "{name}");
    }
    assert_eq!(replayed["deterministic"], true);
    assert!(replayed["setting"].is_array());
    assert_eq!(said.code, Some(i32::from(!swept["failure"].is_null())));
    assert!(place.run("replay 1").stdout.contains(swept["hash"].as_str().unwrap()));
    place.run("replay four --json").badly(2, "usage", "expected a seed, a whole number from 0 on");
}

/// A link that the rest of a scenario goes over.
const WIRE: &str = "name = \"a walk\"\n[link.wire]\nlatency = \"20ms\"\n";
/// Two hosts that meet, and how many datagrams they may need for it.
const MEET: &str = r#"
[host.a]
link = "wire"
[host.b]
link = "wire"
[node.alice]
host = "a"
[node.bob]
host = "b"
[[step]]
do = "connect"
from = "alice"
to = "bob"
[expect]
connected = [["alice", "bob"]]
datagrams-at-most = "#;

#[test]
fn a_scenario_that_is_wrong_is_shown_with_its_line_its_column_and_what_was_expected() {
    let place = Place::new();
    place.write("wrong.toml", &WIRE.replace("20ms", "20 parsecs"));
    let said = place.run("run wrong.toml --json");
    let error = said.last();
    assert_eq!((error["line"].as_u64(), error["column"].as_u64()), (Some(3), Some(11)));
    assert!(said.stderr.starts_with("wrong.toml:3:11: expected a duration"), "{}", said.stderr);
    assert!(said.stderr.contains("3 | latency = \"20 parsecs\"\n  |           ^"), "{}", said.stderr);
    said.badly(2, "bad_file", "expected a duration");
}

#[test]
fn a_scenario_passes_or_fails_and_the_exit_code_says_which() {
    let place = Place::new();
    place.write("generous.toml", &format!("{WIRE}{MEET}1000\n"));
    place.write("mean.toml", &format!("{WIRE}{MEET}1\n"));
    let passed = place.run("run generous.toml --seeds 0..3 --json").well();
    assert_eq!(passed.objects().len(), 4, "one for each seed, and the sum");
    assert_eq!((passed.last()["seeds"].as_u64(), passed.last()["failed"].as_u64()), (Some(3), Some(0)));
    let again = place.run("run generous.toml --seeds 0..3 --json").well();
    assert_eq!(passed.stdout, again.stdout, "another process, the same hashes");
    let failed = place.run("run mean.toml --seed 5 --json");
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.stdout.contains("datagrams"), "{}", failed.stdout);
}

#[test]
fn no_file_is_written_twice() {
    let place = Place::new();
    for line in ["--pcap a.x --html a.x", "--pcap a.x --html a.contents.x"] {
        place.run(&format!("replay 1 --json {line}")).badly(2, "usage", "asked for twice");
    }
    assert!(!place.path("a.x").exists(), "nothing was begun");
}

#[test]
fn a_scenario_that_is_no_file_is_refused() {
    let place = Place::new();
    place.run("run nowhere.toml --json").badly(2, "no_such_file", "nowhere.toml");
    fs::write(place.path("binary.toml"), [0xff, 0xfe, 0]).unwrap();
    place.run("run binary.toml --json").badly(2, "no_such_file", "UTF-8");
    place.run("run binary.toml --seed 1 --seeds 0..2 --json").badly(2, "usage", "--seed");
}

#[test]
fn captures_and_pages_are_written_and_what_cannot_be_is_known_before_the_work() {
    let place = Place::new();
    place.run("matrix --pair open,open -q --pcap one.pcapng --html one.html").well();
    place.run("replay 1 -q --pcap two.pcap --html two.html");
    place.run("population --seeds 0..3 -q --html three.html").well();
    let files = [
        "one.pcapng",
        "one.contents.pcapng",
        "one.html",
        "two.pcap",
        "two.contents.pcap",
        "two.html",
        "three.html",
    ];
    for name in files {
        assert!(place.path(name).is_file(), "{name}");
    }
    for line in ["matrix", "replay 1", "population --seeds 0..1000000000"] {
        let said = place.run(&format!("{line} --html no/where.html --json"));
        assert!(!said.stdout.contains("hash"), "it did the work: {}", said.stdout);
        said.badly(3, "output", "create the directory");
    }
}

#[test]
fn what_is_written_is_the_first_seed_that_failed() {
    let place = Place::new();
    let each = place.run("population --mix b --seeds 0..60 --each --json").well().objects();
    let met = |at: usize| each[at]["way"].is_string();
    let seed = (1..60).find(|seed| met(seed - 1) && !met(*seed)).expect("some do and some do not");
    let line = format!("population --mix b --seeds {}..60 -q --html population.html", seed - 1);
    place.run(&line).well();
    let page = fs::read_to_string(place.path("population.html")).unwrap();
    assert!(page.contains(&format!("the run is seed {seed}")), "{line}");

    let wire = WIRE.replace("20ms\"", "20ms\"\nloss = \"10%\"");
    place.write("generous.toml", &format!("{wire}{MEET}1000\n"));
    let runs = place.run("run generous.toml --seeds 0..20 --json").well().objects();
    let sent: Vec<u64> = runs[..20].iter().map(|run| run["datagrams"].as_u64().unwrap()).collect();
    let seed = (1..20).find(|seed| sent[seed - 1] < sent[*seed]).expect("losses cost datagrams");
    place.write("mean.toml", &format!("{wire}{MEET}{}\n", sent[seed - 1]));
    let line = format!("run mean.toml --seeds {}..20 --html run.html", seed - 1);
    let said = place.run(&line);
    assert_eq!(said.code, Some(1), "{said:?}");
    let page = fs::read_to_string(place.path("run.html")).unwrap();
    assert!(page.contains(&format!("crust-sim run mean.toml --seed {seed}")), "{line}");
}

#[test]
fn command_lines_that_make_no_sense_say_what_was_expected() {
    let place = Place::new();
    for (line, says) in [
        ("sweep --json", "--seeds"),
        ("sweep --seeds 5..5 --json", "A below B"),
        ("sweep --seeds 0..x --json", "A..B"),
        ("sweep --seeds 0..4 --shard 5/4 --json", "2/4"),
        ("sweep --seeds 0..4 --shard 0/4 --json", "2/4"),
        ("sweep --seeds 0..4 --jobs 0 --json", "1..=1024"),
        ("merge --json", "FILE"),
        ("dance --json", "dance"),
    ] {
        place.run(line).badly(2, "usage", says);
    }
    let said = place.run("");
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("Examples:"), "{}", said.stderr);
    let version = place.run("--version").well().stdout;
    assert_eq!(version.trim(), format!("crust-sim {}", env!("CARGO_PKG_VERSION")));
    for command in ["matrix", "population", "run", "sweep", "merge", "replay"] {
        let help = place.run(&format!("{command} --help")).well().stdout;
        assert!(help.contains("Examples:") && help.contains("--json"), "{help}");
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_ends_the_work_without_a_word() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    // It would take years.
    for line in [
        "population --seeds 0..1000000000000 --each --json",
        "sweep --seeds 0..1000000000000 --json --jobs 2",
    ] {
        let place = Place::new();
        let mut child = place.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.starts_with('{'), "{first}");
        let said = Said::of(child.wait_with_output().unwrap());
        assert!(said.code.is_some_and(|code| code < 2), "{said:?}");
        assert!(!said.stderr.contains("panic"), "{}", said.stderr);
    }
}
