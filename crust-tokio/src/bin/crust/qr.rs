//! QR codes for the terminal: two modules a character, by half blocks.

use qrcode::{Color, EcLevel, QrCode};

/// How many light modules surround the code (ISO/IEC 18004 asks for four).
const QUIET: usize = 4;

/// In what the code is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// In black on white, by ANSI colours: right on every background.
    Colours,
    /// In the terminal's own colours, light modules as blocks: right on a dark background.
    Blocks,
}

/// A code, drawn.
#[derive(Debug)]
pub(crate) struct Drawing {
    /// Its lines.
    pub(crate) lines: Vec<String>,
    /// Its width in columns.
    pub(crate) width: usize,
}

/// Draws a text as a QR code, or nothing if it is too long for one.
pub(crate) fn draw(text: &str, ink: Ink) -> Option<Drawing> {
    // A screen is neither torn nor smeared: the lowest level of error correction makes the smallest code.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let size = code.width();
    let width = size + 2 * QUIET;
    let dark = |x: usize, y: usize| {
        let inside = (QUIET..QUIET + size).contains(&x) && (QUIET..QUIET + size).contains(&y);
        inside && code[(x - QUIET, y - QUIET)] == Color::Dark
    };
    let lines = (0..width)
        .step_by(2)
        .map(|y| {
            let cells = (0..width).map(|x| {
                // Below the last line there is nothing, which is light where colours are drawn.
                let below = match ink {
                    Ink::Colours => dark(x, y + 1),
                    Ink::Blocks => y + 1 == width || dark(x, y + 1),
                };
                let (upper, lower) = match ink {
                    Ink::Colours => (dark(x, y), below),
                    Ink::Blocks => (!dark(x, y), !below),
                };
                match (upper, lower) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                }
            });
            match ink {
                Ink::Colours => format!("\x1b[30;107m{}\x1b[0m", cells.collect::<String>()),
                Ink::Blocks => cells.collect(),
            }
        })
        .collect();
    Some(Drawing { lines, width })
}

#[cfg(test)]
#[path = "qr_tests.rs"]
mod tests;
