//! TOML with places: tables whose keys are known, and values that say where they stand when they are wrong.

use core::ops::RangeInclusive;

use crust_proto::Duration;
use toml::de::{DeTable, DeValue};

use super::units::{self, Time};

/// More names than this are not listed in a message.
const MOST_LISTED: usize = 32;
/// The longest name of a thing in a file.
const LONGEST_NAME: usize = 32;

/// What is wrong, and at which byte of the file.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: String,
}

pub(super) type Read<T> = Result<T, Fault>;

/// A table of which every key is known.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    at: usize,
    entries: &'a DeTable<'a>,
    what: &'a str,
}

impl<'a> Table<'a> {
    /// A table of things that the file names itself.
    fn named(at: usize, entries: &'a DeTable<'a>, what: &'a str) -> Self {
        Self { at, entries, what }
    }

    /// A table of settings.
    ///
    /// # Errors
    ///
    /// A key that is not among those known: the first in the file.
    pub(super) fn new(at: usize, entries: &'a DeTable<'a>, what: &'a str, known: &[&str]) -> Read<Self> {
        let table = Self { at, entries, what };
        match table.entries().into_iter().find(|(name, _)| !known.contains(&name.text)) {
            None => Ok(table),
            Some((name, _)) => {
                let message =
                    format!("{what} has no key `{}`{}", name.text, instead(name.text, known.iter().copied()));
                Err(Fault { at: name.at, message })
            }
        }
    }

    /// All entries in the order of the file.
    pub(super) fn entries(&self) -> Vec<(Name<'a>, Value<'a>)> {
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .map(|(key, value)| (Name { at: key.span().start, text: key.get_ref() }, Value::new(value)))
            .collect();
        entries.sort_by_key(|(name, _)| name.at);
        entries
    }

    /// The value of a key, where there is one.
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        self.entries.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| Value::new(value))
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, key: &str) -> Read<Value<'a>> {
        self.get(key).ok_or_else(|| Fault { at: self.at, message: format!("{} needs `{key}`", self.what) })
    }

    /// The place of a key.
    pub(super) fn place(&self, key: &str) -> usize {
        self.entries().iter().find(|(name, _)| name.text == key).map_or(self.at, |(name, _)| name.at)
    }

    /// Where it begins.
    pub(super) const fn at(&self) -> usize {
        self.at
    }
}

/// A key that is the name of something.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) at: usize,
    pub(super) text: &'a str,
}

impl Name<'_> {
    /// Names are printed and listed: they are short and without space.
    pub(super) fn check(&self) -> Read<String> {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if (1..=LONGEST_NAME).contains(&self.text.chars().count()) && self.text.chars().all(plain) {
            return Ok(self.text.to_owned());
        }
        let message = format!(
            "{:?} is no name, expected 1 to {LONGEST_NAME} letters, digits, `-`, `_` or `.`",
            shortened(self.text)
        );
        Err(Fault { at: self.at, message })
    }
}

/// A value and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) at: usize,
    raw: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    fn new(value: &'a toml::Spanned<DeValue<'a>>) -> Self {
        Self { at: value.span().start, raw: value.get_ref() }
    }

    /// What is wrong with it.
    pub(super) fn refuse<T>(&self, message: impl Into<String>) -> Read<T> {
        Err(Fault { at: self.at, message: message.into() })
    }

    fn expected<T>(&self, what: &str) -> Read<T> {
        self.refuse(format!("expected {what}, found {}", shown(self.raw)))
    }

    /// The text, if it is one.
    pub(super) fn as_text(&self) -> Option<&'a str> {
        self.raw.as_str()
    }

    pub(super) fn is_table(&self) -> bool {
        self.raw.is_table()
    }

    pub(super) fn is_list(&self) -> bool {
        self.raw.is_array()
    }

    pub(super) fn text(&self, what: &str, longest: usize) -> Read<&'a str> {
        let Some(text) = self.as_text() else { return self.expected(&format!("{what} in quotes")) };
        match text.len() <= longest {
            true => Ok(text),
            false => self.refuse(format!("{what} is {} bytes long, expected at most {longest}", text.len())),
        }
    }

    pub(super) fn flag(&self) -> Read<bool> {
        self.raw.as_bool().map_or_else(|| self.expected("true or false"), Ok)
    }

    pub(super) fn whole(&self, what: &str, range: RangeInclusive<i128>) -> Read<i128> {
        let (low, high) = (range.start(), range.end());
        let wanted = format!("{what} from {low} to {high}");
        let Some(number) = self.raw.as_integer() else { return self.expected(&wanted) };
        match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => self.expected(&wanted),
        }
    }

    /// A whole number that fits.
    pub(super) fn number<T>(&self, what: &str, range: RangeInclusive<T>) -> Read<T>
    where
        i128: From<T>,
        T: Copy + TryFrom<i128>,
    {
        let number = self.whole(what, i128::from(*range.start())..=i128::from(*range.end()))?;
        T::try_from(number).or_else(|_| self.expected(what))
    }

    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Read<Duration> {
        const WANTED: &str = "a duration in ns, us, ms, s, min, h or d, such as \"20ms\" or \"1.5s\"";
        let Some(time) = self.as_text().and_then(units::duration) else { return self.expected(WANTED) };
        if range.contains(&time) {
            return Ok(time);
        }
        self.expected(&format!("a duration from {} to {}", Time(*range.start()), Time(*range.end())))
    }

    /// A duration with its sign: true where it is negative.
    pub(super) fn signed_duration(&self, most: Duration) -> Read<(Duration, bool)> {
        let text = self.as_text().unwrap_or_default();
        let (back, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        match units::duration(digits) {
            Some(time) if time <= most => Ok((time, back)),
            _ => self.expected(&format!(
                "a duration with its sign, such as \"+1h\" or \"-30s\", of at most {}",
                Time(most)
            )),
        }
    }

    pub(super) fn share(&self) -> Read<u32> {
        let share = match self.raw {
            DeValue::String(text) => units::percent(text),
            DeValue::Integer(number) => units::fraction(number.as_str()),
            DeValue::Float(number) => units::fraction(number.as_str()),
            _ => None,
        };
        share.map_or_else(|| self.expected("a share, such as \"2%\" or 0.02, from 0 to 1"), Ok)
    }

    pub(super) fn rate(&self, range: RangeInclusive<u64>) -> Read<u64> {
        const WANTED: &str = "a rate in bit/s, kbit/s, Mbit/s or Gbit/s, such as \"10Mbit/s\"";
        let Some(rate) = self.as_text().and_then(units::rate) else { return self.expected(WANTED) };
        if range.contains(&rate) {
            return Ok(rate);
        }
        self.expected(&format!("a rate from {} bit/s to {} bit/s", range.start(), range.end()))
    }

    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Read<u64> {
        const WANTED: &str =
            "a size: a number of bytes, or one in B, kB, MB, GB, KiB, MiB or GiB, such as \"64KiB\"";
        let size = match self.raw {
            DeValue::String(text) => units::size(text),
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let Some(size) = size else { return self.expected(WANTED) };
        if range.contains(&size) {
            return Ok(size);
        }
        self.expected(&format!("a size from {} to {} bytes", range.start(), range.end()))
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&self, what: &str, words: &[(&str, T)]) -> Read<T> {
        let names = || words.iter().map(|(name, _)| *name);
        let Some(text) = self.as_text() else {
            return self.expected(&format!("a {what}, one of {}", listed(names().map(quoted))));
        };
        match words.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Ok(*value),
            None => self.refuse(format!("{:?} is no {what}{}", shortened(text), instead(text, names()))),
        }
    }

    /// The number of the thing of that name.
    pub(super) fn named(&self, what: &str, names: &[String]) -> Read<usize> {
        let text = self.text(&format!("the name of a {what}"), usize::MAX)?;
        match names.iter().position(|name| name == text) {
            Some(index) => Ok(index),
            None if names.is_empty() => {
                self.refuse(format!("there is no {what} {:?}: the file describes none", shortened(text)))
            }
            None => self.refuse(format!(
                "there is no {what} {:?}{}",
                shortened(text),
                instead(text, names.iter().map(String::as_str))
            )),
        }
    }

    /// A table of settings.
    pub(super) fn table<'b>(&self, what: &'b str, known: &[&str]) -> Read<Table<'b>>
    where
        'a: 'b,
    {
        match self.raw.as_table() {
            Some(entries) => Table::new(self.at, entries, what, known),
            None => self.expected(&a_table(what)),
        }
    }

    /// A table of things that the file names, or of keys that are not known yet.
    pub(super) fn names<'b>(&self, what: &'b str) -> Read<Table<'b>>
    where
        'a: 'b,
    {
        match self.raw.as_table() {
            Some(entries) => Ok(Table::named(self.at, entries, what)),
            None => self.expected(&a_table(what)),
        }
    }

    pub(super) fn list(&self, what: &str, count: RangeInclusive<usize>) -> Read<Vec<Value<'a>>> {
        let Some(list) = self.raw.as_array() else { return self.expected(&format!("a list of {what}")) };
        if count.contains(&list.len()) {
            return Ok(list.iter().map(Value::new).collect());
        }
        let count = match (count.start(), count.end()) {
            (low, high) if low == high => low.to_string(),
            (low, high) => format!("{low} to {high}"),
        };
        self.refuse(format!("expected {count} {what}, found {}", list.len()))
    }
}

fn a_table(what: &str) -> String {
    if what.starts_with("a table") { what.to_owned() } else { format!("a table ({what})") }
}

/// What stands there, short enough to be printed.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{:?}", shortened(text)),
        DeValue::Integer(number) => shortened(number.as_str()),
        DeValue::Float(number) => shortened(number.as_str()),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(2 * LONGEST_NAME) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn quoted(name: &str) -> String {
    format!("{name:?}")
}

/// The end of a message about a word that isn't there: the one that was probably meant, and all there are.
fn instead<'n>(word: &str, names: impl Iterator<Item = &'n str> + Clone) -> String {
    let near = names.clone().map(|name| (distance(word, name), name)).min();
    let near = near.filter(|(far, name)| *far <= 2 && 2 * far < name.chars().count());
    let near = near.map_or_else(String::new, |(_, name)| format!("; did you mean {name:?}?"));
    format!("{near} (expected one of {})", listed(names))
}

fn listed<T: AsRef<str>>(names: impl Iterator<Item = T>) -> String {
    let mut names: Vec<T> = names.collect();
    let more = names.len().saturating_sub(MOST_LISTED);
    names.truncate(MOST_LISTED);
    let listed = names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{listed} and {more} more") } else { listed }
}

/// How many characters must be added, taken away, changed or swapped with their neighbour to come from one word to the
/// other (Damerau and Levenshtein, each place touched once).
fn distance(from: &str, to: &str) -> usize {
    // Nothing that is far longer than a name is near one.
    if from.len() > 4 * LONGEST_NAME {
        return usize::MAX;
    }
    let to: Vec<char> = to.chars().collect();
    let from: Vec<char> = from.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from[i - 1] == *b && to[j - 1] == *a {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}
