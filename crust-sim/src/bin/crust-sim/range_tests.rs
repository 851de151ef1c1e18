use super::*;

#[test]
fn what_is_no_range_and_no_shard_is_refused_with_what_was_expected() {
    for text in ["", "1", "1..", "..2", "1...2", "a..b", "-1..2", "1..=2", "0..18446744073709551616"] {
        assert!(text.parse::<Seeds>().unwrap_err().contains("0..1000"), "{text}");
    }
    assert!("3..3".parse::<Seeds>().unwrap_err().contains("no seed"));
    assert!("4..3".parse::<Seeds>().unwrap_err().contains("no seed"));
    for text in ["", "1", "0/4", "5/4", "1/0", "0/0", "a/b", "-1/4", "1/18446744073709551616"] {
        assert!(text.parse::<Shard>().unwrap_err().contains("2/4"), "{text}");
    }
}

#[test]
fn what_is_read_is_what_is_written() {
    for text in ["0..1", "7..1000", "0..18446744073709551615"] {
        assert_eq!(text.parse::<Seeds>().unwrap().to_string(), text);
    }
    for text in ["1/1", "2/4", "18446744073709551615/18446744073709551615"] {
        assert_eq!(text.parse::<Shard>().unwrap().to_string(), text);
    }
}

#[test]
fn shards_share_a_range_out_without_rest_and_without_doubles() {
    for (first, last) in [(0, 0), (0, 9), (3, 16), (1000, 1062), (u64::MAX - 20, u64::MAX)] {
        let seeds = Seeds { first, last };
        for of in [1, 2, 3, 7, 10, 64, u64::MAX] {
            let nths = 1..=of.min(100);
            let mut all = Vec::new();
            for nth in nths {
                let shard = Shard { of, nth };
                let mine: Vec<u64> = seeds.of(shard).collect();
                assert_eq!(mine.len() as u64, seeds.count_of(shard), "{seeds} {shard}");
                assert!(mine.iter().all(|seed| shard.has(*seed)), "{seeds} {shard}: {mine:?}");
                all.extend(mine);
            }
            all.sort_unstable();
            if of <= 100 {
                assert_eq!(all, (first..=last).collect::<Vec<_>>(), "{seeds} by {of}");
            }
        }
    }
}
