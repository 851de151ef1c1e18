use super::{median, outcomes, run_object, summary_object, tables};
use crate::peer::{Cipher, Peer};
use crate::run::{Case, Manner, Run};
use crate::usage::Usage;
use crate::workload::Workload;

const CASE: Case = Case { workload: Workload::Bulk { bytes: 1 << 30 }, cipher: Cipher::Aes256Gcm };

fn run(peer: Peer, round: usize, cpu_s: f64) -> Run {
    let half = Usage { wall_s: 2.0, user_s: cpu_s / 4.0, system_s: cpu_s / 4.0 };
    Run { case: CASE, peer, round, client: half, server: half }
}

/// The machine is at half its speed in the second round, and the outlier is nobody's.
fn runs() -> Vec<Run> {
    vec![
        run(Peer::Rustls, 1, 1.0),
        run(Peer::Crust, 1, 1.5),
        run(Peer::Rustls, 2, 2.0),
        run(Peer::Crust, 2, 3.0),
        run(Peer::Rustls, 3, 1.0),
        run(Peer::Crust, 3, 9.0),
    ]
}

#[test]
fn a_ratio_compares_what_ran_in_the_same_round() {
    let outcomes = outcomes(&runs(), Peer::Rustls);
    let [rustls, crust] = &outcomes[..] else { panic!("{outcomes:?}") };
    let (name, spread) = rustls.spreads[0];
    assert_eq!((name, spread.median, spread.min, spread.max), ("cpu_s_per_gib", 1.0, 1.0, 2.0));
    assert_eq!(spread.ratio, Some(1.0));
    let (_, spread) = crust.spreads[0];
    assert_eq!((spread.median, spread.min, spread.max), (3.0, 1.5, 9.0));
    assert_eq!(spread.ratio, Some(1.5), "medians alone would say 3");
}

#[test]
fn there_is_no_ratio_to_who_did_not_run() {
    let outcomes = outcomes(&runs(), Peer::Quinn);
    assert!(outcomes.iter().flat_map(|o| &o.spreads).all(|(_, spread)| spread.ratio.is_none()));
}

#[test]
fn a_run_says_what_both_ends_cost() {
    let object = run_object(&run(Peer::Crust, 1, 3.0));
    assert_eq!(object["peer"], "crust");
    assert_eq!(object["cipher"], "aes-256-gcm");
    assert_eq!(object["workload"], "bulk");
    assert_eq!(object["cpu_s_per_gib"], 3.0);
    assert_eq!(object["sender_cpu_s_per_gib"], 1.5);
    assert_eq!(object["receiver_cpu_s_per_gib"], 1.5);
    assert_eq!(object["mb_per_s"], f64::from(1 << 30) / 2e6);
}

#[test]
fn the_summary_and_the_table_hold_every_peer() {
    let outcomes = outcomes(&runs(), Peer::Rustls);
    let manner = Manner { rounds: 3, pin: false, limit: std::time::Duration::from_secs(1) };
    let summary = summary_object(&outcomes, Peer::Rustls, manner);
    assert_eq!(summary["results"][1]["peer"], "crust");
    assert_eq!(summary["results"][1]["cpu_s_per_gib"]["ratio"], 1.5);
    let table = tables(&outcomes, Peer::Rustls);
    assert!(table.contains("crust              3.00 (1.50 to 9.00)  1.50"), "{table}");
}

#[test]
fn the_median_of_an_even_number_lies_between_the_middle_two() {
    assert_eq!(median(vec![]), None);
    assert_eq!(median(vec![4.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(vec![8.0, 1.0, 2.0, 4.0]), Some(3.0));
}
