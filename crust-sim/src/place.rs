//! Where in a text something stands, for files that people write.

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The column in it, in characters from 1.
    pub(crate) column: usize,
}

impl Place {
    /// The place of a byte. One beyond the end counts as the end, one inside a character as that character.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = text.get(..end).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column }
    }

    /// The place of what is no TOML, or not of the expected shape, and what is wrong, in one line.
    pub(crate) fn of_toml(text: &str, error: &toml::de::Error) -> (Self, String) {
        let offset = error.span().map_or(0, |span| span.start);
        (Self::of(text, offset), error.message().replace('\n', ", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let text = "a\näö = 1\r\n\n";
        for (offset, line, column) in [
            (0, 1, 1),
            (1, 1, 2),
            (2, 2, 1),
            (3, 2, 1),
            (4, 2, 2),
            (6, 2, 3),
            (11, 2, 8),
            (12, 3, 1),
            (99, 4, 1),
        ] {
            assert_eq!(Place::of(text, offset), Place { line, column }, "{offset}");
        }
        assert_eq!(Place::of("", 0), Place { line: 1, column: 1 });
    }
}
