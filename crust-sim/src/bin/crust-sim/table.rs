//! Tables for people: columns as wide as they must be, in colours where these are seen.

use console::{Alignment, Style, pad_str};

/// A cell: what stands in it, and in which style.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

/// What a colour means.
pub(crate) mod style {
    use console::Style;

    // Whether a terminal shows colours is decided where they are printed.
    fn plain() -> Style {
        Style::new().force_styling(true)
    }

    /// As it should be.
    pub(crate) fn good() -> Style {
        plain().green()
    }

    /// Not yet.
    pub(crate) fn open() -> Style {
        plain().yellow()
    }

    /// Bad.
    pub(crate) fn bad() -> Style {
        plain().red()
    }

    /// Of less interest.
    pub(crate) fn dim() -> Style {
        plain().dim()
    }

    /// A heading.
    pub(crate) fn head() -> Style {
        plain().bold()
    }
}

impl Cell {
    /// A cell.
    pub(crate) fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

/// The lines of a table: the first column to the left, the others to the right, one space between.
pub(crate) fn lines(rows: &[Vec<Cell>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let texts = rows.iter().filter_map(|row| row.get(column));
        texts.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<Cell>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let side = if column == 0 { Alignment::Left } else { Alignment::Right };
            cell.style.apply_to(pad_str(&cell.text, *width, side, None)).to_string()
        });
        cells.collect::<Vec<_>>().join(" ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// The lines of a list: cells, and what is to be said of each.
pub(crate) fn list(rows: &[(Cell, String)]) -> Vec<String> {
    let width = rows.iter().map(|(cell, _)| cell.text.chars().count()).max().unwrap_or(0);
    let line = |(cell, text): &(Cell, String)| {
        let name = pad_str(&cell.text, width, Alignment::Left, None);
        format!("{}  {text}", cell.style.apply_to(name))
    };
    rows.iter().map(line).collect()
}

/// The lines of a list of figures with their names.
pub(crate) fn figures(rows: &[(&str, String)]) -> Vec<String> {
    let row = |(name, value): &(&str, String)| (Cell::new(*name, style::dim()), value.clone());
    list(&rows.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_colour_they_have() {
        let rows = vec![
            ["kind", "a", "long"].map(|text| Cell::new(text, Style::new())).to_vec(),
            vec![Cell::new("x", Style::new()), Cell::new("12", style::good()), Cell::new("3", style::bad())],
        ];
        let lines = lines(&rows);
        assert_eq!(lines[0], "kind  a long");
        assert!(lines[1].contains('\x1b'));
        assert_eq!(console::strip_ansi_codes(&lines[1]), "x    12    3");
    }

    #[test]
    fn figures_stand_under_one_another() {
        let lines = figures(&[("seeds", "10".to_owned()), ("p50", "1 ms".to_owned())]);
        let plain: Vec<_> = lines.iter().map(|line| console::strip_ansi_codes(line)).collect();
        assert_eq!(plain, ["seeds  10", "p50    1 ms"]);
    }
}
