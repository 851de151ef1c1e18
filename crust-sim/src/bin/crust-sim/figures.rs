//! Figures as they are told.

use std::time::Duration;

/// Milliseconds, to the microsecond: the digits that follow say nothing.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

/// Seconds, to the millisecond.
pub(crate) fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}

/// How many a second, to the whole one.
pub(crate) fn per_second(count: u64, time: Duration) -> u64 {
    let nanos = time.as_nanos().max(1);
    u64::try_from(u128::from(count) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

/// A share of a whole, to the millionth; of nothing it is 0.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 1e6).round() / 1e6 }
}

/// The smallest value that so many hundredths of them do not exceed (the nearest rank); `None` of none. Sorts them.
pub(crate) fn percentile<T: Ord + Copy>(values: &mut [T], hundredths: usize) -> Option<T> {
    values.sort_unstable();
    let rank = (values.len() * hundredths).div_ceil(100).max(1);
    values.get(rank - 1).copied()
}

/// A hash in hexadecimal.
pub(crate) fn hex(hash: &[u8; 32]) -> String {
    blake3::Hash::from(*hash).to_hex().to_string()
}

/// A number with marks between thousands, for people.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let mut values: Vec<u32> = (1..=200).rev().collect();
        assert_eq!((percentile(&mut values, 50), percentile(&mut values, 95)), (Some(100), Some(190)));
        assert_eq!((percentile(&mut [7], 50), percentile(&mut [7], 0)), (Some(7), Some(7)));
        assert_eq!(percentile(&mut [3, 1, 2], 100), Some(3));
        assert_eq!(percentile::<u32>(&mut [], 50), None);
    }

    #[test]
    fn figures_have_no_digits_that_say_nothing() {
        assert_eq!(millis(Duration::from_nanos(619_053)).to_string(), "0.619");
        assert_eq!(share(1, 3).to_string(), "0.333333");
        assert_eq!((share(0, 0), share(5, 5)), (0.0, 1.0));
        assert_eq!(["0", "999", "1,000", "1,234,567"], [0, 999, 1000, 1_234_567].map(grouped)[..]);
        assert_eq!(per_second(10, Duration::from_millis(500)), 20);
        assert!(per_second(10, Duration::ZERO) > 0);
    }
}
