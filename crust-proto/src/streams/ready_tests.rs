use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Push(u32, i32),
    Remove(u32),
    RemoveFirst,
    Shrink,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u32..12, prop_oneof![Just(0), -2i32..3]).prop_map(|(slot, priority)| Step::Push(slot, priority)),
        2 => (0u32..12).prop_map(Step::Remove),
        2 => Just(Step::RemoveFirst),
        1 => Just(Step::Shrink),
    ]
}

proptest! {
    #[test]
    fn the_line_is_sorted_by_priority_and_then_by_arrival(steps in prop::collection::vec(step(), 0..80)) {
        let mut queue = ReadyQueue::default();
        let mut model: Vec<(i32, u32)> = Vec::new();
        for step in steps {
            match step {
                Step::Push(slot, priority) => {
                    queue.push(slot, priority);
                    model.retain(|(_, s)| *s != slot);
                    model.push((priority, slot));
                    model.sort_by_key(|(priority, _)| core::cmp::Reverse(*priority));
                }
                Step::Remove(slot) => {
                    queue.remove(slot);
                    model.retain(|(_, s)| *s != slot);
                }
                Step::RemoveFirst => {
                    if let Some((_, slot)) = queue.first() {
                        queue.remove(slot);
                        model.remove(0);
                    }
                }
                Step::Shrink => queue.shrink(),
            }
            prop_assert_eq!(queue.first(), model.first().copied());
            prop_assert_eq!(queue.is_empty(), model.is_empty());
        }
        while let Some(first) = queue.first() {
            prop_assert_eq!(first, model.remove(0));
            queue.remove(first.1);
        }
        prop_assert!(model.is_empty());
    }
}
