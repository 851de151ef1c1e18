use std::collections::BTreeSet;

use super::*;

#[test]
fn a_byte_that_is_not_its_own_is_told_with_its_place() {
    let mut data = vec![0; 3_000];
    fill(5, 100, &mut data);
    assert_eq!(verify(5, 100, &data), Ok(()));
    // Any piece of a content is the same piece.
    let mut piece = [0; 11];
    fill(5, 1_005, &mut piece);
    assert_eq!(piece, data[905..916]);
    let right = std::mem::replace(&mut data[2_001], 0);
    data[2_001] = right ^ 1;
    let wrong = WrongByte { key: 5, offset: 2_101, expected: right, found: right ^ 1 };
    assert_eq!(verify(5, 100, &data), Err(wrong));
    data[2_001] = right;
    assert!(verify(6, 100, &data).is_err() && verify(5, 101, &data).is_err());
}

/// No two places of any content look alike for 16 bytes.
#[test]
fn bytes_that_are_lost_or_moved_are_noticed() {
    let mut seen = BTreeSet::new();
    for key in [0, 1, 7, 1 << 32, 7 << 32 | 3, u64::MAX] {
        let mut content = vec![0; 4096];
        fill(key, 0, &mut content);
        assert!(content.windows(16).all(|window| seen.insert(window.to_vec())), "{key}");
        assert_eq!(verify(key, 4000, &content[4000..]), Ok(()));
        assert_eq!(verify(key, 4001, &content[4000..]).map_err(|wrong| wrong.offset), Err(4001));
    }
}
