//! Files that people write: read, and shown where they are wrong.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::failure::Failure;

/// The largest file that is read: far more than anybody writes.
const LARGEST: u64 = 16 << 20;
/// How many characters of a line are shown at most.
const WIDTH: usize = 96;

/// A place in a file that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file as the user named it.
    pub(crate) file: String,
    /// The line, from 1.
    pub(crate) line: usize,
    /// The column, in characters from 1.
    pub(crate) column: usize,
    /// What stands in that line.
    text: String,
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let reading = |error: std::io::Error| Failure::reading(path, &error);
    let length = fs::metadata(path).map_err(reading)?.len();
    if length > LARGEST {
        let message = format!("it has {length} bytes; {LARGEST} are the most");
        return Err(Failure::reading(path, &std::io::Error::other(message)));
    }
    fs::read_to_string(path).map_err(reading)
}

impl Place {
    /// A place in a file of this text.
    pub(crate) fn new(path: &Path, text: &str, line: usize, column: usize) -> Self {
        let text = text.lines().nth(line.saturating_sub(1)).unwrap_or_default().to_owned();
        Self { file: path.display().to_string(), line, column, text }
    }

    /// The line, and a caret under the column.
    pub(crate) fn picture(&self) -> String {
        let at = self.column.saturating_sub(1);
        // Of a long line, what is around the column.
        let from = if at < WIDTH { 0 } else { at - WIDTH / 2 };
        // A tab is as wide as a space, so that the caret stands where it should; nothing else moves the cursor.
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        let line: String = self.text.chars().skip(from).take(WIDTH).map(shown).collect();
        let (number, caret) = (self.line.to_string(), " ".repeat(at - from));
        let margin = " ".repeat(number.len());
        format!("{margin} |\n{number} | {line}\n{margin} | {caret}^")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_column() {
        let text = "a = 1\n\tb = \"ü\", c = 2\n";
        let place = Place::new(Path::new("x.toml"), text, 2, 11);
        assert_eq!(place.to_string(), "x.toml:2:11");
        assert_eq!(place.picture(), "  |\n2 |  b = \"ü\", c = 2\n  |           ^");
    }

    #[test]
    fn a_long_line_is_shown_around_the_column() {
        let text = format!("{}!{}", "x".repeat(1000), "y".repeat(1000));
        let picture = Place::new(Path::new("x.toml"), &text, 1, 1001).picture();
        let lines: Vec<&str> = picture.lines().collect();
        assert!(lines.iter().all(|line| line.len() <= WIDTH + 4), "{picture}");
        assert_eq!(lines[1].find('!'), lines[2].find('^'));
    }

    #[test]
    fn a_place_beyond_the_end_is_shown_too() {
        let picture = Place::new(Path::new("x.toml"), "", 1, 1).picture();
        assert_eq!(picture, "  |\n1 | \n  | ^");
    }
}
