//! Any acknowledgement in any order, held against a model that searches all packets every time.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Send {
        size: u16,
        eliciting: bool,
    },
    Skip,
    Wait {
        micros: u32,
    },
    /// Acknowledges some of the numbers sent: bit i of the mask for the i-th last.
    Ack {
        mask: u64,
        older: bool,
    },
    Fire,
    PathChanged,
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (1u16..1500, prop::bool::weighted(0.8)).prop_map(|(size, eliciting)| Step::Send { size, eliciting }),
        1 => Just(Step::Skip),
        6 => (0u32..200_000).prop_map(|micros| Step::Wait { micros }),
        6 => (any::<u64>(), any::<u64>(), any::<bool>())
            .prop_map(|(a, b, older)| Step::Ack { mask: a & b, older }),
        4 => Just(Step::Fire),
        1 => prop::bool::weighted(0.2).prop_map(|d| if d { Step::Drain } else { Step::PathChanged }),
    ]
}

/// What the model knows of a packet under way.
#[derive(Clone, Copy, Debug)]
struct Open {
    sent: Instant,
    size: u64,
    counts: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_acknowledgements_lose_and_free_what_the_rfc_says(steps in prop::collection::vec(step(), 0..200)) {
        let mut path = Path::new();
        let mut open: BTreeMap<u64, Open> = BTreeMap::new();
        let mut skipped = Vec::new();
        let mut largest_acked = None;
        let mut now = at(1);
        for step in steps {
            path.outcome.clear();
            let mut detect = false;
            match step {
                Step::Send { size, eliciting } => {
                    let number = path.recovery.next_packet_number();
                    path.recovery.on_sent(now, size.into(), eliciting, number);
                    if eliciting {
                        open.insert(number, Open { sent: now, size: size.into(), counts: true });
                    }
                }
                Step::Skip => {
                    skipped.push(path.recovery.next_packet_number());
                    path.recovery.skip_packet_number();
                }
                Step::Wait { micros } => now = now + Duration::from_micros(micros.into()),
                Step::Ack { mask, older } => {
                    let top = path.recovery.next_packet_number().saturating_sub(if older { 32 } else { 0 });
                    let numbers: Vec<u64> = (0..top)
                        .rev()
                        .take(64)
                        .enumerate()
                        .filter(|&(i, number)| mask >> i & 1 == 1 && !skipped.contains(&number))
                        .map(|(_, number)| number)
                        .collect();
                    let Some(&largest) = numbers.first() else { continue };
                    path.ack(now, numbers.iter().copied());
                    let mut news: Vec<u64> = numbers.into_iter().filter(|n| open.contains_key(n)).collect();
                    news.sort_unstable();
                    let mut acked = path.outcome.acked.clone();
                    acked.sort_unstable();
                    prop_assert_eq!(&acked, &news);
                    prop_assert_eq!(path.outcome.newly_acked, news.len());
                    detect = largest_acked < Some(largest) || !news.is_empty() || path.outcome.late > 0;
                    largest_acked = largest_acked.max(Some(largest));
                    for number in news {
                        open.remove(&number);
                    }
                }
                Step::Fire => {
                    let due = path.recovery.timeout();
                    let kind = path.fire(now);
                    prop_assert_eq!(kind == TimeoutKind::None, due.is_none_or(|due| due > now));
                    detect = kind == TimeoutKind::Lost;
                }
                Step::PathChanged => {
                    path.recovery.on_path_changed(now);
                    for packet in open.values_mut() {
                        packet.counts = false;
                    }
                }
                Step::Drain => {
                    let drained: Vec<u64> = path.recovery.drain().collect();
                    prop_assert_eq!(drained, open.keys().copied().collect::<Vec<_>>());
                    open.clear();
                }
            }
            let delay = path.recovery.rtt().loss_delay();
            let lost: Vec<u64> = open
                .iter()
                .filter(|&(&number, packet)| {
                    largest_acked.is_some_and(|largest| {
                        number + 3 <= largest || number < largest && packet.sent + delay <= now
                    })
                })
                .map(|(&number, _)| number)
                .collect();
            if detect {
                prop_assert_eq!(&path.outcome.lost, &lost, "after {:?}", delay);
                for number in &lost {
                    open.remove(number);
                }
            } else {
                prop_assert!(path.outcome.lost.is_empty());
            }
            let in_flight: u64 = open.values().filter(|packet| packet.counts).map(|packet| packet.size).sum();
            prop_assert_eq!(path.recovery.bytes_in_flight(), in_flight);
            prop_assert_eq!(path.recovery.outstanding().copied().collect::<Vec<_>>(), open.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(path.recovery.oldest_unacked(), open.keys().next());
            prop_assert_eq!(path.recovery.timeout().is_some(), !open.is_empty());
            prop_assert_eq!(path.recovery.has_in_flight(), !open.is_empty());
            prop_assert!(path.window() >= 2 * SIZE as u64);
        }
    }
}
