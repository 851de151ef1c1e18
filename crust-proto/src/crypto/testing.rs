//! What the tests of this floor share.

use super::*;

/// Every provider that was compiled in.
pub(crate) fn providers() -> Vec<Arc<dyn CryptoProvider>> {
    vec![
        pure::pure(),
        #[cfg(feature = "aws-lc-rs")]
        aws::aws_lc_rs(),
    ]
}

/// The bytes of a hexadecimal string; white space is skipped.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("hexadecimal").try_into().expect("a nibble"))
        .collect();
    assert!(digits.len().is_multiple_of(2), "a whole number of bytes");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// As [`unhex`], of a known length.
pub(crate) fn unhex_array<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).try_into().expect("as many bytes as named")
}
