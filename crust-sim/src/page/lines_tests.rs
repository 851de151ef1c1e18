use proptest::prelude::*;

use super::*;
use crate::record::testing::transfer;
use crate::record::{RecordLimits, Recorder};

proptest! {
    #![proptest_config(crate::seeds::cases(200))]

    #[test]
    fn no_more_arrows_are_chosen_than_allowed_and_no_packet_twice(
        arrows in proptest::collection::vec(0_usize..6, 0..200),
        notes in proptest::collection::vec(0_u64..220, 0..8),
        most in 0_usize..400,
    ) {
        let starts: Vec<Instant> = (0..arrows.len() as u64).map(Instant::from_nanos).collect();
        let mut notes: Vec<Note> = notes
            .into_iter()
            .map(|now| Note { now: Instant::from_nanos(now), host: None, text: String::new() })
            .collect();
        notes.sort_by_key(|note| note.now);
        let notes: Vec<&Note> = notes.iter().collect();
        let chosen = choose(&arrows, &starts, &notes, most);
        prop_assert!(chosen.windows(2).all(|pair| pair[0].end < pair[1].start), "{chosen:?}");
        prop_assert!(chosen.iter().all(|range| range.end <= arrows.len()));
        let total: usize = chosen.iter().flat_map(|range| &arrows[range.clone()]).sum();
        prop_assert!(total <= most, "{total}");
        if arrows.iter().sum::<usize>() <= most {
            prop_assert!(chosen.len() == 1 && chosen[0] == (0..arrows.len()));
        }
    }
}

#[test]
fn hosts_without_names_are_drawn_only_where_none_has_one() {
    let recorder = Recorder::new(RecordLimits::default());
    transfer(1, 10_000, Some(&recorder));
    let mut recording = recorder.recording();
    assert_eq!(Lanes::of(&recording).names, ["alice", "home's NAT", "office's router", "bob"]);
    recording.hosts.clear();
    let lanes = Lanes::of(&recording).names;
    assert!(lanes.len() == 5 && lanes.iter().all(|name| name.starts_with("host ")), "{lanes:?}");
}
