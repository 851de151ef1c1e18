//! Numbers with units, as people write them: read in integers only, so that no machine's rounding matters.

use core::fmt;

use crust_proto::Duration;

/// The units of time, and how many nanoseconds each has.
const TIMES: &[(&str, u128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];
/// The units of rates, in bits a second.
const RATES: &[(&str, u128)] =
    &[("bit/s", 1), ("kbit/s", 1_000), ("Mbit/s", 1_000_000), ("Gbit/s", 1_000_000_000)];
/// The units of sizes, in bytes.
const SIZES: &[(&str, u128)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];
/// More digits than this are no number of ours.
const MOST_DIGITS: usize = 18;
/// What shares are counted in.
pub(super) const WHOLE: u32 = 1_000_000;

/// A duration: `20ms`, `1.5 s`. What is finer than a nanosecond is cut off.
pub(super) fn duration(text: &str) -> Option<Duration> {
    u64::try_from(with_unit(text, TIMES)?).ok().map(Duration::from_nanos)
}

/// A rate, in bits a second: `10Mbit/s`.
pub(super) fn rate(text: &str) -> Option<u64> {
    u64::try_from(with_unit(text, RATES)?).ok()
}

/// A size, in bytes: `64KiB`.
pub(super) fn size(text: &str) -> Option<u64> {
    u64::try_from(with_unit(text, SIZES)?).ok()
}

/// A share, in millionths: `2%`.
pub(super) fn percent(text: &str) -> Option<u32> {
    share(with_unit(text, &[("%", u128::from(WHOLE) / 100)])?)
}

/// A share, in millionths: `0.02`.
pub(super) fn fraction(text: &str) -> Option<u32> {
    share(with_unit(text, &[("", u128::from(WHOLE))])?)
}

fn share(millionths: u128) -> Option<u32> {
    u32::try_from(millionths).ok().filter(|share| *share <= WHOLE)
}

/// A decimal number and a unit, with or without space between; in the unit that counts as one, rounded down.
fn with_unit(text: &str, units: &[(&str, u128)]) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, unit) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || decimals.is_empty() || whole.len() + decimals.len() > MOST_DIGITS {
        return None;
    }
    let digits: u128 = format!("{whole}{decimals}").parse().ok()?;
    Some(digits * unit / 10u128.pow(decimals.len() as u32))
}

/// A duration as [`duration`] reads it, in the largest unit that leaves few digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time(pub(super) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let exact =
            TIMES.iter().rev().find(|(name, unit)| *name != "µs" && nanos > 0 && nanos.is_multiple_of(*unit));
        match exact {
            // A whole number of some unit from milliseconds up.
            Some((name, unit)) if *unit >= 1_000_000 => write!(f, "{} {name}", nanos / unit),
            _ if nanos == 0 => f.write_str("0 s"),
            _ if nanos < 1_000_000 => write!(f, "{} us", nanos.div_ceil(1000)),
            _ if nanos < 1_000_000_000 => write!(f, "{} ms", nanos / 1_000_000),
            _ => write!(f, "{}.{:03} s", nanos / 1_000_000_000, nanos / 1_000_000 % 1000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_with_their_units() {
        assert_eq!(duration("20ms"), Some(Duration::from_millis(20)));
        assert_eq!(duration("1.5 s"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("0.25us"), Some(Duration::from_nanos(250)));
        assert_eq!(duration("2d"), Some(Duration::from_secs(2 * 86_400)));
        assert_eq!(rate("2.5Mbit/s"), Some(2_500_000));
        assert_eq!((size("64KiB"), size("1.5 kB"), size("0B")), (Some(65_536), Some(1500), Some(0)));
        assert_eq!(
            (percent("2%"), percent("0.5 %"), percent("100%")),
            (Some(20_000), Some(5000), Some(WHOLE))
        );
        assert_eq!(
            (fraction("0.02"), fraction("1"), fraction("0.1234567")),
            (Some(20_000), Some(WHOLE), Some(123_456))
        );
    }

    #[test]
    fn what_is_no_number_with_a_unit_is_refused() {
        for text in [
            "", "ms", "5", "5 parsec", "-5ms", "+5ms", ".5s", "5.s", "1.2.3s", "1e3s", "5ms ", " 5ms", "5mss",
        ] {
            assert_eq!(duration(text), None, "{text:?}");
        }
        for text in ["9999999999999999999s", "999999999999999999d"] {
            assert_eq!(duration(text), None, "{text:?}");
        }
        assert_eq!(
            (percent("101%"), percent("2"), fraction("1.01"), fraction("1e-3")),
            (None, None, None, None)
        );
        assert_eq!((rate("5MB/s"), size("5mb"), size("5 Kib")), (None, None, None));
    }

    #[test]
    fn a_time_is_shown_as_it_can_be_read() {
        for (shown, time) in
            [("20 ms", 20_000_000), ("2 min", 120_000_000_000), ("1500 ms", 1_500_000_000), ("0 s", 0)]
        {
            assert_eq!(Time(Duration::from_nanos(time)).to_string(), shown);
            assert_eq!(duration(shown), Some(Duration::from_nanos(time)));
        }
        assert_eq!(Time(Duration::from_nanos(1_234_567_890)).to_string(), "1.234 s");
        assert_eq!(Time(Duration::from_nanos(20_123_456)).to_string(), "20 ms");
        assert_eq!(Time(Duration::from_nanos(1)).to_string(), "1 us");
    }
}
