//! Worlds full of faults: whatever happens, nothing is lost that was promised, and when the faults stop all is well.

use crust_sim::{seeds, swarm};

/// How many seeds are run.
const SEEDS: u64 = 100;

#[test]
fn when_faults_stop_everything_converges() {
    seeds(SEEDS, |seed| {
        let report = swarm::run(seed, None);
        if let Some(failure) = report.failure {
            let setting = report.setting.join("\n  ");
            panic!("swarm {seed}, {failure}\n  {setting}");
        }
        assert!(report.datagrams > 0 && report.steps > 0, "{report:?}");
    });
}

#[test]
fn a_swarm_depends_on_its_seed_alone_and_seeds_differ() {
    seeds(SEEDS / 20, |seed| {
        let (once, again) = (swarm::run(seed, None), swarm::run(seed, None));
        assert_eq!(
            (once.hash, once.elapsed, once.datagrams, once.steps, once.setting),
            (again.hash, again.elapsed, again.datagrams, again.steps, again.setting)
        );
        let other = swarm::run(seed ^ (1 << 63), None);
        assert_ne!(once.hash, other.hash);
    });
}
