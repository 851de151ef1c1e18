use super::*;
use proptest::{collection::vec, prelude::*};

fn random(seed: [u8; 32], parts: &[&[u8]]) -> Random {
    Random::new(Seed::new(seed), parts)
}

/// A handful of what each generator gives.
fn outputs(random: &mut Random) -> (Vec<u8>, Vec<[u8; 32]>) {
    let mut wire = random.wire_array::<100>().to_vec();
    wire.extend(random.wire_u64().to_le_bytes());
    (wire, (0..4).map(|_| *random.secret_key("label", &[b"part"])).collect())
}

fn disjoint(a: &[[u8; 32]], b: &[[u8; 32]]) -> bool {
    a.iter().all(|key| !b.contains(key))
}

#[test]
fn two_equal_calls_give_different_keys() {
    let mut random = random([1; 32], &[]);
    let keys: Vec<_> = (0..100).map(|_| random.secret_key("label", &[b"part"])).collect();
    assert!(keys.iter().enumerate().all(|(i, key)| !keys[..i].contains(key)));
}

#[test]
fn the_counter_alone_tells_equal_calls_apart() {
    let mut random = random([1; 32], &[]);
    let mut key_with_stuck_generator = || {
        random.secret = SecretStream(Zeroizing::new([7; 32]));
        random.secret_key("label", &[])
    };
    assert_ne!(key_with_stuck_generator(), key_with_stuck_generator());
}

#[test]
fn the_secret_generator_forgets_its_key_with_every_draw() {
    let mut stream = SecretStream(Zeroizing::new([7; 32]));
    let mut block = [0; 64];
    ChaCha20::new((&[7; 32]).into(), (&[0; 12]).into()).apply_keystream(&mut block);
    let drawn = stream.draw();
    assert_eq!([&stream.0[..], &drawn[..]].concat(), block);
    assert_ne!(stream.draw(), drawn);
}

#[test]
fn a_number_below_zero_or_one_is_zero_and_costs_no_endless_loop() {
    let mut random = random([1; 32], &[]);
    assert_eq!(random.wire_below(0), 0);
    assert_eq!(random.wire_below(1), 0);
}

#[test]
fn numbers_below_n_are_unbiased_where_a_plain_remainder_would_not_be() {
    // For n = 3/4 of 2^64, a plain remainder would fall below 2^62 half of the time instead of a third.
    let mut random = random([1; 32], &[]);
    let n = 3 << 62;
    let low = (0..3000).filter(|_| random.wire_below(n) < 1 << 62).count();
    assert!((900..1100).contains(&low), "{low}");
    // For 2^63 + 1 nearly half of the draws are rejected; what remains stays below and is even.
    let n = (1 << 63) + 1;
    let low = (0..3000).filter(|_| random.wire_below(n) < 1 << 62).count();
    assert!((1350..1650).contains(&low), "{low}");
}

#[test]
fn debug_output_shows_no_state() {
    assert_eq!(format!("{:?}", Seed::new([0xab; 32])), "Seed(..)");
    assert_eq!(format!("{:?}", random([0xab; 32], &[])), "Random(..)");
}

proptest! {
    #[test]
    fn the_same_seed_and_parts_give_the_same_bytes(seed: [u8; 32], part in vec(any::<u8>(), 0..50), entropy: [u8; 32]) {
        let [mut a, mut b] = [(), ()].map(|()| random(seed, &[&part]));
        prop_assert_eq!(outputs(&mut a), outputs(&mut b));
        a.mix(&entropy);
        b.mix(&entropy);
        prop_assert_eq!(outputs(&mut a), outputs(&mut b));
    }

    #[test]
    fn another_seed_gives_other_bytes(a: [u8; 32], b: [u8; 32]) {
        prop_assume!(a != b);
        let (a, b) = (outputs(&mut random(a, &[])), outputs(&mut random(b, &[])));
        prop_assert_ne!(&a.0, &b.0);
        prop_assert!(disjoint(&a.1, &b.1));
    }

    #[test]
    fn a_seed_used_twice_repeats_no_key_if_wall_time_or_static_key_differ_and_gives_the_same_wire_stream(
        seed: [u8; 32], key: [u8; 32], wall: u64, other_wall: u64, other_key: [u8; 32],
    ) {
        prop_assume!(wall != other_wall && key != other_key);
        let first = outputs(&mut random(seed, &[&key, &wall.to_le_bytes()]));
        for (key, wall) in [(key, other_wall), (other_key, wall)] {
            let second = outputs(&mut random(seed, &[&key, &wall.to_le_bytes()]));
            prop_assert_eq!(&first.0, &second.0);
            prop_assert!(disjoint(&first.1, &second.1));
        }
    }

    #[test]
    fn the_same_state_gives_other_keys_for_another_payload_or_purpose(
        seed: [u8; 32], payload in vec(any::<u8>(), 0..100), other in vec(any::<u8>(), 0..100),
    ) {
        prop_assume!(payload != other);
        let key = |label: &str, parts: &[&[u8]]| random(seed, &[]).secret_key(label, parts);
        let first = key("label", &[&payload]);
        prop_assert_eq!(&first, &key("label", &[&payload]));
        prop_assert_ne!(&first, &key("label", &[&other]));
        prop_assert_ne!(&first, &key("other label", &[&payload]));
        prop_assert_ne!(&first, &key("label", &[&payload, &[]]));
    }

    #[test]
    fn mixing_changes_all_that_follows_and_depends_on_the_entropy_and_on_what_was(
        seed: [u8; 32], entropy: [u8; 32], other: [u8; 32],
    ) {
        prop_assume!(entropy != other);
        let after = |seed: [u8; 32], entropy: Option<[u8; 32]>| {
            let mut random = random(seed, &[]);
            if let Some(entropy) = entropy {
                random.mix(&entropy);
            }
            outputs(&mut random)
        };
        let results =
            [after(seed, None), after(seed, Some(entropy)), after(seed, Some(other)), after([!seed[0]; 32], Some(entropy))];
        for (i, a) in results.iter().enumerate() {
            for b in &results[..i] {
                prop_assert_ne!(&a.0, &b.0);
                prop_assert!(disjoint(&a.1, &b.1));
            }
        }
    }

    #[test]
    fn what_is_drawn_for_the_wire_never_moves_the_secrets_nor_the_reverse(seed: [u8; 32], draws in 0usize..50) {
        let (wire, secrets) = outputs(&mut random(seed, &[]));
        let mut busy = random(seed, &[]);
        for _ in 0..draws {
            busy.wire_u64();
        }
        let after = outputs(&mut busy).1;
        prop_assert_eq!(after, secrets);
        let mut busy = random(seed, &[]);
        for _ in 0..draws {
            busy.secret_key("x", &[]);
        }
        prop_assert_eq!(outputs(&mut busy).0, wire);
    }

    #[test]
    fn a_number_below_n_is_below_n(seed: [u8; 32], n in 1u64.., shift in 0u32..64) {
        let n = (n >> shift).max(1);
        let mut random = random(seed, &[]);
        for _ in 0..20 {
            prop_assert!(random.wire_below(n) < n);
        }
    }
}
