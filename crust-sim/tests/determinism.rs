//! A run depends on its seed and on nothing else: not on the process, not on what ran before.

use crust_async::Connection;
use crust_proto::Duration;
use crust_sim::{Internet, Kind, LinkConfig, Sim, SiteConfig};

/// How many seeds are compared.
const SEEDS: u64 = 20;

/// A transfer through two NATs over bad wires, and the hash of every event in it.
fn hash(seed: u64) -> String {
    let sim = Sim::new(seed);
    let (client, server) = {
        let mut world = sim.world();
        let mut internet = Internet::new(&mut world);
        let wire = LinkConfig {
            jitter: Duration::from_millis(3),
            loss: 30_000,
            reorder: 30_000,
            ..LinkConfig::with_latency(Duration::from_millis(10))
        };
        let server = internet.host(&mut world, wire);
        let site = SiteConfig::of(Kind::Symmetric, wire).behind(Kind::CarrierGrade);
        (internet.site(&mut world, &site).host(&mut world), server)
    };
    sim.run(async {
        let (client, server) =
            (sim.builder(client).bind().await.unwrap(), sim.builder(server).bind().await.unwrap());
        let to: Connection = client.connect(server.contact()).await.unwrap();
        let from = server.accept().await.unwrap();
        let mut stream = to.open_uni().await.unwrap();
        stream.write_all(&[7; 100_000]).await.unwrap();
        stream.finish().unwrap();
        let read = from.accept_uni().await.unwrap().read_to_end(1 << 20).await.unwrap();
        assert!(read == [7; 100_000]);
    });
    let hash = sim.world().hash();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn n_seeds_give_n_hashes_and_each_the_same_again() {
    let hashes: Vec<_> = (0..SEEDS).map(hash).collect();
    let again: Vec<_> = (0..SEEDS).rev().map(hash).collect();
    assert!(hashes.iter().eq(again.iter().rev()));
    let different: std::collections::BTreeSet<_> = hashes.iter().collect();
    assert_eq!(different.len(), hashes.len());
}

/// Not a test of its own: another process runs it for its output.
#[test]
fn prints_its_hashes() {
    for seed in 0..SEEDS {
        println!("hash {seed} {}", hash(seed));
    }
}

#[test]
fn another_process_finds_the_same_hashes() {
    let this = std::env::current_exe().expect("a test knows its program");
    let output = std::process::Command::new(this)
        .args(["--exact", "prints_its_hashes", "--nocapture", "--test-threads=1"])
        .output()
        .expect("it runs once more");
    let text = String::from_utf8_lossy(&output.stdout);
    // What the test runner says may stand before it on the line.
    let theirs: Vec<&str> =
        text.lines().filter_map(|line| line.split_once("hash ")).map(|(_, hash)| hash).collect();
    let ours: Vec<String> = (0..SEEDS).map(|seed| format!("{seed} {}", hash(seed))).collect();
    assert_eq!(theirs, ours, "{text}");
}
