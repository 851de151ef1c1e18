use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Step {
    Insert(Range<u64>),
    Remove(Range<u64>),
    PopFirst,
}

fn step() -> impl Strategy<Value = Step> {
    let range = || (0u64..60, 0u64..12).prop_map(|(start, len)| start..start + len);
    prop_oneof![
        4 => range().prop_map(Step::Insert),
        2 => range().prop_map(Step::Remove),
        1 => Just(Step::PopFirst)
    ]
}

proptest! {
    #[test]
    fn a_range_set_is_the_set_of_its_members(steps in prop::collection::vec(step(), 0..40)) {
        let mut set = RangeSet::default();
        let mut model = BTreeSet::new();
        for step in steps {
            match step {
                Step::Insert(range) => {
                    let before = model.len();
                    model.extend(range.clone());
                    prop_assert_eq!(set.insert(range), model.len() > before);
                }
                Step::Remove(range) => {
                    set.remove(range.clone());
                    model.retain(|v| !range.contains(v));
                }
                Step::PopFirst => {
                    for v in set.pop_first().unwrap_or(0..0) {
                        prop_assert!(model.remove(&v));
                    }
                }
            }
            let members: Vec<u64> = set.iter().flatten().collect();
            prop_assert_eq!(&members, &model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.max(), model.last().copied());
            let ranges: Vec<_> = set.iter().collect();
            for pair in ranges.windows(2) {
                prop_assert!(pair[0].end < pair[1].start, "ranges touch: {:?}", ranges);
            }
            for v in 0..75 {
                prop_assert_eq!(set.contains(v), model.contains(&v));
            }
        }
    }
}
