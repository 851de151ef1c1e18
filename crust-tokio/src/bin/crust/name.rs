//! File names that come from a stranger.
//!
//! A name that is a path never gets this far (the protocol refuses it). What is left may still be meant to
//! surprise: to hide (a leading dot), to pose as an option (a leading dash), to drive the terminal (control
//! characters), to look like another name (invisible and right-to-left characters), or to be a device on
//! Windows (`NUL`, `com1.txt`). [`safe`] makes a plain name of all of these, the same one on every system.

use std::ffi::OsStr;
use std::path::Path;

use crate::protocol::MAX_NAME;

/// How many bytes a partial file's name is longer than the file's: `.part.info`.
const ROOM: usize = 16;

/// A name that is safe to create, to print, and to give to other programs.
pub(crate) fn safe(name: &str) -> String {
    let mut safe: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    shorten(&mut safe, MAX_NAME - ROOM);
    // Windows drops trailing dots and spaces: two names would be one.
    let kept = safe.trim_end_matches(['.', ' ']).len();
    safe.truncate(kept);
    if safe.starts_with(['.', '-', '~', ' ']) {
        safe.replace_range(..1, "_");
    }
    if safe.is_empty() {
        safe.push('_');
    }
    if is_device(&safe) {
        safe.insert(0, '_');
    }
    safe
}

/// The name under which a file is offered: its own, made text, and short enough.
pub(crate) fn offered(path: &Path) -> String {
    let name = path.file_name().unwrap_or(OsStr::new("file")).to_string_lossy();
    let mut name = name.replace(['/', '\0'], "_");
    shorten(&mut name, MAX_NAME);
    name
}

/// Text from a stranger, safe to print: no control characters, one line, not endless.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() || is_invisible(c) { '\u{fffd}' } else { c }).collect()
}

fn is_plain(c: char) -> bool {
    !(c.is_control() || is_invisible(c) || "/\\:*?\"<>|".contains(c))
}

/// Characters that show nothing or reorder what is around them; not the joiners and variation selectors that
/// some scripts and emoji need.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{200b}'
        | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Cuts a name to a length in bytes, but keeps its extension where it is a short one.
fn shorten(name: &mut String, max: usize) {
    if name.len() <= max {
        return;
    }
    let extension =
        name.rfind('.').filter(|&at| at > 0 && name.len() - at <= 16).map(|at| name.split_off(at));
    let extension = extension.unwrap_or_default();
    let mut end = max - extension.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name.push_str(&extension);
}

/// Whether Windows takes the name for a device, whatever its extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$" => true,
        _ => stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT")).is_some_and(|port| {
            matches!(port, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
        }),
    }
}

#[cfg(test)]
#[path = "name_tests.rs"]
mod tests;
