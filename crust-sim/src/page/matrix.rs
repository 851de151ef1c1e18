//! A matrix as a heat map: a table of links.

use std::io;

use super::{Cell, Matrix, escape, shortened};

/// How many colours there are from bad to good; `style.css` has as many.
const COLOURS: u8 = 9;

/// Writes the matrix. Cells lead to runs that there are.
pub(super) fn write(matrix: &Matrix, runs: usize, out: &mut dyn io::Write) -> io::Result<()> {
    out.write_all(
        b"<section class=\"matrix\" id=\"matrix\">\n<div class=\"scroll\" tabindex=\"-1\">\n<table>\n<thead><tr><td></td>",
    )?;
    for name in &matrix.names {
        write!(out, "<th scope=\"col\" title=\"{0}\"><span>{1}</span></th>", escape(name), heading(name))?;
    }
    out.write_all(b"</tr></thead>\n<tbody>\n")?;
    for (row, cells) in matrix.cells.iter().enumerate() {
        let name = matrix.names.get(row).map(String::as_str).unwrap_or_default();
        write!(out, "<tr><th scope=\"row\" title=\"{}\">{}</th>", escape(name), heading(name))?;
        for (column, cell) in cells.iter().enumerate() {
            let other = matrix.names.get(column).map(String::as_str).unwrap_or_default();
            write_cell(cell, name, other, runs, out)?;
        }
        out.write_all(b"</tr>\n")?;
    }
    out.write_all(b"</tbody>\n</table>\n</div>\n<div class=\"under\">")?;
    out.write_all(b"<p class=\"scale\" aria-hidden=\"true\"><span>worse</span>")?;
    for colour in 0..COLOURS {
        write!(out, "<i class=\"s{colour}\"></i>")?;
    }
    out.write_all(b"<span>better</span><i class=\"none\"></i><span>nothing to be had</span></p>")?;
    out.write_all(
        b"<p class=\"readout\" aria-live=\"polite\">Each cell leads to its run.</p></div>\n</section>\n",
    )
}

fn heading(name: &str) -> String {
    escape(&shortened(name, 28))
}

fn write_cell(cell: &Cell, row: &str, column: &str, runs: usize, out: &mut dyn io::Write) -> io::Result<()> {
    let class = match cell.score {
        // A NaN is cast to zero: the worst.
        Some(score) => format!("s{}", ((score.clamp(0.0, 1.0) * f32::from(COLOURS)) as u8).min(COLOURS - 1)),
        None => "none".to_owned(),
    };
    let tells = escape(&format!("{row} – {column}: {}", cell.detail));
    let label = escape(&shortened(&cell.label, 12));
    match cell.run.filter(|run| *run < runs) {
        Some(run) => {
            write!(out, "<td class=\"{class}\"><a href=\"#run-{run}\" title=\"{tells}\">{label}</a></td>")
        }
        None => write!(out, "<td class=\"{class}\" title=\"{tells}\"><span>{label}</span></td>"),
    }
}
