use super::*;

#[test]
fn try_it() {
    for f in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).unwrap() {
        let f = f.unwrap().path();
        if let Ok(only) = std::env::var("SC")
            && !f.to_str().unwrap().contains(&only)
        {
            continue;
        }
        let text = std::fs::read_to_string(&f).unwrap();
        let s = Scenario::parse(&text).unwrap_or_else(|e| panic!("{f:?}: {e}"));
        for seed in 0..3 {
            let r = s.run(seed, None);
            println!("{f:?} {seed} {:?} {}", r.elapsed, r.datagrams);
            if seed == 0 || !r.failures.is_empty() {
                println!("{:#?} {:#?}", r.log, r.failures);
            }
            assert_eq!(s.run(seed, None).hash, r.hash);
        }
    }
}
