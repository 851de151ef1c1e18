//! Every workload with little to do: it works, and says what it should. How fast is never asked.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const PEERS: [&str; 4] = ["tcp", "rustls", "quinn", "crust"];
const CIPHERS: [&str; 2] = ["aes-256-gcm", "chacha20-poly1305"];

/// Checks what a workload prints with `--json`: `cases` of two rounds of all peers, with these figures.
fn check(arguments: &[&str], cases: usize, figures: &[&str]) {
    let both = CIPHERS.join(",");
    let output = bench(&[arguments, &["--json", "--rounds", "2", "--cipher", &both]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = objects.pop().unwrap();

    let cases = cases * CIPHERS.len();
    assert_eq!(objects.len(), 2 * cases * PEERS.len());
    let mut order = PEERS.iter().cycle();
    for run in &objects {
        assert_eq!(run["type"], "run");
        assert_eq!(run["workload"], arguments[0]);
        assert_eq!(run["peer"], *order.next().unwrap(), "peers take turns");
        assert!(CIPHERS.iter().any(|cipher| run["cipher"] == *cipher));
        for figure in figures {
            assert!(run[figure].as_f64().unwrap() > 0.0, "{figure} of {run}");
        }
        for end in ["client", "server"] {
            assert!(run[end]["wall_s"].as_f64().unwrap() > 0.0, "{run}");
        }
    }

    assert_eq!(summary["type"], "summary");
    assert_eq!((&summary["rounds"], &summary["baseline"]), (&json!(2), &json!("rustls")));
    let results = summary["results"].as_array().unwrap();
    assert_eq!(results.len(), cases * PEERS.len());
    for result in results {
        for figure in figures {
            let of = |name: &str| result[figure][name].as_f64().unwrap();
            assert!(of("min") <= of("median") && of("median") <= of("max"), "{figure} of {result}");
            assert!(result["peer"] != "rustls" || of("ratio") == 1.0, "{figure} of {result}");
        }
    }
}

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crust-bench")).args(arguments).output().unwrap()
}

#[test]
fn bulk_says_cpu_seconds_per_gib() {
    let figures = ["cpu_s_per_gib", "sender_cpu_s_per_gib", "receiver_cpu_s_per_gib", "mb_per_s"];
    check(&["bulk", "--size", "3MiB"], 1, &figures);
}

#[test]
fn small_says_round_trips_per_cpu_second_for_each_size() {
    let figures = ["round_trips_per_cpu_s", "client_cpu_us", "server_cpu_us", "round_trips_per_s"];
    check(&["small", "--sizes", "64,1KiB", "--round-trips", "100"], 2, &figures);
}

#[test]
fn connect_says_connections_per_cpu_second() {
    let figures = ["connections_per_cpu_s", "client_cpu_us", "server_cpu_us", "connections_per_s"];
    check(&["connect", "--connections", "10"], 1, &figures);
}

#[test]
fn without_json_there_is_a_table() {
    let output = bench(&["bulk", "--size", "64KiB", "--rounds", "1", "--peers", "tcp,rustls"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("bulk, 65536 bytes, aes-256-gcm"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("tcp ")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("rustls ")), "{text}");
}

#[test]
fn an_end_ends_with_the_program_that_started_it() {
    let mut end = Command::new(env!("CARGO_BIN_EXE_crust-bench"))
        .arg("role")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = end.stdin.take().unwrap();
    let job = json!({
        "peer": "crust",
        "cipher": "aes-256-gcm",
        "workload": { "workload": "bulk", "bytes": 1000 },
        "cpu": null,
        "server": null,
    });
    writeln!(stdin, "{job}").unwrap();
    let mut line = String::new();
    BufReader::new(end.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("listening"), "{line}");

    drop(stdin);
    assert!(end.wait().unwrap().success());
}

#[test]
fn errors_say_what_to_do() {
    let too_long = bench(&["bulk", "--size", "1GiB", "--limit", "0", "--peers", "tcp"]);
    let text = String::from_utf8(too_long.stderr).unwrap();
    assert!(!too_long.status.success());
    assert!(text.contains("give `--limit` more seconds"), "{text}");

    let no_size = bench(&["bulk", "--size", "0"]);
    let text = String::from_utf8(no_size.stderr).unwrap();
    assert!(!no_size.status.success());
    assert!(text.contains("64MiB"), "{text}");
}
